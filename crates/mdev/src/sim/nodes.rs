// SPDX-License-Identifier: LGPL-2.1-or-later
//! The nodes under `/dev/vfio` of a device or VF: their users, and how a VF's nodes are removed and restored.

use super::kernel::Kernel;
use super::tree::{Ino, Kind, ROOT, Tree};
use super::{SimEntry, add, basename, device, entry};
use crate::sysfs::uevent::Action;
use crate::sysfs::{User, VfioNode};

pub(super) const IOMMU_GROUPS: &str = "/sys/kernel/iommu_groups";
pub(super) const VFIO_NODES: &str = "/dev/vfio";
pub(super) const VFIO_CLASS: &str = "/sys/class/vfio-dev";

/// Process id of every guest.
const GUEST: u32 = 4711;

/// Number of the IOMMU group of a device or VF.
fn group_of(tree: &Tree, dir: Ino) -> Option<&str> {
    match &tree.node(tree.child(dir, "iommu_group")?).ok()?.kind {
        Kind::Link(target) => Some(basename(target)),
        _ => None,
    }
}

/// The node of the device's IOMMU group; `None` if the device has no group or the node does not exist.
pub(super) fn group_node(tree: &Tree, dir: Ino) -> Option<Ino> {
    tree.find(&format!("{VFIO_NODES}/{}", group_of(tree, dir)?)).ok()
}

/// The name `vfioN` of the device's own VFIO device; `None` if it has none.
pub(super) fn vfio_name(tree: &Tree, dir: Ino) -> Option<&str> {
    tree.children(tree.child(dir, "vfio-dev")?).ok()?.keys().next().map(String::as_str)
}

/// The directories of all devices and VFs that guests use.
fn in_use(kernel: &Kernel) -> impl Iterator<Item = Ino> + '_ {
    let devices = kernel.devices.values().filter(|device| device.in_use).map(|device| device.dir);
    devices.chain(kernel.vendor.vfs.iter().filter(|(_, vf)| vf.in_use).map(|(dir, _)| *dir))
}

/// True if a guest uses the group of this node.
pub(super) fn is_in_use(kernel: &Kernel, node: Ino) -> bool {
    in_use(kernel).any(|dir| group_node(&kernel.tree, dir) == Some(node))
}

/// True if the node exists.
pub(super) fn exists(kernel: &Kernel, node: &VfioNode) -> bool {
    let mut dirs = kernel.devices.values().map(|device| device.dir).chain(kernel.vendor.vfs.keys().copied());
    match node {
        VfioNode::Group(_) => kernel.tree.find(&node.path()).is_ok(),
        VfioNode::Device { name, .. } => dirs.any(|dir| vfio_name(&kernel.tree, dir) == Some(name)),
    }
}

/// The guest that has the node of `/dev/vfio` open.
pub(super) fn user(kernel: &Kernel, node: &VfioNode) -> Option<User> {
    let is_it = |dir: Ino| match node {
        VfioNode::Device { name, .. } => vfio_name(&kernel.tree, dir) == Some(name),
        VfioNode::Group(group) => group_of(&kernel.tree, dir) == Some(&*group.to_string()),
    };
    let of_device = matches!(node, VfioNode::Device { .. }) && kernel.opened.iter().any(|dir| is_it(*dir));
    let user = User { pid: GUEST, program: "qemu".to_owned(), path: node.path(), removes: false, guest: None };
    (of_device || in_use(kernel).any(is_it)).then_some(user)
}

/// Removes a VF from its IOMMU group; removes the group too when it is empty then.
pub(super) fn remove_group(kernel: &mut Kernel, vf: Ino) {
    let tree = &mut kernel.tree;
    let Some(group) = tree.linked(vf, "iommu_group") else { return };
    if let Ok(name) = tree.node(vf).map(|node| node.name.clone()) {
        tree.remove_at(group, &format!("devices/{name}"));
        device::remove_empty_group(kernel, group);
    }
}

/// Removes the entries that lead to the VFIO device of a VF, until [`restore_nodes`] restores them.
pub(super) fn hold_back(kernel: &mut Kernel, vf: Ino) {
    let tree = &kernel.tree;
    let path = tree.path(vf);
    let vfio = vfio_name(tree, vf).map(|name| format!("{VFIO_CLASS}/{name}"));
    let node = group_node(tree, vf).map(|node| tree.path(node));
    let own = ["iommu_group", "vfio-dev"].map(|name| format!("{path}/{name}"));
    let mut entries = Vec::new();
    for gone in own.into_iter().chain(vfio).chain(node) {
        if let Ok(ino) = kernel.tree.walk(ROOT, &gone, false) {
            collect_entries(&kernel.tree, ino, &mut entries);
            kernel.forget(ino);
        }
    }
    if let Some(vf) = kernel.vendor.vfs.get_mut(&vf) {
        vf.held_back.extend(entries);
    }
}

fn collect_entries(tree: &Tree, ino: Ino, entries: &mut Vec<SimEntry>) {
    entries.extend(tree.node(ino).map(|node| entry(tree, ino, node)));
    for child in tree.children(ino).into_iter().flatten().map(|(_, child)| *child) {
        collect_entries(tree, child, entries);
    }
}

/// Restores the entries of [`hold_back`] and sends the uevents of the VFIO devices.
pub(super) fn restore_nodes(kernel: &mut Kernel) {
    let held = kernel.vendor.vfs.iter_mut().filter(|(_, vf)| !vf.held_back.is_empty());
    let held: Vec<(Ino, Vec<SimEntry>)> = held.map(|(dir, vf)| (*dir, std::mem::take(&mut vf.held_back))).collect();
    for (vf, entries) in held {
        for entry in &entries {
            // If a test has added an entry with this path in the time between, that entry stays.
            let _ = add(&mut kernel.tree, entry);
        }
        device::announce_vfio(kernel, Action::Add, vf);
    }
}
