// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits until the kernel has created or removed a device. The merged kernel has finished when the write returns, so usually the state
//! is read once.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Host;
use crate::backend::vfio::{group_of, vfio_devices};
use crate::backend::{Located, OpenParent, parents};
use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::{Dir, Waiter};

/// How long a device may take until it is ready or removed: much longer than any known driver needs. A uevent usually ends the wait.
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a create waits for the VFIO node of a device with an IOMMU group. Then it succeeds without the node.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of a new device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    NoParent,
    Absent,
    NoGroup,
    NoNode,
    Ready,
}

/// Waits for uevents until `done` returns true. Returns false if the timeout ended first.
pub(super) fn wait_until(host: &Host, timeout: Duration, mut done: impl FnMut() -> bool) -> Result<bool> {
    if done() {
        return Ok(true);
    }
    let deadline = Instant::now() + timeout;
    let failed = |errno| Error::io("watch", "the kernel's uevents", errno);
    let mut waiter = Waiter::new(&*host.sysfs).map_err(failed)?;
    // Checked again: the state may have changed before the waiter received uevents.
    while !done() {
        if !waiter.wait(Some(deadline)).map_err(failed)? {
            return Ok(done());
        }
    }
    Ok(true)
}

/// Waits until the device `name` of `dir` has its folder, its IOMMU group and the node of the group, as far as the layout has them.
pub(super) fn wait_ready(host: &Host, parent: &OpenParent, dir: &dyn Dir, name: &str) -> Result<()> {
    let seen = Cell::new(Progress::Absent);
    let look = |enough: &[Progress]| {
        seen.set(progress(host, parent, dir, name));
        enough.contains(&seen.get())
    };
    if wait_until(host, READY_TIMEOUT, || look(&[Progress::NoParent, Progress::NoNode, Progress::Ready]))? {
        let enough = [Progress::NoParent, Progress::Ready];
        if seen.get() == Progress::NoNode && !wait_until(host, NODE_TIMEOUT, || look(&enough))? {
            log::warn!("{}/{name}: the kernel has no VFIO node for it yet", dir.path());
        }
        if seen.get() == Progress::NoParent {
            let message = "the device was created and no longer exists: its parent was removed, or its driver unbound; \
                           create it again when the parent is back";
            return Err(Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(parent.dir.path()));
        }
        return Ok(());
    }
    let what = match seen.get() {
        Progress::Absent => "the kernel accepted the request, but there is no device",
        _ => "the device has neither an iommu_group nor a VFIO device",
    };
    let message =
        format!("{what} after {} s; check the kernel's log for messages of the vendor driver", READY_TIMEOUT.as_secs());
    Err(Error::new(ErrorCode::NotReady, Errno::IO, message).at(format!("{}/{name}", dir.path())))
}

fn progress(host: &Host, parent: &OpenParent, dir: &dyn Dir, name: &str) -> Progress {
    // Any other errno does not mean that the device is absent.
    if parent.backend.identity(dir, name) == Ok(None) {
        let is_gone = parents::is_parent(&*parent.dir).is_ok_and(|is_parent| !is_parent);
        return if is_gone { Progress::NoParent } else { Progress::Absent };
    }
    // A group that cannot be read counts as missing, and is read again.
    match group_of(dir, name).ok().flatten() {
        Some(group) => node_progress(host, dir, name, group),
        // A kernel without CONFIG_VFIO_GROUP has only the device's own node.
        None if !parent.layout.has_iommu_group || has_vfio_device(dir, name) => Progress::Ready,
        None => Progress::NoGroup,
    }
}

/// Checks the nodes in sysfs, since the /dev of a container may never contain them.
fn node_progress(host: &Host, parent: &dyn Dir, name: &str, group: u32) -> Progress {
    let group = group.to_string();
    let there = match host.sysfs.open("/sys/class/vfio") {
        // Only the link is read: opening the new folder of the node costs much more.
        Ok(class) => class.meta(&group).is_ok() || has_vfio_device(parent, name),
        // Without VFIO there is no node to wait for.
        Err(_) => host.sysfs.open("/dev/vfio").map_or(true, |nodes| nodes.meta(&group).is_ok()),
    };
    if there { Progress::Ready } else { Progress::NoNode }
}

fn has_vfio_device(parent: &dyn Dir, name: &str) -> bool {
    vfio_devices(parent, name).is_ok_and(|names| !names.is_empty())
}

/// Waits until the device no longer exists. A later device of its UUID or its VF counts as another device.
pub(super) fn wait_gone(host: &Host, parent: &OpenParent, device: &Located) -> Result<()> {
    if parent.layout.removes_at_once {
        return Ok(());
    }
    let identity = |dir: &dyn Dir| device.backend.identity(dir, &device.entry);
    let is_other = || identity(&*device.dir).is_ok_and(|now| now.is_some_and(|now| now != device.identity));
    let gone = || identity(&*parent.dir) == Ok(None) || is_other();
    if wait_until(host, READY_TIMEOUT, gone)? {
        return Ok(());
    }
    let (uuid, seconds) = (device.uuid, READY_TIMEOUT.as_secs());
    let message = format!("the kernel accepted the request, but device {uuid} still exists after {seconds} s");
    Err(Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message).at(device.syspath.clone()))
}
