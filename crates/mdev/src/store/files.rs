// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of running devices as files: `/run/libmdev/devices/<uuid>`, JSON. Each file is complete or does not exist.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, chmodat, fstat, statat, unlink, utimensat,
};
use rustix::io::Errno;
use uuid::Uuid;

use super::atomic::{Unnamed, sweep, sweep_names};
use super::calls::{self, mkdirat, open, open_regular, read, unlinkat};
use super::record::{DeviceRecord, FindDevice, NewGroup, RecordedDevice, uuid_in_use, validate_and_allocate};
use super::type_cache::TypeCache;
use crate::error::{Error, ErrorCode, Result, describe, if_present};
use crate::finding::{Finding, report, report_unless_exhausted};
use crate::lock::{Lock, is_held};

/// The maximum size of a record. A larger file is invalid.
const RECORD_MAX: u64 = 256 * 1024;

/// How long a process waits for one holder of a lock: longer than the slowest driver needs for a device.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a creator waits for a process that holds the lock briefly, to check whether the device or group is being created.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum number of records of missing devices that are removed under one lock. This takes a fraction of a second.
const SWEEP_MAX: usize = 2000;

/// The pause between two sweeps, in which a waiting process can take the lock.
const SWEEP_INTERVAL: Duration = Duration::from_millis(2);

/// The maximum number of reads of a record that is replaced while it is read. Each creator of a UUID replaces its record once.
const READ_ATTEMPTS: u32 = 16;

/// The flags to open a folder of the store.
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The store in the folder `libmdev` of the `/run` of a host.
#[derive(Debug)]
pub struct FileStore {
    base: String,
    devices: String,
    pub(super) groups: String,
    types: String,
    pub(super) locks: String,
}

impl FileStore {
    pub(super) fn new(run: &str) -> Self {
        let base = format!("{}/libmdev", run.trim_end_matches('/'));
        FileStore {
            devices: format!("{base}/devices"),
            groups: format!("{base}/groups"),
            types: format!("{base}/types"),
            locks: format!("{base}/locks"),
            base,
        }
    }

    pub(super) fn all(&self) -> Result<HashMap<Uuid, DeviceRecord>> {
        let mut all = HashMap::new();
        let dir = match open_folder(&self.devices) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Ok(all),
            Err(e) => return left_out(e).map(|()| all),
        };
        for uuid in names(&dir, &self.devices, &mut left_out)?.0 {
            match self.read(&dir, &uuid) {
                Ok(record) => all.extend(record.map(|record| (uuid, record))),
                Err(e) => left_out(e)?,
            }
        }
        Ok(all)
    }

    pub(super) fn get(&self, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
        match open_folder(&self.devices)? {
            Some(dir) => self.read(&dir, uuid),
            None => Ok(None),
        }
    }

    /// Removes the record of a device that no longer exists, unless a new device with its UUID is being created.
    pub(super) fn forget(&self, uuid: &Uuid, own: &dyn Fn(&DeviceRecord) -> bool) {
        self.forget_if(uuid, |dir| match self.read(dir, uuid) {
            Ok(record) => record.is_none_or(|record| own(&record)),
            Err(e) => is_invalid_record(&e),
        });
    }

    /// Removes a record without a device whose creator no longer runs.
    pub(super) fn forget_abandoned(&self, uuid: &Uuid) {
        self.forget_if(uuid, |dir| {
            self.read(dir, uuid).is_ok_and(|record| record.is_some_and(|record| record.identity.is_none()))
        });
    }

    fn forget_if(&self, uuid: &Uuid, is_old: impl FnOnce(&OwnedFd) -> bool) {
        let Some(dir) = self.open_devices() else { return };
        if matches!(statat(&dir, uuid.to_string(), AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT)) {
            return;
        }
        match self.lock() {
            Ok(_alone) => {
                if !self.is_being_created(uuid) && is_old(&dir) {
                    self.remove(&dir, uuid);
                }
            }
            Err(e) => log::warn!("{}/{uuid}: cannot be removed: {e}", self.devices),
        }
    }

    /// Removes the record that this process reserved.
    pub(super) fn withdraw(&self, uuid: &Uuid) {
        if let Some(dir) = self.open_devices() {
            self.unlink(&dir, uuid);
        }
    }

    fn unlink(&self, dir: &OwnedFd, uuid: &Uuid) -> bool {
        match unlinkat(dir, uuid.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => true,
            Err(errno) => {
                log::warn!("{}/{uuid}: cannot be removed: {}", self.devices, describe(errno));
                false
            }
        }
    }

    /// Sets the mtime of a record to the current time. Logs a failure.
    pub(super) fn set_mtime(&self, uuid: &Uuid) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let path = self.path(&uuid.to_string());
        if let Err(errno) = utimensat(CWD, &*path, &times, AtFlags::SYMLINK_NOFOLLOW) {
            log::warn!("{path}: its time cannot be set: {}", describe(errno));
        }
    }

    pub(super) fn replace(&self, record: &DeviceRecord) -> Result<()> {
        let dir = self.make_devices()?;
        // A process that sweeps the folder holds this lock, and would remove the temporary file.
        let _alone = self.lock()?;
        self.put(&dir, &record.uuid.to_string(), &serialise(record)?)
    }

    /// Writes a file. The caller holds the lock of the store.
    fn put(&self, dir: &OwnedFd, name: &str, text: &[u8]) -> Result<()> {
        let file = Unnamed::new(dir, text).map_err(|e| self.failed("write", e))?;
        file.replace(name).map_err(|e| self.failed("write", e))
    }

    /// Reserves the names and groups of new devices and writes their records, under the lock of the store. While a caller keeps a
    /// returned lock, other processes find that the device is being created.
    pub(super) fn reserve(
        &self,
        records: &mut [DeviceRecord],
        new_group: NewGroup<'_>,
        find: &FindDevice<'_>,
    ) -> Result<Vec<Lock>> {
        let dir = self.make_devices()?;
        let (_alone, living, held) = loop {
            let alone = self.lock()?;
            if let Some((living, held)) = self.sweep(&dir, records, new_group.members, find)? {
                break (alone, living, held);
            }
            drop(alone);
            // Lets another process take the lock.
            std::thread::sleep(SWEEP_INTERVAL);
        };
        let in_use = || (new_group.in_use)().map(|groups| [groups, held.clone()].concat());
        validate_and_allocate(records, NewGroup { in_use: &in_use, ..new_group }, &living, find)?;
        let kept: Vec<&DeviceRecord> = records.iter().filter(|new| new.worth_keeping()).collect();
        let mut locks = Vec::with_capacity(kept.len());
        for new in &kept {
            match self.place(&dir, new) {
                Ok(lock) => locks.push(lock),
                Err(e) => {
                    kept.iter().take(locks.len()).for_each(|done| {
                        let _ = self.unlink(&dir, &done.uuid);
                    });
                    return Err(e);
                }
            }
        }
        Ok(locks)
    }

    fn place(&self, dir: &OwnedFd, new: &DeviceRecord) -> Result<Lock> {
        let file = Unnamed::new(dir, &serialise(new)?).map_err(|e| self.failed("write", e))?;
        let name = new.uuid.to_string();
        // Locked before the file has a name: no process finds the file without its lock.
        let lock = self.transient_lock(&self.lock_of(&new.uuid));
        let lock = lock
            .map_err(|e| if e.code == ErrorCode::Timeout { uuid_in_use(&new.uuid).at(self.path(&name)) } else { e })?;
        match file.name(&name) {
            Ok(()) => Ok(lock),
            Err(Errno::EXIST) => Err(uuid_in_use(&new.uuid).at(self.path(&name))),
            Err(errno) => Err(self.failed("write", errno)),
        }
    }

    /// Removes the records of devices that no longer exist and of creators that were killed. Returns the records of existing devices,
    /// and the groups of devices whose creators were killed and that may still appear. Their records are kept, unless a device in
    /// `new` needs the place. `None` if so many were removed that other processes must get the lock first. A record that may be
    /// valid and cannot be read is kept. Fails if its device exists and one of `members` needs a group: the device may have any.
    fn sweep(
        &self,
        dir: &OwnedFd,
        new: &[DeviceRecord],
        members: &[Uuid],
        find: &FindDevice<'_>,
    ) -> Result<Option<(Vec<DeviceRecord>, Vec<u32>)>> {
        let (uuids, others) = names(dir, &self.devices, &mut Err)?;
        sweep_names(dir, &others);
        let (mut living, mut held, mut removed) = (Vec::new(), Vec::new(), 0);
        for uuid in uuids {
            if removed == SWEEP_MAX {
                return Ok(None);
            }
            let (record, unread) = match self.read(dir, &uuid) {
                Ok(record) => (record, None),
                Err(e) => (None, Some(e)),
            };
            // An invalid record gives only its UUID.
            let unknown = DeviceRecord { uuid, ..DeviceRecord::default() };
            let look = || find(record.as_ref().unwrap_or(&unknown));
            let holds = match look() {
                RecordedDevice::Own(_) => true,
                // While the device is being created, its VF may still have the type of another device.
                RecordedDevice::Other => {
                    record.as_ref().is_some_and(|record| record.vf.is_some()) && self.is_being_created(&uuid)
                }
                // A creator that has ended may have created the device after the first search.
                RecordedDevice::Absent => self.is_being_created(&uuid) || matches!(look(), RecordedDevice::Own(_)),
            };
            match unread {
                Some(e) if holds && !members.is_empty() => return Err(e),
                // It may be the record of a VF, which a search on the mdev bus does not find.
                Some(e) if !is_invalid_record(&e) => {
                    report_unless_exhausted(e)?;
                    continue;
                }
                Some(e) => log::warn!("{e}"),
                None => {}
            }
            if holds {
                living.extend(record);
                continue;
            }
            let late = record.map_or_else(Vec::new, |record| record.groups_held());
            if late.is_empty() || new.iter().any(|new| new.uuid == uuid) {
                // A record that cannot be removed remains for every sweep, so it must not count as progress.
                removed += usize::from(self.remove(dir, &uuid));
            }
            held.extend(late);
        }
        Ok(Some((living, held)))
    }

    /// Returns whether a creator holds the lock of the device. True also if the lock file cannot be opened, for example by an ordinary
    /// user.
    fn is_being_created(&self, uuid: &Uuid) -> bool {
        is_held(&self.lock_of(uuid)).unwrap_or(true)
    }

    /// Removes a record whose device no longer exists, and the lock file of a creator that was killed. The caller holds the lock
    /// of the store. False if the record could not be removed.
    fn remove(&self, dir: &OwnedFd, uuid: &Uuid) -> bool {
        let removed = self.unlink(dir, uuid);
        let _ = unlink(self.lock_of(uuid));
        removed
    }

    fn lock_of(&self, uuid: &Uuid) -> String {
        format!("{}/device-{uuid}", self.locks)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.devices)
    }

    fn read(&self, dir: &OwnedFd, uuid: &Uuid) -> Result<Option<DeviceRecord>> {
        let name = uuid.to_string();
        for _ in 0..READ_ATTEMPTS {
            let Some((record, file)) = self.read_once(dir, uuid)? else { return Ok(None) };
            if record.identity.is_some() || self.is_being_created(uuid) {
                return Ok(Some(record));
            }
            // The creator was killed, or it replaced the record by one with an identity before it released the lock.
            let failed = |errno| self.read_error(uuid, errno);
            let own = fstat(&file).map_err(failed)?;
            match statat(dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(now) if now.st_ino == own.st_ino => {
                    let nanoseconds = u64::try_from(own.st_mtime_nsec as i64).unwrap_or_default();
                    let seconds = u64::try_from(own.st_mtime).unwrap_or_default();
                    let written = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
                    return Ok(Some(DeviceRecord { abandoned: Some(written), ..record }));
                }
                Ok(_) => {}
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(None)
    }

    fn read_once(&self, dir: &OwnedFd, uuid: &Uuid) -> Result<Option<(DeviceRecord, File)>> {
        let fd = match open_regular(dir, &uuid.to_string()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.read_error(uuid, errno)),
        };
        let file = File::from(fd);
        let text = read(&file, RECORD_MAX).map_err(|errno| self.read_error(uuid, errno))?;
        let record: DeviceRecord =
            serde_json::from_slice(&text).map_err(|e| self.broken(uuid, &e.to_string(), Errno::BADMSG))?;
        if let Some(why) = record.invalid_reason() {
            return Err(self.broken(uuid, why, Errno::BADMSG));
        }
        if record.uuid != *uuid {
            return Err(self.broken(uuid, "it is about another device", Errno::BADMSG));
        }
        Ok(Some((record, file)))
    }

    fn broken(&self, uuid: &Uuid, why: &str, errno: Errno) -> Error {
        let path = format!("{}/{uuid}", self.devices);
        let message = format!("cannot use {path}: {why}; remove the file");
        Error::new(ErrorCode::Store, errno, message).at(path)
    }

    fn read_error(&self, uuid: &Uuid, errno: Errno) -> Error {
        if is_invalid(errno) {
            return self.broken(uuid, &describe(errno), errno);
        }
        Error { code: ErrorCode::Store, ..Error::io("read", &format!("{}/{uuid}", self.devices), errno) }
    }

    fn failed(&self, action: &str, errno: Errno) -> Error {
        let plain = Error::io(action, &self.devices, errno);
        if plain.code == ErrorCode::AccessDenied { plain } else { Error { code: ErrorCode::Store, ..plain } }
    }

    fn open_devices(&self) -> Option<OwnedFd> {
        open_folder(&self.devices).unwrap_or_else(|e| {
            log::warn!("{e}; no record is removed");
            None
        })
    }

    /// Returns the types that a parent has shown. Empty if the file does not exist, is invalid or is about other VFs; the caller may
    /// then replace the file. Fails if the file cannot be read.
    pub(super) fn remembered_types(&self, parent: &str, version: u64) -> Result<Vec<(String, String)>> {
        let Some(dir) = open_folder(&self.types)? else { return Ok(Vec::new()) };
        let text = match if_present(open_regular(&dir, parent)) {
            Ok(fd) => fd.map(|fd| read(&File::from(fd), RECORD_MAX)).transpose(),
            Err(errno) if is_invalid(errno) => return Ok(Vec::new()),
            Err(errno) => Err(errno),
        };
        let text = text.map_err(|errno| Error::io("read", &format!("{}/{parent}", self.types), errno))?;
        Ok(text.and_then(|text| TypeCache::read(&text, version)).unwrap_or_default())
    }

    pub(super) fn remember_types(&self, parent: &str, version: u64, types: &[(String, String)]) {
        let cache = TypeCache { version, types: types.to_vec() };
        let write = || -> Result<()> {
            let text = serde_json::to_vec(&cache).unwrap_or_default();
            let dir = self.make(&self.types)?;
            // A list must not wait for a writer. The next list stores the types.
            let _alone = lock_store(&self.base, Duration::ZERO)?;
            sweep(&dir);
            self.put(&dir, parent, &text)
        };
        if let Err(e) = write() {
            // The user may not write the file, or another process has the lock.
            log::debug!("{parent}: cannot save its types for later lists: {e}");
        }
    }

    fn make_devices(&self) -> Result<OwnedFd> {
        self.make(&self.devices)
    }

    /// Opens a folder of the store. Creates it if it does not exist.
    pub(super) fn make(&self, folder: &str) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(dir) = open(folder, flags, Mode::empty()) {
            return Ok(dir);
        }
        for path in [self.base.as_str(), folder] {
            make_folder(path).map_err(|errno| Error::io("make", path, errno))?;
        }
        open(folder, flags, Mode::empty()).map_err(|errno| Error::io("open", folder, errno))
    }

    pub(super) fn lock(&self) -> Result<Lock> {
        lock_store(&self.base, LOCK_TIMEOUT)
    }

    /// Takes the lock of a device or group that is being created.
    pub(super) fn transient_lock(&self, path: &str) -> Result<Lock> {
        in_folder(&self.locks, &self.base, || Lock::acquire_transient(path, CHECK_TIMEOUT))
    }

    pub(super) fn host_lock(&self, name: &str) -> Result<Lock> {
        in_folder(&self.locks, &self.base, || Lock::acquire(&format!("{}/{name}", self.locks), LOCK_TIMEOUT))
    }
}

/// True if the errno means that a file is invalid: wrong content, or not a regular file.
fn is_invalid(errno: Errno) -> bool {
    matches!(errno, Errno::BADMSG | Errno::INVAL | Errno::LOOP)
}

/// True for the error of an invalid record, which describes no device. An error of the folder has another code.
pub fn is_invalid_record(e: &Error) -> bool {
    e.code == ErrorCode::Store && is_invalid(e.errno())
}

/// Opens a folder of the store; `None` if it does not exist.
pub(super) fn open_folder(path: &str) -> Result<Option<OwnedFd>> {
    if_present(open(path, FOLDER, Mode::empty())).map_err(|errno| Error::io("open", path, errno))
}

/// Reports a record or folder that is left out. Fails if this process has run out of descriptors or memory.
fn left_out(e: Error) -> Result<()> {
    if !is_invalid_record(&e) {
        return report_unless_exhausted(e);
    }
    report_record(&e);
    Ok(())
}

/// Reports a record that cannot be used. No call failed if it was read and is invalid.
pub fn report_record(e: &Error) {
    let finding = Finding::from(e);
    report(if is_invalid_record(e) { Finding { errno: None, ..finding } } else { finding });
}

/// Returns the UUIDs among the names in a folder, and the other names. `cut` is called with the error if the listing fails before its
/// end.
pub(super) fn names(
    dir: &OwnedFd,
    path: &str,
    cut: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<(Vec<Uuid>, Vec<String>)> {
    let (mut uuids, mut others) = (Vec::new(), Vec::new());
    for name in calls::names(dir, &mut |errno| cut(Error::io("list", path, errno)))? {
        match crate::model::name::parse_uuid(&name) {
            Some(uuid) => uuids.push(uuid),
            None => others.push(name),
        }
    }
    Ok((uuids, others))
}

/// Takes the lock for all writes below the folder.
pub(super) fn lock_store(base: &str, patience: Duration) -> Result<Lock> {
    in_folder(base, base, || Lock::acquire(&format!("{base}/lock"), patience))
}

/// Calls `lock`. If the folder of the lock file does not exist, creates it and calls `lock` again.
fn in_folder(folder: &str, base: &str, lock: impl Fn() -> Result<Lock>) -> Result<Lock> {
    match lock() {
        Err(e) if e.errno == Errno::NOENT.raw_os_error() => {
            for path in [base, folder] {
                make_folder(path).map_err(|errno| Error::io("make", path, errno))?;
            }
            lock()
        }
        result => result,
    }
}

/// Creates a folder that every user can read, independent of the umask: every user may list devices.
fn make_folder(path: &str) -> std::result::Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o755);
    match mkdirat(CWD, path, mode).and_then(|()| chmodat(CWD, path, mode, AtFlags::empty())) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn serialise(record: &DeviceRecord) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|e| Error::new(ErrorCode::Internal, Errno::INVAL, e.to_string()))
}
