// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runtime facts of the simulated host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use uuid::Uuid;

use super::catalogue::Catalogue;
use super::record::{Facts, NewGroup, settle};
use crate::error::{Error, ErrorCode, Result};

/// Timeout as for files, but for all holders together: they are threads of this process.
const PATIENCE: Duration = Duration::from_secs(30);

/// A map, in which those whose device is being made are told apart.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Not a hash map, for the reason that the simulated kernel's tree gives.
    facts: Mutex<BTreeMap<Uuid, Entry>>,
    catalogues: Mutex<BTreeMap<String, Catalogue>>,
    locks: Mutex<BTreeSet<String>>,
    /// Notified when a lock is released.
    unlocked: Condvar,
    hook: Mutex<Hook>,
    /// Groups that are not complete; true while one is being created or removed.
    batches: Mutex<BTreeMap<Uuid, bool>>,
}

/// Called before a lock is taken; may itself use the host.
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
    facts: Facts,
    /// True until its reservation is dropped or confirmed.
    being_made: bool,
}

impl MemoryStore {
    pub(super) fn new(facts: impl IntoIterator<Item = Facts>) -> Self {
        let settled = |facts: Facts| (facts.uuid, Entry { facts, being_made: false });
        MemoryStore { facts: Mutex::new(facts.into_iter().map(settled).collect()), ..MemoryStore::default() }
    }

    pub(super) fn lock(&self, name: &str) -> Result<MemoryLock<'_>> {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        if let Some(hook) = hook {
            hook(name);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        while locks.contains(name) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!("another thread of this process has kept '{name}' locked for {PATIENCE:?}");
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
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> HashMap<Uuid, Facts> {
        self.map().iter().map(|(uuid, entry)| (*uuid, entry.facts.clone())).collect()
    }

    /// Not those of a new device of this UUID that is being made.
    pub(super) fn forget(&self, uuid: &Uuid, own: &dyn Fn(&Facts) -> bool) {
        let mut map = self.map();
        if map.get(uuid).is_some_and(|entry| !entry.being_made && own(&entry.facts)) {
            map.remove(uuid);
        }
    }

    pub(super) fn withdraw(&self, uuid: &Uuid) {
        self.map().remove(uuid);
    }

    pub(super) fn release(&self, uuid: &Uuid) {
        if let Some(entry) = self.map().get_mut(uuid) {
            entry.being_made = false;
        }
    }

    pub(super) fn replace(&self, facts: &Facts) {
        self.map().insert(facts.uuid, Entry { facts: facts.clone(), being_made: false });
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

    pub(super) fn catalogue(&self, parent: &str, stamp: u64) -> Vec<(String, String)> {
        let catalogues = self.catalogues.lock().unwrap_or_else(PoisonError::into_inner);
        catalogues.get(parent).filter(|known| known.stamp == stamp).map(|known| known.types.clone()).unwrap_or_default()
    }

    pub(super) fn remember_catalogue(&self, parent: &str, stamp: u64, types: &[(String, String)]) {
        let mut catalogues = self.catalogues.lock().unwrap_or_else(PoisonError::into_inner);
        catalogues.insert(parent.to_owned(), Catalogue { stamp, types: types.to_vec() });
    }

    /// All within one lock.
    pub(super) fn reserve(
        &self,
        facts: &mut [Facts],
        new_group: NewGroup<'_>,
        alive: &dyn Fn(&Facts) -> Option<u64>,
    ) -> Result<()> {
        let mut map = self.map();
        map.retain(|_, old| old.being_made || alive(&old.facts).is_some_and(|mark| old.facts.are_of(mark)));
        let living: Vec<Facts> = map.values().map(|entry| entry.facts.clone()).collect();
        settle(facts, new_group, &living, alive)?;
        for new in facts.iter().filter(|new| new.worth_keeping()) {
            map.insert(new.uuid, Entry { facts: new.clone(), being_made: true });
        }
        Ok(())
    }
}
