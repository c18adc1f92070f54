// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_device`: what a node can do, and the texts that are made for the asking.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::flags;
use super::device::mdev_device;
use super::guard;
use super::handle::{count, hold};
use super::strings::{optional_text, out, text, to_c_names, to_c_string};
use mdev::Result;
use mdev::{DestroyFlags, Node, QemuFlags, XmlFlags};

/// The body of every function that makes a text for the caller.
///
/// # Safety
/// The C contract for dev and ret.
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

/// Destroys a mediated device, as mdev_conn_destroy_uuid() does. The handle stays valid until it is given up.
///
/// A device is destroyed only if no process has it open. On kernels with device nodes in /dev/vfio/devices (Linux 6.6 and
/// later), the caller determines that from /proc: it needs the PID namespace of the host, and root with CAP_SYS_PTRACE. Without
/// them, as in a container that does not share the host's PID namespace, destroying a device that no process has open is -EBUSY,
/// too. A VF is not affected, since its driver refuses the write while the device is open.
///
/// @param dev a mediated device
/// @param flags of enum mdev_destroy_flags
/// @return 0; -ENODEV: it is gone already; -EBUSY: it is in use, or that cannot be determined; -EPERM: it is not the owner's (MDEV_DESTROY_OWNED);
/// -ECANCELED, -ETIMEDOUT: a call-out of mdevctl's has refused, or hangs; -EACCES: no permission; -EOPNOTSUPP: this is a parent; -EINVAL: an argument is bad; other errnos of the kernel.
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

/// A node as XML.
///
/// @param dev a node
/// @param ret where the text goes; the caller frees it with free()
/// @param flags of enum mdev_xml_flags; 0: the founding proposal's dialect; MDEV_XML_LIBVIRT: libvirt's; MDEV_XML_INACTIVE: the
/// definition of a device, also while the device runs
/// @return 0; -ENOENT: MDEV_XML_INACTIVE, and the device has no definition; -EINVAL: an argument is bad; errnos of the kernel.
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

/// What QEMU wants after -device to attach a mediated device: "vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID" and the like.
/// Some devices need more arguments, for example -uuid for NVIDIA's plugin: mdev_device_get_qemu_args() returns all of them.
/// On a kernel without VFIO groups this text alone cannot work, and only mdev_device_get_qemu_args() returns a text. For a
/// definition that does not run, the text is the one of the running device; it is usable once the device is started.
///
/// @param dev a mediated device
/// @param ret where the text goes; the caller frees it with free()
/// @return 0; -ENODATA: this is a parent; -ENODEV: a definition of the layout vendor-vfio, whose VF is chosen when it starts;
///         -EOPNOTSUPP: the device has no VFIO group and needs an iommufd object, which mdev_device_get_qemu_args() includes;
///         -EINVAL: an argument is bad.
///
/// Thread-safe. Since: 0.1. Follows: qemu's hw/vfio.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_qemu_device(dev: *mut mdev_device, ret: *mut *mut c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { make_text(dev, ret, Node::qemu_device) }
}

/// Every argument that QEMU needs for a mediated device, as one line for a shell:
/// "-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID" and the like.
///
/// A device of an NVIDIA card also gets "-uuid UUID", since NVIDIA's plugin fails without a UUID of the virtual machine. UUID
/// is the UUID of the device; if the virtual machine has a UUID, use that instead. With MDEV_QEMU_IOMMUFD, and on a kernel
/// without VFIO groups, the device gets an iommufd object of its own: "-object iommufd,id=ID -device ...,iommufd=ID". The
/// arguments of several devices can be put on one command line.
///
/// @param dev a mediated device
/// @param ret where the text goes; the caller frees it with free()
/// @param flags of enum mdev_qemu_flags
/// @return 0; -ENODATA: this is a parent; -ENODEV: the device does not run; -EINVAL: an argument is bad.
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

/// The whole QMP command that plugs a mediated device into a running QEMU, as one line of JSON. On a kernel without VFIO groups
/// one command is not enough: QEMU needs an object-add of an iommufd first, and the error message contains both commands.
///
/// @param dev a mediated device
/// @param id the id that the device gets inside QEMU; NULL: none
/// @param ret where the text goes; the caller frees it with free()
/// @return 0; -ENODATA: this is a parent; -ENODEV: as of mdev_device_get_qemu_device(); -EOPNOTSUPP: the device has no VFIO
///         group and needs an iommufd object; -EINVAL: an argument is bad.
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

/// The hostdev element that attaches a mediated device to a domain of libvirt.
///
/// @param dev a mediated device
/// @param ret where the text goes; the caller frees it with free()
/// @return 0; -ENODATA: this is a parent; -ENODEV: as of mdev_device_get_qemu_device(); -EINVAL: an argument is bad.
///
/// Thread-safe. Since: 0.1. Follows: libvirt's domain XML, hostdev of type mdev.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_hostdev_xml(dev: *mut mdev_device, ret: *mut *mut c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { make_text(dev, ret, Node::hostdev_xml) }
}

/// Lists the attributes that a node has now: the regular files of its sysfs folder that this process can read or write. For a
/// device, the files of the folders in that folder are included (`nvidia/vgpu_params`), except those of the folder power. Links
/// are not followed. Files that make or remove devices cannot be written as attributes.
///
/// @param dev a node
/// @param ret where the array of names goes, sorted and NULL-terminated. Array and names are one piece of memory: the caller
/// frees the array with free(), and nothing else
/// @return the number of names; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: an argument is bad; other
/// errnos of the kernel.
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

/// What can be done with an attribute of a node, by the mode of its file. Whether this process has the right to is seen when
/// it does it.
///
/// @param dev a node
/// @param name of a file of the node's sysfs folder, or its path below that folder: mdev_device_list_attrs()
/// @param ret where the bits of enum mdev_attr_access go
/// @return 0; -ENOENT: there is no such attribute; -ENODEV: the device is gone; -EINVAL: an argument is bad; other errnos of
/// the kernel.
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

/// Reads an attribute of a node, now: the snapshot has none.
///
/// @param dev a node
/// @param name of a file of the node's sysfs folder, or its path below that folder: mdev_device_list_attrs()
/// @param ret where the text goes, without the newline at its end; the caller frees it with free()
/// @return 0; -ENOENT: there is no such attribute; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: an argument is
/// bad; other errnos of the kernel or the vendor's driver.
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

/// Writes an attribute of a mediated device, in a single write.
///
/// @param dev a mediated device
/// @param name of a file of the device's sysfs folder, or its path below that folder: mdev_device_list_attrs()
/// @param value what is written
/// @return 0; -ENOENT: there is no such attribute; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: an argument is
/// bad; other errnos of the kernel or the vendor's driver.
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
/// @return 0; -EOPNOTSUPP: its layout has no reset; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: dev is bad;
/// other errnos of the kernel.
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

/// Takes a mediated device online or offline.
///
/// @param dev a mediated device
/// @param online 0: offline; anything else: online
/// @return 0; -EOPNOTSUPP: its layout has no such state; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: dev is
/// bad; other errnos of the kernel.
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
