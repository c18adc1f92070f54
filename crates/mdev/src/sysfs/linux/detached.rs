// SPDX-License-Identifier: LGPL-2.1-or-later
//! Writes by a child process. The kernel blocks a write to `remove` until the last user has closed the device, and even SIGKILL
//! does not end such a write. So a child process writes, and the caller can stop waiting for it.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, getpid, waitpid};

use crate::sys::writer::{Report, Writing};
use crate::sysfs::{DetachedError, Errno};

use super::retry;

/// The time between two calls of `give_up`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Child processes that no caller waits for any more. The upper half of a number is the ID of the process that started the
/// child, the lower half is the ID of the child; 0 is a free place. After a fork(2), the new process has a copy of the list, but
/// not the children. The list has no lock, since another thread may hold a lock at the time of a fork.
static ABANDONED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// __WALL of waitpid(2): waits also for child processes without an exit signal.
const WALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

/// Waits for the report of a child process that writes `length` bytes. Fails if the write failed, the report cannot be read, or
/// `give_up` returned true.
pub(super) fn wait(writing: Writing, length: usize, give_up: &mut dyn FnMut() -> bool) -> Result<(), DetachedError> {
    let Writing { report, pid } = writing;
    let result = read_report(&report, length, give_up);
    match result {
        Ok(()) | Err(DetachedError::Write(_)) => drop(retry(|| waitpid(Some(pid), WALL))),
        // The process may be blocked in the kernel. It becomes a zombie when its write ends.
        Err(_) => abandon(pair(pid)),
    }
    result
}

fn read_report(report: &OwnedFd, length: usize, give_up: &mut dyn FnMut() -> bool) -> Result<(), DetachedError> {
    let mut next = Instant::now() + INTERVAL;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| DetachedError::NoReport(Errno::OVERFLOW))?;
        match poll(&mut [PollFd::new(report, PollFlags::IN)], Some(&left)) {
            Ok(0) if give_up() => return Err(DetachedError::GaveUp),
            Ok(0) => next = Instant::now() + INTERVAL,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(DetachedError::NoReport(errno)),
            Ok(_) => break,
        }
    }
    let mut bytes = [0_u8; size_of::<Report>()];
    let read = retry(|| rustix::io::read(report, &mut bytes)).map_err(DetachedError::NoReport)?;
    if read != bytes.len() {
        // The process was killed before it wrote its report.
        return Err(DetachedError::NoReport(Errno::PIPE));
    }
    let [a, b, c, d, rest @ ..] = bytes;
    match (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes(rest)) {
        (-1, errno) => Err(DetachedError::Write(Errno::from_raw_os_error(errno.clamp(1, 4095)))),
        (count, _) if usize::try_from(count) == Ok(length) => Ok(()),
        _ => Err(DetachedError::Write(Errno::IO)),
    }
}

/// Removes the zombies of abandoned processes that have ended. Does not block, and leaves child processes of the calling program
/// alone.
pub(super) fn reap() {
    let is_running = |pid| matches!(waitpid(Some(pid), WALL | WaitOptions::NOHANG), Ok(None) | Err(Errno::INTR));
    for place in &ABANDONED {
        if place.load(Ordering::Relaxed) == 0 {
            continue;
        }
        // The place is cleared first: after waitpid, the kernel can give the same ID to a child of the calling program, and
        // another thread must not wait for that child.
        let found = place.swap(0, Ordering::AcqRel);
        let pid = i32::try_from(found & u64::from(u32::MAX)).ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| found == pair(pid) && is_running(pid)) {
            abandon(found);
        }
    }
}

/// Returns the IDs of this process and of a child process in one number: see [`ABANDONED`].
fn pair(pid: Pid) -> u64 {
    let number = |pid: Pid| u64::from(pid.as_raw_nonzero().get().unsigned_abs());
    number(getpid()) << 32 | number(pid)
}

/// Adds a child process to the list for [`reap`]. If no place is free, it stays a zombie until this process ends.
fn abandon(pair: u64) {
    let is_listed =
        ABANDONED.iter().any(|place| place.compare_exchange(0, pair, Ordering::AcqRel, Ordering::Relaxed).is_ok());
    if !is_listed {
        log::debug!("more than {} child processes that write to sysfs are blocked", ABANDONED.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    /// Starts a process that reports these numbers when its input ends.
    fn start(numbers: Option<Report>) -> (Child, Writing) {
        let script = match numbers {
            Some([a, b]) => {
                let bytes = [a.to_ne_bytes(), b.to_ne_bytes()].concat();
                let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
                format!("cat; printf '{octal}'")
            }
            None => "cat".to_owned(),
        };
        let mut child =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let report = OwnedFd::from(child.stdout.take().unwrap());
        let pid = Pid::from_child(&child);
        (child, Writing { report, pid })
    }

    fn result_of(numbers: Option<Report>) -> Result<(), DetachedError> {
        let (mut child, writing) = start(numbers);
        drop(child.stdin.take());
        wait(writing, 2, &mut || false)
    }

    #[test]
    fn errno_of_the_driver_is_a_write_error() {
        assert_eq!(result_of(Some([2, 0])), Ok(()));
        assert_eq!(result_of(Some([1, 0])), Err(DetachedError::Write(Errno::IO)));
        for errno in [Errno::TIMEDOUT, Errno::AGAIN, Errno::NOMEM, Errno::IO] {
            assert_eq!(result_of(Some([-1, errno.raw_os_error()])), Err(DetachedError::Write(errno)));
        }
        assert_eq!(result_of(None), Err(DetachedError::NoReport(Errno::PIPE)));
    }

    /// After a fork, a child of the new process can have the ID of a child in the copied list.
    #[test]
    fn abandoned_process_of_another_process_is_not_waited_for() {
        let (mut child, writing) = start(None);
        drop(child.stdin.take());
        rustix::process::waitid(
            rustix::process::WaitId::Pid(writing.pid),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        abandon(pair(writing.pid) + (1 << 32));
        reap();
        assert!(child.wait().unwrap().success());
        assert!(ABANDONED.iter().all(|place| place.load(Ordering::Relaxed) != pair(writing.pid) + (1 << 32)));
    }

    #[test]
    fn abandoned_process_is_no_zombie_after_a_later_call() {
        let (mut child, writing) = start(None);
        let stat = PathBuf::from(format!("/proc/{}/stat", child.id()));
        assert_eq!(wait(writing, 2, &mut || true), Err(DetachedError::GaveUp));
        reap();
        assert!(stat.exists(), "the process still runs");
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while stat.exists() {
            assert!(Instant::now() < deadline, "a zombie: {:?}", std::fs::read_to_string(&stat));
            reap();
            std::thread::yield_now();
        }
    }
}
