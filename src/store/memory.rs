// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runtime facts of the simulated host.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::runtime::{Facts, settle};
use crate::error::Result;

/// A map; facts whose device is being made are told apart by their missing inode number.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Not a hash map, for the reason that the simulated kernel's tree gives.
    facts: Mutex<BTreeMap<Uuid, Facts>>,
}

impl MemoryStore {
    pub(super) fn new(facts: impl IntoIterator<Item = Facts>) -> Self {
        MemoryStore { facts: Mutex::new(facts.into_iter().map(|f| (f.uuid, f)).collect()) }
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<Uuid, Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> HashMap<Uuid, Facts> {
        self.map().iter().map(|(uuid, facts)| (*uuid, facts.clone())).collect()
    }

    pub(super) fn forget(&self, uuid: &Uuid) {
        self.map().remove(uuid);
    }

    pub(super) fn replace(&self, facts: &Facts) {
        self.map().insert(facts.uuid, facts.clone());
    }

    /// All within one lock. A creator in this process cannot be killed half-way, so what has no inode number is being made.
    pub(super) fn reserve(
        &self,
        facts: &mut [Facts],
        fresh: &[Uuid],
        alive: &dyn Fn(&Uuid) -> Option<u64>,
    ) -> Result<()> {
        let mut map = self.map();
        map.retain(|uuid, old| old.ino.is_none() || alive(uuid).is_some_and(|ino| old.are_of(ino)));
        let living: Vec<Facts> = map.values().cloned().collect();
        settle(facts, fresh, &living, alive)?;
        for new in facts.iter().filter(|new| new.worth_keeping()) {
            map.insert(new.uuid, new.clone());
        }
        Ok(())
    }
}
