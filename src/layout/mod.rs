// SPDX-License-Identifier: LGPL-2.1-or-later
//! The generations of the kernel interface, one file each, behind one trait. They do not know each other.
//!
//! [`bus`] finds the parents, [`types`] reads what is alike in every generation, [`detect`] tells which one a parent speaks.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{Error, ErrorCode, Result, shown};
use crate::model::LayoutKind;
use crate::sysfs::{Dir, Errno, Guard, Sysfs, read_text};

pub mod bus;
pub mod types;

mod general;
mod merged;
mod rfc;

/// The folder of types that every layout with an mdev bus has.
pub const TYPES: &str = "mdev_supported_types";

/// Where every layout with an mdev bus shows its devices.
pub const DEVICES: &str = "/sys/bus/mdev/devices";

/// How long another process may keep a type to itself before we give up.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

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
}

/// One generation of the interface.
pub trait Layout: Sync {
    /// Which one.
    fn kind(&self) -> LayoutKind;

    /// Does this parent speak it? Asked in the order of [`LAYOUTS`].
    fn detect(&self, parent: &dyn Marks) -> bool;

    /// Refuses what this parent's type cannot do, and writes nothing.
    fn check(&self, parent: &dyn Dir, request: &CreateRequest<'_>) -> Result<()>;

    /// Checks the same, and keeps it so: from here until the result is committed or dropped no other libmdev creates
    /// where it would get in the way. Writes nothing.
    fn prepare<'a>(&self, parent: &dyn Dir, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>>;

    /// Removes a device of this parent. Whoever calls this has made sure that nobody holds it open.
    fn remove(&self, parent: &dyn Dir, uuid: &Uuid) -> Result<()>;

    /// Name of the device's link to its type.
    fn type_link(&self) -> &'static str;

    /// A device of this layout always has an `iommu_group` when it is ready.
    fn has_iommu_group(&self) -> bool;

    /// Files of a device that say what group and parameters it was made with, where the vendor shows them.
    fn shows_creation(&self) -> bool {
        false
    }
}

/// A device that can be made now.
pub trait Prepared {
    /// Makes it: the writes that the kernel must see, and nothing else.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// Layouts whose create is a single write.
struct SingleWrite<'a> {
    kind: Box<dyn Dir>,
    request: CreateRequest<'a>,
}

impl Prepared for SingleWrite<'_> {
    fn commit(self: Box<Self>) -> Result<()> {
        write_create(&*self.kind, &self.request)
    }
}

/// Every layout, the most particular first.
static LAYOUTS: [&dyn Layout; 3] = [&rfc::Rfc, &general::General, &merged::Merged];

/// What tells the layouts apart.
pub trait Marks {
    /// The parent has an entry of this name.
    fn parent_has(&self, name: &str) -> bool;
    /// At least one of its types has an entry of this name.
    fn any_type_has(&self, name: &str) -> bool;
}

/// The layout of the parent with these marks; one that merely has types is of the merged kernel.
pub fn detect(marks: &dyn Marks) -> &'static dyn Layout {
    LAYOUTS.into_iter().find(|layout| layout.detect(marks)).unwrap_or(&merged::Merged)
}

/// The layout by its name.
pub fn of_kind(kind: LayoutKind) -> &'static dyn Layout {
    LAYOUTS.into_iter().find(|layout| layout.kind() == kind).unwrap_or(&merged::Merged)
}

/// A parent's marks, looked up when asked for.
#[derive(Debug)]
pub struct LiveMarks<'a> {
    /// The parent's folder.
    pub parent: &'a dyn Dir,
}

impl Marks for LiveMarks<'_> {
    fn parent_has(&self, name: &str) -> bool {
        self.parent.meta(name).is_ok()
    }

    fn any_type_has(&self, name: &str) -> bool {
        let Ok(types) = self.parent.open(TYPES) else { return false };
        let mut found = false;
        // A failing list has no types, which is what it then answers.
        let _ = types.list(&mut |id, _| found = found || types.meta(&format!("{id}/{name}")).is_ok());
        found
    }
}

/// The layout and the open folder of the parent at `syspath`.
pub fn open_parent(sysfs: &dyn Sysfs, syspath: &str) -> Result<(&'static dyn Layout, Box<dyn Dir>)> {
    let dir = sysfs.open(syspath).map_err(|errno| Error::io("open", syspath, errno))?;
    let layout = detect(&LiveMarks { parent: &*dir });
    Ok((layout, dir))
}

/// Opens the folder of a type; one that does not exist is its own error.
fn open_type(parent: &dyn Dir, id: &str) -> Result<Box<dyn Dir>> {
    parent.open(&format!("{TYPES}/{id}")).map_err(|errno| {
        let path = format!("{}/{TYPES}/{id}", parent.path());
        match errno {
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

fn gone(kind: &dyn Dir, id: &str) -> Error {
    let message = format!("type {id} has gone meanwhile; its parent's driver was unbound or unloaded");
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(kind.path())
}

/// A group where none is wanted is refused: the kernel would take it and do nothing with it.
fn check_group(kind: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
    if request.group.is_none() {
        return Ok(());
    }
    let wanted = match read_text(kind, "requires_group") {
        Ok(text) => text.trim() != "0",
        Err(Errno::NOENT) => false,
        Err(errno) => return Err(Error::io("read", &format!("{}/requires_group", kind.path()), errno)),
    };
    if wanted { Ok(()) } else { Err(no_group(request.type_id)) }
}

fn no_group(id: &str) -> Error {
    let message = format!("type {id} takes no group (no requires_group, or it is 0); leave <group> out");
    Error::new(ErrorCode::GroupNotSupported, Errno::OPNOTSUPP, message)
}

fn no_params(id: &str) -> Error {
    let message = format!("type {id} takes no parameters; leave <params> out");
    Error::new(ErrorCode::ParamsNotSupported, Errno::OPNOTSUPP, message)
}

/// The write that makes the device. The kernel's errno passes through; the common ones get their own code.
fn write_create(kind: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
    let text = match request.group {
        Some(group) => format!("{}:{group}", request.uuid),
        None => request.uuid.to_string(),
    };
    kind.write("create", text.as_bytes()).map_err(|errno| {
        let path = format!("{}/create", kind.path());
        let code = match errno {
            Errno::EXIST => ErrorCode::Exists,
            Errno::NOSPC | Errno::USERS => ErrorCode::NoInstances,
            _ => return Error::io("write", &path, errno),
        };
        let plain = Error::io("write", &path, errno);
        Error { code, ..plain }
    })
}

/// Keeps every other creator of this type away, in every process of the host.
fn lock_type(kind: &dyn Dir, id: &str) -> Result<Box<dyn Guard>> {
    kind.lock(Instant::now() + LOCK_PATIENCE).map_err(|errno| match errno {
        Errno::TIMEDOUT => {
            let message = format!(
                "another process has kept {} locked for {} s; see who with lslocks(8)",
                kind.path(),
                LOCK_PATIENCE.as_secs()
            );
            Error::new(ErrorCode::Timeout, errno, message).at(kind.path())
        }
        Errno::NOENT | Errno::NODEV => gone(kind, id),
        other => Error::io("lock", kind.path(), other),
    })
}

/// The write that removes a device. A device that is gone already is [`ErrorCode::NoNode`].
fn write_remove(dir: &dyn Dir, name: &str, value: &[u8], uuid: &Uuid) -> Result<()> {
    dir.write(name, value).map_err(|errno| {
        let path = format!("{}/{name}", dir.path());
        match errno {
            Errno::NOENT | Errno::NODEV => {
                Error::new(ErrorCode::NoNode, Errno::NODEV, format!("device {uuid} has gone meanwhile")).at(path)
            }
            Errno::BUSY => Error { code: ErrorCode::InUse, ..Error::io("write", &path, errno) },
            other => Error::io("write", &path, other),
        }
    })
}
