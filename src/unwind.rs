// SPDX-License-Identifier: LGPL-2.1-or-later
//! Panics inside a call of the library: each is caught and becomes an error, and the panic hook does not print it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use rustix::io::Errno;

use mdev::{Error, ErrorCode, Result};

thread_local! {
    /// How many guards this thread is inside of; more than one when a log handler calls the library.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic inside a guard happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// For everything that never touches the thread's error.
pub(super) fn infallible<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch(|| Ok(body())).unwrap_or(fallback)
}

/// Runs a body; a panic in it becomes an error.
pub(super) fn catch<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    install_hook();
    let inside = Depth::set(depth() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    drop(inside);
    outcome.unwrap_or_else(|payload| Err(caught(payload)))
}

/// An error for a panic.
fn caught(payload: Box<dyn Any + Send>) -> Error {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no message".to_owned(),
    };
    // The payload may be anything; if its destructor panics as well, it is left alone.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    let place = PLACE.try_with(|place| place.borrow_mut().take()).ok().flatten();
    let place = place.map_or(String::new(), |place| format!(" at {place}"));
    let text = text.replace('\n', " ");
    Error::new(
        ErrorCode::Panic,
        Errno::NOTRECOVERABLE,
        format!("a fault inside libmdev{place} was caught: {text}; close the connection and report this"),
    )
}

/// The standard library prints every panic to stderr, also one that is caught. A hook of ours, once in a process, keeps
/// quiet about those inside a guard and passes every other one on: when this crate is part of a Rust program, that
/// program's own panics look as before.
fn install_hook() {
    static ONCE: Once = Once::new();
    // Hooks cannot be changed while unwinding, and then every panic aborts anyway.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| if depth() > 0 { remember(info) } else { previous(info) }));
    });
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let _ = PLACE.try_with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            *slot = place;
        }
    });
}

/// How many guards this thread is inside of.
pub(super) fn depth() -> u32 {
    DEPTH.get()
}

/// A depth for a while.
pub(super) struct Depth(u32);

impl Depth {
    /// `0` for the time of a call out of the library: what happens there is not ours.
    pub(super) fn set(depth: u32) -> Depth {
        Depth(DEPTH.replace(depth))
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}
