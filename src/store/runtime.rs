// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runtime facts: one file for each device under `/run/libmdev/devices`, or a map for the simulated host.
//!
//! Facts are written *before* the kernel is asked to make the device, so that a creator killed half-way leaves either facts
//! without a device (forgotten by the next creator) or a device with its facts. While its creator works, it holds the lock
//! `/run/libmdev/locks/device-<uuid>`, which distinguishes "not there yet" from "gone". As soon as the device exists, the
//! file of facts has the device's mark, the inode number that sysfs never uses twice, so that facts are not taken for those of
//! another device of the same UUID.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files::FileStore;
use super::memory::{MemoryLock, MemoryStore};
use super::records::Records;
use super::reservation::Reservation;
use crate::error::{Error, ErrorCode, Result};
use crate::model::group_numbers;
use crate::model::name::{is_attribute, is_plain_component};
use crate::time::nanoseconds;

/// A sysfs attribute takes one page.
const VALUE_MAX: usize = 4095;

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
    /// Id of the group that it was created in: [`Runtime::begin_batch`]. It has a meaning while that group is incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Uuid>,
    /// The kernel may not show the type of the device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub type_hidden: bool,
    /// Set for a record without a mark whose creator no longer runs: when the record was written, or the write for the device
    /// began, in nanoseconds. Whether the creator made the device is then unknown, and another program may have made one of this
    /// UUID.
    #[serde(skip)]
    pub abandoned: Option<u64>,
}

/// How long after the start of the creator's write its device may appear. No driver has been seen to block the write
/// for longer. A killed creator ends only after the write.
const LATE: Duration = Duration::from_secs(120);

impl Facts {
    /// There is something here that the kernel could not tell.
    pub fn worth_keeping(&self) -> bool {
        self.name.is_some()
            || self.group.is_some()
            || self.params.is_some()
            || self.owner.is_some()
            || !self.attributes.is_empty()
            || self.function.is_some()
            || self.batch.is_some()
            || self.type_hidden
    }

    /// Every group number that the device may have: the one it was made with, and those of its attributes.
    fn groups(&self) -> impl Iterator<Item = u32> {
        group_numbers(self.group, &self.attributes)
    }

    /// The same where the device may still appear; none otherwise.
    pub(super) fn groups_held(&self) -> Vec<u32> {
        if self.may_still_appear() { self.groups().collect() } else { Vec::new() }
    }

    /// A device that appeared at this time may be the one of a killed creator, whose record this is.
    pub fn may_have_made(&self, appeared: u64) -> bool {
        let bound = |written: u64| written.saturating_add(u64::try_from(LATE.as_nanos()).unwrap_or(u64::MAX));
        self.abandoned.is_none_or(|written| appeared <= bound(written))
    }

    /// A node that appeared at this time existed before a killed creator began to make its device.
    pub fn began_after(&self, appeared: u64) -> bool {
        // File times lag by up to one tick of the kernel's clock; 1 s is more than that.
        self.abandoned.is_some_and(|began| appeared.saturating_add(1_000_000_000) < began)
    }

    /// The device of a killed creator may still appear.
    pub fn may_still_appear(&self) -> bool {
        self.abandoned.is_some() && self.may_have_made(nanoseconds(SystemTime::now()))
    }

    /// Why no request can have had these values; `None` if they are valid. A record is checked as a request is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let texts = [Some(&self.parent), Some(&self.type_id), self.name.as_ref(), self.function.as_ref()];
        if !texts.into_iter().flatten().all(|text| text.is_empty() || is_plain_component(text)) {
            return Some("a name in it is longer than 255 bytes, or has a '/' or a control character");
        }
        if self.owner.as_ref().is_some_and(|owner| owner.len() > 255 || owner.chars().any(char::is_control)) {
            return Some("its owner is longer than 255 bytes or has a control character");
        }
        if self.params.as_ref().is_some_and(|params| params.len() > VALUE_MAX) {
            return Some("its parameters are longer than a sysfs file");
        }
        let is_valid = |(name, value): &(String, String)| {
            is_attribute(name) && !name.chars().any(char::is_control) && value.len() <= VALUE_MAX
        };
        (!self.attributes.iter().all(is_valid)).then_some("an attribute in it has no valid name or value")
    }

    /// These facts are about the device with this mark, not about a former one of the same UUID.
    pub fn are_of(&self, mark: u64) -> bool {
        self.mark.is_none_or(|known| known == mark)
    }
}

/// Returns the group numbers in use that no record has: shown by a driver, or defined.
pub type GroupsInUse<'a> = dyn Fn() -> Result<Vec<u32>> + 'a;

/// Devices that are to share one group number, which no device has.
#[derive(Clone, Copy)]
pub struct NewGroup<'a> {
    /// The devices; none: no group is needed.
    pub members: &'a [Uuid],
    /// Called under the lock of the store, if a group is needed. It must not read from a driver, which may block.
    pub in_use: &'a GroupsInUse<'a>,
}

impl<'a, const N: usize> From<&'a [Uuid; N]> for NewGroup<'a> {
    fn from(members: &'a [Uuid; N]) -> Self {
        NewGroup { members, in_use: &|| Ok(Vec::new()) }
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

    /// The records as a new look at the host reads them.
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// The records of all devices. Reports and leaves out a record that cannot be used, and all of them if their folder cannot be
    /// read. Fails only when this process has run out of descriptors or memory.
    pub fn all(&self) -> Result<HashMap<Uuid, Facts>> {
        match self {
            Runtime::Files(store) => store.all(),
            Runtime::Memory(store) => Ok(store.all()),
        }
    }

    /// The record of one device. Fails if the record cannot be read, or is invalid: [`is_invalid_record`].
    ///
    /// [`is_invalid_record`]: super::is_invalid_record
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

    pub(super) fn withdraw(&self, uuid: &Uuid) {
        match self {
            Runtime::Files(store) => store.withdraw(uuid),
            Runtime::Memory(store) => store.withdraw(uuid),
        }
    }

    /// The device is no longer being made. In the store of files the end of its lock shows that.
    pub(super) fn release(&self, uuid: &Uuid) {
        if let Runtime::Memory(store) = self {
            store.release(uuid);
        }
    }

    pub(super) fn replace(&self, facts: &Facts) -> Result<()> {
        match self {
            Runtime::Files(store) => store.replace(facts),
            Runtime::Memory(store) => {
                store.replace(facts);
                Ok(())
            }
        }
    }

    /// Takes the lock of this name, a file below `/run/libmdev/locks`. ETIMEDOUT, which names the holder, when one holder
    /// keeps it for 30 s.
    pub fn lock(&self, name: &str) -> Result<HostLock<'_>> {
        match self {
            Runtime::Files(store) => store.host_lock(name).map(HostLock::File),
            Runtime::Memory(store) => store.lock(name).map(HostLock::Memory),
        }
    }

    /// Sets the hook that is called with the name of each lock of the simulated host before it is taken.
    pub fn set_lock_hook(&self, hook: Option<Box<LockHook>>) {
        if let Runtime::Memory(store) = self {
            store.set_lock_hook(hook);
        }
    }

    /// The types (id and name) that a parent has shown while its VFs had this `stamp`. Fails if they cannot be read;
    /// the caller must not replace them then.
    pub fn catalogue(&self, parent: &str, stamp: u64) -> Result<Vec<(String, String)>> {
        match self {
            Runtime::Files(store) => store.catalogue(parent, stamp),
            Runtime::Memory(store) => Ok(store.catalogue(parent, stamp)),
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
        let group = free_group(living, (new_group.in_use)()?)?;
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
fn free_group(living: &[Facts], in_use: Vec<u32>) -> Result<u32> {
    let mut taken: Vec<u32> = living.iter().flat_map(Facts::groups).chain(in_use).collect();
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
mod tests;
