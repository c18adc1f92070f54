// SPDX-License-Identifier: LGPL-2.1-or-later
//! The errors of writes to the files of a driver.

use crate::error::{Error, ErrorCode, describe};
use crate::sysfs::{Dir, Errno};

/// The error of a write to a driver's file. For EACCES and EPERM on a file that can be opened for writing, the cause is
/// the driver and not a missing privilege.
pub fn write_error(dir: &dyn Dir, name: &str, errno: Errno) -> Error {
    let path = format!("{}/{name}", dir.path());
    match errno {
        Errno::ACCESS | Errno::PERM if dir.writer(name).is_ok() => {
            let message = format!(
                "cannot write {path}: {}; the driver refuses it, most often because a guest uses the device",
                describe(errno)
            );
            Error::new(ErrorCode::Kernel, errno, message).at(path)
        }
        Errno::TOOBIG => {
            Error::io("write", &path, errno).hint("the text is longer than the driver accepts; shorten it")
        }
        _ => Error::io("write", &path, errno),
    }
}
