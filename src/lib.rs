// SPDX-License-Identifier: LGPL-2.1-or-later
//! libmdev: a node-device driver for mediated devices, in the manner of libvirt.
//!
//! Calls go down:
//!
//! ```text
//! ffi -> driver -> backend -> sysfs
//!        driver, backend -> store
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`error`] | the one error type: code, errno, sentence, path |
//! | [`finding`] | what a request left out of its result, and why |
//! | [`fd`], [`time`], [`trust`] | descriptors, times as numbers, which files are trusted |
//! | [`lock`] | flock(2) with a bound on the wait |
//! | [`model`] | plain data: node names, addresses, parents, types, devices; no I/O |
//! | [`sysfs`] | access to a kernel: the real one and the simulated one |
//! | [`backend`] | the ways in which kernels make mediated devices, behind one trait |
//! | `xml` | text to model and back, in both dialects; no I/O |
//! | [`callout`] | mdevctl's call-outs: programs that may refuse an action and are notified of its outcome |
//! | [`store`] | records under `/run/libmdev`, definitions under `/etc/mdevctl.d` |
//! | [`monitor`] | the changes of a host, behind one descriptor |
//! | [`driver`] | what a user can do; the only module that uses all of the above |
//! | `sys` | what safe Rust cannot ask the kernel for; `unsafe` |
//! | `ffi` | the C layer; `unsafe` |
//!
//! C programs use `include/libmdev.h`. The Rust items are public for the project's own tests and tools; only the C
//! interface is kept stable.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

#[cfg(not(panic = "unwind"))]
compile_error!("libmdev turns panics into -ENOTRECOVERABLE at the C boundary: build with panic = \"unwind\"");

pub mod backend;
// The support files of the tests have this name for the library.
#[cfg(test)]
extern crate self as mdev;

pub mod callout;
pub mod driver;
pub mod error;
pub mod fd;
pub mod ffi;
pub mod finding;
pub mod lock;
pub mod model;
pub mod monitor;
pub mod store;
mod sys;
pub mod sysfs;
#[cfg(test)]
mod testing;
pub mod time;
pub mod trust;
pub mod xml;
