// SPDX-License-Identifier: LGPL-2.1-or-later
//! `doctor`.

use mdev::{Finding, Severity};
use serde_json::{Value, json};

use crate::cli::Doctor;
use crate::errors::{Failure, Outcome, Status};
use crate::output::{BAD, GOOD, WARN};
use crate::session::Session;
use crate::{json as objects, output};

/// Carries out `doctor`. Prints the problems, the most serious first, each with the next command. Fails if one of them prevents the
/// use of mediated devices.
pub fn run(session: &mut Session, args: &Doctor) -> Outcome {
    let mut found = session.conn()?.diagnose(args.parent.as_deref())?;
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity as i32));
    if session.globals.json {
        objects::print(&found.iter().map(object).collect());
    } else {
        found.iter().filter(|finding| args.all || finding.severity != Severity::Note).for_each(print);
    }
    match found.iter().any(|finding| finding.severity == Severity::Error) {
        true => Err(Failure::Printed(Status::Failed)),
        false => Ok(()),
    }
}

/// Returns the word for a severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "ok",
        Severity::Warning => "warn",
        Severity::Error => "BAD",
    }
}

fn print(finding: &Finding) {
    let style = match finding.severity {
        Severity::Note => GOOD,
        Severity::Warning => WARN,
        Severity::Error => BAD,
    };
    let word = format!("{:<4}", word(finding.severity));
    output::line(&format!("{} {}", output::styled_out(&word, style), output::safe(&finding.message)));
    if let Some(step) = &finding.next_step {
        output::line(&format!("     next: {}", output::safe(step)));
    }
}

fn object(finding: &Finding) -> Value {
    json!({
        "severity": word(finding.severity).to_ascii_lowercase(),
        "code": (finding.severity != Severity::Note).then(|| finding.code.name()),
        "object": finding.object,
        "message": finding.message,
        "nextStep": finding.next_step,
    })
}
