// SPDX-License-Identifier: LGPL-2.1-or-later
//! An open directory.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Timestamps, fstat, readlinkat, statat, utimensat};
use rustix::time::{ClockId, clock_gettime};

use super::detached;
use super::retry;
use super::root::Root;
use crate::error::ErrorCode;
use crate::finding::{Finding, report};
use crate::sys::writer;
use crate::sysfs::{DetachedError, Dir, EntryKind, Errno, IoResult, Meta, READ_MAX, Writer, is_relative};

/// One byte more than a page. A sysfs attribute has at most one page, so a read that does not fill the buffer has reached the end.
const PAGE: usize = 4096 + 1;

/// The number of repeats of a read after EINTR: more than the number of signals during one read. It is limited, since a driver
/// may return EINTR for every read.
const READ_ATTEMPTS: u32 = 64;

/// The size of the buffer for a listing: space for about 250 entries with a UUID as name. Most directories then take two system
/// calls; the second one finds the end.
const LISTING: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct LinuxDir {
    fd: OwnedFd,
    path: String,
    root: Arc<Root>,
    /// The position of the descriptor is no longer at the beginning of the directory.
    listed: Cell<bool>,
    /// See [`Root::open_at`].
    has_links: Cell<bool>,
}

impl LinuxDir {
    pub(super) fn new(fd: OwnedFd, path: String, root: Arc<Root>) -> Self {
        LinuxDir { fd, path, root, listed: Cell::new(false), has_links: Cell::new(false) }
    }

    /// O_NONBLOCK: below a root that is not `/`, the entry may be a FIFO, whose open would block. Sysfs ignores this flag.
    fn open_file(&self, name: &str, access: OFlags) -> IoResult<OwnedFd> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open_at(name, flags)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> IoResult<OwnedFd> {
        self.root.open_at(&self.fd, &self.path, name, flags, &self.has_links)
    }

    /// Calls `act` with the directory that holds the last component of `name`, and with that component. System calls with a path
    /// (fstatat, readlinkat, utimensat) would follow a link that leads out of the root.
    fn at_last<T>(&self, name: &str, act: impl FnOnce(&OwnedFd, &str) -> IoResult<T>) -> IoResult<T> {
        if !is_relative(name) {
            return Err(Errno::INVAL);
        }
        match name.rsplit_once('/') {
            Some((above, last)) if self.root.is_confined() => {
                let dir = self.open_at(above, OFlags::PATH | OFlags::DIRECTORY)?;
                act(&dir, last)
            }
            _ => act(&self.fd, name),
        }
    }
}

impl Dir for LinuxDir {
    fn path(&self) -> &str {
        &self.path
    }

    fn open(&self, name: &str) -> IoResult<Box<dyn Dir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self.open_at(name, flags)?;
        let mut path = String::with_capacity(self.path.len() + 1 + name.len());
        path.push_str(&self.path);
        path.push('/');
        path.push_str(name);
        Ok(Box::new(LinuxDir::new(fd, path, Arc::clone(&self.root))))
    }

    fn read(&self, name: &str, buf: &mut Vec<u8>) -> IoResult<()> {
        read_to_end(&self.open_file(name, OFlags::RDONLY)?, buf)
    }

    fn writer(&self, name: &str) -> IoResult<Box<dyn Writer>> {
        Ok(Box::new(LinuxWriter(self.open_file(name, OFlags::WRONLY)?)))
    }

    fn write_detached(&self, name: &str, value: &[u8], give_up: &mut dyn FnMut() -> bool) -> Result<(), DetachedError> {
        // The file stays open until the end: a search of another process for users then sees that this process removes the device.
        let fd = self.open_file(name, OFlags::WRONLY).map_err(DetachedError::Write)?;
        let writing = writer::write(fd.as_fd(), value).map_err(DetachedError::NotStarted)?;
        detached::wait(writing, value.len(), give_up)
    }

    fn list(&self, visit: &mut dyn FnMut(&str, EntryKind)) -> IoResult<()> {
        if self.listed.replace(true) {
            // The position of the descriptor is where the last listing ended.
            rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        }
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; LISTING];
        let mut entries = RawDir::new(&self.fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let file_name = entry.file_name();
            if matches!(file_name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(name) = file_name.to_str() else {
                let text = format!("left out an entry whose name is not UTF-8: {file_name:?}");
                report(Finding::new(ErrorCode::BadData, &self.path, text));
                continue;
            };
            visit(name, self.entry_kind_of(name, entry.file_type()));
        }
        Ok(())
    }

    fn link(&self, name: &str) -> IoResult<String> {
        self.at_last(name, |dir, name| {
            let mut buffer = [MaybeUninit::<u8>::uninit(); 1024];
            let (target, rest) = rustix::fs::readlinkat_raw(dir, name, &mut buffer[..])?;
            if rest.is_empty() {
                // The target may be longer than the buffer: this call allocates a buffer that is large enough.
                let target = readlinkat(dir, name, Vec::new())?;
                return target.into_string().map_err(|_| Errno::ILSEQ);
            }
            std::str::from_utf8(target).map(str::to_owned).map_err(|_| Errno::ILSEQ)
        })
    }

    fn meta(&self, name: &str) -> IoResult<Meta> {
        let stat = self.at_last(name, |dir, name| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))?;
        let kind = entry_kind(FileType::from_raw_mode(stat.st_mode));
        let changed = nanoseconds(stat.st_mtime, stat.st_mtime_nsec);
        Ok(Meta { kind, mode: stat.st_mode & 0o7777, ino: stat.st_ino, changed })
    }

    fn set_mtime(&self, name: &str) -> IoResult<u64> {
        // The exact time: the kernel's own current time (UTIME_NOW) changes only every few milliseconds.
        let now = clock_gettime(ClockId::Realtime);
        let times = Timestamps { last_access: now, last_modification: now };
        self.at_last(name, |dir, name| retry(|| utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)))?;
        Ok(self.meta(name)?.changed)
    }

    fn ino(&self) -> IoResult<u64> {
        Ok(fstat(&self.fd)?.st_ino)
    }
}

impl LinuxDir {
    /// Returns the kind of an entry. Some file systems do not report the type in a listing.
    fn entry_kind_of(&self, name: &str, file_type: FileType) -> EntryKind {
        match file_type {
            FileType::Unknown => self.meta(name).map_or(EntryKind::Other, |meta| meta.kind),
            listed => entry_kind(listed),
        }
    }
}

#[derive(Debug)]
struct LinuxWriter(OwnedFd);

impl Writer for LinuxWriter {
    fn write(&mut self, value: &[u8]) -> IoResult<()> {
        if value.is_empty() {
            return Err(Errno::INVAL);
        }
        match rustix::io::write(&self.0, value)? {
            written if written == value.len() => Ok(()),
            _ => Err(Errno::IO),
        }
    }
}

/// Converts a time of `stat` to nanoseconds. The integer types of the two fields differ between architectures.
fn nanoseconds(seconds: impl TryInto<i64>, rest: impl TryInto<i64>) -> u64 {
    let seconds = seconds.try_into().unwrap_or_default();
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest.try_into().unwrap_or_default()) as u64
}

fn entry_kind(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::Directory => EntryKind::Dir,
        FileType::RegularFile => EntryKind::File,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

/// Reads a file to its end. A read that does not fill the buffer has reached the end, so that an attribute takes one read.
fn read_to_end(fd: &OwnedFd, buf: &mut Vec<u8>) -> IoResult<()> {
    let start = buf.len();
    let mut page = [const { MaybeUninit::<u8>::uninit() }; PAGE];
    let mut attempts = 0;
    loop {
        let count = match rustix::io::read(fd, &mut page) {
            Ok((filled, _)) => {
                buf.extend_from_slice(filled);
                filled.len()
            }
            Err(Errno::INTR) if attempts < READ_ATTEMPTS => {
                attempts += 1;
                continue;
            }
            Err(errno) => return Err(errno),
        };
        if buf.len() - start > READ_MAX {
            return Err(Errno::FBIG);
        }
        if count < PAGE {
            return Ok(());
        }
    }
}
