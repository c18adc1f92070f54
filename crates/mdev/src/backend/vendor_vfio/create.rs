// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates and removes a device: chooses a VF, writes its type, clears it. After a refused write, the file holds the
//! earlier type of the VF or 0, depending on the driver. So a type is written only to a free VF, only the intended VF
//! is cleared, and the file is read after each write.

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

/// Texts that clear the parameters, in the order in which they are tried: a newline alone, and a space for drivers that
/// ignore an empty line.
const NO_PARAMS: [&str; 2] = ["", " "];

/// See [`crate::backend::Backend::prepare`].
pub(super) fn prepare<'a>(pf: &dyn Dir, request: &CreateRequest<'a>) -> Result<Prepared<'a>> {
    let mut candidates = read_candidates(pf)?;
    loop {
        let chosen = choose(pf, request, &candidates)?.vf.clone();
        let files = format!("{}/{FOLDER}", chosen.entry);
        let dir = pf.open(&files).map_err(|errno| io("open", pf, &files, errno))?;
        if request.dry_run {
            let vf = ChosenVf { sysname: chosen.sysname, entry: chosen.entry, identity: None };
            return Ok(Prepared { vf: Some(vf.clone()), writes: Box::new(VfWrites { dir, vf, request: *request }) });
        }
        // Set before the record of the device is written. A program that creates another device on the VF changes this
        // identity.
        let identity = dir.set_mtime(CURRENT).map_err(|errno| {
            log::warn!(
                "{}/{CURRENT}: cannot set the modification time, so another device on this VF may not be detected: \
                 {errno}",
                dir.path()
            );
        });
        // Read again: if a program without the lock wrote a type before the identity was set, the identity does not
        // show it.
        let now = current(pf, &chosen.entry).map_err(|errno| io("read", &*dir, CURRENT, errno))?;
        if now.is_none() {
            let vf = ChosenVf { sysname: chosen.sysname, entry: chosen.entry, identity: identity.ok() };
            let writes = Box::new(VfWrites { dir, vf: vf.clone(), request: *request });
            return Ok(Prepared { vf: Some(vf), writes });
        }
        let in_use = candidates.iter_mut().filter(|candidate| candidate.vf.entry == chosen.entry);
        in_use.for_each(|candidate| candidate.vf.type_id.clone_from(&now));
    }
}

/// See [`crate::backend::Backend::remove`].
pub(super) fn remove(pf: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
    let files = format!("{}/{FOLDER}", device.entry);
    let dir = device.dir.open(&files).map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV => no_longer_exists(pf, device),
        other => io("open", &*device.dir, &files, other),
    })?;
    if !(how.is_same_device)()? {
        return Err(no_longer_exists(pf, device));
    }
    clear_type(&*dir).map_err(|errno| match errno {
        Errno::BUSY => Error { code: ErrorCode::InUse, ..io("write", &*dir, CURRENT, errno) },
        other => write_error(&*dir, CURRENT, other),
    })?;
    clear_params(&*dir);
    Ok(())
}

fn io(action: &str, dir: &dyn Dir, file: &str, errno: Errno) -> Error {
    Error::io(action, &format!("{}/{file}", dir.path()), errno)
}

fn pf_no_longer_exists(parent: &dyn Dir) -> Error {
    let message = "the PF no longer exists; it was removed or its driver unbound";
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(parent.path())
}

fn no_longer_exists(parent: &dyn Dir, device: &Located) -> Error {
    let message = format!(
        "device {} no longer exists: its VF {} was removed or cleared, or another program wrote to it; list the devices",
        device.uuid, device.entry
    );
    Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(format!("{}/{}", parent.path(), device.entry))
}

fn read_candidates(parent: &dyn Dir) -> Result<Vec<Candidate>> {
    let candidates = candidates(parent).map_err(|errno| Error::io("read the VFs of", parent.path(), errno))?;
    // While the caller waited for the lock, the PF may have been removed.
    if candidates.is_empty() && parent.meta(VFS).is_err() { Err(pf_no_longer_exists(parent)) } else { Ok(candidates) }
}

/// Chooses a free VF that lists the type: the VF that lists the most types or, with `pack`, the fewest; the first of
/// several with the same number.
fn choose<'c>(parent: &dyn Dir, request: &CreateRequest<'_>, candidates: &'c [Candidate]) -> Result<&'c Candidate> {
    if request.group.is_some() {
        return Err(no_group(request.type_id));
    }
    let wanted = |candidate: &&Candidate| request.vf.is_none_or(|vf| candidate.vf.sysname == vf);
    let named: Vec<&Candidate> = candidates.iter().filter(wanted).collect();
    let free = || named.iter().copied().filter(|candidate| candidate.vf.type_id.is_none());
    let lists = |candidate: &&Candidate| candidate.creatable.iter().any(|ty| ty.id == request.type_id);
    let fitting = || free().filter(lists).filter(|candidate| !request.avoid.contains(&candidate.vf.sysname));
    let count = |candidate: &&Candidate| candidate.creatable.len();
    // min_by_key returns the first of several, max_by_key the last.
    let chosen = match request.pack {
        true => fitting().min_by_key(count),
        false => fitting().min_by_key(|candidate| std::cmp::Reverse(count(candidate))),
    };
    let Some(chosen) = chosen else { return Err(no_free_vf(parent, request, &named, free().count())) };
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

/// The error for a VF without an IOMMU group: a device on it is never usable. Checked before the first write.
fn no_iommu_group(parent: &dyn Dir, vf: &str) -> Error {
    let message = format!(
        "VF {vf} has no IOMMU group, so no guest can use it: the IOMMU is off; enable it in the firmware and on the \
         kernel's command line (intel_iommu=on, amd_iommu=on), and reboot"
    );
    Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).at(parent.path())
}

/// The error if no VF is left, with the reason and the next step. `named` are the VFs that the request permits, `free`
/// is the number of those without a type.
fn no_free_vf(parent: &dyn Dir, request: &CreateRequest<'_>, named: &[&Candidate], free: usize) -> Error {
    let id = request.type_id;
    let message = match (request.vf, named) {
        (_, []) => why_no_types(parent),
        (Some(vf), [candidate, ..]) if free == 0 => {
            let used = candidate.vf.type_id.as_deref().unwrap_or_default();
            format!("VF {vf} has a device of type {used} already; destroy it, or name the PF to use any free VF")
        }
        (Some(vf), _) => {
            format!("VF {vf} does not list type {id} in {CREATABLE} now; destroy a device or use another parent")
        }
        (None, all) if free == 0 => format!("all {} VFs have a device; destroy one or use another parent", all.len()),
        (None, _) if !request.avoid.is_empty() => {
            format!(
                "no VF is left for type {id}: the driver refused the type on {}; see the kernel's log",
                request.avoid.join(", ")
            )
        }
        (None, all) => {
            let types: BTreeSet<&str> = all.iter().filter_map(|candidate| candidate.vf.type_id.as_deref()).collect();
            let others = match types.is_empty() {
                true => String::new(),
                false => format!(" beside the vGPUs of type {}", Vec::from_iter(types).join(", ")),
            };
            format!(
                "type {id} has no instances left: none of the {free} free VFs of {} lists it{others}; destroy one or use another \
                 parent",
                all.len()
            )
        }
    };
    Error::new(ErrorCode::NoInstances, Errno::NOSPC, message).at(parent.path())
}

/// The writes that make a chosen VF a device. The caller holds the lock of the PF.
struct VfWrites<'a> {
    /// The vendor's folder of the VF.
    dir: Box<dyn Dir>,
    vf: ChosenVf,
    request: CreateRequest<'a>,
}

impl CreateWrites for VfWrites<'_> {
    fn planned(&self) -> Vec<(String, String)> {
        let path = |file: &str| format!("{}/{file}", self.dir.path());
        let params = self.request.params.map(|params| (path(PARAMS), params.to_owned()));
        params.into_iter().chain([(path(CURRENT), self.request.type_id.to_owned())]).collect()
    }

    fn set_up(&mut self) -> Result<()> {
        self.check_free()
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.create().inspect_err(|_| self.roll_back())
    }
}

impl VfWrites<'_> {
    fn create(&self) -> Result<()> {
        let Some(params) = self.request.params else {
            // The new device must not inherit the parameters of an earlier device on this VF.
            clear_params(&*self.dir);
            return self.set_type();
        };
        // Some drivers accept parameters before the VF has its type, others only after that.
        let early = write_params(&*self.dir, params)?;
        self.set_type()?;
        match early {
            Kept::All => return Ok(()),
            Kept::Not(_) => {}
        }
        match write_params(&*self.dir, params)? {
            Kept::All => Ok(()),
            Kept::Not(error) => Err(error),
        }
    }

    /// Fails if a program that does not use the lock has written to the VF since it was chosen.
    fn check_free(&self) -> Result<()> {
        let dir = &*self.dir;
        let state = chosen_state(dir, &self.vf, self.request.type_id);
        if state.map_err(|errno| io("read", dir, CURRENT, errno))? == ChosenState::Free {
            return Ok(());
        }
        let message = format!("another program wrote to VF {} before its type was set; try again", self.vf.sysname);
        let path = format!("{}/{CURRENT}", dir.path());
        Err(Error::new(ErrorCode::NoInstances, Errno::NOSPC, message).at(path))
    }

    /// Writes the type. Fails if the VF does not have the type afterwards.
    fn set_type(&self) -> Result<()> {
        let (dir, id) = (&*self.dir, self.request.type_id);
        if let Err(errno) = write_line_once(dir, CURRENT, id) {
            // A driver may set the type and return an error. A VF does not list the type that it has.
            if read_text(dir, CURRENT).is_ok_and(|text| text.trim() == id) {
                return Err(write_error(dir, CURRENT, errno));
            }
            let (code, errno, why) = match self.still_lists() {
                // The card became full, or a program without the lock wrote a type first.
                Some(false) => (ErrorCode::NoInstances, Errno::NOSPC, format!(" ({})", describe(errno))),
                _ if errno == Errno::NOSPC => (ErrorCode::NoInstances, errno, String::new()),
                _ => return Err(write_error(dir, CURRENT, errno)),
            };
            let message =
                format!("VF {} cannot have type {id} any more{why}; use another VF or another parent", self.vf.sysname);
            return Err(Error::new(code, errno, message).at(format!("{}/{CURRENT}", dir.path())));
        }
        // A driver may return success and do nothing.
        let text = read_text(dir, CURRENT).map_err(|errno| io("read", dir, CURRENT, errno))?;
        if text.trim() == id {
            return Ok(());
        }
        let message = format!(
            "the driver accepted type {id} for VF {}, but {CURRENT} is '{}'; see the kernel's log",
            self.vf.sysname,
            shown(&text)
        );
        Err(Error::new(ErrorCode::NotReady, Errno::IO, message).at(format!("{}/{CURRENT}", dir.path())))
    }

    /// Whether the VF lists the type now; `None` if the list cannot be read.
    fn still_lists(&self) -> Option<bool> {
        let text = read_text(&*self.dir, CREATABLE).ok()?;
        Some(vgpu_types::parse(&text).0.iter().any(|ty| ty.id == self.request.type_id))
    }

    /// Clears the VF after a failed create, unless another program has written to it.
    fn roll_back(&self) {
        let dir = &*self.dir;
        match chosen_state(dir, &self.vf, self.request.type_id) {
            Ok(ChosenState::Free) | Err(_) => {}
            Ok(ChosenState::Own) => {
                if let Err(errno) = clear_type(dir) {
                    log::error!(
                        "{}/{CURRENT}: cannot clear the VF after a failed create: {errno}; write 0 to the file",
                        dir.path()
                    );
                }
            }
            Ok(ChosenState::Other) => return,
        }
        clear_params(dir);
    }
}

/// Clears the type of a VF. Succeeds if the VF is free afterwards, even if the driver returned an error for the write.
fn clear_type(dir: &dyn Dir) -> IoResult<()> {
    let written = write_line(dir, CURRENT, "0");
    match read_text(dir, CURRENT).as_deref().map(str::trim) {
        Ok("0") => Ok(()),
        Ok(_) => Err(written.err().unwrap_or(Errno::BUSY)),
        Err(errno) => Err(written.err().unwrap_or(*errno)),
    }
}

/// Whether a driver kept the parameters.
enum Kept {
    /// The file shows them, or cannot be read.
    All,
    /// The file shows another text, or the driver accepts no parameters now: the cause.
    Not(Error),
}

/// Writes the parameters and reads them back.
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
        // The file cannot be read, so there is nothing to compare.
        _ => Ok(Kept::All),
    }
}

/// Clears the parameters: they stay when the VF is cleared, and the next device would inherit them.
fn clear_params(dir: &dyn Dir) {
    let are_set = || read_text(dir, PARAMS).is_ok_and(|text| !text.trim().is_empty());
    let mut error = None;
    for clear in NO_PARAMS {
        if !are_set() {
            return;
        }
        error = write_line(dir, PARAMS, clear).err().or(error);
    }
    if are_set() {
        let why = error.map_or_else(|| "the driver keeps them".to_owned(), describe);
        log::warn!("{}/{PARAMS}: cannot be cleared: {why}; the next device of this VF may inherit them", dir.path());
    }
}
