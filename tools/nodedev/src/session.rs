// SPDX-License-Identifier: LGPL-2.1-or-later
//! One run of the program: the connection, and the commands from the command line or from standard input.

use std::io::{BufRead, IsTerminal};

use mdev::Conn;

use crate::cli::Globals;
use crate::commands;
use crate::errors::{Failure, Outcome, Status};
use crate::{output, script, usage};

/// What a terminal shows before each command.
const PROMPT: &str = "nodedev # ";

/// The maximum length of a command line on standard input.
const LINE_MAX: usize = 1024 * 1024;

/// The state of a run.
pub struct Session {
    /// The options of the program, with those of the current command.
    pub globals: Globals,
    /// The owner from `nodedev --owner`.
    pub owner: Option<String>,
    /// True if a person types the commands.
    pub prompt: bool,
    /// True after the command `quit`.
    pub quit: bool,
    /// The connection with its URI, opened by the first command that needs it.
    conn: Option<(Option<String>, Conn)>,
}

/// Runs the program with these words. Returns the exit status.
pub fn run(words: Vec<String>) -> Status {
    let as_json = words.iter().any(|word| word == "--json");
    let start = match usage::parse_start(&words) {
        Ok(start) => start,
        Err(failure) => return failure.print(as_json),
    };
    let mut session = Session { globals: start.globals, owner: start.owner, prompt: false, quit: false, conn: None };
    let default = || std::env::var("MDEV_DEFAULT_URI").ok().filter(|uri| !uri.is_empty());
    session.globals.connect = session.globals.connect.take().filter(|uri| !uri.is_empty()).or_else(default);
    if start.words.is_empty() {
        return session.run_stdin();
    }
    match script::from_words(&start.words) {
        Ok(commands) => session.run_all(&commands),
        Err(sentence) => Failure::Usage(sentence).print(as_json),
    }
}

impl Session {
    /// Returns the connection.
    pub fn conn(&mut self) -> Outcome<Conn> {
        if let Some((uri, conn)) = &self.conn {
            if *uri == self.globals.connect {
                return Ok(conn.clone());
            }
        }
        let uri = self.globals.connect.clone();
        let conn = Conn::open(uri.as_deref())?;
        conn.set_owner(self.owner.as_deref())?;
        self.conn = Some((uri, conn.clone()));
        Ok(conn)
    }

    /// Prints a message of success, unless `-q` or `--json` was given.
    pub fn say(&self, message: &str) {
        if !self.globals.quiet && !self.globals.json {
            output::result(&output::safe(message));
        }
    }

    /// Runs the commands of a script. If one of them is invalid, none runs. Returns the status of the first failure.
    fn run_all(&mut self, commands: &[Vec<String>]) -> Status {
        let mut parsed = Vec::with_capacity(commands.len());
        for words in commands {
            match usage::parse(words) {
                Ok(line) => parsed.push(line),
                Err(failure) => return failure.print(self.globals.json || words.iter().any(|word| word == "--json")),
            }
        }
        let mut status = Status::Ok;
        for line in parsed {
            let own = self.run_one(line);
            status = if status == Status::Ok { own } else { status };
            if self.must_stop(status) {
                break;
            }
        }
        status
    }

    /// Runs the commands of `event`, which are already being listened to.
    pub fn run_nested(&mut self, words: &[String]) -> Status {
        match usage::parse(words) {
            Ok(line) => self.run_one(line),
            Err(failure) => failure.print(self.globals.json),
        }
    }

    /// Runs one command with its own options in addition to those of the program.
    fn run_one(&mut self, line: crate::cli::Line) -> Status {
        let before = self.globals.clone();
        let own = line.globals;
        self.globals.connect = own.connect.filter(|uri| !uri.is_empty()).or(self.globals.connect.take());
        self.globals.stop_on_error |= own.stop_on_error;
        self.globals.quiet |= own.quiet;
        self.globals.json |= own.json;
        self.globals.verbose |= own.verbose;
        if self.globals.verbose {
            crate::commands::logging::start();
        }
        let result = commands::run(self, line.command);
        let status = result.map_or_else(|failure| failure.print(self.globals.json), |()| Status::Ok);
        let stop_on_error = self.globals.stop_on_error;
        self.globals = before;
        self.globals.stop_on_error |= stop_on_error;
        status
    }

    fn must_stop(&self, status: Status) -> bool {
        self.quit || (self.globals.stop_on_error && status != Status::Ok)
    }

    fn run_stdin(&mut self) -> Status {
        self.prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if self.prompt {
            output::line("Type 'help' for the commands, 'quit' to leave.");
        }
        let mut status = Status::Ok;
        while !self.must_stop(status) {
            if self.prompt {
                output::write(PROMPT);
            }
            output::flush();
            let line = match read_command() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(sentence) => return Failure::Usage(sentence).print(self.globals.json),
            };
            if self.globals.echo && !self.prompt {
                output::line(&format!("{PROMPT}{}", output::safe(&line)));
            }
            let own = match script::parse(&line) {
                Ok(commands) => self.run_all(&commands),
                Err(sentence) => Failure::Usage(sentence).print(self.globals.json),
            };
            status = if status == Status::Ok { own } else { status };
        }
        if self.prompt { Status::Ok } else { status }
    }
}

/// Reads a command line, with the lines that belong to it because of a backslash. `None` at the end of the input.
fn read_command() -> Result<Option<String>, String> {
    let mut text = String::new();
    loop {
        let Some(line) = read_line(LINE_MAX).map_err(|sentence| format!("standard input: {sentence}"))? else {
            return Ok(Some(text).filter(|text| !text.is_empty()));
        };
        text.push_str(&line);
        if text.len() > LINE_MAX {
            return Err("standard input: a command line is longer than 1 MiB".to_owned());
        }
        if !script::continues(&text) {
            return Ok(Some(text));
        }
        text.push('\n');
    }
}

/// Reads a line of standard input without its newline. `None` at the end. Fails for a line of more than `max` bytes, with a NUL
/// byte, or that is not UTF-8.
pub fn read_line(max: usize) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    let mut stdin = std::io::stdin().lock();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(2);
    let mut limited = std::io::Read::take(&mut stdin, limit);
    limited.read_until(b'\n', &mut bytes).map_err(|error| format!("cannot read: {error}"))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > max {
        return Err(format!("a line is longer than {} MiB", max / (1024 * 1024)));
    }
    if bytes.contains(&0) {
        return Err("a line has a NUL byte".to_owned());
    }
    String::from_utf8(bytes).map(Some).map_err(|_| "a line is not UTF-8".to_owned())
}
