// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of devices that are being created.

use uuid::Uuid;

use super::record::{DeviceRecord, FindDevice, NewGroup};
use super::runtime::Runtime;
use crate::error::Result;

impl Runtime {
    /// Reserves names and groups for new devices, and writes their records. Also removes the records of devices that no longer exist:
    /// those for which `find` does not return [`RecordedDevice::Own`]. Fails if a name or UUID is in use.
    ///
    /// [`RecordedDevice::Own`]: super::RecordedDevice::Own
    pub fn reserve<'g>(
        &self,
        mut records: Vec<DeviceRecord>,
        new_group: impl Into<NewGroup<'g>>,
        find: &FindDevice<'_>,
    ) -> Result<Reservation<'_>> {
        let group = new_group.into();
        if group.members.is_empty() && !records.iter().any(DeviceRecord::worth_keeping) {
            if let Runtime::Files(store) = self {
                // The new device must not get the name or owner in the record of a killed creator of the same UUID.
                records.iter().for_each(|new| store.forget_abandoned(&new.uuid));
            }
            return Ok(Reservation::new(self, records, Vec::new()));
        }
        let locks = match self {
            Runtime::Files(store) => store.reserve(&mut records, group, find)?,
            Runtime::Memory(store) => {
                store.reserve(&mut records, group, find)?;
                Vec::new()
            }
        };
        Ok(Reservation::new(self, records, locks))
    }
}

/// Reserved names and groups. On drop, the record of a device is removed, unless a write for the device has begun
/// ([`Reservation::begin`]) and the device may exist ([`Reservation::absent`] was not called): without its record, an existing device
/// could not be identified. A panic leaves the same records as the kill of a creator.
#[derive(Debug)]
pub struct Reservation<'a> {
    store: &'a Runtime,
    records: Vec<DeviceRecord>,
    /// Devices that exist, or may exist.
    begun: Vec<Uuid>,
    /// The locks of the devices: other processes find that the devices are being created. Empty for the simulated host.
    _locks: Vec<crate::lock::Lock>,
}

impl<'a> Reservation<'a> {
    fn new(store: &'a Runtime, records: Vec<DeviceRecord>, locks: Vec<crate::lock::Lock>) -> Self {
        Reservation { store, records, begun: Vec::new(), _locks: locks }
    }

    /// Returns the reserved records, with their groups.
    pub fn records(&self) -> &[DeviceRecord] {
        &self.records
    }

    /// Must be called before each write that creates a device. Sets the mtime of its record to the current time: the records of a group
    /// are all written before the first device is created.
    pub fn begin(&mut self, uuid: &Uuid) {
        let Some(record) = self.records.iter().find(|record| record.uuid == *uuid) else { return };
        if let (Runtime::Files(store), None, true) = (self.store, record.identity, record.worth_keeping()) {
            store.set_mtime(uuid);
        }
        if !self.begun.contains(uuid) {
            self.begun.push(*uuid);
        }
    }

    /// Must be called if the device does not exist: its record is then removed on drop.
    pub fn absent(&mut self, uuid: &Uuid) {
        self.begun.retain(|begun| begun != uuid);
    }

    /// Must be called when all devices exist; `current_identity` returns the identity of each. The records are then final for other
    /// processes. Fails if a record cannot be written.
    pub fn confirm(&mut self, current_identity: &dyn Fn(&DeviceRecord) -> Option<u64>) -> Result<()> {
        self.begun = self.records.iter().map(|record| record.uuid).collect();
        for record in self.records.iter_mut().filter(|record| record.worth_keeping()) {
            if record.identity.is_none() {
                record.identity = current_identity(record);
            } else if let Runtime::Files(_) = self.store {
                // The record has the identity already.
                continue;
            }
            self.store.replace(record)?;
        }
        Ok(())
    }

    /// Writes the identity of a created device on the mdev bus to its record, so that the record identifies the device even if the creator
    /// is killed. Fails if the record cannot be written.
    pub fn set_identity(&mut self, uuid: &Uuid, identity: u64) -> Result<()> {
        let Runtime::Files(store) = self.store else { return Ok(()) };
        let own = |record: &&mut DeviceRecord| record.uuid == *uuid && record.worth_keeping();
        let Some(record) = self.records.iter_mut().find(own) else { return Ok(()) };
        let updated = DeviceRecord { identity: Some(identity), ..record.clone() };
        store.replace(&updated)?;
        *record = updated;
        Ok(())
    }

    /// Must be called if a device exists although its creation has failed: its record stays, with the identity of the device.
    pub fn keep(&mut self, uuid: &Uuid, identity: Option<u64>) {
        self.begin(uuid);
        let Some(record) = self.records.iter_mut().find(|record| record.uuid == *uuid) else { return };
        record.identity = identity;
        if record.worth_keeping() {
            self.store.replace(record).unwrap_or_else(|e| log::warn!("{e}"));
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        for record in self.records.iter().filter(|record| record.worth_keeping()) {
            match self.begun.contains(&record.uuid) {
                true => self.store.release(&record.uuid),
                false => self.store.withdraw(&record.uuid),
            }
        }
    }
}
