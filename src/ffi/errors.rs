// SPDX-License-Identifier: LGPL-2.1-or-later
//! The last error of each thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;

use super::guard;
use super::handle::{Object, borrow};
use super::strings::terminated;
use crate::error::{Error, ErrorCode};

/// Why a call failed; see mdev_last_error().
///
/// Since: 0.1.
pub struct mdev_error {
    _opaque: [u8; 0],
}

/// What went wrong, finer than an errno. A number is never given to another meaning.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum mdev_error_code {
    /// A fault of the library itself; please report it.
    MDEV_ERROR_INTERNAL = 1,
    /// An argument is NULL, too long, or not of the form that the function takes.
    MDEV_ERROR_INVALID_ARGUMENT = 2,
    /// A handle is NULL, of the wrong kind or no longer alive.
    MDEV_ERROR_INVALID_HANDLE = 3,
    /// A flag bit that this function does not know.
    MDEV_ERROR_INVALID_FLAGS = 4,
    /// A connection URI that names no host.
    MDEV_ERROR_INVALID_URI = 5,
    /// The text is not well-formed XML, or its root element is not the one expected.
    MDEV_ERROR_XML_SYNTAX = 6,
    /// The XML is well-formed, but an element or a value in it is wrong or missing.
    MDEV_ERROR_XML_CONTENT = 7,
    /// The XML is larger or deeper than is accepted.
    MDEV_ERROR_XML_LIMIT = 8,
    /// No node device of that name or UUID.
    MDEV_ERROR_NO_NODE = 9,
    /// The parent device does not exist or cannot create mediated devices.
    MDEV_ERROR_NO_PARENT = 10,
    /// The parent has no such type.
    MDEV_ERROR_NO_TYPE = 11,
    /// The name or the UUID is taken.
    MDEV_ERROR_EXISTS = 12,
    /// The type has no instances left.
    MDEV_ERROR_NO_INSTANCES = 13,
    /// A process holds the device open.
    MDEV_ERROR_IN_USE = 14,
    /// The sysfs layout of this parent has no such thing.
    MDEV_ERROR_NOT_SUPPORTED = 15,
    /// Parameters were given, but the type takes none.
    MDEV_ERROR_PARAMS_NOT_SUPPORTED = 16,
    /// A group was given, but the type wants none.
    MDEV_ERROR_GROUP_NOT_SUPPORTED = 17,
    /// The caller may not do this.
    MDEV_ERROR_ACCESS_DENIED = 18,
    /// The device belongs to another owner.
    MDEV_ERROR_NOT_OWNER = 19,
    /// The deadline passed.
    MDEV_ERROR_TIMEOUT = 20,
    /// The kernel refused; the errno is the kernel's own.
    MDEV_ERROR_KERNEL = 21,
    /// A file of the kernel holds something that cannot be understood.
    MDEV_ERROR_BAD_DATA = 22,
    /// A file under /run/libmdev or /etc/mdevctl.d could not be read or written.
    MDEV_ERROR_STORE = 23,
    /// The node has no such value.
    MDEV_ERROR_NO_DATA = 24,
    /// The device has no such attribute, or it may not be read or written.
    MDEV_ERROR_NO_ATTRIBUTE = 25,
    /// A panic was caught at the C boundary.
    MDEV_ERROR_PANIC = 26,
    /// The kernel took the request, but the device did not become usable.
    MDEV_ERROR_NOT_READY = 27,
    /// More than one node answers to this; name one of them.
    MDEV_ERROR_AMBIGUOUS = 28,
    /// The node is not in the state that this needs: it does not run, runs already, or has no definition.
    MDEV_ERROR_WRONG_STATE = 29,
    /// A call-out of mdevctl's has refused, or did not end in time.
    MDEV_ERROR_CALLOUT = 30,
}

use mdev_error_code::*;

impl From<ErrorCode> for mdev_error_code {
    /// Without a catch-all arm: a code that is new in the crate does not compile before it is in the header.
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Internal => MDEV_ERROR_INTERNAL,
            ErrorCode::InvalidArgument => MDEV_ERROR_INVALID_ARGUMENT,
            ErrorCode::InvalidHandle => MDEV_ERROR_INVALID_HANDLE,
            ErrorCode::InvalidFlags => MDEV_ERROR_INVALID_FLAGS,
            ErrorCode::InvalidUri => MDEV_ERROR_INVALID_URI,
            ErrorCode::XmlSyntax => MDEV_ERROR_XML_SYNTAX,
            ErrorCode::XmlContent => MDEV_ERROR_XML_CONTENT,
            ErrorCode::XmlLimit => MDEV_ERROR_XML_LIMIT,
            ErrorCode::NoNode => MDEV_ERROR_NO_NODE,
            ErrorCode::NoParent => MDEV_ERROR_NO_PARENT,
            ErrorCode::NoType => MDEV_ERROR_NO_TYPE,
            ErrorCode::Exists => MDEV_ERROR_EXISTS,
            ErrorCode::NoInstances => MDEV_ERROR_NO_INSTANCES,
            ErrorCode::InUse => MDEV_ERROR_IN_USE,
            ErrorCode::NotSupported => MDEV_ERROR_NOT_SUPPORTED,
            ErrorCode::ParamsNotSupported => MDEV_ERROR_PARAMS_NOT_SUPPORTED,
            ErrorCode::GroupNotSupported => MDEV_ERROR_GROUP_NOT_SUPPORTED,
            ErrorCode::AccessDenied => MDEV_ERROR_ACCESS_DENIED,
            ErrorCode::NotOwner => MDEV_ERROR_NOT_OWNER,
            ErrorCode::Timeout => MDEV_ERROR_TIMEOUT,
            ErrorCode::Kernel => MDEV_ERROR_KERNEL,
            ErrorCode::BadData => MDEV_ERROR_BAD_DATA,
            ErrorCode::Store => MDEV_ERROR_STORE,
            ErrorCode::NoData => MDEV_ERROR_NO_DATA,
            ErrorCode::NoAttribute => MDEV_ERROR_NO_ATTRIBUTE,
            ErrorCode::Panic => MDEV_ERROR_PANIC,
            ErrorCode::NotReady => MDEV_ERROR_NOT_READY,
            ErrorCode::Ambiguous => MDEV_ERROR_AMBIGUOUS,
            ErrorCode::WrongState => MDEV_ERROR_WRONG_STATE,
            ErrorCode::Callout => MDEV_ERROR_CALLOUT,
        }
    }
}

/// An error with its texts as C wants them.
pub(super) struct Detail {
    code: mdev_error_code,
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
        code: error.code.into(),
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
    guard::quiet(ptr::null(), || {
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
    guard::quiet(-libc::EINVAL, || unsafe { borrow(err) }.map_or(-libc::EINVAL, |e| e.body.code as c_int))
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
    guard::quiet(-libc::EINVAL, || unsafe { borrow(err) }.map_or(-libc::EINVAL, |e| e.body.errno))
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
    guard::quiet(ptr::null(), || unsafe { borrow(err) }.map_or(ptr::null(), |e| e.body.message.as_ptr()))
}

/// The file or directory concerned.
///
/// @param err from mdev_last_error()
/// @return an absolute path that lives as long as the error; NULL when no file is concerned, or err is NULL or not an error.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_error_get_path(err: *const mdev_error) -> *const c_char {
    guard::quiet(ptr::null(), || {
        // SAFETY: the C contract for err.
        let error = unsafe { borrow(err) };
        error.ok().and_then(|e| e.body.path.as_ref()).map_or(ptr::null(), |path| path.as_ptr())
    })
}
