// SPDX-License-Identifier: LGPL-2.1-or-later
//! Folders that a request opens only once.

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
    /// A list without open folders.
    pub fn new(sysfs: &'a dyn Sysfs) -> Self {
        Folders { sysfs, open: RefCell::default() }
    }

    /// The host of its folders.
    pub fn sysfs(&self) -> &'a dyn Sysfs {
        self.sysfs
    }

    /// Opens the folder at a path, unless it is open; `None` if it does not exist now.
    pub fn open(&self, path: &str) -> IoResult<Option<Rc<dyn Dir>>> {
        if let Some(open) = self.find_open(path) {
            return Ok(Some(open));
        }
        let opened: Option<Rc<dyn Dir>> = if_present(self.sysfs.open(path))?.map(Rc::from);
        self.open.borrow_mut().extend(opened.clone());
        Ok(opened)
    }

    /// The same for the mdev bus; `None` if the kernel has none now.
    pub fn bus(&self) -> Result<Option<Rc<dyn Dir>>> {
        self.open(DEVICES).map_err(|errno| Error::io("open", DEVICES, errno))
    }

    fn find_open(&self, path: &str) -> Option<Rc<dyn Dir>> {
        self.open.borrow().iter().find(|dir| dir.path() == path).cloned()
    }
}
