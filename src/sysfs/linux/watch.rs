// SPDX-License-Identifier: LGPL-2.1-or-later
//! Kernel uevents as a sign that something may have changed.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};

use super::uevents::listen;
use crate::sysfs::{Errno, IoResult, Watch};

/// In a container's network namespace no uevent arrives. Look again after this long even without one.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Uevents {
    /// `None` where this process may not have one: a service's sandbox (RestrictAddressFamilies of systemd), a seccomp
    /// filter. Its waits end by time alone.
    socket: Option<OwnedFd>,
}

impl Uevents {
    pub(super) fn new() -> IoResult<Self> {
        match listen(|_| Ok(())) {
            Ok(socket) => Ok(Uevents { socket: Some(socket) }),
            Err(errno) => Self::deaf(errno),
        }
    }

    /// What a sandbox forbids must not make a create fail that has succeeded.
    fn deaf(errno: Errno) -> IoResult<Self> {
        match errno {
            Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::PERM | Errno::ACCESS => {
                log::debug!("no uevents can be had here: {errno}");
                Ok(Uevents { socket: None })
            }
            other => Err(other),
        }
    }

    /// Reads what has come; what it says does not matter here, since the caller looks at sysfs itself.
    fn drain(&self) {
        let Some(socket) = &self.socket else { return };
        let mut buffer = [0_u8; 4096];
        loop {
            match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                // ENOBUFS: some were lost, which is news enough.
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}

impl Watch for Uevents {
    fn wait(&mut self, deadline: Option<Instant>) -> IoResult<bool> {
        let left = deadline.map_or(LOOK_AGAIN, |d| d.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left.min(LOOK_AGAIN)).map_err(|_| Errno::OVERFLOW)?;
        let mut sockets: Vec<PollFd<'_>> = self.socket.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut sockets, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        self.drain();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_socket_a_wait_ends_all_the_same() {
        let mut deaf = Uevents::deaf(Errno::AFNOSUPPORT).unwrap();
        assert_eq!(deaf.wait(Some(Instant::now() + Duration::from_millis(1))), Ok(true));
        assert_eq!(deaf.wait(Some(Instant::now())), Ok(false));
        assert_eq!(Uevents::deaf(Errno::MFILE).unwrap_err(), Errno::MFILE);
    }
}
