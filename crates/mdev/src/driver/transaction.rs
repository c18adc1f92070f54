// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates the devices of a request: all, or none.

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

/// How often a create is repeated after a signal interrupted it.
const INTERRUPTS_MAX: u32 = 64;

/// A failure, with the plan of the device where it occurred.
pub(super) type Failed<'a> = (Option<&'a Plan>, Error);

/// Creates the device of every plan, or none: after a failure, removes the created devices in reverse order.
pub(super) fn create_all<'a>(
    host: &'a Host,
    plans: &'a [Plan],
    wants_group: &[Uuid],
    owner: Option<String>,
) -> std::result::Result<Vec<Device>, Failed<'a>> {
    // The removal of a created device needs descriptors, so they are reserved first.
    host.spare.fill().map_err(|errno| (None, Error::io("open", "descriptors to create a device", errno)))?;
    let mut prepared = prepare_all(host, plans, wants_group)?;
    let mut transaction = CreateTransaction::new(host, owner, plans.len() > 1).map_err(|e| (None, e))?;
    // With several devices, this error is not about one of them.
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

/// A create in progress: the devices, and the names, UUIDs and groups reserved for them.
struct CreateTransaction<'a> {
    host: &'a Host,
    owner: Option<String>,
    /// With several devices: the record that the group is incomplete.
    batch: Option<Batch<'a>>,
    /// The folders, opened before the first write. They must not be from before the call-outs: after the module is loaded again, an
    /// old folder of the mdev bus shows no device.
    folders: Folders<'a>,
    reserved: Vec<Reservation<'a>>,
    /// Group numbers by device.
    groups: Vec<(Uuid, Option<u32>)>,
    /// The created devices, in order.
    created: Vec<CreatedDevice<'a>>,
}

/// The result of one attempt to create a device.
enum Attempt {
    Made,
    /// The driver refused this VF because the card is full.
    Refused {
        error: Error,
        vf: String,
    },
    /// A signal interrupted the driver, and the device does not exist.
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
            created: Vec::new(),
        })
    }

    fn record(&self, plan: &Plan, vf: Option<&ChosenVf>) -> DeviceRecord {
        plan.record(self.owner.clone(), self.batch.as_ref().map(Batch::id), vf)
    }

    /// Reserves names, UUIDs and groups of all devices before the first device is created.
    fn reserve_uuids(&mut self, plans: &[Plan], wants_group: &[Uuid]) -> Result<()> {
        let reserved_first = plans.iter().filter(|plan| plan.parent.layout.reserves_first);
        let records: Vec<DeviceRecord> = reserved_first.map(|plan| self.record(plan, None)).collect();
        if records.is_empty() {
            return Ok(());
        }
        // Read before the store is locked: a driver that blocks the read would block every creator on this host. A device that is
        // created later has its group in its record, except a device of another program, which no lock prevents.
        let shown = if wants_group.is_empty() { Vec::new() } else { devices::groups_in_sysfs(self.host)? };
        let in_use = || Ok([&shown[..], &devices::groups_of_definitions(self.host)?].concat());
        let group = NewGroup { members: wants_group, in_use: &in_use };
        let reserved = self.host.runtime.reserve(records, group, &|record| device_or_unknown(&self.folders, record))?;
        self.groups = reserved.records().iter().map(|record| (record.uuid, record.group)).collect();
        self.reserved.push(reserved);
        Ok(())
    }

    /// Creates one device and waits until it is usable. If the driver refuses the chosen VF because the card is full, tries the next
    /// VF.
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
                // No other VF is left: the driver's error for the last VF has more information.
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
        let mut created = CreatedDevice { plan, entry, vf: None, identity: None, is_accepted, located: None };
        if let Some(vf) = ready.vf {
            let record = self.record(plan, Some(&vf));
            // The wait for the lock may have been long.
            let folders = Folders::new(&*self.host.sysfs);
            let device = |record: &DeviceRecord| device_or_unknown(&folders, record);
            let reserved = self.host.runtime.reserve(vec![record], &[], &device)?;
            self.reserved.push(reserved);
            (created.entry, created.vf, created.identity) = (vf.entry, Some(vf.sysname), vf.identity);
        }
        let mut is_asked = false;
        let committed = ready.writes.set_up().and_then(|()| {
            is_asked = true;
            self.reserved.iter_mut().for_each(|reserved| reserved.begin(&plan.uuid));
            ready.writes.commit()
        });
        drop(lock);
        let Err(e) = committed.map_err(named) else {
            created.is_accepted = true;
            self.created.push(created);
            return self.complete_last(plan).map_err(named).map(|()| Attempt::Made);
        };
        let is_interrupted = e.errno == Errno::INTR.raw_os_error();
        let located = if is_asked { self.locate_refused(&created, &e) } else { Ok(Created::Absent) };
        match located {
            Ok(Created::Absent) => {
                self.forget(plan);
                match created.vf {
                    _ if is_interrupted => Ok(Attempt::Interrupted(e)),
                    Some(vf) if e.code == ErrorCode::NoInstances => Ok(Attempt::Refused { error: e, vf }),
                    _ => Err(e),
                }
            }
            // A signal interrupted the driver after it had created the device, or an interrupted write was repeated.
            Ok(Created::Own(_)) | Err(_) if is_interrupted || e.code == ErrorCode::Exists => {
                self.created.push(created);
                self.complete_last(plan).map_err(named).map(|()| Attempt::Made)
            }
            // The caller removes it with the other devices. A device that cannot be read may exist.
            _ => {
                self.created.push(created);
                Err(e)
            }
        }
    }

    /// Locates the device for which the driver returned this error. A UUID that the caller gave may be another creator's device:
    /// then the driver returns EEXIST, or that it is full. No other creator can have a random UUID.
    fn locate_refused(&self, created: &CreatedDevice<'_>, error: &Error) -> IoResult<Created> {
        let others = created.vf.is_none()
            && created.plan.def.uuid.is_some()
            && matches!(error.code, ErrorCode::Exists | ErrorCode::NoInstances);
        if others { Ok(Created::Absent) } else { created.locate(self.host) }
    }

    /// Removes the record of a device that does not exist. The reservations stay until the request ends.
    fn forget(&mut self, plan: &Plan) {
        self.reserved.iter_mut().for_each(|reserved| reserved.absent(&plan.uuid));
        if !plan.parent.layout.reserves_first {
            self.reserved.retain(|reserved| !matches!(reserved.records(), [only] if only.uuid == plan.uuid));
        }
    }

    /// Waits for the last created device, and writes its attributes.
    fn complete_last(&mut self, plan: &Plan) -> Result<()> {
        // First, so that a later device of this UUID is not mistaken for this one. A driver may create the device after the write.
        self.record_identity()?;
        let Some(entry) = self.created.last().map(|created| created.entry.clone()) else { return Ok(()) };
        wait_device::wait_ready(self.host, &plan.parent, &*plan.parent.dir, &entry)?;
        self.record_identity()?;
        let Some(created) = self.created.last() else { return Ok(()) };
        let path = format!("{}/{entry}", plan.place.syspath);
        let sysname = created.vf.as_deref().unwrap_or(&entry);
        let id = DeviceId { uuid: &plan.uuid, sysname, type_id: &plan.type_id, identity: created.identity };
        attrs::apply(&self.folders, self.host, plan.parent.layout, &path, &id, &plan.def.attributes)
    }

    /// Writes the identity of the last created device to its record. Locates the device if its identity is unknown.
    fn record_identity(&mut self) -> Result<()> {
        let Some(created) = self.created.last_mut() else { return Ok(()) };
        if created.identity.is_some() || created.vf.is_some() {
            return Ok(());
        }
        let (uuid, backend) = (created.plan.uuid, created.plan.parent.backend);
        let records = self.host.runtime.records();
        let locate = || backend.locate(&self.folders, &records, &Wanted::Name(&created.entry));
        created.located = match locate() {
            // The device exists, so the descriptors reserved for its removal may be used.
            Err(e) if is_exhausted(e.errno()) => {
                self.host.spare.release();
                locate()?
            }
            located => located?,
        };
        if let Some(located) = created.located.as_mut().filter(|_| created.plan.parent.layout.shows_type) {
            located.type_id = Some(created.plan.type_id.clone());
        }
        created.identity = created.located.as_ref().map(|located| located.identity);
        match created.identity {
            Some(identity) => self.reserved.iter_mut().try_for_each(|reserved| reserved.set_identity(&uuid, identity)),
            None => Ok(()),
        }
    }

    /// Returns the devices as they are now. From here on their records are final for other processes.
    fn finish(&mut self, plans: &[Plan]) -> Result<Vec<Device>> {
        let mut known = ParentCache::new(&*self.host.sysfs);
        let mut find = |plan| self.find_created(plan, &mut known).map_err(|e| explain_missing_parent(plan, e));
        let created = plans.iter().map(&mut find);
        let devices = created.collect::<Result<Vec<Device>>>()?;
        let mut reserved = std::mem::take(&mut self.reserved);
        let confirmed = reserved.iter_mut().try_for_each(|one| one.confirm(&|record| self.identity_of(&record.uuid)));
        // Kept until a rollback has ended: the records identify the VFs.
        self.reserved = reserved;
        confirmed?;
        self.batch.as_ref().map_or(Ok(()), Batch::finish)?;
        Ok(devices)
    }

    fn find_created(&self, plan: &Plan, known: &mut ParentCache<'_>) -> Result<Device> {
        known.add_open(&plan.place, &plan.parent, &plan.type_id, plan.type_dir().map(|dir| &**dir));
        let created = self.created.iter().find(|created| created.plan.uuid == plan.uuid);
        let device = match created.map(|created| self.locate_again(created)).transpose()?.flatten() {
            Some(found) => devices::read(&found, self.reserved_record(&plan.uuid), known)?,
            None => None,
        };
        device.ok_or_else(|| self.explain_missing(plan).of(&plan.place.name()))
    }

    fn reserved_record(&self, uuid: &Uuid) -> Option<&DeviceRecord> {
        self.reserved.iter().flat_map(Reservation::records).find(|record| record.uuid == *uuid)
    }

    /// Locates the created device, not a later device of its UUID; `None` if it no longer exists.
    fn locate_again(&self, created: &CreatedDevice<'_>) -> Result<Option<Located>> {
        if let Some(located) = &created.located {
            let now = located.backend.identity(&*located.dir, &located.entry);
            if now.map_err(|errno| Error::io("read the identity of", &located.syspath, errno))? == created.identity {
                return Ok(Some(located.clone()));
            }
        }
        let found = devices::locate_in(&self.folders, self.host, &created.plan.uuid, created.plan.place.sysname())?;
        Ok(found.filter(|found| created.identity.is_none_or(|identity| identity == found.identity)))
    }

    /// Returns the error for a created device that cannot be found.
    fn explain_missing(&self, plan: &Plan) -> Error {
        let uuid = plan.uuid;
        let created = self.created.iter().find(|created| created.plan.uuid == uuid);
        let message = match created.map(|created| (&created.vf, created.locate(self.host))) {
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
        self.created.iter().find(|created| created.plan.uuid == *uuid).and_then(|created| created.identity)
    }

    /// Removes the created devices in reverse order, after `error`. A device that cannot be removed keeps its record, its group is
    /// incomplete, and the returned error names it. The same holds for a VF that may be a device of another program.
    fn rollback(&mut self, mut error: Error) -> Error {
        let mut none_left = true;
        while let Some(created) = self.created.pop() {
            let uuid = created.plan.uuid;
            let left = match created.remove(self.host) {
                Leftover::Device(_, e) if is_exhausted(e.errno()) => {
                    self.host.spare.release();
                    created.remove(self.host)
                }
                left => left,
            };
            match left {
                Leftover::None => {
                    self.forget(created.plan);
                    continue;
                }
                Leftover::Device(identity, why) => {
                    self.reserved.iter_mut().for_each(|reserved| reserved.keep(&uuid, identity));
                    none_left = false;
                    error = error
                        .hint(&format!("device {uuid} was created and cannot be removed again ({why}): destroy it"));
                }
                Leftover::InDoubt(what) => {
                    // A record without an identity would be about the other program's device.
                    if created.identity.is_none() {
                        self.forget(created.plan);
                    }
                    error = error.hint(&what);
                }
            }
            // The caller must not create another device in its place.
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

/// A prepared create, with the lock under which it stays valid.
struct Ready<'p> {
    prepared: Prepared<'p>,
    lock: Option<HostLock<'p>>,
}

/// Prepares every device, so that a request that must fail does so before the first write. `None` for a device that must be prepared
/// again: two devices of a request may need the same lock, a group number may not be allocated yet, and the devices before it use
/// instances.
fn prepare_all<'p>(
    host: &'p Host,
    plans: &'p [Plan],
    wants_group: &[Uuid],
) -> std::result::Result<Vec<Option<Ready<'p>>>, Failed<'p>> {
    let mut all = Vec::with_capacity(plans.len());
    for plan in plans {
        let is_new_group = wants_group.contains(&plan.uuid);
        // The group number is not allocated yet; any number serves for the checks.
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
