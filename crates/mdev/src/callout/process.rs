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

/// The size of each output that is kept. More output is read and dropped, so that the program does not block.
const OUTPUT_MAX: usize = 64 * 1024;

/// The interval of checks if no descriptor signals the end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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

/// Why there is no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The kernel cannot execute the file as a program.
    NoProgram(Errno),
    /// /dev/fd is missing, so programs cannot be run by their descriptors.
    NoDescriptors(Errno),
    /// Any other cause, such as a lack of descriptors or memory. The program did not run and might have refused.
    Other(Errno),
}

impl Fault {
    /// The fault for an errno of execve(2).
    pub(super) fn of_start(errno: Errno) -> Self {
        match errno {
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::ACCESS
            | Errno::NOEXEC
            | Errno::LIBBAD => Fault::NoProgram(errno),
            _ => Fault::Other(errno),
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Fault::Other(errno)
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
    /// Whether the program exited by itself, with another status than "not my type".
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.end, End::Code(code) if code != super::NOT_MINE)
    }
}

/// Runs a script as a child of the keeper of the action. Starts the keeper if there is none yet.
pub(super) fn run(
    script: &Script,
    keeper: &mut Option<Keeper>,
    args: &[&str],
    input: &[u8],
    limit: Duration,
) -> Result<Outcome, Fault> {
    let deadline = Instant::now() + limit;
    // Without /dev/fd an interpreter fails because the file does not exist, and some exit with the status for "not my type".
    access(DESCRIPTORS, Access::EXISTS).map_err(Fault::NoDescriptors)?;
    let word = |text: &[u8]| CString::new(text).map_err(|_| Errno::INVAL);
    let path = script.path.as_os_str().as_bytes();
    let mut argv = vec![word(path)?];
    for arg in args {
        argv.push(word(arg.as_bytes())?);
    }
    let envp = [word(PATH.as_bytes())?, word(&[OWN_PATH.as_bytes(), path].concat())?];
    let (out, theirs_out) = pipe()?;
    let (err, theirs_err) = pipe()?;
    let outputs = [theirs_out, theirs_err];
    let mut running =
        Start { program: script.file.as_fd(), argv: &argv, envp: &envp, input: stdin(input)?, outputs }.run(keeper)?;
    let mut outputs = [Output::new(out)?, Output::new(err)?];
    let end = attend(&mut running, &mut outputs, deadline)?.unwrap_or(End::Timeout(limit));
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
fn attend(running: &mut Running<'_>, outputs: &mut [Output; 2], deadline: Instant) -> Result<Option<End>, Fault> {
    loop {
        outputs.iter_mut().for_each(Output::drain);
        if let Some(end) = running.ended()? {
            // A child of the program may still run and print; only the output until now counts.
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
    let wakes = running.wakes();
    let bound = if wakes.is_some() { left } else { left.min(LOOK_AGAIN) };
    let timeout = Timespec::try_from(bound).map_err(|_| Errno::OVERFLOW)?;
    let pipes = outputs.iter().filter_map(|output| output.pipe.as_ref());
    let mut fds: Vec<PollFd<'_>> = pipes.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    fds.extend(wakes);
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

    /// Reads the available output. Reads only a bounded amount at once, so that the caller can check the deadline of a program that
    /// never stops printing.
    fn drain(&mut self) {
        let mut room = [0_u8; 8192];
        for _ in 0..64 {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut room) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let keep = count.min(OUTPUT_MAX - self.text.len());
                    self.text.extend_from_slice(room.get(..keep).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}
