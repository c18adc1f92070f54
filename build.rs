// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the cdylib is linked. meson.build says the same for the library that is installed.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmdev.so.0");
    // Thread-locals of Rust have destructors; without this they would point into nothing after dlclose().
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
