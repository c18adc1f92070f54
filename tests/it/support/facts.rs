// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads records of a kernel's answers and repeats them, step by step, on a simulated host.

use std::collections::BTreeSet;

use mdev::test_hooks::sim::SimHost;
use mdev::test_hooks::sysfs::{Errno, IoResult, Sysfs, basename, dirname};

/// Steps in which the sysfs traits differ from a plain system call, by their contract: they refuse an empty write,
/// which no driver would receive, and read only regular files.
const NOT_IN_TRAITS: [&str; 4] = [
    "nothing at all: the driver is not asked",
    "nothing at all",
    "nothing: the driver is not asked",
    "a folder read as a file",
];

/// One line of a record.
pub struct Step<'a> {
    pub name: &'a str,
    pub action: &'a str,
    pub path: String,
    pub bytes: Vec<u8>,
    pub outcome: &'a str,
    pub change: &'a str,
}

pub fn steps(facts: &str) -> Vec<Step<'_>> {
    let lines = facts.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let column: Vec<&str> = line.split('\t').collect();
            let [name, action, path, bytes, outcome, change] = column[..] else { panic!("six columns: {line}") };
            Step { name, action, path: format!("/sys/{path}"), bytes: unescape(bytes), outcome, change }
        })
        .collect()
}

pub fn unescape(text: &str) -> Vec<u8> {
    if let Some((count, byte)) = text.strip_prefix("repeat:").and_then(|t| t.split_once(':')) {
        return byte.repeat(count.parse().unwrap()).into_bytes();
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (byte, tail) = match rest {
            [b'\\', b'n', tail @ ..] => (b'\n', tail),
            [b'\\', b't', tail @ ..] => (b'\t', tail),
            [b'\\', b'x', high, low, tail @ ..] => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap(), tail)
            }
            [b'\\', b'\\', tail @ ..] => (b'\\', tail),
            [byte, tail @ ..] => (*byte, tail),
            [] => unreachable!(),
        };
        bytes.push(byte);
        rest = tail;
    }
    bytes
}

/// Does a step and returns its outcome in the form of the record: the text read, the length written, or the errno.
fn take(host: &SimHost, step: &Step) -> String {
    let (dir, name) = (dirname(&step.path), basename(&step.path));
    let done = host.open(dir).and_then(|dir| match step.action {
        "write" | "write2" => dir.write(name, &step.bytes).map(|()| step.bytes.len().to_string()),
        "read" => {
            let mut buf = Vec::new();
            dir.read(name, &mut buf).map(|()| String::from_utf8(buf).unwrap())
        }
        "list" => dir.open(name).map(|dir| {
            let mut names = BTreeSet::new();
            dir.list(&mut |name, _| names.extend([name.to_owned()])).unwrap();
            Vec::from_iter(names).join(" ")
        }),
        "link" => dir.link(name),
        other => panic!("unknown action {other}"),
    });
    done.unwrap_or_else(|errno| errno_name(errno).to_owned())
}

fn errno_name(errno: Errno) -> &'static str {
    match errno {
        Errno::INVAL => "EINVAL",
        Errno::EXIST => "EEXIST",
        Errno::NOSPC => "ENOSPC",
        Errno::USERS => "EUSERS",
        Errno::NODEV => "ENODEV",
        Errno::NOENT => "ENOENT",
        Errno::ACCESS => "EACCES",
        Errno::IO => "EIO",
        Errno::PERM => "EPERM",
        Errno::RANGE => "ERANGE",
        Errno::TOOBIG => "E2BIG",
        other => panic!("unexpected errno {other}"),
    }
}

/// Returns the outcome of the record as the traits return it: they open and write in one call, and write only once.
fn wanted(step: &Step) -> String {
    let outcome = step.outcome.strip_prefix("open:").unwrap_or(step.outcome);
    match (step.action, outcome) {
        (_, "\"\"") => String::new(),
        ("write2", both) => both.split(' ').next().unwrap().to_owned(),
        ("read", text) => String::from_utf8(unescape(text)).unwrap(),
        (_, text) => text.to_owned(),
    }
}

fn change(before: &BTreeSet<String>, after: &BTreeSet<String>) -> String {
    let gone = before.difference(after).map(|d| format!("-{}", d.split('@').next().unwrap()));
    let came = after.difference(before).map(|d| format!("+{d}"));
    let all: Vec<String> = gone.chain(came).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

/// Repeats every step. `devices` returns the existing devices, each as `name@parent/type`. After each step, `between`
/// returns the host for the next.
pub fn take_all(
    steps: &[Step],
    mut host: SimHost,
    devices: impl Fn(&SimHost) -> IoResult<BTreeSet<String>>,
    between: impl Fn(SimHost) -> SimHost,
) {
    let mut living = devices(&host).unwrap();
    let mut wrong = Vec::new();
    for step in steps.iter().filter(|step| !NOT_IN_TRAITS.contains(&step.name)) {
        let seen = take(&host, step);
        let now = devices(&host).unwrap();
        let moved = change(&living, &now);
        living = now;
        if seen != wanted(step) || moved != step.change {
            wrong.push(format!("{}: {:?} {}, really {:?} {}", step.name, seen, moved, wanted(step), step.change));
        }
        host = between(host);
    }
    assert!(wrong.is_empty(), "{} of {} steps differ:\n{}", wrong.len(), steps.len(), wrong.join("\n"));
}
