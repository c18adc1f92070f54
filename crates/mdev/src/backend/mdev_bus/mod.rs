// SPDX-License-Identifier: LGPL-2.1-or-later
//! The backend of kernels with an mdev bus. Its layouts differ in the files that create and remove a device: see
//! [`Strategy`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

pub(super) use self::layouts::DEFAULT;
use self::layouts::{LAYOUTS, detect, strategy};
use self::strategy::{CLASS, DEVICE_API, Strategy};
use crate::backend::scan::{follow, scan, sorted};
use crate::backend::{
    Attempt, Backend, CreateRequest, Created, Folders, Hint, Layout, Located, OpenParent, Place, Prepared, Remove,
    Slots, TYPES, Target, Types, Wanted, WantedParent,
};
use crate::error::{Error, Result, if_readable};
use crate::model::name::is_component;
use crate::model::{Parent, Vf};
use crate::store::{DeviceRecord, RecordedDevice, Records};
use crate::sysfs::{Dir, IoResult, Sysfs, basename, if_present, resolve};

mod create;
mod devices;
mod general;
mod layouts;
mod merged;
mod remove;
mod rfc;
mod strategy;
mod types;

/// Buses that have parents of mediated devices in known drivers, and the bus of the AP matrix. Parents on any other bus
/// are found through the class of the merged kernel.
const BUSES: [&str; 5] = ["pci", "css", "ccw", "matrix", "platform"];

/// The backend.
#[derive(Debug)]
pub(super) struct MdevBus;

impl Backend for MdevBus {
    fn layouts(&self) -> &'static [&'static Layout] {
        &LAYOUTS
    }

    fn parents(&self, sysfs: &dyn Sysfs, wanted: Option<&WantedParent<'_>>) -> Result<Vec<Place>> {
        let mut places = BTreeMap::new();
        if let Some(wanted) = wanted {
            if let Some(place) = named(sysfs, wanted.name).filter(wanted.is) {
                return Ok(vec![place]);
            }
            // The class has nearly every parent of a host, and no other device, so it is read before the buses.
            scan_class(sysfs, &mut places)?;
            let of_class = sorted(std::mem::take(&mut places));
            if of_class.iter().any(wanted.is) {
                return Ok(of_class);
            }
        }
        for bus in BUSES {
            scan_bus(sysfs, bus, &mut places)?;
        }
        scan_class(sysfs, &mut places)?;
        Ok(sorted(places))
    }

    fn parent_at(&self, folders: &Folders<'_>, syspath: &str, subsystem: &str) -> Result<Option<Target>> {
        let has = |folder: &str, entry: &str| {
            let meta = |dir: Rc<dyn Dir>| Ok(if_present(dir.meta(entry))?.is_some());
            let has = folders.open(folder).and_then(|dir| dir.map_or(Ok(false), meta));
            has.map_err(|errno| Error::io("check", folder, errno))
        };
        let is_parent = has(syspath, TYPES)? && (BUSES.contains(&subsystem) || has(CLASS, basename(syspath))?);
        let place = Place { syspath: syspath.to_owned(), subsystem: subsystem.to_owned() };
        Ok(is_parent.then(|| place.into()))
    }

    fn layout_of(&self, dir: &dyn Dir, hint: Hint<'_>) -> IoResult<Option<&'static Layout>> {
        let layout = |strategy: IoResult<&'static Strategy>| strategy.map(|strategy| Some(&strategy.layout));
        let type_id = match hint {
            Hint::None => None,
            Hint::Type(id) => Some(id),
            Hint::ParentOf(id) => id,
        };
        if let Some(id) = type_id.filter(|id| is_component(id)) {
            let type_has = |file: &str| Ok(if_present(dir.meta(&format!("{TYPES}/{id}/{file}")))?.is_some());
            if type_has(DEVICE_API)? {
                return layout(detect(dir, |file| Ok(file == DEVICE_API)));
            }
        }
        let Some(types) = if_present(dir.open(TYPES))? else {
            return if let Hint::ParentOf(_) = hint { layout(detect(dir, |_| Ok(false))) } else { Ok(None) };
        };
        let mut ids = Vec::new();
        types.list(&mut |id, _| ids.push(id.to_owned()))?;
        let any_type_has = |file: &str| {
            let mut files = ids.iter().map(|id| if_present(types.meta(&format!("{id}/{file}"))));
            files.find_map(|meta| meta.map(|meta| meta.map(|_| true)).transpose()).unwrap_or(Ok(false))
        };
        layout(detect(dir, any_type_has))
    }

    fn types(&self, dir: &dyn Dir, _records: &Records<'_>, before: Option<&Parent>) -> IoResult<Option<Types>> {
        let read = match before {
            Some(before) => types::read_counts(dir, strategy(before.layout), &before.types),
            None => types::read_types(dir),
        };
        let why_none = |types: &[_]| if types.is_empty() { "it has no types now".to_owned() } else { String::new() };
        Ok(if_present(read)?.map(|(layout, types)| Types {
            why_none: why_none(&types),
            layout,
            types,
            vfs: Vec::new(),
            seen: None,
            is_partial: false,
        }))
    }

    fn slots(&self, _parent: &dyn Dir) -> IoResult<Slots> {
        // A device has no slot before it is created, so there is no file to watch. The kernel sends uevents for it.
        Ok(Slots::default())
    }

    fn devices(
        &self,
        sysfs: &dyn Sysfs,
        _records: &Records<'_>,
        _cached_vfs: &dyn Fn(&str) -> Option<Vec<Vf>>,
    ) -> Result<Vec<Located>> {
        devices::all(&MdevBus, sysfs)
    }

    fn locate(&self, folders: &Folders<'_>, _records: &Records<'_>, wanted: &Wanted<'_>) -> Result<Option<Located>> {
        let Some(uuid) = wanted.uuid() else { return Ok(None) };
        let Some(bus) = folders.bus()? else { return Ok(None) };
        let device = devices::on_bus(&MdevBus, &bus, &uuid).map_err(|errno| devices::bus_error(&uuid, errno))?;
        Ok(match wanted {
            Wanted::Same(id) => device.filter(|device| id.identity == Some(device.identity)),
            _ => device,
        })
    }

    fn locate_created(&self, sysfs: &dyn Sysfs, _records: &Records<'_>, attempt: &Attempt<'_>) -> IoResult<Created> {
        devices::locate_created(&MdevBus, sysfs, attempt)
    }

    fn identity(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<u64>> {
        devices::identity(dir, entry)
    }

    fn device_of_record(&self, folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice> {
        devices::device_of_record(&MdevBus, folders, record)
    }

    fn explain_missing(&self, _: &Folders<'_>, _: &Records<'_>, _: &DeviceRecord) -> Option<Error> {
        None
    }

    fn is_same(&self, device: &Located, _records: Option<&Records<'_>>) -> Result<bool> {
        let now = devices::identity(&*device.dir, &device.entry);
        Ok(now.map_err(|errno| Error::io("read the identity of", &device.syspath, errno))? == Some(device.identity))
    }

    fn is_about(&self, sysfs: &dyn Sysfs, layout: &Layout, device: &Located, record: &DeviceRecord) -> Result<bool> {
        devices::is_about(&MdevBus, sysfs, layout, device, record)
    }

    fn type_of(&self, layout: &Layout, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
        let target = if_readable(dir.link(&format!("{entry}/{}", strategy(layout.kind).type_link)))?;
        Ok(target.map(|target| basename(&target).to_owned()))
    }

    fn lock(&self, layout: &Layout, parent: &str, created: Option<&str>) -> Option<String> {
        created.filter(|_| strategy(layout.kind).locks_type).map(|type_id| format!("type-{parent}-{type_id}"))
    }

    fn prepare<'a>(&self, parent: &OpenParent, request: &CreateRequest<'a>) -> Result<Prepared<'a>> {
        let strategy = strategy(parent.layout.kind);
        (strategy.prepare)(strategy, create::open_type_dir(&*parent.dir, request)?, request)
    }

    fn remove(&self, parent: &OpenParent, device: &Located, how: &Remove<'_>) -> Result<()> {
        (strategy(parent.layout.kind).remove)(&*parent.dir, device, how)
    }
}

/// The parent of this sysfs name or node name, by its link in the class. `None` also on an error: [`scan_class`]
/// returns it.
fn named(sysfs: &dyn Sysfs, name: &str) -> Option<Place> {
    let class = sysfs.open(CLASS).ok()?;
    let after_subsystem = name.split_once('_').map(|(_, sysname)| sysname);
    let link = |sysname: &str| Some((class.link(sysname).ok()?, class.link(&format!("{sysname}/subsystem")).ok()?));
    let (target, subsystem) =
        after_subsystem.into_iter().chain([name]).filter(|name| is_component(name)).find_map(link)?;
    Some(Place { syspath: resolve(CLASS, &target)?, subsystem: basename(&subsystem).to_owned() })
}

/// Adds the parents on a bus to `places`: paths with the names of subsystems.
fn scan_bus(sysfs: &dyn Sysfs, bus: &str, places: &mut BTreeMap<String, String>) -> Result<()> {
    let path = format!("/sys/bus/{bus}/devices");
    scan(sysfs, &path, &mut |dir, name| {
        if if_present(dir.meta(&format!("{name}/{TYPES}")))?.is_some() {
            places.extend(follow(dir, name)?.map(|syspath| (syspath, bus.to_owned())));
        }
        Ok(())
    })
}

/// Adds the parents of the class to `places`: paths with the names of subsystems.
fn scan_class(sysfs: &dyn Sysfs, places: &mut BTreeMap<String, String>) -> Result<()> {
    scan(sysfs, CLASS, &mut |dir, name| {
        let Some(syspath) = follow(dir, name)? else { return Ok(()) };
        if let Entry::Vacant(new) = places.entry(syspath) {
            new.insert(basename(&dir.link(&format!("{name}/subsystem"))?).to_owned());
        }
        Ok(())
    })
}
