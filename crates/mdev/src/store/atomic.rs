// SPDX-License-Identifier: LGPL-2.1-or-later
//! Atomic files: written under a temporary name, and renamed when complete. A reader sees a complete file or none.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, fchmod};
use rustix::io::Errno;
use uuid::Uuid;

use super::calls::{linkat, names, openat, renameat, unlinkat};
use crate::model::name::parse_uuid;

/// The mode of the files: readable by all, since an ordinary user may list devices.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// A complete file with a temporary name. The name begins with a dot, so no reader uses the file as a definition or record. The file
/// is removed on drop. [`sweep`] removes the files of killed processes.
#[derive(Debug)]
pub(super) struct Unnamed<'d> {
    file: OwnedFd,
    dir: BorrowedFd<'d>,
    /// The temporary name; `None` after the file got its final name.
    own: Option<String>,
}

impl<'d> Unnamed<'d> {
    /// Creates a file in `dir` with this content. Fails if the folder cannot be written.
    pub(super) fn new(dir: &'d impl AsFd, content: &[u8]) -> Result<Self, Errno> {
        let name = format!(".{}.part", Uuid::new_v4());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(dir, &name, flags, MODE)?;
        let new = Unnamed { file, dir: dir.as_fd(), own: Some(name) };
        new.fill(content)?;
        Ok(new)
    }

    fn fill(&self, content: &[u8]) -> Result<(), Errno> {
        // The umask of the process may be strict, and a library must not change it.
        fchmod(&self.file, MODE)?;
        let mut rest = content;
        while !rest.is_empty() {
            match rustix::io::write(&self.file, rest) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Gives the file its final name. Fails with EEXIST if another file has the name.
    pub(super) fn name(&self, name: &str) -> Result<(), Errno> {
        let own = self.own.as_deref().ok_or(Errno::NOENT)?;
        linkat(self.dir, own, self.dir, name, AtFlags::empty())
    }

    /// Gives the file its final name. Replaces another file with this name.
    pub(super) fn replace(mut self, target: &str) -> Result<(), Errno> {
        let own = self.own.as_deref().ok_or(Errno::NOENT)?;
        renameat(self.dir, own, self.dir, target)?;
        self.own = None;
        Ok(())
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            // Another process may have removed it.
            let _ = unlinkat(self.dir, &**own, AtFlags::empty());
        }
    }
}

/// True for the temporary name of an [`Unnamed`] file. Earlier versions used `.new`.
fn is_temporary(name: &str) -> bool {
    let own = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part").or(name.strip_suffix(".new")));
    own.is_some_and(|uuid| parse_uuid(uuid).is_some())
}

/// Removes the temporary files of killed processes from a folder. The caller holds the lock that every writer in the folder holds. Does
/// nothing if the folder cannot be listed.
pub(super) fn sweep(dir: &OwnedFd) {
    let listed: Result<_, Infallible> = names(dir, &mut |_| Ok(()));
    sweep_names(dir, &listed.unwrap_or_default());
}

/// Removes the temporary files among these names in a folder: see [`sweep`].
pub(super) fn sweep_names(dir: &OwnedFd, names: &[String]) {
    for name in names.iter().filter(|name| is_temporary(name)) {
        let _ = unlinkat(dir, name.as_str(), AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn file_is_complete_or_absent_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let dir = OwnedFd::from(fs::File::open(folder.path()).unwrap());
        let new = |content: &[u8]| Unnamed::new(&dir, content);
        let names = || {
            let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let first = new(b"first").unwrap();
        assert!(!names().contains(&"x".into()));
        first.name("x").unwrap();
        drop(first);
        assert_eq!(new(b"other").unwrap().name("x").unwrap_err(), Errno::EXIST);
        assert_eq!((names(), fs::read(folder.path().join("x")).unwrap()), (vec!["x".into()], b"first".to_vec()));
        new(b"second").unwrap().replace("x").unwrap();
        drop(new(b"never named").unwrap());
        assert_eq!((names(), fs::read(folder.path().join("x")).unwrap()), (vec!["x".into()], b"second".to_vec()));
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.path().join("x")).unwrap());
        assert_eq!(mode & 0o777, 0o644);
        // A folder cannot be replaced by a file, and no temporary file is left.
        fs::create_dir(folder.path().join("y")).unwrap();
        assert_eq!(new(b"third").unwrap().replace("y"), Err(Errno::ISDIR));
        assert_eq!(names(), ["x", "y"]);
    }
}
