// SPDX-License-Identifier: LGPL-2.1-or-later
//! Created devices: where they are now, and which of them remain after a failed create.

use std::rc::Rc;

use super::open_device::OpenDevice;
use super::plan::Plan;
use super::{Host, destroy};
use crate::backend::{Attempt, Created, Located, parents};
use crate::error::{Error, ErrorCode};
use crate::sysfs::{Errno, IoResult, is_absent};

/// A created device and its identity: see [`Located`].
pub(super) struct CreatedDevice<'a> {
    pub(super) plan: &'a Plan,
    /// Its name below its parent.
    pub(super) entry: String,
    pub(super) vf: Option<String>,
    pub(super) identity: Option<u64>,
    /// The driver returned success.
    pub(super) is_accepted: bool,
    /// The device, if it was located after its creation.
    pub(super) located: Option<Located>,
}

/// What remains of a device after a failed create.
pub(super) enum Leftover {
    None,
    /// The device, of this identity, which cannot be removed.
    Device(Option<u64>, Error),
    /// A VF that may be another program's device: a message with its state and the next step.
    InDoubt(String),
}

impl CreatedDevice<'_> {
    /// Locates the device by sysfs and not by its record, which may be unreadable.
    pub(super) fn locate(&self, host: &Host) -> IoResult<Created> {
        let attempt = Attempt {
            uuid: self.plan.uuid,
            parent: &self.plan.place.syspath,
            type_id: &self.plan.type_id,
            vf: self.vf.as_deref(),
            entry: &self.entry,
            identity: self.identity,
            is_accepted: self.is_accepted,
        };
        self.plan.parent.backend.locate_created(&*host.sysfs, &host.runtime.records(), &attempt)
    }

    /// Removes the device. If its VF is another device now, does not change that device.
    pub(super) fn remove(&self, host: &Host) -> Leftover {
        let failed = |errno| Leftover::Device(self.identity, Error::io("look for", &self.plan.place.syspath, errno));
        let opened = match self.locate(host) {
            Ok(Created::Own(device)) => OpenDevice { device, parent: Rc::clone(&self.plan.parent) },
            Ok(Created::Absent) => return Leftover::None,
            Ok(Created::InDoubt(what)) => return Leftover::InDoubt(what),
            Err(errno) => return failed(errno),
        };
        match destroy::remove_new(host, &opened) {
            Ok(()) => Leftover::None,
            // Another program has written to the VF since it was located.
            Err(e) if e.code == ErrorCode::NoNode => match self.locate(host) {
                Ok(Created::Own(_)) => Leftover::Device(Some(opened.device.identity), e),
                Ok(Created::Absent) => Leftover::None,
                Ok(Created::InDoubt(what)) => Leftover::InDoubt(what),
                Err(errno) => failed(errno),
            },
            Err(e) => Leftover::Device(Some(opened.device.identity), e),
        }
    }
}

/// Replaces the error about a missing device or file by one that names the parent, if the parent no longer exists.
pub(super) fn explain_missing_parent(plan: &Plan, e: Error) -> Error {
    let is_missing = || parents::is_parent(&*plan.parent.dir).is_ok_and(|is_parent| !is_parent);
    if e.code == ErrorCode::NoParent || !is_absent(e.errno()) || !is_missing() {
        return e;
    }
    let message = format!(
        "cannot create device {}: its parent was removed, or its driver unbound; create it again when the parent is back",
        plan.uuid
    );
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).of(&plan.place.name())
}
