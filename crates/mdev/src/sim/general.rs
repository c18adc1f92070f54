// SPDX-License-Identifier: LGPL-2.1-or-later
//! A driver of the reviewer's layout: what is done to a device is done in its own folder.

use super::kernel::{Attr, Kernel};
use super::tree::Ino;
use super::{device, text};
use crate::sysfs::{Errno, IoResult};

/// What a device's folder has, what it shows at first and what it does, unless a device of the same parent says
/// otherwise.
const FILES: [(&str, u32, &str, Attr); 4] = [
    ("online", 0o644, "1\n", Attr::Online),
    ("reset", 0o200, "", Attr::Reset),
    ("priority", 0o644, "0\n", Attr::Number),
    ("weight", 0o644, "100\n", Attr::Number),
];

/// The meaning of a file in a device's folder.
pub(super) fn attr(name: &str) -> Option<Attr> {
    match name {
        "destroy" => Some(Attr::Destroy),
        "group" => Some(Attr::Group),
        _ => FILES.iter().find(|file| file.0 == name).map(|file| file.3),
    }
}

/// `UUID` or `UUID:GROUP`, as in the founding proposal; the group can be changed in the device's folder later.
pub(super) fn create(kernel: &mut Kernel, parent: usize, ty: usize, value: &[u8]) -> IoResult<()> {
    let (uuid, group) = text::uuid_and_group(value)?;
    let grouped = kernel.requires_group(parent, ty);
    if group.is_some() && !grouped {
        return Err(Errno::INVAL);
    }
    kernel.reserve(parent, ty, &uuid, Errno::NOSPC)?;
    let Some(dir) = device::plug(kernel, parent, ty, &uuid)? else { return Ok(()) };
    kernel.tree.add_file(dir, "destroy", 0o200, "")?;
    if grouped {
        let shown = group.map_or_else(String::new, |group| group.to_string());
        kernel.tree.add_file(dir, "group", 0o644, &format!("{shown}\n"))?;
    }
    for (name, mode, content, _) in FILES {
        if kernel.tree.child(dir, name).is_none() {
            kernel.tree.add_file(dir, name, mode, content)?;
        }
    }
    device::adopt(kernel, &uuid)
}

/// The device's own `destroy`.
pub(super) fn destroy(kernel: &mut Kernel, uuid: &str, value: &[u8]) -> IoResult<()> {
    match text::unsigned(value).map_err(|_| Errno::INVAL)? {
        0 => Ok(()),
        _ => kernel.destroy(uuid),
    }
}

pub(super) fn reset(kernel: &mut Kernel, uuid: &str, value: &[u8]) -> IoResult<()> {
    if text::unsigned(value).map_err(|_| Errno::INVAL)? != 0 {
        kernel.devices.get_mut(uuid).ok_or(Errno::NODEV)?.resets += 1;
    }
    Ok(())
}

/// A value that the device keeps and shows.
pub(super) fn set(kernel: &mut Kernel, file: Ino, attr: Attr, value: &[u8]) -> IoResult<()> {
    let shown = match attr {
        Attr::Online => u8::from(text::switch(value)?).to_string(),
        Attr::Group if text::line(value).is_empty() => String::new(),
        Attr::Group => text::group(text::line(value))?.to_string(),
        _ => text::unsigned(value)?.to_string(),
    };
    kernel.tree.show(file, &format!("{shown}\n"));
    Ok(())
}
