// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions: mediated devices that persist.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::{flags, mdev_conn};
use super::device::{export_node, mdev_device};
use super::guard;
use super::handle::{count, hold};
use super::strings::{Pairs, bytes, optional_text, out};
use mdev::{DefineFlags, StartFlags};

/// Defines a mediated device that persists, in mdevctl's store (/etc/mdevctl.d). If the parent already has a definition
/// with this UUID, changes that definition; a running device is not changed before its next start. A parent that does
/// not exist can be named by its address.
///
/// @param conn a connection
/// @param xml a device element in either dialect, UTF-8, with a parent. Without a UUID, a random UUID is used. A start
/// element of type auto or manual sets autostart; manual together with MDEV_DEFINE_AUTOSTART is -EINVAL
/// @param ret receives the node device, running or not; the caller releases it with mdev_device_unref()
/// @param flags bits of enum mdev_define_flags
/// @return 0; -EINVAL: an argument or the XML is invalid; -ENODEV: the parent does not have this type, or does not
/// exist and its name does not contain its address; -EEXIST: the name is in use; -ENOSPC: the disk is full (the message
/// says whether the old definition is unchanged); -ECANCELED: an mdevctl call-out refused; -EACCES: no permission;
/// -ETIMEDOUT: an mdevctl call-out did not end in time, or another process keeps the store locked; other errnos of the
/// kernel.
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

/// Starts the devices whose definition has autostart and that are not running. If a start fails, the other devices are
/// still started: each failure is logged, and the message of the error names the first eight. An invalid definition is
/// a failure, too, since it may have autostart.
///
/// @param conn a connection
/// @param parent start only the devices of this parent, named as for mdev_conn_lookup_by_name(). For a VF, these are
/// the devices defined on the VF and the devices defined on its PF; it is no failure if a device on the PF cannot start
/// as long as more VFs are expected. NULL: the devices of every parent that exists
/// @param flags bits of enum mdev_start_flags
/// @return the number of started devices. If starts failed, the errno of the first failure other than -EAGAIN. -EAGAIN
/// (code MDEV_ERROR_NO_TYPE): parent is not NULL and every failed start waits for types that the parent does not offer
/// yet, such as a GPU in MIG mode without GPU instances; no event announces these types, so call again later. -ENODEV:
/// the parent does not exist; -EINVAL: an argument is invalid.
///
/// Thread-safe, also between processes: two calls at the same time start each device once. Since: 0.1. Follows: mdevctl
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

/// Removes the definition of a device. A running device keeps running until it is destroyed. The handle stays valid.
///
/// @param dev a mediated device
/// @param flags 0 or MDEV_DEFINE_NO_CALLOUTS
/// @return 0; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a parent; -ECANCELED: an mdevctl call-out
/// refused; -EINVAL: an argument is invalid; -EACCES: no permission; -ETIMEDOUT: an mdevctl call-out did not end in
/// time, or another process keeps the store locked; other errnos of the kernel.
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

/// Starts a device from its current definition: creates the device and writes the attributes in their order. If an
/// attribute cannot be written, destroys the device again. The handle is a snapshot and does not change: look the
/// device up again.
///
/// @param dev a device that is defined
/// @param flags bits of enum mdev_start_flags
/// @return 0; -EEXIST: the device is already running; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a
/// parent; the errnos of mdev_conn_create_xml().
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

/// Sets whether a device is started when its parent appears. Always runs mdevctl's call-out scripts.
///
/// @param dev a device that is defined
/// @param autostart 0: not started; any other value: started
/// @return 0; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a parent; -ECANCELED: an mdevctl call-out
/// refused; -EINVAL: an argument is invalid; -EACCES: no permission; -ETIMEDOUT: an mdevctl call-out did not end in
/// time, or another process keeps the store locked; other errnos of the kernel.
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

/// Reads whether a device is currently set to start when its parent appears. For a parent, returns 1 in ret, since a
/// parent exists whenever its hardware exists.
///
/// @param dev a node device
/// @param ret receives 1 or 0
/// @return 0; -ENOENT: the device has no definition; -EINVAL: an argument is invalid; errnos of the kernel.
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

/// Reads whether a device currently has a definition. A parent is always persistent.
///
/// @param dev a node device
/// @return 1: persistent; 0: not; -EINVAL: dev is NULL or not a node device; errnos of the kernel.
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

/// Returns the attributes in the definition of a device, in the order in which the next start writes them. A running
/// device may have other attributes. The first successful call reads them, and later calls return the same attributes.
/// To read them again, look up the device again.
///
/// @param dev a device that is defined, running or not
/// @param names receives the NULL-terminated array of names; a name may occur twice
/// @param values receives the array of values, of the same length. Both arrays and the texts are valid as long as dev;
/// the caller must not free them
/// @return the number of attributes; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a parent; -EINVAL: an
/// argument is invalid; other errnos of the kernel.
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
