// SPDX-License-Identifier: LGPL-2.1-or-later
//! Passes the log lines of the `log` crate to the log handler of the C program.
//!
//! The handler may do anything, also call the library. So it is never called in the middle of a call, where the library may hold a
//! lock. Each thread keeps its lines and passes them to the handler shortly before its call returns.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Mutex, Once, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::strings::terminated;
use super::unwind::{self, Depth};
use mdev::c_interface::printable;

/// The level of a log line.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// An operation failed.
    Error = 1,
    /// The library skipped or replaced unexpected data.
    Warning = 2,
    /// The library changed the host.
    Info = 3,
    /// Steps of an operation.
    Debug = 4,
}

/// The most lines of one call that are kept. More lines would not help to understand a host with so many faults.
const PENDING_MAX: usize = 1000;

type HandlerFn = unsafe extern "C" fn(level: c_int, message: *const c_char, data: *mut c_void);

struct Handler {
    function: HandlerFn,
    data: *mut c_void,
    max_level: c_int,
}

// SAFETY: the data pointer is only passed to the handler. The contract of mdev_set_log_handler() allows this in any thread.
unsafe impl Send for Handler {}
// SAFETY: as above; no member changes after the creation.
unsafe impl Sync for Handler {}

static HANDLER: Mutex<Option<Arc<Handler>>> = Mutex::new(None);

/// The lines of the running call.
struct Pending {
    lines: Vec<(c_int, String)>,
    left_out: usize,
}

thread_local! {
    static PENDING: RefCell<Pending> = const { RefCell::new(Pending { lines: Vec::new(), left_out: 0 }) };
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

struct Forwarder;

impl Log for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && !IN_HANDLER.get()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = number(record.level());
        // A message is one line, also if it quotes an attribute with line breaks.
        let line = printable(record.args().to_string());
        if unwind::depth() == 0 {
            return deliver(&[(level, line)]);
        }
        let _ = PENDING.try_with(|pending| {
            let mut pending = pending.borrow_mut();
            if pending.lines.len() < PENDING_MAX {
                pending.lines.push((level, line));
            } else {
                pending.left_out += 1;
            }
        });
    }

    fn flush(&self) {}
}

fn number(level: Level) -> c_int {
    let level = match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warning,
        Level::Info => LogLevel::Info,
        Level::Debug | Level::Trace => LogLevel::Debug,
    };
    level as c_int
}

/// Passes the lines that the ending call has logged to the handler.
pub(super) fn deliver_pending() {
    // A call that the handler makes delivers no lines. The call that runs the handler delivers them later.
    if unwind::depth() > 0 || IN_HANDLER.get() {
        return;
    }
    let taken = PENDING.try_with(|pending| {
        let mut pending = pending.borrow_mut();
        (std::mem::take(&mut pending.lines), std::mem::take(&mut pending.left_out))
    });
    let (mut lines, left_out) = taken.unwrap_or_default();
    if left_out > 0 {
        lines.push((LogLevel::Warning as c_int, format!("{left_out} more lines of this call were left out")));
    }
    if !lines.is_empty() {
        deliver(&lines);
    }
}

fn deliver(lines: &[(c_int, String)]) {
    // The lock is held only for the copy, since the handler may set another handler.
    let Some(handler) = HANDLER.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
        return;
    };
    let _outside = Depth::set(0);
    IN_HANDLER.set(true);
    for (level, line) in lines.iter().filter(|(level, _)| *level <= handler.max_level) {
        let line = terminated(line);
        // SAFETY: the caller of mdev_set_log_handler() registered this function with this data. The line lives until the function
        // returns. It must not unwind: C functions do not, and the header forbids it to C++ programs.
        unsafe { (handler.function)(*level, line.as_ptr(), handler.data) };
    }
    IN_HANDLER.set(false);
}

/// Sets the log handler of the process, which replaces the previous handler. Without a handler, the library logs
/// nothing.
///
/// The library calls the handler in the thread whose call caused the log line, shortly before that call returns;
/// several threads may call it at the same time. The handler may call the library; log lines of such calls are dropped.
/// It must not throw or longjmp. If the handler is replaced during a call in another thread, the end of that call may
/// still use the old handler.
///
/// @param handler gets a level of enum mdev_log_level, one line of UTF-8 that is valid until the handler returns, and
/// data; NULL: no logging
/// @param data passed to the handler unchanged; it must stay valid as long as calls in other threads may use the
/// handler
/// @param max_level the highest level to log, MDEV_LOG_ERROR to MDEV_LOG_DEBUG; 0 or less: no logging
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virSetErrorFunc, libbpf_set_print.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_set_log_handler(
    handler: Option<unsafe extern "C" fn(level: c_int, message: *const c_char, data: *mut c_void)>,
    data: *mut c_void,
    max_level: c_int,
) {
    unwind::infallible((), || set_handler(handler, data, max_level));
}

fn set_handler(function: Option<HandlerFn>, data: *mut c_void, max_level: c_int) {
    static OURS: Mutex<bool> = Mutex::new(false);
    static ONCE: Once = Once::new();
    // In a Rust program with its own logger, the lines go to that logger, and the library must not change its filter.
    ONCE.call_once(|| *OURS.lock().unwrap_or_else(PoisonError::into_inner) = log::set_logger(&Forwarder).is_ok());
    if !*OURS.lock().unwrap_or_else(PoisonError::into_inner) {
        return;
    }
    let handler = function.filter(|_| max_level > 0).map(|function| Arc::new(Handler { function, data, max_level }));
    let filter = match (&handler, max_level) {
        (None, _) => LevelFilter::Off,
        (_, 1) => LevelFilter::Error,
        (_, 2) => LevelFilter::Warn,
        (_, 3) => LevelFilter::Info,
        (_, 4) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut slot = HANDLER.lock().unwrap_or_else(PoisonError::into_inner);
    *slot = handler;
    // Under the lock, so that the filter always matches the handler.
    log::set_max_level(filter);
}
