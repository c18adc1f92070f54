// SPDX-License-Identifier: LGPL-2.1-or-later
//! Temporary device nodes of this library, for VFIO nodes that are missing in /dev. A node is deleted as soon as it is open.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, mknodat, unlink};

use crate::sysfs::{Errno, IoResult};

/// The prefix of the names of these nodes.
pub(super) const PRIVATE_NODE: &str = ".vfio-";

/// The folders in which a node is created.
const FOLDERS: [&str; 2] = ["/run/libmdev", "/dev"];

/// The maximum number of names that are tried.
const NAMES_MAX: u32 = 16;

/// A node that is older than this was left by a killed process, since an open does not take this long.
const ABANDONED: Duration = Duration::from_secs(60);

/// Opens the character device with this number through a temporary node. `None` if this is impossible.
pub(super) fn open_number(number: u64, open: impl Fn(&str) -> IoResult<OwnedFd>) -> Option<IoResult<OwnedFd>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // /run is often mounted without devices (nodev).
    FOLDERS.iter().find_map(|folder| {
        let path = make(folder, number, &COUNT).ok()?;
        let opened = open(&path);
        let _ = unlink(&*path);
        match opened {
            Err(Errno::ACCESS | Errno::PERM | Errno::NXIO) => None,
            opened => Some(opened),
        }
    })
}

/// Makes a node in the folder, and returns its path. If the name exists, tries the next name: a killed process with the same
/// process ID has left the node, or a process in another PID namespace is using it. Such a node is removed only if it is old.
fn make(folder: &str, number: u64, count: &AtomicU32) -> IoResult<String> {
    for _ in 0..NAMES_MAX {
        let (pid, count) = (std::process::id(), count.fetch_add(1, Ordering::Relaxed));
        let path = format!("{folder}/{PRIVATE_NODE}{pid}-{count}");
        match mknodat(CWD, &*path, FileType::CharacterDevice, Mode::from(0o600), number) {
            Ok(()) => return Ok(path),
            Err(Errno::EXIST) if is_abandoned(&path) => drop(unlink(&*path)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

fn is_abandoned(path: &str) -> bool {
    let made = std::fs::symlink_metadata(path).and_then(|node| node.modified());
    made.is_ok_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age > ABANDONED))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::testing::skip::skip;

    /// Needs the right to make nodes.
    #[test]
    fn node_that_a_killed_process_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let at = |count: u32| folder.path().join(format!("{PRIVATE_NODE}{}-{count}", std::process::id()));
        let null = rustix::fs::makedev(1, 3);
        let make = |count: u32| make(folder.path().to_str().unwrap(), null, &AtomicU32::new(count));
        if make(0).is_err() {
            return skip("this user cannot make a device node");
        }
        let old = File::create(at(1)).unwrap();
        old.set_modified(SystemTime::now() - 2 * ABANDONED).unwrap();
        // Node 0 is new, so another process may be about to open it. Node 1 is old, and is removed.
        assert_eq!(make(0).unwrap(), at(2).to_str().unwrap());
        assert!(at(0).exists() && !at(1).exists());
        // A later process with the same ID starts at number 0 again.
        assert_eq!(make(0).unwrap(), at(1).to_str().unwrap());
        (3..NAMES_MAX).for_each(|count| fs::write(at(count), "").unwrap());
        assert_eq!(make(0), Err(Errno::EXIST));
    }
}
