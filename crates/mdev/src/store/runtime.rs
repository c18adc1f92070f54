// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of running devices: one file for each device under `/run/libmdev/devices`, or a map for the simulated host.
//!
//! A record is written *before* the kernel is asked to make the device, so that a killed creator leaves either a record
//! without a device (forgotten by the next creator) or a device with its record. While its creator works, it holds the lock
//! `/run/libmdev/locks/device-<uuid>`, which distinguishes "not there yet" from "gone". As soon as the device exists, the
//! record has the device's identity, the inode number that sysfs never uses twice, so that a record is not taken for that of
//! another device of the same UUID.

use std::collections::HashMap;

use uuid::Uuid;

use super::files::FileStore;
use super::memory::{LockHook, MemoryLock, MemoryStore};
use super::record::DeviceRecord;
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
    pub fn memory(records: impl IntoIterator<Item = DeviceRecord>) -> Self {
        Runtime::Memory(MemoryStore::new(records))
    }

    /// The records of all devices. Reports and leaves out a record that cannot be used, and all of them if their folder cannot be
    /// read. Fails only when this process has run out of descriptors or memory.
    pub fn all(&self) -> Result<HashMap<Uuid, DeviceRecord>> {
        match self {
            Runtime::Files(store) => store.all(),
            Runtime::Memory(store) => Ok(store.all()),
        }
    }

    /// The record of one device. Fails if the record cannot be read, or is invalid: [`is_invalid_record`].
    ///
    /// [`is_invalid_record`]: super::is_invalid_record
    pub fn get(&self, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
        match self {
            Runtime::Files(store) => store.get(uuid),
            Runtime::Memory(store) => Ok(store.all().remove(uuid)),
        }
    }

    /// Removes the record of a device that no longer exists and had this identity, but not that of a later device with the same UUID.
    /// A failure is only logged: the record of a device that no longer exists is ignored.
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

    /// The device is no longer being made. In the store of files the end of its lock shows that.
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

    /// The types (id and name) that a parent has shown while its VFs had this `version`. Fails if they cannot be read;
    /// the caller must not replace them then.
    pub fn remembered_types(&self, parent: &str, version: u64) -> Result<Vec<(String, String)>> {
        match self {
            Runtime::Files(store) => store.remembered_types(parent, version),
            Runtime::Memory(store) => Ok(store.remembered_types(parent, version)),
        }
    }

    /// Remembers them. Not to be able to is nobody's failure.
    pub fn remember_types(&self, parent: &str, version: u64, types: &[(String, String)]) {
        match self {
            Runtime::Files(store) => store.remember_types(parent, version, types),
            Runtime::Memory(store) => store.remember_types(parent, version, types),
        }
    }
}

#[cfg(test)]
mod tests;
