// SPDX-License-Identifier: LGPL-2.1-or-later
//! Writes by a process of their own: the kernel blocks the writer of `remove` until the last user of the device has closed
//! it, and not even SIGKILL ends that. The caller must not be the one who waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sysfs::{Errno, IoResult};

use super::retry;

/// Between two questions whether to give up.
const INTERVAL: Duration = Duration::from_secs(1);

/// A process that writes.
#[derive(Debug)]
pub struct Writing {
    /// Where it writes a [`Report`] when the write has returned.
    pub report: OwnedFd,
    /// Its process id. It raises no SIGCHLD, and only a wait for such processes finds it.
    pub pid: rustix::process::Pid,
}

/// Two numbers of four bytes each: how much was written or -1, and the errno.
pub type Report = [i32; 2];

/// Starts a process that writes these bytes to the file in a single write.
pub type DetachedWriter = fn(BorrowedFd<'_>, &[u8]) -> IoResult<Writing>;

static WRITER: OnceLock<DetachedWriter> = OnceLock::new();

/// Installs the function that starts such a process. It cannot be written in safe code, so the C layer brings it; without
/// one, the caller itself writes.
pub fn set_detached_writer(writer: DetachedWriter) {
    // A second connection brings the same function again.
    let _ = WRITER.set(writer);
}

pub(super) fn writer() -> Option<DetachedWriter> {
    WRITER.get().copied()
}

pub(super) fn write(
    writer: DetachedWriter,
    file: &OwnedFd,
    value: &[u8],
    give_up: &mut dyn FnMut() -> bool,
) -> IoResult<()> {
    let Writing { report, pid } = writer(file.as_fd(), value)?;
    let mut next = Instant::now() + INTERVAL;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let mut wakes = [PollFd::new(&report, PollFlags::IN)];
        match poll(&mut wakes, Some(&Timespec::try_from(left).map_err(|_| Errno::OVERFLOW)?)) {
            Ok(0) => {
                if give_up() {
                    // The process stays until the kernel lets it go, and then a zombie until this process ends.
                    return Err(Errno::TIMEDOUT);
                }
                next = Instant::now() + INTERVAL;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    let mut bytes = [0_u8; size_of::<Report>()];
    let read = retry(|| rustix::io::read(&report, &mut bytes))?;
    let _ = retry(|| rustix::process::waitpid(Some(pid), WALL));
    if read != bytes.len() {
        // It was killed before its write.
        return Err(Errno::IO);
    }
    let [a, b, c, d, rest @ ..] = bytes;
    match (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes(rest)) {
        (-1, errno) => Err(Errno::from_raw_os_error(errno.clamp(1, 4095))),
        (count, _) if usize::try_from(count) == Ok(value.len()) => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Also waits for processes without exit signal.
const WALL: rustix::process::WaitOptions = rustix::process::WaitOptions::from_bits_retain(0x4000_0000);
