// SPDX-License-Identifier: LGPL-2.1-or-later
//! Values of a node for people: its driver, product, PCI address and VFIO node.

use rustix::io::Errno;

use super::{Node, QemuFlags};
use crate::backend::vfio::Nodes;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{Attach, PciFacts};
use crate::sysfs::{VfioNode, basename, dirname};

impl Node {
    /// Returns the name of the driver that is bound to a parent or device. Fails with ENODATA if no driver is bound, or if the
    /// device does not run.
    pub fn driver(&self) -> Result<&str> {
        let driver = match (self.as_parent(), self.as_device()) {
            (Some(parent), _) => parent.driver.as_deref(),
            (_, Some(device)) => device.driver.as_deref(),
            _ => None,
        };
        self.value(driver, "bound driver")
    }

    /// Returns the names of the vendor and of the product of a PCI parent from pci.ids; their ids (`0x10de`) if pci.ids has no
    /// name. Fails with ENODATA for a device, and for a parent that is not a PCI device.
    pub fn product(&self) -> Result<(String, String)> {
        let PciFacts { vendor, product, .. } =
            self.value(self.as_parent().and_then(|parent| parent.pci), "PCI product")?;
        let (vendor_name, product_name) = self.conn().host.sysfs.pci_names(vendor, product);
        let or_id = |name: Option<String>, id: u16| name.unwrap_or_else(|| format!("{id:#06x}"));
        Ok((or_id(vendor_name, vendor), or_id(product_name, product)))
    }

    /// Returns the PCI address of a parent, or of the VF that a device is. Fails with ENODATA for other nodes, and for a device
    /// that does not run.
    pub fn address(&self) -> Result<String> {
        let address = match (self.as_parent(), self.as_device()) {
            (Some(parent), _) => parent.pci.map(|pci| pci.address),
            (_, Some(device)) => match device.attach {
                Attach::Pci(address) => address,
                Attach::Mdev => None,
            },
            _ => None,
        };
        self.value(address.map(|address| address.to_string()), "PCI address")
    }

    /// Returns how many VFs of a parent are devices, and how many VFs can be devices. Fails with ENODATA for a device, and for a
    /// parent whose devices are not VFs or whose VFs are not enabled.
    pub fn vf_counts(&self) -> Result<(usize, usize)> {
        let vfs = self.as_parent().map(|parent| parent.vfs.as_slice()).filter(|vfs| !vfs.is_empty());
        let vfs = self.value(vfs, "VFs that can be devices")?;
        Ok((vfs.iter().filter(|vf| vf.type_id.is_some()).count(), vfs.len()))
    }

    /// Returns the path of the node in `/dev/vfio` with which a guest opens a device: that of its IOMMU group; with
    /// [`QemuFlags::IOMMUFD`], or if it has no group, its own node. The node may be missing in this `/dev`. Fails with ENODATA if
    /// the kernel has no such node, and with ENODEV if the device does not run.
    pub fn vfio_node(&self, flags: QemuFlags) -> Result<String> {
        let device = self.value(self.as_device(), "VFIO node; only devices have one")?;
        if !device.active {
            return Err(self.not_running());
        }
        let parent = dirname(&device.syspath);
        let dir = self.conn().host.sysfs.open(parent).map_err(|errno| Error::io("open", parent, errno))?;
        let nodes = Nodes::of(&*dir, basename(&device.syspath))?;
        let group = nodes.group.map(VfioNode::Group).filter(|_| !flags.contains(QemuFlags::IOMMUFD));
        let node = group.or_else(|| nodes.own().into_iter().next());
        node.map(|node| node.path()).ok_or_else(|| {
            let message = "the kernel has no VFIO node for it; load the modules vfio and vfio-pci, or vfio_mdev";
            Error::new(ErrorCode::NoData, Errno::NODATA, message).of(self.name())
        })
    }
}
