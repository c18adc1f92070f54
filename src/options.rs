// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates and defines devices without XML.

use std::ffi::{c_char, c_int, c_uint};
use std::mem::MaybeUninit;

use super::conn::{flags, mdev_conn};
use super::device::{export_node, mdev_device};
use super::guard;
use super::handle::hold;
use super::strings::{bytes, optional_text, out, text, to_c_string};
use mdev::{CreateFlags, CreateOptions, DefineFlags, Error, Result};

/// An attribute of a mediated device: a file in its sysfs directory, and the value that is written to the file.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mdev_attr {
    /// The name of the file, or a path below the directory of the device (nvidia/vgpu_params).
    pub name: *const c_char,
    /// The value, 1 to 4095 bytes.
    pub value: *const c_char,
}

/// The mediated device that mdev_conn_create() creates or mdev_conn_define() defines. Set size, and zero all members that are
/// not needed: struct mdev_create_options options = { .size = sizeof(options), .type = "11" };
///
/// Later versions append members. The library accepts a struct of an older or of a newer header, if the members that the
/// library does not have are zero.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mdev_create_options {
    /// sizeof(struct mdev_create_options).
    pub size: usize,
    /// The parent, named as for mdev_conn_lookup_by_name(); NULL: mdev_conn_create() chooses a parent.
    pub parent: *const c_char,
    /// The id or the name of the type, or a short form of them. Required.
    pub r#type: *const c_char,
    /// The UUID; NULL: a random UUID.
    pub uuid: *const c_char,
    /// The name of the device; NULL: a generated name.
    pub name: *const c_char,
    /// The parameters for the vendor's driver; NULL: none.
    pub params: *const c_char,
    /// The preferred NUMA node of the parent, if parent is NULL; NULL: no preference.
    pub numa_node: *const c_int,
    /// The attributes to write after the create, in this order; NULL if n_attrs is 0.
    pub attrs: *const mdev_attr,
    /// The number of attributes.
    pub n_attrs: usize,
    /// The group of the devices of one virtual machine, from 1; 0: none.
    pub group: c_uint,
}

/// The largest size of a struct that is accepted.
const SIZE_MAX: usize = 4096;

/// Copies a struct of C that begins with its size, and whose caller may have another version of it. A member that the caller does
/// not have is zero. Fails if a member that this version does not have is not zero.
///
/// # Safety
/// from is not NULL, and points to a struct with as many bytes as its first member tells. All zeroes are a valid value of T, and T is
/// `repr(C)`, begins with its size as usize, and has no padding that matters.
pub(super) unsafe fn copy_sized<T: Copy>(from: *const T, name: &str) -> Result<T> {
    // SAFETY: not NULL, and every version of the struct begins with its size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    if !(size_of::<usize>()..=SIZE_MAX).contains(&size) {
        return Err(Error::invalid(format!(
            "{size} is not the size of a struct {name}; set size to sizeof(struct {name})"
        )));
    }
    let known = size_of::<T>();
    let mut copied = MaybeUninit::<T>::zeroed();
    // SAFETY: the source has at least `size` bytes by the contract, the destination `known`; they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), copied.as_mut_ptr().cast::<u8>(), size.min(known)) };
    // SAFETY: the bytes from `known` to `size` belong to the struct of the caller.
    let is_newer = (known..size).any(|at| unsafe { from.cast::<u8>().add(at).read() } != 0);
    if is_newer {
        let message =
            format!("struct {name} has members that this library does not know; set them to 0, or use a newer libmdev");
        return Err(Error::invalid(message));
    }
    // SAFETY: all bytes are initialized, and the contract allows zeroes.
    Ok(unsafe { copied.assume_init() })
}

/// Calls `request` with the options of C.
///
/// # Safety
/// The C contract for options and for every pointer in it.
unsafe fn with_options<T>(
    options: *const mdev_create_options,
    request: impl FnOnce(&CreateOptions<'_>) -> Result<T>,
) -> Result<T> {
    if options.is_null() {
        return Err(Error::invalid("the options are NULL"));
    }
    // SAFETY: not NULL, and the same contract.
    let given: mdev_create_options = unsafe { copy_sized(options, "mdev_create_options") }?;
    if given.attrs.is_null() && given.n_attrs > 0 {
        return Err(Error::invalid("attrs is NULL and n_attrs is not 0"));
    }
    // More attributes are refused by the library; this bound keeps a wrong number from being read.
    let count = given.n_attrs.min(1025);
    let mut attributes = Vec::with_capacity(count);
    for i in 0..count {
        // SAFETY: the array has n_attrs elements by the contract.
        let attr = unsafe { given.attrs.add(i).read_unaligned() };
        // SAFETY: strings by the contract.
        attributes.push(unsafe {
            (text(attr.name, "the name of an attribute")?, text(attr.value, "the value of an attribute")?)
        });
    }
    // SAFETY: NULL, or a number by the contract.
    let numa_node = unsafe { given.numa_node.as_ref() }.copied();
    // SAFETY: strings by the contract.
    let options = unsafe {
        CreateOptions {
            parent: optional_text(given.parent, "the parent")?,
            ty: text(given.r#type, "the type")?,
            uuid: optional_text(given.uuid, "the UUID")?,
            name: optional_text(given.name, "the name")?,
            group: Some(given.group).filter(|group| *group != 0),
            params: optional_text(given.params, "the parameters")?,
            numa_node,
            attributes: &attributes,
        }
    };
    request(&options)
}

/// Creates a mediated device as mdev_conn_create_xml() does, without XML.
///
/// @param conn a connection
/// @param options the device; not changed, and not used after the call
/// @param ret receives the device; the caller releases it with mdev_device_unref()
/// @param flags bits of enum mdev_create_flags
/// @return 0; the errnos of mdev_conn_create_xml().
///
/// Thread-safe, also between processes. Since: 0.1. Follows: mdevctl start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_create(
    conn: *mut mdev_conn,
    options: *const mdev_create_options,
    ret: *mut *mut mdev_device,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and ret.
        let (conn, ret) = unsafe { (hold(conn)?, out(ret)?) };
        let flags: CreateFlags = self::flags(flags, "mdev_conn_create")?;
        // SAFETY: the C contract for options.
        let node = unsafe { with_options(options, |options| conn.body.create(options, flags)) }?;
        ret.set(export_node(node));
        Ok(0)
    })
}

/// Defines a mediated device as mdev_conn_define_xml() does, without XML.
///
/// @param conn a connection
/// @param options the device, with a parent; not changed, and not used after the call
/// @param ret receives the device, running or not; the caller releases it with mdev_device_unref()
/// @param flags bits of enum mdev_define_flags
/// @return 0; the errnos of mdev_conn_define_xml().
///
/// Thread-safe, also between processes. Since: 0.1. Follows: mdevctl define.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_define(
    conn: *mut mdev_conn,
    options: *const mdev_create_options,
    ret: *mut *mut mdev_device,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and ret.
        let (conn, ret) = unsafe { (hold(conn)?, out(ret)?) };
        let flags: DefineFlags = self::flags(flags, "mdev_conn_define")?;
        // SAFETY: the C contract for options.
        let node = unsafe { with_options(options, |options| conn.body.define(options, flags)) }?;
        ret.set(export_node(node));
        Ok(0)
    })
}

/// Returns what mdev_conn_create_xml() would do with this XML: the parent, the type, the UUID, the VF, and the writes to sysfs.
/// Writes nothing, and runs no call-outs. Needs no privilege. The create may choose another VF, and chooses another random UUID.
///
/// @param conn a connection
/// @param xml a device element in either dialect, UTF-8
/// @param plan receives the text: one line for each value ("parent pci_0000_41_00_0", "type 1438", "uuid UUID", "vf
/// 0000:41:00.5", "exists") and each write ("write PATH TEXT"); the caller frees it with free()
/// @param flags bits of enum mdev_create_flags
/// @return 0; the errnos with which mdev_conn_create_xml() fails before its first write.
///
/// Thread-safe. Since: 0.1. Follows: systemctl start --dry-run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_plan_xml(
    conn: *mut mdev_conn,
    xml: *const c_char,
    plan: *mut *mut c_char,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, xml and plan.
        let (conn, xml, plan) = unsafe { (hold(conn)?, bytes(xml, "the XML")?, out(plan)?) };
        let flags: CreateFlags = self::flags(flags, "mdev_conn_plan_xml")?;
        plan.set(to_c_string(&conn.body.plan_xml(xml, flags)?.to_string())?);
        Ok(0)
    })
}
