// SPDX-License-Identifier: LGPL-2.1-or-later
//! `vendor-vfio`: no mdev bus. The driver of an SR-IOV card makes a virtual GPU of a VF when the id of a type is written to
//! the VF's `current_vgpu_type`, and removes it for a 0. Drivers differ in the value after a refused write: the type that the
//! VF had, or 0. So only a free VF is given a type, only the intended VF is cleared, and each write is followed by a read.
//! Choosing, writing and clearing are done under the lock of the PF.

use std::collections::BTreeSet;

pub mod vfs;
mod vgpu_types;

use self::vfs::{CREATABLE, CURRENT, Candidate, FOLDER, VFS, bare_type, candidates, current, why_no_types};
use crate::backend::{
    CreateRequest, FunctionMark, Layout, Marks, Prepared, RemoveRequest, TYPES, known, no_group, no_params,
    write_error, written,
};
use crate::error::{Error, ErrorCode, Result, describe, shown};
use crate::model::{LayoutKind, Type};
use crate::sysfs::{
    Dir, Errno, IoResult, Sysfs, basename, if_present, is_absent, read_text, write_line, write_line_once,
};

/// What a guest sees, and how QEMU attaches it.
pub(in crate::backend) const DEVICE_API: &str = "vfio-pci";

/// Vendor parameters of a VF; they stay when the VF is cleared.
pub(in crate::backend) const PARAMS: &str = "vgpu_params";

/// Texts that clear the parameters, tried in this order: a lone newline, and a space for the drivers that ignore an empty line.
const NO_PARAMS: [&str; 2] = ["", " "];

#[derive(Debug)]
pub(in crate::backend) struct Vendor;

impl Layout for Vendor {
    fn kind(&self) -> LayoutKind {
        LayoutKind::VendorVfio
    }

    fn detect(&self, parent: &dyn Marks) -> bool {
        parent.parent_has(VFS) && !parent.parent_has(TYPES)
    }

    fn check(&self, parent: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
        let candidates = read(parent)?;
        choose(parent, request, &candidates).map(drop)
    }

    fn prepare<'a>(&self, parent: &dyn Dir, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>> {
        let mut candidates = read(parent)?;
        loop {
            let chosen = choose(parent, request, &candidates)?.function.clone();
            let files = format!("{}/{FOLDER}", chosen.entry);
            let dir = parent.open(&files).map_err(|errno| io("open", parent, &files, errno))?;
            // Before anything is remembered of the device: whoever gives the VF to somebody else takes this mark away.
            let mark = dir.stamp(CURRENT).map_err(|errno| {
                log::warn!("{}/{CURRENT}: cannot be marked, so that its reuse may go unseen: {errno}", dir.path());
            });
            // The mark hides who was faster without our lock.
            let now = current(parent, &chosen.entry).map_err(|errno| io("read", &*dir, CURRENT, errno))?;
            if now.is_none() {
                let (entry, sysname, mark) = (chosen.entry, chosen.sysname, mark.ok());
                let request = *request;
                return Ok(Box::new(Chosen { dir, entry, sysname, mark, request }));
            }
            let taken = candidates.iter_mut().filter(|candidate| candidate.function.entry == chosen.entry);
            taken.for_each(|candidate| candidate.function.type_id.clone_from(&now));
        }
    }

    fn remove(&self, parent: &dyn Dir, device: &RemoveRequest<'_>, is_it: &dyn Fn() -> Result<bool>) -> Result<()> {
        let files = format!("{}/{FOLDER}", device.entry);
        let dir = parent.open(&files).map_err(|errno| match errno {
            Errno::NOENT | Errno::NODEV => lost(parent, device),
            other => io("open", parent, &files, other),
        })?;
        let now = current(parent, device.entry).map_err(|errno| io("read", &*dir, CURRENT, errno))?;
        let mark = mark(&*dir).map_err(|errno| io("look at", &*dir, CURRENT, errno))?;
        if now.is_none() || now.as_deref() != device.type_id || device.mark != Some(mark) || !is_it()? {
            return Err(lost(parent, device));
        }
        free(&*dir).map_err(|errno| match errno {
            Errno::BUSY => Error { code: ErrorCode::InUse, ..io("write", &*dir, CURRENT, errno) },
            other => write_error(&*dir, CURRENT, other),
        })?;
        clear_params(&*dir);
        Ok(())
    }

    fn place_lock(&self, parent: &dyn Dir) -> Option<String> {
        Some(format!("parent-{}", basename(parent.path())))
    }

    fn type_of(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
        known(current(dir, entry)).map(Option::flatten)
    }

    fn is_there(&self, dir: &dyn Dir, entry: &str) -> bool {
        // What cannot be read may well be there.
        !matches!(current(dir, entry), Ok(None) | Err(Errno::NOENT | Errno::NODEV))
    }

    fn mark(&self, dir: &dyn Dir, entry: &str) -> IoResult<u64> {
        dir.meta(&format!("{entry}/{FOLDER}/{CURRENT}")).map(|meta| meta.changed)
    }

    fn has_iommu_group(&self) -> bool {
        true
    }

    fn attributes(&self) -> Option<&'static str> {
        Some(FOLDER)
    }

    fn is_function(&self) -> bool {
        true
    }

    fn hides_full_types(&self) -> bool {
        true
    }

    fn types_stamp(&self, parent: &dyn Dir) -> IoResult<Option<u64>> {
        Ok(if_present(parent.meta(&format!("virtfn0/{FOLDER}")))?.map(|meta| meta.ino))
    }

    fn without_types(&self, parent: &dyn Dir) -> String {
        why_no_types(parent)
    }

    fn read_type(&self, parent: &dyn Dir, id: &str) -> IoResult<Option<Type>> {
        let (types, _) = vfs::read_types(parent)?;
        Ok(types.into_iter().find(|kind| kind.id == id))
    }

    fn has_type(&self, _parent: &dyn Dir, _id: &str) -> bool {
        // No file stands for a type: the lists are to be read.
        false
    }

    fn device_api(&self, _sysfs: &dyn Sysfs, _parent: &str, _id: &str) -> Option<String> {
        Some(DEVICE_API.to_owned())
    }
}

/// A type that was seen on this layout before, with its name, and cannot be created now.
pub fn remembered_type(id: &str, name: &str) -> Type {
    let mut kind = Type { name: Some(name.to_owned()), ..bare_type(id) };
    vfs::describe(&mut kind);
    kind
}

fn io(action: &str, dir: &dyn Dir, file: &str, errno: Errno) -> Error {
    Error::io(action, &format!("{}/{file}", dir.path()), errno)
}

fn gone(parent: &dyn Dir) -> Error {
    let message = "the PF no longer exists; it was removed or its driver unbound";
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(parent.path())
}

fn lost(parent: &dyn Dir, device: &RemoveRequest<'_>) -> Error {
    let message = format!(
        "device {} no longer exists: its VF {} was removed or cleared, or another program wrote to it; list the devices",
        device.uuid, device.entry
    );
    Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(format!("{}/{}", parent.path(), device.entry))
}

fn read(parent: &dyn Dir) -> Result<Vec<Candidate>> {
    let found = candidates(parent).map_err(|errno| Error::io("read the VFs of", parent.path(), errno))?;
    // While the caller waited for the lock, the PF may have been removed.
    if found.is_empty() && parent.meta(VFS).is_err() { Err(gone(parent)) } else { Ok(found) }
}

/// The VF to use: a free one that lists the type. The one that has most left to give, or with `pack` least; the first of
/// those that are alike.
fn choose<'c>(parent: &dyn Dir, request: &CreateRequest<'_>, candidates: &'c [Candidate]) -> Result<&'c Candidate> {
    if request.group.is_some() {
        return Err(no_group(request.type_id));
    }
    let wanted = |candidate: &&Candidate| request.function.is_none_or(|vf| candidate.function.sysname == vf);
    let named: Vec<&Candidate> = candidates.iter().filter(wanted).collect();
    let free = || named.iter().copied().filter(|candidate| candidate.function.type_id.is_none());
    let lists = |candidate: &&Candidate| candidate.creatable.iter().any(|one| one.id == request.type_id);
    let fitting = || free().filter(lists).filter(|one| !request.avoid.contains(&one.function.sysname));
    let room = |candidate: &&Candidate| candidate.creatable.len();
    // min_by_key gives the first of several; so does this, of the largest.
    let chosen = match request.pack {
        true => fitting().min_by_key(room),
        false => fitting().min_by_key(|candidate| std::cmp::Reverse(room(candidate))),
    };
    let Some(chosen) = chosen else { return Err(full(parent, request, &named, free().count())) };
    if request.params.is_some() && parent.meta(&format!("{}/{FOLDER}/{PARAMS}", chosen.function.entry)).is_err() {
        return Err(no_params(request.type_id));
    }
    let vf = &chosen.function;
    match parent.meta(&format!("{}/iommu_group", vf.entry)) {
        Ok(_) => Ok(chosen),
        Err(errno) if is_absent(errno) => Err(no_iommu_group(parent, &vf.sysname)),
        Err(errno) => Err(io("look at", parent, &format!("{}/iommu_group", vf.entry), errno)),
    }
}

/// The error for a VF without an IOMMU group, which never becomes usable. Checked before the first write.
fn no_iommu_group(parent: &dyn Dir, vf: &str) -> Error {
    let message = format!(
        "VF {vf} has no IOMMU group, so that no guest can use it: the IOMMU is off; enable it in the firmware and on the \
         kernel's command line (intel_iommu=on, amd_iommu=on), and reboot"
    );
    Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).at(parent.path())
}

/// Why no VF is left.
fn full(parent: &dyn Dir, request: &CreateRequest<'_>, named: &[&Candidate], free: usize) -> Error {
    let id = request.type_id;
    let message = match (request.function, named) {
        (_, []) => why_no_types(parent),
        (Some(vf), [one, ..]) if free == 0 => {
            let has = one.function.type_id.as_deref().unwrap_or_default();
            format!("VF {vf} has a device of type {has} already; destroy it, or name the PF to have a VF chosen")
        }
        (Some(vf), _) => format!("VF {vf} has no room for type {id} now (it is not in creatable_vgpu_types)"),
        (None, all) if free == 0 => format!("all {} VFs have a device; destroy one or use another parent", all.len()),
        (None, _) if !request.avoid.is_empty() => {
            format!("no VF is left for type {id}: the driver refused {}", request.avoid.join(", "))
        }
        (None, all) => {
            let types: BTreeSet<&str> = all.iter().filter_map(|one| one.function.type_id.as_deref()).collect();
            let beside = match types.is_empty() {
                true => String::new(),
                false => format!(" beside the vGPUs of type {}", Vec::from_iter(types).join(", ")),
            };
            format!(
                "type {id} has no instances left: none of the {free} free VFs of {} lists it{beside}; destroy one or use another parent",
                all.len()
            )
        }
    };
    Error::new(ErrorCode::NoInstances, Errno::NOSPC, message).at(parent.path())
}

/// A VF that was chosen, used under the PF's lock.
struct Chosen<'a> {
    /// The vendor's folder of the VF.
    dir: Box<dyn Dir>,
    entry: String,
    sysname: String,
    mark: Option<u64>,
    request: CreateRequest<'a>,
}

impl Prepared for Chosen<'_> {
    fn function(&self) -> Option<FunctionMark<'_>> {
        Some(FunctionMark { entry: &self.entry, sysname: &self.sysname, mark: self.mark })
    }

    fn check_free(&self) -> Result<()> {
        self.still_free()
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.make().inspect_err(|_| self.give_back())
    }
}

impl Chosen<'_> {
    fn make(&self) -> Result<()> {
        let Some(params) = self.request.params else {
            // The new device must not inherit the parameters of an earlier device on this VF.
            clear_params(&*self.dir);
            return self.give_type();
        };
        // Some drivers accept parameters before the VF has its type, others only afterwards.
        let early = write_params(&*self.dir, params)?;
        self.give_type()?;
        match early {
            Kept::All => return Ok(()),
            Kept::Not(_) => {}
        }
        match write_params(&*self.dir, params)? {
            Kept::All => Ok(()),
            Kept::Not(error) => Err(error),
        }
    }

    /// Not all who set VFs wait for our lock, and something was remembered since the VF was looked at. Whoever came has the
    /// VF and what its parameters are; and who came and went, or was refused, has taken the mark by which the device
    /// would be known.
    fn still_free(&self) -> Result<()> {
        let dir = &*self.dir;
        let text = read_text(dir, CURRENT).map_err(|errno| io("read", dir, CURRENT, errno))?;
        let now = mark(dir).map_err(|errno| io("look at", dir, CURRENT, errno))?;
        if text.trim() == "0" && self.mark.is_none_or(|mark| mark == now) {
            return Ok(());
        }
        let message = format!("another program wrote to VF {} before it was given its type", self.sysname);
        let path = format!("{}/{CURRENT}", dir.path());
        Err(Error::new(ErrorCode::NoInstances, Errno::NOSPC, message).at(path))
    }

    fn give_type(&self) -> Result<()> {
        let (dir, id) = (&*self.dir, self.request.type_id);
        if let Err(errno) = write_line_once(dir, CURRENT, id) {
            // A driver may set the type and return an error. A VF does not list the type that it has.
            if read_text(dir, CURRENT).is_ok_and(|text| text.trim() == id) {
                return Err(write_error(dir, CURRENT, errno));
            }
            let (code, errno, why) = match self.still_lists() {
                // Its numbers are of one VF; the card may have been full all the same, or somebody without our lock faster.
                Some(false) => (ErrorCode::NoInstances, Errno::NOSPC, format!(" ({})", describe(errno))),
                _ if errno == Errno::NOSPC => (ErrorCode::NoInstances, errno, String::new()),
                _ => return Err(write_error(dir, CURRENT, errno)),
            };
            let message = format!("VF {} has no room for type {id} any more{why}", self.sysname);
            return Err(Error::new(code, errno, message).at(format!("{}/{CURRENT}", dir.path())));
        }
        // A driver may say yes and do nothing.
        let text = read_text(dir, CURRENT).map_err(|errno| io("read", dir, CURRENT, errno))?;
        if text.trim() == id {
            return Ok(());
        }
        let message = format!(
            "the driver took type {id} for VF {}, but the VF reads '{}'; look at the kernel's log",
            self.sysname,
            shown(&text)
        );
        Err(Error::new(ErrorCode::NotReady, Errno::IO, message).at(format!("{}/{CURRENT}", dir.path())))
    }

    /// `None`: not known.
    fn still_lists(&self) -> Option<bool> {
        let text = read_text(&*self.dir, CREATABLE).ok()?;
        Some(vgpu_types::parse(&text).0.iter().any(|one| one.id == self.request.type_id))
    }

    /// The VF is free again, unless somebody else has it meanwhile: what has another type than ours is not ours.
    fn give_back(&self) {
        let dir = &*self.dir;
        match read_text(dir, CURRENT).as_deref().map(str::trim) {
            Ok("0") | Err(_) => {}
            Ok(id) if id == self.request.type_id && self.mark.is_some() && mark(dir).ok() == self.mark => {
                if let Err(errno) = free(dir) {
                    log::error!("{}/{CURRENT}: the VF could not be freed again: {errno}", dir.path());
                }
            }
            Ok(_) => return,
        }
        clear_params(dir);
    }
}

/// The mark of a VF by its vendor's folder.
fn mark(dir: &dyn Dir) -> IoResult<u64> {
    dir.meta(CURRENT).map(|meta| meta.changed)
}

/// Clears the VF. Succeeds if the VF is free afterwards, even if the driver returned an error for the write.
fn free(dir: &dyn Dir) -> IoResult<()> {
    let written = write_line(dir, CURRENT, "0");
    match read_text(dir, CURRENT).as_deref().map(str::trim) {
        Ok("0") => Ok(()),
        Ok(_) => Err(written.err().unwrap_or(Errno::BUSY)),
        Err(errno) => Err(written.err().unwrap_or(*errno)),
    }
}

/// Whether a driver kept the parameters.
enum Kept {
    /// It has them, as far as the file shows.
    All,
    /// It shows another text, or accepts none at this moment: the cause.
    Not(Error),
}

fn write_params(dir: &dyn Dir, params: &str) -> Result<Kept> {
    match write_line(dir, PARAMS, params) {
        Ok(()) => {}
        Err(errno @ Errno::NXIO) => return Ok(Kept::Not(write_error(dir, PARAMS, errno))),
        Err(errno) => return Err(write_error(dir, PARAMS, errno)),
    }
    match read_text(dir, PARAMS) {
        Ok(now) => Ok(written::check_kept(dir, PARAMS, params, None, &now).map_or_else(Kept::Not, |()| Kept::All)),
        Err(errno @ Errno::NXIO) => Ok(Kept::Not(io("read", dir, PARAMS, errno))),
        // Without a readable file there is nothing to compare.
        _ => Ok(Kept::All),
    }
}

/// Parameters outlive their device, and would be the next one's.
fn clear_params(dir: &dyn Dir) {
    let are_set = || read_text(dir, PARAMS).is_ok_and(|text| !text.trim().is_empty());
    let mut failed = None;
    for clear in NO_PARAMS {
        if !are_set() {
            return;
        }
        failed = write_line(dir, PARAMS, clear).err().or(failed);
    }
    if are_set() {
        let why = failed.map_or_else(|| "the driver keeps them".to_owned(), describe);
        log::warn!("{}/{PARAMS}: cannot be cleared: {why}; the next device of this VF may inherit them", dir.path());
    }
}
