// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the process that has a device node open, from /proc.
//!
//! "No process found" holds only for the processes that /proc shows: all of the host in the initial PID namespace, and only
//! those that this process may look into.

use std::collections::HashMap;
use std::fs::{Metadata, metadata, read, read_dir, read_link, read_to_string};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::makedev;

use super::private_node::PRIVATE_NODE;
use crate::sysfs::{Errno, IoResult, User, Users, is_absent, is_exhausted};

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

/// The first process that has one of these open; each comes with its path in /dev. Fails only when this process or host has run
/// out of descriptors or memory, or /proc cannot be listed.
pub(super) fn find(wanted: &[(Identity, String)]) -> IoResult<Users> {
    let mut search = Search { wanted, mounts: HashMap::new(), is_hidden: false, unknown_mount: None };
    let processes = match numbers("/proc") {
        Err(errno) if is_absent(errno) => return Ok(Users::Unknown("/proc is not mounted here; mount it".to_owned())),
        processes => processes?,
    };
    for pid in &processes {
        if let Some(path) = search.process(*pid)? {
            return Ok(Users::Found(user(*pid, path)));
        }
    }
    if !metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == INITIAL_PID_NAMESPACE) {
        let why = "processes outside of this PID namespace are not visible here; destroy it as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    // Mounted with hidepid, /proc leaves out what this process may not look into.
    if search.is_hidden || !processes.contains(&1) {
        let why = "this process cannot read the descriptors of all processes (CAP_SYS_PTRACE); destroy it as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    Ok(match search.unknown_mount {
        Some(pid) => Users::Unknown(format!(
            "process {pid} has such a file open on a mount that is not visible here; stop that process, or destroy it in \
             the host's own mount namespace"
        )),
        None => Users::None,
    })
}

/// Kinds of file systems that hold device nodes and answer stat(2) from memory. A stat of a file on any other one may ask a
/// server that does not answer, also through the link in /proc, which revalidates the file (NFS, FUSE). A node there is not
/// found; its group, which is opened exclusively, shows its user all the same.
const LOCAL: [&str; 8] = ["devtmpfs", "tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs"];

/// Beginnings of the names of files that are on no mount and have a name of any text.
const UNMOUNTED: [&str; 2] = ["/memfd:", "/dmabuf:"];

/// The part of the descriptors of a thread that was seen.
enum Seen {
    /// A wanted node, by its path in /dev.
    Node(String),
    All,
    /// The thread has none, or they were closed while they were looked at.
    Part,
}

struct Search<'a> {
    wanted: &'a [(Identity, String)],
    /// By the id of the mount, which no other mount of the host has: files on it may be looked at.
    mounts: HashMap<u64, bool>,
    /// A process exists that this one may not look into.
    is_hidden: bool,
    /// A process that may have a node open.
    unknown_mount: Option<u32>,
}

impl Search<'_> {
    /// The wanted node that a process has open.
    fn process(&mut self, pid: u32) -> IoResult<Option<String>> {
        let process = format!("/proc/{pid}");
        match self.thread(pid, &process)? {
            Seen::Node(path) => return Ok(Some(path)),
            Seen::All => return Ok(None),
            Seen::Part => {}
        }
        // A main thread that has ended has no descriptors, while the other threads of the process do.
        let threads = numbers(&format!("{process}/task")).or_else(|errno| self.skip(errno).map(|_| Vec::new()))?;
        for thread in threads.into_iter().filter(|thread| *thread != pid) {
            if let Seen::Node(path) = self.thread(pid, &format!("{process}/task/{thread}"))? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// `folder` is that of the thread in /proc.
    fn thread(&mut self, pid: u32, folder: &str) -> IoResult<Seen> {
        let fds = match numbers(&format!("{folder}/fd")) {
            Ok(fds) => fds,
            Err(errno) => return self.skip(errno).map(|_| Seen::All),
        };
        let mut seen = if fds.is_empty() { Seen::Part } else { Seen::All };
        for fd in fds {
            match self.node(pid, folder, fd) {
                Ok(None) => {}
                Ok(Some(path)) => return Ok(Seen::Node(path)),
                // The mode of the folder lets root list it, but a look at a descriptor takes CAP_SYS_PTRACE.
                Err(errno) if self.skip(errno)? => seen = Seen::Part,
                Err(_) => {}
            }
        }
        Ok(seen)
    }

    /// What cannot be looked at is skipped, unless the reason is this process. True when it no longer exists.
    fn skip(&mut self, errno: Errno) -> IoResult<bool> {
        if is_exhausted(errno) {
            return Err(errno);
        }
        let is_gone = is_absent(errno) || errno == Errno::SRCH;
        self.is_hidden |= !is_gone;
        Ok(is_gone)
    }

    /// The wanted node that a descriptor leads to.
    fn node(&mut self, pid: u32, folder: &str, fd: u32) -> IoResult<Option<String>> {
        let link = format!("{folder}/fd/{fd}");
        if !is_node_name(&read_link(&link).map_err(errno)?) {
            return Ok(None);
        }
        match self.is_local(folder, fd)? {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => {
                self.unknown_mount = Some(pid);
                return Ok(None);
            }
        }
        let found = Identity::of(&metadata(&link).map_err(errno)?);
        Ok(self.wanted.iter().find(|(one, _)| *one == found).map(|(_, path)| path.clone()))
    }

    /// A stat of the file cannot block. `None`: its mount is neither in the namespace of the process nor in those of this one
    /// and of the first process, or it was detached.
    fn is_local(&mut self, folder: &str, fd: u32) -> IoResult<Option<bool>> {
        // The kernel prints this from the open file alone.
        let info = read_to_string(format!("{folder}/fdinfo/{fd}")).map_err(errno)?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
        let Some(id) = id else { return Ok(None) };
        for mounts in [folder, "/proc/self", "/proc/1"] {
            if self.mounts.contains_key(&id) {
                break;
            }
            match read(format!("{mounts}/mountinfo")).map_err(errno) {
                Ok(text) => {
                    let text = String::from_utf8_lossy(&text);
                    self.mounts.extend(text.lines().filter_map(|line| mount_of(line, self.wanted)));
                }
                Err(errno) if is_exhausted(errno) => return Err(errno),
                Err(_) => {}
            }
        }
        Ok(self.mounts.get(&id).copied())
    }
}

/// The id of a mount and whether it is local, from its line of mountinfo: see proc_pid_mountinfo(5). The file system that has a
/// wanted file is, since that file was looked at.
fn mount_of(line: &str, wanted: &[(Identity, String)]) -> Option<(u64, bool)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let id = fields.next()?.parse().ok()?;
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    let is_wanted = wanted.iter().any(|(one, _)| matches!(one, Identity::File(on, _) if *on == device));
    let kind = file_system.split(' ').next()?;
    Some((id, is_wanted || LOCAL.contains(&kind)))
}

fn errno(e: io::Error) -> Errno {
    Errno::from_io_error(&e).unwrap_or(Errno::IO)
}

/// The entries of a folder of /proc that are numbers.
fn numbers(folder: &str) -> IoResult<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in read_dir(folder).map_err(errno)? {
        numbers.extend(entry.map_err(errno)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}

/// The name of a node of VFIO, below any folder: the file may be in another mount namespace, below another root. Or that of a
/// node that this library has made ([`PRIVATE_NODE`]).
fn is_node_name(target: &Path) -> bool {
    let target = target.to_string_lossy();
    let target = target.trim_end_matches(" (deleted)");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = target.rsplit('/');
    let [name, folder, above] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let is_group = || folder == "vfio" && is_number(name.strip_prefix("noiommu-").unwrap_or(name));
    let is_device = || above == "vfio" && folder == "devices" && name.strip_prefix("vfio").is_some_and(is_number);
    let is_unmounted = UNMOUNTED.iter().any(|beginning| target.starts_with(beginning));
    !is_unmounted && (is_group() || is_device() || name.starts_with(PRIVATE_NODE))
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
    use std::os::fd::AsRawFd;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    fn is_found(users: &Users, path: &str) -> bool {
        matches!(users, Users::Found(user) if user.pid == std::process::id() && user.path == path && !user.program.is_empty())
    }

    #[test]
    fn open_file_is_found_with_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vfio/7");
        std::fs::create_dir(dir.path().join("vfio")).unwrap();
        std::fs::write(&path, "").unwrap();
        let wanted = [(Identity::of(&metadata(&path).unwrap()), "/dev/vfio/7".to_owned())];
        let file = std::fs::File::open(&path).unwrap();
        let users = find(&wanted).unwrap();
        assert!(is_found(&users, "/dev/vfio/7"), "{users:?}");
        let Users::Found(user) = users else { unreachable!() };
        assert!(!user.removes);
        // A process that also writes to `remove` is not a guest.
        let remove = std::fs::File::create(dir.path().join("remove")).unwrap();
        let users = find(&wanted).unwrap();
        assert!(matches!(&users, Users::Found(user) if user.removes), "{users:?}");
        drop((file, remove));
        let users = find(&wanted).unwrap();
        assert!(!is_found(&users, "/dev/vfio/7"), "{users:?}");
    }

    /// As with a QEMU that has a /dev of its own: the same device, another node. Needs the right to make nodes.
    #[test]
    fn device_is_found_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("vfio/900");
        std::fs::create_dir(dir.path().join("vfio")).unwrap();
        // /dev/null, which every user may open.
        let number = makedev(1, 3);
        if mknodat(CWD, &node, FileType::CharacterDevice, Mode::from(0o666), number).is_err() {
            return;
        }
        let Ok(_user) = std::fs::File::open(&node) else { return };
        let path = "/dev/vfio/devices/vfio3".to_owned();
        assert!(matches!(find(&[(Identity::Device(number), path.clone())]), Ok(Users::Found(_))));
        assert!(!matches!(find(&[(Identity::Device(makedev(1, 250)), path)]), Ok(Users::Found(_))));
    }

    #[test]
    fn only_nodes_of_vfio_are_looked_at() {
        for name in [
            "/dev/vfio/7",
            "/dev/vfio/noiommu-7",
            "/dev/vfio/devices/vfio12",
            "/jail/dev/vfio/7",
            "/vfio/7",
            "/dev/vfio/7 (deleted)",
            "/run/libmdev/.vfio-12-0 (deleted)",
        ] {
            assert!(is_node_name(Path::new(name)), "{name}");
        }
        for name in [
            "/dev/null",
            "/dev/vfio/vfio",
            "/mnt/share/vfio.iso",
            "/mnt/vfio/disk7",
            "/mnt/vfio/",
            "/mnt/vfio/noiommu-",
            "/mnt/vfio7",
            "/srv/vfio/devices/disk",
            "/devices/vfio7",
            "/memfd:x/vfio/7 (deleted)",
            "anon_inode:[vfio-device]",
            "socket:[7]",
        ] {
            assert!(!is_node_name(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn files_on_a_network_are_not_looked_at() {
        let wanted = [(Identity::File(makedev(0, 77), 5), String::new()), (Identity::Device(9), String::new())];
        for (line, mount) in [
            ("21 29 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=4k", Some((21, true))),
            ("36 29 259:1 / / rw shared:1 master:2 - ext4 /dev/nvme0n1p1 rw", Some((36, true))),
            ("90 29 0:50 / /a\\040-\\040tmpfs rw - nfs4 server:/x rw,vers=4.2", Some((90, false))),
            ("91 29 0:51 / /b rw,nosuid - fuse.sshfs user@host: rw", Some((91, false))),
            ("92 29 0:77 / /root rw - overlay overlay rw", Some((92, true))),
            ("93 29 0:78 / /root rw - overlay overlay rw", Some((93, false))),
            ("", None),
        ] {
            assert_eq!(mount_of(line, &wanted), mount, "{line}");
        }
    }

    #[test]
    fn file_system_of_a_descriptor_is_found_by_its_mount() {
        let wanted = [(Identity::Device(makedev(1, 250)), String::new())];
        let mut search = Search { wanted: &wanted, mounts: HashMap::new(), is_hidden: false, unknown_mount: None };
        let number = |fd: &dyn AsRawFd| u32::try_from(fd.as_raw_fd()).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(search.is_local("/proc/self", number(&null)), Ok(Some(true)));
        let status = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(search.is_local("/proc/self", number(&status)), Ok(Some(false)));
        // On no mount of any namespace.
        let (pipe, _end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        assert_eq!(search.is_local("/proc/self", number(&pipe)), Ok(None));
        assert_eq!(search.is_local("/proc/self", 1_000_000), Err(Errno::NOENT));
    }
}
