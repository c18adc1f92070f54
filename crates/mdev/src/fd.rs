// SPDX-License-Identifier: LGPL-2.1-or-later
//! Descriptors whose numbers are not those of the standard streams.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The lowest number that is not a standard stream.
const LOWEST: i32 = 3;

/// Returns the same open file under a number above 2. If a process has closed a standard stream, the next open file gets that
/// number, and the output of the process would be written to the library's file. Any thread may print at any time, so use this
/// for every descriptor that can be read or written; directories and paths (O_PATH) cannot.
pub fn long_lived(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() >= LOWEST { Ok(fd) } else { fcntl_dupfd_cloexec(&fd, LOWEST) }
}
