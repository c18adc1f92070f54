// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's events by netlink, one by one.

use std::collections::{HashMap, VecDeque};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::event::epoll;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, inotify};
use rustix::io::pread;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_passcred, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketFlags, SocketType, bind,
    recvmsg, socket_with,
};
use rustix::process::Uid;

use super::door::Door;
use super::filter;
use crate::fd::long_lived;
use crate::sysfs::uevent::{EVENT_MAX, Events, Signal, Uevent};
use crate::sysfs::{Errno, IoResult};

/// The multicast group of the kernel itself; udev's own is 2.
const KERNEL_GROUP: u32 = 1;

/// Who a namespace of users does not know (the kernel's overflowuid).
const UNKNOWN_USER: u32 = 65534;

/// Room for the events of some thousand devices that come at once. Only what waits takes memory.
const BUFFER: usize = 16 * 1024 * 1024;

/// An open socket that hears the kernel, and others who may speak to everybody on this host.
pub(super) fn listen(prepare: impl FnOnce(BorrowedFd<'_>) -> IoResult<()>) -> IoResult<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = long_lived(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?)?;
    prepare(socket.as_fd())?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

#[derive(Debug)]
pub(super) struct UeventSocket {
    socket: OwnedFd,
    /// `/sys/kernel/uevent_seqnum`, where it is.
    counter: Option<OwnedFd>,
    door: Arc<Door>,
    /// Files that are followed, once there is one.
    files: Option<Files>,
    /// Both, for whoever waits.
    poll: OwnedFd,
}

/// The kernel reports writes to a file of sysfs as to any other. A write of the kernel itself is none.
#[derive(Debug)]
struct Files {
    inotify: OwnedFd,
    paths: HashMap<i32, String>,
    waiting: VecDeque<Signal>,
}

impl UeventSocket {
    pub(super) fn new(door: &Arc<Door>) -> IoResult<Self> {
        let socket = listen(|socket| {
            filter::attach(socket);
            set_socket_passcred(socket, true)?;
            set_buffer_size(socket, BUFFER)
        })?;
        UeventSocket::on(socket, door)
    }

    fn on(socket: OwnedFd, door: &Arc<Door>) -> IoResult<Self> {
        let counter = door.open("/sys/kernel/uevent_seqnum", OFlags::RDONLY | OFlags::NONBLOCK);
        let counter = counter.and_then(long_lived).ok();
        let poll = long_lived(epoll::create(epoll::CreateFlags::CLOEXEC)?)?;
        epoll::add(&poll, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(UeventSocket { socket, counter, door: Arc::clone(door), files: None, poll })
    }

    fn files(&mut self) -> IoResult<&mut Files> {
        if self.files.is_none() {
            let inotify = long_lived(inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?)?;
            epoll::add(&self.poll, &inotify, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
            self.files = Some(Files { inotify, paths: HashMap::new(), waiting: VecDeque::new() });
        }
        self.files.as_mut().ok_or(Errno::BADF)
    }
}

impl Files {
    fn end(&mut self, path: &str) {
        let found = self.paths.iter().find(|(_, known)| *known == path).map(|(watch, _)| *watch);
        if let Some(watch) = found {
            self.paths.remove(&watch);
            // It has ended already where the kernel did say that the file went.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    fn next(&mut self) -> IoResult<Option<Signal>> {
        if self.waiting.is_empty() {
            self.fetch()?;
        }
        Ok(self.waiting.pop_front())
    }

    fn fetch(&mut self) -> IoResult<()> {
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                self.waiting.push_back(Signal::Lost);
            } else if event.events().contains(inotify::ReadFlags::IGNORED) {
                self.paths.remove(&event.wd());
            } else if let Some(path) = self.paths.get(&event.wd()) {
                self.waiting.push_back(Signal::Written { path: path.clone() });
            }
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

/// Without the privilege to exceed it the kernel's bound of the host holds (net.core.rmem_max).
fn set_buffer_size(socket: BorrowedFd<'_>, bytes: usize) -> IoResult<()> {
    set_socket_recv_buffer_size_force(socket, bytes).or_else(|_| set_socket_recv_buffer_size(socket, bytes))
}

impl Events for UeventSocket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    fn next(&mut self) -> IoResult<Option<Signal>> {
        if let Some(files) = &mut self.files {
            // What was written was written before what the kernel says next, as a rule; nothing depends on it.
            if let Some(signal) = files.next()? {
                return Ok(Some(signal));
            }
        }
        let mut buffer = [0_u8; EVENT_MAX];
        loop {
            match receive(self.socket.as_fd(), &mut buffer) {
                Ok(Some(length)) => match Uevent::parse(&buffer[..length]) {
                    Some(event) => return Ok(Some(Signal::Event(event))),
                    None => log::debug!("left out a message that is no uevent ({length} bytes)"),
                },
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Ok(Some(Signal::Lost)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn follow(&mut self, path: &str) -> IoResult<()> {
        // Where it leads stays below the root; the watch goes to what was opened.
        let file = self.door.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let files = self.files()?;
        // A driver may refuse a write and change something all the same, which only the close tells then.
        let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CLOSE_WRITE;
        let watch = inotify::add_watch(&files.inotify, format!("/proc/self/fd/{}", file.as_raw_fd()), what)?;
        if files.paths.get(&watch).is_none_or(|known| known != path) {
            files.end(path);
            files.paths.insert(watch, path.to_owned());
        }
        Ok(())
    }

    fn unfollow(&mut self, path: &str) {
        if let Some(files) = &mut self.files {
            files.end(path);
        }
    }

    fn set_buffer_size(&mut self, bytes: usize) -> IoResult<()> {
        set_buffer_size(self.socket.as_fd(), bytes)
    }

    fn newest(&self) -> u64 {
        let mut text = [0_u8; 32];
        let read = self.counter.as_ref().and_then(|counter| pread(counter, &mut text, 0).ok()).unwrap_or(0);
        std::str::from_utf8(&text[..read]).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

/// One message. `None` for one that is not the kernel's, or that is longer than any of the kernel's.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> IoResult<Option<usize>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::DONTWAIT)?;
    let address = message.address.and_then(|address| SocketAddrNetlink::try_from(address).ok());
    let by_kernel = address.is_some_and(|address| address.pid() == 0);
    // To a user namespace that does not know the host's root it has another number. That does not weaken the address, which
    // no program can have.
    let is_root = |uid: Uid| uid.is_root() || uid.as_raw() == UNKNOWN_USER;
    let by_root =
        control.drain().any(|part| matches!(part, RecvAncillaryMessage::ScmCredentials(sender) if is_root(sender.uid)));
    let whole = !message.flags.contains(ReturnFlags::TRUNC);
    if by_kernel && by_root && whole {
        return Ok(Some(message.bytes));
    }
    log::debug!("left out a message that is not the kernel's (kernel: {by_kernel}, root: {by_root}, whole: {whole})");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg, socketpair};

    fn door(root: &str) -> Arc<Door> {
        Arc::new(Door::new(root).unwrap())
    }

    /// Somebody else's message, which carries the sender's credentials but not the kernel's address.
    #[test]
    fn only_the_kernel_is_believed() {
        let (flags, domain) = (SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, AddressFamily::UNIX);
        let (stranger, socket) = socketpair(domain, SocketType::DGRAM, flags, None).unwrap();
        set_socket_passcred(&socket, true).unwrap();
        let forged = b"remove@/devices/x\0SUBSYSTEM=mdev\0SEQNUM=1\0";
        let send = || {
            let mut control = SendAncillaryBuffer::default();
            sendmsg(&stranger, &[IoSlice::new(forged)], &mut control, SendFlags::empty()).unwrap();
        };
        send();
        send();
        let mut events = UeventSocket::on(socket, &door("/proc/self/fdinfo")).unwrap();
        let mut buffer = [0; EVENT_MAX];
        assert_eq!(receive(events.socket.as_fd(), &mut buffer), Ok(None));
        assert_eq!(events.next(), Ok(None));
        assert_eq!(events.newest(), 0);
    }

    #[test]
    fn a_socket_of_the_kernel_opens_without_privilege_and_is_silent() {
        let mut events = UeventSocket::new(&door("/")).unwrap();
        events.set_buffer_size(1).unwrap();
        while let Some(signal) = events.next().unwrap() {
            // Whatever this machine does meanwhile.
            assert!(matches!(signal, Signal::Event(_) | Signal::Lost));
        }
    }

    #[test]
    fn writes_to_a_followed_file_are_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("type"), "0\n").unwrap();
        let mut events = UeventSocket::new(&door(root.path().to_str().unwrap())).unwrap();
        assert_eq!(events.follow("/../x"), Err(Errno::INVAL));
        assert_eq!(events.follow("/none"), Err(Errno::NOENT));
        events.follow("/type").unwrap();
        let written = |events: &mut UeventSocket| {
            std::iter::from_fn(|| events.next().unwrap()).filter(|s| matches!(s, Signal::Written { .. })).count()
        };
        assert_eq!(written(&mut events), 0);
        std::fs::write(root.path().join("type"), "558\n").unwrap();
        assert!(written(&mut events) > 0);
        std::fs::rename(root.path().join("type"), root.path().join("old")).unwrap();
        std::fs::write(root.path().join("type"), "0\n").unwrap();
        events.follow("/type").unwrap();
        events.follow("/type").unwrap();
        std::fs::write(root.path().join("old"), "1\n").unwrap();
        assert_eq!(written(&mut events), 0, "only the file that is there now is followed");
        std::fs::write(root.path().join("type"), "558\n").unwrap();
        assert!(written(&mut events) > 0);
        events.unfollow("/type");
        events.unfollow("/type");
        std::fs::write(root.path().join("type"), "0\n").unwrap();
        assert_eq!(written(&mut events), 0);
    }
}
