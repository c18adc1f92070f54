// SPDX-License-Identifier: LGPL-2.1-or-later
//! Makes a plan from a request: parent, type and UUID. Writes nothing.

use std::cell::Cell;
use std::rc::Rc;

use rustix::io::Errno;
use uuid::Uuid;

use super::{CreateFlags, Host, attrs, definitions, devices, suggest};
use crate::backend::parents::{self, read_types};
use crate::backend::{ChosenVf, CreateRequest, Folders, OpenParent, Place, TYPES, Target, places};
use crate::error::{Error, ErrorCode, Result, shown, unless_absent};
use crate::finding::{Finding, first_failed, observe, report, report_unless_exhausted, require_all, search_where};
use crate::model::name::{is_component, parse_uuid};
use crate::model::{self, DeviceDef, FoundType, Type};
use crate::store::{DeviceRecord, is_unreadable};
use crate::sysfs::{Dir, is_absent};
use crate::xml;

/// A device to create.
pub(super) struct Plan {
    pub(super) place: Place,
    pub(super) parent: Rc<OpenParent>,
    pub(super) type_id: String,
    /// The open folder of the type; `None` if types have no folders. See [`Plan::reopen_type`].
    type_dir: Option<Rc<dyn Dir>>,
    is_type_stale: Cell<bool>,
    pub(super) uuid: Uuid,
    pub(super) def: DeviceDef,
    /// The VF that the request names.
    pub(super) vf: Option<String>,
    pub(super) pack: bool,
    /// The plan is only printed: see [`CreateRequest::dry_run`].
    dry_run: bool,
}

impl Plan {
    pub(super) fn request<'a>(&'a self, group: Option<u32>, avoid: &'a [String]) -> CreateRequest<'a> {
        CreateRequest {
            type_id: &self.type_id,
            type_dir: self.type_dir(),
            uuid: self.uuid,
            group,
            params: self.def.params.as_deref(),
            vf: self.vf.as_deref(),
            avoid,
            pack: self.pack,
            dry_run: self.dry_run,
        }
    }

    /// Returns the open folder of the type; `None` if it must be opened again.
    pub(super) fn type_dir(&self) -> Option<&Rc<dyn Dir>> {
        self.type_dir.as_ref().filter(|_| !self.is_type_stale.get())
    }

    /// Makes later uses open the folder of the type again. Called after a call-out and after the wait for a lock: the driver may have
    /// registered its types again.
    pub(super) fn reopen_type(&self) {
        self.is_type_stale.set(true);
    }

    fn target(&self) -> OpenTarget {
        OpenTarget {
            place: self.place.clone(),
            vf: self.vf.clone(),
            parent: Rc::clone(&self.parent),
            type_id: self.type_id.clone(),
            type_dir: self.type_dir.clone(),
        }
    }

    /// Returns the record of the device. `vf` is the chosen VF; `None` on the mdev bus. `batch` is the group of the create request.
    pub(super) fn record(&self, owner: Option<String>, batch: Option<Uuid>, vf: Option<&ChosenVf>) -> DeviceRecord {
        DeviceRecord {
            uuid: self.uuid,
            parent: self.place.sysname().to_owned(),
            type_id: self.type_id.clone(),
            name: self.def.name.clone(),
            group: self.def.group,
            params: self.def.params.clone(),
            owner,
            attributes: self.def.attributes.clone(),
            vf: vf.map(|vf| vf.sysname.clone()),
            identity: vf.and_then(|vf| vf.identity),
            batch,
            type_hidden: !self.parent.layout.shows_type,
            abandoned: None,
        }
    }

    /// Returns whether the type requires a group now.
    pub(super) fn requires_group(&self) -> Result<bool> {
        let Some(dir) = &self.type_dir else { return Ok(false) };
        parents::requires_group(&**dir)
            .map_err(|errno| Error::io("read", &format!("{}/requires_group", dir.path()), errno))
    }
}

/// An open parent with one of its types.
#[derive(Clone)]
struct OpenTarget {
    place: Place,
    vf: Option<String>,
    parent: Rc<OpenParent>,
    type_id: String,
    type_dir: Option<Rc<dyn Dir>>,
}

/// Parses the XML of a create request.
pub(super) fn parse(xml: &[u8], flags: CreateFlags) -> Result<DeviceDef> {
    xml::parse_device(xml, xml::Unknown::ignored(flags.contains(CreateFlags::IGNORE_UNKNOWN)))
}

/// Returns the plan of a device. `others` are the plans of the same request: devices of the same parent and type share open folders.
pub(super) fn plan(
    host: &Host,
    folders: &Folders<'_>,
    mut def: DeviceDef,
    flags: CreateFlags,
    others: &[Plan],
) -> Result<Plan> {
    // A generated name in the request comes from the dump of another device. The new device gets its own generated name.
    def.name = def.name.filter(|name| devices::generated_uuid(name).is_none());
    if let Some(name) = &def.name {
        refuse_node_name(host, name)?;
    }
    attrs::check_all(&def.attributes)?;
    let is_same =
        |other: &&Plan| def.parent.is_some() && (&other.def.parent, &other.def.type_id) == (&def.parent, &def.type_id);
    let OpenTarget { place, vf, parent, type_id, type_dir } = match others.iter().find(is_same) {
        Some(other) => other.target(),
        None => open_target(host, folders, &def, flags)?,
    };
    let uuid = def.uuid.unwrap_or_else(Uuid::new_v4);
    let is_type_stale = Cell::new(false);
    Ok(Plan {
        place,
        parent,
        type_id,
        type_dir,
        is_type_stale,
        uuid,
        def,
        vf,
        pack: flags.contains(CreateFlags::PACK),
        dry_run: flags.contains(CreateFlags::DRY_RUN),
    })
}

fn open_target(host: &Host, folders: &Folders<'_>, def: &DeviceDef, flags: CreateFlags) -> Result<OpenTarget> {
    let (target, chosen) = match &def.parent {
        Some(parent) => (find_parent(host, folders, parent)?, None),
        None => choose_parent(host, def, flags).map(|(place, type_id)| (place.into(), Some(type_id)))?,
    };
    let Target { place, slot: vf } = target;
    let parent = parents::open_for(folders, &place.syspath, &def.type_id).map_err(|e| e.of(&place.name()))?;
    let OwnType { id: type_id, dir } = match chosen {
        Some(id) => OwnType { id, dir: None },
        None => search_own_type(host, &parent, &place, &def.type_id)??,
    };
    let type_dir = match dir {
        Some(dir) => Some(dir),
        // A type that cannot be opened may require a group.
        None => parents::type_dir(parent.layout, &*parent.dir, &type_id)
            .map_err(|errno| Error::io("open the type", &format!("{}/{TYPES}/{type_id}", place.syspath), errno))?,
    };
    let type_dir = type_dir.map(Rc::from);
    Ok(OpenTarget { place, vf, parent: Rc::new(parent), type_id, type_dir })
}

/// Refuses a name that a parent has: a lookup by that name would be ambiguous. Fails if a parent that may have the name cannot be
/// read.
pub(super) fn refuse_node_name(host: &Host, name: &str) -> Result<()> {
    // Node names contain an underscore, and addresses a colon. No other name needs a search.
    if !name.contains(['_', ':']) {
        return Ok(());
    }
    let Some(place) = unless_absent(places::find(&*host.sysfs, name))? else { return Ok(()) };
    let message = format!("the name '{name}' is taken by the parent {}; choose another", place.name());
    Err(Error::new(ErrorCode::Exists, Errno::EXIST, message))
}

/// A type of a parent.
pub(super) struct OwnType {
    pub(super) id: String,
    /// Its folder, if it was opened.
    dir: Option<Box<dyn Dir>>,
}

/// Finds the type of a request, by id or by name. The inner result is an error if the parent does not show the type, or if an
/// unreadable VF may list it.
pub(super) fn search_own_type(
    host: &Host,
    parent: &OpenParent,
    place: &Place,
    wanted: &str,
) -> Result<Result<OwnType>> {
    if is_component(wanted) {
        if let Ok(Some(dir)) = parents::type_dir(parent.layout, &*parent.dir, wanted) {
            return Ok(Ok(OwnType { id: wanted.to_owned(), dir: Some(dir) }));
        }
    }
    let failed = |errno| Error::io("read", &place.syspath, errno).of(&place.name());
    let (read, mut left_out) = observe(|| read_types(&*parent.dir, &host.runtime.records()));
    let read = read.map_err(failed)?;
    let types = read.types;
    match model::find_type(&types, wanted) {
        FoundType::One(kind) => Ok(Ok(OwnType { id: kind.id().to_owned(), dir: None })),
        FoundType::Several(kinds) => Err(ambiguous(&place.name(), wanted, &kinds)),
        FoundType::Nothing => {
            let missing = || no_type(&place.name(), wanted, &types, &read.why_none);
            left_out.retain(may_be_type);
            Ok(Err(first_failed(left_out).unwrap_or_else(missing)))
        }
    }
}

/// True if an object that was left out may be a type, or the name of a type. Of the files of a type, only `name` counts.
fn may_be_type(finding: &Finding) -> bool {
    let inside = finding.object.split_once(&format!("/{TYPES}/")).and_then(|(_, path)| path.split_once('/'));
    inside.is_none_or(|(_, file)| file == "name")
}

/// Returns whether the parent or VF of this sysfs name does not show the type now. Fails if the parent does not exist.
pub(super) fn lacks_type(host: &Host, parent: &str, type_id: &str) -> Result<bool> {
    let place = places::find_target(&*host.sysfs, parent)?.place;
    let parent = parents::open(&*host.sysfs, &place.syspath)?;
    Ok(search_own_type(host, &parent, &place, type_id)?.is_err())
}

/// Returns the id of a type that any parent has or had, searched by id and then by name. Fails if it was not found and an object that
/// may be the type could not be read.
pub(super) fn known_type(host: &Host, wanted: &str) -> Result<Option<String>> {
    search_where(may_be_type, || search_type(host, wanted))
}

fn search_type(host: &Host, wanted: &str) -> Result<Option<String>> {
    let mut by_name = None;
    for place in places::all(&*host.sysfs)? {
        let read = host.sysfs.open(&place.syspath).and_then(|dir| read_types(&*dir, &host.runtime.records()));
        let types = match read {
            Ok(read) => read.types,
            Err(errno) => {
                leave_out(Error::io("read", &place.syspath, errno))?;
                continue;
            }
        };
        if types.iter().any(|kind| kind.id() == wanted) {
            return Ok(Some(wanted.to_owned()));
        }
        if let FoundType::One(kind) = model::find_type(&types, wanted) {
            by_name.get_or_insert_with(|| kind.id().to_owned());
        }
    }
    Ok(by_name)
}

/// Refuses a device that conflicts with a definition: the UUID of the definition with another type, or its name. Fails if a
/// definition that may have that UUID or name cannot be read.
pub(super) fn refuse_defined(host: &Host, plan: &Plan) -> Result<()> {
    let exists = |message: String| Error::new(ErrorCode::Exists, Errno::EXIST, message);
    if plan.def.uuid.is_none() && plan.def.name.is_none() {
        return Ok(());
    }
    let own = definitions::definition_parents(&plan.parent, plan.vf.as_deref())?;
    for (uuid, parent) in plan.def.uuid.iter().flat_map(|uuid| own.iter().map(move |parent| (uuid, parent))) {
        let def = match host.definitions.get(parent, uuid) {
            // An invalid file defines no device.
            Err(e) if !is_unreadable(&e) => {
                report(Finding::from(&e));
                None
            }
            found => found?,
        };
        if let Some(def) = def.filter(|def| def.type_id != plan.type_id) {
            return Err(exists(format!(
                "{parent}: device {uuid} is defined there with type {}, not {}; start the definition, or undefine it first",
                def.type_id, plan.type_id
            )));
        }
    }
    let Some(name) = plan.def.name.as_deref() else { return Ok(()) };
    for def in require_all(|| definitions::all(host))?.iter().filter(|def| def.name.as_deref() == Some(name)) {
        if def.uuid != plan.uuid || !own.contains(&def.parent) {
            return Err(exists(format!(
                "the name '{name}' is taken by device {}, which is defined on {}; choose another, or start that device",
                def.uuid, def.parent
            )));
        }
    }
    Ok(())
}

/// Returns the error for a short form that matches several types of a parent.
pub(super) fn ambiguous(parent: &str, wanted: &str, kinds: &[&Type]) -> Error {
    let one = |kind: &&Type| format!("{} ({})", shown(kind.id()), shown(kind.name().unwrap_or("no name")));
    let known: Vec<String> = kinds.iter().map(one).collect();
    let message = format!("{parent}: '{}' can be any of the types {}; give an id", shown(wanted), known.join(", "));
    Error::new(ErrorCode::Ambiguous, Errno::NOTUNIQ, message)
}

/// Finds the parent of a request, or the VF of a parent. If the name is that of a device, the error names the parent of the device.
fn find_parent(host: &Host, folders: &Folders<'_>, name: &str) -> Result<Target> {
    let missing = match places::find_target_in(folders, name) {
        Err(e) if e.code == ErrorCode::NoParent && e.path.is_none() => e,
        found => return found,
    };
    let device = match parse_uuid(name) {
        Some(uuid) => devices::by_uuid(host, &uuid)?,
        None => devices::by_name(host, name)?,
    };
    let message = match device {
        Some(device) => {
            format!("'{}' is a mediated device, not a parent; its parent is {}", shown(name), device.parent)
        }
        None => match suggest::nearest_parent(host, name) {
            Some(near) => format!("there is no parent device '{}' here; did you mean '{}'?", shown(name), shown(&near)),
            None => return Err(missing),
        },
    };
    Err(Error { message, ..missing })
}

/// Returns the error for a type that a parent does not have. It lists the types of the parent; `none` is the reason if there are none.
pub(super) fn no_type(parent: &str, wanted: &str, types: &[Type], none: &str) -> Error {
    let text = |kind: &Type| match kind.name() {
        Some(name) => format!("{} ({})", kind.id(), shown(name)),
        None => kind.id().to_owned(),
    };
    let ids: Vec<String> = types.iter().take(24).map(text).collect();
    let known = if ids.is_empty() { none.to_owned() } else { format!("it has {}", ids.join(", ")) };
    let message = format!("{parent}: there is no type '{}'; {known}", shown(wanted));
    Error::new(ErrorCode::NoType, Errno::NODEV, message)
}

/// A parent that has instances of the wanted type.
struct Candidate {
    left: u32,
    place: Place,
    type_id: String,
    /// The parent is on the preferred NUMA node, or the request has no preference.
    near: bool,
}

/// Chooses a parent for a request without one: the parent with the most instances left, or with PACK the fewest; on the preferred
/// NUMA node if such a parent exists. If no parent is found, an object that may be such a parent and cannot be read is the error.
fn choose_parent(host: &Host, def: &DeviceDef, flags: CreateFlags) -> Result<(Place, String)> {
    let (found, left_out) = observe(|| search_parent(host, def, flags));
    match found {
        Err(e) if matches!(e.code, ErrorCode::NoType | ErrorCode::NoInstances) => {
            Err(first_failed(left_out).unwrap_or(e))
        }
        found => found,
    }
}

/// Reports a parent whose types cannot be read. Does not report a removed parent. Fails only if this process has run out of
/// descriptors or memory.
fn leave_out(e: Error) -> Result<()> {
    if is_absent(e.errno()) { Ok(()) } else { report_unless_exhausted(e) }
}

fn search_parent(host: &Host, def: &DeviceDef, flags: CreateFlags) -> Result<(Place, String)> {
    let wanted = &def.type_id;
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut exists = false;
    for place in places::all(&*host.sysfs)? {
        let records = host.runtime.records();
        let read = host.sysfs.open(&place.syspath).and_then(|dir| Ok((read_types(&*dir, &records)?.types, dir)));
        let (types, dir) = match read {
            Ok(read) => read,
            Err(errno) => {
                leave_out(Error::io("read", &place.syspath, errno))?;
                continue;
            }
        };
        let near = def.numa_node.is_none_or(|node| parents::numa_node(&*dir) == Some(node));
        match model::find_type(&types, wanted) {
            FoundType::One(kind) => {
                exists = true;
                if let Some(left) = kind.available_instances.filter(|left| *left > 0) {
                    candidates.push(Candidate { left, place: place.clone(), type_id: kind.id().to_owned(), near });
                }
            }
            FoundType::Several(kinds) => return Err(ambiguous(&place.name(), wanted, &kinds)),
            FoundType::Nothing => {}
        }
    }
    if candidates.iter().any(|candidate| candidate.near) {
        candidates.retain(|candidate| candidate.near);
    }
    let left = candidates.iter().map(|candidate| candidate.left);
    let best = if flags.contains(CreateFlags::PACK) { left.min() } else { left.max() };
    // The first in the order of paths, so that the choice is the same on the same host.
    match candidates.into_iter().find(|candidate| Some(candidate.left) == best) {
        Some(candidate) => Ok((candidate.place, candidate.type_id)),
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
