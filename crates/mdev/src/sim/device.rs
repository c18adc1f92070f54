// SPDX-License-Identifier: LGPL-2.1-or-later
//! Adds and removes a mediated device: its directory, its links, its IOMMU group, its VFIO node.

use std::collections::BTreeSet;

use super::events::{announce, send};
use super::kernel::{Attr, Device, Kernel, Layout, Role};
use super::nodes::{IOMMU_GROUPS, VFIO_CLASS, VFIO_NODES, vfio_name};
use super::tree::{Ino, Kind, ROOT};
use super::{ap, basename, general, template};
use crate::sysfs::IoResult;
use crate::sysfs::uevent::Action;

const MDEV_BUS: &str = "/sys/bus/mdev";

/// Creates the directory of a new device and the entries that lead to it. `None` if a test asked to swallow the
/// create.
pub(super) fn plug(kernel: &mut Kernel, parent: usize, ty: usize, uuid: &str) -> IoResult<Option<Ino>> {
    if std::mem::take(&mut kernel.quirks.swallow_next_create) {
        kernel.parents[parent].pool.give(ty);
        return Ok(None);
    }
    let tree = &mut kernel.tree;
    let dir = tree.add_dir(kernel.parents[parent].dir, uuid)?;
    tree.add_file(dir, "uevent", 0o644, "")?;
    let power = tree.add_dir(dir, "power")?;
    tree.add_file(power, "control", 0o644, "auto\n")?;
    tree.add_file(power, "runtime_status", 0o444, "unsupported\n")?;
    tree.add_link(dir, "subsystem", MDEV_BUS)?;
    let path = tree.path(dir);
    let bus = tree.make_dirs(ROOT, &format!("{MDEV_BUS}/devices"))?;
    // A dump can contain a dangling link of this name.
    tree.remove_at(bus, uuid);
    tree.add_link(bus, uuid, &path)?;
    let matrix = ap::Matrix::default();
    kernel.devices.insert(uuid.to_owned(), Device { parent, ty: Some(ty), dir, in_use: false, resets: 0, matrix });
    template::fill(kernel, parent, ty, uuid, dir)?;
    announce(kernel, Action::Add, dir);
    if !kernel.quirks.hold_back_links {
        attach(kernel, uuid)?;
    }
    kernel.refresh(parent);
    Ok(Some(dir))
}

/// The steps that the kernel does after its `add` event: type, driver, IOMMU group, VFIO node.
pub(super) fn attach(kernel: &mut Kernel, uuid: &str) -> IoResult<()> {
    let Some(Device { parent, ty: Some(ty), dir, .. }) = kernel.devices.get(uuid) else { return Ok(()) };
    let (parent, ty, dir) = (*parent, *ty, *dir);
    let path = kernel.tree.path(dir);
    link_type(kernel, parent, ty, uuid, dir)?;
    let bound = template::binding(kernel, parent, ty);
    let tree = &mut kernel.tree;
    let driver = tree.make_dirs(ROOT, &format!("{MDEV_BUS}/drivers/{}", bound.driver))?;
    tree.add_link(driver, uuid, &path)?;
    let driver_path = tree.path(driver);
    tree.add_link(dir, "driver", &driver_path)?;
    if let Some(file) = tree.child(dir, "uevent") {
        tree.show(file, &format!("DRIVER={}\n", bound.driver));
    }
    if bound.vfio_dev {
        add_vfio_device(kernel, uuid, dir)?;
    }
    add_iommu_group(kernel, uuid, dir)?;
    announce_vfio(kernel, Action::Add, dir);
    announce(kernel, Action::Bind, dir);
    Ok(())
}

/// Sends the uevents of the VFIO devices. They are added after the device to which they belong, and removed before
/// it.
pub(super) fn announce_vfio(kernel: &mut Kernel, action: Action, dir: Ino) {
    let tree = &kernel.tree;
    let group = tree.linked(dir, "iommu_group").and_then(|group| Some(tree.node(group).ok()?.name.clone()));
    let group = group.map(|group| (format!("/sys/devices/virtual/vfio/{group}"), "vfio"));
    let own = vfio_name(tree, dir).map(|name| (format!("{}/vfio-dev/{name}", tree.path(dir)), "vfio-dev"));
    let mut both = [group, own];
    if action == Action::Remove {
        both.reverse();
    }
    both.into_iter().flatten().for_each(|(path, subsystem)| send(kernel, action, path, subsystem, None));
}

fn link_type(kernel: &mut Kernel, parent: usize, ty: usize, uuid: &str, dir: Ino) -> IoResult<()> {
    let layout = kernel.parents[parent].layout;
    let type_dir = kernel.parents[parent].types[ty].dir;
    let tree = &mut kernel.tree;
    let (path, type_path) = (tree.path(dir), tree.path(type_dir));
    tree.add_link(dir, type_link(layout), &type_path)?;
    if layout == Layout::Merged {
        let devices = tree.make_dirs(type_dir, "devices")?;
        tree.remove_at(devices, uuid);
        tree.add_link(devices, uuid, &path)?;
    }
    Ok(())
}

/// Name of the link from a device to its type. The founding proposal defines none; without `mdev_type`, no present
/// tool could find the type.
pub(super) fn type_link(layout: Layout) -> &'static str {
    if layout == Layout::General { "type" } else { "mdev_type" }
}

fn add_iommu_group(kernel: &mut Kernel, uuid: &str, dir: Ino) -> IoResult<()> {
    let number = lowest_unused(&group_numbers(kernel)).to_string();
    let tree = &mut kernel.tree;
    let path = tree.path(dir);
    let group = tree.make_dirs(ROOT, &format!("{IOMMU_GROUPS}/{number}"))?;
    tree.add_file(group, "name", 0o444, "vfio-noiommu\n")?;
    tree.add_file(group, "reserved_regions", 0o444, "")?;
    tree.add_file(group, "type", 0o644, "unknown\n")?;
    let members = tree.add_dir(group, "devices")?;
    tree.add_link(members, uuid, &path)?;
    let group_path = tree.path(group);
    tree.add_link(dir, "iommu_group", &group_path)?;
    let nodes = tree.make_dirs(ROOT, VFIO_NODES)?;
    tree.add(nodes, &number, 0o600, Kind::Device)?;
    Ok(())
}

/// Adds the VFIO device below the mediated device.
fn add_vfio_device(kernel: &mut Kernel, uuid: &str, dir: Ino) -> IoResult<()> {
    let name = format!("vfio{}", lowest_unused(&vfio_numbers(kernel)));
    let tree = &mut kernel.tree;
    let vfio = tree.make_dirs(dir, &format!("vfio-dev/{name}"))?;
    tree.add_file(vfio, "uevent", 0o644, "")?;
    tree.add(vfio, "device", 0o777, Kind::Link(format!("../../../{uuid}")))?;
    tree.add_link(vfio, "subsystem", VFIO_CLASS)?;
    let path = tree.path(vfio);
    let class = tree.make_dirs(ROOT, VFIO_CLASS)?;
    tree.remove_at(class, &name);
    tree.add_link(class, &name, &path)?;
    Ok(())
}

/// Numbers that a new group must not get. The links of devices count too: a dump need not contain the groups
/// themselves.
fn group_numbers(kernel: &Kernel) -> BTreeSet<u32> {
    let tree = &kernel.tree;
    let mut used: BTreeSet<u32> = BTreeSet::new();
    for dir in [IOMMU_GROUPS, VFIO_NODES] {
        let children = tree.find(dir).and_then(|dir| tree.children(dir));
        used.extend(children.into_iter().flatten().filter_map(|(name, _)| name.parse::<u32>().ok()));
    }
    used.extend(tree.all().filter_map(|(_, node)| match &node.kind {
        Kind::Link(target) if node.name == "iommu_group" => basename(target).parse::<u32>().ok(),
        _ => None,
    }));
    used
}

fn vfio_numbers(kernel: &Kernel) -> BTreeSet<u32> {
    let dirs = kernel.devices.values().map(|device| device.dir).chain(kernel.vendor.vfs.keys().copied());
    let held_back = kernel.vendor.vfs.values().flat_map(|vf| &vf.held_back).map(|entry| basename(entry.path()));
    let names = dirs.filter_map(|dir| vfio_name(&kernel.tree, dir)).chain(held_back);
    names.filter_map(|name| name.strip_prefix("vfio")?.parse::<u32>().ok()).collect()
}

/// Returns the lowest unused number, as the kernel's allocator does.
fn lowest_unused(used: &BTreeSet<u32>) -> u32 {
    (0..).zip(used).find(|(number, taken)| number != *taken).map_or(used.len() as u32, |(number, _)| number)
}

/// Assigns a role to each writable file in a device's directory, by its name.
pub(super) fn assign_roles(kernel: &mut Kernel, uuid: &str) -> IoResult<()> {
    let Some(device) = kernel.devices.get(uuid) else { return Ok(()) };
    let (layout, ap) = (kernel.parents[device.parent].layout, template::is_ap(kernel, device.parent, device.ty));
    let mut found = Vec::new();
    template::visit(&kernel.tree, device.dir, "", &mut |path, ino, mode| {
        if mode & 0o222 != 0 {
            found.extend(attr_of(layout, ap, path).map(|attr| (ino, attr)));
        }
    });
    for (ino, attr) in found {
        kernel.roles.insert(ino, Role::Attr { uuid: uuid.to_owned(), attr });
    }
    if ap {
        ap::show(kernel, uuid);
    }
    Ok(())
}

fn attr_of(layout: Layout, ap: bool, path: &str) -> Option<Attr> {
    if path == "uevent" || path.starts_with("power/") || path.starts_with("vfio-dev/") {
        return None;
    }
    match layout {
        _ if path == template::VGPU_PARAMS => Some(Attr::VgpuParams),
        Layout::Merged if path == "remove" => Some(Attr::Remove),
        Layout::Merged if ap => Some(ap::File::named(path).map_or(Attr::Vendor, Attr::Ap)),
        Layout::General => Some(general::attr(path).unwrap_or(Attr::Vendor)),
        _ => Some(Attr::Vendor),
    }
}

/// Removes a device and all entries that lead to it, and frees its instance.
pub(super) fn unplug(kernel: &mut Kernel, uuid: &str) {
    let Some(Device { parent, ty, dir, .. }) = kernel.devices.remove(uuid) else { return };
    announce_vfio(kernel, Action::Remove, dir);
    if let Some(driver) = kernel.tree.linked(dir, "driver") {
        announce(kernel, Action::Unbind, dir);
        kernel.tree.remove_at(driver, uuid);
    }
    announce(kernel, Action::Remove, dir);
    let tree = &mut kernel.tree;
    if let Some(type_dir) = tree.linked(dir, type_link(kernel.parents[parent].layout)) {
        tree.remove_at(type_dir, &format!("devices/{uuid}"));
    }
    tree.remove_at(ROOT, &format!("{MDEV_BUS}/devices/{uuid}"));
    if let Some(vfio) = vfio_name(tree, dir).map(str::to_owned) {
        tree.remove_at(ROOT, &format!("{VFIO_CLASS}/{vfio}"));
    }
    if let Some(group) = tree.linked(dir, "iommu_group") {
        tree.remove_at(group, &format!("devices/{uuid}"));
        remove_empty_group(kernel, group);
    }
    kernel.forget(dir);
    if let Some(ty) = ty {
        kernel.parents[parent].pool.give(ty);
    }
    kernel.refresh(parent);
}

pub(super) fn remove_empty_group(kernel: &mut Kernel, group: Ino) {
    let tree = &mut kernel.tree;
    let members = tree.child(group, "devices").and_then(|dir| tree.children(dir).ok());
    if members.is_some_and(|members| !members.is_empty()) {
        return;
    }
    if let Ok(number) = tree.node(group).map(|node| node.name.clone()) {
        tree.remove_at(ROOT, &format!("{VFIO_NODES}/{number}"));
    }
    tree.remove(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_group_gets_lowest_free_number() {
        let lowest = |used: &[u32]| lowest_unused(&used.iter().copied().collect());
        assert_eq!((lowest(&[]), lowest(&[0, 1, 2]), lowest(&[0, 2]), lowest(&[1])), (0, 3, 1, 0));
    }
}
