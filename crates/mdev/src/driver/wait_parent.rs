// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits for a parent: for services that start before the vendor's driver.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Conn, Node};
use crate::backend::{parents, places};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::sysfs::{Waiter, if_present};

/// The state of a parent.
enum Observation {
    Missing,
    /// It exists and offers no type; the text is the reason.
    WithoutTypes(String),
    Ready(Box<Node>),
}

impl Conn {
    /// Waits until the parent of this name offers at least one type, and returns it. A timeout of 0 checks once; a negative timeout is
    /// no limit. For a PF whose VFs are the parents, returns the first VF. Fails with ETIMEDOUT if the time limit is reached.
    pub fn wait_parent(&self, name: &str, timeout_ms: i32) -> Result<Node> {
        let deadline = u64::try_from(timeout_ms).ok().map(|ms| Instant::now() + Duration::from_millis(ms));
        if let Observation::Ready(node) = self.observe_parent(name)? {
            return Ok(*node);
        }
        let failed = |errno| Error::io("watch", "the kernel's uevents", errno);
        let mut waiter = Waiter::new(&*self.host.sysfs).map_err(failed)?;
        loop {
            // Checked at least once after the waiter was created, and once after the deadline.
            let look = self.observe_parent(name)?;
            let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            match look {
                Observation::Ready(node) => return Ok(*node),
                Observation::Missing if is_over => {
                    let next = "check whether its vendor driver is loaded";
                    return Err(late(format!(
                        "parent '{}' did not appear within {timeout_ms} ms; {next}",
                        shown(name)
                    )));
                }
                Observation::WithoutTypes(why) if is_over => {
                    return Err(late(format!("parent '{}' offers no types after {timeout_ms} ms: {why}", shown(name))));
                }
                Observation::Missing | Observation::WithoutTypes(_) => {}
            }
            // The kernel sends no uevent when types appear: the wait ends without one after `POLL_INTERVAL`.
            waiter.wait(deadline).map_err(failed)?;
        }
    }

    /// A parent that disappears while it is read counts as missing. A name that can never be a parent is an error, and so is a
    /// parent that cannot be read.
    fn observe_parent(&self, name: &str) -> Result<Observation> {
        let sysfs = &*self.host.sysfs;
        // For a VF, its PF: the device of the VF is created on the PF.
        let place = match places::find_target(sysfs, name) {
            Ok(target) => target.place,
            Err(e) if e.code == ErrorCode::NoParent => match places::first_vf_parent(sysfs, name)? {
                Some(place) => place,
                None => return Ok(Observation::Missing),
            },
            Err(e) => return Err(e),
        };
        let failed = |errno| Error::io("read", &place.syspath, errno);
        let read = parents::read_with_reason(sysfs, &self.host.runtime.records(), &place);
        let Some((parent, why_none)) = if_present(read).map_err(failed)? else { return Ok(Observation::Missing) };
        // Devices of remembered types cannot be created now.
        if !why_none.is_empty() {
            return Ok(Observation::WithoutTypes(why_none));
        }
        Ok(Observation::Ready(Box::new(Node::parent(self.clone(), parent))))
    }
}

fn late(message: String) -> Error {
    Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message)
}
