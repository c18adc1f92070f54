// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits until the kernel has finished what it was asked to do. With the merged kernel it always has when the write
//! returns, so the common case is a single look.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Host;
use super::spots::Spot;
use crate::error::{Error, ErrorCode, Result};
use crate::layout::Layout;
use crate::layout::bus::link_name;
use crate::sysfs::Dir;

/// How long a device may take to come or go.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long its node in /dev may take, which udev or devtmpfs makes; a container may never see it.
const NODE_PATIENCE: Duration = Duration::from_secs(2);

/// How far a new device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
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
    if wait_until(host, PATIENCE, || look(&[Progress::NoNode, Progress::Ready]))? {
        if seen.get() == Progress::NoNode && !wait_until(host, NODE_PATIENCE, || look(&[Progress::Ready]))? {
            log::warn!("{}/{name}: its node under /dev/vfio is not visible here", parent.path());
        }
        return Ok(());
    }
    let what = match seen.get() {
        Progress::Absent => "the kernel took the request, but there is no device",
        _ => "the device came without an iommu_group",
    };
    let message =
        format!("{what} after {} s; look at the kernel's log for what the vendor driver says", PATIENCE.as_secs());
    Err(Error::new(ErrorCode::NotReady, Errno::IO, message).at(format!("{}/{name}", parent.path())))
}

fn progress(host: &Host, layout: &dyn Layout, parent: &dyn Dir, name: &str) -> Progress {
    if !layout.is_there(parent, name) {
        return Progress::Absent;
    }
    let Some(group) = link_name(parent, &format!("{name}/iommu_group")) else {
        return if layout.has_iommu_group() { Progress::NoGroup } else { Progress::Ready };
    };
    // Where there is no such folder at all, nodes are somebody else's business.
    match host.sysfs.open("/dev/vfio") {
        Ok(nodes) if nodes.meta(&group).is_err() => Progress::NoNode,
        _ => Progress::Ready,
    }
}

/// The device is gone.
pub(super) fn wait_gone(host: &Host, layout: &dyn Layout, parent: &dyn Dir, spot: &Spot) -> Result<()> {
    let (name, uuid) = (&spot.entry, &spot.uuid);
    // A VF that has a device again has another.
    let gone = || !layout.is_there(parent, name) || layout.is_function();
    if wait_until(host, PATIENCE, gone)? {
        return Ok(());
    }
    let message =
        format!("the kernel took the request, but device {uuid} is still there after {} s", PATIENCE.as_secs());
    Err(Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message).at(format!("{}/{name}", parent.path())))
}
