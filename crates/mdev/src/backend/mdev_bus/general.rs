// SPDX-License-Identifier: LGPL-2.1-or-later
//! `general`: the layout of the reply to the founding proposal. The number of instances is in `available_instances` of
//! the type; the file `destroy` of a device removes it.

use std::rc::Rc;

use super::create::{SingleWrite, check_group, check_instances};
use super::remove::remove_by_own_file;
use super::strategy::{AVAILABLE_INSTANCES, CLASS, Strategy};
use crate::backend::{CreateRequest, Layout, Located, Prepared, Remove, no_params};
use crate::error::Result;
use crate::model::LayoutKind;
use crate::sysfs::Dir;

/// The file of a device that removes it.
const DESTROY: &str = "destroy";

pub(super) static STRATEGY: Strategy = Strategy {
    layout: Layout {
        has_iommu_group: false,
        shows_creation: true,
        control_files: &[DESTROY],
        link_folders: &[CLASS],
        ..Layout::new(LayoutKind::GENERAL)
    },
    type_file: AVAILABLE_INSTANCES,
    instances: AVAILABLE_INSTANCES,
    type_link: "type",
    locks_type: false,
    prepare,
    remove,
};

fn prepare<'a>(
    strategy: &'static Strategy,
    type_dir: Rc<dyn Dir>,
    request: &CreateRequest<'a>,
) -> Result<Prepared<'a>> {
    check_instances(strategy, &*type_dir, request.type_id)?;
    if request.params.is_some() {
        return Err(no_params(request.type_id));
    }
    check_group(&*type_dir, request)?;
    Ok(SingleWrite::prepared(strategy, type_dir, request))
}

fn remove(parent: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()> {
    remove_by_own_file(parent, DESTROY, device, how)
}
