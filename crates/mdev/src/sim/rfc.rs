// SPDX-License-Identifier: LGPL-2.1-or-later
//! A driver of the founding proposal. No kernel has such a driver; where the proposal is silent, this one does what a
//! vendor's driver would do.

use super::kernel::{Kernel, Type};
use super::{device, text};
use crate::sysfs::{Errno, IoResult};

/// Accepts `UUID` or `UUID:GROUP`. EINVAL for a group if the type does not require groups. The device gets the
/// parameters of the type that are set now, whichever process set them.
pub(super) fn create(kernel: &mut Kernel, parent: usize, ty: usize, value: &[u8]) -> IoResult<()> {
    let (uuid, group) = text::uuid_and_group(value)?;
    if group.is_some() && !kernel.requires_group(parent, ty) {
        return Err(Errno::INVAL);
    }
    kernel.reserve(parent, ty, &uuid, Errno::NOSPC)?;
    let Some(dir) = device::plug(kernel, parent, ty, &uuid)? else { return Ok(()) };
    let Type { dir: type_dir, params, .. } = &kernel.parents[parent].types[ty];
    if kernel.tree.child(*type_dir, "params").is_some() {
        kernel.tree.add_file(dir, "params", 0o444, &format!("{params}\n"))?;
    }
    if let Some(group) = group {
        kernel.tree.add_file(dir, "group", 0o444, &format!("{group}\n"))?;
    }
    device::assign_roles(kernel, &uuid)
}

/// Sets the parameters for every later device of the type. A bare newline clears them.
pub(super) fn set_params(kernel: &mut Kernel, parent: usize, ty: usize, value: &[u8]) -> IoResult<()> {
    kernel.parents[parent].types[ty].params = String::from_utf8_lossy(text::line(value)).into_owned();
    Ok(())
}

/// The parent's `mdev_destroy`: ENODEV if the UUID is not a device of this parent.
pub(super) fn destroy(kernel: &mut Kernel, parent: usize, value: &[u8]) -> IoResult<()> {
    let uuid = text::uuid(text::line(value))?;
    match kernel.devices.get(&uuid) {
        Some(device) if device.parent == parent => kernel.destroy(&uuid),
        _ => Err(Errno::NODEV),
    }
}
