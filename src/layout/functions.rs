// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads the VFs of a PF whose driver makes mediated devices of them (layout `vendor-vfio`).

use uuid::{Uuid, uuid};

use super::creatable::{self, Creatable};
use super::types::compare_ids;
use crate::error::ErrorCode;
use crate::finding::{Finding, report};
use crate::model::{Function, Type};
use crate::sysfs::{Dir, Errno, IoResult, basename, is_exhausted, read_text};

/// Where the vendor keeps its files of a VF.
pub(super) const FOLDER: &str = "nvidia";

/// The type of a VF, 0 while it is free.
pub(super) const CURRENT: &str = "current_vgpu_type";

/// What a VF could be now.
pub(super) const CREATABLE: &str = "creatable_vgpu_types";

/// Every SR-IOV capable function has it, and no other.
pub(super) const VFS: &str = "sriov_totalvfs";

/// No device has as many VFs; a made-up tree shall not keep us for ever.
const VFS_MAX: u32 = 4096;

/// Names of devices that were not made by this library are in this namespace.
const NAMESPACE: Uuid = uuid!("6d646576-7666-5f61-8c1e-0f5c1f2b7a10");

/// A VF with what it could be.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) function: Function,
    pub(super) creatable: Vec<Creatable>,
}

/// The folder of the PCI driver whose PFs are parents: PFs and VFs that are bound to it are linked there.
pub fn driver_folder() -> &'static str {
    "/sys/bus/pci/drivers/nvidia"
}

/// `dir` has a PF under this name: one whose VFs are such devices, or are not enabled yet. A PF whose VFs are parents on
/// the mdev bus, as older releases of the driver have them, is not one.
pub fn is_physical_function(dir: &dyn Dir, name: &str) -> IoResult<bool> {
    let total = match read_text(dir, &format!("{name}/{VFS}")) {
        Ok(total) => total,
        Err(errno) if is_exhausted(errno) => return Err(errno),
        Err(_) => return Ok(false),
    };
    if total.trim().parse::<u32>().unwrap_or(0) == 0 {
        return Ok(false);
    }
    for n in 0..VFS_MAX {
        if dir.meta(&format!("{name}/virtfn{n}")).is_err() {
            // Without VFs, the driver alone tells what they would be.
            let driver = dir.link(&format!("{name}/driver"));
            return Ok(n == 0 && driver.is_ok_and(|driver| basename(&driver) == basename(driver_folder())));
        }
        if dir.meta(&format!("{name}/virtfn{n}/{FOLDER}/{CURRENT}")).is_ok() {
            break;
        }
    }
    Ok(true)
}

/// `dir` has a VF of such a PF under this name; the sysfs name of its PF.
pub fn is_function(dir: &dyn Dir, name: &str) -> Option<String> {
    dir.meta(&format!("{name}/{FOLDER}/{CURRENT}")).ok()?;
    dir.link(&format!("{name}/physfn")).ok().map(|target| basename(&target).to_owned())
}

/// The file of a VF that makes it a device and ends that: the kernel sends no event about it.
pub fn current_file(syspath: &str) -> String {
    format!("{syspath}/{FOLDER}/{CURRENT}")
}

/// The VFs of an open PF that take part. One that cannot be read is logged and left out.
pub fn functions(parent: &dyn Dir) -> IoResult<Vec<Function>> {
    let mut found = Vec::new();
    for n in 0..VFS_MAX {
        let entry = format!("virtfn{n}");
        let Ok(target) = parent.link(&entry) else { break };
        match current(parent, &entry) {
            Ok(type_id) => found.push(Function { sysname: basename(&target).to_owned(), entry, type_id }),
            // Bound to another driver: it is not one of ours.
            Err(Errno::NOENT) => {}
            Err(errno) if is_exhausted(errno) => return Err(errno),
            Err(errno) => {
                let file = format!("{}/{entry}/{FOLDER}/{CURRENT}", parent.path());
                report(Finding::io(file, "the VF is left out", errno));
            }
        }
    }
    Ok(found)
}

/// The VFs of an open PF that could take part: with one that cannot be read now, and without their types.
pub fn present(parent: &dyn Dir) -> IoResult<Vec<Function>> {
    let mut found = Vec::new();
    for n in 0..VFS_MAX {
        let entry = format!("virtfn{n}");
        let Ok(target) = parent.link(&entry) else { break };
        match parent.meta(&format!("{entry}/{FOLDER}/{CURRENT}")) {
            Ok(_) => found.push(Function { sysname: basename(&target).to_owned(), entry, type_id: None }),
            Err(errno) if is_exhausted(errno) => return Err(errno),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// An open PF has VFs that take no part (yet).
pub fn are_missing(parent: &dyn Dir) -> IoResult<bool> {
    let enabled = (0..VFS_MAX).take_while(|n| parent.meta(&format!("virtfn{n}")).is_ok()).count();
    Ok(functions(parent)?.len() < enabled)
}

/// The type that a VF has now. EBADMSG when the file does not hold a number.
pub fn current(dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
    let text = read_text(dir, &format!("{entry}/{FOLDER}/{CURRENT}"))?;
    let text = text.trim();
    match text.parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(id) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(id.to_string())),
        _ => Err(Errno::BADMSG),
    }
}

/// The VFs of an open PF with what each could be now.
pub(super) fn candidates(parent: &dyn Dir) -> IoResult<Vec<Candidate>> {
    let mut found = Vec::new();
    for function in functions(parent)? {
        let file = format!("{}/{FOLDER}/{CREATABLE}", function.entry);
        let creatable = match read_text(parent, &file) {
            Ok(text) => parse(parent, &file, &text),
            Err(errno) if is_exhausted(errno) => return Err(errno),
            Err(errno) => {
                let file = format!("{}/{file}", parent.path());
                report(Finding::io(file, "nothing can be created on the VF", errno));
                Vec::new()
            }
        };
        found.push(Candidate { function, creatable });
    }
    Ok(found)
}

fn parse(parent: &dyn Dir, file: &str, text: &str) -> Vec<Creatable> {
    let (types, bad) = creatable::parse(text);
    for (line, why) in bad {
        let file = format!("{}/{file}", parent.path());
        report(Finding::new(ErrorCode::BadData, file, format_args!("line {line} is left out: {why}")));
    }
    types
}

/// The types of an open PF: what one of its VFs could be or is. How many can still be made is the number of free VFs that
/// list the type; since a VF speaks for itself alone, the card may be full before that many are made.
pub(super) fn read_types(parent: &dyn Dir) -> IoResult<(Vec<Type>, Vec<Function>)> {
    let candidates = candidates(parent)?;
    let mut types: Vec<Type> = Vec::new();
    for candidate in &candidates {
        for one in &candidate.creatable {
            let kind = entry(&mut types, &one.id);
            kind.name.get_or_insert_with(|| one.name.clone());
            if candidate.function.type_id.is_none() {
                kind.available_instances = kind.available_instances.map(|n| n + 1);
            }
        }
        if let Some(id) = &candidate.function.type_id {
            entry(&mut types, id);
        }
    }
    types.sort_unstable_by(|a, b| compare_ids(&a.id, &b.id));
    types.iter_mut().for_each(describe);
    Ok((types, candidates.into_iter().map(|candidate| candidate.function).collect()))
}

fn entry<'a>(types: &'a mut Vec<Type>, id: &str) -> &'a mut Type {
    match types.iter().position(|kind| kind.id == id) {
        Some(known) => &mut types[known],
        None => {
            types.push(bare_type(id));
            let last = types.len() - 1;
            &mut types[last]
        }
    }
}

/// A type of which nothing but the id is known, and of which none can be made now.
pub(super) fn bare_type(id: &str) -> Type {
    Type {
        id: id.to_owned(),
        device_api: Some(super::vendor::DEVICE_API.to_owned()),
        available_instances: Some(0),
        counts_places: true,
        has_params: true,
        ..Type::default()
    }
}

/// Says as attributes what a program that knows the merged kernel's types looks for.
pub(super) fn describe(kind: &mut Type) {
    let count = kind.available_instances.unwrap_or(0).to_string();
    let api = kind.device_api.clone().unwrap_or_default();
    kind.attributes = vec![("available_instances".into(), count), ("device_api".into(), api)];
}

/// The UUID of a device that somebody else made: the same as long as this VF has this type.
pub fn stranger_uuid(function: &str, type_id: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{function} {type_id}").as_bytes())
}
