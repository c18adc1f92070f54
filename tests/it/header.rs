// SPDX-License-Identifier: LGPL-2.1-or-later
//! include/libmdev.h is what the sources of the C layer and the enums of the crate say. `MDEV_REGENERATE=1 cargo test --test it header`
//! writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order in which their items stand in the header.
const SOURCES: [&str; 17] = [
    "crates/mdev/src/error",
    "crates/mdev/src/finding",
    "crates/mdev/src/model/event",
    "src/version",
    "src/errors",
    "src/log",
    "src/conn",
    "src/device",
    "src/action",
    "src/device_types",
    "src/types",
    "src/define",
    "src/monitor",
    "src/event",
    "src/finding",
    "src/subscribe",
    "src/driver_table",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> PathBuf {
    root().join("include/libmdev.h")
}

/// cbindgen does not read `bitflags!`, so it gets the flags of the crate as enums.
fn flags_as_enums() -> PathBuf {
    let source =
        fs::read_to_string(root().join("crates/mdev/src/driver/flags.rs")).expect("crates/mdev/src/driver/flags.rs");
    let (_, flags) = source.split_once("bitflags! {\n").expect("bitflags! in crates/mdev/src/driver/flags.rs");
    let (flags, _) = flags.rsplit_once('}').expect("the end of bitflags!");
    let enums = flags.replace("pub struct ", "#[repr(C)] pub enum ").replace(": u32 {", " {");
    let enums = enums.replace(" const ", " ").replace(";\n", ",\n");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flags.rs");
    fs::write(&path, enums).expect("the target folder can be written");
    path
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
    let names: Vec<String> = config.export.rename.values().cloned().collect();
    let builder = cbindgen::Builder::new().with_config(config).with_src(flags_as_enums());
    let builder =
        SOURCES.iter().fold(builder, |builder, name| builder.with_src(root().join(name).with_extension("rs")));
    let mut text = Vec::new();
    builder.generate().expect("the C layer can be read").write(&mut text);
    let mut text = String::from_utf8(text).expect("UTF-8");
    // The values of `enum mdev_list_flags` are called MDEV_LIST_: the last word of a name says only what it is.
    for (short, name) in names.iter().filter_map(|name| name.rsplit_once('_').map(|(short, _)| (short, name))) {
        if short != "mdev" {
            text = text.replace(&format!("{}_", name.to_uppercase()), &format!("{}_", short.to_uppercase()));
        }
    }
    // cbindgen indents with spaces; the C of this project has tabs.
    let lines = text.lines().map(|line| {
        let words = line.trim_start_matches("        ");
        let tabs = (line.len() - words.len()) / 8;
        format!("{}{}\n", "\t".repeat(tabs), words.trim_end())
    });
    lines.collect()
}

#[test]
fn header_is_equal_to_what_cbindgen_generates() {
    let fresh = generate();
    if std::env::var_os("MDEV_REGENERATE").is_some() {
        fs::create_dir_all(root().join("include")).expect("include/ can be made");
        fs::write(header(), &fresh).expect("the header can be written");
    }
    let kept = fs::read_to_string(header()).expect("include/libmdev.h");
    let line = kept.lines().zip(fresh.lines()).position(|(a, b)| a != b).map(|n| n + 1);
    assert!(
        kept == fresh,
        "include/libmdev.h is out of date, first in line {line:?}: run MDEV_REGENERATE=1 cargo test --test it header"
    );
}

#[test]
fn values_of_enums_in_the_header_never_change() {
    let kept = fs::read_to_string(root().join("tests/golden/enums.txt")).expect("tests/golden/enums.txt");
    let header = fs::read_to_string(header()).expect("include/libmdev.h");
    let is_value = |line: &&str| line.starts_with("MDEV_") && line.ends_with(',');
    let values: Vec<&str> = header.lines().map(str::trim).filter(is_value).collect();
    assert_eq!(values, kept.lines().collect::<Vec<_>>(), "a value that is new belongs into tests/golden/enums.txt");
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
fn map_and_header_contain_every_exported_function() {
    let map = fs::read_to_string(root().join("libmdev.map")).expect("libmdev.map");
    let mut mapped = exported_by(&map);
    mapped.sort_unstable();
    let folder = fs::read_dir(root().join("src")).expect("src");
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
