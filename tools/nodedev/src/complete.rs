// SPDX-License-Identifier: LGPL-2.1-or-later
//! Completion in shells. The script of a shell calls the program again for each completion, with [`VARIABLE`] set.

use clap::CommandFactory;
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use mdev::{Conn, ListFlags, Node};

use crate::cli::{Line, Shell};
use crate::errors::{Failure, Outcome};
use crate::output;

/// The environment variable that requests completions. Its value is the shell.
const VARIABLE: &str = "NODEDEV_COMPLETE";

fn command() -> clap::Command {
    Line::command().no_binary_name(false)
}

/// Answers a request of a completion script and returns true; false if this is not such a request.
pub fn answer() -> bool {
    let request = CompleteEnv::with_factory(command).var(VARIABLE).bin("nodedev");
    request.try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref()).unwrap_or(true)
}

/// Prints the completion script of a shell.
pub fn print_script(shell: Shell) -> Outcome {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(name).ok_or_else(|| Failure::Tool(format!("no completion for {name}")))?;
    completer
        .write_registration(VARIABLE, "nodedev", "nodedev", "nodedev", &mut script)
        .map_err(|error| Failure::Tool(format!("cannot write the completion script: {error}")))?;
    output::write(&String::from_utf8_lossy(&script));
    Ok(())
}

/// Returns the URI in the words of the unfinished command: the value of `-c` or `--connect`.
fn uri() -> Option<String> {
    let words: Vec<String> = std::env::args().skip_while(|word| word != "--").collect();
    let value = words.iter().zip(words.iter().skip(1)).rfind(|(option, _)| *option == "-c" || *option == "--connect");
    let joined = words.iter().rev().find_map(|word| word.strip_prefix("--connect=").map(str::to_owned));
    value.map(|(_, uri)| uri.clone()).or(joined).or_else(|| std::env::var("MDEV_DEFAULT_URI").ok())
}

/// Returns the names of nodes. A name with a character that a shell interprets is left out.
fn names(flags: ListFlags, also: fn(&Node) -> Option<String>) -> Vec<CompletionCandidate> {
    let listed = Conn::open(uri().as_deref().filter(|uri| !uri.is_empty()))
        .and_then(|conn| conn.list(flags | ListFlags::NO_TYPES));
    let nodes = listed.unwrap_or_default();
    let names = nodes.iter().flat_map(|node| [Some(node.name().to_owned()), also(node)]).flatten();
    let is_plain =
        |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:@%+=/".contains(&byte));
    names.filter(is_plain).map(CompletionCandidate::new).collect()
}

const ANY_STATE: ListFlags = ListFlags::ACTIVE.union(ListFlags::INACTIVE);

/// Returns the names of all nodes.
pub fn nodes() -> Vec<CompletionCandidate> {
    names(ListFlags::PARENTS | ListFlags::DEVICES | ANY_STATE, |_| None)
}

/// Returns the names of parents.
pub fn parents() -> Vec<CompletionCandidate> {
    names(ListFlags::PARENTS, |_| None)
}

/// Returns the names and UUIDs of devices.
pub fn devices() -> Vec<CompletionCandidate> {
    names(ListFlags::DEVICES | ANY_STATE, |node| node.uuid().ok())
}

/// Returns the ids of types.
pub fn types() -> Vec<CompletionCandidate> {
    let conn = Conn::open(uri().as_deref().filter(|uri| !uri.is_empty()));
    let parents = conn.and_then(|conn| conn.list(ListFlags::PARENTS)).unwrap_or_default();
    let ids = parents.iter().flat_map(|parent| parent.types().unwrap_or_default()).map(|ty| ty.id().to_owned());
    let ids: std::collections::BTreeSet<String> = ids.collect();
    ids.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the names of the columns of a list.
pub fn columns() -> Vec<CompletionCandidate> {
    crate::commands::columns().map(CompletionCandidate::new).collect()
}
