// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_device`: operations on a node device, and texts that are generated on demand.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::flags;
use super::device::mdev_device;
use super::guard;
use super::handle::{count, hold};
use super::strings::{optional_text, out, text, to_c_names, to_c_string};
use mdev::Result;
use mdev::{DestroyFlags, Node, QemuFlags, XmlFlags};

/// The body of every function that returns a text to the caller.
///
/// # Safety The C contract for dev and ret.
unsafe fn make_text(
    dev: *const mdev_device,
    ret: *mut *mut c_char,
    make: impl FnOnce(&Node) -> Result<String>,
) -> c_int {
    guard::call(|| {
        // SAFETY: the same contract.
        let (dev, ret) = unsafe { (hold(dev)?, out(ret)?) };
        ret.set(to_c_string(&make(&dev.body.node)?)?);
        Ok(0)
    })
}

/// Destroys a mediated device, as mdev_conn_destroy_uuid() does. The handle stays valid until its last reference is
/// dropped.
///
/// A device is destroyed only if no process has it open. On kernels with device nodes in /dev/vfio/devices (Linux 6.6
/// and later), the library determines that from /proc: the caller needs the PID namespace of the host, and must be root
/// with CAP_SYS_PTRACE. Without them, as in a container that does not share the host's PID namespace, the call fails
/// with -EBUSY even if no process has the device open. VFs are not affected, since the driver of a VF refuses the write
/// while the device is open.
///
/// @param dev a mediated device
/// @param flags bits of enum mdev_destroy_flags
/// @return 0; -ENODEV: the device no longer exists; -EBUSY: the device is in use, or that cannot be determined; -EPERM:
/// MDEV_DESTROY_OWNED is set and the device does not belong to the owner of its connection; -ECANCELED: an mdevctl
/// call-out refused; -ETIMEDOUT: an mdevctl call-out did not end in time; -EACCES: no permission; -EOPNOTSUPP: dev is a
/// parent; -EINVAL: an argument is invalid; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDestroy; drivers/vfio/mdev/mdev_core.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_destroy(dev: *mut mdev_device, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        let flags: DestroyFlags = self::flags(flags, "mdev_device_destroy")?;
        dev.body.node.destroy(flags)?;
        Ok(0)
    })
}

/// Returns the XML of a node device.
///
/// @param dev a node device
/// @param ret receives the text; the caller frees it with free()
/// @param flags bits of enum mdev_xml_flags; 0: the founding proposal's dialect
/// @return 0; -ENOENT: MDEV_XML_INACTIVE is set and the device has no definition; -EINVAL: an argument is invalid;
/// errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceGetXMLDesc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_xml(dev: *mut mdev_device, ret: *mut *mut c_char, flags: c_uint) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe {
        make_text(dev, ret, |node| {
            let flags: XmlFlags = self::flags(flags, "mdev_device_get_xml")?;
            node.xml(flags)
        })
    }
}

/// Returns the argument of QEMU's option -device that attaches a mediated device, such as
/// "vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID".
///
/// Some devices need more arguments, for example -uuid for NVIDIA's plugin: mdev_device_get_qemu_args() returns all of
/// them. On a kernel without VFIO groups this argument alone is not enough, and the call fails. For a device that is
/// defined but not running, returns the text of the running device, which is usable once the device is started.
///
/// @param dev a mediated device
/// @param ret receives the text; the caller frees it with free()
/// @return 0; -ENODATA: dev is a parent; -ENODEV: dev is a definition of the layout vendor-vfio, whose VF is chosen
/// when it starts; -EOPNOTSUPP: the device has no VFIO group and needs an iommufd object, which
/// mdev_device_get_qemu_args() includes; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: qemu's hw/vfio.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_qemu_device(dev: *mut mdev_device, ret: *mut *mut c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { make_text(dev, ret, Node::qemu_device) }
}

/// Returns every argument that QEMU needs to attach a mediated device, as one line for a shell, such as "-device
/// vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID".
///
/// A device of an NVIDIA card also gets "-uuid UUID", since NVIDIA's plugin fails without a UUID of the virtual
/// machine. UUID is the UUID of the device; if the virtual machine has a UUID, use that instead. With
/// MDEV_QEMU_IOMMUFD, and on a kernel without VFIO groups, the device gets its own iommufd object: "-object
/// iommufd,id=ID -device ...,iommufd=ID". The arguments of several devices can be put on one command line.
///
/// @param dev a mediated device
/// @param ret receives the text; the caller frees it with free()
/// @param flags bits of enum mdev_qemu_flags
/// @return 0; -ENODATA: dev is a parent; -ENODEV: the device is not running; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: qemu's hw/vfio and backends/iommufd.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_qemu_args(
    dev: *mut mdev_device,
    ret: *mut *mut c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe {
        make_text(dev, ret, |node| {
            let flags: QemuFlags = self::flags(flags, "mdev_device_get_qemu_args")?;
            node.qemu_args(flags)
        })
    }
}

/// Returns the complete QMP command that plugs a mediated device into a running QEMU, as one line of JSON. On a kernel
/// without VFIO groups one command is not enough, since QEMU first needs an object-add of an iommufd: the call fails,
/// and the error message contains both commands.
///
/// @param dev a mediated device
/// @param id the id of the device inside QEMU; NULL: none
/// @param ret receives the text; the caller frees it with free()
/// @return 0; -ENODATA: dev is a parent; -ENODEV: as for mdev_device_get_qemu_device(); -EOPNOTSUPP: the device has no
/// VFIO group and needs an iommufd object; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: qemu's device_add.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_qmp_device_add(
    dev: *mut mdev_device,
    id: *const c_char,
    ret: *mut *mut c_char,
) -> c_int {
    // SAFETY: the C contract for dev, id and ret.
    unsafe { make_text(dev, ret, |node| node.qmp_device_add(optional_text(id, "the id")?)) }
}

/// Returns the hostdev element that attaches a mediated device to a libvirt domain.
///
/// @param dev a mediated device
/// @param ret receives the text; the caller frees it with free()
/// @return 0; -ENODATA: dev is a parent; -ENODEV: as for mdev_device_get_qemu_device(); -EINVAL: an argument is
/// invalid.
///
/// Thread-safe. Since: 0.1. Follows: libvirt's domain XML, hostdev of type mdev.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_hostdev_xml(dev: *mut mdev_device, ret: *mut *mut c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { make_text(dev, ret, Node::hostdev_xml) }
}

/// Lists the current attributes of a node device: the regular files of its sysfs directory whose mode allows reading or
/// writing. For a mediated device, the files one directory below are included (nvidia/vgpu_params), except those of the
/// directory power. Symbolic links are not followed. Files that create or remove devices are never writable attributes.
///
/// @param dev a node device
/// @param ret receives the array of names, sorted and NULL-terminated. The array and the names are one block of memory:
/// the caller frees the array with free(), and nothing else
/// @return the number of names; -ENODEV: the device no longer exists or is not running; -EACCES: no permission;
/// -EINVAL: an argument is invalid; other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceListCaps; fs/sysfs/file.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_list_attrs(dev: *mut mdev_device, ret: *mut *mut *mut c_char) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev and ret.
        let (dev, ret) = unsafe { (hold(dev)?, out(ret)?) };
        let names = dev.body.node.attrs()?;
        let n = count(names.len())?;
        ret.set(to_c_names(&names)?);
        Ok(n)
    })
}

/// Returns whether an attribute of a node device can be read and written, according to the mode of its file. Does not
/// check the permissions of this process: mdev_device_get_attr() and mdev_device_set_attr() return -EACCES if they are
/// missing.
///
/// @param dev a node device
/// @param name a file name in the node's sysfs directory, or a path below that directory: see mdev_device_list_attrs()
/// @param ret receives bits of enum mdev_attr_access
/// @return 0; -ENOENT: the attribute does not exist; -ENODEV: the device no longer exists or is not running; -EINVAL:
/// an argument is invalid; other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: fs/sysfs/file.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_attr_access(
    dev: *mut mdev_device,
    name: *const c_char,
    ret: *mut c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev, name and ret.
        let (dev, name, ret) = unsafe { (hold(dev)?, text(name, "the attribute's name")?, out(ret)?) };
        ret.set(dev.body.node.attr_access(name)?.bits());
        Ok(0)
    })
}

/// Reads the current value of an attribute of a node device. The snapshot contains no attributes.
///
/// @param dev a node device
/// @param name a file name in the node's sysfs directory, or a path below that directory: see mdev_device_list_attrs()
/// @param ret receives the value without the newline at its end; the caller frees it with free()
/// @return 0; -ENOENT: the attribute does not exist; -ENODEV: the device no longer exists or is not running; -EACCES:
/// no permission; -EINVAL: an argument is invalid; other errnos of the kernel or of the vendor's driver.
///
/// Thread-safe. Since: 0.1. Follows: fs/sysfs/file.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_attr(
    dev: *mut mdev_device,
    name: *const c_char,
    ret: *mut *mut c_char,
) -> c_int {
    // SAFETY: the C contract for dev, name and ret.
    unsafe { make_text(dev, ret, |node| node.attr(text(name, "the attribute's name")?)) }
}

/// Writes an attribute of a mediated device, with a single write.
///
/// @param dev a mediated device
/// @param name a file name in the device's sysfs directory, or a path below that directory: see
/// mdev_device_list_attrs()
/// @param value the text to write
/// @return 0; -ENOENT: the attribute does not exist; -ENODEV: the device no longer exists or is not running;
/// -EOPNOTSUPP: dev is a parent; -EACCES: no permission; -EBUSY: the driver refuses the write while a process has the
/// device open; -EIO: the driver changed or dropped the value; -ETIMEDOUT: another process held the lock of the PF for
/// more than 30 s; -EINVAL: an argument is invalid; other errnos of the kernel or of the vendor's driver.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: fs/sysfs/file.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_set_attr(
    dev: *mut mdev_device,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev, name and value.
        let (dev, name, value) =
            unsafe { (hold(dev)?, text(name, "the attribute's name")?, text(value, "the attribute's value")?) };
        dev.body.node.set_attr(name, value)?;
        Ok(0)
    })
}

/// Resets a mediated device.
///
/// @param dev a mediated device
/// @return 0; -EOPNOTSUPP: the layout has no reset, or dev is a parent; -ENODEV: the device no longer exists or is not
/// running; -EBUSY: the driver refuses while a process has the device open; -EACCES: no permission; -EINVAL: dev is NULL
/// or not a node device; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceReset; the reset file of the general layout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_reset(dev: *mut mdev_device) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        dev.body.node.reset()?;
        Ok(0)
    })
}

/// Sets a mediated device online or offline.
///
/// @param dev a mediated device
/// @param online 0: offline; any other value: online
/// @return 0; -EOPNOTSUPP: the layout has no online state, or dev is a parent; -ENODEV: the device no longer exists or
/// is not running; -EBUSY: the driver refuses while a process has the device open; -EACCES: no permission; -EINVAL: dev
/// is NULL or not a node device; other errnos of the kernel.
///
/// Thread-safe, also between processes. Since: 0.1. Follows: the online file of the general layout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_set_online(dev: *mut mdev_device, online: c_int) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev.
        let dev = unsafe { hold(dev) }?;
        dev.body.node.set_online(online != 0)?;
        Ok(0)
    })
}
