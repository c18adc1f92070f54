// SPDX-License-Identifier: LGPL-2.1-or-later
//! Standard output and standard error: safe text, colours, and the failure of a write.

use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::errors::Status;

/// The errno of the first failed write to standard output; 0 if none failed, -1 if it has no errno.
static WRITE_ERROR: AtomicI32 = AtomicI32::new(0);

/// Standard output with a buffer for many lines.
static STDOUT: LazyLock<Mutex<BufWriter<Stdout>>> =
    LazyLock::new(|| Mutex::new(BufWriter::with_capacity(64 * 1024, std::io::stdout())));

/// True while standard output is suppressed.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The style of an error's first word.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of a warning's first word.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// The style of a word that reports success.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// The style of headers.
pub const HEADER: Style = Style::new().bold();

/// Returns the text with every control character as `\x1b`, so that it cannot change the terminal.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            safe.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Suppresses everything that is written to standard output, or stops doing so.
pub fn silence(is_silent: bool) {
    SILENT.store(is_silent, Ordering::Relaxed);
}

/// Writes to standard output. A failure is reported once, by [`finish`].
pub fn write(text: &str) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    if WRITE_ERROR.load(Ordering::Relaxed) == 0 {
        record(STDOUT.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes()));
    }
}

/// Writes a line to standard output.
pub fn line(text: &str) {
    write(&format!("{text}\n"));
}

/// Writes a line to standard output at once: the result of an action, which must be seen also if the program is killed later.
pub fn result(text: &str) {
    line(text);
    flush();
}

/// Writes everything that standard output still buffers.
pub fn flush() {
    record(STDOUT.lock().unwrap_or_else(PoisonError::into_inner).flush());
}

fn record(result: std::io::Result<()>) {
    if let Err(error) = result {
        let errno = error.raw_os_error().unwrap_or(-1);
        let _ = WRITE_ERROR.compare_exchange(0, errno, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Flushes standard output and returns the exit status: a failed write is a failure.
pub fn finish(status: Status) -> Status {
    flush();
    let errno = WRITE_ERROR.load(Ordering::Relaxed);
    if errno == 0 {
        return status;
    }
    const EPIPE: i32 = 32;
    if errno != EPIPE {
        let reason = std::io::Error::from_raw_os_error(errno).to_string();
        error(&format!("cannot write the output: {}", reason.split(" (os error").next().unwrap_or_default()));
    }
    if status == Status::Ok { Status::Failed } else { status }
}

/// Prints a line `error: SENTENCE` on standard error.
pub fn error(sentence: &str) {
    labelled("error:", BAD, sentence);
}

/// Prints a line `note: SENTENCE` on standard error.
pub fn note(sentence: &str) {
    labelled("note:", WARN, sentence);
}

fn labelled(label: &str, style: Style, sentence: &str) {
    flush();
    let label = styled(label, style, std::io::stderr().is_terminal());
    let _ = writeln!(std::io::stderr(), "{label} {}", safe(sentence));
}

/// Prints a JSON object on standard error, on one line.
pub fn error_object(object: &Value) {
    flush();
    let _ = writeln!(std::io::stderr(), "{object}");
}

/// Returns the text with a style if the output is a terminal and `NO_COLOR` is not set.
pub fn styled(text: &str, style: Style, is_terminal: bool) -> String {
    match is_terminal && uses_colour() {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    }
}

/// Returns the text with a style, for standard output.
pub fn styled_out(text: &str, style: Style) -> String {
    styled(text, style, std::io::stdout().is_terminal())
}

fn uses_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns the width of the terminal in columns. `None` if standard output is not a terminal and `COLUMNS` is not set.
pub fn width() -> Option<usize> {
    if let Ok(columns) = std::env::var("COLUMNS") {
        if let Some(columns) = columns.parse().ok().filter(|columns| *columns > 0) {
            return Some(columns);
        }
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Returns the number with its noun: `1 device`, `3 devices`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
