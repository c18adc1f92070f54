// SPDX-License-Identifier: LGPL-2.1-or-later
//! `general`: the layout of the reply to the founding proposal. The type counts `available_instances`, the device removes
//! itself through `destroy`.

use super::create::{SingleWrite, check_group, check_instances};
use super::layouts::AVAILABLE_INSTANCES;
use super::remove::remove_by_own_file;
use super::strategy::Strategy;
use crate::backend::{CreateRequest, Located, Prepared, Remove, no_params};
use crate::error::Result;
use crate::sysfs::Dir;

pub(super) struct General;

impl Strategy for General {
    fn type_link(&self) -> &'static str {
        "type"
    }

    fn prepare<'a>(&self, type_dir: Box<dyn Dir>, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>> {
        check_instances(&*type_dir, request.type_id, AVAILABLE_INSTANCES)?;
        if request.params.is_some() {
            return Err(no_params(request.type_id));
        }
        check_group(&*type_dir, request)?;
        Ok(SingleWrite::boxed(type_dir, request))
    }

    fn remove(&self, parent: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
        remove_by_own_file(parent, "destroy", device, how)
    }
}
