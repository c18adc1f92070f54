// SPDX-License-Identifier: LGPL-2.1-or-later
//! The last error of each thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;

use super::handle::{self, Kind, Object, Tag, borrow};
use super::strings::terminated;
use super::unwind;
use mdev::{Error, ErrorCode};

/// Why a call failed; see mdev_last_error().
///
/// Since: 0.1.
pub struct mdev_error {
    _opaque: [u8; 0],
}

impl Kind for mdev_error {
    type Body = Detail;
    const TAG: Tag = handle::ERROR;
}

/// An error with its texts as C wants them.
pub(super) struct Detail {
    code: ErrorCode,
    errno: c_int,
    message: CString,
    path: Option<CString>,
}

/// `current` goes with the next call, but the object stays until another takes its place: a pointer that C still has may
/// be looked at for that long.
struct Last {
    current: bool,
    error: Option<Arc<Object<mdev_error>>>,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { current: false, error: None }) };
}

/// Reaches the slot, but for a thread that is ending and has lost it already: its calls work, their detail is gone.
fn with_last<T>(f: impl FnOnce(&mut Last) -> T) -> Option<T> {
    LAST.try_with(|last| f(&mut last.borrow_mut())).ok()
}

pub(super) fn clear() {
    with_last(|last| last.current = false);
}

pub(super) fn set(error: Error) {
    let detail = Detail {
        code: error.code,
        errno: error.errno,
        message: terminated(&error.message),
        path: error.path.as_deref().map(terminated),
    };
    let object = Arc::new(Object::new(detail));
    with_last(|last| *last = Last { current: true, error: Some(object) });
}

/// Why the last call of this thread failed.
///
/// A failure that is returned as a negative number sets it. A call that can fail clears it on entry. Getters, that is
/// those functions that only tell what a handle knows already, leave it alone unless they fail themselves; ref, unref,
/// free, mdev_error_*, mdev_version() and functions that return a const char * never touch it.
///
/// @return NULL when the last call of this thread went well; else an error that belongs to this thread, for which it is
/// valid until the next call of this thread that fails, or the end of the thread. Do not hand it to another thread; do not
/// free it.
///
/// Since: 0.1. Follows: virGetLastError.
#[unsafe(no_mangle)]
pub extern "C" fn mdev_last_error() -> *const mdev_error {
    unwind::infallible(ptr::null(), || {
        with_last(|last| last.error.as_ref().filter(|_| last.current).map(|error| Arc::as_ptr(error).cast()))
            .flatten()
            .unwrap_or(ptr::null())
    })
}

/// The code of an error.
///
/// @param err from mdev_last_error()
/// @return one of enum mdev_error_code; -EINVAL when err is NULL or not an error.
///
/// Since: 0.1. Follows: virErrorPtr's code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_code(err: *const mdev_error) -> c_int {
    // SAFETY: the C contract for err.
    unwind::infallible(-libc::EINVAL, || unsafe { borrow(err) }.map_or(-libc::EINVAL, |e| e.body.code as c_int))
}

/// The errno of an error: what the failed call returned, without the minus sign.
///
/// @param err from mdev_last_error()
/// @return a positive errno; -EINVAL when err is NULL or not an error.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_errno(err: *const mdev_error) -> c_int {
    // SAFETY: the C contract for err.
    unwind::infallible(-libc::EINVAL, || unsafe { borrow(err) }.map_or(-libc::EINVAL, |e| e.body.errno))
}

/// What went wrong, as one English sentence that names the object, the file and what to do. For people: the words may
/// change, programs look at the code.
///
/// @param err from mdev_last_error()
/// @return one line of UTF-8 that lives as long as the error; NULL when err is NULL or not an error.
///
/// Since: 0.1. Follows: virGetLastErrorMessage.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_message(err: *const mdev_error) -> *const c_char {
    // SAFETY: the C contract for err.
    unwind::infallible(ptr::null(), || unsafe { borrow(err) }.map_or(ptr::null(), |e| e.body.message.as_ptr()))
}

/// The file or directory concerned.
///
/// @param err from mdev_last_error()
/// @return an absolute path that lives as long as the error; NULL when no file is concerned, or err is NULL or not an error.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_path(err: *const mdev_error) -> *const c_char {
    unwind::infallible(ptr::null(), || {
        // SAFETY: the C contract for err.
        let error = unsafe { borrow(err) };
        error.ok().and_then(|e| e.body.path.as_ref()).map_or(ptr::null(), |path| path.as_ptr())
    })
}
