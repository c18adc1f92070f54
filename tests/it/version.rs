// SPDX-License-Identifier: LGPL-2.1-or-later
//! All copies of the version are equal. The header test checks the header's macros; libmdev.pc gets the version of
//! meson.

use std::fs;
use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// Returns the text between the first `before` and the next `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[test]
fn version_in_meson_is_equal_to_cargo() {
    assert_eq!(between(&read("meson.build"), "\n  version: '", "'"), Some(VERSION));
}

#[test]
fn version_in_library_and_header_is_equal_to_cargo() {
    assert_eq!(mdev::version(), VERSION);
    assert_eq!(between(&read("include/libmdev.h"), "#define MDEV_VERSION_STRING \"", "\""), Some(VERSION));
}

#[test]
fn newest_symbol_version_is_not_above_version() {
    let map = read("libmdev.map");
    let number = |text: &str| text.split('.').map(|n| n.parse().expect("a number")).collect::<Vec<u32>>();
    let versions: Vec<_> = map.lines().filter_map(|line| between(line, "LIBMDEV_", " ")).map(number).collect();
    assert!(!versions.is_empty());
    assert!(versions.iter().all(|v| v[..] <= number(VERSION)[..2]), "{versions:?} against {VERSION}");
}
