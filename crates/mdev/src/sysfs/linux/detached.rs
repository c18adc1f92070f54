// SPDX-License-Identifier: LGPL-2.1-or-later
//! Writes by a process of their own: the kernel blocks the writer of `remove` until the last user of the device has closed
//! it, and not even SIGKILL ends that. So a child process does the write, and the caller waits for it with a bound.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, getpid, waitpid};

use crate::sys::writer::{Report, Writing};
use crate::sysfs::{DetachedError, Errno};

use super::retry;

/// Between two questions whether to give up.
const INTERVAL: Duration = Duration::from_secs(1);

/// Processes that nothing waits for any more: the process that started them in the upper half, their own id in the lower one; 0
/// is a free place. A copy of this process (fork(2)) has the list and not the children. It has no lock, which another thread
/// might hold at the moment of the copy.
static ABANDONED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Also waits for processes without exit signal.
const WALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

/// Waits for the report of a process that writes `length` bytes.
pub(super) fn wait(writing: Writing, length: usize, give_up: &mut dyn FnMut() -> bool) -> Result<(), DetachedError> {
    let Writing { report, pid } = writing;
    let result = read_report(&report, length, give_up);
    match result {
        Ok(()) | Err(DetachedError::Write(_)) => drop(retry(|| waitpid(Some(pid), WALL))),
        // The process may be blocked in the kernel, and is a zombie when that ends.
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
        // The process was killed before it wrote its answer.
        return Err(DetachedError::NoReport(Errno::PIPE));
    }
    let [a, b, c, d, rest @ ..] = bytes;
    match (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes(rest)) {
        (-1, errno) => Err(DetachedError::Write(Errno::from_raw_os_error(errno.clamp(1, 4095)))),
        (count, _) if usize::try_from(count) == Ok(length) => Ok(()),
        _ => Err(DetachedError::Write(Errno::IO)),
    }
}

/// Removes the zombies of abandoned processes that have ended. Never waits, and never for a process of the caller's own.
pub(super) fn reap() {
    let is_left = |pid| matches!(waitpid(Some(pid), WALL | WaitOptions::NOHANG), Ok(None) | Err(Errno::INTR));
    for place in &ABANDONED {
        if place.load(Ordering::Relaxed) == 0 {
            continue;
        }
        // Taken out first: once a process has been waited for, its id may be that of a child of the caller.
        let found = place.swap(0, Ordering::AcqRel);
        let pid = i32::try_from(found & u64::from(u32::MAX)).ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| found == pair(pid) && is_left(pid)) {
            abandon(found);
        }
    }
}

/// This process and one that it has started.
fn pair(pid: Pid) -> u64 {
    let number = |pid: Pid| u64::from(pid.as_raw_nonzero().get().unsigned_abs());
    number(getpid()) << 32 | number(pid)
}

/// Keeps a process for [`reap`]. If no place is free, it stays a zombie until this process ends.
fn abandon(pair: u64) {
    let is_kept =
        ABANDONED.iter().any(|place| place.compare_exchange(0, pair, Ordering::AcqRel, Ordering::Relaxed).is_ok());
    if !is_kept {
        log::debug!("more than {} writers of sysfs files are blocked", ABANDONED.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    /// A process that reports these numbers when its input ends.
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

    fn answer(numbers: Option<Report>) -> Result<(), DetachedError> {
        let (mut child, writing) = start(numbers);
        drop(child.stdin.take());
        wait(writing, 2, &mut || false)
    }

    #[test]
    fn errno_of_the_driver_is_no_failure_of_the_process() {
        assert_eq!(answer(Some([2, 0])), Ok(()));
        assert_eq!(answer(Some([1, 0])), Err(DetachedError::Write(Errno::IO)));
        for errno in [Errno::TIMEDOUT, Errno::AGAIN, Errno::NOMEM, Errno::IO] {
            assert_eq!(answer(Some([-1, errno.raw_os_error()])), Err(DetachedError::Write(errno)));
        }
        assert_eq!(answer(None), Err(DetachedError::NoReport(Errno::PIPE)));
    }

    /// As in a copy of the process that started it, whose own child has that id.
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
        assert!(stat.exists(), "it still runs");
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while stat.exists() {
            assert!(Instant::now() < deadline, "a zombie: {:?}", std::fs::read_to_string(&stat));
            reap();
            std::thread::yield_now();
        }
    }
}
