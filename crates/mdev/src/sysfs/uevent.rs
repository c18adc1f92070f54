// SPDX-License-Identifier: LGPL-2.1-or-later
//! Uevents, the kernel's messages about devices that are added, changed or removed, and the interface of their source.

use std::fmt::Debug;

use rustix::fd::{BorrowedFd, OwnedFd};

use super::{IoResult, is_relative};

/// The maximum size of a uevent: the kernel's buffer for the variables has 2 KiB, and the path of the device precedes them.
pub const EVENT_MAX: usize = 8 * 1024;

/// The action of a uevent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The device was added. Some of its links may not exist yet.
    Add,
    /// The device was removed.
    Remove,
    /// The driver of the device reports a change.
    Change,
    /// The device was renamed or moved.
    Move,
    /// The device is in service.
    Online,
    /// The device is out of service.
    Offline,
    /// A driver was bound to the device.
    Bind,
    /// The driver was unbound from the device.
    Unbind,
}

impl Action {
    /// Parses the kernel's name of an action. `None` for an unknown name.
    pub fn parse(text: &str) -> Option<Action> {
        Some(match text {
            "add" => Action::Add,
            "remove" => Action::Remove,
            "change" => Action::Change,
            "move" => Action::Move,
            "online" => Action::Online,
            "offline" => Action::Offline,
            "bind" => Action::Bind,
            "unbind" => Action::Unbind,
            _ => return None,
        })
    }
}

/// A uevent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent {
    /// The action.
    pub action: Action,
    /// The path of the device, `/sys/devices/...`.
    pub syspath: String,
    /// The bus or class of the device.
    pub subsystem: String,
    /// The kernel's sequence number of the uevent; 0 if there is none.
    pub number: u64,
    /// `MDEV_STATE`: the device became a parent (true), or no longer is a parent (false).
    pub registered: Option<bool>,
}

impl Uevent {
    /// Parses the kernel's format: `action@path`, then variables, each followed by a NUL. `None` for any other message.
    pub fn parse(message: &[u8]) -> Option<Uevent> {
        let mut parts = message.split(|byte| *byte == 0).map(std::str::from_utf8);
        let (action, devpath) = parts.next()?.ok()?.split_once('@')?;
        devpath.strip_prefix('/').filter(|path| is_relative(path))?;
        let mut event = Uevent {
            action: Action::parse(action)?,
            syspath: format!("/sys{devpath}"),
            subsystem: String::new(),
            number: 0,
            registered: None,
        };
        // A variable that is not UTF-8 is skipped: the variables below are always UTF-8.
        for (key, value) in parts.flatten().filter_map(|variable| variable.split_once('=')) {
            match key {
                "SUBSYSTEM" => value.clone_into(&mut event.subsystem),
                "SEQNUM" => event.number = value.parse().unwrap_or(0),
                "MDEV_STATE" => event.registered = Some(value == "registered"),
                _ => {}
            }
        }
        Some(event)
    }
}

/// A message from a source of uevents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A uevent.
    Event(Uevent),
    /// A process wrote to a followed file: see [`Events::follow`].
    Written {
        /// The path that was passed to [`Events::follow`].
        path: String,
    },
    /// Uevents were lost, since the buffer was full. Later uevents may be lost too, until the buffer has been read
    /// completely.
    Lost,
}

/// The kernel's uevents since the source was opened, in the kernel's order.
pub trait Events: Send + Debug {
    /// Returns a descriptor that is readable when [`Events::next`] has a signal to return.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Returns the next signal, without waiting; `None` if there is none.
    fn next(&mut self) -> IoResult<Option<Signal>>;

    /// Starts to report writes to the file at `path`, for which the kernel sends no uevent. Returns the file (O_PATH) if the
    /// caller has to watch it with inotify; after `None`, this source returns [`Signal::Written`]. A repeated call follows the
    /// file that is at `path` at that time.
    fn follow(&mut self, path: &str) -> IoResult<Option<OwnedFd>>;

    /// Ends [`Signal::Written`] for the file.
    fn unfollow(&mut self, path: &str);

    /// Sets the size of the receive buffer, which the kernel limits.
    fn set_buffer_size(&mut self, bytes: usize) -> IoResult<()>;

    /// Returns the number of the newest uevent of this host, whether or not this source has received it; 0 if the host does not
    /// show the number. Fails if the process has run out of descriptors or memory.
    fn newest(&self) -> IoResult<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: &[u8] =
        b"bind@/devices/virtual/mtty/mtty/83b8f4f2\0ACTION=bind\0DEVPATH=/devices/virtual/mtty/mtty/83b8f4f2\0\
        SUBSYSTEM=mdev\0DRIVER=vfio_mtty\0SEQNUM=4711\0";

    #[test]
    fn uevent_in_the_kernels_format_is_parsed() {
        let event = Uevent::parse(BIND).unwrap();
        assert_eq!((event.action, event.number, event.registered), (Action::Bind, 4711, None));
        assert_eq!(
            (event.syspath.as_str(), event.subsystem.as_str()),
            ("/sys/devices/virtual/mtty/mtty/83b8f4f2", "mdev")
        );
        let change = b"change@/devices/x\0SUBSYSTEM=x\0MDEV_STATE=unregistered\0SEQNUM=x\0";
        let event = Uevent::parse(change).unwrap();
        assert_eq!((event.action, event.number, event.registered), (Action::Change, 0, Some(false)));
    }

    #[test]
    fn text_that_is_no_uevent_is_refused() {
        let bad: [&[u8]; 8] = [
            b"",
            b"\0",
            b"libudev\0\xfe\xed\xca\xfe",
            b"add",
            b"explode@/devices/x\0",
            b"add@devices/x\0",
            b"add@/devices/../../etc\0",
            b"add@/devices/\xff\0",
        ];
        for message in bad {
            assert_eq!(Uevent::parse(message), None, "{message:?}");
        }
        // Each shorter part of a message is parsed or refused, without a panic.
        for end in 0..BIND.len() {
            let _ = Uevent::parse(&BIND[..end]);
        }
    }
}
