// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the process that has a device node open, from /proc.
//!
//! "No process found" holds only for the processes that /proc shows: all of the host in the initial PID namespace, and only
//! those that this process may look into.

use std::fs::{Metadata, metadata, read_dir, read_link, read_to_string};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, makedev, statx};

use super::private_node::PRIVATE_NODE;
use crate::sysfs::{Errno, IoResult, User, Users, is_absent, unless_exhausted};

/// The time limit of a search. Any user can open so many descriptors that a full search takes minutes.
const TIMEOUT: Duration = Duration::from_secs(5);

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

    fn of_statx(found: &Statx) -> Self {
        match FileType::from_raw_mode(found.stx_mode.into()) {
            FileType::CharacterDevice => Identity::Device(makedev(found.stx_rdev_major, found.stx_rdev_minor)),
            _ => Identity::File(makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
        }
    }
}

/// The first process that has one of these open; each comes with its path in /dev. Ends after [`TIMEOUT`]. Fails only when this
/// process or host has run out of descriptors or memory, or /proc cannot be listed.
pub(super) fn find(wanted: &[(Identity, String)]) -> IoResult<Users> {
    let mut search = Search::new(wanted, Instant::now() + TIMEOUT);
    let processes = match search.numbers("/proc") {
        Err(errno) if is_absent(errno) => return Ok(Users::Unknown("/proc is not mounted here; mount it".to_owned())),
        processes => processes?,
    };
    if let Some(user) = search.processes(&processes)? {
        return Ok(Users::Found(user));
    }
    if !is_initial("pid", INITIAL_PID_NAMESPACE)? {
        let why = "processes outside of this PID namespace are not visible here; destroy it as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    // Mounted with hidepid, /proc leaves out what this process may not look into.
    if !processes.contains(&1) || search.doubt.is_some() && !may_read_all()? {
        let why = "this process cannot read the descriptors of all processes (CAP_SYS_PTRACE); destroy it as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    Ok(search.doubt.map_or(Users::None, Users::Incomplete))
}

/// Whether this process is in the initial namespace of this kind. A kernel without such namespaces has only that.
fn is_initial(kind: &str, inode: u64) -> IoResult<bool> {
    match metadata(format!("/proc/self/ns/{kind}")).map_err(errno) {
        Ok(namespace) => Ok(namespace.ino() == inode),
        Err(errno) => unless_exhausted(errno).map(is_absent),
    }
}

/// This thread has the capability to look into each process of the host, so that only a security module refuses that.
fn may_read_all() -> IoResult<bool> {
    let status = read_to_string("/proc/thread-self/status").map_err(errno)?;
    let set = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    Ok(set.is_some_and(|set| set >> CAP_SYS_PTRACE & 1 == 1) && is_initial("user", INITIAL_USER_NAMESPACE)?)
}

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
    deadline: Instant,
    /// This kernel shows how many descriptors a thread has: see [`count`].
    has_counts: bool,
    /// Why a process that was not found may still have a wanted node open, and what to do.
    doubt: Option<String>,
}

impl<'a> Search<'a> {
    fn new(wanted: &'a [(Identity, String)], deadline: Instant) -> Self {
        Search { wanted, deadline, has_counts: count("/proc/self").is_some_and(|own| own > 0), doubt: None }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The first of these processes that has a wanted node open.
    fn processes(&mut self, processes: &[u32]) -> IoResult<Option<User>> {
        for pid in processes {
            if let Some(path) = self.process(*pid)? {
                return Ok(Some(self.user(*pid, path)));
            }
            if self.is_late() {
                self.doubt = Some(format!(
                    "the search of all open descriptors reached its limit of 5 s at process {pid}; stop programs with very \
                     many open descriptors, or try again when the host is less busy"
                ));
                break;
            }
        }
        Ok(None)
    }

    /// The wanted node that a process has open.
    fn process(&mut self, pid: u32) -> IoResult<Option<String>> {
        let process = format!("/proc/{pid}");
        let count = count(&process);
        // Most processes of a host are threads of the kernel, which have none.
        let seen = if self.has_counts && count == Some(0) { Seen::Part } else { self.thread(pid, &process)? };
        let is_whole = match seen {
            Seen::Node(path) => return Ok(Some(path)),
            Seen::All => true,
            // A main thread that has ended has no descriptors, while the other threads of the process do.
            Seen::Part => false,
        };
        let task = format!("{process}/task");
        // Each thread is a link of this folder beside the two of every folder: proc_task_getattr() in fs/proc/base.c.
        if metadata(&task).is_ok_and(|task| task.nlink() == 2 + 1) {
            return Ok(None);
        }
        let threads = self.numbers(&task).or_else(|errno| self.skip(pid, errno).map(|_| Vec::new()))?;
        for thread in threads.into_iter().filter(|thread| *thread != pid) {
            if self.is_late() {
                break;
            }
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
        let fds = match self.numbers(&format!("{folder}/fd")) {
            Ok(fds) => fds,
            Err(errno) => return self.skip(pid, errno).map(|_| Seen::All),
        };
        let mut seen = if fds.is_empty() { Seen::Part } else { Seen::All };
        for fd in fds {
            if self.is_late() {
                return Ok(Seen::Part);
            }
            match self.node(folder, fd) {
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
        let is_gone = is_absent(unless_exhausted(errno)?) || errno == Errno::SRCH;
        if !is_gone {
            self.doubt.get_or_insert_with(|| {
                format!(
                    "a security policy (AppArmor, SELinux) does not allow this process to read the descriptors of process {pid}; \
                     stop that process, or allow it"
                )
            });
        }
        Ok(is_gone)
    }

    /// The wanted node that a descriptor leads to.
    ///
    /// Between two calls, the process can put another file behind the descriptor, also a file whose server does not
    /// answer. So type and device number are read with AT_STATX_DONT_SYNC and an empty mask, which the kernel answers
    /// from memory. A device node always has its type and number then. Local file systems never wait. FUSE sends no
    /// request; for a mount that this process may not use it returns no type and no error, and no device can be opened
    /// there. The mount table cannot help, since a process can detach its mounts. NFS asks its server for a file
    /// without links, 9p and CIFS may ask for any; only root can mount them.
    fn node(&self, folder: &str, fd: u32) -> IoResult<Option<String>> {
        let link = format!("{folder}/fd/{fd}");
        let target = match read_link(&link).map_err(errno) {
            // The path is longer than a page, and that of no node is.
            Err(Errno::NAMETOOLONG) => return Ok(None),
            target => target?,
        };
        if !is_node_name(&target) {
            return Ok(None);
        }
        let found = match statx(CWD, &*link, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()) {
            // FUSE and network file systems return these if the server no longer has the file, or contradicts what the
            // kernel has of it. Any user can cause that; a device node of this host never returns them.
            Err(Errno::IO | Errno::STALE) => return Ok(None),
            // Linux before 4.11, or a seccomp filter without statx in its list.
            Err(Errno::NOSYS) => Identity::of(&metadata(&link).map_err(errno)?),
            found => Identity::of_statx(&found?),
        };
        let Some((_, path)) = self.wanted.iter().find(|(one, _)| *one == found) else { return Ok(None) };
        // A descriptor with O_PATH does not open the device, and any user can have one.
        let info = read_to_string(format!("{folder}/fdinfo/{fd}")).map_err(errno)?;
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        let is_open = flags.is_none_or(|flags| flags & OFlags::PATH.bits() == 0);
        Ok(is_open.then(|| path.clone()))
    }

    /// The entries of a folder of /proc that are numbers: not all of them when the search is late.
    fn numbers(&self, folder: &str) -> IoResult<Vec<u32>> {
        #[cfg(test)]
        tests::LISTED.set(tests::LISTED.get() + 1);
        let mut numbers = Vec::new();
        for entry in read_dir(folder).map_err(errno)?.take_while(|_| !self.is_late()) {
            numbers.extend(entry.map_err(errno)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(numbers)
    }

    fn user(&self, pid: u32, path: String) -> User {
        let program = read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
        let files = read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = files.take_while(|_| !self.is_late()).filter_map(|fd| read_link(fd.path()).ok());
        let removes = targets.into_iter().any(|target| {
            let target = target.to_string_lossy();
            let target = target.trim_end_matches(" (deleted)");
            REMOVERS.iter().any(|end| target.ends_with(end))
        });
        User { pid, program, path, removes }
    }
}

/// The number of descriptors of a thread: the size of this folder since Linux 6.2, and 0 before.
fn count(folder: &str) -> Option<u64> {
    metadata(format!("{folder}/fd")).ok().map(|fds| fds.len())
}

pub(super) fn errno(e: io::Error) -> Errno {
    Errno::from_io_error(&e).unwrap_or(Errno::IO)
}

/// The path of an open file has the name of a node of VFIO or of this library, wherever it is: the file may be in another mount
/// namespace, below another root.
fn is_node_name(target: &Path) -> bool {
    let target = target.to_string_lossy();
    let target = target.trim_end_matches(" (deleted)");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = target.rsplit('/');
    let [name, folder, above] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let group = name.strip_prefix("noiommu-").unwrap_or(name);
    let is_device = above == "vfio" && folder == "devices" && name.strip_prefix("vfio").is_some_and(is_number);
    let is_node = name.starts_with(PRIVATE_NODE) || folder == "vfio" && is_number(group) || is_device;
    is_node && !UNMOUNTED.iter().any(|beginning| target.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::skip::skip;
    use std::cell::Cell;
    use std::io::Read;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use rustix::fs::{Mode, mkdirat, mknodat, open, openat};
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    thread_local! {
        /// Folders that this thread has listed.
        pub(super) static LISTED: Cell<u32> = const { Cell::new(0) };
    }

    /// As each of the hundreds of kernel threads of a host.
    #[test]
    fn search_lists_no_folder_of_a_process_without_descriptors_and_threads() {
        let mut child = Command::new("sh")
            .args(["-c", "printf x; read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let wanted = group(7);
        let mut search = search(&wanted);
        let pid = child.id();
        let mut listed = || {
            let before = LISTED.get();
            assert_eq!(search.process(pid), Ok(None));
            (LISTED.get() - before, search.has_counts)
        };
        assert_eq!(listed().0, 1, "its descriptors");
        drop(child.stdin.take());
        // A process that has ended and was not waited for has one thread and no descriptor.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), options).unwrap();
        let (count, has_counts) = listed();
        assert_eq!(count, if has_counts { 0 } else { 1 });
        child.wait().unwrap();
    }

    const NO_NODE: &str = "this user cannot make a device node in /dev that can be opened";

    fn is_found(users: &Users, path: &str) -> bool {
        matches!(users, Users::Found(user) if user.pid == std::process::id() && user.path == path && !user.program.is_empty())
    }

    /// A file with the name of a group's node below a made-up root.
    fn node() -> (tempfile::TempDir, PathBuf, [(Identity, String); 1]) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("vfio/7");
        std::fs::create_dir(root.path().join("vfio")).unwrap();
        std::fs::write(&path, "").unwrap();
        let found = metadata(&path).unwrap();
        (root, path, [(Identity::of(&found), "/dev/vfio/7".to_owned())])
    }

    fn search(wanted: &[(Identity, String)]) -> Search<'_> {
        Search::new(wanted, Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn open_file_is_found_with_its_process() {
        let (dir, path, wanted) = node();
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

    /// Any user can open a node with O_PATH, also the node of the device that is destroyed.
    #[test]
    fn descriptor_with_o_path_is_not_a_user() {
        let (_root, path, wanted) = node();
        let named = open(&path, OFlags::PATH, Mode::empty()).unwrap();
        let users = find(&wanted).unwrap();
        assert!(!is_found(&users, "/dev/vfio/7"), "{users:?}");
        let _file = std::fs::File::open(&path).unwrap();
        let users = find(&wanted).unwrap();
        assert!(is_found(&users, "/dev/vfio/7"), "{users:?}");
        drop(named);
    }

    /// As with many processes that share one table of descriptors (CLONE_FILES): a look at each of them would take minutes.
    #[test]
    fn search_of_many_descriptors_ends_at_its_deadline() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let _many: Vec<_> = (0..500).map_while(|_| null.try_clone().ok()).collect();
        let wanted = group(7);
        let started = Instant::now();
        let mut search = Search::new(&wanted, started + Duration::from_millis(50));
        assert_eq!(search.processes(&[std::process::id(); 50_000]), Ok(None));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let why = format!("at process {}; stop programs with very many open descriptors", std::process::id());
        assert!(search.doubt.as_ref().is_some_and(|doubt| doubt.contains(&why)), "{:?}", search.doubt);
    }

    /// As with a QEMU that has a /dev of its own: the same device, another node. Needs the right to make nodes in /dev.
    #[test]
    fn device_is_found_by_its_number() {
        let Ok(dir) = tempfile::tempdir_in("/dev") else { return skip(NO_NODE) };
        let node = dir.path().join("vfio/900");
        std::fs::create_dir(dir.path().join("vfio")).unwrap();
        // /dev/null, which every user may open.
        let number = makedev(1, 3);
        if mknodat(CWD, &node, FileType::CharacterDevice, Mode::from(0o666), number).is_err() {
            return skip(NO_NODE);
        }
        let Ok(_user) = std::fs::File::open(&node) else { return skip(NO_NODE) };
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
        let mut search = search(&wanted);
        assert_eq!(search.process(std::process::id()), Ok(None));
        assert_eq!(search.doubt, None);
    }

    /// A user namespace lets any user mount this. Skipped if no user namespace can be made.
    #[test]
    fn file_with_the_name_of_a_node_on_a_detached_mount_is_no_node() {
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
        let wanted = group(7);
        let mut search = search(&wanted);
        let found = search.process(child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        if !has_opened {
            return skip("no user namespace can be made here");
        }
        assert_eq!((found, search.doubt), (Ok(None), None));
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
            return skip("Linux before 6.2: the size of /proc/PID/fd is 0");
        }
        let (_root, path, wanted) = node();
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
        let found = search(&wanted).process(child.id());
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(found, Ok(Some("/dev/vfio/7".to_owned())));
    }
}
