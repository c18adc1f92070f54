// SPDX-License-Identifier: LGPL-2.1-or-later
//! `general`: the layout of the reply to the founding proposal. The type counts `available_instances`, the device removes
//! itself through `destroy`.

use super::types::read_one;
use crate::backend::{
    CreateRequest, Layout, MDEV_DESTROY, Marks, Prepared, RemoveRequest, SingleWrite, TYPES, check_group,
    check_instances, linked_type, no_params, open_type, remove_by_own_file,
};
use crate::error::Result;
use crate::model::{LayoutKind, Type};
use crate::sysfs::{Dir, IoResult};

#[derive(Debug)]
pub(in crate::backend) struct General;

impl Layout for General {
    fn kind(&self) -> LayoutKind {
        LayoutKind::General
    }

    fn detect(&self, parent: &dyn Marks) -> bool {
        !parent.parent_has(MDEV_DESTROY)
            && parent.parent_has(TYPES)
            && parent.any_type_has(LayoutKind::General.instances_attr())
    }

    fn check(&self, parent: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
        check(&*open_type(parent, request.type_id)?, request)
    }

    fn prepare<'a>(&self, parent: &dyn Dir, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>> {
        let kind = open_type(parent, request.type_id)?;
        check(&*kind, request)?;
        Ok(SingleWrite::boxed(kind, request))
    }

    fn remove(&self, parent: &dyn Dir, device: &RemoveRequest<'_>, is_it: &dyn Fn() -> Result<bool>) -> Result<()> {
        remove_by_own_file(parent, "destroy", device, is_it)
    }

    fn type_of(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
        linked_type(dir, &format!("{entry}/type"))
    }

    fn read_type(&self, parent: &dyn Dir, id: &str) -> IoResult<Option<Type>> {
        read_one(parent, self, id)
    }

    fn has_iommu_group(&self) -> bool {
        false
    }

    fn shows_creation(&self) -> bool {
        true
    }
}

fn check(kind: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
    check_instances(kind, request.type_id, LayoutKind::General.instances_attr())?;
    if request.params.is_some() {
        return Err(no_params(request.type_id));
    }
    check_group(kind, request)
}
