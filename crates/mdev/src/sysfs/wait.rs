// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits for uevents.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::uevent::Events;
use super::{Errno, IoResult, Sysfs};

/// The interval at which the state of the host is read again where no uevent is received: in a network namespace without
/// uevents, after types of a parent have changed, after a resource was exhausted. A user waits one second at most, and one read a
/// second is cheap.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits until something may have changed on a host.
#[derive(Debug)]
pub struct Waiter {
    /// `None` if a sandbox forbids the socket (RestrictAddressFamilies of systemd, a seccomp filter). A wait then ends after
    /// [`POLL_INTERVAL`] or at the deadline.
    events: Option<Box<dyn Events>>,
}

impl Waiter {
    /// Starts to receive uevents: each uevent that the kernel sends from now on ends the next [`Waiter::wait`].
    pub fn new(sysfs: &dyn Sysfs) -> IoResult<Waiter> {
        Waiter::on(sysfs.events())
    }

    fn on(events: IoResult<Box<dyn Events>>) -> IoResult<Waiter> {
        match events {
            Ok(events) => Ok(Waiter { events: Some(events) }),
            // A create that has succeeded must not fail because of a sandbox.
            Err(errno @ (Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::PERM | Errno::ACCESS)) => {
                log::debug!("cannot receive uevents, so the state of the host is polled: {errno}");
                Ok(Waiter { events: None })
            }
            Err(errno) => Err(errno),
        }
    }

    /// Waits until something may have changed (true) or the deadline has passed (false). Without a uevent, returns true after
    /// [`POLL_INTERVAL`].
    pub fn wait(&mut self, deadline: Option<Instant>) -> IoResult<bool> {
        let left = deadline.map_or(POLL_INTERVAL, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left.min(POLL_INTERVAL)).map_err(|_| Errno::OVERFLOW)?;
        let mut fds: Vec<PollFd<'_>> =
            self.events.iter().map(|events| PollFd::from_borrowed_fd(events.fd(), PollFlags::IN)).collect();
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if let Some(events) = &mut self.events {
            // The caller reads sysfs after each wait, so the content of the uevents is not needed. An error also ends this loop,
            // since it must not keep the caller from reading sysfs.
            while let Ok(Some(_)) = events.next() {}
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Op, default_host};

    fn in_a_millisecond() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(1))
    }

    #[test]
    fn wait_without_a_socket_ends_at_the_deadline() {
        for errno in [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::PERM, Errno::ACCESS] {
            let mut waiter = Waiter::on(Err(errno)).unwrap();
            assert_eq!(waiter.wait(in_a_millisecond()), Ok(true));
            assert_eq!(waiter.wait(Some(Instant::now())), Ok(false));
        }
    }

    #[test]
    fn waiter_without_descriptors_fails() {
        let host = default_host();
        host.fail_next(Op::Watch, "", Errno::MFILE, 1);
        assert_eq!(Waiter::new(&host).unwrap_err(), Errno::MFILE);
        assert_eq!(Waiter::new(&host).unwrap().wait(Some(Instant::now())), Ok(false));
    }
}
