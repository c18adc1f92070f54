// SPDX-License-Identifier: LGPL-2.1-or-later
//! Objects that a request left out of its result, with the cause.
//!
//! An invalid object must not hide other objects, so a list leaves it out and continues. The omission must be visible, too: all
//! code that leaves an object out calls [`report`], which logs the omission, and [`collect`] returns the omissions as data.

use std::cell::RefCell;

use rustix::io::Errno;

use crate::error::{Error, ErrorCode, HasErrno, Result, describe, is_absent, printable, unless_exhausted};

/// The severity of a finding.
///
/// Since: 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Severity {
    /// No action is needed.
    Note = 1,
    /// An object is missing in a list, or its data is incomplete.
    Warning = 2,
    /// An object cannot be used before it is repaired.
    Error = 3,
}

/// One problem of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The error code of the cause. Codes are stable.
    pub code: ErrorCode,
    /// The path or node name of the object.
    pub object: String,
    /// One sentence: the object and its problem.
    pub message: String,
    /// The next step; `None` if none is known.
    pub next_step: Option<String>,
    /// The errno of the system call that failed; `None` if no call failed.
    pub errno: Option<Errno>,
}

impl Finding {
    /// A warning about an object: "{object}: {what}".
    pub fn new(code: ErrorCode, object: impl Into<String>, what: impl std::fmt::Display) -> Self {
        let object = object.into();
        let message = printable(format!("{object}: {what}"));
        Finding { severity: Severity::Warning, code, object, message, next_step: None, errno: None }
    }

    /// A note that a check found no problem: "{object}: {what}".
    pub fn note(object: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Finding { severity: Severity::Note, ..Finding::new(ErrorCode::NoData, object, what) }
    }

    /// A warning about an object that a system call failed on: "{object}: {what}: {reason}".
    pub fn io(object: impl Into<String>, what: &str, errno: Errno) -> Self {
        let finding = Finding::new(ErrorCode::Kernel, object, format_args!("{what}: {}", describe(errno)));
        Finding { errno: Some(errno), ..finding }
    }

    /// Returns the same finding with a next step.
    #[must_use]
    pub fn next(self, step: impl Into<String>) -> Self {
        Finding { next_step: Some(printable(step.into())), ..self }
    }

    /// Returns the same finding with [`Severity::Error`]: the object cannot be used before it is repaired.
    #[must_use]
    pub fn serious(self) -> Self {
        Finding { severity: Severity::Error, ..self }
    }
}

impl From<&Error> for Finding {
    fn from(e: &Error) -> Self {
        let (object, message) = (e.path.clone().unwrap_or_default(), e.message.clone());
        let errno = Some(e.errno());
        Finding { severity: Severity::Warning, code: e.code, object, message, next_step: None, errno }
    }
}

thread_local! {
    /// The findings of the request that this thread collects for; `None` outside of [`collect`].
    static COLLECTED: RefCell<Option<Vec<Finding>>> = const { RefCell::new(None) };
}

/// Returns the number with its noun: `1 type`, `3 types`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Reports an object that a result leaves out or shows incompletely.
pub fn report(finding: Finding) {
    match &finding.next_step {
        Some(step) => log::warn!("{}; {step}", finding.message),
        None => log::warn!("{}", finding.message),
    }
    // A thread that ends no longer has its collection. The finding is then only logged.
    let _ = COLLECTED.try_with(|collected| match &mut *collected.borrow_mut() {
        Some(all) if !all.contains(&finding) => all.push(finding),
        _ => {}
    });
}

/// Reports an object that cannot be read and is left out. Fails with the error only if this process or host has run out of descriptors or memory.
pub fn report_unless_exhausted(e: Error) -> Result<()> {
    unless_exhausted(e).map(|e| report(Finding::from(&e)))
}

/// `None` if the object cannot be read: the error is reported as a finding, and the caller leaves the object out. Fails only if this
/// process or host has run out of descriptors or memory.
pub fn or_report<T, E: HasErrno>(
    read: std::result::Result<T, E>,
    finding: impl FnOnce(E) -> Finding,
) -> std::result::Result<Option<T>, E> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(e) => {
            report(finding(unless_exhausted(e)?));
            Ok(None)
        }
    }
}

/// Runs a request; returns its result and everything that it reported. A request runs in one thread, so the findings of other
/// requests are not included.
pub fn collect<T>(request: impl FnOnce() -> T) -> (T, Vec<Finding>) {
    /// Ends the collection, also if the request panics.
    struct Scope(Option<Vec<Finding>>);
    impl Drop for Scope {
        fn drop(&mut self) {
            let _ = COLLECTED.try_with(|collected| *collected.borrow_mut() = self.0.take());
        }
    }
    let outer = Scope(COLLECTED.try_with(|collected| collected.replace(Some(Vec::new()))).ok().flatten());
    let result = request();
    let found = COLLECTED.try_with(RefCell::take).ok().flatten().unwrap_or_default();
    drop(outer);
    (result, found)
}

/// Runs a part of a request; returns its result and its findings, which are also findings of the request.
pub fn observe<T>(part: impl FnOnce() -> T) -> (T, Vec<Finding>) {
    let (result, found) = collect(part);
    let _ = COLLECTED.try_with(|collected| {
        if let Some(all) = &mut *collected.borrow_mut() {
            let new: Vec<Finding> = found.iter().filter(|finding| !all.contains(finding)).cloned().collect();
            all.extend(new);
        }
    });
    (result, found)
}

/// The first finding whose cause is a failed system call, as an error. An errno that means absence is no failure.
pub fn first_failed(left_out: Vec<Finding>) -> Option<Error> {
    left_out.into_iter().find_map(|finding| {
        let errno = finding.errno.filter(|errno| !is_absent(*errno))?;
        Some(Error::new(finding.code, errno, finding.message).at(finding.object))
    })
}

/// Runs a search. If it finds nothing, an object that it could not read may have matched: fails with the first such error.
pub fn search<T>(search: impl FnOnce() -> Result<Option<T>>) -> Result<Option<T>> {
    search_where(|_| true, search)
}

/// The same, for a search that also reads objects that cannot match: `may_match` selects the findings of objects that may match.
pub fn search_where<T>(
    may_match: impl FnMut(&Finding) -> bool,
    search: impl FnOnce() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let (found, mut left_out) = observe(search);
    match found {
        Ok(None) => {
            left_out.retain(may_match);
            first_failed(left_out).map_or(Ok(None), Err)
        }
        found => found,
    }
}

/// Runs a part of a request that needs every object: fails with the first error of an object that it could not read.
pub fn require_all<T>(part: impl FnOnce() -> Result<T>) -> Result<T> {
    let (result, left_out) = observe(part);
    let value = result?;
    first_failed(left_out).map_or(Ok(value), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::if_readable;

    #[test]
    fn collect_returns_each_report_of_its_request_once() {
        let one = || Finding::new(ErrorCode::BadData, "/sys/x", "not a number").next("check the driver");
        report(one());
        let ((), found) = collect(|| {
            report(one());
            report(one());
        });
        assert_eq!(found, [one()]);
        assert_eq!(found[0].message, "/sys/x: not a number");
        assert_eq!(collect(|| ()).1, []);
    }

    #[test]
    fn unreadable_object_is_reported_unless_the_process_is_exhausted() {
        let left_out = |errno: Errno| Finding::io("/sys/x", "left out", errno);
        assert_eq!(collect(|| or_report(Ok::<_, Errno>(1), left_out)), (Ok(Some(1)), vec![]));
        let reported = vec![left_out(Errno::IO)];
        assert_eq!(collect(|| or_report(Err::<(), _>(Errno::IO), left_out)), (Ok(None), reported));
        assert_eq!(if_readable(Err::<(), _>(Errno::IO)), Ok(None));
        let error = |errno| Error::io("read", "/sys/x", errno);
        let reported = vec![Finding::from(&error(Errno::IO))];
        assert_eq!(collect(|| report_unless_exhausted(error(Errno::IO))), (Ok(()), reported));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert_eq!(collect(|| or_report(Err::<(), _>(errno), left_out)), (Err(errno), vec![]));
            assert_eq!(collect(|| report_unless_exhausted(error(errno))), (Err(error(errno)), vec![]));
            assert_eq!(if_readable(Err::<(), _>(errno)), Err(errno));
        }
    }

    #[test]
    fn control_characters_in_findings_are_escaped() {
        let bad = "/sys/\u{1b}[31m\u{202e}\n";
        let new = Finding::new(ErrorCode::BadData, bad, bad).next(bad);
        let clean = "/sys/\\u{1b}[31m\\u{202e}\\n";
        assert_eq!(new.message, format!("{clean}: {clean}"));
        assert_eq!(new.next_step.as_deref(), Some(clean));
        assert_eq!(new.object, bad, "the file has this name");
        let of_error = Error::io("open", bad, Errno::IO).hint(bad);
        let read_only = Error::io("open", bad, Errno::ROFS);
        for finding in [Finding::io(bad, bad, Errno::IO), Finding::from(&of_error), Finding::from(&read_only)] {
            assert!(!finding.message.contains(char::is_control), "{finding:?}");
        }
    }

    #[test]
    fn observe_keeps_the_findings_for_the_request() {
        let of = |object: &str| Finding::new(ErrorCode::Kernel, object, "bad");
        let (inner, outer) = collect(|| {
            report(of("a"));
            observe(|| {
                report(of("a"));
                report(of("b"));
            })
            .1
        });
        assert_eq!(inner, [of("a"), of("b")]);
        assert_eq!(outer, inner);
    }

    #[test]
    fn nested_collects_return_only_their_own_findings() {
        let of = |object: &str| Finding::new(ErrorCode::Kernel, object, "bad");
        let (inner, outer) = collect(|| {
            report(of("a"));
            let ((), inner) = collect(|| report(of("b")));
            report(of("c"));
            inner
        });
        assert_eq!((inner, outer), (vec![of("b")], vec![of("a"), of("c")]));
    }
}
