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

/// Inode numbers of the initial namespaces: PROC_PID_INIT_INO and PROC_USER_INIT_INO in include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// The bit of CAP_SYS_PTRACE in a set of capabilities: include/uapi/linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;

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
    let mut search = Search::new(wanted);
    let processes = match numbers("/proc") {
        Err(errno) if is_absent(errno) => return Ok(Users::Unknown("/proc is not mounted here; mount it".to_owned())),
        processes => processes?,
    };
    for pid in &processes {
        if let Some(path) = search.process(*pid)? {
            return Ok(Users::Found(user(*pid, path)));
        }
    }
    if !is_initial("pid", INITIAL_PID_NAMESPACE)? {
        let why = "processes outside of this PID namespace are not visible here; destroy it as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    // Mounted with hidepid, /proc leaves out what this process may not look into.
    if !processes.contains(&1) || search.unreadable.is_some() && !may_read_all()? {
        let why = "this process cannot read the descriptors of all processes (CAP_SYS_PTRACE); destroy it as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    Ok(match (search.candidate, search.unreadable) {
        (Some(pid), _) => Users::Unreadable(format!(
            "process {pid} has a file of that name open on a mount that cannot be looked at here; stop that process, or \
             destroy it in the host's own mount namespace"
        )),
        (None, Some(pid)) => Users::Unreadable(format!(
            "a security policy (AppArmor, SELinux) does not allow this process to read the descriptors of process {pid}; stop \
             that process, or allow it"
        )),
        (None, None) => Users::None,
    })
}

/// Whether this process is in the initial namespace of this kind. A kernel without such namespaces has only that.
fn is_initial(kind: &str, inode: u64) -> IoResult<bool> {
    match metadata(format!("/proc/self/ns/{kind}")).map_err(errno) {
        Ok(namespace) => Ok(namespace.ino() == inode),
        Err(errno) if is_exhausted(errno) => Err(errno),
        Err(errno) => Ok(is_absent(errno)),
    }
}

/// This thread has the capability to look into each process of the host, so that only a security module refuses that.
fn may_read_all() -> IoResult<bool> {
    let status = read_to_string("/proc/thread-self/status").map_err(errno)?;
    let set = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    Ok(set.is_some_and(|set| set >> CAP_SYS_PTRACE & 1 == 1) && is_initial("user", INITIAL_USER_NAMESPACE)?)
}

/// Kinds of file systems that hold device nodes and answer stat(2) from memory. A stat of a file on any other one may ask a
/// server that does not answer, also through the link in /proc, which revalidates the file (NFS, FUSE). Whether a file there is a
/// node cannot be determined.
const LOCAL: [&str; 8] = ["devtmpfs", "tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs"];

/// Kinds of file systems on which the kernel makes all files, none of them a device node: /sys/devices/virtual/vfio/7 has the
/// name of one.
const WITHOUT_NODES: [&str; 8] = ["sysfs", "proc", "cgroup", "cgroup2", "debugfs", "tracefs", "configfs", "securityfs"];

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

/// What is known of the files on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mount {
    /// A stat of them cannot block.
    Local,
    /// No device can be opened by them: [`WITHOUT_NODES`], or mounted with `nodev`.
    NoDevices,
    /// Neither holds.
    Other,
}

struct Search<'a> {
    wanted: &'a [(Identity, String)],
    /// By the id of the mount, which no other mount of the host has.
    mounts: HashMap<u64, Mount>,
    /// A process that this one may not look into.
    unreadable: Option<u32>,
    /// A process that has a file open with the name of a wanted node, which cannot be looked at.
    candidate: Option<u32>,
}

impl<'a> Search<'a> {
    fn new(wanted: &'a [(Identity, String)]) -> Self {
        Search { wanted, mounts: HashMap::new(), unreadable: None, candidate: None }
    }

    /// The wanted node that a process has open.
    fn process(&mut self, pid: u32) -> IoResult<Option<String>> {
        let process = format!("/proc/{pid}");
        let count = count(&process);
        let is_whole = match self.thread(pid, &process)? {
            Seen::Node(path) => return Ok(Some(path)),
            Seen::All => true,
            // A main thread that has ended has no descriptors, while the other threads of the process do.
            Seen::Part => false,
        };
        let task = format!("{process}/task");
        let threads = numbers(&task).or_else(|errno| self.skip(pid, errno).map(|_| Vec::new()))?;
        for thread in threads.into_iter().filter(|thread| *thread != pid) {
            let folder = format!("{task}/{thread}");
            // A thread has the descriptors of the main thread unless it has called unshare(2). A search of each thread would
            // take too long, so the number of its descriptors decides.
            if is_whole && self::count(&folder) == count {
                continue;
            }
            if let Seen::Node(path) = self.thread(pid, &folder)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// `folder` is that of the thread in /proc.
    fn thread(&mut self, pid: u32, folder: &str) -> IoResult<Seen> {
        let fds = match numbers(&format!("{folder}/fd")) {
            Ok(fds) => fds,
            Err(errno) => return self.skip(pid, errno).map(|_| Seen::All),
        };
        let mut seen = if fds.is_empty() { Seen::Part } else { Seen::All };
        for fd in fds {
            match self.node(pid, folder, fd) {
                Ok(None) => {}
                Ok(Some(path)) => return Ok(Seen::Node(path)),
                // The mode of the folder lets root list it, but a look at a descriptor takes CAP_SYS_PTRACE.
                Err(errno) if self.skip(pid, errno)? => seen = Seen::Part,
                Err(_) => {}
            }
        }
        Ok(seen)
    }

    /// What cannot be looked at is skipped, unless the reason is this process. True when it no longer exists.
    fn skip(&mut self, pid: u32, errno: Errno) -> IoResult<bool> {
        if is_exhausted(errno) {
            return Err(errno);
        }
        let is_gone = is_absent(errno) || errno == Errno::SRCH;
        if !is_gone {
            self.unreadable.get_or_insert(pid);
        }
        Ok(is_gone)
    }

    /// The wanted node that a descriptor leads to.
    fn node(&mut self, pid: u32, folder: &str, fd: u32) -> IoResult<Option<String>> {
        let link = format!("{folder}/fd/{fd}");
        let target = match read_link(&link).map_err(errno) {
            // The path is longer than a page, and that of no node is.
            Err(Errno::NAMETOOLONG) => return Ok(None),
            target => target?,
        };
        let Some(name) = node_name(&target) else { return Ok(None) };
        match self.mount(folder, fd)? {
            Some(Mount::Local) => {}
            Some(Mount::NoDevices) => return Ok(None),
            Some(Mount::Other) | None => {
                // Closed while its mount was looked for: the process has ended, and its mounts are not shown any more.
                read_link(&link).map_err(errno)?;
                if self.is_wanted(&name) {
                    self.candidate.get_or_insert(pid);
                }
                return Ok(None);
            }
        }
        let found = Identity::of(&metadata(&link).map_err(errno)?);
        Ok(self.wanted.iter().find(|(one, _)| *one == found).map(|(_, path)| path.clone()))
    }

    /// A wanted node has this name. A node of this library is that of a group.
    fn is_wanted(&self, name: &str) -> bool {
        let mut names = self.wanted.iter().filter_map(|(_, path)| path.strip_prefix("/dev/vfio/"));
        names.any(|wanted| wanted == name || name == PRIVATE_NODE && !wanted.contains('/'))
    }

    /// The mount of a file. `None`: it is neither in the namespace of the process nor in those of this one and of the first
    /// process, or it was detached.
    fn mount(&mut self, folder: &str, fd: u32) -> IoResult<Option<Mount>> {
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

/// The number of descriptors of a thread: the size of this folder since Linux 6.2, and 0 before.
fn count(folder: &str) -> Option<u64> {
    metadata(format!("{folder}/fd")).ok().map(|fds| fds.len())
}

/// The id of a mount and what it is, from its line of mountinfo: see proc_pid_mountinfo(5). The file system that has a wanted
/// file is local, since that file was looked at.
fn mount_of(line: &str, wanted: &[(Identity, String)]) -> Option<(u64, Mount)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let id = fields.next()?.parse().ok()?;
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    let mut options = fields.nth(2)?.split(',');
    let is_wanted = wanted.iter().any(|(one, _)| matches!(one, Identity::File(on, _) if *on == device));
    let kind = file_system.split(' ').next()?;
    let mount = match is_wanted || LOCAL.contains(&kind) {
        true => Mount::Local,
        false if WITHOUT_NODES.contains(&kind) || options.any(|option| option == "nodev") => Mount::NoDevices,
        false => Mount::Other,
    };
    Some((id, mount))
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

/// The name of a node of VFIO below /dev/vfio, wherever the target is: the file may be in another mount namespace, below another
/// root. [`PRIVATE_NODE`] for a node that this library has made.
fn node_name(target: &Path) -> Option<String> {
    let target = target.to_string_lossy();
    let target = target.trim_end_matches(" (deleted)");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = target.rsplit('/');
    let [name, folder, above] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let group = name.strip_prefix("noiommu-").unwrap_or(name);
    let is_device = above == "vfio" && folder == "devices" && name.strip_prefix("vfio").is_some_and(is_number);
    if UNMOUNTED.iter().any(|beginning| target.starts_with(beginning)) {
        None
    } else if name.starts_with(PRIVATE_NODE) {
        Some(PRIVATE_NODE.to_owned())
    } else if folder == "vfio" && is_number(group) {
        Some(group.to_owned())
    } else {
        is_device.then(|| format!("{folder}/{name}"))
    }
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
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::process::{Command, Stdio};

    use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, open, openat};

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

    /// As with a QEMU that has a /dev of its own: the same device, another node. Needs the right to make nodes in /dev.
    #[test]
    fn device_is_found_by_its_number() {
        let Ok(dir) = tempfile::tempdir_in("/dev") else { return };
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
            assert!(node_name(Path::new(name)).is_some(), "{name}");
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
            assert_eq!(node_name(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn files_on_a_network_are_not_looked_at() {
        let wanted = [(Identity::File(makedev(0, 77), 5), String::new()), (Identity::Device(9), String::new())];
        for (line, mount) in [
            ("21 29 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=4k", Some((21, Mount::Local))),
            ("36 29 259:1 / / rw shared:1 master:2 - ext4 /dev/nvme0n1p1 rw", Some((36, Mount::Local))),
            ("90 29 0:50 / /a\\040-\\040tmpfs rw - nfs4 server:/x rw,vers=4.2", Some((90, Mount::Other))),
            ("91 29 0:51 / /b rw,nosuid,nodev - fuse.sshfs user@host: rw", Some((91, Mount::NoDevices))),
            ("22 29 0:20 / /sys rw,relatime - sysfs sysfs rw", Some((22, Mount::NoDevices))),
            ("92 29 0:77 / /root rw - overlay overlay rw", Some((92, Mount::Local))),
            ("93 29 0:78 / /root rw - overlay overlay rw", Some((93, Mount::Other))),
            ("", None),
        ] {
            assert_eq!(mount_of(line, &wanted), mount, "{line}");
        }
    }

    #[test]
    fn file_system_of_a_descriptor_is_found_by_its_mount() {
        let wanted = [(Identity::Device(makedev(1, 250)), String::new())];
        let mut search = Search::new(&wanted);
        let number = |fd: &dyn AsRawFd| u32::try_from(fd.as_raw_fd()).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(search.mount("/proc/self", number(&null)), Ok(Some(Mount::Local)));
        let status = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(search.mount("/proc/self", number(&status)), Ok(Some(Mount::NoDevices)));
        // On no mount of any namespace.
        let (pipe, _end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        assert_eq!(search.mount("/proc/self", number(&pipe)), Ok(None));
        assert_eq!(search.mount("/proc/self", 1_000_000), Err(Errno::NOENT));
    }

    fn group(number: u32) -> [(Identity, String); 1] {
        [(Identity::Device(makedev(1, 250)), format!("/dev/vfio/{number}"))]
    }

    /// readlink(2) fails with ENAMETOOLONG.
    #[test]
    fn descriptor_with_a_path_longer_than_a_page_is_no_node() {
        let root = tempfile::tempdir().unwrap();
        let name = "d".repeat(250);
        let mut dir = open(root.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        for _ in 0..20 {
            mkdirat(&dir, &*name, Mode::from(0o700)).unwrap();
            dir = openat(&dir, &*name, OFlags::RDONLY, Mode::empty()).unwrap();
        }
        let wanted = group(7);
        let mut search = Search::new(&wanted);
        assert_eq!(search.process(std::process::id()), Ok(None));
        assert_eq!((search.unreadable, search.candidate), (None, None));
    }

    /// Needs the right to make a user namespace.
    #[test]
    fn file_on_a_detached_mount_is_a_candidate_only_for_the_node_of_its_name() {
        let root = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs none \"$1\" && mkdir \"$1/vfio\" && exec 3>\"$1/vfio/7\" && umount -l \"$1\" && echo && read -r _";
        let mut child = Command::new("unshare")
            .args(["-Urm", "sh", "-c", script, "sh"])
            .arg(root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let has_opened = child.stdout.take().unwrap().read(&mut [0]).unwrap() == 1;
        let candidate = |number| {
            let wanted = group(number);
            let mut search = Search::new(&wanted);
            let found = search.process(child.id());
            (found, search.candidate)
        };
        let candidates = [7, 8].map(candidate);
        drop(child.stdin.take());
        child.wait().unwrap();
        if has_opened {
            assert_eq!(candidates, [(Ok(None), Some(child.id())), (Ok(None), None)]);
        }
    }

    /// Opens the file in a thread with a descriptor table of its own, until the standard input ends.
    fn open_in_a_thread(path: std::ffi::OsString) {
        let thread = std::thread::spawn(move || {
            #[expect(deprecated, reason = "no descriptor of this thread is used by another one")]
            rustix::thread::unshare(rustix::thread::UnshareFlags::FILES).unwrap();
            let _file = std::fs::File::open(path).unwrap();
            std::fs::write("/proc/self/fd/2", "\n").unwrap();
            let _ = std::io::stdin().read(&mut [0]);
        });
        thread.join().unwrap();
    }

    /// The size of the folder of the descriptors shows such a thread, since Linux 6.2.
    #[test]
    fn descriptor_of_a_thread_with_its_own_table_is_found() {
        const FILE: &str = "MDEV_TEST_OPEN";
        if let Some(path) = std::env::var_os(FILE) {
            return open_in_a_thread(path);
        }
        if count("/proc/self") == Some(0) {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("vfio/7");
        std::fs::create_dir(root.path().join("vfio")).unwrap();
        std::fs::write(&path, "").unwrap();
        let wanted = [(Identity::of(&metadata(&path).unwrap()), "/dev/vfio/7".to_owned())];
        // Another process: a search of this one finds its own descriptors closed, and then looks at each thread.
        let this = "sysfs::linux::users::tests::descriptor_of_a_thread_with_its_own_table_is_found";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(FILE, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(child.stderr.take().unwrap().read(&mut [0]).unwrap(), 1, "it is open");
        let found = Search::new(&wanted).process(child.id());
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(found, Ok(Some("/dev/vfio/7".to_owned())));
    }
}
