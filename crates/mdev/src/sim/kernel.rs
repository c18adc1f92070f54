// SPDX-License-Identifier: LGPL-2.1-or-later
//! The state of the simulated kernel, and the dispatch of writes to the vendor drivers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;

use super::capacity::Pool;
use super::events::{self, Queue};
use super::live::Opener;
use super::template::Template;
use super::tree::{Ino, Kind, Tree};
use super::vendor::{self, Vendor};
use super::{ap, device, general, merged, rfc, text};
use crate::sysfs::uevent::{Action, Signal};
use crate::sysfs::{Errno, IoResult, READ_MAX, Users};

/// Maximum size of one write to an attribute.
const PAGE: usize = 4096;

/// The interface that the vendor driver implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Rfc,
    General,
    Merged,
}

/// A directory of `mdev_supported_types`.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) id: String,
    pub(super) dir: Ino,
    /// `max_instances` or `available_instances`.
    pub(super) counter: Option<Ino>,
    /// The parameters of the next device (layout rfc).
    pub(super) params: String,
}

/// A directory with `mdev_supported_types`.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) dir: Ino,
    pub(super) layout: Layout,
    pub(super) types: Vec<Type>,
    pub(super) pool: Pool,
    pub(super) templates: Vec<Template>,
}

/// A mediated device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) parent: usize,
    /// `None` for a device that was not ready when its host was dumped.
    pub(super) ty: Option<usize>,
    pub(super) dir: Ino,
    /// True while a guest uses the device.
    pub(super) in_use: bool,
    /// Number of resets.
    pub(super) resets: u32,
    pub(super) matrix: ap::Matrix,
}

/// The meaning of a write to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Create { parent: usize, ty: usize },
    Params { parent: usize, ty: usize },
    MdevDestroy { parent: usize },
    Attr { uuid: String, attr: Attr },
    Vf { vf: Ino, file: vendor::File },
}

/// A writable file in a device's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attr {
    Remove,
    Destroy,
    Online,
    Reset,
    Number,
    Group,
    Ap(ap::File),
    /// `nvidia/vgpu_params` of a mediated device.
    VgpuParams,
    /// An attribute of an unknown vendor: shows the last value that was written.
    Vendor,
}

/// Deviations from normal behaviour, set by tests.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    pub(super) swallow_next_create: bool,
    pub(super) hold_back_links: bool,
    /// Names of links. The target is removed as soon as a listing has returned such a name.
    pub(super) removed_while_listed: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) tree: Tree,
    pub(super) parents: Vec<Parent>,
    /// By UUID, which is unique in the whole host.
    pub(super) devices: BTreeMap<String, Device>,
    /// PFs whose VFs are virtual GPUs.
    pub(super) vendor: Vendor,
    pub(super) roles: BTreeMap<Ino, Role>,
    /// Directories of devices whose own VFIO node a process has open without having bound it.
    pub(super) opened: BTreeSet<Ino>,
    /// The result of a search for users that finds none.
    pub(super) no_user: Users,
    /// VFIO nodes that are open. By node and not by number: the number of a removed device is reused, even while the
    /// old node is still open.
    pub(super) held: BTreeSet<Ino>,
    /// The processes that have VFIO nodes open through the served file system, by node.
    pub(super) openers: BTreeMap<Ino, Vec<Opener>>,
    /// How often such a node was opened.
    pub(super) number_of_opens: u64,
    /// Sequence number of the newest event.
    pub(super) number: u64,
    /// Events to deliver before the kernel's lock is released.
    pub(super) outbox: Vec<Signal>,
    pub(super) listeners: Vec<Weak<Queue>>,
    pub(super) quirks: Quirks,
}

impl Kernel {
    pub(super) fn new(tree: Tree) -> Kernel {
        Kernel {
            tree,
            parents: Vec::new(),
            devices: BTreeMap::new(),
            vendor: Vendor::default(),
            roles: BTreeMap::new(),
            opened: BTreeSet::new(),
            no_user: Users::None,
            held: BTreeSet::new(),
            openers: BTreeMap::new(),
            number_of_opens: 0,
            number: 0,
            outbox: Vec::new(),
            listeners: Vec::new(),
            quirks: Quirks::default(),
        }
    }

    /// Permissions apply to root too: sysfs checks them at open.
    pub(super) fn read(&self, dir: Ino, name: &str, buf: &mut Vec<u8>) -> IoResult<()> {
        let node = self.tree.node(self.file(dir, name)?)?;
        match &node.kind {
            Kind::File(_) if node.mode & 0o444 == 0 => Err(Errno::ACCESS),
            Kind::File(Ok(bytes)) if bytes.len() > READ_MAX => Err(Errno::FBIG),
            Kind::File(Ok(bytes)) => {
                buf.extend_from_slice(bytes);
                Ok(())
            }
            Kind::File(Err(errno)) => Err(*errno),
            _ => Err(Errno::INVAL),
        }
    }

    /// Returns the file if it can be opened for writing. EACCES without write permission, EINVAL if it is not a
    /// regular file.
    pub(super) fn open_for_write(&self, dir: Ino, name: &str) -> IoResult<Ino> {
        let file = self.file(dir, name)?;
        let node = self.tree.node(file)?;
        match node.kind {
            Kind::File(_) if node.mode & 0o222 == 0 => Err(Errno::ACCESS),
            Kind::File(_) => Ok(file),
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn write(&mut self, dir: Ino, name: &str, value: &[u8]) -> IoResult<()> {
        let file = self.open_for_write(dir, name)?;
        let node = self.tree.node(file)?;
        let uevent = node.name == "uevent";
        let taken = &value[..value.len().min(PAGE)];
        match self.roles.get(&file).cloned() {
            Some(role) => self.answer(file, role, taken)?,
            None if uevent => self.uevent(file, taken)?,
            // The errno of an attribute without a driver behind it.
            None => return Err(Errno::IO),
        }
        if taken.len() == value.len() { Ok(()) } else { Err(Errno::IO) }
    }

    /// Returns the target of a link. EINVAL if the entry is not a link.
    pub(super) fn link(&self, dir: Ino, name: &str) -> IoResult<String> {
        self.tree.children(dir)?;
        match &self.tree.node(self.tree.walk(dir, name, false)?)?.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Returns the node for a read or a write: neither a directory nor a link.
    fn file(&self, dir: Ino, name: &str) -> IoResult<Ino> {
        self.tree.children(dir)?;
        let ino = self.tree.walk(dir, name, false)?;
        match self.tree.node(ino)?.kind {
            Kind::Dir(_) => Err(Errno::ISDIR),
            Kind::Link(_) => Err(Errno::LOOP),
            _ => Ok(ino),
        }
    }

    fn answer(&mut self, file: Ino, role: Role, value: &[u8]) -> IoResult<()> {
        match role {
            Role::Create { parent, ty } => self.create(parent, ty, value),
            Role::Params { parent, ty } => rfc::set_params(self, parent, ty, value),
            Role::MdevDestroy { parent } => rfc::destroy(self, parent, value),
            Role::Attr { uuid, attr } => self.set_attr(file, &uuid, attr, value),
            Role::Vf { vf, file: kind } => {
                events::written(self, file);
                vendor::write(self, file, vf, kind, value)
            }
        }
    }

    fn create(&mut self, parent: usize, ty: usize, value: &[u8]) -> IoResult<()> {
        match self.parents[parent].layout {
            Layout::Rfc => rfc::create(self, parent, ty, value),
            Layout::General => general::create(self, parent, ty, value),
            Layout::Merged => merged::create(self, parent, ty, value),
        }
    }

    fn set_attr(&mut self, file: Ino, uuid: &str, attr: Attr, value: &[u8]) -> IoResult<()> {
        match attr {
            Attr::Remove => merged::remove(self, uuid, value),
            Attr::Destroy => general::destroy(self, uuid, value),
            Attr::Reset => general::reset(self, uuid, value),
            Attr::Online | Attr::Number | Attr::Group => general::set(self, file, attr, value),
            Attr::Ap(ap_file) => ap::write(self, uuid, ap_file, value),
            Attr::VgpuParams => {
                let mut kept = text::vgpu_params(value, self.devices.get(uuid).is_some_and(|device| device.in_use))?;
                kept.push(b'\n');
                self.tree.show_bytes(file, &kept);
                Ok(())
            }
            Attr::Vendor => {
                let text = String::from_utf8_lossy(text::line(value)).into_owned();
                self.tree.show(file, &format!("{text}\n"));
                Ok(())
            }
        }
    }

    /// Sends a synthetic event. Ignores the text after the action's name.
    fn uevent(&mut self, file: Ino, value: &[u8]) -> IoResult<()> {
        let text = std::str::from_utf8(text::line(value)).map_err(|_| Errno::INVAL)?;
        let action = Action::parse(text.split(' ').next().unwrap_or_default()).ok_or(Errno::INVAL)?;
        let dir = self.tree.node(file)?.parent;
        events::announce(self, action, dir);
        Ok(())
    }

    /// The first step of every create. EEXIST if the UUID exists on the host; `none_left` if the type has no free
    /// instance.
    pub(super) fn reserve(&mut self, parent: usize, ty: usize, uuid: &str, none_left: Errno) -> IoResult<()> {
        let host = &mut self.parents[parent];
        if self.devices.contains_key(uuid) || self.tree.child(host.dir, uuid).is_some() {
            return Err(Errno::EXIST);
        }
        if !host.pool.take(ty) {
            return Err(none_left);
        }
        Ok(())
    }

    /// Removes a device. ENODEV if it does not exist, EBUSY while a guest or a process has it open.
    pub(super) fn destroy(&mut self, uuid: &str) -> IoResult<()> {
        let device = self.devices.get(uuid).ok_or(Errno::NODEV)?;
        if device.in_use || self.opened.contains(&device.dir) {
            return Err(Errno::BUSY);
        }
        device::unplug(self, uuid);
        Ok(())
    }

    /// Updates the counters of all types of the parent.
    pub(super) fn refresh(&mut self, parent: usize) {
        let parent = &self.parents[parent];
        for (index, ty) in parent.types.iter().enumerate() {
            if let (Some(counter), Some(left)) = (ty.counter, parent.pool.available(index)) {
                self.tree.show(counter, &format!("{left}\n"));
            }
        }
    }

    /// Removes a node, the nodes below it and their roles.
    pub(super) fn forget(&mut self, ino: Ino) {
        for gone in self.tree.remove(ino) {
            self.roles.remove(&gone);
        }
    }

    /// True if devices of the type need a group.
    pub(super) fn requires_group(&self, parent: usize, ty: usize) -> bool {
        let dir = self.parents[parent].types[ty].dir;
        self.tree.text(dir, "requires_group").is_some_and(|text| text != "0")
    }
}
