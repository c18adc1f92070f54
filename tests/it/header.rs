// SPDX-License-Identifier: LGPL-2.1-or-later
//! include/libmdev.h is equal to what cbindgen generates from the C layer and the enums of the crate.
//! `MDEV_REGENERATE=1 cargo test --test it header` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources, in the order of their items in the header.
const SOURCES: [&str; 22] = [
    "crates/mdev/src/error",
    "crates/mdev/src/finding",
    "crates/mdev/src/model/event",
    "crates/mdev/src/driver/wait_state",
    "src/version",
    "src/errors",
    "src/log",
    "src/conn",
    "src/device",
    "src/device_info",
    "src/action",
    "src/device_types",
    "src/types",
    "src/options",
    "src/define",
    "src/monitor",
    "src/event",
    "src/finding",
    "src/filter",
    "src/user",
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
    fs::write(&path, enums).expect("cannot write to the target directory");
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
    builder.generate().expect("cannot read the C layer").write(&mut text);
    let mut text = String::from_utf8(text).expect("UTF-8");
    // The last word of an enum's name is not part of its values: the values of `enum
    // mdev_list_flags` begin with MDEV_LIST_.
    for (short, name) in names.iter().filter_map(|name| name.rsplit_once('_').map(|(short, _)| (short, name))) {
        if short != "mdev" {
            text = text.replace(&format!("{}_", name.to_uppercase()), &format!("{}_", short.to_uppercase()));
        }
    }
    // cbindgen indents with spaces; the C code of this project uses tabs.
    let lines = text.lines().map(|line| {
        let words = line.trim_start_matches("        ");
        let tabs = (line.len() - words.len()) / 8;
        format!("{}{}\n", "\t".repeat(tabs), words.trim_end())
    });
    in_groups(&lines.collect::<String>())
}

/// The groups of the list "Contents" in the header's first comment: each title, and the names of its declarations.
fn contents(header: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, list) = header.split_once(" * Contents, in the order of this file:\n").expect("Contents in cbindgen.toml");
    let (list, _) = list.split_once(" */").expect("the end of the first comment");
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in list.lines().map(|line| line.trim_start_matches([' ', '*'])) {
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            groups.push((line, Vec::new()));
        } else if let Some((_, names)) = groups.last_mut() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            names.extend(words.filter(|word| !word.is_empty()));
        }
    }
    groups
}

/// The name that a declaration or a block of macros declares.
fn declared(declaration: &str) -> &str {
    let (_, code) = declaration.split_once(" */\n").unwrap_or(("", declaration));
    let mut words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let name = if code.starts_with("typedef") || code.starts_with("#define") {
        words.find(|word| word.starts_with("mdev_") || word.starts_with("MDEV_"))
    } else {
        code.split('(').next().and_then(|before| before.rsplit([' ', '*']).next())
    };
    name.unwrap_or_else(|| panic!("a declaration without a name: {code}"))
}

/// cbindgen orders constants, types and functions. The header has them in groups, in the order of its own list "Contents".
fn in_groups(text: &str) -> String {
    const OPEN: &str = "#ifdef __cplusplus\nextern \"C\" {\n#endif // __cplusplus\n\n";
    const CLOSE: &str = "#ifdef __cplusplus\n}  // extern \"C\"\n#endif  // __cplusplus\n";
    let (head, rest) = text.split_once("#include <stdint.h>\n").expect("the includes");
    let (constants_and_types, functions) = rest.split_once(OPEN).expect("the start of extern \"C\"");
    let rest = format!("{constants_and_types}{functions}");
    let (declarations, tail) = rest.split_once(CLOSE).expect("the end of extern \"C\"");
    let declarations = declarations.trim().trim_start_matches("/**");
    let mut left: Vec<&str> = declarations.split("\n\n/**").collect();
    let mut grouped = format!("{head}#include <stdint.h>\n\n{OPEN}");
    for (title, names) in contents(head) {
        grouped += &format!("/*\n * {title}\n * {}\n */\n\n", "=".repeat(title.len()));
        for name in names {
            let at = left.iter().position(|declaration| declared(declaration) == name);
            let at = at.unwrap_or_else(|| panic!("Contents in cbindgen.toml: {name} is not declared, or listed twice"));
            grouped += &format!("/**{}\n\n", left.remove(at));
        }
    }
    let missing: Vec<&str> = left.into_iter().map(declared).collect();
    assert!(missing.is_empty(), "add to Contents in cbindgen.toml: {missing:?}");
    format!("{grouped}{CLOSE}{tail}")
}

#[test]
fn header_is_equal_to_what_cbindgen_generates() {
    let fresh = generate();
    if std::env::var_os("MDEV_REGENERATE").is_some() {
        fs::create_dir_all(root().join("include")).expect("cannot create include/");
        fs::write(header(), &fresh).expect("cannot write the header");
    }
    let kept = fs::read_to_string(header()).expect("include/libmdev.h");
    let line = kept.lines().zip(fresh.lines()).position(|(a, b)| a != b).map(|n| n + 1);
    assert!(
        kept == fresh,
        "include/libmdev.h is out of date, first in line {line:?}: run MDEV_REGENERATE=1 cargo test --test it header"
    );
}

#[test]
fn values_of_enums_in_header_never_change() {
    let kept = fs::read_to_string(root().join("tests/golden/enums.txt")).expect("tests/golden/enums.txt");
    let header = fs::read_to_string(header()).expect("include/libmdev.h");
    let is_value = |line: &&str| line.starts_with("MDEV_") && line.ends_with(',');
    let values: Vec<&str> = header.lines().map(str::trim).filter(is_value).collect();
    assert_eq!(values, kept.lines().collect::<Vec<_>>(), "add new values to tests/golden/enums.txt");
}

/// Returns the names between `start` and `end` that begin with mdev_.
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
