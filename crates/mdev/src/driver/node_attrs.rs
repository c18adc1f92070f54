// SPDX-License-Identifier: LGPL-2.1-or-later
//! Attributes of a node, reset, online and offline.

use rustix::io::Errno;

use super::attrs::{Attributes, check, is_order};
use super::{AttrAccess, Node, destroy, identity};
use crate::backend::{layout, write_error};
use crate::error::{Error, ErrorCode, Result};
use crate::store::HostLock;
use crate::sysfs::{EntryKind, basename, dirname, write_line};

impl Node {
    /// Reads an attribute of the device or parent now. Fails with ENOENT if there is no such attribute, and with ENODEV if the device no
    /// longer exists.
    pub fn attr(&self, name: &str) -> Result<String> {
        self.read_attributes(|attributes| attributes.read(name))
    }

    /// Returns the names of the attributes that the device or parent has now and that can be read or written. For a device, also the
    /// files of the folders in its folder, where vendors put their files (`nvidia/vgpu_params`).
    pub fn attrs(&self) -> Result<Vec<String>> {
        let files = self.read_attributes(|attributes| attributes.list(!self.is_parent()))?;
        let usable = files.into_iter().filter(|(name, mode)| self.access(name, *mode) != AttrAccess::empty());
        let mut names: Vec<String> = usable.map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Returns whether an attribute can be read and written. Fails with ENOENT if there is no such attribute.
    pub fn attr_access(&self, name: &str) -> Result<AttrAccess> {
        Ok(self.access(name, self.read_attributes(|attributes| attributes.mode(name))?))
    }

    /// Returns the access by the mode of the file, the same for every user, without the writes that [`Node::set_attr`] refuses.
    fn access(&self, name: &str, mode: u32) -> AttrAccess {
        let mut access = AttrAccess::empty();
        access.set(AttrAccess::READ, mode & 0o444 != 0);
        access.set(AttrAccess::WRITE, mode & 0o222 != 0 && !self.is_parent() && !is_order(name));
        access
    }

    /// Writes an attribute of a device. Fails for a parent, for a file that creates or removes devices, and if the driver refuses.
    pub fn set_attr(&self, name: &str, value: &str) -> Result<()> {
        if self.is_parent() {
            return Err(unsupported(
                self.name(),
                "attributes of a parent cannot be written, only those of its devices",
            ));
        }
        check(name, value).map_err(|e| e.of(self.name()))?;
        let attributes = self.open_attributes()?;
        let held = self.hold_identity()?;
        let written = attributes.write(name, value);
        // The explanation may search all processes, which must not delay the users of the lock.
        drop(held);
        written.map_err(|e| self.explain_refusal(e).of(self.name()))
    }

    fn explain_refusal(&self, refused: Error) -> Error {
        let Some(device) = self.as_device() else { return refused };
        let (host, path) = (&self.conn().host, &device.syspath);
        match host.sysfs.open(dirname(path)) {
            Ok(dir) => destroy::explain_refusal(host, &*dir, basename(path), &device.uuid, refused),
            Err(_) => refused,
        }
    }

    /// Resets the device. Fails with EOPNOTSUPP if its layout has no reset.
    pub fn reset(&self) -> Result<()> {
        self.order("reset", "1")
    }

    /// Sets the device online or offline. Fails with EOPNOTSUPP if its layout does not support it.
    pub fn set_online(&self, online: bool) -> Result<()> {
        self.order("online", if online { "1" } else { "0" })
    }

    fn open_attributes(&self) -> Result<Attributes> {
        if self.syspath().is_empty() {
            return Err(self.not_running());
        }
        let layout = self.as_device().map(|device| layout(device.layout));
        Attributes::open(&self.conn().host, layout, self.syspath()).map_err(|e| e.of(self.name()))
    }

    /// Calls `read` with the attributes, and then checks that the device still exists: its folder was then the folder of this device.
    fn read_attributes<T>(&self, read: impl FnOnce(&Attributes) -> Result<T>) -> Result<T> {
        let value = read(&self.open_attributes()?);
        self.check_identity()?;
        value.map_err(|e| e.of(self.name()))
    }

    /// Fails if the device of this handle no longer exists, also if another device has its path now.
    fn check_identity(&self) -> Result<()> {
        match self.as_device() {
            Some(device) => identity::locate(&self.conn().host, device).map(drop).map_err(|e| e.of(self.name())),
            None => Ok(()),
        }
    }

    /// Checks as [`Node::check_identity`] does, and locks the VF: until the guard is dropped, no creator that uses this library creates
    /// another device on it.
    fn hold_identity(&self) -> Result<Option<HostLock<'_>>> {
        match self.as_device() {
            Some(device) => identity::lock_device(&self.conn().host, device).map_err(|e| e.of(self.name())),
            None => Ok(None),
        }
    }

    fn order(&self, file: &str, value: &str) -> Result<()> {
        if self.is_parent() {
            return Err(unsupported(self.name(), &format!("a parent has no '{file}'; its devices may")));
        }
        let dir = self.open_attributes()?.dir;
        let missing = match dir.meta(file) {
            Ok(meta) if meta.kind == EntryKind::File => None,
            Ok(_) | Err(Errno::NOENT) => {
                let layout = self.layout();
                let message = format!(
                    "the device has no file '{file}': only devices of the general layout have it, and this device has the {layout} layout"
                );
                Some(unsupported(self.name(), &message))
            }
            Err(errno) => Some(Error::io("check", &format!("{}/{file}", dir.path()), errno).of(self.name())),
        };
        if let Some(e) = missing {
            // A device that no longer exists has no file either.
            self.check_identity()?;
            return Err(e);
        }
        let held = self.hold_identity()?;
        let written = write_line(&*dir, file, value);
        drop(held);
        written.map_err(|errno| self.explain_refusal(write_error(&*dir, file, errno)).of(self.name()))
    }
}

fn unsupported(name: &str, message: &str) -> Error {
    Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).of(name)
}
