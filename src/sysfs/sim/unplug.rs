// SPDX-License-Identifier: LGPL-2.1-or-later
//! How hardware or a driver goes, with everything that leads to it.

use super::kernel::Kernel;
use super::tree::{Ino, Kind, Node, Tree};
use super::{device, nodes, vendor};

/// Removes a node, what is below it and every link that leads there. Devices go first, and the VFs of a PF before it.
pub(super) fn unplug(kernel: &mut Kernel, ino: Ino) {
    let inside = format!("{}/", kernel.tree.path(ino));
    let uuids: Vec<String> = kernel.devices.keys().cloned().collect();
    for uuid in uuids {
        if is_below(&kernel.tree, kernel.devices[&uuid].dir, &inside) {
            device::unplug(kernel, &uuid);
        }
    }
    for vf in kernel.vendor.below(|dir| is_below(&kernel.tree, dir, &inside)) {
        nodes::remove_group(kernel, vf);
        forget(kernel, vf);
    }
    forget(kernel, ino);
    vendor::sweep(kernel);
}

fn is_below(tree: &Tree, ino: Ino, inside: &str) -> bool {
    format!("{}/", tree.path(ino)).starts_with(inside)
}

fn forget(kernel: &mut Kernel, ino: Ino) {
    let tree = &kernel.tree;
    let inside = format!("{}/", tree.path(ino));
    let leads_there = |link: Ino, node: &Node| {
        let target = matches!(node.kind, Kind::Link(_)).then(|| tree.walk(node.parent, &node.name, true));
        matches!(target, Some(Ok(target)) if !is_below(tree, link, &inside) && is_below(tree, target, &inside))
    };
    let links: Vec<Ino> = tree.all().filter(|(link, node)| leads_there(*link, node)).map(|(link, _)| link).collect();
    for gone in links.into_iter().chain([ino]) {
        kernel.forget(gone);
    }
}
