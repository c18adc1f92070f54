// SPDX-License-Identifier: LGPL-2.1-or-later
//! `create` and `define`.

use std::io::Read;

use mdev::{Conn, CreateFlags, CreateOptions, CreatePlan, DefineFlags, ErrorCode, Node};
use serde_json::{Value, json};

use crate::cli::{Create, Define, Options};
use crate::errors::{Failure, Outcome, file_failure};
use crate::session::{Session, read_line};
use crate::{json as objects, output, progress};

/// The maximum size of a file with XML.
const DOCUMENT_MAX: usize = 64 * 1024 * 1024;

/// Carries out `create`.
pub fn create(session: &mut Session, args: &Create) -> Outcome {
    let mut flags = CreateFlags::empty();
    flags.set(CreateFlags::EXIST_OK, args.exist_ok);
    flags.set(CreateFlags::PACK, args.pack);
    flags.set(CreateFlags::NO_CALLOUTS, args.no_callouts);
    if args.options.ty.is_some() {
        return create_without_xml(session, args, flags);
    }
    let as_group = match args.group.as_deref() {
        None => false,
        Some("") => true,
        Some(group) => {
            let sentence =
                format!("--group={group} needs --type; with files, --group has no value, and the XML has <group>");
            return Err(Failure::Usage(sentence));
        }
    };
    if args.files.len() > 1 && !as_group {
        return Err(Failure::Usage("create takes one file; for several devices as one group use --group".to_owned()));
    }
    let documents = args.files.iter().map(|file| Document::read(session, file)).collect::<Outcome<Vec<_>>>()?;
    if args.dry_run {
        let conn = session.conn()?;
        return documents.iter().try_for_each(|document| {
            let plan = conn.plan_xml(document.text.as_bytes(), flags).map_err(|e| document.failure(e))?;
            print_plan(session, &plan);
            Ok(())
        });
    }
    let nodes = with_owner(session, args.owner.as_deref(), |conn| match documents.as_slice() {
        [one] if !as_group => {
            conn.create_xml(one.text.as_bytes(), flags).map(|node| vec![node]).map_err(|e| one.failure(e))
        }
        all => {
            let texts: Vec<&[u8]> = all.iter().map(|document| document.text.as_bytes()).collect();
            conn.create_group_xml(&texts, flags).map_err(Failure::Library)
        }
    })?;
    let mut report = Report::new("created", as_group);
    nodes.iter().try_for_each(|node| report.add(session, node))?;
    report.finish(session, None, Ok(()))
}

/// The number of devices of one command: given, or as many as fit.
enum Count {
    Given(u32),
    All,
}

fn count(text: Option<&str>) -> Outcome<Count> {
    match text {
        None => Ok(Count::Given(1)),
        Some("all") => Ok(Count::All),
        Some(text) => match text.parse() {
            Ok(count) if count > 0 => Ok(Count::Given(count)),
            _ => Err(Failure::Usage(format!("invalid value '{text}' for --count; expected a number from 1, or all"))),
        },
    }
}

fn create_without_xml(session: &mut Session, args: &Create, flags: CreateFlags) -> Outcome {
    let count = count(args.count.as_deref())?;
    let group =
        match args.group.as_deref() {
            None => None,
            Some(group) => {
                Some(group.parse().ok().filter(|group| *group > 0).ok_or_else(|| {
                    Failure::Usage("with --type, --group needs a number from 1: --group=1".to_owned())
                })?)
            }
        };
    let attributes = attributes(&args.options)?;
    let options = options(&args.options, group, &attributes);
    if args.dry_run {
        let plan = session.conn()?.plan(&options, flags)?;
        print_plan(session, &plan);
        return Ok(());
    }
    let mut report = Report::new("created", args.count.is_some());
    let result = loop {
        match with_owner(session, args.owner.as_deref(), |conn| Ok(conn.create(&options, flags)?)) {
            Ok(node) => report.add(session, &node)?,
            Err(Failure::Library(error))
                if error.code == ErrorCode::NoInstances && matches!(count, Count::All) && report.count > 0 =>
            {
                break Ok(());
            }
            Err(failure) => break Err(failure),
        }
        if matches!(count, Count::Given(wanted) if report.count >= wanted) {
            break Ok(());
        }
    };
    let wanted = match count {
        Count::Given(wanted) => Some(wanted),
        Count::All => None,
    };
    report.finish(session, wanted, result)
}

/// Returns the request for the options of a command.
fn options<'a>(options: &'a Options, group: Option<u32>, attributes: &'a [(&'a str, &'a str)]) -> CreateOptions<'a> {
    CreateOptions {
        parent: options.parent.as_deref(),
        ty: options.ty.as_deref().unwrap_or_default(),
        uuid: options.uuid.as_deref(),
        name: options.name.as_deref(),
        group,
        params: options.params.as_deref(),
        numa_node: options.numa.map(i32::from),
        attributes,
    }
}

fn attributes(options: &Options) -> Outcome<Vec<(&str, &str)>> {
    let invalid = |text: &String| Failure::Usage(format!("invalid value '{text}' for --attr; expected NAME=VALUE"));
    options.attr.iter().map(|text| text.split_once('=').ok_or_else(|| invalid(text))).collect()
}

fn print_plan(session: &Session, plan: &CreatePlan) {
    if session.globals.json {
        let write = |(path, text): &(String, String)| json!({ "path": path, "text": text });
        objects::print(&json!({
            "parent": plan.parent, "type": plan.type_id, "uuid": plan.uuid, "vf": plan.vf, "exists": plan.exists,
            "writes": plan.writes.iter().map(write).collect::<Vec<_>>(),
        }));
    } else {
        plan.to_string().lines().for_each(|line| output::line(&output::safe(line)));
    }
}

/// Carries out `define`.
pub fn define(session: &mut Session, args: &Define) -> Outcome {
    let mut flags = DefineFlags::empty();
    flags.set(DefineFlags::AUTOSTART, args.autostart);
    flags.set(DefineFlags::NO_CALLOUTS, args.no_callouts);
    let wanted = args.count.unwrap_or(1).max(u32::try_from(args.files.len()).unwrap_or(u32::MAX));
    let mut report = Report::new("defined", args.count.is_some() || args.files.len() > 1);
    let result = define_all(session, args, flags, &mut report);
    report.finish(session, Some(wanted), result)
}

/// Defines each device, up to the first failure.
fn define_all(session: &mut Session, args: &Define, flags: DefineFlags, report: &mut Report) -> Outcome {
    let owner = args.owner.as_deref();
    if args.options.ty.is_some() {
        let attributes = attributes(&args.options)?;
        let options = options(&args.options, args.group, &attributes);
        for _ in 0..args.count.unwrap_or(1) {
            let node = with_owner(session, owner, |conn| Ok(conn.define(&options, flags)?))?;
            report.add(session, &node)?;
        }
    }
    for file in &args.files {
        let document = Document::read(session, file)?;
        let define = |conn: &Conn| conn.define_xml(document.text.as_bytes(), flags).map_err(|e| document.failure(e));
        let node = with_owner(session, owner, define)?;
        report.add(session, &node)?;
    }
    Ok(())
}

/// Prints each device as soon as it is created or defined: its UUID with `-q`, else a sentence. With `--json`, prints all of them at
/// the end: one object, or an array if the command can make several.
struct Report {
    done: &'static str,
    is_list: bool,
    count: u32,
    objects: Vec<Value>,
}

impl Report {
    fn new(done: &'static str, is_list: bool) -> Self {
        Report { done, is_list, count: 0, objects: Vec::new() }
    }

    fn add(&mut self, session: &Session, node: &Node) -> Outcome {
        self.count += 1;
        if session.globals.json {
            self.objects.push(objects::info(node, None)?);
            return Ok(());
        }
        let uuid = node.uuid().unwrap_or_default();
        match session.globals.quiet {
            true => output::result(&uuid),
            false => output::result(&format!("Device {} {}, UUID {uuid}", output::safe(node.name()), self.done)),
        }
        Ok(())
    }

    /// Ends the output. If the command failed after some of `wanted` devices, says how many there are.
    fn finish(self, session: &Session, wanted: Option<u32>, result: Outcome) -> Outcome {
        let is_partial = result.is_err() && self.count > 0;
        match (self.objects, self.is_list) {
            (objects, true) if session.globals.json && (result.is_ok() || is_partial) => {
                objects::print(&objects.into())
            }
            (objects, _) => objects.iter().for_each(objects::print),
        }
        let wanted = wanted.map(|wanted| format!(" of {wanted}")).unwrap_or_default();
        if is_partial && !session.globals.json {
            output::note(&format!("{}{wanted} devices were {}", self.count, self.done));
        }
        result
    }
}

/// Calls `request` with the owner of one command, and restores the owner of the session.
fn with_owner<T>(session: &mut Session, owner: Option<&str>, request: impl FnOnce(&Conn) -> Outcome<T>) -> Outcome<T> {
    let conn = session.conn()?;
    if owner.is_some() {
        conn.set_owner(owner)?;
    }
    let result = progress::during(session, "waiting for the driver", || request(&conn));
    if owner.is_some() {
        conn.set_owner(session.owner.as_deref())?;
    }
    result
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
