// SPDX-License-Identifier: LGPL-2.1-or-later
//! flock(2) on a sysfs directory, with a bound on the wait.
//!
//! flock itself can wait for ever or not at all. Who finds the lock taken watches the directory with inotify: the holder's
//! close of its descriptor is the event that says "try again". No signal, no thread, no polling.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock, inotify};

use super::{proc_path, reopen, retry};
use crate::sysfs::{Errno, Guard, IoResult};

/// A holder that is killed closes its descriptor a moment before the kernel drops its lock, and without inotify (the limit
/// of instances may be used up) nothing tells at all: look again after this long whatever happens.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct DirLock {
    fd: OwnedFd,
}

impl Guard for DirLock {}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Before the close, so that those whom the close wakes find the lock free.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

pub(super) fn acquire(dir: BorrowedFd<'_>, deadline: Instant) -> IoResult<Box<dyn Guard>> {
    let fd = reopen(dir)?;
    if try_lock(&fd)? {
        return Ok(Box::new(DirLock { fd }));
    }
    let closes = watch_closes(&fd);
    loop {
        // Between the failed attempt and the watch the holder may have gone, so try first.
        if try_lock(&fd)? {
            return Ok(Box::new(DirLock { fd }));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::TIMEDOUT);
        }
        wait(closes.as_ref(), left.min(LOOK_AGAIN))?;
    }
}

fn try_lock(fd: &OwnedFd) -> IoResult<bool> {
    match retry(|| flock(fd, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// `None` where inotify is not to be had; the wait then ends by time alone.
fn watch_closes(dir: &OwnedFd) -> Option<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
    let flags = inotify::WatchFlags::CLOSE_NOWRITE;
    inotify::add_watch(&fd, proc_path(dir), flags).ok()?;
    Some(fd)
}

fn wait(closes: Option<&OwnedFd>, bound: Duration) -> IoResult<()> {
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
