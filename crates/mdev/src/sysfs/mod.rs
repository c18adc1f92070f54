// SPDX-License-Identifier: LGPL-2.1-or-later
//! The only way to a kernel.
//!
//! [`Sysfs`] is a host; [`Dir`] is one open directory on it. [`linux`] is the real one, [`crate::sim`] a small kernel in memory.
//! Both speak in bare errnos, because half of all failures here are expected (a link that is optional, a device that has
//! just gone) and must cost nothing; whoever knows the object on whose behalf the step was done turns the errno into an
//! [`crate::error::Error`].

use std::borrow::Cow;
use std::fmt::Debug;

pub use rustix::io::Errno;

pub use crate::error::{if_present, if_readable, is_absent, unless_exhausted};
pub use pci_ids::PciNames;

pub mod linux;
pub mod pci_ids;
pub mod uevent;
mod wait;

pub use wait::{POLL_INTERVAL, Waiter};

/// The result of every operation.
pub type IoResult<T> = Result<T, Errno>;

/// The largest file that is read; a sysfs attribute is at most one page, and vendors have none larger.
pub const READ_MAX: usize = 64 * 1024;

/// How often a write that a signal interrupted is made. A driver may return EINTR without a signal, again and again.
pub const WRITE_ATTEMPTS: u32 = 8;

/// Files of every device that the library never reads on its own: the kernel takes the device's lock to print them. A probe,
/// an unbind and a removal of the device hold that lock, so a reader would wait until they end, without a bound while a guest
/// uses the device. `docs/sysfs-files.md` lists what is read instead.
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

/// What `stat` says of a directory entry, without following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Kind.
    pub kind: EntryKind,
    /// Permission bits (`0o444`).
    pub mode: u32,
    /// Inode number; in sysfs never used twice between two boots.
    pub ino: u64,
    /// When it was last changed, in nanoseconds. In sysfs a write leaves it alone, and what truncates the file first
    /// (`echo` in a shell) does not. An entry that no program has changed has the time at which the kernel made its
    /// inode in memory: at a look at the entry, possibly long after the entry appeared.
    pub changed: u64,
}

/// A node of `/dev/vfio`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VfioNode {
    /// `/dev/vfio/<group>`.
    Group(u32),
    /// `/dev/vfio/devices/<name>` (Linux 6.6 and later).
    Device {
        /// `vfio3`.
        name: String,
        /// Its device number. The kernel deletes the node as the first step of a removal, and then waits for the processes that
        /// have it open: they are found by the number.
        number: Option<u64>,
    },
}

impl VfioNode {
    /// Its path.
    pub fn path(&self) -> String {
        match self {
            VfioNode::Group(group) => format!("/dev/vfio/{group}"),
            VfioNode::Device { name, .. } => format!("/dev/vfio/devices/{name}"),
        }
    }
}

/// When the kernel made a node of `/dev/vfio`, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// At this time.
    At(u64),
    /// At this time or before it.
    NotAfter(u64),
}

/// A process that has a node of `/dev/vfio` open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its process id, as this process sees it.
    pub pid: u32,
    /// Its program; may be empty.
    pub program: String,
    /// The node.
    pub path: String,
    /// It is removing a device.
    pub removes: bool,
}

/// What is known about the processes that have a node open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// The kernel has no such node, or the host is not a real kernel.
    NoNode,
    /// No process of the host has a node open now; a process may open one at any time.
    None,
    /// This process has a node open.
    Found(User),
    /// No process was found, and there may be one, since not all processes of the host are visible here. Has the reason
    /// and what to do.
    Unknown(String),
    /// No process was found, and all processes of the host are visible here. One of them cannot be looked into, or the
    /// search reached its time limit. Has the reason and what to do.
    Incomplete(String),
}

/// Why [`Dir::write_detached`] failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetachedError {
    /// The file cannot be opened, or the driver returned this errno.
    Write(Errno),
    /// No process can be started. Nothing was written.
    NotStarted(Errno),
    /// `give_up` returned true.
    GaveUp,
    /// The process started and its report cannot be read. The value may have been written.
    NoReport(Errno),
}

/// A host as seen through its sysfs.
pub trait Sysfs: Send + Sync + Debug {
    /// Opens the directory at `path`, absolute in the host's own view (`/sys/class/mdev_bus`). Refuses `..` with EINVAL.
    /// Symbolic links on the way are followed.
    fn open(&self, path: &str) -> IoResult<Box<dyn Dir>>;

    /// Takes the VFIO node of an IOMMU group (`/dev/vfio/<group>`) exclusively: EBUSY when a process uses the group or a
    /// device of it, ENOENT when the kernel has no such node or it cannot be opened here. While the guard lives no process
    /// can open the group, nor bind a device of it to an iommufd.
    fn hold_vfio_group(&self, group: u32) -> IoResult<Box<dyn Guard>>;

    /// Looks for a process that has one of these nodes open, for 5 s at most. Not a reservation. Fails when a node
    /// cannot be looked at, or this process or host has run out of descriptors or memory.
    fn vfio_users(&self, nodes: &[VfioNode]) -> IoResult<Users>;

    /// When the kernel made the node. `None` if that is unknown: `/dev` has no such node, or is not devtmpfs.
    fn vfio_node_birth(&self, node: &VfioNode) -> IoResult<Option<Birth>>;

    /// Starts to receive the kernel's uevents: all that are sent from now on, in the kernel's order.
    fn events(&self) -> IoResult<Box<dyn uevent::Events>>;

    /// The names that the pci.ids of the host has for a vendor and a product.
    fn pci_names(&self, vendor: u16, product: u16) -> PciNames;

    /// Release of the kernel, where there is one.
    fn kernel(&self) -> Option<String> {
        None
    }
}

/// An open directory. `name` is always relative to it: one component or several joined by `/`; a component `..`, an empty
/// one or a NUL is EINVAL.
pub trait Dir: Send + Debug {
    /// Absolute path in the host's own view, for messages.
    fn path(&self) -> &str;

    /// Opens a directory below this one; a symbolic link in the last place is followed.
    fn open(&self, name: &str) -> IoResult<Box<dyn Dir>>;

    /// Reads a whole regular file, once, and appends it to `buf`. EFBIG past [`READ_MAX`]; EISDIR for a
    /// directory, ELOOP for a link in the last place.
    fn read(&self, name: &str, buf: &mut Vec<u8>) -> IoResult<()>;

    /// Opens a regular file for writing. This does not call the driver, so an errno does not come from it.
    fn writer(&self, name: &str) -> IoResult<Box<dyn Writer>>;

    /// Opens the file and writes: see [`Dir::writer`] and [`Writer::write`].
    fn write(&self, name: &str, value: &[u8]) -> IoResult<()> {
        self.writer(name)?.write(value)
    }

    /// Writes as [`Dir::write`] does, where a driver may block the writer for an unlimited time: a process of its own
    /// writes, and `give_up` is called about once a second. When it returns true, the result is [`DetachedError::GaveUp`] and
    /// the write goes on without the caller.
    fn write_detached(
        &self,
        name: &str,
        value: &[u8],
        give_up: &mut dyn FnMut() -> bool,
    ) -> std::result::Result<(), DetachedError>;

    /// Visits every entry but `.` and `..`, in the kernel's order. Names that are not UTF-8 are logged and left out.
    fn list(&self, visit: &mut dyn FnMut(&str, EntryKind)) -> IoResult<()>;

    /// The target of a symbolic link, as it is written there.
    fn link(&self, name: &str) -> IoResult<String>;

    /// Looks at an entry without opening it.
    fn meta(&self, name: &str) -> IoResult<Meta>;

    /// Sets the time of last change of a file to now, and gives it back as [`Meta::changed`] will say it from then on.
    fn set_mtime(&self, name: &str) -> IoResult<u64>;

    /// Inode number of this directory itself.
    fn ino(&self) -> IoResult<u64>;
}

/// A file that is open for writing.
pub trait Writer: Send + Debug {
    /// Writes `value` in a single write. Returns the kernel's errno unchanged, also EINTR: the driver may have done its
    /// work. A short write is EIO. An empty value is EINVAL, since it never reaches a driver.
    fn write(&mut self, value: &[u8]) -> IoResult<()>;
}

/// Something that ends when it is dropped: a held VFIO node.
pub trait Guard: Send + Debug {}

/// The device number in a `dev` file of sysfs: `511:3`.
pub fn device_number(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Writes a text in a single write that ends with a newline, as `echo` does: some drivers drop the last byte of a write. A text
/// that ends with a newline already gets no second one. Repeats the write up to [`WRITE_ATTEMPTS`] times if a signal
/// interrupted the driver, so only for writes that may be done twice.
pub fn write_line(dir: &dyn Dir, name: &str, text: &str) -> IoResult<()> {
    for _ in 1..WRITE_ATTEMPTS {
        match write_line_once(dir, name, text) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
    write_line_once(dir, name, text)
}

/// Writes the same once. After EINTR the caller has to check whether the driver has done its work.
pub fn write_line_once(dir: &dyn Dir, name: &str, text: &str) -> IoResult<()> {
    write_line_to(&mut *dir.writer(name)?, text)
}

/// Writes the same to an open file.
pub fn write_line_to(file: &mut dyn Writer, text: &str) -> IoResult<()> {
    match text.ends_with('\n') {
        true => file.write(text.as_bytes()),
        false => file.write(format!("{text}\n").as_bytes()),
    }
}

/// Joins a relative link target to the directory that holds the link, without asking the kernel: `..` removes a component.
/// `None` when it climbs above the root.
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

/// The last component of a path or link target.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Everything before the last component.
pub fn dirname(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..end])
}

/// True for a relative path that stays below where it starts.
pub fn is_relative(name: &str) -> bool {
    let mut parts = name.as_bytes().split(|b| *b == b'/');
    parts.all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0))
}

/// Reads a text attribute: without the newline at its end, bytes that are not UTF-8 replaced.
pub fn read_text(dir: &dyn Dir, name: &str) -> IoResult<String> {
    read_text_in(dir, name, &mut Vec::with_capacity(64)).map(Cow::into_owned)
}

/// The same in a buffer of the caller, who reads many.
pub fn read_text_in<'b>(dir: &dyn Dir, name: &str, buffer: &'b mut Vec<u8>) -> IoResult<Cow<'b, str>> {
    buffer.clear();
    dir.read(name, buffer)?;
    let end = buffer.iter().rposition(|b| *b != b'\n').map_or(0, |last| last + 1);
    let text = buffer.get(..end).unwrap_or_default();
    // Nearly all are UTF-8, which this check finds faster than the replacement does.
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
    fn write_ends_although_the_driver_is_always_interrupted() {
        let host = crate::sim::default_host();
        let dir = host.open("/sys/bus/pci").unwrap();
        let count = Arc::new(AtomicU32::new(0));
        let writes = Arc::clone(&count);
        // A limited number, so that the test ends even if the loop has no bound.
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
