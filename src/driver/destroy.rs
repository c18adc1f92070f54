// SPDX-License-Identifier: LGPL-2.1-or-later
//! Destroys devices, and never one that is in use: the kernel would hang the caller until its user goes.

use rustix::io::Errno;
use uuid::Uuid;

use super::devices::{no_device, open_devices, syspath};
use super::{DestroyFlags, Host, ready};
use crate::error::{Error, ErrorCode, Result};
use crate::layout::bus::link_name;
use crate::layout::{Layout, open_parent};
use crate::model::name::node_name;
use crate::sysfs::{Dir, Guard, basename, dirname};

pub(super) fn destroy(host: &Host, uuid: &Uuid, flags: DestroyFlags) -> Result<()> {
    let bus = open_devices(host)?.ok_or_else(|| no_device(uuid))?;
    let syspath = syspath(&*bus, uuid).ok_or_else(|| no_device(uuid))?;
    if flags.contains(DestroyFlags::OWNED) {
        check_owner(host, &*bus, uuid)?;
    }
    let (layout, parent) = open_parent(&*host.sysfs, dirname(&syspath))?;
    let group = link_name(&*bus, &format!("{uuid}/iommu_group"));
    let result = remove(host, layout, &*parent, uuid, group.as_deref());
    match result {
        Ok(()) => {}
        // Whoever removed it, its facts are of no use any more.
        Err(e) if e.code == ErrorCode::NoNode => {
            host.runtime.forget(uuid);
            return Err(e);
        }
        Err(e) => return Err(e.of(&node_of(&*parent))),
    }
    host.runtime.forget(uuid);
    log::info!("{}: destroyed device {uuid}", basename(dirname(&syspath)));
    Ok(())
}

/// The parent's node name, for the sentence of an error.
fn node_of(parent: &dyn Dir) -> String {
    let sysname = basename(parent.path());
    link_name(parent, "subsystem").map_or_else(|| sysname.to_owned(), |subsystem| node_name(&subsystem, sysname))
}

/// The facts decide, and only when they are about this very device.
fn check_owner(host: &Host, bus: &dyn Dir, uuid: &Uuid) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorCode::NotOwner, Errno::PERM, message));
    let Some(own) = host.owner() else {
        return refuse("this connection has no owner; set one before you destroy only its own devices".to_owned());
    };
    let ino = bus.meta(&uuid.to_string()).map_err(|_| no_device(uuid))?.ino;
    let owner = host.runtime.get(uuid)?.filter(|facts| facts.are_of(ino)).and_then(|facts| facts.owner);
    match owner {
        Some(owner) if owner == own => Ok(()),
        Some(owner) => refuse(format!("device {uuid} belongs to '{owner}', not to '{own}'")),
        None => refuse(format!("device {uuid} has no recorded owner, so it is not '{own}''s")),
    }
}

fn remove(host: &Host, layout: &dyn Layout, parent: &dyn Dir, uuid: &Uuid, group: Option<&str>) -> Result<()> {
    let held = match group.and_then(|group| group.parse().ok()) {
        Some(group) => hold(host, uuid, group)?,
        None => None,
    };
    if held.is_none() {
        refuse_users(host, parent, uuid)?;
    }
    let removed = remove_patiently(host, layout, parent, uuid);
    // The node must be free again before anyone looks whether the device is gone for good.
    drop(held);
    removed?;
    ready::wait_gone(host, parent, uuid)
}

/// Nobody can open the device while this lives. EBUSY when somebody has.
fn hold(host: &Host, uuid: &Uuid, group: u32) -> Result<Option<Box<dyn Guard>>> {
    let path = format!("/dev/vfio/{group}");
    match host.sysfs.hold_vfio_group(group) {
        Ok(guard) => Ok(Some(guard)),
        Err(Errno::BUSY) => {
            let message = format!("device {uuid} is in use ({path} is open); stop the guest that has it first");
            Err(Error::new(ErrorCode::InUse, Errno::BUSY, message).at(path))
        }
        // A kernel without group nodes, or a /dev without them.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO) => Ok(None),
        Err(errno) => Err(Error::io("open", &path, errno)),
    }
}

/// Where no group can be held, the device may still have a node of its own (Linux 6.6 and later). Not a reservation, only
/// a look: better than to hang.
fn refuse_users(host: &Host, parent: &dyn Dir, uuid: &Uuid) -> Result<()> {
    let Ok(dir) = parent.open(&format!("{uuid}/vfio-dev")) else { return Ok(()) };
    let mut user = None;
    // What cannot be listed has no node that anyone could have open.
    let _ = dir.list(&mut |name, _| {
        let node = format!("devices/{name}");
        user = user.take().or_else(|| host.sysfs.vfio_user(&node).map(|pid| (node, pid)));
    });
    let Some((node, pid)) = user else { return Ok(()) };
    let path = format!("/dev/vfio/{node}");
    let message = format!("device {uuid} is in use (process {pid} has {path} open); stop the guest that has it first");
    Err(Error::new(ErrorCode::InUse, Errno::BUSY, message).at(path))
}

/// A device whose making has not ended answers EAGAIN: the next uevent may be the end of it.
fn remove_patiently(host: &Host, layout: &dyn Layout, parent: &dyn Dir, uuid: &Uuid) -> Result<()> {
    let mut result = layout.remove(parent, uuid);
    if !is_again(&result) {
        return result;
    }
    ready::wait_until(host, std::time::Duration::from_secs(5), || {
        result = layout.remove(parent, uuid);
        !is_again(&result)
    })?;
    result
}

fn is_again(result: &Result<()>) -> bool {
    matches!(result, Err(e) if e.errno == Errno::AGAIN.raw_os_error())
}
