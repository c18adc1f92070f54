// SPDX-License-Identifier: LGPL-2.1-or-later
//! How parents come, change and go.

use std::time::Instant;

use super::state::{KnownParent, Read, Vf, read_parent};
use super::{EventKind, Monitor};
use crate::backend::mdev_bus::types::read_counts;
use crate::backend::places::{self, Place};
use crate::driver::{Host, ListFlags, Node};
use crate::error::{Error, Result};
use crate::finding::report_unless_exhausted;
use crate::model::{LayoutKind, Parent};
use crate::sysfs::is_exhausted;
use crate::sysfs::uevent::{Action, Uevent};

impl Monitor {
    /// The kernel speaks of a device that is none of ours; but it may be a parent, or a VF of one.
    pub(super) fn other_event(&mut self, event: &Uevent) -> Result<()> {
        let path = event.syspath.as_str();
        let is_gone = event.action == Action::Remove;
        if self.memory.parents.contains_key(path) {
            let said = event.action == Action::Change && event.registered.is_none();
            return if is_gone { self.parent_gone(path) } else { self.check_parent(path, said) };
        }
        if let Some(vf) = self.memory.vfs.get(path) {
            let parent = vf.parent.clone();
            if matches!(event.action, Action::Remove | Action::Unbind) {
                self.function_gone(path);
            }
            return self.check_parent(&parent, false);
        }
        if is_gone || event.action == Action::Unbind || event.registered == Some(false) {
            return Ok(());
        }
        let sysfs = &*self.conn.host.sysfs;
        let found = match places::parent_of(sysfs, path, &event.subsystem) {
            Ok(found) => found,
            Err(errno) => return report_unless_exhausted(Error::io("look at", path, errno)),
        };
        match found {
            Some(place) if self.memory.parents.contains_key(&place.syspath) => self.check_parent(&place.syspath, false),
            Some(place) => self.parent_came(place),
            None => Ok(()),
        }
    }

    fn parent_came(&mut self, place: Place) -> Result<()> {
        let Read::Parent(parent) = read_parent(&self.conn.host, &place)? else { return Ok(()) };
        let parent = *parent;
        self.parent_told(EventKind::Created, parent.clone());
        let is_vendor = parent.layout == LayoutKind::VendorVfio;
        let vfs = self.memory.add_parent(&self.conn.host, place, parent)?;
        self.new_functions(&vfs.new)?;
        if is_vendor { self.look_at_idle_cards() } else { Ok(()) }
    }

    /// A PF without VFs is a parent only while vGPUs can be made on the host, which depends on other PFs, too.
    fn look_at_idle_cards(&mut self) -> Result<()> {
        let places = places::physical_functions(&*self.conn.host.sysfs)?;
        let new = places.into_iter().find(|place| !self.memory.parents.contains_key(&place.syspath));
        if let Some(place) = new {
            // That call looks for the next card.
            return self.parent_came(place);
        }
        let is_idle =
            |known: &&KnownParent| known.parent.layout == LayoutKind::VendorVfio && known.parent.functions.is_empty();
        let idle = self.memory.parents.values().filter(is_idle).map(|known| known.place.syspath.clone());
        let mut idle: Vec<String> = idle.collect();
        idle.sort_unstable();
        idle.iter().try_for_each(|path| self.check_parent(path, false))
    }

    /// They may be devices already.
    fn new_functions(&mut self, vfs: &[String]) -> Result<()> {
        self.follow(vfs);
        vfs.iter().try_for_each(|vf| self.look_at_function(vf))
    }

    fn parent_told(&mut self, kind: EventKind, parent: Parent) {
        let node = Node::listed_parent(self.conn.clone(), parent, ListFlags::empty());
        self.tell(kind, Some(node));
    }

    fn parent_gone(&mut self, path: &str) -> Result<()> {
        let Some(known) = self.memory.parents.remove(path) else { return Ok(()) };
        let vfs = self.memory.vfs.iter().filter(|(_, vf)| vf.parent == path).map(|(vf, _)| vf.clone());
        for vf in vfs.collect::<Vec<_>>() {
            self.function_gone(&vf);
        }
        let is_vendor = known.parent.layout == LayoutKind::VendorVfio;
        self.parent_told(EventKind::Deleted, known.parent);
        if is_vendor { self.look_at_idle_cards() } else { Ok(()) }
    }

    /// Reads a parent anew.
    fn check_parent(&mut self, path: &str, tell_anyway: bool) -> Result<()> {
        let Some(known) = self.memory.parents.get(path) else { return Ok(()) };
        let sysfs = &*self.conn.host.sysfs;
        let place = match places::parent_of(sysfs, path, &known.place.subsystem) {
            Ok(Some(place)) => place,
            Ok(None) => return self.parent_gone(path),
            Err(errno) => return report_unless_exhausted(Error::io("look at", path, errno)),
        };
        let parent = match read_parent(&self.conn.host, &place)? {
            Read::Parent(parent) => *parent,
            Read::Gone => return self.parent_gone(path),
            Read::Unknown => return Ok(()),
        };
        if tell_anyway || parent != known.parent {
            self.parent_told(EventKind::Updated, parent.clone());
        }
        let vfs = self.memory.add_parent(&self.conn.host, place, parent)?;
        vfs.gone.iter().for_each(|vf| self.function_gone(vf));
        self.new_functions(&vfs.new)?;
        self.look_at_missed(path)
    }

    /// Those on which something has happened, and those whose time has come.
    pub(super) fn look_at_parents(&mut self, now: Instant) -> Result<()> {
        let mut due = Vec::new();
        for (path, known) in &mut self.memory.parents {
            while known.looks.front().is_some_and(|at| *at <= now) {
                known.looks.pop_front();
                known.dirty = true;
            }
            if std::mem::take(&mut known.dirty) {
                due.push(path.clone());
            }
        }
        // In an order that does not change from run to run.
        due.sort_unstable();
        due.iter().try_for_each(|path| self.count(path))
    }

    /// Reads the numbers of available instances anew.
    fn count(&mut self, path: &str) -> Result<()> {
        let Some(known) = self.memory.parents.get_mut(path) else { return Ok(()) };
        let before = known.parent.clone();
        if !read_numbers(&self.conn.host, &known.place, &mut known.parent)? {
            // The kernel will say that it is gone.
            known.parent = before;
            return Ok(());
        }
        if known.parent.types != before.types {
            let parent = known.parent.clone();
            self.parent_told(EventKind::Updated, parent);
        }
        self.look_at_missed(path)
    }

    fn look_at_missed(&mut self, path: &str) -> Result<()> {
        self.missed_functions(path).iter().try_for_each(|vf| self.look_at_function(vf))
    }

    /// VFs that are devices, or no longer, without a write that was seen: they could not be read when it happened.
    fn missed_functions(&self, path: &str) -> Vec<String> {
        let Some(known) = self.memory.parents.get(path) else { return Vec::new() };
        let functions = &known.parent.functions;
        let type_of = |vf: &Vf| functions.iter().find(|now| now.entry == vf.function.entry).map(|now| &now.type_id);
        let told = |path: &String| self.memory.devices.contains_key(path) || self.memory.coming.contains_key(path);
        let vfs = self.memory.vfs.iter().filter(|(_, vf)| !functions.is_empty() && vf.parent == path);
        let mut missed: Vec<String> = vfs
            .filter(|(vf, of)| type_of(of).is_some_and(|now| now.is_some() != told(vf)))
            .map(|(vf, _)| vf.clone())
            .collect();
        missed.sort_unstable();
        missed
    }
}

/// False when they are not there any more.
fn read_numbers(host: &Host, place: &Place, parent: &mut Parent) -> Result<bool> {
    let known = match parent.functions.is_empty() {
        true => match host.sysfs.open(&place.syspath) {
            Ok(dir) => read_counts(&*dir, parent.layout, &mut parent.types),
            Err(errno) => Err(errno),
        },
        // Which types there are is a question of what is left as well.
        false => {
            let Read::Parent(now) = read_parent(host, place)? else { return Ok(false) };
            *parent = *now;
            return Ok(true);
        }
    };
    match known {
        Ok(()) => Ok(true),
        Err(errno) if is_exhausted(errno) => Err(Error::io("read", &place.syspath, errno)),
        Err(_) => Ok(false),
    }
}
