// SPDX-License-Identifier: LGPL-2.1-or-later
//! `attr`, `reset`, `online` and `offline`.

use mdev::{AttrAccess, Node};
use serde_json::{Value, json};

use crate::cli::Attr;
use crate::errors::Outcome;
use crate::session::Session;
use crate::table::{Column, Table};
use crate::{json as objects, lookup, output};

const COLUMNS: [Column; 3] =
    [Column { name: "NAME", rank: 0 }, Column { name: "ACCESS", rank: 0 }, Column { name: "VALUE", rank: 0 }];

/// Carries out `attr`.
pub fn run(session: &mut Session, args: &Attr) -> Outcome {
    match args {
        Attr::List { node } => {
            let node = lookup::node(&session.conn()?, node)?;
            list(session, &node)
        }
        Attr::Get { node, attribute } => {
            let value = lookup::node(&session.conn()?, node)?.attr(attribute)?;
            match session.globals.json {
                true => objects::print(&json!({ "name": attribute, "value": value })),
                // Nothing for an empty value, as `cat` of the file.
                false => value.split_terminator('\n').for_each(|line| output::line(&output::safe(line))),
            }
            Ok(())
        }
        Attr::Set { node, attribute, value } => {
            lookup::for_action(&session.conn()?, node)?.set_attr(attribute, value)?;
            done(session, node, "set", &format!("Attribute {attribute} of {node} set"))
        }
    }
}

/// An attribute with its access and its value.
struct Entry {
    name: String,
    access: AttrAccess,
    value: Option<String>,
}

fn list(session: &Session, node: &Node) -> Outcome {
    let mut unreadable = Vec::new();
    let mut entry = |name: String| {
        // An attribute that was removed since it was listed is left out.
        let access = node.attr_access(&name).ok()?;
        let read = access.contains(AttrAccess::READ).then(|| node.attr(&name)).transpose();
        let value = read.unwrap_or_else(|error| {
            unreadable.push(error.message);
            None
        });
        Some(Entry { name, access, value })
    };
    // `uevent` is a file for udev, not an attribute of the device.
    let entries: Vec<Entry> =
        node.attrs()?.into_iter().filter(|name| name != "uevent").filter_map(&mut entry).collect();
    unreadable.iter().for_each(|message| output::note(message));
    if session.globals.json {
        objects::print(&entries.iter().map(object).collect());
        return Ok(());
    }
    let mut table = Table::new(&COLUMNS);
    for Entry { name, access, value } in entries {
        let access = match (access.contains(AttrAccess::READ), access.contains(AttrAccess::WRITE)) {
            (true, true) => "rw",
            (false, true) => "w",
            _ => "r",
        };
        table.row(vec![Some(name), Some(access.to_owned()), value]);
    }
    table.print(!session.globals.quiet, false);
    Ok(())
}

fn object(entry: &Entry) -> Value {
    let mut object = objects::Object::new();
    object.add("name", Some(entry.name.as_str()));
    object.add("readable", Some(entry.access.contains(AttrAccess::READ)));
    object.add("writable", Some(entry.access.contains(AttrAccess::WRITE)));
    object.add("value", entry.value.as_deref());
    object.value()
}

/// Carries out `reset`.
pub fn reset(session: &mut Session, name: &str) -> Outcome {
    lookup::for_action(&session.conn()?, name)?.reset()?;
    done(session, name, "reset", &format!("Device {name} reset"))
}

/// Carries out `online` and `offline`.
pub fn set_online(session: &mut Session, name: &str, online: bool) -> Outcome {
    lookup::for_action(&session.conn()?, name)?.set_online(online)?;
    let state = if online { "online" } else { "offline" };
    done(session, name, state, &format!("Device {name} is {state}"))
}

fn done(session: &Session, name: &str, result: &str, sentence: &str) -> Outcome {
    if session.globals.json {
        objects::print(&json!({ "device": name, "result": result }));
    }
    session.say(sentence);
    Ok(())
}
