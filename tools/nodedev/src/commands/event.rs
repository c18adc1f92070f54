// SPDX-License-Identifier: LGPL-2.1-or-later
//! `event`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mdev::{EventKind, Monitor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::Event;
use crate::errors::{Failure, Outcome, Status};
use crate::session::Session;
use crate::{json as objects, lookup, output, script};

/// The names of the events.
const NAMES: [(EventKind, &str); 6] = [
    (EventKind::Created, "created"),
    (EventKind::Deleted, "deleted"),
    (EventKind::Updated, "updated"),
    (EventKind::Defined, "defined"),
    (EventKind::Undefined, "undefined"),
    (EventKind::Overrun, "overrun"),
];

/// Parses the name of an event.
pub fn kind(text: &str) -> Result<EventKind, String> {
    let found = NAMES.iter().find(|(_, name)| *name == text);
    found.map(|(kind, _)| *kind).ok_or_else(|| {
        let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// The events to print, and when to end.
struct Limits<'a> {
    args: &'a Event,
    end: Option<Instant>,
    left: Option<u64>,
}

/// Carries out `event`.
pub fn run(session: &mut Session, args: &Event) -> Outcome {
    let mut monitor = session.conn()?.monitor()?;
    let end = args.timeout.map(|ms| Instant::now() + Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    let mut limits = Limits { args, end, left: args.count };
    if args.command.is_empty() {
        return limits.print_until_end(session, &mut monitor);
    }
    let commands = script::from_words(&args.command).map_err(Failure::Usage)?;
    for words in &commands {
        crate::usage::parse(words)?;
    }
    let mut status = Status::Ok;
    for words in &commands {
        let own = run_quietly(session, words);
        status = if status == Status::Ok { own } else { status };
        limits.print_pending(session, &mut monitor)?;
        if session.quit || (session.globals.stop_on_error && status != Status::Ok) {
            break;
        }
    }
    if status == Status::Ok && (args.count.is_some() || args.timeout.is_some()) {
        return limits.print_until_end(session, &mut monitor);
    }
    if status == Status::Ok { Ok(()) } else { Err(Failure::Printed(status)) }
}

/// Runs a command. With `--json`, standard output contains only events, so the command prints nothing.
fn run_quietly(session: &mut Session, words: &[String]) -> Status {
    output::silence(session.globals.json);
    let status = session.run_nested(words);
    output::silence(false);
    status
}

impl Limits<'_> {
    /// Prints the events that were already received.
    fn print_pending(&mut self, session: &Session, monitor: &mut Monitor) -> Outcome {
        while self.left != Some(0) {
            let Some(event) = monitor.receive()? else { return Ok(()) };
            self.print(session, &event);
        }
        Ok(())
    }

    fn print_until_end(&mut self, session: &Session, monitor: &mut Monitor) -> Outcome {
        loop {
            self.print_pending(session, monitor)?;
            if self.left == Some(0) {
                return Ok(());
            }
            if !wait_readable(monitor, self.end)? {
                return self.timeout();
            }
        }
    }

    /// The end of the time limit: a failure if events were counted and are missing.
    fn timeout(&self) -> Outcome {
        let Some(left) = self.left else { return Ok(()) };
        Err(Failure::Library(mdev::Error {
            code: mdev::ErrorCode::Timeout,
            errno: 110,
            message: format!(
                "not received in time: {}; use a longer --timeout",
                output::counted(left as usize, "more event")
            ),
            path: None,
        }))
    }

    fn print(&mut self, session: &Session, event: &mdev::Event) {
        let (kind, node) = (event.kind, event.node.as_ref());
        if self.args.kind.is_some_and(|wanted| wanted != kind) {
            return;
        }
        if let Some(wanted) = &self.args.device {
            let is_wanted = node.is_some_and(|node| lookup::is_named(node, wanted));
            if !is_wanted && kind != EventKind::Overrun {
                return;
            }
        }
        let name = NAMES.iter().find(|(own, _)| *own == kind).map_or("unknown", |(_, name)| *name);
        let time = self.args.timestamp.then(timestamp);
        if session.globals.json {
            let mut object = objects::Object::new();
            object.add("event", Some(name));
            object.add("time", time);
            object.add("node", node.map(|node| objects::node(node, true).value()));
            output::line(&object.value().to_string());
        } else {
            output::line(&text(name, node, time));
        }
        // A reader of a pipe gets each event at once.
        output::flush();
        self.left = self.left.map(|left| left - 1);
    }
}

fn text(name: &str, node: Option<&mdev::Node>, time: Option<String>) -> String {
    let time = time.map(|time| format!("{time} ")).unwrap_or_default();
    let Some(node) = node else { return format!("{time}{name}") };
    let details = match node.is_parent() {
        true => String::new(),
        false => format!("  type {}  parent {}", node.type_id().unwrap_or("-"), node.parent_name()),
    };
    output::safe(&format!("{time}{name:<9} {}{details}", node.name()))
}

/// Returns the current time in UTC: `2026-11-30T12:34:56.789Z`.
fn timestamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (now.as_secs() / 86400, now.as_secs() % 86400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", now.subsec_millis())
}

/// Returns the date of a day after 1970-01-01 in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Waits until the monitor may have an event. False if the time limit was reached.
fn wait_readable(monitor: &Monitor, end: Option<Instant>) -> Outcome<bool> {
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Ok(false);
    }
    let timeout = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
    let fd = monitor.fd();
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(true),
        Err(errno) => Err(Failure::Tool(format!("cannot wait for events: {errno}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (20_788, (2026, 12, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
    }

    #[test]
    fn event_names_are_parsed() {
        assert_eq!(kind("created"), Ok(EventKind::Created));
        assert!(kind("create").unwrap_err().starts_with("expected one of created, deleted"));
    }
}
