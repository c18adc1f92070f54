// SPDX-License-Identifier: LGPL-2.1-or-later
//! Devices on the mdev bus. The name of a device is its UUID. The inode number of its link is its identity, because
//! sysfs never uses such a number twice.

use std::collections::BTreeSet;
use std::rc::Rc;

use uuid::Uuid;

use crate::backend::vfio::Nodes;
use crate::backend::{Attempt, Backend, Created, DEVICES, Folders, Layout, Located, open_bus};
use crate::error::{Error, ErrorCode, Result, describe};
use crate::finding::{Finding, or_report, report, report_unless_exhausted};
use crate::model::name::parse_uuid;
use crate::store::{DeviceRecord, RECORDS, RecordedDevice};
use crate::sysfs::{Birth, Dir, Errno, IoResult, Sysfs, basename, dirname, if_present, names, resolve};

/// Every device. Reports and leaves out a device that cannot be read.
pub(super) fn all(backend: &'static dyn Backend, sysfs: &dyn Sysfs) -> Result<Vec<Located>> {
    let bus = match open_bus(sysfs) {
        Ok(Some(bus)) => bus,
        Ok(None) => return Ok(Vec::new()),
        // The error must not hide the parents and the devices of other backends.
        Err(e) => return report_unless_exhausted(e).map(|()| Vec::new()),
    };
    let mut entries = BTreeSet::new();
    or_report(names(&*bus, &mut entries), |errno| Finding::io(DEVICES, "it cannot be listed to its end", errno))
        .map_err(|errno| Error::io("list", DEVICES, errno))?;
    let uuids: Vec<Uuid> = entries.iter().filter_map(|entry| uuid_of(entry)).collect();
    let mut devices = Vec::with_capacity(uuids.len());
    for uuid in uuids {
        let read = on_bus(backend, &bus, &uuid);
        let device = or_report(read, |errno| Finding::io(format!("{DEVICES}/{uuid}"), "left out", errno));
        devices.extend(device.map_err(|errno| bus_error(&uuid, errno))?.flatten());
    }
    Ok(devices)
}

/// The UUID of an entry of the bus. Reports an entry whose name is no UUID.
fn uuid_of(entry: &str) -> Option<Uuid> {
    let uuid = parse_uuid(entry);
    if uuid.is_none() {
        let entry = format!("{DEVICES}/{entry}");
        report(Finding::new(ErrorCode::BadData, entry, "left out, its name is not a UUID"));
    }
    uuid
}

/// The device of this UUID on the open bus; `None` if there is none.
pub(super) fn on_bus(backend: &'static dyn Backend, bus: &Rc<dyn Dir>, uuid: &Uuid) -> IoResult<Option<Located>> {
    let entry = uuid.to_string();
    // The identity is read first: if another device gets this UUID before the path is read, the identity is no longer
    // valid.
    let Some(identity) = identity(&**bus, &entry)? else { return Ok(None) };
    let Some(target) = if_present(bus.link(&entry))? else { return Ok(None) };
    let syspath = resolve(bus.path(), &target).ok_or(Errno::NOENT)?;
    let parent = dirname(&syspath).to_owned();
    let dir = Rc::clone(bus);
    Ok(Some(Located { backend, uuid: *uuid, parent, syspath, dir, entry, identity, type_id: None }))
}

/// The error for a device whose entry on the bus cannot be read.
pub(super) fn bus_error(uuid: &Uuid, errno: Errno) -> Error {
    Error::io("look for the device", &format!("{DEVICES}/{uuid}"), errno)
}

/// The identity of the entry `entry` of the open bus; `None` if there is none.
pub(super) fn identity(dir: &dyn Dir, entry: &str) -> IoResult<Option<u64>> {
    Ok(if_present(dir.meta(entry))?.map(|meta| meta.ino))
}

/// See [`Backend::locate_created`].
pub(super) fn locate_created(
    backend: &'static dyn Backend,
    sysfs: &dyn Sysfs,
    attempt: &Attempt<'_>,
) -> IoResult<Created> {
    let bus = open_bus(sysfs).map_err(|e| e.errno())?;
    let on_bus = bus.map(|bus| on_bus(backend, &bus, &attempt.uuid)).transpose()?.flatten();
    let Some(device) = on_bus.filter(|device| device.parent == attempt.parent) else { return Ok(Created::Absent) };
    let is_own = match attempt.identity {
        Some(identity) => identity == device.identity,
        // Another program may have created a device of the same UUID. In the layout `rfc` a device may not show its
        // type.
        None => {
            let parent = device.open_parent(sysfs).map_err(|e| e.errno())?;
            let type_id = backend.type_of(parent.layout, &*device.dir, &device.entry)?;
            type_id.is_none_or(|id| id == attempt.type_id)
        }
    };
    Ok(if is_own { Created::Own(device) } else { Created::Absent })
}

/// See [`Backend::device_of_record`].
pub(super) fn device_of_record(
    backend: &'static dyn Backend,
    folders: &Folders<'_>,
    record: &DeviceRecord,
) -> IoResult<RecordedDevice> {
    if record.vf.is_some() {
        return Ok(RecordedDevice::Absent);
    }
    let Some(bus) = folders.open(DEVICES)? else { return Ok(RecordedDevice::Absent) };
    let (now, is_own) = if record.abandoned.is_none() {
        let Some(now) = identity(&*bus, &record.uuid.to_string())? else { return Ok(RecordedDevice::Absent) };
        (now, record.is_of(now))
    } else {
        let Some(device) = on_bus(backend, &bus, &record.uuid)? else { return Ok(RecordedDevice::Absent) };
        let opened = device.open_parent(folders.sysfs()).map_err(|e| e.errno());
        let Some(parent) = if_present(opened)? else { return Ok(RecordedDevice::Absent) };
        let is_own = is_about(backend, folders.sysfs(), parent.layout, &device, record);
        (device.identity, is_own.map_err(|e| e.errno())?)
    };
    Ok(if is_own { RecordedDevice::Own(now) } else { RecordedDevice::Other })
}

/// See [`Backend::is_about`]. If the creator was killed, its record is about the device only if the parent, the type
/// and the time are the recorded ones: another program may have created a device of this UUID since.
pub(super) fn is_about(
    backend: &'static dyn Backend,
    sysfs: &dyn Sysfs,
    layout: &Layout,
    device: &Located,
    record: &DeviceRecord,
) -> Result<bool> {
    if record.vf.is_some() || !record.is_of(device.identity) {
        return Ok(false);
    }
    if record.abandoned.is_none() {
        return Ok(true);
    }
    if record.parent != basename(&device.parent) {
        return Ok(false);
    }
    let type_id = backend.type_of(layout, &*device.dir, &device.entry);
    let type_id = type_id.map_err(|errno| unknown_creator(device, &describe(errno), errno))?;
    if type_id.is_some_and(|id| id != record.type_id) {
        return Ok(false);
    }
    appeared_in_time(sysfs, device, record)
}

/// Whether the device appeared at a time at which its killed creator may have created it. The time of its link is the
/// time when it appeared, or later. Its VFIO nodes appear with it, during the creator's write.
fn appeared_in_time(sysfs: &dyn Sysfs, device: &Located, record: &DeviceRecord) -> Result<bool> {
    let failed = |errno| unknown_creator(device, &describe(errno), errno);
    let Some(link) = if_present(device.dir.meta(&device.entry)).map_err(failed)? else { return Ok(false) };
    if record.may_have_created(link.changed) {
        return Ok(true);
    }
    let nodes = Nodes::of(&*device.dir, &device.entry);
    for node in nodes.map_err(|e| unknown_creator(device, &e.message, e.errno()))?.all() {
        match sysfs.vfio_node_birth(&node).map_err(failed)? {
            Some(Birth::At(time)) if record.began_after(time) => {
                let why = format!("{} is older than the write of the killed creator", node.path());
                return Err(unknown_creator(device, &why, Errno::NODATA));
            }
            Some(Birth::At(time)) => return Ok(record.may_have_created(time)),
            Some(Birth::NotAfter(time)) if record.may_have_created(time) => return Ok(true),
            _ => {}
        }
    }
    Err(unknown_creator(device, "no VFIO node of the device in /dev shows when the device was created", Errno::NODATA))
}

fn unknown_creator(device: &Located, why: &str, errno: Errno) -> Error {
    let message = format!(
        "cannot determine which program created the device, its killed creator or another one: {why}; if it was another \
         one, remove the record {RECORDS}/{} below the root of this connection, otherwise destroy the device",
        device.uuid
    );
    Error::new(ErrorCode::NotReady, errno, message).at(device.syspath.clone())
}
