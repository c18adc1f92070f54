// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads parents.

use std::collections::HashMap;
use std::rc::Rc;

use once_cell::unsync::OnceCell;
use uuid::Uuid;

pub use super::group::requires_group;
use super::registry::{self, BACKENDS};
use super::{Folders, Hint, Layout, Located, OpenParent, Place, Types};
use crate::error::{Error, Result};
use crate::finding::{Finding, or_report};
use crate::model::name::{device_name, node_name};
use crate::model::{Attach, Device, LayoutKind, NO_PARENT, Parent, PciAddress, PciFacts, Type, Vf};
use crate::store::Records;
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, basename, dirname, if_present, is_absent, read_text};

/// Opens the parent at a path and determines its layout.
pub fn open(sysfs: &dyn Sysfs, syspath: &str) -> Result<OpenParent> {
    open_with(&Folders::new(sysfs), syspath, Hint::None)
}

/// The same for a create. `type_id` is the name or the id of the type. `folders` may have the folder open.
pub fn open_for(folders: &Folders<'_>, syspath: &str, type_id: &str) -> Result<OpenParent> {
    open_with(folders, syspath, Hint::Type(type_id))
}

fn open_with(folders: &Folders<'_>, syspath: &str, hint: Hint<'_>) -> Result<OpenParent> {
    let dir = folders.open(syspath).and_then(|dir| dir.ok_or(Errno::NOENT));
    let dir = dir.map_err(|errno| Error::io("open", syspath, errno))?;
    let layout = layout_with(&*dir, hint).map_err(|errno| Error::io("detect the layout of", syspath, errno))?;
    Ok(OpenParent { backend: registry::backend(layout.kind), layout, dir })
}

/// The layout of an open parent. Fails if a file that determines it cannot be read, and with ENOENT if the folder is
/// not a parent.
pub fn layout_of(dir: &dyn Dir) -> IoResult<&'static Layout> {
    layout_with(dir, Hint::None)
}

fn layout_with(dir: &dyn Dir, hint: Hint<'_>) -> IoResult<&'static Layout> {
    for backend in BACKENDS {
        if let Some(layout) = backend.layout_of(dir, hint)? {
            return Ok(layout);
        }
    }
    Err(Errno::NOENT)
}

/// Whether an open folder is still the folder of a parent.
pub fn is_parent(dir: &dyn Dir) -> IoResult<bool> {
    Ok(if_present(layout_of(dir))?.is_some())
}

/// The types of an open parent, with the remembered ones. Remembers the types that the parent may hide later. Fails
/// with ENOENT if the folder is not a parent.
pub fn read_types(dir: &dyn Dir, records: &Records<'_>) -> IoResult<Types> {
    let types = read_types_only(dir, records)?;
    types.remember(dir, records);
    Ok(types)
}

/// The same without remembering types.
pub fn read_types_only(dir: &dyn Dir, records: &Records<'_>) -> IoResult<Types> {
    for backend in BACKENDS {
        if let Some(types) = backend.types(dir, records, None)? {
            return Ok(types);
        }
    }
    Err(Errno::NOENT)
}

/// The same for a parent that was read before: reads only files that change when devices are created and destroyed.
pub fn reread_types(dir: &dyn Dir, records: &Records<'_>, parent: &Parent) -> IoResult<Types> {
    let types = registry::backend(parent.layout).types(dir, records, Some(parent))?.ok_or(Errno::NOENT)?;
    types.remember(dir, records);
    Ok(types)
}

/// Reads a parent with its types. Fails with ENOENT if it no longer exists.
pub fn read(sysfs: &dyn Sysfs, records: &Records<'_>, place: &Place) -> IoResult<Parent> {
    read_with_reason(sysfs, records, place).map(|(parent, _)| parent)
}

/// The same. Also returns why the parent shows no type now, and the next step; empty if it shows one.
pub fn read_with_reason(sysfs: &dyn Sysfs, records: &Records<'_>, place: &Place) -> IoResult<(Parent, String)> {
    let dir = sysfs.open(&place.syspath)?;
    let Types { layout, types, vfs, why_none, .. } = read_types(&*dir, records)?;
    Ok((describe(&*dir, place, layout, types, vfs)?, why_none))
}

/// Reads a parent without its types: these have most of the files.
pub fn read_bare(sysfs: &dyn Sysfs, place: &Place) -> IoResult<Parent> {
    let dir = sysfs.open(&place.syspath)?;
    let layout = layout_of(&*dir)?;
    describe(&*dir, place, layout, Vec::new(), Vec::new())
}

fn describe(dir: &dyn Dir, place: &Place, layout: &Layout, types: Vec<Type>, vfs: Vec<Vf>) -> IoResult<Parent> {
    let link = |name: &str| or_reported(dir, name, link_name(dir, name));
    Ok(Parent {
        name: place.name(),
        sysname: place.sysname().to_owned(),
        syspath: place.syspath.clone(),
        subsystem: place.subsystem.clone(),
        layout: layout.kind,
        driver: link("driver")?,
        numa_node: or_reported(dir, NUMA_NODE, read_numa_node(dir))?,
        iommu_group: link("iommu_group")?.and_then(|group| group.parse().ok()),
        physical_function: link("physfn")?.map(|sysname| node_name("pci", &sysname)),
        pci: pci_facts(dir, place)?,
        types,
        vfs,
    })
}

/// The properties of a parent that its devices show.
#[derive(Debug, Clone)]
pub struct ParentInfo {
    /// Node name.
    pub name: String,
    /// Sysfs name.
    pub sysname: String,
    /// Its layout.
    pub layout: &'static Layout,
    /// NUMA node.
    pub numa_node: Option<i32>,
    /// Node name of the PF, if the parent is a VF.
    pub physical_function: Option<String>,
}

impl ParentInfo {
    /// The properties of a parent that was read.
    pub fn of(parent: &Parent) -> Self {
        ParentInfo {
            name: parent.name.clone(),
            sysname: parent.sysname.clone(),
            layout: registry::layout(parent.layout),
            numa_node: parent.numa_node,
            physical_function: parent.physical_function.clone(),
        }
    }

    /// The properties of a parent that does not exist now.
    pub fn absent(sysname: &str) -> Self {
        ParentInfo {
            name: NO_PARENT.to_owned(),
            sysname: sysname.to_owned(),
            layout: registry::layout(LayoutKind::MDEV),
            numa_node: None,
            physical_function: None,
        }
    }

    /// Reads them from the open parent at a place.
    pub fn read(dir: &dyn Dir, place: &Place, layout: &'static Layout) -> IoResult<Self> {
        let physfn = or_reported(dir, "physfn", link_name(dir, "physfn"))?;
        Ok(ParentInfo {
            name: place.name(),
            sysname: place.sysname().to_owned(),
            layout,
            numa_node: or_reported(dir, NUMA_NODE, read_numa_node(dir))?,
            physical_function: physfn.map(|sysname| node_name("pci", &sysname)),
        })
    }

    /// A device of this parent with only its UUID. `sysname` is its sysfs name; `None` if it does not run.
    pub fn device(&self, uuid: Uuid, sysname: Option<&str>) -> Device {
        let own_pf = self.layout.is_vf.then(|| self.name.clone());
        Device {
            name: device_name(&uuid, &self.sysname),
            uuid,
            parent: self.name.clone(),
            parent_sysname: self.sysname.clone(),
            syspath: String::new(),
            layout: self.layout.kind,
            type_id: None,
            device_api: None,
            iommu_group: None,
            numa_node: self.numa_node,
            physical_function: own_pf.or_else(|| self.physical_function.clone()),
            driver: None,
            group: None,
            params: None,
            owner: None,
            attributes: Vec::new(),
            identity: None,
            attach: match self.layout.is_vf {
                true => Attach::Pci(sysname.and_then(|sysname| sysname.parse().ok())),
                false => Attach::Mdev,
            },
            active: false,
        }
    }
}

/// The parents that this request has read, by path. Its devices share them.
pub struct ParentCache<'a> {
    sysfs: &'a dyn Sysfs,
    parents: HashMap<String, OnceCell<Rc<ParentInfo>>>,
    vfs: HashMap<String, Vec<Vf>>,
    apis: HashMap<(String, String), Option<String>>,
}

impl<'a> ParentCache<'a> {
    /// An empty cache.
    pub fn new(sysfs: &'a dyn Sysfs) -> Self {
        ParentCache { sysfs, parents: HashMap::new(), vfs: HashMap::new(), apis: HashMap::new() }
    }

    /// The host of its parents.
    pub fn sysfs(&self) -> &'a dyn Sysfs {
        self.sysfs
    }

    /// Adds a parent that was read with its types.
    pub fn add(&mut self, parent: &Parent) {
        for ty in &parent.types {
            self.apis.insert((parent.syspath.clone(), ty.id().to_owned()), ty.device_api().map(str::to_owned));
        }
        self.parents.insert(parent.syspath.clone(), Rc::new(ParentInfo::of(parent)).into());
        self.vfs.insert(parent.syspath.clone(), parent.vfs.clone());
    }

    /// Adds an open parent with one type. `type_dir` is the open folder of the type, if types have folders.
    pub fn add_open(&mut self, place: &Place, parent: &OpenParent, type_id: &str, type_dir: Option<&dyn Dir>) {
        let api = (place.syspath.clone(), type_id.to_owned());
        if self.apis.contains_key(&api) {
            return;
        }
        let device_api = match (parent.layout.device_api, type_dir) {
            (None, Some(dir)) => optional_api(dir),
            _ => device_api(parent.layout, &*parent.dir, type_id),
        };
        // A device of this type reads it again and returns the error.
        if let Ok(device_api) = device_api {
            self.apis.insert(api, device_api);
        }
        let read = || ParentInfo::read(&*parent.dir, place, parent.layout).map(Rc::new);
        // A device of this parent reads it again and returns the error.
        let _ = self.parents.entry(place.syspath.clone()).or_default().get_or_try_init(read);
    }

    /// The properties of the parent of a device.
    pub fn parent(&mut self, device: &Located) -> IoResult<Rc<ParentInfo>> {
        let sysfs = self.sysfs;
        let read = || {
            let dir = sysfs.open(&device.parent)?;
            let subsystem = basename(&dir.link("subsystem")?).to_owned();
            let layout = device.layout(&*dir)?;
            let place = Place { syspath: device.parent.clone(), subsystem };
            ParentInfo::read(&*dir, &place, layout).map(Rc::new)
        };
        self.parents.entry(device.parent.clone()).or_default().get_or_try_init(read).cloned()
    }

    /// The VFs of a parent, if they were read with it.
    pub fn vfs(&self, syspath: &str) -> Option<Vec<Vf>> {
        self.vfs.get(syspath).filter(|vfs| !vfs.is_empty()).cloned()
    }

    /// Returns the `device_api` of a type; `None` if there is none. Reports a file that cannot be read, and fails only
    /// if descriptors or memory are exhausted.
    pub fn device_api(&mut self, layout: &Layout, parent: &str, type_id: &str) -> IoResult<Option<String>> {
        if let Some(api) = layout.device_api {
            return Ok(Some(api.to_owned()));
        }
        let key = (parent.to_owned(), type_id.to_owned());
        if let Some(api) = self.apis.get(&key) {
            return Ok(api.clone());
        }
        let opened = or_report(if_present(self.sysfs.open(parent)), |errno| {
            Finding::io(parent, "the device API of its types cannot be read", errno)
        })?;
        let api = opened.flatten().map_or(Ok(None), |dir| device_api(layout, &*dir, type_id))?;
        self.apis.insert(key, api.clone());
        Ok(api)
    }
}

/// Opens the folder of a type of an open parent; `None` if there is none.
pub fn type_dir(layout: &Layout, parent: &dyn Dir, type_id: &str) -> IoResult<Option<Box<dyn Dir>>> {
    match layout.type_folder {
        Some(folder) => if_present(parent.open(&format!("{folder}/{type_id}"))),
        None => Ok(None),
    }
}

/// Why the parent at a path offers no type now, and the next step.
pub fn why_no_types(sysfs: &dyn Sysfs, records: &Records<'_>, syspath: &str) -> String {
    match sysfs.open(syspath).and_then(|dir| read_types(&*dir, records)) {
        Ok(Types { why_none, .. }) if why_none.is_empty() => "it shows types now; try again".to_owned(),
        Ok(Types { why_none, .. }) => why_none,
        Err(errno) if is_absent(errno) => "it no longer exists".to_owned(),
        Err(errno) => format!("its types cannot be read: {}", crate::error::describe(errno)),
    }
}

/// Returns the `device_api` of a type of an open parent; `None` if there is none. Reports a file that cannot be read,
/// and fails only if descriptors or memory are exhausted.
pub fn device_api(layout: &Layout, parent: &dyn Dir, type_id: &str) -> IoResult<Option<String>> {
    if let Some(api) = layout.device_api {
        return Ok(Some(api.to_owned()));
    }
    let dir = or_reported(parent, type_id, type_dir(layout, parent, type_id))?;
    dir.map_or(Ok(None), |dir| optional_api(&*dir))
}

fn optional_api(type_dir: &dyn Dir) -> IoResult<Option<String>> {
    or_reported(type_dir, DEVICE_API, if_present(read_text(type_dir, DEVICE_API)))
}

/// The last component of the target of a link; `None` if there is no such link.
pub fn link_name(dir: &dyn Dir, name: &str) -> IoResult<Option<String>> {
    Ok(if_present(dir.link(name))?.map(|target| basename(&target).to_owned()))
}

/// The value of an optional file or link of an object; `None` if it cannot be read, so that the object is shown without
/// it. Reports that, and fails only if this process has run out of descriptors or memory.
pub fn or_reported<T>(dir: &dyn Dir, name: &str, read: IoResult<Option<T>>) -> IoResult<Option<T>> {
    let path = || format!("{}/{name}", dir.path());
    Ok(or_report(read, |errno| Finding::io(path(), "not shown, it cannot be read", errno))?.flatten())
}

/// The file of a type with its device API.
const DEVICE_API: &str = "device_api";

/// A file with the NUMA node of a device; -1 on a host without NUMA.
const NUMA_NODE: &str = "numa_node";

fn read_numa_node(dir: &dyn Dir) -> IoResult<Option<i32>> {
    let text = if_present(read_text(dir, NUMA_NODE))?;
    Ok(text.and_then(|text| text.trim().parse().ok()).filter(|node| *node >= 0))
}

/// The NUMA node of a device; `None` if it has none or it cannot be read.
pub fn numa_node(dir: &dyn Dir) -> Option<i32> {
    read_numa_node(dir).ok().flatten()
}

/// The PCI properties of a parent; `None` for a parent of another bus, and if one of the files contains no number. The
/// file `uevent` is not read although it has all these numbers: a read of it may wait for the lock of the device. See
/// [`LOCKED_FILES`].
///
/// [`LOCKED_FILES`]: crate::sysfs::LOCKED_FILES
fn pci_facts(dir: &dyn Dir, place: &Place) -> IoResult<Option<PciFacts>> {
    let Some(address) = place.sysname().parse().ok().filter(|_| place.subsystem == "pci") else { return Ok(None) };
    let number = |name: &str| {
        let text = or_reported(dir, name, if_present(read_text(dir, name)))?;
        Ok(text.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()))
    };
    let (vendor, product, class) = (number("vendor")?, number("device")?, number("class")?);
    let (Some(vendor), Some(product), Some(class)) = (vendor, product, class) else { return Ok(None) };
    Ok(Some(PciFacts { address, vendor: vendor as u16, product: product as u16, class }))
}

/// The node name of the device above a parent; `computer` if that is not a PCI device.
pub fn node_above(syspath: &str) -> String {
    match basename(dirname(syspath)).parse::<PciAddress>() {
        Ok(address) => node_name("pci", &address.to_string()),
        Err(_) => "computer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_above_a_parent_is_a_pci_device_or_the_computer() {
        assert_eq!(node_above("/sys/devices/pci0000:80/0000:80:01.0/0000:86:00.0"), "pci_0000_80_01_0");
        assert_eq!(node_above("/sys/devices/pci0000:00/0000:00:02.0"), "computer");
        assert_eq!(node_above("/sys/devices/virtual/mtty/mtty"), "computer");
    }
}
