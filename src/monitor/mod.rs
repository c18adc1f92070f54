// SPDX-License-Identifier: LGPL-2.1-or-later
//! Everything that can change on a host, behind one descriptor: the kernel's events and the definitions on disk.
//!
//! No thread: whoever wants to know polls [`Source::fd`] and calls [`Source::fetch`]. What a change means for the nodes of
//! the host is the business of the room above.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::error::{Error, Result};
use crate::fd::long_lived;
use crate::store::Ear;
use crate::sysfs::uevent::{Events, Signal, Uevent};
use crate::sysfs::{Errno, IoResult, Sysfs};

mod files;

pub use files::Folders;

const KERNEL: u64 = 0;
const DEFINITIONS: u64 = 1;
const TIMER: u64 = 2;

/// What may have changed. Definitions are told by where they are, and are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The kernel says so.
    Kernel(Uevent),
    /// Somebody wrote to a file that is followed.
    Written(String),
    /// A file in the folder of a parent's definitions.
    Definition {
        /// The folder's name.
        parent: String,
        /// The file's.
        file: String,
    },
    /// Any file in the folder of a parent's definitions, or the folder itself.
    DefinitionsOf(String),
    /// Any definition.
    Definitions,
    /// More has happened than was told: some of it was lost.
    Lost,
}

/// Where definitions are told about.
pub trait Definitions: Send + std::fmt::Debug {
    /// Readable when something has come.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The next change, without waiting.
    fn next(&mut self) -> IoResult<Option<Change>>;

    /// It must be asked though its descriptor does not say so.
    fn is_behind(&self) -> bool {
        false
    }
}

/// What the definitions of the simulated host are called in an error.
pub const MEMORY: &str = "the definitions in memory";

impl Definitions for Ear {
    fn fd(&self) -> BorrowedFd<'_> {
        Ear::fd(self)
    }

    fn next(&mut self) -> IoResult<Option<Change>> {
        Ok(self.has_heard().then_some(Change::Definitions))
    }
}

/// All sources of one host.
#[derive(Debug)]
pub struct Source {
    poll: OwnedFd,
    kernel: Box<dyn Events>,
    definitions: Box<dyn Definitions>,
    timer: OwnedFd,
    alarm: Alarm,
    /// Those that had something when they were last asked, by their numbers.
    ready: Vec<u64>,
}

/// How the timer is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    Off,
    At(Instant),
    /// It is to be heard until it is set anew.
    Now,
}

impl Source {
    /// Starts to listen. From here on nothing is missed.
    pub fn new(sysfs: &dyn Sysfs, definitions: Box<dyn Definitions>) -> Result<Source> {
        let failed = |what: &'static str| move |errno| Error::io("listen to", what, errno);
        let kernel = sysfs.events().map_err(failed("the kernel's uevents"))?;
        let make = || {
            let poll = long_lived(epoll::create(epoll::CreateFlags::CLOEXEC)?)?;
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let timer = long_lived(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
            let add = |fd: BorrowedFd<'_>, number| {
                epoll::add(&poll, fd, epoll::EventData::new_u64(number), epoll::EventFlags::IN)
            };
            add(kernel.fd(), KERNEL)?;
            add(timer.as_fd(), TIMER)?;
            add(definitions.fd(), DEFINITIONS)?;
            Ok((poll, timer))
        };
        let (poll, timer) = make().map_err(failed("several sources at once"))?;
        Ok(Source { poll, kernel, definitions, timer, alarm: Alarm::Off, ready: Vec::new() })
    }

    /// Readable when [`Source::fetch`] may have something, or the alarm goes.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    /// The next change, without waiting. `None` as well when the alarm went.
    pub fn fetch(&mut self) -> Result<Option<Change>> {
        let failed = |errno| Error::io("receive", "events", errno);
        let mut asked = false;
        loop {
            let Some(number) = self.ready.last() else {
                // Once: a source that says it has something and has not must not keep the caller here.
                if asked || !self.ask().map_err(failed)? {
                    return Ok(None);
                }
                asked = true;
                continue;
            };
            let next = match *number {
                KERNEL => self.kernel.next().map(|signal| signal.map(Change::from)),
                DEFINITIONS => self.definitions.next(),
                _ => Ok(None),
            };
            if let Ok(change @ Some(_)) = next {
                return Ok(change);
            }
            // One that fails does not keep the others from being heard.
            self.ready.pop();
            next.map_err(failed)?;
        }
    }

    /// False when no source has anything.
    fn ask(&mut self) -> IoResult<bool> {
        // The kernel last: it is taken from the end. The timer only wakes, so nobody asks it.
        let sources = [(DEFINITIONS, self.definitions.fd()), (KERNEL, self.kernel.fd())];
        let mut fds = sources.map(|(_, fd)| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let has = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let ready = sources.iter().zip(&fds).filter(|(_, fd)| has(fd)).map(|((number, _), _)| *number);
        self.ready = ready.collect();
        if self.definitions.is_behind() && !self.ready.contains(&DEFINITIONS) {
            self.ready.insert(0, DEFINITIONS);
        }
        Ok(!self.ready.is_empty())
    }

    /// Fetches and forgets everything that waits now.
    pub fn discard(&mut self) -> Result<()> {
        while self.fetch()?.is_some() {}
        Ok(())
    }

    /// The descriptor becomes readable at this time, whatever happens; `None`: only when something happens.
    pub fn wake_at(&mut self, at: Option<Instant>) {
        self.set(at.map_or(Alarm::Off, Alarm::At));
    }

    /// The descriptor is readable from now on, until [`Source::wake_at`].
    pub fn wake_now(&mut self) {
        self.set(Alarm::Now);
    }

    fn set(&mut self, alarm: Alarm) {
        if self.alarm == alarm && !matches!(alarm, Alarm::At(at) if at <= Instant::now()) {
            return;
        }
        const SOON: Duration = Duration::from_nanos(1);
        let wait = match alarm {
            // Nothing: the timer is stopped, and what it had to say is forgotten.
            Alarm::Off => Duration::ZERO,
            Alarm::At(at) => at.saturating_duration_since(Instant::now()).max(SOON),
            Alarm::Now => SOON,
        };
        let value =
            Itimerspec { it_interval: Timespec::default(), it_value: Timespec::try_from(wait).unwrap_or_default() };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value) {
            Ok(_) => self.alarm = alarm,
            Err(errno) => log::warn!("the timer of a monitor cannot be set: {errno}"),
        }
    }

    /// See [`Events::follow`].
    pub fn follow(&mut self, path: &str) -> IoResult<()> {
        self.kernel.follow(path)
    }

    /// See [`Events::unfollow`].
    pub fn unfollow(&mut self, path: &str) {
        self.kernel.unfollow(path);
    }

    /// See [`Events::newest`].
    pub fn newest(&self) -> u64 {
        self.kernel.newest()
    }

    /// See [`Events::set_buffer_size`].
    pub fn set_buffer_size(&mut self, bytes: usize) -> Result<()> {
        self.kernel.set_buffer_size(bytes).map_err(|errno| Error::io("set the size of", "the buffer for events", errno))
    }
}

impl From<Signal> for Change {
    fn from(signal: Signal) -> Change {
        match signal {
            Signal::Event(event) => Change::Kernel(event),
            Signal::Written { path } => Change::Written(path),
            Signal::Lost => Change::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysfs::sim::default_host;
    use rustix::event::{EventfdFlags, eventfd};

    /// As after a fork, when the other process has the same descriptor.
    #[derive(Debug)]
    struct Crying(OwnedFd);

    impl Definitions for Crying {
        fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn next(&mut self) -> IoResult<Option<Change>> {
            Ok(None)
        }
    }

    #[test]
    fn a_source_that_is_readable_and_has_nothing_keeps_nobody() {
        let fd = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
        let mut source = Source::new(&default_host(), Box::new(Crying(fd))).unwrap();
        assert_eq!(source.fetch(), Ok(None));
        source.discard().unwrap();
    }
}
