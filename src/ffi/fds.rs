// SPDX-License-Identifier: LGPL-2.1-or-later
//! close_range(2) for the sysfs door, which reads many files and may hold no `unsafe`.

use std::os::fd::RawFd;

/// Gives the door its closer. Once is enough; again does no harm.
pub(super) fn install() {
    crate::driver::set_range_closer(close_range);
}

/// Closes every descriptor from `first` to `last`. False, and none closed, where the kernel has no close_range (before 5.9).
fn close_range(first: RawFd, last: RawFd) -> bool {
    // By number and not by the C library's wrapper, which glibc has since 2.34 only.
    // SAFETY: the call touches no memory. The door owns every descriptor of the range and forgets them afterwards.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}
