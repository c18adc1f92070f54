// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files that are whole or not there: written without a name, and given one when complete.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, access, fchmod};
use rustix::io::Errno;
use uuid::Uuid;

use super::calls::{linkat, openat, renameat, unlinkat};

/// Readable by all, since an ordinary user may list devices; written by the owner.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// What /proc shows of the open files of this process.
const OPEN_FILES: &str = "/proc/self/fd";

/// A complete file that has no name yet. Goes without a trace when it is dropped before it is given one.
#[derive(Debug)]
pub(super) struct Unnamed<'d> {
    file: OwnedFd,
    dir: BorrowedFd<'d>,
    /// Where a file without a name (O_TMPFILE) cannot be made, or cannot be given one: a name that begins with a dot, which no
    /// reader takes for a definition or record.
    stand_in: Option<String>,
}

impl<'d> Unnamed<'d> {
    /// A file in `dir` with this content.
    pub(super) fn new(dir: &'d impl AsFd, content: &[u8]) -> Result<Self, Errno> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // Without /proc, as in a chroot, a file gets a name by a capability alone.
        let opened = access(OPEN_FILES, Access::EXISTS).and_then(|()| openat(dir, ".", flags, MODE));
        let new = match opened {
            Ok(file) => Unnamed { file, dir: dir.as_fd(), stand_in: None },
            // overlayfs before 6.3 and FUSE; EISDIR and ENOENT from kernels that do not know the flag.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => Self::standing_in(dir.as_fd())?,
            Err(errno) => return Err(errno),
        };
        new.fill(content)?;
        Ok(new)
    }

    fn standing_in(dir: BorrowedFd<'d>) -> Result<Self, Errno> {
        let name = format!(".{}.part", Uuid::new_v4());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(dir, &name, flags, MODE)?;
        Ok(Unnamed { file, dir, stand_in: Some(name) })
    }

    fn fill(&self, content: &[u8]) -> Result<(), Errno> {
        // A daemon's umask may be strict, and is not ours to change.
        fchmod(&self.file, MODE)?;
        let mut rest = content;
        while !rest.is_empty() {
            match rustix::io::write(&self.file, rest) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Gives the file its name; EEXIST when that is taken.
    pub(super) fn name(&self, name: &str) -> Result<(), Errno> {
        match &self.stand_in {
            Some(own) => linkat(self.dir, &**own, self.dir, name, AtFlags::empty()),
            None => {
                // The form that needs no capability: a link to what /proc shows, followed.
                let own = format!("{OPEN_FILES}/{}", self.file.as_raw_fd());
                linkat(CWD, own, self.dir, name, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }

    /// Puts the file in the place of whatever has the name.
    pub(super) fn replace(mut self, target: &str) -> Result<(), Errno> {
        if let Some(own) = &self.stand_in {
            renameat(self.dir, &**own, self.dir, target)?;
            self.stand_in = None;
            return Ok(());
        }
        // rename(2) needs a name to start from. The leading dot marks it as not a device; it is complete all the same.
        let temporary = format!(".{target}.new");
        match self.name(&temporary) {
            Err(Errno::EXIST) => {
                // Left by a process that was killed between the two calls.
                unlinkat(self.dir, &*temporary, AtFlags::empty())?;
                self.name(&temporary)?;
            }
            result => result?,
        }
        renameat(self.dir, &*temporary, self.dir, target).inspect_err(|_| {
            // A folder in the way, for one: whoever lists would find this file from now on.
            let _ = unlinkat(self.dir, &*temporary, AtFlags::empty());
        })
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if let Some(own) = &self.stand_in {
            // Swept away already, or by the next creator.
            let _ = unlinkat(self.dir, &**own, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The same with and without O_TMPFILE: whole, readable by all, and nothing else left in the folder.
    #[test]
    fn a_file_is_whole_or_not_there() {
        for stands_in in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let dir = OwnedFd::from(fs::File::open(folder.path()).unwrap());
            let new = |content: &[u8]| match stands_in {
                false => Unnamed::new(&dir, content),
                true => Unnamed::standing_in(dir.as_fd()).and_then(|new| new.fill(content).map(|()| new)),
            };
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
            // What a killed process left is no obstacle.
            fs::write(folder.path().join(".x.new"), "torn").unwrap();
            new(b"second").unwrap().replace("x").unwrap();
            let _ = fs::remove_file(folder.path().join(".x.new"));
            drop(new(b"never named").unwrap());
            assert_eq!((names(), fs::read(folder.path().join("x")).unwrap()), (vec!["x".into()], b"second".to_vec()));
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.path().join("x")).unwrap());
            assert_eq!(mode & 0o777, 0o644);
            // What cannot be replaced is no reason to leave anything behind.
            fs::create_dir(folder.path().join("y")).unwrap();
            assert_eq!(new(b"third").unwrap().replace("y"), Err(Errno::ISDIR));
            assert_eq!(names(), ["x", "y"]);
        }
    }
}
