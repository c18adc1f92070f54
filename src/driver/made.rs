// SPDX-License-Identifier: LGPL-2.1-or-later
//! The devices that a create has made: where they are now, and which of them remain after a failed create.

use std::rc::Rc;

use super::plan::Plan;
use super::spots::{self, Seen, Spot};
use super::{Host, destroy};
use crate::backend::has_types;
use crate::backend::vendor_vfio::vfs::stranger_uuid;
use crate::error::{Error, ErrorCode};
use crate::store::Facts;
use crate::sysfs::{Dir, Errno, IoResult, if_present, is_absent};

/// A device that was made, and its identity: see [`Identity`](super::identity::Identity).
pub(super) struct Made<'a> {
    pub(super) plan: &'a Plan,
    /// Its name below its parent.
    pub(super) entry: String,
    pub(super) vf: Option<String>,
    pub(super) mark: Option<u64>,
    /// The driver returned success.
    pub(super) is_accepted: bool,
}

/// Where a device that was made is now.
pub(super) enum Located {
    /// The driver made none, or another program destroyed it.
    Absent,
    /// It is the very device that was made.
    Own(Spot),
    /// Its VF has the type that was written, but not the mark: another program has written to the VF since. If the driver
    /// refused that write, it is still this device. If the other program cleared the VF first, it is that program's device.
    /// sysfs shows no difference.
    InDoubt(String),
}

/// What remains of a device after a failed create.
pub(super) enum Left {
    Nothing,
    /// The device, with this mark, which cannot be removed.
    Device(Option<u64>, Error),
    /// A VF that may be another program's device: a message with its state and the next step.
    InDoubt(String),
}

impl Made<'_> {
    /// Locates the device by sysfs and not by its record, which may be unreadable.
    pub(super) fn locate(&self, host: &Host, bus: Option<&Rc<dyn Dir>>) -> IoResult<Located> {
        let (uuid, parent) = (self.plan.uuid, &self.plan.place.syspath);
        let found = match self.vf {
            // Without its PF there is no VF.
            Some(_) => if_present(spots::on_vf(host, parent, &self.entry, uuid))?.flatten(),
            None => bus.map(|bus| spots::on_bus(bus, &uuid)).transpose()?.flatten(),
        };
        let Some(spot) = found.filter(|spot| spot.parent == *parent) else { return Ok(Located::Absent) };
        let is_marked = self.mark.map(|mark| mark == spot.mark());
        // Without a mark, a device of the same UUID may be another program's. The founding proposal may show no type.
        let shown = match (&self.vf, self.mark) {
            (None, None) => self.plan.layout.type_of(&*spot.dir, &spot.entry)?,
            _ => None,
        };
        Ok(match (&self.vf, &spot.seen) {
            (Some(_), Some(seen)) if seen.type_id != self.plan.type_id => Located::Absent,
            (Some(vf), Some(seen)) if !is_marked.unwrap_or(self.is_accepted) => self.doubt(host, vf, seen),
            (None, _) if is_marked == Some(false) => Located::Absent,
            _ if shown.is_some_and(|shown| shown != self.plan.type_id) => Located::Absent,
            _ => Located::Own(spot),
        })
    }

    fn doubt(&self, host: &Host, vf: &str, seen: &Seen) -> Located {
        let derived = stranger_uuid(vf, &seen.type_id);
        // Without a mark, the record of this device would match that VF.
        let is_others = |facts: &&Facts| facts.uuid != self.plan.uuid;
        let listed = spots::all_facts(host).map(|all| spots::identify(vf, seen, all.values().filter(is_others)));
        if listed.is_ok_and(|listed| listed != derived) {
            return Located::Absent;
        }
        Located::InDoubt(format!(
            "VF {vf} still has type {} and was not cleared, since another program may have made that device; it is listed as \
             {derived}: destroy it unless another program made it",
            seen.type_id
        ))
    }

    /// Removes the device. If its VF is another device by now, leaves that alone.
    pub(super) fn remove(&self, host: &Host, bus: Option<&Rc<dyn Dir>>) -> Left {
        let failed = |errno| Left::Device(self.mark, Error::io("look for", &self.plan.place.syspath, errno));
        let spot = match self.locate(host, bus) {
            Ok(Located::Own(spot)) => spot,
            Ok(Located::Absent) => return Left::Nothing,
            Ok(Located::InDoubt(what)) => return Left::InDoubt(what),
            Err(errno) => return failed(errno),
        };
        match destroy::take_back(host, &spot) {
            Ok(()) => Left::Nothing,
            // Another program has written to the VF since it was located.
            Err(e) if e.code == ErrorCode::NoNode => match self.locate(host, bus) {
                Ok(Located::Own(_)) => Left::Device(Some(spot.mark()), e),
                Ok(Located::Absent) => Left::Nothing,
                Ok(Located::InDoubt(what)) => Left::InDoubt(what),
                Err(errno) => failed(errno),
            },
            Err(e) => Left::Device(Some(spot.mark()), e),
        }
    }
}

/// Replaces the error about a missing device or file by one that names the parent, if the parent no longer exists.
pub(super) fn explain_missing_parent(plan: &Plan, e: Error) -> Error {
    let is_missing = || has_types(&*plan.dir).is_err_and(is_absent);
    if e.code == ErrorCode::NoParent || !is_absent(e.errno()) || !is_missing() {
        return e;
    }
    let message = format!(
        "cannot create device {}: its parent was removed, or its driver unbound; create it again when the parent is back",
        plan.uuid
    );
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).of(&plan.place.name())
}
