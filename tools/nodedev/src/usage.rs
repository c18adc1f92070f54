// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parses commands with clap, and turns its errors into one sentence.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::cli::{Line, Start};
use crate::errors::{Failure, Outcome, Status};
use crate::output;

/// Parses one command. Prints the help if the command requests it, and returns [`Failure::Printed`].
pub fn parse(words: &[String]) -> Outcome<Line> {
    Line::try_parse_from(with_group_number(words)).map_err(|error| failure(&error, words))
}

/// Returns the words with `--group N` as `--group=N`. Without a number, `--group` of `create` has no value, and a file may follow.
fn with_group_number(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last) if last == "--group" && word.bytes().all(|byte| byte.is_ascii_digit()) => {
                last.push('=');
                last.push_str(word);
            }
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// Parses the options before the first command.
pub fn parse_start(words: &[String]) -> Outcome<Start> {
    Start::try_parse_from(words).map_err(|error| failure(&error, words))
}

/// Prints the help of the program, or of a command.
pub fn print_help(command: Option<&str>) -> Outcome {
    let mut line = Line::command();
    line.build();
    let Some(name) = command else {
        output::write(&line.render_help().to_string());
        return Ok(());
    };
    match line.find_subcommand_mut(name) {
        Some(command) => {
            output::write(&command.render_help().to_string());
            Ok(())
        }
        None => Err(Failure::Usage(unknown_command(name))),
    }
}

fn failure(error: &clap::Error, words: &[String]) -> Failure {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::write(&error.render().to_string());
            Failure::Printed(Status::Ok)
        }
        _ => Failure::Usage(sentence(error, words)),
    }
}

/// Returns what is wrong and what to do, in one sentence.
fn sentence(error: &clap::Error, words: &[String]) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Some(ContextValue::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    let value = text(ContextKind::InvalidValue);
    let help = see_help(words);
    match error.kind() {
        // Only attr has commands of its own.
        ErrorKind::InvalidSubcommand if words.iter().any(|word| word == "attr") => {
            let action = text(ContextKind::InvalidSubcommand);
            format!("unknown action '{action}' of attr; expected list, get or set")
        }
        ErrorKind::InvalidSubcommand => unknown_command(&text(ContextKind::InvalidSubcommand)),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if words.iter().any(|word| word == "attr") =>
        {
            format!("attr needs an action: list, get or set; {help}")
        }
        ErrorKind::MissingSubcommand => format!("no command given; {help}"),
        ErrorKind::UnknownArgument => {
            let near = text(ContextKind::SuggestedArg);
            let what = if argument.starts_with('-') { "option" } else { "argument" };
            match near.is_empty() {
                true => format!("unexpected {what} '{argument}'; {help}"),
                false => format!("unknown {what} '{argument}'; did you mean '{near}'?"),
            }
        }
        ErrorKind::MissingRequiredArgument => format!("missing {argument}; {help}"),
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg);
            match other.is_empty() || other == argument {
                true => format!("{argument} cannot be given with these arguments or twice; {help}"),
                false => format!("{argument} cannot be combined with {other}; {help}"),
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{argument} needs a value; {help}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let valid = text(ContextKind::ValidValue);
            let source = std::error::Error::source(error).map(|source| format!("; {source}")).unwrap_or_default();
            match valid.is_empty() {
                true => format!("invalid value '{value}' for {argument}{source}"),
                false => format!("invalid value '{value}' for {argument}; expected one of {valid}"),
            }
        }
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => format!("{argument} needs a value; {help}"),
        ErrorKind::TooManyValues => format!("unexpected value '{value}' for {argument}; {help}"),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; {help}", first.strip_prefix("error: ").unwrap_or(first))
        }
    }
}

/// Returns the help that belongs to these words: that of their command, if they have one.
fn see_help(words: &[String]) -> String {
    let mut line = Line::command();
    match words.iter().find(|word| line.find_subcommand_mut(word).is_some()) {
        Some(command) => format!("see 'nodedev help {command}'"),
        None => "see 'nodedev --help'".to_owned(),
    }
}

fn unknown_command(name: &str) -> String {
    /// Words of other tools for these commands.
    const OTHER_NAMES: [(&str, &str); 11] = [
        ("ls", "list"),
        ("show", "info"),
        ("rm", "destroy"),
        ("delete", "destroy"),
        ("remove", "destroy"),
        ("add", "create"),
        ("nodedev-list", "list"),
        ("nodedev-dumpxml", "dumpxml"),
        ("nodedev-create", "create"),
        ("nodedev-destroy", "destroy"),
        ("watch", "event"),
    ];
    let line = Line::command();
    let known = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, own)| (*own).to_owned());
    let near = known.or_else(|| {
        let names = line.get_subcommands().filter(|command| !command.is_hide_set()).map(clap::Command::get_name);
        let scored = names.map(|candidate| (distance(name, candidate), candidate));
        let near = scored.min().filter(|(changes, candidate)| *changes <= 2 && changes * 2 < candidate.len());
        near.map(|(_, candidate)| candidate.to_owned())
    });
    match near {
        Some(near) => format!("unknown command '{name}'; did you mean '{near}'?"),
        None => format!("unknown command '{name}'; 'nodedev help' lists the commands"),
    }
}

/// Returns the number of characters to insert, remove or replace to get from one text to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let best = (diagonal + usize::from(ca != *cb)).min(above + 1).min(left + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            diagonal = above;
            left = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn command_line_declaration_is_consistent() {
        Line::command().debug_assert();
        Start::command().debug_assert();
    }

    #[test]
    fn unknown_command_gets_the_nearest_name() {
        for (given, near) in [("ls", "list"), ("destory", "destroy"), ("lst", "list"), ("dumpxlm", "dumpxml")] {
            assert_eq!(unknown_command(given), format!("unknown command '{given}'; did you mean '{near}'?"));
        }
        assert_eq!(unknown_command("frobnicate"), "unknown command 'frobnicate'; 'nodedev help' lists the commands");
    }

    #[test]
    fn distance_counts_changes() {
        for (a, b, changes) in
            [("list", "list", 0), ("lst", "list", 1), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), changes, "{a} {b}");
        }
    }
}
