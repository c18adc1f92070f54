// SPDX-License-Identifier: LGPL-2.1-or-later
//! A small kernel in memory; it serves `test:///`.
//!
//! [`SimHost`] is built from plain entries: those of the built-in host ([`default_host`]) or those of a dump. It
//! derives from the structure alone which directories are parents, and which interface each parent has:
//!
//! | a directory with `mdev_supported_types/` and | is served by |
//! |---|---|
//! | `mdev_destroy` | `rfc`: the founding proposal |
//! | types with `available_instances`, none with `device_api` | `general`: the reviewer's layout |
//! | anything else | `merged`: Linux 4.10 and later |
//! A directory whose links `virtfnN` lead to directories with `nvidia/current_vgpu_type` is a PF of NVIDIA's vendor
//! VFIO framework, served by `vendor`.
//!
//! A write returns the errno that real drivers were seen to return. A file whose meaning is unknown keeps its
//! content. `capacity.rs` and `vendor.rs` describe how the types of a parent share its capacity;
//! `docs/simulated-host.md` describes the whole host.
//!
//! Two things differ from a real kernel on purpose:
//!
//! - Removing a device that a guest uses ([`SimHost::set_in_use`]) fails with EBUSY. The merged kernel would block
//!   until the guest ends, and a test that hangs shows nothing. A device that is only held through
//!   [`Sysfs::hold_vfio_group`](crate::sysfs::Sysfs::hold_vfio_group) can be removed, as on the real kernel: the
//!   library removes devices that way.
//! - The state of a host is lost when its last clone is dropped.

// Every index comes from `discover`; a wrong index is a bug of the simulator.
#![allow(clippy::expect_used, clippy::indexing_slicing)]
// Only tests call some of these functions. A build with the feature `test-hooks` reports functions without any
// caller.
#![cfg_attr(not(any(test, feature = "test-hooks")), allow(dead_code))]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::{Errno, IoResult, basename, dirname, is_relative};

mod ap;
mod capacity;
mod catalogue;
mod default;
mod described;
mod device;
mod discover;
mod events;
mod general;
mod h200;
#[cfg(any(test, feature = "test-hooks"))]
mod hooks;
mod inject;
mod kernel;
mod live;
mod merged;
mod nodes;
mod operations;
mod rfc;
mod template;
mod text;
mod tree;
mod unplug;
mod vendor;

pub use default::default_host;
pub use described::described_host;
#[cfg(any(test, feature = "test-hooks"))]
pub use h200::upstream_host;
pub use inject::Op;
#[cfg(any(test, feature = "test-hooks"))]
pub use inject::{Hook, LogEntry};
pub use live::{EntryType, OpenNode, Stat, WRITE_MAX};

use inject::Inject;
use kernel::Kernel;
use tree::{Kind, ROOT, Tree};

/// One path of a host, for [`SimHost::new`]. The directories above the path are optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimEntry {
    /// A directory.
    Dir {
        /// Absolute path.
        path: String,
    },
    /// A symbolic link. Its target need not exist.
    Link {
        /// Absolute path.
        path: String,
        /// The target as it is stored in the link.
        target: String,
    },
    /// A regular file. Below `/dev/` it becomes a device node, whatever its content.
    File {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// The result of a read.
        content: IoResult<Vec<u8>>,
    },
}

impl SimEntry {
    /// Returns the path.
    pub fn path(&self) -> &str {
        match self {
            SimEntry::Dir { path } | SimEntry::Link { path, .. } | SimEntry::File { path, .. } => path,
        }
    }
}

/// A simulated host. Clones share one state.
#[derive(Debug, Clone)]
pub struct SimHost {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kernel: Mutex<Kernel>,
    inject: Inject,
}

impl SimHost {
    /// Builds a host from these entries, in any order. Fails if a path is not absolute, appears twice, or is below an
    /// entry that is not a directory.
    pub fn new(entries: impl IntoIterator<Item = SimEntry>) -> Result<SimHost> {
        let host = SimHost {
            shared: Arc::new(Shared { kernel: Mutex::new(Kernel::new(Tree::new())), inject: Inject::default() }),
        };
        host.plug(entries)?;
        Ok(host)
    }

    /// Adds entries, as when hardware is plugged in or a driver is loaded. Fails like [`SimHost::new`]; the entries
    /// before the bad entry stay.
    pub fn plug(&self, entries: impl IntoIterator<Item = SimEntry>) -> Result<()> {
        // Collected before the lock is taken: the iterator may use this host itself.
        let entries: Vec<SimEntry> = entries.into_iter().collect();
        self.with(|kernel| {
            for entry in entries {
                add(&mut kernel.tree, &entry).map_err(|errno| refuse(&entry, errno))?;
            }
            discover::discover(kernel).map_err(|errno| Error::io("simulate", "/sys", errno))
        })
    }

    /// Returns the whole host as it is now, sorted by path. [`SimHost::new`] builds the same tree from it.
    pub fn entries(&self) -> Vec<SimEntry> {
        self.with(|kernel| {
            let entry = |(ino, node): (_, &tree::Node)| (kernel.tree.path(ino), entry(&kernel.tree, ino, node));
            let entries: BTreeMap<String, SimEntry> =
                kernel.tree.all().filter(|(ino, _)| *ino != ROOT).map(entry).collect();
            entries.into_values().collect()
        })
    }

    fn before(&self, op: Op, path: impl FnOnce() -> String) -> IoResult<()> {
        self.shared.inject.before(op, path, None)
    }

    fn lock_kernel(&self) -> MutexGuard<'_, Kernel> {
        self.shared.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `what` on the kernel and delivers the uevents that it sends.
    fn with<T>(&self, what: impl FnOnce(&mut Kernel) -> T) -> T {
        let mut kernel = self.lock_kernel();
        let result = what(&mut kernel);
        let signals = std::mem::take(&mut kernel.outbox);
        if !signals.is_empty() {
            events::deliver(&mut kernel.listeners, &signals);
        }
        result
    }
}

fn entry(tree: &Tree, ino: tree::Ino, node: &tree::Node) -> SimEntry {
    let (path, mode) = (tree.path(ino), node.mode);
    match &node.kind {
        Kind::Dir(_) => SimEntry::Dir { path },
        Kind::Link(target) => SimEntry::Link { path, target: target.clone() },
        Kind::File(content) => SimEntry::File { path, mode, content: content.clone() },
        Kind::Device => SimEntry::File { path, mode, content: Ok(Vec::new()) },
    }
}

fn add(tree: &mut Tree, entry: &SimEntry) -> IoResult<()> {
    let path = entry.path();
    path.strip_prefix('/').filter(|p| is_relative(p)).ok_or(Errno::INVAL)?;
    match entry {
        SimEntry::Dir { .. } => tree.make_dirs(ROOT, path),
        SimEntry::Link { target, .. } => add_node(tree, path, 0o777, Kind::Link(target.clone())),
        SimEntry::File { mode, .. } if path.starts_with("/dev/") => add_node(tree, path, mode & 0o7777, Kind::Device),
        SimEntry::File { mode, content, .. } => add_node(tree, path, mode & 0o7777, Kind::File(content.clone())),
    }
    .map(|_| ())
}

fn add_node(tree: &mut Tree, path: &str, mode: u32, kind: Kind) -> IoResult<tree::Ino> {
    let dir = tree.make_dirs(ROOT, dirname(path))?;
    tree.add(dir, basename(path), mode, kind)
}

fn refuse(entry: &SimEntry, errno: Errno) -> Error {
    let path = entry.path();
    let why = match errno {
        Errno::EXIST => "appears twice; remove one of the two entries",
        Errno::NOTDIR => "is below an entry that is not a directory; move it below a directory",
        _ => "is not an absolute path without \".\" and \"..\"; use an absolute, normalized path",
    };
    Error::new(ErrorCode::BadData, Errno::INVAL, format!("simulated host: {path:?} {why}")).at(path)
}
