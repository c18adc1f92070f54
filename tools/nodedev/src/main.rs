// SPDX-License-Identifier: LGPL-2.1-or-later
//! `nodedev`: manages mediated devices from the command line.
//!
//! [`cli`] declares the commands and their options, [`script`] splits text into commands, [`session`] runs them, [`commands`] has
//! one module for each group of commands. [`output`], [`table`] and [`json`] print.

mod cli;
mod commands;
mod complete;
mod errors;
mod json;
mod lookup;
mod man;
mod output;
mod progress;
mod script;
mod session;
mod simfs;
mod table;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    if complete::answer() {
        return ExitCode::SUCCESS;
    }
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let status = session::run(words);
    ExitCode::from(output::finish(status) as u8)
}
