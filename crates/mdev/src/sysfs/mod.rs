// SPDX-License-Identifier: LGPL-2.1-or-later
//! The only access to a kernel.
//!
//! [`Sysfs`] is a host; [`Dir`] is an open directory of a host. [`linux`] implements both on a real kernel, [`crate::sim`] on a
//! simulated kernel in memory. The methods return a bare errno, without an allocation, since many failures are expected: an
//! optional link does not exist, or a device was just removed. The caller has the object of its request, and turns the
//! errno into an [`crate::error::Error`].

use std::borrow::Cow;
use std::fmt::Debug;

pub use rustix::io::Errno;

pub use crate::error::{if_present, if_readable, is_absent, unless_exhausted};
pub use pci_ids::PciNames;

mod names;

pub mod linux;
pub mod pci_ids;
pub mod uevent;
mod wait;

pub use names::names;
pub use wait::{POLL_INTERVAL, Waiter};

/// The result of every operation.
pub type IoResult<T> = Result<T, Errno>;

/// The maximum size of a file that is read, in bytes. A sysfs attribute has at most one page.
pub const READ_MAX: usize = 64 * 1024;

/// The maximum number of attempts of [`write_line`]. A driver may return EINTR for every write, even without a signal.
pub const WRITE_ATTEMPTS: u32 = 8;

/// Files of a device that the library reads only if the caller requests them by name: to print them, the kernel takes the lock
/// of the device. A probe, an unbind and a removal of the device hold that lock. A reader waits until they end, without a
/// limit while a guest uses the device. `docs/sysfs-files.md` lists the files that are read instead.
pub const LOCKED_FILES: [&str; 4] = ["driver_override", "sriov_numvfs", "sriov_vf_total_msix", "uevent"];

/// Kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Dir,
    /// A regular file: an attribute.
    File,
    /// A symbolic link.
    Link,
    /// Anything else; never opened.
    Other,
}

/// The result of `stat` for a directory entry. A symbolic link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Kind of the entry.
    pub kind: EntryKind,
    /// Permission bits (`0o444`).
    pub mode: u32,
    /// Inode number. In sysfs, no number is used twice until the next boot.
    pub ino: u64,
    /// The mtime in nanoseconds. In sysfs, a write does not change it, but an open with O_TRUNC does (`echo 1 > file` in a
    /// shell). If no program has changed it, it is the time when the kernel made the inode in memory: at an access to the
    /// entry, possibly long after the entry appeared.
    pub changed: u64,
}

/// A device node in `/dev/vfio`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VfioNode {
    /// `/dev/vfio/<group>`.
    Group(u32),
    /// `/dev/vfio/devices/<name>` (Linux 6.6 and later).
    Device {
        /// The name of the node: `vfio3`.
        name: String,
        /// The device number. A removal deletes the node first, and then waits for the processes that have it open. At that
        /// time, only the number finds these processes.
        number: Option<u64>,
    },
}

impl VfioNode {
    /// Returns the path of the node.
    pub fn path(&self) -> String {
        match self {
            VfioNode::Group(group) => format!("/dev/vfio/{group}"),
            VfioNode::Device { name, .. } => format!("/dev/vfio/devices/{name}"),
        }
    }
}

/// When the kernel made a node in `/dev/vfio`, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// At this time.
    At(u64),
    /// At this time or before it.
    NotAfter(u64),
}

/// A process that has a node in `/dev/vfio` open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Process ID, in the PID namespace of this process.
    pub pid: u32,
    /// Name of the program; may be empty.
    pub program: String,
    /// Path of the node.
    pub path: String,
    /// True if the process is removing a device.
    pub removes: bool,
    /// The name of the virtual machine in the arguments of QEMU (`-name`); `None` if the program has no such argument.
    pub guest: Option<String>,
}

/// All processes that have a node open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserList {
    /// The processes, each with the first of the nodes that it has open.
    pub users: Vec<User>,
    /// Why there may be more; `None` if all processes were examined.
    pub incomplete: Option<String>,
}

/// The result of a search for a process that has a node open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// The kernel has no such node, or the host is not a real kernel.
    NoNode,
    /// No process of the host had a node open. A process may open a node at any time.
    None,
    /// This process has a node open.
    Found(User),
    /// No process was found. Such a process may exist, since not all processes of the host are visible here. Contains the
    /// reason and the next step.
    Unknown(String),
    /// No process was found. Such a process may exist: all processes of the host are visible, but one of them cannot be
    /// examined, or the search reached its time limit. Contains the reason and the next step.
    Incomplete(String),
}

/// Why [`Dir::write_detached`] failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetachedError {
    /// The file cannot be opened, or the driver returned this errno.
    Write(Errno),
    /// No process can be started. Nothing was written.
    NotStarted(Errno),
    /// `give_up` returned true. The write continues.
    GaveUp,
    /// The process started, but its report cannot be read. The value may have been written.
    NoReport(Errno),
}

/// A host: its sysfs, its VFIO nodes and its uevents.
pub trait Sysfs: Send + Sync + Debug {
    /// Opens the directory at `path`, an absolute path on the host (`/sys/class/mdev_bus`). Follows symbolic links. Fails with
    /// EINVAL if `path` contains `..`.
    fn open(&self, path: &str) -> IoResult<Box<dyn Dir>>;

    /// Opens the VFIO node of an IOMMU group (`/dev/vfio/<group>`) exclusively. Fails with EBUSY if a process uses the group or
    /// a device of the group, and with ENOENT if the kernel has no such node or it cannot be opened here. Until the guard is
    /// dropped, no process can open the group or bind a device of the group to an iommufd.
    fn hold_vfio_group(&self, group: u32) -> IoResult<Box<dyn Guard>>;

    /// Searches for a process that has one of these nodes open, for at most 5 s. The result is not a reservation. Fails if a
    /// node cannot be examined, or if this process or the host has run out of descriptors or memory.
    fn vfio_users(&self, nodes: &[VfioNode]) -> IoResult<Users>;

    /// Searches for all processes that have one of these nodes open, for at most 5 s. Fails as [`Sysfs::vfio_users`] does.
    fn all_vfio_users(&self, nodes: &[VfioNode]) -> IoResult<UserList>;

    /// Returns when the kernel made the node. `None` if this is unknown: `/dev` has no such node, or is not devtmpfs.
    fn vfio_node_birth(&self, node: &VfioNode) -> IoResult<Option<Birth>>;

    /// Starts to receive uevents: all that the kernel sends from now on, in the order in which it sends them.
    fn events(&self) -> IoResult<Box<dyn uevent::Events>>;

    /// Returns the names of a vendor and a product in the pci.ids of the host.
    fn pci_names(&self, vendor: u16, product: u16) -> PciNames;

    /// Returns the release of the kernel; `None` if the host has no real kernel.
    fn kernel(&self) -> Option<String> {
        None
    }
}

/// An open directory. `name` is relative to the directory: one component, or several joined by `/`. A name with an empty
/// component, `.`, `..` or a NUL is EINVAL.
pub trait Dir: Send + Debug {
    /// Returns the absolute path on the host, for messages.
    fn path(&self) -> &str;

    /// Opens a directory below this one. Follows symbolic links, also in the last component.
    fn open(&self, name: &str) -> IoResult<Box<dyn Dir>>;

    /// Reads a whole regular file and appends it to `buf`. Fails with EFBIG for a file larger than [`READ_MAX`], with EISDIR
    /// for a directory, and with ELOOP if the last component is a symbolic link.
    fn read(&self, name: &str, buf: &mut Vec<u8>) -> IoResult<()>;

    /// Opens a regular file for writing. This does not call the driver, so the driver is not the cause of a failure.
    fn writer(&self, name: &str) -> IoResult<Box<dyn Writer>>;

    /// Opens the file and writes: see [`Dir::writer`] and [`Writer::write`].
    fn write(&self, name: &str, value: &[u8]) -> IoResult<()> {
        self.writer(name)?.write(value)
    }

    /// Writes as [`Dir::write`] does, to a file whose driver may block the writer for an unlimited time. A separate process
    /// writes, and `give_up` is called about once a second. If `give_up` returns true, the result is
    /// [`DetachedError::GaveUp`], and the separate process continues the write.
    fn write_detached(
        &self,
        name: &str,
        value: &[u8],
        give_up: &mut dyn FnMut() -> bool,
    ) -> std::result::Result<(), DetachedError>;

    /// Visits every entry except `.` and `..`, in the kernel's order. Logs and skips names that are not UTF-8.
    fn list(&self, visit: &mut dyn FnMut(&str, EntryKind)) -> IoResult<()>;

    /// Returns the target of a symbolic link, as the link contains it.
    fn link(&self, name: &str) -> IoResult<String>;

    /// Returns the metadata of an entry, without opening it.
    fn meta(&self, name: &str) -> IoResult<Meta>;

    /// Sets the mtime of a file to the current time. Returns the new value of [`Meta::changed`].
    fn set_mtime(&self, name: &str) -> IoResult<u64>;

    /// Returns the inode number of this directory.
    fn ino(&self) -> IoResult<u64>;
}

/// A file that is open for writing.
pub trait Writer: Send + Debug {
    /// Writes `value` in a single write. Returns the kernel's errno unchanged, also EINTR, after which the driver may have done
    /// its work. A short write is EIO. An empty value is EINVAL, since it never reaches a driver.
    fn write(&mut self, value: &[u8]) -> IoResult<()>;
}

/// A resource that is released when the guard is dropped: a held VFIO node.
pub trait Guard: Send + Debug {}

/// Parses the device number in a `dev` file of sysfs: `511:3`.
pub fn device_number(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Writes a text in a single write that ends with a newline, as `echo` does: some drivers drop the last byte of a write. Adds no
/// newline to a text that ends with one. After EINTR, repeats the write, up to [`WRITE_ATTEMPTS`] writes in all: only for
/// writes that may be done twice.
pub fn write_line(dir: &dyn Dir, name: &str, text: &str) -> IoResult<()> {
    for _ in 1..WRITE_ATTEMPTS {
        match write_line_once(dir, name, text) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
    write_line_once(dir, name, text)
}

/// Writes as [`write_line`] does, but only once. After EINTR, the caller has to check whether the driver has done its work.
pub fn write_line_once(dir: &dyn Dir, name: &str, text: &str) -> IoResult<()> {
    write_line_to(&mut *dir.writer(name)?, text)
}

/// Writes as [`write_line_once`] does, to an open file.
pub fn write_line_to(file: &mut dyn Writer, text: &str) -> IoResult<()> {
    match text.ends_with('\n') {
        true => file.write(text.as_bytes()),
        false => file.write(format!("{text}\n").as_bytes()),
    }
}

/// Joins a link target to the directory that contains the link, without a system call: `..` removes a component. Returns
/// `None` if the result is above the root.
pub fn resolve(dir: &str, target: &str) -> Option<String> {
    let mut path = if target.starts_with('/') { String::new() } else { dir.trim_end_matches('/').to_owned() };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => path.truncate(path.rfind('/')?),
            name => {
                path.push('/');
                path.push_str(name);
            }
        }
    }
    Some(path)
}

/// Returns the last component of a path or link target.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns a path without its last component.
pub fn dirname(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..end])
}

/// True for a relative path that stays below the directory where it starts: no empty component, no `.`, `..` or NUL.
pub fn is_relative(name: &str) -> bool {
    let mut parts = name.as_bytes().split(|b| *b == b'/');
    parts.all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0))
}

/// Reads a text attribute. Removes newlines at the end, and replaces bytes that are not UTF-8.
pub fn read_text(dir: &dyn Dir, name: &str) -> IoResult<String> {
    read_text_in(dir, name, &mut Vec::with_capacity(64)).map(Cow::into_owned)
}

/// Reads as [`read_text`] does, into a buffer that the caller can use for many files.
pub fn read_text_in<'b>(dir: &dyn Dir, name: &str, buffer: &'b mut Vec<u8>) -> IoResult<Cow<'b, str>> {
    buffer.clear();
    dir.read(name, buffer)?;
    let end = buffer.iter().rposition(|b| *b != b'\n').map_or(0, |last| last + 1);
    let text = buffer.get(..end).unwrap_or_default();
    // Almost all texts are UTF-8. This check is faster than the replacement.
    Ok(std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn link_target_is_joined_to_its_directory() {
        assert_eq!(
            resolve("/sys/class/mdev_bus", "../../devices/pci0000:00/0000:00:02.0").as_deref(),
            Some("/sys/devices/pci0000:00/0000:00:02.0")
        );
        assert_eq!(resolve("/sys/a", "../../../../etc"), None);
        assert_eq!(resolve("/sys/a", "/sys/b/./c").as_deref(), Some("/sys/b/c"));
    }

    #[test]
    fn write_with_permanent_eintr_ends_after_its_attempts() {
        let host = crate::sim::default_host();
        let dir = host.open("/sys/bus/pci").unwrap();
        let count = Arc::new(AtomicU32::new(0));
        let writes = Arc::clone(&count);
        // The hook returns EINTR for 1000 writes only, so that the test ends even if the loop has no limit.
        let answer = move || (writes.fetch_add(1, Ordering::Relaxed) < 1000).then_some(Errno::INTR);
        host.set_hook(Some(Arc::new(move |_, _| answer())));
        assert_eq!(write_line(&*dir, "uevent", "change"), Err(Errno::INTR));
        assert_eq!(count.load(Ordering::Relaxed), WRITE_ATTEMPTS);
    }

    #[test]
    fn path_with_dots_is_refused() {
        for bad in ["..", "a/../b", "", "a//b", "/a", "a/", ".", "a\0"] {
            assert!(!is_relative(bad), "{bad:?}");
        }
        assert!(is_relative("mdev_supported_types/11/create"));
    }
}
