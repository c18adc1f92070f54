// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the cdylib is linked. It has no soname: its file has one name only, so a program that links it must look for that
//! one. The library that is installed has soname libmdev.so.0, see meson.build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Thread-locals of Rust have destructors; without this they would point into nothing after dlclose().
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
