// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel as an implementation of the traits of `sysfs`.

use super::events::SimEvents;
use super::inject::Op;
use super::tree::{Ino, ROOT};
use super::{SimHost, nodes, unplug};
use crate::sysfs::uevent::Events;
use crate::sysfs::{
    Birth, DetachedError, Dir, EntryKind, Errno, Guard, IoResult, Meta, PciNames, Sysfs, UserList, Users, VfioNode,
    Writer, if_present, is_relative, pci_ids,
};

/// Path of the host's own list of PCI names.
const PCI_IDS: &str = "usr/share/misc/pci.ids";

impl Sysfs for SimHost {
    fn open(&self, path: &str) -> IoResult<Box<dyn Dir>> {
        let below = path.strip_prefix('/').filter(|p| is_relative(p)).ok_or(Errno::INVAL)?;
        self.before(Op::Open, || path.to_owned())?;
        self.open_dir(ROOT, below, path.to_owned())
    }

    fn hold_vfio_group(&self, group: u32) -> IoResult<Box<dyn Guard>> {
        let path = format!("/dev/vfio/{group}");
        self.before(Op::Hold, || path.clone())?;
        let node = self.with(|kernel| {
            let node = kernel.tree.find(&path)?;
            if nodes::is_in_use(kernel, node) || !kernel.held.insert(node) {
                return Err(Errno::BUSY);
            }
            Ok(node)
        })?;
        Ok(Box::new(GroupGuard { host: self.clone(), node }))
    }

    fn vfio_users(&self, nodes: &[VfioNode]) -> IoResult<Users> {
        self.before(Op::Users, || nodes.first().map(VfioNode::path).unwrap_or_default())?;
        Ok(self.with(|kernel| match nodes.iter().find_map(|node| nodes::user(kernel, node)) {
            Some(user) => Users::Found(user),
            None if nodes.iter().any(|node| nodes::exists(kernel, node)) => kernel.no_user.clone(),
            None => Users::NoNode,
        }))
    }

    fn all_vfio_users(&self, nodes: &[VfioNode]) -> IoResult<UserList> {
        self.before(Op::Users, || nodes.first().map(VfioNode::path).unwrap_or_default())?;
        let users = self.with(|kernel| nodes.iter().find_map(|node| nodes::user(kernel, node)));
        Ok(UserList { users: users.into_iter().collect(), incomplete: None })
    }

    fn vfio_node_birth(&self, node: &VfioNode) -> IoResult<Option<Birth>> {
        let path = node.path();
        self.before(Op::Meta, || path.clone())?;
        self.with(|kernel| {
            let node = if_present(kernel.tree.find(&path).and_then(|ino| kernel.tree.node(ino)))?;
            Ok(node.map(|node| Birth::At(node.changed)))
        })
    }

    fn events(&self) -> IoResult<Box<dyn Events>> {
        self.before(Op::Watch, String::new)?;
        Ok(Box::new(SimEvents::new(self)?))
    }

    fn pci_names(&self, vendor: u16, product: u16) -> PciNames {
        let mut text = Vec::new();
        // If the file does not exist, the text is empty and contains no name.
        let _ = self.with(|kernel| kernel.read(kernel.tree.find("/")?, PCI_IDS, &mut text));
        pci_ids::find(&text, vendor, product)
    }
}

impl SimHost {
    fn open_dir(&self, start: Ino, name: &str, path: String) -> IoResult<Box<dyn Dir>> {
        let ino = self.with(|kernel| {
            kernel.tree.children(start)?;
            let ino = kernel.tree.walk(start, name, true)?;
            kernel.tree.children(ino).map(|_| ino)
        })?;
        Ok(Box::new(SimDir { host: self.clone(), ino, path }))
    }
}

#[derive(Debug)]
struct SimDir {
    host: SimHost,
    ino: Ino,
    path: String,
}

impl SimDir {
    /// Checks the name as the real sysfs does, then calls the hook.
    fn enter(&self, op: Op, name: &str, value: Option<&[u8]>) -> IoResult<()> {
        if !is_relative(name) {
            return Err(Errno::INVAL);
        }
        self.host.shared.inject.before(op, || format!("{}/{name}", self.path), value)
    }
}

/// A file of the directory `ino`, which is at `path`.
#[derive(Debug)]
struct SimWriter {
    host: SimHost,
    ino: Ino,
    name: String,
    path: String,
}

impl Writer for SimWriter {
    fn write(&mut self, value: &[u8]) -> IoResult<()> {
        if value.is_empty() {
            return Err(Errno::INVAL);
        }
        let path = || format!("{}/{}", self.path, self.name);
        self.host.shared.inject.before(Op::Write, path, Some(value))?;
        self.host.with(|kernel| match kernel.write(self.ino, &self.name, value) {
            // The file was open: kernfs returns this error for every access to a file that was removed.
            Err(Errno::NOENT) => Err(Errno::NODEV),
            result => result,
        })?;
        self.host.shared.inject.after(Op::Write, path)
    }
}

impl Dir for SimDir {
    fn path(&self) -> &str {
        &self.path
    }

    fn open(&self, name: &str) -> IoResult<Box<dyn Dir>> {
        self.enter(Op::Open, name, None)?;
        self.host.open_dir(self.ino, name, format!("{}/{name}", self.path))
    }

    fn read(&self, name: &str, buf: &mut Vec<u8>) -> IoResult<()> {
        self.enter(Op::Read, name, None)?;
        self.host.with(|kernel| kernel.read(self.ino, name, buf))
    }

    fn writer(&self, name: &str) -> IoResult<Box<dyn Writer>> {
        self.enter(Op::OpenFile, name, None)?;
        self.host.with(|kernel| kernel.open_for_write(self.ino, name))?;
        Ok(Box::new(SimWriter {
            host: self.host.clone(),
            ino: self.ino,
            name: name.to_owned(),
            path: self.path.clone(),
        }))
    }

    fn write_detached(&self, name: &str, value: &[u8], _: &mut dyn FnMut() -> bool) -> Result<(), DetachedError> {
        self.enter(Op::Start, name, Some(value)).map_err(DetachedError::NotStarted)?;
        self.write(name, value).map_err(DetachedError::Write)
    }

    fn list(&self, visit: &mut dyn FnMut(&str, EntryKind)) -> IoResult<()> {
        self.host.before(Op::List, || self.path.clone())?;
        // Visited without the lock: the visitor may use the host itself.
        let entries = self.host.with(|kernel| {
            let kind = |ino: Ino| kernel.tree.node(ino).map_or(EntryKind::Other, |node| node.entry_kind());
            let children = kernel.tree.children(self.ino)?;
            Ok::<Vec<_>, Errno>(children.iter().map(|(name, ino)| (name.clone(), kind(*ino))).collect())
        })?;
        // As kernfs does: if the entry that was returned last is removed, the next one is left out.
        let mut left_out = false;
        for (name, kind) in entries {
            if std::mem::take(&mut left_out) {
                continue;
            }
            visit(&name, kind);
            left_out = self.host.with(|kernel| {
                unplug::listed(kernel, self.ino, &name);
                kernel.tree.children(self.ino).is_ok_and(|children| !children.contains_key(&name))
            });
        }
        Ok(())
    }

    fn link(&self, name: &str) -> IoResult<String> {
        self.enter(Op::Link, name, None)?;
        self.host.with(|kernel| kernel.link(self.ino, name))
    }

    fn meta(&self, name: &str) -> IoResult<Meta> {
        self.enter(Op::Meta, name, None)?;
        self.host.with(|kernel| {
            kernel.tree.children(self.ino)?;
            let ino = kernel.tree.walk(self.ino, name, false)?;
            kernel.tree.look(ino);
            let node = kernel.tree.node(ino)?;
            Ok(Meta { kind: node.entry_kind(), mode: node.mode, ino, changed: node.changed })
        })
    }

    fn set_mtime(&self, name: &str) -> IoResult<u64> {
        self.enter(Op::Stamp, name, None)?;
        self.host.with(|kernel| {
            kernel.tree.children(self.ino)?;
            let ino = kernel.tree.walk(self.ino, name, false)?;
            kernel.tree.set_mtime(ino)
        })
    }

    /// Also succeeds for an open directory that was removed, as fstat(2) on its descriptor does.
    fn ino(&self) -> IoResult<u64> {
        self.host.before(Op::Meta, || self.path.clone())?;
        Ok(self.ino)
    }
}

#[derive(Debug)]
struct GroupGuard {
    host: SimHost,
    node: Ino,
}

impl Guard for GroupGuard {}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        self.host.with(|kernel| kernel.held.remove(&self.node));
    }
}
