// SPDX-License-Identifier: LGPL-2.1-or-later
//! The source of the kernel's uevents: a netlink socket.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::pread;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_passcred, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketFlags, SocketType, bind,
    recvmsg, socket_with,
};
use rustix::process::Uid;

use super::filter;
use super::root::Root;
use crate::fd::long_lived;
use crate::sysfs::uevent::{EVENT_MAX, Events, Signal, Uevent};
use crate::sysfs::{Errno, IoResult, if_readable};

/// The multicast group to which the kernel sends; udev sends to group 2.
const KERNEL_GROUP: u32 = 1;

/// The user ID that a user namespace shows for a user that it does not map (the kernel's overflowuid).
const UNKNOWN_USER: u32 = 65534;

/// The size of the receive buffer: enough for the uevents of a few thousand devices that are added at once. Only unread uevents take
/// memory.
const BUFFER: usize = 16 * 1024 * 1024;

/// The file that contains the number of the newest uevent.
const COUNTER: &str = "/sys/kernel/uevent_seqnum";

#[derive(Debug)]
pub(super) struct UeventSocket {
    socket: OwnedFd,
    root: Arc<Root>,
}

impl UeventSocket {
    pub(super) fn new(root: &Arc<Root>) -> IoResult<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = long_lived(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?)?;
        filter::attach(socket.as_fd());
        set_socket_passcred(&socket, true)?;
        set_buffer_size(socket.as_fd(), BUFFER)?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(UeventSocket { socket, root: Arc::clone(root) })
    }
}

/// Sets the size of the receive buffer. Without CAP_NET_ADMIN, the size is at most net.core.rmem_max.
fn set_buffer_size(socket: BorrowedFd<'_>, bytes: usize) -> IoResult<()> {
    set_socket_recv_buffer_size_force(socket, bytes).or_else(|_| set_socket_recv_buffer_size(socket, bytes))
}

impl Events for UeventSocket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn next(&mut self) -> IoResult<Option<Signal>> {
        let mut buffer = [0_u8; EVENT_MAX];
        loop {
            match receive(self.socket.as_fd(), &mut buffer) {
                Ok(Some(length)) => match buffer.get(..length).and_then(Uevent::parse) {
                    Some(event) => return Ok(Some(Signal::Event(event))),
                    None => log::debug!("ignored a message that is not a uevent ({length} bytes)"),
                },
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Ok(Some(Signal::Lost)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn follow(&mut self, path: &str) -> IoResult<Option<OwnedFd>> {
        self.root.open(path, OFlags::PATH | OFlags::NOFOLLOW).map(Some)
    }

    fn unfollow(&mut self, _path: &str) {}

    fn set_buffer_size(&mut self, bytes: usize) -> IoResult<()> {
        set_buffer_size(self.socket.as_fd(), bytes)
    }

    fn newest(&self) -> IoResult<u64> {
        let opened = if_readable(self.root.open(COUNTER, OFlags::RDONLY | OFlags::NONBLOCK))?;
        let Some(counter) = opened else { return Ok(0) };
        let mut text = [0_u8; 32];
        let read = pread(counter, &mut text, 0).unwrap_or(0);
        Ok(std::str::from_utf8(text.get(..read).unwrap_or_default())
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0))
    }
}

/// Receives one message, and returns its length. `None` for a message that the kernel did not send, or that is longer than a uevent
/// can be.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> IoResult<Option<usize>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::DONTWAIT)?;
    let address = message.address.and_then(|address| SocketAddrNetlink::try_from(address).ok());
    let from_kernel = address.is_some_and(|address| address.pid() == 0);
    // In a user namespace that does not map the host's root, the kernel's messages come from UNKNOWN_USER. Only the kernel has the
    // netlink address 0.
    let is_root = |uid: Uid| uid.is_root() || uid.as_raw() == UNKNOWN_USER;
    let from_root =
        control.drain().any(|part| matches!(part, RecvAncillaryMessage::ScmCredentials(sender) if is_root(sender.uid)));
    let is_whole = !message.flags.contains(ReturnFlags::TRUNC);
    if from_kernel && from_root && is_whole {
        return Ok(Some(message.bytes));
    }
    log::debug!(
        "ignored a message that is not from the kernel or too long (from the kernel: {from_kernel}, from root: {from_root}, \
         complete: {is_whole})"
    );
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg, socketpair};

    fn root_at(path: &str) -> Arc<Root> {
        Arc::new(Root::new(path).unwrap())
    }

    /// The message has the credentials of a sender that is not the kernel.
    #[test]
    fn message_of_a_process_is_ignored() {
        let (flags, domain) = (SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, AddressFamily::UNIX);
        let (sender, socket) = socketpair(domain, SocketType::DGRAM, flags, None).unwrap();
        set_socket_passcred(&socket, true).unwrap();
        let forged = b"remove@/devices/x\0SUBSYSTEM=mdev\0SEQNUM=1\0";
        let send = || {
            let mut control = SendAncillaryBuffer::default();
            sendmsg(&sender, &[IoSlice::new(forged)], &mut control, SendFlags::empty()).unwrap();
        };
        send();
        send();
        let mut events = UeventSocket { socket, root: root_at("/proc/self/fdinfo") };
        let mut buffer = [0; EVENT_MAX];
        assert_eq!(receive(events.socket.as_fd(), &mut buffer), Ok(None));
        assert_eq!(events.next(), Ok(None));
        assert_eq!(events.newest(), Ok(0));
    }

    #[test]
    fn socket_without_privilege_opens_and_receives() {
        let mut events = UeventSocket::new(&root_at("/")).unwrap();
        events.set_buffer_size(1).unwrap();
        while let Some(signal) = events.next().unwrap() {
            // The host of this test may send uevents at any time.
            assert!(matches!(signal, Signal::Event(_) | Signal::Lost));
        }
    }

    #[test]
    fn paths_are_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let mut events = UeventSocket::new(&root_at(root.path().to_str().unwrap())).unwrap();
        assert_eq!(events.newest(), Ok(0));
        assert_eq!(events.follow("/../x").unwrap_err(), Errno::INVAL);
        assert_eq!(events.follow("/none").unwrap_err(), Errno::NOENT);
        std::fs::create_dir_all(root.path().join("sys/kernel")).unwrap();
        std::fs::write(root.path().join("sys/kernel/uevent_seqnum"), "4711\n").unwrap();
        assert_eq!(events.newest(), Ok(4711));
    }
}
