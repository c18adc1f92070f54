// SPDX-License-Identifier: LGPL-2.1-or-later
//! The texts that hand a device to QEMU.

use rustix::io::Errno;
use serde_json::json;

use super::{Node, QemuFlags};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::model::{Attach, Device};
use crate::sysfs::{basename, dirname, read_text};
use crate::xml;

/// QEMU's own limit for ids is not written down; libvirt's aliases stay far below this.
const ID_MAX: usize = 127;

/// PCI vendor whose host driver has a plugin that fails to start without a UUID of the virtual machine.
const NEEDS_UUID: &str = "0x10de";

/// QEMU's driver and the property that finds the device.
fn attachment(device: &Device) -> (&str, &'static str, String) {
    // Layouts without a device_api come from the time when a mediated device was always a PCI device for the guest.
    let driver = device.device_api.as_deref().unwrap_or("vfio-pci");
    match device.attach {
        Attach::Pci(_) => (driver, "host", basename(&device.syspath).to_owned()),
        Attach::Mdev => (driver, "sysfsdev", format!("/sys/bus/mdev/devices/{}", device.uuid)),
    }
}

impl Node {
    fn attachable(&self) -> Result<&Device> {
        // Which VF it will be is not known before it runs.
        if self.as_device().is_some_and(|device| !device.active && device.attach == Attach::Pci(None)) {
            return Err(self.not_running());
        }
        self.as_device().ok_or_else(|| {
            let message = "a parent is not given to a guest; create a device on it and use that";
            Error::new(ErrorCode::NoData, Errno::NODATA, message).of(self.name())
        })
    }

    /// The text after `-device`. Fails with EOPNOTSUPP if QEMU needs an iommufd object as well.
    pub fn qemu_device(&self) -> Result<String> {
        let device = self.attachable()?;
        match self.needs_iommufd(device) {
            true => Err(self.no_group("use mdev_device_get_qemu_args(), whose text has the object")),
            false => Ok(device_text(device)),
        }
    }

    fn no_group(&self, next: &str) -> Error {
        let message = format!("it has no VFIO group, so QEMU needs an iommufd object for it; {next}");
        Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).of(self.name())
    }

    /// Every argument that QEMU needs for the device, separated by spaces; no argument contains a space. The arguments of several
    /// devices can be put on one command line.
    pub fn qemu_args(&self, flags: QemuFlags) -> Result<String> {
        let device = self.attachable()?;
        if !device.active {
            return Err(self.not_running());
        }
        let mut args = format!("-device {}", device_text(device));
        if flags.contains(QemuFlags::IOMMUFD) || self.needs_iommufd(device) {
            let id = iommufd_id(device);
            args = format!("-object iommufd,id={id} {args},iommufd={id}");
        }
        if self.is_nvidia(device) {
            args = format!("{args} -uuid {}", device.uuid);
        }
        Ok(args)
    }

    /// The device has only its own node, below `/dev/vfio/devices`: the kernel was built without VFIO groups.
    fn needs_iommufd(&self, device: &Device) -> bool {
        let own_node = || self.conn().host.sysfs.open(&format!("{}/vfio-dev", device.syspath)).is_ok();
        device.active && device.iommu_group.is_none() && own_node()
    }

    /// Whether the device is NVIDIA's. The file `vendor` is in the folder of a VF, else in that of the device's parent.
    fn is_nvidia(&self, device: &Device) -> bool {
        let vendor = |path: &str| read_text(&*self.conn().host.sysfs.open(path).ok()?, "vendor").ok();
        let vendor = vendor(&device.syspath).or_else(|| vendor(dirname(&device.syspath)));
        vendor.is_some_and(|vendor| vendor.trim() == NEEDS_UUID)
    }

    /// The whole QMP command that plugs the device into a running guest. Fails with EOPNOTSUPP if one command is not enough.
    pub fn qmp_device_add(&self, id: Option<&str>) -> Result<String> {
        let device = self.attachable()?;
        let (driver, property, value) = attachment(device);
        let mut arguments = serde_json::Map::from_iter([("driver".to_owned(), json!(driver))]);
        if let Some(id) = id {
            if !is_qemu_id(id) {
                let message = format!(
                    "'{}' is not an id for QEMU: a letter, then letters, digits, '-', '.' and '_', at most {ID_MAX}",
                    shown(id)
                );
                return Err(Error::invalid(message));
            }
            arguments.insert("id".to_owned(), json!(id));
        }
        if self.needs_iommufd(device) {
            let iommufd = iommufd_id(device);
            let object = json!({ "execute": "object-add", "arguments": { "qom-type": "iommufd", "id": iommufd } });
            let device = device_text(device);
            return Err(self.no_group(&format!("send {object}, and then a device_add of {device},iommufd={iommufd}")));
        }
        arguments.insert(property.to_owned(), json!(value));
        Ok(json!({ "execute": "device_add", "arguments": arguments }).to_string())
    }

    /// libvirt's `<hostdev>` element.
    pub fn hostdev_xml(&self) -> Result<String> {
        Ok(xml::hostdev(self.attachable()?))
    }
}

fn device_text(device: &Device) -> String {
    let (driver, property, value) = attachment(device);
    format!("{driver},{property}={value}")
}

/// Id of the iommufd object of the device.
fn iommufd_id(device: &Device) -> String {
    format!("iommufd-{}", device.uuid)
}

/// See id_wellformed() in QEMU's util/id.c.
fn is_qemu_id(id: &str) -> bool {
    id.len() <= ID_MAX
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
