// SPDX-License-Identifier: LGPL-2.1-or-later
//! `create` and `define`.

use std::io::Read;

use mdev::{Conn, CreateFlags, DefineFlags, Node};

use super::info;
use crate::cli::{Create, Define};
use crate::errors::{Failure, Outcome, file_failure};
use crate::output;
use crate::session::{Session, read_line};

/// The maximum size of a file with XML.
const DOCUMENT_MAX: usize = 64 * 1024 * 1024;

/// Carries out `create`.
pub fn create(session: &mut Session, args: &Create) -> Outcome {
    let as_group = args.group.is_some();
    if args.options.ty.is_some() {
        return Err(Failure::Tool("creating a device without XML is not supported yet".to_owned()));
    }
    if args.files.len() > 1 && !as_group {
        return Err(Failure::Usage("create takes one file; for several devices as one group use --group".to_owned()));
    }
    let mut flags = CreateFlags::empty();
    flags.set(CreateFlags::EXIST_OK, args.exist_ok);
    flags.set(CreateFlags::PACK, args.pack);
    flags.set(CreateFlags::NO_CALLOUTS, args.no_callouts);
    let documents = args.files.iter().map(|file| Document::read(session, file)).collect::<Outcome<Vec<_>>>()?;
    let nodes = with_owner(session, args.owner.as_deref(), |conn| match documents.as_slice() {
        [one] if !as_group => {
            conn.create_xml(one.text.as_bytes(), flags).map(|node| vec![node]).map_err(|e| one.failure(e))
        }
        all => {
            let texts: Vec<&[u8]> = all.iter().map(|document| document.text.as_bytes()).collect();
            conn.create_group_xml(&texts, flags).map_err(Failure::Library)
        }
    })?;
    nodes.iter().try_for_each(|node| print(session, node, "created"))
}

/// Carries out `define`.
pub fn define(session: &mut Session, args: &Define) -> Outcome {
    if args.options.ty.is_some() {
        return Err(Failure::Tool("defining a device without XML is not supported yet".to_owned()));
    }
    let mut flags = DefineFlags::empty();
    flags.set(DefineFlags::AUTOSTART, args.autostart);
    flags.set(DefineFlags::NO_CALLOUTS, args.no_callouts);
    for file in &args.files {
        let document = Document::read(session, file)?;
        let node = with_owner(session, args.owner.as_deref(), |conn| {
            conn.define_xml(document.text.as_bytes(), flags).map_err(|e| document.failure(e))
        })?;
        print(session, &node, "defined")?;
    }
    Ok(())
}

/// Calls `request` with the owner of one command, and restores the owner of the session.
fn with_owner<T>(session: &mut Session, owner: Option<&str>, request: impl FnOnce(&Conn) -> Outcome<T>) -> Outcome<T> {
    let conn = session.conn()?;
    let Some(owner) = owner else { return request(&conn) };
    conn.set_owner(Some(owner))?;
    let result = request(&conn);
    conn.set_owner(session.owner.as_deref())?;
    result
}

/// Prints a device that was created or defined: its UUID with `-q`, everything with `--json`, else a sentence.
fn print(session: &Session, node: &Node, done: &str) -> Outcome {
    let uuid = node.uuid().unwrap_or_default();
    if session.globals.json {
        return info::print(session, node, None);
    }
    match session.globals.quiet {
        true => output::line(&uuid),
        false => output::line(&format!("Device {} {done}, UUID {uuid}", output::safe(node.name()))),
    }
    Ok(())
}

/// The XML of a device, with the name of its file.
struct Document {
    file: String,
    text: String,
}

impl Document {
    /// Reads a file, or standard input for `-`.
    fn read(session: &Session, file: &str) -> Outcome<Document> {
        let is_stdin = file == "-";
        let shown = if is_stdin { "standard input" } else { file };
        let bytes = if is_stdin { read_stdin(session)? } else { read_file(file)? };
        if bytes.len() > DOCUMENT_MAX {
            return Err(Failure::Tool(format!("{shown} is larger than 64 MiB; expected the XML of a device")));
        }
        if bytes.contains(&0) {
            return Err(Failure::Tool(format!("{shown} has a NUL byte; expected the XML of a device")));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.trim_start().starts_with(['{', '[']) {
            let hint =
                "expected the XML of a device; for a definition in mdevctl's JSON use 'mdevctl define --jsonfile'";
            return Err(Failure::Tool(format!("{shown} contains JSON; {hint}")));
        }
        Ok(Document { file: shown.to_owned(), text })
    }

    /// Returns the failure of a request with this document. An XML error gets the form FILE:LINE:COLUMN.
    fn failure(&self, mut error: mdev::Error) -> Failure {
        let Some((place, rest)) = error.message.strip_prefix("XML line ").and_then(|text| text.split_once(": ")) else {
            return Failure::Library(error);
        };
        let place = place.replace(", column ", ":");
        error.message = format!("{}:{place}: {rest}", self.file);
        Failure::Library(error)
    }
}

fn read_file(file: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = DOCUMENT_MAX as u64 + 1;
    let opened = std::fs::File::open(file);
    opened
        .and_then(|open| open.take(limit).read_to_end(&mut bytes))
        .map_err(|error| file_failure("read", file, &error))?;
    Ok(bytes)
}

/// Reads standard input up to a line with a single dot, or to its end.
fn read_stdin(session: &Session) -> Outcome<Vec<u8>> {
    if session.prompt {
        output::line("Type the XML, then a line with a single dot.");
        output::flush();
    }
    let mut bytes = Vec::new();
    while bytes.len() <= DOCUMENT_MAX {
        let line = read_line(DOCUMENT_MAX).map_err(|sentence| Failure::Tool(format!("standard input: {sentence}")))?;
        let Some(line) = line else { break };
        if session.globals.echo && !session.prompt {
            output::line(&output::safe(&line));
        }
        if line == "." {
            break;
        }
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    Ok(bytes)
}
