// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events of devices.

use std::time::Instant;

use super::state::{DeviceState, Observation, Pending, Recheck};
use super::{EventKind, Monitor};
use crate::backend::Folders;
use crate::backend::devices::{id_of, locate_same};
use crate::driver::wait_device::READY_TIMEOUT;
use crate::driver::{Host, Node};
use crate::error::Result;
use crate::model::Device;
use crate::sysfs::uevent::{Action, Uevent};

impl Monitor {
    /// Handles a uevent of a device on the mdev bus.
    pub(super) fn device_event(&mut self, event: &Uevent) -> Result<()> {
        let path = event.syspath.as_str();
        if let Some(known) = self.state.devices.get_mut(path) {
            match event.action {
                Action::Unbind => known.unbound = true,
                Action::Bind if known.is_bound() => return Ok(()),
                _ => {}
            }
        }
        let known = self.state.devices.contains_key(path);
        match event.action {
            Action::Remove => self.removed(event),
            // The driver of a device is unbound just before the device is removed.
            Action::Unbind | Action::Move => Ok(()),
            Action::Add if known => Ok(()),
            Action::Bind if known => self.check_device(path, false),
            Action::Change | Action::Online | Action::Offline if known => self.check_device(path, true),
            _ => {
                let now = Instant::now();
                let pending = self.state.pending.entry(path.to_owned()).or_insert_with(|| Pending::new(now));
                if event.action == Action::Bind {
                    // Its last links follow at once.
                    (pending.bound, pending.recheck) = (true, Recheck::first(now));
                }
                self.check_pending(path, now)
            }
        }
    }

    fn removed(&mut self, event: &Uevent) -> Result<()> {
        let path = event.syspath.as_str();
        if event.number <= self.newest_after && is_there(&self.conn.host, self.state.devices.get(path))? {
            // The removed device had the same UUID, before this one.
            return Ok(());
        }
        let pending = self.state.pending.remove(path);
        if let Some(known) = self.state.devices.remove(path) {
            self.emit_deleted(known.device);
        } else if pending.is_some_and(|pending| pending.bound) {
            // The device was ready before it was removed. A device that was never ready is a failed create.
            if let Some(device) = self.state.departed(path) {
                self.emit_device(EventKind::Created, device.clone());
                self.emit_deleted(device);
            }
        }
        self.state.mark_parent_dirty(path, true);
        Ok(())
    }

    fn emit_deleted(&mut self, device: Device) {
        self.emit_device(EventKind::Deleted, Device { active: false, ..device });
    }

    fn emit_device(&mut self, kind: EventKind, device: Device) {
        let node = Node::device(self.conn.clone(), device);
        self.emit(kind, Some(node));
    }

    /// Reads a reported device again.
    fn check_device(&mut self, path: &str, emit_always: bool) -> Result<()> {
        match self.state.observe(&self.conn.host, path)? {
            // The kernel sends `remove` later.
            Observation::Absent | Observation::Unknown => Ok(()),
            Observation::Ready(now) | Observation::NotReady(now) => {
                let before = self.state.devices.get(path);
                if emit_always || before.is_none_or(|before| before.device != now.device) {
                    self.emit_device(EventKind::Updated, now.device.clone());
                }
                self.state.devices.insert(path.to_owned(), *now);
                Ok(())
            }
        }
    }

    /// Reads a pending device, and reports it if it is ready.
    fn check_pending(&mut self, path: &str, now: Instant) -> Result<()> {
        let observation = self.state.observe(&self.conn.host, path)?;
        let Some(pending) = self.state.pending.get_mut(path) else { return Ok(()) };
        let age = now.saturating_duration_since(pending.since);
        let known = match observation {
            // A device without driver and IOMMU group may be complete: no further uevent is certain.
            Observation::Ready(known)
                if known.device.iommu_group.is_some() || pending.bound || pending.recheck.is_last() =>
            {
                known
            }
            // A list contains it, too.
            Observation::NotReady(known) if age >= READY_TIMEOUT => known,
            Observation::Absent => {
                pending.removed = true;
                return Ok(());
            }
            // It is read again after the next write to it, or with its parent.
            Observation::Unknown if age >= READY_TIMEOUT => {
                self.state.pending.remove(path);
                return Ok(());
            }
            _ => {
                if pending.recheck.is_due(now) {
                    pending.recheck = pending.recheck.next(now);
                }
                return Ok(());
            }
        };
        self.state.pending.remove(path);
        let before = self.state.devices.get(path);
        match before.map(|before| before.device != known.device) {
            None => self.emit_device(EventKind::Created, known.device.clone()),
            Some(true) => self.emit_device(EventKind::Updated, known.device.clone()),
            Some(false) => {}
        }
        self.state.devices.insert(path.to_owned(), *known);
        self.state.mark_parent_dirty(path, false);
        Ok(())
    }

    /// Reads pending devices whose recheck is due.
    pub(super) fn check_all_pending(&mut self, now: Instant) -> Result<()> {
        let due = self.state.pending.iter().filter(|(_, pending)| !pending.removed && pending.recheck.is_due(now));
        let due: Vec<String> = due.map(|(path, _)| path.clone()).collect();
        due.iter().try_for_each(|path| self.check_pending(path, now))
    }

    /// Reads a slot after a write to the file that makes it a device.
    pub(super) fn check_slot(&mut self, path: &str) -> Result<()> {
        if !self.state.slots.contains_key(path) {
            return Ok(());
        }
        let (now, ready) = match self.state.observe(&self.conn.host, path)? {
            Observation::Unknown => return Ok(()),
            Observation::Absent => (None, false),
            Observation::NotReady(known) => (Some(known), false),
            Observation::Ready(known) => (Some(known), true),
        };
        let is_same = |before: &DeviceState| {
            now.as_ref().is_some_and(|now| now.device.uuid == before.device.uuid && now.identity == before.identity)
        };
        let before = self.state.devices.get(path);
        if before.is_some_and(is_same) || (before.is_none() && now.is_none() && !self.state.pending.contains_key(path))
        {
            return Ok(());
        }
        self.state.pending.remove(path);
        if let Some(before) = self.state.devices.remove(path) {
            self.emit_deleted(before.device);
        }
        match now {
            Some(known) if ready => {
                self.emit_device(EventKind::Created, known.device.clone());
                self.state.devices.insert(path.to_owned(), *known);
            }
            Some(_) => {
                let pending = Pending { bound: true, ..Pending::new(Instant::now()) };
                self.state.pending.insert(path.to_owned(), pending);
            }
            None => {}
        }
        self.state.mark_parent_dirty(path, true);
        Ok(())
    }

    /// A slot was removed, and its device with it.
    pub(super) fn slot_removed(&mut self, path: &str) {
        if let Some(slot) = self.state.slots.remove(path) {
            self.source.unfollow(&slot.file);
        }
        self.state.pending.remove(path);
        if let Some(known) = self.state.devices.remove(path) {
            self.emit_deleted(known.device);
        }
    }
}

/// Returns whether the known device, and not a later one, is still on the bus.
fn is_there(host: &Host, known: Option<&DeviceState>) -> Result<bool> {
    let Some(DeviceState { device, .. }) = known else { return Ok(false) };
    let records = host.runtime.records();
    Ok(locate_same(&Folders::new(&*host.sysfs), &records, device.layout, &id_of(device))?.is_some())
}
