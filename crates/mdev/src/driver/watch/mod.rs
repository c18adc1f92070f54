// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reports changes of nodes: added, changed, removed. The caller polls a descriptor; there is no thread.
//!
//! A uevent names one node, and may come before the node is complete. The monitor reads that node, never the whole host. The events of one
//! node are in order; a device is reported when it is ready for use, which may be after a later device.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::{Conn, Node};
use crate::backend::Slot;
use crate::error::Result;
pub use crate::model::EventKind;
use crate::monitor::{Change, Source};
use crate::sysfs::POLL_INTERVAL;

mod definitions;
mod devices;
mod parents;
mod state;

use state::HostState;

/// After so many changes the counts of dirty parents are read even though more changes wait: otherwise no count would be reported while a
/// host is busy. Large enough that devices created at once cost few reads of their parent.
const MAX_BATCH: u32 = 64;

/// An event, with the node at that time.
#[derive(Debug)]
pub struct Event {
    /// The kind of the event.
    pub kind: EventKind,
    /// The node; `None` for [`EventKind::Overrun`].
    pub node: Option<Node>,
}

/// A source of events: see [`Conn::monitor`].
#[derive(Debug)]
pub struct Monitor {
    conn: Conn,
    source: Source,
    state: HostState,
    out: VecDeque<Event>,
    /// The state may be wrong: the host has to be read again.
    stale: bool,
    /// Changes since the counts of dirty parents were read.
    batch: u32,
    /// The newest uevent when the host was about to be read: it and all before it are part of the state.
    newest_before: u64,
    /// The newest uevent when the host had been read: it and those before it may be part of the state.
    newest_after: u64,
}

impl Conn {
    /// Starts to receive events. Every later change is an event, so a list that is read after this call misses no change. Fails if this
    /// process or host has run out of descriptors or memory.
    pub fn monitor(&self) -> Result<Monitor> {
        let source = Source::new(&*self.host.sysfs, &self.host.definitions)?;
        let state = HostState::default();
        let out = VecDeque::new();
        let conn = self.clone();
        let (newest_before, newest_after) = (0, 0);
        let mut monitor = Monitor { conn, source, state, out, stale: false, batch: 0, newest_before, newest_after };
        monitor.read_host()?;
        monitor.source.wake_at(monitor.state.next_check());
        let HostState { parents, devices, definitions, .. } = &monitor.state;
        log::info!(
            "listening: {} parents, {} devices and {} definitions are known",
            parents.len(),
            devices.len(),
            definitions.len()
        );
        Ok(monitor)
    }
}

impl Monitor {
    /// Returns a descriptor that is readable while [`Monitor::receive`] may have an event.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd()
    }

    /// Sets the number of bytes of unread uevents that the kernel keeps. Fails if the kernel refuses the size.
    pub fn set_buffer_size(&mut self, bytes: usize) -> Result<()> {
        self.source.set_buffer_size(bytes)
    }

    /// Drops all events until now, and reads the host again.
    pub fn start_over(&mut self) -> Result<()> {
        self.stale = true;
        self.resync()?;
        self.out.clear();
        self.source.wake_at(self.state.next_check());
        Ok(())
    }

    /// Returns the next event, or `None` if there is none now; does not wait. Fails if a node cannot be read; the monitor remains
    /// usable.
    pub fn receive(&mut self) -> Result<Option<Event>> {
        let result = self.next();
        match &result {
            Ok(Some(_)) => self.source.wake_now(),
            Ok(None) => self.source.wake_at(self.state.next_check()),
            // The usual cause, exhausted descriptors or memory, ends without an event.
            Err(_) => {
                self.stale = true;
                self.source.wake_at(Some(Instant::now() + POLL_INTERVAL));
            }
        }
        result
    }

    fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return Ok(Some(event));
            }
            if self.stale {
                self.resync()?;
                continue;
            }
            if let Some(change) = self.source.fetch()? {
                self.handle(change)?;
                self.batch += 1;
                if self.batch < MAX_BATCH {
                    continue;
                }
            }
            let more_wait = self.batch >= MAX_BATCH;
            self.batch = 0;
            self.check_due()?;
            if self.out.is_empty() && !more_wait && !self.stale {
                return Ok(None);
            }
        }
    }

    fn handle(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Kernel(event) if event.number != 0 && event.number <= self.newest_before => Ok(()),
            Change::Kernel(event) => match event.subsystem.as_str() {
                "mdev" => self.device_event(&event),
                // The device itself has uevents for the same change.
                "vfio" | "vfio-dev" => Ok(()),
                _ => self.parent_event(&event),
            },
            Change::Written(file) => {
                let slot = self.state.slots.values().find(|slot| slot.file == file).map(|slot| slot.syspath.clone());
                slot.map_or(Ok(()), |path| self.check_slot(&path))
            }
            Change::Definition { parent, file } => self.check_definition(&parent, &file),
            Change::DefinitionsOf(parent) => self.check_definitions(Some(&parent)),
            Change::Definitions => self.check_definitions(None),
            Change::Lost => {
                self.stale = true;
                Ok(())
            }
        }
    }

    /// Reads nodes whose recheck is due, and the counts of dirty parents.
    fn check_due(&mut self) -> Result<()> {
        let now = Instant::now();
        self.check_all_pending(now)?;
        self.check_parents(now)
    }

    /// After lost events: drops all events, and reads the host again.
    fn resync(&mut self) -> Result<()> {
        self.source.discard()?;
        self.read_host()?;
        self.state.recheck_all_parents();
        self.stale = false;
        self.emit(EventKind::Overrun, None);
        Ok(())
    }

    fn read_host(&mut self) -> Result<()> {
        self.newest_before = self.source.newest()?;
        let old = std::mem::replace(&mut self.state, HostState::read(&self.conn.host)?);
        // A change of a slot before it was followed is not an event.
        if self.state.slots.keys().any(|slot| !old.slots.contains_key(slot)) {
            self.follow_all();
            self.state = HostState::read(&self.conn.host)?;
        }
        self.newest_after = self.source.newest()?;
        let gone = old.slots.into_values().filter(|slot| !self.state.slots.contains_key(&slot.syspath));
        gone.for_each(|slot| self.source.unfollow(&slot.file));
        self.follow_all();
        Ok(())
    }

    fn follow_all(&mut self) {
        let slots: Vec<String> = self.state.slots.keys().cloned().collect();
        self.follow(&slots);
    }

    /// The kernel sends no uevents for devices on slots; inotify reports writes to their files.
    fn follow(&mut self, slots: &[String]) {
        for slot in slots {
            let Some(Slot { file, .. }) = self.state.slots.get(slot) else { continue };
            if let Err(errno) = self.source.follow(file) {
                log::warn!("{file}: cannot be followed, so devices on {slot} are not reported: {errno}");
            }
        }
    }

    fn emit(&mut self, kind: EventKind, node: Option<Node>) {
        self.out.push_back(Event { kind, node });
    }
}
