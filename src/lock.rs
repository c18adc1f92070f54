// SPDX-License-Identifier: LGPL-2.1-or-later
//! flock(2) with a bound on the wait, for sysfs directories and for the store.
//!
//! flock itself can wait for ever or not at all. Who finds the lock taken watches its file with inotify: the holder's
//! close of its descriptor is the event that says "try again". No signal, no thread, no polling.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock, inotify};
use rustix::io::Errno;

/// A holder that is killed closes its descriptor a moment before the kernel drops its lock, and without inotify (the limit
/// of instances may be used up) nothing tells at all: look again after this long whatever happens.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An exclusive lock; ends when it is dropped.
#[derive(Debug)]
pub struct Lock {
    fd: OwnedFd,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the close, so that those whom the close wakes find the lock free.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Locks the open file or directory, whose description must be the lock's own. ETIMEDOUT at the deadline.
    pub fn acquire(fd: OwnedFd, deadline: Instant) -> Result<Lock, Errno> {
        if try_lock(&fd)? {
            return Ok(Lock { fd });
        }
        let closes = watch_closes(&fd);
        loop {
            // Between the failed attempt and the watch the holder may have gone, so try first.
            if try_lock(&fd)? {
                return Ok(Lock { fd });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::TIMEDOUT);
            }
            wait(closes.as_ref(), left.min(LOOK_AGAIN))?;
        }
    }
}

/// Takes the lock when it is free.
pub fn try_lock(fd: impl AsFd) -> Result<bool, Errno> {
    loop {
        match flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether another open file has the lock. Takes it for a moment, shared, so that two callers do not see each other.
pub fn is_locked(fd: impl AsFd) -> Result<bool, Errno> {
    loop {
        match flock(fd.as_fd(), FlockOperation::NonBlockingLockShared) {
            Ok(()) => return flock(fd.as_fd(), FlockOperation::Unlock).map(|()| false),
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `None` where inotify is not to be had; the wait then ends by time alone.
fn watch_closes(fd: &OwnedFd) -> Option<OwnedFd> {
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
    let flags = inotify::WatchFlags::CLOSE_NOWRITE | inotify::WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&inotify, format!("/proc/self/fd/{}", fd.as_raw_fd()), flags).ok()?;
    Some(inotify)
}

fn wait(closes: Option<&OwnedFd>, bound: Duration) -> Result<(), Errno> {
    let timeout = Timespec::try_from(bound).map_err(|_| Errno::OVERFLOW)?;
    let mut fds: Vec<PollFd<'_>> = closes.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno),
    }
    if let Some(fd) = closes {
        // Which descriptor was closed does not matter, only that one was.
        let mut events = [0_u8; 1024];
        while rustix::io::read(fd, &mut events).is_ok_and(|n| n > 0) {}
    }
    Ok(())
}
