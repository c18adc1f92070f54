// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates a device on the mdev bus: the steps that its layouts share.

use std::rc::Rc;

use super::strategy::Strategy;
use crate::backend::group::requires_group;
use crate::backend::{CreateRequest, CreateWrites, Prepared, TYPES, no_group, write_error};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::model::parse_count;
use crate::sysfs::{Dir, Errno, Writer, read_text, write_line_to};

/// The writes of a layout that creates a device with one write.
pub(super) struct SingleWrite<'a> {
    strategy: &'static Strategy,
    type_dir: Rc<dyn Dir>,
    request: CreateRequest<'a>,
    file: Option<Box<dyn Writer>>,
}

impl<'a> SingleWrite<'a> {
    pub(super) fn prepared(
        strategy: &'static Strategy,
        type_dir: Rc<dyn Dir>,
        request: &CreateRequest<'a>,
    ) -> Prepared<'a> {
        Prepared { vf: None, writes: Box::new(SingleWrite { strategy, type_dir, request: *request, file: None }) }
    }
}

impl CreateWrites for SingleWrite<'_> {
    fn planned(&self) -> Vec<(String, String)> {
        vec![(format!("{}/{CREATE}", self.type_dir.path()), create_text(&self.request))]
    }

    fn set_up(&mut self) -> Result<()> {
        self.file = Some(open_create(&*self.type_dir)?);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        write_create(self.strategy, &*self.type_dir, self.file, &self.request)
    }
}

/// Opens the folder of the type. Fails with [`ErrorCode::NoType`] if the parent does not have the type.
pub(super) fn open_type_dir(parent: &dyn Dir, request: &CreateRequest<'_>) -> Result<Rc<dyn Dir>> {
    if let Some(open) = request.type_dir {
        return Ok(Rc::clone(open));
    }
    let id = request.type_id;
    let opened = parent.open(&format!("{TYPES}/{id}"));
    opened.map(Rc::from).map_err(|errno| {
        let path = format!("{}/{TYPES}/{id}", parent.path());
        match errno {
            Errno::NOENT if parent.meta(TYPES).is_err() => type_no_longer_exists(parent, id),
            Errno::NOENT | Errno::NOTDIR | Errno::INVAL => {
                let message = format!("type '{id}' does not exist; list {TYPES} for the types of this parent");
                Error::new(ErrorCode::NoType, Errno::NODEV, message).at(path)
            }
            other => Error::io("open", &path, other),
        }
    })
}

/// Fails if the type has no instances left. The first step of every create: nothing is written before it.
pub(super) fn check_instances(strategy: &Strategy, type_dir: &dyn Dir, id: &str) -> Result<()> {
    let attr = strategy.instances;
    let path = format!("{}/{attr}", type_dir.path());
    let text = read_text(type_dir, attr).map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV if type_dir.meta("create").is_err() => type_no_longer_exists(type_dir, id),
        other => Error::io("read", &path, other),
    })?;
    match parse_count(&text) {
        Some(0) => {
            let message = format!("type {id} has no instances left ({attr} is 0); destroy one or use another parent");
            Err(Error::new(ErrorCode::NoInstances, Errno::NOSPC, message).at(path))
        }
        Some(_) => Ok(()),
        None => {
            let message = format!("expected a number in {path}, got '{}'", shown(&text));
            Err(Error::new(ErrorCode::BadData, Errno::BADMSG, message).at(path))
        }
    }
}

/// The error for a type that no longer exists. `dir` is the folder of the type or of its parent.
pub(super) fn type_no_longer_exists(dir: &dyn Dir, id: &str) -> Error {
    let message = format!("type {id} no longer exists: its parent was removed or its driver unbound");
    Error::new(ErrorCode::NoParent, Errno::NODEV, message).at(dir.path())
}

/// Fails if the request has a group and the type requires none: the kernel would accept the group and ignore it.
pub(super) fn check_group(type_dir: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
    if request.group.is_none() {
        return Ok(());
    }
    let is_required = requires_group(type_dir)
        .map_err(|errno| Error::io("read", &format!("{}/requires_group", type_dir.path()), errno))?;
    if is_required { Ok(()) } else { Err(no_group(request.type_id)) }
}

/// The file of a type that creates a device.
pub(super) const CREATE: &str = "create";

/// Opens [`CREATE`]. A failed open creates no device; a failed write may have created one.
pub(super) fn open_create(type_dir: &dyn Dir) -> Result<Box<dyn Writer>> {
    type_dir.writer(CREATE).map_err(|errno| write_error(type_dir, CREATE, errno))
}

/// Returns the text that is written to [`CREATE`].
pub(super) fn create_text(request: &CreateRequest<'_>) -> String {
    match request.group {
        Some(group) => format!("{}:{group}", request.uuid),
        None => request.uuid.to_string(),
    }
}

/// Writes [`CREATE`]. The error has the kernel's errno; for the common ones it has a code of its own.
pub(super) fn write_create(
    strategy: &Strategy,
    type_dir: &dyn Dir,
    file: Option<Box<dyn Writer>>,
    request: &CreateRequest<'_>,
) -> Result<()> {
    let text = create_text(request);
    let written = match file {
        Some(mut file) => write_line_to(&mut *file, &text),
        None => Err(Errno::BADF),
    };
    written.map_err(|errno| {
        let error = write_error(type_dir, CREATE, errno);
        match errno {
            Errno::EXIST => Error { code: ErrorCode::Exists, ..error },
            Errno::NOSPC | Errno::USERS => {
                Error { code: ErrorCode::NoInstances, ..error }.hint(&why_full(strategy, type_dir, request.type_id))
            }
            Errno::INVAL if request.group.is_none() && requires_group(type_dir).unwrap_or(false) => error.hint(
                "the type requires a group: name one with <group>, or create all devices of the guest in one call, which \
                 allocates it",
            ),
            _ => error,
        }
    })
}

/// Why a driver cannot create a device of this type, and the next step.
fn why_full(strategy: &Strategy, type_dir: &dyn Dir, id: &str) -> String {
    let attr = strategy.instances;
    match read_text(type_dir, attr).ok().and_then(|text| parse_count(&text)) {
        Some(left) if left > 0 => format!(
            "{attr} of type {id} is {left}, but the driver has no resources left: {attr} does not count devices of \
             other types, which use the same resources; destroy one or use another parent"
        ),
        _ => "destroy a device or use another parent".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::mdev_bus::{general, rfc};
    use crate::sim::{SimEntry, SimHost};
    use crate::sysfs::Sysfs;

    /// A driver may also have the file in which another layout has the count.
    #[test]
    fn full_type_names_the_count_of_its_layout() {
        let file = |name: &str, text: &str| SimEntry::File {
            path: format!("/sys/devices/p/{TYPES}/t/{name}"),
            mode: 0o444,
            content: Ok(text.into()),
        };
        let host = SimHost::new([file("available_instances", "3\n"), file("max_instances", "5\n")]).unwrap();
        let type_dir = host.open(&format!("/sys/devices/p/{TYPES}/t")).unwrap();
        let why = |strategy| why_full(strategy, &*type_dir, "t");
        assert!(why(&general::STRATEGY).starts_with("available_instances of type t is 3,"));
        assert!(why(&rfc::STRATEGY).starts_with("max_instances of type t is 5,"));
    }
}
