// SPDX-License-Identifier: LGPL-2.1-or-later
//! A small kernel in memory: what stands behind `test:///`.
//!
//! [`SimHost`] is made from plain entries, of the built-in host ([`default_host`]) or of a dump, and finds in them by
//! structure alone which directories are parents and of which generation:
//!
//! | a directory with `mdev_supported_types/` and | is served by |
//! |---|---|
//! | `mdev_destroy` | `rfc`: the founding proposal |
//! | types with `available_instances`, none with `device_api` | `general`: the reviewer's layout |
//! | anything else | `merged`: Linux 4.10 and later |
//!
//! A directory whose links `virtfnN` lead to directories with `nvidia/current_vgpu_type` is a PF of NVIDIA's vendor VFIO
//! framework, served by `vendor`.
//!
//! Writes are answered errno for errno as real drivers were seen to; what is not understood stays as it was given. How
//! the types of a parent share its capacity is told in the files `capacity.rs` and `vendor.rs`; the whole in `docs/simulated-host.md`.
//!
//! Two things differ from a real kernel on purpose. Removing a device that a guest has ([`SimHost::set_in_use`]) is
//! EBUSY, where the merged kernel would block until the guest ends: a test that hangs teaches nothing. A device that is
//! merely held through [`Sysfs::hold_vfio_group`](crate::sysfs::Sysfs::hold_vfio_group) can be removed, as on the real one:
//! that is how the library removes. And nothing is remembered after the last clone of a host is dropped.

// An index is one that `discover` made: a wrong one is a fault of the simulator.
#![allow(clippy::expect_used, clippy::indexing_slicing)]
// Without the hooks of the tests, nothing calls what they need. A build with them finds what nothing calls at all.
#![cfg_attr(not(any(test, feature = "test-hooks")), allow(dead_code))]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::{Errno, IoResult, basename, dirname, is_relative};

mod ap;
mod capacity;
mod catalogue;
mod default;
mod device;
mod discover;
mod events;
mod general;
mod h200;
#[cfg(any(test, feature = "test-hooks"))]
mod hooks;
mod inject;
mod kernel;
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
#[cfg(any(test, feature = "test-hooks"))]
pub use h200::upstream_host;
pub use inject::Op;
#[cfg(any(test, feature = "test-hooks"))]
pub use inject::{Hook, LogEntry};

use inject::Inject;
use kernel::Kernel;
use tree::{Kind, ROOT, Tree};

/// One path of a host, as it is given to [`SimHost::new`]. Directories above it need not be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimEntry {
    /// A directory.
    Dir {
        /// Absolute.
        path: String,
    },
    /// A symbolic link; it may lead nowhere.
    Link {
        /// Absolute.
        path: String,
        /// As it is written there.
        target: String,
    },
    /// A regular file. Below `/dev/` it becomes a device node, whatever it contains.
    File {
        /// Absolute.
        path: String,
        /// Permission bits.
        mode: u32,
        /// What a read gives.
        content: IoResult<Vec<u8>>,
    },
}

impl SimEntry {
    /// Where it stands.
    pub fn path(&self) -> &str {
        match self {
            SimEntry::Dir { path } | SimEntry::Link { path, .. } | SimEntry::File { path, .. } => path,
        }
    }
}

/// A simulated host. Clones are the same host.
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
    /// A host made of these entries, in any order. Fails on a path that is not absolute, that stands there twice or
    /// below something that is no directory.
    pub fn new(entries: impl IntoIterator<Item = SimEntry>) -> Result<SimHost> {
        let host = SimHost {
            shared: Arc::new(Shared { kernel: Mutex::new(Kernel::new(Tree::new())), inject: Inject::default() }),
        };
        host.plug(entries)?;
        Ok(host)
    }

    /// More entries, as when hardware is plugged in or a driver is loaded. Those before a bad one stay.
    pub fn plug(&self, entries: impl IntoIterator<Item = SimEntry>) -> Result<()> {
        // Whoever makes them may look at this host meanwhile.
        let entries: Vec<SimEntry> = entries.into_iter().collect();
        self.with(|kernel| {
            for entry in entries {
                add(&mut kernel.tree, &entry).map_err(|errno| refuse(&entry, errno))?;
            }
            discover::discover(kernel).map_err(|errno| Error::io("simulate", "/sys", errno))
        })
    }

    /// The whole host as it is now, sorted by path: what [`SimHost::new`] makes the same tree from.
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
        Errno::EXIST => "stands in the host twice; remove one of the two",
        Errno::NOTDIR => "is below something that is no directory; give it below the directory itself",
        _ => "is not an absolute path without \".\" and \"..\"; write it out",
    };
    Error::new(ErrorCode::BadData, Errno::INVAL, format!("simulated host: {path:?} {why}")).at(path)
}
