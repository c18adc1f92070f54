// SPDX-License-Identifier: LGPL-2.1-or-later
//! The differences between the layouts of the mdev bus.

use std::rc::Rc;

use crate::backend::{CreateRequest, Layout, Located, Prepared, Remove};
use crate::error::Result;
use crate::sysfs::Dir;

/// The file of a type with its `device_api`, in the merged kernel.
pub(super) const DEVICE_API: &str = "device_api";

/// Links to every parent of the merged kernel.
pub(super) const CLASS: &str = "/sys/class/mdev_bus";

/// The file of a type with the number of devices that can still be created.
pub(super) const AVAILABLE_INSTANCES: &str = "available_instances";

/// The same file in the layout `rfc`.
pub(super) const MAX_INSTANCES: &str = "max_instances";

/// Prepares the writes that create a device of the type with this open folder. Fails if the type does not support the
/// request.
type Prepare = for<'a> fn(&'static Strategy, Rc<dyn Dir>, &CreateRequest<'a>) -> Result<Prepared<'a>>;

/// One layout of the mdev bus.
pub(super) struct Strategy {
    /// The part of it that other modules use.
    pub(super) layout: Layout,
    /// A file that the types of this layout have, and no type of a layout after it in `STRATEGIES`.
    pub(super) type_file: &'static str,
    /// The file of a type with the number of devices that can still be created.
    pub(super) instances: &'static str,
    /// The link from a device to its type.
    pub(super) type_link: &'static str,
    /// Creates of one type exclude each other: parameters are state of the type, and the next create uses them.
    pub(super) locks_type: bool,
    /// See [`Prepare`].
    pub(super) prepare: Prepare,
    /// Removes a device of this open parent.
    pub(super) remove: fn(&dyn Dir, &Located, &Remove<'_>) -> Result<()>,
}
