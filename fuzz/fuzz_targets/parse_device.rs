// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parses any text as a device definition: no panic, and no name that leads out of a directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdev::test_hooks::model::name::{is_attribute, is_component};
use mdev::test_hooks::xml::{Unknown, parse_device};

fuzz_target!(|text: &[u8]| {
    match parse_device(text, Unknown::Refuse) {
        Ok(def) => {
            assert!(is_component(&def.type_id));
            assert!(def.name.iter().all(|name| is_component(name)));
            assert!(def.attributes.iter().all(|(name, value)| is_attribute(name) && !value.is_empty()));
            assert!(def.params.iter().all(|params| !params.is_empty() && !params.contains('\n')));
            assert!(def.group != Some(0));
        }
        Err(error) => assert!(error.message.starts_with("XML line ")),
    }
});
