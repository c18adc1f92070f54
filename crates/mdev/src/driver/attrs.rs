// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files of a device that are its attributes.

use rustix::io::Errno;

use super::{Host, identity};
use crate::backend::{DeviceId, Folders, Layout, TextForm, is_control_file, write_and_verify};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::finding::{Finding, or_report};
use crate::model::name::is_attribute;
use crate::sysfs::{Dir, EntryKind, IoResult, basename, if_present, is_absent, read_text};

/// The maximum length of a value in bytes: sysfs accepts one page, minus the NUL that the kernel appends.
const VALUE_MAX: usize = 4095;

/// The maximum number of attributes in an error message.
const NAMES_MAX: usize = 24;

/// The kernel's folder for power management, which every device has. It contains no file of the vendor.
const POWER: &str = "power";

/// Refuses attributes that no device accepts. Called before a device is created or defined.
pub(super) fn check_all(attributes: &[(String, String)]) -> Result<()> {
    attributes.iter().try_for_each(|(name, value)| check(name, value))
}

pub(super) fn check(name: &str, value: &str) -> Result<()> {
    check_name(name)?;
    if is_order(name) {
        let message = format!(
            "'{}' cannot be written as an attribute: it creates and removes devices, and may block while a device is in use; create or destroy the device instead",
            shown(name)
        );
        return Err(Error::new(ErrorCode::NoAttribute, Errno::ACCESS, message));
    }
    if value.len() > VALUE_MAX || value.contains('\0') {
        let message = format!("the value of '{}' has a NUL or more than {VALUE_MAX} bytes", shown(name));
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if is_attribute(name) {
        return Ok(());
    }
    let message = format!(
        "invalid attribute name '{}': name a file of the device, or components joined by '/', none of them empty, '.' or '..'",
        shown(name)
    );
    Err(Error::invalid(message))
}

/// True if the file creates or removes devices. Such a file is refused in every folder of the device.
pub(super) fn is_order(name: &str) -> bool {
    is_control_file(basename(name))
}

/// Writes the attributes of a create request, in their order. Fails if the device is no longer the created device.
pub(super) fn apply(
    folders: &Folders<'_>,
    host: &Host,
    layout: &'static Layout,
    path: &str,
    id: &DeviceId<'_>,
    attributes: &[(String, String)],
) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let dir = Attributes::open(host, Some(layout), path)?;
    // Without the PF's lock: a caller that cannot take that lock could not remove the device either.
    identity::locate_by_id(folders, host, layout.kind, id)?;
    let write = |(name, value): &(String, String)| dir.write(name, value);
    attributes.iter().try_for_each(write).map_err(|e| e.hint("the create fails and removes its device"))
}

/// The attributes of a node: the files of one folder, and of the folders in it.
pub(super) struct Attributes {
    pub(super) dir: Box<dyn Dir>,
    /// The layout of the device; `None` for a parent. An attribute name may begin with the folder of its attributes:
    /// `nvidia/vgpu_params` is the same file as `vgpu_params`. Definitions of mdev devices use the longer form.
    layout: Option<&'static Layout>,
}

impl Attributes {
    /// Opens the folder of the node at `path`. `layout` is `None` for a parent.
    pub(super) fn open(host: &Host, layout: Option<&'static Layout>, path: &str) -> Result<Self> {
        let folder = layout.and_then(|layout| layout.attributes);
        let path = folder.map_or_else(|| path.to_owned(), |folder| format!("{path}/{folder}"));
        let dir = host.sysfs.open(&path).map_err(|errno| match errno {
            Errno::NOENT | Errno::NODEV => {
                Error::new(ErrorCode::NoNode, Errno::NODEV, "the device no longer exists").at(&path)
            }
            other => Error::io("open", &path, other),
        })?;
        Ok(Attributes { dir, layout })
    }

    /// The name relative to the folder.
    fn local<'n>(&self, name: &'n str) -> &'n str {
        self.layout.and_then(|layout| name.strip_prefix(layout.attributes?)?.strip_prefix('/')).unwrap_or(name)
    }

    /// Regular files with their modes; with `nested` also the files of the folders in the folder.
    pub(super) fn list(&self, nested: bool) -> Result<Vec<(String, u32)>> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        list_folder(&*self.dir, "", &mut files, &mut folders)
            .map_err(|errno| Error::io("list", self.dir.path(), errno))?;
        if !nested {
            return Ok(files);
        }
        for folder in folders.iter().filter(|folder| *folder != POWER) {
            let opened = self.dir.open(folder);
            let listed = opened.and_then(|dir| list_folder(&*dir, &format!("{folder}/"), &mut files, &mut Vec::new()));
            or_report(if_present(listed), |errno| {
                Finding::io(self.path_of(folder), "left out, cannot be listed", errno)
            })
            .map_err(|errno| Error::io("list", &self.path_of(folder), errno))?;
        }
        Ok(files)
    }

    pub(super) fn read(&self, name: &str) -> Result<String> {
        self.mode(name)?;
        let name = self.local(name);
        read_text(&*self.dir, name).map_err(|errno| attribute_error("read", &*self.dir, name, errno))
    }

    pub(super) fn write(&self, name: &str, value: &str) -> Result<()> {
        check(name, value)?;
        let mode = self.mode(name)?;
        let name = self.local(name);
        if mode & 0o222 == 0 {
            let message = format!("attribute '{name}' is read-only");
            return Err(Error::new(ErrorCode::NoAttribute, Errno::ACCESS, message).at(self.path_of(name)));
        }
        write_and_verify(&*self.dir, name, TextForm::of(self.layout, name), value).map_err(|e| match e.errno() {
            Errno::INVAL | Errno::RANGE => e.hint(&format!("the driver refuses the value '{}'", shown(value))),
            _ => e,
        })
    }

    /// The permission bits of a regular file. Follows no link, since a link may lead to another device.
    pub(super) fn mode(&self, name: &str) -> Result<u32> {
        check_name(name)?;
        let name = self.local(name);
        let folders = name.match_indices('/').map(|(end, _)| (&name[..end], EntryKind::Dir));
        let mut mode = 0;
        for (path, expected) in folders.chain([(name, EntryKind::File)]) {
            match self.dir.meta(path) {
                Ok(meta) if meta.kind == expected => mode = meta.mode,
                Ok(_) => {
                    let message = format!("'{name}' is not an attribute: '{path}' is a link or another kind of entry");
                    return Err(Error::new(ErrorCode::NoAttribute, Errno::INVAL, message).at(self.path_of(path)));
                }
                Err(Errno::NOENT) => {
                    let message = format!("there is no attribute '{name}' in {}; {}", self.dir.path(), self.existing());
                    return Err(Error::new(ErrorCode::NoAttribute, Errno::NOENT, message).at(self.path_of(name)));
                }
                Err(errno) => return Err(Error::io("check", &self.path_of(path), errno)),
            }
        }
        Ok(mode)
    }

    /// The attributes that exist, for an error message. Best effort.
    fn existing(&self) -> String {
        let files = self.list(true).unwrap_or_default();
        let mut names: Vec<String> = files.into_iter().map(|(name, _)| name).filter(|name| !is_order(name)).collect();
        names.sort_unstable();
        match names.len() {
            1..=NAMES_MAX => format!("it has {}", shown(&names.join(", "))),
            _ => "mdev_device_list_attrs() of a device lists those that it has".to_owned(),
        }
    }

    fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.dir.path())
    }
}

/// Adds the files of a folder under `prefix` and their modes to `files`, and the names of its own folders to `folders`.
fn list_folder(dir: &dyn Dir, prefix: &str, files: &mut Vec<(String, u32)>, folders: &mut Vec<String>) -> IoResult<()> {
    let mut names = Vec::new();
    dir.list(&mut |name, kind| match kind {
        EntryKind::File => names.push(name.to_owned()),
        EntryKind::Dir => folders.push(name.to_owned()),
        _ => {}
    })?;
    for name in names {
        match dir.meta(&name) {
            Ok(meta) => files.push((format!("{prefix}{name}"), meta.mode)),
            Err(errno) if is_absent(errno) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn attribute_error(action: &str, dir: &dyn Dir, name: &str, errno: Errno) -> Error {
    Error::io(action, &format!("{}/{name}", dir.path()), errno)
}
