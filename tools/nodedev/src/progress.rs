// SPDX-License-Identifier: LGPL-2.1-or-later
//! Shows on a terminal that an action takes long.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::session::Session;

/// An action shows nothing before this time.
const DELAY: Duration = Duration::from_secs(1);

/// The time between two frames.
const TICK: Duration = Duration::from_millis(200);

/// Runs an action. If it takes longer than a second and standard error is a terminal, shows `message` there with the time, until the
/// action ends.
pub fn during<T>(session: &Session, message: &str, action: impl FnOnce() -> T) -> T {
    if session.globals.quiet || session.globals.json || !std::io::stderr().is_terminal() {
        return action();
    }
    let (end, ended) = channel::<()>();
    let text = crate::output::safe(message);
    thread::scope(|scope| {
        // Without a thread there is no progress, and the action runs as well.
        let _ = thread::Builder::new().spawn_scoped(scope, move || {
            if ended.recv_timeout(DELAY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                spinner.set_style(style);
            }
            spinner.set_message(text);
            spinner.enable_steady_tick(TICK);
            let _ = ended.recv();
            spinner.finish_and_clear();
        });
        let result = action();
        drop(end);
        result
    })
}
