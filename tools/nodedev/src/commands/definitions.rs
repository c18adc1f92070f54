// SPDX-License-Identifier: LGPL-2.1-or-later
//! `undefine`, `start` and `set-autostart`, and what a command does to each of several devices.

use mdev::{DefineFlags, ListFlags, Node, StartFlags};
use serde_json::json;

use crate::cli::{Names, SetAutostart, StartDevices};
use crate::errors::{Failure, Outcome, Status};
use crate::session::Session;
use crate::{json as objects, lookup, output, progress};

/// Carries out `undefine`.
pub fn undefine(session: &mut Session, args: &Names) -> Outcome {
    let flags = if args.no_callouts { DefineFlags::NO_CALLOUTS } else { DefineFlags::empty() };
    let states = ListFlags::ACTIVE | ListFlags::INACTIVE;
    let targets = targets(session, &args.devices, args.parent.as_deref(), states)?;
    each(session, targets, "undefined", |node| Ok(node.undefine(flags)?))
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
    let targets = targets(session, &args.devices, args.parent.as_deref(), ListFlags::INACTIVE)?;
    each(session, targets, "started", |node| Ok(node.start(flags)?))
}

/// Starts the devices with autostart. Each failure is a line; the error of the library has room for a few.
fn autostart(session: &mut Session, parent: Option<&str>, flags: StartFlags) -> Outcome {
    let conn = session.conn()?;
    let (started, failed) = progress::during(session, "starting the devices with autostart", || {
        super::logging::collect_errors(|| conn.autostart(parent, flags))
    });
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
    let targets = targets(session, &args.devices, None, ListFlags::empty())?;
    each(session, targets, done, |node| Ok(node.set_autostart(!args.disable)?))
}

/// A device to act on.
pub enum Target {
    /// What the user typed. It is looked up when the devices before it are done.
    Typed(String),
    /// A device of `--parent`. A lookup by its UUID could return a definition of another parent.
    Listed(Node),
}

/// Returns the devices that a user typed, or with `parent` all its devices in these states.
pub fn targets(
    session: &mut Session,
    names: &[String],
    parent: Option<&str>,
    states: ListFlags,
) -> Outcome<Vec<Target>> {
    let Some(parent) = parent else { return Ok(names.iter().cloned().map(Target::Typed).collect()) };
    let conn = session.conn()?;
    let parent = lookup::parent(&conn, parent)?;
    let mut devices = conn.list(ListFlags::DEVICES | states)?;
    devices.retain(|device| device.parent_name() == parent.name());
    Ok(devices.into_iter().map(Target::Listed).collect())
}

/// Carries out an action on each device. A failure does not keep the other devices from it. Returns the first failure.
pub fn each(session: &mut Session, targets: Vec<Target>, done: &str, action: impl Fn(&Node) -> Outcome) -> Outcome {
    let mut status = Status::Ok;
    let mut results = Vec::with_capacity(targets.len());
    for target in targets {
        let (name, found) = match target {
            Target::Typed(name) => {
                let found = session.conn().and_then(|conn| lookup::for_action(&conn, &name));
                (name, found)
            }
            Target::Listed(node) => (node.name().to_owned(), Ok(node)),
        };
        let message = format!("working on {name}");
        match found.and_then(|node| progress::during(session, &message, || action(&node))) {
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
    match status {
        Status::Ok => Ok(()),
        status => Err(Failure::Printed(status)),
    }
}
