// SPDX-License-Identifier: LGPL-2.1-or-later
//! A mediated device.

use uuid::Uuid;

use super::address::PciAddress;
use super::parent::LayoutKind;

/// What a device that is defined on a parent that is not there has for one: libvirt's root of all nodes.
pub const NO_PARENT: &str = "computer";

/// How a device is given to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// As the device of its UUID on the mdev bus.
    Mdev,
    /// As the PCI function that it is; `None`: which one is not known before it runs.
    Pci(Option<PciAddress>),
}

/// A mediated device at one moment, with what the kernel shows and what was remembered about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The caller's name for it, or `mdev_<uuid>_<parent>`.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Node name of the parent.
    pub parent: String,
    /// The parent's sysfs name: `0000:86:00.0`; libvirt's `parent_addr`.
    pub parent_sysname: String,
    /// `/sys/devices/.../<uuid>`; for `vendor-vfio` the VF's path.
    pub syspath: String,
    /// The layout of the parent.
    pub layout: LayoutKind,
    /// Unknown while the device is not ready yet, or where the layout does not show it.
    pub type_id: Option<String>,
    /// `vfio-pci`, `vfio-ccw`, `vfio-ap`.
    pub device_api: Option<String>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// NUMA node of the parent.
    pub numa_node: Option<i32>,
    /// Node name of the parent's physical function, when the parent is a VF.
    pub physical_function: Option<String>,
    /// The driver bound to the device (`vfio_mdev`).
    pub driver: Option<String>,
    /// Group number given at create.
    pub group: Option<u32>,
    /// Parameters given at create.
    pub params: Option<String>,
    /// Who created it, when the creator named itself.
    pub owner: Option<String>,
    /// Attributes written at create, in order; a name may stand twice (AP needs it).
    pub attributes: Vec<(String, String)>,
    /// Distinguishes this device from every other device of its UUID or its VF. On the mdev bus: the inode number of its link. Of
    /// a VF: the time that its creator set. `None` while the device does not run, and for a VF whose type another program set.
    pub identity: Option<u64>,
    /// How it is given to a guest.
    pub attach: Attach,
    /// It exists in the kernel.
    pub active: bool,
}
