// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every backend. A new one is a folder and a line here.

use super::mdev_bus::MdevBus;
use super::vendor_vfio::{self, VendorVfio};
use super::{Backend, Layout};
use crate::model::LayoutKind;

pub(super) static BACKENDS: &[&dyn Backend] = &[
    &MdevBus,
    &VendorVfio,
    #[cfg(test)]
    &super::test_backend::Toy,
];

/// The backend of a layout.
pub fn backend(kind: LayoutKind) -> &'static dyn Backend {
    let of_kind = |backend: &&&dyn Backend| backend.layouts().iter().any(|layout| layout.kind == kind);
    BACKENDS.iter().find(of_kind).map_or(&MdevBus, |backend| *backend)
}

/// The layout of this name.
pub fn layout(kind: LayoutKind) -> &'static Layout {
    let layouts = backend(kind).layouts();
    layouts.iter().find(|layout| layout.kind == kind).unwrap_or(&layouts[0])
}

/// Files of a device that make or remove it. They are never written as attributes: a write to them may block while the
/// device is in use, or remove the device of another program.
pub const CONTROL_FILES: [&str; 3] = ["remove", "destroy", vendor_vfio::CURRENT];
