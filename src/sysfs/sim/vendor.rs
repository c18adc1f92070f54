// SPDX-License-Identifier: LGPL-2.1-or-later
//! NVIDIA's vendor VFIO framework: a VF of a PF is a virtual GPU as soon as it has a type. There is no mediated device.
//!
//! The types of a PF share its framebuffer. Their sizes are read from their names, and the card's own from the largest;
//! where something was taken already when the host was dumped, it is what was taken and what was still to be had.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::Catalogue;
use super::events::announce;
use super::kernel::{Kernel, Role};
use super::tree::{Ino, Kind, Tree};
use super::{SimEntry, nodes, text};
use crate::sysfs::uevent::Action;
use crate::sysfs::{Errno, IoResult};

/// The file that makes a VF one.
const CURRENT: &str = "nvidia/current_vgpu_type";

const CREATABLE: &str = "nvidia/creatable_vgpu_types";

/// The most that `vgpu_params` keeps: with its newline it is a page.
const PARAMS_MAX: usize = 4095;

/// A file in a VF's folder that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    CurrentType,
    Params,
    Number,
    Switch,
}

const FILES: [(&str, File); 5] = [
    (CURRENT, File::CurrentType),
    ("nvidia/gpu_instance_id", File::Number),
    ("nvidia/placement_id", File::Number),
    ("nvidia/vgpu_params", File::Params),
    ("nvidia/warm_update", File::Switch),
];

/// The card.
#[derive(Debug, Default)]
struct Pf {
    catalogue: Catalogue,
    /// Framebuffer in MiB.
    capacity: u64,
}

/// One virtual function.
#[derive(Debug)]
pub(super) struct Vf {
    pf: Ino,
    /// 0 when it is free.
    current: u32,
    /// What it lists.
    creatable: Vec<u32>,
    /// A guest has it.
    pub(super) in_use: bool,
    /// What tests wanted held back.
    pub(super) held_back: Vec<SimEntry>,
}

/// All cards and their VFs, by their directories.
#[derive(Debug, Default)]
pub(super) struct Vendor {
    pfs: BTreeMap<Ino, Pf>,
    pub(super) vfs: BTreeMap<Ino, Vf>,
}

impl Vendor {
    fn vfs_of(&self, pf: Ino) -> impl Iterator<Item = &Vf> {
        self.vfs.values().filter(move |vf| vf.pf == pf)
    }

    /// Framebuffer that is taken.
    fn used(&self, pf: Ino) -> u64 {
        let Some(card) = self.pfs.get(&pf) else { return 0 };
        self.vfs_of(pf).map(|vf| card.catalogue.size(vf.current)).fold(0, u64::saturating_add)
    }

    fn free(&self, pf: Ino) -> u64 {
        self.pfs.get(&pf).map_or(0, |card| card.capacity.saturating_sub(self.used(pf)))
    }

    /// A VF with a type, by its address.
    pub(super) fn virtual_gpu(&self, tree: &Tree, address: &str) -> Option<Ino> {
        let is_it = |ino: &Ino| tree.node(*ino).is_ok_and(|node| node.name == address);
        self.vfs.iter().filter(|(_, vf)| vf.current != 0).map(|(dir, _)| *dir).find(is_it)
    }

    /// VFs below a directory, and those whose PF is.
    pub(super) fn below(&self, is_below: impl Fn(Ino) -> bool) -> Vec<Ino> {
        self.vfs.iter().filter(|(dir, vf)| is_below(**dir) || is_below(vf.pf)).map(|(dir, _)| *dir).collect()
    }
}

/// Takes charge of every VF that is not known yet.
pub(super) fn discover(kernel: &mut Kernel) {
    let found = new_vfs(kernel);
    let grown: BTreeSet<Ino> = found.iter().map(|(_, pf, _)| *pf).collect();
    let known: BTreeSet<Ino> = kernel.vendor.pfs.keys().copied().collect();
    for (_, pf, vf) in found {
        add_vf(kernel, pf, vf);
        announce(kernel, Action::Bind, vf);
    }
    for pf in &grown {
        name_what_is_set(kernel, *pf);
        size_up(&mut kernel.vendor, *pf, !known.contains(pf));
        // A new card shows what it was given, until something changes.
        if known.contains(pf) {
            refresh(kernel, *pf);
        }
    }
}

/// `virtfnN` leads from the PF to the VF: N, PF, VF.
fn new_vfs(kernel: &Kernel) -> BTreeSet<(u32, Ino, Ino)> {
    let tree = &kernel.tree;
    let number = |name: &str| name.strip_prefix("virtfn").and_then(|n| n.parse::<u32>().ok());
    let served = |vf: Ino| tree.walk(vf, CURRENT, false).is_ok_and(|file| is_file(tree, file));
    let links = tree.all().filter_map(|(_, node)| Some((number(&node.name)?, node)));
    let found = links.filter_map(|(n, node)| Some((n, node.parent, tree.linked(node.parent, &node.name)?)));
    found.filter(|(_, _, vf)| !kernel.vendor.vfs.contains_key(vf) && served(*vf)).collect()
}

fn is_file(tree: &Tree, ino: Ino) -> bool {
    tree.node(ino).is_ok_and(|node| matches!(node.kind, Kind::File(_)))
}

/// Where two cards claim a VF the first one has it.
fn add_vf(kernel: &mut Kernel, pf: Ino, vf: Ino) {
    if kernel.vendor.vfs.contains_key(&vf) {
        return;
    }
    let tree = &kernel.tree;
    let current = tree.text(vf, CURRENT).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let list = tree.text(vf, CREATABLE).unwrap_or_default();
    for (name, file) in FILES {
        let ino = tree.walk(vf, name, false);
        kernel.roles.extend(ino.map(|ino| (ino, Role::Vf { vf, file })));
    }
    let card = kernel.vendor.pfs.entry(pf).or_default();
    let creatable = card.catalogue.learn(&list);
    kernel.vendor.vfs.insert(vf, Vf { pf, current, creatable, in_use: false, held_back: Vec::new() });
}

/// A type that no VF can be given any more is on no list. Another card of the same model may still list it.
fn name_what_is_set(kernel: &mut Kernel, pf: Ino) {
    let set: Vec<u32> = kernel.vendor.vfs_of(pf).map(|vf| vf.current).filter(|id| *id != 0).collect();
    let Some(mut own) = kernel.vendor.pfs.get(&pf).map(|card| card.catalogue.clone()) else { return };
    if !set.is_empty() {
        let is_twin = |other: &Ino| *other != pf && model(&kernel.tree, *other) == model(&kernel.tree, pf);
        let twins = kernel.vendor.pfs.iter().filter(|(other, _)| is_twin(other)).map(|(_, card)| &card.catalogue);
        // One that runs in another mode knows other types.
        let knows_all = |twin: &&Catalogue| own.ids().chain(set.iter().copied()).all(|id| twin.get(id).is_some());
        if let Some(twin) = twins.filter(knows_all).max_by_key(|twin| twin.ids().count()) {
            own.learn(&twin.list(&Vec::from_iter(twin.ids())));
        }
    }
    set.into_iter().for_each(|id| own.learn_id(id));
    kernel.vendor.pfs.entry(pf).or_default().catalogue = own;
}

/// Vendor and device.
fn model(tree: &Tree, pf: Ino) -> [Option<String>; 2] {
    ["vendor", "device"].map(|name| tree.text(pf, name))
}

/// Reckons what the card has, from its largest type. Where something of a new card is taken that may be on no list any
/// more; then it is the least that keeps what the lists promise. A card that knows one size only is taken for one that
/// must not mix sizes, and promises it to every VF.
fn size_up(vendor: &mut Vendor, pf: Ino, is_new: bool) {
    let Some(Pf { catalogue, .. }) = vendor.pfs.get(&pf) else { return };
    let size = |id: u32| catalogue.size(id);
    let mut capacity = catalogue.ids().map(size).max().unwrap_or(0);
    let used = vendor.used(pf);
    if is_new && used > 0 {
        let listed = || vendor.vfs_of(pf).flat_map(|vf| &vf.creatable).map(|id| size(*id));
        let largest = listed().max().unwrap_or(0);
        let one_size = catalogue.ids().all(|id| size(id) == largest);
        let listing = vendor.vfs_of(pf).filter(|vf| vf.current == 0 && !vf.creatable.is_empty()).count() as u64;
        let promised = if one_size { largest.saturating_mul(listing) } else { largest };
        capacity = capacity.max(used.saturating_add(promised));
    }
    if let Some(card) = vendor.pfs.get_mut(&pf) {
        card.capacity = card.capacity.max(capacity);
    }
}

/// Every VF of the card lists what it could be given now. One that has a type lists what else it could have been given,
/// but must be free to be given it.
fn refresh(kernel: &mut Kernel, pf: Ino) {
    let free = kernel.vendor.free(pf);
    let Vendor { pfs, vfs } = &mut kernel.vendor;
    let Some(Pf { catalogue, .. }) = pfs.get(&pf) else { return };
    for (dir, vf) in vfs.iter_mut().filter(|(_, vf)| vf.pf == pf) {
        let fits = |id: &u32| vf.current != *id && catalogue.size(*id) <= free;
        vf.creatable = catalogue.ids().filter(fits).collect();
        if let Ok(file) = kernel.tree.walk(*dir, CREATABLE, false) {
            kernel.tree.show(file, &catalogue.list(&vf.creatable));
        }
    }
}

/// What a write to a file of a VF does.
pub(super) fn write(kernel: &mut Kernel, ino: Ino, vf: Ino, file: File, value: &[u8]) -> IoResult<()> {
    let number = || text::decimal(value).map(|number| number.to_string().into_bytes());
    let mut shown = match file {
        File::CurrentType => return set_type(kernel, vf, value),
        File::Params => params(value)?.to_vec(),
        File::Number => number()?,
        File::Switch => number().ok().filter(|text| matches!(&text[..], b"0" | b"1")).ok_or(Errno::INVAL)?,
    };
    shown.push(b'\n');
    kernel.tree.show_bytes(ino, &shown);
    Ok(())
}

/// A write that fails takes the type from a VF that had one, as the real driver does; but never from a guest.
fn set_type(kernel: &mut Kernel, vf: Ino, value: &[u8]) -> IoResult<()> {
    let state = kernel.vendor.vfs.get(&vf).ok_or(Errno::NODEV)?;
    if state.in_use {
        return Err(Errno::BUSY);
    }
    let is_known = |id: &u32| kernel.vendor.pfs.get(&state.pf).is_some_and(|card| card.catalogue.get(*id).is_some());
    let (id, answer) = match text::decimal(value) {
        Ok(0) => (0, Ok(())),
        Ok(id) if state.current == 0 && state.creatable.contains(&id) => (id, Ok(())),
        Ok(id) if is_known(&id) => (0, Err(Errno::IO)),
        _ => (0, Err(Errno::INVAL)),
    };
    if id != 0 && std::mem::take(&mut kernel.quirks.swallow_next_create) {
        return Ok(());
    }
    if state.current != id {
        change(kernel, vf, id);
    }
    if id != 0 && kernel.quirks.hold_back_links {
        nodes::hold_back(kernel, vf);
    }
    answer
}

fn change(kernel: &mut Kernel, vf: Ino, id: u32) {
    let Some(state) = kernel.vendor.vfs.get_mut(&vf) else { return };
    state.current = id;
    let pf = state.pf;
    if let Ok(file) = kernel.tree.walk(vf, CURRENT, false) {
        kernel.tree.show(file, &format!("{id}\n"));
    }
    refresh(kernel, pf);
}

/// `key=value[,key=value...]` without control characters, or nothing.
fn params(value: &[u8]) -> IoResult<&[u8]> {
    let text = text::line(value);
    let is_pair = |pair: &[u8]| pair.iter().position(|byte| *byte == b'=').is_some_and(|key| key > 0);
    let sound = text.len() <= PARAMS_MAX && !text.iter().any(u8::is_ascii_control);
    (sound && (text.is_empty() || text.split(|byte| *byte == b',').all(is_pair))).then_some(text).ok_or(Errno::INVAL)
}

/// After something was removed from the tree: what is no VF any more gives back what it had.
pub(super) fn sweep(kernel: &mut Kernel) {
    let tree = &kernel.tree;
    let gone: Vec<Ino> =
        kernel.vendor.vfs.keys().filter(|vf| tree.walk(**vf, CURRENT, false).is_err()).copied().collect();
    let pfs: BTreeSet<Ino> = gone.iter().filter_map(|vf| kernel.vendor.vfs.remove(vf)).map(|vf| vf.pf).collect();
    for pf in pfs {
        if kernel.vendor.vfs_of(pf).next().is_none() {
            kernel.vendor.pfs.remove(&pf);
        }
        refresh(kernel, pf);
    }
}
