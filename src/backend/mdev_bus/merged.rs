// SPDX-License-Identifier: LGPL-2.1-or-later
//! `mdev`: the layout that was merged in Linux 4.10. See drivers/vfio/mdev/mdev_sysfs.c.

use super::types::read_one;
use crate::backend::{
    CreateRequest, Layout, MDEV_DESTROY, Marks, Prepared, RemoveRequest, SingleWrite, TYPES, check_instances,
    linked_type, no_group, no_params, open_type, remove_by_own_file,
};
use crate::error::Result;
use crate::model::{LayoutKind, Type};
use crate::sysfs::{Dir, IoResult};

#[derive(Debug)]
pub(in crate::backend) struct Merged;

impl Layout for Merged {
    fn kind(&self) -> LayoutKind {
        LayoutKind::Mdev
    }

    /// In the merged kernel every type has a `device_api`; no other layout has this file. One type whose `device_api` is missing
    /// because of a fault must not change the layout of the whole parent.
    fn detect(&self, parent: &dyn Marks) -> bool {
        !parent.parent_has(MDEV_DESTROY) && parent.parent_has(TYPES) && parent.any_type_has("device_api")
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
        remove_by_own_file(parent, "remove", device, is_it)
    }

    fn type_of(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
        linked_type(dir, &format!("{entry}/mdev_type"))
    }

    fn read_type(&self, parent: &dyn Dir, id: &str) -> IoResult<Option<Type>> {
        read_one(parent, self, id)
    }

    fn has_iommu_group(&self) -> bool {
        true
    }
}

fn check(kind: &dyn Dir, request: &CreateRequest<'_>) -> Result<()> {
    if request.group.is_some() {
        return Err(no_group(request.type_id));
    }
    if request.params.is_some() {
        return Err(no_params(request.type_id));
    }
    check_instances(kind, request.type_id, LayoutKind::Mdev.instances_attr())
}
