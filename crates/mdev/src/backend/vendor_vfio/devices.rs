// SPDX-License-Identifier: LGPL-2.1-or-later
//! Locates devices that are VFs, by their records or by the types of the VFs.

use std::rc::Rc;

use uuid::Uuid;

use super::identity::{self, Outcome, VfState, is_about, state, state_at, uuid_of};
use super::pfs::physical_functions;
use super::vfs::usable;
use crate::backend::{Attempt, Backend, Created, DeviceId, Folders, Located, PCI, Place};
use crate::error::{Error, Result};
use crate::finding::{Finding, or_report, search_where};
use crate::model::Vf;
use crate::store::{DeviceRecord, Records};
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, if_present, resolve};

/// A VF that has a type.
struct UsedVf {
    pf: Rc<dyn Dir>,
    vf: Vf,
    state: VfState,
}

/// The VF `entry` of an open PF as the device of this UUID.
fn located(
    backend: &'static dyn Backend,
    pf: &Rc<dyn Dir>,
    entry: &str,
    uuid: Uuid,
    state: VfState,
) -> IoResult<Located> {
    let syspath = resolve(pf.path(), &pf.link(entry)?).ok_or(Errno::NOENT)?;
    Ok(Located {
        backend,
        uuid,
        parent: pf.path().to_owned(),
        syspath,
        dir: Rc::clone(pf),
        entry: entry.to_owned(),
        identity: state.identity,
        type_id: Some(state.type_id),
    })
}

/// The state of a search for devices.
pub(super) struct Search<'a> {
    pub(super) backend: &'static dyn Backend,
    pub(super) folders: &'a Folders<'a>,
    pub(super) records: &'a Records<'a>,
}

impl Search<'_> {
    /// Every device. Reports and leaves out a VF that cannot be read. `cached_vfs` returns the VFs of a PF that was
    /// read before.
    pub(super) fn all(&self, cached_vfs: &dyn Fn(&str) -> Option<Vec<Vf>>) -> Result<Vec<Located>> {
        let mut devices = Vec::new();
        for used in used_vfs(self.folders.sysfs(), cached_vfs)? {
            let uuid = uuid_of(&used.vf.sysname, &used.state, self.records.all()?.values());
            let path = vf_path(&*used.pf, &used.vf);
            let device = located(self.backend, &used.pf, &used.vf.entry, uuid, used.state);
            devices.extend(left_out_vf(device, &path)?);
        }
        Ok(devices)
    }

    /// See [`crate::backend::Wanted::Uuid`].
    pub(super) fn by_uuid(&self, uuid: &Uuid, may_be: &dyn Fn(&str) -> bool) -> Result<Option<Located>> {
        if let Some(record) = self.records.get(uuid)? {
            if let Some(device) = self.of_record(&record)? {
                return Ok(Some(device));
            }
        }
        // Only a UUID of this version can be the derived UUID of a VF that has no record.
        if uuid.get_version_num() != 5 {
            return Ok(None);
        }
        let mut used = Vec::new();
        let unread = search_where(
            |finding| may_hide_vf(self.folders.sysfs(), finding) && may_be(&finding.object),
            || {
                used = used_vfs(self.folders.sysfs(), &|_| None)?;
                Ok(None)
            },
        );
        // Outside of that search: an unreadable record is not an object that may be the device.
        for UsedVf { pf, vf, state } in used {
            if uuid_of(&vf.sysname, &state, self.records.all()?.values()) == *uuid {
                let path = vf_path(&*pf, &vf);
                return if_present(located(self.backend, &pf, &vf.entry, *uuid, state))
                    .map_err(|errno| Error::io("read", &path, errno));
            }
        }
        unread
    }

    /// The device of a record, if it is about a VF and the VF is still that device. Fails if the VF cannot be read.
    fn of_record(&self, record: &DeviceRecord) -> Result<Option<Located>> {
        let Some(vf) = record.vf.as_deref() else { return Ok(None) };
        let find = || {
            let Some(state) = state_at(self.folders, vf)?.filter(|state| is_about(record, vf, state)) else {
                return Ok(None);
            };
            self.at_vf(vf, record.uuid, state)
        };
        // Absent if the VF was removed after its state was read.
        let device =
            if_present(find()).map_err(|errno| Error::io("look for the device on", &format!("{PCI}/{vf}"), errno))?;
        Ok(device.flatten())
    }

    /// The VF at an address as the device of this UUID, through the folder of PCI devices; `None` if it has no PF.
    fn at_vf(&self, vf: &str, uuid: Uuid, state: VfState) -> IoResult<Option<Located>> {
        let pci = self.folders.open(PCI)?.ok_or(Errno::NOENT)?;
        let syspath = resolve(PCI, &pci.link(vf)?).ok_or(Errno::NOENT)?;
        let parent = if_present(pci.link(&format!("{vf}/physfn")))?.and_then(|pf| resolve(&syspath, &pf));
        let VfState { type_id, identity } = state;
        let (backend, entry, type_id) = (self.backend, vf.to_owned(), Some(type_id));
        Ok(parent.map(|parent| Located { backend, uuid, parent, syspath, dir: pci, entry, identity, type_id }))
    }

    /// See [`crate::backend::Wanted::Name`].
    pub(super) fn by_name(&self, vf: &str) -> Result<Option<Located>> {
        let failed = |errno| Error::io("read", &format!("{PCI}/{vf}"), errno);
        let Some(state) = if_present(state_at(self.folders, vf)).map_err(failed)?.flatten() else { return Ok(None) };
        let uuid = uuid_of(vf, &state, self.records.all()?.values());
        Ok(if_present(self.at_vf(vf, uuid, state)).map_err(failed)?.flatten())
    }

    /// See [`crate::backend::Wanted::Same`].
    pub(super) fn same(&self, id: &DeviceId<'_>) -> Result<Option<Located>> {
        let failed = |errno| Error::io("read VF", id.sysname, errno);
        let state = if_present(state_at(self.folders, id.sysname)).map_err(failed)?.flatten();
        let Some(state) = state else { return Ok(None) };
        if !identity::is_of_handle(self.records, id, &state)? {
            return Ok(None);
        }
        Ok(if_present(self.at_vf(id.sysname, *id.uuid, state)).map_err(failed)?.flatten())
    }

    /// See [`crate::backend::Backend::locate_created`].
    pub(super) fn locate_created(&self, attempt: &Attempt<'_>) -> IoResult<Created> {
        let Some(vf) = attempt.vf else { return Ok(Created::Absent) };
        let find = || {
            // If the PF no longer exists, neither does the VF.
            let pf: Rc<dyn Dir> = Rc::from(self.folders.sysfs().open(attempt.parent)?);
            Ok(state(&*pf, attempt.entry)?.map(|state| (pf, state)))
        };
        let Some((pf, state)) = if_present(find())?.flatten() else { return Ok(Created::Absent) };
        Ok(match identity::create_outcome(self.records, attempt, vf, &state) {
            Outcome::Absent => Created::Absent,
            Outcome::InDoubt(state) => Created::InDoubt(state),
            Outcome::Own => if_present(located(self.backend, &pf, attempt.entry, attempt.uuid, state))?
                .map_or(Created::Absent, Created::Own),
        })
    }
}

/// The path of a VF below its open PF.
fn vf_path(pf: &dyn Dir, vf: &Vf) -> String {
    format!("{}/{}", pf.path(), vf.entry)
}

/// Every VF that has a type. Reports and leaves out a PF or a VF that cannot be read.
fn used_vfs(sysfs: &dyn Sysfs, cached_vfs: &dyn Fn(&str) -> Option<Vec<Vf>>) -> Result<Vec<UsedVf>> {
    let mut used = Vec::new();
    for Place { syspath, .. } in physical_functions(sysfs)? {
        let read = || {
            let pf: Rc<dyn Dir> = Rc::from(sysfs.open(&syspath)?);
            let vfs = cached_vfs(&syspath).map_or_else(|| usable(&*pf), Ok)?;
            Ok((pf, vfs))
        };
        let what = "its VFs cannot be read, so its devices are left out";
        let read = or_report(read(), |errno| Finding::io(&syspath, what, errno));
        let read = read.map_err(|errno| Error::io("read the VFs of", &syspath, errno))?;
        let Some((pf, vfs)) = read else { continue };
        for vf in vfs.into_iter().filter(|vf| vf.type_id.is_some()) {
            let state = left_out_vf(state(&*pf, &vf.entry), &vf_path(&*pf, &vf))?.flatten();
            used.extend(state.map(|state| UsedVf { pf: Rc::clone(&pf), vf, state }));
        }
    }
    Ok(used)
}

/// `None` if the VF at a path cannot be read; reports that.
fn left_out_vf<T>(read: IoResult<T>, path: &str) -> Result<Option<T>> {
    or_report(read, |errno| Finding::io(path, "left out", errno)).map_err(|errno| Error::io("read", path, errno))
}

/// Whether an object that was left out may be a VF, or a PF with VFs. False for a PCI device that has no VFs.
fn may_hide_vf(sysfs: &dyn Sysfs, finding: &Finding) -> bool {
    let Some(entry) = finding.object.strip_prefix(PCI).map(|entry| entry.trim_start_matches('/')) else { return true };
    let first_vf = || if_present(sysfs.open(PCI).and_then(|pci| pci.meta(&format!("{entry}/virtfn0"))));
    entry.is_empty() || !matches!(first_vf(), Ok(None))
}
