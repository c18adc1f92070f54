// SPDX-License-Identifier: LGPL-2.1-or-later
//! Folders that one request opens once.

use std::cell::RefCell;
use std::rc::Rc;

use super::DEVICES;
use crate::error::{Error, Result};
use crate::sysfs::{Dir, IoResult, Sysfs, if_present};

/// The open folders of one request, by path. Devices of a request share them.
pub struct Folders<'a> {
    sysfs: &'a dyn Sysfs,
    open: RefCell<Vec<Rc<dyn Dir>>>,
}

impl<'a> Folders<'a> {
    /// No folder is open yet.
    pub fn new(sysfs: &'a dyn Sysfs) -> Self {
        Folders { sysfs, open: RefCell::default() }
    }

    /// The host that its folders are of.
    pub fn sysfs(&self) -> &'a dyn Sysfs {
        self.sysfs
    }

    /// The folder at a path; `None` if it does not exist (yet).
    pub fn open(&self, path: &str) -> IoResult<Option<Rc<dyn Dir>>> {
        if let Some(known) = self.known(path) {
            return Ok(Some(known));
        }
        let opened: Option<Rc<dyn Dir>> = if_present(self.sysfs.open(path))?.map(Rc::from);
        self.open.borrow_mut().extend(opened.clone());
        Ok(opened)
    }

    /// The mdev bus; `None` if the kernel has none (yet).
    pub fn bus(&self) -> Result<Option<Rc<dyn Dir>>> {
        self.open(DEVICES).map_err(|errno| Error::io("open", DEVICES, errno))
    }

    fn known(&self, path: &str) -> Option<Rc<dyn Dir>> {
        self.open.borrow().iter().find(|dir| dir.path() == path).cloned()
    }
}
