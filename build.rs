// SPDX-License-Identifier: LGPL-2.1-or-later
//! Linker options of the cdylib. It has no soname, so that a program that links it looks for its only file name, libmdev.so. The
//! installed library has the soname libmdev.so.0: see meson.build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The destructors of Rust's thread-locals must stay loaded after dlclose().
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
