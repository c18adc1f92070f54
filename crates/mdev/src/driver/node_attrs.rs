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
    /// Reads an attribute of the device or parent now.
    pub fn attr(&self, name: &str) -> Result<String> {
        self.look(|attributes| attributes.read(name))
    }

    /// Names of the attributes that the device or parent has now and that can be read or written. The list of a device includes
    /// the files of the folders in its folder, where vendors put their files (`nvidia/vgpu_params`).
    pub fn attrs(&self) -> Result<Vec<String>> {
        let files = self.look(|attributes| attributes.list(!self.is_parent()))?;
        let usable = files.into_iter().filter(|(name, mode)| self.access(name, *mode) != AttrAccess::empty());
        let mut names: Vec<String> = usable.map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What can be done with an attribute.
    pub fn attr_access(&self, name: &str) -> Result<AttrAccess> {
        Ok(self.access(name, self.look(|attributes| attributes.mode(name))?))
    }

    /// By its mode, for every caller alike, and by what [`Node::set_attr`] refuses.
    fn access(&self, name: &str, mode: u32) -> AttrAccess {
        let mut access = AttrAccess::empty();
        access.set(AttrAccess::READ, mode & 0o444 != 0);
        access.set(AttrAccess::WRITE, mode & 0o222 != 0 && !self.is_parent() && !is_order(name));
        access
    }

    /// Writes an attribute of a device.
    pub fn set_attr(&self, name: &str, value: &str) -> Result<()> {
        if self.is_parent() {
            return Err(unsupported(self.name(), "attributes of a parent are not written; only those of its devices"));
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

    /// Resets the device, where its layout has a reset.
    pub fn reset(&self) -> Result<()> {
        self.order("reset", "1")
    }

    /// Sets the device online or offline, where its layout has that.
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

    /// Looks at the attributes of the device. A device that exists afterwards existed when its folder was opened.
    fn look<T>(&self, look: impl FnOnce(&Attributes) -> Result<T>) -> Result<T> {
        let seen = look(&self.open_attributes()?);
        self.check_identity()?;
        seen.map_err(|e| e.of(self.name()))
    }

    /// Fails if the device of this handle no longer exists, also if another device has its path now.
    fn check_identity(&self) -> Result<()> {
        match self.as_device() {
            Some(device) => identity::locate(&self.conn().host, device).map(drop).map_err(|e| e.of(self.name())),
            None => Ok(()),
        }
    }

    /// Checks the same. While the guard lives, no creator that uses this library gives the VF to another device.
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
                let message =
                    format!("the device has no file '{file}': the general layout has it, this is the {layout} layout");
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
