// SPDX-License-Identifier: LGPL-2.1-or-later
//! The records of devices, as one look at the host reads them.

use std::collections::HashMap;

use once_cell::unsync::OnceCell;
use uuid::Uuid;

use super::files::{is_invalid_record, report_record};
use super::record::DeviceRecord;
use super::runtime::Runtime;
use crate::error::Result;

/// The records of a host, read when first needed. A look at the host reads them after the VFs that they are compared with,
/// since a creator first writes the record of a device; so each look has its own.
#[derive(Debug)]
pub struct Records<'a> {
    store: &'a Runtime,
    all: OnceCell<HashMap<Uuid, DeviceRecord>>,
}

impl Runtime {
    /// The records as a new look at the host reads them.
    pub fn records(&self) -> Records<'_> {
        Records { store: self, all: OnceCell::new() }
    }
}

impl Records<'_> {
    /// All records. One that cannot be read is reported and left out.
    pub fn all(&self) -> Result<&HashMap<Uuid, DeviceRecord>> {
        self.all.get_or_try_init(|| self.store.all())
    }

    /// The record of one device. An invalid record is reported and is about no device. Fails if the record cannot be read.
    pub fn get(&self, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
        match self.store.get(uuid) {
            Err(e) if is_invalid_record(&e) => {
                report_record(&e);
                Ok(None)
            }
            result => result,
        }
    }

    /// The types (id and name) that a parent has shown while its VFs had this version.
    pub fn types_of(&self, parent: &str, version: u64) -> Result<Vec<(String, String)>> {
        self.store.remembered_types(parent, version)
    }

    /// Remembers them. A failure is only logged.
    pub fn remember_types(&self, parent: &str, version: u64, types: &[(String, String)]) {
        self.store.remember_types(parent, version, types);
    }
}
