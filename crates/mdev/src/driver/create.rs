// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates devices, one or several, all or none.

use std::cell::Cell;

use once_cell::unsync::OnceCell;
use rustix::io::Errno;
use uuid::Uuid;

use super::callouts::{self, CallOuts};
use super::made::{Left, Made, explain_missing_parent};
use super::plan::{Plan, plan, refuse_defined};
use super::{Conn, CreateFlags, DestroyFlags, Host, Node, attrs, defined, devices, incomplete, wait_device};
use crate::backend::devices::identity_or_unknown;
use crate::backend::parents::ParentCache;
use crate::backend::{ChosenVf, Created, DeviceId, Folders, Located, Prepared, Wanted};
use crate::callout::Scripts;
use crate::error::{Error, ErrorCode, Result, is_exhausted};
use crate::model::{Device, DeviceDef};
use crate::store::{Batch, Definition, DeviceRecord, HostLock, NewGroup, Reservation, uuid_in_use};
use crate::sysfs::{IoResult, basename};
use crate::xml;

/// How many parents are tried one after the other, each filled by others while we made up our mind.
const PARENTS_TRIED: u32 = 64;

/// How often a create is repeated that a signal interrupted.
const INTERRUPTS_MAX: u32 = 64;

/// More vGPUs than any guest takes.
pub const GROUP_MAX: usize = 64;

/// One request to create devices, with what it opens once.
pub(super) struct Request<'a> {
    conn: &'a Conn,
    flags: CreateFlags,
    /// The definition of the device.
    defined: Option<&'a Definition>,
    folders: Folders<'a>,
    scripts: OnceCell<Option<Scripts>>,
    /// The device of the UUID, or that there is none, until the request has looked at it.
    located: Cell<Option<Option<Located>>>,
}

impl<'a> Request<'a> {
    fn new(conn: &'a Conn, flags: CreateFlags, defined: Option<&'a Definition>) -> Self {
        let folders = Folders::new(&*conn.host.sysfs);
        Request { conn, flags, defined, folders, scripts: OnceCell::new(), located: Cell::new(None) }
    }

    /// The request to start what is defined; `None` if it runs already.
    pub(super) fn start(conn: &'a Conn, def: &'a Definition, flags: CreateFlags) -> Result<Option<Self>> {
        let request = Request::new(conn, flags, Some(def));
        let found = devices::locate_in(&request.folders, &conn.host, &def.uuid, &def.parent)?;
        if found.as_ref().is_some_and(|found| defined::is_running_on(def, found)) {
            return Ok(None);
        }
        request.located.set(Some(found));
        Ok(Some(request))
    }

    /// The call-out scripts; `None` if there are none or the caller wants none.
    fn scripts(&self) -> Result<Option<&Scripts>> {
        let ask = CallOuts::unless(self.flags.contains(CreateFlags::NO_CALLOUTS));
        Ok(self.scripts.get_or_try_init(|| callouts::scripts(&self.conn.host, ask))?.as_ref())
    }

    /// Creates one device.
    pub(super) fn create(&self, def: DeviceDef) -> Result<Node> {
        // Where the parent was chosen here, another may have room when this one was filled meanwhile.
        let mut attempts = if def.parent.is_none() { PARENTS_TRIED } else { 1 };
        loop {
            let plan = plan(&self.conn.host, &self.folders, def.clone(), self.flags, &[])?;
            attempts -= 1;
            if let Some(existing) = self.existing(&plan)? {
                return Ok(existing);
            }
            if self.defined.is_none() {
                refuse_defined(&self.conn.host, &plan)?;
            }
            match self.create_between_callouts(&[plan], &[]) {
                Ok(mut devices) => return Ok(Node::device(self.conn.clone(), devices.remove(0))),
                Err((_, e)) if e.code == ErrorCode::NoInstances && attempts > 0 => {}
                // Another process was faster; with EXIST_OK that is as good.
                Err((Some(plan), e)) if e.code == ErrorCode::Exists && plan.def.uuid.is_some() => {
                    return self.existing(plan)?.ok_or(e);
                }
                Err((_, e)) => return Err(e),
            }
        }
    }

    /// The device that the request describes, if it exists and EXIST_OK is set. Fails if another device has the UUID.
    fn existing(&self, plan: &Plan) -> Result<Option<Node>> {
        let host = &self.conn.host;
        if plan.def.uuid.is_none() {
            return Ok(None);
        }
        let located = match self.located.take() {
            Some(located) => located,
            None => devices::locate_in(&self.folders, host, &plan.uuid, plan.place.sysname())?,
        };
        let Some(found) = located else { return Ok(None) };
        if !self.flags.contains(CreateFlags::EXIST_OK) {
            return Err(uuid_in_use(&plan.uuid).at(found.syspath));
        }
        let is_on_parent = found.parent == plan.place.syspath;
        if is_on_parent {
            // Its creator may be at work still.
            wait_device::wait_ready(host, &plan.parent, &*found.dir, &found.entry)?;
        }
        let mut known = ParentCache::new(&*host.sysfs);
        if is_on_parent {
            known.add_open(&plan.place, &plan.parent, &plan.type_id, plan.type_dir.as_deref());
        }
        let Some(device) = devices::at(host, &found, &mut known)? else { return Ok(None) };
        let other_vf = plan.vf.as_deref().filter(|vf| *vf != basename(&device.syspath));
        if !is_on_parent || device.type_id.as_deref() != Some(&plan.type_id) || other_vf.is_some() {
            let place = plan.place.name();
            let message = format!(
                "device {} exists at {} with type {}, not on {} with type {}",
                plan.uuid,
                device.syspath,
                device.type_id.as_deref().unwrap_or("(unknown)"),
                other_vf.unwrap_or(&place),
                plan.type_id
            );
            return Err(Error::new(ErrorCode::Exists, Errno::EXIST, message).at(device.syspath));
        }
        Ok(Some(Node::device(self.conn.clone(), device)))
    }

    /// Creates the devices between the call-outs of a start, one of each device.
    fn create_between_callouts<'p>(
        &'p self,
        plans: &'p [Plan],
        wants_group: &[Uuid],
    ) -> std::result::Result<Vec<Device>, Failed<'p>> {
        let host = &self.conn.host;
        // Whoever starts it, it is for whom it was defined.
        let owner = self.defined.and_then(|def| def.owner.clone()).or_else(|| host.owner());
        let create = || create_all(host, &self.folders, plans, wants_group, owner);
        let Some(scripts) = self.scripts().map_err(|e| (None, e))? else { return create() };
        let subjects = callouts::subjects(plans, self.defined.is_some_and(|def| def.autostart));
        let asked = callouts::ask_start(scripts, &subjects).map_err(|e| (None, e))?;
        let result = create();
        callouts::post(asked, result.is_ok());
        result
    }
}

impl Conn {
    /// Creates a device from XML and returns it when it can be used.
    pub fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<Node> {
        Request::new(self, flags, None).create(parse(xml, flags)?)
    }

    /// Creates several devices for one guest, all or none. Those whose types require a group share one: the one that the
    /// requests name, or one that no device has.
    pub fn create_group_xml(&self, xmls: &[&[u8]], flags: CreateFlags) -> Result<Vec<Node>> {
        if xmls.is_empty() || xmls.len() > GROUP_MAX {
            return Err(Error::invalid(format!("a group has 1 to {GROUP_MAX} devices")));
        }
        let numbered = |i: usize| move |e: Error| e.of(&format!("device {} of {}", i + 1, xmls.len()));
        let mut defs = Vec::with_capacity(xmls.len());
        for (i, xml) in xmls.iter().enumerate() {
            defs.push(parse(xml, flags).map_err(numbered(i))?);
        }
        let mut group = common_group(&defs)?;
        self.remove_own_incomplete(flags);
        let request = Request::new(self, flags, None);
        let mut plans: Vec<Plan> = Vec::with_capacity(defs.len());
        let mut numbers = Vec::with_capacity(defs.len());
        let mut kept: Vec<Option<Node>> = Vec::with_capacity(defs.len());
        let mut wants_group: Vec<Uuid> = Vec::new();
        for (i, def) in defs.into_iter().enumerate() {
            let plan = plan(&self.host, &request.folders, def, flags, &plans).map_err(numbered(i))?;
            if plans.iter().any(|other| other.uuid == plan.uuid) {
                return Err(numbered(i)(Error::new(
                    ErrorCode::Exists,
                    Errno::EXIST,
                    format!("UUID {} is given twice", plan.uuid),
                )));
            }
            if let Some(existing) = request.existing(&plan).map_err(numbered(i))? {
                join(&mut group, &existing).map_err(numbered(i))?;
                kept.push(Some(existing));
                continue;
            }
            refuse_defined(&self.host, &plan).map_err(numbered(i))?;
            if plan.requires_group().map_err(numbered(i))? {
                wants_group.push(plan.uuid);
            }
            kept.push(None);
            plans.push(plan);
            numbers.push(i);
        }
        if group.is_some() {
            plans.iter_mut().filter(|plan| wants_group.contains(&plan.uuid)).for_each(|plan| plan.def.group = group);
            wants_group.clear();
        }
        let made = request.create_between_callouts(&plans, &wants_group).map_err(|(failed, e)| {
            let at = failed.and_then(|failed| plans.iter().position(|plan| plan.uuid == failed.uuid));
            at.map_or(e.clone(), |at| numbered(numbers[at])(e))
        })?;
        let mut made = made.into_iter().map(|device| Node::device(self.clone(), device));
        Ok(kept.into_iter().filter_map(|existing| existing.or_else(|| made.next())).collect())
    }

    /// Removes the incomplete groups of this connection's owner, who would create them again. What cannot be removed stays
    /// reported, and is no obstacle to another group.
    fn remove_own_incomplete(&self, flags: CreateFlags) {
        let Some(owner) = self.host.owner() else { return };
        let no_callouts = flags.contains(CreateFlags::NO_CALLOUTS);
        let flags = if no_callouts { DestroyFlags::NO_CALLOUTS } else { DestroyFlags::empty() };
        let left = match incomplete::remove(&self.host, Some(&owner), flags) {
            Ok((_, left)) => left,
            Err(e) => vec![e],
        };
        left.iter().for_each(|e| log::warn!("an incomplete group of '{owner}' cannot be removed: {e}"));
    }
}

fn parse(xml: &[u8], flags: CreateFlags) -> Result<DeviceDef> {
    xml::parse_device(xml, xml::Unknown::ignored(flags.contains(CreateFlags::IGNORE_UNKNOWN)))
}

/// The one group that the requests name; two different ones cannot be one guest's.
fn common_group(defs: &[DeviceDef]) -> Result<Option<u32>> {
    let mut named = defs.iter().filter_map(|def| def.group);
    let Some(first) = named.next() else { return Ok(None) };
    match named.find(|group| *group != first) {
        Some(other) => {
            Err(Error::invalid(format!("the devices of one guest share one group, but {first} and {other} are given")))
        }
        None => Ok(Some(first)),
    }
}

/// A device that is there already has its group, which is then everybody's.
fn join(group: &mut Option<u32>, existing: &Node) -> Result<()> {
    let Ok(own) = existing.group() else { return Ok(()) };
    match group.replace(own) {
        Some(other) if other != own => {
            let message = format!("{} is in group {own}, and the others in {other}", existing.name());
            Err(Error::new(ErrorCode::Exists, Errno::EXIST, message))
        }
        _ => Ok(()),
    }
}

type Failed<'a> = (Option<&'a Plan>, Error);

/// Makes every device of the plans, or none: a failure removes those that were made, in reverse.
fn create_all<'a>(
    host: &'a Host,
    folders: &'a Folders<'a>,
    plans: &'a [Plan],
    wants_group: &[Uuid],
    owner: Option<String>,
) -> std::result::Result<Vec<Device>, Failed<'a>> {
    // Without descriptors a device could not be removed again.
    host.spare.fill().map_err(|errno| (None, Error::io("open", "descriptors to create a device", errno)))?;
    let mut prepared = prepare_all(host, plans, wants_group)?;
    let mut transaction = CreateTransaction::new(host, folders, owner, plans.len() > 1).map_err(|e| (None, e))?;
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
    /// The mdev bus, opened before the first write; `None` if it comes with its first device.
    folders: &'a Folders<'a>,
    reserved: Vec<Reservation<'a>>,
    /// Group numbers by device.
    groups: Vec<(Uuid, Option<u32>)>,
    /// The devices that were made, in order.
    made: Vec<Made<'a>>,
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
    fn new(host: &'a Host, folders: &'a Folders<'a>, owner: Option<String>, several: bool) -> Result<Self> {
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
        let shown = if wants_group.is_empty() { Vec::new() } else { devices::shown_groups(self.host)? };
        let in_use = || Ok([&shown[..], &devices::defined_groups(self.host)?].concat());
        let group = NewGroup { members: wants_group, in_use: &in_use };
        let reserved = self.host.runtime.reserve(records, group, &|record| self.current_identity(record))?;
        self.groups = reserved.records().iter().map(|record| (record.uuid, record.group)).collect();
        self.reserved.push(reserved);
        Ok(())
    }

    fn current_identity(&self, record: &DeviceRecord) -> Option<u64> {
        identity_or_unknown(self.folders, record)
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
        let mut made = Made { plan, entry, vf: None, identity: None, is_accepted, located: None };
        if let Some(vf) = ready.vf {
            let record = self.record(plan, Some(&vf));
            let reserved = self.host.runtime.reserve(vec![record], &[], &|record| self.current_identity(record))?;
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
    fn locate_refused(&self, made: &Made<'_>, error: &Error) -> IoResult<Created> {
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
        attrs::apply(self.host, plan.parent.layout, &path, &id, &plan.def.attributes)
    }

    /// Locates the device that was made last, unless its identity is known, and writes its identity to its record.
    fn mark_last(&mut self) -> Result<()> {
        let Some(made) = self.made.last_mut() else { return Ok(()) };
        if made.identity.is_some() || made.vf.is_some() {
            return Ok(());
        }
        let (uuid, backend) = (made.plan.uuid, made.plan.parent.backend);
        let records = self.host.runtime.records();
        let locate = || backend.locate(self.folders, &records, &Wanted::Name(&made.entry));
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
        known.add_open(&plan.place, &plan.parent, &plan.type_id, plan.type_dir.as_deref());
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
    fn locate_again(&self, made: &Made<'_>) -> Result<Option<Located>> {
        if let Some(located) = &made.located {
            let now = located.backend.identity(&*located.dir, &located.entry);
            if now.map_err(|errno| Error::io("look at", &located.syspath, errno))? == made.identity {
                return Ok(Some(located.clone()));
            }
        }
        let found = devices::locate_near(self.host, &made.plan.uuid, made.plan.place.sysname())?;
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
                Left::Device(_, e) if is_exhausted(e.errno()) => {
                    self.host.spare.release();
                    made.remove(self.host)
                }
                left => left,
            };
            match left {
                Left::Nothing => {
                    self.forget(made.plan);
                    continue;
                }
                Left::Device(identity, why) => {
                    self.reserved.iter_mut().for_each(|reserved| reserved.keep(&uuid, identity));
                    none_left = false;
                    error =
                        error.hint(&format!("device {uuid} was made and cannot be removed again ({why}): destroy it"));
                }
                Left::InDoubt(what) => {
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
/// be prepared again: two devices of a request may need one lock, and a group number may not have been allocated yet.
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
        let is_final = !is_new_group && (plans.len() == 1 || ready.lock.is_none());
        all.push(is_final.then_some(ready));
    }
    Ok(all)
}

fn prepare<'p>(host: &'p Host, plan: &'p Plan, group: Option<u32>, avoid: &'p [String]) -> Result<Ready<'p>> {
    let named = |e: Error| e.of(&plan.place.name());
    let backend = plan.parent.backend;
    let lock = backend.lock(plan.parent.layout, plan.place.sysname(), Some(&plan.type_id));
    let lock = host.lock(lock).map_err(named)?;
    let prepared = backend.prepare(&plan.parent, &plan.request(group, avoid)).map_err(named)?;
    Ok(Ready { prepared, lock })
}
