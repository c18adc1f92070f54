// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the library needs of the kernel and safe Rust cannot ask for: processes that are copies of this one, and a filter for a
//! socket. With the C layer the only place of `unsafe`; each block says why it is right.

pub mod filter;
pub mod keeper;
pub mod writer;
