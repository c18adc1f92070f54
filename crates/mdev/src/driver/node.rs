// SPDX-License-Identifier: LGPL-2.1-or-later
//! A node: a parent or a mediated device.

use std::borrow::Cow;

use rustix::io::Errno;

use super::open_device::OpenDevice;
use super::plan::{ambiguous, no_type};
use super::{Conn, DestroyFlags, ListFlags, XmlFlags, callouts, definitions, dump, identity};
use crate::backend::Place;
use crate::backend::parents::{self, node_above};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{self, Device, FoundType, Parent, Type};
use crate::xml;

/// A snapshot of a parent or device, from the time when it was listed, looked up or created. It never changes. The documentation
/// of a method says so if it reads or changes the kernel now.
#[derive(Debug)]
pub struct Node {
    conn: Conn,
    what: What,
}

#[derive(Debug)]
enum What {
    Parent { parent: Box<Parent>, above: String, has_types: bool },
    Device(Box<Device>),
}

impl Node {
    pub(super) fn parent(conn: Conn, parent: Parent) -> Self {
        let above = node_above(&parent.syspath);
        Node { conn, what: What::Parent { parent: Box::new(parent), above, has_types: true } }
    }

    /// A parent of a list, which may have been read without its types.
    pub(super) fn listed_parent(conn: Conn, parent: Parent, flags: ListFlags) -> Self {
        let above = node_above(&parent.syspath);
        let has_types = !flags.contains(ListFlags::NO_TYPES);
        Node { conn, what: What::Parent { parent: Box::new(parent), above, has_types } }
    }

    pub(super) fn device(conn: Conn, device: Device) -> Self {
        Node { conn, what: What::Device(Box::new(device)) }
    }

    pub(super) fn conn(&self) -> &Conn {
        &self.conn
    }

    pub(super) fn as_device(&self) -> Option<&Device> {
        match &self.what {
            What::Device(device) => Some(device),
            What::Parent { .. } => None,
        }
    }

    pub(super) fn as_parent(&self) -> Option<&Parent> {
        match &self.what {
            What::Parent { parent, .. } => Some(parent),
            What::Device(_) => None,
        }
    }

    /// Returns the node name: `pci_0000_86_00_0`, or the name of a device.
    pub fn name(&self) -> &str {
        match &self.what {
            What::Parent { parent, .. } => &parent.name,
            What::Device(device) => &device.name,
        }
    }

    /// Returns the name of the node above: the parent of a device; for a parent, the device above it, `computer` at the root.
    pub fn parent_name(&self) -> &str {
        match &self.what {
            What::Parent { above, .. } => above,
            What::Device(device) => &device.parent,
        }
    }

    /// Returns the path in sysfs; empty for a device that does not run.
    pub fn syspath(&self) -> &str {
        match &self.what {
            What::Parent { parent, .. } => &parent.syspath,
            What::Device(device) => &device.syspath,
        }
    }

    /// Returns the path in sysfs. Fails with ENODATA for a device that does not run.
    pub fn running_path(&self) -> Result<&str> {
        self.value(Some(self.syspath()).filter(|path| !path.is_empty()), "path while it does not run")
    }

    /// Returns the name of the sysfs layout: `mdev`, `rfc`, `general` or `vendor-vfio`.
    pub fn layout(&self) -> &'static str {
        match &self.what {
            What::Parent { parent, .. } => parent.layout.as_str(),
            What::Device(device) => device.layout.as_str(),
        }
    }

    /// Returns true for a parent, and false for a device.
    pub fn is_parent(&self) -> bool {
        matches!(self.what, What::Parent { .. })
    }

    /// Returns whether the node existed in the kernel at the time of the snapshot. True for a parent.
    pub fn is_active(&self) -> bool {
        self.as_device().is_none_or(|device| device.active)
    }

    pub(super) fn value<T>(&self, value: Option<T>, what: &str) -> Result<T> {
        value.ok_or_else(|| {
            let kind = if self.is_parent() { "parent" } else { "device" };
            let message = format!("{}: this {kind} has no {what}", self.name());
            Error::new(ErrorCode::NoData, Errno::NODATA, message)
        })
    }

    /// Returns the UUID of a device, in lower case. Fails with ENODATA for a parent.
    pub fn uuid(&self) -> Result<String> {
        self.value(self.as_device().map(|device| device.uuid.to_string()), "UUID")
    }

    /// Returns the type of a device. Fails with ENODATA for a parent, and if the type is unknown.
    pub fn type_id(&self) -> Result<&str> {
        self.value(self.as_device().and_then(|device| device.type_id.as_deref()), "type")
    }

    /// Returns the group of a device. Fails with ENODATA for a parent, and if the device has no group.
    pub fn group(&self) -> Result<u32> {
        self.value(self.as_device().and_then(|device| device.group), "group")
    }

    /// Returns the parameters with which a device was created. Fails with ENODATA for a parent, and if they are unknown.
    pub fn params(&self) -> Result<&str> {
        self.value(self.as_device().and_then(|device| device.params.as_deref()), "parameters")
    }

    /// Returns the IOMMU group. Fails with ENODATA if the node has none.
    pub fn iommu_group(&self) -> Result<u32> {
        let group = match &self.what {
            What::Parent { parent, .. } => parent.iommu_group,
            What::Device(device) => device.iommu_group,
        };
        self.value(group, "IOMMU group")
    }

    /// Returns the recorded owner of a device. Fails with ENODATA for a parent, and if no owner is recorded.
    pub fn owner(&self) -> Result<&str> {
        self.value(self.as_device().and_then(|device| device.owner.as_deref()), "recorded owner")
    }

    /// Returns the NUMA node of a parent; for a device, that of its parent. Fails with ENODATA if it is unknown.
    pub fn numa_node(&self) -> Result<i32> {
        let node = match &self.what {
            What::Parent { parent, .. } => parent.numa_node,
            What::Device(device) => device.numa_node,
        };
        self.value(node, "NUMA node")
    }

    /// Returns the node name of the PF of a parent that is a VF; for a device, that of its parent. Fails with ENODATA if the parent is
    /// not a VF.
    pub fn physical_function(&self) -> Result<&str> {
        let function = match &self.what {
            What::Parent { parent, .. } => parent.physical_function.as_deref(),
            What::Device(device) => device.physical_function.as_deref(),
        };
        self.value(function, "physical function")
    }

    /// Returns the types of a parent. Fails with ENODATA for a device, and for a parent that was listed without its types.
    pub fn types(&self) -> Result<&[Type]> {
        if let What::Parent { has_types: false, .. } = &self.what {
            let message = "it was listed without its types; look it up by name";
            return Err(Error::new(ErrorCode::NoData, Errno::NODATA, message).of(self.name()));
        }
        self.value(self.as_parent().map(|parent| parent.types.as_slice()), "types")
    }

    /// Returns the type with this id, else the one with this name, else the only one of which the text is a short form. Fails if
    /// there is none, or if the short form fits several types.
    pub fn find_type(&self, id_or_name: &str) -> Result<&Type> {
        let types = self.types()?;
        match model::find_type(types, id_or_name) {
            FoundType::One(kind) => Ok(kind),
            FoundType::Several(kinds) => Err(ambiguous(self.name(), id_or_name, &kinds)),
            FoundType::Nothing => Err(no_type(self.name(), id_or_name, types, &self.without_types())),
        }
    }

    /// Returns why a parent offers no types now.
    fn without_types(&self) -> String {
        let host = &self.conn.host;
        parents::why_no_types(&*host.sysfs, &host.runtime.records(), self.syspath())
    }

    /// Returns the node as XML; with [`XmlFlags::INACTIVE`], the definition of a device, running or not. Data that the snapshot
    /// does not contain is read now: for a parent, names from pci.ids, the members of its IOMMU group and its VFs; for a device, its
    /// AP queues.
    pub fn xml(&self, flags: XmlFlags) -> Result<String> {
        let libvirt = flags.contains(XmlFlags::LIBVIRT);
        Ok(match &self.what {
            What::Parent { parent, above, has_types } => {
                let parent = self.for_dump(parent, *has_types)?;
                let details = dump::details(&self.conn.host, &parent, above)?;
                if libvirt { xml::parent_libvirt(&parent, &details) } else { xml::parent_rfc(&parent, &details) }
            }
            What::Device(device) => {
                let device = match flags.contains(XmlFlags::INACTIVE) {
                    true => Cow::Owned(self.defined_device()?),
                    false => dump::device(&self.conn.host, device)?,
                };
                if libvirt { xml::device_libvirt(&device) } else { xml::device_rfc(&device) }
            }
        })
    }

    fn for_dump<'p>(&self, parent: &'p Parent, has_types: bool) -> Result<Cow<'p, Parent>> {
        if has_types {
            return Ok(Cow::Borrowed(parent));
        }
        let place = Place { syspath: parent.syspath.clone(), subsystem: parent.subsystem.clone() };
        let read = parents::read(&*self.conn.host.sysfs, &self.conn.host.runtime.records(), &place);
        read.map(Cow::Owned).map_err(|errno| Error::io("read", &place.syspath, errno).of(&place.name()))
    }

    /// Returns the error for an operation that requires a running device.
    pub(super) fn not_running(&self) -> Error {
        let message = "it does not run; start it first";
        Error::new(ErrorCode::WrongState, Errno::NODEV, message).of(self.name())
    }

    /// Destroys the device. The node of a running device destroys that device, and never a later device of the same UUID. The node of a
    /// definition destroys the device that runs now. Fails with EBUSY if a process has the device open, and for a parent.
    pub fn destroy(&self, flags: DestroyFlags) -> Result<()> {
        let Some(device) = self.as_device() else {
            let message = "a parent cannot be destroyed; only the devices on it can";
            return Err(Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).of(self.name()));
        };
        let host = &self.conn.host;
        let found = match device.active {
            true => identity::locate(host, device)?,
            false => definitions::locate_running(host, device)?.ok_or_else(|| {
                let message = "it does not run, so it cannot be destroyed; undefine it to remove its definition";
                Error::new(ErrorCode::WrongState, Errno::NODEV, message).of(self.name())
            })?,
        };
        callouts::destroy(host, &OpenDevice::open(host, found)?, flags)
    }
}
