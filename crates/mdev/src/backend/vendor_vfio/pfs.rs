// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the PFs whose VFs are devices of this layout or can become devices of it.

use std::collections::BTreeMap;

use super::vfs::{PfState, SOFTWARE, has_software, pf_of_vf, pf_state};
use crate::backend::scan::{follow, scan};
use crate::backend::{Folders, PCI, Place, Target};
use crate::error::{Error, Result};
use crate::finding::{Finding, report};
use crate::sysfs::{Dir, IoResult, Sysfs, basename, if_present, resolve, unless_exhausted};

/// The PFs whose VFs are devices or can become devices. Checks every PCI device, because the driver of such a PF may
/// have any name. Reports and leaves out a device that cannot be read. A device that is not a PF needs one failed open.
pub(super) fn physical_functions(sysfs: &dyn Sysfs) -> Result<Vec<Place>> {
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
    if !has_vgpus && states.values().any(is_idle) {
        match has_software(sysfs) {
            Ok(true) => {}
            Ok(false) => states.retain(|_, state| !is_idle(state)),
            Err(e) => {
                let e = unless_exhausted(e)?;
                let software = e.path.as_deref().unwrap_or(SOFTWARE);
                let what = format!("left out, it has no VFs and {software} cannot be checked");
                states.retain(|path, state| {
                    if is_idle(state) {
                        report(Finding::io(format!("{PCI}/{}", basename(path)), &what, e.errno()));
                    }
                    !is_idle(state)
                });
            }
        }
    }
    Ok(states.into_keys().map(|syspath| Place { syspath, subsystem: "pci".to_owned() }).collect())
}

/// Whether a PF in this state is a parent. A PF without VFs is a parent only if the host can create vGPUs: a host that
/// uses its cards only for computing cannot.
fn is_listed(sysfs: &dyn Sysfs, state: PfState) -> Result<bool> {
    match state {
        PfState::Other => Ok(false),
        PfState::Ready | PfState::Unbound => Ok(true),
        PfState::Idle => Ok(has_software(sysfs)? || !physical_functions(sysfs)?.is_empty()),
    }
}

/// The PF at a path, or the VF of a PF there. Reads only that device.
pub(super) fn at(folders: &Folders<'_>, syspath: &str) -> Result<Option<Target>> {
    let failed = |errno| Error::io("read", syspath, errno);
    let Some(pci) = folders.open(PCI).map_err(failed)? else { return Ok(None) };
    let sysname = basename(syspath);
    if is_listed(folders.sysfs(), pf_state(&*pci, sysname).map_err(failed)?)? {
        return Ok(place(&*pci, sysname).map_err(failed)?.map(Target::from));
    }
    let Some(pf) = pf_of_vf(&*pci, sysname).map_err(failed)? else { return Ok(None) };
    Ok(place(&*pci, &pf).map_err(failed)?.map(|place| Target { place, slot: Some(sysname.to_owned()) }))
}

/// The place of a PCI device; `None` if it does not exist.
fn place(pci: &dyn Dir, sysname: &str) -> IoResult<Option<Place>> {
    let syspath = if_present(pci.link(sysname))?.and_then(|target| resolve(PCI, &target));
    Ok(syspath.map(|syspath| Place { syspath, subsystem: "pci".to_owned() }))
}
