// SPDX-License-Identifier: LGPL-2.1-or-later
//! `rfc`: the founding proposal. The parent removes devices through `mdev_destroy`; parameters are state of the type that
//! the next create takes over, so setting, using and clearing them is one critical section for the whole host.

use std::rc::Rc;

use super::create::{check_group, check_instances, open_create, write_create};
use super::remove::write_remove;
use super::strategy::{CLASS, MAX_INSTANCES, Strategy};
use crate::backend::written::{TextForm, read_back};
use crate::backend::{
    CreateRequest, CreateWrites, Layout, Located, Prepared, Remove, no_params, write_and_verify, write_error,
};
use crate::error::{Error, Result, shown};
use crate::model::LayoutKind;
use crate::sysfs::{Dir, Errno, Writer, write_line};

/// A type's file with the parameters of the next device.
const PARAMS: &str = "params";

/// Clears the parameters. It is written as one newline, as `echo ""` writes it: a write of no bytes never reaches the driver.
const CLEAR: &str = "";

/// The parent's file that removes devices.
const MDEV_DESTROY: &str = "mdev_destroy";

/// A device has no link to its type, though some drivers make one.
pub(super) static STRATEGY: Strategy = Strategy {
    layout: Layout {
        has_iommu_group: false,
        shows_creation: true,
        shows_type: false,
        parent_file: Some(MDEV_DESTROY),
        control_files: &[MDEV_DESTROY],
        link_folders: &[CLASS],
        ..Layout::new(LayoutKind::RFC)
    },
    type_file: MAX_INSTANCES,
    instances: MAX_INSTANCES,
    type_link: "mdev_type",
    locks_type: true,
    prepare,
    remove,
};

fn prepare<'a>(
    strategy: &'static Strategy,
    type_dir: Rc<dyn Dir>,
    request: &CreateRequest<'a>,
) -> Result<Prepared<'a>> {
    let has_params = check(strategy, &*type_dir, request)?;
    let writes = Box::new(WithParams { strategy, type_dir, request: *request, has_params, file: None });
    Ok(Prepared { vf: None, writes })
}

fn remove(parent: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
    // `mdev_destroy` takes a UUID: of this parent's devices it removes the one that has the UUID when the write arrives.
    write_remove(parent, MDEV_DESTROY, &device.uuid.to_string(), device, how)
}

/// Used under the lock of the type: parameters are state of the type.
struct WithParams<'a> {
    strategy: &'static Strategy,
    type_dir: Rc<dyn Dir>,
    request: CreateRequest<'a>,
    has_params: bool,
    file: Option<Box<dyn Writer>>,
}

impl CreateWrites for WithParams<'_> {
    fn set_up(&mut self) -> Result<()> {
        self.file = Some(open_create(&*self.type_dir)?);
        if !self.has_params {
            return Ok(());
        }
        // Without parameters of our own, those of a creator that was killed half-way must not become ours.
        let set = match self.request.params {
            Some(params) => write_and_verify(&*self.type_dir, PARAMS, TextForm::Verbatim, params),
            None => clear_params(&*self.type_dir),
        };
        // The driver may have taken part of them.
        set.inspect_err(|_| self.clear_own())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let result = write_create(self.strategy, &*self.type_dir, self.file.take(), &self.request);
        self.clear_own();
        result
    }
}

impl WithParams<'_> {
    fn clear_own(&self) {
        if self.request.params.is_none() {
            return;
        }
        match clear_params(&*self.type_dir) {
            Ok(()) => {}
            // The parent went away, and its parameters with it.
            Err(e) if e.errno == Errno::NODEV.raw_os_error() || e.errno == Errno::NOENT.raw_os_error() => {}
            Err(e) => log::warn!("{e}: the next creator may inherit the parameters, unless it uses libmdev"),
        }
    }
}

/// True when the type takes parameters.
fn check(strategy: &Strategy, type_dir: &dyn Dir, request: &CreateRequest<'_>) -> Result<bool> {
    // The proposal's first step. A type that was removed during the wait for the lock is an error of its own.
    check_instances(strategy, type_dir, request.type_id)?;
    let has_params = match type_dir.meta(PARAMS) {
        Ok(_) => true,
        Err(Errno::NOENT) => false,
        Err(errno) => return Err(Error::io("check", &format!("{}/{PARAMS}", type_dir.path()), errno)),
    };
    if request.params.is_some() && !has_params {
        return Err(no_params(request.type_id));
    }
    check_group(type_dir, request)?;
    Ok(has_params)
}

/// A driver may show a text of its own where none is set, so a text that is left is no error.
fn clear_params(type_dir: &dyn Dir) -> Result<()> {
    write_line(type_dir, PARAMS, CLEAR).map_err(|errno| write_error(type_dir, PARAMS, errno))?;
    if let Some(left) = read_back(type_dir, PARAMS).filter(|left| !left.trim().is_empty()) {
        log::warn!(
            "{}/{PARAMS} holds '{}' after it was cleared; new devices may have it",
            type_dir.path(),
            shown(&left)
        );
    }
    Ok(())
}
