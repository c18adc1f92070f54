// SPDX-License-Identifier: LGPL-2.1-or-later
//! A located device with its open parent. A request locates its device once, and passes this value on.

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
    /// Opens the parent of a located device.
    pub(super) fn open(host: &Host, device: Located) -> Result<Self> {
        let parent = device.open_parent(&*host.sysfs)?;
        Ok(OpenDevice { device, parent: Rc::new(parent) })
    }

    /// Returns the error for a device that another program removed after it was located.
    pub(super) fn gone(&self) -> Error {
        let message = format!("device {} no longer exists", self.device.uuid);
        Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(self.device.syspath.clone())
    }
}
