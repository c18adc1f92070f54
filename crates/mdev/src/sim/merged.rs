// SPDX-License-Identifier: LGPL-2.1-or-later
//! Drivers of the merged kernel: Linux 4.10 and later.

use super::kernel::Kernel;
use super::{device, text};
use crate::sysfs::{Errno, IoResult};

/// Drivers whose devices the kernel's core counts; the core has its own errno for "none left".
const COUNTED_BY_CORE: [&str; 3] = ["mdpy", "vfio_ap", "vfio_ccw"];

/// Accepts 36 bytes, or 37 bytes of which the last is ignored; it is usually a newline.
pub(super) fn create(kernel: &mut Kernel, parent: usize, ty: usize, value: &[u8]) -> IoResult<()> {
    let uuid = match value.len() {
        36 | 37 => text::uuid(&value[..text::UUID_LEN])?,
        _ => return Err(Errno::INVAL),
    };
    let id = &kernel.parents[parent].types[ty].id;
    let driver = id.split('-').next().unwrap_or_default();
    let none_left = if COUNTED_BY_CORE.contains(&driver) { Errno::USERS } else { Errno::NOSPC };
    kernel.reserve(parent, ty, &uuid, none_left)?;
    let Some(dir) = device::plug(kernel, parent, ty, &uuid)? else { return Ok(()) };
    kernel.tree.add_file(dir, "remove", 0o200, "")?;
    device::assign_roles(kernel, &uuid)
}

/// Any number but zero removes the device. EBUSY while a guest uses the device; the real kernel would block until the
/// guest ends, and a test that hangs shows nothing.
pub(super) fn remove(kernel: &mut Kernel, uuid: &str, value: &[u8]) -> IoResult<()> {
    match text::unsigned(value).map_err(|_| Errno::INVAL)? {
        0 => Ok(()),
        _ => kernel.destroy(uuid),
    }
}
