// SPDX-License-Identifier: LGPL-2.1-or-later
//! A parent device.

use super::address::PciAddress;
use super::types::Type;

/// The name of a layout, a generation of the kernel interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayoutKind(&'static str);

impl LayoutKind {
    /// The founding proposal: `mdev_destroy`, `max_instances`, `params`.
    pub const RFC: LayoutKind = LayoutKind::new("rfc");
    /// The reply to the founding proposal: `available_instances`, the device's own `destroy`, `online`, `reset`.
    pub const GENERAL: LayoutKind = LayoutKind::new("general");
    /// Linux 4.10 and later.
    pub const MDEV: LayoutKind = LayoutKind::new("mdev");
    /// NVIDIA vGPU 17 and later on kernel 6.8 and later: SR-IOV functions without an mdev bus.
    pub const VENDOR_VFIO: LayoutKind = LayoutKind::new("vendor-vfio");

    /// A layout of this name.
    pub const fn new(name: &'static str) -> LayoutKind {
        LayoutKind(name)
    }

    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// What the PCI core says about a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciFacts {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID; libvirt and the founding proposal call it product.
    pub product: u16,
    /// Class, subclass and programming interface in 24 bits.
    pub class: u32,
}

/// A VF of a parent whose devices are VFs, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vf {
    /// Its name below the PF: `virtfn3`.
    pub entry: String,
    /// Its sysfs name: `0000:41:00.7`.
    pub sysname: String,
    /// The type that it has been given; `None` while it is free.
    pub type_id: Option<String>,
}

/// A device that can create mediated devices, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Node name: `pci_0000_86_00_0`.
    pub name: String,
    /// Last component of the sysfs path: `0000:86:00.0`.
    pub sysname: String,
    /// `/sys/devices/...`
    pub syspath: String,
    /// `pci`, `css`, `matrix`, `mtty`, ...
    pub subsystem: String,
    /// The generation of the interface that it speaks.
    pub layout: LayoutKind,
    /// The bound driver.
    pub driver: Option<String>,
    /// NUMA node, where the platform has them.
    pub numa_node: Option<i32>,
    /// IOMMU group of the parent itself.
    pub iommu_group: Option<u32>,
    /// Node name of the physical function, when this is a VF.
    pub physical_function: Option<String>,
    /// For PCI parents.
    pub pci: Option<PciFacts>,
    /// The types, in the order of their ids (numbers by value, the rest by text).
    pub types: Vec<Type>,
    /// The VFs that take part, where devices are VFs.
    pub vfs: Vec<Vf>,
}

/// What only a dump needs to know of a parent, and what is therefore read only for a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParentDetails {
    /// Node name of the device above the parent; `computer` at the root.
    pub parent: String,
    /// From pci.ids.
    pub vendor_name: Option<String>,
    /// From pci.ids.
    pub product_name: Option<String>,
    /// The physical function of a VF.
    pub physical_function: Option<PciAddress>,
    /// The virtual functions of a PF, enabled now.
    pub virtual_functions: Vec<PciAddress>,
    /// `sriov_totalvfs`, where there is one.
    pub max_virtual_functions: Option<u32>,
    /// The members of the parent's IOMMU group.
    pub iommu_group_members: Vec<PciAddress>,
    /// What `dev_busid` of a subchannel says: the device behind it (`0.0.1234`), or `none`.
    pub channel_device: Option<String>,
}
