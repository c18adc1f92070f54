// SPDX-License-Identifier: LGPL-2.1-or-later
//! The system calls on files of the store. In the tests of this crate, each call can be made to fail.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat};
use rustix::io::Errno;

use crate::fd::long_lived;

#[cfg(not(test))]
use rustix::fs as kernel;
#[cfg(test)]
use watched as kernel;

pub(super) use kernel::{fsync, linkat, mkdirat, renameat, unlinkat};

#[cfg(test)]
pub(crate) use watched::watched;

pub(super) fn open(path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    kernel::open(path, flags, mode).and_then(long_lived)
}

pub(super) fn openat(dir: impl AsFd, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    kernel::openat(dir, name, flags, mode).and_then(long_lived)
}

/// Opens a regular file for reading. EINVAL for a file of another type, ELOOP for a link: a FIFO or device in the place of
/// a file never blocks the caller.
pub(super) fn open_regular(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match openat(dir.as_fd(), name, flags, Mode::empty()) {
        // The file is a socket.
        Err(Errno::NXIO) => return Err(Errno::INVAL),
        opened => opened?,
    };
    match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(fd),
        _ => Err(Errno::INVAL),
    }
}

/// Reads at most `max` bytes of a file.
pub(super) fn read(file: &File, max: u64) -> Result<Vec<u8>, Errno> {
    #[cfg(test)]
    watched::before("read", &watched::path_of(file))?;
    let mut text = Vec::new();
    let read = file.take(max).read_to_end(&mut text);
    read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(text)
}

/// Opens the listing of a folder.
pub(super) fn list(dir: impl AsFd) -> Result<Dir, Errno> {
    #[cfg(test)]
    watched::before("list", &watched::path_of(&dir))?;
    Dir::read_from(dir)
}

/// The names in a folder. `cut`: called if the listing fails before its end; the names up to there follow if it returns `Ok`.
pub(super) fn names<E>(dir: impl AsFd, cut: &mut dyn FnMut(Errno) -> Result<(), E>) -> Result<Vec<String>, E> {
    let mut names = Vec::new();
    let entries = match list(dir) {
        Ok(entries) => entries,
        Err(errno) => return cut(errno).map(|()| names),
    };
    for entry in entries {
        match entry.as_ref().map(|entry| entry.file_name().to_str()) {
            Ok(Ok(name)) if name != "." && name != ".." => names.push(name.to_owned()),
            Ok(_) => {}
            Err(errno) => cut(*errno)?,
        }
    }
    Ok(names)
}

#[cfg(test)]
mod watched {
    use std::cell::RefCell;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use rustix::fs::{self, AtFlags, Mode, OFlags};
    use rustix::io::Errno;
    use rustix::path::Arg;

    /// Gets the name and the path of each call. If it returns an error, the call fails with that errno, without a system call.
    type Hook = Box<dyn FnMut(&str, &str) -> Result<(), Errno>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Runs a function. Each call of this thread calls `hook` first.
    pub(crate) fn watched<T>(
        hook: impl FnMut(&str, &str) -> Result<(), Errno> + 'static,
        run: impl FnOnce() -> T,
    ) -> T {
        HOOK.set(Some(Box::new(hook)));
        let result = run();
        HOOK.set(None);
        result
    }

    pub(super) fn before(call: &str, path: &str) -> Result<(), Errno> {
        HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(call, path)))
    }

    pub(super) fn path_of(fd: impl AsFd) -> String {
        let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        std::fs::read_link(link).map_or(String::new(), |path| path.to_string_lossy().into_owned())
    }

    pub(in crate::store) fn open(path: impl Arg + AsRef<str>, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        before("open", path.as_ref())?;
        fs::open(path, flags, mode)
    }

    pub(in crate::store) fn openat(
        dir: impl AsFd,
        name: impl Arg + AsRef<str>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        before("openat", &format!("{}/{}", path_of(&dir), name.as_ref()))?;
        fs::openat(dir, name, flags, mode)
    }

    pub(in crate::store) fn mkdirat(dir: impl AsFd, path: impl Arg + AsRef<str>, mode: Mode) -> Result<(), Errno> {
        before("mkdirat", path.as_ref())?;
        fs::mkdirat(dir, path, mode)
    }

    pub(in crate::store) fn unlinkat(dir: impl AsFd, name: impl Arg + AsRef<str>, flags: AtFlags) -> Result<(), Errno> {
        before("unlinkat", &format!("{}/{}", path_of(&dir), name.as_ref()))?;
        fs::unlinkat(dir, name, flags)
    }

    pub(in crate::store) fn linkat(
        from: impl AsFd,
        old: impl Arg,
        dir: impl AsFd,
        name: impl Arg + AsRef<str>,
        flags: AtFlags,
    ) -> Result<(), Errno> {
        before("linkat", &format!("{}/{}", path_of(&dir), name.as_ref()))?;
        fs::linkat(from, old, dir, name, flags)
    }

    pub(in crate::store) fn renameat(
        from: impl AsFd,
        old: impl Arg,
        dir: impl AsFd,
        name: impl Arg + AsRef<str>,
    ) -> Result<(), Errno> {
        before("renameat", &format!("{}/{}", path_of(&dir), name.as_ref()))?;
        fs::renameat(from, old, dir, name)
    }

    pub(in crate::store) fn fsync(fd: impl AsFd) -> Result<(), Errno> {
        // Not done in tests: it is slow, and has no effect without a loss of power.
        before("fsync", &path_of(&fd))
    }
}
