// SPDX-License-Identifier: LGPL-2.1-or-later
//! The nodes that a monitor has reported. Needed to describe a removed node, and to report each event once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::backend::parents::{self, ParentCache, ParentInfo};
use crate::backend::{DeviceId, Folders, Located, Place, Slot, backend, devices as located, layout, places};
use crate::driver::{Host, definitions, devices};
use crate::error::{Error, Result};
use crate::finding::{first_failed, observe, report_unless_exhausted};
use crate::model::{Device, Parent};
use crate::store::Definition;
use crate::sysfs::{basename, dirname, if_present, is_absent};

/// The first interval after which a node is read again that changes without a uevent: longer than a driver or the kernel normally takes
/// to finish what follows the uevent (some microseconds).
const RECHECK_FIRST: Duration = Duration::from_millis(2);

/// Each interval is so many times the one before it: 2, 10, 50, 250 ms.
const RECHECK_FACTOR: u32 = 5;

/// The longest interval. A parent whose device was removed is not read after it; a process that kept the device open delays it
/// further, and its last close is no uevent.
const RECHECK_MAX: Duration = Duration::from_millis(250);

/// When a node is read again although there is no uevent: soon at first, then at growing intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recheck {
    at: Instant,
    interval: Duration,
}

impl Recheck {
    pub(super) fn first(now: Instant) -> Self {
        Recheck { at: now + RECHECK_FIRST, interval: RECHECK_FIRST }
    }

    /// Once, after the longest interval.
    fn last(now: Instant) -> Self {
        Recheck { at: now + RECHECK_MAX, interval: RECHECK_MAX }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at <= now
    }

    /// Whether this is after the longest interval.
    pub(super) fn is_last(&self) -> bool {
        self.interval == RECHECK_MAX
    }

    /// The following recheck.
    pub(super) fn next(&self, now: Instant) -> Self {
        let interval = (self.interval * RECHECK_FACTOR).min(RECHECK_MAX);
        Recheck { at: now + interval, interval }
    }
}

/// A device that was reported.
#[derive(Debug)]
pub(super) struct DeviceState {
    pub(super) device: Device,
    /// See [`Located::identity`].
    pub(super) identity: Option<u64>,
    /// Its driver was unbound since.
    pub(super) unbound: bool,
}

impl DeviceState {
    fn new(device: Device, identity: Option<u64>) -> Self {
        DeviceState { device, identity, unbound: false }
    }

    /// Whether a `bind` of the device changes nothing.
    pub(super) fn is_bound(&self) -> bool {
        !self.unbound && self.device.driver.is_some() && self.device.iommu_group.is_some()
    }
}

/// A device that was added and is not ready yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) since: Instant,
    /// A driver is bound to it. The kernel makes the link to its type after that, without a uevent.
    pub(super) bound: bool,
    /// It was removed before it was read: its `remove` is still unread.
    pub(super) removed: bool,
    pub(super) recheck: Recheck,
}

impl Pending {
    pub(super) fn new(now: Instant) -> Self {
        Pending { since: now, bound: false, removed: false, recheck: Recheck::first(now) }
    }
}

/// A parent that was reported.
#[derive(Debug)]
pub(super) struct ParentState {
    pub(super) place: Place,
    pub(super) parent: Parent,
    /// A device on it was added or removed since its counts were read.
    pub(super) dirty: bool,
    /// A driver may release the instance of a device after its `remove`, when the last reference to the device is dropped.
    pub(super) recheck: Option<Recheck>,
}

/// All nodes by their paths in sysfs.
#[derive(Debug, Default)]
pub(super) struct HostState {
    pub(super) parents: HashMap<String, ParentState>,
    pub(super) devices: HashMap<String, DeviceState>,
    pub(super) pending: HashMap<String, Pending>,
    pub(super) slots: HashMap<String, Slot>,
    /// By sysfs name of the parent and UUID.
    pub(super) definitions: BTreeMap<(String, Uuid), Definition>,
}

/// The slots of a parent that were added or removed.
#[derive(Debug, Default)]
pub(super) struct SlotChanges {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<Slot>,
}

/// The result of reading a device.
pub(super) enum Observation {
    Absent,
    /// It cannot be read: its state stays as it is.
    Unknown,
    /// It exists, and some of its links do not exist yet.
    NotReady(Box<DeviceState>),
    Ready(Box<DeviceState>),
}

impl HostState {
    /// Reads the whole host, as a list does.
    pub(super) fn read(host: &Host) -> Result<HostState> {
        let mut state = HostState::default();
        let mut known = ParentCache::new(&*host.sysfs);
        for place in places::all(&*host.sysfs)? {
            if let ParentObservation::Present(parent) = read_parent(host, &place)? {
                known.add(&parent);
                state.add_parent(host, place, *parent)?;
            }
        }
        let defined = definitions::all(host)?.into_iter();
        state.definitions = defined.map(|def| ((def.parent.clone(), def.uuid), def)).collect();
        let records = host.runtime.records();
        for found in located::all(&*host.sysfs, &records, &known)? {
            if let Some(device) = devices::read_listed(&found, records.all()?.get(&found.uuid), &mut known)? {
                if !devices::is_ready(layout(device.layout), &device) {
                    state.pending.insert(found.syspath.clone(), Pending::new(Instant::now()));
                }
                state.devices.insert(found.syspath.clone(), DeviceState::new(device, Some(found.identity)));
            }
        }
        Ok(state)
    }

    /// Adds or replaces a parent and its slots. Rechecks of the old parent are kept.
    pub(super) fn add_parent(&mut self, host: &Host, place: Place, parent: Parent) -> Result<SlotChanges> {
        let path = place.syspath.clone();
        let now = slots_of(host, &parent)?;
        let added = now.keys().filter(|slot| !self.slots.contains_key(*slot)).cloned().collect();
        let had = self.slots_on(&path).filter(|slot| !now.contains_key(&slot.syspath));
        let removed = had.cloned().collect();
        self.slots.retain(|_, slot| slot.parent != path);
        self.slots.extend(now);
        let (dirty, recheck) = self.parents.remove(&path).map(|old| (old.dirty, old.recheck)).unwrap_or_default();
        self.parents.insert(path, ParentState { place, parent, dirty, recheck });
        Ok(SlotChanges { added, removed })
    }

    /// The slots of the parent at a path.
    pub(super) fn slots_on(&self, parent: &str) -> impl Iterator<Item = &Slot> {
        self.slots.values().filter(move |slot| slot.parent == parent)
    }

    /// Marks the counts of the parent of this device as outdated. If the device was removed, they may change later.
    pub(super) fn mark_parent_dirty(&mut self, device: &str, is_removed: bool) {
        let parent = self.slots.get(device).map_or_else(|| dirname(device).to_owned(), |slot| slot.parent.clone());
        if let Some(known) = self.parents.get_mut(&parent) {
            known.dirty = true;
            if is_removed {
                known.recheck = Some(Recheck::first(Instant::now()));
            }
        }
    }

    /// A device that was removed just before the host was read may still change the counts of its parent.
    pub(super) fn recheck_all_parents(&mut self) {
        let recheck = Recheck::last(Instant::now());
        self.parents.values_mut().for_each(|known| known.recheck = Some(recheck));
    }

    /// Returns when a node must be read again, also without a uevent.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let pending = self.pending.values().filter(|pending| !pending.removed).map(|pending| pending.recheck.at);
        let parents = self.parents.values().filter_map(|known| known.recheck.map(|recheck| recheck.at));
        pending.chain(parents).min()
    }

    /// Reads a device.
    pub(super) fn observe(&self, host: &Host, path: &str) -> Result<Observation> {
        let records = host.runtime.records();
        let (found, left_out) = observe(|| located::locate_at(&*host.sysfs, &records, basename(path)));
        let found = match found {
            Ok(found) => found.filter(|found| found.syspath == path),
            Err(e) => return unknown(e),
        };
        let Some(found) = found else { return Ok(Observation::Absent) };
        // The record that cannot be read may be the record of the known device.
        if first_failed(left_out).is_some() {
            match self.is_known_device(host, path, &found) {
                Ok(false) => {}
                Ok(true) => return Ok(Observation::Unknown),
                Err(e) => return unknown(e),
            }
        }
        let mut known = self.known_parent(host, &found.parent);
        observation_of(devices::read_located(host, &found, &mut known), Some(found.identity))
    }

    /// Returns whether a device that was found with another UUID is the known device.
    fn is_known_device(&self, host: &Host, path: &str, found: &Located) -> Result<bool> {
        let known = self.devices.get(path).filter(|known| known.device.uuid != found.uuid);
        let Some(DeviceState { device, identity, .. }) = known else { return Ok(false) };
        let id = DeviceId { identity: *identity, ..located::id_of(device) };
        Ok(located::locate_same(&Folders::new(&*host.sysfs), &host.runtime.records(), device.layout, &id)?.is_some())
    }

    /// The parent of a device, which need not be read again.
    fn known_parent<'a>(&self, host: &'a Host, path: &str) -> ParentCache<'a> {
        let mut known = ParentCache::new(&*host.sysfs);
        if let Some(parent) = self.parents.get(path) {
            known.add(&parent.parent);
        }
        known
    }

    /// A device that was added and removed before it was read: its path has its UUID and parent. `None` if the parent is not known.
    pub(super) fn departed(&self, path: &str) -> Option<Device> {
        let uuid: Uuid = basename(path).parse().ok()?;
        let parent = &self.parents.get(dirname(path))?.parent;
        Some(Device { syspath: path.to_owned(), ..ParentInfo::of(parent).device(uuid, Some(basename(path))) })
    }
}

/// A device that cannot be read does not count as removed.
fn observation_of(read: Result<Option<Device>>, identity: Option<u64>) -> Result<Observation> {
    match read {
        Ok(Some(device)) => Ok(present_device(device, identity)),
        Ok(None) => Ok(Observation::Absent),
        Err(e) => unknown(e),
    }
}

/// Reports a failed read, which leaves the state of the node unknown.
fn unknown(e: Error) -> Result<Observation> {
    report_unless_exhausted(e).map(|()| Observation::Unknown)
}

fn present_device(device: Device, identity: Option<u64>) -> Observation {
    let ready = devices::is_ready(layout(device.layout), &device);
    let known = Box::new(DeviceState::new(device, identity));
    if ready { Observation::Ready(known) } else { Observation::NotReady(known) }
}

/// The slots of a parent by their paths: also one that is left out of lists, since it may become readable.
fn slots_of(host: &Host, parent: &Parent) -> Result<HashMap<String, Slot>> {
    let read = || backend(parent.layout).slots(&*host.sysfs.open(&parent.syspath)?);
    // Absent: the kernel sends an event when the parent is removed.
    let found = if_present(read()).map_err(|errno| Error::io("read the slots of", &parent.syspath, errno))?;
    let slots = found.unwrap_or_default().present.into_iter();
    Ok(slots.map(|slot| (slot.syspath.clone(), slot)).collect())
}

/// The result of reading a parent.
pub(super) enum ParentObservation {
    Absent,
    /// It exists and cannot be read: its state stays as it is.
    Unknown,
    Present(Box<Parent>),
}

pub(super) fn read_parent(host: &Host, place: &Place) -> Result<ParentObservation> {
    match parents::read(&*host.sysfs, &host.runtime.records(), place) {
        Ok(parent) => Ok(ParentObservation::Present(Box::new(parent))),
        Err(errno) if is_absent(errno) => Ok(ParentObservation::Absent),
        Err(errno) => {
            report_unless_exhausted(Error::io("read", &place.syspath, errno)).map(|()| ParentObservation::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Conn, CreateFlags};
    use crate::sim::default_host;
    use crate::store::{Runtime, watched};
    use rustix::io::Errno;
    use std::sync::Arc;

    /// A driver may release the instance of a removed device late, without a uevent.
    #[test]
    fn parent_read_again_keeps_its_recheck() {
        let conn = Conn::on(Arc::new(default_host()), Arc::new(Runtime::memory([])));
        let mut state = HostState::read(&conn.host).unwrap();
        let path = state.parents.keys().next().unwrap().clone();
        state.mark_parent_dirty(&format!("{path}/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"), true);
        let known = &state.parents[&path];
        let (place, parent, recheck) = (known.place.clone(), known.parent.clone(), known.recheck);
        state.add_parent(&conn.host, place, parent).unwrap();
        let known = &state.parents[&path];
        assert!(known.dirty && recheck.is_some() && known.recheck == recheck);
    }

    #[test]
    fn rechecks_grow_to_the_longest_interval() {
        let now = Instant::now();
        let rechecks = std::iter::successors(Some(Recheck::first(now)), |recheck| Some(recheck.next(now)));
        let intervals: Vec<u128> = rechecks.take(5).map(|recheck| recheck.interval.as_millis()).collect();
        assert_eq!(intervals, [2, 10, 50, 250, 250]);
        assert!(!Recheck::first(now).is_last() && Recheck::last(now).is_last());
    }

    /// Without its record, the device of the VF would have another UUID.
    #[test]
    fn device_on_a_vf_with_an_unreadable_record_is_unknown() {
        let run = tempfile::tempdir().unwrap();
        let runtime = Runtime::files(run.path().to_str().unwrap());
        let conn = Conn::on(Arc::new(default_host()), Arc::new(runtime));
        let xml =
            b"<device><parent>0000:41:00.5</parent><capability type='mdev'><type id='1441'/></capability></device>";
        let device = conn.create_xml(xml, CreateFlags::empty()).unwrap();
        let state = HostState::read(&conn.host).unwrap();
        let look = |suffix: String| {
            let hook = move |_: &str, path: &str| if path.ends_with(&suffix) { Err(Errno::IO) } else { Ok(()) };
            watched(hook, || state.observe(&conn.host, device.syspath()).unwrap())
        };
        let uuid = device.uuid().unwrap();
        assert!(matches!(look("no file".into()), Observation::Ready(known) if known.device.uuid.to_string() == uuid));
        for unread in ["devices", &uuid] {
            assert!(matches!(look(unread.into()), Observation::Unknown), "{unread}");
        }
    }
}
