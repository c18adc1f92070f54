// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runtime facts of the simulated host.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::catalogue::Catalogue;
use super::runtime::{Facts, NewGroup, settle};
use crate::error::Result;

/// A map, in which those whose device is being made are told apart.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Not a hash map, for the reason that the simulated kernel's tree gives.
    facts: Mutex<BTreeMap<Uuid, Entry>>,
    catalogues: Mutex<BTreeMap<String, Catalogue>>,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    /// A creator in this process cannot be killed half-way: it takes this back in any case.
    being_made: bool,
}

impl MemoryStore {
    pub(super) fn new(facts: impl IntoIterator<Item = Facts>) -> Self {
        let settled = |facts: Facts| (facts.uuid, Entry { facts, being_made: false });
        MemoryStore { facts: Mutex::new(facts.into_iter().map(settled).collect()), ..MemoryStore::default() }
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) fn replace(&self, facts: &Facts) {
        self.map().insert(facts.uuid, Entry { facts: facts.clone(), being_made: false });
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
