// SPDX-License-Identifier: LGPL-2.1-or-later
//! A mediated device.

use uuid::Uuid;

use super::address::PciAddress;
use super::parent::LayoutKind;

/// The name that stands for an absent parent: libvirt's root of all nodes.
pub const NO_PARENT: &str = "computer";

/// How a guest gets the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// As an mdev, by its UUID on the mdev bus.
    Mdev,
    /// As a PCI function. `None`: the function is unknown until the device is active.
    Pci(Option<PciAddress>),
}

/// A mediated device at one moment: the state in the kernel and the stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name from its creator, or `mdev_<uuid>_<parent>`.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Node name of the parent.
    pub parent: String,
    /// The parent's sysfs name (`0000:86:00.0`); `parent_addr` in libvirt.
    pub parent_sysname: String,
    /// `/sys/devices/.../<uuid>`; for `vendor-vfio` the VF's path.
    pub syspath: String,
    /// The layout of the parent.
    pub layout: LayoutKind,
    /// `None` while the device is not ready, or if the layout does not show the type.
    pub type_id: Option<String>,
    /// `vfio-pci`, `vfio-ccw`, `vfio-ap`.
    pub device_api: Option<String>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// NUMA node of the parent.
    pub numa_node: Option<i32>,
    /// Node name of the parent's physical function, if the parent is a VF.
    pub physical_function: Option<String>,
    /// The driver bound to the device (`vfio_mdev`).
    pub driver: Option<String>,
    /// Group number from the create request.
    pub group: Option<u32>,
    /// Parameters from the create request.
    pub params: Option<String>,
    /// The owner that the creator set; `None` if it set none.
    pub owner: Option<String>,
    /// Attributes that the create has written, in order. A name can occur several times: AP devices need this.
    pub attributes: Vec<(String, String)>,
    /// Distinguishes this device from every other device of the same UUID or VF. On the mdev bus: the inode number of
    /// the device's link. On a VF: the time that the creator set. `None` for a device that is not active, and for a
    /// VF whose type another program set.
    pub identity: Option<u64>,
    /// How a guest gets the device.
    pub attach: Attach,
    /// True if the device exists in the kernel.
    pub active: bool,
}
