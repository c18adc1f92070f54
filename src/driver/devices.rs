// SPDX-License-Identifier: LGPL-2.1-or-later
//! The mediated devices that exist, whoever made them.

use std::collections::HashMap;
use std::rc::Rc;

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use crate::error::{Error, ErrorCode, Result};
use crate::layout::bus::{Place, link_name, read_parent};
use crate::layout::{self, DEVICES, TYPES};
use crate::model::name::{device_name, parse_uuid};
use crate::model::{Device, Parent};
use crate::store::Facts;
use crate::sysfs::{Dir, IoResult, Sysfs, basename, dirname, is_exhausted, read_text, resolve};

/// Parents that have been read once in this request, by path. Devices share them.
pub(super) struct KnownParents<'a> {
    sysfs: &'a dyn Sysfs,
    parents: HashMap<String, Option<Rc<Parent>>>,
    apis: HashMap<(String, String), Option<String>>,
}

impl<'a> KnownParents<'a> {
    pub(super) fn new(sysfs: &'a dyn Sysfs) -> Self {
        KnownParents { sysfs, parents: HashMap::new(), apis: HashMap::new() }
    }

    pub(super) fn add(&mut self, parent: &Parent) {
        for kind in &parent.types {
            self.apis.insert((parent.syspath.clone(), kind.id.clone()), kind.device_api.clone());
        }
        let bare = Parent { types: Vec::new(), ..parent.clone() };
        self.parents.insert(parent.syspath.clone(), Some(Rc::new(bare)));
    }

    /// The parent at a place that is known already.
    pub(super) fn add_place(&mut self, place: &Place) {
        if !self.parents.contains_key(&place.syspath) {
            let read = read_parent(self.sysfs, place, false).ok().map(Rc::new);
            self.parents.insert(place.syspath.clone(), read);
        }
    }

    /// `None` for one that cannot be read; an error only when this process has run out of something.
    fn at(&mut self, syspath: &str) -> Result<Option<Rc<Parent>>> {
        if let Some(known) = self.parents.get(syspath) {
            return Ok(known.clone());
        }
        let read = match self.read(syspath) {
            Ok(parent) => Some(Rc::new(parent)),
            Err(errno) if is_exhausted(errno) => return Err(Error::io("read", syspath, errno)),
            Err(_) => None,
        };
        self.parents.insert(syspath.to_owned(), read.clone());
        Ok(read)
    }

    fn read(&self, syspath: &str) -> IoResult<Parent> {
        let subsystem = basename(&self.sysfs.open(syspath)?.link("subsystem")?).to_owned();
        read_parent(self.sysfs, &Place { syspath: syspath.to_owned(), subsystem }, false)
    }

    fn device_api(&mut self, parent: &str, type_id: &str) -> Option<String> {
        let sysfs = self.sysfs;
        let read = || read_text(&*sysfs.open(&format!("{parent}/{TYPES}/{type_id}")).ok()?, "device_api").ok();
        self.apis.entry((parent.to_owned(), type_id.to_owned())).or_insert_with(read).clone()
    }
}

/// Every device, ordered by parent and UUID. One that cannot be read is logged and left out.
pub(super) fn all(host: &Host, known: &mut KnownParents<'_>) -> Result<Vec<Device>> {
    let Some(dir) = open_devices(host)? else { return Ok(Vec::new()) };
    let mut uuids = Vec::new();
    let listed = dir.list(&mut |name, _| match parse_uuid(name) {
        Some(uuid) => uuids.push(uuid),
        None => log::warn!("{DEVICES}/{name}: left out, its name is not a UUID"),
    });
    listed.map_err(|errno| Error::io("list", DEVICES, errno))?;
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let facts = host.runtime.all();
    let mut devices = Vec::with_capacity(uuids.len());
    for uuid in &uuids {
        if let Some(syspath) = syspath(&*dir, uuid) {
            devices.extend(read(&*dir, uuid, syspath, facts.get(uuid), known)?);
        }
    }
    devices.sort_unstable_by(|a, b| (&a.parent, &a.uuid).cmp(&(&b.parent, &b.uuid)));
    Ok(devices)
}

/// The device of this UUID, where there is one.
pub(super) fn by_uuid(host: &Host, uuid: &Uuid) -> Result<Option<Device>> {
    let Some(dir) = open_devices(host)? else { return Ok(None) };
    on_bus(host, &*dir, uuid, &mut KnownParents::new(&*host.sysfs))
}

/// The same with the bus open already.
pub(super) fn on_bus(host: &Host, bus: &dyn Dir, uuid: &Uuid, known: &mut KnownParents<'_>) -> Result<Option<Device>> {
    let Some(syspath) = syspath(bus, uuid) else { return Ok(None) };
    let facts = host.runtime.get(uuid).unwrap_or_else(|e| {
        log::warn!("{e}");
        None
    });
    read(bus, uuid, syspath, facts.as_ref(), known)
}

/// The device of this name: the one its creator gave, or the one that every device has.
pub(super) fn by_name(host: &Host, name: &str) -> Result<Option<Device>> {
    if let Some(uuid) = generated_uuid(name) {
        let found = by_uuid(host, &uuid)?;
        return Ok(found.filter(|device| device.name == name || device_name(&uuid, &device.parent_sysname) == name));
    }
    let facts = host.runtime.all();
    let mut named = facts.values().filter(|facts| facts.name.as_deref() == Some(name));
    // A stale file may have the same name as a living device.
    Ok(named.find_map(|facts| by_uuid(host, &facts.uuid).ok().flatten().filter(|device| device.name == name)))
}

/// The UUID in `mdev_<uuid>_<parent>`.
pub(super) fn generated_uuid(name: &str) -> Option<Uuid> {
    let rest = name.strip_prefix("mdev_")?;
    let (uuid, parent) = rest.split_at_checked(36)?;
    if !(parent.is_empty() || parent.starts_with('_')) {
        return None;
    }
    parse_uuid(&uuid.replace('_', "-"))
}

pub(super) fn no_device(uuid: &Uuid) -> Error {
    let message = format!("there is no mediated device {uuid}; list the devices to see which there are");
    Error::new(ErrorCode::NoNode, Errno::NODEV, message)
}

/// `None` where the kernel has no mdev bus (yet).
pub(super) fn open_devices(host: &Host) -> Result<Option<Box<dyn Dir>>> {
    match host.sysfs.open(DEVICES) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::io("open", DEVICES, errno)),
    }
}

/// The inode number that tells this device from every other that had or will have its UUID.
pub(super) fn ino(bus: &dyn Dir, uuid: &Uuid) -> Option<u64> {
    bus.meta(&uuid.to_string()).ok().map(|meta| meta.ino)
}

/// Where a device is: its path.
pub(super) fn syspath(bus: &dyn Dir, uuid: &Uuid) -> Option<String> {
    resolve(bus.path(), &bus.link(&uuid.to_string()).ok()?)
}

fn read(
    bus: &dyn Dir,
    uuid: &Uuid,
    syspath: String,
    facts: Option<&Facts>,
    known: &mut KnownParents<'_>,
) -> Result<Option<Device>> {
    let name = uuid.to_string();
    let Some(parent) = known.at(dirname(&syspath))? else {
        log::warn!("{DEVICES}/{name}: left out, its parent cannot be read");
        return Ok(None);
    };
    let layout = layout::of_kind(parent.layout);
    let facts = facts.filter(|facts| bus.meta(&name).is_ok_and(|meta| facts.are_of(meta.ino)));
    let shown = link_name(bus, &format!("{name}/{}", layout.type_link()));
    if shown.is_none() && bus.open(&name).is_err() {
        log::warn!("{DEVICES}/{name}: left out, the link leads nowhere");
        return Ok(None);
    }
    if shown.is_none() && layout.has_iommu_group() {
        log::warn!("{syspath}: not ready yet, or broken: it has no {} link", layout.type_link());
    }
    let type_id = shown.or_else(|| facts.map(|facts| facts.type_id.clone()));
    let (group, params) = match facts {
        Some(facts) => (facts.group, facts.params.clone()),
        None if layout.shows_creation() => shown_creation(bus, &name),
        None => (None, None),
    };
    Ok(Some(Device {
        name: facts.and_then(|f| f.name.clone()).unwrap_or_else(|| device_name(uuid, &parent.sysname)),
        uuid: *uuid,
        parent: parent.name.clone(),
        parent_sysname: parent.sysname.clone(),
        layout: parent.layout,
        device_api: type_id.as_ref().and_then(|id| known.device_api(&parent.syspath, id)),
        type_id,
        iommu_group: link_name(bus, &format!("{name}/iommu_group")).and_then(|group| group.parse().ok()),
        numa_node: parent.numa_node,
        physical_function: parent.physical_function.clone(),
        driver: link_name(bus, &format!("{name}/driver")),
        group,
        params,
        owner: facts.and_then(|facts| facts.owner.clone()),
        attributes: facts.map(|facts| facts.attributes.clone()).unwrap_or_default(),
        active: true,
        syspath,
    }))
}

/// Group and parameters of a device that somebody else made, where the vendor shows them.
fn shown_creation(bus: &dyn Dir, name: &str) -> (Option<u32>, Option<String>) {
    let read = |file: &str| read_text(bus, &format!("{name}/{file}")).ok();
    let group = read("group").and_then(|text| text.trim().parse().ok()).filter(|group| *group != 0);
    (group, read("params").filter(|params| !params.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generated_names_have_a_uuid() {
        let uuid = parse_uuid("c60cc60c-c60c-c60c-c60c-c60cc60cc60c");
        assert_eq!(generated_uuid("mdev_c60cc60c_c60c_c60c_c60c_c60cc60cc60c_0000_06_00_0"), uuid);
        assert_eq!(generated_uuid("mdev_c60cc60c_c60c_c60c_c60c_c60cc60cc60c"), uuid);
        for name in ["mdev_", "my-vgpu", "mdev_c60cc60c_c60c_c60c_c60c_c60cc60cc60cx", "mdev_äääääääääääääääääääääää"]
        {
            assert_eq!(generated_uuid(name), None, "{name}");
        }
    }
}
