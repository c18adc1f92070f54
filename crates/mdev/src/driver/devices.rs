// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds and reads the mediated devices that exist, also the devices of other programs.

use std::collections::BTreeSet;

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use super::open_device::OpenDevice;
use crate::backend::parents::{ParentCache, link_name, or_reported};
use crate::backend::{Folders, Layout, Located, device_folders, devices};
use crate::error::{Error, ErrorCode, Result, shown as shown_text};
use crate::finding::{Finding, report, report_unless_exhausted};
use crate::model::name::{device_name, parse_uuid};
use crate::model::{Device, group_in_text, group_numbers};
use crate::store::{Broken, DeviceRecord, Previous};
use crate::sysfs::{Sysfs, basename, if_present, names, read_text, unless_exhausted};

/// The end of the error if a group number cannot be allocated because a group that may be in use cannot be read.
const NO_FREE_GROUP: &str = "no group number is known to be free; name a group with <group>";

/// Returns every device, ordered by parent and UUID. Reports and leaves out a device that cannot be read.
pub(super) fn all(host: &Host, known: &mut ParentCache<'_>) -> Result<Vec<Device>> {
    let records = host.runtime.records();
    let found = devices::all(&*host.sysfs, &records, known)?;
    let mut all = Vec::with_capacity(found.len());
    for device in &found {
        all.extend(read_listed(device, records.all()?.get(&device.uuid), known)?);
    }
    all.sort_unstable_by(|a, b| (&a.parent, &a.uuid).cmp(&(&b.parent, &b.uuid)));
    Ok(all)
}

/// Locates the device of this UUID. If it is not found, an object that cannot be read and may be the device is an error.
pub(super) fn locate(host: &Host, uuid: &Uuid) -> Result<Option<Located>> {
    devices::locate(&Folders::new(&*host.sysfs), &host.runtime.records(), uuid, None)
}

/// Locates as [`locate`] does, but only an unreadable object on the parent or VF with the sysfs name `near` is an error.
pub(super) fn locate_near(host: &Host, uuid: &Uuid, near: &str) -> Result<Option<Located>> {
    locate_in(&Folders::new(&*host.sysfs), host, uuid, near)
}

/// Locates as [`locate_near`] does, with the open folders of the request.
pub(super) fn locate_in(folders: &Folders<'_>, host: &Host, uuid: &Uuid, near: &str) -> Result<Option<Located>> {
    devices::locate(folders, &host.runtime.records(), uuid, Some(near))
}

/// Returns the device of this UUID; `None` if there is none.
pub(super) fn by_uuid(host: &Host, uuid: &Uuid) -> Result<Option<Device>> {
    found(host, locate(host, uuid)?)
}

/// Returns the device of this UUID, as [`locate_near`] finds it.
pub(super) fn by_uuid_near(host: &Host, uuid: &Uuid, parent: &str) -> Result<Option<Device>> {
    found(host, locate_near(host, uuid, parent)?)
}

fn found(host: &Host, found: Option<Located>) -> Result<Option<Device>> {
    found.map_or(Ok(None), |found| read_located(host, &found, &mut ParentCache::new(&*host.sysfs)))
}

/// Reads a located device. If its record cannot be read, the device has no name and no owner.
pub(super) fn read_located(host: &Host, found: &Located, known: &mut ParentCache<'_>) -> Result<Option<Device>> {
    read(found, record_of(host, &found.uuid)?.as_ref(), known)
}

/// Returns the record of a UUID. Reports a record that cannot be read.
fn record_of(host: &Host, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
    host.runtime.records().get(uuid).or_else(|e| report_unless_exhausted(e).map(|()| None))
}

/// True if the folder of the device exists: a link on the bus may have no target.
pub(super) fn has_folder(found: &Located) -> Result<bool> {
    let folder = if_present(found.dir.open(&found.entry));
    Ok(folder.map_err(|errno| Error::io("open", &found.syspath, errno))?.is_some())
}

/// Returns the type of a device from sysfs, or from its record if sysfs does not show the type.
pub(super) fn type_of(host: &Host, OpenDevice { device, parent }: &OpenDevice) -> Result<Option<String>> {
    let shown = match &device.type_id {
        Some(type_id) => Ok(Some(type_id.clone())),
        None => device.backend.type_of(parent.layout, &*device.dir, &device.entry),
    };
    if let Some(type_id) = shown.map_err(|errno| Error::io("read", &device.syspath, errno))? {
        return Ok(Some(type_id));
    }
    let record = record_of(host, &device.uuid)?;
    let own = recorded(&*host.sysfs, device, parent.layout, record.as_ref())?;
    Ok(own.map(|record| record.type_id.clone()))
}

/// Returns the device of this name: the name from its creator, or the generated name.
pub(super) fn by_name(host: &Host, name: &str) -> Result<Option<Device>> {
    if name.starts_with('/') {
        return by_path(host, name);
    }
    if let Some(uuid) = generated_uuid(name) {
        let found = by_uuid(host, &uuid)?;
        return Ok(found.filter(|device| device.name == name || device_name(&uuid, &device.parent_sysname) == name));
    }
    let records = host.runtime.all()?;
    let mut failed = None;
    for record in records.values().filter(|record| record.name.as_deref() == Some(name)) {
        match by_uuid(host, &record.uuid) {
            // A stale record may have the name of another device that exists.
            Ok(device) if device.as_ref().is_none_or(|device| device.name != name) => {}
            Err(e) => failed = Some(unless_exhausted(e)?),
            found => return found,
        }
    }
    // A device that cannot be read may be the device of this name.
    failed.map_or(Ok(None), Err)
}

/// Returns the device of a path in sysfs, which may contain links. The last component is the UUID.
pub(super) fn by_path(host: &Host, path: &str) -> Result<Option<Device>> {
    let path = path.trim_end_matches('/');
    let Some(uuid) = parse_uuid(basename(path)) else { return Ok(None) };
    let ino = |path: &str| {
        let ino = if_present(host.sysfs.open(path).and_then(|dir| dir.ino()));
        ino.map_err(|errno| Error::io("open", path, errno))
    };
    let Some(wanted) = ino(path)? else { return Ok(None) };
    let Some(device) = by_uuid(host, &uuid)? else { return Ok(None) };
    Ok((ino(&device.syspath)? == Some(wanted)).then_some(device))
}

/// Returns the device on the VF with this sysfs name; `None` if the VF is free.
pub(super) fn on_slot(host: &Host, slot: &str) -> Result<Option<Device>> {
    found(host, devices::locate_at(&*host.sysfs, &host.runtime.records(), slot)?)
}

/// Returns the UUID in a generated name: `mdev_<uuid>_<parent>`.
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

/// Reads a device for a list. Reports and leaves out a device that cannot be read.
pub(super) fn read_listed(
    found: &Located,
    record: Option<&DeviceRecord>,
    known: &mut ParentCache<'_>,
) -> Result<Option<Device>> {
    match read(found, record, known) {
        Err(e) => report_unless_exhausted(e).map(|()| None),
        device => device,
    }
}

/// Returns the record, if it is about the located device. If this cannot be determined, reports that and returns `None`.
fn recorded<'r>(
    sysfs: &dyn Sysfs,
    found: &Located,
    layout: &Layout,
    record: Option<&'r DeviceRecord>,
) -> Result<Option<&'r DeviceRecord>> {
    let Some(record) = record else { return Ok(None) };
    match found.backend.is_about(sysfs, layout, found, record) {
        Ok(is_about) => Ok(is_about.then_some(record)),
        Err(e) => report_unless_exhausted(e.of(&format!("device {}", found.uuid))).map(|()| None),
    }
}

/// Reads a located device, with the data in its record. Reports a device that no longer exists and returns `None`.
pub(super) fn read(
    found: &Located,
    record: Option<&DeviceRecord>,
    known: &mut ParentCache<'_>,
) -> Result<Option<Device>> {
    let (dir, entry) = (&*found.dir, found.entry.as_str());
    let failed = |errno| Error::io("read", &found.syspath, errno);
    let parent = match if_present(known.parent(found)) {
        Ok(Some(parent)) => parent,
        Ok(None) => {
            report(Finding::new(ErrorCode::NoParent, &found.syspath, "left out, its parent no longer exists"));
            return Ok(None);
        }
        Err(errno) => return Err(Error::io("read the parent of", &found.syspath, errno)),
    };
    let layout = parent.layout;
    let record = recorded(known.sysfs(), found, layout, record)?;
    let shown = match &found.type_id {
        Some(type_id) => Some(type_id.clone()),
        None => found.backend.type_of(layout, dir, entry).map_err(failed)?,
    };
    if shown.is_none() && if_present(dir.open(entry)).map_err(failed)?.is_none() {
        let what = "left out, it no longer exists or its link has no target";
        report(Finding::new(ErrorCode::BadData, &found.syspath, what));
        return Ok(None);
    }
    if shown.is_none() && layout.has_iommu_group {
        let what = "its type is unknown: it has no type link; it is not ready yet, or broken";
        report(Finding::new(ErrorCode::NotReady, &found.syspath, what));
    }
    let type_id = shown.or_else(|| record.map(|record| record.type_id.clone()));
    let (group, params) = created_with(found, layout, record)?;
    let link = format!("{entry}/driver");
    let driver = or_reported(dir, &link, link_name(dir, &link)).map_err(failed)?;
    let base = parent.device(found.uuid, Some(found.sysname()));
    let api = type_id.as_ref().map(|id| known.device_api(layout, &found.parent, id));
    Ok(Some(Device {
        name: record.and_then(|record| record.name.clone()).unwrap_or(base.name),
        device_api: api.transpose().map_err(failed)?.flatten(),
        iommu_group: iommu_group(found, layout, type_id.is_some())?,
        type_id,
        driver,
        group,
        params,
        owner: record.and_then(|record| record.owner.clone()),
        attributes: record.map(|record| record.attributes.clone()).unwrap_or_default(),
        identity: match layout.keeps_identity {
            true => Some(found.identity),
            false => record.and_then(|record| record.identity),
        },
        active: true,
        syspath: found.syspath.clone(),
        ..base
    }))
}

/// Returns the group and the parameters of a device, from its files or its record.
fn created_with(
    found: &Located,
    layout: &Layout,
    record: Option<&DeviceRecord>,
) -> Result<(Option<u32>, Option<String>)> {
    let dir = &*found.dir;
    let shown_file = |file| {
        let name = format!("{}/{file}", found.entry);
        if !layout.shows_creation {
            return Ok(None);
        }
        match read_text(dir, &name) {
            // With some drivers, only root can read the file.
            Err(Errno::ACCESS) => Ok(None),
            read => or_reported(dir, &name, if_present(read)).map_err(|errno| Error::io("read", &found.syspath, errno)),
        }
    };
    // The file has priority over the record, since the file can be written after the device was created.
    let recorded_group = record.and_then(|record| record.group);
    let group = shown_file("group")?.map_or(recorded_group, |text| group_in_text(&text, recorded_group));
    let params = match record {
        Some(record) => record.params.clone(),
        None => shown_file("params")?.filter(|params| !params.is_empty()),
    };
    Ok((group, params))
}

/// Returns whether the device has all links that devices of its layout always have.
pub(super) fn is_ready(layout: &Layout, device: &Device) -> bool {
    let typed = device.type_id.is_some() || !layout.shows_type;
    typed && (device.iommu_group.is_some() || !layout.has_iommu_group)
}

/// Returns the IOMMU group of a device. Reports a device without an IOMMU group, since no guest can use it.
fn iommu_group(found: &Located, layout: &Layout, has_type: bool) -> Result<Option<u32>> {
    let (dir, link) = (&*found.dir, format!("{}/iommu_group", found.entry));
    let name = link_name(dir, &link);
    if name == Ok(None) && has_type && layout.has_iommu_group {
        let what = "it has no IOMMU group, so no guest can use it";
        report(Finding::new(ErrorCode::NotReady, &found.syspath, what));
    }
    let name = or_reported(dir, &link, name).map_err(|errno| Error::io("read", &found.syspath, errno))?;
    let group = name.as_deref().and_then(|name| name.parse().ok());
    if let Some(name) = name.filter(|_| group.is_none()) {
        let what = format!("its IOMMU group '{}' is not a number, so no guest can use it", shown_text(&name));
        report(Finding::new(ErrorCode::BadData, &found.syspath, what));
    }
    Ok(group)
}

/// Returns the group numbers of definitions, whose devices may be started at any time. Fails if a definition is unusable: its
/// device may have any group.
pub(super) fn groups_of_definitions(host: &Host) -> Result<Vec<u32>> {
    let hinted = |e: Error| e.hint(NO_FREE_GROUP);
    let (mut definitions, broken) = host.definitions.all_and_broken().map_err(hinted)?;
    for Broken { parent, uuid, error } in broken {
        // mdevctl writes the file in place, so it may be complete a few milliseconds later.
        let previous = uuid.map(|uuid| host.definitions.previous(&parent, &uuid)).transpose().map_err(hinted)?;
        match previous {
            Some(Previous::Definition(complete)) => definitions.push(complete),
            Some(Previous::Nothing) => {}
            Some(Previous::Broken) | None => return Err(hinted(error)),
        }
    }
    Ok(definitions.iter().flat_map(|one| group_numbers(one.group, &one.attributes)).collect())
}

/// Returns the group numbers in sysfs, including the groups of devices that other programs created. Fails if the group of a device
/// cannot be read: it may be any number.
pub(super) fn groups_in_sysfs(host: &Host) -> Result<Vec<u32>> {
    let mut groups = Vec::new();
    for folder in device_folders() {
        let opened = if_present(host.sysfs.open(folder)).map_err(|errno| Error::io("open", folder, errno))?;
        let Some(dir) = opened else { continue };
        let mut entries = BTreeSet::new();
        names(&*dir, &mut entries).map_err(|errno| Error::io("list", folder, errno))?;
        for entry in entries {
            let file = format!("{entry}/group");
            // Most drivers have no such file.
            let text = if_present(read_text(&*dir, &file))
                .map_err(|errno| Error::io("read", &format!("{folder}/{file}"), errno).hint(NO_FREE_GROUP))?;
            groups.extend(text.and_then(|text| group_in_text(&text, None)));
        }
    }
    Ok(groups)
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
