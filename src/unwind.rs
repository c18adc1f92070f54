// SPDX-License-Identifier: LGPL-2.1-or-later
//! Panics inside a call of the library: each panic becomes an error, and the panic hook does not print it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use rustix::io::Errno;

use mdev::{Error, ErrorCode, Result};

thread_local! {
    /// The number of nested guards of this thread; more than one if a log handler calls the library.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The place of the last panic inside a guard.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// For functions that never change the thread's error.
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
    // The destructor of the payload may panic, too; the second payload is then leaked.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    let place = PLACE.try_with(|place| place.borrow_mut().take()).ok().flatten();
    let place = place.map_or(String::new(), |place| format!(" at {place}"));
    let text = text.replace('\n', " ");
    Error::new(
        ErrorCode::Panic,
        Errno::NOTRECOVERABLE,
        format!("libmdev has an internal fault{place}: {text}; close the connection and report this"),
    )
}

/// The standard library prints every panic to stderr, also a caught one. This installs one hook per process: it does not print
/// panics inside a guard, and passes every other panic to the previous hook. So the panics of a Rust program that uses this crate
/// are printed as before.
fn install_hook() {
    static ONCE: Once = Once::new();
    // Hooks cannot be changed during unwinding, and a panic during unwinding aborts the process anyway.
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

/// The number of nested guards of this thread.
pub(super) fn depth() -> u32 {
    DEPTH.get()
}

/// Sets the depth until it is dropped.
pub(super) struct Depth(u32);

impl Depth {
    /// Use `0` during a call of the caller's code: a panic there is not a fault of the library.
    pub(super) fn set(depth: u32) -> Depth {
        Depth(DEPTH.replace(depth))
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}
