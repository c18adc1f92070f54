// SPDX-License-Identifier: LGPL-2.1-or-later
//! Removes a device on the mdev bus.

use crate::backend::{Located, Remove, no_longer_exists, write_error};
use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::{Dir, Errno, WRITE_ATTEMPTS, if_present};

/// Removes a device through a file in its own folder. The write reaches the located device, or fails: the folder is
/// opened before [`Remove::is_same_device`] is called, so if that returns true, the folder belongs to the located
/// device. The file is opened below the descriptor of the folder, which never leads to another device.
pub(super) fn remove_by_own_file(parent: &dyn Dir, name: &str, device: &Located, how: &Remove<'_>) -> Result<()> {
    let path = format!("{}/{}", parent.path(), device.entry);
    let folder = if_present(parent.open(&device.entry)).map_err(|errno| Error::io("open", &path, errno))?;
    let folder = folder.ok_or_else(|| no_longer_exists(&device.uuid, &path))?;
    write_remove(&*folder, name, "1", device, how)
}

/// Writes the file `name` of `dir`, which removes a device. Fails with [`ErrorCode::NoNode`] if the device no longer
/// exists, and with [`ErrorCode::NoAttribute`] if the device exists and the file does not.
pub(super) fn write_remove(dir: &dyn Dir, name: &str, value: &str, device: &Located, how: &Remove<'_>) -> Result<()> {
    let path = format!("{}/{name}", dir.path());
    if !(how.is_same_device)()? {
        return Err(no_longer_exists(&device.uuid, &path));
    }
    let mut written = (how.write)(dir, name, value)?;
    for _ in 1..WRITE_ATTEMPTS {
        if written != Err(Errno::INTR) {
            break;
        }
        if !(how.is_same_device)()? {
            // The interrupted write has removed the device.
            return Ok(());
        }
        written = (how.write)(dir, name, value)?;
    }
    let Err(errno) = written else { return Ok(()) };
    Err(match errno {
        Errno::NOENT if (how.is_same_device)()? => {
            let uuid = device.uuid;
            let message =
                format!("device {uuid} cannot be removed: its driver provides no {path}; unbind or unload the driver");
            Error::new(ErrorCode::NoAttribute, Errno::NOENT, message).at(path)
        }
        Errno::NOENT | Errno::NODEV => no_longer_exists(&device.uuid, &path),
        Errno::BUSY => Error { code: ErrorCode::InUse, ..Error::io("write", &path, errno) },
        other => write_error(dir, name, other),
    })
}
