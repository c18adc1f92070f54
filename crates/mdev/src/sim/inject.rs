// SPDX-License-Identifier: LGPL-2.1-or-later
//! Faults, a hook and a log between a caller and the simulated kernel, for tests.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sysfs::{Errno, IoResult};

/// One operation of the traits of sysfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A directory is opened.
    Open,
    /// A file is opened for writing.
    OpenFile,
    /// A file is read.
    Read,
    /// A file is written.
    Write,
    /// The start of a process that writes a file.
    Start,
    /// A directory is listed.
    List,
    /// The target of a link is read.
    Link,
    /// The metadata of an entry or of the directory itself is read.
    Meta,
    /// The time of a file is set.
    Stamp,
    /// A VFIO group is opened. The path is the path of its node.
    Hold,
    /// The processes that have a VFIO node open are searched. The path is the path of the first node.
    Users,
    /// A source of events is opened. The path is empty.
    Watch,
}

/// One operation, successful or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The kind of the operation.
    pub op: Op,
    /// The path by which the caller reached the file or directory.
    pub path: String,
    /// The bytes to write, for a write.
    pub value: Option<Vec<u8>>,
}

/// Called before every operation. The operation fails with the returned errno. May itself use the host.
pub type Hook = dyn Fn(Op, &str) -> Option<Errno> + Send + Sync;

/// When a fault occurs: instead of the operation, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

struct Fault {
    op: Op,
    moment: Moment,
    suffix: String,
    errno: Errno,
    /// Number of matches until the fault occurs; the failing match counts.
    left: u32,
}

#[derive(Default)]
struct State {
    log: Option<Vec<LogEntry>>,
    faults: Vec<Fault>,
    hook: Option<Arc<Hook>>,
}

#[derive(Default)]
pub(super) struct Inject {
    /// False while there is no fault, hook or log; an operation then takes no lock and builds no path.
    active: AtomicBool,
    state: Mutex<State>,
}

impl fmt::Debug for Inject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inject").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Inject {
    /// Call before an operation, with no lock held.
    pub(super) fn before(&self, op: Op, path: impl FnOnce() -> String, value: Option<&[u8]>) -> IoResult<()> {
        if !self.active.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = path();
        let (hook, fault) = {
            let mut state = self.lock();
            if let Some(log) = &mut state.log {
                log.push(LogEntry { op, path: path.clone(), value: value.map(<[u8]>::to_vec) });
            }
            (state.hook.clone(), state.fault(op, Moment::Before, &path))
        };
        match hook.and_then(|hook| hook(op, &path)).or(fault) {
            Some(errno) => Err(errno),
            None => Ok(()),
        }
    }

    /// Call after a successful operation, with no lock held.
    pub(super) fn after(&self, op: Op, path: impl FnOnce() -> String) -> IoResult<()> {
        if !self.active.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.lock().fault(op, Moment::After, &path()).map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inject {
    pub(super) fn fail_next(&self, op: Op, moment: Moment, suffix: &str, errno: Errno, nth: u32) {
        let fault = Fault { op, moment, suffix: suffix.to_owned(), errno, left: nth.max(1) };
        self.change(|state| state.faults.push(fault));
    }

    pub(super) fn set_hook(&self, hook: Option<Arc<Hook>>) {
        self.change(|state| state.hook = hook);
    }

    pub(super) fn start_log(&self) {
        self.change(|state| state.log = Some(Vec::new()));
    }

    pub(super) fn take_log(&self) -> Vec<LogEntry> {
        let mut log = Vec::new();
        self.change(|state| log = state.log.take().unwrap_or_default());
        log
    }

    fn change(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        what(&mut state);
        let active = state.log.is_some() || state.hook.is_some() || !state.faults.is_empty();
        self.active.store(active, Ordering::Relaxed);
    }
}

impl State {
    /// Counts every fault that matches. Removes and returns the first fault that is due.
    fn fault(&mut self, op: Op, moment: Moment, path: &str) -> Option<Errno> {
        let matches = |f: &&mut Fault| f.op == op && f.moment == moment && path.ends_with(&f.suffix);
        for fault in self.faults.iter_mut().filter(matches) {
            fault.left -= 1;
        }
        let due = self.faults.iter().position(|fault| fault.left == 0)?;
        Some(self.faults.remove(due).errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_next_fails_nth_match_once() {
        let inject = Inject::default();
        inject.fail_next(Op::Write, Moment::Before, "/create", Errno::IO, 2);
        let write = |path: &str| inject.before(Op::Write, || path.to_owned(), Some(b"x"));
        assert_eq!((write("/a/create"), write("/a/params")), (Ok(()), Ok(())));
        assert_eq!((write("/b/create"), write("/b/create")), (Err(Errno::IO), Ok(())));
    }

    #[test]
    fn taken_log_records_nothing_more() {
        let inject = Inject::default();
        inject.start_log();
        inject.before(Op::Read, || "/a".to_owned(), None).unwrap();
        let expected = LogEntry { op: Op::Read, path: "/a".to_owned(), value: None };
        assert_eq!(inject.take_log(), [expected]);
        inject.before(Op::Read, || unreachable!("there is no fault, hook or log"), None).unwrap();
    }
}
