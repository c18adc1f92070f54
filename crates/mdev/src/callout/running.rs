// SPDX-License-Identifier: LGPL-2.1-or-later
//! A running program.
//!
//! The end of a child raises SIGCHLD in the calling process. That process may handle the signal, ignore it (then the status is
//! lost), or wait for any child (then it takes the status). So programs are children of a keeper: a process without exit signal,
//! which waitpid(-1) of the calling process does not find, and which reports the status. One keeper is the parent of every program
//! of an action: s390-tools' ap-check takes a lock in `pre` with the process id of its parent, and releases it in `post` only if
//! that process id is the same.

use std::ffi::CString;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, sendmsg,
    shutdown, socketpair,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::process::{End, RunError};
use crate::fd::long_lived;
use crate::sys::keeper::{KILL, NOT_STARTED, REQUEST_MAX, Report, WORDS_MAX, launch};

/// Also waits for children without exit signal (`__WALL`).
const WALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

/// The longest wait for the end of a killed program or of an idle keeper.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The parent of every program of one action.
#[derive(Debug)]
pub(super) struct Keeper {
    pid: Pid,
    control: OwnedFd,
}

impl Keeper {
    fn start() -> Result<Self, Errno> {
        let (control, keeper_end) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (control, keeper_end) = (long_lived(control)?, long_lived(keeper_end)?);
        Ok(Keeper { pid: launch(keeper_end.as_fd())?, control })
    }

    fn request(&self, start: &Start<'_>) -> Result<(), Errno> {
        let count = |words: &[CString]| u32::try_from(words.len()).map_err(|_| Errno::TOOBIG);
        let mut bytes = count(start.argv)?.to_ne_bytes().to_vec();
        start.argv.iter().chain(start.envp).for_each(|word| bytes.extend_from_slice(word.as_bytes_with_nul()));
        if bytes.len() > REQUEST_MAX || start.argv.len() + start.envp.len() > WORDS_MAX {
            return Err(Errno::TOOBIG);
        }
        let [out, err] = &start.outputs;
        let fds = [start.input.as_fd(), out.as_fd(), err.as_fd(), start.program];
        let mut buffer = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = SendAncillaryBuffer::new(&mut buffer);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::NOBUFS);
        }
        loop {
            match sendmsg(&self.control, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn kill_program(&self) {
        // EPIPE: the keeper has ended. The next read of its reports detects that.
        while rustix::net::send(&self.control, &KILL, SendFlags::NOSIGNAL) == Err(Errno::INTR) {}
    }

    /// The next report; `None` if no report arrives before the deadline. Fails with EPIPE if the keeper has ended.
    fn report(&self, deadline: Instant) -> Result<Option<Report>, Errno> {
        if !self.is_readable(deadline)? {
            return Ok(None);
        }
        let mut bytes = [0_u8; size_of::<Report>()];
        loop {
            match rustix::io::read(&self.control, &mut bytes) {
                Ok(count) if count == bytes.len() => break,
                Ok(_) | Err(Errno::CONNRESET) => return Err(Errno::PIPE),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let [a, b, c, d, rest @ ..] = bytes;
        Ok(Some([i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes(rest)]))
    }

    fn is_readable(&self, deadline: Instant) -> Result<bool, Errno> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|_| Errno::OVERFLOW)?;
            match poll(&mut [PollFd::new(&self.control, PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let deadline = Instant::now() + END_TIMEOUT;
        let mut result = shutdown(&self.control, Shutdown::Write);
        while let Ok(()) = result {
            result = match self.report(deadline) {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(Errno::TIMEDOUT),
                Err(errno) => Err(errno),
            };
        }
        if result != Err(Errno::PIPE) {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        while waitpid(Some(self.pid), WALL).is_err_and(|errno| errno == Errno::INTR) {}
    }
}

/// A running program, which is a child of the keeper of its action.
pub(super) struct Running<'k> {
    /// The keeper of the action; `None` if it cannot be used any more.
    keeper: &'k mut Option<Keeper>,
    /// The errno of execve(2), until the report of the end.
    start_error: Option<Errno>,
    has_ended: bool,
}

/// A program to start, with its ends of the pipes.
pub(super) struct Start<'a> {
    /// The program; a keeper runs this open file, also if its path leads to another file now.
    pub(super) program: BorrowedFd<'a>,
    /// The path and the arguments.
    pub(super) argv: &'a [CString],
    pub(super) envp: &'a [CString],
    pub(super) input: std::fs::File,
    pub(super) outputs: [OwnedFd; 2],
}

impl Start<'_> {
    /// Starts the program. `keeper` is the keeper of the action; `None` before the first program.
    pub(super) fn run(self, keeper: &mut Option<Keeper>) -> Result<Running<'_>, Errno> {
        let current = match keeper.take() {
            Some(current) => current,
            None => Keeper::start()?,
        };
        let requested = current.request(&self);
        // EPIPE: the keeper has ended. Any other error, such as a lack of descriptors, may be temporary.
        if requested != Err(Errno::PIPE) {
            *keeper = Some(current);
        }
        requested.map(|()| Running { keeper, start_error: None, has_ended: false })
    }
}

impl Running<'_> {
    /// The descriptor that becomes readable when the program may have ended; `None` if the keeper has ended.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.keeper.as_ref().map(|keeper| PollFd::new(&keeper.control, PollFlags::IN))
    }

    /// How the program ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Result<Option<End>, RunError> {
        self.reports(Instant::now())
    }

    /// Reads the keeper's reports until it reports the program's end, or until the deadline.
    fn reports(&mut self, deadline: Instant) -> Result<Option<End>, RunError> {
        let Running { keeper, start_error, has_ended } = self;
        let errno = loop {
            let Some(current) = keeper.as_ref() else { break Errno::PIPE };
            match current.report(deadline) {
                Ok(None) => return Ok(None),
                Ok(Some([NOT_STARTED, errno])) => *start_error = Some(Errno::from_raw_os_error(errno.clamp(1, 4095))),
                Ok(Some([_, status])) => {
                    *has_ended = true;
                    return match start_error.take() {
                        Some(errno) => Err(RunError::of_exec(errno)),
                        None => Ok(Some(End::of(ExitStatusExt::from_raw(status)))),
                    };
                }
                Err(errno) => break errno,
            }
        };
        // The keeper was killed.
        keeper.take();
        *has_ended = true;
        if errno == Errno::PIPE { Ok(Some(End::Unknown)) } else { Err(errno.into()) }
    }

    /// Kills the program and every process in its process group.
    pub(super) fn kill(&mut self) {
        let Some(keeper) = self.keeper.as_ref().filter(|_| !self.has_ended) else { return };
        keeper.kill_program();
        if let Ok(None) = self.reports(Instant::now() + END_TIMEOUT) {
            // The program does not end, so the keeper is killed.
            self.keeper.take();
        }
    }
}

impl Drop for Running<'_> {
    /// Kills a program that still runs, so that a caller that fails early leaves no running program.
    fn drop(&mut self) {
        self.kill();
    }
}

impl End {
    fn of(status: std::process::ExitStatus) -> End {
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        }
    }
}
