// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds definitions, and the devices that belong to them. A definition that does not run is an inactive device.

use once_cell::unsync::OnceCell;

use rustix::io::Errno;
use uuid::Uuid;

use super::{Host, devices};
use crate::backend::parents::{self, ParentInfo, device_api, read_types};
use crate::backend::{Located, OpenParent, Place, Slots, Target, places};
use crate::error::{Error, ErrorCode, Result, unless_absent};
use crate::finding::{report_unless_exhausted, search};
use crate::model::name::{device_name, is_component};
use crate::model::{Device, NO_PARENT, Parent, PciAddress, Type};
use crate::store::Definition;
use crate::sysfs::{basename, if_present};

/// The parents of definitions. Each is searched once in a request.
pub(super) struct Parents<'a> {
    host: &'a Host,
    places: OnceCell<Vec<Place>>,
}

impl<'a> Parents<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Parents { host, places: OnceCell::new() }
    }

    /// The parent of this sysfs name, or of the slot of this name. Fails if it may exist and cannot be read.
    fn find(&self, sysname: &str) -> Result<Option<(Place, OpenParent)>> {
        let sysfs = &*self.host.sysfs;
        let places = self.places.get_or_try_init(|| places::all(sysfs))?;
        let place = match places.iter().find(|place| place.sysname() == sysname) {
            Some(place) => Some(place.clone()),
            None => unless_absent(places::find_target(sysfs, sysname))?.map(|target| target.place),
        };
        let Some(place) = place else { return Ok(None) };
        let opened = unless_absent(parents::open(sysfs, &place.syspath))?;
        Ok(opened.map(|parent| (place, parent)))
    }

    /// Returns the inactive device of a definition. If its parent cannot be read, reports that and returns the device without a parent.
    pub(super) fn device(&self, def: &Definition) -> Result<Device> {
        let found = match self.find(&def.parent) {
            Ok(found) => found,
            Err(e) => {
                report_unless_exhausted(e.of(&format!("the parent of the defined device {} is unknown", def.uuid)))?;
                None
            }
        };
        let Some((place, parent)) = found else { return Ok(device_on_parent(def, None)) };
        let info = ParentInfo::read(&*parent.dir, &place, parent.layout);
        let info = info.map_err(|errno| Error::io("read", &place.syspath, errno))?;
        let api = device_api(parent.layout, &*parent.dir, &def.type_id);
        Ok(inactive_device(def, &info, api.map_err(|errno| Error::io("read", &place.syspath, errno))?))
    }
}

/// Returns the inactive device of a definition on this parent; `None` if the parent does not exist.
pub(super) fn device_on_parent(def: &Definition, parent: Option<&Parent>) -> Device {
    let Some(parent) = parent else { return inactive_device(def, &ParentInfo::absent(&def.parent), None) };
    let ty = parent.types.iter().find(|ty| ty.id() == def.type_id);
    inactive_device(def, &ParentInfo::of(parent), ty.and_then(Type::device_api).map(str::to_owned))
}

fn inactive_device(def: &Definition, parent: &ParentInfo, device_api: Option<String>) -> Device {
    Device {
        name: def.name.clone().unwrap_or_else(|| device_name(&def.uuid, &def.parent)),
        parent_sysname: def.parent.clone(),
        type_id: Some(def.type_id.clone()),
        device_api,
        group: def.group,
        params: def.params.clone(),
        owner: def.owner.clone(),
        attributes: def.attributes.clone(),
        ..parent.device(def.uuid, None)
    }
}

/// True if the running device is the device of the definition.
pub(super) fn is_definition_of(def: &Definition, device: &Device) -> bool {
    // The parent of a definition can be a VF.
    def.uuid == device.uuid && (def.parent == device.parent_sysname || def.parent == basename(&device.syspath))
}

/// True if the located device is the device of the definition.
pub(super) fn is_definition_of_located(def: &Definition, found: &Located) -> bool {
    def.uuid == found.uuid && (def.parent == basename(&found.parent) || def.parent == found.sysname())
}

/// Returns the running device of a definition; `None` if it does not run.
pub(super) fn running_device(host: &Host, def: &Definition) -> Result<Option<Device>> {
    Ok(devices::by_uuid_near(host, &def.uuid, &def.parent)?.filter(|device| is_definition_of(def, device)))
}

/// Returns the device of a definition, running or not.
pub(super) fn active_or_inactive(host: &Host, def: &Definition) -> Result<Device> {
    running_device(host, def)?.map_or_else(|| Parents::new(host).device(def), Ok)
}

/// Locates the running device of the definition of an inactive device; `None` if it does not run.
pub(super) fn locate_running(host: &Host, device: &Device) -> Result<Option<Located>> {
    let defined_on = |name: &str| device.parent_sysname == name;
    let found = devices::locate_near(host, &device.uuid, &device.parent_sysname)?;
    Ok(found.filter(|found| defined_on(basename(&found.parent)) || defined_on(found.sysname())))
}

/// Returns all definitions. Reports and leaves out an unusable one.
pub(super) fn all(host: &Host) -> Result<Vec<Definition>> {
    host.definitions.all()
}

/// Returns the definitions of a UUID on all parents, sorted by parent.
fn of_uuid(host: &Host, uuid: &Uuid) -> Result<Vec<Definition>> {
    host.definitions.of_uuid(uuid)
}

/// Returns the definition of a device; `None` if it has none.
pub(super) fn definition_of(host: &Host, device: &Device) -> Result<Option<Definition>> {
    let get = |parent: &str| host.definitions.get(parent, &device.uuid);
    let sysname = basename(&device.syspath);
    match get(&device.parent_sysname)? {
        // A definition may name the VF of the device. The sysfs name of a device on the mdev bus is its UUID, not a VF.
        None if device.active && sysname != device.uuid.to_string() => get(sysname),
        found => Ok(found),
    }
}

/// Returns the defined devices that do not run.
pub(super) fn inactive(host: &Host, active: &[Device]) -> Result<Vec<Device>> {
    let parents = Parents::new(host);
    let defs = all(host)?;
    let idle = defs.iter().filter(|def| !active.iter().any(|device| is_definition_of(def, device)));
    idle.map(|def| parents.device(def)).collect()
}

/// Returns the inactive device of a UUID. Fails if the UUID is defined on several parents.
pub(super) fn by_uuid(host: &Host, uuid: &Uuid) -> Result<Option<Device>> {
    let defs = of_uuid(host, uuid)?;
    match &defs[..] {
        [] => Ok(None),
        [def] => Parents::new(host).device(def).map(Some),
        many => {
            let names: Vec<String> = many.iter().map(|def| device_name(&def.uuid, &def.parent)).collect();
            let message = format!(
                "UUID {uuid} is defined on {} parents; look up one of {} by name",
                many.len(),
                names.join(", ")
            );
            Err(Error::new(ErrorCode::Ambiguous, Errno::NOTUNIQ, message))
        }
    }
}

/// Returns the device that is defined with this name, running or not. It may run because another program started it.
pub(super) fn by_name(host: &Host, name: &str) -> Result<Option<Device>> {
    let found = match devices::generated_uuid(name) {
        Some(uuid) => of_uuid(host, &uuid)?.into_iter().find(|def| device_name(&def.uuid, &def.parent) == name),
        None => search(|| Ok(all(host)?.into_iter().find(|def| def.name.as_deref() == Some(name))))?,
    };
    found.map(|def| active_or_inactive(host, &def)).transpose()
}

/// Returns the sysfs name of an absent parent from a name that a user gave. `None` if the sysfs name cannot be derived: a
/// definition with a wrong name would never start.
pub(super) fn sysname_of_absent(text: &str) -> Option<String> {
    let last = if text.starts_with("/sys/") { basename(text) } else { text };
    if let Some(address) = places::pci_address(last) {
        return Some(address.to_string());
    }
    if last == "ap_matrix" || last == "matrix" {
        return Some("matrix".to_owned());
    }
    if let Some([cssid, ssid, devno]) = last.strip_prefix("css_").map(|id| id.split('_').collect::<Vec<_>>()).as_deref()
    {
        return Some(format!("{cssid}.{ssid}.{devno}"));
    }
    // mtty_mtty: subsystem and device of the same name.
    let twice = last.split_at_checked(last.len() / 2).filter(|(a, b)| b.strip_prefix('_') == Some(a));
    let plain = twice.map_or(last, |(half, _)| half);
    let known = is_component(plain) && plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b':');
    // libvirt's dump of a definition has this name for every absent parent.
    let known = known && plain != NO_PARENT;
    (known && !plain.starts_with('.') && plain.parse::<PciAddress>().is_err()).then(|| plain.to_owned())
}

/// Returns the sysfs name of the parent or VF on which a device is defined.
pub(super) fn sysname_of(target: &Target) -> String {
    target.slot.clone().unwrap_or_else(|| target.place.sysname().to_owned())
}

/// The definitions that an autostart starts: all on a parent; or those on one VF, with those on its PF.
pub(super) struct Scope {
    target: Target,
    slots: Vec<String>,
    /// The request names a VF, and the PF may have more VFs later.
    grows: bool,
}

impl Scope {
    pub(super) fn of(host: &Host, parent: &str) -> Result<Self> {
        let target = places::find_target(&*host.sysfs, parent)?;
        let parent = unless_absent(parents::open(&*host.sysfs, &target.place.syspath))?;
        let slots = parent.map_or(Ok(Slots::default()), |parent| slots_of(&parent))?;
        let grows = target.slot.is_some() && slots.may_grow;
        Ok(Scope { target, slots: sysnames(&slots), grows })
    }

    /// True if the definitions on `parent` belong to the scope.
    pub(super) fn has(&self, parent: &str) -> bool {
        let is_own = match &self.target.slot {
            Some(slot) => parent == slot,
            None => self.slots.iter().any(|slot| slot == parent),
        };
        is_own || parent == self.target.place.sysname()
    }

    /// True if the definition failed because all existing VFs are in use: the autostart of a later VF starts it.
    pub(super) fn waits(&self, def: &Definition, e: &Error) -> bool {
        let is_full = matches!(e.code, ErrorCode::NoInstances | ErrorCode::NoType);
        self.grows && is_full && def.parent == self.target.place.sysname()
    }
}

/// Returns the slots of an open parent: its VFs. None if the parent no longer exists.
fn slots_of(parent: &OpenParent) -> Result<Slots> {
    let found = if_present(parent.backend.slots(&*parent.dir));
    Ok(found.map_err(|errno| Error::io("read the slots of", parent.dir.path(), errno))?.unwrap_or_default())
}

fn sysnames(slots: &Slots) -> Vec<String> {
    slots.present.iter().map(|slot| slot.sysname().to_owned()).collect()
}

/// Returns the sysfs names on which a device of this open parent may be defined: the parent and its VFs, or the named VF.
pub(super) fn definition_parents(parent: &OpenParent, slot: Option<&str>) -> Result<Vec<String>> {
    let mut names = match slot {
        Some(slot) => vec![slot.to_owned()],
        None => sysnames(&slots_of(parent)?),
    };
    names.push(parent.sysname().to_owned());
    Ok(names)
}

/// True if the parent of this sysfs name exists and may have types that it does not show now: it has no VFs, its VFs list no type,
/// or a VF has a vGPU.
pub(super) fn is_pending(host: &Host, parent: &str) -> Result<bool> {
    let sysfs = &*host.sysfs;
    let Some(target) = unless_absent(places::find_target(sysfs, parent))? else { return Ok(false) };
    let read = sysfs.open(&target.place.syspath).and_then(|dir| read_types(&*dir, &host.runtime.records()));
    let types = if_present(read).map_err(|errno| Error::io("read the types of", &target.place.syspath, errno))?;
    Ok(types.is_some_and(|types| types.is_partial))
}

/// True if there is no such parent now.
pub(super) fn is_parent_absent(host: &Host, parent: &str) -> bool {
    places::find_target(&*host.sysfs, parent).is_err_and(|e| e.code == ErrorCode::NoParent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_absent_parent_gives_its_sysfs_name() {
        for (text, sysname) in [
            ("pci_0000_86_00_0", "0000:86:00.0"),
            ("0000:AF:00.0", "0000:af:00.0"),
            ("/sys/devices/pci0000:80/0000:86:00.0", "0000:86:00.0"),
            ("css_0_0_0052", "0.0.0052"),
            ("ap_matrix", "matrix"),
            ("mtty_mtty", "mtty"),
            ("mtty", "mtty"),
        ] {
            assert_eq!(sysname_of_absent(text).as_deref(), Some(sysname), "{text}");
        }
        for text in ["my_own_card", "..", "a/b", "pci_0000_86", ""] {
            assert_eq!(sysname_of_absent(text), None, "{text}");
        }
    }
}
