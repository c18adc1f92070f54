// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runtime facts: one file for each device under `/run/libmdev/devices`, or a map for the simulated host.
//!
//! Facts are written *before* the kernel is asked to make the device, so that a creator killed half-way leaves either facts
//! without a device (forgotten by the next creator) or a device with its facts. While its creator works, it holds the lock
//! `/run/libmdev/locks/device-<uuid>`, which distinguishes "not there yet" from "gone". Afterwards the file of facts has the
//! device's mark, the inode number that sysfs never uses twice, so that facts are not taken for those of another device of
//! the same UUID.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files::FileStore;
use super::memory::{MemoryLock, MemoryStore};
use crate::error::{Error, ErrorCode, Result};
use rustix::io::Errno;

/// What is remembered of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The device.
    pub uuid: Uuid,
    /// Sysfs name of its parent.
    pub parent: String,
    /// Id of its type.
    #[serde(rename = "type")]
    pub type_id: String,
    /// The caller's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The parameters it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The attributes written at create, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Sysfs name of the VF that is the device, where the kernel does not know devices by UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What tells the device from every other that had or will have its UUID: the inode number of
    /// `/sys/bus/mdev/devices/<uuid>`, unknown while the device is being made; of a VF, the time that its creator set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u64>,
    /// The kernel may not show the type of the device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub type_hidden: bool,
    /// Set for a record without a mark whose creator no longer runs: when the record was written, in nanoseconds. Whether the
    /// creator made the device is then unknown, and another program may have made one of this UUID.
    #[serde(skip)]
    pub abandoned: Option<u64>,
}

/// How long after its record was written a device of a killed creator may appear.
const LATE: Duration = Duration::from_secs(10);

impl Facts {
    /// There is something here that the kernel could not tell.
    pub fn worth_keeping(&self) -> bool {
        self.name.is_some()
            || self.group.is_some()
            || self.params.is_some()
            || self.owner.is_some()
            || !self.attributes.is_empty()
            || self.function.is_some()
            || self.type_hidden
    }

    /// A device that appeared at this time may be the one of a killed creator, whose record this is.
    pub fn may_have_made(&self, appeared: u64) -> bool {
        let bound = |written: u64| written.saturating_add(u64::try_from(LATE.as_nanos()).unwrap_or(u64::MAX));
        self.abandoned.is_none_or(|written| appeared <= bound(written))
    }

    /// The device of a killed creator may still appear.
    pub(super) fn may_still_appear(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        self.abandoned.is_some() && self.may_have_made(u64::try_from(now).unwrap_or(u64::MAX))
    }

    /// These facts are about the device with this mark, not about a former one of the same UUID.
    pub fn are_of(&self, mark: u64) -> bool {
        self.mark.is_none_or(|known| known == mark)
    }
}

/// Devices that are to share one group number, which no device has.
#[derive(Debug, Clone, Copy)]
pub struct NewGroup<'a> {
    /// The devices; none: no group is needed.
    pub members: &'a [Uuid],
    /// Numbers in use that no record has: shown by a driver, or defined.
    pub in_use: &'a [u32],
}

impl<'a, const N: usize> From<&'a [Uuid; N]> for NewGroup<'a> {
    fn from(members: &'a [Uuid; N]) -> Self {
        NewGroup { members, in_use: &[] }
    }
}

/// The store of one connection.
#[derive(Debug)]
pub enum Runtime {
    /// `/run/libmdev` or the same below another root.
    Files(FileStore),
    /// The simulated host.
    Memory(MemoryStore),
}

/// Names and groups that are ours from now on; ends in [`Reservation::confirm`] or is taken back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    store: &'a Runtime,
    facts: Vec<Facts>,
    /// Say that the devices are being made; none for the simulated host.
    _locks: Vec<crate::lock::Lock>,
    confirmed: bool,
}

/// A lock of the host; ends when it is dropped.
#[derive(Debug)]
pub enum HostLock<'a> {
    /// Shared with every process of the host.
    File(crate::lock::Lock),
    /// Of the simulated host.
    Memory(MemoryLock<'a>),
}

/// Called before a lock is taken; may itself use the host.
pub type LockHook = dyn Fn(&str) + Send + Sync;

impl Runtime {
    /// The store below `run`, the host's folder for runtime files.
    pub fn files(run: &str) -> Self {
        Runtime::Files(FileStore::new(run))
    }

    /// A store that lives as long as the process.
    pub fn memory(facts: impl IntoIterator<Item = Facts>) -> Self {
        Runtime::Memory(MemoryStore::new(facts))
    }

    /// All facts; what cannot be read is logged and left out. Fails only when this process has run out of something.
    pub fn all(&self) -> Result<HashMap<Uuid, Facts>> {
        match self {
            Runtime::Files(store) => store.all(),
            Runtime::Memory(store) => Ok(store.all()),
        }
    }

    /// The facts of one device; a broken file is an error here, since this call names it.
    pub fn get(&self, uuid: &Uuid) -> Result<Option<Facts>> {
        match self {
            Runtime::Files(store) => store.get(uuid),
            Runtime::Memory(store) => Ok(store.all().remove(uuid)),
        }
    }

    /// Forgets a device that is gone and had this mark, but not another of its UUID that was made meanwhile, or is being made.
    /// Not to be able to is logged only: the facts of a device that is gone mislead nobody.
    pub fn forget(&self, uuid: &Uuid, mark: Option<u64>) {
        let own = |facts: &Facts| mark.is_none_or(|mark| facts.are_of(mark));
        match self {
            Runtime::Files(store) => store.forget(uuid, &own),
            Runtime::Memory(store) => store.forget(uuid, &own),
        }
    }

    fn withdraw(&self, uuid: &Uuid) {
        match self {
            Runtime::Files(store) => store.withdraw(uuid),
            Runtime::Memory(store) => store.withdraw(uuid),
        }
    }

    /// Takes the lock of this name, a file below `/run/libmdev/locks`. ETIMEDOUT, with the holder, when a single holder
    /// keeps it for 30 s.
    pub fn lock(&self, name: &str) -> Result<HostLock<'_>> {
        match self {
            Runtime::Files(store) => store.host_lock(name).map(HostLock::File),
            Runtime::Memory(store) => store.lock(name).map(HostLock::Memory),
        }
    }

    /// Sets what is called with the name of each lock of the simulated host before it is taken.
    pub fn set_lock_hook(&self, hook: Option<Box<LockHook>>) {
        if let Runtime::Memory(store) = self {
            store.set_lock_hook(hook);
        }
    }

    /// The types, id and name, that a parent has shown since its VFs are what `stamp` says.
    pub fn catalogue(&self, parent: &str, stamp: u64) -> Vec<(String, String)> {
        match self {
            Runtime::Files(store) => store.catalogue(parent, stamp),
            Runtime::Memory(store) => store.catalogue(parent, stamp),
        }
    }

    /// Remembers them. Not to be able to is nobody's failure.
    pub fn remember_catalogue(&self, parent: &str, stamp: u64, types: &[(String, String)]) {
        match self {
            Runtime::Files(store) => store.remember_catalogue(parent, stamp, types),
            Runtime::Memory(store) => store.remember_catalogue(parent, stamp, types),
        }
    }

    /// Takes names and groups for devices about to be made.
    /// Facts of devices that are gone (`alive` gives the mark of those that are not) are forgotten on the way.
    pub fn reserve<'g>(
        &self,
        mut facts: Vec<Facts>,
        new_group: impl Into<NewGroup<'g>>,
        alive: &dyn Fn(&Facts) -> Option<u64>,
    ) -> Result<Reservation<'_>> {
        let group = new_group.into();
        if group.members.is_empty() && !facts.iter().any(Facts::worth_keeping) {
            if let Runtime::Files(store) = self {
                // A killed creator of the same UUID must not lend its name or owner to the new device.
                facts.iter().for_each(|new| store.forget_abandoned(&new.uuid));
            }
            return Ok(Reservation { store: self, facts, _locks: Vec::new(), confirmed: false });
        }
        let locks = match self {
            Runtime::Files(store) => store.reserve(&mut facts, group, alive)?,
            Runtime::Memory(store) => {
                store.reserve(&mut facts, group, alive)?;
                Vec::new()
            }
        };
        Ok(Reservation { store: self, facts, _locks: locks, confirmed: false })
    }
}

impl Reservation<'_> {
    /// The facts as they were reserved, groups filled in.
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// The devices are there: `alive` gives the mark of each. From here on others may see their facts as settled.
    pub fn confirm(&mut self, alive: &dyn Fn(&Facts) -> Option<u64>) -> Result<()> {
        for facts in self.facts.iter_mut().filter(|facts| facts.worth_keeping()) {
            if facts.mark.is_none() {
                facts.mark = alive(facts);
            } else if let Runtime::Files(_) = self.store {
                // Written as it is now before the device was made.
                continue;
            }
            match self.store {
                Runtime::Files(store) => store.replace(facts)?,
                Runtime::Memory(store) => store.replace(facts),
            }
        }
        self.confirmed = true;
        Ok(())
    }
}

impl Reservation<'_> {
    /// The device of this UUID is there although its creation has failed: its record stays, with the mark of the device.
    pub fn keep(&mut self, uuid: &Uuid, mark: Option<u64>) {
        let Some(index) = self.facts.iter().position(|facts| facts.uuid == *uuid) else { return };
        let kept = Facts { mark, ..self.facts.remove(index) };
        let written = match self.store {
            _ if !kept.worth_keeping() => Ok(()),
            Runtime::Files(store) => store.replace(&kept),
            Runtime::Memory(store) => {
                store.replace(&kept);
                Ok(())
            }
        };
        if let Err(e) = written {
            log::warn!("{e}");
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.confirmed {
            return;
        }
        for facts in self.facts.iter().filter(|facts| facts.worth_keeping()) {
            self.store.withdraw(&facts.uuid);
        }
    }
}

/// Refuses names that are taken, and finds a group number, given all facts of living devices.
pub(super) fn settle(
    facts: &mut [Facts],
    new_group: NewGroup<'_>,
    living: &[Facts],
    alive: &dyn Fn(&Facts) -> Option<u64>,
) -> Result<()> {
    for (i, new) in facts.iter().enumerate() {
        // Facts written for a UUID that a stranger's device has would become that device's. A VF is its creator's until the
        // device is made, and the kernel knows no UUID of it.
        if (new.function.is_none() && alive(new).is_some())
            || living.iter().chain(&facts[..i]).any(|other| other.uuid == new.uuid)
        {
            return Err(taken(&new.uuid));
        }
        let Some(name) = new.name.as_deref() else { continue };
        let others = living.iter().chain(&facts[..i]);
        if let Some(other) = others.filter(|other| other.uuid != new.uuid).find(|o| o.name.as_deref() == Some(name)) {
            let message = format!("the name '{name}' is taken by device {}; choose another", other.uuid);
            return Err(Error::new(ErrorCode::Exists, Errno::EXIST, message));
        }
    }
    if !new_group.members.is_empty() {
        let group = free_group(living, new_group.in_use)?;
        facts.iter_mut().filter(|new| new_group.members.contains(&new.uuid)).for_each(|new| new.group = Some(group));
    }
    Ok(())
}

/// The error for a UUID that is in use.
pub fn taken(uuid: &Uuid) -> Error {
    let message = format!("there is already a device {uuid}; leave <uuid> out to have a new one made");
    Error::new(ErrorCode::Exists, Errno::EXIST, message)
}

/// The lowest number from 1 on that no living device has.
fn free_group(living: &[Facts], in_use: &[u32]) -> Result<u32> {
    let mut taken: Vec<u32> = living.iter().filter_map(|facts| facts.group).chain(in_use.iter().copied()).collect();
    taken.sort_unstable();
    taken.dedup();
    let mut next = 1_u32;
    for group in taken {
        if group == next {
            next = next.checked_add(1).ok_or_else(|| {
                Error::new(ErrorCode::Store, Errno::NOSPC, "every group number is in use; destroy some devices")
            })?;
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(n: u128, name: Option<&str>, group: Option<u32>) -> Facts {
        Facts { uuid: Uuid::from_u128(n), name: name.map(str::to_owned), group, ..Facts::default() }
    }

    fn both() -> (tempfile::TempDir, [Runtime; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let stores = [Runtime::files(dir.path().to_str().unwrap()), Runtime::memory([])];
        (dir, stores)
    }

    #[test]
    fn a_name_is_unique_among_living_devices() {
        let (_dir, stores) = both();
        for store in stores {
            let mut first = store.reserve(vec![facts(1, Some("a"), None)], &[], &|_| None).unwrap();
            let taken = store.reserve(vec![facts(2, Some("a"), None)], &[], &|_| None).unwrap_err();
            assert_eq!(taken.code, ErrorCode::Exists);
            first.confirm(&|_| Some(7)).unwrap();
            let first = Uuid::from_u128(1);
            let alive = |facts: &Facts| (facts.uuid == first).then_some(7);
            assert!(store.reserve(vec![facts(2, Some("a"), None)], &[], &alive).is_err());
            assert!(store.reserve(vec![facts(1, None, Some(1))], &[], &alive).is_err());
            // Gone, or another device of the same UUID: the name is free again.
            let reused = |facts: &Facts| (facts.uuid == first).then_some(8);
            store.reserve(vec![facts(2, Some("a"), None)], &[], &reused).unwrap();
            assert!(store.all().unwrap().is_empty());
        }
    }

    #[test]
    fn groups_are_the_lowest_free_ones() {
        let (_dir, stores) = both();
        for store in stores {
            let made = std::cell::Cell::new(0);
            let alive = |facts: &Facts| (facts.uuid.as_u128() <= made.get()).then_some(1);
            for (n, expected) in [(1, 1), (2, 2), (3, 3)] {
                let mut new = store.reserve(vec![facts(n, None, None)], &[Uuid::from_u128(n)], &alive).unwrap();
                assert_eq!(new.facts()[0].group, Some(expected));
                new.confirm(&|_| Some(1)).unwrap();
                made.set(n);
            }
            store.forget(&Uuid::from_u128(2), None);
            let pair = vec![facts(4, None, None), facts(5, None, None)];
            let fresh = [Uuid::from_u128(4), Uuid::from_u128(5)];
            let pair = store.reserve(pair, &fresh, &alive).unwrap();
            assert_eq!(pair.facts().iter().map(|f| f.group).collect::<Vec<_>>(), [Some(2), Some(2)]);
        }
    }

    #[test]
    fn the_record_of_a_killed_creator_says_nothing_about_a_later_device() {
        let (dir, [store, _]) = both();
        let devices = dir.path().join("libmdev/devices");
        std::fs::create_dir_all(&devices).unwrap();
        let killed = facts(1, Some("a"), None);
        std::fs::write(devices.join(killed.uuid.to_string()), serde_json::to_vec(&killed).unwrap()).unwrap();
        let read = store.get(&killed.uuid).unwrap().unwrap();
        let written = read.abandoned.unwrap();
        assert!(read.may_have_made(written) && read.may_still_appear());
        assert!(!read.may_have_made(written + 60_000_000_000));
        // While its creator works, and once it is done, it is of the device that there is.
        let mut made = store.reserve(vec![facts(2, Some("b"), None)], &[], &|_| None).unwrap();
        let abandoned = || store.get(&Uuid::from_u128(2)).unwrap().unwrap().abandoned;
        assert_eq!(abandoned(), None);
        made.confirm(&|_| Some(7)).unwrap();
        drop(made);
        assert_eq!(abandoned(), None);
    }

    #[test]
    fn what_was_not_confirmed_is_taken_back() {
        let (_dir, stores) = both();
        for store in stores {
            drop(store.reserve(vec![facts(1, Some("a"), None)], &[], &|_| None).unwrap());
            assert_eq!(store.get(&Uuid::from_u128(1)).unwrap(), None);
        }
    }

    /// Who destroys a device forgets it a moment later, when its UUID may be in use again.
    #[test]
    fn who_is_late_to_forget_does_not_forget_the_next_one() {
        let (_dir, stores) = both();
        for store in stores {
            let uuid = Uuid::from_u128(1);
            let mut next = store.reserve(vec![facts(1, Some("next"), None)], &[], &|_| None).unwrap();
            store.forget(&uuid, None);
            assert_eq!(store.get(&uuid).unwrap().and_then(|facts| facts.name).as_deref(), Some("next"));
            // Nor does a creator of the same UUID who has nothing to be remembered.
            drop(store.reserve(vec![facts(1, None, None)], &[], &|_| None).unwrap());
            assert!(store.get(&uuid).unwrap().is_some());
            next.confirm(&|_| Some(7)).unwrap();
            drop(next);
            store.forget(&uuid, None);
            assert_eq!(store.get(&uuid).unwrap(), None);
        }
    }

    #[test]
    fn creators_do_not_sweep_each_others_files_away() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().to_str().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u128 {
                scope.spawn(move || {
                    let store = Runtime::files(run);
                    for n in 0..100 {
                        let own = facts(1000 * thread + n + 1, None, Some(1));
                        let uuid = own.uuid;
                        let made = std::cell::Cell::new(false);
                        // Everybody's devices are there, but for the one that is being made.
                        let alive = |asked: &Facts| (asked.uuid != uuid || made.get()).then_some(7);
                        let mut reserved = store.reserve(vec![own], &[], &alive).unwrap();
                        made.set(true);
                        reserved.confirm(&alive).unwrap();
                    }
                });
            }
        });
        assert_eq!(Runtime::files(run).all().unwrap().len(), 400);
    }

    #[test]
    fn facts_survive_the_way_to_the_file_and_back() {
        let (dir, [store, _]) = both();
        let full = Facts {
            parent: "0000:86:00.0".into(),
            type_id: "11".into(),
            params: Some("a=\"b\"".into()),
            owner: Some("me".into()),
            attributes: vec![("x".into(), "1".into()), ("x".into(), "2".into())],
            ..facts(9, Some("ü"), Some(4))
        };
        let mut reserved = store.reserve(vec![full.clone()], &[], &|_| None).unwrap();
        reserved.confirm(&|_| Some(5)).unwrap();
        assert_eq!(store.get(&full.uuid).unwrap(), Some(Facts { mark: Some(5), ..full.clone() }));
        // Everybody may read them, and only the lock is the owner's alone: run this under a strict umask, too.
        let mode = |name: &str| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::metadata(dir.path().join("libmdev").join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(
            [mode(""), mode("devices"), mode(&format!("devices/{}", full.uuid)), mode("lock")],
            [0o755, 0o755, 0o644, 0o600]
        );
        // A broken neighbour hides nothing, and is reported by the call that names it.
        std::fs::write(dir.path().join(format!("libmdev/devices/{}", Uuid::from_u128(3))), "{").unwrap();
        assert_eq!(store.all().unwrap().len(), 1);
        assert_eq!(store.get(&Uuid::from_u128(3)).unwrap_err().code, ErrorCode::Store);
    }

    fn fifo(path: &std::path::Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    }

    /// Each of these calls would wait for a writer of the FIFO without end.
    #[test]
    fn fifo_in_place_of_a_file_blocks_no_call() {
        let (dir, [store, _]) = both();
        let base = dir.path().join("libmdev");
        for folder in ["devices", "types", "locks"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        let uuid = Uuid::from_u128(1);
        let record = base.join(format!("devices/{uuid}"));
        fifo(&record);
        fifo(&base.join("types/0000:41:00.0"));
        fifo(&base.join("locks/parent-0000:41:00.0"));
        assert_eq!(store.all().unwrap().len(), 0);
        assert_eq!(store.get(&uuid).unwrap_err().code, ErrorCode::Store);
        assert!(store.catalogue("0000:41:00.0", 1).is_empty());
        assert_eq!(store.lock("parent-0000:41:00.0").unwrap_err().code, ErrorCode::Store);
        // Another creator sweeps it away, as a destroyer does.
        drop(store.reserve(vec![facts(2, Some("a"), None)], &[], &|_| None).unwrap());
        assert!(!record.exists());
        fifo(&record);
        store.forget(&uuid, None);
        assert!(!record.exists());
        fifo(&record);
        drop(store.reserve(vec![facts(1, Some("a"), None)], &[], &|_| None).unwrap());
        assert!(!record.exists());
    }

    /// An ordinary user can lock what he can read: a record, and every folder.
    #[test]
    fn foreign_flock_delays_no_creator() {
        use rustix::fs::{FlockOperation, flock};
        let (dir, [store, _]) = both();
        let mut first = store.reserve(vec![facts(1, Some("a"), Some(1))], &[], &|_| None).unwrap();
        first.confirm(&|_| Some(7)).unwrap();
        drop(first);
        drop(store.lock("type-mtty-1").unwrap());
        let base = dir.path().join("libmdev");
        let record = base.join(format!("devices/{}", Uuid::from_u128(1)));
        let locked = [base.clone(), base.join("devices"), base.join("locks"), record].map(|path| {
            let file = std::fs::File::open(path).unwrap();
            flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            file
        });
        // The device is gone, so its name and group are free again.
        let fresh = Uuid::from_u128(2);
        let next = store.reserve(vec![facts(2, Some("a"), None)], &[fresh], &|_| None).unwrap();
        assert_eq!(next.facts()[0].group, Some(1));
        drop(store.lock("type-mtty-1").unwrap());
        drop(locked);
        // What is locked is the owner's alone, and nothing of a device stays.
        let names = |folder: &str| {
            let entries = std::fs::read_dir(base.join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        drop(next);
        assert_eq!((names("locks"), names("devices")), (vec!["type-mtty-1".to_owned()], vec![]));
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(base.join("locks/type-mtty-1")).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn types_are_remembered_without_waiting_for_the_lock() {
        let (dir, [store, _]) = both();
        let types = [("1".to_owned(), "a".to_owned())];
        store.remember_catalogue("p", 1, &[]);
        let lock = dir.path().join("libmdev/lock");
        let held = crate::lock::Lock::acquire(lock.to_str().unwrap(), std::time::Duration::ZERO).unwrap();
        let start = std::time::Instant::now();
        store.remember_catalogue("p", 1, &types);
        assert!(start.elapsed() < std::time::Duration::from_secs(5) && store.catalogue("p", 1).is_empty());
        drop(held);
        store.remember_catalogue("p", 1, &types);
        assert_eq!(store.catalogue("p", 1), types);
    }

    /// A killed creator leaves its lock file and its record.
    #[test]
    fn record_of_a_killed_creator_is_forgotten_with_its_lock_file() {
        let (dir, [store, _]) = both();
        let uuid = Uuid::from_u128(1);
        let place = || std::mem::forget(store.reserve(vec![facts(1, Some("a"), None)], &[], &|_| None).unwrap());
        // In the folder as a process leaves it that was killed.
        let lock = dir.path().join(format!("libmdev/locks/device-{uuid}"));
        place();
        assert!(lock.exists());
        std::fs::remove_file(&lock).unwrap();
        std::fs::write(&lock, "").unwrap();
        drop(store.reserve(vec![facts(2, Some("a"), None)], &[], &|_| None).unwrap());
        assert!(!lock.exists() && store.get(&uuid).unwrap().is_none());
    }
}
