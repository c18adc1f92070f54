// SPDX-License-Identifier: LGPL-2.1-or-later
//! A program that runs, in one of two ways.
//!
//! A child of the calling process tells of its end by SIGCHLD, which a stranger's process may handle, ignore (then its status
//! is lost) or answer by waiting for any child (then it is taken). So the C layer starts programs by a keeper: a process
//! between, without exit signal, that nobody finds who does not ask for such, and that passes the status on by a pipe. Where
//! no C layer is, in this project's own tests, an ordinary child must do.

use std::ffi::CString;
use std::io::Seek;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::event::PollFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, kill_process_group, pidfd_open, waitpid};

use super::process::{End, Fault};

/// A program about to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Its path, and then its arguments.
    pub argv: &'a [CString],
    /// Its environment.
    pub envp: &'a [CString],
    /// Standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Where its keeper writes a [`Report`].
    pub report: BorrowedFd<'a>,
}

/// What a keeper says: two numbers of four bytes each, the first of them 0 for the errno of a start that failed, or 1 for the
/// status that wait(2) gave.
pub type Report = [i32; 2];

/// Starts a program below a keeper, both in a process group that has the keeper's number.
pub type Launcher = fn(&Launch<'_>) -> Result<Pid, Errno>;

static LAUNCHER: OnceLock<Launcher> = OnceLock::new();

/// Once is enough; again does no harm.
pub fn set_launcher(launcher: Launcher) {
    let _ = LAUNCHER.set(launcher);
}

/// Also waits for processes without exit signal.
const WALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

pub(super) enum Running {
    Kept { keeper: Pid, report: OwnedFd, reaped: bool },
    Child { child: Child, pidfd: Option<OwnedFd> },
}

/// What is started, with the ends of its pipes that it gets.
pub(super) struct Start<'a> {
    pub(super) argv: &'a [CString],
    pub(super) envp: &'a [CString],
    pub(super) input: std::fs::File,
    pub(super) outputs: [OwnedFd; 2],
}

impl Start<'_> {
    pub(super) fn run(self) -> Result<Running, Fault> {
        match LAUNCHER.get() {
            Some(launcher) => Ok(self.keep(*launcher)?),
            None => self.spawn(),
        }
    }

    fn keep(self, launcher: Launcher) -> Result<Running, Errno> {
        let (report, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        let [out, err] = &self.outputs;
        let stdio = [self.input.as_fd(), out.as_fd(), err.as_fd()];
        let keeper = launcher(&Launch { argv: self.argv, envp: self.envp, stdio, report: theirs.as_fd() })?;
        Ok(Running::Kept { keeper, report, reaped: false })
    }

    fn spawn(mut self) -> Result<Running, Fault> {
        let text = |word: &CString| std::ffi::OsString::from(String::from_utf8_lossy(word.to_bytes()).into_owned());
        let mut words = self.argv.iter().map(text);
        let mut command = Command::new(words.next().ok_or(Errno::INVAL)?);
        command.args(words).env_clear().current_dir("/").process_group(0);
        for word in self.envp {
            if let Some((key, value)) = word.to_string_lossy().split_once('=') {
                command.env(key, value);
            }
        }
        self.input.rewind().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let [out, err] = self.outputs;
        command.stdin(Stdio::from(self.input)).stdout(Stdio::from(out)).stderr(Stdio::from(err));
        let child = command.spawn().map_err(|e| Fault::of_start(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        Ok(Running::Child { pidfd: pidfd_open(pid, PidfdFlags::empty()).ok(), child })
    }
}

impl Running {
    /// Becomes readable when the program has ended; without it one must look again and again.
    pub(super) fn wakes(&self) -> Option<PollFd<'_>> {
        let fd = match self {
            Running::Kept { report, .. } => Some(report),
            Running::Child { pidfd, .. } => pidfd.as_ref(),
        };
        fd.map(|fd| PollFd::new(fd, rustix::event::PollFlags::IN))
    }

    /// `None` while it runs, which must have been asked of [`Running::wakes`] first where there is one.
    pub(super) fn ended(&mut self) -> Result<Option<End>, Fault> {
        match self {
            Running::Kept { report, .. } => {
                let mut wakes = [PollFd::new(report, rustix::event::PollFlags::IN)];
                if rustix::event::poll(&mut wakes, Some(&rustix::event::Timespec::default())) == Ok(0) {
                    return Ok(None);
                }
                let end = read_report(report.as_fd());
                self.reap();
                end.map(Some)
            }
            Running::Child { child, .. } => Ok(match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(End::of(status)),
                Err(_) => Some(End::Unknown),
            }),
        }
    }

    /// Ends it, and all that it has started and that is still in its group.
    pub(super) fn kill(&mut self) {
        match self {
            Running::Kept { keeper, .. } => {
                // In the moment of its start the keeper has no group of its own yet.
                if kill_process_group(*keeper, Signal::KILL).is_err() {
                    let _ = kill_process(*keeper, Signal::KILL);
                }
                self.reap();
            }
            Running::Child { child, .. } => {
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process_group(pid, Signal::KILL);
                }
                let _ = child.wait();
            }
        }
    }

    fn reap(&mut self) {
        if let Running::Kept { keeper, reaped, .. } = self {
            while !*reaped && waitpid(Some(*keeper), WALL).is_err_and(|errno| errno == Errno::INTR) {}
            *reaped = true;
        }
    }
}

impl Drop for Running {
    /// Whoever gives up early leaves nothing behind.
    fn drop(&mut self) {
        if matches!(self, Running::Kept { reaped: false, .. }) {
            self.kill();
        }
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

/// The errno of a start that failed, or how the program has ended.
fn read_report(report: BorrowedFd<'_>) -> Result<End, Fault> {
    let mut bytes = [0_u8; size_of::<Report>()];
    loop {
        match rustix::io::read(report, &mut bytes) {
            Ok(count) if count == bytes.len() => break,
            // The keeper was killed.
            Ok(_) => return Ok(End::Unknown),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let [a, b, c, d, rest @ ..] = bytes;
    match (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes(rest)) {
        (0, errno) => Err(Fault::of_start(Errno::from_raw_os_error(errno.clamp(1, 4095)))),
        (_, status) => Ok(End::of(std::process::ExitStatus::from_raw(status))),
    }
}
