// SPDX-License-Identifier: LGPL-2.1-or-later
//! Makes and removes a device: chooses a VF, writes its type, clears it. Drivers differ in the value after a refused write: the
//! type that the VF had, or 0. So only a free VF is given a type, only the intended VF is cleared, and each write is followed by
//! a read.

use std::collections::BTreeSet;

use super::identity::{ChosenState, chosen_state};
use super::vfs::{CREATABLE, CURRENT, Candidate, FOLDER, PARAMS, VFS, candidates, current, why_no_types};
use super::vgpu_types;
use crate::backend::{
    ChosenVf, CreateRequest, CreateWrites, Located, Prepared, Remove, no_group, no_params, write_error,
    written::{self, TextForm},
};
use crate::error::{Error, ErrorCode, Result, describe, shown};
use crate::sysfs::{Dir, Errno, IoResult, is_absent, read_text, write_line, write_line_once};

/// Texts that clear the parameters, tried in this order: a lone newline, and a space for the drivers that ignore an empty line.
const NO_PARAMS: [&str; 2] = ["", " "];

/// See [`crate::backend::Backend::prepare`].
pub(super) fn prepare<'a>(pf: &dyn Dir, request: &CreateRequest<'a>) -> Result<Prepared<'a>> {
    let mut candidates = read(pf)?;
    loop {
        let chosen = choose(pf, request, &candidates)?.vf.clone();
        let files = format!("{}/{FOLDER}", chosen.entry);
        let dir = pf.open(&files).map_err(|errno| io("open", pf, &files, errno))?;
        // Before the record of the device is written: a program that gives the VF to another device changes this identity.
        let identity = dir.set_mtime(CURRENT).map_err(|errno| {
            log::warn!("{}/{CURRENT}: cannot be marked, so that its reuse may go unseen: {errno}", dir.path());
        });
        // The new identity hides a program that does not use the lock and was faster.
        let now = current(pf, &chosen.entry).map_err(|errno| io("read", &*dir, CURRENT, errno))?;
        if now.is_none() {
            let vf = ChosenVf { sysname: chosen.sysname, entry: chosen.entry, identity: identity.ok() };
            let writes = Box::new(Chosen { dir, vf: vf.clone(), request: *request });
            return Ok(Prepared { vf: Some(vf), writes });
        }
        let taken = candidates.iter_mut().filter(|candidate| candidate.vf.entry == chosen.entry);
        taken.for_each(|candidate| candidate.vf.type_id.clone_from(&now));
    }
}

/// See [`crate::backend::Backend::remove`].
pub(super) fn remove(pf: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
    let files = format!("{}/{FOLDER}", device.entry);
    let dir = device.dir.open(&files).map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV => lost(pf, device),
        other => io("open", &*device.dir, &files, other),
    })?;
    if !(how.is_same_device)()? {
        return Err(lost(pf, device));
    }
    free(&*dir).map_err(|errno| match errno {
        Errno::BUSY => Error { code: ErrorCode::InUse, ..io("write", &*dir, CURRENT, errno) },
        other => write_error(&*dir, CURRENT, other),
    })?;
    clear_params(&*dir);
    Ok(())
}

fn io(action: &str, dir: &dyn Dir, file: &str, errno: Errno) -> Error {
    Error::io(action, &format!("{}/{file}", dir.path()), errno)
}

fn gone(parent: &dyn Dir) -> Error {
    let message = "the PF no longer exists; it was removed or its driver unbound";
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(parent.path())
}

fn lost(parent: &dyn Dir, device: &Located) -> Error {
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
    let wanted = |candidate: &&Candidate| request.vf.is_none_or(|vf| candidate.vf.sysname == vf);
    let named: Vec<&Candidate> = candidates.iter().filter(wanted).collect();
    let free = || named.iter().copied().filter(|candidate| candidate.vf.type_id.is_none());
    let lists = |candidate: &&Candidate| candidate.creatable.iter().any(|one| one.id == request.type_id);
    let fitting = || free().filter(lists).filter(|one| !request.avoid.contains(&one.vf.sysname));
    let room = |candidate: &&Candidate| candidate.creatable.len();
    // min_by_key gives the first of several; so does this, of the largest.
    let chosen = match request.pack {
        true => fitting().min_by_key(room),
        false => fitting().min_by_key(|candidate| std::cmp::Reverse(room(candidate))),
    };
    let Some(chosen) = chosen else { return Err(full(parent, request, &named, free().count())) };
    if request.params.is_some() && parent.meta(&format!("{}/{FOLDER}/{PARAMS}", chosen.vf.entry)).is_err() {
        return Err(no_params(request.type_id));
    }
    let vf = &chosen.vf;
    match parent.meta(&format!("{}/iommu_group", vf.entry)) {
        Ok(_) => Ok(chosen),
        Err(errno) if is_absent(errno) => Err(no_iommu_group(parent, &vf.sysname)),
        Err(errno) => Err(io("check", parent, &format!("{}/iommu_group", vf.entry), errno)),
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
    let message = match (request.vf, named) {
        (_, []) => why_no_types(parent),
        (Some(vf), [one, ..]) if free == 0 => {
            let has = one.vf.type_id.as_deref().unwrap_or_default();
            format!("VF {vf} has a device of type {has} already; destroy it, or name the PF to have a VF chosen")
        }
        (Some(vf), _) => format!("VF {vf} has no room for type {id} now (it is not in creatable_vgpu_types)"),
        (None, all) if free == 0 => format!("all {} VFs have a device; destroy one or use another parent", all.len()),
        (None, _) if !request.avoid.is_empty() => {
            format!("no VF is left for type {id}: the driver refused {}", request.avoid.join(", "))
        }
        (None, all) => {
            let types: BTreeSet<&str> = all.iter().filter_map(|one| one.vf.type_id.as_deref()).collect();
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
    vf: ChosenVf,
    request: CreateRequest<'a>,
}

impl CreateWrites for Chosen<'_> {
    fn set_up(&mut self) -> Result<()> {
        self.check_free()
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

    /// A program without the lock may have written to the VF since it was chosen.
    fn check_free(&self) -> Result<()> {
        let dir = &*self.dir;
        let state = chosen_state(dir, &self.vf, self.request.type_id);
        if state.map_err(|errno| io("read", dir, CURRENT, errno))? == ChosenState::Free {
            return Ok(());
        }
        let message = format!("another program wrote to VF {} before it was given its type", self.vf.sysname);
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
                // The list is of one VF: the card may be full all the same, or a program without the lock was faster.
                Some(false) => (ErrorCode::NoInstances, Errno::NOSPC, format!(" ({})", describe(errno))),
                _ if errno == Errno::NOSPC => (ErrorCode::NoInstances, errno, String::new()),
                _ => return Err(write_error(dir, CURRENT, errno)),
            };
            let message = format!("VF {} has no room for type {id} any more{why}", self.vf.sysname);
            return Err(Error::new(code, errno, message).at(format!("{}/{CURRENT}", dir.path())));
        }
        // A driver may say yes and do nothing.
        let text = read_text(dir, CURRENT).map_err(|errno| io("read", dir, CURRENT, errno))?;
        if text.trim() == id {
            return Ok(());
        }
        let message = format!(
            "the driver took type {id} for VF {}, but the VF reads '{}'; look at the kernel's log",
            self.vf.sysname,
            shown(&text)
        );
        Err(Error::new(ErrorCode::NotReady, Errno::IO, message).at(format!("{}/{CURRENT}", dir.path())))
    }

    /// `None`: not known.
    fn still_lists(&self) -> Option<bool> {
        let text = read_text(&*self.dir, CREATABLE).ok()?;
        Some(vgpu_types::parse(&text).0.iter().any(|one| one.id == self.request.type_id))
    }

    /// Frees the VF, unless another program has written to it.
    fn give_back(&self) {
        let dir = &*self.dir;
        match chosen_state(dir, &self.vf, self.request.type_id) {
            Ok(ChosenState::Free) | Err(_) => {}
            Ok(ChosenState::Own) => {
                if let Err(errno) = free(dir) {
                    log::error!("{}/{CURRENT}: the VF could not be freed again: {errno}", dir.path());
                }
            }
            Ok(ChosenState::Other) => return,
        }
        clear_params(dir);
    }
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
        Ok(now) => Ok(written::check_kept(dir, PARAMS, TextForm::Verbatim, params, None, &now)
            .map_or_else(Kept::Not, |()| Kept::All)),
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
