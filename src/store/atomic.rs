// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files that are whole or not there: written without a name, and given one when complete.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Readable by all, since an ordinary user may list devices; written by the owner.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// A complete file in `dir` that has no name yet.
pub(super) fn unnamed(dir: impl AsFd, content: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = openat(dir, ".", flags, MODE)?;
    // A daemon's umask may be strict, and is not ours to change.
    fchmod(&fd, MODE)?;
    let mut rest = content;
    while !rest.is_empty() {
        match rustix::io::write(&fd, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(fd)
}

/// Gives the file its name; EEXIST when that is taken.
pub(super) fn name(file: &OwnedFd, dir: impl AsFd, name: &str) -> Result<(), Errno> {
    // The form that needs no capability: a link to what /proc shows, followed.
    linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), dir, name, AtFlags::SYMLINK_FOLLOW)
}

/// Puts the file in the place of whatever has the name.
pub(super) fn replace(file: &OwnedFd, dir: impl AsFd, target: &str) -> Result<(), Errno> {
    let dir = dir.as_fd();
    // rename(2) needs a name to start from. The leading dot marks it as not a device; it is complete all the same.
    let temporary = format!(".{target}.new");
    match name(file, dir, &temporary) {
        Err(Errno::EXIST) => {
            // Left by a process that was killed between the two calls.
            unlinkat(dir, &temporary, AtFlags::empty())?;
            name(file, dir, &temporary)?;
        }
        result => result?,
    }
    renameat(dir, &temporary, dir, target)
}
