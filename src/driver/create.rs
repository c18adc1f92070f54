// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates devices, one or several, all or none.

use rustix::io::Errno;
use uuid::Uuid;

use super::devices::KnownParents;
use super::plan::{Plan, plan};
use super::{Conn, CreateFlags, DestroyFlags, Host, Node, attrs, destroy, devices, ready};
use crate::error::{Error, ErrorCode, Result};
use crate::layout::{DEVICES, Prepared};
use crate::model::{Device, DeviceDef};
use crate::store::Facts;
use crate::store::runtime::taken;
use crate::sysfs::Dir;
use crate::xml;

/// More vGPUs than any guest takes.
pub const GROUP_MAX: usize = 64;

impl Conn {
    /// Creates a device from XML and returns it when it can be used.
    pub fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<Node> {
        let _request = self.request();
        let def = xml::parse_device(xml)?;
        let plan = plan(&self.host, def, flags)?;
        if let Some(existing) = self.existing(&plan, flags)? {
            return Ok(existing);
        }
        match create_all(&self.host, &[plan], &[]) {
            Ok(mut devices) => Ok(Node::device(self.clone(), devices.remove(0))),
            Err((plan, e)) => match plan {
                // Another process was faster; with EXIST_OK that is as good.
                Some(plan) if e.code == ErrorCode::Exists && plan.def.uuid.is_some() => {
                    self.existing(plan, flags)?.ok_or(e)
                }
                _ => Err(e),
            },
        }
    }

    /// Creates several devices for one guest, all or none. Those whose types require a group share one: the one that the
    /// requests name, or one that no device has.
    pub fn create_group_xml(&self, xmls: &[&[u8]], flags: CreateFlags) -> Result<Vec<Node>> {
        let _request = self.request();
        if xmls.is_empty() || xmls.len() > GROUP_MAX {
            return Err(Error::invalid(format!("a group has 1 to {GROUP_MAX} devices")));
        }
        let numbered = |i: usize| move |e: Error| e.of(&format!("device {} of {}", i + 1, xmls.len()));
        let mut defs = Vec::with_capacity(xmls.len());
        for (i, xml) in xmls.iter().enumerate() {
            defs.push(xml::parse_device(xml).map_err(numbered(i))?);
        }
        let group = common_group(&defs)?;
        let mut plans: Vec<Plan> = Vec::with_capacity(defs.len());
        let mut kept: Vec<Option<Node>> = Vec::with_capacity(defs.len());
        let mut fresh: Vec<Uuid> = Vec::new();
        for (i, def) in defs.into_iter().enumerate() {
            let mut plan = plan(&self.host, def, flags).map_err(numbered(i))?;
            if plans.iter().any(|other| other.uuid == plan.uuid) {
                return Err(numbered(i)(Error::new(
                    ErrorCode::Exists,
                    Errno::EXIST,
                    format!("UUID {} is given twice", plan.uuid),
                )));
            }
            if let Some(existing) = self.existing(&plan, flags).map_err(numbered(i))? {
                kept.push(Some(existing));
                continue;
            }
            if plan.requires_group()? {
                match group {
                    Some(_) => plan.def.group = group,
                    None => fresh.push(plan.uuid),
                }
            }
            kept.push(None);
            plans.push(plan);
        }
        let made = create_all(&self.host, &plans, &fresh).map_err(|(_, e)| e)?;
        let mut made = made.into_iter().map(|device| Node::device(self.clone(), device));
        Ok(kept.into_iter().filter_map(|existing| existing.or_else(|| made.next())).collect())
    }

    /// The device that the request describes, when it is there and the caller is content with it.
    fn existing(&self, plan: &Plan, flags: CreateFlags) -> Result<Option<Node>> {
        if plan.def.uuid.is_none() {
            return Ok(None);
        }
        let Some(device) = devices::by_uuid(&self.host, &plan.uuid)? else { return Ok(None) };
        if !flags.contains(CreateFlags::EXIST_OK) {
            return Err(taken(&plan.uuid).at(device.syspath));
        }
        if device.parent != plan.place.name() || device.type_id.as_deref() != Some(&plan.type_id) {
            let message = format!(
                "device {} exists on parent {} with type {}, not on {} with type {}",
                plan.uuid,
                device.parent,
                device.type_id.as_deref().unwrap_or("(unknown)"),
                plan.place.name(),
                plan.type_id
            );
            return Err(Error::new(ErrorCode::Exists, Errno::EXIST, message).at(device.syspath));
        }
        // Its maker may be at work still.
        ready::wait_ready(&self.host, plan.layout, &*plan.dir, &plan.uuid)?;
        let device = devices::by_uuid(&self.host, &plan.uuid)?;
        Ok(device.map(|device| Node::device(self.clone(), device)))
    }
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

type Failed<'a> = (Option<&'a Plan>, Error);

/// Makes every device of the plans, or none: a failure removes those that were made, in reverse.
fn create_all<'a>(host: &Host, plans: &'a [Plan], fresh: &[Uuid]) -> std::result::Result<Vec<Device>, Failed<'a>> {
    // The bus may come with its first device.
    let bus = devices::open_devices(host).map_err(|e| (None, e))?;
    let alive = |uuid: &Uuid| match &bus {
        Some(bus) => devices::ino(&**bus, uuid),
        None => devices::ino(&*open_bus(host).ok()?, uuid),
    };
    // What is bound to fail fails before anything is written anywhere. A single device is kept prepared meanwhile; of
    // several, two may be of one type, whose lock cannot be had twice.
    let mut prepared = match plans {
        [plan] if fresh.is_empty() => Some(prepare(plan, plan.def.group).map_err(|e| (Some(plan), e))?),
        _ => {
            for plan in plans {
                check(plan, fresh).map_err(|e| (Some(plan), e))?;
            }
            None
        }
    };
    let owner = host.owner();
    let facts: Vec<Facts> = plans.iter().map(|plan| plan.facts(owner.clone())).collect();
    let reserved = host.runtime.reserve(facts, fresh, &alive).map_err(|e| (plans.first(), e))?;
    for (i, plan) in plans.iter().enumerate() {
        let ready = prepared.take().map_or_else(|| prepare(plan, reserved.facts()[i].group), Ok);
        if let Err(e) = ready.and_then(|ready| make(host, plan, ready)) {
            take_back(host, &plans[..i]);
            return Err((Some(plan), e));
        }
    }
    let finish = || {
        let mut known = KnownParents::new(&*host.sysfs);
        let late = if bus.is_none() { Some(open_bus(host)?) } else { None };
        let bus = bus.as_deref().or(late.as_deref()).ok_or_else(|| Error::io("open", DEVICES, Errno::NOENT))?;
        let made = plans.iter().map(|plan| find_made(host, bus, plan, &mut known));
        let devices = made.collect::<Result<Vec<Device>>>()?;
        reserved.confirm(&alive)?;
        Ok(devices)
    };
    let devices = finish().map_err(|e| {
        take_back(host, plans);
        (None, e)
    })?;
    for plan in plans {
        log::info!("{}: created device {} of type {}", plan.place.name(), plan.uuid, plan.type_id);
    }
    Ok(devices)
}

/// A device was made, so the bus is there.
fn open_bus(host: &Host) -> Result<Box<dyn Dir>> {
    devices::open_devices(host)?.ok_or_else(|| Error::io("open", DEVICES, Errno::NOENT))
}

fn prepare(plan: &Plan, group: Option<u32>) -> Result<Box<dyn Prepared + '_>> {
    plan.layout.prepare(&*plan.dir, &plan.request(group)).map_err(|e| e.of(&plan.place.name()))
}

fn check(plan: &Plan, fresh: &[Uuid]) -> Result<()> {
    // Any number stands for the one that will be found.
    let group = plan.def.group.or_else(|| fresh.contains(&plan.uuid).then_some(1));
    plan.layout.check(&*plan.dir, &plan.request(group)).map_err(|e| e.of(&plan.place.name()))
}

/// One device: what the kernel must see, then everything until it can be used. Leaves nothing behind when it fails.
fn make(host: &Host, plan: &Plan, ready: Box<dyn Prepared + '_>) -> Result<()> {
    let named = |e: Error| e.of(&plan.place.name());
    ready.commit().map_err(named)?;
    let finish = || {
        ready::wait_ready(host, plan.layout, &*plan.dir, &plan.uuid)?;
        attrs::apply(host, &format!("{}/{}", plan.place.syspath, plan.uuid), &plan.def.attributes)
    };
    finish().inspect_err(|_| undo(host, plan)).map_err(named)
}

fn find_made(host: &Host, bus: &dyn Dir, plan: &Plan, known: &mut KnownParents<'_>) -> Result<Device> {
    known.add_place(&plan.place);
    devices::on_bus(host, bus, &plan.uuid, known)?.ok_or_else(|| {
        let message = format!("device {} was destroyed by somebody else as soon as it was made", plan.uuid);
        Error::new(ErrorCode::NoNode, Errno::NODEV, message).of(&plan.place.name())
    })
}

/// In reverse, as whoever made them one by one would.
fn take_back(host: &Host, made: &[Plan]) {
    made.iter().rev().for_each(|plan| undo(host, plan));
}

/// Takes a device back that the caller never saw.
fn undo(host: &Host, plan: &Plan) {
    match destroy::destroy(host, &plan.uuid, DestroyFlags::empty()) {
        Ok(()) => {}
        // The kernel said yes and made none.
        Err(e) if e.code == ErrorCode::NoNode => {}
        Err(e) => log::error!("{}: could not take back device {}: {e}", plan.place.name(), plan.uuid),
    }
}
