// SPDX-License-Identifier: LGPL-2.1-or-later
//! Devices that are made together: all of them, or none.

use rustix::io::Errno;
use uuid::Uuid;

use super::created_device::{CreatedDevice, Leftover, explain_missing_parent};
use super::plan::Plan;
use super::{Host, attrs, devices, wait_device};
use crate::backend::devices::device_or_unknown;
use crate::backend::parents::ParentCache;
use crate::backend::{ChosenVf, Created, DeviceId, Folders, Located, Prepared, Wanted};
use crate::error::{Error, ErrorCode, Result, is_exhausted};
use crate::model::Device;
use crate::store::{Batch, DeviceRecord, HostLock, NewGroup, Reservation};
use crate::sysfs::IoResult;

/// How often a create is repeated that a signal interrupted.
const INTERRUPTS_MAX: u32 = 64;

/// A failure, with the plan of the device where it occurred.
pub(super) type Failed<'a> = (Option<&'a Plan>, Error);

/// Makes every device of the plans, or none: a failure removes those that were made, in reverse.
pub(super) fn create_all<'a>(
    host: &'a Host,
    plans: &'a [Plan],
    wants_group: &[Uuid],
    owner: Option<String>,
) -> std::result::Result<Vec<Device>, Failed<'a>> {
    // Without descriptors a device could not be removed again.
    host.spare.fill().map_err(|errno| (None, Error::io("open", "descriptors to create a device", errno)))?;
    let mut prepared = prepare_all(host, plans, wants_group)?;
    let mut transaction = CreateTransaction::new(host, owner, plans.len() > 1).map_err(|e| (None, e))?;
    // Of several devices, the error does not say which it is about.
    let alone = if let [plan] = plans { Some(plan) } else { None };
    if let Err(e) = transaction.reserve_uuids(plans, wants_group) {
        return Err((alone, transaction.rollback(e)));
    }
    for (plan, prepared) in plans.iter().zip(&mut prepared) {
        if let Err(e) = transaction.create_one(plan, prepared.take()) {
            return Err((Some(plan), transaction.rollback(explain_missing_parent(plan, e))));
        }
    }
    let devices = match transaction.finish(plans) {
        Ok(devices) => devices,
        Err(e) => return Err((None, transaction.rollback(e))),
    };
    for plan in plans {
        log::info!("{}: created device {} of type {}", plan.place.name(), plan.uuid, plan.type_id);
    }
    Ok(devices)
}

/// Devices being made, with what is reserved for them.
struct CreateTransaction<'a> {
    host: &'a Host,
    owner: Option<String>,
    /// Of several devices: records that they are not complete.
    batch: Option<Batch<'a>>,
    /// The mdev bus, opened before the first write; `None` if it comes with its first device. Not a folder that was open before the
    /// call-outs: if the module was loaded again since, that folder shows no device.
    folders: Folders<'a>,
    reserved: Vec<Reservation<'a>>,
    /// Group numbers by device.
    groups: Vec<(Uuid, Option<u32>)>,
    /// The devices that were made, in order.
    made: Vec<CreatedDevice<'a>>,
}

/// What became of one attempt to make a device.
enum Attempt {
    Made,
    /// The driver has no room for it on this VF.
    Refused {
        error: Error,
        vf: String,
    },
    /// A signal interrupted the driver, and the device is not there.
    Interrupted(Error),
}

impl<'a> CreateTransaction<'a> {
    fn new(host: &'a Host, owner: Option<String>, several: bool) -> Result<Self> {
        let folders = Folders::new(&*host.sysfs);
        folders.bus()?;
        let batch = several.then(|| host.runtime.begin_batch()).transpose()?;
        Ok(CreateTransaction {
            host,
            owner,
            batch,
            folders,
            reserved: Vec::new(),
            groups: Vec::new(),
            made: Vec::new(),
        })
    }

    fn record(&self, plan: &Plan, vf: Option<&ChosenVf>) -> DeviceRecord {
        plan.record(self.owner.clone(), self.batch.as_ref().map(Batch::id), vf)
    }

    /// Everything that the devices need that are reserved before the first is made.
    fn reserve_uuids(&mut self, plans: &[Plan], wants_group: &[Uuid]) -> Result<()> {
        let reserved_first = plans.iter().filter(|plan| plan.parent.layout.reserves_first);
        let records: Vec<DeviceRecord> = reserved_first.map(|plan| self.record(plan, None)).collect();
        if records.is_empty() {
            return Ok(());
        }
        // Read before the store is locked: a driver that blocks the read would block every creator of this host. A device that is
        // made from here on has its group in its record, unless another program makes it, which no lock prevents.
        let shown = if wants_group.is_empty() { Vec::new() } else { devices::groups_in_sysfs(self.host)? };
        let in_use = || Ok([&shown[..], &devices::groups_of_definitions(self.host)?].concat());
        let group = NewGroup { members: wants_group, in_use: &in_use };
        let reserved = self.host.runtime.reserve(records, group, &|record| device_or_unknown(&self.folders, record))?;
        self.groups = reserved.records().iter().map(|record| (record.uuid, record.group)).collect();
        self.reserved.push(reserved);
        Ok(())
    }

    /// One device, ready for use. Where the driver refuses the VF that was chosen, for the card is full behind its back,
    /// the next one is tried.
    fn create_one(&mut self, plan: &'a Plan, mut prepared: Option<Ready<'_>>) -> Result<()> {
        let group = self.groups.iter().find(|(uuid, _)| *uuid == plan.uuid).and_then(|(_, group)| *group);
        let mut tried = Vec::new();
        let mut last = None;
        let mut interrupted = 0;
        loop {
            match self.try_vf(plan, prepared.take(), group, &tried) {
                Ok(Attempt::Made) => return Ok(()),
                Ok(Attempt::Refused { error, vf }) => {
                    tried.push(vf);
                    last = Some(error);
                }
                Ok(Attempt::Interrupted(e)) if interrupted == INTERRUPTS_MAX => return Err(e),
                Ok(Attempt::Interrupted(_)) => interrupted += 1,
                // No other VF is left: the driver's answer for the last one says more.
                Err(e) if e.code == ErrorCode::NoInstances => return Err(last.unwrap_or(e)),
                Err(e) => return Err(e),
            }
        }
    }

    fn try_vf(
        &mut self,
        plan: &'a Plan,
        prepared: Option<Ready<'_>>,
        group: Option<u32>,
        tried: &[String],
    ) -> Result<Attempt> {
        let named = |e: Error| e.of(&plan.place.name());
        let Ready { prepared: mut ready, lock } = match prepared {
            Some(ready) => ready,
            None => prepare(self.host, plan, group, tried)?,
        };
        let (entry, is_accepted) = (plan.uuid.to_string(), false);
        let mut made = CreatedDevice { plan, entry, vf: None, identity: None, is_accepted, located: None };
        if let Some(vf) = ready.vf {
            let record = self.record(plan, Some(&vf));
            // The wait for the lock may have been long.
            let folders = Folders::new(&*self.host.sysfs);
            let device = |record: &DeviceRecord| device_or_unknown(&folders, record);
            let reserved = self.host.runtime.reserve(vec![record], &[], &device)?;
            self.reserved.push(reserved);
            (made.entry, made.vf, made.identity) = (vf.entry, Some(vf.sysname), vf.identity);
        }
        let mut is_asked = false;
        let committed = ready.writes.set_up().and_then(|()| {
            is_asked = true;
            self.reserved.iter_mut().for_each(|reserved| reserved.begin(&plan.uuid));
            ready.writes.commit()
        });
        drop(lock);
        let Err(e) = committed.map_err(named) else {
            made.is_accepted = true;
            self.made.push(made);
            return self.make_usable(plan).map_err(named).map(|()| Attempt::Made);
        };
        let is_interrupted = e.errno == Errno::INTR.raw_os_error();
        let located = if is_asked { self.locate_refused(&made, &e) } else { Ok(Created::Absent) };
        match located {
            Ok(Created::Absent) => {
                self.forget(plan);
                match made.vf {
                    _ if is_interrupted => Ok(Attempt::Interrupted(e)),
                    Some(vf) if e.code == ErrorCode::NoInstances => Ok(Attempt::Refused { error: e, vf }),
                    _ => Err(e),
                }
            }
            // The driver was interrupted when its work was done, or the interrupted write was repeated on the way.
            Ok(Created::Own(_)) | Err(_) if is_interrupted || e.code == ErrorCode::Exists => {
                self.made.push(made);
                self.make_usable(plan).map_err(named).map(|()| Attempt::Made)
            }
            // The caller takes it back, with the others. What cannot be looked at may exist.
            _ => {
                self.made.push(made);
                Err(e)
            }
        }
    }

    /// Where a device is for which the driver returned this error. A UUID that the caller gave may be another creator's device:
    /// then the driver returns EEXIST, or that it is full. No other creator can have a random UUID.
    fn locate_refused(&self, made: &CreatedDevice<'_>, error: &Error) -> IoResult<Created> {
        let others = made.vf.is_none()
            && made.plan.def.uuid.is_some()
            && matches!(error.code, ErrorCode::Exists | ErrorCode::NoInstances);
        if others { Ok(Created::Absent) } else { made.locate(self.host) }
    }

    /// The device does not exist. What was reserved before the first device was made stays reserved until the request ends.
    fn forget(&mut self, plan: &Plan) {
        self.reserved.iter_mut().for_each(|reserved| reserved.absent(&plan.uuid));
        if !plan.parent.layout.reserves_first {
            self.reserved.retain(|reserved| !matches!(reserved.records(), [only] if only.uuid == plan.uuid));
        }
    }

    /// Waits for the device that was made last, and writes its attributes.
    fn make_usable(&mut self, plan: &Plan) -> Result<()> {
        // At once, so that a later device of this UUID is not taken for this one. A driver may make the device after the write.
        self.mark_last()?;
        let Some(entry) = self.made.last().map(|made| made.entry.clone()) else { return Ok(()) };
        wait_device::wait_ready(self.host, &plan.parent, &*plan.parent.dir, &entry)?;
        self.mark_last()?;
        let Some(made) = self.made.last() else { return Ok(()) };
        let path = format!("{}/{entry}", plan.place.syspath);
        let sysname = made.vf.as_deref().unwrap_or(&entry);
        let id = DeviceId { uuid: &plan.uuid, sysname, type_id: &plan.type_id, identity: made.identity };
        attrs::apply(&self.folders, self.host, plan.parent.layout, &path, &id, &plan.def.attributes)
    }

    /// Locates the device that was made last, unless its identity is known, and writes its identity to its record.
    fn mark_last(&mut self) -> Result<()> {
        let Some(made) = self.made.last_mut() else { return Ok(()) };
        if made.identity.is_some() || made.vf.is_some() {
            return Ok(());
        }
        let (uuid, backend) = (made.plan.uuid, made.plan.parent.backend);
        let records = self.host.runtime.records();
        let locate = || backend.locate(&self.folders, &records, &Wanted::Name(&made.entry));
        made.located = match locate() {
            // The device exists: the descriptors that are kept for its removal are for this, too.
            Err(e) if is_exhausted(e.errno()) => {
                self.host.spare.release();
                locate()?
            }
            located => located?,
        };
        if let Some(located) = made.located.as_mut().filter(|_| made.plan.parent.layout.shows_type) {
            located.type_id = Some(made.plan.type_id.clone());
        }
        made.identity = made.located.as_ref().map(|located| located.identity);
        match made.identity {
            Some(identity) => self.reserved.iter_mut().try_for_each(|reserved| reserved.set_identity(&uuid, identity)),
            None => Ok(()),
        }
    }

    /// Returns the devices as they are now. From here on their records are final for other processes.
    fn finish(&mut self, plans: &[Plan]) -> Result<Vec<Device>> {
        let mut known = ParentCache::new(&*self.host.sysfs);
        let mut find = |plan| self.find_made(plan, &mut known).map_err(|e| explain_missing_parent(plan, e));
        let made = plans.iter().map(&mut find);
        let devices = made.collect::<Result<Vec<Device>>>()?;
        let mut reserved = std::mem::take(&mut self.reserved);
        let confirmed = reserved.iter_mut().try_for_each(|one| one.confirm(&|record| self.identity_of(&record.uuid)));
        // Kept until the caller has taken back what was made: by them a VF is known.
        self.reserved = reserved;
        confirmed?;
        self.batch.as_ref().map_or(Ok(()), Batch::finish)?;
        Ok(devices)
    }

    fn find_made(&self, plan: &Plan, known: &mut ParentCache<'_>) -> Result<Device> {
        known.add_open(&plan.place, &plan.parent, &plan.type_id, plan.type_dir().map(|dir| &**dir));
        let made = self.made.iter().find(|made| made.plan.uuid == plan.uuid);
        let device = match made.map(|made| self.locate_again(made)).transpose()?.flatten() {
            Some(found) => devices::read(&found, self.reserved_record(&plan.uuid), known)?,
            None => None,
        };
        device.ok_or_else(|| self.explain_missing(plan).of(&plan.place.name()))
    }

    fn reserved_record(&self, uuid: &Uuid) -> Option<&DeviceRecord> {
        self.reserved.iter().flat_map(Reservation::records).find(|record| record.uuid == *uuid)
    }

    /// The very device that was made, not a later one of its UUID; `None` if it no longer exists.
    fn locate_again(&self, made: &CreatedDevice<'_>) -> Result<Option<Located>> {
        if let Some(located) = &made.located {
            let now = located.backend.identity(&*located.dir, &located.entry);
            if now.map_err(|errno| Error::io("read the identity of", &located.syspath, errno))? == made.identity {
                return Ok(Some(located.clone()));
            }
        }
        let found = devices::locate_in(&self.folders, self.host, &made.plan.uuid, made.plan.place.sysname())?;
        Ok(found.filter(|found| made.identity.is_none_or(|identity| identity == found.identity)))
    }

    /// Why a device that was made cannot be found.
    fn explain_missing(&self, plan: &Plan) -> Error {
        let uuid = plan.uuid;
        let made = self.made.iter().find(|made| made.plan.uuid == uuid);
        let message = match made.map(|made| (&made.vf, made.locate(self.host))) {
            Some((Some(vf), Ok(Created::InDoubt(_)))) => format!(
                "device {uuid} was created and can no longer be identified: another program wrote to the type of its VF {vf}"
            ),
            Some((_, Ok(Created::Own(_)))) => {
                format!("device {uuid} was created and its record no longer exists: another program removed it")
            }
            _ => format!("device {uuid} was created and no longer exists: another process destroyed it"),
        };
        Error::new(ErrorCode::NoNode, Errno::NODEV, message)
    }

    fn identity_of(&self, uuid: &Uuid) -> Option<u64> {
        self.made.iter().find(|made| made.plan.uuid == *uuid).and_then(|made| made.identity)
    }

    /// Removes what was made, in reverse, because of `error`. A device that cannot be removed keeps its record, its group is
    /// incomplete, and the error that comes back names it; so it does a VF that may be another program's.
    fn rollback(&mut self, mut error: Error) -> Error {
        let mut none_left = true;
        while let Some(made) = self.made.pop() {
            let uuid = made.plan.uuid;
            let left = match made.remove(self.host) {
                Leftover::Device(_, e) if is_exhausted(e.errno()) => {
                    self.host.spare.release();
                    made.remove(self.host)
                }
                left => left,
            };
            match left {
                Leftover::None => {
                    self.forget(made.plan);
                    continue;
                }
                Leftover::Device(identity, why) => {
                    self.reserved.iter_mut().for_each(|reserved| reserved.keep(&uuid, identity));
                    none_left = false;
                    error =
                        error.hint(&format!("device {uuid} was made and cannot be removed again ({why}): destroy it"));
                }
                Leftover::InDoubt(what) => {
                    // A record without an identity would be about the other program's device.
                    if made.identity.is_none() {
                        self.forget(made.plan);
                    }
                    error = error.hint(&what);
                }
            }
            // Nothing may be made in its place.
            if error.code == ErrorCode::NoInstances {
                error.code = ErrorCode::NotReady;
            }
        }
        let batch = self.batch.take().filter(|_| none_left);
        if let Some(Err(e)) = batch.map(|batch| batch.finish()) {
            log::warn!("{e}");
        }
        error
    }
}

/// A device that can be made now, with the lock under which that stays so.
struct Ready<'p> {
    prepared: Prepared<'p>,
    lock: Option<HostLock<'p>>,
}

/// Prepares every device, so that a request that is bound to fail fails before anything is written. `None` for a device that has to
/// be prepared again: two devices of a request may need one lock, a group number may not have been allocated yet, and the devices
/// before it take instances.
fn prepare_all<'p>(
    host: &'p Host,
    plans: &'p [Plan],
    wants_group: &[Uuid],
) -> std::result::Result<Vec<Option<Ready<'p>>>, Failed<'p>> {
    let mut all = Vec::with_capacity(plans.len());
    for plan in plans {
        let is_new_group = wants_group.contains(&plan.uuid);
        // Any number stands for the one that will be found.
        let group = plan.def.group.or(is_new_group.then_some(1));
        let ready = prepare(host, plan, group, &[]).map_err(|e| (Some(plan), e))?;
        let is_final = all.is_empty() && !is_new_group && (plans.len() == 1 || ready.lock.is_none());
        all.push(is_final.then_some(ready));
    }
    Ok(all)
}

fn prepare<'p>(host: &'p Host, plan: &'p Plan, group: Option<u32>, avoid: &'p [String]) -> Result<Ready<'p>> {
    let named = |e: Error| e.of(&plan.place.name());
    let backend = plan.parent.backend;
    let lock = backend.lock(plan.parent.layout, plan.place.sysname(), Some(&plan.type_id));
    let lock = host.lock(lock).map_err(named)?;
    if lock.is_some() {
        plan.reopen_type();
    }
    let prepared = backend.prepare(&plan.parent, &plan.request(group, avoid)).map_err(named)?;
    Ok(Ready { prepared, lock })
}
