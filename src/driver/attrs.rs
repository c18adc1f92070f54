// SPDX-License-Identifier: LGPL-2.1-or-later
//! Attributes of devices, reset, online and offline.

use rustix::io::Errno;

use super::tenant::Tenant;
use super::{AttrAccess, Host, Node};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::layout::{self, ORDERS};
use crate::model::name::is_component;
use crate::sysfs::{Dir, EntryKind, Guard, read_text, write_line};

/// A sysfs attribute takes one page.
const VALUE_MAX: usize = 4095;

impl Node {
    /// Reads an attribute of the device or parent now.
    pub fn attr(&self, name: &str) -> Result<String> {
        let _request = self.conn().request();
        let dir = self.open_attributes()?;
        regular(&*dir, name).map_err(|e| e.of(self.name()))?;
        let text =
            read_text(&*dir, name).map_err(|errno| attribute_error("read", &*dir, name, errno).of(self.name()))?;
        // What is still there was there when its file was read.
        self.check_tenant()?;
        Ok(text)
    }

    /// The attributes that the device or parent has now and that can be read or written, by name.
    pub fn attrs(&self) -> Result<Vec<String>> {
        let _request = self.conn().request();
        let dir = self.open_attributes()?;
        let mut names = Vec::new();
        let listed = dir.list(&mut |name, kind| {
            let usable = |mode| self.access(name, mode) != AttrAccess::empty();
            if kind == EntryKind::File && dir.meta(name).is_ok_and(|meta| usable(meta.mode)) {
                names.push(name.to_owned());
            }
        });
        listed.map_err(|errno| Error::io("list", dir.path(), errno).of(self.name()))?;
        self.check_tenant()?;
        names.sort_unstable();
        Ok(names)
    }

    /// What can be done with an attribute.
    pub fn attr_access(&self, name: &str) -> Result<AttrAccess> {
        let _request = self.conn().request();
        let dir = self.open_attributes()?;
        let access = regular(&*dir, name).map(|mode| self.access(name, mode)).map_err(|e| e.of(self.name()))?;
        self.check_tenant()?;
        Ok(access)
    }

    /// By its mode, whoever asks, and by what [`Node::set_attr`] refuses.
    fn access(&self, name: &str, mode: u32) -> AttrAccess {
        let mut access = AttrAccess::empty();
        access.set(AttrAccess::READ, mode & 0o444 != 0);
        access.set(AttrAccess::WRITE, mode & 0o222 != 0 && !self.is_parent() && !ORDERS.contains(&name));
        access
    }

    /// Writes an attribute of a device.
    pub fn set_attr(&self, name: &str, value: &str) -> Result<()> {
        let _request = self.conn().request();
        if self.is_parent() {
            return Err(unsupported(self.name(), "attributes of a parent are not written; only those of its devices"));
        }
        let dir = self.open_attributes()?;
        let _kept = self.keep_tenant()?;
        write(&*dir, name, value).map_err(|e| e.of(self.name()))
    }

    /// Resets the device, where its layout has a reset.
    pub fn reset(&self) -> Result<()> {
        self.order("reset", "1")
    }

    /// Sets the device online or offline, where its layout has that.
    pub fn set_online(&self, online: bool) -> Result<()> {
        self.order("online", if online { "1" } else { "0" })
    }

    /// The folder with the attributes.
    fn open_attributes(&self) -> Result<Box<dyn Dir>> {
        if self.syspath().is_empty() {
            return Err(self.not_running());
        }
        let path = match self.as_device().and_then(|device| layout::of_kind(device.layout).attributes()) {
            Some(folder) => format!("{}/{folder}", self.syspath()),
            None => self.syspath().to_owned(),
        };
        open(&self.conn().host, &path).map_err(|e| e.of(self.name()))
    }

    /// Fails when another device has the place of this one.
    fn check_tenant(&self) -> Result<()> {
        match self.as_device().and_then(Tenant::of) {
            Some(tenant) => tenant.check(&self.conn().host).map_err(|e| e.of(self.name())),
            None => Ok(()),
        }
    }

    /// The same; and none comes to have it while what is given back lives.
    fn keep_tenant(&self) -> Result<Option<Box<dyn Guard>>> {
        match self.as_device().and_then(Tenant::of) {
            Some(tenant) => tenant.keep(&self.conn().host).map_err(|e| e.of(self.name())),
            None => Ok(None),
        }
    }

    fn order(&self, file: &str, value: &str) -> Result<()> {
        let _request = self.conn().request();
        if self.is_parent() {
            return Err(unsupported(self.name(), &format!("a parent has no '{file}'; its devices may")));
        }
        let dir = self.open_attributes()?;
        match dir.meta(file) {
            Ok(meta) if meta.kind == EntryKind::File => {}
            Ok(_) | Err(Errno::NOENT) => {
                let message = format!("devices of the {} layout have no '{file}' here", self.layout());
                return Err(unsupported(self.name(), &message));
            }
            Err(errno) => return Err(Error::io("look at", &format!("{}/{file}", dir.path()), errno).of(self.name())),
        }
        let _kept = self.keep_tenant()?;
        write_line(&*dir, file, value).map_err(|errno| attribute_error("write", &*dir, file, errno).of(self.name()))
    }
}

/// Writes the attributes of a create request in their order, as long as the device is the one that was made.
pub(super) fn apply(
    host: &Host,
    device: &str,
    tenant: Option<&Tenant<'_>>,
    attributes: &[(String, String)],
) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let dir = open(host, device)?;
    // Without the PF's lock: who could not have it would not be able to take the device back either.
    tenant.map(|tenant| tenant.check(host)).transpose()?;
    attributes.iter().try_for_each(|(name, value)| write(&*dir, name, value))
}

fn open(host: &Host, path: &str) -> Result<Box<dyn Dir>> {
    host.sysfs.open(path).map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV => {
            Error::new(ErrorCode::NoNode, Errno::NODEV, "the device has gone meanwhile").at(path)
        }
        other => Error::io("open", path, other),
    })
}

fn write(dir: &dyn Dir, name: &str, value: &str) -> Result<()> {
    if ORDERS.contains(&name) {
        let message = format!(
            "'{name}' is not written as an attribute, since it makes and removes devices and may hang while one is in use; create or destroy the device instead"
        );
        return Err(Error::new(ErrorCode::NoAttribute, Errno::ACCESS, message));
    }
    if value.len() > VALUE_MAX || value.contains('\0') {
        return Err(Error::invalid(format!("the value of '{}' has a NUL or more than {VALUE_MAX} bytes", shown(name))));
    }
    let mode = regular(dir, name)?;
    if mode & 0o222 == 0 {
        let message = format!("attribute '{name}' is read-only");
        return Err(Error::new(ErrorCode::NoAttribute, Errno::ACCESS, message).at(format!("{}/{name}", dir.path())));
    }
    write_line(dir, name, value).map_err(|errno| attribute_error("write", dir, name, errno))
}

/// The permission bits of a regular file of this very folder.
fn regular(dir: &dyn Dir, name: &str) -> Result<u32> {
    if !is_component(name) {
        return Err(Error::invalid(format!("'{}' is not the name of an attribute", shown(name))));
    }
    let path = || format!("{}/{name}", dir.path());
    match dir.meta(name) {
        Ok(meta) if meta.kind == EntryKind::File => Ok(meta.mode),
        Ok(_) => {
            Err(Error::new(ErrorCode::NoAttribute, Errno::INVAL, format!("'{name}' is not an attribute")).at(path()))
        }
        Err(Errno::NOENT) => {
            let message = format!("there is no attribute '{name}' in {}", dir.path());
            Err(Error::new(ErrorCode::NoAttribute, Errno::NOENT, message).at(path()))
        }
        Err(errno) => Err(Error::io("look at", &path(), errno)),
    }
}

fn attribute_error(action: &str, dir: &dyn Dir, name: &str, errno: Errno) -> Error {
    Error::io(action, &format!("{}/{name}", dir.path()), errno)
}

fn unsupported(name: &str, message: &str) -> Error {
    Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).of(name)
}
