// SPDX-License-Identifier: LGPL-2.1-or-later
//! The records of devices, as one search of the host reads them.

use std::collections::HashMap;

use once_cell::unsync::OnceCell;
use uuid::Uuid;

use super::files::{is_invalid_record, report_record};
use super::record::DeviceRecord;
use super::runtime::Runtime;
use crate::error::Result;

/// The records of a host, read on first use. Each search of the host has its own value, and uses it only after it has read the VFs that
/// it compares with the records: a creator writes the record before the device.
#[derive(Debug)]
pub struct Records<'a> {
    store: &'a Runtime,
    all: OnceCell<HashMap<Uuid, DeviceRecord>>,
}

impl Runtime {
    /// Returns the records for one search of the host. They are read on first use.
    pub fn records(&self) -> Records<'_> {
        Records { store: self, all: OnceCell::new() }
    }
}

impl Records<'_> {
    /// Returns all records. Reports and leaves out a record that cannot be read. Fails only if this process has run out of descriptors or
    /// memory.
    pub fn all(&self) -> Result<&HashMap<Uuid, DeviceRecord>> {
        self.all.get_or_try_init(|| self.store.all())
    }

    /// Returns the record of one device. Reports an invalid record, which describes no device. Fails if the record cannot be read.
    pub fn get(&self, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
        match self.store.get(uuid) {
            Err(e) if is_invalid_record(&e) => {
                report_record(&e);
                Ok(None)
            }
            result => result,
        }
    }

    /// Returns the types (id and name) that a parent has shown while its VFs had this version.
    pub fn types_of(&self, parent: &str, version: u64) -> Result<Vec<(String, String)>> {
        self.store.remembered_types(parent, version)
    }

    /// Stores the types that a parent shows. Logs a failure.
    pub fn remember_types(&self, parent: &str, version: u64, types: &[(String, String)]) {
        self.store.remember_types(parent, version, types);
    }
}
