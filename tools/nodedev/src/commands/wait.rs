// SPDX-License-Identifier: LGPL-2.1-or-later
//! `wait`.

use std::time::{Duration, Instant};

use mdev::{Conn, DeviceWait, ErrorCode};
use serde_json::json;

use crate::cli::{DeviceState, Wait};
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::{json as objects, lookup, progress};

/// The time between two reads of the types of a parent. The kernel sends no event when they change.
const READ_INTERVAL: Duration = Duration::from_millis(500);

/// Carries out `wait`.
pub fn run(session: &mut Session, args: &Wait) -> Outcome {
    if let Some(state) = args.state {
        return wait_for_state(session, args, state);
    }
    if let Some(ty) = &args.ty {
        return wait_for_type(session, args, ty);
    }
    let conn = session.conn()?;
    refuse_device(&conn, args)?;
    let message = format!("waiting for {}", args.node);
    let parent = progress::during(session, &message, || conn.wait_parent(&args.node, args.timeout))?;
    if session.globals.json {
        objects::print(&json!({ "parent": parent.name(), "result": "exists" }));
    }
    session.say(&format!("Parent {} exists", parent.name()));
    Ok(())
}

fn wait_for_type(session: &mut Session, args: &Wait, ty: &str) -> Outcome {
    let conn = session.conn()?;
    refuse_device(&conn, args)?;
    let message = format!("waiting until {} offers type {ty}", args.node);
    let parent = progress::during(session, &message, || type_is_offered(&conn, args, ty))?;
    if session.globals.json {
        objects::print(&json!({ "parent": parent, "type": ty, "result": "available" }));
    }
    session.say(&format!("Parent {parent} offers type {ty}"));
    Ok(())
}

/// Fails if the node is a device: without `--for`, the command waits for a parent.
fn refuse_device(conn: &Conn, args: &Wait) -> Outcome {
    match lookup::node(conn, &args.node) {
        Ok(node) if !node.is_parent() => Err(Failure::Usage(format!(
            "'{}' is a device; name a parent, or give the state to wait for: --for created, deleted or free",
            args.node
        ))),
        _ => Ok(()),
    }
}

/// Waits until the parent offers a type of which a device can be created. Returns the name of the parent.
fn type_is_offered(conn: &Conn, args: &Wait, ty: &str) -> Outcome<String> {
    let end = Instant::now() + Duration::from_millis(u64::try_from(args.timeout).unwrap_or(0));
    let parent = conn.wait_parent(&args.node, args.timeout)?.name().to_owned();
    loop {
        let why = match conn.lookup_by_name(&parent).and_then(|node| node.find_type(ty).map(|ty| ty.capacity())) {
            Ok(capacity) if capacity.is_none_or(|(count, _)| count > 0) => return Ok(parent),
            Ok(_) => format!("{parent}: no instances of type '{ty}' are left"),
            Err(error) if matches!(error.code, ErrorCode::NoType | ErrorCode::NoNode) => error.message,
            Err(error) => return Err(error.into()),
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let seconds = f64::from(args.timeout) / 1000.0;
            let message = format!("{why}; still so after {seconds} s");
            return Err(Failure::Library(mdev::Error { code: ErrorCode::Timeout, errno: 110, message, path: None }));
        }
        std::thread::sleep(READ_INTERVAL.min(left));
    }
}

fn wait_for_state(session: &mut Session, args: &Wait, state: DeviceState) -> Outcome {
    let conn = session.conn()?;
    let (state, word) = match state {
        DeviceState::Created => (DeviceWait::Created, "created"),
        DeviceState::Deleted => (DeviceWait::Deleted, "deleted"),
        DeviceState::Free => (DeviceWait::Free, "free"),
    };
    // A device that does not exist yet, or no more, can only be named by its UUID.
    let uuid = match lookup::node(&conn, &args.node).map(|node| node.uuid()) {
        Ok(Ok(uuid)) => uuid,
        Ok(Err(error)) => return Err(error.into()),
        Err(Failure::Library(error)) if error.code == ErrorCode::NoNode && state == DeviceWait::Deleted => {
            if uuid::Uuid::parse_str(&args.node).is_err() {
                return Err(Failure::Library(error));
            }
            args.node.clone()
        }
        Err(_) if uuid::Uuid::parse_str(&args.node).is_ok() => args.node.clone(),
        Err(failure) => return Err(failure),
    };
    let message = format!("waiting until {} is {word}", args.node);
    progress::during(session, &message, || conn.wait_device(&uuid, state, args.timeout))?;
    if session.globals.json {
        objects::print(&json!({ "device": args.node, "result": word }));
    }
    session.say(&format!("Device {} is {word}", args.node));
    Ok(())
}
