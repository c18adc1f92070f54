// SPDX-License-Identifier: LGPL-2.1-or-later
//! Who may call whom, and what only some may do: read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A room and those that it may use. A request goes down: ffi, driver, backend, sysfs.
const ROOMS: [(&str, &[&str]); 17] = [
    ("error", &[]),
    ("fd", &[]),
    // The omissions of a request: every part that leaves something out reports it.
    ("finding", &["error"]),
    // flock(2) with a timeout, for the store.
    ("lock", &["error", "fd"]),
    ("model", &["error"]),
    // Files that make the caller act with its rights: definitions and call-outs.
    ("trust", &[]),
    ("time", &[]),
    // For the unit tests of every room.
    ("testing", &[]),
    // What safe code cannot ask the kernel for.
    ("sys", &["fd"]),
    ("sysfs", &["error", "fd", "finding", "sys", "time"]),
    ("xml", &["model", "error"]),
    ("backend", &["sysfs", "model", "store", "error", "finding"]),
    ("store", &["model", "error", "fd", "finding", "lock", "time", "trust"]),
    ("monitor", &["sysfs", "store", "model", "error", "fd"]),
    // Programs of others: nothing else starts one.
    ("callout", &["error", "fd", "sys", "trust"]),
    ("driver", &["callout", "error", "fd", "finding", "model", "sysfs", "xml", "backend", "store", "monitor"]),
    ("ffi", &["driver", "model", "error", "finding"]),
];

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a folder of the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Each source with its path below src/, its text without comments.
fn read_all() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "only {} sources were found", paths.len());
    let name = |path: &Path| path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").to_owned();
    paths.iter().map(|path| (name(path), code(&fs::read_to_string(path).expect("a source")))).collect()
}

/// Without comments. A `//` inside a string cuts its line short, which hides nothing that is looked for here.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Every place where `what` stands as a word of its own: the text after it.
fn after<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(what)
        .filter(|(at, _)| !text[..*at].ends_with(is_word))
        .map(move |(at, _)| &text[at + what.len()..])
}

/// The rooms that the code of `file` names, by `crate::` or by climbing up with `super::`.
fn named(file: &str, text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for rest in after(text, "crate::") {
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(top_level(group)),
            None => rooms.push(word(rest).to_owned()),
        }
    }
    let depth = file.trim_end_matches("/mod.rs").trim_end_matches(".rs").split('/').count();
    let root = "super::".repeat(depth);
    rooms.extend(after(text, &root).map(|rest| word(rest).to_owned()).filter(|name| is_room(name)));
    rooms
}

/// The first names of a group `{a::b, c::{d, e}}`, whose opening brace is gone already.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && is_word(c) => {
                names.push(word(&group[at..]).to_owned());
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

fn room_of(file: &str) -> &str {
    word(file)
}

fn allowed(room: &str, used: &str) -> bool {
    room == used || used == "testing" || ROOMS.iter().any(|(name, may)| *name == room && may.contains(&used))
}

#[test]
fn module_uses_only_the_modules_allowed_to_it() {
    let mut wrong = Vec::new();
    for (file, text) in read_all().iter().filter(|(file, _)| file != "lib.rs") {
        let room = room_of(file);
        assert!(is_room(room), "src/{file} is in no known room: add it to architecture and to this test");
        wrong.extend(
            named(file, text)
                .iter()
                .filter(|used| !allowed(room, used))
                .map(|used| format!("src/{file}: {room} -> {used}")),
        );
    }
    assert!(wrong.is_empty(), "edges that must not be:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_is_only_in_ffi_and_sys() {
    let files = read_all();
    let holders: Vec<_> =
        files.iter().filter(|(_, text)| after(text, "unsafe").any(|rest| !rest.starts_with(is_word))).collect();
    assert!(!holders.is_empty(), "the C layer has unsafe: this test must see it");
    for (file, _) in holders {
        // lib.rs names a lint: unsafe_op_in_unsafe_fn is a longer word and does not count.
        assert!(file.starts_with("ffi/") || file.starts_with("sys/"), "src/{file} has unsafe");
    }
}

#[test]
fn library_contains_no_print_macro() {
    for (file, text) in read_all() {
        for what in ["print!", "println!", "eprint!", "eprintln!", "dbg!", "stdout()", "stderr()"] {
            assert_eq!(after(&text, what).count(), 0, "src/{file} has {what}: a library prints nothing");
        }
    }
}

/// Each `return` without a value in a test of this source that reports no skip: the test would pass without its checks.
fn silent_returns(text: &str) -> Vec<String> {
    let (mut end, mut before, mut found) = (None, "", Vec::new());
    for line in text.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() == "#[test]" {
            end = Some(format!("{indent}}}"));
        } else if end.as_deref() == Some(line) {
            end = None;
        }
        let returns = after(line, "return").any(|rest| matches!(rest.trim(), ";" | "}" | "};" | ""));
        // The process that starts the test again, and a function that has reported the skip.
        let is_reported = ["alone(", "can_ask("].iter().any(|call| before.contains(call));
        if end.is_some() && returns && !is_reported {
            found.push(line.trim().to_owned());
        }
        before = line;
    }
    found
}

#[test]
fn test_that_ends_early_reports_a_skip() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["src", "tests/it"].iter().for_each(|folder| sources(&top.join(folder), &mut paths));
    for path in paths {
        let silent = silent_returns(&code(&fs::read_to_string(&path).expect("a source")));
        assert!(silent.is_empty(), "{}: use `return skip(reason)` instead of {silent:?}", path.display());
    }
    let test = |body: &str| silent_returns(&format!("#[test]\nfn t() {{\n{body}\n}}\nfn other() {{\n    return;\n}}"));
    assert_eq!(test("    if x {\n        return;\n    }"), ["return;"]);
    assert_eq!(test("    let Some(x) = y else { return };").len(), 1);
    assert!(test("    let Some(x) = y else { return skip(z) };").is_empty());
    assert!(test("    if !alone(n) {\n        return;\n    }").is_empty());
}

#[test]
fn check_of_modules_finds_every_form_of_a_path() {
    let names = |text: &str| named("xml/write.rs", &code(text));
    assert_eq!(names("use crate::sysfs::Dir;"), ["sysfs"]);
    assert_eq!(names("use crate::{model::{Type, a}, driver::Conn, ffi};"), ["model", "driver", "ffi"]);
    assert_eq!(names("let x = crate::store::open(); // crate::ffi"), ["store"]);
    assert_eq!(names("use super::super::driver::Conn; use super::escape;"), ["driver"]);
    assert_eq!(named("xml/mod.rs", "use super::driver::Conn; use super::*;"), ["driver"]);
    assert!(names("use mycrate::driver;").is_empty());
    assert!(!allowed("xml", "sysfs") && !allowed("driver", "ffi") && allowed("driver", "xml"));
}
