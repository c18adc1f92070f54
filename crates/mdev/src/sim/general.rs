// SPDX-License-Identifier: LGPL-2.1-or-later
//! A driver of the reviewer's layout: the files in a device's own directory control the device.

use super::kernel::{Attr, Kernel};
use super::tree::Ino;
use super::{device, text};
use crate::sysfs::{Errno, IoResult};

/// The files of a new device: name, mode, first content, meaning. A file that was copied from a device of the same
/// parent keeps its content.
const FILES: [(&str, u32, &str, Attr); 4] = [
    ("online", 0o644, "1\n", Attr::Online),
    ("reset", 0o200, "", Attr::Reset),
    ("priority", 0o644, "0\n", Attr::Number),
    ("weight", 0o644, "100\n", Attr::Number),
];

/// Returns the meaning of a file in a device's directory.
pub(super) fn attr(name: &str) -> Option<Attr> {
    match name {
        "destroy" => Some(Attr::Destroy),
        "group" => Some(Attr::Group),
        _ => FILES.iter().find(|file| file.0 == name).map(|file| file.3),
    }
}

/// Accepts `UUID` or `UUID:GROUP`, as in the founding proposal. The device's file `group` can change the group later.
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
    device::assign_roles(kernel, &uuid)
}

/// The device's own `destroy`: any number but zero removes the device.
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

/// Stores a value that the file then shows.
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
