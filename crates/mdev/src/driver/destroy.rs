// SPDX-License-Identifier: LGPL-2.1-or-later
//! Destroys devices. A device in use is never destroyed: the kernel would block the caller until the last process closes it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use uuid::Uuid;

use super::open_device::OpenDevice;
use super::{DestroyFlags, Host, wait_device};
use crate::backend::devices::device_of_record;
use crate::backend::parents::link_name;
use crate::backend::vfio::{Nodes, group_of};
use crate::backend::{Folders, Remove};
use crate::error::{Error, ErrorCode, Result, describe, shown};
use crate::model::name::node_name;
use crate::store::{DeviceRecord, RecordedDevice};
use crate::sysfs::{
    DetachedError, Dir, Guard, IoResult, User, Users, VfioNode, basename, is_absent, unless_exhausted, write_line_once,
};

/// How long a driver may take to remove a device that no process has open.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a destroy waits for a device that is still being created.
const AGAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Destroys a located device. Never destroys a later device of the same UUID or VF.
pub(super) fn destroy(host: &Host, opened: &OpenDevice, flags: DestroyFlags) -> Result<()> {
    let OpenDevice { device, parent } = opened;
    let (uuid, identity) = (&device.uuid, Some(device.identity));
    if flags.contains(DestroyFlags::OWNED) {
        check_owner(host, opened)?;
    }
    match remove(host, opened, false) {
        Ok(()) => {}
        Err(e) if e.code == ErrorCode::NoNode => {
            forget_if_gone(host, uuid, identity);
            return Err(e);
        }
        Err(e) => return Err(e.of(&node_of(&*parent.dir))),
    }
    host.runtime.forget(uuid, identity);
    log::info!("{}: destroyed device {uuid}", parent.sysname());
    Ok(())
}

/// Removes a device that this process has just created. Does not read the records, which may be unreadable: the identity finds the
/// device.
pub(super) fn remove_new(host: &Host, opened: &OpenDevice) -> Result<()> {
    remove(host, opened, true)
}

/// Removes the record of a device that another program removed. A device that still exists keeps its record.
fn forget_if_gone(host: &Host, uuid: &Uuid, identity: Option<u64>) {
    let exists = |record: DeviceRecord| {
        let found = device_of_record(&Folders::new(&*host.sysfs), &record);
        found.map_or(true, |found| matches!(found, RecordedDevice::Own(_)))
    };
    if !host.runtime.get(uuid).is_ok_and(|record| record.is_some_and(exists)) {
        host.runtime.forget(uuid, identity);
    }
}

/// Returns the node name of the parent, for an error message.
fn node_of(parent: &dyn Dir) -> String {
    let sysname = basename(parent.path());
    link_name(parent, "subsystem")
        .ok()
        .flatten()
        .map_or_else(|| sysname.to_owned(), |subsystem| node_name(&subsystem, sysname))
}

/// Fails with EPERM unless the record of this device has the owner of the connection.
fn check_owner(host: &Host, OpenDevice { device, parent }: &OpenDevice) -> Result<()> {
    let uuid = &device.uuid;
    let refuse = |message: String| Err(Error::new(ErrorCode::NotOwner, Errno::PERM, message));
    let Some(own) = host.owner() else {
        return refuse("this connection has no owner; set one, to destroy only the devices of this owner".to_owned());
    };
    let owner = match host.runtime.get(uuid)? {
        Some(record) => match device.backend.is_about(&*host.sysfs, parent.layout, device, &record) {
            Ok(is_about) => record.owner.filter(|_| is_about),
            Err(e) => return refuse(format!("device {uuid}: {}", unless_exhausted(e)?.message)),
        },
        None => None,
    };
    match owner {
        Some(owner) if owner == own => Ok(()),
        Some(owner) => refuse(format!("device {uuid} belongs to '{owner}', not to '{own}'")),
        None => refuse(format!(
            "device {uuid} has no recorded owner, so it does not belong to '{own}'; destroy it without the check (MDEV_DESTROY_OWNED, --owned)"
        )),
    }
}

/// Removes a device. `is_new`: the caller has just created it, no other process has used it, and only its identity is compared.
fn remove(host: &Host, opened: &OpenDevice, is_new: bool) -> Result<()> {
    let OpenDevice { device, parent } = opened;
    let (uuid, refuses_open) = (&device.uuid, parent.layout.refuses_open);
    let nodes = Nodes::of(&*device.dir, &device.entry)?;
    let guard = match nodes.group {
        Some(group) => hold(host, uuid, &nodes, group)?,
        None => None,
    };
    // The held group does not protect the device's own node: a process can open that node before it binds the device.
    let open = if guard.is_some() { nodes.own() } else { nodes.all() };
    let certainty = match &guard {
        _ if is_new || refuses_open => Certainty::None,
        Some(_) => Certainty::Visible,
        None => Certainty::Full,
    };
    let may_block = refuse_users(host, uuid, &open, certainty)? && !refuses_open;
    // The held group must be the group of this device. It prevents other opens of the group. It does not prevent another program
    // from destroying the device and creating another device of its UUID: so the backend calls `is_same_device` after it has opened
    // the folder of the device.
    let group = group_of(&*device.dir, &device.entry);
    if group.map_err(|errno| Error::io("read the IOMMU group of", &device.syspath, errno))? != nodes.group {
        return Err(opened.gone());
    }
    let is_it = || match is_new {
        true => device.backend.is_same(device, None),
        false => device.backend.is_same(device, Some(&host.runtime.records())),
    };
    let failed = Cell::new(false);
    let writer = Writer { host, uuid, open: &open, may_block, is_new, started: Instant::now(), failed };
    let write = |dir: &dyn Dir, name: &str, text: &str| writer.write(dir, name, text);
    let how = Remove { is_same_device: &is_it, write: &write };
    let lock = device.backend.lock(parent.layout, parent.sysname(), None);
    // Checked before the lock, which another creator may hold for a long time.
    if lock.is_some() && !is_it()? {
        return Err(opened.gone());
    }
    let place = match host.lock(lock) {
        Ok(place) => place,
        // A new device must not remain because the lock cannot be taken. The comparison of identities protects other devices.
        Err(e) if is_new => {
            log::warn!("{e}; {uuid} is removed without the lock");
            None
        }
        Err(e) => return Err(e),
    };
    let is_again = |e: &Error| e.errno == Errno::AGAIN.raw_os_error() && !writer.failed.get();
    let removed = retry_while_busy(host, is_again, || device.backend.remove(parent, device, &how));
    // The kernel removes the device only after its node is closed.
    drop((guard, place));
    removed.map_err(|e| explain_refusal(host, &*device.dir, &device.entry, uuid, e))?;
    wait_device::wait_gone(host, parent, device)
}

/// Opens the group exclusively, so that no other process can open it. `None` if the kernel has no such node. Fails with EBUSY if a
/// process has the group open.
fn hold(host: &Host, uuid: &Uuid, nodes: &Nodes, group: u32) -> Result<Option<Box<dyn Guard>>> {
    match host.sysfs.hold_vfio_group(group) {
        Ok(guard) => Ok(Some(guard)),
        // Also when a device of the group is bound to an iommufd.
        Err(Errno::BUSY) => Err(match host.sysfs.vfio_users(&nodes.all()) {
            Ok(Users::Found(user)) => in_use(uuid, &user),
            users => {
                let path = VfioNode::Group(group).path();
                let unknown = |why: &str| ("a process", format!(" (which one cannot be determined: {why})"));
                let (which, why) = match users {
                    Ok(Users::Incomplete(why)) => unknown(&why),
                    Ok(_) => ("a process that is not visible here", String::new()),
                    Err(errno) => unknown(&describe(errno)),
                };
                let message = format!(
                    "device {uuid} is in use: {which} has {path} open{why}; first stop the guest that uses the device"
                );
                Error::new(ErrorCode::InUse, Errno::BUSY, message).at(path)
            }
        }),
        // A kernel without group nodes, or a /dev without them.
        Err(errno) if is_absent(errno) || errno == Errno::NXIO => Ok(None),
        Err(errno) => Err(Error::io("open", &VfioNode::Group(group).path(), errno)),
    }
}

/// How complete the search for users must be before a device is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// Any result: the device is new, or its driver refuses to remove a device in use.
    None,
    /// All processes of the host are visible. The group is held, so no process uses the device. A process that could not be
    /// examined may have the device's own node open, which only delays the removal.
    Visible,
    /// All processes of the host can be examined.
    Full,
}

/// Fails with EBUSY if a process has one of the nodes open, or if this cannot be determined with the required certainty: the kernel
/// would block the removal until that process closes the node. Returns true if a process can still open a node before the removal.
fn refuse_users(host: &Host, uuid: &Uuid, nodes: &[VfioNode], certainty: Certainty) -> Result<bool> {
    let [first, ..] = nodes else { return Ok(false) };
    match host.sysfs.vfio_users(nodes) {
        Ok(Users::NoNode) => Ok(false),
        Ok(Users::Found(user)) => Err(in_use(uuid, &user)),
        Ok(Users::None) => Ok(true),
        Ok(Users::Unknown(_) | Users::Incomplete(_)) | Err(_) if certainty == Certainty::None => Ok(true),
        Ok(Users::Incomplete(why)) if certainty == Certainty::Visible => {
            log::warn!(
                "destroying device {uuid}, although it is not known whether a process has {} open: {why}",
                paths_of(nodes)
            );
            Ok(true)
        }
        Err(errno) => Err(Error::io("search for the users of", &first.path(), errno)),
        Ok(Users::Unknown(why) | Users::Incomplete(why)) => {
            let paths = paths_of(nodes);
            let message = format!(
                "device {uuid} may be in use: it cannot be determined whether a process has {paths} open: {why}"
            );
            Err(Error::new(ErrorCode::InUse, Errno::BUSY, message).at(first.path()))
        }
    }
}

fn paths_of(nodes: &[VfioNode]) -> String {
    nodes.iter().map(VfioNode::path).collect::<Vec<_>>().join(" and ")
}

fn in_use(uuid: &Uuid, user: &User) -> Error {
    let User { pid, program, path, removes, guest } = user;
    let guest = guest.as_ref().map(|guest| format!(", guest '{}'", shown(guest))).unwrap_or_default();
    let program = if program.is_empty() { String::new() } else { format!(" ({}{guest})", shown(program)) };
    let message = if *removes {
        format!("device {uuid} is being destroyed by process {pid}{program}; wait until it has finished")
    } else {
        format!(
            "device {uuid} is in use: process {pid}{program} has {path} open; first stop the guest that uses the device"
        )
    };
    Error::new(ErrorCode::InUse, Errno::BUSY, message).at(path.clone())
}

/// Writes the file that removes a device. If a process may open the device first, which would block the writer, a separate process
/// writes the file, so that the wait can end.
struct Writer<'a> {
    host: &'a Host,
    uuid: &'a Uuid,
    /// The nodes by which a process may open the device.
    open: &'a [VfioNode],
    may_block: bool,
    /// See [`remove`].
    is_new: bool,
    started: Instant,
    /// True after a write that failed without a result of the driver.
    failed: Cell<bool>,
}

impl Writer<'_> {
    fn write(&self, dir: &dyn Dir, name: &str, text: &str) -> Result<IoResult<()>> {
        if !self.may_block {
            return Ok(write_line_once(dir, name, text));
        }
        let (mut user, mut rounds) = (None, 0_u32);
        let written = dir.write_detached(name, format!("{text}\n").as_bytes(), &mut || {
            let is_over = self.started.elapsed() > REMOVE_TIMEOUT;
            rounds += 1;
            // A search reads all descriptors of the host and takes up to 5 s: its interval begins at one second and doubles.
            if is_over || rounds.is_power_of_two() {
                user = self.user();
            }
            user.is_some() || is_over
        });
        let (uuid, path) = (self.uuid, format!("{}/{name}", dir.path()));
        let error = match written {
            Ok(()) => return Ok(Ok(())),
            Err(DetachedError::Write(errno)) => return Ok(Err(errno)),
            Err(DetachedError::NotStarted(errno)) if self.is_new => {
                // A new device must not remain. No process knows the new device yet, so none is likely to open it.
                log::warn!("{path}: no process could be started to write it ({}); written directly", describe(errno));
                return Ok(write_line_once(dir, name, text));
            }
            Err(DetachedError::NotStarted(errno)) => {
                let message = format!(
                    "device {uuid} was not removed: cannot start a process that writes {path}: {}; try again when the host has \
                     processes, memory and descriptors to spare",
                    describe(errno)
                );
                Error::new(ErrorCode::Kernel, errno, message)
            }
            Err(DetachedError::NoReport(errno)) => {
                let message = format!(
                    "device {uuid} may have been removed: the process that wrote {path} has not reported the driver's answer: \
                     {}; look up the device again",
                    describe(errno)
                );
                Error::new(ErrorCode::Kernel, Errno::IO, message)
            }
            Err(DetachedError::GaveUp) => self.gave_up(user),
        };
        self.failed.set(true);
        Err(error.at(path))
    }

    fn user(&self) -> Option<User> {
        match self.host.sysfs.vfio_users(self.open) {
            Ok(Users::Found(user)) => Some(user),
            _ => None,
        }
    }

    fn gave_up(&self, user: Option<User>) -> Error {
        let uuid = self.uuid;
        let Some(User { pid, program, path, .. }) = user else {
            let seconds = REMOVE_TIMEOUT.as_secs();
            let message = format!(
                "the driver has not removed device {uuid} within {seconds} s and has not finished; check the kernel's log"
            );
            return Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message);
        };
        let message = format!(
            "device {uuid} was opened while it was being removed: process {pid} ({}) has {path} open; the kernel removes the \
             device when that process closes it",
            shown(&program)
        );
        Error::new(ErrorCode::InUse, Errno::BUSY, message)
    }
}

/// Returns the error for a write that the driver refused with EPERM: that the device is in use, if a process has it open; else
/// `refused`. Opens no node of the device, since an open of the group would make the open of a guest fail.
pub(super) fn explain_refusal(host: &Host, dir: &dyn Dir, entry: &str, uuid: &Uuid, refused: Error) -> Error {
    if refused.code != ErrorCode::Kernel || refused.errno != Errno::PERM.raw_os_error() {
        return refused;
    }
    let Ok(nodes) = Nodes::of(dir, entry) else { return refused };
    match host.sysfs.vfio_users(&nodes.all()) {
        Ok(Users::Found(user)) => in_use(uuid, &user),
        _ => refused,
    }
}

/// Repeats `remove` while its error `is_again`: a driver returns EAGAIN until the creation of the device has ended. Waits for
/// uevents between the attempts.
fn retry_while_busy(
    host: &Host,
    is_again: impl Fn(&Error) -> bool,
    mut remove: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut result = remove();
    if !result.as_ref().is_err_and(&is_again) {
        return result;
    }
    wait_device::wait_until(host, AGAIN_TIMEOUT, || {
        result = remove();
        !result.as_ref().is_err_and(&is_again)
    })?;
    result
}
