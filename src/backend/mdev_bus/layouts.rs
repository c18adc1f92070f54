// SPDX-License-Identifier: LGPL-2.1-or-later
//! The layouts of the mdev bus, and how a parent shows which one it has.

use crate::backend::Layout;
use crate::model::LayoutKind;
use crate::sysfs::{Dir, IoResult, if_present};

/// The parent's file that removes devices. Only the layout of the founding proposal has it.
pub(super) const MDEV_DESTROY: &str = "mdev_destroy";

/// Every type of the merged kernel has it, and no type of another layout.
pub(super) const DEVICE_API: &str = "device_api";

/// How many devices of a type can still be created.
pub(super) const AVAILABLE_INSTANCES: &str = "available_instances";

/// The same in the founding proposal.
pub(super) const MAX_INSTANCES: &str = "max_instances";

/// The file of a type that has this number.
pub(super) fn instances_attr(kind: LayoutKind) -> &'static str {
    if kind == LayoutKind::RFC { MAX_INSTANCES } else { AVAILABLE_INSTANCES }
}

/// Linux 4.10 and later.
pub(super) static MERGED: Layout = Layout::new(LayoutKind::MDEV);

/// The reply to the founding proposal.
pub(super) static GENERAL: Layout =
    Layout { has_iommu_group: false, shows_creation: true, ..Layout::new(LayoutKind::GENERAL) };

/// The founding proposal. A device has no link to its type.
pub(super) static RFC: Layout =
    Layout { has_iommu_group: false, shows_creation: true, shows_type: false, ..Layout::new(LayoutKind::RFC) };

/// All of them. A parent without any mark has the first.
pub(super) static LAYOUTS: [&Layout; 3] = [&MERGED, &GENERAL, &RFC];

/// The layout of a parent with types. In the merged kernel every type has a `device_api`, and no other layout has this file;
/// one type whose `device_api` is missing because of a fault must not change the layout of the whole parent. The founding
/// proposal is detected by its types as well, so that a driver without `mdev_destroy` is not taken for another layout.
/// `any_type_has`: whether one of the types has a file of this name.
pub(super) fn detect(parent: &dyn Dir, any_type_has: impl Fn(&str) -> IoResult<bool>) -> IoResult<&'static Layout> {
    if if_present(parent.meta(MDEV_DESTROY))?.is_some() {
        return Ok(&RFC);
    }
    for (file, layout) in [(DEVICE_API, &MERGED), (AVAILABLE_INSTANCES, &GENERAL), (MAX_INSTANCES, &RFC)] {
        if any_type_has(file)? {
            return Ok(layout);
        }
    }
    Ok(&MERGED)
}
