// SPDX-License-Identifier: LGPL-2.1-or-later
//! Groups of devices that are being created. Each group has an empty file `/run/libmdev/groups/<id>`, or an entry of a map for the
//! simulated host.
//!
//! The creator takes the lock `/run/libmdev/locks/group-<id>`, creates the file before the first record of the group, and removes the
//! file when every device is usable. If the file exists and the lock is free, the group is incomplete: its creator was killed, or
//! could not remove its devices. The members of the group are the devices whose records have the id.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, statat};
use rustix::io::Errno;
use uuid::Uuid;

use super::calls::{openat, unlinkat};
use super::files::{FileStore, names, open_folder};
use super::runtime::Runtime;
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, or_report};
use crate::lock::{Lock, is_held};

/// A group that this process creates or removes. If it is dropped without [`Batch::finish`], the group is incomplete.
#[derive(Debug)]
pub struct Batch<'a> {
    store: &'a Runtime,
    id: Uuid,
    /// The lock; `None` for the simulated host.
    _lock: Option<Lock>,
}

impl Batch<'_> {
    /// Returns the id of the group, which the records of its members contain.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Ends the group, because all its devices are usable or none exists. Fails if the file of the group cannot be removed.
    pub fn finish(&self) -> Result<()> {
        match self.store {
            Runtime::Files(store) => store.end_batch(&self.id),
            Runtime::Memory(store) => {
                store.end_batch(&self.id);
                Ok(())
            }
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Runtime::Memory(store) = self.store {
            store.release_batch(&self.id);
        }
    }
}

impl Runtime {
    /// Records that a group is being created. Fails if its file cannot be created.
    pub fn begin_batch(&self) -> Result<Batch<'_>> {
        let id = Uuid::new_v4();
        let lock = match self {
            Runtime::Files(store) => Some(store.begin_batch(&id)?),
            Runtime::Memory(store) => {
                store.begin_batch(&id);
                None
            }
        };
        Ok(Batch { store: self, id, _lock: lock })
    }

    /// Returns the ids of the incomplete groups, without groups that another process creates or removes now. Fails if they cannot be
    /// listed.
    pub fn incomplete(&self) -> Result<Vec<Uuid>> {
        match self {
            Runtime::Files(store) => store.incomplete(),
            Runtime::Memory(store) => Ok(store.incomplete()),
        }
    }

    /// Locks an incomplete group, to remove its devices. `None` if it no longer exists, or another process creates or removes it.
    pub fn claim(&self, id: &Uuid) -> Result<Option<Batch<'_>>> {
        let lock = match self {
            Runtime::Files(store) => store.claim(id)?.map(Some),
            Runtime::Memory(store) => store.claim(id).then_some(None),
        };
        Ok(lock.map(|lock| Batch { store: self, id: *id, _lock: lock }))
    }

    /// Returns the path of the file of a group, for messages; its id for the simulated host.
    pub fn batch_path(&self, id: &Uuid) -> String {
        match self {
            Runtime::Files(store) => store.batch_path(id),
            Runtime::Memory(_) => id.to_string(),
        }
    }
}

impl FileStore {
    fn batch_path(&self, id: &Uuid) -> String {
        format!("{}/{id}", self.groups)
    }

    fn lock_of_batch(&self, id: &Uuid) -> String {
        format!("{}/group-{id}", self.locks)
    }

    fn begin_batch(&self, id: &Uuid) -> Result<Lock> {
        let dir = self.make(&self.groups)?;
        // Locked before the file exists, so that no process sees it without its lock.
        let lock = self.transient_lock(&self.lock_of_batch(id))?;
        // An empty file is always complete, so it needs no temporary name.
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        openat(&dir, &id.to_string(), flags, Mode::from_raw_mode(0o644))
            .map_err(|errno| Error::io("create", &self.batch_path(id), errno))?;
        Ok(lock)
    }

    fn end_batch(&self, id: &Uuid) -> Result<()> {
        let Some(dir) = open_folder(&self.groups)? else { return Ok(()) };
        match unlinkat(dir, id.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io("remove", &self.batch_path(id), errno)),
        }
    }

    fn incomplete(&self) -> Result<Vec<Uuid>> {
        let Some(dir) = open_folder(&self.groups)? else { return Ok(Vec::new()) };
        let mut ids = Vec::new();
        for id in names(&dir, &self.groups, &mut Err)?.0 {
            let lock = self.lock_of_batch(&id);
            let held = is_held(&lock).map_err(|errno| Error::io("open", &lock, errno));
            // The creator removes the file before it drops the lock.
            if or_report(held, |e| Finding::from(&e))? == Some(false) && self.has_batch(&dir, &id)? {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn claim(&self, id: &Uuid) -> Result<Option<Lock>> {
        let Some(dir) = open_folder(&self.groups)? else { return Ok(None) };
        match self.transient_lock(&self.lock_of_batch(id)) {
            // Another process may have removed the group since it was listed.
            Ok(lock) => Ok(self.has_batch(&dir, id)?.then_some(lock)),
            Err(e) if e.code == ErrorCode::Timeout => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn has_batch(&self, dir: &OwnedFd, id: &Uuid) -> Result<bool> {
        match statat(dir, id.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("check", &self.batch_path(id), errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::store::calls::watched;

    /// Whichever call a creator is killed before, the folder has the file of its group or none.
    #[test]
    fn creator_of_a_group_killed_at_any_call_leaves_no_other_file() {
        let run = tempfile::tempdir().unwrap();
        let groups = run.path().join("libmdev/groups");
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (folder, before_call) = (groups.clone(), seen.clone());
        let look = move |_: &str, _: &str| {
            let entries = std::fs::read_dir(&folder).into_iter().flatten();
            before_call.borrow_mut().extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
            Ok(())
        };
        let store = Runtime::files(run.path().to_str().unwrap());
        let id = watched(look, || {
            let group = store.begin_batch().unwrap();
            group.finish().unwrap();
            group.id().to_string()
        });
        assert!(seen.borrow().contains(&id));
        assert_eq!(seen.borrow().iter().find(|name| **name != id), None);
        assert_eq!(std::fs::read_dir(&groups).unwrap().count(), 0);
    }
}
