// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads the VFs of a PF in the layout `vendor-vfio`.

use std::collections::HashMap;
use std::rc::Rc;

use super::vgpu_types::{self, Creatable};
use crate::backend::{Slot, Slots, TYPES};
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, or_report, report};
use crate::model::{Type, TypeTexts, Vf, compare_ids};
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, basename, if_present, if_readable, read_text, resolve};

/// The folder of a VF with the vendor's files.
pub(super) const FOLDER: &str = "nvidia";

/// The file in [`FOLDER`] with the type of the VF; 0 while the VF is free.
pub(super) const CURRENT: &str = "current_vgpu_type";

/// Its path below the folder of the VF.
pub(super) const CURRENT_FILE: &str = "nvidia/current_vgpu_type";

/// The device API of every type.
pub(super) const DEVICE_API: &str = "vfio-pci";

/// The file in [`FOLDER`] with the vendor's parameters. They stay when the VF is cleared.
pub(super) const PARAMS: &str = "vgpu_params";

/// The file in [`FOLDER`] with the types that can be written to [`CURRENT`] now.
pub(super) const CREATABLE: &str = "creatable_vgpu_types";

/// A file that every PCI device with SR-IOV has, and no other.
pub(super) const VFS: &str = "sriov_totalvfs";

/// More VFs than any device has: the limit of loops over the `virtfn` links of a tree that no kernel made.
const VFS_MAX: u32 = 4096;

/// A VF with the types that it can have now.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) vf: Vf,
    /// Shared by VFs with equal lists.
    pub(super) creatable: Rc<Vec<Creatable>>,
}

/// Folders of the PCI drivers that bind such PFs or VFs: NVIDIA's own driver, and the two drivers of the framework that
/// was proposed for the kernel; its PF driver has two names. A PF without the vendor's files is a parent only if it is
/// bound to one of these drivers.
pub(super) const DRIVERS: [&str; 4] = [
    "/sys/bus/pci/drivers/nvidia",
    "/sys/bus/pci/drivers/nvidia-vgpu-vfio",
    "/sys/bus/pci/drivers/nova_core",
    "/sys/bus/pci/drivers/NovaCore",
];

/// The module of NVIDIA's vGPU host software. A host that uses its cards only for computing has the driver `nvidia`
/// without this module.
pub(super) const SOFTWARE: &str = "/sys/module/nvidia_vgpu_vfio";

/// The first digits of the PCI class of network controllers.
const NETWORK: &str = "0x02";

/// The state of a PCI device in this layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PfState {
    /// Not a PF of this layout.
    Other,
    /// A PF without VFs, bound to a driver in [`DRIVERS`].
    Idle,
    /// A PF with VFs, bound to a driver in [`DRIVERS`]. None of its VFs has the vendor's files.
    Unbound,
    /// A PF, bound to any driver, with a VF that has the vendor's files.
    Ready,
}

/// The state of the device with this name in `dir`. With older releases of the driver, the VFs of a PF are parents on
/// the mdev bus: such a PF is [`PfState::Other`].
pub(super) fn pf_state(dir: &dyn Dir, name: &str) -> IoResult<PfState> {
    let Some(total) = if_present(read_text(dir, &format!("{name}/{VFS}")))? else { return Ok(PfState::Other) };
    if total.trim().parse::<u32>().unwrap_or(0) == 0 {
        return Ok(PfState::Other);
    }
    // Before the loop over the VFs: a network card may have hundreds of them.
    if if_present(read_text(dir, &format!("{name}/class")))?.is_some_and(|class| class.starts_with(NETWORK)) {
        return Ok(PfState::Other);
    }
    let mut without_files = PfState::Idle;
    for n in 0..VFS_MAX {
        let vf = format!("{name}/virtfn{n}");
        let has = |file: &str| Ok(if_present(dir.meta(file))?.is_some());
        if !has(&vf)? {
            break;
        }
        if has(&format!("{vf}/{FOLDER}/{CURRENT}"))? {
            return Ok(PfState::Ready);
        }
        if has(&format!("{vf}/{TYPES}"))? {
            return Ok(PfState::Other);
        }
        without_files = PfState::Unbound;
    }
    let driver = if_present(dir.link(&format!("{name}/driver")))?;
    let is_vgpu_driver =
        driver.is_some_and(|driver| DRIVERS.iter().any(|folder| basename(folder) == basename(&driver)));
    Ok(if is_vgpu_driver { without_files } else { PfState::Other })
}

/// Whether the module or the driver that creates vGPUs is loaded, so that the VFs of a PF that has none yet can become
/// vGPUs.
pub(super) fn has_software(sysfs: &dyn Sysfs) -> Result<bool> {
    for path in [SOFTWARE, DRIVERS[1]] {
        let opened = if_present(sysfs.open(path)).map_err(|errno| Error::io("look for", path, errno))?;
        if opened.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why an open PF offers no type now, and the next step.
pub(super) fn why_no_types(pf: &dyn Dir) -> String {
    let enabled = enabled(pf);
    let name = basename(pf.path());
    if enabled == 0 {
        return format!(
            "its VFs are not enabled; enable them with the program of the vendor's driver: sriov-manage -e {name}"
        );
    }
    let Ok(vfs) = usable(pf) else {
        return format!("its {enabled} VFs are enabled, but cannot be read; see the log");
    };
    if vfs.is_empty() {
        let driver = pf.link("virtfn0/driver").map_or("no driver".to_owned(), |driver| basename(&driver).to_owned());
        return format!(
            "its {enabled} VFs are enabled, but not bound to the driver that makes vGPUs (virtfn0 is bound to {driver}); \
             bind them to the driver of the PF"
        );
    }
    let used = vfs.iter().filter(|vf| vf.type_id.is_some()).count();
    let reason = match used {
        0 => {
            "in MIG mode it offers types only after GPU instances were created ('nvidia-smi mig'); \
             if MIG mode is off, see the kernel's log"
        }
        _ => "the card is full, or the vGPUs that it has exclude other types; destroy one or use another parent",
    };
    format!("its {enabled} VFs are enabled and {used} have a vGPU, but the driver offers no type now: {reason}")
}

/// The number of VFs of an open PF.
fn enabled(pf: &dyn Dir) -> usize {
    (0..VFS_MAX).take_while(|n| pf.meta(&format!("virtfn{n}")).is_ok()).count()
}

/// The sysfs name of the PF of the VF with this name in `dir`; `None` if that is not a VF of this layout.
pub(super) fn pf_of_vf(dir: &dyn Dir, name: &str) -> IoResult<Option<String>> {
    if if_present(dir.meta(&format!("{name}/{FOLDER}/{CURRENT}")))?.is_none() {
        return Ok(None);
    }
    let pf = if_present(dir.link(&format!("{name}/physfn")))?;
    Ok(pf.map(|target| basename(&target).to_owned()))
}

/// The VFs of an open PF that are bound to the driver that creates vGPUs. Reports and leaves out a VF that cannot be
/// read.
pub(super) fn usable(parent: &dyn Dir) -> IoResult<Vec<Vf>> {
    let mut vfs = Vec::new();
    for n in 0..VFS_MAX {
        let entry = format!("virtfn{n}");
        let Some(target) = if_present(parent.link(&entry))? else { break };
        let file = || format!("{}/{entry}/{FOLDER}/{CURRENT}", parent.path());
        // Absent if the VF is bound to another driver.
        let read = if_present(current(parent, &entry));
        let read = or_report(read, |errno| Finding::io(file(), "the VF is left out", errno))?.flatten();
        vfs.extend(read.map(|type_id| Vf { sysname: basename(&target).to_owned(), entry, type_id }));
    }
    Ok(vfs)
}

/// Returns the usable VFs of a PF as slots, and in addition the VFs that cannot be read now.
pub(super) fn slots(parent: &dyn Dir) -> IoResult<Slots> {
    let mut slots = Slots::default();
    for n in 0..VFS_MAX {
        let entry = format!("virtfn{n}");
        let Some(target) = if_present(parent.link(&entry))? else { break };
        let current = if_present(parent.meta(&format!("{entry}/{FOLDER}/{CURRENT}")));
        if current == Ok(None) {
            slots.may_grow = true;
            continue;
        }
        if_readable(current)?;
        slots.present.extend(resolve(parent.path(), &target).map(|syspath| Slot {
            file: format!("{syspath}/{CURRENT_FILE}"),
            syspath,
            parent: parent.path().to_owned(),
        }));
    }
    Ok(slots)
}

/// The type that the VF `entry` of `dir` has now. Fails with EBADMSG if the file does not contain a number.
pub(super) fn current(dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
    current_in(dir, &format!("{entry}/{FOLDER}/{CURRENT}"))
}

/// The same for the file at a path below `dir`.
pub(super) fn current_in(dir: &dyn Dir, file: &str) -> IoResult<Option<String>> {
    let text = read_text(dir, file)?;
    let text = text.trim();
    match text.parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(id) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(id.to_string())),
        _ => Err(Errno::BADMSG),
    }
}

/// The VFs of an open PF with the types that each can have now. Most VFs have equal lists, so each different list is
/// parsed once.
pub(super) fn candidates(parent: &dyn Dir) -> IoResult<Vec<Candidate>> {
    let mut candidates = Vec::new();
    let mut lists: HashMap<String, Rc<Vec<Creatable>>> = HashMap::new();
    for vf in usable(parent)? {
        let file = format!("{}/{FOLDER}/{CREATABLE}", vf.entry);
        let path = || format!("{}/{file}", parent.path());
        let effect = "nothing can be created on the VF";
        let text = or_report(read_text(parent, &file), |errno| Finding::io(path(), effect, errno))?.unwrap_or_default();
        let creatable = match lists.get(&text) {
            Some(parsed) => Rc::clone(parsed),
            None => {
                let parsed = Rc::new(parse(parent, &file, &text));
                lists.insert(text, Rc::clone(&parsed));
                parsed
            }
        };
        candidates.push(Candidate { vf, creatable });
    }
    Ok(candidates)
}

/// The types in the text of a file. Reports and leaves out invalid lines.
fn parse(parent: &dyn Dir, file: &str, text: &str) -> Vec<Creatable> {
    let (types, bad) = vgpu_types::parse(text);
    for (line, why) in bad {
        let file = format!("{}/{file}", parent.path());
        report(Finding::new(ErrorCode::BadData, file, format_args!("line {line} is left out: {why}")));
    }
    types
}

/// All types that VFs list or have, in the order of their ids, with the number of free VFs that list each.
pub(super) fn union(candidates: &[Candidate]) -> Vec<Type> {
    let mut types: HashMap<String, Type> = HashMap::new();
    // Each different list with the number of free VFs that have it, in the order of the VFs.
    let mut lists: Vec<(&Rc<Vec<Creatable>>, u32)> = Vec::new();
    let mut indexes: HashMap<*const Vec<Creatable>, usize> = HashMap::new();
    for candidate in candidates {
        let list = &candidate.creatable;
        let index = *indexes.entry(Rc::as_ptr(list)).or_insert_with(|| {
            lists.push((list, 0));
            lists.len() - 1
        });
        if let Some((_, free)) = lists.get_mut(index) {
            *free += u32::from(candidate.vf.type_id.is_none());
        }
    }
    for (list, free) in lists {
        for creatable in list.iter() {
            let ty = types.entry(creatable.id.clone()).or_insert_with(|| bare_type(&creatable.id));
            if ty.name().is_none() {
                ty.texts.set("name", &creatable.name);
            }
            ty.available_instances = ty.available_instances.map(|n| n + free);
        }
    }
    for id in candidates.iter().filter_map(|candidate| candidate.vf.type_id.as_deref()) {
        types.entry(id.to_owned()).or_insert_with(|| bare_type(id));
    }
    let mut types: Vec<Type> = types.into_values().collect();
    types.sort_unstable_by(|a, b| compare_ids(a.id(), b.id()));
    types.iter_mut().for_each(describe);
    types
}

/// A type with only its id. No device of it can be created now.
pub(super) fn bare_type(id: &str) -> Type {
    Type {
        texts: TypeTexts::new(id, []),
        available_instances: Some(0),
        counts_places: true,
        has_params: true,
        ..Type::default()
    }
}

/// Adds the attributes that a type has in the merged kernel, for programs that read these.
pub(super) fn describe(ty: &mut Type) {
    let count = ty.available_instances.unwrap_or(0).to_string();
    ty.texts.set("available_instances", &count);
    ty.texts.set("device_api", DEVICE_API);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{SimEntry, SimHost};
    use crate::sysfs::Sysfs;

    fn card(vfs: usize, list: impl Fn(usize) -> String) -> SimHost {
        let file = |path: String, text: &str| SimEntry::File { path, mode: 0o444, content: Ok(text.into()) };
        let mut entries = vec![file(format!("/sys/devices/0000:41:00.0/{VFS}"), "64\n")];
        for n in 0..vfs {
            let path = format!("/sys/devices/0000:41:{:02x}.{}", 1 + n / 8, n % 8);
            let link = format!("/sys/devices/0000:41:00.0/virtfn{n}");
            entries.push(SimEntry::Link { path: link, target: format!("../{}", basename(&path)) });
            entries.push(file(format!("{path}/{FOLDER}/{CURRENT}"), "0\n"));
            entries.push(file(format!("{path}/{FOLDER}/{CREATABLE}"), &list(n)));
        }
        SimHost::new(entries).unwrap()
    }

    fn list(of: impl Iterator<Item = usize>) -> String {
        of.map(|id| format!("{id} : NVIDIA X-{id}Q\n")).collect()
    }

    #[test]
    fn vfs_with_equal_lists_share_one_that_is_parsed_once() {
        let host = card(64, |n| if n == 63 { list(1..=2) } else { list(1..=1000) });
        let pf = host.open("/sys/devices/0000:41:00.0").unwrap();
        let read = candidates(&*pf).unwrap();
        assert_eq!(
            read.iter().map(|candidate| Rc::strong_count(&candidate.creatable)).collect::<Vec<_>>(),
            [[63; 63].as_slice(), &[1]].concat()
        );
        let types = union(&read);
        assert_eq!(types.len(), 1000);
        assert_eq!(
            types.iter().map(|ty| ty.available_instances).take(3).collect::<Vec<_>>(),
            [Some(64), Some(64), Some(63)]
        );
    }
}
