// SPDX-License-Identifier: LGPL-2.1-or-later
//! The faults of a described host: writes that fail, are slow, or block.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mdev::simulator::Errno;
use serde_json::Value;

use crate::errors::{Failure, Outcome};

/// Names of errno values that drivers return.
const ERRNOS: [(&str, Errno); 14] = [
    ("EACCES", Errno::ACCESS),
    ("EAGAIN", Errno::AGAIN),
    ("EBUSY", Errno::BUSY),
    ("EEXIST", Errno::EXIST),
    ("EINTR", Errno::INTR),
    ("EINVAL", Errno::INVAL),
    ("EIO", Errno::IO),
    ("ENODEV", Errno::NODEV),
    ("ENOMEM", Errno::NOMEM),
    ("ENOSPC", Errno::NOSPC),
    ("ENXIO", Errno::NXIO),
    ("EOPNOTSUPP", Errno::OPNOTSUPP),
    ("EPERM", Errno::PERM),
    ("ETIMEDOUT", Errno::TIMEDOUT),
];

/// What happens to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reaches the driver.
    Delivered,
    /// It fails.
    Fails(Errno),
    /// It never ends.
    Blocks,
}

/// A fault of writes to files with a path that ends in `path`.
#[derive(Debug)]
struct Fault {
    path: String,
    /// Only the write with this number, from 1; `None` for all.
    nth: Option<u64>,
    delay: Duration,
    fate: Fate,
    seen: AtomicU64,
}

/// The faults of a host.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

fn invalid(what: &str) -> Failure {
    Failure::Tool(format!("invalid description of a host: faults: {what}; docs/simulated-host.md describes the format"))
}

impl Faults {
    /// Reads the faults of a description. A host that is not a description has none.
    pub fn parse(text: &[u8]) -> Outcome<Faults> {
        let Ok(described) = serde_json::from_slice::<Value>(text) else { return Ok(Faults::default()) };
        let Some(faults) = described.get("faults") else { return Ok(Faults::default()) };
        let faults = faults.as_array().ok_or_else(|| invalid("expected an array"))?;
        faults.iter().map(Fault::parse).collect::<Outcome<_>>().map(Faults)
    }

    /// Counts a write to this file, waits if it is slow, and returns what happens to it.
    pub fn write(&self, path: &str) -> Fate {
        let mut fate = Fate::Delivered;
        for fault in self.0.iter().filter(|fault| path.ends_with(&fault.path)) {
            let number = fault.seen.fetch_add(1, Ordering::Relaxed) + 1;
            if fault.nth.is_none_or(|nth| nth == number) {
                std::thread::sleep(fault.delay);
                fate = if fault.fate == Fate::Delivered { fate } else { fault.fate };
            }
        }
        fate
    }
}

impl Fault {
    fn parse(value: &Value) -> Outcome<Fault> {
        const MEMBERS: [&str; 5] = ["path", "nth", "errno", "delay", "blocks"];
        let members = value.as_object().ok_or_else(|| invalid("expected objects"))?;
        if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(invalid(&format!("unknown member '{unknown}'; the members are {}", MEMBERS.join(", "))));
        }
        let path = value.get("path").and_then(Value::as_str).ok_or_else(|| invalid("'path' is missing"))?.to_owned();
        let nth = value.get("nth").map(|nth| nth.as_u64().filter(|nth| *nth > 0));
        let nth = nth.map(|nth| nth.ok_or_else(|| invalid("'nth' is not a number from 1"))).transpose()?;
        let seconds = value.get("delay").map_or(Some(0.0), Value::as_f64);
        let delay = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let delay = delay.ok_or_else(|| invalid("'delay' is not a number of seconds"))?;
        let errno = |name: &Value| ERRNOS.iter().find(|(known, _)| name == known).map(|(_, errno)| *errno);
        let fate = match (value.get("errno"), value.get("blocks")) {
            (None, None | Some(Value::Bool(false))) => Fate::Delivered,
            (None, Some(Value::Bool(true))) => Fate::Blocks,
            (Some(name), None) => Fate::Fails(errno(name).ok_or_else(|| {
                let known: Vec<&str> = ERRNOS.iter().map(|(name, _)| *name).collect();
                invalid(&format!("unknown errno {name}; the names are {}", known.join(", ")))
            })?),
            _ => return Err(invalid("a fault has 'errno' or 'blocks': true")),
        };
        Ok(Fault { path, nth, delay, fate, seen: AtomicU64::new(0) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(fault: &str) -> String {
        match Faults::parse(format!(r#"{{"faults": [{fault}]}}"#).as_bytes()) {
            Err(Failure::Tool(message)) => message,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn nth_write_to_the_file_fails_and_others_reach_the_driver() {
        let text =
            br#"{"faults": [{"path": "/create", "nth": 2, "errno": "EIO"}, {"path": "/unbind", "blocks": true}]}"#;
        let faults = Faults::parse(text).unwrap();
        let writes = ["/a/create", "/a/other", "/b/create", "/b/create"].map(|path| faults.write(path));
        assert_eq!(writes, [Fate::Delivered, Fate::Delivered, Fate::Fails(Errno::IO), Fate::Delivered]);
        assert_eq!(faults.write("/drivers/nvidia/unbind"), Fate::Blocks);
    }

    #[test]
    fn dump_has_no_faults_and_invalid_fault_is_an_error() {
        assert!(Faults::parse(b"<host/>").unwrap().0.is_empty());
        assert!(error(r#"{"nth": 1}"#).contains("'path' is missing"));
        assert!(error(r#"{"path": "x", "errno": "EFOO"}"#).contains("unknown errno \"EFOO\"; the names are EACCES"));
        assert!(error(r#"{"path": "x", "delay": -1}"#).contains("'delay' is not a number of seconds"));
        assert!(error(r#"{"path": "x", "after": 1}"#).contains("unknown member 'after'"));
        assert!(error(r#"{"path": "x", "errno": "EIO", "blocks": true}"#).contains("'errno' or 'blocks'"));
    }
}
