// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waits for a parent, as services must that start before the vendor's driver.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Conn, Node};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::layout::bus;

impl Conn {
    /// The parent of this name as soon as it is there; a negative timeout waits for ever.
    pub fn wait_parent(&self, name: &str, timeout_ms: i32) -> Result<Node> {
        let _request = self.request();
        let deadline = u64::try_from(timeout_ms).ok().map(|ms| Instant::now() + Duration::from_millis(ms));
        if let Some(node) = self.try_parent(name)? {
            return Ok(node);
        }
        let failed = |errno| Error::io("watch", "the kernel's uevents", errno);
        let mut watch = self.host.sysfs.watch().map_err(failed)?;
        loop {
            // Also once between the first look and the watch, and once after the deadline.
            if let Some(node) = self.try_parent(name)? {
                return Ok(node);
            }
            self.host.sysfs.settle();
            if !watch.wait(deadline).map_err(failed)? {
                break;
            }
        }
        let message = format!(
            "parent '{}' did not appear within {timeout_ms} ms; see whether its vendor driver is loaded",
            shown(name)
        );
        self.try_parent(name)?.ok_or_else(|| Error::new(ErrorCode::Timeout, Errno::TIMEDOUT, message))
    }

    /// `None` while it is not there, or vanishes while it is read; a name that can never be one is an error.
    fn try_parent(&self, name: &str) -> Result<Option<Node>> {
        match bus::find_target(&*self.host.sysfs, name) {
            // Of a VF, its PF: who waits for the VF wants to create on it.
            Ok(target) => Ok(self.parent_at(&target.place).ok()),
            Err(e) if e.code == ErrorCode::NoParent => Ok(None),
            Err(e) => Err(e),
        }
    }
}
