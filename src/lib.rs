// SPDX-License-Identifier: LGPL-2.1-or-later
//! The C layer, and the only `unsafe` of the crate.
//!
//! Every exported function has the same shape: a literal `extern "C"` function (cbindgen does not see what a macro makes)
//! whose body is one closure behind the [`guard`], which keeps panics inside and the thread's last error right. The closure
//! first turns every argument into something safe, then makes one call of [`mdev::driver`], then writes the out-parameter.
//! So nothing happens when an argument is bad, and nothing is written when something fails.
//!
//! # The C contract
//!
//! What the `SAFETY` notes of this room lean on, and what a C caller has to keep. A pointer argument is NULL, or:
//!
//! - a handle: it points to at least eight readable bytes. Whether they belong to a living object of the right kind is
//!   checked (see [`handle`]), as far as this can be. The caller holds a reference of its own for as long as the call runs;
//! - a string: it points to bytes that end with a NUL and do not change while the call runs;
//! - an out-parameter: it may be written, once, before the call returns;
//! - an array with a count: it has that many elements, each a pointer as above.
//!
//! NULL is checked everywhere, and so is the rest that can be checked: a wrong call is -EINVAL, not a crash.

// The names are those of the header, which cbindgen copies.
#![allow(non_camel_case_types)]
// The module's own documentation has the contract; each function's goes into the header and speaks to C programmers.
#![allow(clippy::missing_safety_doc)]

pub mod action;
pub mod conn;
pub mod define;
mod device;
pub mod device_types;
pub mod driver_table;
pub mod errors;
pub mod event;
pub mod finding;
pub mod log;
pub mod monitor;
pub mod subscribe;
pub mod types;
pub mod version;

mod callbacks;
mod caps;
mod guard;
mod handle;
mod strings;
mod unwind;

#[cfg(test)]
mod tests;
