// SPDX-License-Identifier: LGPL-2.1-or-later
//! Uevents of the simulated kernel: each source has a buffer of limited size, as on the real kernel.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::SimHost;
use super::kernel::Kernel;
use super::tree::Ino;
use crate::fd::long_lived;
use crate::sysfs::uevent::{Action, Events, Signal, Uevent};
use crate::sysfs::{IoResult, basename};

/// The buffer size that the Linux implementation requests.
const ROOM: usize = 16 * 1024 * 1024;

/// Approximate size of a uevent in the real kernel's buffer, without its path.
const OVERHEAD: usize = 700;

/// The buffer of one source.
#[derive(Debug)]
pub(super) struct Queue {
    /// Readable while a signal is in the buffer.
    ready: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Signal>,
    bytes: usize,
    room: usize,
    /// As on the real kernel: after a loss, nothing is added until the buffer is empty.
    full: bool,
    followed: BTreeSet<String>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, signal: &Signal) {
        let mut state = self.lock();
        if matches!(signal, Signal::Written { path } if !state.followed.contains(path)) || state.full {
            return;
        }
        let size = size(signal);
        if state.bytes + size > state.room {
            state.full = true;
            state.waiting.push_front(Signal::Lost);
        } else {
            state.bytes += size;
            state.waiting.push_back(signal.clone());
        }
        if state.waiting.len() == 1 {
            // Fails only if the 64-bit counter is full; the eventfd is readable in that case.
            let _ = rustix::io::write(&self.ready, &1_u64.to_ne_bytes());
        }
    }

    fn pop(&self) -> Option<Signal> {
        let mut state = self.lock();
        let Some(signal) = state.waiting.pop_front() else {
            // After a fork, the child shares the eventfd but has its own copy of the host, so that the eventfd can be
            // readable while this buffer is empty.
            let _ = rustix::io::read(&self.ready, &mut [0_u8; 8]);
            return None;
        };
        state.bytes -= size(&signal).min(state.bytes);
        if state.waiting.is_empty() {
            state.full = false;
            let _ = rustix::io::read(&self.ready, &mut [0_u8; 8]);
        }
        Some(signal)
    }
}

fn size(signal: &Signal) -> usize {
    match signal {
        Signal::Event(event) => OVERHEAD + 2 * event.syspath.len(),
        Signal::Written { path } => path.len(),
        Signal::Lost => 0,
    }
}

/// Adds signals to the buffers of all sources. Removes the sources that were dropped.
pub(super) fn deliver(listeners: &mut Vec<Weak<Queue>>, signals: &[Signal]) {
    listeners.retain(|listener| {
        let Some(queue) = listener.upgrade() else { return false };
        signals.iter().for_each(|signal| queue.push(signal));
        true
    });
}

#[derive(Debug)]
pub(super) struct SimEvents {
    host: SimHost,
    queue: Arc<Queue>,
}

impl SimEvents {
    pub(super) fn new(host: &SimHost) -> IoResult<Self> {
        let ready = long_lived(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)?;
        let (waiting, followed) = (VecDeque::new(), BTreeSet::new());
        let state = Mutex::new(State { waiting, bytes: 0, room: ROOM, full: false, followed });
        let queue = Arc::new(Queue { ready, state });
        host.with(|kernel| kernel.listeners.push(Arc::downgrade(&queue)));
        Ok(SimEvents { host: host.clone(), queue })
    }
}

impl Events for SimEvents {
    fn fd(&self) -> BorrowedFd<'_> {
        self.queue.ready.as_fd()
    }

    fn next(&mut self) -> IoResult<Option<Signal>> {
        Ok(self.queue.pop())
    }

    fn follow(&mut self, path: &str) -> IoResult<Option<OwnedFd>> {
        self.host.with(|kernel| kernel.tree.find(path))?;
        self.queue.lock().followed.insert(path.to_owned());
        Ok(None)
    }

    fn unfollow(&mut self, path: &str) {
        self.queue.lock().followed.remove(path);
    }

    fn set_buffer_size(&mut self, bytes: usize) -> IoResult<()> {
        self.queue.lock().room = bytes;
        Ok(())
    }

    fn newest(&self) -> IoResult<u64> {
        Ok(self.host.with(|kernel| kernel.number))
    }
}

/// Sends a uevent of the device with this directory.
pub(super) fn announce(kernel: &mut Kernel, action: Action, dir: Ino) {
    let Ok(link) = kernel.link(dir, "subsystem") else { return };
    let path = kernel.tree.path(dir);
    send(kernel, action, path, basename(&link), None);
}

/// Sends the uevent of a device that is now a parent (`registered`) or no longer a parent.
pub(super) fn announce_parent(kernel: &mut Kernel, dir: Ino, registered: bool) {
    let Ok(link) = kernel.link(dir, "subsystem") else { return };
    let path = kernel.tree.path(dir);
    send(kernel, Action::Change, path, basename(&link), Some(registered));
}

/// Sends a uevent of a device; its directory need not exist in the tree.
pub(super) fn send(kernel: &mut Kernel, action: Action, syspath: String, subsystem: &str, registered: Option<bool>) {
    kernel.number += 1;
    let (subsystem, number) = (subsystem.to_owned(), kernel.number);
    kernel.outbox.push(Signal::Event(Uevent { action, syspath, subsystem, number, registered }));
}

/// Reports a write to this file.
pub(super) fn written(kernel: &mut Kernel, file: Ino) {
    let path = kernel.tree.path(file);
    kernel.outbox.push(Signal::Written { path });
}
