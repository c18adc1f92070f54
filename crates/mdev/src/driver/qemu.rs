// SPDX-License-Identifier: LGPL-2.1-or-later
//! The texts with which QEMU and libvirt attach a device.

use rustix::io::Errno;
use serde_json::json;

use super::{Node, QemuFlags};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::model::{Attach, Device};
use crate::sysfs::{basename, dirname, read_text};
use crate::xml;

/// The maximum length of an id. QEMU documents no limit; the ids that libvirt uses are much shorter.
const ID_MAX: usize = 127;

/// The PCI vendor NVIDIA. Its host driver fails to start a vGPU if the virtual machine has no UUID.
const NEEDS_UUID: &str = "0x10de";

/// Returns QEMU's driver, and the name and value of the property that identifies the device.
fn attachment(device: &Device) -> (&str, &'static str, String) {
    // The layouts without device_api are older than it. With them, every mediated device is a PCI device for the guest.
    let driver = device.device_api.as_deref().unwrap_or("vfio-pci");
    match device.attach {
        Attach::Pci(_) => (driver, "host", basename(&device.syspath).to_owned()),
        Attach::Mdev => (driver, "sysfsdev", format!("/sys/bus/mdev/devices/{}", device.uuid)),
    }
}

impl Node {
    fn attachable(&self) -> Result<&Device> {
        // The VF is chosen at the start of the device.
        if self.as_device().is_some_and(|device| !device.active && device.attach == Attach::Pci(None)) {
            return Err(self.not_running());
        }
        self.as_device().ok_or_else(|| {
            let message = "a parent cannot be attached to a guest; create a device on it, and attach the device";
            Error::new(ErrorCode::NoData, Errno::NODATA, message).of(self.name())
        })
    }

    /// Returns the value of QEMU's argument `-device`. Fails with EOPNOTSUPP if QEMU also needs an iommufd object, and with ENODATA for
    /// a parent.
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

    /// Returns every argument that QEMU needs for the device, separated by spaces; no argument contains a space. The arguments of
    /// several devices can be combined on one command line. Fails if the device does not run, and for a parent.
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

    /// True if the device has only its own node, below `/dev/vfio/devices`: the kernel was built without VFIO groups.
    fn needs_iommufd(&self, device: &Device) -> bool {
        let own_node = || self.conn().host.sysfs.open(&format!("{}/vfio-dev", device.syspath)).is_ok();
        device.active && device.iommu_group.is_none() && own_node()
    }

    /// True if the device is a vGPU of NVIDIA. The file `vendor` is in the folder of the VF, or in the folder of the parent.
    fn is_nvidia(&self, device: &Device) -> bool {
        let vendor = |path: &str| read_text(&*self.conn().host.sysfs.open(path).ok()?, "vendor").ok();
        let vendor = vendor(&device.syspath).or_else(|| vendor(dirname(&device.syspath)));
        vendor.is_some_and(|vendor| vendor.trim() == NEEDS_UUID)
    }

    /// Returns the QMP command that attaches the device to a running guest; `id` is the id of the device in QEMU. Fails with EOPNOTSUPP
    /// if one command is not enough, with EINVAL if the id is invalid, and for a parent.
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

    /// Returns libvirt's `<hostdev>` element. Fails for a parent.
    pub fn hostdev_xml(&self) -> Result<String> {
        Ok(xml::hostdev(self.attachable()?))
    }
}

fn device_text(device: &Device) -> String {
    let (driver, property, value) = attachment(device);
    format!("{driver},{property}={value}")
}

/// Returns the id of the iommufd object of the device.
fn iommufd_id(device: &Device) -> String {
    format!("iommufd-{}", device.uuid)
}

/// True if QEMU accepts the id: see id_wellformed() in QEMU's util/id.c.
fn is_qemu_id(id: &str) -> bool {
    id.len() <= ID_MAX
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
