// SPDX-License-Identifier: LGPL-2.1-or-later
//! `rfc`: the founding proposal. The file `mdev_destroy` of a parent removes its devices. Parameters are state of the
//! type, and the next create uses them: so they are set, used and cleared under one lock of the host.

use std::rc::Rc;

use super::create::{CREATE, check_group, check_instances, create_text, open_create, write_create};
use super::remove::write_remove;
use super::strategy::{CLASS, MAX_INSTANCES, Strategy};
use crate::backend::written::{TextForm, read_back};
use crate::backend::{
    CreateRequest, CreateWrites, Layout, Located, Prepared, Remove, no_params, write_and_verify, write_error,
};
use crate::error::{Error, Result, shown};
use crate::model::LayoutKind;
use crate::sysfs::{Dir, Errno, Writer, write_line};

/// The file of a type with the parameters of the next device.
const PARAMS: &str = "params";

/// The text that clears the parameters. It is written as one newline, because a write of no bytes never reaches the
/// driver.
const CLEAR: &str = "";

/// The file of a parent that removes its devices.
const MDEV_DESTROY: &str = "mdev_destroy";

/// `shows_type` is false: only some drivers have a link from a device to its type.
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
    // `mdev_destroy` accepts a UUID, and removes the device of this parent that has the UUID when the driver reads it.
    write_remove(parent, MDEV_DESTROY, &device.uuid.to_string(), device, how)
}

/// The writes that create a device. The caller holds the lock of the type, because the parameters are state of the
/// type.
struct WithParams<'a> {
    strategy: &'static Strategy,
    type_dir: Rc<dyn Dir>,
    request: CreateRequest<'a>,
    has_params: bool,
    file: Option<Box<dyn Writer>>,
}

impl CreateWrites for WithParams<'_> {
    fn planned(&self) -> Vec<(String, String)> {
        let path = |file: &str| format!("{}/{file}", self.type_dir.path());
        let params = self.has_params.then(|| (path(PARAMS), self.request.params.unwrap_or(CLEAR).to_owned()));
        let clear = self.request.params.map(|_| (path(PARAMS), CLEAR.to_owned()));
        params.into_iter().chain([(path(CREATE), create_text(&self.request))]).chain(clear).collect()
    }

    fn set_up(&mut self) -> Result<()> {
        self.file = Some(open_create(&*self.type_dir)?);
        if !self.has_params {
            return Ok(());
        }
        // A creator that was killed may have left its parameters. The new device must not inherit them.
        let set = match self.request.params {
            Some(params) => write_and_verify(&*self.type_dir, PARAMS, TextForm::Verbatim, params),
            None => clear_params(&*self.type_dir),
        };
        // The driver may have kept a part of them.
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
            // The parent was removed together with its parameters.
            Err(e) if e.errno == Errno::NODEV.raw_os_error() || e.errno == Errno::NOENT.raw_os_error() => {}
            Err(e) => {
                log::warn!("{e}: the next device of this type may inherit the parameters, unless libmdev creates it")
            }
        }
    }
}

/// Fails if the type does not support the request. Returns whether the type supports parameters.
fn check(strategy: &Strategy, type_dir: &dyn Dir, request: &CreateRequest<'_>) -> Result<bool> {
    // First, because the type may have been removed while the caller waited for the lock, and this has its own error.
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

/// Clears the parameters of a type. A text that the file shows afterwards is only logged: a driver may show a text of
/// its own while no parameters are set.
fn clear_params(type_dir: &dyn Dir) -> Result<()> {
    write_line(type_dir, PARAMS, CLEAR).map_err(|errno| write_error(type_dir, PARAMS, errno))?;
    if let Some(text) = read_back(type_dir, PARAMS).filter(|text| !text.trim().is_empty()) {
        log::warn!(
            "{}/{PARAMS} holds '{}' after it was cleared; new devices may have it",
            type_dir.path(),
            shown(&text)
        );
    }
    Ok(())
}
