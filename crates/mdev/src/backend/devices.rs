// SPDX-License-Identifier: LGPL-2.1-or-later
//! Locates running devices, of any backend.

use once_cell::unsync::OnceCell;
use uuid::Uuid;

use super::parents::ParentCache;
use super::registry::{self, BACKENDS};
use super::{DeviceId, Folders, Located, PCI, Place, Wanted, places};
use crate::error::{Error, ErrorCode, Result, describe, unless_absent};
use crate::model::{Device, LayoutKind};
use crate::store::{DeviceRecord, Records};
use crate::sysfs::{Errno, IoResult, Sysfs, basename};

/// Every running device. Reports and leaves out what cannot be read.
pub fn all(sysfs: &dyn Sysfs, records: &Records<'_>, known: &ParentCache<'_>) -> Result<Vec<Located>> {
    let mut found = Vec::new();
    for backend in BACKENDS {
        found.extend(backend.devices(sysfs, records, &|parent| known.vfs(parent))?);
    }
    Ok(found)
}

/// The device of this UUID. If it is not found, an object that cannot be read and may be the device is an error; with
/// `near`, the sysfs name of a parent or VF, only an object there.
pub fn locate(
    folders: &Folders<'_>,
    records: &Records<'_>,
    uuid: &Uuid,
    near: Option<&str>,
) -> Result<Option<Located>> {
    let near = near.map(|sysname| Near { sysfs: folders.sysfs(), sysname, place: OnceCell::new() });
    let may_be = |object: &str| near.as_ref().is_none_or(|near| near.has(object));
    search(folders, records, &Wanted::Uuid(uuid, &may_be))
}

fn search(folders: &Folders<'_>, records: &Records<'_>, wanted: &Wanted<'_>) -> Result<Option<Located>> {
    for backend in BACKENDS {
        if let Some(found) = backend.locate(folders, records, wanted)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The parent, or the parent of the VF, of this sysfs name: looked up only if an object cannot be read.
struct Near<'a> {
    sysfs: &'a dyn Sysfs,
    sysname: &'a str,
    place: OnceCell<Option<Place>>,
}

impl Near<'_> {
    /// Whether an object is this parent or below it.
    fn has(&self, object: &str) -> bool {
        let is_below = |path: &str| object.strip_prefix(path).is_some_and(|at| at.is_empty() || at.starts_with('/'));
        let find = || unless_absent(places::find_target(self.sysfs, self.sysname).map(|target| target.place));
        match self.place.get_or_try_init(find) {
            Ok(Some(place)) => is_below(&place.syspath) || is_below(&format!("{PCI}/{}", place.sysname())),
            Ok(None) => false,
            Err(_) => true,
        }
    }
}

/// The device of this sysfs name: a UUID on the mdev bus, or the address of a VF.
pub fn locate_at(sysfs: &dyn Sysfs, records: &Records<'_>, sysname: &str) -> Result<Option<Located>> {
    search(&Folders::new(sysfs), records, &Wanted::Name(sysname))
}

/// The identity that a running device had when it was read.
pub fn id_of(device: &Device) -> DeviceId<'_> {
    let type_id = device.type_id.as_deref().unwrap_or_default();
    DeviceId { uuid: &device.uuid, sysname: basename(&device.syspath), type_id, identity: device.identity }
}

/// The device of this identity; `None` if it no longer exists, also if another device has its UUID or its VF now.
pub fn locate_same(
    sysfs: &dyn Sysfs,
    records: &Records<'_>,
    layout: LayoutKind,
    id: &DeviceId<'_>,
) -> Result<Option<Located>> {
    registry::backend(layout).locate(&Folders::new(sysfs), records, &Wanted::Same(id))
}

/// The identity that the device of a record has now; `None` if there is no such device.
pub fn identity_of_record(folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<Option<u64>> {
    for backend in BACKENDS {
        if let Some(identity) = backend.identity_of_record(folders, record)? {
            return Ok(Some(identity));
        }
    }
    Ok(None)
}

/// The same to decide whether the record can be removed: a device that cannot be looked at counts as existing.
pub fn identity_or_unknown(folders: &Folders<'_>, record: &DeviceRecord) -> Option<u64> {
    identity_of_record(folders, record).unwrap_or_else(|errno| {
        log::warn!("device {}: cannot be looked at, so its record is kept: {}", record.uuid, describe(errno));
        Some(record.identity.unwrap_or_default())
    })
}

/// The error for the device of a record whose VF is another device now or none; `None` if it was no VF.
pub fn explain_lost(sysfs: &dyn Sysfs, records: &Records<'_>, record: &DeviceRecord) -> Option<Error> {
    let (uuid, vf) = (record.uuid, record.vf.as_deref()?);
    let recorded = match records.all() {
        Ok(recorded) => recorded,
        Err(e) => return Some(e),
    };
    let message = match locate_at(sysfs, records, vf) {
        // The VF was cleared and set again, or the write was refused and the type stayed.
        Ok(Some(now)) if now.type_id.as_ref() == Some(&record.type_id) && !recorded.contains_key(&now.uuid) => format!(
            "device {uuid} can no longer be identified: another program wrote to the type of its VF {vf}, which is listed as {} \
             now",
            now.uuid
        ),
        Ok(Some(now)) => {
            format!("device {uuid} no longer exists: its VF {vf} was cleared, and is device {} now", now.uuid)
        }
        Ok(None) => format!("device {uuid} no longer exists: its VF {vf} was removed or was cleared"),
        Err(e) => format!("device {uuid} cannot be found: its VF {vf} cannot be read: {}", e.message),
    };
    Some(Error::new(ErrorCode::NoNode, Errno::NODEV, message))
}
