// SPDX-License-Identifier: LGPL-2.1-or-later
//! `mdev`: the layout that was merged in Linux 4.10. See drivers/vfio/mdev/mdev_sysfs.c.

use super::create::{SingleWrite, check_instances};
use super::layouts::AVAILABLE_INSTANCES;
use super::remove::remove_by_own_file;
use super::strategy::Strategy;
use crate::backend::{CreateRequest, Located, Prepared, Remove, no_group, no_params};
use crate::error::Result;
use crate::sysfs::Dir;

pub(super) struct Merged;

impl Strategy for Merged {
    fn type_link(&self) -> &'static str {
        "mdev_type"
    }

    fn prepare<'a>(&self, type_dir: Box<dyn Dir>, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>> {
        if request.group.is_some() {
            return Err(no_group(request.type_id));
        }
        if request.params.is_some() {
            return Err(no_params(request.type_id));
        }
        check_instances(&*type_dir, request.type_id, AVAILABLE_INSTANCES)?;
        Ok(SingleWrite::boxed(type_dir, request))
    }

    fn remove(&self, parent: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
        remove_by_own_file(parent, "remove", device, how)
    }
}
