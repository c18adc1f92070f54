// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_device`: a node device, which is a parent or a mediated device. This file has the getters; [`super::action`] has
//! the operations.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr;
use std::sync::{Arc, OnceLock};

use super::guard;
use super::handle::{self, Counted, Kind, Object, Tag, add_ref, borrow, count, drop_ref, free_list, give};
use super::strings::{Lazy, Out, Pairs, out, to_c_list};
use super::types::TypeList;
use mdev::Node;
use mdev::Result;

/// A node device: a parent, which can create mediated devices, or a mediated device. The handle is a snapshot of the
/// time when the node device was listed, looked up or created. It never changes, and any number of threads may use it
/// at the same time.
///
/// Since: 0.1.
pub struct mdev_device {
    _opaque: [u8; 0],
}

impl Kind for mdev_device {
    type Body = Device;
    const TAG: Tag = handle::DEVICE;
}

impl Counted for mdev_device {}

/// A node device with the C strings that were requested of it.
pub(super) struct Device {
    pub(super) node: Node,
    pub(super) types: OnceLock<TypeList>,
    name: Lazy,
    parent: Lazy,
    syspath: Lazy,
    layout: Lazy,
    uuid: Lazy,
    type_id: Lazy,
    params: Lazy,
    owner: Lazy,
    physical_function: Lazy,
    pub(super) driver: Lazy,
    pub(super) vendor: Lazy,
    pub(super) product: Lazy,
    pub(super) address: Lazy,
    pub(super) definition_attrs: OnceLock<Pairs>,
}

/// A new handle of a node device. The caller owns its reference.
pub(super) fn export_node(node: Node) -> *mut mdev_device {
    give(new_node(node))
}

/// A node device to which C has no reference yet.
pub(super) fn new_node(node: Node) -> Arc<Object<mdev_device>> {
    Arc::new(Object::new(Device {
        node,
        types: OnceLock::new(),
        name: Lazy::new(),
        parent: Lazy::new(),
        syspath: Lazy::new(),
        layout: Lazy::new(),
        uuid: Lazy::new(),
        type_id: Lazy::new(),
        params: Lazy::new(),
        owner: Lazy::new(),
        physical_function: Lazy::new(),
        driver: Lazy::new(),
        vendor: Lazy::new(),
        product: Lazy::new(),
        address: Lazy::new(),
        definition_attrs: OnceLock::new(),
    }))
}

/// Returns node devices to C as an array; returns their number.
pub(super) fn export_list(nodes: Vec<Node>, ret: Out<*mut *mut mdev_device>) -> Result<c_int> {
    let n = count(nodes.len())?;
    ret.set(to_c_list(nodes.into_iter().map(export_node))?);
    Ok(n)
}

/// The body of every getter that returns a text.
///
/// # Safety The C contract for dev and ret.
pub(super) unsafe fn get_text(
    dev: *const mdev_device,
    ret: *mut *const c_char,
    get: impl FnOnce(&Device) -> Result<*const c_char>,
) -> c_int {
    guard::getter(|| {
        // SAFETY: the same contract.
        let (dev, ret) = unsafe { (borrow(dev)?, out(ret)?) };
        ret.set(get(&dev.body)?);
        Ok(0)
    })
}

/// The body of every getter that returns a number.
///
/// # Safety The C contract for dev and ret.
unsafe fn get_number<T>(dev: *const mdev_device, ret: *mut T, get: impl FnOnce(&Node) -> Result<T>) -> c_int {
    guard::getter(|| {
        // SAFETY: the same contract.
        let (dev, ret) = unsafe { (borrow(dev)?, out(ret)?) };
        ret.set(get(&dev.body.node)?);
        Ok(0)
    })
}

/// Takes a reference to a node device.
///
/// @param dev a node device, or NULL
/// @return dev; NULL: dev is NULL or not a node device.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virNodeDeviceRef.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_ref(dev: *mut mdev_device) -> *mut mdev_device {
    // SAFETY: the C contract for dev.
    guard::infallible(ptr::null_mut(), || unsafe { add_ref(dev) })
}

/// Drops a reference to a node device. The last reference frees the handle and the strings and types that came from it.
/// The device in the kernel is not changed: mdev_device_destroy() destroys it.
///
/// @param dev a node device, or NULL
/// @return NULL
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virNodeDeviceFree.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_unref(dev: *mut mdev_device) -> *mut mdev_device {
    // SAFETY: the C contract for dev, and the caller gives its reference up.
    guard::infallible((), || unsafe { drop_ref(dev) });
    ptr::null_mut()
}

/// Drops one reference to each node device of an array, and frees the array. To keep a node device, take a reference to
/// it first.
///
/// @param list an array from mdev_conn_list() or mdev_conn_create_group_xml(), or NULL
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_list_free(list: *mut *mut mdev_device) {
    // SAFETY: the C contract for an array of this library, which is not used after this call.
    guard::infallible((), || unsafe { free_list(list) });
}

/// Returns the name of a node device: pci_0000_86_00_0, mdev_UUID_PARENT, or the name that the creator chose.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceGetName.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_name(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.name.get(d.node.name()))) }
}

/// Returns the name of the parent node. For a mediated device, this is the device on which it is created. For a parent,
/// this is the next device above it in the device tree, "computer" at the root.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceGetParent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_parent(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.parent.get(d.node.parent_name()))) }
}

/// Returns the sysfs path of a node device, without symbolic links.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: the device is defined but not running, so it has no path; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the path element of libvirt's node-device XML.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_syspath(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| d.node.running_path().map(|path| d.syspath.get(path))) }
}

/// Returns the sysfs layout of a node device, which is the generation of the kernel interface: "rfc", "general", "mdev"
/// or "vendor-vfio".
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: Documentation/driver-api/vfio-mediated-device.rst.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_layout(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.layout.get(d.node.layout()))) }
}

/// Returns whether a node device is a parent.
///
/// @param dev a node device
/// @return 1: dev can create mediated devices; 0: it cannot; -EINVAL: dev is NULL or not a node device.
///
/// Thread-safe. Since: 0.1. Follows: the mdev_types capability of libvirt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_is_parent(dev: *mut mdev_device) -> c_int {
    // SAFETY: the C contract for dev.
    guard::getter(|| unsafe { borrow(dev) }.map(|d| c_int::from(d.body.node.is_parent())))
}

/// Returns whether a node device existed in the kernel at the time of the snapshot.
///
/// @param dev a node device
/// @return 1: it existed; 0: it did not; -EINVAL: dev is NULL or not a node device.
///
/// Thread-safe. Since: 0.1. Follows: virNodeDeviceIsActive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_is_active(dev: *mut mdev_device) -> c_int {
    // SAFETY: the C contract for dev.
    guard::getter(|| unsafe { borrow(dev) }.map(|d| c_int::from(d.body.node.is_active())))
}

/// Returns the UUID of a mediated device, in lower case.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: dev is a parent; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: drivers/vfio/mdev/mdev_core.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_uuid(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.uuid.get(&d.node.uuid()?))) }
}

/// Returns the id of the type from which a mediated device was created.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: dev is a parent, or the type is unknown; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the mdev_type link in the sysfs directory of the device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_type_id(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.type_id.get(d.node.type_id()?))) }
}

/// Returns the group in which a mediated device was created. The devices of one group belong to one guest.
///
/// @param dev a node device
/// @param ret receives the number
/// @return 0; -ENODATA: dev is a parent, or has no group; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the founding proposal's group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_group(dev: *mut mdev_device, ret: *mut c_uint) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_number(dev, ret, Node::group) }
}

/// Returns the parameters with which a mediated device was created, as its creator passed them to the vendor's driver.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: dev is a parent, or its parameters are unknown; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the founding proposal's params.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_params(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.params.get(d.node.params()?))) }
}

/// Returns the IOMMU group of a mediated device: N in /dev/vfio/N.
///
/// @param dev a node device
/// @param ret receives the number
/// @return 0; -ENODATA: dev is a parent, or has no IOMMU group; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: drivers/iommu/iommu.c; virNodeDevCapMdev's iommuGroup.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_iommu_group(dev: *mut mdev_device, ret: *mut c_uint) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_number(dev, ret, Node::iommu_group) }
}

/// Returns the owner of a mediated device: the name that its creator set with mdev_conn_set_owner().
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: dev is a parent, or no owner is recorded; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the owner files below /run/libmdev.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_owner(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.owner.get(d.node.owner()?))) }
}

/// Returns the NUMA node of a parent. For a mediated device, returns the NUMA node of its parent.
///
/// @param dev a node device
/// @param ret receives the number
/// @return 0; -ENODATA: the platform has no NUMA nodes or does not report the NUMA node; -EINVAL: an argument is
/// invalid.
///
/// Thread-safe. Since: 0.1. Follows: the numa_node file; drivers/base/core.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_numa_node(dev: *mut mdev_device, ret: *mut c_int) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_number(dev, ret, Node::numa_node) }
}

/// Returns the name of the node of the SR-IOV physical function (PF). For a parent that is a VF, and for a device on
/// that parent, this is the PF of the VF. In the layout vendor-vfio a device is a VF and its parent is the PF: for the
/// device, this is the parent. The same holds for a definition on such a parent.
///
/// @param dev a node device
/// @param ret receives the string, which is valid as long as dev
/// @return 0; -ENODATA: neither dev nor its parent is a VF; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the physfn link; drivers/pci/iov.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_get_physical_function(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int {
    // SAFETY: the C contract for dev and ret.
    unsafe { get_text(dev, ret, |d| Ok(d.physical_function.get(d.node.physical_function()?))) }
}
