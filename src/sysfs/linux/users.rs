// SPDX-License-Identifier: LGPL-2.1-or-later
//! Who has a device node open, from /proc. Only what this process may look into is seen: root sees all of its own PID
//! namespace and those below it.

use std::fs::{Metadata, metadata, read_dir, read_link};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The first process found that has the file open that `node` is a descriptor of. Device nodes are compared by number, not
/// by path: a guest's QEMU often has a /dev of its own (libvirt's mount namespaces), and so may we have.
pub(super) fn find(node: OwnedFd, name: &str) -> Option<u32> {
    let wanted = metadata(format!("/proc/self/fd/{}", node.as_raw_fd())).ok()?;
    // Or we would be found ourselves, also by another who looks.
    drop(node);
    let processes = read_dir("/proc").ok()?;
    let mut pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| has_open(*pid, &wanted, name))
}

fn has_open(pid: u32, wanted: &Metadata, name: &str) -> bool {
    // A process that ends meanwhile, or that is not ours to look into, has nothing open as far as we can tell.
    let Ok(fds) = read_dir(format!("/proc/{pid}/fd")) else { return false };
    fds.flatten().any(|fd| {
        // By name first: to ask what is behind each descriptor of a host could take long, with files on a network.
        let named = read_link(fd.path()).is_ok_and(|target| target.to_string_lossy().contains(name));
        named && metadata(fd.path()).is_ok_and(|found| same(&found, wanted))
    })
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    match (a.file_type().is_char_device(), b.file_type().is_char_device()) {
        (true, true) => a.rdev() == b.rdev(),
        _ => (a.dev(), a.ino()) == (b.dev(), b.ino()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, open};

    fn path_only(path: &std::path::Path) -> OwnedFd {
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn an_open_file_is_found_and_a_closed_one_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap().to_owned();
        let path = file.path().to_owned();
        let (file, kept) = file.keep().map(|(file, _)| (file, path)).unwrap();
        assert_eq!(find(path_only(&kept), &name), Some(std::process::id()));
        drop(file);
        assert_eq!(find(path_only(&kept), &name), None);
        std::fs::remove_file(kept).unwrap();
    }

    /// As with a QEMU that has a /dev of its own: the same device, another node. Takes the right to make nodes.
    #[test]
    fn a_device_is_known_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there"].map(|d| {
            let path = dir.path().join(d);
            std::fs::create_dir(&path).unwrap();
            path.join("vfio4095")
        });
        for node in [&here, &there] {
            // /dev/null, which everybody may open.
            if mknodat(CWD, node, FileType::CharacterDevice, Mode::from(0o666), makedev(1, 3)).is_err() {
                return;
            }
        }
        let Ok(_user) = std::fs::File::open(&there) else { return };
        assert_eq!(find(path_only(&here), "vfio4095"), Some(std::process::id()));
        assert_eq!(find(path_only(&here), "vfio4096"), None);
    }
}
