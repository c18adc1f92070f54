// SPDX-License-Identifier: LGPL-2.1-or-later
//! Where devices are: on the mdev bus by UUID, or as VFs of a PF, which the kernel does not know by UUID.
//!
//! The UUID of a VF is the one that its creator remembered, as long as the VF still has the type and the mark that it had
//! then; any other VF with a type was given it by somebody else, and has a UUID made of its address and type.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use super::devices::KnownParents;
use super::dump::FACTS;
use super::vfio::Nodes;
use crate::backend::vendor_vfio::vfs::{self, PCI, Searched, current, present, stranger_uuid};
use crate::backend::{self, DEVICES, Layout, places};
use crate::error::{Error, ErrorCode, Result, describe, unless_absent};
use crate::finding::{Finding, report, report_unless_exhausted, search_where};
use crate::model::name::parse_uuid;
use crate::model::{Function, LayoutKind};
use crate::store::{Facts, is_invalid_record, report_record};
use crate::sysfs::{Birth, Dir, IoResult, Sysfs, basename, dirname, if_present, is_absent, is_exhausted, resolve};

/// One device, before anything is read of it.
pub(super) struct Spot {
    pub(super) uuid: Uuid,
    /// The folder of its parent.
    pub(super) parent: String,
    /// Its own.
    pub(super) syspath: String,
    /// An open folder that has it: the mdev bus, or the PF.
    pub(super) dir: Rc<dyn Dir>,
    /// Its name there, which is the one that it has below its parent as well.
    pub(super) entry: String,
    /// On the mdev bus: the inode number of its link.
    ino: u64,
    /// Its layout, where that is known without a look at the parent.
    layout: Option<&'static dyn Layout>,
    /// Of a VF: what it was when it was found to be this device.
    pub(super) seen: Option<Seen>,
}

impl Spot {
    /// The mark that distinguished this device from every other when it was found.
    pub(super) fn mark(&self) -> u64 {
        self.seen.as_ref().map_or(self.ino, |seen| seen.mark)
    }

    /// Layout and open folder of the device's parent.
    pub(super) fn open_parent(&self, host: &Host) -> Result<(&'static dyn Layout, Box<dyn Dir>)> {
        match self.layout {
            Some(layout) => {
                let open = host.sysfs.open(&self.parent);
                Ok((layout, open.map_err(|errno| Error::io("open", &self.parent, errno))?))
            }
            None => backend::open_parent(&*host.sysfs, &self.parent),
        }
    }
}

/// What a VF was when it was found to be a device.
pub(super) struct Seen {
    pub(super) type_id: String,
    pub(super) mark: u64,
}

/// Records of all devices, read when first needed: after the VFs that they are compared with, since a creator first writes the
/// record of a device.
pub(super) struct LazyFacts<'a> {
    host: &'a Host,
    all: OnceCell<HashMap<Uuid, Facts>>,
}

impl<'a> LazyFacts<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        LazyFacts { host, all: OnceCell::new() }
    }

    /// A record that cannot be read is reported and left out.
    pub(super) fn all(&self) -> Result<&HashMap<Uuid, Facts>> {
        if let Some(all) = self.all.get() {
            return Ok(all);
        }
        let all = all_facts(self.host)?;
        Ok(self.all.get_or_init(|| all))
    }

    /// The UUID of the device that a VF is, as every list shows it.
    pub(super) fn identify(&self, vf: &str, seen: &Seen) -> Result<Uuid> {
        Ok(identify(vf, seen, self.all()?.values()))
    }
}

/// The facts of all devices.
pub(super) fn all_facts(host: &Host) -> Result<HashMap<Uuid, Facts>> {
    host.runtime.all()
}

/// The record of one device. An invalid record is reported and is about no device. Fails if the record cannot be read.
pub(super) fn facts_of(host: &Host, uuid: &Uuid) -> Result<Option<Facts>> {
    match host.runtime.get(uuid) {
        Err(e) if is_invalid_record(&e) => {
            report_record(&e);
            Ok(None)
        }
        result => result,
    }
}

/// Every device on the mdev bus and on every PF.
pub(super) fn all(host: &Host, known: &KnownParents<'_>, facts: &LazyFacts<'_>) -> Result<Vec<Spot>> {
    let mut spots = match open_devices(host) {
        Ok(Some(bus)) => all_on_bus(&bus)?,
        Ok(None) => Vec::new(),
        // It must not hide the parents, nor the devices elsewhere.
        Err(e) => {
            report_unless_exhausted(e)?;
            Vec::new()
        }
    };
    for used in used_vfs(host, known)? {
        spots.extend(identified(used, facts)?);
    }
    Ok(spots)
}

/// A VF that has a type.
struct UsedVf {
    /// The PF.
    dir: Rc<dyn Dir>,
    vf: Function,
    seen: Seen,
}

/// Every VF that has a type. One that cannot be read is reported and left out.
fn used_vfs(host: &Host, known: &KnownParents<'_>) -> Result<Vec<UsedVf>> {
    let mut used = Vec::new();
    for place in places::physical_functions(&*host.sysfs)? {
        let read = || {
            let dir: Rc<dyn Dir> = Rc::from(host.sysfs.open(&place.syspath)?);
            let own = known.functions(&place.syspath).map_or_else(|| vfs::functions(&*dir), Ok)?;
            Ok((dir, own))
        };
        let (dir, own) = match read() {
            Ok(found) => found,
            Err(errno) if is_exhausted(errno) => return Err(Error::io("read the VFs of", &place.syspath, errno)),
            Err(errno) => {
                report(Finding::io(&place.syspath, "its VFs cannot be read, so its devices are left out", errno));
                continue;
            }
        };
        for vf in own {
            let seen = see_listed(&dir, &vf)?;
            used.extend(seen.map(|seen| UsedVf { dir: Rc::clone(&dir), vf, seen }));
        }
    }
    Ok(used)
}

/// The device on a VF of the open PF, if the VF has a type. `facts` must be read after the VF. Fails if the VF cannot
/// be read, since it may have a device.
pub(super) fn of_function(dir: &Rc<dyn Dir>, function: &Function, facts: &LazyFacts<'_>) -> Result<Option<Spot>> {
    let entry = &function.entry;
    let failed = |errno| Error::io("look at", &format!("{}/{entry}", dir.path()), errno);
    let Some(seen) = if_present(see(&**dir, entry)).map_err(failed)?.flatten() else { return Ok(None) };
    let uuid = facts.identify(&function.sysname, &seen)?;
    if_present(spot_of(dir, entry, uuid, seen)).map_err(failed)
}

/// What a VF that had a type when it was listed is now.
fn see_listed(dir: &Rc<dyn Dir>, function: &Function) -> Result<Option<Seen>> {
    if function.type_id.is_none() {
        return Ok(None);
    }
    match see(&**dir, &function.entry) {
        Err(errno) if is_exhausted(errno) => {
            Err(Error::io("look at", &format!("{}/{}", dir.path(), function.entry), errno))
        }
        Err(errno) => {
            report(vf_left_out(&**dir, function, errno));
            Ok(None)
        }
        Ok(seen) => Ok(seen),
    }
}

fn identified(used: UsedVf, facts: &LazyFacts<'_>) -> Result<Option<Spot>> {
    let UsedVf { dir, vf, seen } = used;
    let uuid = facts.identify(&vf.sysname, &seen)?;
    let spot = spot_of(&dir, &vf.entry, uuid, seen);
    Ok(spot.map_err(|errno| report(vf_left_out(&*dir, &vf, errno))).ok())
}

fn vf_left_out(pf: &dyn Dir, function: &Function, errno: Errno) -> Finding {
    Finding::io(format!("{}/{}", pf.path(), function.entry), "left out", errno)
}

/// What the VF under this name is now, when it is anything. The mark comes first: who takes the VF over sets it before the
/// type, so that a type that belongs to another has another mark as well when it is looked at again.
fn see(dir: &dyn Dir, entry: &str) -> IoResult<Option<Seen>> {
    let mark = vendor().mark(dir, entry)?;
    Ok(current(dir, entry)?.map(|type_id| Seen { type_id, mark }))
}

fn all_on_bus(bus: &Rc<dyn Dir>) -> Result<Vec<Spot>> {
    let mut uuids = Vec::new();
    let listed = bus.list(&mut |name, _| match parse_uuid(name) {
        Some(uuid) => uuids.push(uuid),
        None => {
            let entry = format!("{DEVICES}/{name}");
            report(Finding::new(ErrorCode::BadData, entry, "left out, its name is not a UUID"));
        }
    });
    match listed {
        Err(errno) if is_exhausted(errno) => return Err(Error::io("list", DEVICES, errno)),
        Err(errno) => {
            report(Finding::io(DEVICES, "it cannot be listed to its end", errno));
        }
        Ok(()) => {}
    }
    let mut spots = Vec::with_capacity(uuids.len());
    for uuid in uuids {
        match on_bus(bus, &uuid) {
            Ok(spot) => spots.extend(spot),
            Err(errno) if is_exhausted(errno) => return Err(bus_error(&uuid, errno)),
            Err(errno) => report(Finding::io(format!("{DEVICES}/{uuid}"), "left out", errno)),
        }
    }
    Ok(spots)
}

/// The device of this UUID, where there is one.
pub(super) fn find(host: &Host, uuid: &Uuid) -> Result<Option<Spot>> {
    find_where(host, uuid, |finding| may_hide_vf(host, finding))
}

/// Finds the device of this UUID, on any parent. An unreadable object is an error only on the parent or VF of this
/// sysfs name; elsewhere it is only reported.
pub(super) fn find_for(host: &Host, uuid: &Uuid, parent: &str) -> Result<Option<Spot>> {
    // The parent, or the PF of the VF; looked up only if an object could not be read.
    let place = OnceCell::new();
    let find_place =
        || unless_absent(places::find_target(&*host.sysfs, parent)).map(|found| found.map(|target| target.place));
    find_where(host, uuid, |finding| {
        let is_below =
            |path: &str| finding.object.strip_prefix(path).is_some_and(|at| at.is_empty() || at.starts_with('/'));
        may_hide_vf(host, finding)
            && match place.get_or_init(find_place) {
                Ok(Some(place)) => is_below(&place.syspath) || is_below(&format!("{PCI}/{}", place.sysname())),
                Ok(None) => false,
                Err(_) => true,
            }
    })
}

/// Whether an object that was left out may be a VF, or a PF with VFs. False for a PCI device that has no VFs.
fn may_hide_vf(host: &Host, finding: &Finding) -> bool {
    let first_vf = |pf: &str| if_present(host.sysfs.open(PCI).and_then(|pci| pci.meta(&format!("{pf}/virtfn0"))));
    match vfs::searched(&finding.object) {
        Searched::AllPci | Searched::Other => true,
        Searched::Pci(entry) => !matches!(first_vf(entry), Ok(None)),
        Searched::Software => false,
    }
}

/// Finds the device of this UUID. If none is found, fails with the first finding that `may_be` selects: that object may
/// be it.
fn find_where(host: &Host, uuid: &Uuid, may_be: impl FnMut(&Finding) -> bool) -> Result<Option<Spot>> {
    if let Some(bus) = open_devices(host)? {
        if let Some(spot) = on_bus(&bus, uuid).map_err(|errno| bus_error(uuid, errno))? {
            return Ok(Some(spot));
        }
    }
    let remembered = facts_of(host, uuid)?;
    if let Some(facts) = remembered.filter(|facts| facts.function.is_some()) {
        if let Some(spot) = on_function(host, &facts)? {
            return Ok(Some(spot));
        }
    }
    // Only a UUID of this version can be the derived UUID of a VF that has no record.
    if uuid.get_version_num() != 5 {
        return Ok(None);
    }
    let mut used = Vec::new();
    let unread = search_where(may_be, || {
        used = used_vfs(host, &KnownParents::new(&*host.sysfs))?;
        Ok(None)
    });
    // The records are no part of that search: one that cannot be read hides no derived UUID.
    let facts = LazyFacts::new(host);
    for UsedVf { dir, vf, seen } in used {
        if facts.identify(&vf.sysname, &seen)? == *uuid {
            let spot = spot_of(&dir, &vf.entry, *uuid, seen);
            let path = || format!("{}/{}", dir.path(), vf.entry);
            return if_present(spot).map_err(|errno| Error::io("look at", &path(), errno));
        }
    }
    unread
}

/// The device of this UUID on the open mdev bus.
pub(super) fn on_bus(bus: &Rc<dyn Dir>, uuid: &Uuid) -> IoResult<Option<Spot>> {
    // The mark comes first: the path of a later device of this UUID then has a mark that is no longer valid.
    let Some(ino) = bus_mark(&**bus, uuid)? else { return Ok(None) };
    let entry = uuid.to_string();
    let Some(target) = if_present(bus.link(&entry))? else { return Ok(None) };
    let syspath = resolve(bus.path(), &target).ok_or(Errno::NOENT)?;
    let parent = dirname(&syspath).to_owned();
    Ok(Some(Spot { uuid: *uuid, parent, syspath, dir: Rc::clone(bus), entry, ino, layout: None, seen: None }))
}

/// The error for a device on the mdev bus that cannot be looked up.
pub(super) fn bus_error(uuid: &Uuid, errno: Errno) -> Error {
    Error::io("look for the device", &format!("{DEVICES}/{uuid}"), errno)
}

/// The device that these facts are about, when they are about a VF and it is still that device. Not to be able to tell is
/// an error: a device whose VF cannot be read is not gone.
fn on_function(host: &Host, facts: &Facts) -> Result<Option<Spot>> {
    let vf = facts.function.as_deref().unwrap_or_default();
    let failed = |errno| Error::io("look for the device on", &format!("{PCI}/{vf}"), errno);
    let Some(mark) = mark_of(host, facts).map_err(failed)?.filter(|mark| facts.are_of(*mark)) else { return Ok(None) };
    let seen = Seen { type_id: facts.type_id.clone(), mark };
    let find = || {
        let dir: Rc<dyn Dir> = Rc::from(open_pf(host, vf)?);
        let found = present(&*dir)?.into_iter().find(|function| function.sysname == vf);
        found.map(|function| spot_of(&dir, &function.entry, facts.uuid, seen)).transpose()
    };
    // Absent: the VF was removed after its mark was read.
    Ok(if_present(find()).map_err(failed)?.flatten())
}

/// The PF that a VF is one of.
pub(super) fn open_pf(host: &Host, vf: &str) -> IoResult<Box<dyn Dir>> {
    let pci = host.sysfs.open(PCI)?;
    let own = resolve(PCI, &pci.link(vf)?).ok_or(Errno::NOENT)?;
    let parent = resolve(&own, &pci.link(&format!("{vf}/physfn"))?).ok_or(Errno::NOENT)?;
    host.sysfs.open(&parent)
}

/// `dir` is the PF.
fn spot_of(dir: &Rc<dyn Dir>, entry: &str, uuid: Uuid, seen: Seen) -> IoResult<Spot> {
    let syspath = resolve(dir.path(), &dir.link(entry)?).ok_or(Errno::NOENT)?;
    let (parent, entry) = (dir.path().to_owned(), entry.to_owned());
    Ok(Spot { uuid, parent, syspath, dir: Rc::clone(dir), entry, ino: 0, layout: Some(vendor()), seen: Some(seen) })
}

/// The VF `entry` of the PF at `parent` as a device of this UUID. `None` if the VF has no type now.
pub(super) fn on_vf(host: &Host, parent: &str, entry: &str, uuid: Uuid) -> IoResult<Option<Spot>> {
    let dir: Rc<dyn Dir> = Rc::from(host.sysfs.open(parent)?);
    see(&*dir, entry)?.map(|seen| spot_of(&dir, entry, uuid, seen)).transpose()
}

/// The UUID of the device that a VF is.
pub(super) fn identify<'f>(vf: &str, seen: &Seen, mut facts: impl Iterator<Item = &'f Facts>) -> Uuid {
    let ours = facts.find(|facts| is_about(facts, vf, seen));
    ours.map_or_else(|| stranger_uuid(vf, &seen.type_id), |facts| facts.uuid)
}

/// These facts are about what the VF is.
pub(super) fn is_about(facts: &Facts, vf: &str, seen: &Seen) -> bool {
    facts.function.as_deref() == Some(vf) && facts.type_id == seen.type_id && facts.are_of(seen.mark)
}

/// Whether these facts are about the device that was found. Facts of a killed creator are only if parent, type and time agree:
/// another program may have made a device of this UUID since. Fails if that cannot be determined; the caller must then keep the
/// facts and not use them.
pub(super) fn is_recorded(sysfs: &dyn Sysfs, spot: &Spot, layout: &dyn Layout, facts: &Facts) -> Result<bool> {
    if let Some(seen) = &spot.seen {
        return Ok(is_about(facts, basename(&spot.syspath), seen));
    }
    if facts.function.is_some() || !facts.are_of(spot.mark()) {
        return Ok(false);
    }
    if facts.abandoned.is_none() {
        return Ok(true);
    }
    if facts.parent != basename(&spot.parent) {
        return Ok(false);
    }
    let shown =
        layout.type_of(&*spot.dir, &spot.entry).map_err(|errno| unknown_creator(spot, &describe(errno), errno))?;
    if shown.is_some_and(|id| id != facts.type_id) {
        return Ok(false);
    }
    appeared_in_time(sysfs, spot, facts)
}

/// Whether the device appeared while its killed creator may have made it. The time of its link is the time of
/// appearance or later. Its VFIO nodes appear with it, during the creator's write.
fn appeared_in_time(sysfs: &dyn Sysfs, spot: &Spot, facts: &Facts) -> Result<bool> {
    let failed = |errno| unknown_creator(spot, &describe(errno), errno);
    let Some(link) = if_present(spot.dir.meta(&spot.entry)).map_err(failed)? else { return Ok(false) };
    if facts.may_have_made(link.changed) {
        return Ok(true);
    }
    let nodes = Nodes::of(&*spot.dir, &spot.entry);
    for node in nodes.map_err(|e| unknown_creator(spot, &e.message, e.errno()))?.all() {
        match sysfs.vfio_node_birth(&node).map_err(failed)? {
            Some(Birth::At(time)) if facts.began_after(time) => {
                let why = format!("{} is older than the write of the killed creator", node.path());
                return Err(unknown_creator(spot, &why, Errno::NODATA));
            }
            Some(Birth::At(time)) => return Ok(facts.may_have_made(time)),
            Some(Birth::NotAfter(time)) if facts.may_have_made(time) => return Ok(true),
            _ => {}
        }
    }
    Err(unknown_creator(spot, "no VFIO node of the device in /dev shows when the device was made", Errno::NODATA))
}

fn unknown_creator(spot: &Spot, why: &str, errno: Errno) -> Error {
    let message = format!(
        "cannot determine which program created the device, its killed creator or another one: {why}; if another one did, \
         remove the record {FACTS}/{} below the root of this connection, otherwise destroy the device",
        spot.uuid
    );
    Error::new(ErrorCode::NotReady, errno, message).at(spot.syspath.clone())
}

/// The mark of the device on the mdev bus that these facts are about.
fn mark_on_bus(host: &Host, bus: &Rc<dyn Dir>, facts: &Facts) -> IoResult<Option<u64>> {
    if facts.abandoned.is_none() {
        return bus_mark(&**bus, &facts.uuid);
    }
    let Some(spot) = on_bus(bus, &facts.uuid)? else { return Ok(None) };
    let opened = spot.open_parent(host).map_err(|e| e.errno());
    let Some((layout, _)) = if_present(opened)? else { return Ok(None) };
    let is_its_own = is_recorded(&*host.sysfs, &spot, layout, facts);
    is_its_own.map(|is| is.then(|| spot.mark())).map_err(|e| e.errno())
}

/// What tells the device that these facts speak of from every other, as the kernel shows it now. `None` when there is no
/// such device.
pub(super) fn mark_of(host: &Host, facts: &Facts) -> IoResult<Option<u64>> {
    let Some(vf) = facts.function.as_deref() else {
        return match open_devices(host) {
            Ok(Some(bus)) => mark_on_bus(host, &bus, facts),
            Ok(None) => Ok(None),
            Err(e) => Err(e.errno()),
        };
    };
    let seen = if_present(see_vf(host, vf))?.flatten();
    Ok(seen.filter(|seen| seen.type_id == facts.type_id).map(|seen| seen.mark))
}

/// What a VF is now, by its address.
pub(super) fn see_vf(host: &Host, vf: &str) -> IoResult<Option<Seen>> {
    see(&*host.sysfs.open(PCI)?, vf)
}

/// The same, to decide whether the facts can be removed: a device that cannot be read counts as existing. `bus` is the open
/// mdev bus, if the caller has it.
pub(super) fn alive(host: &Host, bus: Option<&Rc<dyn Dir>>, facts: &Facts) -> Option<u64> {
    let mark = match bus {
        Some(bus) if facts.function.is_none() => mark_on_bus(host, bus, facts),
        _ => mark_of(host, facts),
    };
    mark.unwrap_or_else(|errno| {
        log::warn!("device {}: cannot be looked at, so its record is kept: {}", facts.uuid, describe(errno));
        Some(facts.mark.unwrap_or_default())
    })
}

/// The same for a device on the mdev bus.
pub(super) fn bus_mark(bus: &dyn Dir, uuid: &Uuid) -> IoResult<Option<u64>> {
    Ok(if_present(bus.meta(&uuid.to_string()))?.map(|meta| meta.ino))
}

pub(super) fn vendor() -> &'static dyn Layout {
    backend::of_kind(LayoutKind::VendorVfio)
}

/// `None` where the kernel has no mdev bus (yet).
pub(super) fn open_devices(host: &Host) -> Result<Option<Rc<dyn Dir>>> {
    match host.sysfs.open(DEVICES) {
        Ok(dir) => Ok(Some(Rc::from(dir))),
        Err(errno) if is_absent(errno) => Ok(None),
        Err(errno) => Err(Error::io("open", DEVICES, errno)),
    }
}
