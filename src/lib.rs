// SPDX-License-Identifier: LGPL-2.1-or-later
//! The C interface of [`mdev`]: exported functions, and what turns handles and pointers of C into safe types.
//!
//! Every exported function has the same form: a literal `extern "C"` function (cbindgen does not expand macros) whose body is one
//! closure inside the [`guard`], which catches panics and maintains the thread's last error. The closure first converts every
//! argument into a safe type, then calls the library ([`mdev`]) once, then writes the out-parameter. So an invalid argument has no
//! effect, and a failed call writes nothing.
//!
//! # The C contract
//!
//! The `SAFETY` comments of this module rely on this contract, which every C caller must keep. A pointer argument is NULL, or:
//!
//! - a handle: it points to at least eight readable bytes. Whether they belong to a living object of the right kind is
//!   checked as far as possible (see [`handle`]). The caller holds a reference until the call returns;
//! - a string: it points to bytes that end with a NUL and do not change until the call returns;
//! - an out-parameter: it may be written, once, before the call returns;
//! - an array with a count: it has that many elements, each a pointer as above.
//!
//! Every function checks for NULL and for every other violation that can be detected: a wrong call returns -EINVAL and does not
//! crash.

// cbindgen copies these names into the header.
#![allow(non_camel_case_types)]
// The contract is in the documentation of this module. The documentation of each function goes into the header, for C programmers.
#![allow(clippy::missing_safety_doc)]

#[cfg(not(panic = "unwind"))]
compile_error!("the C interface turns panics into -ENOTRECOVERABLE: build with panic = \"unwind\"");

pub mod action;
pub mod conn;
pub mod define;
mod device;
pub mod device_info;
pub mod device_types;
pub mod driver_table;
pub mod errors;
pub mod event;
pub mod filter;
pub mod finding;
pub mod log;
pub mod monitor;
pub mod options;
pub mod subscribe;
pub mod types;
pub mod user;
pub mod version;

mod callbacks;
mod caps;
mod guard;
mod handle;
mod strings;
mod unwind;

#[cfg(test)]
mod tests;
