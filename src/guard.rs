// SPDX-License-Identifier: LGPL-2.1-or-later
//! What stands around the body of every exported function: no panic gets out, nothing is printed, and the thread's last
//! error is that of its last call.

use std::ffi::c_int;

use rustix::io::Errno;

use super::unwind::catch;
pub(super) use super::unwind::infallible;
use super::{errors, log};
use mdev::{Error, Result};

/// For every call that can fail: clears the thread's error on entry, sets it on failure, and hands the log lines that came
/// up meanwhile to the handler, when no lock of the library is held any more.
pub(super) fn call(body: impl FnOnce() -> Result<c_int>) -> c_int {
    errors::clear();
    let result = catch(body);
    log::deliver_pending();
    // The handler, or a callback for events, may have called the library itself, whose error is not this call's.
    errors::clear();
    finish(result)
}

/// For getters that can fail: leaves the thread's error alone unless it fails itself.
pub(super) fn getter(body: impl FnOnce() -> Result<c_int>) -> c_int {
    finish(catch(body))
}

/// For a call that says by NULL that it failed.
pub(super) fn pointer<T>(body: impl FnOnce() -> Result<*const T>) -> *const T {
    errors::clear();
    catch(body).unwrap_or_else(|error| {
        errors::set(error);
        std::ptr::null()
    })
}

fn finish(result: Result<c_int>) -> c_int {
    result.unwrap_or_else(|error| {
        // Whatever a room below put there: a failure is always negative in C.
        let errno = if error.errno > 0 { error.errno } else { Errno::IO.raw_os_error() };
        errors::set(Error { errno, ..error });
        -errno
    })
}
