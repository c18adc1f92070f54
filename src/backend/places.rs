// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the parents on every bus, and reads what their bus says about them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::vendor_vfio::vfs::{self, PCI, PfState, Searched, is_function, pf_state};
use super::{Layout, TYPES, has_types, layout_of, read_types};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::finding::{Finding, collect, first_failed, report};
use crate::model::name::{is_component, node_name};
use crate::model::{Function, Parent, PciAddress, PciFacts, Type};
use crate::sysfs::{
    Dir, Errno, IoResult, Sysfs, basename, dirname, if_present, is_absent, is_exhausted, read_text, resolve,
};

/// Buses whose devices have been parents of mediated devices, and the one of the AP matrix. Parents of the merged kernel
/// on any other are found through their class.
const BUSES: [&str; 5] = ["pci", "css", "ccw", "matrix", "platform"];

/// Links to every parent of the merged kernel.
const CLASS: &str = "/sys/class/mdev_bus";

/// Where a parent is, before anything is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `/sys/devices/...`
    pub syspath: String,
    /// `pci`, `css`, `matrix`, `mtty`, ...
    pub subsystem: String,
}

impl Place {
    /// Last component of the path.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Node name.
    pub fn name(&self) -> String {
        node_name(&self.subsystem, self.sysname())
    }
}

/// Every parent, by path. A link that leads nowhere is logged and left out. Fails only when this process has run out of
/// descriptors or memory, since a short list would look like parents that are gone.
pub fn places(sysfs: &dyn Sysfs) -> Result<Vec<Place>> {
    let mut found = BTreeMap::new();
    for bus in BUSES {
        scan_bus(sysfs, bus, &mut found)?;
    }
    scan_class(sysfs, &mut found)?;
    found.extend(physical_functions(sysfs)?.into_iter().map(|place| (place.syspath, place.subsystem)));
    Ok(sorted(found))
}

fn sorted(found: BTreeMap<String, String>) -> Vec<Place> {
    found.into_iter().map(|(syspath, subsystem)| Place { syspath, subsystem }).collect()
}

fn scan_bus(sysfs: &dyn Sysfs, bus: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
    let path = format!("/sys/bus/{bus}/devices");
    scan(sysfs, &path, &mut |dir, name| {
        if if_present(dir.meta(&format!("{name}/{TYPES}")))?.is_some() {
            found.extend(follow(dir, name)?.map(|syspath| (syspath, bus.to_owned())));
        }
        Ok(())
    })
}

fn scan_class(sysfs: &dyn Sysfs, found: &mut BTreeMap<String, String>) -> Result<()> {
    scan(sysfs, CLASS, &mut |dir, name| {
        let Some(syspath) = follow(dir, name)? else { return Ok(()) };
        if let Entry::Vacant(new) = found.entry(syspath) {
            new.insert(basename(&dir.link(&format!("{name}/subsystem"))?).to_owned());
        }
        Ok(())
    })
}

/// The parent at a path, or the PF of the VF at the path. Reads only that device.
pub fn parent_of(sysfs: &dyn Sysfs, syspath: &str, subsystem: &str) -> IoResult<Option<Place>> {
    let open = |path: &str| if_present(sysfs.open(path));
    let sysname = basename(syspath);
    let Some(dir) = open(syspath)? else { return Ok(None) };
    if if_present(dir.meta(TYPES))?.is_some() {
        let in_class =
            || Ok(open(CLASS)?.map(|class| if_present(class.meta(sysname))).transpose()?.flatten().is_some());
        let is_listed = BUSES.contains(&subsystem) || in_class()?;
        let place = Place { syspath: syspath.to_owned(), subsystem: subsystem.to_owned() };
        return Ok(is_listed.then_some(place));
    }
    if subsystem != "pci" {
        return Ok(None);
    }
    let Some(pci) = open(PCI)? else { return Ok(None) };
    let found = match is_listed_pf(sysfs, pf_state(&*pci, sysname)?).map_err(|e| e.errno())? {
        true => Some(sysname.to_owned()),
        false => is_function(&*pci, sysname)?,
    };
    let target = found.map(|sysname| if_present(pci.link(&sysname))).transpose()?.flatten();
    let syspath = target.and_then(|target| resolve(PCI, &target));
    Ok(syspath.map(|syspath| Place { syspath, subsystem: subsystem.to_owned() }))
}

/// The PFs whose VFs become devices. They have no mdev bus, and may be bound to any driver, so every PCI device is looked at:
/// a device that is not a PF costs one failed open.
pub fn physical_functions(sysfs: &dyn Sysfs) -> Result<Vec<Place>> {
    let mut states: BTreeMap<String, PfState> = BTreeMap::new();
    scan(sysfs, PCI, &mut |dir, name| {
        let state = pf_state(dir, name)?;
        if state != PfState::Other {
            states.extend(follow(dir, name)?.map(|syspath| (syspath, state)));
        }
        Ok(())
    })?;
    let is_idle = |state: &PfState| *state == PfState::Idle;
    let has_vgpus = states.values().any(|state| *state == PfState::Ready);
    let can_make_vgpus = || match vfs::has_software(sysfs) {
        Err(errno) if is_exhausted(errno) => Err(Error::io("look for", vfs::SOFTWARE, errno)),
        Err(errno) => {
            report(Finding::io(vfs::SOFTWARE, "cards without VFs are not listed", errno));
            Ok(false)
        }
        found => Ok(found.unwrap_or_default()),
    };
    if !has_vgpus && states.values().any(is_idle) && !can_make_vgpus()? {
        states.retain(|_, state| !is_idle(state));
    }
    Ok(states.into_keys().map(|syspath| Place { syspath, subsystem: "pci".to_owned() }).collect())
}

fn has_software(sysfs: &dyn Sysfs) -> Result<bool> {
    vfs::has_software(sysfs).map_err(|errno| Error::io("look for", vfs::SOFTWARE, errno))
}

/// A PF without VFs is a parent only where vGPUs can be made: not on a host whose cards only compute.
fn is_listed_pf(sysfs: &dyn Sysfs, state: PfState) -> Result<bool> {
    match state {
        PfState::Other => Ok(false),
        PfState::Ready | PfState::Unbound => Ok(true),
        PfState::Idle => Ok(has_software(sysfs)? || !physical_functions(sysfs)?.is_empty()),
    }
}

/// Visits every entry of a directory; none if the directory does not exist. Reports and leaves out an entry whose visit fails.
/// Fails only when this process has run out of descriptors or memory.
fn scan(sysfs: &dyn Sysfs, path: &str, visit: &mut dyn FnMut(&dyn Dir, &str) -> IoResult<()>) -> Result<()> {
    let dir = match sysfs.open(path) {
        Ok(dir) => dir,
        // A kernel without this bus.
        Err(errno) if is_absent(errno) => return Ok(()),
        Err(errno) if is_exhausted(errno) => return Err(Error::io("open", path, errno)),
        Err(errno) => {
            report(Finding::io(path, "its devices are not listed, it cannot be opened", errno));
            return Ok(());
        }
    };
    let mut exhausted = None;
    let listed = dir.list(&mut |name, _| match visit(&*dir, name) {
        Err(errno) if is_exhausted(errno) => exhausted = Some(errno),
        Err(errno) => report(Finding::io(format!("{path}/{name}"), "left out", errno)),
        Ok(()) => {}
    });
    match exhausted.map_or(listed, Err) {
        Ok(()) => Ok(()),
        Err(errno) if is_exhausted(errno) => Err(Error::io("list", path, errno)),
        Err(errno) => {
            report(Finding::io(path, "it cannot be listed to its end", errno));
            Ok(())
        }
    }
}

fn follow(dir: &dyn Dir, name: &str) -> IoResult<Option<String>> {
    let target = match dir.link(name) {
        // Not a link.
        Err(Errno::INVAL) => None,
        link => if_present(link)?.and_then(|target| resolve(dir.path(), &target)),
    };
    if target.is_none() {
        let link = format!("{}/{name}", dir.path());
        report(Finding::new(ErrorCode::BadData, link, "left out, not a link to an existing directory"));
    }
    Ok(target)
}

/// A parent, or one VF of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The parent.
    pub place: Place,
    /// Sysfs name of the VF, where one was named.
    pub function: Option<String>,
}

impl From<Place> for Target {
    fn from(place: Place) -> Self {
        Target { place, function: None }
    }
}

/// Finds the parent that a user means: by node name, by address in any case, by path in sysfs or by link.
pub fn find(sysfs: &dyn Sysfs, text: &str) -> Result<Place> {
    let target = find_target(sysfs, text)?;
    match target.function {
        None => Ok(target.place),
        Some(vf) => Err(no_vgpu(&target.place, &vf)),
    }
}

/// The VF of the PF at `place` is no device.
pub fn no_vgpu(place: &Place, vf: &str) -> Error {
    let message = format!("the VF {vf} has no vGPU, so it is no node; its parent is {}", place.name());
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(&*place.syspath)
}

/// The same for whoever creates devices, and may name a VF to have that one used.
pub fn find_target(sysfs: &dyn Sysfs, text: &str) -> Result<Target> {
    let missing = || {
        let message =
            format!("there is no parent device '{}' here; list the parents to see which there are", shown(text));
        Error::new(ErrorCode::NoParent, Errno::NODEV, message)
    };
    if text.starts_with('/') {
        let path = resolve("/", text).map(|path| vf_path(sysfs, path)).transpose()?.flatten().ok_or_else(missing)?;
        let by_link = path.starts_with("/sys/bus/") || path.starts_with("/sys/class/");
        let wanted = |place: &Place| place.syspath == path || (by_link && place.sysname() == basename(&path));
        return match find_place(sysfs, basename(&path), wanted) {
            Ok(None) => find_function(sysfs, &path, by_link)?.ok_or_else(missing),
            found => found?.map(Target::from).ok_or_else(missing),
        };
    }
    if !is_component(text) {
        let message = format!("'{}' is not the name of a parent device", shown(text));
        return Err(Error::invalid(message));
    }
    if let Some(address) = pci_address(text) {
        return find_pci(sysfs, &address)?.ok_or_else(missing);
    }
    let same = |place: &Place| text.eq_ignore_ascii_case(place.sysname()) || text.eq_ignore_ascii_case(&place.name());
    find_place(sysfs, text, same)?.map(Target::from).ok_or_else(missing)
}

/// Finds the wanted parent: first in the class, which has nearly every parent of a host and no other device. If no readable
/// parent matches, a parent that cannot be read may be the wanted one: returns the first such failure as the error. `name`: its
/// sysfs name or node name.
fn find_place(sysfs: &dyn Sysfs, name: &str, wanted: impl Fn(&Place) -> bool) -> Result<Option<Place>> {
    let (places_of_class, _) = collect(|| {
        let mut found = BTreeMap::new();
        scan_class(sysfs, &mut found).map(|()| sorted(found))
    });
    if let Some(found) = places_of_class?.into_iter().find(&wanted) {
        return Ok(Some(found));
    }
    let (places, mut left_out) = collect(|| places(sysfs));
    if let Some(found) = places?.into_iter().find(&wanted) {
        return Ok(Some(found));
    }
    left_out.retain(|finding| may_be(&finding.object, name));
    first_failed(left_out).map_or(Ok(None), Err)
}

/// Whether an object that cannot be read may be the parent of this name, or hide it. A PCI device has no name but its address.
fn may_be(object: &str, name: &str) -> bool {
    match vfs::searched(object) {
        Searched::Other => true,
        Searched::AllPci | Searched::Software => pci_address(name).is_some(),
        Searched::Pci(entry) => entry == name,
    }
}

/// A path that ends in a `virtfnN` link leads to a VF.
fn vf_path(sysfs: &dyn Sysfs, path: String) -> Result<Option<String>> {
    if !basename(&path).starts_with("virtfn") {
        return Ok(Some(path));
    }
    let target = if_present(sysfs.open(dirname(&path)).and_then(|dir| dir.link(basename(&path))));
    let target = target.map_err(|errno| Error::io("look at", &path, errno))?;
    Ok(target.and_then(|target| resolve(dirname(&path), &target)))
}

/// The parent on the mdev bus that is the first VF of the PF that `text` names: older vendor drivers make every VF a parent of
/// its own, and the PF none.
pub fn first_vf_parent(sysfs: &dyn Sysfs, text: &str) -> Result<Option<Place>> {
    let Some(pf) = text.rsplit('/').find(|part| !part.is_empty()).and_then(pci_address) else { return Ok(None) };
    let failed = |errno| Error::io("look for the VFs of", &format!("{PCI}/{pf}"), errno);
    let Some(pci) = if_present(sysfs.open(PCI)).map_err(failed)? else { return Ok(None) };
    for n in 0.. {
        let Some(vf) = link_name(&*pci, &format!("{pf}/virtfn{n}")).map_err(failed)? else { break };
        if if_present(pci.meta(&format!("{vf}/{TYPES}"))).map_err(failed)?.is_some() {
            return match find(sysfs, &vf) {
                Err(e) if e.code == ErrorCode::NoParent => Ok(None),
                found => found.map(Some),
            };
        }
    }
    Ok(None)
}

/// The VF at a path or, `by_link`, with its last component as address.
fn find_function(sysfs: &dyn Sysfs, path: &str, by_link: bool) -> Result<Option<Target>> {
    let Ok(address) = basename(path).parse() else { return Ok(None) };
    let found = match find_pci(sysfs, &address) {
        Err(e) if e.code == ErrorCode::NoParent => return Ok(None),
        found => found?,
    };
    let Some((vf, target)) = found.and_then(|target| Some((target.function.clone()?, target))) else { return Ok(None) };
    let own = sysfs.open(PCI).and_then(|pci| pci.link(&vf)).map_err(|errno| Error::io("read", PCI, errno))?;
    Ok((by_link || resolve(PCI, &own).as_deref() == Some(path)).then_some(target))
}

/// The address in `0000:86:00.0`, in `86:00.0` (domain 0, as lspci prints it) or in `pci_0000_86_00_0`.
pub fn pci_address(text: &str) -> Option<PciAddress> {
    if let Ok(address) = text.parse().or_else(|_| format!("0000:{text}").parse()) {
        return Some(address);
    }
    let lower = text.to_ascii_lowercase();
    let fields: Vec<&str> = lower.strip_prefix("pci_")?.split('_').collect();
    let [domain, bus, slot, function] = fields[..] else { return None };
    format!("{domain}:{bus}:{slot}.{function}").parse().ok()
}

/// The short way for the most common kind of name. `None`: no such PCI device.
fn find_pci(sysfs: &dyn Sysfs, address: &PciAddress) -> Result<Option<Target>> {
    let failed = |errno| Error::io("look at", &format!("{PCI}/{address}"), errno);
    let Some(dir) = if_present(sysfs.open(PCI)).map_err(failed)? else { return Ok(None) };
    let sysname = address.to_string();
    let place = |sysname: &str| {
        let target = if_present(dir.link(sysname)).map_err(failed)?;
        let syspath = target.and_then(|target| resolve(dir.path(), &target));
        Ok::<_, Error>(syspath.map(|syspath| Place { syspath, subsystem: "pci".to_owned() }))
    };
    let Some(own) = place(&sysname)? else { return Ok(None) };
    if if_present(dir.meta(&format!("{sysname}/{TYPES}"))).map_err(failed)?.is_some() {
        return Ok(Some(own.into()));
    }
    if is_listed_pf(sysfs, pf_state(&*dir, &sysname).map_err(failed)?)? {
        return Ok(Some(own.into()));
    }
    if let Some(pf) = is_function(&*dir, &sysname).map_err(failed)? {
        return Ok(place(&pf)?.map(|place| Target { place, function: Some(sysname) }));
    }
    let message = format!(
        "PCI device {sysname} cannot create mediated devices (it has no {TYPES}, and no VFs that can become mediated devices); {}",
        missing_driver(link_name(&*dir, &format!("{sysname}/driver")).map_err(failed)?.as_deref())
    );
    Err(Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(own.syspath))
}

/// What to do about a PCI device that is no parent, by the driver that it is bound to.
fn missing_driver(driver: Option<&str>) -> String {
    match driver {
        None => "it is bound to no driver; load the vendor driver that offers them".to_owned(),
        Some("vfio-pci") => {
            "it is bound to vfio-pci, which gives the whole device to one guest; bind it to the vendor's driver \
                             that offers them"
                .to_owned()
        }
        Some("nouveau") => "it is bound to nouveau, which offers none; use the vendor's vGPU driver instead".to_owned(),
        Some("i915") => {
            "it is bound to i915; load the module kvmgt, and check that i915 was loaded with enable_gvt=1".to_owned()
        }
        Some("nvidia") => {
            "it is bound to nvidia; the vGPU host software (module nvidia_vgpu_vfio) is not loaded, or does not \
                           support this device"
                .to_owned()
        }
        Some(driver) => {
            format!("it is bound to {}, which offers none; check whether another driver does", shown(driver))
        }
    }
}

/// The parent at `place` with everything known of it; `with_types` costs the most and is left out when not needed.
pub fn read_parent(sysfs: &dyn Sysfs, place: &Place, with_types: bool) -> IoResult<Parent> {
    let dir = sysfs.open(&place.syspath)?;
    let (layout, types, functions): (&dyn Layout, Vec<Type>, Vec<Function>) = match with_types {
        true => read_types(&*dir)?,
        false => (layout_of(&*dir)?, Vec::new(), Vec::new()),
    };
    let link = |name: &str| or_reported(&*dir, name, link_name(&*dir, name));
    Ok(Parent {
        name: place.name(),
        sysname: place.sysname().to_owned(),
        syspath: place.syspath.clone(),
        subsystem: place.subsystem.clone(),
        layout: layout.kind(),
        driver: link("driver")?,
        numa_node: or_reported(&*dir, NUMA_NODE, read_numa_node(&*dir))?,
        iommu_group: link("iommu_group")?.and_then(|group| group.parse().ok()),
        physical_function: link("physfn")?.map(|sysname| node_name("pci", &sysname)),
        pci: pci_facts(&*dir, place)?,
        types,
        functions,
    })
}

/// The parent without its types, for who would list it as one.
pub fn read_bare_parent(sysfs: &dyn Sysfs, place: &Place) -> IoResult<Parent> {
    has_types(&*sysfs.open(&place.syspath)?)?;
    read_parent(sysfs, place, false)
}

/// Last component of a link, where there is one.
pub fn link_name(dir: &dyn Dir, name: &str) -> IoResult<Option<String>> {
    Ok(if_present(dir.link(name))?.map(|target| basename(&target).to_owned()))
}

/// For an optional file or link of an object that is shown without it when it cannot be read: reports that, and fails only when
/// this process has run out of descriptors or memory.
pub fn or_reported<T>(dir: &dyn Dir, name: &str, read: IoResult<Option<T>>) -> IoResult<Option<T>> {
    match read {
        Err(errno) if !is_exhausted(errno) => {
            report(Finding::io(format!("{}/{name}", dir.path()), "not shown, it cannot be read", errno));
            Ok(None)
        }
        read => read,
    }
}

/// Holds -1 where the host has no NUMA.
const NUMA_NODE: &str = "numa_node";

fn read_numa_node(dir: &dyn Dir) -> IoResult<Option<i32>> {
    let text = if_present(read_text(dir, NUMA_NODE))?;
    Ok(text.and_then(|text| text.trim().parse().ok()).filter(|node| *node >= 0))
}

/// The NUMA node of a device, where that can be read.
pub fn numa_node(dir: &dyn Dir) -> Option<i32> {
    read_numa_node(dir).ok().flatten()
}

/// The identity of a PCI parent; `None` for a parent of another bus, and if one of the files holds no number. The file `uevent`
/// has all the numbers, but a read of it may wait for the device's lock: see [`LOCKED_FILES`].
///
/// [`LOCKED_FILES`]: crate::sysfs::LOCKED_FILES
fn pci_facts(dir: &dyn Dir, place: &Place) -> IoResult<Option<PciFacts>> {
    let Some(address) = place.sysname().parse().ok().filter(|_| place.subsystem == "pci") else { return Ok(None) };
    let number = |name: &str| {
        let text = or_reported(dir, name, if_present(read_text(dir, name)))?;
        Ok(text.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()))
    };
    let (vendor, product, class) = (number("vendor")?, number("device")?, number("class")?);
    let (Some(vendor), Some(product), Some(class)) = (vendor, product, class) else { return Ok(None) };
    Ok(Some(PciFacts { address, vendor: vendor as u16, product: product as u16, class }))
}

/// Node name of the device above a parent; `computer` where there is none that libvirt would show.
pub fn node_above(syspath: &str) -> String {
    match basename(dirname(syspath)).parse::<PciAddress>() {
        Ok(address) => node_name("pci", &address.to_string()),
        Err(_) => "computer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_parent_has_three_spellings_in_any_case() {
        for text in ["0000:AF:00.0", "af:00.0", "pci_0000_af_00_0", "PCI_0000_AF_00_0"] {
            assert_eq!(pci_address(text).unwrap().to_string(), "0000:af:00.0", "{text}");
        }
        for text in ["pci_0000_af_00", "pci_0000_af_00_0_1", "pci_0000_zz_00_0", "mtty"] {
            assert!(pci_address(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_node_above_a_parent() {
        assert_eq!(node_above("/sys/devices/pci0000:80/0000:80:01.0/0000:86:00.0"), "pci_0000_80_01_0");
        assert_eq!(node_above("/sys/devices/pci0000:00/0000:00:02.0"), "computer");
        assert_eq!(node_above("/sys/devices/virtual/mtty/mtty"), "computer");
    }
}
