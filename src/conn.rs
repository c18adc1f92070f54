// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_conn`: a connection to a host.

use std::ffi::{c_char, c_int, c_uint};
use std::ops::Deref;
use std::ptr;

use rustix::io::Errno;

use super::callbacks::Subscriptions;
use super::device::{export_list, export_node, mdev_device};
use super::guard;
use super::handle::{self, Counted, Kind, Tag, add_ref, count, drop_ref, export, hold};
use super::strings::{bytes, optional_text, out, text, to_c_string};
use mdev::{Conn, CreateFlags, DestroyFlags, GROUP_MAX, ListFlags};
use mdev::{Error, ErrorCode, Result};

/// A connection to a host: this host, a host below another root directory, or a simulated host.
///
/// Any number of threads may use one connection at the same time. After fork(), the child opens its own connection.
///
/// Since: 0.1.
pub struct mdev_conn {
    _opaque: [u8; 0],
}

impl Kind for mdev_conn {
    type Body = Body;
    const TAG: Tag = handle::CONN;
}

impl Counted for mdev_conn {}

/// A connection and its event callbacks.
pub(super) struct Body {
    conn: Conn,
    pub(super) events: Subscriptions<mdev_conn>,
}

impl Body {
    pub(super) fn new(conn: Conn) -> Self {
        Body { conn, events: Subscriptions::new() }
    }
}

impl Deref for Body {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

/// Converts flags of C into flags of Rust, which have the same bits. Fails with `InvalidFlags` on an unknown bit.
pub(super) fn flags<F: bitflags::Flags<Bits = u32>>(bits: c_uint, function: &str) -> Result<F> {
    F::from_bits(bits).ok_or_else(|| unknown_flags(bits & !F::all().bits(), function))
}

/// The check for functions that have no flags yet.
pub(super) fn no_flags(bits: c_uint, function: &str) -> Result<()> {
    if bits == 0 { Ok(()) } else { Err(unknown_flags(bits, function)) }
}

fn unknown_flags(bits: u32, function: &str) -> Error {
    let what = format!("{function} does not support the flags {bits:#x}; set them to 0, or use a newer libmdev");
    Error::new(ErrorCode::InvalidFlags, Errno::INVAL, what)
}

/// Opens a connection. Checks that the root directory, or the dump, can be read. Needs no privilege.
///
/// The library reads no environment variable. MDEV_DEFAULT_URI is the default of the program nodedev only.
///
/// Call-outs that are installed below the root directory of the URI run with the rights of the caller. Name only a
/// directory that you trust, or use the NO_CALLOUTS flags.
///
/// @param ret receives the connection; the caller releases it with mdev_conn_unref()
/// @param uri NULL or "mdev:///system": this host. "mdev:///system?root=/DIR": the host whose sys, etc and run
/// directories are below /DIR; no symbolic link of its sysfs or /dev leads out of /DIR. "test:///default": the built-in
/// simulated host. "test:///ABS/PATH.xml": a host that mdev_conn_dump_xml() has dumped
/// @param flags 0
/// @return 0; -EINVAL: an argument, the URI or the dump is invalid; -ELOOP: a directory below /DIR in which the library
/// keeps its files is a symbolic link; -ENOENT, -EACCES and other errnos of the kernel: the directory or file that the
/// URI names cannot be opened.
///
/// Thread-safe. Since: 0.1. Follows: virConnectOpen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_open(ret: *mut *mut mdev_conn, uri: *const c_char, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for ret and uri.
        let (ret, uri) = unsafe { (out(ret)?, optional_text(uri, "the URI")?) };
        no_flags(flags, "mdev_conn_open")?;
        ret.set(export(Body::new(Conn::open(uri)?)));
        Ok(0)
    })
}

/// Takes a reference to a connection.
///
/// @param conn a connection, or NULL
/// @return conn; NULL: conn is NULL or not a connection.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virConnectRef.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_ref(conn: *mut mdev_conn) -> *mut mdev_conn {
    // SAFETY: the C contract for conn.
    guard::infallible(ptr::null_mut(), || unsafe { add_ref(conn) })
}

/// Drops a reference to a connection. The last reference closes the connection. Node devices that came from it stay
/// usable and keep the host open.
///
/// @param conn a connection, or NULL
/// @return NULL, so that conn = mdev_conn_unref(conn) leaves no dangling pointer.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virConnectClose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_unref(conn: *mut mdev_conn) -> *mut mdev_conn {
    // SAFETY: the C contract for conn, and the caller gives its reference up.
    guard::infallible((), || unsafe { drop_ref(conn) });
    ptr::null_mut()
}

/// Dumps the host as one XML text: everything that a node-device driver reads of the host. A file with this text can be
/// opened as test:///ABS/PATH.xml on any machine.
///
/// @param conn a connection
/// @param ret receives the text; the caller frees it with free()
/// @param flags 0
/// @return 0; -EINVAL: an argument is invalid; errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virConnectGetCapabilities.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_dump_xml(conn: *mut mdev_conn, ret: *mut *mut c_char, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and ret.
        let (conn, ret) = unsafe { (hold(conn)?, out(ret)?) };
        no_flags(flags, "mdev_conn_dump_xml")?;
        ret.set(to_c_string(&conn.body.dump_xml()?)?);
        Ok(0)
    })
}

/// Lists node devices: a snapshot of every parent with its types, and of every mediated device, including the devices
/// that other programs created. A node device that can be read only in part is listed with the data that could be read,
/// and logged. It never hides another node device.
///
/// @param conn a connection
/// @param ret receives the NULL-terminated array; the caller frees it with mdev_device_list_free()
/// @param flags bits of enum mdev_list_flags; 0: every parent and every active device
/// @return the number of node devices; -EINVAL: an argument is invalid; errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virConnectListAllNodeDevices; Documentation/ABI/testing/sysfs-bus-vfio-mdev.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_list(conn: *mut mdev_conn, ret: *mut *mut *mut mdev_device, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and ret.
        let (conn, ret) = unsafe { (hold(conn)?, out(ret)?) };
        let flags: ListFlags = self::flags(flags, "mdev_conn_list")?;
        export_list(conn.body.list(flags)?, ret)
    })
}

/// Finds a node device by its name. A parent is also found by its address ("0000:86:00.0", in upper or lower case) and
/// by its sysfs path. mdev_conn_lookup_by_uuid() finds a mediated device by its UUID.
///
/// @param conn a connection
/// @param name the name
/// @param ret receives the node device; the caller releases it with mdev_device_unref()
/// @return 0; -ENODEV: no node device has this name; -EINVAL: an argument is invalid; errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceLookupByName.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_lookup_by_name(
    conn: *mut mdev_conn,
    name: *const c_char,
    ret: *mut *mut mdev_device,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, name and ret.
        let (conn, name, ret) = unsafe { (hold(conn)?, text(name, "the name")?, out(ret)?) };
        ret.set(export_node(conn.body.lookup_by_name(name)?));
        Ok(0)
    })
}

/// Finds a mediated device by its UUID.
///
/// @param conn a connection
/// @param uuid 36 characters with the dashes, or 32 hexadecimal digits, in upper or lower case
/// @param ret receives the node device; the caller releases it with mdev_device_unref()
/// @return 0; -ENODEV: no device has this UUID; -ENOTUNIQ: the device is not running and is defined under several
/// parents: look it up by its name; -EBADMSG and others: the definition of the device is invalid; -EACCES: no
/// permission to read whether the device is defined; -EINVAL: an argument is invalid, or uuid is not a UUID; errnos of
/// the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virDomainLookupByUUIDString; /sys/bus/mdev/devices.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_lookup_by_uuid(
    conn: *mut mdev_conn,
    uuid: *const c_char,
    ret: *mut *mut mdev_device,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, uuid and ret.
        let (conn, uuid, ret) = unsafe { (hold(conn)?, text(uuid, "the UUID")?, out(ret)?) };
        ret.set(export_node(conn.body.lookup_by_uuid(uuid)?));
        Ok(0)
    })
}

/// Creates a mediated device. On success the device is ready for use: its sysfs directory exists and, if the layout has
/// them, its IOMMU group and its /dev/vfio node. On failure the device is removed again; if that
/// fails too, the message names the device, which stays.
///
/// @param conn a connection
/// @param xml a device element in the founding proposal's or in libvirt's dialect, UTF-8
/// @param ret receives the new node device; the caller releases it with mdev_device_unref()
/// @param flags bits of enum mdev_create_flags
/// @return 0; -EINVAL: an argument or the XML is invalid; -ENODEV: the parent or the type does not exist; -EEXIST: the
/// name or the UUID is in use; -ENOSPC: the type has no instances left; -EOPNOTSUPP: the layout does not support a
/// feature that the XML requests; -ECANCELED: an mdevctl call-out refused; -ETIMEDOUT: an mdevctl call-out did not end
/// in time; -EACCES: no permission; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceCreateXML; drivers/vfio/mdev/mdev_sysfs.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_create_xml(
    conn: *mut mdev_conn,
    xml: *const c_char,
    ret: *mut *mut mdev_device,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, xml and ret.
        let (conn, xml, ret) = unsafe { (hold(conn)?, bytes(xml, "the XML")?, out(ret)?) };
        let flags: CreateFlags = self::flags(flags, "mdev_conn_create_xml")?;
        ret.set(export_node(conn.body.create_xml(xml, flags)?));
        Ok(0)
    })
}

/// Creates several devices for one guest: all of them or none. They are created in one group if their type requires a
/// group.
///
/// @param conn a connection
/// @param xmls n device elements, as for mdev_conn_create_xml()
/// @param n the number of device elements, 1 to 64
/// @param ret receives the NULL-terminated array of the new node devices, in the order of xmls; the caller frees it
/// with mdev_device_list_free()
/// @param flags bits of enum mdev_create_flags
/// @return n; the errnos of mdev_conn_create_xml(), with none of the devices left behind. If the process is killed
/// during the call, some of the devices may remain: see mdev_conn_destroy_incomplete().
///
/// Thread-safe, also between processes. Since: 0.1. Follows: the founding proposal's group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_create_group_xml(
    conn: *mut mdev_conn,
    xmls: *const *const c_char,
    n: usize,
    ret: *mut *mut *mut mdev_device,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, xmls with n elements, and ret.
        let (conn, xmls, ret) = unsafe { (hold(conn)?, xml_array(xmls, n)?, out(ret)?) };
        let flags: CreateFlags = self::flags(flags, "mdev_conn_create_group_xml")?;
        export_list(conn.body.create_group_xml(&xmls, flags)?, ret)
    })
}

/// # Safety The C contract for an array of strings with a count.
unsafe fn xml_array<'a>(xmls: *const *const c_char, n: usize) -> Result<Vec<&'a [u8]>> {
    if xmls.is_null() {
        return Err(Error::invalid("the array of XML texts (xmls) is NULL"));
    }
    // The driver checks the number, too. Checked here first, so that an invalid number does not make the loop read past the array.
    if !(1..=GROUP_MAX).contains(&n) {
        return Err(Error::invalid(format!("a group has 1 to {GROUP_MAX} devices, not {n}")));
    }
    // SAFETY: not NULL, and by the contract above n elements, each of them a string or NULL.
    (0..n).map(|i| unsafe { bytes(xmls.add(i).read(), "an XML text of the group") }).collect()
}

/// Destroys a mediated device, also a device that another program created. On success the device no longer exists. If a
/// process has the device open, fails immediately with -EBUSY and changes nothing; the kernel itself would block. A
/// caller in a container needs the PID namespace of the host: see mdev_device_destroy().
///
/// @param conn a connection
/// @param uuid the UUID of the device, 36 characters, in upper or lower case
/// @param flags bits of enum mdev_destroy_flags
/// @return 0; -ENODEV: the device does not exist; -EBUSY: the device is in use, or that cannot be determined; -EPERM:
/// MDEV_DESTROY_OWNED is set and the device does not belong to the owner of conn; -ECANCELED: an mdevctl call-out
/// refused; -ETIMEDOUT: an mdevctl call-out did not end in time; -EACCES: no permission; -EINVAL: an argument is
/// invalid; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDestroy; drivers/vfio/mdev/mdev_core.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_destroy_uuid(conn: *mut mdev_conn, uuid: *const c_char, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and uuid.
        let (conn, uuid) = unsafe { (hold(conn)?, text(uuid, "the UUID")?) };
        let flags: DestroyFlags = self::flags(flags, "mdev_conn_destroy_uuid")?;
        conn.body.destroy_uuid(uuid, flags)?;
        Ok(0)
    })
}

/// Destroys the devices of incomplete groups. A process that is killed inside mdev_conn_create_group_xml() can leave
/// some of the devices of its group; mdev_conn_list_problems() reports each such group. A group that a running process
/// is creating is not changed. mdev_conn_create_group_xml() first does the same for the owner of its connection.
///
/// @param conn a connection
/// @param owner destroy only groups of this owner: see mdev_conn_set_owner(); NULL: every incomplete group
/// @param flags 0 or MDEV_DESTROY_NO_CALLOUTS
/// @return the number of destroyed devices; -EINVAL: an argument is invalid, or MDEV_DESTROY_OWNED is set: use owner
/// instead. If a device cannot be destroyed, the other devices are still destroyed, mdev_last_error() names the device,
/// and its group stays incomplete. The errno is then -EBUSY: the device is in use; -ECANCELED: an mdevctl call-out
/// refused; -ETIMEDOUT: an mdevctl call-out did not end in time; -ENODATA: another program may have created the device
/// (mdev_last_error() has the next step); -EACCES: no permission; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_destroy_incomplete(
    conn: *mut mdev_conn,
    owner: *const c_char,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and owner.
        let (conn, owner) = unsafe { (hold(conn)?, optional_text(owner, "the owner")?) };
        let flags: DestroyFlags = self::flags(flags, "mdev_conn_destroy_incomplete")?;
        count(conn.body.destroy_incomplete(owner, flags)?)
    })
}

/// Sets the owner of every device that this connection creates or defines from now on, so that several management
/// stacks can share a host: see mdev_device_get_owner() and MDEV_DESTROY_OWNED. A defined device keeps the owner of its
/// definition, also if a connection with another owner starts it.
///
/// @param conn a connection
/// @param owner a short word, such as the name of the stack; NULL: no owner
/// @return 0; -EINVAL: an argument is invalid.
///
/// Thread-safe; of two calls at the same time, one takes effect. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_set_owner(conn: *mut mdev_conn, owner: *const c_char) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and owner.
        let (conn, owner) = unsafe { (hold(conn)?, optional_text(owner, "the owner")?) };
        conn.body.set_owner(owner)?;
        Ok(0)
    })
}

/// Waits until a parent exists and offers at least one type. Sleeps until the kernel sends an event. The kernel sends
/// none for new types of an existing parent, so a parent without types is read once a second.
///
/// @param conn a connection
/// @param name the name of the parent, as for mdev_conn_lookup_by_name()
/// @param timeout_ms the longest wait in milliseconds; 0: check once; negative: no limit
/// @param ret receives the parent; the caller releases it with mdev_device_unref(). If name is a PF whose VFs are the
/// parents, ret receives the first VF
/// @return 0; -ETIMEDOUT: the parent does not exist or offers no type (the message says which of the two); -EINVAL: an
/// argument is invalid; errnos of the kernel.
///
/// Thread-safe. The log handler gets the log lines of the call when the call ends. Since: 0.1. Follows: uevents of
/// drivers/base/core.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_wait_parent(
    conn: *mut mdev_conn,
    name: *const c_char,
    timeout_ms: c_int,
    ret: *mut *mut mdev_device,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, name and ret.
        let (conn, name, ret) = unsafe { (hold(conn)?, text(name, "the name")?, out(ret)?) };
        ret.set(export_node(conn.body.wait_parent(name, timeout_ms)?));
        Ok(0)
    })
}
