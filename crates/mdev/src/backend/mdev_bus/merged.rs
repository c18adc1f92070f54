// SPDX-License-Identifier: LGPL-2.1-or-later
//! `mdev`: the layout that was merged in Linux 4.10. See drivers/vfio/mdev/mdev_sysfs.c.

use std::rc::Rc;

use super::create::{SingleWrite, check_instances};
use super::remove::remove_by_own_file;
use super::strategy::{AVAILABLE_INSTANCES, CLASS, DEVICE_API, Strategy};
use crate::backend::{CreateRequest, Layout, Located, Prepared, Remove, no_group, no_params};
use crate::error::Result;
use crate::model::LayoutKind;
use crate::sysfs::Dir;

/// The file of a device that removes it.
const REMOVE: &str = "remove";

pub(super) static STRATEGY: Strategy = Strategy {
    layout: Layout { control_files: &[REMOVE], link_folders: &[CLASS], ..Layout::new(LayoutKind::MDEV) },
    type_file: DEVICE_API,
    instances: AVAILABLE_INSTANCES,
    type_link: "mdev_type",
    locks_type: false,
    prepare,
    remove,
};

fn prepare<'a>(
    strategy: &'static Strategy,
    type_dir: Rc<dyn Dir>,
    request: &CreateRequest<'a>,
) -> Result<Prepared<'a>> {
    if request.group.is_some() {
        return Err(no_group(request.type_id));
    }
    if request.params.is_some() {
        return Err(no_params(request.type_id));
    }
    check_instances(strategy, &*type_dir, request.type_id)?;
    Ok(SingleWrite::prepared(strategy, type_dir, request))
}

fn remove(parent: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
    remove_by_own_file(parent, REMOVE, device, how)
}
