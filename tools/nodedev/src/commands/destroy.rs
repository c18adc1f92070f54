// SPDX-License-Identifier: LGPL-2.1-or-later
//! `destroy`.

use std::time::{Duration, Instant};

use mdev::{DestroyFlags, ErrorCode, ListFlags, Node};
use serde_json::json;

use super::definitions::{each, targets};
use crate::cli::Destroy;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::{json as objects, output};

/// The time between two attempts to destroy a device that is in use. The kernel sends no event when a device becomes free.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Carries out `destroy`.
pub fn run(session: &mut Session, args: &Destroy) -> Outcome {
    let mut flags = DestroyFlags::empty();
    flags.set(DestroyFlags::OWNED, args.owned);
    flags.set(DestroyFlags::NO_CALLOUTS, args.no_callouts);
    if args.owner.is_some() && !args.incomplete {
        let sentence =
            "--owner needs --incomplete; to destroy only your own devices: nodedev --owner NAME destroy --owned DEVICE";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    if args.owned && session.owner.is_none() {
        let sentence = "--owned needs an owner: nodedev --owner NAME destroy --owned DEVICE";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    if args.incomplete {
        return destroy_incomplete(session, args.owner.as_deref(), flags);
    }
    let targets = targets(session, &args.devices, args.parent.as_deref(), ListFlags::ACTIVE)?;
    each(session, targets, "destroyed", |node| destroy(node, flags, args.wait))
}

/// Destroys a device. If it is in use, tries again until `wait` milliseconds have passed.
fn destroy(node: &Node, flags: DestroyFlags, wait: Option<i32>) -> Outcome {
    let limit = Duration::from_millis(u64::try_from(wait.unwrap_or(0)).unwrap_or(0));
    let end = Instant::now() + limit;
    loop {
        match node.destroy(flags) {
            Err(error) if error.code == ErrorCode::InUse && wait.is_some() => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let seconds = limit.as_secs_f64();
                    let message = format!("{}; it was still in use after {seconds} s", error.message);
                    return Err(Failure::Library(mdev::Error { code: ErrorCode::Timeout, message, ..error }));
                }
                std::thread::sleep(RETRY_INTERVAL.min(left));
            }
            result => return Ok(result?),
        }
    }
}

fn destroy_incomplete(session: &mut Session, owner: Option<&str>, flags: DestroyFlags) -> Outcome {
    let conn = session.conn()?;
    let owner = owner.or(session.owner.as_deref());
    let count = conn.destroy_incomplete(owner, flags)?;
    if session.globals.json {
        objects::print(&json!({ "destroyed": count }));
    }
    session.say(&format!("{} of incomplete groups destroyed", output::counted(count, "device")));
    Ok(())
}
