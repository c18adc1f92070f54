// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the device of a handle. UUID and path do not identify a device: a later device can have the same UUID, or be the same VF.

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use super::devices::no_device;
use crate::backend::{DeviceId, Folders, Located, devices, layout};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{Device, LayoutKind};
use crate::store::HostLock;
use crate::sysfs::basename;

/// Locates the running device of a handle. Fails with ENODEV if the device no longer exists, also if another device has its UUID or
/// its VF now.
pub(super) fn locate(host: &Host, device: &Device) -> Result<Located> {
    locate_in(&Folders::new(&*host.sysfs), host, device)
}

fn locate_in(folders: &Folders<'_>, host: &Host, device: &Device) -> Result<Located> {
    locate_by_id(folders, host, device.layout, &devices::id_of(device))
}

/// Locates a running device by its identity. Fails as [`locate`] does.
pub(super) fn locate_by_id(folders: &Folders<'_>, host: &Host, kind: LayoutKind, id: &DeviceId<'_>) -> Result<Located> {
    let found = devices::locate_same(folders, &host.runtime.records(), kind, id)?;
    found.ok_or_else(|| gone(id))
}

/// Checks that the device still exists, and takes the lock of its VF: until the guard is dropped, no creator that uses this library
/// creates another device on the VF. `None` for a device on the mdev bus, which needs no lock: its open folder never becomes the
/// folder of another device.
pub(super) fn lock_device<'h>(host: &'h Host, device: &Device) -> Result<Option<HostLock<'h>>> {
    let folders = Folders::new(&*host.sysfs);
    let found = locate_in(&folders, host, device)?;
    let held = host.lock(found.backend.lock(layout(device.layout), basename(&found.parent), None))?;
    if held.is_some() {
        locate_in(&folders, host, device)?;
    }
    Ok(held)
}

fn gone(id: &DeviceId<'_>) -> Error {
    let (uuid, sysname) = (id.uuid, id.sysname);
    let message = format!(
        "device {uuid} no longer exists: it was destroyed, or {sysname} is another device now; look up the device again"
    );
    Error::new(ErrorCode::NoNode, Errno::NODEV, message)
}

/// Returns the error for a UUID without a device. If the device was a VF, the message describes the current state of the VF.
pub(super) fn explain_missing(host: &Host, uuid: &Uuid) -> Error {
    let record = host.runtime.get(uuid).ok().flatten();
    let (folders, records) = (Folders::new(&*host.sysfs), host.runtime.records());
    let explained = record.and_then(|record| devices::explain_missing(&folders, &records, &record));
    explained.unwrap_or_else(|| no_device(uuid))
}
