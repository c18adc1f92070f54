// SPDX-License-Identifier: LGPL-2.1-or-later
//! The last error of each thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;

use super::handle::{self, Kind, Object, Tag, borrow};
use super::strings::{Lazy, terminated};
use super::unwind;
use mdev::{Error, ErrorCode};

/// The cause of a failed call: see mdev_last_error().
///
/// Since: 0.1.
pub struct mdev_error {
    _opaque: [u8; 0],
}

impl Kind for mdev_error {
    type Body = Detail;
    const TAG: Tag = handle::ERROR;
}

/// An error with its texts as C strings.
pub(super) struct Detail {
    code: ErrorCode,
    errno: c_int,
    message: CString,
    path: Option<CString>,
}

/// `current` is true if the last call failed; the next call sets it to false. The object is kept until the next error, because the C
/// program may still use a pointer to it.
struct Last {
    current: bool,
    error: Option<Arc<Object<mdev_error>>>,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { current: false, error: None }) };
}

/// Accesses the slot; `None` if the thread is ending and the slot no longer exists. Calls of such a thread work, without an error
/// object.
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

/// Returns why the last call of this thread failed.
///
/// A function that returns a negative number sets the error. A function that can fail clears the error when it starts,
/// except for getters: a function that only returns data of a handle does not change the error unless it fails itself.
/// These functions never change the error: ref, unref and free functions, mdev_error_*, mdev_version() and functions
/// that return a const char *.
///
/// @return NULL: the last call of this thread succeeded. Otherwise an error that belongs to this thread. It is valid
/// until the next failed call of this thread, or until the thread ends. Do not pass it to another thread, and do not
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

/// Returns the code of an error.
///
/// @param err an error from mdev_last_error()
/// @return a value of enum mdev_error_code; -EINVAL: err is NULL or not an error.
///
/// Since: 0.1. Follows: virErrorPtr's code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_code(err: *const mdev_error) -> c_int {
    // SAFETY: the C contract for err.
    unwind::infallible(-libc::EINVAL, || unsafe { borrow(err) }.map_or(-libc::EINVAL, |e| e.body.code as c_int))
}

/// Returns the name of an error code, such as "no-instances". A name never gets another meaning.
///
/// @param code a value of enum mdev_error_code
/// @return a static string; NULL: the code is unknown.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mdev_error_code_name(code: c_int) -> *const c_char {
    static NAMES: [Lazy; ErrorCode::all().len()] = [const { Lazy::new() }; ErrorCode::all().len()];
    unwind::infallible(ptr::null(), || {
        let known = ErrorCode::all().into_iter().zip(&NAMES).find(|(known, _)| *known as c_int == code);
        known.map_or(ptr::null(), |(known, name)| name.get(known.name()))
    })
}

/// Returns the errno of an error: the return value of the failed call, without the minus sign.
///
/// @param err an error from mdev_last_error()
/// @return a positive errno; -EINVAL: err is NULL or not an error.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_errno(err: *const mdev_error) -> c_int {
    // SAFETY: the C contract for err.
    unwind::infallible(-libc::EINVAL, || unsafe { borrow(err) }.map_or(-libc::EINVAL, |e| e.body.errno))
}

/// Returns the message of an error: one English sentence with the object, the file and the next step. The wording may
/// change between versions; programs use the code.
///
/// @param err an error from mdev_last_error()
/// @return one line of UTF-8, valid as long as the error; NULL: err is NULL or not an error.
///
/// Since: 0.1. Follows: virGetLastErrorMessage.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_message(err: *const mdev_error) -> *const c_char {
    // SAFETY: the C contract for err.
    unwind::infallible(ptr::null(), || unsafe { borrow(err) }.map_or(ptr::null(), |e| e.body.message.as_ptr()))
}

/// Returns the file or directory of an error.
///
/// @param err an error from mdev_last_error()
/// @return an absolute path, valid as long as the error; NULL: the error has no file, or err is NULL or not an error.
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
