// SPDX-License-Identifier: LGPL-2.1-or-later
//! `wait`.

use serde_json::json;

use crate::cli::Wait;
use crate::errors::{Failure, Outcome};
use crate::json as objects;
use crate::session::Session;

/// Carries out `wait`.
pub fn run(session: &mut Session, args: &Wait) -> Outcome {
    if args.state.is_some() || args.ty.is_some() {
        return Err(Failure::Tool("wait --for and wait --type are not supported yet".to_owned()));
    }
    let parent = session.conn()?.wait_parent(&args.node, args.timeout)?;
    if session.globals.json {
        objects::print(&json!({ "parent": parent.name(), "result": "exists" }));
    }
    session.say(&format!("Parent {} exists", parent.name()));
    Ok(())
}
