// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lock files: flock(2) with a limited wait.
//!
//! Only the owner can open a lock file (mode 0600), so an ordinary user cannot hold the lock. The holder writes its process id
//! and program into the file, and the timeout error of a waiter names them. flock(2) has no timeout, so a waiter uses inotify to
//! detect that the holder closes its descriptor. It uses no signal and no thread.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, flock, fstat, inotify, lstat, open, unlink};
use rustix::io::{Errno, pread, pwrite};

use crate::error::{Error, ErrorCode, Result, shown};
use crate::fd::long_lived;

/// A waiter tries again after this time at the latest. A killed holder closes its descriptor shortly before the kernel releases its
/// lock, and inotify may be unavailable if the limit of instances is reached.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The length of a holder's text. It is constant, so that one write replaces the text of the previous holder.
const HOLDER_LEN: usize = 64;

/// An exclusive lock. Dropping it releases the lock.
#[derive(Debug)]
pub struct Lock {
    fd: OwnedFd,
    path: String,
    transient: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.transient {
            // Remove the file while the lock is held, so that a later process does not open it.
            let _ = unlink(&*self.path);
        }
        // Unlock before the close: the close wakes the waiters, and the lock must be free then.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Locks the file at `path`, and creates it if it does not exist. Waits at most `timeout` for each holder: the time starts
    /// again when the lock passes to another holder. The error ETIMEDOUT names the holder.
    pub fn acquire(path: &str, timeout: Duration) -> Result<Lock> {
        let lock = Lock { fd: open_lock_file(path)?, path: path.to_owned(), transient: false };
        lock.wait(timeout)?;
        Ok(lock)
    }

    /// As [`Lock::acquire`], but removes the file when the lock is dropped.
    pub fn acquire_transient(path: &str, timeout: Duration) -> Result<Lock> {
        loop {
            let mut lock = Lock::acquire(path, timeout)?;
            // The previous holder may have removed the file between the open and the lock.
            if is_file_at(&lock.fd, path).map_err(|errno| Error::io("check", path, errno))? {
                lock.transient = true;
                return Ok(lock);
            }
        }
    }

    fn wait(&self, timeout: Duration) -> Result<()> {
        let failed = |errno| Error::io("lock", &self.path, errno);
        if self.try_lock().map_err(failed)? {
            return Ok(());
        }
        let closes = if timeout.is_zero() { None } else { watch_closes(&self.path) };
        let mut holder = self.holder();
        let mut deadline = Instant::now() + timeout;
        loop {
            // The holder may have released the lock between the failed attempt and the start of the watch, so try first.
            if self.try_lock().map_err(failed)? {
                return Ok(());
            }
            let now = self.holder();
            if now != holder {
                holder = now;
                deadline = Instant::now() + timeout;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timeout_error(&holder, timeout));
            }
            wait_for_close(closes.as_ref(), left.min(RETRY_INTERVAL)).map_err(failed)?;
        }
    }

    fn try_lock(&self) -> std::result::Result<bool, Errno> {
        let is_locked = try_flock(&self.fd)?;
        if is_locked {
            // The text is only used in the message of a waiter. So a failure is ignored, for example on a full file system.
            let _ = pwrite(&self.fd, &holder_text(), 0);
        }
        Ok(is_locked)
    }

    /// The text of the holder.
    fn holder(&self) -> Vec<u8> {
        let mut text = vec![0_u8; HOLDER_LEN];
        let len = pread(&self.fd, &mut text[..], 0).unwrap_or(0);
        text.truncate(len);
        text
    }

    fn timeout_error(&self, holder: &[u8], timeout: Duration) -> Error {
        let path = &self.path;
        let by = describe_holder(holder).unwrap_or_else(|| "another process".to_owned());
        let message = if timeout.is_zero() {
            format!("{path} is locked by {by}")
        } else {
            format!(
                "{path} has been locked by {by} for more than {} s; wait for it or end it, then try again",
                timeout.as_secs()
            )
        };
        Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message).at(path.clone())
    }
}

/// Whether a process holds the lock of the file at `path`; false if the file does not exist. Uses a short shared lock, so that two
/// callers of this function do not report each other.
pub fn is_held(path: &str) -> std::result::Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        opened => opened.and_then(long_lived)?,
    };
    loop {
        match flock(&fd, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(false),
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Opens the lock file. O_NONBLOCK and the check of the type prevent that a FIFO or a device at this path blocks the caller.
fn open_lock_file(path: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let failed = |errno| Error::io("open", path, errno);
    let fd = open(path, flags, Mode::from_raw_mode(0o600)).and_then(long_lived).map_err(failed)?;
    let stat = fstat(&fd).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let message = format!("cannot use the lock file {path}: not a regular file; remove it");
        return Err(Error::new(ErrorCode::Store, Errno::INVAL, message).at(path));
    }
    Ok(fd)
}

fn is_file_at(fd: &OwnedFd, path: &str) -> std::result::Result<bool, Errno> {
    let own = fstat(fd)?;
    match lstat(path) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn try_flock(fd: impl AsFd) -> std::result::Result<bool, Errno> {
    loop {
        match flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Process id, a number that no other lock of this process has, and the program, padded with spaces.
fn holder_text() -> [u8; HOLDER_LEN] {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let program = std::env::args_os().next().unwrap_or_default();
    let program = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let mut text = [b' '; HOLDER_LEN];
    let line = format!("{} {count} {program}", std::process::id());
    text.iter_mut().zip(line.bytes()).take(HOLDER_LEN - 1).for_each(|(to, from)| *to = from);
    text[HOLDER_LEN - 1] = b'\n';
    text
}

fn describe_holder(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut words = text.trim_end().splitn(3, ' ');
    let pid: u32 = words.next()?.parse().ok()?;
    match words.nth(1).map(str::trim) {
        None | Some("") => Some(format!("process {pid}")),
        Some(program) => Some(format!("process {pid} ({})", shown(program))),
    }
}

/// Returns an inotify descriptor that reports when a process closes the file. `None` if inotify is unavailable: the waiter then tries
/// again at intervals.
fn watch_closes(path: &str) -> Option<OwnedFd> {
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
    let inotify = inotify.and_then(long_lived).ok()?;
    let flags = inotify::WatchFlags::CLOSE_NOWRITE | inotify::WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&inotify, path, flags).ok()?;
    Some(inotify)
}

fn wait_for_close(closes: Option<&OwnedFd>, timeout: Duration) -> std::result::Result<(), Errno> {
    let timeout = Timespec::try_from(timeout).map_err(|_| Errno::OVERFLOW)?;
    let mut fds: Vec<PollFd<'_>> = closes.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno),
    }
    if let Some(fd) = closes {
        // The content of the events is not needed, only the fact that a descriptor was closed.
        let mut events = [0_u8; 1024];
        while rustix::io::read(fd, &mut events).is_ok_and(|n| n > 0) {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary_path() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock").to_str().unwrap().to_owned();
        (dir, path)
    }

    #[test]
    fn held_lock_times_out_and_names_the_holder() {
        let (_dir, path) = temporary_path();
        let held = Lock::acquire(&path, Duration::ZERO).unwrap();
        assert!(is_held(&path).unwrap());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        let e = Lock::acquire(&path, Duration::ZERO).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::Timeout, Errno::TIMEDOUT.raw_os_error()));
        let program = std::env::args().next().unwrap();
        let program = std::path::Path::new(&program).file_name().unwrap().to_str().unwrap().to_owned();
        let by = format!("is locked by process {} ({}", std::process::id(), &program[..8]);
        assert!(e.message.contains(&by), "{e}");
        let (again, second) = (path.clone(), Duration::from_secs(30));
        let waiter = std::thread::spawn(move || Lock::acquire(&again, second).map(drop));
        drop(held);
        assert_eq!(waiter.join().unwrap(), Ok(()));
        assert!(!is_held(&path).unwrap());
    }

    /// Each holder keeps the lock for less than the timeout of the waiter, and all holders together for longer.
    #[test]
    fn timeout_starts_again_for_each_holder() {
        let timeout = Duration::from_millis(200);
        // On a busy machine, this thread can pause for so long that one holder exceeds the timeout: try again.
        let mut waits = (0..50).map(|_| wait_for_changing_holders(timeout));
        let (lock, waited, _) = waits
            .find(|(lock, _, longest)| lock.is_ok() || *longest < timeout)
            .expect("an attempt in which each holder had the lock for less than the timeout");
        assert_eq!(lock, Ok(()));
        assert!(waited >= timeout * 3, "{waited:?}");
    }

    /// The result of the wait, its duration, and the longest time that one holder had the lock.
    fn wait_for_changing_holders(timeout: Duration) -> (Result<()>, Duration, Duration) {
        let (_dir, path) = temporary_path();
        let held = Lock::acquire(&path, Duration::ZERO).unwrap();
        let start = Instant::now();
        let waiter = std::thread::spawn(move || {
            let lock = Lock::acquire(&path, timeout).map(drop);
            (lock, start.elapsed())
        });
        let (mut last, mut longest) = (start, Duration::ZERO);
        // Only the text of the holder changes, so the waiter cannot take the lock in between.
        while start.elapsed() < timeout * 3 {
            let _ = pwrite(&held.fd, &holder_text(), 0);
            longest = longest.max(last.elapsed());
            last = Instant::now();
            std::thread::yield_now();
        }
        drop(held);
        let longest = longest.max(last.elapsed());
        let (lock, waited) = waiter.join().unwrap();
        (lock, waited, longest)
    }

    #[test]
    fn transient_lock_is_exclusive_and_leaves_no_file() {
        let (_dir, path) = temporary_path();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = Lock::acquire_transient(&path, Duration::from_secs(30)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!std::path::Path::new(&path).exists());
    }

    #[test]
    fn acquire_lock_file_that_is_not_regular_fails_at_once() {
        let (_dir, path) = temporary_path();
        rustix::fs::mknodat(rustix::fs::CWD, &*path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let e = Lock::acquire(&path, Duration::from_secs(30)).unwrap_err();
        assert_eq!(e.errno, Errno::INVAL.raw_os_error(), "{e}");
        assert!(!is_held(&path).unwrap());
    }
}
