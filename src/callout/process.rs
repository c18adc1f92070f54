// SPDX-License-Identifier: LGPL-2.1-or-later
//! One program, run to its end and no longer than it may.
//!
//! The calling process is a stranger's: only this very child is waited for, no signal is sent to anyone but the child's own
//! group, and no write can raise SIGPIPE, since standard input is a file in memory.

use std::fmt;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// What is kept of each of a program's outputs; the rest is read and dropped, so that no program blocks on it.
const OUTPUT_MAX: usize = 64 * 1024;

/// On kernels without descriptors of processes (before 5.3) nothing tells of the end: look this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
    /// It was killed at the end of its time.
    Timeout(Duration),
    /// Somebody else has taken its status: the caller ignores SIGCHLD, or waits for any child.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "it has ended with status {code}"),
            End::Signal(signal) => write!(f, "it was ended by signal {signal}"),
            End::Timeout(limit) => write!(f, "it was stopped after {} s", limit.as_secs_f32()),
            End::Unknown => {
                f.write_str("its status is lost, since the calling program ignores SIGCHLD or waits for any child")
            }
        }
    }
}

/// What a program has left.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) out: String,
    pub(super) err: String,
}

impl Outcome {
    /// It ended by itself, and not to say that this is none of its business.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.end, End::Code(code) if code != super::NOT_MINE)
    }
}

pub(super) fn run(path: &Path, args: &[&str], input: &[u8], limit: Duration) -> Result<Outcome, Errno> {
    let deadline = Instant::now() + limit;
    let mut child = Command::new(path)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .process_group(0)
        .stdin(stdin(input)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::NOEXEC))?;
    let mut outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)].map(Output::new);
    let end = attend(&mut child, &mut outputs, deadline).unwrap_or_else(|errno| {
        log::warn!("{}: cannot be waited for: {errno}", path.display());
        End::Unknown
    });
    let end = if end == End::Timeout(Duration::ZERO) { End::Timeout(limit) } else { end };
    let [out, err] = outputs.map(|output| String::from_utf8_lossy(&output.text).into_owned());
    Ok(Outcome { end, out, err })
}

/// All of the input at once, as a file.
fn stdin(input: &[u8]) -> Result<Stdio, Errno> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = File::from(memfd_create("libmdev-callout", MemfdFlags::CLOEXEC)?);
    let io = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    file.write_all(input).map_err(io)?;
    file.rewind().map_err(io)?;
    Ok(file.into())
}

/// Reads what the child prints until it ends, or ends it.
fn attend(child: &mut Child, outputs: &mut [Output; 2], deadline: Instant) -> Result<End, Errno> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    loop {
        outputs.iter_mut().for_each(Output::drain);
        if let Some(end) = ended(child) {
            // A program that it has left behind may print on; what was printed until now is the answer.
            outputs.iter_mut().for_each(Output::drain);
            return Ok(end);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
            outputs.iter_mut().for_each(Output::drain);
            return Ok(End::Timeout(Duration::ZERO));
        }
        wait(pidfd.as_ref(), outputs, left)?;
    }
}

/// `None` while it runs.
fn ended(child: &mut Child) -> Option<End> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(match (status.code(), status.signal()) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        }),
        Err(_) => Some(End::Unknown),
    }
}

fn wait(pidfd: Option<&OwnedFd>, outputs: &[Output; 2], left: Duration) -> Result<(), Errno> {
    let bound = if pidfd.is_some() { left } else { left.min(LOOK_AGAIN) };
    let timeout = Timespec::try_from(bound).map_err(|_| Errno::OVERFLOW)?;
    let pipes = outputs.iter().filter_map(|output| output.pipe.as_ref());
    let mut fds: Vec<PollFd<'_>> = pidfd.into_iter().chain(pipes).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// One end of a pipe, and what came out of it.
struct Output {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Output {
    fn new(pipe: Option<OwnedFd>) -> Self {
        let pipe =
            pipe.filter(|pipe| fcntl_getfl(pipe).and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK)).is_ok());
        Output { pipe, text: Vec::new() }
    }

    /// Takes what is there now. One that never stops printing is cut off by the deadline, not here, so no more than a few
    /// pipes full are taken at once.
    fn drain(&mut self) {
        let mut room = [0_u8; 8192];
        for _ in 0..64 {
            let Some(pipe) = &self.pipe else { return };
            match read_from(pipe, &mut room) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let keep = count.min(OUTPUT_MAX - self.text.len());
                    self.text.extend_from_slice(&room[..keep]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

fn read_from(pipe: impl AsFd, room: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::read(pipe, room)
}
