// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events of parents and slots.

use std::time::Instant;

use super::state::{ParentObservation, ParentState, read_parent};
use super::{EventKind, Monitor};
use crate::backend::{Place, Slot, Types, backend, layout, parents, places};
use crate::driver::{Host, ListFlags, Node};
use crate::error::{Error, Result, if_readable};
use crate::finding::report_unless_exhausted;
use crate::model::{LayoutKind, Parent};
use crate::sysfs::uevent::{Action, Uevent};

impl Monitor {
    /// Handles a uevent of a device that is not on the mdev bus: it may be a parent, or a slot.
    pub(super) fn parent_event(&mut self, event: &Uevent) -> Result<()> {
        let path = event.syspath.as_str();
        let is_removed = event.action == Action::Remove;
        if self.state.parents.contains_key(path) {
            let by_driver = event.action == Action::Change && event.registered.is_none();
            return if is_removed { self.parent_removed(path) } else { self.check_parent(path, by_driver) };
        }
        if let Some(slot) = self.state.slots.get(path) {
            let parent = slot.parent.clone();
            if matches!(event.action, Action::Remove | Action::Unbind) {
                self.slot_removed(path);
            }
            return self.check_parent(&parent, false);
        }
        if is_removed || event.action == Action::Unbind || event.registered == Some(false) {
            return Ok(());
        }
        let sysfs = &*self.conn.host.sysfs;
        let found = match places::at(sysfs, path, &event.subsystem) {
            Ok(found) => found.map(|target| target.place),
            Err(e) => return report_unless_exhausted(e),
        };
        match found {
            Some(place) if self.state.parents.contains_key(&place.syspath) => self.check_parent(&place.syspath, false),
            Some(place) => self.parent_added(place),
            None => Ok(()),
        }
    }

    fn parent_added(&mut self, place: Place) -> Result<()> {
        let ParentObservation::Present(parent) = read_parent(&self.conn.host, &place)? else { return Ok(()) };
        let parent = *parent;
        self.emit_parent(EventKind::Created, parent.clone());
        let kind = parent.layout;
        let slots = self.state.add_parent(&self.conn.host, place, parent)?;
        self.slots_added(&slots.added)?;
        self.check_dependent_parents(kind)
    }

    /// Checks the PFs without VFs again: such a PF is a parent only while the host can have vGPUs, which depends on the other PFs.
    fn check_dependent_parents(&mut self, kind: LayoutKind) -> Result<()> {
        if !layout(kind).parents_depend {
            return Ok(());
        }
        let places = backend(kind).parents(&*self.conn.host.sysfs, None)?;
        let new = places.into_iter().find(|place| !self.state.parents.contains_key(&place.syspath));
        if let Some(place) = new {
            // That call continues with the next PF.
            return self.parent_added(place);
        }
        let has_slots = |known: &ParentState| self.state.slots_on(&known.place.syspath).next().is_some();
        let is_idle = |known: &&ParentState| known.parent.layout == kind && !has_slots(known);
        let idle = self.state.parents.values().filter(is_idle).map(|known| known.place.syspath.clone());
        let mut idle: Vec<String> = idle.collect();
        idle.sort_unstable();
        idle.iter().try_for_each(|path| self.check_parent(path, false))
    }

    /// New slots may be devices already.
    fn slots_added(&mut self, slots: &[String]) -> Result<()> {
        self.follow(slots);
        slots.iter().try_for_each(|slot| self.check_slot(slot))
    }

    fn emit_parent(&mut self, kind: EventKind, parent: Parent) {
        let node = Node::listed_parent(self.conn.clone(), parent, ListFlags::empty());
        self.emit(kind, Some(node));
    }

    fn parent_removed(&mut self, path: &str) -> Result<()> {
        let Some(known) = self.state.parents.remove(path) else { return Ok(()) };
        let slots: Vec<String> = self.state.slots_on(path).map(|slot| slot.syspath.clone()).collect();
        slots.iter().for_each(|slot| self.slot_removed(slot));
        let kind = known.parent.layout;
        self.emit_parent(EventKind::Deleted, known.parent);
        self.check_dependent_parents(kind)
    }

    /// Reads a parent again.
    fn check_parent(&mut self, path: &str, emit_always: bool) -> Result<()> {
        let Some(known) = self.state.parents.get(path) else { return Ok(()) };
        let sysfs = &*self.conn.host.sysfs;
        let place = match places::at(sysfs, path, &known.place.subsystem) {
            Ok(Some(target)) => target.place,
            Ok(None) => return self.parent_removed(path),
            Err(e) => return report_unless_exhausted(e),
        };
        let parent = match read_parent(&self.conn.host, &place)? {
            ParentObservation::Present(parent) => *parent,
            ParentObservation::Absent => return self.parent_removed(path),
            ParentObservation::Unknown => return Ok(()),
        };
        if emit_always || parent != known.parent {
            self.emit_parent(EventKind::Updated, parent.clone());
        }
        let slots = self.state.add_parent(&self.conn.host, place, parent)?;
        for slot in slots.removed {
            self.source.unfollow(&slot.file);
            self.slot_removed(&slot.syspath);
        }
        self.slots_added(&slots.added)?;
        self.check_missed_slots(path)
    }

    /// Reads the counts of dirty parents, and of those whose recheck is due.
    pub(super) fn check_parents(&mut self, now: Instant) -> Result<()> {
        let mut due = Vec::new();
        for (path, known) in &mut self.state.parents {
            if let Some(recheck) = known.recheck.filter(|recheck| recheck.is_due(now)) {
                known.recheck = (!recheck.is_last()).then(|| recheck.next(now));
                known.dirty = true;
            }
            if std::mem::take(&mut known.dirty) {
                due.push(path.clone());
            }
        }
        // The order is the same in each run.
        due.sort_unstable();
        due.iter().try_for_each(|path| self.update_counts(path))
    }

    /// Reads the counts of available instances again.
    fn update_counts(&mut self, path: &str) -> Result<()> {
        let Some(known) = self.state.parents.get_mut(path) else { return Ok(()) };
        // If it no longer exists, the kernel sends `remove` later.
        let Some(now) = reread_types(&self.conn.host, known)? else { return Ok(()) };
        let parent = &mut known.parent;
        let is_changed = parent.types != now.types;
        (parent.types, parent.vfs) = (now.types, now.vfs);
        if is_changed {
            let parent = parent.clone();
            self.emit_parent(EventKind::Updated, parent);
        }
        self.check_missed_slots(path)
    }

    /// Reads slots that became devices, or no longer are devices, without an event: they could not be read at the time.
    fn check_missed_slots(&mut self, path: &str) -> Result<()> {
        let Some(known) = self.state.parents.get(path) else { return Ok(()) };
        let is_reported =
            |path: &String| self.state.devices.contains_key(path) || self.state.pending.contains_key(path);
        let is_missed =
            |slot: &&Slot| slot.was_device(&known.parent).is_some_and(|is| is != is_reported(&slot.syspath));
        let mut missed: Vec<String> =
            self.state.slots_on(path).filter(is_missed).map(|slot| slot.syspath.clone()).collect();
        missed.sort_unstable();
        missed.iter().try_for_each(|slot| self.check_slot(slot))
    }
}

/// The types of a parent with their counts now; `None` if they cannot be read.
fn reread_types(host: &Host, known: &ParentState) -> Result<Option<Types>> {
    let path = &known.place.syspath;
    let read = || parents::reread_types(&*host.sysfs.open(path)?, &host.runtime.records(), &known.parent);
    if_readable(read()).map_err(|errno| Error::io("read", path, errno))
}
