// SPDX-License-Identifier: LGPL-2.1-or-later
//! Starts a process that does one write, for files whose driver can block the writer for an unlimited time.
//!
//! Like the keeper of a call-out (`keeper.rs`), the process is a copy of a process that may have threads, has no exit
//! signal, and only makes system calls. Its copy of the caller's memory is freed when the write returns.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::keeper::{close_range, copy};
use crate::fd::long_lived;

/// A process that does one write.
#[derive(Debug)]
pub struct Writing {
    /// The process writes a [`Report`] to this pipe when the write has returned.
    pub report: OwnedFd,
    /// Process id. The process raises no SIGCHLD, and only a wait with __WALL or __WCLONE finds it.
    pub pid: Pid,
}

/// The number of bytes written, or -1; then the errno.
pub type Report = [i32; 2];

/// Starts a process that writes these bytes to the file with one write(2).
pub fn write(file: BorrowedFd<'_>, text: &[u8]) -> Result<Writing, Errno> {
    let (report, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let (report, theirs) = (long_lived(report)?, long_lived(theirs)?);
    let (file, end) = (file.as_raw_fd(), theirs.as_raw_fd());
    // SAFETY: the signal sets are in this frame. Both processes return from `copy` as from fork(2); the new process
    // only makes system calls, on numbers and on its copy of this frame, and never returns.
    let (pid, errno) = unsafe {
        let mut every_signal: libc::sigset_t = std::mem::zeroed();
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut every_signal);
        // A signal in the new process must not run a handler of the calling one.
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const every_signal, &raw mut mask);
        let pid = copy();
        let errno = *libc::__errno_location();
        if pid == 0 {
            write_and_report(file, end, text);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut());
        (pid, errno)
    };
    // A process id is positive; from_raw refuses every other number.
    match c_int::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) {
        Some(pid) => Ok(Writing { report, pid }),
        None => Err(Errno::from_raw_os_error(errno)),
    }
}

/// # Safety
/// Only in a process of `copy`, with all signals blocked.
unsafe fn write_and_report(file: RawFd, end: RawFd, text: &[u8]) -> ! {
    // SAFETY: system calls on numbers and on memory of this process alone.
    unsafe {
        libc::setpgid(0, 0);
        // The caller's file systems must stay unmountable while this write blocks.
        libc::chdir(c"/".as_ptr());
        // No lock and no socket of the calling process may stay open as long as this write.
        let (first, second) = (file.min(end), file.max(end));
        for (from, to) in [(0, first - 1), (first + 1, second - 1), (second + 1, c_int::MAX)] {
            if from <= to {
                close_range(from, to);
            }
        }
        let mut report: Report = [-1, 0];
        let count = libc::write(file, text.as_ptr().cast(), text.len());
        match c_int::try_from(count) {
            Ok(count) if count >= 0 => report[0] = count,
            _ => report[1] = *libc::__errno_location(),
        }
        libc::write(end, report.as_ptr().cast(), size_of_val(&report));
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn report(file: &impl AsFd, text: &[u8]) -> (Report, Pid) {
        let Writing { report, pid } = write(file.as_fd(), text).unwrap();
        let mut bytes = Vec::new();
        std::fs::File::from(report).read_to_end(&mut bytes).unwrap();
        let numbers: Vec<i32> = bytes.chunks(4).map(|n| i32::from_ne_bytes(n.try_into().unwrap())).collect();
        // SAFETY: waits for the one process that this test has started; no status is requested.
        let reaped = unsafe { libc::waitpid(pid.as_raw_pid(), ptr::null_mut(), libc::__WALL) };
        assert_eq!(reaped, pid.as_raw_pid());
        (numbers.try_into().unwrap(), pid)
    }

    #[test]
    fn text_is_written_by_another_process() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (numbers, pid) = report(file.as_file(), b"1\n");
        assert_eq!((numbers, std::fs::read(file.path()).unwrap()), ([2, 0], b"1\n".to_vec()));
        assert_ne!(pid.as_raw_pid(), std::process::id() as i32);
    }

    #[test]
    fn errno_of_write_is_reported() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(report(&full, b"1\n").0, [-1, libc::ENOSPC]);
    }

    #[test]
    fn failed_start_of_writer_returns_error_and_writes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        super::super::keeper::tests::without_clone(|| {
            assert_eq!(write(file.as_file().as_fd(), b"1\n").err(), Some(Errno::AGAIN));
        });
        assert_eq!(std::fs::read(file.path()).unwrap(), b"");
    }

    /// The lock of the calling process ends with that process, and its file system can be unmounted, although the
    /// write still blocks.
    #[test]
    fn blocked_write_keeps_neither_descriptors_nor_directory_of_caller() {
        let (read, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (kept, other) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // More than the capacity of a pipe: the process blocks until the pipe is read.
        let text = vec![b'x'; 1 << 20];
        let Writing { report, pid } = write(write_end.as_fd(), &text).unwrap();
        drop((write_end, other));
        // End of file: no process has the other end open.
        assert_eq!(std::fs::File::from(kept).read_to_end(&mut Vec::new()).unwrap(), 0);
        let directory = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_pid())).unwrap();
        assert_eq!(directory, std::path::Path::new("/"));
        let mut all = Vec::new();
        std::fs::File::from(read).read_to_end(&mut all).unwrap();
        assert_eq!(all, text);
        drop(report);
        // SAFETY: as above.
        unsafe { libc::waitpid(pid.as_raw_pid(), ptr::null_mut(), libc::__WALL) };
    }
}
