// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reports checks that this machine cannot make.

use std::fs::OpenOptions;
use std::io::{Write, stderr};
use std::panic::Location;

/// Reports that a check is skipped, with the reason and the place of the call: in the file that MDEV_TEST_SKIPS
/// names, whose lines scripts/test counts, or on standard error, which the test runner does not capture.
#[track_caller]
pub fn skip(why: &str) {
    let line = format!("{}: skipped: {why}\n", Location::caller());
    let written = match std::env::var_os("MDEV_TEST_SKIPS") {
        Some(path) => OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()),
        None => stderr().write_all(line.as_bytes()),
    };
    written.unwrap();
}
