// SPDX-License-Identifier: LGPL-2.1-or-later
//! How devices come and go.

use std::time::{Duration, Instant};

use super::state::{Coming, Known, Look, followed};
use super::{EventKind, Monitor};
use crate::driver::spots;
use crate::driver::{Host, Node};
use crate::error::Result;
use crate::model::Device;
use crate::sysfs::basename;
use crate::sysfs::uevent::{Action, Uevent};

/// A device that no driver takes, or that an old kernel says nothing more about, is what it is after this long.
const UNBOUND: Duration = Duration::from_millis(100);

/// One that never becomes ready is told all the same, as a list has it.
const NEVER: Duration = Duration::from_secs(5);

/// The longest time between two looks at one that is coming.
const PAUSE: Duration = Duration::from_millis(500);

impl Monitor {
    /// The kernel speaks of a device on the mdev bus.
    pub(super) fn device_event(&mut self, event: &Uevent) -> Result<()> {
        let path = event.syspath.as_str();
        if let Some(known) = self.memory.devices.get_mut(path) {
            match event.action {
                Action::Unbind => known.unbound = true,
                Action::Bind if known.is_bound() => return Ok(()),
                _ => {}
            }
        }
        let known = self.memory.devices.contains_key(path);
        match event.action {
            Action::Remove => self.removed(event),
            // Its driver goes just before it, as a rule.
            Action::Unbind | Action::Move => Ok(()),
            Action::Add if known => Ok(()),
            Action::Bind if known => self.check(path, false),
            Action::Change | Action::Online | Action::Offline if known => self.check(path, true),
            _ => {
                let now = Instant::now();
                let coming = self.memory.coming.entry(path.to_owned()).or_insert_with(|| Coming::new(now));
                coming.bound = coming.bound || event.action == Action::Bind;
                self.look_at(path, now)
            }
        }
    }

    fn removed(&mut self, event: &Uevent) -> Result<()> {
        let path = event.syspath.as_str();
        if event.number <= self.during && is_there(&self.conn.host, self.memory.devices.get(path))? {
            // This speaks of one that had the UUID before the one that we know.
            return Ok(());
        }
        let coming = self.memory.coming.remove(path);
        if let Some(known) = self.memory.devices.remove(path) {
            self.gone(known.device);
        } else if coming.is_some_and(|coming| coming.bound) {
            // It was ready for a moment. One that was not failed to be made.
            if let Some(device) = self.memory.vanished(path) {
                self.told(EventKind::Created, device.clone());
                self.gone(device);
            }
        }
        self.memory.touch_parent_of(path, true);
        Ok(())
    }

    fn gone(&mut self, device: Device) {
        self.told(EventKind::Deleted, Device { active: false, ..device });
    }

    fn told(&mut self, kind: EventKind, device: Device) {
        let node = Node::device(self.conn.clone(), device);
        self.tell(kind, Some(node));
    }

    /// Looks at a device that was told whether it is what it was.
    fn check(&mut self, path: &str, tell_anyway: bool) -> Result<()> {
        match self.memory.look(&self.conn.host, path)? {
            // The kernel will say so.
            Look::Gone | Look::Unknown => Ok(()),
            Look::Ready(now) | Look::NotReady(now) => {
                let before = self.memory.devices.get(path);
                if tell_anyway || before.is_none_or(|before| before.device != now.device) {
                    self.told(EventKind::Updated, now.device.clone());
                }
                self.memory.devices.insert(path.to_owned(), *now);
                Ok(())
            }
        }
    }

    /// Looks at a device that is coming.
    fn look_at(&mut self, path: &str, now: Instant) -> Result<()> {
        let look = self.memory.look(&self.conn.host, path)?;
        let Some(coming) = self.memory.coming.get_mut(path) else { return Ok(()) };
        let age = now.saturating_duration_since(coming.since);
        let known = match look {
            Look::Ready(known) if known.device.iommu_group.is_some() || coming.bound || age >= UNBOUND => known,
            Look::NotReady(known) if age >= NEVER => known,
            Look::Gone => {
                coming.gone = true;
                return Ok(());
            }
            // The next write to it is looked at, or the next look at its parent.
            Look::Unknown if age >= NEVER => {
                self.memory.coming.remove(path);
                return Ok(());
            }
            _ => {
                coming.next = now + coming.pause;
                coming.pause = (coming.pause * 2).min(PAUSE);
                return Ok(());
            }
        };
        self.memory.coming.remove(path);
        let before = self.memory.devices.get(path);
        match before.map(|before| before.device != known.device) {
            None => self.told(EventKind::Created, known.device.clone()),
            Some(true) => self.told(EventKind::Updated, known.device.clone()),
            Some(false) => {}
        }
        self.memory.devices.insert(path.to_owned(), *known);
        self.memory.touch_parent_of(path, false);
        Ok(())
    }

    /// Those whose time has come.
    pub(super) fn look_at_coming(&mut self, now: Instant) -> Result<()> {
        let due = self.memory.coming.iter().filter(|(_, coming)| !coming.gone && coming.next <= now);
        let due: Vec<String> = due.map(|(path, _)| path.clone()).collect();
        due.iter().try_for_each(|path| self.look_at(path, now))
    }

    /// Somebody wrote to what makes a VF a device, and makes it none.
    pub(super) fn look_at_function(&mut self, vf: &str) -> Result<()> {
        if !self.memory.vfs.contains_key(vf) {
            return Ok(());
        }
        let (now, ready) = match self.memory.look(&self.conn.host, vf)? {
            Look::Unknown => return Ok(()),
            Look::Gone => (None, false),
            Look::NotReady(known) => (Some(known), false),
            Look::Ready(known) => (Some(known), true),
        };
        let is_same = |before: &Known| {
            now.as_ref().is_some_and(|now| now.device.uuid == before.device.uuid && now.mark == before.mark)
        };
        let before = self.memory.devices.get(vf);
        if before.is_some_and(is_same) || (before.is_none() && now.is_none() && !self.memory.coming.contains_key(vf)) {
            return Ok(());
        }
        self.memory.coming.remove(vf);
        if let Some(before) = self.memory.devices.remove(vf) {
            self.gone(before.device);
        }
        match now {
            Some(known) if ready => {
                self.told(EventKind::Created, known.device.clone());
                self.memory.devices.insert(vf.to_owned(), *known);
            }
            Some(_) => {
                let coming = Coming { bound: true, ..Coming::new(Instant::now()) };
                self.memory.coming.insert(vf.to_owned(), coming);
            }
            None => {}
        }
        self.memory.touch_parent_of(vf, true);
        Ok(())
    }

    /// A VF went, and its device with it.
    pub(super) fn function_gone(&mut self, vf: &str) {
        self.source.unfollow(&followed(vf));
        self.memory.vfs.remove(vf);
        self.memory.coming.remove(vf);
        if let Some(known) = self.memory.devices.remove(vf) {
            self.gone(known.device);
        }
    }
}

/// The very device that is known is on the bus.
fn is_there(host: &Host, known: Option<&Known>) -> Result<bool> {
    let Some(known) = known else { return Ok(false) };
    let Some(bus) = spots::open_devices(host)? else { return Ok(false) };
    let Ok(uuid) = basename(&known.device.syspath).parse() else { return Ok(false) };
    let mark = spots::bus_mark(&*bus, &uuid).map_err(|errno| spots::bus_error(&uuid, errno))?;
    Ok(mark.is_some() && mark == known.mark)
}
