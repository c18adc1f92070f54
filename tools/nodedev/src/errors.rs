// SPDX-License-Identifier: LGPL-2.1-or-later
//! Failures, and the exit status of the program.

use mdev::{Error, ErrorCode};
use serde_json::json;

use crate::output;

/// The exit status. The numbers are part of the interface: scripts compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// All commands succeeded.
    Ok = 0,
    /// A command failed, for a reason that has no number of its own.
    Failed = 1,
    /// The command line is invalid.
    Usage = 2,
    /// There is no such node, parent, type or definition.
    Missing = 3,
    /// The name or the UUID is in use.
    Exists = 4,
    /// A process has the device open.
    Busy = 5,
    /// No instances are left.
    Full = 6,
    /// No permission, or another owner.
    Denied = 7,
    /// A time limit was reached.
    Timeout = 8,
    /// `simfs` cannot run its command, as env(1) reports it.
    CannotRun = 127,
    /// The parent offers no types yet: try again later (EX_TEMPFAIL of sysexits.h).
    Again = 75,
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line is invalid. The sentence says what is expected.
    Usage(String),
    /// The library returned an error.
    Library(Error),
    /// The tool itself failed: a file cannot be read or written, for example.
    Tool(String),
    /// The failure was already printed.
    Printed(Status),
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Library(error)
    }
}

/// Returns the failure of a file operation: "cannot ACTION PATH: REASON".
pub fn file_failure(action: &str, path: &str, error: &std::io::Error) -> Failure {
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default();
    Failure::Tool(format!("cannot {action} {path}: {reason}"))
}

impl Failure {
    /// Returns the exit status for this failure.
    pub fn status(&self) -> Status {
        match self {
            Failure::Usage(_) => Status::Usage,
            Failure::Library(error) => status_of(error),
            Failure::Tool(_) => Status::Failed,
            Failure::Printed(status) => *status,
        }
    }

    /// Prints the failure on standard error: a sentence, or an object with `--json`. Returns its exit status.
    pub fn print(&self, as_json: bool) -> Status {
        let message = match self {
            Failure::Printed(status) => return *status,
            Failure::Library(error) => &error.message,
            Failure::Usage(sentence) | Failure::Tool(sentence) => sentence,
        };
        if as_json {
            let (code, errno, path) = match self {
                Failure::Library(error) => (error.code.name(), Some(error.errno), error.path.as_deref()),
                Failure::Usage(_) => ("usage", None, None),
                _ => ("failed", None, None),
            };
            output::error_object(&json!({ "code": code, "errno": errno, "message": message, "path": path }));
        } else {
            output::error(message);
        }
        self.status()
    }
}

/// Returns the exit status for an error of the library.
fn status_of(error: &Error) -> Status {
    const EAGAIN: i32 = 11;
    match error.code {
        ErrorCode::NoType if error.errno == EAGAIN => Status::Again,
        ErrorCode::NoNode | ErrorCode::NoParent | ErrorCode::NoType | ErrorCode::NoAttribute => Status::Missing,
        ErrorCode::Exists => Status::Exists,
        ErrorCode::InUse => Status::Busy,
        ErrorCode::NoInstances => Status::Full,
        ErrorCode::AccessDenied | ErrorCode::NotOwner => Status::Denied,
        ErrorCode::Timeout => Status::Timeout,
        _ => Status::Failed,
    }
}
