// SPDX-License-Identifier: LGPL-2.1-or-later
//! System calls that safe Rust does not offer: processes that are copies of this one, and a filter for a socket. Only
//! this module and the C layer contain `unsafe`; each block has a comment that justifies it.

pub mod filter;
pub mod keeper;
pub mod writer;
