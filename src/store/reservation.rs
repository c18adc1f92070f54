// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of devices that are being made.

use uuid::Uuid;

use super::record::{Facts, NewGroup};
use super::runtime::Runtime;
use crate::error::Result;

impl Runtime {
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
            return Ok(Reservation::new(self, facts, Vec::new()));
        }
        let locks = match self {
            Runtime::Files(store) => store.reserve(&mut facts, group, alive)?,
            Runtime::Memory(store) => {
                store.reserve(&mut facts, group, alive)?;
                Vec::new()
            }
        };
        Ok(Reservation::new(self, facts, locks))
    }
}

/// Reserved names and groups. When this is dropped, the record of a device stays if a write for the device has begun
/// ([`Reservation::begin`]) and the device was not seen to be absent since ([`Reservation::absent`]): without its record an
/// existing device could not be identified. After a panic the same records stay as after the kill of a creator.
#[derive(Debug)]
pub struct Reservation<'a> {
    store: &'a Runtime,
    facts: Vec<Facts>,
    /// Devices that exist, or may exist.
    begun: Vec<Uuid>,
    /// Their locks show other processes that the devices are being made; empty for the simulated host.
    _locks: Vec<crate::lock::Lock>,
}

impl<'a> Reservation<'a> {
    fn new(store: &'a Runtime, facts: Vec<Facts>, locks: Vec<crate::lock::Lock>) -> Self {
        Reservation { store, facts, begun: Vec::new(), _locks: locks }
    }

    /// The facts as they were reserved, groups filled in.
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// Call before each write that makes a device. Sets the mtime of its record to now: the records of a group are all
    /// written before the first device is made.
    pub fn begin(&mut self, uuid: &Uuid) {
        let Some(facts) = self.facts.iter().find(|facts| facts.uuid == *uuid) else { return };
        if let (Runtime::Files(store), None, true) = (self.store, facts.mark, facts.worth_keeping()) {
            store.set_mtime(uuid);
        }
        if !self.begun.contains(uuid) {
            self.begun.push(*uuid);
        }
    }

    /// The device does not exist: its record is removed when this is dropped.
    pub fn absent(&mut self, uuid: &Uuid) {
        self.begun.retain(|begun| begun != uuid);
    }

    /// The devices exist: `alive` returns the mark of each. From here on their facts are final for other processes.
    pub fn confirm(&mut self, alive: &dyn Fn(&Facts) -> Option<u64>) -> Result<()> {
        self.begun = self.facts.iter().map(|facts| facts.uuid).collect();
        for facts in self.facts.iter_mut().filter(|facts| facts.worth_keeping()) {
            if facts.mark.is_none() {
                facts.mark = alive(facts);
            } else if let Runtime::Files(_) = self.store {
                // The record has the mark already.
                continue;
            }
            self.store.replace(facts)?;
        }
        Ok(())
    }

    /// The device of this UUID, on the mdev bus, exists and has this mark. Its record has the mark from here on, so that it
    /// identifies the device even if the creator is killed.
    pub fn mark(&mut self, uuid: &Uuid, mark: u64) -> Result<()> {
        let Runtime::Files(store) = self.store else { return Ok(()) };
        let own = |facts: &&mut Facts| facts.uuid == *uuid && facts.worth_keeping();
        let Some(facts) = self.facts.iter_mut().find(own) else { return Ok(()) };
        let marked = Facts { mark: Some(mark), ..facts.clone() };
        store.replace(&marked)?;
        *facts = marked;
        Ok(())
    }

    /// The device of this UUID exists although its creation has failed: its record stays, with the mark of the device.
    pub fn keep(&mut self, uuid: &Uuid, mark: Option<u64>) {
        self.begin(uuid);
        let Some(facts) = self.facts.iter_mut().find(|facts| facts.uuid == *uuid) else { return };
        facts.mark = mark;
        if facts.worth_keeping() {
            self.store.replace(facts).unwrap_or_else(|e| log::warn!("{e}"));
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        for facts in self.facts.iter().filter(|facts| facts.worth_keeping()) {
            match self.begun.contains(&facts.uuid) {
                true => self.store.release(&facts.uuid),
                false => self.store.withdraw(&facts.uuid),
            }
        }
    }
}
