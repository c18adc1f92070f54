// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runtime facts: one file for each device under `/run/libmdev/devices`, or a map for the simulated host.
//!
//! Facts are written *before* the kernel is asked to make the device, so that a creator killed half-way leaves either facts
//! without a device (forgotten by the next creator) or a device with its facts. While its creator works, it holds the lock
//! `/run/libmdev/locks/device-<uuid>`, which distinguishes "not there yet" from "gone". As soon as the device exists, the
//! file of facts has the device's mark, the inode number that sysfs never uses twice, so that facts are not taken for those of
//! another device of the same UUID.

use std::collections::HashMap;

use uuid::Uuid;

use super::files::FileStore;
use super::memory::{LockHook, MemoryLock, MemoryStore};
use super::record::Facts;
use crate::error::Result;

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

impl Runtime {
    /// The store below `run`, the host's folder for runtime files.
    pub fn files(run: &str) -> Self {
        Runtime::Files(FileStore::new(run))
    }

    /// A store that lives as long as the process.
    pub fn memory(facts: impl IntoIterator<Item = Facts>) -> Self {
        Runtime::Memory(MemoryStore::new(facts))
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
}

#[cfg(test)]
mod tests;
