// SPDX-License-Identifier: LGPL-2.1-or-later
//! Descriptors whose numbers are not those of the standard streams.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The lowest number that is not a standard stream.
const LOWEST: i32 = 3;

/// The same open file under a number above 2. In a process that has closed a standard stream the kernel gives its number to
/// the next file, and what the process then prints, or reads, would reach ours. A thread may print at any time, so this is for
/// every descriptor that can be read or written; directories and paths (O_PATH) cannot.
pub fn long_lived(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() >= LOWEST { Ok(fd) } else { fcntl_dupfd_cloexec(&fd, LOWEST) }
}
