// SPDX-License-Identifier: LGPL-2.1-or-later
//! From a request to a plan: which parent, which type, which UUID. Nothing is written here.

use rustix::io::Errno;
use uuid::Uuid;

use super::{CreateFlags, Host, devices};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::layout::types::{Depth, read_one, read_types};
use crate::layout::{CreateRequest, Layout, TYPES, bus, open_parent};
use crate::model::{DeviceDef, Type};
use crate::store::Facts;
use crate::sysfs::Dir;

/// One device about to be made.
pub(super) struct Plan {
    pub(super) place: bus::Place,
    pub(super) layout: &'static dyn Layout,
    /// The parent, open.
    pub(super) dir: Box<dyn Dir>,
    pub(super) type_id: String,
    pub(super) uuid: Uuid,
    pub(super) def: DeviceDef,
}

impl Plan {
    pub(super) fn request<'a>(&'a self, group: Option<u32>) -> CreateRequest<'a> {
        CreateRequest { type_id: &self.type_id, uuid: self.uuid, group, params: self.def.params.as_deref() }
    }

    pub(super) fn facts(&self, owner: Option<String>) -> Facts {
        Facts {
            uuid: self.uuid,
            parent: self.place.sysname().to_owned(),
            type_id: self.type_id.clone(),
            name: self.def.name.clone(),
            group: self.def.group,
            params: self.def.params.clone(),
            owner,
            attributes: self.def.attributes.clone(),
            ino: None,
        }
    }

    /// Does the type want a group now?
    pub(super) fn requires_group(&self) -> Result<bool> {
        let kind = read_one(&*self.dir, self.layout, &self.type_id);
        let kind = kind.map_err(|errno| Error::io("read", self.dir.path(), errno))?;
        Ok(kind.is_some_and(|kind| kind.requires_group))
    }
}

pub(super) fn plan(host: &Host, mut def: DeviceDef, flags: CreateFlags) -> Result<Plan> {
    // A generated name in the request is a dump fed back; the new device gets its own.
    def.name = def.name.filter(|name| devices::generated_uuid(name).is_none());
    if let Some(name) = &def.name {
        refuse_node_name(host, name)?;
    }
    let (place, chosen) = match &def.parent {
        Some(parent) => (bus::find(&*host.sysfs, parent)?, None),
        None => choose_parent(host, &def.type_id, flags).map(|(place, type_id)| (place, Some(type_id)))?,
    };
    let (layout, dir) = open_parent(&*host.sysfs, &place.syspath).map_err(|e| e.of(&place.name()))?;
    let type_id = match chosen {
        Some(type_id) => type_id,
        None => find_type(&*dir, &place, &def.type_id)?,
    };
    Ok(Plan { place, layout, dir, type_id, uuid: def.uuid.unwrap_or_else(Uuid::new_v4), def })
}

/// A device must not be named as a parent is, or a lookup by that name would find either.
fn refuse_node_name(host: &Host, name: &str) -> Result<()> {
    // Node names have an underscore and addresses a colon; the search for any other name is spared.
    if !name.contains(['_', ':']) {
        return Ok(());
    }
    match bus::find(&*host.sysfs, name) {
        Ok(place) => {
            let message = format!("the name '{name}' is taken by the parent {}; choose another", place.name());
            Err(Error::new(ErrorCode::Exists, Errno::EXIST, message))
        }
        Err(_) => Ok(()),
    }
}

/// The id of the type that the request names by id or by name.
fn find_type(parent: &dyn Dir, place: &bus::Place, wanted: &str) -> Result<String> {
    if crate::model::name::is_component(wanted) && parent.meta(&format!("{TYPES}/{wanted}")).is_ok() {
        return Ok(wanted.to_owned());
    }
    let failed = |errno| Error::io("read", &place.syspath, errno).of(&place.name());
    let (_, types) = read_types(parent, Depth::Alike).map_err(failed)?;
    match types.iter().find(|kind| kind.answers_to(wanted)) {
        Some(kind) => Ok(kind.id.clone()),
        None => Err(no_type(&place.name(), wanted, &types)),
    }
}

/// The error for a type that a parent has not, with those that it has.
pub(super) fn no_type(parent: &str, wanted: &str, types: &[Type]) -> Error {
    let ids: Vec<&str> = types.iter().take(24).map(|kind| kind.id.as_str()).collect();
    let known = if ids.is_empty() { "it has no types now".to_owned() } else { format!("it has {}", ids.join(", ")) };
    let message = format!("{parent}: there is no type '{}'; {known}", shown(wanted));
    Error::new(ErrorCode::NoType, Errno::NODEV, message)
}

/// No parent was named: the one with the most instances left, or with PACK the one with the fewest.
fn choose_parent(host: &Host, wanted: &str, flags: CreateFlags) -> Result<(bus::Place, String)> {
    let mut candidates = Vec::new();
    let mut exists = false;
    for place in bus::places(&*host.sysfs)? {
        let Ok(dir) = host.sysfs.open(&place.syspath) else { continue };
        let Ok((_, types)) = read_types(&*dir, Depth::Alike) else { continue };
        for kind in types.into_iter().filter(|kind| kind.answers_to(wanted)) {
            exists = true;
            if let Some(left) = kind.available_instances.filter(|left| *left > 0) {
                candidates.push((left, place.clone(), kind.id));
            }
        }
    }
    let most = candidates.iter().map(|(left, ..)| *left).max();
    let fewest = candidates.iter().map(|(left, ..)| *left).min();
    let chosen = if flags.contains(CreateFlags::PACK) { fewest } else { most };
    // The first in the order of paths, so that the same host gives the same answer.
    match candidates.into_iter().find(|(left, ..)| Some(*left) == chosen) {
        Some((_, place, id)) => Ok((place, id)),
        None if exists => {
            let message = format!("no parent has instances of type '{wanted}' left; destroy one");
            Err(Error::new(ErrorCode::NoInstances, Errno::NOSPC, message))
        }
        None => {
            let message = format!("no parent has a type '{}'; list the types to see which there are", shown(wanted));
            Err(Error::new(ErrorCode::NoType, Errno::NODEV, message))
        }
    }
}
