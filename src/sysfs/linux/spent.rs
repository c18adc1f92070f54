// SPDX-License-Identifier: LGPL-2.1-or-later
//! Descriptors that have done their work and wait to be closed together.
//!
//! Reading a host is an open, a read and a close for each attribute. close_range(2) closes a run of neighbouring
//! descriptors in one call, which makes the third of these calls nearly free. Only runs that consist of nothing but our
//! own descriptors are closed that way, so another thread's descriptor can never be hit: the numbers in between are ours,
//! and stay ours until they are closed.

use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, OnceLock, PoisonError};

use std::os::fd::AsRawFd;

use crate::sysfs::{Errno, IoResult};

/// How many may wait: few enough not to be felt in a process with a limit of 1024.
const BATCH: usize = 32;

/// Closes every descriptor from the first to the last, both included; false when it could not and closed none.
type RangeCloser = fn(RawFd, RawFd) -> bool;

static RANGE_CLOSER: OnceLock<RangeCloser> = OnceLock::new();

/// Installs the function that closes a run of descriptors. Taking raw numbers it is nothing for safe code, so the C layer,
/// which may hold `unsafe`, brings it. Without one, descriptors are closed one by one.
pub fn set_range_closer(closer: RangeCloser) {
    // A second connection brings the same function again.
    let _ = RANGE_CLOSER.set(closer);
}

/// The descriptors of one host that wait.
#[derive(Debug, Default)]
pub(super) struct Spent {
    fds: Mutex<Vec<OwnedFd>>,
}

impl Spent {
    pub(super) fn push(&self, fd: OwnedFd) {
        let full = {
            let mut fds = self.fds.lock().unwrap_or_else(PoisonError::into_inner);
            fds.push(fd);
            (fds.len() >= BATCH).then(|| std::mem::replace(&mut *fds, Vec::with_capacity(BATCH)))
        };
        if let Some(fds) = full {
            close(fds);
        }
    }

    /// In a crowded process what waits here may be all that is missing.
    pub(super) fn with_room<T>(&self, mut open: impl FnMut() -> IoResult<T>) -> IoResult<T> {
        match open() {
            Err(Errno::MFILE | Errno::NFILE) if self.close_all() => open(),
            result => result,
        }
    }

    /// True when there was something to close.
    pub(super) fn close_all(&self) -> bool {
        let fds = std::mem::take(&mut *self.fds.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !fds.is_empty();
        close(fds);
        any
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.close_all();
    }
}

fn close(mut fds: Vec<OwnedFd>) {
    let Some(closer) = RANGE_CLOSER.get() else { return };
    fds.sort_unstable_by_key(AsRawFd::as_raw_fd);
    while !fds.is_empty() {
        // The run at the end, which can be taken off without moving the rest.
        let raw = |i: usize| fds[i].as_raw_fd();
        let start = (1..fds.len()).rev().find(|i| raw(i - 1) + 1 != raw(*i)).unwrap_or(0);
        let (first, last) = (raw(start), raw(fds.len() - 1));
        let closed = first != last && closer(first, last);
        for fd in fds.drain(start..) {
            if closed {
                // Dropping it would close whoever has the number now.
                let _ = fd.into_raw_fd();
            }
        }
    }
}
