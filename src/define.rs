// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions: devices that persist.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::{flags, mdev_conn};
use super::device::{export_node, mdev_device};
use super::guard;
use super::handle::{count, hold};
use super::strings::{Pairs, bytes, optional_text, out};
use mdev::{DefineFlags, StartFlags};

/// Defines a device that persists, in mdevctl's own store (/etc/mdevctl.d), or changes the definition of the same parent and
/// UUID; what is running stays as it is until its next start. A parent that is not there may be named by its address.
///
/// @param conn a connection
/// @param xml a device element in either dialect, UTF-8, with a parent; without a UUID a random one is made; a start element
/// of type auto or manual sets autostart (manual with MDEV_DEFINE_AUTOSTART is -EINVAL)
/// @param ret where the node goes, running or not, owned by the caller: mdev_device_unref()
/// @param flags of enum mdev_define_flags
/// @return 0; -EINVAL: an argument or the XML is bad; -ENODEV: the parent has no such type, or is not there and its name does not
/// tell its address; -EEXIST: the name is taken; -ENOSPC: the disk is full, and the message says whether the old
/// definition is as it was; -ECANCELED: a call-out of mdevctl's has refused; -EACCES: no permission; -ETIMEDOUT: a call-out
/// hangs, or another process keeps the store locked; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDefineXML; mdevctl define.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_define_xml(
    conn: *mut mdev_conn,
    xml: *const c_char,
    ret: *mut *mut mdev_device,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, xml and ret.
        let (conn, xml, ret) = unsafe { (hold(conn)?, bytes(xml, "the XML")?, out(ret)?) };
        let flags: DefineFlags = self::flags(flags, "mdev_conn_define_xml")?;
        ret.set(export_node(conn.body.define_xml(xml, flags)?));
        Ok(0)
    })
}

/// Starts what is defined to start by itself and does not run yet. Each failure is logged, and the error names the first
/// eight; the others are started all the same. A definition that cannot be used is a failure, too, for it might say so.
///
/// @param conn a connection
/// @param parent a parent, named as for mdev_conn_lookup_by_name(); one VF of it: what is defined on that, and what is
/// defined on its PF, which is no failure as long as other VFs are still to come; NULL: every parent that is there
/// @param flags of enum mdev_start_flags
/// @return how many were started; if any start failed, the errno of the first failure; -EAGAIN (code MDEV_ERROR_NO_TYPE): every
/// failed start waits for types that a named parent does not offer yet, such as a GPU in MIG mode without GPU instances; no
/// event announces these types, call again later; -ENODEV: no such parent; -EINVAL: an argument is bad.
///
/// Thread-safe, also between processes: two that are asked at once start each device once. Since: 0.1. Follows: mdevctl
/// start-parent-mdevs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_autostart(conn: *mut mdev_conn, parent: *const c_char, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and parent.
        let (conn, parent) = unsafe { (hold(conn)?, optional_text(parent, "the parent")?) };
        let flags: StartFlags = self::flags(flags, "mdev_conn_autostart")?;
        let started = conn.body.autostart(parent, flags)?;
        Ok(c_int::try_from(started).unwrap_or(c_int::MAX))
    })
}

/// Forgets the definition of a device. A device that runs goes on until it is destroyed. The handle stays valid.
///
/// @param dev a device
/// @param flags 0 or MDEV_DEFINE_NO_CALLOUTS
/// @return 0; -ENOENT: it has no definition; -EOPNOTSUPP: this is a parent; -ECANCELED: a call-out of mdevctl's has
/// refused; -EINVAL: an argument is bad; -EACCES: no permission; -ETIMEDOUT: a call-out hangs, or another process keeps the
/// store locked; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceUndefine; mdevctl undefine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_undefine(dev: *mut mdev_device, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        let flags: DefineFlags = self::flags(flags, "mdev_device_undefine")?;
        dev.body.node.undefine(flags)?;
        Ok(0)
    })
}

/// Starts a device as it is defined now: creates it and writes its attributes in their order; when one cannot be written, the
/// device is taken back. The handle still shows what it showed; look the device up again.
///
/// @param dev a device that is defined
/// @param flags of enum mdev_start_flags
/// @return 0; -EEXIST: it runs already; -ENOENT: it has no definition; -EOPNOTSUPP: this is a parent; else as
/// mdev_conn_create_xml().
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceCreate; mdevctl start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_start(dev: *mut mdev_device, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        let flags: StartFlags = self::flags(flags, "mdev_device_start")?;
        dev.body.node.start(flags)?;
        Ok(0)
    })
}

/// Whether a device is started when its parent appears. mdevctl's call-outs are always asked.
///
/// @param dev a device that is defined
/// @param autostart not 0: it is
/// @return 0; -ENOENT: it has no definition; -EOPNOTSUPP: this is a parent; -ECANCELED: a call-out of mdevctl's has
/// refused; -EINVAL: an argument is bad; -EACCES: no permission; -ETIMEDOUT: a call-out hangs, or another process keeps the
/// store locked; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceSetAutostart; mdevctl modify --auto.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_set_autostart(dev: *mut mdev_device, autostart: c_int) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        dev.body.node.set_autostart(autostart != 0)?;
        Ok(0)
    })
}

/// Tells what mdev_device_set_autostart() has set, as it is now. A parent is there whenever its hardware is: 1.
///
/// @param dev a node
/// @param ret where 1 or 0 goes
/// @return 0; -ENOENT: the device has no definition; -EINVAL: an argument is bad; errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceGetAutostart.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_autostart(dev: *mut mdev_device, ret: *mut c_int) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev and ret.
        let (dev, ret) = unsafe { (hold(dev)?, out(ret)?) };
        ret.set(c_int::from(dev.body.node.autostart()?));
        Ok(0)
    })
}

/// Whether a device has a definition now. A parent persists by nature: 1.
///
/// @param dev a node
/// @return 1 or 0; -EINVAL: not a node; errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceIsPersistent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_is_persistent(dev: *mut mdev_device) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        Ok(c_int::from(dev.body.node.is_persistent()?))
    })
}

/// The attributes in the definition of a device, in the order in which its next start writes them. A running device may have
/// other attributes. The first successful call reads them, and later calls return the same: to read them again, look the device
/// up again.
///
/// @param dev a device that is defined, running or not
/// @param names where the NULL-terminated array of names goes; a name may occur twice
/// @param values where the array of their values goes, of the same length. Both arrays and the texts live as long as dev and must
/// not be freed
/// @return how many there are; -ENOENT: the device has no definition; -EOPNOTSUPP: this is a parent; -EINVAL: an argument is
/// bad; other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: the attrs of mdevctl's definitions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_list_definition_attrs(
    dev: *mut mdev_device,
    names: *mut *const *const c_char,
    values: *mut *const *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev, names and values.
        let (dev, names, values) = unsafe { (hold(dev)?, out(names)?, out(values)?) };
        let known = &dev.body.definition_attrs;
        let pairs = match known.get() {
            Some(pairs) => pairs,
            None => {
                let read = Pairs::new(&dev.body.node.definition_attrs()?);
                known.get_or_init(|| read)
            }
        };
        let n = count(pairs.len())?;
        names.set(pairs.names());
        values.set(pairs.values());
        Ok(n)
    })
}
