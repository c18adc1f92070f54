// SPDX-License-Identifier: LGPL-2.1-or-later
//! Dumps a whole host as XML, and reads the data of a single node that only its XML contains.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use super::Conn;
use crate::backend::devices::device_of_record;
use crate::backend::parents::{self, link_name, or_reported, read_types_only};
use crate::backend::{Folders, Place, Slot, TYPES, ap, device_folders, is_parent_file, places};
use crate::error::{Error, Result};
use crate::finding::{Finding, or_report};
use crate::model::host::{Host, HostEntry, HostEntryKind};
use crate::model::name::parse_uuid;
use crate::model::{Device, Parent, ParentDetails, PciAddress};
use crate::store::{DeviceRecord, RECORDS, RecordedDevice};
use crate::sysfs::{
    Dir, EntryKind, IoResult, LOCKED_FILES, PciNames, Sysfs, basename, dirname, if_present, names, read_text,
    unless_exhausted,
};
use crate::xml;

/// The folder of remembered types: types that a parent showed earlier and may hide now.
pub(super) const TYPE_CACHES: &str = "/run/libmdev/types";

/// The folder of definitions. A dump contains mdevctl's files, without libmdev's additional data.
pub(super) const DEFINITIONS: &str = "/etc/mdevctl.d";

/// The file with the names of vendors and products of the dumped host.
const PCI_IDS: &str = "/usr/share/misc/pci.ids";

/// The files of a parent's folder that a dump contains, beside those of its layout. The others are left out: a read of some PCI attributes takes seconds
/// or wakes the device.
const PARENT_FILES: [&str; 15] = [
    "ap_config",
    "class",
    "dev_busid",
    "device",
    "modalias",
    "numa_node",
    "revision",
    NUMBER_OF_VFS,
    "sriov_totalvfs",
    "subsystem_device",
    "subsystem_vendor",
    "type",
    "uevent",
    "vendor",
    "chpids",
];

/// Dumped with the number of `virtfnN` links as its content: a read would wait for the lock of the PF.
const NUMBER_OF_VFS: &str = "sriov_numvfs";

/// `device_api` of a matrix of AP queues.
const AP_API: &str = "vfio-ap";

/// The maximum depth of folders below a type or device.
const DEPTH: u32 = 3;

/// Reads the data of a parent that only its XML contains.
pub(super) fn details(host: &super::Host, parent: &Parent, above: &str) -> Result<ParentDetails> {
    let sysfs = &*host.sysfs;
    let mut details = ParentDetails { parent: above.to_owned(), ..ParentDetails::default() };
    if let Some(pci) = &parent.pci {
        (details.vendor_name, details.product_name) = sysfs.pci_names(pci.vendor, pci.product);
    }
    let failed = |errno| Error::io("read", &parent.syspath, errno);
    if let Some(dir) = if_present(sysfs.open(&parent.syspath)).map_err(failed)? {
        let text = |name: &str| or_reported(&*dir, name, if_present(read_text(&*dir, name))).map_err(failed);
        let physfn = or_reported(&*dir, "physfn", link_name(&*dir, "physfn")).map_err(failed)?;
        details.physical_function = physfn.and_then(|name| name.parse().ok());
        details.max_virtual_functions = text("sriov_totalvfs")?.and_then(|text| text.trim().parse().ok());
        if parent.subsystem == "css" {
            details.channel_device = text("dev_busid")?;
        }
        if details.max_virtual_functions.is_some() {
            let vfs = vf_links(&*dir).map_err(failed)?;
            details.virtual_functions = vfs.iter().filter_map(|name| name.parse().ok()).collect();
        }
    }
    if let Some(group) = parent.iommu_group {
        details.iommu_group_members = group_members(sysfs, group)?;
    }
    Ok(details)
}

/// Returns the sysfs names of the VFs of an open PF.
fn vf_links(dir: &dyn Dir) -> IoResult<Vec<String>> {
    (0_u32..).map_while(|n| link_name(dir, &format!("virtfn{n}")).transpose()).collect()
}

/// Returns the device for its XML. For a running matrix of AP queues, reads the queues that it has now: queues can be assigned after
/// the creation, and a device of another program has no record.
pub(super) fn device<'d>(host: &super::Host, device: &'d Device) -> Result<Cow<'d, Device>> {
    if !device.active || device.device_api.as_deref() != Some(AP_API) {
        return Ok(Cow::Borrowed(device));
    }
    let read = host.sysfs.open(&device.syspath).and_then(|dir| ap::current(&*dir, &device.attributes));
    let kept = |errno| {
        let what = "its queues cannot be read; the XML contains the queues of its creation";
        Finding::io(&device.syspath, what, errno)
    };
    let read = or_report(read, kept).map_err(|errno| Error::io("read the queues of", &device.syspath, errno))?;
    Ok(read.map_or(Cow::Borrowed(device), |attributes| Cow::Owned(Device { attributes, ..device.clone() })))
}

/// Returns the members of an IOMMU group in the kernel's order, as libvirt does.
fn group_members(sysfs: &dyn Sysfs, group: u32) -> Result<Vec<PciAddress>> {
    let mut members: Vec<PciAddress> = Vec::new();
    let path = format!("/sys/kernel/iommu_groups/{group}/devices");
    let listed = sysfs.open(&path).and_then(|dir| dir.list(&mut |name, _| members.extend(name.parse::<PciAddress>())));
    or_report(if_present(listed), |errno| Finding::io(&path, "it cannot be listed to its end", errno))
        .map_err(|errno| Error::io("list", &path, errno))?;
    Ok(members)
}

impl Conn {
    /// Returns the whole host as XML, which `test:///PATH` replays. Reports and leaves out an object that cannot be read. Fails if this
    /// process runs out of descriptors or memory.
    pub fn dump_xml(&self) -> Result<String> {
        let sysfs = &*self.host.sysfs;
        let mut taken = Collector::new(sysfs);
        let mut names = BTreeMap::new();
        for place in places::all(sysfs)? {
            taken.parent(&place);
            let parent = taken.got(&place.syspath, parents::read_bare(sysfs, &place));
            if let Some(pci) = parent.and_then(|parent| parent.pci) {
                names.insert((pci.vendor, pci.product), sysfs.pci_names(pci.vendor, pci.product));
            }
        }
        taken.devices();
        let folders = Folders::new(sysfs);
        for (uuid, record) in self.host.runtime.all()? {
            let path = format!("{RECORDS}/{uuid}");
            if let Some(RecordedDevice::Own(_)) = taken.got(&path, device_of_record(&folders, &record)) {
                // An identity is valid only on this boot of this kernel, and an incomplete group only on this host.
                let portable =
                    serde_json::to_vec(&DeviceRecord { identity: None, batch: None, ..record }).unwrap_or_default();
                taken.file(&path, 0o644, portable);
            }
        }
        for definition in super::definitions::all(&self.host)? {
            let path = format!("{DEFINITIONS}/{}/{}", definition.parent, definition.uuid);
            taken.file(&path, 0o644, definition.pretty_json().into_bytes());
        }
        for place in places::all(sysfs)? {
            let types = taken.got(&place.syspath, self.seen_types(&place)).unwrap_or_default();
            if !types.is_empty() {
                let portable = serde_json::to_vec(&types).unwrap_or_default();
                taken.file(&format!("{TYPE_CACHES}/{}", place.sysname()), 0o644, portable);
            }
        }
        taken.file(PCI_IDS, 0o644, names_text(&names).into_bytes());
        if let Some((path, errno)) = taken.exhausted {
            return Err(Error::io("read", &path, errno));
        }
        let entries = taken.entries.into_iter().map(|(path, kind)| HostEntry { path, kind }).collect();
        Ok(xml::write_host(&Host { kernel: sysfs.kernel(), entries }))
    }

    /// Returns the types that a parent has shown and may hide now.
    fn seen_types(&self, place: &Place) -> IoResult<NamedTypes> {
        let dir = self.host.sysfs.open(&place.syspath)?;
        let types = read_types_only(&*dir, &self.host.runtime.records())?;
        Ok(types.seen.map(|seen| seen.types).unwrap_or_default())
    }
}

/// Ids and names.
pub(super) type NamedTypes = Vec<(String, String)>;

/// Returns a pci.ids with only the vendors and products of the host.
fn names_text(names: &BTreeMap<(u16, u16), PciNames>) -> String {
    let mut text = String::new();
    let mut last = None;
    for ((vendor, product), (vendor_name, product_name)) in names {
        let Some(vendor_name) = vendor_name else { continue };
        if last.replace(*vendor) != Some(*vendor) {
            text.push_str(&format!("{vendor:04x}  {vendor_name}\n"));
        }
        if let Some(product_name) = product_name {
            text.push_str(&format!("\t{product:04x}  {product_name}\n"));
        }
    }
    text
}

/// The collected entries, ordered by path: each once, folders before their content.
struct Collector<'a> {
    sysfs: &'a dyn Sysfs,
    entries: BTreeMap<String, HostEntryKind>,
    /// The path and errno of the failure if this process ran out of descriptors or memory: the entries are then incomplete.
    exhausted: Option<(String, Errno)>,
}

impl<'a> Collector<'a> {
    fn new(sysfs: &'a dyn Sysfs) -> Self {
        Collector { sysfs, entries: BTreeMap::new(), exhausted: None }
    }

    /// Returns the result of a read. Reports an object that exists and cannot be read, and returns `None`; see also
    /// [`Collector::exhausted`].
    fn got<T>(&mut self, path: &str, read: IoResult<T>) -> Option<T> {
        let left_out = |errno| Finding::io(path, "left out of the dump, it cannot be read", errno);
        or_report(if_present(read), left_out).map(Option::flatten).unwrap_or_else(|errno| {
            self.exhausted.get_or_insert((path.to_owned(), errno));
            None
        })
    }

    fn open(&mut self, path: &str) -> Option<Box<dyn Dir>> {
        self.got(path, self.sysfs.open(path))
    }

    /// Returns the entries of a folder, as many as can be listed.
    fn list(&mut self, dir: &dyn Dir) -> Vec<(String, EntryKind)> {
        let mut entries = Vec::new();
        let listed = dir.list(&mut |name, kind| entries.push((name.to_owned(), kind)));
        self.got(dir.path(), listed);
        entries
    }

    fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.entries.insert(path.to_owned(), HostEntryKind::File(mode, Ok(content)));
    }

    fn parent(&mut self, place: &Place) {
        let Some(dir) = self.open(&place.syspath) else { return };
        self.entries.insert(place.syspath.clone(), HostEntryKind::Dir);
        for (name, kind) in self.list(&*dir) {
            match kind {
                EntryKind::Link => self.link(&*dir, &name),
                EntryKind::File if PARENT_FILES.contains(&name.as_str()) || is_parent_file(&name) => {
                    self.attribute(&*dir, &name)
                }
                EntryKind::Dir if name == TYPES => self.tree(&*dir, &name, DEPTH),
                EntryKind::Dir if parse_uuid(&name).is_some() => self.tree(&*dir, &name, DEPTH),
                _ => {}
            }
        }
        self.bus_link(place);
        self.group(&*dir, "");
        self.slots(place);
    }

    /// Adds the slots of a parent, and the files that make it a parent.
    fn slots(&mut self, place: &Place) {
        let Some(parent) = self.got(&place.syspath, parents::open(self.sysfs, &place.syspath).map_err(|e| e.errno()))
        else {
            return;
        };
        let (layout, dir) = (parent.layout, &*parent.dir);
        let slots = self.got(dir.path(), parent.backend.slots(dir)).unwrap_or_default().present;
        for path in layout.host_folders {
            if self.open(path).is_some() {
                self.entries.insert((*path).to_owned(), HostEntryKind::Dir);
            }
        }
        for path in layout.link_folders {
            let Some(links) = self.open(path) else { continue };
            let names = slots.iter().map(Slot::sysname).chain([place.sysname()]);
            names.for_each(|name| self.link(&*links, name));
        }
        for slot in &slots {
            let Some(dir) = self.open(&slot.syspath) else { continue };
            self.entries.insert(slot.syspath.clone(), HostEntryKind::Dir);
            for link in ["physfn", "iommu_group", "driver", "subsystem"] {
                self.link(&*dir, link);
            }
            for file in ["uevent", "numa_node"] {
                self.attribute(&*dir, file);
            }
            for folder in layout.attributes.into_iter().chain(["vfio-dev"]) {
                self.tree(&*dir, folder, DEPTH);
            }
            if !self.entries.contains_key(&slot.file) {
                if let Some(folder) = self.open(dirname(&slot.file)) {
                    self.attribute(&*folder, basename(&slot.file));
                }
            }
            self.group(&*dir, "");
        }
    }

    /// Adds the link to the parent in the folder of its bus.
    fn bus_link(&mut self, place: &Place) {
        let sysname = place.sysname();
        if let Some(dir) = self.open(&format!("/sys/bus/{}/devices", place.subsystem)) {
            self.link(&*dir, sysname);
        }
    }

    /// Adds the links to the devices, and the nodes of their groups.
    fn devices(&mut self) {
        for path in device_folders() {
            let Some(dir) = self.open(path) else { continue };
            self.entries.insert(path.to_owned(), HostEntryKind::Dir);
            let mut entries = BTreeSet::new();
            let listed = names(&*dir, &mut entries);
            self.got(path, listed);
            for device in entries {
                self.link(&*dir, &device);
                self.group(&*dir, &format!("{device}/"));
            }
        }
    }

    /// Adds the IOMMU group of the link `<below>iommu_group`, with its members and its node.
    fn group(&mut self, dir: &dyn Dir, below: &str) {
        let link = format!("{below}iommu_group");
        let name = self.got(&format!("{}/{link}", dir.path()), link_name(dir, &link));
        let Some(group) = name.flatten() else { return };
        if let Some(members) = self.open(&format!("/sys/kernel/iommu_groups/{group}/devices")) {
            self.list(&*members).iter().for_each(|(name, _)| self.link(&*members, name));
        }
        if let Some(nodes) = self.open("/dev/vfio") {
            if self.got(&format!("/dev/vfio/{group}"), nodes.meta(&group)).is_some() {
                self.file(&format!("/dev/vfio/{group}"), 0o600, Vec::new());
            }
        }
    }

    fn link(&mut self, dir: &dyn Dir, name: &str) {
        let path = format!("{}/{name}", dir.path());
        if let Some(target) = self.got(&path, dir.link(name)) {
            self.entries.insert(path, HostEntryKind::Link(target));
        }
    }

    fn attribute(&mut self, dir: &dyn Dir, name: &str) {
        let path = format!("{}/{name}", dir.path());
        let Some(meta) = self.got(&path, dir.meta(name)) else { return };
        // A file without read permission is a command file. A file that takes the device's lock is in the replay, and empty.
        let content = if name == NUMBER_OF_VFS {
            let Some(vfs) = self.got(&path, vf_links(dir)) else { return };
            Ok(format!("{}\n", vfs.len()).into_bytes())
        } else if meta.mode & 0o444 == 0 || LOCKED_FILES.contains(&name) {
            Ok(Vec::new())
        } else {
            let mut buf = Vec::new();
            // The replay fails a read in the same way.
            let failed = |errno: Errno| unless_exhausted(errno).map(|errno| Err(errno.raw_os_error()));
            let read = dir.read(name, &mut buf).map_or_else(failed, |()| Ok(Ok(buf)));
            let Some(content) = self.got(&path, read) else { return };
            content
        };
        self.entries.insert(path, HostEntryKind::File(meta.mode, content));
    }

    /// Adds a folder of a type or device with its content.
    fn tree(&mut self, above: &dyn Dir, name: &str, depth: u32) {
        let Some(dir) = self.got(&format!("{}/{name}", above.path()), above.open(name)) else { return };
        self.entries.insert(dir.path().to_owned(), HostEntryKind::Dir);
        for (name, kind) in self.list(&*dir) {
            match kind {
                EntryKind::Link => self.link(&*dir, &name),
                EntryKind::File => self.attribute(&*dir, &name),
                EntryKind::Dir if depth > 0 && name != "power" => self.tree(&*dir, &name, depth - 1),
                _ => {}
            }
        }
    }
}
