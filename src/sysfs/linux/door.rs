// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens files and folders of a host, and never one that is not below its root.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};

use super::retry;
use super::spent::Spent;
use crate::sysfs::{Errno, IoResult, is_relative};

/// What all open folders of a host share.
#[derive(Debug)]
pub(super) struct Door {
    root: OwnedFd,
    /// Below another root links must not lead out of it; below `/` there is no "out".
    confined: bool,
    pub(super) spent: Spent,
}

impl Door {
    pub(super) fn new(root: &str) -> IoResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(root, flags, Mode::empty())?;
        Ok(Door { root: fd, confined: !root.trim_end_matches('/').is_empty(), spent: Spent::default() })
    }

    /// What is at `path`, absolute in the host's own view.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> IoResult<OwnedFd> {
        let relative = path.strip_prefix('/').filter(|p| is_relative(p)).ok_or(Errno::INVAL)?;
        let flags = flags | OFlags::CLOEXEC;
        self.spent.with_room(|| self.resolve(&self.root, relative, flags, ResolveFlags::IN_ROOT))
    }

    /// What is at `name` below `dir`, which is the open folder at `path`.
    pub(super) fn open_at(&self, dir: &OwnedFd, path: &str, name: &str, flags: OFlags) -> IoResult<OwnedFd> {
        if !is_relative(name) {
            return Err(Errno::INVAL);
        }
        let flags = flags | OFlags::CLOEXEC;
        // The cheapest for the kernel to check; few names have links on their way.
        match self.spent.with_room(|| self.resolve(dir, name, flags, ResolveFlags::NO_SYMLINKS)) {
            // Only from the root it is known whether a link leads out of that.
            Err(Errno::LOOP) if self.confined => self.open(&format!("{path}/{name}"), flags),
            result => result,
        }
    }

    fn resolve(&self, dir: &OwnedFd, name: &str, flags: OFlags, resolve: ResolveFlags) -> IoResult<OwnedFd> {
        let plain = || retry(|| openat(dir, name, flags, Mode::empty()));
        if !self.confined {
            return plain();
        }
        loop {
            match openat2(dir, name, flags, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS) {
                // The kernel could not rule out that a rename raced with us.
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Linux before 5.6, or a seccomp filter from that time.
                Err(Errno::NOSYS | Errno::PERM) => return plain(),
                result => return result,
            }
        }
    }
}
