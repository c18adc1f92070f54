// SPDX-License-Identifier: LGPL-2.1-or-later
//! Log lines of the library on standard error, for `--verbose`.

use std::io::Write;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};

use crate::output;

/// Error lines since the last [`collect_errors`]; `None` if they are not collected.
static ERRORS: Mutex<Option<Vec<String>>> = Mutex::new(None);

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if let Ok(Some(errors)) = ERRORS.lock().as_deref_mut() {
            errors.extend((record.level() == log::Level::Error).then(|| record.args().to_string()));
            return;
        }
        let level = record.level().as_str().to_ascii_lowercase();
        output::flush();
        let _ = writeln!(std::io::stderr(), "log {level}: {}", output::safe(&record.args().to_string()));
    }

    fn flush(&self) {}
}

/// Returns the result of a request, and the error lines that the library logged during the request. With `--verbose`, the lines are
/// printed with all others, and none is returned.
pub fn collect_errors<T>(request: impl FnOnce() -> T) -> (T, Vec<String>) {
    if log::max_level() != LevelFilter::Off {
        return (request(), Vec::new());
    }
    let _ = log::set_logger(&Stderr);
    let set = |value| ERRORS.lock().map_or(None, |mut errors| std::mem::replace(&mut *errors, value));
    set(Some(Vec::new()));
    log::set_max_level(LevelFilter::Error);
    let result = request();
    log::set_max_level(LevelFilter::Off);
    (result, set(None).unwrap_or_default())
}

/// Prints everything that the library logs from now on.
pub fn start() {
    let _ = log::set_logger(&Stderr);
    log::set_max_level(LevelFilter::Debug);
}
