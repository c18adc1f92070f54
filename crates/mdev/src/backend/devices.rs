// SPDX-License-Identifier: LGPL-2.1-or-later
//! Locates running devices in all backends.

use once_cell::unsync::OnceCell;
use uuid::Uuid;

use super::parents::ParentCache;
use super::registry::{self, BACKENDS};
use super::{DeviceId, Folders, Located, PCI, Place, Wanted, places};
use crate::error::{Error, Result, describe, unless_absent};
use crate::model::{Device, LayoutKind};
use crate::store::{DeviceRecord, RecordedDevice, Records};
use crate::sysfs::{IoResult, Sysfs, basename};

/// Every running device. Reports and leaves out an object that cannot be read.
pub fn all(sysfs: &dyn Sysfs, records: &Records<'_>, parents: &ParentCache<'_>) -> Result<Vec<Located>> {
    let mut devices = Vec::new();
    for backend in BACKENDS {
        devices.extend(backend.devices(sysfs, records, &|parent| parents.vfs(parent))?);
    }
    Ok(devices)
}

/// The device of this UUID; `None` if there is none. Fails instead of that if an object that cannot be read may be the
/// device. With `near`, the sysfs name of a parent or VF, only objects of that parent count.
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
        if let Some(device) = backend.locate(folders, records, wanted)? {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

/// The parent of this sysfs name, or the parent of the VF of this name. It is looked up only if an object cannot be
/// read.
struct Near<'a> {
    sysfs: &'a dyn Sysfs,
    sysname: &'a str,
    place: OnceCell<Option<Place>>,
}

impl Near<'_> {
    /// Whether an object is this parent or below it. True if the parent cannot be looked up.
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

/// The device of this sysfs name: a UUID on the mdev bus, or the address of a VF. `None` if there is none.
pub fn locate_at(sysfs: &dyn Sysfs, records: &Records<'_>, sysname: &str) -> Result<Option<Located>> {
    search(&Folders::new(sysfs), records, &Wanted::Name(sysname))
}

/// The identity that a running device had when it was read.
pub fn id_of(device: &Device) -> DeviceId<'_> {
    let type_id = device.type_id.as_deref().unwrap_or_default();
    DeviceId { uuid: &device.uuid, sysname: basename(&device.syspath), type_id, identity: device.identity }
}

/// The device of this identity; `None` if it no longer exists. Another device with its UUID or on its VF does not
/// count.
pub fn locate_same(
    folders: &Folders<'_>,
    records: &Records<'_>,
    layout: LayoutKind,
    id: &DeviceId<'_>,
) -> Result<Option<Located>> {
    registry::backend(layout).locate(folders, records, &Wanted::Same(id))
}

/// The device of a record.
pub fn device_of_record(folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice> {
    for backend in BACKENDS {
        match backend.device_of_record(folders, record)? {
            RecordedDevice::Absent => {}
            device => return Ok(device),
        }
    }
    Ok(RecordedDevice::Absent)
}

/// The same for a caller that removes the record of an absent device: a device that cannot be read counts as existing.
pub fn device_or_unknown(folders: &Folders<'_>, record: &DeviceRecord) -> RecordedDevice {
    device_of_record(folders, record).unwrap_or_else(|errno| {
        log::warn!("device {}: cannot be read, so its record is kept: {}", record.uuid, describe(errno));
        RecordedDevice::Own(record.identity.unwrap_or_default())
    })
}

/// See [`Backend::explain_missing`](super::Backend::explain_missing).
pub fn explain_missing(folders: &Folders<'_>, records: &Records<'_>, record: &DeviceRecord) -> Option<Error> {
    BACKENDS.iter().find_map(|backend| backend.explain_missing(folders, records, record))
}
