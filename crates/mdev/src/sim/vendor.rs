// SPDX-License-Identifier: LGPL-2.1-or-later
//! NVIDIA's vendor VFIO framework: a VF of a PF is a virtual GPU as soon as it has a type. There is no mediated
//! device.
//!
//! The types of a PF share its framebuffer. The size of a type is read from its name, and the size of the card is the
//! size of its largest type. If some framebuffer was in use when the host was dumped, the size of the card is the
//! used framebuffer plus the framebuffer that the lists still offered.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::Catalogue;
use super::events::announce;
use super::kernel::{Kernel, Role};
use super::tree::{Ino, Kind, Tree};
use super::{SimEntry, basename, nodes, text};
use crate::sysfs::uevent::Action;
use crate::sysfs::{Errno, IoResult};

/// A directory with this file is a VF of the framework.
const CURRENT: &str = "nvidia/current_vgpu_type";

const CREATABLE: &str = "nvidia/creatable_vgpu_types";

const PARAMS: &str = "nvidia/vgpu_params";

/// The VF driver that was proposed for the kernel in 2025.
pub(super) const UPSTREAM_DRIVER: &str = "nvidia-vgpu-vfio";

/// The driver that a card imitates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Personality {
    /// NVIDIA's vGPU host driver: types of different sizes share the card.
    #[default]
    Nvidia,
    /// [`UPSTREAM_DRIVER`]: all VFs of a card have one type.
    Upstream,
}

/// A writable file in a VF's directory.
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
    (PARAMS, File::Params),
    ("nvidia/warm_update", File::Switch),
];

/// A card.
#[derive(Debug, Default)]
struct Pf {
    catalogue: Catalogue,
    /// Framebuffer in MiB.
    capacity: u64,
    personality: Personality,
    /// True if `vgpu_params` of a VF without a type returns ENXIO, and removing the type clears the parameters.
    params_need_type: bool,
}

/// One virtual function.
#[derive(Debug)]
pub(super) struct Vf {
    pf: Ino,
    /// Id of the VF's type; 0 while it has none.
    current: u32,
    /// The types in its `creatable_vgpu_types`.
    creatable: Vec<u32>,
    /// True while a guest uses the VF.
    pub(super) in_use: bool,
    /// Entries that [`nodes::hold_back`] removed.
    pub(super) held_back: Vec<SimEntry>,
}

impl Vf {
    /// A VF keeps its type until 0 is written. EPERM for 0 while a guest uses the VF. The driver uses the low 32 bits
    /// of the number.
    fn decide_nvidia(&self, number: i64) -> IoResult<u32> {
        let id = (number & i64::from(u32::MAX)) as u32;
        match number {
            0 if self.current == 0 || self.in_use => Err(Errno::PERM),
            0 => Ok(0),
            _ if self.current != 0 => Err(Errno::PERM),
            _ if self.creatable.contains(&id) => Ok(id),
            _ => Err(Errno::IO),
        }
    }
}

/// All cards and VFs, by directory.
#[derive(Debug, Default)]
pub(super) struct Vendor {
    pfs: BTreeMap<Ino, Pf>,
    pub(super) vfs: BTreeMap<Ino, Vf>,
}

impl Vendor {
    fn vfs_of(&self, pf: Ino) -> impl Iterator<Item = &Vf> {
        self.vfs.values().filter(move |vf| vf.pf == pf)
    }

    /// Framebuffer in use, in MiB.
    fn used(&self, pf: Ino) -> u64 {
        let Some(card) = self.pfs.get(&pf) else { return 0 };
        self.vfs_of(pf).map(|vf| card.catalogue.size(vf.current)).fold(0, u64::saturating_add)
    }

    fn free(&self, pf: Ino) -> u64 {
        self.pfs.get(&pf).map_or(0, |card| card.capacity.saturating_sub(self.used(pf)))
    }

    /// The type of the card's first VF that has a type.
    fn first_type(&self, pf: Ino) -> Option<u32> {
        self.vfs_of(pf).map(|vf| vf.current).find(|id| *id != 0)
    }

    /// The types that a free VF of the card can get.
    fn creatable(&self, pf: Ino) -> Vec<u32> {
        let Some(card) = self.pfs.get(&pf) else { return Vec::new() };
        let size = |id: u32| card.catalogue.size(id);
        match (card.personality, self.first_type(pf)) {
            (Personality::Nvidia, _) => card.catalogue.ids().filter(|id| size(*id) <= self.free(pf)).collect(),
            (Personality::Upstream, None) => card.catalogue.ids().collect(),
            (Personality::Upstream, Some(id)) => Vec::from_iter((size(id) <= self.free(pf)).then_some(id)),
        }
    }

    /// Returns the list of these types as text. The proposed driver prints a header only while the card has no vGPU.
    fn list(&self, pf: Ino, ids: &[u32]) -> String {
        match self.pfs.get(&pf) {
            Some(card) if card.personality == Personality::Upstream && self.first_type(pf).is_some() => {
                card.catalogue.lines(ids)
            }
            Some(card) => card.catalogue.list(ids),
            None => String::new(),
        }
    }

    /// Returns the type that a VF has after this write to its `current_vgpu_type`; 0 for none.
    fn decide(&self, vf: &Vf, value: &[u8]) -> IoResult<u32> {
        let card = self.pfs.get(&vf.pf).ok_or(Errno::NODEV)?;
        match card.personality {
            Personality::Nvidia => vf.decide_nvidia(text::long(value)?),
            Personality::Upstream => self.decide_upstream(vf, text::unsigned_long(value)?),
        }
    }

    fn decide_upstream(&self, vf: &Vf, number: u64) -> IoResult<u32> {
        let known = |id: &u32| self.pfs.get(&vf.pf).is_some_and(|card| card.catalogue.get(*id).is_some());
        if vf.in_use {
            return Err(Errno::BUSY);
        }
        if number == 0 {
            return Ok(0);
        }
        let id = u32::try_from(number).ok().filter(known).ok_or(Errno::NODEV)?;
        match self.first_type(vf.pf) {
            Some(other) if other != id => Err(Errno::INVAL),
            _ if self.creatable(vf.pf).contains(&id) => Ok(id),
            _ => Err(Errno::NOSPC),
        }
    }

    /// The VF with this address, if it has a type.
    pub(super) fn virtual_gpu(&self, tree: &Tree, address: &str) -> Option<Ino> {
        let is_it = |ino: &Ino| tree.node(*ino).is_ok_and(|node| node.name == address);
        self.vfs.iter().filter(|(_, vf)| vf.current != 0).map(|(dir, _)| *dir).find(is_it)
    }

    /// The VFs below a directory, and the VFs whose PF is below it.
    pub(super) fn below(&self, is_below: impl Fn(Ino) -> bool) -> Vec<Ino> {
        self.vfs.iter().filter(|(dir, vf)| is_below(**dir) || is_below(vf.pf)).map(|(dir, _)| *dir).collect()
    }
}

/// Adds every new VF to the state.
pub(super) fn discover(kernel: &mut Kernel) {
    let found = new_vfs(kernel);
    let grown: BTreeSet<Ino> = found.iter().map(|(_, pf, _)| *pf).collect();
    let known: BTreeSet<Ino> = kernel.vendor.pfs.keys().copied().collect();
    for (_, pf, vf) in found {
        add_vf(kernel, pf, vf);
        announce(kernel, Action::Bind, vf);
    }
    for pf in &grown {
        add_types_in_use(kernel, *pf);
        set_capacity(&mut kernel.vendor, *pf, !known.contains(pf));
        // A new card shows the lists of its entries until the first change.
        if known.contains(pf) {
            refresh(kernel, *pf);
        }
    }
}

/// Returns (N, PF, VF) for every link `virtfnN` from a PF to a new VF.
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

/// If two cards have a link to the VF, the VF belongs to the first.
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
    let driver = tree.child(vf, "driver").and_then(|link| tree.node(link).ok()).map(|node| &node.kind);
    let upstream = matches!(driver, Some(Kind::Link(target)) if basename(target) == UPSTREAM_DRIVER);
    let params = tree.walk(vf, PARAMS, false).and_then(|file| tree.node(file)).map(|node| &node.kind);
    let needs_type = params == Ok(&Kind::File(Err(Errno::NXIO)));
    let card = kernel.vendor.pfs.entry(pf).or_default();
    if upstream {
        card.personality = Personality::Upstream;
    }
    card.params_need_type |= needs_type;
    let creatable = card.catalogue.learn(&list);
    kernel.vendor.vfs.insert(vf, Vf { pf, current, creatable, in_use: false, held_back: Vec::new() });
}

/// Adds the types that are in use to the card's catalogue. A type that no VF can get any more is in no list of the
/// card; the lists of another card of the same model may still contain it.
fn add_types_in_use(kernel: &mut Kernel, pf: Ino) {
    let set: Vec<u32> = kernel.vendor.vfs_of(pf).map(|vf| vf.current).filter(|id| *id != 0).collect();
    let Some(mut own) = kernel.vendor.pfs.get(&pf).map(|card| card.catalogue.clone()) else { return };
    if !set.is_empty() {
        let is_twin = |other: &Ino| *other != pf && model(&kernel.tree, *other) == model(&kernel.tree, pf);
        let twins = kernel.vendor.pfs.iter().filter(|(other, _)| is_twin(other)).map(|(_, card)| &card.catalogue);
        // A card in another mode has other types.
        let has_all = |twin: &&Catalogue| own.ids().chain(set.iter().copied()).all(|id| twin.get(id).is_some());
        if let Some(twin) = twins.filter(has_all).max_by_key(|twin| twin.ids().count()) {
            own.learn(&twin.list(&Vec::from_iter(twin.ids())));
        }
    }
    set.into_iter().for_each(|id| own.learn_id(id));
    kernel.vendor.pfs.entry(pf).or_default().catalogue = own;
}

/// Vendor and device id of a card.
fn model(tree: &Tree, pf: Ino) -> [Option<String>; 2] {
    ["vendor", "device"].map(|name| tree.text(pf, name))
}

/// Computes the framebuffer size of a card: the size of its largest type.
///
/// A new card whose VFs have types may list only smaller types. Its framebuffer is then the smallest that is enough for the
/// types in use and for a type that is listed. If all types have the same size, it is enough for one more type on each VF
/// with a list: such a card cannot mix sizes.
fn set_capacity(vendor: &mut Vendor, pf: Ino, is_new: bool) {
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

/// Updates the lists: every free VF of the card lists the types that it can get now; a VF with a type lists none.
fn refresh(kernel: &mut Kernel, pf: Ino) {
    let creatable = kernel.vendor.creatable(pf);
    let (all, none) = (kernel.vendor.list(pf, &creatable), kernel.vendor.list(pf, &[]));
    for (dir, vf) in kernel.vendor.vfs.iter_mut().filter(|(_, vf)| vf.pf == pf) {
        let is_free = vf.current == 0;
        vf.creatable = if is_free { creatable.clone() } else { Vec::new() };
        if let Ok(file) = kernel.tree.walk(*dir, CREATABLE, false) {
            kernel.tree.show(file, if is_free { &all } else { &none });
        }
    }
}

/// From now on, `vgpu_params` of a VF without a type returns ENXIO, and a VF that gets a type starts without
/// parameters.
pub(super) fn params_need_type(kernel: &mut Kernel) {
    kernel.vendor.pfs.values_mut().for_each(|card| card.params_need_type = true);
    let free: Vec<Ino> = kernel.vendor.vfs.iter().filter(|(_, vf)| vf.current == 0).map(|(dir, _)| *dir).collect();
    free.into_iter().for_each(|vf| reset_params(kernel, vf, false));
}

fn reset_params(kernel: &mut Kernel, vf: Ino, has_type: bool) {
    if let Ok(file) = kernel.tree.walk(vf, PARAMS, false) {
        kernel.tree.set_content(file, if has_type { Ok(b"\n".to_vec()) } else { Err(Errno::NXIO) });
    }
}

/// Writes to a file of a VF.
pub(super) fn write(kernel: &mut Kernel, ino: Ino, vf: Ino, file: File, value: &[u8]) -> IoResult<()> {
    let number = || text::decimal(value).map(|number| number.to_string().into_bytes());
    let mut shown = match file {
        File::CurrentType => return set_type(kernel, vf, value),
        File::Params => params(kernel, vf, value)?,
        File::Number => number()?,
        File::Switch => number().ok().filter(|text| matches!(&text[..], b"0" | b"1")).ok_or(Errno::INVAL)?,
    };
    shown.push(b'\n');
    kernel.tree.show_bytes(ino, &shown);
    Ok(())
}

/// A refused write changes nothing.
fn set_type(kernel: &mut Kernel, vf: Ino, value: &[u8]) -> IoResult<()> {
    let state = kernel.vendor.vfs.get(&vf).ok_or(Errno::NODEV)?;
    let id = kernel.vendor.decide(state, value)?;
    if id != 0 && std::mem::take(&mut kernel.quirks.swallow_next_create) {
        return Ok(());
    }
    if state.current != id {
        change(kernel, vf, id);
    }
    if id != 0 && kernel.quirks.hold_back_links {
        nodes::hold_back(kernel, vf);
    }
    Ok(())
}

fn change(kernel: &mut Kernel, vf: Ino, id: u32) {
    let Some(state) = kernel.vendor.vfs.get_mut(&vf) else { return };
    state.current = id;
    let pf = state.pf;
    if kernel.vendor.pfs.get(&pf).is_some_and(|card| card.params_need_type) {
        reset_params(kernel, vf, id != 0);
    }
    if let Ok(file) = kernel.tree.walk(vf, CURRENT, false) {
        kernel.tree.show(file, &format!("{id}\n"));
    }
    refresh(kernel, pf);
}

fn params(kernel: &Kernel, vf: Ino, value: &[u8]) -> IoResult<Vec<u8>> {
    let state = kernel.vendor.vfs.get(&vf).ok_or(Errno::NODEV)?;
    let needs_type = kernel.vendor.pfs.get(&state.pf).is_some_and(|card| card.params_need_type);
    let kept = text::vgpu_params(value, state.in_use)?;
    if needs_type && state.current == 0 { Err(Errno::NXIO) } else { Ok(kept) }
}

/// Call after nodes were removed from the tree: drops the VFs that no longer exist and frees their framebuffer.
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
