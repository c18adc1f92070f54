// SPDX-License-Identifier: LGPL-2.1-or-later
//! A dumped host: the part of its file system that a node-device driver reads, at one moment.

/// The entry at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEntryKind {
    /// A directory. The directories above it need not have entries of their own.
    Dir,
    /// A symbolic link, relative as in sysfs.
    Link(String),
    /// A regular file: permission bits and content; `Err(errno)` if the read failed.
    File(u32, Result<Vec<u8>, i32>),
}

/// One path of a dumped host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// Absolute path: `/sys/devices/...`, `/dev/vfio/7`, `/usr/share/misc/pci.ids`, `/run/libmdev/...`.
    pub path: String,
    /// The entry.
    pub kind: HostEntryKind,
}

/// A whole host: `mdev_conn_dump_xml` writes it and `test:///PATH` replays it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Release of the kernel; information for the reader only.
    pub kernel: Option<String>,
    /// Entries; parents before children, no path twice.
    pub entries: Vec<HostEntry>,
}
