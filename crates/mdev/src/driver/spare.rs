// SPDX-License-Identifier: LGPL-2.1-or-later
//! Descriptors reserved for the removal of a device: when a create fails, the process may have no descriptor left.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use crate::fd::long_lived;
use crate::sysfs::IoResult;

/// The number of descriptors: the bus, the parent, the lock of a PF with its watch, the group, and the file that removes the device.
const COUNT: usize = 6;

#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<OwnedFd>>);

impl Spare {
    /// Opens the missing descriptors. Called before the first write of a create, which fails if this fails.
    pub(super) fn fill(&self) -> IoResult<()> {
        let mut fds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while fds.len() < COUNT {
            fds.push(long_lived(eventfd(0, EventfdFlags::CLOEXEC)?)?);
        }
        Ok(())
    }

    /// Closes the descriptors, so that the process can open others. The next create opens them again.
    pub(super) fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
