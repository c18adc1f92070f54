// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds out why a host offers no mediated devices, or fewer than expected.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::diagnose_host::check_host;
use super::{Conn, Host};
use crate::backend::parents::{link_name, read_with_reason};
use crate::backend::{Place, places};
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, collect, counted, or_report};
use crate::sysfs::{Dir, IoResult, basename, if_present, names, read_text};

/// The devices of the PCI bus.
const PCI_DEVICES: &str = "/sys/bus/pci/devices";

/// PCI base classes that can have virtual GPUs: display controllers and processing accelerators.
const GPU_CLASSES: [u32; 2] = [0x03, 0x12];

/// Vendor ids.
const NVIDIA: u32 = 0x10de;
const INTEL: u32 = 0x8086;

impl Conn {
    /// Checks why there are no mediated devices, or fewer than expected: for each GPU and each parent the driver, the VFs and the
    /// types; for the host the IOMMU, the VFIO modules and nodes, definitions, records and autostart. Returns a finding for each
    /// check: [`Severity::Note`](crate::Severity::Note) if all is well, [`Severity::Warning`](crate::Severity::Warning) for a problem that may be intended, [`Severity::Error`](crate::Severity::Error) for a
    /// problem that prevents the use of mediated devices. With `parent` (node name, address or path of a parent or of any PCI
    /// device), only findings about that device. Fails if the device does not exist, or if this process or host has run out of
    /// descriptors or memory.
    pub fn diagnose(&self, parent: Option<&str>) -> Result<Vec<Finding>> {
        let host = &self.host;
        let mut found = Vec::new();
        let wanted = parent.map(|parent| find_device(host, parent)).transpose()?;
        let (parents, gpus) = candidates(host)?;
        let is_wanted = |place: &&Place| wanted.as_ref().is_none_or(|wanted| wanted.syspath == place.syspath);
        for parent in parents.iter().filter(is_wanted) {
            found.extend(check_parent(host, parent)?);
        }
        for gpu in gpus.iter().filter(is_wanted) {
            found.extend(check_gpu(host, gpu)?);
        }
        match wanted {
            Some(wanted) if found.is_empty() => {
                let what = "it is not a GPU and not a parent of mediated devices";
                found.push(
                    Finding::new(ErrorCode::NoParent, wanted.name(), what)
                        .next("name a GPU; 'lspci -nn -d ::0300' and 'lspci -nn -d ::0302' list them"),
                );
            }
            Some(_) => {}
            None => {
                if found.is_empty() {
                    let what = "the host has no GPU and no parent of mediated devices";
                    let next = "check with lspci that the card is present, or load the driver of the parent device";
                    found.push(Finding::new(ErrorCode::NoParent, PCI_DEVICES, what).serious().next(next));
                }
                found.extend(check_host(self)?);
            }
        }
        Ok(found)
    }
}

/// Finds a parent, or any PCI device, by its name, address or path.
fn find_device(host: &Host, text: &str) -> Result<Place> {
    let missing = match places::find_target(&*host.sysfs, text) {
        Ok(target) => return Ok(target.place),
        Err(e) if e.code == ErrorCode::NoParent => e,
        Err(e) => return Err(e),
    };
    let sysname = match places::pci_address(text) {
        Some(address) => address.to_string(),
        None => return Err(missing),
    };
    let opened = if_present(host.sysfs.open(PCI_DEVICES).and_then(|dir| dir.link(&sysname)));
    let target = opened.map_err(|errno| Error::io("read", &format!("{PCI_DEVICES}/{sysname}"), errno))?;
    let syspath = target.and_then(|target| crate::sysfs::resolve(PCI_DEVICES, &target));
    syspath.map(|syspath| Place { syspath, subsystem: "pci".to_owned() }).ok_or(missing)
}

/// Returns the parents, and the GPUs that are no parents.
fn candidates(host: &Host) -> Result<(Vec<Place>, Vec<Place>)> {
    let parents = places::all(&*host.sysfs)?;
    let mut known: BTreeSet<String> = parents.iter().map(|place| place.syspath.clone()).collect();
    let mut gpus = Vec::new();
    let Ok(bus) = host.sysfs.open(PCI_DEVICES) else { return Ok((parents, gpus)) };
    let mut entries = BTreeSet::new();
    let listed = names(&*bus, &mut entries);
    or_report(listed, |errno| Finding::io(PCI_DEVICES, "cannot be listed to its end", errno))
        .map_err(|errno| Error::io("list", PCI_DEVICES, errno))?;
    for name in entries {
        let Ok(device) = bus.open(&name) else { continue };
        let is_gpu = class_of(&*device).is_some_and(|class| GPU_CLASSES.contains(&(class >> 16)));
        // A VF is described with its PF.
        if !is_gpu || device.meta("physfn").is_ok() {
            continue;
        }
        let target = bus.link(&name).ok().and_then(|target| crate::sysfs::resolve(PCI_DEVICES, &target));
        let Some(syspath) = target.filter(|syspath| known.insert(syspath.clone())) else { continue };
        gpus.push(Place { syspath, subsystem: "pci".to_owned() });
    }
    Ok((parents, gpus))
}

fn number_of(dir: &dyn Dir, file: &str) -> Option<u32> {
    let text = read_text(dir, file).ok()?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

fn class_of(dir: &dyn Dir) -> Option<u32> {
    number_of(dir, "class")
}

fn read_error(place: &Place) -> impl Fn(Errno) -> Error + Copy {
    |errno| Error::io("read", &place.syspath, errno).of(&place.name())
}

/// Opens a device. `None` if it no longer exists.
fn open(host: &Host, place: &Place) -> Result<Option<Box<dyn Dir>>> {
    if_present(host.sysfs.open(&place.syspath)).map_err(read_error(place))
}

/// Checks a GPU that is no parent.
fn check_gpu(host: &Host, place: &Place) -> Result<Option<Finding>> {
    let Some(dir) = open(host, place)? else { return Ok(None) };
    why_not_parent(&*dir, place).map(Some).map_err(read_error(place))
}

/// Checks a parent: its types, else the reason why there are none.
fn check_parent(host: &Host, place: &Place) -> Result<Vec<Finding>> {
    let failed = read_error(place);
    let Some(dir) = open(host, place)? else { return Ok(Vec::new()) };
    let records = host.runtime.records();
    let (read, left_out) = collect(|| read_with_reason(&*host.sysfs, &records, place));
    let (parent, why_none) = read.map_err(failed)?;
    let mut found = left_out;
    if !why_none.is_empty() {
        found.push(Finding::new(ErrorCode::NoType, place.name(), "offers no types").serious().next(why_none));
        return Ok(found);
    }
    let count = |ty: &crate::model::Type| ty.capacity().map_or(1, |(count, _)| count);
    if parent.types.iter().all(|ty| count(ty) == 0) {
        let what = "all types have 0 instances left: the parent is fully used";
        let next = format!("destroy a device ('nodedev list --parent {}'), or use another parent", place.name());
        found.push(Finding::new(ErrorCode::NoInstances, place.name(), what).next(next));
    } else {
        let left = parent.types.iter().filter(|ty| count(ty) > 0).count();
        let driver = parent.driver.as_deref().unwrap_or("no driver");
        found.push(Finding::note(
            place.name(),
            format_args!("{driver}: {}, {left} with instances left", counted(parent.types.len(), "type")),
        ));
    }
    found.extend(unbound_vfs(&*dir, place).map_err(failed)?);
    Ok(found)
}

/// Returns the driver of a PCI device; `None` if no driver is bound.
fn driver_of(dir: &dyn Dir) -> IoResult<Option<String>> {
    link_name(dir, "driver")
}

/// Returns why a GPU is not a parent, with the next command.
fn why_not_parent(dir: &dyn Dir, place: &Place) -> IoResult<Finding> {
    let (name, address) = (place.name(), place.sysname());
    let vendor = number_of(dir, "vendor");
    let problem = |what: String, next: String| Finding::new(ErrorCode::NoParent, &name, what).serious().next(next);
    let vfs = vf_links(dir)?;
    let total = read_text(dir, "sriov_totalvfs").ok().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    let vendor_driver = match vendor {
        Some(NVIDIA) => "install and load NVIDIA's vGPU host driver (modprobe nvidia)",
        Some(INTEL) => "load the driver of the GPU (modprobe i915, then modprobe kvmgt)",
        _ => "load the driver of the vendor that supports mediated devices",
    };
    Ok(match driver_of(dir)?.as_deref() {
        None => problem("no driver is bound".to_owned(), vendor_driver.to_owned()),
        Some(driver @ ("nova_core" | "NovaCore")) => problem(
            format!("the driver {driver} is bound, and no driver for virtual GPUs is loaded"),
            "load the driver of its VFs (modprobe nvidia-vgpu-vfio), or NVIDIA's vGPU host driver".to_owned(),
        ),
        Some(driver @ ("nouveau" | "simpledrm" | "efifb")) => problem(
            format!("the driver {driver} is bound, which supports no virtual GPUs"),
            format!("blacklist {driver} (/etc/modprobe.d), reboot, and {vendor_driver}"),
        ),
        Some(driver @ ("vfio-pci" | "pci-stub")) => problem(
            format!("the driver {driver} is bound: the whole device is reserved for one guest"),
            format!("to use it for mediated devices: virsh nodedev-reattach {name}, or echo {address} >/sys/bus/pci/drivers/{driver}/unbind; then {vendor_driver}"),
        ),
        Some("pci-pf-stub") => problem(
            "the driver pci-pf-stub is bound, which only enables VFs".to_owned(),
            format!("echo {address} >/sys/bus/pci/drivers/pci-pf-stub/unbind; then {vendor_driver}"),
        ),
        Some("nvidia") => problem(
            "the driver nvidia is bound, and offers no virtual GPUs".to_owned(),
            "install NVIDIA's vGPU host driver: the driver for CUDA and graphics supports no virtual GPUs; check with 'nvidia-smi vgpu'".to_owned(),
        ),
        Some("i915") => problem(
            "the driver i915 is bound, and offers no virtual GPUs".to_owned(),
            "modprobe kvmgt, and boot with i915.enable_gvt=1; GVT-g needs a GPU of the 5th to 10th generation".to_owned(),
        ),
        Some(driver) if total > 0 && vfs.is_empty() => problem(
            format!("the driver {driver} is bound, and its {total} VFs are not enabled"),
            format!("if its VFs support mediated devices: echo {total} >/sys/bus/pci/devices/{address}/sriov_numvfs"),
        ),
        Some(driver) => Finding::new(
            ErrorCode::NoParent,
            &name,
            format_args!("the driver {driver} is bound, and offers no mediated devices"),
        )
        .next("if the device supports them, check the vendor's documentation of the driver"),
    })
}

/// Returns the names of the links from a PF to its VFs.
fn vf_links(dir: &dyn Dir) -> IoResult<Vec<String>> {
    let mut found = BTreeSet::new();
    names(dir, &mut found)?;
    Ok(found.into_iter().filter(|name| name.starts_with("virtfn")).collect())
}

/// Returns a finding if VFs of a PF have no driver.
fn unbound_vfs(pf: &dyn Dir, place: &Place) -> IoResult<Option<Finding>> {
    let mut unbound = Vec::new();
    let links = vf_links(pf)?;
    for link in &links {
        let vf = match if_present(pf.open(link))? {
            Some(vf) => vf,
            None => continue,
        };
        if driver_of(&*vf)?.is_none() {
            unbound.push(pf.link(link).map_or_else(|_| link.clone(), |target| basename(&target).to_owned()));
        }
    }
    let Some(first) = unbound.first() else { return Ok(None) };
    let what = format!("{} of {} VFs have no driver, such as {first}", unbound.len(), links.len());
    let next = format!("bind them: /usr/lib/nvidia/sriov-manage -e {}", place.sysname());
    Ok(Some(Finding { errno: None::<Errno>, ..Finding::new(ErrorCode::NotReady, place.name(), what).next(next) }))
}
