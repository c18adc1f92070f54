// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the process that has a device node open, from /proc.
//!
//! "No process found" holds only for the processes that /proc shows: all of the host in the initial PID namespace, and only
//! those that this process may look into.

use std::fs::{Metadata, metadata, read_dir, read_link, read_to_string};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::sysfs::{Errno, User, Users, is_absent};

/// Inode number of the initial PID namespace: PROC_PID_INIT_INO in include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Files that a process has open for writing while it removes a device.
const REMOVERS: [&str; 4] = ["/remove", "/destroy", "/mdev_destroy", "/current_vgpu_type"];

/// What a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// A character device, by its number: a guest's QEMU often has a /dev of its own.
    Device(u64),
    /// Any other file, by the device and inode number: below a made-up root.
    File(u64, u64),
}

impl Identity {
    pub(super) fn of(found: &Metadata) -> Self {
        match found.file_type().is_char_device() {
            true => Identity::Device(found.rdev()),
            false => Identity::File(found.dev(), found.ino()),
        }
    }
}

/// The first process that has one of these open; each comes with its path in /dev.
pub(super) fn find(wanted: &[(Identity, String)]) -> Users {
    let Ok(processes) = read_dir("/proc") else { return Users::Unknown("/proc is not mounted here") };
    let (mut hidden, mut init) = (false, false);
    for pid in processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        init |= pid == 1;
        match open_by(pid, wanted) {
            Ok(Some(path)) => return Users::Found(user(pid, path)),
            Ok(None) => {}
            // It has ended.
            Err(e) if is_gone(&e) => {}
            Err(_) => hidden = true,
        }
    }
    if !metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == INITIAL_PID_NAMESPACE) {
        return Users::Unknown("processes outside of this PID namespace are not visible here");
    }
    // Mounted with hidepid, /proc leaves out what this process may not look into.
    if hidden || !init {
        return Users::Unknown("this process may not look into every other one (CAP_SYS_PTRACE)");
    }
    Users::None
}

fn is_gone(e: &io::Error) -> bool {
    Errno::from_io_error(e).is_some_and(|errno| is_absent(errno) || errno == Errno::SRCH)
}

fn open_by(pid: u32, wanted: &[(Identity, String)]) -> io::Result<Option<String>> {
    let mut unreadable = None;
    for fd in read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        match identity_of(&fd.path()) {
            Ok(found) => {
                if let Some((_, path)) = wanted.iter().find(|(one, _)| Some(*one) == found) {
                    return Ok(Some(path.clone()));
                }
            }
            // It has been closed.
            Err(e) if is_gone(&e) => {}
            // The mode of the folder lets root list it, but a look at a descriptor takes CAP_SYS_PTRACE.
            Err(e) => unreadable = Some(e),
        }
    }
    unreadable.map_or(Ok(None), Err)
}

/// What a descriptor leads to; `None` for a file that is no node of a device by its name.
fn identity_of(fd: &Path) -> io::Result<Option<Identity>> {
    // By name first: what is behind a descriptor may be a file on a network that does not answer.
    match may_be_node(&read_link(fd)?) {
        true => Ok(Some(Identity::of(&metadata(fd)?))),
        false => Ok(None),
    }
}

fn may_be_node(target: &Path) -> bool {
    let target = target.to_string_lossy();
    target.starts_with("/dev/") || target.contains("vfio")
}

fn user(pid: u32, path: String) -> User {
    let program = read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
    let files = read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = files.filter_map(|fd| read_link(fd.path()).ok());
    let removes = targets.into_iter().any(|target| {
        let target = target.to_string_lossy();
        let target = target.trim_end_matches(" (deleted)");
        REMOVERS.iter().any(|end| target.ends_with(end))
    });
    User { pid, program, path, removes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

    fn is_found(users: &Users, path: &str) -> bool {
        matches!(users, Users::Found(user) if user.pid == std::process::id() && user.path == path && !user.program.is_empty())
    }

    #[test]
    fn open_file_is_found_with_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vfio7");
        std::fs::write(&path, "").unwrap();
        let wanted = [(Identity::of(&metadata(&path).unwrap()), "/dev/vfio/7".to_owned())];
        let file = std::fs::File::open(&path).unwrap();
        let users = find(&wanted);
        assert!(is_found(&users, "/dev/vfio/7"), "{users:?}");
        let Users::Found(user) = users else { unreachable!() };
        assert!(!user.removes);
        // A process that also writes to `remove` is not a guest.
        let remove = std::fs::File::create(dir.path().join("remove")).unwrap();
        let users = find(&wanted);
        assert!(matches!(&users, Users::Found(user) if user.removes), "{users:?}");
        drop((file, remove));
        let users = find(&wanted);
        assert!(!is_found(&users, "/dev/vfio/7"), "{users:?}");
    }

    /// As with a QEMU that has a /dev of its own: the same device, another node. Needs the right to make nodes.
    #[test]
    fn device_is_found_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("other-vfio");
        // /dev/null, which every user may open.
        let number = makedev(1, 3);
        if mknodat(CWD, &node, FileType::CharacterDevice, Mode::from(0o666), number).is_err() {
            return;
        }
        let Ok(_user) = std::fs::File::open(&node) else { return };
        let path = "/dev/vfio/devices/vfio3".to_owned();
        assert!(matches!(find(&[(Identity::Device(number), path.clone())]), Users::Found(_)));
        assert!(!matches!(find(&[(Identity::Device(makedev(1, 250)), path)]), Users::Found(_)));
    }
}
