// SPDX-License-Identifier: LGPL-2.1-or-later
//! Removes hardware or a driver, with all links that lead to it.

use super::events::send;
use super::kernel::Kernel;
use super::tree::{Ino, Kind, Node, Tree};
use super::{basename, device, nodes, vendor};
use crate::sysfs::uevent::Action;

/// Removes a node, the nodes below it and every link that leads there. Devices are removed first, and the VFs of a PF
/// before the PF.
pub(super) fn unplug(kernel: &mut Kernel, ino: Ino) {
    let inside = format!("{}/", kernel.tree.path(ino));
    let due = due_events(kernel, ino, &inside);
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
    // These uevents follow those of the devices and of the nodes below.
    for DueEvent { action, path, subsystem, registered } in due {
        send(kernel, action, path, &subsystem, registered);
    }
}

/// Removes the target of a link that a listing has returned, if a test wants that.
pub(super) fn listed(kernel: &mut Kernel, dir: Ino, name: &str) {
    if !kernel.quirks.removed_while_listed.remove(name) {
        return;
    }
    if let Ok(target) = kernel.tree.walk(dir, name, true) {
        unplug(kernel, target);
    }
}

/// A uevent of a parent or VF that is removed, or that remains as a device and is no longer a parent or VF.
struct DueEvent {
    action: Action,
    path: String,
    subsystem: String,
    registered: Option<bool>,
}

fn due_events(kernel: &Kernel, ino: Ino, inside: &str) -> Vec<DueEvent> {
    let tree = &kernel.tree;
    let stays = |dir: Ino| inside.starts_with(&format!("{}/", tree.path(dir))) && dir != ino;
    let is_removed = |dir: Ino| is_below(tree, dir, inside);
    let parents = || kernel.parents.iter().map(|parent| parent.dir).filter(|dir| tree.node(*dir).is_ok());
    let event_of = |action, registered| {
        move |dir: Ino| {
            let subsystem = basename(&kernel.link(dir, "subsystem").ok()?).to_owned();
            Some(DueEvent { action, path: tree.path(dir), subsystem, registered })
        }
    };
    let mut due: Vec<DueEvent> = Vec::new();
    due.extend(parents().filter(|dir| stays(*dir)).filter_map(event_of(Action::Change, Some(false))));
    due.extend(kernel.vendor.below(stays).into_iter().filter_map(event_of(Action::Unbind, None)));
    let mut gone: Vec<Ino> =
        kernel.vendor.below(is_removed).into_iter().chain(parents().filter(|dir| is_removed(*dir))).collect();
    gone.extend((!gone.contains(&ino)).then_some(ino));
    due.extend(gone.into_iter().filter_map(event_of(Action::Remove, None)));
    due
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
