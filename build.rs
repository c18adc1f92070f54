// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the cdylib is linked. It has no soname, since its file has only one name, which programs that link it must look for. The
//! installed library has the soname libmdev.so.0: see meson.build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Thread-locals of Rust have destructors; without this they would point into nothing after dlclose().
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
