// SPDX-License-Identifier: LGPL-2.1-or-later
//! Uevents: the kernel's messages about devices that are added, changed or removed, and the source that they are read from.

use std::fmt::Debug;

use rustix::fd::{BorrowedFd, OwnedFd};

use super::{IoResult, is_relative};

/// No uevent is larger: the kernel's buffer for the variables has 2 KiB, and the path precedes them once more.
pub const EVENT_MAX: usize = 8 * 1024;

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was added; some of its links may not exist yet.
    Add,
    /// It was removed.
    Remove,
    /// Its driver reports a change.
    Change,
    /// It was renamed or moved.
    Move,
    /// It is in service.
    Online,
    /// It is out of service.
    Offline,
    /// A driver was bound to it.
    Bind,
    /// Its driver was unbound.
    Unbind,
}

impl Action {
    /// Parses the kernel's name of an action.
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
    /// What happened.
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
    /// Parses the kernel's form: `action@path`, then variables, each followed by a NUL. `None` for any other message.
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
        // None of the variables that are read has a value that is not UTF-8.
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

/// What a source of uevents returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A uevent.
    Event(Uevent),
    /// A process wrote to a followed file: see [`Events::follow`].
    Written {
        /// The path that was passed to [`Events::follow`].
        path: String,
    },
    /// Uevents were lost, since the buffer was full. Uevents sent since then may be lost as well, until all that are in
    /// the buffer have been read.
    Lost,
}

/// The kernel's uevents since the source was opened, in the kernel's order.
pub trait Events: Send + Debug {
    /// Readable when [`Events::next`] has something to return.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The next signal, without waiting.
    fn next(&mut self) -> IoResult<Option<Signal>>;

    /// Starts to report writes to the file at `path`, for which the kernel sends no uevent. Returns the file (O_PATH) if the
    /// caller has to watch it with inotify; on `None` this source returns [`Signal::Written`]. Called again, the file that is at
    /// `path` now is followed.
    fn follow(&mut self, path: &str) -> IoResult<Option<OwnedFd>>;

    /// Ends [`Signal::Written`] for the file.
    fn unfollow(&mut self, path: &str);

    /// Sets the size of the receive buffer. The kernel has limits of its own.
    fn set_buffer_size(&mut self, bytes: usize) -> IoResult<()>;

    /// The number of the newest uevent of this host, received here or not; 0 if the host does not show it. Fails if the process
    /// has run out of descriptors or memory.
    fn newest(&self) -> IoResult<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: &[u8] =
        b"bind@/devices/virtual/mtty/mtty/83b8f4f2\0ACTION=bind\0DEVPATH=/devices/virtual/mtty/mtty/83b8f4f2\0\
        SUBSYSTEM=mdev\0DRIVER=vfio_mtty\0SEQNUM=4711\0";

    #[test]
    fn uevent_in_the_form_of_the_kernel_is_parsed() {
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
        // A message that is cut anywhere is parsed or refused, without a panic.
        for end in 0..BIND.len() {
            let _ = Uevent::parse(&BIND[..end]);
        }
    }
}
