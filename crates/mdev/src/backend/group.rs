// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that require a group for each device.

use crate::sysfs::{Dir, IoResult, if_present, read_text};

/// The file of a type that requires a group.
pub(super) const REQUIRES_GROUP: &str = "requires_group";

/// Whether the content of that file requires a group. 0 means the same as a missing file.
pub(super) fn is_group_required(text: &str) -> bool {
    text.trim() != "0"
}

/// Whether the type with this folder requires a group.
pub fn requires_group(type_dir: &dyn Dir) -> IoResult<bool> {
    Ok(if_present(read_text(type_dir, REQUIRES_GROUP))?.is_some_and(|text| is_group_required(&text)))
}
