// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files that a vendor's driver adds to the directory of a new device. A replay copies a device of the same
//! parent if the dump has one; otherwise the files of the few drivers known by name are used.

use super::kernel::{Kernel, Layout};
use super::tree::{Ino, Kind, ROOT, Tree};
use super::{ap, basename};
use crate::sysfs::IoResult;

/// Entries that the simulated kernel creates itself. The entries below a directory of this name are left out too.
const OWN: [&str; 7] = ["uevent", "remove", "destroy", "group", "params", "power", "vfio-dev"];

/// NVIDIA's parameters of a mediated device.
pub(super) const VGPU_PARAMS: &str = "nvidia/vgpu_params";

/// The name of the VM that uses the device.
pub(super) const VM_NAME: &str = "nvidia/vm_name";

/// The driver of a device if no other is known: the driver of the first ten years of mdev.
const GENERIC_DRIVER: &str = "vfio_mdev";

/// The sample drivers. They bind their devices themselves and have a VFIO device of their own.
const SELF_BOUND: [&str; 3] = ["mtty", "mdpy", "mbochs"];

/// A regular file of a device: path below its directory, mode, content.
type VendorFile = (String, u32, IoResult<Vec<u8>>);

/// A device whose files are copied to new devices.
#[derive(Debug)]
pub(super) struct Template {
    ty: Option<usize>,
    uuid: String,
    binding: Binding,
    files: Vec<VendorFile>,
}

/// The driver of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) driver: String,
    /// True if the device has `vfio-dev/vfioN` (Linux 6.0 and later).
    pub(super) vfio_dev: bool,
}

/// Records the files and the driver of an existing device.
pub(super) fn capture(tree: &Tree, dir: Ino, uuid: &str, ty: Option<usize>) -> Template {
    let mut files = Vec::new();
    visit(tree, dir, "", &mut |path, ino, mode| {
        let top = path.split('/').next().unwrap_or(path);
        if OWN.contains(&top) {
            return;
        }
        if let Ok(Kind::File(content)) = tree.node(ino).map(|node| &node.kind) {
            files.push((path.to_owned(), mode, content.clone()));
        }
    });
    let driver = match tree.child(dir, "driver").and_then(|ino| tree.node(ino).ok()).map(|node| &node.kind) {
        Some(Kind::Link(target)) => basename(target).to_owned(),
        _ => GENERIC_DRIVER.to_owned(),
    };
    let binding = Binding { driver, vfio_dev: tree.child(dir, "vfio-dev").is_some() };
    Template { ty, uuid: uuid.to_owned(), binding, files }
}

/// Calls `see` for every regular file below a directory.
pub(super) fn visit(tree: &Tree, dir: Ino, prefix: &str, see: &mut dyn FnMut(&str, Ino, u32)) {
    for (name, ino) in tree.children(dir).into_iter().flatten() {
        let Ok(node) = tree.node(*ino) else { continue };
        let path = format!("{prefix}{name}");
        match node.kind {
            Kind::Dir(_) => visit(tree, *ino, &format!("{path}/"), see),
            Kind::File(_) => see(&path, *ino, node.mode),
            _ => {}
        }
    }
}

/// Adds the vendor's files to the directory of a new device.
pub(super) fn fill(kernel: &mut Kernel, parent: usize, ty: usize, uuid: &str, dir: Ino) -> IoResult<()> {
    for (path, mode, content) in files(kernel, parent, ty, uuid) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let folder = kernel.tree.make_dirs(dir, folder)?;
        kernel.tree.add(folder, name, mode, Kind::File(content))?;
    }
    Ok(())
}

/// Returns the files of a device of the same type; else those of a known driver; else those of any device of the
/// parent.
fn files(kernel: &Kernel, parent: usize, ty: usize, uuid: &str) -> Vec<VendorFile> {
    let templates = &kernel.parents[parent].templates;
    let same = templates.iter().find(|template| template.ty == Some(ty));
    let known = || known(kernel, parent, ty, uuid);
    let any = || templates.first().map(|template| template.instance(uuid));
    same.map(|template| template.instance(uuid)).or_else(known).or_else(any).unwrap_or_default()
}

impl Template {
    fn instance(&self, uuid: &str) -> Vec<VendorFile> {
        let renamed = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
            Ok(text) => text.replace(&self.uuid, uuid).into_bytes(),
            Err(_) => bytes.clone(),
        };
        let file =
            |(path, mode, content): &VendorFile| (path.clone(), *mode, content.as_ref().map(renamed).map_err(|e| *e));
        self.files.iter().map(file).collect()
    }
}

fn driver_of_type(kernel: &Kernel, parent: usize, ty: usize) -> &str {
    kernel.parents[parent].types[ty].id.split('-').next().unwrap_or_default()
}

fn known(kernel: &Kernel, parent: usize, ty: usize, uuid: &str) -> Option<Vec<VendorFile>> {
    let readable = |path: &str, text: String| vec![(path.to_owned(), 0o444, Ok(format!("{text}\n").into_bytes()))];
    // "virtual display, 640x480 framebuffer", "virtual display, 4 MB video memory"
    let described = |words: usize| {
        let text = kernel.tree.text(kernel.parents[parent].types[ty].dir, "description").unwrap_or_default();
        let tail = text.split_once(", ").map_or("", |(_, tail)| tail);
        tail.split(' ').take(words).collect::<Vec<_>>().join(" ")
    };
    let nvidia = || {
        let empty = || Ok(b"\n".to_vec());
        vec![(VGPU_PARAMS.to_owned(), 0o644, empty()), (VM_NAME.to_owned(), 0o444, empty())]
    };
    match driver_of_type(kernel, parent, ty) {
        _ if kernel.parents[parent].layout == Layout::Rfc => Some(nvidia()),
        _ if kernel.parents[parent].layout == Layout::General => {
            Some(readable("vendor/sample_mdev_dev", format!("This is MDEV {uuid}")))
        }
        "nvidia" => Some(nvidia()),
        "mtty" => Some(readable("vendor/sample_mdev_dev", format!("This is MDEV {uuid}"))),
        "mdpy" => Some(readable("vendor/resolution", described(1))),
        "mbochs" => Some(readable("vendor/memory", described(2))),
        ap::DRIVER => Some(ap::files().map(|(name, mode)| (name.to_owned(), mode, Ok(Vec::new()))).collect()),
        _ => None,
    }
}

/// Returns the driver of a new device.
pub(super) fn binding(kernel: &Kernel, parent: usize, ty: usize) -> Binding {
    if let Some(template) = kernel.parents[parent].templates.first() {
        return template.binding.clone();
    }
    let name = driver_of_type(kernel, parent, ty);
    if SELF_BOUND.contains(&name) {
        return Binding { driver: name.to_owned(), vfio_dev: true };
    }
    Binding { driver: GENERIC_DRIVER.to_owned(), vfio_dev: false }
}

/// True if the device is a matrix of AP queues.
pub(super) fn is_ap(kernel: &Kernel, parent: usize, ty: Option<usize>) -> bool {
    ty.is_some_and(|ty| driver_of_type(kernel, parent, ty) == ap::DRIVER)
}

/// A number in a file of the AP bus.
pub(super) fn ap_limit(kernel: &Kernel, name: &str) -> Option<u64> {
    kernel.tree.text(ROOT, &format!("sys/bus/ap/{name}"))?.parse().ok()
}
