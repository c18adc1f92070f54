// SPDX-License-Identifier: LGPL-2.1-or-later
//! `undefine`, `start` and `set-autostart`, and what a command does to each of several devices.

use mdev::{DefineFlags, ListFlags, Node, StartFlags};
use serde_json::json;

use super::destroy::{find, first_failure};
use crate::cli::{Names, SetAutostart, StartDevices};
use crate::errors::{Failure, Outcome, Status};
use crate::session::Session;
use crate::{json as objects, lookup, output};

/// Carries out `undefine`.
pub fn undefine(session: &mut Session, args: &Names) -> Outcome {
    let flags = if args.no_callouts { DefineFlags::NO_CALLOUTS } else { DefineFlags::empty() };
    let names = match (&args.parent, args.all) {
        (Some(parent), true) => devices_of(session, parent, ListFlags::ACTIVE | ListFlags::INACTIVE)?,
        _ => args.devices.clone(),
    };
    each(session, &names, "undefined", |node| Ok(node.undefine(flags)?))
}

/// Carries out `start`.
pub fn start(session: &mut Session, args: &StartDevices) -> Outcome {
    let flags = if args.no_callouts { StartFlags::NO_CALLOUTS } else { StartFlags::empty() };
    if args.autostart {
        return match args.devices.as_slice() {
            [] => autostart(session, None, flags),
            [parent] => autostart(session, Some(parent), flags),
            _ => Err(Failure::Usage("start --autostart takes at most one parent; see 'nodedev help start'".to_owned())),
        };
    }
    let names = match (&args.parent, args.all) {
        (Some(parent), true) => devices_of(session, parent, ListFlags::INACTIVE)?,
        _ => args.devices.clone(),
    };
    each(session, &names, "started", |node| Ok(node.start(flags)?))
}

/// Starts the devices with autostart. Each failure is a line; the error of the library has room for a few.
fn autostart(session: &mut Session, parent: Option<&str>, flags: StartFlags) -> Outcome {
    let conn = session.conn()?;
    let (started, failed) = super::logging::collect_errors(|| conn.autostart(parent, flags));
    match started {
        Ok(count) => {
            if session.globals.json {
                objects::print(&json!({ "started": count }));
            }
            session.say(&format!("{} started", output::counted(count as usize, "device")));
            Ok(())
        }
        Err(error) if failed.is_empty() || session.globals.json => Err(error.into()),
        Err(error) => {
            failed.iter().for_each(|line| output::error(line));
            // The devices may have failed for different reasons, so only "try again" has a status of its own.
            Err(Failure::Printed(match Failure::Library(error).status() {
                Status::Again => Status::Again,
                _ => Status::Failed,
            }))
        }
    }
}

/// Carries out `set-autostart`.
pub fn set_autostart(session: &mut Session, args: &SetAutostart) -> Outcome {
    let done = if args.disable { "no longer starts with its parent" } else { "starts with its parent" };
    each(session, &args.devices, done, |node| Ok(node.set_autostart(!args.disable)?))
}

/// Carries out an action on each device. A failure does not keep the other devices from it. Returns the first failure.
pub fn each(session: &mut Session, names: &[String], done: &str, action: impl Fn(&Node) -> Outcome) -> Outcome {
    let mut status = Status::Ok;
    let mut results = Vec::with_capacity(names.len());
    for name in names {
        match find(session, name).and_then(|node| action(&node)) {
            Ok(()) => {
                session.say(&format!("Device {name} {done}"));
                results.push(json!({ "device": name, "result": done }));
            }
            Err(failure) => {
                let own = failure.print(session.globals.json);
                results.push(json!({ "device": name, "result": "failed" }));
                status = if status == Status::Ok { own } else { status };
            }
        }
    }
    if session.globals.json {
        objects::print(&results.into());
    }
    first_failure(status)
}

/// Returns the UUIDs of the devices of a parent that are in these states.
pub fn devices_of(session: &mut Session, parent: &str, states: ListFlags) -> Outcome<Vec<String>> {
    let conn = session.conn()?;
    let parent = lookup::node(&conn, parent)?;
    let mut devices = conn.list(ListFlags::DEVICES | states)?;
    devices.retain(|device| device.parent_name() == parent.name());
    Ok(devices.iter().filter_map(|device| device.uuid().ok()).collect())
}
