// SPDX-License-Identifier: LGPL-2.1-or-later
//! A device that a request has located. The request passes it on, with its open parent, and locates neither again.

use std::rc::Rc;

use rustix::io::Errno;

use super::Host;
use crate::backend::{Located, OpenParent};
use crate::error::{Error, ErrorCode, Result};

/// A located device and its parent.
pub(super) struct OpenDevice {
    pub(super) device: Located,
    pub(super) parent: Rc<OpenParent>,
}

impl OpenDevice {
    /// Opens the parent of a device that was located.
    pub(super) fn open(host: &Host, device: Located) -> Result<Self> {
        let parent = device.open_parent(&*host.sysfs)?;
        Ok(OpenDevice { device, parent: Rc::new(parent) })
    }

    /// The error for a device that another program has removed since it was located.
    pub(super) fn gone(&self) -> Error {
        let message = format!("device {} no longer exists", self.device.uuid);
        Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(self.device.syspath.clone())
    }
}
