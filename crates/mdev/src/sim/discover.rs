// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the parents, devices and VFs of a plain tree by structure alone.

use super::capacity::Pool;
use super::events::{announce, announce_parent};
use super::kernel::{Device, Kernel, Layout, Parent, Role, Type};
use super::tree::{Ino, Kind, Tree};
use super::{ap, basename, device, template, text, vendor};
use crate::sysfs::IoResult;
use crate::sysfs::uevent::Action;

const TYPES: &str = "mdev_supported_types";

/// Adds every new parent, with its devices, and every new VF to the state.
pub(super) fn discover(kernel: &mut Kernel) -> IoResult<()> {
    let is_parent = |ino: &Ino| subdirectory(&kernel.tree, *ino, TYPES).is_some();
    let known = |ino: &Ino| kernel.parents.iter().any(|parent| parent.dir == *ino);
    let mut found: Vec<Ino> = kernel.tree.all().map(|(ino, _)| ino).filter(|i| is_parent(i) && !known(i)).collect();
    found.sort_unstable();
    for dir in found {
        add_parent(kernel, dir)?;
        announce(kernel, Action::Add, dir);
        announce_parent(kernel, dir, true);
    }
    vendor::discover(kernel);
    Ok(())
}

fn subdirectory(tree: &Tree, dir: Ino, name: &str) -> Option<Ino> {
    tree.child(dir, name).filter(|ino| tree.children(*ino).is_ok())
}

fn subdirectories(tree: &Tree, dir: Ino) -> Vec<(String, Ino)> {
    let children = tree.children(dir).into_iter().flatten();
    children.filter(|(_, ino)| tree.children(**ino).is_ok()).map(|(name, ino)| (name.clone(), *ino)).collect()
}

fn add_parent(kernel: &mut Kernel, dir: Ino) -> IoResult<()> {
    let tree = &kernel.tree;
    let Some(types_dir) = subdirectory(tree, dir, TYPES) else { return Ok(()) };
    let types: Vec<Type> =
        subdirectories(tree, types_dir).into_iter().map(|(id, dir)| describe(tree, id, dir)).collect();
    let layout = layout(tree, dir, &types);
    let shown: Vec<Option<u64>> = types.iter().map(|ty| number(tree, ty.counter?)).collect();
    let index = kernel.parents.len();
    if let Some(file) = tree.child(dir, "mdev_destroy") {
        kernel.roles.insert(file, Role::MdevDestroy { parent: index });
    }
    for (ty, Type { dir, .. }) in types.iter().enumerate() {
        let roles = [("create", Role::Create { parent: index, ty }), ("params", Role::Params { parent: index, ty })];
        for (name, role) in roles {
            kernel.roles.extend(tree.child(*dir, name).map(|file| (file, role)));
        }
    }
    let pool = Pool::new(&shown);
    kernel.parents.push(Parent { dir, layout, types, pool, templates: Vec::new() });
    for (name, device_dir) in subdirectories(&kernel.tree, dir) {
        // sysfs shows UUIDs in lower case only.
        if text::uuid(name.as_bytes()).is_ok_and(|uuid| uuid == name) {
            add_device(kernel, index, &name, device_dir)?;
        }
    }
    Ok(())
}

fn describe(tree: &Tree, id: String, dir: Ino) -> Type {
    let counter = tree.child(dir, "max_instances").or_else(|| tree.child(dir, "available_instances"));
    Type { id, dir, counter, params: String::new() }
}

fn layout(tree: &Tree, parent: Ino, types: &[Type]) -> Layout {
    let any_has = |name: &str| types.iter().any(|ty| tree.child(ty.dir, name).is_some());
    if tree.child(parent, "mdev_destroy").is_some() {
        Layout::Rfc
    } else if any_has("available_instances") && !any_has("device_api") {
        Layout::General
    } else {
        Layout::Merged
    }
}

fn number(tree: &Tree, file: Ino) -> Option<u64> {
    match &tree.node(file).ok()?.kind {
        Kind::File(Ok(bytes)) => std::str::from_utf8(bytes).ok()?.trim_end().parse().ok(),
        _ => None,
    }
}

fn add_device(kernel: &mut Kernel, parent: usize, uuid: &str, dir: Ino) -> IoResult<()> {
    let host = &kernel.parents[parent];
    let link = kernel.tree.child(dir, device::type_link(host.layout)).and_then(|ino| kernel.tree.node(ino).ok());
    let ty = match link.map(|node| &node.kind) {
        Some(Kind::Link(target)) => host.types.iter().position(|ty| ty.id == basename(target)),
        _ => None,
    };
    // A device that was not ready when it was dumped is not copied.
    let model = ty.map(|_| template::capture(&kernel.tree, dir, uuid, ty));
    let matrix = if template::is_ap(kernel, parent, ty) { ap::restore(kernel, dir) } else { ap::Matrix::default() };
    kernel.parents[parent].templates.extend(model);
    kernel.devices.insert(uuid.to_owned(), Device { parent, ty, dir, in_use: false, resets: 0, matrix });
    device::assign_roles(kernel, uuid)
}
