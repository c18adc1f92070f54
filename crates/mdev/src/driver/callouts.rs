// SPDX-License-Identifier: LGPL-2.1-or-later
//! mdevctl's call-outs around an operation on a device: they may refuse it before, and are notified of the result after it.

use rustix::io::Errno;

use super::open_device::OpenDevice;
use super::plan::Plan;
use super::{Conn, DestroyFlags, Host, destroy, devices, identity};
use crate::callout::{Action, Approval, Scripts, Subject};
use crate::error::{Error, ErrorCode, Result};
use crate::store::Definition;

/// Whether the call-outs of a request run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CalloutMode {
    Run,
    Skip,
}

impl CalloutMode {
    pub(super) fn unless(off: bool) -> Self {
        if off { CalloutMode::Skip } else { CalloutMode::Run }
    }
}

/// Finds the call-out scripts. `None` if there are none, or if the request has the NO_CALLOUTS flag.
pub(super) fn scripts(host: &Host, ask: CalloutMode) -> Result<Option<Scripts>> {
    if ask == CalloutMode::Skip { Ok(None) } else { host.callouts.find() }
}

fn subject(def: &Definition) -> Subject {
    Subject { type_id: def.type_id.clone(), uuid: def.uuid, parent: def.parent.clone(), config: def.compact_json() }
}

/// Runs an operation on a definition between its call-outs.
pub(super) fn with_callouts<T>(
    host: &Host,
    ask: CalloutMode,
    action: Action,
    def: &Definition,
    command: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match scripts(host, ask)? {
        Some(scripts) => scripts.around(action, &subject(def), command),
        None => command(),
    }
}

/// Returns a definition of the planned device, for the call-outs.
fn planned(plan: &Plan, autostart: bool) -> Definition {
    Definition {
        // The same name of the parent that a definition on this VF has, so that a script gets the same name at define and start.
        parent: plan.vf.clone().unwrap_or_else(|| plan.place.sysname().to_owned()),
        uuid: plan.uuid,
        type_id: plan.type_id.clone(),
        autostart,
        attributes: plan.def.attributes.clone(),
        ..Definition::default()
    }
}

/// Returns the planned devices as the call-outs get them.
pub(super) fn subjects(plans: &[Plan], autostart: bool) -> Vec<Subject> {
    plans.iter().map(|plan| subject(&planned(plan, autostart))).collect()
}

/// Runs the call-outs before the start of each device. If one refuses, the call-outs of the approved devices are notified of the
/// failure.
pub(super) fn pre_start<'a>(scripts: &'a Scripts, subjects: &'a [Subject]) -> Result<Vec<Approval<'a>>> {
    let mut asked = Vec::with_capacity(subjects.len());
    for subject in subjects {
        match scripts.pre(Action::Start, subject) {
            Ok(one) => asked.push(one),
            Err(e) => {
                post(asked, false);
                return Err(e);
            }
        }
    }
    Ok(asked)
}

pub(super) fn post(asked: Vec<Approval<'_>>, success: bool) {
    asked.into_iter().for_each(|asked| asked.post(success));
}

impl Conn {
    /// Destroys the device of this UUID. Fails as [`Node::destroy`](crate::Node::destroy) does, and if there is no such device.
    pub fn destroy_uuid(&self, uuid: &str, flags: DestroyFlags) -> Result<()> {
        let uuid = self.uuid(uuid)?;
        let device = devices::locate(&self.host, &uuid)?.ok_or_else(|| identity::explain_missing(&self.host, &uuid))?;
        destroy(&self.host, &OpenDevice::open(&self.host, device)?, flags)
    }
}

/// Destroys a device between the call-outs of a stop, which get the data of the device from sysfs.
pub(super) fn destroy(host: &Host, opened: &OpenDevice, flags: DestroyFlags) -> Result<()> {
    let command = || destroy::destroy(host, opened, flags);
    let ask = CalloutMode::unless(flags.contains(DestroyFlags::NO_CALLOUTS));
    let Some(scripts) = scripts(host, ask)? else { return command() };
    let hint = "MDEV_DESTROY_NO_CALLOUTS destroys the device without call-outs";
    let device = &opened.device;
    let Some(type_id) = devices::type_of(host, opened).map_err(|e| e.hint(hint))? else {
        // The destroy itself reports a device that no longer exists or that the caller may not destroy.
        if !opened.parent.layout.shows_type || !device.backend.is_same(device, None).map_err(|e| e.hint(hint))? {
            return command();
        }
        let message = format!("cannot read the type of device {}, which its call-outs need; {hint}", device.uuid);
        return Err(Error::new(ErrorCode::Callout, Errno::IO, message).at(device.syspath.clone()));
    };
    let above = opened.parent.sysname();
    // A device that is a VF may be defined on that VF.
    let is_defined_on = |parent: &&str| matches!(host.definitions.get(parent, &device.uuid), Ok(Some(_)));
    let parent = [above, device.sysname()].into_iter().find(is_defined_on).unwrap_or(above).to_owned();
    let def = Definition { parent, uuid: device.uuid, type_id, ..Definition::default() };
    scripts.around(Action::Stop, &subject(&def), command)
}
