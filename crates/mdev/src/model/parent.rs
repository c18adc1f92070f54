// SPDX-License-Identifier: LGPL-2.1-or-later
//! A parent device.

use super::address::PciAddress;
use super::types::Type;

/// A layout: the files of one generation of the kernel's interface for mediated devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayoutKind(&'static str);

impl LayoutKind {
    /// The layout of the founding proposal, a request for comments that no kernel contains: `mdev_destroy`, `max_instances`, `params`.
    pub const RFC: LayoutKind = LayoutKind::new("rfc");
    /// The layout of the reply to the founding proposal: `available_instances`; a device has `destroy`, `online` and `reset`.
    pub const GENERAL: LayoutKind = LayoutKind::new("general");
    /// The layout of Linux 4.10 and later.
    pub const MDEV: LayoutKind = LayoutKind::new("mdev");
    /// The layout of NVIDIA vGPU 17 and later on Linux 6.8 and later: devices are VFs, and there is no mdev bus.
    pub const VENDOR_VFIO: LayoutKind = LayoutKind::new("vendor-vfio");

    /// Returns the layout with this name.
    pub const fn new(name: &'static str) -> LayoutKind {
        LayoutKind(name)
    }

    /// Returns the name that users see.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// The PCI data of a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciFacts {
    /// Address.
    pub address: PciAddress,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID. Libvirt and the founding proposal use the word product.
    pub product: u16,
    /// Class, subclass and programming interface in 24 bits.
    pub class: u32,
}

/// A VF of a parent whose devices are VFs, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vf {
    /// The name of the link below the PF: `virtfn3`.
    pub entry: String,
    /// The sysfs name of the VF: `0000:41:00.7`.
    pub sysname: String,
    /// The current type of the VF; `None` if the VF is free.
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
    /// The layout of the parent's files.
    pub layout: LayoutKind,
    /// The bound driver.
    pub driver: Option<String>,
    /// NUMA node; `None` if the platform has no NUMA nodes.
    pub numa_node: Option<i32>,
    /// IOMMU group of the parent.
    pub iommu_group: Option<u32>,
    /// Node name of the physical function, if the parent is a VF.
    pub physical_function: Option<String>,
    /// The PCI data; `None` if the parent is not a PCI device.
    pub pci: Option<PciFacts>,
    /// The types, in the order of [`compare_ids`](super::compare_ids).
    pub types: Vec<Type>,
    /// The VFs that can be devices; empty if the devices of the parent are not VFs.
    pub vfs: Vec<Vf>,
}

/// Data of a parent that only a dump contains. It is read only for a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParentDetails {
    /// Node name of the device above the parent; `computer` at the root.
    pub parent: String,
    /// The vendor's name in pci.ids.
    pub vendor_name: Option<String>,
    /// The product's name in pci.ids.
    pub product_name: Option<String>,
    /// The physical function, if the parent is a VF.
    pub physical_function: Option<PciAddress>,
    /// The enabled virtual functions, if the parent is a PF.
    pub virtual_functions: Vec<PciAddress>,
    /// The number in `sriov_totalvfs`; `None` if the parent has no such file.
    pub max_virtual_functions: Option<u32>,
    /// The members of the parent's IOMMU group.
    pub iommu_group_members: Vec<PciAddress>,
    /// The text of `dev_busid` of a subchannel: the device of the subchannel (`0.0.1234`), or `none`.
    pub channel_device: Option<String>,
}
