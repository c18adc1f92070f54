// SPDX-License-Identifier: LGPL-2.1-or-later
//! When the kernel made a node in `/dev`.

use std::fs::{File, Metadata, read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fd::OwnedFd;
use rustix::fs::makedev;

use super::users::errno;
use crate::sysfs::{Birth, IoResult, is_absent};
use crate::time::nanoseconds;

/// Returns when the kernel made the node. `None` if another program may have made it: the node is not on devtmpfs, or was
/// removed from it.
pub(super) fn of(node: OwnedFd) -> IoResult<Option<Birth>> {
    let found = File::from(node).metadata().map_err(errno)?;
    // A bind mount keeps a node after the kernel has removed it from devtmpfs.
    if !found.file_type().is_char_device() || found.nlink() == 0 {
        return Ok(None);
    }
    let mounts = match read("/proc/self/mountinfo").map_err(errno) {
        Err(errno) if is_absent(errno) => return Ok(None),
        mounts => mounts?,
    };
    let mounts = String::from_utf8_lossy(&mounts);
    Ok(mounts.lines().any(|line| is_devtmpfs(line, found.dev())).then(|| birth(&found)))
}

/// Returns the time of birth, which nodes have since Linux 5.18. Without it, returns the mtime as an upper bound: udev and
/// touch(1) may have set it later.
fn birth(found: &Metadata) -> Birth {
    match (found.created(), found.modified()) {
        (Ok(born), _) => Birth::At(nanoseconds(born)),
        (Err(_), changed) => Birth::NotAfter(changed.map_or(u64::MAX, nanoseconds)),
    }
}

/// True if a line of mountinfo is a mount of the devtmpfs with this device number: see proc_pid_mountinfo(5).
fn is_devtmpfs(line: &str, device: u64) -> bool {
    let Some((mount, file_system)) = line.split_once(" - ") else { return false };
    let number = mount.split(' ').nth(2).and_then(|number| number.split_once(':'));
    let Some((Ok(major), Ok(minor))) = number.map(|(major, minor)| (major.parse(), minor.parse())) else {
        return false;
    };
    makedev(major, minor) == device && file_system.split(' ').next() == Some("devtmpfs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_outside_devtmpfs_has_no_birth() {
        let dev = "25 1 0:6 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=4k";
        assert!(is_devtmpfs(dev, makedev(0, 6)));
        assert!(!is_devtmpfs(dev, makedev(0, 7)));
        assert!(!is_devtmpfs("25 1 0:6 / /dev rw,nosuid - tmpfs tmpfs rw", makedev(0, 6)));
        assert!(!is_devtmpfs("25 1 0:6", makedev(0, 6)));
        assert_eq!(of(tempfile::tempfile().unwrap().into()), Ok(None));
        let null = File::open("/dev/null").unwrap();
        let is_devtmpfs = |mounts: &str| mounts.lines().any(|line| is_devtmpfs(line, null.metadata().unwrap().dev()));
        let is_on_devtmpfs = is_devtmpfs(&std::fs::read_to_string("/proc/self/mountinfo").unwrap());
        assert_eq!(of(null.try_clone().unwrap().into()).unwrap().is_some(), is_on_devtmpfs);
    }
}
