// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the process that has a device node open, in /proc.
//!
//! A search covers only the processes that /proc shows and that this process may examine. /proc shows all processes of the host
//! only in the initial PID namespace.

use std::fs::{Metadata, metadata, read_dir, read_link, read_to_string};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, makedev, statx};

use super::private_node::PRIVATE_NODE;
use crate::sysfs::{Errno, IoResult, User, UserList, Users, is_absent, unless_exhausted};

/// The time limit of a search. Any user can open so many descriptors that a complete search takes minutes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Inode numbers of the initial namespaces: PROC_PID_INIT_INO and PROC_USER_INIT_INO in include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// The bit of CAP_SYS_PTRACE in a set of capabilities: include/uapi/linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;

/// Suffixes of the paths of files that a process has open for writing while it removes a device.
const REMOVERS: [&str; 4] = ["/remove", "/destroy", "/mdev_destroy", "/current_vgpu_type"];

/// The identity of an open file, by which a descriptor of a wanted node is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The number of a character device. QEMU often has its own /dev, so the inode of the node can be another one.
    Device(u64),
    /// The device and inode number of any other file, for a root that is not `/`.
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

/// Finds the first process that has one of these files open; each file comes with its path in /dev. Ends after [`TIMEOUT`]. Fails
/// only if this process or the host has run out of descriptors or memory, or if /proc cannot be listed.
pub(super) fn find(wanted: &[(Identity, String)]) -> IoResult<Users> {
    search(&mut Search::new(wanted, Instant::now() + TIMEOUT))
}

/// Finds all processes that have one of these files open. Ends and fails as [`find`] does.
pub(super) fn list(wanted: &[(Identity, String)]) -> IoResult<UserList> {
    let mut search = Search::new(wanted, Instant::now() + TIMEOUT);
    search.wants_all = true;
    let incomplete = match self::search(&mut search)? {
        Users::Unknown(why) | Users::Incomplete(why) => Some(why),
        Users::None | Users::NoNode | Users::Found(_) => None,
    };
    Ok(UserList { users: search.found, incomplete })
}

fn search(search: &mut Search<'_>) -> IoResult<Users> {
    let processes = match search.numbers("/proc") {
        Err(errno) if is_absent(errno) => return Ok(Users::Unknown("/proc is not mounted here; mount it".to_owned())),
        processes => processes?,
    };
    if let Some(user) = search.processes(&processes)? {
        return Ok(Users::Found(user));
    }
    if !is_initial("pid", INITIAL_PID_NAMESPACE)? {
        let why = "processes outside of this PID namespace are not visible here; destroy the device as root in the host's own \
                   PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    // If /proc is mounted with hidepid, it does not list the processes that this process may not examine.
    if !processes.contains(&1) || search.incomplete.is_some() && !may_read_all()? {
        let why = "this process cannot read the descriptors of all processes (CAP_SYS_PTRACE); destroy the device as root in the \
                   host's own PID namespace";
        return Ok(Users::Unknown(why.to_owned()));
    }
    Ok(search.incomplete.take().map_or(Users::None, Users::Incomplete))
}

/// True if this process is in the initial namespace (`pid` or `user`). Also true on a kernel without such namespaces.
fn is_initial(namespace: &str, inode: u64) -> IoResult<bool> {
    match metadata(format!("/proc/self/ns/{namespace}")).map_err(errno) {
        Ok(namespace) => Ok(namespace.ino() == inode),
        Err(errno) => unless_exhausted(errno).map(is_absent),
    }
}

/// True if this thread has the capability to examine each process of the host, so that only a security module can refuse it.
fn may_read_all() -> IoResult<bool> {
    let status = read_to_string("/proc/thread-self/status").map_err(errno)?;
    let set = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    Ok(set.is_some_and(|set| set >> CAP_SYS_PTRACE & 1 == 1) && is_initial("user", INITIAL_USER_NAMESPACE)?)
}

/// Prefixes of the paths of open files that are on no mount. Any user can choose the rest of such a path.
const UNMOUNTED: [&str; 2] = ["/memfd:", "/dmabuf:"];

/// The result of a search of the descriptors of a thread.
enum Examined {
    /// One of them is a wanted node, with this path in /dev.
    Node(String),
    /// All descriptors were examined, and none is a wanted node. Also if they cannot be listed.
    All,
    /// Not all descriptors were examined: the thread has none, or some were closed during the search.
    Part,
}

struct Search<'a> {
    wanted: &'a [(Identity, String)],
    deadline: Instant,
    /// True if this kernel shows the number of descriptors of a thread: see [`count`].
    has_counts: bool,
    /// The reason why the search was not complete, and the next step.
    incomplete: Option<String>,
    /// The search continues after the first process that it finds.
    wants_all: bool,
    /// The processes that were found, if all are wanted.
    found: Vec<User>,
}

impl<'a> Search<'a> {
    fn new(wanted: &'a [(Identity, String)], deadline: Instant) -> Self {
        let has_counts = count("/proc/self").is_some_and(|own| own > 0);
        Search { wanted, deadline, has_counts, incomplete: None, wants_all: false, found: Vec::new() }
    }

    fn has_timed_out(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Finds the first of these processes that has a wanted node open.
    fn processes(&mut self, processes: &[u32]) -> IoResult<Option<User>> {
        for pid in processes {
            if let Some(path) = self.process(*pid)? {
                let user = self.user(*pid, path);
                if !self.wants_all {
                    return Ok(Some(user));
                }
                self.found.push(user);
            }
            if self.has_timed_out() {
                self.incomplete = Some(format!(
                    "the search of all open descriptors reached its limit of 5 s at process {pid}; stop programs with very \
                     many open descriptors, or try again when the host is less busy"
                ));
                break;
            }
        }
        Ok(None)
    }

    /// Returns the path in /dev of a wanted node that a process has open.
    fn process(&mut self, pid: u32) -> IoResult<Option<String>> {
        let process = format!("/proc/{pid}");
        let count = count(&process);
        // Most processes of a host are threads of the kernel, which have no descriptors.
        let examined = if self.has_counts && count == Some(0) { Examined::Part } else { self.thread(pid, &process)? };
        let is_whole = match examined {
            Examined::Node(path) => return Ok(Some(path)),
            Examined::All => true,
            // If the main thread has ended, it has no descriptors, but the other threads of the process can have some.
            Examined::Part => false,
        };
        let task = format!("{process}/task");
        // The link count of this folder is 2 and the number of threads: see proc_task_getattr() in fs/proc/base.c.
        if metadata(&task).is_ok_and(|task| task.nlink() == 2 + 1) {
            return Ok(None);
        }
        let threads = self.numbers(&task).or_else(|errno| self.skip(pid, errno).map(|_| Vec::new()))?;
        for thread in threads.into_iter().filter(|thread| *thread != pid) {
            if self.has_timed_out() {
                break;
            }
            let folder = format!("{task}/{thread}");
            // A thread shares the descriptors of the main thread unless it has called unshare(2). A search of each thread would take
            // too long, so a thread with the same number of descriptors as the main thread is skipped.
            if is_whole && self::count(&folder) == count {
                continue;
            }
            if let Examined::Node(path) = self.thread(pid, &folder)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Searches the descriptors of a thread. `folder` is the folder of the thread in /proc.
    fn thread(&mut self, pid: u32, folder: &str) -> IoResult<Examined> {
        let fds = match self.numbers(&format!("{folder}/fd")) {
            Ok(fds) => fds,
            Err(errno) => return self.skip(pid, errno).map(|_| Examined::All),
        };
        let mut examined = if fds.is_empty() { Examined::Part } else { Examined::All };
        for fd in fds {
            if self.has_timed_out() {
                return Ok(Examined::Part);
            }
            match self.node(folder, fd) {
                Ok(None) => {}
                Ok(Some(path)) => return Ok(Examined::Node(path)),
                // Without CAP_SYS_PTRACE, root can list this folder because of its mode, but cannot examine a descriptor.
                Err(errno) if self.skip(pid, errno)? => examined = Examined::Part,
                Err(_) => {}
            }
        }
        Ok(examined)
    }

    /// Skips an object of a process that cannot be examined. Returns true if the object no longer exists. Fails if this process or
    /// the host has run out of descriptors or memory.
    fn skip(&mut self, pid: u32, errno: Errno) -> IoResult<bool> {
        let is_gone = is_absent(unless_exhausted(errno)?) || errno == Errno::SRCH;
        if !is_gone {
            self.incomplete.get_or_insert_with(|| {
                format!(
                    "a security policy (AppArmor, SELinux) does not allow this process to read the descriptors of process {pid}; \
                     stop that process, or allow it"
                )
            });
        }
        Ok(is_gone)
    }

    /// Returns the path in /dev of the wanted node that a descriptor refers to; `None` if it refers to another file.
    ///
    /// Between two system calls, the process can open another file with the same descriptor number, also a file whose server does
    /// not reply. So this function reads the type and the device number with AT_STATX_DONT_SYNC and an empty mask: the kernel
    /// then returns the values that it has in memory. For a device node, type and number are always in memory. Local file
    /// systems never wait. FUSE sends no request. For a FUSE mount that this process may not use, the kernel returns no type and
    /// no error; no device can be opened on such a mount. NFS sends a request for a file without links, and 9p and CIFS may send
    /// one for any file, but only root can mount these. A check of the mount table is no alternative, since a process can detach
    /// its mounts.
    fn node(&self, folder: &str, fd: u32) -> IoResult<Option<String>> {
        let link = format!("{folder}/fd/{fd}");
        let target = match read_link(&link).map_err(errno) {
            // The path is longer than a page. The path of a node never is.
            Err(Errno::NAMETOOLONG) => return Ok(None),
            target => target?,
        };
        if !has_node_name(&target) {
            return Ok(None);
        }
        let found = match statx(CWD, &*link, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()) {
            // FUSE and network file systems return these errors if the server no longer has the file, or if its reply contradicts
            // the data in the kernel. Any user can cause this. A device node of this host never returns them.
            Err(Errno::IO | Errno::STALE) => return Ok(None),
            // Linux before 4.11, or a seccomp filter without statx in its list.
            Err(Errno::NOSYS) => Identity::of(&metadata(&link).map_err(errno)?),
            found => Identity::of_statx(&found?),
        };
        let Some((_, path)) = self.wanted.iter().find(|(one, _)| *one == found) else { return Ok(None) };
        // A descriptor with O_PATH does not open the device. Any user can have such a descriptor.
        let info = read_to_string(format!("{folder}/fdinfo/{fd}")).map_err(errno)?;
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        let is_open = flags.is_none_or(|flags| flags & OFlags::PATH.bits() == 0);
        Ok(is_open.then(|| path.clone()))
    }

    /// Returns the entries of a folder of /proc that are numbers; not all of them if the search has timed out.
    fn numbers(&self, folder: &str) -> IoResult<Vec<u32>> {
        #[cfg(test)]
        tests::LISTED.set(tests::LISTED.get() + 1);
        let mut numbers = Vec::new();
        for entry in read_dir(folder).map_err(errno)?.take_while(|_| !self.has_timed_out()) {
            numbers.extend(entry.map_err(errno)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(numbers)
    }

    /// Describes the process that has the node at `path` open.
    fn user(&self, pid: u32, path: String) -> User {
        let program = read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
        let files = read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = files.take_while(|_| !self.has_timed_out()).filter_map(|fd| read_link(fd.path()).ok());
        let removes = targets.into_iter().any(|target| {
            let target = target.to_string_lossy();
            let target = target.trim_end_matches(" (deleted)");
            REMOVERS.iter().any(|suffix| target.ends_with(suffix))
        });
        User { pid, program, path, removes, guest: guest_of(pid) }
    }
}

/// Returns the name of the virtual machine in the arguments of QEMU: `-name web` or `-name guest=web,debug-threads=on`.
fn guest_of(pid: u32) -> Option<String> {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = arguments.split(|byte| *byte == 0);
    words.find(|word| *word == b"-name" || *word == b"--name")?;
    let name = String::from_utf8_lossy(words.next()?).into_owned();
    // QEMU writes a comma in a value as two commas.
    let name = name.replace(",,", "\u{0}");
    let values = || name.split(',');
    let guest = values().find_map(|value| value.strip_prefix("guest=")).or_else(|| values().next())?;
    Some(guest.replace('\u{0}', ",")).filter(|guest| !guest.is_empty())
}

/// Returns the number of descriptors of a thread: since Linux 6.2, it is the size of the folder `fd`. Before, the size is 0.
fn count(folder: &str) -> Option<u64> {
    metadata(format!("{folder}/fd")).ok().map(|fds| fds.len())
}

pub(super) fn errno(e: io::Error) -> Errno {
    Errno::from_io_error(&e).unwrap_or(Errno::IO)
}

/// True if the path of an open file ends like the path of a VFIO node or of a node of this library. The beginning of the path can
/// be any text, since the file may be in another mount namespace or below another root.
fn has_node_name(target: &Path) -> bool {
    let target = target.to_string_lossy();
    let target = target.trim_end_matches(" (deleted)");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = target.rsplit('/');
    let [name, folder, folder_above] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let group = name.strip_prefix("noiommu-").unwrap_or(name);
    let is_device = folder_above == "vfio" && folder == "devices" && name.strip_prefix("vfio").is_some_and(is_number);
    let is_node = name.starts_with(PRIVATE_NODE) || folder == "vfio" && is_number(group) || is_device;
    is_node && !UNMOUNTED.iter().any(|prefix| target.starts_with(prefix))
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
        /// The number of folders that this thread has listed.
        pub(super) static LISTED: Cell<u32> = const { Cell::new(0) };
    }

    /// A host has hundreds of kernel threads without descriptors.
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
        assert_eq!(listed().0, 1, "only the folder of its descriptors");
        drop(child.stdin.take());
        // A zombie has one thread and no descriptor.
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

    /// Creates a file with the name of a group's node below a temporary root.
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
        // A process that also has `remove` open is removing a device.
        let remove = std::fs::File::create(dir.path().join("remove")).unwrap();
        let users = find(&wanted).unwrap();
        assert!(matches!(&users, Users::Found(user) if user.removes), "{users:?}");
        drop((file, remove));
        let users = find(&wanted).unwrap();
        assert!(!is_found(&users, "/dev/vfio/7"), "{users:?}");
    }

    /// Any user can open a node with O_PATH, also the node of a device that is to be destroyed.
    #[test]
    fn descriptor_with_o_path_is_not_a_user() {
        let (_root, path, wanted) = node();
        let path_only = open(&path, OFlags::PATH, Mode::empty()).unwrap();
        let users = find(&wanted).unwrap();
        assert!(!is_found(&users, "/dev/vfio/7"), "{users:?}");
        let _file = std::fs::File::open(&path).unwrap();
        let users = find(&wanted).unwrap();
        assert!(is_found(&users, "/dev/vfio/7"), "{users:?}");
        drop(path_only);
    }

    /// Many processes can share one table with many descriptors (CLONE_FILES). A complete search would take minutes.
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
        assert!(search.incomplete.as_ref().is_some_and(|reason| reason.contains(&why)), "{:?}", search.incomplete);
    }

    /// QEMU can have its own /dev, with another node of the same device. Needs the right to make nodes in /dev.
    #[test]
    fn device_is_found_by_its_number() {
        let Ok(dir) = tempfile::tempdir_in("/dev") else { return skip(NO_NODE) };
        let node = dir.path().join("vfio/900");
        std::fs::create_dir(dir.path().join("vfio")).unwrap();
        // The number of /dev/null, which every user may open.
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
    fn only_paths_of_vfio_nodes_have_a_node_name() {
        for name in [
            "/dev/vfio/7",
            "/dev/vfio/noiommu-7",
            "/dev/vfio/devices/vfio12",
            "/jail/dev/vfio/7",
            "/vfio/7",
            "/dev/vfio/7 (deleted)",
            "/run/libmdev/.vfio-12-0 (deleted)",
        ] {
            assert!(has_node_name(Path::new(name)), "{name}");
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
            assert!(!has_node_name(Path::new(name)), "{name}");
        }
    }

    fn group(number: u32) -> [(Identity, String); 1] {
        [(Identity::Device(makedev(1, 250)), format!("/dev/vfio/{number}"))]
    }

    /// readlink(2) fails with ENAMETOOLONG for such a descriptor.
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
        assert_eq!(search.incomplete, None);
    }

    /// In a user namespace, any user can mount a file system. Skipped if no user namespace can be made.
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
        assert_eq!((found, search.incomplete), (Ok(None), None));
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

    /// Since Linux 6.2, the size of the folder of its descriptors shows that a thread has its own table.
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
        // The thread is in a child process. In this process, the search closes some of its own descriptors while it runs, and then
        // searches each thread.
        let this = "sysfs::linux::users::tests::descriptor_of_a_thread_with_its_own_table_is_found";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(FILE, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(child.stderr.take().unwrap().read(&mut [0]).unwrap(), 1, "the file is open");
        let found = search(&wanted).process(child.id());
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(found, Ok(Some("/dev/vfio/7".to_owned())));
    }
}
