// SPDX-License-Identifier: LGPL-2.1-or-later
//! One descriptor for all changes of a host: uevents of the kernel, writes to followed files, and changes of definitions.
//!
//! There is no thread: the caller polls [`Source::fd`] and calls [`Source::fetch`]. The module `driver` determines which nodes of the
//! host a change affects.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::error::{Error, Result};
use crate::fd::long_lived;
use crate::store::{Definitions, Listener, MDEVCTL_FOLDER};
use crate::sysfs::uevent::{Events, Signal, Uevent};
use crate::sysfs::{Errno, IoResult, Sysfs};

mod files;

use files::Files;

/// A possible change. A change of a definition contains only the names of the folder and the file: the receiver reads the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A uevent of the kernel.
    Kernel(Uevent),
    /// A process wrote to a followed file.
    Written(String),
    /// A file in the folder of a parent's definitions may have changed.
    Definition {
        /// Name of the folder.
        parent: String,
        /// Name of the file.
        file: String,
    },
    /// The folder with this name, of a parent's definitions, or any file in it may have changed.
    DefinitionsOf(String),
    /// Any definition may have changed.
    Definitions,
    /// Some changes were lost.
    Lost,
}

/// All sources of one host.
#[derive(Debug)]
pub struct Source {
    epoll: OwnedFd,
    kernel: Box<dyn Events>,
    /// The inotify for followed files and definitions; `None` while nothing is followed.
    files: Option<Files>,
    /// Changes of definitions in memory.
    memory: Option<Listener>,
    timer: OwnedFd,
    alarm: Alarm,
    /// The kernel's descriptor was readable at the last poll.
    kernel_ready: bool,
    memory_ready: bool,
}

/// The setting of the timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    Off,
    At(Instant),
    /// The descriptor is readable until the timer is set again.
    Now,
}

impl Source {
    /// Starts to monitor. Every later change is reported. Fails if a descriptor or a watch cannot be created.
    pub fn new(sysfs: &dyn Sysfs, definitions: &Definitions) -> Result<Source> {
        let (mut files, mut memory) = (None, None);
        match definitions {
            Definitions::Files(store) => {
                let followed = Files::of_definitions(store.root(), MDEVCTL_FOLDER);
                files = Some(followed.map_err(|errno| Error::io("follow", store.folder(), errno))?);
            }
            Definitions::Memory(store) => {
                let listener = store.listen();
                memory = Some(listener.map_err(|errno| Error::io("follow", "the definitions in memory", errno))?);
            }
        }
        let kernel = sysfs.events().map_err(|errno| Error::io("receive", "the kernel's uevents", errno))?;
        Source::on(kernel, files, memory).map_err(|errno| Error::io("poll", "the sources of events", errno))
    }

    fn on(kernel: Box<dyn Events>, files: Option<Files>, memory: Option<Listener>) -> IoResult<Source> {
        let epoll = long_lived(epoll::create(epoll::CreateFlags::CLOEXEC)?)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = long_lived(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        let fds =
            [Some(kernel.fd()), Some(timer.as_fd()), files.as_ref().map(Files::fd), memory.as_ref().map(Listener::fd)];
        fds.into_iter().flatten().try_for_each(|fd| watch(&epoll, fd))?;
        let (kernel_ready, memory_ready) = (false, false);
        Ok(Source { epoll, kernel, files, memory, timer, alarm: Alarm::Off, kernel_ready, memory_ready })
    }

    /// Returns a descriptor that is readable when [`Source::fetch`] may return a change, and at the time of [`Source::wake_at`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Returns the next change, or `None` if there is no change; does not wait. [`Source::fd`] can be readable without a change,
    /// for example at the time set by [`Source::wake_at`].
    pub fn fetch(&mut self) -> Result<Option<Change>> {
        let mut next = self.next_ready();
        // No loop: a descriptor may stay readable although its source has no change, and the loop would then block the caller.
        if next == Ok(None) {
            next = self.poll().and_then(|()| self.next_ready());
        }
        next.map_err(|errno| Error::io("receive", "events", errno))
    }

    /// Returns the next change from the sources that were readable at the last poll. Writes to followed files come first, and
    /// changes of definitions last.
    fn next_ready(&mut self) -> IoResult<Option<Change>> {
        if let Some(write) = self.files.as_mut().and_then(Files::next_write) {
            return Ok(Some(write));
        }
        if self.kernel_ready {
            let next = self.kernel.next();
            // After a failure, the next call reads the other sources.
            self.kernel_ready = matches!(next, Ok(Some(_)));
            if let Some(signal) = next? {
                return Ok(Some(Change::from(signal)));
            }
        }
        if std::mem::take(&mut self.memory_ready) && self.memory.as_ref().is_some_and(Listener::take) {
            return Ok(Some(Change::Definitions));
        }
        Ok(self.files.as_mut().and_then(Files::next_definition))
    }

    /// Checks which sources are readable, without waiting. Reads the events of the inotify.
    fn poll(&mut self) -> IoResult<()> {
        let fds = [Some(self.kernel.fd()), self.files.as_ref().map(Files::fd), self.memory.as_ref().map(Listener::fd)];
        // The timer is not polled: it only wakes the caller.
        let present = fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        let mut present: Vec<PollFd<'_>> = present.collect();
        match poll(&mut present, Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut present = present.iter().map(|fd| !fd.revents().is_empty());
        let [kernel, files, memory] = fds.map(|fd| fd.is_some() && present.next() == Some(true));
        (self.kernel_ready, self.memory_ready) = (kernel, memory);
        match &mut self.files {
            Some(followed) if files || followed.is_broken() => followed.read(),
            _ => Ok(()),
        }
    }

    /// Drops all pending changes.
    pub fn discard(&mut self) -> Result<()> {
        while self.fetch()?.is_some() {}
        Ok(())
    }

    /// Makes the descriptor readable at this time, even without a change. After `None`, only a change makes it readable.
    pub fn wake_at(&mut self, at: Option<Instant>) {
        self.set_alarm(at.map_or(Alarm::Off, Alarm::At));
    }

    /// Makes the descriptor readable until [`Source::wake_at`] is called.
    pub fn wake_now(&mut self) {
        self.set_alarm(Alarm::Now);
    }

    fn set_alarm(&mut self, alarm: Alarm) {
        if self.alarm == alarm && !matches!(alarm, Alarm::At(at) if at <= Instant::now()) {
            return;
        }
        const SOON: Duration = Duration::from_nanos(1);
        let wait = match alarm {
            // Stops the timer. Its descriptor is then not readable.
            Alarm::Off => Duration::ZERO,
            Alarm::At(at) => at.saturating_duration_since(Instant::now()).max(SOON),
            Alarm::Now => SOON,
        };
        let value =
            Itimerspec { it_interval: Timespec::default(), it_value: Timespec::try_from(wait).unwrap_or_default() };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value) {
            Ok(_) => self.alarm = alarm,
            Err(errno) => log::warn!("cannot set the timer of a monitor, so it may report changes late: {errno}"),
        }
    }

    /// Starts to report writes to the file at `path`, as [`Change::Written`]. A repeated call follows the file that is at `path` at
    /// that time.
    pub fn follow(&mut self, path: &str) -> IoResult<()> {
        let Some(file) = self.kernel.follow(path)? else { return Ok(()) };
        let files = match &mut self.files {
            Some(files) => files,
            None => {
                let files = Files::new()?;
                watch(&self.epoll, files.fd())?;
                self.files.insert(files)
            }
        };
        files.follow(path, file.as_fd())
    }

    /// Ends [`Source::follow`].
    pub fn unfollow(&mut self, path: &str) {
        self.kernel.unfollow(path);
        if let Some(files) = &mut self.files {
            files.unfollow(path);
        }
    }

    /// See [`Events::newest`].
    pub fn newest(&self) -> Result<u64> {
        self.kernel.newest().map_err(|errno| Error::io("read", "the number of the newest uevent", errno))
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

/// Makes the epoll readable while `fd` is readable.
fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>) -> IoResult<()> {
    epoll::add(epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    /// A descriptor that is readable without an event. After a fork, this happens if the other process reads the event first.
    #[derive(Debug)]
    struct Readable(OwnedFd);

    impl Events for Readable {
        fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn next(&mut self) -> IoResult<Option<Signal>> {
            Ok(None)
        }

        fn follow(&mut self, _path: &str) -> IoResult<Option<OwnedFd>> {
            Ok(None)
        }

        fn unfollow(&mut self, _path: &str) {}

        fn set_buffer_size(&mut self, _bytes: usize) -> IoResult<()> {
            Ok(())
        }

        fn newest(&self) -> IoResult<u64> {
            Ok(0)
        }
    }

    #[test]
    fn readable_source_without_events_does_not_block_the_caller() {
        let fd = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
        let mut source = Source::on(Box::new(Readable(fd)), None, None).unwrap();
        assert_eq!(source.fetch(), Ok(None));
        source.discard().unwrap();
    }
}
