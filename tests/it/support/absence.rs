// SPDX-License-Identifier: LGPL-2.1-or-later
//! The verdict on a request to a host on which every object exists while operations fail. Used by the tests of the
//! simulated kernel and by the tests of the stores in src/driver.

use mdev::test_hooks::sysfs::Errno;
use mdev::{Error, ErrorCode};

pub const ON_BUS: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc601";
pub const ON_VF: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc602";
pub const DEFINED: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc603";
pub const NEW: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc604";
pub const OTHER: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc605";
/// A UUID that can be the derived UUID of a device on any VF.
pub const VERSION_5: &str = "886313e1-3b8a-5372-9b90-0c9aee199e5d";
pub const M60: &str = "0000:86:00.0";
pub const CARD: &str = "0000:41:00.0";
pub const VF: &str = "0000:41:00.5";

pub fn xml(parent: &str, type_id: &str, uuid: &str, name: &str) -> String {
    format!(
        "<device><name>{name}</name><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>\
         <uuid>{uuid}</uuid></capability></device>"
    )
}

/// Error codes which mean that an object does not exist or did not appear.
const ABSENT: [ErrorCode; 6] = [
    ErrorCode::NoNode,
    ErrorCode::NoParent,
    ErrorCode::NoType,
    ErrorCode::NoAttribute,
    ErrorCode::WrongState,
    ErrorCode::Timeout,
];

/// `Err` contains the reason why the result of a request is wrong.
pub type Verdict = Result<(), String>;

/// Accepts every error except one that reports an object as missing.
pub fn verdict<T>(result: Result<T, Error>) -> Verdict {
    match result {
        Err(e) if ABSENT.contains(&e.code) => Err(e.to_string()),
        Err(e) if [Errno::NODEV, Errno::NOENT].iter().any(|errno| e.errno == errno.raw_os_error()) => {
            Err(e.to_string())
        }
        _ => Ok(()),
    }
}
