// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_finding`: a problem of a host, as data.

use std::ffi::{CString, c_char, c_int, c_uint};
use std::ptr;

use super::conn::{mdev_conn, no_flags};
use super::guard;
use super::handle::{self, Counted, Kind, Tag, borrow, count, export, free_list, hold};
use super::strings::{Out, out, terminated, to_c_list};
use mdev::ErrorCode;
use mdev::{Finding, Result, Severity};

/// A finding: one problem of a host, which is an object that a list leaves out or shows incompletely, and the cause.
///
/// Since: 0.1.
pub struct mdev_finding {
    _opaque: [u8; 0],
}

impl Kind for mdev_finding {
    type Body = Body;
    const TAG: Tag = handle::FINDING;
}

impl Counted for mdev_finding {}

/// A finding with its texts as C strings.
pub(super) struct Body {
    severity: Severity,
    code: ErrorCode,
    object: CString,
    message: CString,
    next_step: Option<CString>,
}

impl From<Finding> for Body {
    fn from(finding: Finding) -> Self {
        Body {
            severity: finding.severity,
            code: finding.code,
            object: terminated(&finding.object),
            message: terminated(&finding.message),
            next_step: finding.next_step.as_deref().map(terminated),
        }
    }
}

/// Reads the whole host and returns every object that a list leaves out or shows incompletely: parents and types that
/// cannot be read, links without a target, devices without a type, invalid definitions, and incomplete groups of
/// devices. mdev_conn_list() only logs such objects.
///
/// @param conn a connection
/// @param ret receives the NULL-terminated array; the caller frees it with mdev_finding_list_free()
/// @param flags 0
/// @return the number of findings, 0 if the host has no problem; -EINVAL: an argument is invalid; -EMFILE, -ENFILE,
/// -ENOMEM and other errnos of the kernel: the host cannot be read.
///
/// Thread-safe. Since: 0.1. Follows: systemctl list-units --failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_list_problems(
    conn: *mut mdev_conn,
    ret: *mut *mut *mut mdev_finding,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and ret.
        let (conn, ret) = unsafe { (hold(conn)?, out(ret)?) };
        no_flags(flags, "mdev_conn_list_problems")?;
        export_findings(conn.body.list_problems()?, ret)
    })
}

/// Returns findings to C as an array; returns their number.
pub(super) fn export_findings(found: Vec<Finding>, ret: Out<*mut *mut mdev_finding>) -> Result<c_int> {
    let n = count(found.len())?;
    ret.set(to_c_list(found.into_iter().map(|finding| export::<mdev_finding>(finding.into())))?);
    Ok(n)
}

/// Returns the severity of a finding.
///
/// @param finding a finding
/// @return a value of enum mdev_severity; -EINVAL: finding is NULL or not a finding.
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_finding_get_severity(finding: *const mdev_finding) -> c_int {
    // SAFETY: the C contract for finding.
    guard::getter(|| unsafe { borrow(finding) }.map(|finding| finding.body.severity as c_int))
}

/// Returns the error code of a finding, which identifies the cause.
///
/// @param finding a finding
/// @return a value of enum mdev_error_code; -EINVAL: finding is NULL or not a finding.
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_finding_get_code(finding: *const mdev_finding) -> c_int {
    // SAFETY: the C contract for finding.
    guard::getter(|| unsafe { borrow(finding) }.map(|finding| finding.body.code as c_int))
}

/// Returns the object of a finding.
///
/// @param finding a finding
/// @return a path or the name of a node device, valid as long as the finding; NULL: finding is NULL or not a finding.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_finding_get_object(finding: *const mdev_finding) -> *const c_char {
    guard::infallible(ptr::null(), || {
        // SAFETY: the C contract for finding.
        unsafe { borrow(finding) }.map_or(ptr::null(), |finding| finding.body.object.as_ptr())
    })
}

/// Returns the message of a finding: the object and its problem.
///
/// @param finding a finding
/// @return one English sentence, valid as long as the finding; NULL: finding is NULL or not a finding.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_finding_get_message(finding: *const mdev_finding) -> *const c_char {
    guard::infallible(ptr::null(), || {
        // SAFETY: the C contract for finding.
        unsafe { borrow(finding) }.map_or(ptr::null(), |finding| finding.body.message.as_ptr())
    })
}

/// Returns the next step that repairs the problem of a finding.
///
/// @param finding a finding
/// @return a text, valid as long as the finding; NULL: no next step is known, or finding is NULL or not a finding.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_finding_get_next_step(finding: *const mdev_finding) -> *const c_char {
    guard::infallible(ptr::null(), || {
        // SAFETY: the C contract for finding.
        let step = unsafe { borrow(finding) }.ok().and_then(|finding| finding.body.next_step.as_deref());
        step.map_or(ptr::null(), |step| step.as_ptr())
    })
}

/// Frees an array of findings and the findings in it.
///
/// @param list an array from mdev_conn_list_problems() or mdev_conn_diagnose(), or NULL
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_finding_list_free(list: *mut *mut mdev_finding) {
    // SAFETY: the C contract for an array of this library, which is not used after this call.
    guard::infallible((), || unsafe { free_list(list) });
}
