// SPDX-License-Identifier: LGPL-2.1-or-later
//! A C program that links cargo's shared library in the target directory runs, and so does a C program that loads it
//! by its path.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of `libmdev.so` of `cargo build`, which may not have run: the tests use crates/mdev.
fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    run(Command::new(env!("CARGO")).args(["build", "--quiet", "--locked"]).arg("--target-dir").arg(target));
    target.join("debug")
}

/// Runs a command that must succeed; returns its standard output.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Compiles an example with the system's C compiler, which linking this test needs too.
fn compile(example: &str, libs: &[&str], folder: &Path, out: &Path) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = out.join(example);
    run(Command::new("cc")
        .arg("-I")
        .arg(top.join("include"))
        .arg(top.join("examples").join(example).with_extension("c"))
        .arg("-L")
        .arg(folder)
        .args(libs)
        .arg("-o")
        .arg(&program));
    program
}

#[test]
fn program_linked_to_library_of_cargo_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = folder();
    let program = compile("list", &["-lmdev"], &folder, dir.path());
    let listed = run(Command::new(program).arg("test:///default").env("LD_LIBRARY_PATH", folder));
    assert!(listed.contains("pci_0000_86_00_0"), "{listed}");
}

#[test]
fn program_that_loads_library_of_cargo_by_path_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = folder();
    let program = compile("plugin", &["-ldl"], &folder, dir.path());
    let output = run(Command::new(program).arg(folder.join("libmdev.so")));
    assert!(output.contains("pci_0000_86_00_0"), "{output}");
}

#[test]
fn rust_program_that_uses_library_runs() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let mut list = Command::new(env!("CARGO"));
    list.args(["run", "--quiet", "--locked", "-p", "mdev", "--example", "list", "--target-dir"]).arg(target);
    let listed = run(list.args(["--", "test:///default"]));
    assert!(listed.contains("pci_0000_86_00_0\n    11 GRID M60-0B\n"), "{listed}");
}
