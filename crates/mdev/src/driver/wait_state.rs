// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits until a device is created, deleted, or not in use.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Conn, devices};
use crate::backend::layout;
use crate::backend::vfio::Nodes;
use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::{Users, Waiter};

/// The state of a device for which mdev_conn_wait_device() waits.
///
/// Since: 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum DeviceWait {
    /// The device exists and is usable.
    Created = 1,
    /// The device does not exist.
    Deleted = 2,
    /// The device exists, and no process has it open.
    Free = 3,
}

impl Conn {
    /// Waits until the device of this UUID has a state. A timeout of 0 checks once; a negative timeout is no limit. The state can
    /// change again after the return. Fails with ETIMEDOUT if the time limit is reached, and with ENODEV if the device does not exist
    /// and [`DeviceWait::Free`] is wanted.
    pub fn wait_device(&self, uuid: &str, state: DeviceWait, timeout_ms: i32) -> Result<()> {
        let deadline = u64::try_from(timeout_ms).ok().map(|ms| Instant::now() + Duration::from_millis(ms));
        self.uuid(uuid)?;
        let failed = |errno| Error::io("watch", "the kernel's uevents", errno);
        let mut waiter: Option<Waiter> = None;
        loop {
            let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            let Some(why) = self.why_not(uuid, state)? else { return Ok(()) };
            if is_over {
                let message = format!("device {uuid} {why} after {timeout_ms} ms");
                return Err(Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message));
            }
            match &mut waiter {
                // The kernel sends no uevent when a process closes a device: the wait ends without one after `POLL_INTERVAL`.
                Some(waiter) => {
                    waiter.wait(deadline).map_err(failed)?;
                }
                // The state is checked again after the first uevent can be received.
                none => *none = Some(Waiter::new(&*self.host.sysfs).map_err(failed)?),
            }
        }
    }

    /// Returns why the device does not have the state; `None` if it has the state.
    fn why_not(&self, uuid: &str, state: DeviceWait) -> Result<Option<String>> {
        let host = &self.host;
        let id = self.uuid(uuid)?;
        if state == DeviceWait::Created {
            let device = devices::by_uuid(host, &id)?;
            let is_ready = device.as_ref().is_some_and(|device| devices::is_ready(layout(device.layout), device));
            let why = if device.is_some() { "is not usable" } else { "does not exist" };
            return Ok((!is_ready).then(|| why.to_owned()));
        }
        let located = devices::locate(host, &id)?;
        match (state, located) {
            (DeviceWait::Deleted, located) => Ok(located.map(|_| "still exists".to_owned())),
            (_, None) => Err(devices::no_device(&id)),
            (_, Some(located)) => {
                let nodes = Nodes::of(&*located.dir, &located.entry)?.all();
                let users = host.sysfs.vfio_users(&nodes);
                let users = users.map_err(|errno| Error::io("search for the users of", &located.syspath, errno))?;
                Ok(match users {
                    Users::None | Users::NoNode => None,
                    Users::Found(user) => Some(format!("is still in use by process {} ({})", user.pid, user.program)),
                    Users::Unknown(why) | Users::Incomplete(why) => Some(format!("may still be in use: {why}")),
                })
            }
        }
    }
}
