// SPDX-License-Identifier: LGPL-2.1-or-later
//! What differs between the layouts of the mdev bus.

use crate::backend::{CreateRequest, Located, Prepared, Remove};
use crate::error::Result;
use crate::sysfs::Dir;

/// What differs between the layouts. `type_dir` is the open folder of the type.
pub(super) trait Strategy: Sync {
    /// The link from a device to its type.
    fn type_link(&self) -> &'static str;

    /// Refuses what the type cannot do, and prepares the writes.
    fn prepare<'a>(&self, type_dir: Box<dyn Dir>, request: &CreateRequest<'a>) -> Result<Box<dyn Prepared + 'a>>;

    /// Removes a device of this parent.
    fn remove(&self, parent: &dyn Dir, device: &Located, how: &Remove<'_>) -> Result<()>;
}
