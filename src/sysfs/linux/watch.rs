// SPDX-License-Identifier: LGPL-2.1-or-later
//! Kernel uevents as a sign that something may have changed.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::sysfs::{Errno, IoResult, Watch};

/// The multicast group of the kernel itself; udev's own is 2.
const KERNEL_GROUP: u32 = 1;

/// In a container's network namespace no uevent arrives. Look again after this long even without one.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    pub(super) fn new() -> IoResult<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Uevents { socket })
    }

    /// Reads what has come; what it says does not matter here, since the caller looks at sysfs itself.
    fn drain(&self) {
        let mut buffer = [0_u8; 4096];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
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
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        self.drain();
        Ok(true)
    }
}
