// SPDX-License-Identifier: LGPL-2.1-or-later
//! Determines which device a VF is. The kernel has no UUID for a device on a VF.
//!
//! A VF is the device of a record as long as it has the type and the identity that its creator recorded. The type of
//! any other VF was set by another program, and the UUID of that device is derived from the address and the type of the
//! VF. The identity is the time of last change of `current_vgpu_type`. A creator sets it before it writes the type, so
//! the type that another creator writes has another identity.

use uuid::{Uuid, uuid};

use super::vfs::{CURRENT, FOLDER, current, current_in};
use crate::backend::{Attempt, ChosenVf, DeviceId, Folders, Located, PCI};
use crate::error::{Error, ErrorCode, Result};
use crate::store::{DeviceRecord, RecordedDevice, Records};
use crate::sysfs::{Dir, Errno, IoResult, if_present};

/// The namespace of derived UUIDs.
const NAMESPACE: Uuid = uuid!("6d646576-7666-5f61-8c1e-0f5c1f2b7a10");

/// The state of a VF that is a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VfState {
    pub(super) type_id: String,
    pub(super) identity: u64,
}

impl VfState {
    /// Whether the VF is still the device that had this type and identity.
    fn is(&self, type_id: &str, identity: u64) -> bool {
        self.type_id == type_id && self.identity == identity
    }
}

/// The state of the VF `entry` of `dir`; `None` if it has no type. Reads the identity first: if the type changes in
/// between, the identity is no longer valid.
pub(super) fn state(dir: &dyn Dir, entry: &str) -> IoResult<Option<VfState>> {
    let identity = dir.meta(&format!("{entry}/{FOLDER}/{CURRENT}"))?.changed;
    Ok(current(dir, entry)?.map(|type_id| VfState { type_id, identity }))
}

/// The state of the VF at this address; `None` if it has no type.
pub(super) fn state_at(folders: &Folders<'_>, vf: &str) -> IoResult<Option<VfState>> {
    state(&*folders.open(PCI)?.ok_or(Errno::NOENT)?, vf)
}

/// The UUID of the device on a VF that no record is about.
fn derived_uuid(vf: &str, type_id: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{vf} {type_id}").as_bytes())
}

/// Whether a record is about the device that the VF is now.
pub(super) fn is_about(record: &DeviceRecord, vf: &str, state: &VfState) -> bool {
    record.vf.as_deref() == Some(vf) && record.type_id == state.type_id && record.is_of(state.identity)
}

/// The UUID of the device that a VF is: the recorded or the derived one.
pub(super) fn uuid_of<'r>(vf: &str, state: &VfState, mut records: impl Iterator<Item = &'r DeviceRecord>) -> Uuid {
    let own = records.find(|record| is_about(record, vf, state));
    own.map_or_else(|| derived_uuid(vf, &state.type_id), |record| record.uuid)
}

/// Whether no record is about the device that the VF is now.
fn is_unclaimed<'r>(vf: &str, state: &VfState, mut records: impl Iterator<Item = &'r DeviceRecord>) -> bool {
    !records.any(|record| is_about(record, vf, state))
}

/// Whether the VF is the device of this UUID.
fn is_device(records: &Records<'_>, uuid: &Uuid, vf: &str, state: &VfState) -> Result<bool> {
    if records.get(uuid)?.is_some_and(|record| is_about(&record, vf, state)) {
        return Ok(true);
    }
    // The derived UUID applies only while no record claims this VF.
    Ok(derived_uuid(vf, &state.type_id) == *uuid && is_unclaimed(vf, state, records.all()?.values()))
}

/// The state in which a device was located.
fn state_of(device: &Located) -> VfState {
    VfState { type_id: device.type_id.clone().unwrap_or_default(), identity: device.identity }
}

/// Whether a record is about the located device.
pub(super) fn is_of(record: &DeviceRecord, device: &Located) -> bool {
    is_about(record, device.sysname(), &state_of(device))
}

/// See [`crate::backend::Backend::is_same`].
pub(super) fn is_same(device: &Located, records: Option<&Records<'_>>) -> Result<bool> {
    let failed = |errno| Error::io("read", &device.syspath, errno);
    let now = if_present(state(&*device.dir, &device.entry)).map_err(failed)?.flatten();
    let before = state_of(device);
    if !now.is_some_and(|now| now.is(&before.type_id, before.identity)) {
        return Ok(false);
    }
    records.map_or(Ok(true), |records| is_device(records, &device.uuid, device.sysname(), &before))
}

/// Whether the VF is the device of a handle.
pub(super) fn is_of_handle(records: &Records<'_>, id: &DeviceId<'_>, state: &VfState) -> Result<bool> {
    match id.identity {
        Some(identity) => Ok(state.is(id.type_id, identity)),
        None => Ok(state.type_id == id.type_id && is_device(records, id.uuid, id.sysname, state)?),
    }
}

/// See [`crate::backend::Backend::device_of_record`].
pub(super) fn device_of_record(folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice> {
    let Some(vf) = record.vf.as_deref() else { return Ok(RecordedDevice::Absent) };
    Ok(match if_present(state_at(folders, vf))?.flatten() {
        None => RecordedDevice::Absent,
        Some(now) if is_about(record, vf, &now) => RecordedDevice::Own(now.identity),
        Some(_) => RecordedDevice::Other,
    })
}

/// See [`crate::backend::Backend::explain_missing`].
pub(super) fn explain_missing(folders: &Folders<'_>, records: &Records<'_>, record: &DeviceRecord) -> Option<Error> {
    let (uuid, vf) = (record.uuid, record.vf.as_deref()?);
    let now = if_present(state_at(folders, vf)).map_err(|errno| Error::io("read", &format!("{PCI}/{vf}"), errno));
    let recorded = match records.all() {
        Ok(recorded) => recorded,
        Err(e) => return Some(e),
    };
    let message = match now.map(Option::flatten) {
        // The VF was cleared and its type was set again, or the write was refused and the type did not change.
        Ok(Some(now)) if now.type_id == record.type_id && is_unclaimed(vf, &now, recorded.values()) => format!(
            "another program wrote the type of VF {vf}, so device {uuid} can no longer be identified; the VF is now listed as \
             device {}",
            derived_uuid(vf, &now.type_id)
        ),
        Ok(Some(now)) => format!(
            "device {uuid} no longer exists: its VF {vf} was cleared and is device {} now",
            uuid_of(vf, &now, recorded.values())
        ),
        Ok(None) => format!("device {uuid} no longer exists: its VF {vf} was removed or was cleared"),
        Err(e) => format!("device {uuid} cannot be found: its VF {vf} cannot be read: {}", e.message),
    };
    Some(Error::new(ErrorCode::NoNode, Errno::NODEV, message))
}

/// The state of a VF that was chosen for a new device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChosenState {
    /// It has no type, and no other program has written to it.
    Free,
    /// It is the new device.
    Own,
    /// Another program has written to it: the VF and its parameters belong to that program. If that program cleared the
    /// VF again or its write was refused, the new device can no longer be identified.
    Other,
}

/// The state of a chosen VF. `files` is the vendor's folder of the VF. A VF whose identity could not be set is never
/// [`ChosenState::Own`]. Reads the identity last: if it is the one that was set, no other program wrote the type that
/// was read.
pub(super) fn chosen_state(files: &dyn Dir, vf: &ChosenVf, type_id: &str) -> IoResult<ChosenState> {
    let now = match current_in(files, CURRENT) {
        Err(Errno::BADMSG) => return Ok(ChosenState::Other),
        now => now?,
    };
    let identity = files.meta(CURRENT)?.changed;
    Ok(match (now, vf.identity) {
        (_, Some(set)) if set != identity => ChosenState::Other,
        (None, _) => ChosenState::Free,
        (Some(id), Some(_)) if id == type_id => ChosenState::Own,
        (Some(_), _) => ChosenState::Other,
    })
}

/// The outcome of a create: see [`crate::backend::Created`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Absent,
    Own,
    InDoubt(String),
}

/// Whether a VF is the device that an attempt created.
pub(super) fn create_outcome(records: &Records<'_>, attempt: &Attempt<'_>, vf: &str, state: &VfState) -> Outcome {
    if state.type_id != attempt.type_id {
        return Outcome::Absent;
    }
    if attempt.identity.map_or(attempt.is_accepted, |identity| identity == state.identity) {
        return Outcome::Own;
    }
    // The record of the attempt itself does not count: while it has no identity, it matches every device of this type
    // on the VF.
    let is_others = |record: &&DeviceRecord| record.uuid != attempt.uuid;
    if records.all().is_ok_and(|all| !is_unclaimed(vf, state, all.values().filter(is_others))) {
        return Outcome::Absent;
    }
    let derived = derived_uuid(vf, &state.type_id);
    Outcome::InDoubt(format!(
        "VF {vf} still has type {} and was not cleared, because another program may have created that device; it is listed as \
         {derived}: destroy it unless another program created it",
        state.type_id
    ))
}
