// SPDX-License-Identifier: LGPL-2.1-or-later
//! The mediated devices that exist, whoever made them.

use std::collections::HashMap;
use std::rc::Rc;

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use super::spots::{self, LazyFacts, Spot};
use crate::backend::places::{Place, link_name, or_reported, read_parent};
use crate::backend::vendor_vfio::vfs::present;
use crate::backend::{self, Layout};
use crate::error::{Error, ErrorCode, Result, shown as shown_text};
use crate::finding::{Finding, report, report_unless_exhausted};
use crate::model::name::{device_name, parse_uuid};
use crate::model::{Device, Function, Parent, group_in_text, group_numbers};
use crate::store::{Broken, Facts, Previous};
use crate::sysfs::{Dir, IoResult, Sysfs, basename, if_present, is_exhausted, read_text};

/// Why a group that may be in use and cannot be read fails an allocation.
const NO_FREE_GROUP: &str = "no group number is known to be free; name a group with <group>";

/// Parents that have been read once in this request, by path. Devices share them.
pub(super) struct KnownParents<'a> {
    sysfs: &'a dyn Sysfs,
    parents: HashMap<String, IoResult<Rc<Parent>>>,
    apis: HashMap<(String, String), Option<String>>,
}

impl<'a> KnownParents<'a> {
    pub(super) fn new(sysfs: &'a dyn Sysfs) -> Self {
        KnownParents { sysfs, parents: HashMap::new(), apis: HashMap::new() }
    }

    pub(super) fn add(&mut self, parent: &Parent) {
        for kind in &parent.types {
            self.apis.insert((parent.syspath.clone(), kind.id.clone()), kind.device_api().map(str::to_owned));
        }
        let bare = Parent { types: Vec::new(), ..parent.clone() };
        self.parents.insert(parent.syspath.clone(), Ok(Rc::new(bare)));
    }

    /// The parent at a place that is known already.
    pub(super) fn add_place(&mut self, place: &Place) {
        if !self.parents.contains_key(&place.syspath) {
            // A failure is remembered, and returned when a device of this parent is read.
            let _ = self.insert(&place.syspath, read_parent(self.sysfs, place, false));
        }
    }

    fn at(&mut self, syspath: &str) -> IoResult<Rc<Parent>> {
        match self.parents.get(syspath) {
            Some(known) => known.clone(),
            None => self.insert(syspath, self.read(syspath)),
        }
    }

    fn insert(&mut self, syspath: &str, read: IoResult<Parent>) -> IoResult<Rc<Parent>> {
        let read = read.map(Rc::new);
        self.parents.insert(syspath.to_owned(), read.clone());
        read
    }

    fn read(&self, syspath: &str) -> IoResult<Parent> {
        let subsystem = basename(&self.sysfs.open(syspath)?.link("subsystem")?).to_owned();
        read_parent(self.sysfs, &Place { syspath: syspath.to_owned(), subsystem }, false)
    }

    /// The VFs of a parent, when they have been read with it.
    pub(super) fn functions(&self, syspath: &str) -> Option<Vec<Function>> {
        let parent = self.parents.get(syspath)?.as_ref().ok()?;
        (!parent.functions.is_empty()).then(|| parent.functions.clone())
    }

    fn device_api(&mut self, layout: &dyn Layout, parent: &str, type_id: &str) -> Option<String> {
        let sysfs = self.sysfs;
        let read = || layout.device_api(sysfs, parent, type_id);
        self.apis.entry((parent.to_owned(), type_id.to_owned())).or_insert_with(read).clone()
    }
}

/// Every device, ordered by parent and UUID. One that cannot be read is logged and left out.
pub(super) fn all(host: &Host, known: &mut KnownParents<'_>) -> Result<Vec<Device>> {
    let facts = LazyFacts::new(host);
    let spots = spots::all(host, known, &facts)?;
    let mut devices = Vec::with_capacity(spots.len());
    for spot in &spots {
        devices.extend(read_listed(spot, facts.all()?.get(&spot.uuid), known)?);
    }
    devices.sort_unstable_by(|a, b| (&a.parent, &a.uuid).cmp(&(&b.parent, &b.uuid)));
    Ok(devices)
}

/// The device of this UUID, where there is one.
pub(super) fn by_uuid(host: &Host, uuid: &Uuid) -> Result<Option<Device>> {
    found(host, spots::find(host, uuid)?)
}

/// The device of this UUID, as [`spots::find_for`] finds it.
pub(super) fn by_uuid_for(host: &Host, uuid: &Uuid, parent: &str) -> Result<Option<Device>> {
    found(host, spots::find_for(host, uuid, parent)?)
}

fn found(host: &Host, spot: Option<Spot>) -> Result<Option<Device>> {
    spot.map_or(Ok(None), |spot| at(host, &spot, &mut KnownParents::new(&*host.sysfs)))
}

/// The device that was found. Without a record that can be read, it has no name and no owner.
pub(super) fn at(host: &Host, spot: &Spot, known: &mut KnownParents<'_>) -> Result<Option<Device>> {
    let facts = match spots::facts_of(host, &spot.uuid) {
        Ok(facts) => facts,
        Err(e) => {
            report_unless_exhausted(e)?;
            None
        }
    };
    read(spot, facts.as_ref(), known)
}

/// The device of this name: the one its creator gave, or the one that every device has.
pub(super) fn by_name(host: &Host, name: &str) -> Result<Option<Device>> {
    if name.starts_with('/') {
        return by_path(host, name);
    }
    if let Some(uuid) = generated_uuid(name) {
        let found = by_uuid(host, &uuid)?;
        return Ok(found.filter(|device| device.name == name || device_name(&uuid, &device.parent_sysname) == name));
    }
    let facts = spots::all_facts(host)?;
    let mut failed = None;
    for facts in facts.values().filter(|facts| facts.name.as_deref() == Some(name)) {
        match by_uuid(host, &facts.uuid) {
            // A stale file may have the same name as a living device.
            Ok(device) if device.as_ref().is_none_or(|device| device.name != name) => {}
            Err(e) if !is_exhausted(e.errno()) => failed = Some(e),
            found => return found,
        }
    }
    // A device that cannot be read may be the device of this name.
    failed.map_or(Ok(None), Err)
}

/// The device to whose folder a path leads, also through links. The last component is the UUID.
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

/// The device that is the VF `vf` of the PF at `place`; `None` if the VF is no device.
pub(super) fn on_vf(host: &Host, place: &Place, vf: &str) -> Result<Option<Device>> {
    let failed = |errno| Error::io("read", &place.syspath, errno);
    let dir: Rc<dyn Dir> = Rc::from(host.sysfs.open(&place.syspath).map_err(failed)?);
    let all = present(&*dir).map_err(failed)?;
    let Some(function) = all.into_iter().find(|function| function.sysname == vf) else { return Ok(None) };
    found(host, spots::of_function(&dir, &function, &LazyFacts::new(host))?)
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

/// The same for a list, which leaves out a device that cannot be read and reports it.
pub(super) fn read_listed(spot: &Spot, facts: Option<&Facts>, known: &mut KnownParents<'_>) -> Result<Option<Device>> {
    match read(spot, facts, known) {
        Err(e) => report_unless_exhausted(e).map(|()| None),
        device => device,
    }
}

/// The facts, if they are about the device that was found. It is shown without them, and reported, if that cannot be determined.
fn recorded<'f>(
    sysfs: &dyn Sysfs,
    spot: &Spot,
    layout: &dyn Layout,
    facts: Option<&'f Facts>,
) -> Result<Option<&'f Facts>> {
    let Some(facts) = facts else { return Ok(None) };
    match spots::is_recorded(sysfs, spot, layout, facts) {
        Ok(is_recorded) => Ok(is_recorded.then_some(facts)),
        Err(e) => report_unless_exhausted(e.of(&format!("device {}", spot.uuid))).map(|()| None),
    }
}

/// The device that was found, with what is remembered of it.
pub(super) fn read(spot: &Spot, facts: Option<&Facts>, known: &mut KnownParents<'_>) -> Result<Option<Device>> {
    let (dir, entry) = (&*spot.dir, spot.entry.as_str());
    let failed = |errno| Error::io("read", &spot.syspath, errno);
    let parent = match if_present(known.at(&spot.parent)) {
        Ok(Some(parent)) => parent,
        Ok(None) => {
            report(Finding::new(ErrorCode::NoParent, &spot.syspath, "left out, its parent no longer exists"));
            return Ok(None);
        }
        Err(errno) => return Err(Error::io("read the parent of", &spot.syspath, errno)),
    };
    let layout = backend::of_kind(parent.layout);
    let facts = recorded(known.sysfs, spot, layout, facts)?;
    let shown = match &spot.seen {
        Some(seen) => Some(seen.type_id.clone()),
        None => layout.type_of(dir, entry).map_err(failed)?,
    };
    if shown.is_none() && if_present(dir.open(entry)).map_err(failed)?.is_none() {
        let what = "left out, it no longer exists or its link leads nowhere";
        report(Finding::new(ErrorCode::BadData, &spot.syspath, what));
        return Ok(None);
    }
    if shown.is_none() && layout.has_iommu_group() {
        let what = "its type is unknown: it has no type link; it is not ready yet, or broken";
        report(Finding::new(ErrorCode::NotReady, &spot.syspath, what));
    }
    let type_id = shown.or_else(|| facts.map(|facts| facts.type_id.clone()));
    let shown_file = |file| {
        let name = format!("{entry}/{file}");
        match read_text(dir, &name) {
            _ if !layout.shows_creation() => Ok(None),
            // Some drivers let only root read it.
            Err(Errno::ACCESS) => Ok(None),
            read => or_reported(dir, &name, if_present(read)).map_err(failed),
        }
    };
    // The file is right and the record is not, since the file can be written after the device was made.
    let recorded_group = facts.and_then(|facts| facts.group);
    let group = shown_file("group")?.map_or(recorded_group, |text| group_in_text(&text, recorded_group));
    let params = match facts {
        Some(facts) => facts.params.clone(),
        None => shown_file("params")?.filter(|params| !params.is_empty()),
    };
    let physical_function = match layout.is_function() {
        true => Some(parent.name.clone()),
        false => parent.physical_function.clone(),
    };
    let link = format!("{entry}/iommu_group");
    let group_link = link_name(dir, &link);
    if group_link == Ok(None) && type_id.is_some() && layout.has_iommu_group() {
        let what = "it has no IOMMU group, so no guest can use it";
        report(Finding::new(ErrorCode::NotReady, &spot.syspath, what));
    }
    let group_name = or_reported(dir, &link, group_link).map_err(failed)?;
    let iommu_group = group_name.as_deref().and_then(|name| name.parse().ok());
    if let Some(name) = group_name.filter(|_| iommu_group.is_none()) {
        let what = format!("its IOMMU group '{}' is not a number, so no guest can use it", shown_text(&name));
        report(Finding::new(ErrorCode::BadData, &spot.syspath, what));
    }
    let link = format!("{entry}/driver");
    let driver = or_reported(dir, &link, link_name(dir, &link)).map_err(failed)?;
    Ok(Some(Device {
        name: facts.and_then(|f| f.name.clone()).unwrap_or_else(|| device_name(&spot.uuid, &parent.sysname)),
        uuid: spot.uuid,
        parent: parent.name.clone(),
        parent_sysname: parent.sysname.clone(),
        layout: parent.layout,
        device_api: type_id.as_ref().and_then(|id| known.device_api(layout, &parent.syspath, id)),
        type_id,
        iommu_group,
        numa_node: parent.numa_node,
        physical_function,
        driver,
        group,
        params,
        owner: facts.and_then(|facts| facts.owner.clone()),
        attributes: facts.map(|facts| facts.attributes.clone()).unwrap_or_default(),
        mark: match &spot.seen {
            Some(_) => facts.and_then(|facts| facts.mark),
            None => Some(spot.mark()),
        },
        active: true,
        syspath: spot.syspath.clone(),
    }))
}

/// The group numbers of definitions, whose devices may be started at any time. Fails if a definition cannot be used: its device may
/// have any group.
pub(super) fn defined_groups(host: &Host) -> Result<Vec<u32>> {
    let hinted = |e: Error| e.hint(NO_FREE_GROUP);
    let (mut definitions, broken) = host.definitions.all_and_broken().map_err(hinted)?;
    for Broken { parent, uuid, error } in broken {
        // mdevctl writes in place, so the file may be complete in some milliseconds.
        let previous = uuid.map(|uuid| host.definitions.previous(&parent, &uuid)).transpose().map_err(hinted)?;
        match previous {
            Some(Previous::Definition(complete)) => definitions.push(complete),
            Some(Previous::Nothing) => {}
            Some(Previous::Broken) | None => return Err(hinted(error)),
        }
    }
    Ok(definitions.iter().flat_map(|one| group_numbers(one.group, &one.attributes)).collect())
}

/// The groups that drivers show, including the groups of devices that other programs made. Fails if the group of a device cannot
/// be read: it may be any number.
pub(super) fn shown_groups(host: &Host) -> Result<Vec<u32>> {
    let Some(bus) = spots::open_devices(host)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    bus.list(&mut |name, _| names.push(name.to_owned())).map_err(|errno| Error::io("list", bus.path(), errno))?;
    let mut groups = Vec::new();
    for name in names {
        let file = format!("{name}/group");
        // Most drivers have no such file.
        let text = if_present(read_text(&*bus, &file))
            .map_err(|errno| Error::io("read", &format!("{}/{file}", bus.path()), errno).hint(NO_FREE_GROUP))?;
        groups.extend(text.and_then(|text| group_in_text(&text, None)));
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
