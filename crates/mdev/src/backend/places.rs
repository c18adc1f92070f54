// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds parents by any form of their names.

use super::registry::BACKENDS;
use super::{Folders, PCI, Place, TYPES, Target, WantedParent};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::finding::{first_failed, observe};
use crate::model::PciAddress;
use crate::model::name::is_component;
use crate::sysfs::{Errno, Sysfs, basename, dirname, if_present, resolve};

/// Every parent, in the order of the paths. Reports and leaves out an object that cannot be read. Fails only if this
/// process or host has run out of descriptors or memory, because a list without some parents would report them as
/// removed.
pub fn all(sysfs: &dyn Sysfs) -> Result<Vec<Place>> {
    search(sysfs, None)
}

fn search(sysfs: &dyn Sysfs, wanted: Option<&WantedParent<'_>>) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for backend in BACKENDS {
        places.extend(backend.parents(sysfs, wanted)?);
        if wanted.is_some_and(|wanted| places.iter().any(wanted.is)) {
            break;
        }
    }
    places.sort_unstable_by(|a, b| a.syspath.cmp(&b.syspath));
    places.dedup_by(|a, b| a.syspath == b.syspath);
    Ok(places)
}

/// The parent at a path, or the VF of a parent there. Reads only that device.
pub fn at(sysfs: &dyn Sysfs, syspath: &str, subsystem: &str) -> Result<Option<Target>> {
    at_in(&Folders::new(sysfs), syspath, subsystem)
}

fn at_in(folders: &Folders<'_>, syspath: &str, subsystem: &str) -> Result<Option<Target>> {
    for backend in BACKENDS {
        if let Some(target) = backend.parent_at(folders, syspath, subsystem)? {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

/// Finds a parent by its node name, by its PCI address in any case, by its path in sysfs or by a link to it. Fails with
/// [`ErrorCode::NoParent`] if there is none.
pub fn find(sysfs: &dyn Sysfs, text: &str) -> Result<Place> {
    let target = find_target(sysfs, text)?;
    match target.slot {
        None => Ok(target.place),
        Some(vf) => Err(no_vgpu(&target.place, &vf)),
    }
}

/// The error for a name that is a VF of the PF at `place`, and the VF is not a device.
pub fn no_vgpu(place: &Place, vf: &str) -> Error {
    let message = format!("the VF {vf} has no vGPU, so it is not a node; its parent is {}", place.name());
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(&*place.syspath)
}

/// The same for a create, whose request may name a VF of the parent.
pub fn find_target(sysfs: &dyn Sysfs, text: &str) -> Result<Target> {
    find_target_in(&Folders::new(sysfs), text)
}

/// The same with the open folders of the request.
pub fn find_target_in(folders: &Folders<'_>, text: &str) -> Result<Target> {
    let sysfs = folders.sysfs();
    let missing = || {
        let message = format!("there is no parent device '{}' here; list the parents for their names", shown(text));
        Error::new(ErrorCode::NoParent, Errno::NODEV, message)
    };
    if text.starts_with('/') {
        let path = resolve("/", text).map(|path| vf_path(sysfs, path)).transpose()?.flatten().ok_or_else(missing)?;
        let by_link = path.starts_with("/sys/bus/") || path.starts_with("/sys/class/");
        let is_at_path = |place: &Place| place.syspath == path || (by_link && place.sysname() == basename(&path));
        return match find_place(sysfs, basename(&path), &is_at_path) {
            Ok(None) => find_vf(sysfs, &path, by_link)?.ok_or_else(missing),
            place => place?.map(Target::from).ok_or_else(missing),
        };
    }
    if !is_component(text) {
        let message = format!("'{}' is not the name of a node device; list the nodes for their names", shown(text));
        return Err(Error::invalid(message));
    }
    if let Some(address) = pci_address(text) {
        return find_pci(folders, &address)?.ok_or_else(missing);
    }
    let has_name =
        |place: &Place| text.eq_ignore_ascii_case(place.sysname()) || text.eq_ignore_ascii_case(&place.name());
    find_place(sysfs, text, &has_name)?.map(Target::from).ok_or_else(missing)
}

/// Finds the parent for which `is_wanted` returns true. `name` is its sysfs name or node name. If there is none, fails
/// with the first error of an object that cannot be read and may be the wanted parent.
fn find_place(sysfs: &dyn Sysfs, name: &str, is_wanted: &dyn Fn(&Place) -> bool) -> Result<Option<Place>> {
    let (places, mut left_out) = observe(|| search(sysfs, Some(&WantedParent { name, is: is_wanted })));
    if let Some(place) = places?.into_iter().find(is_wanted) {
        return Ok(Some(place));
    }
    left_out.retain(|finding| may_be(&finding.object, name));
    first_failed(left_out).map_or(Ok(None), Err)
}

/// Whether an object that cannot be read may be the parent of this name, or a folder with that parent. The only name of
/// a PCI device is its address.
fn may_be(object: &str, name: &str) -> bool {
    match object.strip_prefix(PCI).map(|entry| entry.trim_start_matches('/')) {
        Some("") => pci_address(name).is_some(),
        Some(entry) => entry == name,
        None => true,
    }
}

/// The path of the VF if a path ends in a `virtfnN` link, `None` if there is no such VF; any other path as it is.
fn vf_path(sysfs: &dyn Sysfs, path: String) -> Result<Option<String>> {
    if !basename(&path).starts_with("virtfn") {
        return Ok(Some(path));
    }
    let target = if_present(sysfs.open(dirname(&path)).and_then(|dir| dir.link(basename(&path))));
    let target = target.map_err(|errno| Error::io("read", &path, errno))?;
    Ok(target.and_then(|target| resolve(dirname(&path), &target)))
}

/// The first VF that is a parent, of the PF with the address or path `text`. With older vendor drivers, each VF is a
/// parent and the PF is not.
pub fn first_vf_parent(sysfs: &dyn Sysfs, text: &str) -> Result<Option<Place>> {
    let Some(pf) = text.rsplit('/').find(|part| !part.is_empty()).and_then(pci_address) else { return Ok(None) };
    let failed = |errno| Error::io("look for the VFs of", &format!("{PCI}/{pf}"), errno);
    let Some(pci) = if_present(sysfs.open(PCI)).map_err(failed)? else { return Ok(None) };
    for n in 0.. {
        let Some(target) = if_present(pci.link(&format!("{pf}/virtfn{n}"))).map_err(failed)? else { break };
        let Ok(vf) = basename(&target).parse() else { continue };
        match find_pci(&Folders::new(sysfs), &vf) {
            Ok(Some(Target { place, slot: None })) => return Ok(Some(place)),
            Err(e) if e.code != ErrorCode::NoParent => return Err(e),
            _ => {}
        }
    }
    Ok(None)
}

/// The VF at a path. With `by_link`, the path is a link, and its last component is the address of the VF.
fn find_vf(sysfs: &dyn Sysfs, path: &str, by_link: bool) -> Result<Option<Target>> {
    let Ok(address) = basename(path).parse() else { return Ok(None) };
    let target = match find_pci(&Folders::new(sysfs), &address) {
        Err(e) if e.code == ErrorCode::NoParent => return Ok(None),
        target => target?,
    };
    let Some((vf, target)) = target.and_then(|target| Some((target.slot.clone()?, target))) else { return Ok(None) };
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

/// Finds a parent or a VF by its PCI address, without reading other devices. `None` if there is no such PCI device.
/// Fails with [`ErrorCode::NoParent`] if the device is neither.
fn find_pci(folders: &Folders<'_>, address: &PciAddress) -> Result<Option<Target>> {
    let failed = |errno| Error::io("read", &format!("{PCI}/{address}"), errno);
    let Some(dir) = folders.open(PCI).map_err(failed)? else { return Ok(None) };
    let sysname = address.to_string();
    let own = if_present(dir.link(&sysname)).map_err(failed)?;
    let Some(syspath) = own.and_then(|own| resolve(dir.path(), &own)) else { return Ok(None) };
    if let Some(target) = at_in(folders, &syspath, "pci")? {
        return Ok(Some(target));
    }
    let driver = if_present(dir.link(&format!("{sysname}/driver"))).map_err(failed)?;
    let message = format!(
        "PCI device {sysname} cannot create mediated devices (it has no {TYPES}, and no VFs that can become mediated devices); {}",
        missing_driver(driver.as_deref().map(basename))
    );
    Err(Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(syspath))
}

/// The next step for a PCI device that is not a parent, by the driver that it is bound to.
fn missing_driver(driver: Option<&str>) -> String {
    match driver {
        None => "it is bound to no driver; load the vendor's driver for mediated devices".to_owned(),
        Some("vfio-pci") => {
            "it is bound to vfio-pci, which assigns the whole device to one guest; bind it to the vendor's driver \
             for mediated devices"
                .to_owned()
        }
        Some("nouveau") => {
            "it is bound to nouveau, which has no mediated devices; bind it to the vendor's vGPU driver".to_owned()
        }
        Some("i915") => {
            "it is bound to i915; load the module kvmgt, and check that i915 was loaded with enable_gvt=1".to_owned()
        }
        Some("nvidia") => {
            "it is bound to nvidia; the vGPU host software (module nvidia_vgpu_vfio) is not loaded, or does not \
             support this device"
                .to_owned()
        }
        Some(driver) => {
            format!("it is bound to {}, which has no mediated devices; check whether another driver has", shown(driver))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_address_is_parsed_in_three_forms_and_any_case() {
        for text in ["0000:AF:00.0", "af:00.0", "pci_0000_af_00_0", "PCI_0000_AF_00_0"] {
            assert_eq!(pci_address(text).unwrap().to_string(), "0000:af:00.0", "{text}");
        }
        for text in ["pci_0000_af_00", "pci_0000_af_00_0_1", "pci_0000_zz_00_0", "mtty"] {
            assert!(pci_address(text).is_none(), "{text}");
        }
    }
}
