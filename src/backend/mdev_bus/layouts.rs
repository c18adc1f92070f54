// SPDX-License-Identifier: LGPL-2.1-or-later
//! The layouts of the mdev bus, and how a parent shows which one it has.

use crate::backend::Layout;
use crate::model::{Attach, LayoutKind};
use crate::sysfs::{Dir, IoResult, if_present};

/// The parent's file that removes devices. Only the layout of the founding proposal has it.
pub(super) const MDEV_DESTROY: &str = "mdev_destroy";

/// What every layout of this backend has. `shows_creation` holds for the two proposals.
const LAYOUT: Layout = Layout {
    kind: LayoutKind::Mdev,
    has_uuids: true,
    has_iommu_group: true,
    shows_type: true,
    shows_creation: false,
    refuses_open: false,
    attributes: None,
    device_api: None,
    attach: Attach::Mdev,
    vf_file: None,
    host_folders: &[],
    link_folders: &[],
};

/// Linux 4.10 and later.
pub(super) static MERGED: Layout = LAYOUT;

/// The reply to the founding proposal.
pub(super) static GENERAL: Layout =
    Layout { kind: LayoutKind::General, has_iommu_group: false, shows_creation: true, ..LAYOUT };

/// The founding proposal. A device has no link to its type.
pub(super) static RFC: Layout =
    Layout { kind: LayoutKind::Rfc, has_iommu_group: false, shows_creation: true, shows_type: false, ..LAYOUT };

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
    for (file, layout) in [
        ("device_api", &MERGED),
        (LayoutKind::General.instances_attr(), &GENERAL),
        (LayoutKind::Rfc.instances_attr(), &RFC),
    ] {
        if any_type_has(file)? {
            return Ok(layout);
        }
    }
    Ok(&MERGED)
}
