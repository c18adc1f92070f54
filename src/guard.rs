// SPDX-License-Identifier: LGPL-2.1-or-later
//! The wrapper of every exported function: no panic crosses the boundary, nothing is printed, and the thread's last error belongs
//! to its last call.

use std::ffi::c_int;

use rustix::io::Errno;

use super::unwind::catch;
pub(super) use super::unwind::infallible;
use super::{errors, log};
use mdev::{Error, Result};

/// For every call that can fail: clears the thread's error on entry and sets it on failure. Passes the call's log lines to the
/// log handler at the end, when the library holds no lock.
pub(super) fn call(body: impl FnOnce() -> Result<c_int>) -> c_int {
    errors::clear();
    let result = catch(body);
    log::deliver_pending();
    // The handler, or an event callback, may have called the library. An error of that inner call is not an error of this call.
    errors::clear();
    finish(result)
}

/// For getters that can fail: changes the thread's error only on failure.
pub(super) fn getter(body: impl FnOnce() -> Result<c_int>) -> c_int {
    finish(catch(body))
}

/// For a call that returns NULL on failure.
pub(super) fn pointer<T>(body: impl FnOnce() -> Result<*const T>) -> *const T {
    errors::clear();
    catch(body).unwrap_or_else(|error| {
        errors::set(error);
        std::ptr::null()
    })
}

fn finish(result: Result<c_int>) -> c_int {
    result.unwrap_or_else(|error| {
        // A failure is negative in C even if a lower layer has set no errno.
        let errno = if error.errno > 0 { error.errno } else { Errno::IO.raw_os_error() };
        errors::set(Error { errno, ..error });
        -errno
    })
}
