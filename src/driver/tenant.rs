// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whether a VF is still the device that it was. Its path does not tell: the next device of the VF has the same.

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use super::devices::no_device;
use super::spots::{self, Seen};
use crate::error::{Error, ErrorCode, Result, describe};
use crate::layout::functions::stranger_uuid;
use crate::layout::of_kind;
use crate::model::Device;
use crate::store::Facts;
use crate::sysfs::{Guard, basename};

/// A device that is a VF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenant<'a> {
    pub(super) uuid: &'a Uuid,
    /// Sysfs name of the VF.
    pub(super) vf: &'a str,
    pub(super) type_id: &'a str,
    /// The mark that its creator set, which lasts. A device that was made without this library has none: the time of a file
    /// in sysfs that nobody has set is that of its inode in memory.
    pub(super) mark: Option<u64>,
}

impl Tenant<'_> {
    /// `None` for a device that has its place for itself.
    pub(super) fn of(device: &Device) -> Option<Tenant<'_>> {
        if !of_kind(device.layout).is_function() {
            return None;
        }
        let type_id = device.type_id.as_deref().unwrap_or_default();
        Some(Tenant { uuid: &device.uuid, vf: basename(&device.syspath), type_id, mark: device.mark })
    }

    /// Fails when the VF is another device meanwhile, or none.
    pub(super) fn check(&self, host: &Host) -> Result<()> {
        let seen = match spots::see_vf(host, self.vf) {
            Ok(seen) => seen,
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => None,
            Err(errno) => return Err(Error::io("look at the VF", self.vf, errno)),
        };
        let Some(seen) = seen.filter(|seen| seen.type_id == self.type_id) else { return Err(self.gone()) };
        let same = match self.mark {
            Some(mark) => mark == seen.mark,
            None => is_device(host, self.uuid, self.vf, &seen)?,
        };
        if same { Ok(()) } else { Err(self.gone()) }
    }

    /// The same, and no creator that uses this library makes it another while the guard lives.
    pub(super) fn keep(&self, host: &Host) -> Result<Option<Box<dyn Guard>>> {
        let pf = spots::open_pf(host, self.vf).map_err(|errno| match errno {
            Errno::NOENT | Errno::NODEV => self.gone(),
            other => Error::io("find the PF of", self.vf, other),
        })?;
        let kept = spots::vendor().keep_places(&*pf)?;
        self.check(host)?;
        Ok(kept)
    }

    fn gone(&self) -> Error {
        let message = format!(
            "device {} has gone meanwhile: its VF {} was cleared or given to another, or somebody else wrote to it",
            self.uuid, self.vf
        );
        Error::new(ErrorCode::NoNode, Errno::NODEV, message)
    }
}

/// By what is remembered now, the VF is the device of this UUID.
pub(super) fn is_device(host: &Host, uuid: &Uuid, vf: &str, seen: &Seen) -> Result<bool> {
    if spots::facts_of(host, uuid)?.is_some_and(|facts| spots::is_about(&facts, vf, seen)) {
        return Ok(true);
    }
    // A stranger's, as long as it is nobody's.
    Ok(stranger_uuid(vf, &seen.type_id) == *uuid
        && spots::identify(vf, seen, spots::all_facts(host)?.values()) == *uuid)
}

/// There is no such device. Of one that was a VF, what is remembered and what the VF is now tell what became of it.
pub(super) fn lost(host: &Host, uuid: &Uuid) -> Error {
    let Ok(Some(Facts { function: Some(vf), type_id, .. })) = host.runtime.get(uuid) else { return no_device(uuid) };
    let message = match spots::see_vf(host, &vf) {
        Ok(Some(seen)) => {
            let now = match spots::all_facts(host) {
                Ok(facts) => spots::identify(&vf, &seen, facts.values()),
                Err(e) => return e,
            };
            if seen.type_id == type_id && now == stranger_uuid(&vf, &type_id) {
                // Cleared and set again; or refused, and the type has stayed.
                format!(
                    "device {uuid} cannot be told from another any more: somebody else wrote to the type of its VF {vf}, \
                     which is listed as {now} now"
                )
            } else {
                format!("device {uuid} is gone: its VF {vf} was cleared, and is device {now} now")
            }
        }
        Ok(None) => format!("device {uuid} is gone: its VF {vf} was cleared"),
        Err(errno) => format!("device {uuid} is gone, or cannot be reached: its VF {vf}: {}", describe(errno)),
    };
    Error::new(ErrorCode::NoNode, Errno::NODEV, message)
}
