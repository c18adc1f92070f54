// SPDX-License-Identifier: LGPL-2.1-or-later
//! Destroys devices, and never one that is in use: the kernel would hang the caller until its user goes.

use rustix::io::Errno;
use uuid::Uuid;

use super::spots::{self, Spot};
use super::{DestroyFlags, Host, identity, ready};
use crate::error::{Error, ErrorCode, Result};
use crate::layout::bus::link_name;
use crate::layout::{Layout, RemoveRequest};
use crate::model::name::node_name;
use crate::store::Facts;
use crate::sysfs::{Dir, Guard, basename};

/// Destroys the device that was found, and no other that has its UUID or its VF by now.
pub(super) fn destroy(host: &Host, spot: &Spot, flags: DestroyFlags) -> Result<()> {
    let uuid = &spot.uuid;
    let (layout, parent) = spot.open_parent(host)?;
    let mark = Some(spot.mark());
    if flags.contains(DestroyFlags::OWNED) {
        check_owner(host, spot, layout)?;
    }
    let is_it = || match &spot.seen {
        Some(seen) => identity::is_device(host, uuid, basename(&spot.syspath), seen),
        None => Ok(true),
    };
    let result = remove(host, layout, &*parent, spot, &is_it);
    match result {
        Ok(()) => {}
        Err(e) if e.code == ErrorCode::NoNode => {
            forget_if_gone(host, uuid, mark);
            return Err(e);
        }
        Err(e) => return Err(e.of(&node_of(&*parent))),
    }
    host.runtime.forget(uuid, mark);
    log::info!("{}: destroyed device {uuid}", basename(&spot.parent));
    Ok(())
}

/// Removes a device that this process has just made. Nothing is asked of the records, which may be unreadable: the device is
/// known by its mark.
pub(super) fn take_back(host: &Host, spot: &Spot) -> Result<()> {
    let (layout, parent) = spot.open_parent(host)?;
    remove(host, layout, &*parent, spot, &|| Ok(true))
}

/// Whoever removed a device, its facts are of no use any more; but without them a VF that is still there would be a
/// stranger's.
fn forget_if_gone(host: &Host, uuid: &Uuid, mark: Option<u64>) {
    let there = |facts: Facts| spots::mark_of(host, &facts).map_or(true, |mark| mark.is_some_and(|m| facts.are_of(m)));
    if !host.runtime.get(uuid).is_ok_and(|facts| facts.is_some_and(there)) {
        host.runtime.forget(uuid, mark);
    }
}

/// The parent's node name, for the sentence of an error.
fn node_of(parent: &dyn Dir) -> String {
    let sysname = basename(parent.path());
    link_name(parent, "subsystem").map_or_else(|| sysname.to_owned(), |subsystem| node_name(&subsystem, sysname))
}

/// The facts decide, and only when they are about this very device.
fn check_owner(host: &Host, spot: &Spot, layout: &dyn Layout) -> Result<()> {
    let uuid = &spot.uuid;
    let refuse = |message: String| Err(Error::new(ErrorCode::NotOwner, Errno::PERM, message));
    let Some(own) = host.owner() else {
        return refuse("this connection has no owner; set one before you destroy only its own devices".to_owned());
    };
    let own_facts = host.runtime.get(uuid)?.filter(|facts| spots::is_recorded(spot, layout, facts));
    let owner = own_facts.and_then(|facts| facts.owner);
    match owner {
        Some(owner) if owner == own => Ok(()),
        Some(owner) => refuse(format!("device {uuid} belongs to '{owner}', not to '{own}'")),
        None => refuse(format!("device {uuid} has no recorded owner, so it is not '{own}''s")),
    }
}

/// `is_it` is asked last whether the device is still the one that was found.
fn remove(
    host: &Host,
    layout: &dyn Layout,
    parent: &dyn Dir,
    spot: &Spot,
    is_it: &dyn Fn() -> Result<bool>,
) -> Result<()> {
    let (uuid, mark) = (&spot.uuid, Some(spot.mark()));
    let group_link = format!("{}/iommu_group", spot.entry);
    let group = link_name(&*spot.dir, &group_link);
    let held = match group.as_ref().and_then(|group| group.parse().ok()) {
        Some(group) => hold(host, uuid, group)?,
        None => None,
    };
    if held.is_none() || layout.is_function() {
        refuse_users(host, &*spot.dir, &spot.entry, uuid)?;
    }
    // What is held, and was found to be the caller's own, must still be this device: its UUID may have been given to another
    // in the meantime, with another group. From here on nobody can do that while the group is held.
    if link_name(&*spot.dir, &group_link) != group || layout.mark(&*spot.dir, &spot.entry).ok() != mark {
        let message = format!("device {uuid} no longer exists");
        return Err(Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(spot.syspath.clone()));
    }
    let type_id = spot.seen.as_ref().map(|seen| seen.type_id.as_str());
    let request = RemoveRequest { uuid, entry: &spot.entry, mark, type_id };
    let place = host.lock(layout.place_lock(parent))?;
    let removed = remove_patiently(host, layout, parent, &request, is_it);
    // The node must be free again before anyone looks whether the device is gone for good.
    drop((held, place));
    removed.map_err(|e| explain_refusal(host, &*spot.dir, &spot.entry, uuid, e))?;
    ready::wait_gone(host, layout, parent, spot)
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
fn refuse_users(host: &Host, dir: &dyn Dir, entry: &str, uuid: &Uuid) -> Result<()> {
    let Ok(dir) = dir.open(&format!("{entry}/vfio-dev")) else { return Ok(()) };
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

/// The error for what a driver has refused with EPERM: that the device is in use, if a user of it is found; else `refused`.
pub(super) fn explain_refusal(host: &Host, dir: &dyn Dir, entry: &str, uuid: &Uuid, refused: Error) -> Error {
    if refused.code != ErrorCode::Kernel || refused.errno != Errno::PERM.raw_os_error() {
        return refused;
    }
    let group = link_name(dir, &format!("{entry}/iommu_group")).and_then(|group| group.parse().ok());
    let held = group.map_or(Ok(None), |group| hold(host, uuid, group));
    match held.map(drop).and_then(|()| refuse_users(host, dir, entry, uuid)) {
        Err(e) if e.code == ErrorCode::InUse => e,
        _ => refused,
    }
}

/// A device whose making has not ended answers EAGAIN: the next uevent may be the end of it.
fn remove_patiently(
    host: &Host,
    layout: &dyn Layout,
    parent: &dyn Dir,
    device: &RemoveRequest<'_>,
    is_it: &dyn Fn() -> Result<bool>,
) -> Result<()> {
    let mut result = layout.remove(parent, device, is_it);
    if !is_again(&result) {
        return result;
    }
    ready::wait_until(host, std::time::Duration::from_secs(5), || {
        result = layout.remove(parent, device, is_it);
        !is_again(&result)
    })?;
    result
}

fn is_again(result: &Result<()>) -> bool {
    matches!(result, Err(e) if e.errno == Errno::AGAIN.raw_os_error())
}
