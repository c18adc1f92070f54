// SPDX-License-Identifier: LGPL-2.1-or-later
//! How hardware or a driver goes, with everything that leads to it.

use super::events::send;
use super::kernel::Kernel;
use super::tree::{Ino, Kind, Node, Tree};
use super::{basename, device, nodes, vendor};
use crate::sysfs::uevent::Action;

/// Removes a node, what is below it and every link that leads there. Devices go first, and the VFs of a PF before it.
pub(super) fn unplug(kernel: &mut Kernel, ino: Ino) {
    let inside = format!("{}/", kernel.tree.path(ino));
    let said = farewells(kernel, ino, &inside);
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
    // After its devices and what was below it.
    for Farewell { action, path, subsystem, registered } in said {
        send(kernel, action, path, &subsystem, registered);
    }
}

/// What the kernel says of what goes: of parents and VFs, and of those that only lose what made them one.
struct Farewell {
    action: Action,
    path: String,
    subsystem: String,
    registered: Option<bool>,
}

fn farewells(kernel: &Kernel, ino: Ino, inside: &str) -> Vec<Farewell> {
    let tree = &kernel.tree;
    let loses = |dir: Ino| inside.starts_with(&format!("{}/", tree.path(dir))) && dir != ino;
    let goes = |dir: Ino| is_below(tree, dir, inside);
    let parents = || kernel.parents.iter().map(|parent| parent.dir).filter(|dir| tree.node(*dir).is_ok());
    let say = |action, registered| {
        move |dir: Ino| {
            let subsystem = basename(&kernel.link(dir, "subsystem").ok()?).to_owned();
            Some(Farewell { action, path: tree.path(dir), subsystem, registered })
        }
    };
    let mut said: Vec<Farewell> = Vec::new();
    said.extend(parents().filter(|dir| loses(*dir)).filter_map(say(Action::Change, Some(false))));
    said.extend(kernel.vendor.below(loses).into_iter().filter_map(say(Action::Unbind, None)));
    let mut gone: Vec<Ino> = kernel.vendor.below(goes).into_iter().chain(parents().filter(|dir| goes(*dir))).collect();
    gone.extend((!gone.contains(&ino)).then_some(ino));
    said.extend(gone.into_iter().filter_map(say(Action::Remove, None)));
    said
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
