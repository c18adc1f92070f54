// SPDX-License-Identifier: LGPL-2.1-or-later
//! Checks the sources: which module may use which, and code that only some modules may contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules that it may use. A request goes down: ffi, driver, backend, sysfs.
const MODULES: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("fd", &[]),
    // Omissions of a request: every module that skips something reports it.
    ("finding", &["error"]),
    // flock(2) with a timeout, for the store.
    ("lock", &["error", "fd"]),
    ("model", &["error"]),
    // Checks of files that act with the caller's rights: definitions and call-outs.
    ("trust", &[]),
    ("time", &[]),
    // For the unit tests of every module.
    ("testing", &[]),
    // System calls that safe Rust does not offer.
    ("sys", &["fd"]),
    ("sysfs", &["error", "fd", "finding", "sys", "time"]),
    // The simulated host. Only its opening and its dump name it.
    ("sim", &["sysfs", "error", "fd", "time"]),
    ("xml", &["model", "error"]),
    ("backend", &["sysfs", "model", "store", "error", "finding"]),
    ("store", &["model", "error", "fd", "finding", "lock", "time", "trust"]),
    ("monitor", &["sysfs", "store", "model", "error", "fd"]),
    // The only module that starts programs.
    ("callout", &["error", "fd", "sys", "trust"]),
    ("driver", &["callout", "error", "fd", "finding", "model", "sysfs", "sim", "xml", "backend", "store", "monitor"]),
    ("ffi", &[]),
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

/// Returns each source as its path and its text without comments. The library is in crates/mdev/src; the C layer is
/// in src and is the module `ffi`.
fn read_all() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for (folder, owner) in [("crates/mdev/src", ""), ("src", "ffi")] {
        let (src, mut paths) = (top.join(folder), Vec::new());
        sources(&src, &mut paths);
        paths.sort();
        assert!(paths.len() > 20, "only {} sources were found in {folder}", paths.len());
        for path in paths {
            let name = path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8");
            let text = code(&fs::read_to_string(&path).expect("a source"));
            files.push(if owner.is_empty() { (name.to_owned(), text) } else { c_layer(name, &text) });
        }
    }
    files
}

/// A file of the C layer. It is a crate of its own, so the compiler checks what it uses of the library.
fn c_layer(name: &str, text: &str) -> (String, String) {
    let name = if name == "lib.rs" { "mod.rs" } else { name };
    (format!("ffi/{name}"), text.replace("crate::", "crate::ffi::"))
}

/// Removes the comments. A `//` in a string cuts the line too, which hides nothing that these tests look for.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Returns the text after every place where `what` begins a word.
fn after<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(what)
        .filter(|(at, _)| !text[..*at].ends_with(is_word))
        .map(move |(at, _)| &text[at + what.len()..])
}

/// Returns the other modules that the code of `file` uses through `crate::` or `super::`.
fn named(file: &str, text: &str) -> Vec<String> {
    let owner = |path: &String| word(path).to_owned();
    let mut modules: Vec<_> = paths("crate::", "", text).iter().map(owner).collect();
    // In a module inside a file, `super` reaches one level less: not every name is a module of the list.
    modules.extend(paths("super::", parent(module(file)), text).iter().map(owner).filter(|name| is_module(name)));
    modules.retain(|owner| owner != top_module(file));
    modules.dedup();
    modules
}

/// Converts a file to a path of modules from the root of the crate: `ffi/conn`.
fn module(file: &str) -> &str {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    path.strip_suffix("/mod").unwrap_or(path)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// Returns the paths in the text that begin with `start`, which means the module `base`. They begin at the root of
/// the crate: `ffi/conn/mdev_conn`.
fn paths(start: &str, base: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(start).filter(|(at, _)| !text[..*at].ends_with(|c| is_word(c) || c == ':')) {
        let (mut base, mut rest) = (base, &text[at + start.len()..]);
        while let Some(higher) = rest.strip_prefix("super::") {
            (base, rest) = (parent(base), higher);
        }
        expand(base, rest, &mut found);
    }
    found
}

/// Adds each path of `a::{b, c::d}` below `base`.
fn expand(base: &str, text: &str, found: &mut Vec<String>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return members(group).into_iter().for_each(|member| expand(base, member, found));
    }
    let name = word(text);
    let path = if ["", "self"].contains(&name) { base.to_owned() } else { join(base, name) };
    match text[name.len()..].strip_prefix("::") {
        Some(rest) => expand(&path, rest, found),
        None => found.push(path),
    }
}

/// Returns the members of a group `a::b, c::{d, e}}`, the text after its opening brace.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(&group[from..at]);
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|member| !member.trim().is_empty());
    found
}

/// Removes each `pub use`: a re-export alone is no use.
fn without_reexports(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        inside |= line.starts_with("pub") && line.contains(" use ");
        let keep = !inside;
        inside &= !line.contains(';');
        keep
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// The tests of a file are its last item.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// The other files of its folder that each file uses. A name that a module imports from a file below it belongs to that file.
fn uses_within(folder: &str, files: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let of_folder = files.iter().filter(|(file, _)| top_module(file) == folder);
    let texts: BTreeMap<_, _> =
        of_folder.map(|(file, text)| (module(file).to_owned(), without_tests(text).to_owned())).collect();
    let (mut named, mut defined) = (Vec::new(), BTreeMap::new());
    for (module, text) in &texts {
        for (start, base) in [("crate::", ""), ("self::", module), ("super::", parent(module))] {
            named.extend(paths(start, base, text).into_iter().map(|path| (module, path)));
        }
        for child in texts.keys().filter(|child| parent(child) == module) {
            let start = format!("{}::", last(child));
            named.extend(paths(&start, child, &without_reexports(text)).into_iter().map(|path| (module, path)));
            let imports = ["use ", "use self::"].map(|import| format!("{import}{start}"));
            let imported = imports.iter().flat_map(|import| paths(import, child, text));
            defined.extend(imported.map(|path| (join(module, last(&path)), path)));
        }
    }
    let mut uses: BTreeMap<_, _> = texts.keys().map(|module| (module.clone(), BTreeSet::new())).collect();
    for (module, mut path) in named {
        while !path.is_empty() && !texts.contains_key(&path) {
            path = defined.get(&path).cloned().unwrap_or_else(|| parent(&path).to_owned());
        }
        if !path.is_empty() && path != *module {
            uses.entry(module.clone()).or_default().insert(path);
        }
    }
    uses
}

/// Returns the uses from which a chain of uses leads back to the same file.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let leads = |from: &String, to: &String| {
        let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(uses[file].iter().filter(|used| seen.insert(used)));
        }
        seen.contains(to)
    };
    let edges = uses.iter().flat_map(|(file, used)| used.iter().map(move |used| (file, used)));
    edges.filter(|(file, used)| leads(used, file)).map(|(file, used)| format!("{file} -> {used}")).collect()
}

fn is_module(name: &str) -> bool {
    MODULES.iter().any(|(owner, _)| *owner == name)
}

fn top_module(file: &str) -> &str {
    word(file)
}

fn allowed(owner: &str, used: &str) -> bool {
    owner == used || used == "testing" || MODULES.iter().any(|(name, may)| *name == owner && may.contains(&used))
}

#[test]
fn module_uses_only_modules_allowed_to_it() {
    let mut wrong = Vec::new();
    for (file, text) in read_all().iter().filter(|(file, _)| file != "lib.rs") {
        let owner = top_module(file);
        assert!(is_module(owner), "{file} is in no module of this list: add the module to MODULES");
        wrong.extend(
            named(file, without_tests(text))
                .iter()
                .filter(|used| !allowed(owner, used))
                .map(|used| format!("{file}: {owner} -> {used}")),
        );
    }
    assert!(wrong.is_empty(), "uses that are not allowed:\n{}", wrong.join("\n"));
}

#[test]
fn files_of_folder_form_no_circle() {
    let files = read_all();
    let mut wrong = Vec::new();
    for folder in ["driver", "store", "backend", "ffi"] {
        let uses = uses_within(folder, &files);
        let edges = uses.values().map(BTreeSet::len).sum::<usize>();
        assert!(edges > uses.len(), "{folder}: only {edges} uses between {} files were found", uses.len());
        wrong.extend(circles(&uses));
    }
    assert!(wrong.is_empty(), "uses that form a circle:\n{}", wrong.join("\n"));
}

/// What differs between layouts is a method of a backend or a field of a layout.
#[test]
fn module_outside_backend_asks_for_no_layout() {
    // Their definition, the simulated kernel, and libvirt's schema, which requires a device API of every type.
    let may = ["backend/", "model/parent.rs", "sim/", "xml/libvirt.rs"];
    let names = ["LayoutKind::MDEV", "LayoutKind::GENERAL", "LayoutKind::RFC", "LayoutKind::VENDOR_VFIO"];
    let tests = "#[cfg(test)]\nmod tests {";
    for (file, text) in read_all().iter().filter(|(file, _)| !may.iter().any(|may| file.starts_with(may))) {
        let code = text.split(tests).next().unwrap_or_default();
        for name in names {
            assert!(after(code, name).next().is_none(), "src/{file} uses {name}");
        }
    }
}

#[test]
fn unsafe_is_only_in_ffi_and_sys() {
    let files = read_all();
    let holders: Vec<_> =
        files.iter().filter(|(_, text)| after(text, "unsafe").any(|rest| !rest.starts_with(is_word))).collect();
    assert!(!holders.is_empty(), "the test must find the unsafe code of the C layer");
    for (file, _) in holders {
        // The lint name unsafe_op_in_unsafe_fn in lib.rs is a longer word and does not count.
        assert!(file.starts_with("ffi/") || file.starts_with("sys/"), "{file} has unsafe");
    }
}

#[test]
fn library_contains_no_print_macro() {
    for (file, text) in read_all() {
        for what in ["print!", "println!", "eprint!", "eprintln!", "dbg!", "stdout()", "stderr()"] {
            assert_eq!(after(&text, what).count(), 0, "{file} has {what}: a library prints nothing");
        }
    }
}

/// Returns each `return` without a value in a test that does not report a skip: such a test passes without its
/// checks.
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
        // Exceptions: the process that runs the test again, and a function that has reported the skip.
        let is_reported = ["alone(", "can_run("].iter().any(|call| before.contains(call));
        if end.is_some() && returns && !is_reported {
            found.push(line.trim().to_owned());
        }
        before = line;
    }
    found
}

#[test]
fn test_that_ends_early_reports_skip() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["src", "crates/mdev/src", "tests/it"].iter().for_each(|folder| sources(&top.join(folder), &mut paths));
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
fn check_of_modules_finds_every_form_of_path() {
    let names = |text: &str| named("xml/write.rs", &code(text));
    assert_eq!(names("use crate::sysfs::Dir;"), ["sysfs"]);
    assert_eq!(names("use crate::{model::{Type, a}, driver::Conn, ffi};"), ["model", "driver", "ffi"]);
    assert_eq!(names("let x = crate::store::open(); // crate::ffi"), ["store"]);
    assert_eq!(names("use super::super::driver::Conn; use super::escape;"), ["driver"]);
    assert_eq!(named("xml/mod.rs", "use super::driver::Conn; use super::*;"), ["driver"]);
    assert!(names("use mycrate::driver;").is_empty());
    assert!(!allowed("xml", "sysfs") && !allowed("driver", "ffi") && allowed("driver", "xml"));
}

#[test]
fn check_of_files_finds_circles_through_reexports_and_ignores_tests() {
    let found = |a: &str, b: &str| {
        let top = "mod a;\npub use a::{\n    Thing,\n    f,\n};\nfn g() { b::g() }";
        let files = [("ffi/mod.rs", top), ("ffi/a.rs", a), ("ffi/b/mod.rs", b), ("xml/a.rs", b)];
        circles(&uses_within("ffi", &files.map(|(file, text)| (file.to_owned(), code(text)))))
    };
    let both = ["ffi/a -> ffi/b", "ffi/b -> ffi/a"];
    assert_eq!(found("use super::b::{\n    self,\n};", "fn f() { super::super::ffi::a::f() }"), both);
    assert_eq!(found("use crate::{ffi::b, error::{A, B}};", "use super::Thing;"), both);
    assert_eq!(found("", "use super::g;"), ["ffi -> ffi/b", "ffi/b -> ffi"]);
    assert!(found("use super::b;", "// use super::Thing;").is_empty());
    assert!(found("use super::b;", "use self::a;").is_empty());
    assert!(found("use super::b;", "#[cfg(test)]\nmod tests {\n    use super::super::Thing;\n}").is_empty());
}
