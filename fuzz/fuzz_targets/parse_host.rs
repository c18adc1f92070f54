// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parses any text as a dumped host: no panic, and the dump of a parsed host is parsed to the same host.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdev::test_hooks::xml::{parse_host, write_host};

fuzz_target!(|text: &[u8]| {
    match parse_host(text) {
        Ok(host) => assert_eq!(parse_host(write_host(&host).as_bytes()), Ok(host)),
        Err(error) => assert!(error.message.starts_with("XML line ")),
    }
});
