// SPDX-License-Identifier: LGPL-2.1-or-later
//! The list of all backends. A new backend is a folder and a line here.

use std::collections::BTreeSet;

use super::mdev_bus::MdevBus;
use super::vendor_vfio::VendorVfio;
use super::{Backend, Layout, mdev_bus};
use crate::model::LayoutKind;

pub(super) static BACKENDS: &[&dyn Backend] = &[
    &MdevBus,
    &VendorVfio,
    #[cfg(test)]
    &super::test_backend::Toy,
];

/// The backend of a layout.
pub fn backend(kind: LayoutKind) -> &'static dyn Backend {
    let has_layout = |backend: &&&dyn Backend| backend.layouts().iter().any(|layout| layout.kind == kind);
    BACKENDS.iter().find(has_layout).map_or(&MdevBus, |backend| *backend)
}

/// The properties of a layout.
pub fn layout(kind: LayoutKind) -> &'static Layout {
    let mut layouts = BACKENDS.iter().flat_map(|backend| backend.layouts());
    layouts.find(|layout| layout.kind == kind).unwrap_or(&mdev_bus::DEFAULT)
}

/// Whether a file of this name creates or removes devices in any layout.
pub fn is_control_file(name: &str) -> bool {
    let mut layouts = BACKENDS.iter().flat_map(|backend| backend.layouts());
    layouts.any(|layout| layout.control_files.contains(&name))
}

/// Whether a file of this name is [`Layout::parent_file`] of any layout.
pub fn is_parent_file(name: &str) -> bool {
    let mut layouts = BACKENDS.iter().flat_map(|backend| backend.layouts());
    layouts.any(|layout| layout.parent_file == Some(name))
}

/// Every folder with links to devices.
pub fn device_folders() -> BTreeSet<&'static str> {
    let layouts = BACKENDS.iter().flat_map(|backend| backend.layouts());
    layouts.filter_map(|layout| layout.device_folder).collect()
}
