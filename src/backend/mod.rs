// SPDX-License-Identifier: LGPL-2.1-or-later
//! The generations of the kernel interface, one file each, behind one trait. They do not know each other.
//!
//! [`places`] finds the parents, [`mdev_bus::types`] reads types, [`detect`] determines the layout of a parent.

use std::cell::Cell;

use uuid::Uuid;

use crate::error::{Error, ErrorCode, Result, describe, shown};
use crate::model::{Function, LayoutKind, Type};
use crate::sysfs::{
    Dir, Errno, IoResult, Sysfs, WRITE_ATTEMPTS, Writer, basename, if_present, is_absent, is_exhausted, read_text,
    write_line_to,
};

pub mod ap;
pub mod mdev_bus;
pub mod places;
pub mod vendor_vfio;

mod written;

use mdev_bus::types;
use vendor_vfio::vfs;

pub use vendor_vfio::remembered_type;
pub use written::write_whole;

/// The folder of types that every layout with an mdev bus has.
pub const TYPES: &str = "mdev_supported_types";

/// Where every layout with an mdev bus shows its devices.
pub const DEVICES: &str = "/sys/bus/mdev/devices";

/// Files of a device that make or remove it. They are never written as attributes: a write to them may hang while the
/// device is in use, or take away somebody else's.
pub const ORDERS: [&str; 3] = ["remove", "destroy", vfs::CURRENT];

/// What the kernel is asked to make.
#[derive(Debug, Clone, Copy)]
pub struct CreateRequest<'a> {
    /// Validated id: one path component.
    pub type_id: &'a str,
    /// The new device's UUID.
    pub uuid: Uuid,
    /// Group number, where the type requires one.
    pub group: Option<u32>,
    /// Parameter string for the vendor driver.
    pub params: Option<&'a str>,
    /// Sysfs name of the VF to use, where the layout has VFs and the caller wants this one.
    pub function: Option<&'a str>,
    /// Sysfs names of VFs that have been tried in vain.
    pub avoid: &'a [String],
    /// Take the VF that has least left to give rather than most.
    pub pack: bool,
}

/// A device that is to be removed.
#[derive(Clone, Copy)]
pub struct RemoveRequest<'a> {
    /// Its UUID.
    pub uuid: &'a Uuid,
    /// Its name below its parent.
    pub entry: &'a str,
    /// What [`Layout::mark`] said when the device was found.
    pub mark: Option<u64>,
    /// The type that it had then.
    pub type_id: Option<&'a str>,
    /// Writes the file that removes a device on the mdev bus.
    pub write: &'a RemoveWriter<'a>,
}

/// Writes one line to a file of a folder. `Ok` is the result that the driver returned; `Err`: the driver returned none.
pub type RemoveWriter<'a> = dyn Fn(&dyn Dir, &str, &str) -> Result<IoResult<()>> + 'a;

/// One generation of the interface.
pub trait Layout: Sync {
    /// Which one.
    fn kind(&self) -> LayoutKind;

    /// Does this parent speak it? Asked in the order of [`LAYOUTS`].
    fn detect(&self, parent: &dyn Marks) -> bool;

    /// Refuses what this parent's type cannot do, and writes nothing.
    fn check(&self, parent: &dyn Dir, request: &CreateRequest<'_>) -> Result<()>;

    /// The lock that a caller holds from [`Layout::prepare`] to the end of the commit, so that no other creator that uses
    /// this library gets between the steps.
    fn create_lock(&self, parent: &dyn Dir, type_id: &str) -> Option<String> {
        let _ = type_id;
        self.place_lock(parent)
    }

    /// Checks the same as [`Layout::check`], and chooses a place. Its writes change no device.
    fn prepare<'a>(&self, parent: &dyn Dir, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>>;

    /// Removes a device of this parent that no process has open. The caller holds [`Layout::place_lock`]. `is_it` returns whether
    /// the place still has the device that was found; it is called after the folder of the device has been opened and before the
    /// first write.
    fn remove(&self, parent: &dyn Dir, device: &RemoveRequest<'_>, is_it: &dyn Fn() -> Result<bool>) -> Result<()>;

    /// The lock under which no creator that uses this library gives one of this parent's places to another device. `None` if
    /// places are not used again.
    fn place_lock(&self, parent: &dyn Dir) -> Option<String> {
        let _ = parent;
        None
    }

    /// The type of the device that `dir` has under the name `entry`. Fails only when this process has run out of
    /// something: what has no type may be gone, and nobody shall be told so for want of a descriptor.
    fn type_of(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>>;

    /// The device is there, ready or not.
    fn is_there(&self, dir: &dyn Dir, entry: &str) -> bool {
        // Any other errno does not mean that the device is absent.
        !dir.meta(entry).is_err_and(is_absent)
    }

    /// What tells this device from every other that had or will have its place. `dir` is the bus, or the parent where
    /// there is no bus.
    fn mark(&self, dir: &dyn Dir, entry: &str) -> IoResult<u64> {
        dir.meta(entry).map(|meta| meta.ino)
    }

    /// A device of this layout always has an `iommu_group` when it is ready.
    fn has_iommu_group(&self) -> bool;

    /// Where the attributes of a device are: a folder in its own, or that itself.
    fn attributes(&self) -> Option<&'static str> {
        None
    }

    /// The device is a VF of its parent, which the kernel does not know by UUID.
    fn is_function(&self) -> bool {
        false
    }

    /// Why an open parent offers no types now, and the next step.
    fn without_types(&self, parent: &dyn Dir) -> String {
        let _ = parent;
        "it has no types now".to_owned()
    }

    /// Types that cannot be created at the moment are not shown, so that whoever wants to know them must remember.
    fn hides_full_types(&self) -> bool {
        false
    }

    /// What changes when the types of an open parent may have become others altogether.
    fn types_stamp(&self, parent: &dyn Dir) -> IoResult<Option<u64>> {
        let _ = parent;
        Ok(None)
    }

    /// One type of an open parent.
    fn read_type(&self, parent: &dyn Dir, id: &str) -> IoResult<Option<Type>>;

    /// The type with this very id is there.
    fn has_type(&self, parent: &dyn Dir, id: &str) -> bool {
        parent.meta(&format!("{TYPES}/{id}")).is_ok()
    }

    /// `device_api` of a type.
    fn device_api(&self, sysfs: &dyn Sysfs, parent: &str, id: &str) -> Option<String> {
        read_text(&*sysfs.open(&format!("{parent}/{TYPES}/{id}")).ok()?, "device_api").ok()
    }

    /// Whether every device shows its type. If not, the type is recorded.
    fn shows_type(&self) -> bool {
        true
    }

    /// Files of a device that say what group and parameters it was made with, where the vendor shows them.
    fn shows_creation(&self) -> bool {
        false
    }
}

/// A device that can be made now.
pub trait Prepared {
    /// The VF that will be the device, and the mark that it will have, where the layout has VFs. Nobody else uses it
    /// meanwhile.
    fn function(&self) -> Option<FunctionMark<'_>> {
        None
    }

    /// Fails if another program has taken the place since it was prepared. Nothing has been written by then, so the device in the
    /// place belongs to that program.
    fn check_free(&self) -> Result<()> {
        Ok(())
    }

    /// Everything before the first write that may make a device: opens the file for that write, and does the writes before it.
    /// Leaves nothing behind when it fails.
    fn set_up(&mut self) -> Result<()> {
        Ok(())
    }

    /// Makes the device, after [`Prepared::set_up`]. Leaves nothing behind when it fails.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// A VF that was chosen.
#[derive(Debug, Clone, Copy)]
pub struct FunctionMark<'a> {
    /// Its name below the PF: `virtfn3`.
    pub entry: &'a str,
    /// Its sysfs name: `0000:41:00.7`.
    pub sysname: &'a str,
    /// What [`Layout::mark`] will say as long as the device is ours.
    pub mark: Option<u64>,
}

/// Layouts whose create is a single write.
struct SingleWrite<'a> {
    kind: Box<dyn Dir>,
    request: CreateRequest<'a>,
    file: Option<Box<dyn Writer>>,
}

impl<'a> SingleWrite<'a> {
    fn boxed(kind: Box<dyn Dir>, request: &CreateRequest<'a>) -> Box<dyn Prepared + 'a> {
        Box::new(SingleWrite { kind, request: *request, file: None })
    }
}

impl Prepared for SingleWrite<'_> {
    fn set_up(&mut self) -> Result<()> {
        self.file = Some(open_create(&*self.kind)?);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        write_create(&*self.kind, self.file, &self.request)
    }
}

/// Every layout, in the order of detection. The layout of nearly every host comes first, since each look at the types costs
/// a listing.
static LAYOUTS: [&dyn Layout; 4] =
    [&mdev_bus::merged::Merged, &mdev_bus::general::General, &mdev_bus::rfc::Rfc, &vendor_vfio::Vendor];

/// The parent's file that removes devices. Only the layout of the founding proposal has it.
const MDEV_DESTROY: &str = "mdev_destroy";

/// What tells the layouts apart.
pub trait Marks {
    /// The parent has an entry of this name.
    fn parent_has(&self, name: &str) -> bool;
    /// At least one of its types has an entry of this name.
    fn any_type_has(&self, name: &str) -> bool;
}

/// The layout of the parent with these marks; one that merely has types is of the merged kernel.
pub fn detect(marks: &dyn Marks) -> &'static dyn Layout {
    LAYOUTS.into_iter().find(|layout| layout.detect(marks)).unwrap_or(&mdev_bus::merged::Merged)
}

/// The layout by its name.
pub fn of_kind(kind: LayoutKind) -> &'static dyn Layout {
    LAYOUTS.into_iter().find(|layout| layout.kind() == kind).unwrap_or(&mdev_bus::merged::Merged)
}

/// A parent's marks, looked up when asked for.
#[derive(Debug)]
pub struct LiveMarks<'a> {
    parent: &'a dyn Dir,
    /// A look-up failed otherwise than for want of the entry: what was not seen may be there.
    failed: Cell<Option<Errno>>,
}

impl<'a> LiveMarks<'a> {
    /// Of the parent with this folder.
    pub fn new(parent: &'a dyn Dir) -> Self {
        LiveMarks { parent, failed: Cell::new(None) }
    }

    fn has(&self, dir: &dyn Dir, name: &str) -> bool {
        match dir.meta(name) {
            Ok(_) => true,
            Err(Errno::NOENT | Errno::NOTDIR) => false,
            Err(errno) => {
                self.failed.set(Some(errno));
                false
            }
        }
    }
}

impl Marks for LiveMarks<'_> {
    fn parent_has(&self, name: &str) -> bool {
        self.has(self.parent, name)
    }

    fn any_type_has(&self, name: &str) -> bool {
        let mut found = false;
        let mut look =
            |types: &dyn Dir| types.list(&mut |id, _| found = found || self.has(types, &format!("{id}/{name}")));
        match self.parent.open(TYPES).and_then(|types| look(&*types)) {
            Err(errno) if !is_absent(errno) => self.failed.set(Some(errno)),
            _ => {}
        }
        found
    }
}

/// The layout of an open parent. Fails where a file that decides cannot be looked at.
pub fn layout_of(parent: &dyn Dir) -> IoResult<&'static dyn Layout> {
    let marks = LiveMarks::new(parent);
    let layout = detect(&marks);
    // Orders of the wrong layout would go nowhere, or worse.
    marks.failed.get().map_or(Ok(layout), Err)
}

/// The layout and the open folder of the parent at `syspath`.
pub fn open_parent(sysfs: &dyn Sysfs, syspath: &str) -> Result<(&'static dyn Layout, Box<dyn Dir>)> {
    let dir = sysfs.open(syspath).map_err(|errno| Error::io("open", syspath, errno))?;
    let layout = layout_of(&*dir).map_err(|errno| Error::io("detect the layout of", syspath, errno))?;
    Ok((layout, dir))
}

/// The types of an open parent, and the layout that they and the parent show.
pub fn read_types(parent: &dyn Dir) -> IoResult<(&'static dyn Layout, Vec<Type>, Vec<Function>)> {
    match types::read_types(parent) {
        Ok((layout, types)) => Ok((layout, types, Vec::new())),
        Err(Errno::NOENT) if if_present(parent.meta(vfs::VFS))?.is_some() => {
            let (types, functions) = vfs::read_types(parent)?;
            Ok((&vendor_vfio::Vendor, types, functions))
        }
        Err(errno) => Err(errno),
    }
}

/// Fails where [`read_types`] would for want of a folder of types.
pub fn has_types(parent: &dyn Dir) -> IoResult<()> {
    match parent.open(TYPES) {
        Err(Errno::NOENT) if if_present(parent.meta(vfs::VFS))?.is_some() => Ok(()),
        opened => opened.map(drop),
    }
}

/// Opens the folder of a type; one that does not exist is its own error.
fn open_type(parent: &dyn Dir, id: &str) -> Result<Box<dyn Dir>> {
    parent.open(&format!("{TYPES}/{id}")).map_err(|errno| {
        let path = format!("{}/{TYPES}/{id}", parent.path());
        match errno {
            Errno::NOENT if parent.meta(TYPES).is_err() => gone(parent, id),
            Errno::NOENT | Errno::NOTDIR | Errno::INVAL => {
                let message = format!("there is no type '{id}' here; list {TYPES} to see which there are");
                Error::new(ErrorCode::NoType, Errno::NODEV, message).at(path)
            }
            other => Error::io("open", &path, other),
        }
    })
}

/// Step one of every create: fail before anything is written when nothing is left.
fn check_instances(kind: &dyn Dir, id: &str, attr: &str) -> Result<()> {
    let path = format!("{}/{attr}", kind.path());
    let text = read_text(kind, attr).map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV if kind.meta("create").is_err() => gone(kind, id),
        other => Error::io("read", &path, other),
    })?;
    match types::parse_count(&text) {
        Some(0) => {
            let message = format!("type {id} has no instances left ({attr} is 0); destroy one or use another parent");
            Err(Error::new(ErrorCode::NoInstances, Errno::NOSPC, message).at(path))
        }
        Some(_) => Ok(()),
        None => {
            let message = format!("{path} holds '{}' where a number is due", shown(&text));
            Err(Error::new(ErrorCode::BadData, Errno::BADMSG, message).at(path))
        }
    }
}

/// The error for a type that no longer exists. `dir` is the folder of the type or of its parent.
fn gone(dir: &dyn Dir, id: &str) -> Error {
    let message = format!("type {id} no longer exists: its parent was removed or its driver unbound");
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(dir.path())
}

/// A group where none is wanted is refused: the kernel would take it and do nothing with it.
fn check_group(kind: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
    if request.group.is_none() {
        return Ok(());
    }
    let wanted =
        requires_group(kind).map_err(|errno| Error::io("read", &format!("{}/requires_group", kind.path()), errno))?;
    if wanted { Ok(()) } else { Err(no_group(request.type_id)) }
}

/// Whether a type of an open parent requires a group. False if the type has no folder.
pub fn type_requires_group(parent: &dyn Dir, id: &str) -> IoResult<bool> {
    let kind = if_present(parent.open(&format!("{TYPES}/{id}")))?;
    kind.map_or(Ok(false), |kind| requires_group(&*kind))
}

/// Whether the type has a file `requires_group` with a value other than 0.
fn requires_group(kind: &dyn Dir) -> IoResult<bool> {
    match read_text(kind, types::REQUIRES_GROUP) {
        Ok(text) => Ok(types::is_group_required(&text)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Refuses a group and parameters that no device of this type takes.
pub fn refuse_unsupported(kind: &Type, group: Option<u32>, params: Option<&str>) -> Result<()> {
    match (group, params) {
        (_, Some(_)) if !kind.has_params => Err(no_params(&kind.id)),
        (Some(_), _) if !kind.requires_group => Err(no_group(&kind.id)),
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

/// A type's file that makes a device.
const CREATE: &str = "create";

/// Opens the file before the write. A failed open makes no device; a failed write may have made one.
fn open_create(kind: &dyn Dir) -> Result<Box<dyn Writer>> {
    kind.writer(CREATE).map_err(|errno| write_error(kind, CREATE, errno))
}

/// The write that makes the device. The kernel's errno passes through; the common ones get their own code.
fn write_create(kind: &dyn Dir, file: Option<Box<dyn Writer>>, request: &CreateRequest<'_>) -> Result<()> {
    let text = match request.group {
        Some(group) => format!("{}:{group}", request.uuid),
        None => request.uuid.to_string(),
    };
    let written = match file {
        Some(mut file) => write_line_to(&mut *file, &text),
        None => Err(Errno::BADF),
    };
    written.map_err(|errno| {
        let plain = write_error(kind, CREATE, errno);
        match errno {
            Errno::EXIST => Error { code: ErrorCode::Exists, ..plain },
            Errno::NOSPC | Errno::USERS => {
                Error { code: ErrorCode::NoInstances, ..plain }.hint(&why_full(kind, request.type_id))
            }
            Errno::INVAL if request.group.is_none() && requires_group(kind).unwrap_or(false) => plain.hint(
                "the type requires a group: name one with <group>, or create all devices of the guest in one call, which \
                 allocates it",
            ),
            _ => plain,
        }
    })
}

/// Why a driver has no room for a device of this type.
fn why_full(kind: &dyn Dir, id: &str) -> String {
    let counts = [LayoutKind::Rfc, LayoutKind::Mdev].map(LayoutKind::instances_attr);
    let left = counts.into_iter().find_map(|attr| Some((attr, types::parse_count(&read_text(kind, attr).ok()?)?)));
    match left {
        Some((attr, left)) if left > 0 => format!(
            "{attr} of type {id} is {left}, but the driver has no room: the count is of this type alone, and devices of \
             other types use the same resources; destroy one or use another parent"
        ),
        _ => "destroy a device or use another parent".to_owned(),
    }
}

/// The error of a write to a driver's file. If the file can be opened for writing, EACCES and EPERM come from the driver, so
/// more privileges do not help.
pub fn write_error(dir: &dyn Dir, name: &str, errno: Errno) -> Error {
    let path = format!("{}/{name}", dir.path());
    match errno {
        Errno::ACCESS | Errno::PERM if dir.writer(name).is_ok() => {
            let message = format!(
                "cannot write {path}: {}; the driver refuses it, most often because a guest uses the device",
                describe(errno)
            );
            Error::new(ErrorCode::Kernel, errno, message).at(path)
        }
        Errno::TOOBIG => {
            Error::io("write", &path, errno).hint("the text is longer than the driver accepts; shorten it")
        }
        _ => Error::io("write", &path, errno),
    }
}

/// The type of a device on the mdev bus, by the link that leads to it.
fn linked_type(dir: &dyn Dir, link: &str) -> IoResult<Option<String>> {
    known(dir.link(link)).map(|target| target.map(|target| basename(&target).to_owned()))
}

/// What is not there, or cannot be read, is unknown; but not for want of descriptors or memory.
fn known<T>(result: IoResult<T>) -> IoResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(errno) if is_exhausted(errno) => Err(errno),
        Err(_) => Ok(None),
    }
}

/// Removes a device through a file in its own folder. The folder is opened before `is_it` is called: if the device is then still
/// the one that was found, it has existed all the time, and the folder belongs to it. The file is opened below that descriptor,
/// which never leads to another device. So the write reaches the device that was found, or fails.
fn remove_by_own_file(
    parent: &dyn Dir,
    name: &str,
    device: &RemoveRequest<'_>,
    is_it: &dyn Fn() -> Result<bool>,
) -> Result<()> {
    let path = format!("{}/{}", parent.path(), device.entry);
    let folder = if_present(parent.open(device.entry)).map_err(|errno| Error::io("open", &path, errno))?;
    let folder = folder.ok_or_else(|| no_longer_exists(device, &path))?;
    write_remove(&*folder, name, "1", device, is_it)
}

/// The write to the file `name` of `dir` that removes a device. A device that no longer exists is [`ErrorCode::NoNode`]; a
/// device that exists without the file that removes it is [`ErrorCode::NoAttribute`].
fn write_remove(
    dir: &dyn Dir,
    name: &str,
    value: &str,
    device: &RemoveRequest<'_>,
    is_it: &dyn Fn() -> Result<bool>,
) -> Result<()> {
    let path = format!("{}/{name}", dir.path());
    if !is_it()? {
        return Err(no_longer_exists(device, &path));
    }
    let mut written = (device.write)(dir, name, value)?;
    for _ in 1..WRITE_ATTEMPTS {
        if written != Err(Errno::INTR) {
            break;
        }
        if !is_it()? {
            // The interrupted write has removed it.
            return Ok(());
        }
        written = (device.write)(dir, name, value)?;
    }
    let Err(errno) = written else { return Ok(()) };
    Err(match errno {
        Errno::NOENT if is_it()? => {
            let uuid = device.uuid;
            let message =
                format!("device {uuid} cannot be removed: its driver provides no {path}; unbind or unload the driver");
            Error::new(ErrorCode::NoAttribute, Errno::NOENT, message).at(path)
        }
        Errno::NOENT | Errno::NODEV => no_longer_exists(device, &path),
        Errno::BUSY => Error { code: ErrorCode::InUse, ..Error::io("write", &path, errno) },
        other => write_error(dir, name, other),
    })
}

fn no_longer_exists(device: &RemoveRequest<'_>, path: &str) -> Error {
    let message = format!("device {} no longer exists", device.uuid);
    Error::new(ErrorCode::NoNode, Errno::NODEV, message).at(path)
}
