// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel interfaces of mediated devices: one folder for each, behind the trait [`Backend`]. The folders do not use
//! each other.
//!
//! [`places`] finds a parent by any form of its name, [`parents`] reads it, [`devices`] locates devices. They call every
//! backend of `registry` in turn. Code outside of this folder never checks to which backend an object belongs: a
//! difference is a method of [`Backend`] or a field of [`Layout`].

use std::rc::Rc;

use uuid::Uuid;

use crate::error::{Error, ErrorCode, Result};
use crate::model::name::{node_name, parse_uuid};
use crate::model::{LayoutKind, Parent, Type, Vf};
use crate::store::{DeviceRecord, RecordedDevice, Records};
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, basename, if_present};

pub mod ap;
pub mod devices;
pub mod parents;
pub mod places;
pub mod vfio;

mod driver_file;
mod folders;
mod group;
mod mdev_bus;
mod registry;
mod scan;
#[cfg(test)]
mod test_backend;
mod vendor_vfio;
mod written;

pub use driver_file::write_error;
pub use folders::Folders;
pub use registry::{backend, device_folders, is_control_file, is_parent_file, layout};
pub use written::{TextForm, write_and_verify};

/// Links to every PCI device.
pub const PCI: &str = "/sys/bus/pci/devices";

/// The folder of types of a parent on the mdev bus.
pub const TYPES: &str = "mdev_supported_types";

/// Links to every device on the mdev bus.
pub const DEVICES: &str = "/sys/bus/mdev/devices";

/// One generation of the kernel interface: the properties of its parents and devices.
pub struct Layout {
    /// Its name.
    pub kind: LayoutKind,
    /// The folder of a parent with a folder for each of its types. `None`: types have no folders.
    pub type_folder: Option<&'static str>,
    /// Whether a device is a parent also depends on other devices of the host.
    pub parents_depend: bool,
    /// The records of all devices of a request are written before the first device is created. If not, the record of a
    /// device is written when its slot is chosen.
    pub reserves_first: bool,
    /// The identity of a device never changes. If not, it is valid only if the record of the device contains it: see
    /// [`DeviceId`].
    pub keeps_identity: bool,
    /// A device no longer exists when the write that removes it returns. If not, it disappears later.
    pub removes_at_once: bool,
    /// A device is a VF of its parent. A guest gets it as a PCI device.
    pub is_vf: bool,
    /// A device always has an `iommu_group` when it is ready.
    pub has_iommu_group: bool,
    /// Every device shows its type. If not, the type is recorded.
    pub shows_type: bool,
    /// Files of a device contain the group and the parameters of its create request, if the vendor provides these
    /// files.
    pub shows_creation: bool,
    /// The driver refuses to remove a device that a process has open. If not, the kernel blocks the writer until that
    /// process closes it.
    pub refuses_open: bool,
    /// The folder below the folder of a device with its attributes; `None`: the folder of the device itself.
    pub attributes: Option<&'static str>,
    /// A file that only parents of this layout have. A driver may have a parent without it.
    pub parent_file: Option<&'static str>,
    /// Files of a device, or of its parent, that create and remove devices. They are never written as attributes: a
    /// write to them may block while the device is in use, or remove the device of another program.
    pub control_files: &'static [&'static str],
    /// Files of a device that show a text as it was written. A driver may show the text of any other file in its own
    /// form.
    pub verbatim: &'static [&'static str],
    /// `device_api` of every type. `None`: each type has a file with it.
    pub device_api: Option<&'static str>,
    /// Folders of the host that determine whether there are parents. A dump contains them.
    pub host_folders: &'static [&'static str],
    /// Folders with links to parents and VFs. A dump contains these links.
    pub link_folders: &'static [&'static str],
    /// The folder of the host with a link to every device; `None` if there is none.
    pub device_folder: Option<&'static str>,
}

impl Layout {
    /// The defaults: the values of the merged kernel, with this name.
    pub const fn new(kind: LayoutKind) -> Self {
        Layout {
            kind,
            type_folder: Some(TYPES),
            parents_depend: false,
            reserves_first: true,
            keeps_identity: true,
            removes_at_once: false,
            is_vf: false,
            has_iommu_group: true,
            shows_type: true,
            shows_creation: false,
            refuses_open: false,
            attributes: None,
            parent_file: None,
            control_files: &[],
            verbatim: &["params", "vgpu_params"],
            device_api: None,
            host_folders: &[],
            link_folders: &[],
            device_folder: Some(DEVICES),
        }
    }
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.as_str())
    }
}

/// The location of a parent that was not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its path: `/sys/devices/...`.
    pub syspath: String,
    /// Its subsystem: `pci`, `css`, `matrix`, `mtty`, ...
    pub subsystem: String,
}

impl Place {
    /// Its sysfs name: the last component of the path.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Its node name.
    pub fn name(&self) -> String {
        node_name(&self.subsystem, self.sysname())
    }
}

/// The parent that a search wants.
pub struct WantedParent<'a> {
    /// Its sysfs name or its node name. The node name is the name of the subsystem followed by the sysfs name.
    pub name: &'a str,
    /// Returns whether a parent is the wanted one.
    pub is: &'a dyn Fn(&Place) -> bool,
}

/// A parent, or one slot of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The parent.
    pub place: Place,
    /// Sysfs name of the slot; `None` if the parent itself was named.
    pub slot: Option<String>,
}

impl From<Place> for Target {
    fn from(place: Place) -> Self {
        Target { place, slot: None }
    }
}

/// A parent that is open.
pub struct OpenParent {
    /// Its backend.
    pub backend: &'static dyn Backend,
    /// Its layout.
    pub layout: &'static Layout,
    /// Its folder.
    pub dir: Rc<dyn Dir>,
}

impl OpenParent {
    /// Its sysfs name.
    pub fn sysname(&self) -> &str {
        basename(self.dir.path())
    }
}

/// Information about a folder that the caller of [`Backend::layout_of`] already has.
#[derive(Debug, Clone, Copy)]
pub enum Hint<'a> {
    /// Nothing.
    None,
    /// The parent may have this type. If the type shows the layout, the other types are not read.
    Type(&'a str),
    /// It is the parent of a device, of this type if that is known. Its types may have been removed before the device.
    ParentOf(Option<&'a str>),
}

/// The types of a parent.
#[derive(Debug)]
pub struct Types {
    /// The layout that the parent and its types have.
    pub layout: &'static Layout,
    /// In the order of their ids, with the remembered types: see [`SeenTypes`].
    pub types: Vec<Type>,
    /// The VFs that can be devices: `types` reads them to count instances, and [`Parent`] shows them. Empty if no device
    /// of the layout is a VF.
    pub vfs: Vec<Vf>,
    /// The types that the parent shows now or showed before; `None` if it never hides a type. The driver of a VF lists
    /// only the types that still fit on the card; on the mdev bus every type has a folder.
    pub seen: Option<SeenTypes>,
    /// The parent may have types that it does not show now and that are not remembered. False if it never hides a type.
    pub is_partial: bool,
    /// Why the parent shows no type now, and the next step; empty if it shows one. A remembered type does not count as
    /// shown.
    pub why_none: String,
}

impl Types {
    /// Stores the types that the open parent `dir` may hide later.
    fn remember(&self, dir: &dyn Dir, records: &Records<'_>) {
        if let Some(seen) = self.seen.as_ref().filter(|seen| seen.is_new) {
            records.remember_types(basename(dir.path()), seen.version, &seen.types);
        }
    }
}

/// Types that a parent may hide.
#[derive(Debug)]
pub struct SeenTypes {
    /// Has another value when the parent may have other types: the types of another version are not valid.
    pub version: u64,
    /// Ids and names.
    pub types: Vec<(String, String)>,
    /// One of them is not stored yet.
    is_new: bool,
}

/// A fixed place on a parent for one device: a VF. The kernel sends no uevents for that device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The path of the device.
    pub syspath: String,
    /// The path of the parent.
    pub parent: String,
    /// The file whose writes create and remove the device.
    pub file: String,
}

impl Slot {
    /// Its sysfs name.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Whether it was a device when its parent was read; `None` if the slot could not be read.
    pub fn was_device(&self, parent: &Parent) -> Option<bool> {
        let vf = parent.vfs.iter().find(|vf| vf.sysname == self.sysname());
        vf.map(|vf| vf.type_id.is_some())
    }
}

/// The slots of a parent.
#[derive(Debug, Default)]
pub struct Slots {
    /// The slots that can be devices, with those that cannot be read now.
    pub present: Vec<Slot>,
    /// The parent may have more slots later.
    pub may_grow: bool,
}

/// A running device that was located. Nothing else was read.
#[derive(Clone)]
pub struct Located {
    /// Its backend.
    pub backend: &'static dyn Backend,
    /// Its UUID.
    pub uuid: Uuid,
    /// The path of its parent.
    pub parent: String,
    /// Its own path.
    pub syspath: String,
    /// An open folder with an entry for the device: the mdev bus, the PF, or the folder of PCI devices.
    pub dir: Rc<dyn Dir>,
    /// The name of that entry. On the mdev bus, the device has the same name below its parent.
    pub entry: String,
    /// A number that no earlier or later device with its UUID or on its VF has.
    pub identity: u64,
    /// Its type, if the search read it.
    pub type_id: Option<String>,
}

impl Located {
    /// Its sysfs name: the UUID, or the address of the VF.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Opens its parent. Also succeeds for a parent that is being removed, whose types may be removed before its
    /// devices.
    pub fn open_parent(&self, sysfs: &dyn Sysfs) -> Result<OpenParent> {
        let (backend, parent) = (self.backend, self.parent.as_str());
        let dir: Rc<dyn Dir> = sysfs.open(parent).map_err(|errno| Error::io("open", parent, errno))?.into();
        let layout = self.layout(&*dir).map_err(|errno| Error::io("detect the layout of", parent, errno))?;
        Ok(OpenParent { backend, layout, dir })
    }

    /// The layout of its open parent.
    fn layout(&self, parent: &dyn Dir) -> IoResult<&'static Layout> {
        let Some(&first) = self.backend.layouts().first() else { return Err(Errno::OPNOTSUPP) };
        let type_id = match &self.type_id {
            Some(_) => None,
            None => self.backend.type_of(first, &*self.dir, &self.entry)?,
        };
        Ok(self.backend.layout_of(parent, Hint::ParentOf(type_id.as_deref()))?.unwrap_or(first))
    }
}

/// The identity of a running device: see [`Located`].
#[derive(Debug, Clone, Copy)]
pub struct DeviceId<'a> {
    /// Its UUID.
    pub uuid: &'a Uuid,
    /// Its sysfs name: the UUID, or the address of the VF.
    pub sysname: &'a str,
    /// Its type.
    pub type_id: &'a str,
    /// `None` for a VF whose type another program set: the kernel does not keep the time of a sysfs file unless a
    /// program has set it. Also `None` for a device on the mdev bus that no longer existed when its identity was read.
    pub identity: Option<u64>,
}

/// The device that a search wants.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// The device of this UUID. If it is not found, the search fails if there is an object that cannot be read and may
    /// be the device. The function returns for a path whether that object may be the device.
    Uuid(&'a Uuid, &'a dyn Fn(&str) -> bool),
    /// The device of this sysfs name: a UUID or the address of a VF.
    Name(&'a str),
    /// The device of this identity. It is not found if another device has its UUID or its VF now.
    Same(&'a DeviceId<'a>),
}

impl Wanted<'_> {
    /// The UUID that the wanted device has on the mdev bus; `None` for the address of a VF.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Wanted::Uuid(uuid, _) => Some(**uuid),
            Wanted::Name(name) => parse_uuid(name),
            Wanted::Same(id) => Some(*id.uuid),
        }
    }
}

/// A request to create one device.
#[derive(Debug, Clone, Copy)]
pub struct CreateRequest<'a> {
    /// The id of the type, validated: one path component.
    pub type_id: &'a str,
    /// The open folder of the type, if the caller has it.
    pub type_dir: Option<&'a Rc<dyn Dir>>,
    /// The UUID of the new device.
    pub uuid: Uuid,
    /// The group number, if the type requires a group.
    pub group: Option<u32>,
    /// The parameters for the vendor driver.
    pub params: Option<&'a str>,
    /// Sysfs name of the VF to use; `None` to use any free VF, and in layouts without VFs.
    pub vf: Option<&'a str>,
    /// Sysfs names of VFs that the driver refused before.
    pub avoid: &'a [String],
    /// Use the VF that lists the fewest types. If not, the VF that lists the most.
    pub pack: bool,
    /// Only [`CreateWrites::planned`] is called: [`Backend::prepare`] must not change anything, also no time of a file.
    pub dry_run: bool,
}

/// A create that has begun or ended.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The UUID of the device.
    pub uuid: Uuid,
    /// The path of its parent.
    pub parent: &'a str,
    /// The requested type.
    pub type_id: &'a str,
    /// Sysfs name of the chosen VF.
    pub vf: Option<&'a str>,
    /// The name of the device below its parent: the UUID, or `virtfn3`.
    pub entry: &'a str,
    /// The identity of the created device; `None` if it is unknown.
    pub identity: Option<u64>,
    /// The driver returned success.
    pub is_accepted: bool,
}

/// The state of a device after a create.
pub enum Created {
    /// The driver created no device, or another program destroyed it.
    Absent,
    /// The device exists.
    Own(Located),
    /// The VF has the type that was written, but another identity: another program has written to the VF since. If the
    /// driver refused that write, the VF is still the created device. If the other program cleared the VF first, the VF
    /// is a device of that program. sysfs shows no difference. The text describes the state and the next step.
    InDoubt(String),
}

/// Writes one line to a file of a folder. Returns the result of the driver. Fails if the driver returned no result.
pub type RemoveWriter<'a> = dyn Fn(&dyn Dir, &str, &str) -> Result<IoResult<()>> + 'a;

/// The functions that a removal calls.
#[derive(Clone, Copy)]
pub struct Remove<'a> {
    /// Returns whether the located device still exists. Called after the folder of the device was opened and before the
    /// first write.
    pub is_same_device: &'a dyn Fn() -> Result<bool>,
    /// Writes the file that removes a device. The write may block.
    pub write: &'a RemoveWriter<'a>,
}

/// A kernel interface of mediated devices. `parent` is a parent of this backend. `records` are read after the device,
/// because a creator writes the record before it creates the device.
pub trait Backend: Sync {
    /// Its layouts.
    fn layouts(&self) -> &'static [&'static Layout];

    /// Every parent. Reports and leaves out an object that cannot be read. Fails only if this process or host has run
    /// out of descriptors or memory, because a list without some parents would report them as removed. With `wanted`,
    /// it may end at that parent.
    fn parents(&self, sysfs: &dyn Sysfs, wanted: Option<&WantedParent<'_>>) -> Result<Vec<Place>>;

    /// The parent at a path in sysfs, or the slot of a parent there. Reads only that device. Fails if it cannot be
    /// read.
    fn parent_at(&self, folders: &Folders<'_>, syspath: &str, subsystem: &str) -> Result<Option<Target>>;

    /// The layout of an open folder; `None` if it is not a parent of this backend. Fails if a file that determines this
    /// cannot be read.
    fn layout_of(&self, dir: &dyn Dir, hint: Hint<'_>) -> IoResult<Option<&'static Layout>>;

    /// The types of an open folder; `None` if it is not a parent of this backend. Reports and leaves out a type that
    /// cannot be read. With `before`, the parent as it was read earlier, reads only files that change when devices are
    /// created and destroyed.
    fn types(&self, dir: &dyn Dir, records: &Records<'_>, before: Option<&Parent>) -> IoResult<Option<Types>>;

    /// The slots of an open parent: a monitor watches their files, a dump contains them, a device may be defined on
    /// each. There are none if the kernel sends uevents for devices. A method and not a field of [`Layout`], because the
    /// slots are read from the parent.
    fn slots(&self, parent: &dyn Dir) -> IoResult<Slots>;

    /// Every running device. Reports and leaves out a device that cannot be read. `cached_vfs` returns the VFs of a
    /// parent that was read before.
    fn devices(
        &self,
        sysfs: &dyn Sysfs,
        records: &Records<'_>,
        cached_vfs: &dyn Fn(&str) -> Option<Vec<Vf>>,
    ) -> Result<Vec<Located>>;

    /// The wanted device; `None` if there is none.
    fn locate(&self, folders: &Folders<'_>, records: &Records<'_>, wanted: &Wanted<'_>) -> Result<Option<Located>>;

    /// The state of the device of a create. Does not read its record, which may be unreadable.
    fn locate_created(&self, sysfs: &dyn Sysfs, records: &Records<'_>, attempt: &Attempt<'_>) -> IoResult<Created>;

    /// The identity of the device `entry` of `dir` now; `None` if there is no device.
    fn identity(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<u64>>;

    /// The device of a record. Returns [`RecordedDevice::Absent`] also for a record of another backend.
    fn device_of_record(&self, folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice>;

    /// The error for a record whose device was not found; `None` if the backend has no reason to add, such as the mdev
    /// bus, where nothing remains of a device.
    fn explain_missing(&self, folders: &Folders<'_>, records: &Records<'_>, record: &DeviceRecord) -> Option<Error>;

    /// Whether a located device still exists. With `records`, its UUID must also be the one that they determine.
    fn is_same(&self, device: &Located, records: Option<&Records<'_>>) -> Result<bool>;

    /// Whether a record is about the located device. Fails if this cannot be determined: the caller must then keep the
    /// record and not use it.
    fn is_about(&self, sysfs: &dyn Sysfs, layout: &Layout, device: &Located, record: &DeviceRecord) -> Result<bool>;

    /// The type of the device `entry` of `dir`; `None` if it cannot be read, because the device may be being removed.
    /// Fails only if this process or host has run out of descriptors or memory.
    fn type_of(&self, layout: &Layout, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>>;

    /// The name of the lock for creates and removals on this parent; `None` if they need no lock. `created`: the type
    /// of the device for a create, which holds the lock from [`Backend::prepare`] to the end of the commit; `None` for
    /// a removal. While a caller holds the lock, no program that uses this library creates another device in the place
    /// of its device.
    fn lock(&self, layout: &Layout, parent: &str, created: Option<&str>) -> Option<String>;

    /// Prepares a create: chooses a slot if devices have slots. Writes nothing that changes a device. Fails if the type
    /// does not support the request or no instance is left. The caller holds [`Backend::lock`].
    fn prepare<'a>(&self, parent: &OpenParent, request: &CreateRequest<'a>) -> Result<Prepared<'a>>;

    /// Removes a device. The caller holds [`Backend::lock`].
    fn remove(&self, parent: &OpenParent, device: &Located, how: &Remove<'_>) -> Result<()>;
}

/// A create that was prepared.
pub struct Prepared<'a> {
    /// The VF that will be the device. The caller writes a record with the VF before the first write. `None` if the
    /// devices of the layout are not VFs.
    pub vf: Option<ChosenVf>,
    /// The writes that create the device.
    pub writes: Box<dyn CreateWrites + 'a>,
}

/// The writes that create a device.
pub trait CreateWrites {
    /// Returns the writes that create the device, in order: the path of the file, and the text.
    fn planned(&self) -> Vec<(String, String)>;

    /// Opens the file whose write creates the device, and does the writes before that write. Fails if another program
    /// has created a device on the chosen VF since. Undoes its own writes if it fails.
    fn set_up(&mut self) -> Result<()>;

    /// Creates the device, after [`CreateWrites::set_up`]. Undoes its own writes if it fails.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// The VF that was chosen for a new device.
#[derive(Debug, Clone)]
pub struct ChosenVf {
    /// Its sysfs name: `0000:41:00.7`.
    pub sysname: String,
    /// Its name below the PF: `virtfn3`.
    pub entry: String,
    /// The identity that the device has until another program writes to the VF; `None` if it could not be set.
    pub identity: Option<u64>,
}

/// Opens the folder [`DEVICES`]; `None` if the kernel has no mdev bus now.
pub fn open_bus(sysfs: &dyn Sysfs) -> Result<Option<Rc<dyn Dir>>> {
    let opened = if_present(sysfs.open(DEVICES)).map_err(|errno| Error::io("open", DEVICES, errno))?;
    Ok(opened.map(Rc::from))
}

/// Fails if there is a group or there are parameters, and the type does not support them.
pub fn refuse_unsupported(ty: &Type, group: Option<u32>, params: Option<&str>) -> Result<()> {
    match (group, params) {
        (_, Some(_)) if !ty.has_params => Err(no_params(ty.id())),
        (Some(_), _) if !ty.requires_group => Err(no_group(ty.id())),
        _ => Ok(()),
    }
}

fn no_group(id: &str) -> Error {
    let message = format!(
        "type {id} takes no group (it has no requires_group, or that is 0); leave out the group (<group>, --group)"
    );
    Error::new(ErrorCode::GroupNotSupported, Errno::OPNOTSUPP, message)
}

fn no_params(id: &str) -> Error {
    let message = format!("type {id} takes no parameters; leave out the parameters (<params>, --params)");
    Error::new(ErrorCode::ParamsNotSupported, Errno::OPNOTSUPP, message)
}

fn no_longer_exists(uuid: &Uuid, path: &str) -> Error {
    let message = format!("device {uuid} no longer exists");
    Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(path)
}
