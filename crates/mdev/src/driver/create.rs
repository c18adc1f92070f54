// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates devices: one, or several as a group.

use std::cell::Cell;

use once_cell::unsync::OnceCell;
use rustix::io::Errno;
use uuid::Uuid;

use super::callouts::{self, CalloutMode};
use super::options::CreateOptions;
use super::plan::{Plan, parse, plan, refuse_defined};
use super::transaction::{Failed, create_all};
use super::{Conn, CreateFlags, DestroyFlags, Node, definitions, devices, dry_run, incomplete, wait_device};
use crate::backend::parents::ParentCache;
use crate::backend::{Folders, Located};
use crate::callout::Scripts;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{Device, DeviceDef};
use crate::store::{Definition, uuid_in_use};

/// The maximum number of parents that are tried if other programs use the last instance of each chosen parent first.
const PARENTS_TRIED: u32 = 64;

/// The maximum number of devices in a group: more than any guest uses.
pub const GROUP_MAX: usize = 64;

/// A request to create devices, with the data that it reads once.
pub(super) struct Request<'a> {
    conn: &'a Conn,
    flags: CreateFlags,
    /// The definition that is started; `None` for a create.
    defined: Option<&'a Definition>,
    scripts: OnceCell<Option<Scripts>>,
    /// The result of a search for the UUID before the create, until it is used.
    located: Cell<Option<Option<Located>>>,
}

impl<'a> Request<'a> {
    fn new(conn: &'a Conn, flags: CreateFlags, defined: Option<&'a Definition>) -> Self {
        Request { conn, flags, defined, scripts: OnceCell::new(), located: Cell::new(None) }
    }

    /// Returns the request to start a definition; `None` if its device already runs.
    pub(super) fn start(conn: &'a Conn, def: &'a Definition, flags: CreateFlags) -> Result<Option<Self>> {
        let request = Request::new(conn, flags, Some(def));
        let found = devices::locate_near(&conn.host, &def.uuid, &def.parent)?;
        if let Some(found) = found.as_ref().filter(|found| definitions::is_definition_of_located(def, found)) {
            if devices::has_folder(found)? {
                return Ok(None);
            }
        }
        request.located.set(Some(found));
        Ok(Some(request))
    }

    /// Returns the call-out scripts; `None` if there are none, or if the request has the NO_CALLOUTS flag.
    fn scripts(&self) -> Result<Option<&Scripts>> {
        let ask = CalloutMode::unless(self.flags.contains(CreateFlags::NO_CALLOUTS));
        Ok(self.scripts.get_or_try_init(|| callouts::scripts(&self.conn.host, ask))?.as_ref())
    }

    /// Creates one device.
    pub(super) fn create(&self, def: DeviceDef) -> Result<Node> {
        // If the library chose the parent and another program used its last instance first, another parent may have instances.
        let mut attempts = if def.parent.is_none() { PARENTS_TRIED } else { 1 };
        loop {
            // Opened for each attempt: the parent may have been removed and added again since the last attempt.
            let folders = Folders::new(&*self.conn.host.sysfs);
            let plan = plan(&self.conn.host, &folders, def.clone(), self.flags, &[])?;
            attempts -= 1;
            if let Some(existing) = self.existing(&folders, &plan)? {
                return Ok(existing);
            }
            if self.defined.is_none() {
                refuse_defined(&self.conn.host, &plan)?;
            }
            if self.flags.contains(CreateFlags::DRY_RUN) {
                return dry_run::planned_node(self.conn, &plan);
            }
            match self.create_between_callouts(&[plan], &[]) {
                Ok(mut devices) => return Ok(Node::device(self.conn.clone(), devices.remove(0))),
                Err((_, e)) if e.code == ErrorCode::NoInstances && attempts > 0 => {}
                // Another process created the device first. With EXIST_OK, this is a success.
                Err((Some(plan), e)) if e.code == ErrorCode::Exists && plan.def.uuid.is_some() => {
                    return self.existing(&Folders::new(&*self.conn.host.sysfs), plan)?.ok_or(e);
                }
                Err((_, e)) => return Err(e),
            }
        }
    }

    /// Returns the requested device, if it exists and EXIST_OK is set. Fails if another device has the UUID.
    fn existing(&self, folders: &Folders<'_>, plan: &Plan) -> Result<Option<Node>> {
        let host = &self.conn.host;
        if plan.def.uuid.is_none() {
            return Ok(None);
        }
        let located = match self.located.take() {
            Some(located) => located,
            None => devices::locate_in(folders, host, &plan.uuid, plan.place.sysname())?,
        };
        let Some(found) = located else { return Ok(None) };
        if !self.flags.contains(CreateFlags::EXIST_OK) {
            return Err(uuid_in_use(&plan.uuid).at(found.syspath));
        }
        let is_on_parent = found.parent == plan.place.syspath;
        let shown = match &found.type_id {
            None if is_on_parent => found.backend.type_of(plan.parent.layout, &*found.dir, &found.entry),
            shown => Ok(shown.clone()),
        };
        let shown = shown.map_err(|errno| Error::io("read the type of", &found.syspath, errno))?;
        if shown.is_none() && !devices::has_folder(&found)? {
            return Err(uuid_in_use(&plan.uuid).hint("its link on the mdev bus has no target").at(found.syspath));
        }
        let other_vf = plan.vf.as_deref().filter(|vf| *vf != found.sysname());
        let is_other = other_vf.is_some() || shown.is_some_and(|id| id != plan.type_id);
        if is_on_parent && !is_other {
            // Another process may still be creating the device.
            wait_device::wait_ready(host, &plan.parent, &*found.dir, &found.entry)?;
        }
        let mut known = ParentCache::new(&*host.sysfs);
        if is_on_parent {
            known.add_open(&plan.place, &plan.parent, &plan.type_id, plan.type_dir().map(|dir| &**dir));
        }
        let Some(device) = devices::read_located(host, &found, &mut known)? else { return Ok(None) };
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

    /// Creates the devices between their call-outs.
    fn create_between_callouts<'p>(
        &'p self,
        plans: &'p [Plan],
        wants_group: &[Uuid],
    ) -> std::result::Result<Vec<Device>, Failed<'p>> {
        let host = &self.conn.host;
        // The owner of the definition has priority over the owner of the connection.
        let owner = self.defined.and_then(|def| def.owner.clone()).or_else(|| host.owner());
        let create = || create_all(host, plans, wants_group, owner);
        let Some(scripts) = self.scripts().map_err(|e| (None, e))? else { return create() };
        let subjects = callouts::subjects(plans, self.defined.is_some_and(|def| def.autostart));
        let asked = callouts::pre_start(scripts, &subjects).map_err(|e| (None, e))?;
        plans.iter().for_each(Plan::reopen_type);
        let result = create();
        callouts::post(asked, result.is_ok());
        result
    }
}

impl Conn {
    /// Creates a device from XML, and returns it when it is usable. A failed create leaves no device. Fails if the XML is invalid, the
    /// type is unknown or has no instances left, the UUID or the name is in use, or a call-out refuses.
    pub fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<Node> {
        Request::new(self, flags, None).create(parse(xml, flags)?)
    }

    /// Creates a device as [`Conn::create_xml`] does, without XML.
    pub fn create(&self, options: &CreateOptions<'_>, flags: CreateFlags) -> Result<Node> {
        Request::new(self, flags, None).create(options.definition()?)
    }

    /// Creates 1 to [`GROUP_MAX`] devices for one guest: all, or none. The devices whose types require a group get the same group: the
    /// group in the requests, or an unused one. Fails as [`Conn::create_xml`] does, and if the requests have different groups.
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
        if !flags.contains(CreateFlags::DRY_RUN) {
            self.remove_own_incomplete(flags);
        }
        let request = Request::new(self, flags, None);
        let folders = Folders::new(&*self.host.sysfs);
        let mut plans: Vec<Plan> = Vec::with_capacity(defs.len());
        let mut numbers = Vec::with_capacity(defs.len());
        let mut kept: Vec<Option<Node>> = Vec::with_capacity(defs.len());
        let mut wants_group: Vec<Uuid> = Vec::new();
        for (i, def) in defs.into_iter().enumerate() {
            let plan = plan(&self.host, &folders, def, flags, &plans).map_err(numbered(i))?;
            if plans.iter().any(|other| other.uuid == plan.uuid) {
                return Err(numbered(i)(Error::new(
                    ErrorCode::Exists,
                    Errno::EXIST,
                    format!("UUID {} is given twice", plan.uuid),
                )));
            }
            if let Some(existing) = request.existing(&folders, &plan).map_err(numbered(i))? {
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
        if flags.contains(CreateFlags::DRY_RUN) {
            let planned =
                plans.iter().zip(&numbers).map(|(plan, i)| dry_run::planned_node(self, plan).map_err(numbered(*i)));
            let planned = planned.collect::<Result<Vec<Node>>>()?;
            return Ok(kept.into_iter().flatten().chain(planned).collect());
        }
        let created = request.create_between_callouts(&plans, &wants_group).map_err(|(failed, e)| {
            let at = failed.and_then(|failed| plans.iter().position(|plan| plan.uuid == failed.uuid));
            match at.and_then(|at| numbers.get(at)) {
                Some(number) => numbered(*number)(e),
                None => e,
            }
        })?;
        let mut created = created.into_iter().map(|device| Node::device(self.clone(), device));
        Ok(kept.into_iter().filter_map(|existing| existing.or_else(|| created.next())).collect())
    }

    /// Removes the incomplete groups of the owner of this connection, who is about to create a group again. Logs a group that cannot be
    /// removed, which does not prevent the new group.
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

/// Returns the group in the requests. Fails if they have different groups: the devices of one guest share one group.
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

/// Uses the group of an existing device for all devices of the request. Fails if the request has another group.
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
