// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runs one program until it ends or its time limit expires.
//!
//! The library does not disturb the calling process: it waits for no other child, sends no signal to any other process group, and
//! cannot raise SIGPIPE, since standard input is a file in memory.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags, OFlags, access, fcntl_getfl, fcntl_setfl, memfd_create};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::running::{Keeper, Running, Start};
use super::scripts::Script;
use crate::fd::long_lived;

/// The most bytes of each output that are kept. Further output is read and dropped, so that the program does not block.
const OUTPUT_MAX: usize = 64 * 1024;

/// The interval of checks if no descriptor becomes readable at the end of the program.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variable with the path of the program. A script needs it, since `$0` is `/dev/fd/3` if it is run by its descriptor.
const OWN_PATH: &str = "MDEV_CALLOUT=";

/// An interpreter reads a script that is run by its descriptor from this directory.
const DESCRIPTORS: &str = "/dev/fd";

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
    /// It exceeded its time limit and was killed.
    Timeout(Duration),
    /// Its keeper was killed, or another wait(2) of this process has read its status.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit status {code}"),
            End::Signal(signal) => write!(f, "killed by signal {signal}"),
            End::Timeout(limit) => write!(f, "stopped after {} s", limit.as_secs_f32()),
            End::Unknown => f.write_str("exit status unknown: its parent process was killed"),
        }
    }
}

/// Why a program has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunError {
    /// The kernel cannot execute the file as a program.
    NotExecutable(Errno),
    /// /dev/fd is missing, so programs cannot be run by their descriptors.
    NoDevFd(Errno),
    /// Any other cause, such as a lack of descriptors or memory. The program did not run and might have refused.
    Other(Errno),
}

impl RunError {
    /// The error for an errno of execve(2).
    pub(super) fn of_exec(errno: Errno) -> Self {
        match errno {
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::ACCESS
            | Errno::NOEXEC
            | Errno::LIBBAD => RunError::NotExecutable(errno),
            _ => RunError::Other(errno),
        }
    }
}

impl From<Errno> for RunError {
    fn from(errno: Errno) -> Self {
        RunError::Other(errno)
    }
}

/// The result of a program.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) out: String,
    pub(super) err: String,
}

impl Outcome {
    /// True if the program exited without a signal, and its status is not [`super::NOT_MY_TYPE`].
    pub(super) fn accepts_type(&self) -> bool {
        matches!(self.end, End::Code(code) if code != super::NOT_MY_TYPE)
    }
}

/// Runs a script as a child of the keeper of the action. Starts the keeper if there is none yet.
pub(super) fn run(
    script: &Script,
    keeper: &mut Option<Keeper>,
    args: &[&str],
    input: &[u8],
    limit: Duration,
) -> Result<Outcome, RunError> {
    let deadline = Instant::now() + limit;
    // Without /dev/fd an interpreter fails because the file does not exist, and some exit with the status for "not my type".
    access(DESCRIPTORS, Access::EXISTS).map_err(RunError::NoDevFd)?;
    let c_string = |text: &[u8]| CString::new(text).map_err(|_| Errno::INVAL);
    let path = script.path.as_os_str().as_bytes();
    let mut argv = vec![c_string(path)?];
    for arg in args {
        argv.push(c_string(arg.as_bytes())?);
    }
    let envp = [c_string(PATH.as_bytes())?, c_string(&[OWN_PATH.as_bytes(), path].concat())?];
    let (out, child_out) = pipe()?;
    let (err, child_err) = pipe()?;
    let outputs = [child_out, child_err];
    let mut running =
        Start { program: script.file.as_fd(), argv: &argv, envp: &envp, input: stdin(input)?, outputs }.run(keeper)?;
    let mut outputs = [Output::new(out)?, Output::new(err)?];
    let end = wait_for_end(&mut running, &mut outputs, deadline)?.unwrap_or(End::Timeout(limit));
    let [out, err] = outputs.map(|output| String::from_utf8_lossy(&output.text).into_owned());
    Ok(Outcome { end, out, err })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((long_lived(reader)?, long_lived(writer)?))
}

/// The input as a file in memory.
fn stdin(input: &[u8]) -> Result<File, Errno> {
    let mut file = File::from(memfd_create("libmdev-callout", MemfdFlags::CLOEXEC).and_then(long_lived)?);
    let io = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    file.write_all(input).map_err(io)?;
    file.rewind().map_err(io)?;
    Ok(file)
}

/// Reads the output of the program until it ends. At the deadline, kills it and returns `None`.
fn wait_for_end(
    running: &mut Running<'_>,
    outputs: &mut [Output; 2],
    deadline: Instant,
) -> Result<Option<End>, RunError> {
    loop {
        outputs.iter_mut().for_each(Output::drain);
        if let Some(end) = running.ended()? {
            // A child of the program may still run and print. Its later output is not read.
            outputs.iter_mut().for_each(Output::drain);
            return Ok(Some(end));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            running.kill();
            outputs.iter_mut().for_each(Output::drain);
            return Ok(None);
        }
        wait(running, outputs, left)?;
    }
}

fn wait(running: &Running<'_>, outputs: &[Output; 2], left: Duration) -> Result<(), Errno> {
    let control = running.poll_fd();
    let timeout = if control.is_some() { left } else { left.min(POLL_INTERVAL) };
    let timeout = Timespec::try_from(timeout).map_err(|_| Errno::OVERFLOW)?;
    let pipes = outputs.iter().filter_map(|output| output.pipe.as_ref());
    let mut fds: Vec<PollFd<'_>> = pipes.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    fds.extend(control);
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The read end of a pipe, and the text that was read from it.
struct Output {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Output {
    fn new(pipe: OwnedFd) -> Result<Self, Errno> {
        let flags = fcntl_getfl(&pipe)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        Ok(Output { pipe: Some(pipe), text: Vec::new() })
    }

    /// Reads the available output. Each call reads a limited amount, so that the caller can check the deadline of a program that
    /// never stops printing.
    fn drain(&mut self) {
        let mut buffer = [0_u8; 8192];
        for _ in 0..64 {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let keep = count.min(OUTPUT_MAX - self.text.len());
                    self.text.extend_from_slice(buffer.get(..keep).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}
