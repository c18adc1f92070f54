// SPDX-License-Identifier: LGPL-2.1-or-later
//! include/libmdev.h is what the sources of the C layer say. `MDEV_REGENERATE=1 cargo test --test it header` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order in which their items stand in the header.
const SOURCES: [&str; 12] = [
    "version",
    "errors",
    "log",
    "conn",
    "device",
    "action",
    "types",
    "define",
    "monitor",
    "finding",
    "subscribe",
    "driver_table",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> PathBuf {
    root().join("include/libmdev.h")
}

fn generate() -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let macros = config.after_includes.take().expect("after_includes in cbindgen.toml");
    config.after_includes = Some(
        macros
            .replace("@MAJOR@", env!("CARGO_PKG_VERSION_MAJOR"))
            .replace("@MINOR@", env!("CARGO_PKG_VERSION_MINOR"))
            .replace("@PATCH@", env!("CARGO_PKG_VERSION_PATCH"))
            .replace("@VERSION@", env!("CARGO_PKG_VERSION")),
    );
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, name| {
        builder.with_src(root().join("src/ffi").join(name).with_extension("rs"))
    });
    let mut text = Vec::new();
    builder.generate().expect("the C layer can be read").write(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    // cbindgen indents with spaces; the C of this project has tabs.
    let lines = text.lines().map(|line| {
        let words = line.trim_start_matches("        ");
        let tabs = (line.len() - words.len()) / 8;
        format!("{}{}\n", "\t".repeat(tabs), words.trim_end())
    });
    lines.collect()
}

#[test]
fn the_header_is_what_the_sources_say() {
    let fresh = generate();
    if std::env::var_os("MDEV_REGENERATE").is_some() {
        fs::create_dir_all(root().join("include")).expect("include/ can be made");
        fs::write(header(), &fresh).expect("the header can be written");
        return;
    }
    let kept = fs::read_to_string(header()).expect("include/libmdev.h");
    let line = kept.lines().zip(fresh.lines()).position(|(a, b)| a != b).map(|n| n + 1);
    assert!(
        kept == fresh,
        "include/libmdev.h is out of date, first in line {line:?}: run MDEV_REGENERATE=1 cargo test --test it header"
    );
}

/// Names between `start` and `end` that begin with mdev_.
fn exported_by(map: &str) -> Vec<&str> {
    map.lines().filter_map(|line| line.trim().strip_suffix(';')).filter(|name| name.starts_with("mdev_")).collect()
}

fn exported_in(path: &Path) -> Vec<String> {
    let source = fs::read_to_string(path).expect("a source of the C layer");
    let mut names = Vec::new();
    let mut lines = source.lines();
    while lines.by_ref().any(|line| line.trim() == "#[unsafe(no_mangle)]") {
        let signature = lines.next().expect("a function after no_mangle");
        let (_, rest) = signature.split_once(" fn ").expect("a function after no_mangle");
        names.push(rest.split('(').next().expect("a name").to_owned());
    }
    names
}

#[test]
fn the_map_and_the_header_have_every_exported_function() {
    let map = fs::read_to_string(root().join("libmdev.map")).expect("libmdev.map");
    let mut mapped = exported_by(&map);
    mapped.sort_unstable();
    let folder = fs::read_dir(root().join("src/ffi")).expect("src/ffi");
    let mut exported: Vec<String> =
        folder.map(|entry| entry.expect("an entry").path()).flat_map(|path| exported_in(&path)).collect();
    exported.sort_unstable();
    assert!(exported.len() > 50, "only {} exported functions were found", exported.len());
    assert_eq!(mapped, exported);
    let text = fs::read_to_string(header()).expect("include/libmdev.h");
    for name in exported {
        assert!(text.contains(&format!("{name}(")), "{name} is not in the header");
    }
}
