// SPDX-License-Identifier: LGPL-2.1-or-later
//! Getters of a node device for people: driver, product, PCI address and VFIO node.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::flags;
use super::device::{get_text, mdev_device};
use super::guard;
use super::handle::{borrow, hold};
use super::strings::{out, to_c_string};
use mdev::QemuFlags;

/// Returns the name of the kernel driver that is bound to a node device.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: no driver was bound, or the device is not running; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the driver element of libvirt's node-device XML.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_driver(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.driver.get(d.node.driver()?))) }
}

/// Returns the names of the vendor and of the product of a PCI parent, from the file pci.ids of the host. If the file does not
/// contain a name, returns the id: "0x10de".
///
/// @param dev a parent
/// @param vendor receives the string, which is valid as long as dev
/// @param product receives the string, which is valid as long as dev
/// @return 0; -ENODATA: dev is not a parent or not a PCI device; -EINVAL: an argument is invalid.
///
/// Thread-safe. The first call for a product reads pci.ids. Since: 0.1. Follows: the vendor and product elements of
/// libvirt's PCI capability.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_product(
    dev: *mut mdev_device,
    vendor: *mut *const c_char,
    product: *mut *const c_char,
) -> c_int {
    guard::getter(|| {
        // SAFETY: the C contract for dev, vendor and product.
        let (dev, vendor, product) = unsafe { (borrow(dev)?, out(vendor)?, out(product)?) };
        let names = dev.body.node.product()?;
        vendor.set(dev.body.vendor.get(&names.0));
        product.set(dev.body.product.get(&names.1));
        Ok(0)
    })
}

/// Returns how many virtual functions of a parent are mediated devices, and how many can be. In the layout vendor-vfio, each
/// device needs a virtual function of its own.
///
/// @param dev a parent
/// @param used receives the number of virtual functions that are devices
/// @param total receives the number of virtual functions that can be devices, with those that are
/// @return 0; -ENODATA: dev is not a parent, its devices are not virtual functions, or its virtual functions are not
/// enabled; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the virt_functions capability of libvirt's node-device XML.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_vf_counts(
    dev: *mut mdev_device,
    used: *mut c_uint,
    total: *mut c_uint,
) -> c_int {
    guard::getter(|| {
        // SAFETY: the C contract for dev, used and total.
        let (dev, used, total) = unsafe { (borrow(dev)?, out(used)?, out(total)?) };
        let counts = dev.body.node.vf_counts()?;
        used.set(c_uint::try_from(counts.0).unwrap_or(c_uint::MAX));
        total.set(c_uint::try_from(counts.1).unwrap_or(c_uint::MAX));
        Ok(0)
    })
}

/// Returns the PCI address of a node device: of a PCI parent, or of the VF that a mediated device of the layout vendor-vfio
/// is.
///
/// @param dev a node device
/// @param ret receives the string, such as "0000:41:00.5", which is valid as long as dev
/// @return 0; -ENODATA: dev is not a PCI device, or not running; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the address element of libvirt's hostdev of type pci.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_address(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.address.get(&d.node.address()?))) }
}

/// Returns the path of the node below /dev/vfio with which a virtual machine opens a mediated device. This is the node of its
/// IOMMU group (/dev/vfio/12). With MDEV_QEMU_IOMMUFD, or if the kernel has no VFIO groups, it is the node of the device
/// itself (/dev/vfio/devices/vfio3). Reads the kernel now. The /dev of a container may not contain the node.
///
/// @param dev a node device
/// @param ret receives the string; the caller frees it with free()
/// @param flags bits of enum mdev_qemu_flags
/// @return 0; -ENODATA: dev is a parent, or the kernel has no such node for it; -ENODEV: the device is not running or no
/// longer exists; -EINVAL: an argument is invalid; other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: drivers/vfio/group.c; drivers/vfio/device_cdev.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_vfio_node(
    dev: *mut mdev_device,
    ret: *mut *mut c_char,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev and ret.
        let (dev, ret) = unsafe { (hold(dev)?, out(ret)?) };
        let flags: QemuFlags = self::flags(flags, "mdev_device_get_vfio_node")?;
        ret.set(to_c_string(&dev.body.node.vfio_node(flags)?)?);
        Ok(0)
    })
}
