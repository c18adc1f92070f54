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
//! merely held through [`Sysfs::hold_vfio_group`](super::Sysfs::hold_vfio_group) can be removed, as on the real one:
//! that is how the library removes. And nothing is remembered after the last clone of a host is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Errno, IoResult, Users, basename, dirname, is_relative};
use crate::error::{Error, ErrorCode, Result};

mod ap;
mod capacity;
mod catalogue;
mod default;
mod device;
mod discover;
mod events;
mod general;
mod h200;
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
pub use h200::upstream_host;
pub use inject::{Hook, LogEntry, Op};

use inject::{Inject, Moment};
use kernel::{Device, Kernel};
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

    /// Removes a path, all that is below it and every link that leads there, as when hardware or a driver goes. Devices
    /// go first, in use or not.
    pub fn unplug(&self, path: &str) -> IoResult<()> {
        self.with(|kernel| {
            let ino = kernel.tree.walk(ROOT, path, false)?;
            unplug::unplug(kernel, ino);
            Ok(())
        })
    }

    /// A guest takes a device (by its UUID) or a VF (by its address), or lets go of it. ENODEV for an unknown one and for
    /// a VF without a type, EBUSY while somebody else has it.
    pub fn set_in_use(&self, id: &str, in_use: bool) -> IoResult<()> {
        self.with(|kernel| {
            let vf = kernel.vendor.virtual_gpu(&kernel.tree, id);
            let dir = kernel.devices.get(id).map(|device| device.dir).or(vf).ok_or(Errno::NODEV)?;
            let held = nodes::group_node(&kernel.tree, dir).is_some_and(|node| kernel.held.contains(&node));
            let device = kernel.devices.get_mut(id).map(|device| &mut device.in_use);
            let used = device.or(vf.and_then(|vf| kernel.vendor.vfs.get_mut(&vf)).map(|vf| &mut vf.in_use));
            let used = used.ok_or(Errno::NODEV)?;
            if in_use && (held || *used) {
                return Err(Errno::BUSY);
            }
            *used = in_use;
            if let Ok(file) = kernel.tree.walk(dir, template::VM_NAME, false) {
                kernel.tree.show(file, if in_use { "lab\n" } else { "\n" });
            }
            Ok(())
        })
    }

    /// A process opens the device's own VFIO node (`/dev/vfio/devices/vfioN`) without binding it, or closes the node. The group
    /// stays free. ENODEV for an unknown UUID.
    pub fn set_opened(&self, uuid: &str, opened: bool) -> IoResult<()> {
        self.with(|kernel| {
            let dir = kernel.devices.get(uuid).ok_or(Errno::NODEV)?.dir;
            if opened {
                kernel.opened.insert(dir)
            } else {
                kernel.opened.remove(&dir)
            };
            Ok(())
        })
    }

    /// Moves the time of a device node back by `by`.
    pub fn set_back_time(&self, node: &str, by: Duration) -> IoResult<()> {
        self.with(|kernel| kernel.tree.find(node).map(|ino| kernel.tree.set_back_time(ino, by)))
    }

    /// What a search for the users of an existing node returns when it finds none: [`Users::None`] unless set.
    pub fn set_no_user(&self, users: Users) {
        self.with(|kernel| kernel.no_user = users);
    }

    /// Writes as `echo` in a shell does, which truncates the file first: that is a change of its time, too.
    pub fn echo(&self, path: &str, value: &str) -> IoResult<()> {
        self.with(|kernel| {
            let ino = kernel.tree.find(path)?;
            kernel.tree.set_mtime(ino)?;
            let dir = kernel.tree.node(ino)?.parent;
            let name = kernel.tree.node(ino)?.name.clone();
            kernel.write(dir, &name, format!("{value}\n").as_bytes())
        })
    }

    /// How often the device was reset. ENODEV for an unknown UUID.
    pub fn resets(&self, uuid: &str) -> IoResult<u32> {
        self.with(|kernel| kernel.devices.get(uuid).map(|device| device.resets).ok_or(Errno::NODEV))
    }

    /// The parameters that the next device of a type will get (layout rfc), which no file shows. `type_path` is the
    /// type's directory; ENOENT when it is none.
    pub fn params_set(&self, type_path: &str) -> IoResult<String> {
        self.with(|kernel| {
            let dir = kernel.tree.find(type_path)?;
            let mut types = kernel.parents.iter().flat_map(|parent| &parent.types);
            types.find(|ty| ty.dir == dir).map(|ty| ty.params.clone()).ok_or(Errno::NOENT)
        })
    }

    /// The next create succeeds and makes nothing, as a real driver has been seen to do. To give a VF a type is a create.
    pub fn swallow_next_create(&self) {
        self.with(|kernel| kernel.quirks.swallow_next_create = true);
    }

    /// From now on `vgpu_params` of a VF without a type is ENXIO, and a VF that is given a type has no parameters.
    pub fn params_need_type(&self) {
        self.with(vendor::params_need_type);
    }

    /// While true, a new device has its folder but not yet its type, driver, IOMMU group and VFIO node; they all come
    /// when it is set to false. A VF that is given a type loses its IOMMU group and VFIO node until then.
    pub fn hold_back_links(&self, hold_back: bool) {
        self.with(|kernel| {
            kernel.quirks.hold_back_links = hold_back;
            if hold_back {
                return;
            }
            let bare = |device: &Device| kernel.tree.child(device.dir, "iommu_group").is_none();
            let waiting: Vec<String> =
                kernel.devices.iter().filter(|(_, device)| bare(device)).map(|(uuid, _)| uuid.clone()).collect();
            nodes::bring_back(kernel);
            for uuid in waiting {
                // Only a dumped device can have half of its links already; the rest of it stays as it was dumped.
                let _ = device::attach(kernel, &uuid);
            }
        });
    }

    /// The `nth` operation of this kind from now on (1 is the next one) whose path ends in `path_suffix` fails, once.
    pub fn fail_next(&self, op: Op, path_suffix: &str, errno: Errno, nth: u32) {
        self.shared.inject.fail_next(op, Moment::Before, path_suffix, errno, nth);
    }

    /// Once, the `nth` successful write from now on whose path ends in `path_suffix` takes effect and returns `errno`, as if a
    /// driver made the device and failed.
    pub fn fail_after_write(&self, path_suffix: &str, errno: Errno, nth: u32) {
        self.shared.inject.fail_next(Op::Write, Moment::After, path_suffix, errno, nth);
    }

    /// Sets or takes away what is called before every operation.
    pub fn set_hook(&self, hook: Option<Arc<Hook>>) {
        self.shared.inject.set_hook(hook);
    }

    /// From now on every operation is written down.
    pub fn start_log(&self) {
        self.shared.inject.start_log();
    }

    /// What was written down since [`SimHost::start_log`]; ends the log.
    pub fn take_log(&self) -> Vec<LogEntry> {
        self.shared.inject.take_log()
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
