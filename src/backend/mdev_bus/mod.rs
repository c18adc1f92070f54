// SPDX-License-Identifier: LGPL-2.1-or-later
//! The backend of kernels with an mdev bus: three layouts, which differ in the files that create and remove a device.

pub(super) mod general;
pub(super) mod merged;
pub(super) mod rfc;
pub mod types;
