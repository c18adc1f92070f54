// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reports changes of data in memory by a descriptor, as inotify does for files.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::fd::long_lived;

/// Notifies all listeners.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    listeners: Mutex<Vec<Weak<OwnedFd>>>,
}

/// Is notified until it is dropped.
#[derive(Debug)]
pub struct Listener(Arc<OwnedFd>);

impl Notifier {
    pub(super) fn notify(&self) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| {
            let Some(listener) = listener.upgrade() else { return false };
            // Fails only if the 64-bit counter is full. The descriptor is readable then.
            let _ = rustix::io::write(&listener, &1_u64.to_ne_bytes());
            true
        });
    }

    pub(super) fn listen(&self) -> Result<Listener, Errno> {
        let listener = Arc::new(long_lived(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)?);
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&listener));
        Ok(Listener(listener))
    }
}

impl Listener {
    /// Returns a descriptor that is readable after a notification, until [`Listener::take`] is called.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns whether there was a notification since the last call.
    pub fn take(&self) -> bool {
        rustix::io::read(&self.0, &mut [0_u8; 8]).is_ok()
    }
}
