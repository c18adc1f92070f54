// SPDX-License-Identifier: LGPL-2.1-or-later
//! The device that a handle belongs to. UUID and path do not identify it: the next device of the same UUID, or on the same VF,
//! has the same UUID or path.

use rustix::io::Errno;
use uuid::Uuid;

use super::Host;
use super::devices::no_device;
use super::spots::{self, LazyFacts, Seen, Spot};
use crate::backend::of_kind;
use crate::backend::vendor_vfio::vfs::stranger_uuid;
use crate::error::{Error, ErrorCode, Result, describe};
use crate::model::Device;
use crate::store::{Facts, HostLock};
use crate::sysfs::{basename, is_absent};

/// The identity of a running device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) uuid: &'a Uuid,
    pub(super) vf: Option<VfDevice<'a>>,
    /// On the mdev bus: the inode number of the device's link, which sysfs never uses twice; `None` if the device no longer
    /// existed when it was read. Of a VF: the mark that its creator set; `None` for a device of another program, since the
    /// time of a sysfs file is only the time of its inode in memory unless a program has set it.
    pub(super) mark: Option<u64>,
}

/// The VF that is a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct VfDevice<'a> {
    /// Sysfs name of the VF.
    pub(super) sysname: &'a str,
    pub(super) type_id: &'a str,
}

impl Identity<'_> {
    /// The identity that a running device had when it was read.
    pub(super) fn of(device: &Device) -> Identity<'_> {
        let type_id = device.type_id.as_deref().unwrap_or_default();
        let is_vf = of_kind(device.layout).is_function();
        let vf = is_vf.then(|| VfDevice { sysname: basename(&device.syspath), type_id });
        Identity { uuid: &device.uuid, vf, mark: device.mark }
    }

    /// Fails with ENODEV if the device no longer exists, also if another device has its UUID or its VF now.
    pub(super) fn check(&self, host: &Host) -> Result<()> {
        let same = match &self.vf {
            Some(vf) => self.is_on_vf(host, vf)?,
            None => {
                let bus = spots::open_devices(host)?;
                let mark = bus.map(|bus| spots::bus_mark(&*bus, self.uuid)).transpose();
                let mark = mark.map_err(|errno| spots::bus_error(self.uuid, errno))?.flatten();
                mark.is_some() && mark == self.mark
            }
        };
        if same { Ok(()) } else { Err(self.gone()) }
    }

    fn is_on_vf(&self, host: &Host, vf: &VfDevice<'_>) -> Result<bool> {
        let seen = match spots::see_vf(host, vf.sysname) {
            Ok(seen) => seen,
            Err(errno) if is_absent(errno) => None,
            Err(errno) => return Err(Error::io("look at the VF", vf.sysname, errno)),
        };
        let Some(seen) = seen.filter(|seen| seen.type_id == vf.type_id) else { return Ok(false) };
        match self.mark {
            Some(mark) => Ok(mark == seen.mark),
            None => is_device(host, self.uuid, vf.sysname, &seen),
        }
    }

    /// Checks the same. While the guard lives, no creator that uses this library gives the VF to another device. A device on
    /// the mdev bus needs no guard: its open folder never becomes the folder of another device.
    pub(super) fn hold<'h>(&self, host: &'h Host) -> Result<Option<HostLock<'h>>> {
        let held = match &self.vf {
            Some(vf) => {
                let pf = spots::open_pf(host, vf.sysname).map_err(|errno| match errno {
                    errno if is_absent(errno) => self.gone(),
                    other => Error::io("find the PF of", vf.sysname, other),
                })?;
                host.lock(spots::vendor().place_lock(&*pf))?
            }
            None => None,
        };
        self.check(host)?;
        Ok(held)
    }

    fn is_at(&self, spot: &Spot) -> bool {
        match (&self.vf, &spot.seen) {
            (Some(vf), Some(seen)) => {
                vf.sysname == basename(&spot.syspath)
                    && vf.type_id == seen.type_id
                    && self.mark.is_none_or(|mark| mark == seen.mark)
            }
            (None, None) => self.mark == Some(spot.mark()),
            _ => false,
        }
    }

    fn gone(&self) -> Error {
        let message = match &self.vf {
            Some(vf) => format!(
                "device {} no longer exists: its VF {} was cleared, made another device, or written to by another \
                 program; look the device up again",
                self.uuid, vf.sysname
            ),
            None => format!(
                "device {} no longer exists: it was destroyed, and a device that has its UUID now is another one; look \
                 the device up again",
                self.uuid
            ),
        };
        Error::new(ErrorCode::NoNode, Errno::NODEV, message)
    }
}

/// Locates the running device that a handle belongs to. Fails with ENODEV if the device no longer exists.
pub(super) fn locate(host: &Host, device: &Device) -> Result<Spot> {
    let found = spots::find_for(host, &device.uuid, &device.parent_sysname)?.ok_or_else(|| lost(host, &device.uuid))?;
    let identity = Identity::of(device);
    if identity.is_at(&found) { Ok(found) } else { Err(identity.gone()) }
}

/// Whether the VF is the device of this UUID according to the records.
pub(super) fn is_device(host: &Host, uuid: &Uuid, vf: &str, seen: &Seen) -> Result<bool> {
    if spots::facts_of(host, uuid)?.is_some_and(|facts| spots::is_about(&facts, vf, seen)) {
        return Ok(true);
    }
    // The derived UUID applies only while no record claims this VF.
    Ok(stranger_uuid(vf, &seen.type_id) == *uuid && LazyFacts::new(host).identify(vf, seen)? == *uuid)
}

/// The error for a UUID without a device. If the device was a VF, the message describes the VF as it is now.
pub(super) fn lost(host: &Host, uuid: &Uuid) -> Error {
    let Ok(Some(Facts { function: Some(vf), type_id, .. })) = host.runtime.get(uuid) else { return no_device(uuid) };
    let message = match spots::see_vf(host, &vf) {
        Ok(Some(seen)) => {
            let now = match spots::all_facts(host) {
                Ok(facts) => spots::identify(&vf, &seen, facts.values()),
                Err(e) => return e,
            };
            if seen.type_id == type_id && now == stranger_uuid(&vf, &type_id) {
                // The VF was cleared and set again, or the write was refused and the type stayed.
                format!(
                    "device {uuid} can no longer be identified: another program wrote to the type of its VF {vf}, which is \
                     listed as {now} now"
                )
            } else {
                format!("device {uuid} no longer exists: its VF {vf} was cleared, and is device {now} now")
            }
        }
        Ok(None) => format!("device {uuid} no longer exists: its VF {vf} was cleared"),
        Err(errno) => format!("device {uuid} cannot be found: its VF {vf} cannot be read: {}", describe(errno)),
    };
    Error::new(ErrorCode::NoNode, Errno::NODEV, message)
}
