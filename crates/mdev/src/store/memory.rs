// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of running devices of the simulated host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use uuid::Uuid;

use super::record::{DeviceRecord, FindDevice, NewGroup, RecordedDevice, validate_and_allocate};
use super::type_cache::TypeCache;
use crate::error::{Error, ErrorCode, Result};

/// How long a thread waits for a lock, for all holders together.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The store of the simulated host.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// The records. Not a hash map: its random order would make tests differ from run to run.
    records: Mutex<BTreeMap<Uuid, Entry>>,
    type_caches: Mutex<BTreeMap<String, TypeCache>>,
    locks: Mutex<BTreeSet<String>>,
    /// Notified when a lock is released.
    unlocked: Condvar,
    hook: Mutex<Hook>,
    /// The incomplete groups. True while a process creates or removes the group.
    batches: Mutex<BTreeMap<Uuid, bool>>,
}

/// Called before a lock is taken. It may use the host.
pub type LockHook = dyn Fn(&str) + Send + Sync;

#[derive(Default)]
struct Hook(Option<Arc<Box<LockHook>>>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.0.is_some()).finish()
    }
}

/// A lock of the simulated host.
#[derive(Debug)]
pub struct MemoryLock<'a> {
    store: &'a MemoryStore,
    name: String,
}

impl Drop for MemoryLock<'_> {
    fn drop(&mut self) {
        self.store.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.store.unlocked.notify_all();
    }
}

#[derive(Debug)]
struct Entry {
    record: DeviceRecord,
    /// True until the reservation is dropped or confirmed.
    being_created: bool,
}

impl MemoryStore {
    pub(super) fn new(records: impl IntoIterator<Item = DeviceRecord>) -> Self {
        let complete = |record: DeviceRecord| (record.uuid, Entry { record, being_created: false });
        MemoryStore { records: Mutex::new(records.into_iter().map(complete).collect()), ..MemoryStore::default() }
    }

    pub(super) fn lock(&self, name: &str) -> Result<MemoryLock<'_>> {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        if let Some(hook) = hook {
            hook(name);
        }
        let deadline = Instant::now() + LOCK_TIMEOUT;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        while locks.contains(name) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!("another thread of this process has kept '{name}' locked for {LOCK_TIMEOUT:?}");
                return Err(Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message));
            }
            locks = self.unlocked.wait_timeout(locks, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        locks.insert(name.to_owned());
        Ok(MemoryLock { store: self, name: name.to_owned() })
    }

    pub(super) fn set_lock_hook(&self, hook: Option<Box<LockHook>>) {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).0 = hook.map(Arc::new);
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<Uuid, Entry>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> HashMap<Uuid, DeviceRecord> {
        self.map().iter().map(|(uuid, entry)| (*uuid, entry.record.clone())).collect()
    }

    /// Removes a record, but not the record of a new device of this UUID that is being created.
    pub(super) fn forget(&self, uuid: &Uuid, own: &dyn Fn(&DeviceRecord) -> bool) {
        let mut map = self.map();
        if map.get(uuid).is_some_and(|entry| !entry.being_created && own(&entry.record)) {
            map.remove(uuid);
        }
    }

    pub(super) fn withdraw(&self, uuid: &Uuid) {
        self.map().remove(uuid);
    }

    pub(super) fn release(&self, uuid: &Uuid) {
        if let Some(entry) = self.map().get_mut(uuid) {
            entry.being_created = false;
        }
    }

    pub(super) fn replace(&self, record: &DeviceRecord) {
        self.map().insert(record.uuid, Entry { record: record.clone(), being_created: false });
    }

    fn batches(&self) -> MutexGuard<'_, BTreeMap<Uuid, bool>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_batch(&self, id: &Uuid) {
        self.batches().insert(*id, true);
    }

    pub(super) fn end_batch(&self, id: &Uuid) {
        self.batches().remove(id);
    }

    pub(super) fn release_batch(&self, id: &Uuid) {
        if let Some(busy) = self.batches().get_mut(id) {
            *busy = false;
        }
    }

    pub(super) fn incomplete(&self) -> Vec<Uuid> {
        self.batches().iter().filter(|(_, busy)| !**busy).map(|(id, _)| *id).collect()
    }

    pub(super) fn claim(&self, id: &Uuid) -> bool {
        self.batches().get_mut(id).is_some_and(|busy| !std::mem::replace(busy, true))
    }

    pub(super) fn remembered_types(&self, parent: &str, version: u64) -> Vec<(String, String)> {
        let type_caches = self.type_caches.lock().unwrap_or_else(PoisonError::into_inner);
        type_caches
            .get(parent)
            .filter(|known| known.version == version)
            .map(|known| known.types.clone())
            .unwrap_or_default()
    }

    pub(super) fn remember_types(&self, parent: &str, version: u64, types: &[(String, String)]) {
        let mut type_caches = self.type_caches.lock().unwrap_or_else(PoisonError::into_inner);
        type_caches.insert(parent.to_owned(), TypeCache { version, types: types.to_vec() });
    }

    /// Reserves names and groups, under one lock.
    pub(super) fn reserve(
        &self,
        records: &mut [DeviceRecord],
        new_group: NewGroup<'_>,
        find: &FindDevice<'_>,
    ) -> Result<()> {
        let mut map = self.map();
        map.retain(|_, old| old.being_created || matches!(find(&old.record), RecordedDevice::Own(_)));
        let living: Vec<DeviceRecord> = map.values().map(|entry| entry.record.clone()).collect();
        validate_and_allocate(records, new_group, &living, find)?;
        for new in records.iter().filter(|new| new.worth_keeping()) {
            map.insert(new.uuid, Entry { record: new.clone(), being_created: true });
        }
        Ok(())
    }
}
