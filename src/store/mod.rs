// SPDX-License-Identifier: LGPL-2.1-or-later
//! What is remembered outside the kernel.
//!
//! [`runtime`] keeps, for as long as a device lives, what the kernel cannot give back: its name, group, parameters, owner.

mod atomic;
mod catalogue;
mod files;
mod memory;
pub mod runtime;

pub use runtime::{Facts, Reservation, Runtime};
