// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of running devices: one file for each device under `/run/libmdev/devices`, or a map for the simulated host.
//!
//! A record is written *before* the write that creates the device. So a killed creator leaves either a record without a device, which
//! the next creator removes, or a device with its record. During the create, the creator holds the lock
//! `/run/libmdev/locks/device-<uuid>`: if a record has no device and the lock is held, the device is being created. When the device
//! exists, its record gets its identity, the inode number that sysfs never uses twice. So a record is never used for another device of
//! the same UUID.

use std::collections::HashMap;

use uuid::Uuid;

use super::files::FileStore;
use super::memory::{LockHook, MemoryLock, MemoryStore};
use super::record::DeviceRecord;
use crate::error::Result;

/// The records of one connection.
#[derive(Debug)]
pub enum Runtime {
    /// Files in `/run/libmdev`, or in the same folder below another root.
    Files(FileStore),
    /// A map, for the simulated host.
    Memory(MemoryStore),
}

/// A lock of the host, released on drop.
#[derive(Debug)]
pub enum HostLock<'a> {
    /// A lock file, for every process of the host.
    File(crate::lock::Lock),
    /// A lock of the simulated host.
    Memory(MemoryLock<'a>),
}

impl Runtime {
    /// Returns the store below `run`, the folder of the host for runtime files.
    pub fn files(run: &str) -> Self {
        Runtime::Files(FileStore::new(run))
    }

    /// Returns a store in memory with these records.
    pub fn memory(records: impl IntoIterator<Item = DeviceRecord>) -> Self {
        Runtime::Memory(MemoryStore::new(records))
    }

    /// Returns the records of all devices. Reports and leaves out an unusable record, and all records if their folder cannot be read.
    /// Fails only if this process has run out of descriptors or memory.
    pub fn all(&self) -> Result<HashMap<Uuid, DeviceRecord>> {
        match self {
            Runtime::Files(store) => store.all(),
            Runtime::Memory(store) => Ok(store.all()),
        }
    }

    /// Returns the record of one device; `None` if there is none. Fails if the record cannot be read, or is invalid:
    /// [`is_invalid_record`].
    ///
    /// [`is_invalid_record`]: super::is_invalid_record
    pub fn get(&self, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
        match self {
            Runtime::Files(store) => store.get(uuid),
            Runtime::Memory(store) => Ok(store.all().remove(uuid)),
        }
    }

    /// Removes the record of a device that had this identity and no longer exists, but not the record of a later device of the same UUID.
    /// Logs a failure: such a record is ignored anyway.
    pub fn forget(&self, uuid: &Uuid, identity: Option<u64>) {
        let own = |record: &DeviceRecord| identity.is_none_or(|identity| record.is_of(identity));
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

    /// Ends the state "being created" of a record. In the store of files, the release of the lock does that.
    pub(super) fn release(&self, uuid: &Uuid) {
        if let Runtime::Memory(store) = self {
            store.release(uuid);
        }
    }

    pub(super) fn replace(&self, record: &DeviceRecord) -> Result<()> {
        match self {
            Runtime::Files(store) => store.replace(record),
            Runtime::Memory(store) => {
                store.replace(record);
                Ok(())
            }
        }
    }

    /// Takes the lock of this name, a file below `/run/libmdev/locks`. Fails with ETIMEDOUT if one process holds it for 30 s; the error
    /// names that process.
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

    /// Returns the types (id and name) that a parent has shown while its VFs had this `version`. Fails if they cannot be read; the caller
    /// must not replace them then.
    pub fn remembered_types(&self, parent: &str, version: u64) -> Result<Vec<(String, String)>> {
        match self {
            Runtime::Files(store) => store.remembered_types(parent, version),
            Runtime::Memory(store) => Ok(store.remembered_types(parent, version)),
        }
    }

    /// Stores the types that a parent shows. Logs a failure: the types are only a convenience.
    pub fn remember_types(&self, parent: &str, version: u64, types: &[(String, String)]) {
        match self {
            Runtime::Files(store) => store.remember_types(parent, version, types),
            Runtime::Memory(store) => store.remember_types(parent, version, types),
        }
    }
}

#[cfg(test)]
mod tests;
