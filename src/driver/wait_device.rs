// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits until the kernel has finished what it was asked to do. With the merged kernel it always has when the write
//! returns, so the common case is a single look.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Host;
use super::spots::Spot;
use super::vfio::{group_of, vfio_devices};
use crate::backend::{Layout, has_types};
use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::{Dir, is_absent};

/// How long a device may take to come or go.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long its VFIO node may take after its IOMMU group.
const NODE_PATIENCE: Duration = Duration::from_secs(2);

/// How far a new device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    NoParent,
    Absent,
    NoGroup,
    NoNode,
    Ready,
}

/// Waits for uevents until `done` holds or the time is over.
pub(super) fn wait_until(host: &Host, patience: Duration, mut done: impl FnMut() -> bool) -> Result<bool> {
    if done() {
        return Ok(true);
    }
    let deadline = Instant::now() + patience;
    let mut watch = host.sysfs.watch().map_err(|errno| Error::io("watch", "the kernel's uevents", errno))?;
    // What happened before the watch began is seen here.
    while !done() {
        if !watch.wait(Some(deadline)).map_err(|errno| Error::io("watch", "the kernel's uevents", errno))? {
            return Ok(done());
        }
    }
    Ok(true)
}

/// The device has its folder, and where the layout has them its IOMMU group and the group's node.
pub(super) fn wait_ready(host: &Host, layout: &dyn Layout, parent: &dyn Dir, name: &str) -> Result<()> {
    let seen = Cell::new(Progress::Absent);
    let look = |enough: &[Progress]| {
        seen.set(progress(host, layout, parent, name));
        enough.contains(&seen.get())
    };
    if wait_until(host, PATIENCE, || look(&[Progress::NoParent, Progress::NoNode, Progress::Ready]))? {
        let enough = [Progress::NoParent, Progress::Ready];
        if seen.get() == Progress::NoNode && !wait_until(host, NODE_PATIENCE, || look(&enough))? {
            log::warn!("{}/{name}: the kernel has no VFIO node for it yet", parent.path());
        }
        if seen.get() == Progress::NoParent {
            let message = "the device was created and no longer exists: its parent was removed, or its driver unbound; \
                           create it again when the parent is back";
            return Err(Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(parent.path()));
        }
        return Ok(());
    }
    let what = match seen.get() {
        Progress::Absent => "the kernel took the request, but there is no device",
        _ => "the device has neither an iommu_group nor a VFIO device",
    };
    let message =
        format!("{what} after {} s; look at the kernel's log for what the vendor driver says", PATIENCE.as_secs());
    Err(Error::new(ErrorCode::NotReady, Errno::IO, message).at(format!("{}/{name}", parent.path())))
}

fn progress(host: &Host, layout: &dyn Layout, parent: &dyn Dir, name: &str) -> Progress {
    if !layout.is_there(parent, name) {
        return if has_types(parent).is_err_and(is_absent) { Progress::NoParent } else { Progress::Absent };
    }
    // If the group cannot be read, it is read again.
    match group_of(parent, name).ok().flatten() {
        Some(group) => node_progress(host, parent, name, group),
        // A kernel without CONFIG_VFIO_GROUP has only the device's own node.
        None if !layout.has_iommu_group() || has_vfio_device(parent, name) => Progress::Ready,
        None => Progress::NoGroup,
    }
}

/// Looks at the kernel's own list of nodes: the nodes may never appear in the /dev of a container.
fn node_progress(host: &Host, parent: &dyn Dir, name: &str, group: u32) -> Progress {
    let group = group.to_string();
    let there = match host.sysfs.open("/sys/class/vfio") {
        Ok(class) => class.meta(&group).is_ok() || has_vfio_device(parent, name),
        // Without VFIO there is no node to wait for.
        Err(_) => host.sysfs.open("/dev/vfio").map_or(true, |nodes| nodes.meta(&group).is_ok()),
    };
    if there { Progress::Ready } else { Progress::NoNode }
}

fn has_vfio_device(parent: &dyn Dir, name: &str) -> bool {
    vfio_devices(parent, name).is_ok_and(|names| !names.is_empty())
}

/// Waits until the device no longer exists. A later device of its UUID or of its VF is another one.
pub(super) fn wait_gone(host: &Host, layout: &dyn Layout, parent: &dyn Dir, spot: &Spot) -> Result<()> {
    let (name, uuid) = (&spot.entry, &spot.uuid);
    let is_other = || layout.mark(&*spot.dir, name).is_ok_and(|mark| mark != spot.mark());
    let gone = || layout.is_function() || !layout.is_there(parent, name) || is_other();
    if wait_until(host, PATIENCE, gone)? {
        return Ok(());
    }
    let message =
        format!("the kernel took the request, but device {uuid} is still there after {} s", PATIENCE.as_secs());
    Err(Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message).at(format!("{}/{name}", parent.path())))
}
