// SPDX-License-Identifier: LGPL-2.1-or-later
//! Wakes those who wait for a change of something in memory, as inotify does for files.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::fd::long_lived;

/// What is rung.
#[derive(Debug, Default)]
pub(super) struct Bell {
    ears: Mutex<Vec<Weak<OwnedFd>>>,
}

/// Hears a bell.
#[derive(Debug)]
pub struct Ear(Arc<OwnedFd>);

impl Bell {
    pub(super) fn ring(&self) {
        let mut ears = self.ears.lock().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|ear| {
            let Some(ear) = ear.upgrade() else { return false };
            // It can hold more than this ever adds.
            let _ = rustix::io::write(&ear, &1_u64.to_ne_bytes());
            true
        });
    }

    pub(super) fn listen(&self) -> Result<Ear, Errno> {
        let ear = Arc::new(long_lived(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)?);
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&ear));
        Ok(Ear(ear))
    }
}

impl Ear {
    /// Readable when it has rung since it was last asked.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// True when it has rung since it was last asked.
    pub fn has_heard(&self) -> bool {
        rustix::io::read(&self.0, &mut [0_u8; 8]).is_ok()
    }
}
