// SPDX-License-Identifier: LGPL-2.1-or-later
//! The ways in which kernels make mediated devices: one folder each, behind one trait. They do not know each other.
//!
//! [`places`] finds a parent by any form of its name, [`parents`] reads it, [`devices`] locates devices. These ask every
//! backend of `registry` in turn. Nothing outside this folder asks which backend an object belongs to: what differs is a method of
//! [`Backend`] or a field of [`Layout`].

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

/// One generation of the kernel interface: what its parents and devices have.
pub struct Layout {
    /// Its name.
    pub kind: LayoutKind,
    /// The folder of a parent that has a folder for each of its types. `None`: no file stands for a type.
    pub type_folder: Option<&'static str>,
    /// Whether a folder is a parent depends on other devices of the host as well.
    pub parents_depend: bool,
    /// The records of all devices of a request are written before the first device is made. If not, the record of a device is
    /// written when its place on the parent is chosen.
    pub reserves_first: bool,
    /// The identity of a device never changes. If not, it is valid only if the record of the device has it: see [`DeviceId`].
    pub keeps_identity: bool,
    /// A device no longer exists when the write that removes it returns. If not, it disappears later.
    pub removes_at_once: bool,
    /// A device is a VF of its parent, and given to a guest as a PCI device.
    pub is_vf: bool,
    /// A device always has an `iommu_group` when it is ready.
    pub has_iommu_group: bool,
    /// Every device shows its type. If not, the type is recorded.
    pub shows_type: bool,
    /// Files of a device contain the group and the parameters that it was made with, if the vendor provides them.
    pub shows_creation: bool,
    /// The driver refuses to remove a device that a process has open. If not, the kernel blocks the writer until that
    /// process closes it.
    pub refuses_open: bool,
    /// The folder in the folder of a device that has its attributes; `None`: the folder of the device itself.
    pub attributes: Option<&'static str>,
    /// A file that only a parent of this layout has. A driver may have a parent without it.
    pub parent_file: Option<&'static str>,
    /// Files of a device, or of its parent, that make and remove devices. They are never written as attributes: a write to them
    /// may block while the device is in use, or remove the device of another program.
    pub control_files: &'static [&'static str],
    /// Files of a device that show a text as it was written. A driver may show the text of another file in a form of its own.
    pub verbatim: &'static [&'static str],
    /// `device_api` of every type. `None`: each type has a file with it.
    pub device_api: Option<&'static str>,
    /// Folders of the host that decide whether there are parents, and folders that have links to parents and VFs: a dump
    /// contains the former and those links.
    pub host_folders: &'static [&'static str],
    /// See above.
    pub link_folders: &'static [&'static str],
    /// The folder of the host with a link to every device; `None` if there is none.
    pub device_folder: Option<&'static str>,
}

impl Layout {
    /// A layout with an IOMMU group and a type for each device, whose UUID the kernel knows.
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

/// Where a parent is, before anything is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `/sys/devices/...`
    pub syspath: String,
    /// `pci`, `css`, `matrix`, `mtty`, ...
    pub subsystem: String,
}

impl Place {
    /// Last component of the path.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Node name.
    pub fn name(&self) -> String {
        node_name(&self.subsystem, self.sysname())
    }
}

/// The parent that is looked for.
pub struct WantedParent<'a> {
    /// Its sysfs name or its node name, which has the name of its subsystem before the sysfs name.
    pub name: &'a str,
    /// Whether a parent is the wanted one.
    pub is: &'a dyn Fn(&Place) -> bool,
}

/// A parent, or one slot of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The parent.
    pub place: Place,
    /// Sysfs name of the slot, where one was named.
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

/// What is known of a folder whose layout is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Hint<'a> {
    /// Nothing.
    None,
    /// The parent may have this type, which can make a look at the others needless.
    Type(&'a str),
    /// It is the parent of a device, of this type if that is known. It may have lost its types.
    ParentOf(Option<&'a str>),
}

/// The types of a parent.
#[derive(Debug)]
pub struct Types {
    /// The layout that the parent and its types have.
    pub layout: &'static Layout,
    /// In the order of their ids, with the types that are remembered.
    pub types: Vec<Type>,
    /// The VFs that can be devices: `types` reads them to count instances, and [`Parent`] shows them. Empty where no device is a VF.
    pub vfs: Vec<Vf>,
    /// The types that it shows or has shown; `None` if it never hides a type. On the mdev bus each type has a folder as long as
    /// the driver offers it; the driver of a VF lists only the types that still fit on the card.
    pub seen: Option<SeenTypes>,
    /// The parent may have types that it does not show now and that were never seen. False where a type is never hidden.
    pub is_partial: bool,
    /// Why it shows no type now, and the next step; empty if it shows one. Remembered types are not shown.
    pub why_none: String,
}

impl Types {
    /// Remembers the types that the open parent `dir` can hide later.
    fn remember(&self, dir: &dyn Dir, records: &Records<'_>) {
        if let Some(seen) = self.seen.as_ref().filter(|seen| seen.is_new) {
            records.remember_types(basename(dir.path()), seen.version, &seen.types);
        }
    }
}

/// Types that a parent may hide.
#[derive(Debug)]
pub struct SeenTypes {
    /// Another value if the parent may have other types altogether.
    pub version: u64,
    /// Ids and names.
    pub types: Vec<(String, String)>,
    /// One of them is not remembered yet.
    is_new: bool,
}

/// A fixed place on a parent that is one device at a time: a VF. The kernel sends no uevents for that device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The path of the device.
    pub syspath: String,
    /// The path of the parent.
    pub parent: String,
    /// The file whose writes make it a device and end that.
    pub file: String,
}

impl Slot {
    /// Its sysfs name.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Whether it was a device when its parent was read; `None` if it could not be read then.
    pub fn was_device(&self, parent: &Parent) -> Option<bool> {
        let vf = parent.vfs.iter().find(|vf| vf.sysname == self.sysname());
        vf.map(|vf| vf.type_id.is_some())
    }
}

/// The slots of a parent.
#[derive(Debug, Default)]
pub struct Slots {
    /// Those that can be devices, also those that cannot be read now.
    pub present: Vec<Slot>,
    /// The parent may have more of them later.
    pub may_grow: bool,
}

/// A running device that was found, before anything else is read of it.
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
    /// An open folder that has it: the mdev bus, the PF, or the folder of PCI devices.
    pub dir: Rc<dyn Dir>,
    /// Its name in that folder; a device with a UUID has the same name below its parent.
    pub entry: String,
    /// Distinguishes it from every other device that had or will have its UUID or its VF.
    pub identity: u64,
    /// Its type, if it was read on the way.
    pub type_id: Option<String>,
}

impl Located {
    /// Its sysfs name: the UUID, or the address of the VF.
    pub fn sysname(&self) -> &str {
        basename(&self.syspath)
    }

    /// Opens its parent. A parent that is being removed may have lost its types before its devices.
    pub fn open_parent(&self, sysfs: &dyn Sysfs) -> Result<OpenParent> {
        let (backend, parent) = (self.backend, self.parent.as_str());
        let dir: Rc<dyn Dir> = sysfs.open(parent).map_err(|errno| Error::io("open", parent, errno))?.into();
        let layout = self.layout(&*dir).map_err(|errno| Error::io("detect the layout of", parent, errno))?;
        Ok(OpenParent { backend, layout, dir })
    }

    /// The layout of its open parent.
    fn layout(&self, parent: &dyn Dir) -> IoResult<&'static Layout> {
        let Some(&first) = self.backend.layouts().first() else { return Err(Errno::OPNOTSUPP) };
        let shown = match &self.type_id {
            Some(_) => None,
            None => self.backend.type_of(first, &*self.dir, &self.entry)?,
        };
        Ok(self.backend.layout_of(parent, Hint::ParentOf(shown.as_deref()))?.unwrap_or(first))
    }
}

/// The identity of a running device: see [`Located`]. `identity` is `None` for a VF whose type another program set: the time
/// of a sysfs file is only the time of its inode in memory unless a program has set it; and for a device on the mdev bus that
/// no longer existed when it was read.
#[derive(Debug, Clone, Copy)]
pub struct DeviceId<'a> {
    /// Its UUID.
    pub uuid: &'a Uuid,
    /// Its sysfs name: the UUID, or the address of the VF.
    pub sysname: &'a str,
    /// Its type.
    pub type_id: &'a str,
    /// See above.
    pub identity: Option<u64>,
}

/// The device that is looked for.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// Of this UUID. If it is not found, an object that cannot be read and may be the device is an error: the function selects
    /// such objects by their paths.
    Uuid(&'a Uuid, &'a dyn Fn(&str) -> bool),
    /// Of this sysfs name, a UUID or the address of a VF.
    Name(&'a str),
    /// Of this identity; none if another device has its UUID or its VF now.
    Same(&'a DeviceId<'a>),
}

impl Wanted<'_> {
    /// The UUID that a device on a bus must have.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Wanted::Uuid(uuid, _) => Some(**uuid),
            Wanted::Name(name) => parse_uuid(name),
            Wanted::Same(id) => Some(*id.uuid),
        }
    }
}

/// What the kernel is asked to make.
#[derive(Debug, Clone, Copy)]
pub struct CreateRequest<'a> {
    /// Validated id: one path component.
    pub type_id: &'a str,
    /// The open folder of the type, if the caller has it.
    pub type_dir: Option<&'a Rc<dyn Dir>>,
    /// The new device's UUID.
    pub uuid: Uuid,
    /// Group number, where the type requires one.
    pub group: Option<u32>,
    /// Parameter string for the vendor driver.
    pub params: Option<&'a str>,
    /// Sysfs name of the VF to use, where the layout has VFs and the caller wants this one.
    pub vf: Option<&'a str>,
    /// Sysfs names of VFs that have been tried in vain.
    pub avoid: &'a [String],
    /// Take the VF that has least left to give rather than most.
    pub pack: bool,
}

/// A create that was asked for, or has ended.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The UUID of the device.
    pub uuid: Uuid,
    /// The path of its parent.
    pub parent: &'a str,
    /// The type that was asked for.
    pub type_id: &'a str,
    /// Sysfs name of the VF that was chosen.
    pub vf: Option<&'a str>,
    /// Its name below its parent: the UUID, or `virtfn3`.
    pub entry: &'a str,
    /// The identity that the device has if it is the one that was made; `None` if that is unknown.
    pub identity: Option<u64>,
    /// The driver returned success.
    pub is_accepted: bool,
}

/// Where a device that was made is now.
pub enum Created {
    /// The driver made none, or another program destroyed it.
    Absent,
    /// It is the very device that was made.
    Own(Located),
    /// Its VF has the type that was written, but not the identity: another program has written to the VF since. If the
    /// driver refused that write, it is still this device. If the other program cleared the VF first, it is that program's
    /// device. sysfs shows no difference. The text has the state and the next step.
    InDoubt(String),
}

/// Writes one line to a file of a folder. `Ok` is the result that the driver returned; `Err`: the driver returned none.
pub type RemoveWriter<'a> = dyn Fn(&dyn Dir, &str, &str) -> Result<IoResult<()>> + 'a;

/// How a device is removed.
#[derive(Clone, Copy)]
pub struct Remove<'a> {
    /// Whether the place still has the device that was found. Called after the folder of the device was opened, before the
    /// first write.
    pub is_same_device: &'a dyn Fn() -> Result<bool>,
    /// Writes the file that removes a device and may block.
    pub write: &'a RemoveWriter<'a>,
}

/// One way in which kernels make mediated devices. `parent` is a parent of this backend, `records` are read as late as
/// possible: a creator writes the record of a device before it makes the device.
pub trait Backend: Sync {
    /// Its layouts.
    fn layouts(&self) -> &'static [&'static Layout];

    /// Every parent. Reports and leaves out what cannot be read. Fails only when this process or host has run out of
    /// descriptors or memory, since a short list would look like removed parents. With `wanted`, may stop at that parent.
    fn parents(&self, sysfs: &dyn Sysfs, wanted: Option<&WantedParent<'_>>) -> Result<Vec<Place>>;

    /// The parent at a path in sysfs, or the slot of a parent there. Reads only that device. The error names the object that cannot
    /// be looked at.
    fn parent_at(&self, folders: &Folders<'_>, syspath: &str, subsystem: &str) -> Result<Option<Target>>;

    /// The layout of an open folder; `None` if it is no parent of this backend. Fails where a file that decides cannot be
    /// looked at.
    fn layout_of(&self, dir: &dyn Dir, hint: Hint<'_>) -> IoResult<Option<&'static Layout>>;

    /// The types of an open folder; `None` if it is no parent of this backend. A type that cannot be read is reported and
    /// left out. With `known`, the parent as it was read before, reads only what changes when devices are created and destroyed.
    fn types(&self, dir: &dyn Dir, records: &Records<'_>, known: Option<&Parent>) -> IoResult<Option<Types>>;

    /// The slots of an open parent: a monitor watches their files, a dump contains them, a device may be defined on each. None
    /// where the kernel sends uevents for devices. A method and not a field of [`Layout`]: the slots are read from the parent.
    fn slots(&self, parent: &dyn Dir) -> IoResult<Slots>;

    /// Every running device. Reports and leaves out what cannot be read. `known` returns the VFs of a parent that was read
    /// already.
    fn devices(
        &self,
        sysfs: &dyn Sysfs,
        records: &Records<'_>,
        known: &dyn Fn(&str) -> Option<Vec<Vf>>,
    ) -> Result<Vec<Located>>;

    /// The wanted device; `None` if there is none.
    fn locate(&self, folders: &Folders<'_>, records: &Records<'_>, wanted: &Wanted<'_>) -> Result<Option<Located>>;

    /// Where the device of a create is. Does not read its record, which may be unreadable.
    fn locate_created(&self, sysfs: &dyn Sysfs, records: &Records<'_>, attempt: &Attempt<'_>) -> IoResult<Created>;

    /// The identity of the device `entry` of `dir` now; `None` if there is none.
    fn identity(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<u64>>;

    /// The device of a record. [`RecordedDevice::Absent`] also for a record that is of no device of this backend.
    fn device_of_record(&self, folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice>;

    /// The error for a record whose device was not found; `None` if its place shows no more than that, as the mdev bus,
    /// which has no place for a device that does not exist.
    fn explain_missing(&self, folders: &Folders<'_>, records: &Records<'_>, record: &DeviceRecord) -> Option<Error>;

    /// Whether the place of a located device still has that device. With `records`, these must say so as well.
    fn is_same(&self, device: &Located, records: Option<&Records<'_>>) -> Result<bool>;

    /// Whether a record is about the located device. Fails if that cannot be determined; the caller must then keep the
    /// record and not use it.
    fn is_about(&self, sysfs: &dyn Sysfs, layout: &Layout, device: &Located, record: &DeviceRecord) -> Result<bool>;

    /// The type of the device `entry` of `dir`. Fails only when this process or host has run out of descriptors or memory:
    /// a device without a type may be one that is being removed.
    fn type_of(&self, layout: &Layout, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>>;

    /// The lock under which no creator that uses this library gives the place of a device of this parent to another device;
    /// for a create of a device of `created` type, held from [`Backend::prepare`] to the end of the commit. `None` if no lock is
    /// needed.
    fn lock(&self, layout: &Layout, parent: &str, created: Option<&str>) -> Option<String>;

    /// Refuses what a type of this parent cannot do, and chooses a place. Its writes change no device. The caller holds
    /// [`Backend::lock`].
    fn prepare<'a>(&self, parent: &OpenParent, request: &CreateRequest<'a>) -> Result<Prepared<'a>>;

    /// Removes a device. The caller holds [`Backend::lock`].
    fn remove(&self, parent: &OpenParent, device: &Located, how: &Remove<'_>) -> Result<()>;
}

/// A device that can be made now.
pub struct Prepared<'a> {
    /// The VF that will be the device, where devices are VFs: its record has the VF and is written before the first write.
    /// `None` on the mdev bus, where the UUID identifies the device. No creator that uses this library takes the VF at the same time.
    pub vf: Option<ChosenVf>,
    /// The writes that make the device.
    pub writes: Box<dyn CreateWrites + 'a>,
}

/// The writes that make a device.
pub trait CreateWrites {
    /// Everything before the first write that may make the device: opens the file for that write, and does the writes before
    /// it. Fails if another program has taken the place since it was chosen; the device in the place is that program's. Leaves
    /// nothing behind when it fails.
    fn set_up(&mut self) -> Result<()>;

    /// Makes the device, after [`CreateWrites::set_up`]. Leaves nothing behind when it fails.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// A VF that was chosen.
#[derive(Debug, Clone)]
pub struct ChosenVf {
    /// Its sysfs name: `0000:41:00.7`.
    pub sysname: String,
    /// Its name below the PF: `virtfn3`.
    pub entry: String,
    /// The identity of the device as long as no other program writes to the VF; `None` if it could not be set.
    pub identity: Option<u64>,
}

/// The open folder [`DEVICES`]; `None` if the kernel has no mdev bus (yet).
pub fn open_bus(sysfs: &dyn Sysfs) -> Result<Option<Rc<dyn Dir>>> {
    let opened = if_present(sysfs.open(DEVICES)).map_err(|errno| Error::io("open", DEVICES, errno))?;
    Ok(opened.map(Rc::from))
}

/// Refuses a group and parameters that no device of this type takes.
pub fn refuse_unsupported(ty: &Type, group: Option<u32>, params: Option<&str>) -> Result<()> {
    match (group, params) {
        (_, Some(_)) if !ty.has_params => Err(no_params(ty.id())),
        (Some(_), _) if !ty.requires_group => Err(no_group(ty.id())),
        _ => Ok(()),
    }
}

fn no_group(id: &str) -> Error {
    let message = format!("type {id} takes no group (no requires_group, or it is 0); leave <group> out");
    Error::new(ErrorCode::GroupNotSupported, Errno::OPNOTSUPP, message)
}

fn no_params(id: &str) -> Error {
    let message = format!("type {id} takes no parameters; leave <params> out");
    Error::new(ErrorCode::ParamsNotSupported, Errno::OPNOTSUPP, message)
}

fn no_longer_exists(uuid: &Uuid, path: &str) -> Error {
    let message = format!("device {uuid} no longer exists");
    Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(path)
}
