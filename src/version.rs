// SPDX-License-Identifier: LGPL-2.1-or-later
//! `mdev_version`.

use std::ffi::c_char;

use super::guard;
use super::strings::Lazy;

static VERSION: Lazy = Lazy::new();

/// Returns the version of the loaded library, which may be newer than the header of the program.
///
/// @return "MAJOR.MINOR.PATCH", static, never NULL.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virGetVersion.
#[unsafe(no_mangle)]
pub extern "C" fn mdev_version() -> *const c_char {
    guard::infallible(c"".as_ptr(), || VERSION.get(mdev::version()))
}
