// SPDX-License-Identifier: LGPL-2.1-or-later
//! The nodes under `/dev/vfio` with which a process opens a device.

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::sysfs::{Dir, IoResult, VfioNode, basename, device_number, if_present, is_absent, read_text};

/// The VFIO nodes of a device in the kernel. They may be missing in `/dev`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// The node of its IOMMU group. `None` on a kernel without CONFIG_VFIO_GROUP.
    pub group: Option<u32>,
    /// The nodes of the device itself, for iommufd. Empty before Linux 6.6 and without CONFIG_VFIO_DEVICE_CDEV.
    devices: Vec<VfioNode>,
}

impl Nodes {
    /// Reads the nodes of the device `entry` in `dir`. Fails if a file of them cannot be read.
    pub fn of(dir: &dyn Dir, entry: &str) -> Result<Self> {
        let group = group_of(dir, entry)
            .map_err(|errno| Error::io("read the IOMMU group of", &format!("{}/{entry}", dir.path()), errno))?;
        let mut devices = Vec::new();
        for name in vfio_devices(dir, entry)? {
            let file = format!("{entry}/vfio-dev/{name}/dev");
            let text = if_present(read_text(dir, &file));
            // On kernels that have only groups, the folder has no file `dev`.
            let Some(text) = text.map_err(|errno| Error::io("read", &format!("{}/{file}", dir.path()), errno))? else {
                continue;
            };
            devices.push(VfioNode::Device { name, number: device_number(&text) });
        }
        Ok(Nodes { group, devices })
    }

    /// All nodes of the device: the group's node and its own.
    pub fn all(&self) -> Vec<VfioNode> {
        let group = self.group.map(VfioNode::Group);
        group.into_iter().chain(self.own()).collect()
    }

    /// The nodes of the device itself.
    pub fn own(&self) -> Vec<VfioNode> {
        self.devices.clone()
    }
}

/// The number of the IOMMU group of a device; `None` if it has no group.
pub fn group_of(dir: &dyn Dir, entry: &str) -> IoResult<Option<u32>> {
    match dir.link(&format!("{entry}/iommu_group")) {
        // Not a link, so the device has no group.
        Err(Errno::INVAL) => Ok(None),
        link => Ok(if_present(link)?.and_then(|target| basename(&target).parse().ok())),
    }
}

/// The names in the folder `vfio-dev` of a device, such as `vfio3`; none if there is no such folder.
pub fn vfio_devices(dir: &dyn Dir, entry: &str) -> Result<Vec<String>> {
    let path = format!("{entry}/vfio-dev");
    let mut names = Vec::new();
    let listed = dir.open(&path).and_then(|dir| dir.list(&mut |name, _| names.push(name.to_owned())));
    match listed {
        Err(errno) if !is_absent(errno) && errno != Errno::INVAL => {
            Err(Error::io("list", &format!("{}/{path}", dir.path()), errno))
        }
        _ => Ok(names),
    }
}
