// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tells how the nodes of a host come, change and go, while the caller's own loop turns: no thread.
//!
//! What the kernel says is short and sometimes early, so each word of it makes the monitor look at the one node that it is
//! about, never at the whole host. What is told is in order: a device is created when it is ready for use, which may be
//! after the next one's.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::{Conn, Node};
use crate::error::Result;
pub use crate::model::EventKind;
use crate::monitor::{Change, Source};

mod definitions;
mod devices;
mod parents;
mod state;

use state::Memory;

/// After so many changes the numbers of available instances are looked at even though more changes wait.
const PATIENCE: u32 = 64;

/// When the host could not be read anew after a loss, it is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// Something that happened, with the node as it was then.
#[derive(Debug)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To which node; none after a loss.
    pub node: Option<Node>,
}

/// A source of events for a caller that polls.
#[derive(Debug)]
pub struct Monitor {
    conn: Conn,
    source: Source,
    memory: Memory,
    out: VecDeque<Event>,
    /// Memory is not to be relied on.
    lost: bool,
    taken: u32,
    /// Events with a number up to this one were over before memory was read.
    before: u64,
    /// And those up to this one may have been.
    during: u64,
}

impl Conn {
    /// Starts to listen. What happens from here on is told, so that whoever lists afterwards misses nothing.
    pub fn monitor(&self) -> Result<Monitor> {
        let source = Source::new(&*self.host.sysfs, &self.host.definitions)?;
        let memory = Memory::default();
        let out = VecDeque::new();
        let conn = self.clone();
        let mut monitor = Monitor { conn, source, memory, out, lost: false, taken: 0, before: 0, during: 0 };
        monitor.read_host()?;
        monitor.source.wake_at(monitor.memory.next_look());
        let Memory { parents, devices, definitions, .. } = &monitor.memory;
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
    /// Readable when [`Monitor::receive`] may have something; as long as it gives events, too.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd()
    }

    /// How many bytes of the kernel's events may wait.
    pub fn set_buffer_size(&mut self, bytes: usize) -> Result<()> {
        self.source.set_buffer_size(bytes)
    }

    /// Forgets what was not fetched yet, and tells from now on.
    pub fn start_over(&mut self) -> Result<()> {
        self.lost = true;
        self.catch_up()?;
        self.out.clear();
        self.source.wake_at(self.memory.next_look());
        Ok(())
    }

    /// The next event, without waiting.
    pub fn receive(&mut self) -> Result<Option<Event>> {
        let result = self.next();
        match &result {
            Ok(Some(_)) => self.source.wake_now(),
            Ok(None) => self.source.wake_at(self.memory.next_look()),
            Err(_) => {
                self.lost = true;
                self.source.wake_at(Some(Instant::now() + RETRY));
            }
        }
        result
    }

    fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return Ok(Some(event));
            }
            if self.lost {
                self.catch_up()?;
                continue;
            }
            if let Some(change) = self.source.fetch()? {
                self.take(change)?;
                self.taken += 1;
                if self.taken < PATIENCE {
                    continue;
                }
            }
            let waits = self.taken >= PATIENCE;
            self.taken = 0;
            self.look_again()?;
            if self.out.is_empty() && !waits && !self.lost {
                return Ok(None);
            }
        }
    }

    fn take(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Kernel(event) if event.number != 0 && event.number <= self.before => Ok(()),
            Change::Kernel(event) => match event.subsystem.as_str() {
                "mdev" => self.device_event(&event),
                // They tell nothing that the device's own events do not.
                "vfio" | "vfio-dev" => Ok(()),
                _ => self.other_event(&event),
            },
            Change::Written(file) => self.look_at_function(state::vf_of(&file)),
            Change::Definition { parent, file } => self.look_at_definition(&parent, &file),
            Change::DefinitionsOf(parent) => self.look_at_definitions(Some(&parent)),
            Change::Definitions => self.look_at_definitions(None),
            Change::Lost => {
                self.lost = true;
                Ok(())
            }
        }
    }

    /// What is due by time, and what was put off until there was nothing else to do.
    fn look_again(&mut self) -> Result<()> {
        let now = Instant::now();
        self.look_at_coming(now)?;
        self.look_at_parents(now)
    }

    /// After a loss: everything that waits is part of it, and the host is read anew.
    fn catch_up(&mut self) -> Result<()> {
        self.source.discard()?;
        self.read_host()?;
        self.memory.touch_all_parents();
        self.lost = false;
        self.tell(EventKind::Overrun, None);
        Ok(())
    }

    fn read_host(&mut self) -> Result<()> {
        self.before = self.source.newest()?;
        let old = std::mem::replace(&mut self.memory, Memory::read(&self.conn.host)?);
        // What became of a VF before it was followed was seen by nobody.
        if self.memory.vfs.keys().any(|vf| !old.vfs.contains_key(vf)) {
            let vfs: Vec<String> = self.memory.vfs.keys().cloned().collect();
            self.follow(&vfs);
            self.memory = Memory::read(&self.conn.host)?;
        }
        self.during = self.source.newest()?;
        let gone = old.vfs.into_keys().filter(|vf| !self.memory.vfs.contains_key(vf));
        gone.for_each(|vf| self.source.unfollow(&state::followed(&vf)));
        let vfs: Vec<String> = self.memory.vfs.keys().cloned().collect();
        self.follow(&vfs);
        Ok(())
    }

    /// The kernel tells nothing when VFs become devices, but who writes to their files can be seen.
    fn follow(&mut self, vfs: &[String]) {
        for vf in vfs {
            let file = state::followed(vf);
            if let Err(errno) = self.source.follow(&file) {
                log::warn!("{file}: devices that come and go here are not seen: {errno}");
            }
        }
    }

    fn tell(&mut self, kind: EventKind, node: Option<Node>) {
        self.out.push_back(Event { kind, node });
    }
}
