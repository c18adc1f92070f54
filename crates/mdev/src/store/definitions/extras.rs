// SPDX-License-Identifier: LGPL-2.1-or-later
//! The extras: the data of a definition that mdevctl's format has no place for, in a separate file.
//!
//! A definition then has two files. A writer may be killed between the two writes, or the second write may fail (ENOSPC). Then the
//! definition must not lose its group, parameters or owner: even `virsh nodedev-autostart` replaces mdevctl's file, and without its
//! owner, MDEV_DESTROY_OWNED refuses to destroy the device.
//!
//! So the extras contain the identity of the mdevctl file that they belong to. Extras of another file are ignored: mdevctl may have
//! defined another device of this UUID and type. A change first writes mdevctl's new file under a temporary name, so its identity is
//! known. Then it replaces the file of extras by a file with the extras of both the new and the old mdevctl file. Last, it renames
//! mdevctl's new file. So the extras are valid at every moment, also for a reader that has read the old file. The next change removes
//! the extras of the old file.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags, StatxTimestamp, fstat, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Definition;

/// The extras of one definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extras {
    mdev_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The mdevctl file that these extras belong to; `None` in files of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<FileIdentity>,
    /// The extras of the mdevctl file that the file of `of` replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Box<Extras>>,
}

/// The identity of a file: no earlier or later file of the same name has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileIdentity {
    ino: u64,
    /// The time of its creation, in nanoseconds; 0 if the file system does not record it.
    born: u64,
    /// The time of modification; 0 if unknown. A copy (from a backup, or by an upgrade of the system) has the time and the text of the
    /// original.
    modified: u64,
    /// The text, as a UUID of version 5.
    text: Uuid,
}

impl FileIdentity {
    /// The identity of an open file, without its text.
    pub(super) fn of(file: impl AsFd) -> Result<Self, Errno> {
        let nanoseconds = |time: StatxTimestamp| {
            let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
            seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(time.tv_nsec))
        };
        match statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME) {
            Ok(stat) => {
                let has_born = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
                let born = if has_born { nanoseconds(stat.stx_btime) } else { 0 };
                Ok(FileIdentity { ino: stat.stx_ino, born, modified: nanoseconds(stat.stx_mtime), text: Uuid::nil() })
            }
            // A seccomp filter without statx(2).
            Err(Errno::NOSYS | Errno::PERM) => {
                Ok(FileIdentity { ino: fstat(&file)?.st_ino, born: 0, modified: 0, text: Uuid::nil() })
            }
            Err(errno) => Err(errno),
        }
    }

    /// Adds the text of the file to the identity.
    pub(super) fn with(self, text: &[u8]) -> Self {
        FileIdentity { text: Uuid::new_v5(&Uuid::NAMESPACE_OID, text), ..self }
    }

    /// True for the same file, also if it was written in place since, as mdevctl does; and for an exact copy.
    fn is(&self, other: &Self) -> bool {
        (self.ino == other.ino && self.born == other.born)
            || (self.modified != 0 && self.modified == other.modified && self.text == other.text)
    }
}

impl Extras {
    pub(super) fn of(definition: &Definition) -> Self {
        let Definition { type_id, name, group, params, owner, .. } = definition.clone();
        Extras { mdev_type: type_id, name, group, params, owner, of: None, before: None }
    }

    /// True if mdevctl's format has a place for all data.
    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none() && self.group.is_none() && self.params.is_none() && self.owner.is_none()
    }

    /// Returns the extras for this mdevctl file.
    pub(super) fn owned_by(&self, file: &FileIdentity) -> Self {
        Extras { of: Some(file.clone()), before: None, ..self.clone() }
    }

    /// Returns the extras together with the extras of the replaced file.
    pub(super) fn after(self, old: Option<Extras>) -> Self {
        Extras { before: old.map(|old| Box::new(Extras { before: None, ..old })), ..self }
    }

    /// Returns the extras that belong to this mdevctl file, if it has this type; else `None`.
    pub(super) fn belonging_to(self, file: &FileIdentity, type_id: &str) -> Option<Self> {
        let is_of = |extras: &Extras| extras.of.as_ref().is_none_or(|of| of.is(file));
        let own = match self.before {
            Some(before) if !self.of.as_ref().is_some_and(|of| of.is(file)) => Some(*before).filter(is_of),
            _ => Some(Extras { before: None, ..self }).filter(is_of),
        };
        own.filter(|own| own.mdev_type == type_id)
    }

    pub(super) fn lend(self, definition: &mut Definition) {
        (definition.name, definition.group) = (self.name, self.group);
        (definition.params, definition.owner) = (self.params, self.owner);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Definitions, Start};
    use super::*;

    fn definition(type_id: &str, name: Option<&str>) -> Definition {
        let name = name.map(str::to_owned);
        Definition { parent: "0000:86:00.0".into(), type_id: type_id.into(), name, ..Definition::default() }
    }

    fn identity(ino: u64, born: u64, modified: u64, text: u128) -> FileIdentity {
        FileIdentity { ino, born, modified, text: Uuid::from_u128(text) }
    }

    /// Between the two writes, the extras of both files exist, also for a reader of the old file.
    #[test]
    fn two_files_change_as_one() {
        let (old_file, new_file) = (identity(1, 1, 1, 1), identity(2, 2, 2, 2));
        let cases = [
            (definition("11", Some("old")), definition("12", Some("new"))),
            (definition("11", Some("old")), definition("11", Some("new"))),
            (definition("11", Some("old")), definition("12", None)),
        ];
        for (old, new) in cases {
            let (before, after) = (Extras::of(&old).owned_by(&old_file), Extras::of(&new).owned_by(&new_file));
            let both = after.clone().after(Some(before.clone()));
            let seen = |file: &FileIdentity, of: &Definition| both.clone().belonging_to(file, &of.type_id).unwrap();
            assert_eq!((seen(&old_file, &old), seen(&new_file, &new)), (before, after));
        }
    }

    #[test]
    fn extras_belong_to_one_file_and_its_exact_copies() {
        let extras = Extras::of(&definition("11", Some("a"))).owned_by(&identity(1, 5, 7, 9));
        for (file, own) in [
            (identity(1, 5, 70, 90), true), // written to in place
            (identity(3, 6, 7, 9), true),   // copied
            (identity(1, 6, 70, 9), false), // another file with the inode number and the text of the first
            (identity(3, 6, 70, 9), false), // the same text again
            (identity(3, 6, 7, 90), false), // another text at the same time
        ] {
            assert_eq!(extras.clone().belonging_to(&file, "11").is_some(), own, "{file:?}");
            assert!(extras.clone().belonging_to(&file, "12").is_none());
        }
    }

    #[test]
    fn files_without_a_definition_are_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("run")).unwrap();
        let store = Definitions::files(root.path().to_str().unwrap());
        let path = |folder: &str, name: &str| root.path().join("etc").join(folder).join("0000:86:00.0").join(name);
        let uuid = Uuid::nil().to_string();
        let read = || store.get("0000:86:00.0", &Uuid::nil()).unwrap().unwrap();
        for (old, new) in [("11", "12"), ("12", "12"), ("12", "11")] {
            for name in [Some("a"), Some("b"), None] {
                store.put(&definition(old, name), Start::Set, &|| Ok(())).unwrap();
                fs::write(path("mdevctl.d", &format!(".{uuid}.new")), "half").unwrap();
                fs::write(path("mdevctl.d", &format!(".{uuid}.part")), "half").unwrap();
                store.put(&definition(new, Some("c")), Start::Set, &|| Ok(())).unwrap();
                assert_eq!(read(), definition(new, Some("c")));
                let beside = fs::read_to_string(path("libmdev/definitions", &uuid)).unwrap();
                assert!(beside.matches("before").count() <= 1, "{beside}");
                store.set_autostart("0000:86:00.0", &Uuid::nil(), true).unwrap();
                assert_eq!(read(), Definition { autostart: true, ..definition(new, Some("c")) });
                let names: Vec<_> =
                    fs::read_dir(path("mdevctl.d", "")).unwrap().map(|e| e.unwrap().file_name()).collect();
                assert_eq!(names, [&*uuid]);
                store.put(&definition(new, None), Start::Set, &|| Ok(())).unwrap();
                assert!(!path("libmdev/definitions", &uuid).exists());
                // A later definition would inherit the extras.
                store.set_autostart("0000:86:00.0", &Uuid::nil(), false).unwrap();
            }
        }
    }
}
