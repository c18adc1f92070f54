// SPDX-License-Identifier: LGPL-2.1-or-later
//! A dumped host: the part of its file system that a node-device driver looks at, as it was at one moment.

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEntryKind {
    /// A directory; the directories above it need not be listed.
    Dir,
    /// A symbolic link, relative as in sysfs.
    Link(String),
    /// A regular file: permission bits and what a read gave; `Err(errno)` when the read failed.
    File(u32, Result<Vec<u8>, i32>),
}

/// One path of a dumped host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// Absolute: `/sys/devices/...`, `/dev/vfio/7`, `/usr/share/misc/pci.ids`, `/run/libmdev/...`.
    pub path: String,
    /// What stands there.
    pub kind: HostEntryKind,
}

/// A whole host, as `mdev_conn_dump_xml` writes it and `test:///PATH` replays it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Release of the kernel, for people.
    pub kernel: Option<String>,
    /// Parents before children; no path twice.
    pub entries: Vec<HostEntry>,
}
