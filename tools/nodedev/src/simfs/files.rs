// SPDX-License-Identifier: LGPL-2.1-or-later
//! A folder of the simulated host as a FUSE file system, with the errnos of sysfs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenAccMode,
    OpenFlags, RenameFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use mdev::simulator::{EntryType, Errno, OpenNode, SimHost, Stat};

use super::faults::{Fate, Faults};
use super::{Served, process};

/// The kernel must ask for every entry again: devices appear and vanish at once.
const NO_CACHE: Duration = Duration::ZERO;

/// The size of every file of sysfs.
const FILE_SIZE: u64 = 4096;

/// An open file or folder.
enum Handle {
    /// A file, with the content at its last read from the beginning.
    File(Mutex<Option<Vec<u8>>>),
    /// A folder, with its entries at the last read from the beginning.
    Dir(Mutex<Vec<(u64, FileType, String)>>),
    /// A node of VFIO.
    Node { _open: OpenNode },
}

/// A folder of the simulated host as a file system.
pub struct Files {
    host: SimHost,
    /// The inode number of the folder that is the root of the file system.
    root: u64,
    /// The owner of all files.
    owner: (u32, u32),
    /// The time of the entries that never changed.
    start: SystemTime,
    faults: Arc<Faults>,
    /// The writes that block: the kernel waits for their replies.
    blocked: Mutex<Vec<ReplyWrite>>,
    handles: Mutex<BTreeMap<u64, Arc<Handle>>>,
    last_handle: AtomicU64,
}

fn refused(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

/// The errno for an open file that was removed: kernfs returns ENODEV.
fn of_open_file(errno: Errno) -> fuser::Errno {
    refused(if errno == Errno::NOENT { Errno::NODEV } else { errno })
}

fn file_type(kind: EntryType) -> FileType {
    match kind {
        EntryType::Dir => FileType::Directory,
        EntryType::Link => FileType::Symlink,
        // A device node cannot exist in a FUSE file system of a user.
        EntryType::File | EntryType::Node => FileType::RegularFile,
    }
}

impl Files {
    /// Returns the file system whose root is the folder at `path`. `owner` is the user and the group of all files. Fails if the host has
    /// no such folder.
    pub fn new(served: &Served, path: &str, owner: (u32, u32)) -> Result<Files, Errno> {
        let host = &served.host;
        let root = host.inode(path)?;
        let (handles, last_handle) = (Mutex::new(BTreeMap::new()), AtomicU64::new(0));
        let (faults, blocked) = (Arc::clone(&served.faults), Mutex::new(Vec::new()));
        let (host, start) = (host.clone(), SystemTime::now());
        Ok(Files { host, root, owner, start, faults, blocked, handles, last_handle })
    }

    /// Returns the inode number in the simulated host.
    fn ino(&self, number: INodeNo) -> u64 {
        if number == INodeNo::ROOT { self.root } else { number.0 }
    }

    /// Returns the inode number for the kernel.
    fn number(&self, ino: u64) -> INodeNo {
        if ino == self.root { INodeNo::ROOT } else { INodeNo(ino) }
    }

    fn attr(&self, stat: &Stat) -> FileAttr {
        let changed = if stat.changed == 0 { self.start } else { UNIX_EPOCH + Duration::from_nanos(stat.changed) };
        let kind = file_type(stat.kind);
        FileAttr {
            ino: self.number(stat.ino),
            size: if kind == FileType::RegularFile { FILE_SIZE } else { 0 },
            blocks: 0,
            atime: changed,
            mtime: changed,
            ctime: changed,
            crtime: changed,
            kind,
            perm: u16::try_from(stat.mode & 0o7777).unwrap_or(0),
            nlink: stat.links,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn handles(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Handle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_handle(&self, handle: Handle) -> FileHandle {
        let number = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        self.handles().insert(number, Arc::new(handle));
        FileHandle(number)
    }

    fn handle(&self, handle: FileHandle) -> Option<Arc<Handle>> {
        self.handles().get(&handle.0).cloned()
    }

    fn open_file(&self, request: &Request, ino: u64, flags: OpenFlags) -> Result<Handle, Errno> {
        let stat = self.host.stat(ino)?;
        // As sysfs does, also for root.
        let wanted = match flags.acc_mode() {
            OpenAccMode::O_RDONLY => 0o444,
            OpenAccMode::O_WRONLY => 0o222,
            OpenAccMode::O_RDWR => 0o666,
        };
        let allows = |bits: u32| wanted & bits == 0 || stat.mode & wanted & bits != 0;
        if !allows(0o444) || !allows(0o222) {
            return Err(Errno::ACCESS);
        }
        Ok(match stat.kind {
            EntryType::Node => Handle::Node { _open: self.host.open_node(ino, process::of_thread(request.pid()))? },
            _ => Handle::File(Mutex::new(None)),
        })
    }

    fn entries(&self, ino: u64) -> Result<Vec<(u64, FileType, String)>, Errno> {
        let above = if ino == self.root { ino } else { self.host.above(ino)? };
        let mut entries = vec![
            (self.number(ino).0, FileType::Directory, ".".to_owned()),
            (self.number(above).0, FileType::Directory, "..".to_owned()),
        ];
        let listed = self.host.list(ino)?;
        entries.extend(listed.into_iter().map(|(name, stat)| (stat.ino, file_type(stat.kind), name)));
        Ok(entries)
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = name.to_str().ok_or(Errno::NOENT).and_then(|name| self.host.child(self.ino(parent), name));
        match found {
            Ok(stat) => reply.entry(&NO_CACHE, &self.attr(&stat), Generation(0)),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.host.stat(self.ino(ino)) {
            Ok(stat) => reply.attr(&NO_CACHE, &self.attr(&stat)),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    /// A truncation and a new time change the time only; the owner cannot be changed.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let ino = self.ino(ino);
        let is_owner = |uid: Option<u32>, own: u32| uid.is_none_or(|uid| uid == own);
        if !is_owner(uid, self.owner.0) || !is_owner(gid, self.owner.1) {
            return reply.error(fuser::Errno::EPERM);
        }
        let mut changed = mode.map_or_else(|| self.host.stat(ino), |mode| self.host.set_mode(ino, mode));
        if size.is_some() || mtime.is_some() {
            changed = changed.and_then(|_| self.host.touch(ino));
        }
        match changed {
            Ok(stat) => reply.attr(&NO_CACHE, &self.attr(&stat)),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.host.target(self.ino(ino)) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(request, self.ino(ino), flags) {
            // Without the page cache, each read reaches the driver, and each write as a whole.
            Ok(handle) => reply.opened(self.add_handle(handle), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let handle = self.handle(handle);
        let Some(Handle::File(content)) = handle.as_deref() else { return reply.error(fuser::Errno::EINVAL) };
        let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 || content.is_none() {
            match self.host.content(self.ino(ino)) {
                Ok(read) => *content = Some(read),
                Err(errno) => return reply.error(of_open_file(errno)),
            }
        }
        let bytes = content.as_deref().unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let rest = bytes.get(start..).unwrap_or_default();
        reply.data(rest.get(..size as usize).unwrap_or(rest));
    }

    /// As in sysfs, the offset has no meaning.
    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let handle = self.handle(handle);
        let Some(Handle::File(_)) = handle.as_deref() else { return reply.error(fuser::Errno::EINVAL) };
        match self.faults.write(&self.host.path_of(self.ino(ino)).unwrap_or_default()) {
            Fate::Delivered => {}
            Fate::Fails(errno) => return reply.error(refused(errno)),
            Fate::Blocks => return self.blocked.lock().unwrap_or_else(PoisonError::into_inner).push(reply),
        }
        let writer = process::of_thread(request.pid());
        match self.host.write(self.ino(ino), data, &|holder| process::is_or_is_below(writer, holder)) {
            Ok(written) => reply.written(u32::try_from(written).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(of_open_file(errno)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.handles().remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.entries(self.ino(ino)) {
            Ok(entries) => reply.opened(self.add_handle(Handle::Dir(Mutex::new(entries))), FopenFlags::empty()),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let handle = self.handle(handle);
        let Some(Handle::Dir(entries)) = handle.as_deref() else { return reply.error(fuser::Errno::EINVAL) };
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            match self.entries(self.ino(ino)) {
                Ok(now) => *entries = now,
                Err(errno) => return reply.error(refused(errno)),
            }
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (ino, kind, name)) in entries.iter().enumerate().skip(start) {
            if reply.add(INodeNo(*ino), index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.handles().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    // In sysfs, only drivers add and remove entries. The kernel refuses a new file with EACCES before it calls a file system that cannot
    // create any; everything else is EPERM.

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(fuser::Errno::EACCES);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(fuser::Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(fuser::Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(fuser::Errno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &std::path::Path, reply: ReplyEntry) {
        reply.error(fuser::Errno::EPERM);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(fuser::Errno::EPERM);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(fuser::Errno::EPERM);
    }
}
