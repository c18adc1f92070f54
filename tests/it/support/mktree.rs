// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates a made-up host below DIR: `mktree DIR scale PARENTS TYPES DEVICES`, `mktree DIR oracle`, `mktree DIR
//! faults [FAULT...]`. `mktree --faults` lists the faults.

// A test may panic, but clippy does not treat the shared functions as tests.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::path::Path;
use std::process::ExitCode;

mod faults;
mod scenes;
mod tree;

fn make(args: &[&str]) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let number = |s: &str| s.parse().map_err(|_| format!("{s} is not a number"));
    match args {
        ["--faults"] => faults::FAULTS.iter().for_each(|fault| println!("{}", fault.name)),
        [dir, "scale", p, t, d] => {
            scenes::scale(Path::new(dir), number(p)?, number(t)?, number(d)?).map_err(text)?;
        }
        [dir, "oracle"] => {
            scenes::oracle(Path::new(dir)).map_err(text)?;
        }
        [dir, "faults", names @ ..] => {
            faults::host(Path::new(dir), 64, names).map_err(text)?;
        }
        _ => {
            return Err(
                "usage: mktree DIR scale PARENTS TYPES DEVICES | DIR oracle | DIR faults [FAULT...] | --faults".into(),
            );
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match make(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mktree: {message}");
            ExitCode::FAILURE
        }
    }
}
