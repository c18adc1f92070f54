// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel answers as the real one did: every step that `vm-tests/guest/kernel-facts.tsv` records of Linux 6.1
//! and its sample drivers is taken again in memory, on a host made of nothing but what that record says was there at first.

use std::collections::{BTreeMap, BTreeSet};

use mdev::sysfs::sim::{SimEntry, SimHost};
use mdev::sysfs::{Errno, IoResult, Sysfs, basename, dirname};

const FACTS: &str = include_str!("../vm-tests/guest/kernel-facts.tsv");

/// What the door to a kernel does otherwise than a plain system call, by its contract: it refuses an empty write, which no
/// driver would see, and reads nothing but regular files.
const NOT_FOR_A_DOOR: [&str; 3] =
    ["nothing at all: the driver is not asked", "nothing at all", "a folder read as a file"];

struct Step<'a> {
    name: &'a str,
    action: &'a str,
    path: String,
    bytes: Vec<u8>,
    outcome: &'a str,
    change: &'a str,
}

fn steps() -> Vec<Step<'static>> {
    let lines = FACTS.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let column: Vec<&str> = line.split('\t').collect();
            let [name, action, path, bytes, outcome, change] = column[..] else { panic!("six columns: {line}") };
            Step { name, action, path: format!("/sys/{path}"), bytes: unescape(bytes), outcome, change }
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
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

/// What was there before the first write: the links of the class, and for each type its files.
fn initial_host(steps: &[Step]) -> SimHost {
    let mut entries = BTreeMap::new();
    let mut file = |path: String, mode: u32, content: &[u8]| {
        entries.insert(path.clone(), SimEntry::File { path, mode, content: Ok(content.to_vec()) });
    };
    let mut extra = Vec::new();
    for step in steps.iter().take_while(|s| s.action != "write") {
        let real = step.path.replace("/sys/class/mdev_bus/", "/sys/devices/virtual/");
        match step.action {
            "link" => {
                let driver = basename(&step.path);
                let dir = format!("/sys/devices/virtual/{driver}/{driver}");
                extra.push(SimEntry::Link { path: step.path.clone(), target: step.outcome.to_owned() });
                extra.push(SimEntry::Link {
                    path: format!("{dir}/subsystem"),
                    target: format!("../../../../class/{driver}"),
                });
            }
            "read" if !step.outcome.starts_with("open:") => {
                file(in_parent(&real), 0o444, &unescape(step.outcome));
                let ty = in_parent(dirname(&real));
                file(format!("{ty}/create"), 0o200, b"");
                extra.push(SimEntry::Dir { path: format!("{ty}/devices") });
            }
            _ => {}
        }
    }
    extra.push(SimEntry::Dir { path: "/sys/bus/mdev/devices".to_owned() });
    // Several files of one type name the same folder.
    let mut seen = BTreeSet::new();
    extra.retain(|e| seen.insert(e.path().to_owned()));
    SimHost::new(entries.into_values().chain(extra)).unwrap()
}

/// `/sys/devices/virtual/mtty/...` of the class's link is `/sys/devices/virtual/mtty/mtty/...`.
fn in_parent(path: &str) -> String {
    let rest = path.strip_prefix("/sys/devices/virtual/").unwrap();
    let (driver, rest) = rest.split_once('/').unwrap();
    format!("/sys/devices/virtual/{driver}/{driver}/{rest}")
}

/// As the record writes it: what was read, the length of what was written, or the errno.
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
        other => panic!("no action {other}"),
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
        other => panic!("no step is answered with {other}"),
    }
}

/// The record's outcome as the door shows it: it opens and writes in one, and only once.
fn wanted(step: &Step) -> String {
    let outcome = step.outcome.strip_prefix("open:").unwrap_or(step.outcome);
    match (step.action, outcome) {
        (_, "\"\"") => String::new(),
        ("write2", both) => both.split(' ').next().unwrap().to_owned(),
        ("read", text) => String::from_utf8(unescape(text)).unwrap(),
        (_, text) => text.to_owned(),
    }
}

/// The living devices: `uuid@parent/type`.
fn devices(host: &SimHost) -> IoResult<BTreeSet<String>> {
    let bus = host.open("/sys/bus/mdev/devices")?;
    let mut uuids = Vec::new();
    bus.list(&mut |name, _| uuids.push(name.to_owned()))?;
    uuids
        .into_iter()
        .map(|uuid| {
            let place = bus.link(&uuid)?;
            let ty = bus.link(&format!("{uuid}/mdev_type"))?;
            Ok(format!("{uuid}@{}/{}", basename(dirname(&place)), basename(&ty)))
        })
        .collect()
}

fn change(before: &BTreeSet<String>, after: &BTreeSet<String>) -> String {
    let gone = before.difference(after).map(|d| format!("-{}", d.split('@').next().unwrap()));
    let came = after.difference(before).map(|d| format!("+{d}"));
    let all: Vec<String> = gone.chain(came).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

/// Takes every step; `between` may put another host in the place of the one so far.
fn take_all(between: impl Fn(SimHost) -> SimHost) {
    let steps = steps();
    assert!(steps.len() > 150, "only {} steps", steps.len());
    let mut host = initial_host(&steps);
    let mut living = devices(&host).unwrap();
    let mut wrong = Vec::new();
    for step in &steps {
        if NOT_FOR_A_DOOR.contains(&step.name) {
            continue;
        }
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

/// A parent where nothing at all is left does not tell what its types cost.
fn tells_its_costs(entries: &[SimEntry], driver: &str) -> bool {
    entries.iter().any(|entry| {
        let counter = entry.path().starts_with(&format!("/sys/devices/virtual/{driver}/"))
            && entry.path().ends_with("/available_instances");
        counter && !matches!(entry, SimEntry::File { content: Ok(text), .. } if text == b"0\n")
    })
}

#[test]
fn the_simulated_kernel_answers_as_the_real_one() {
    take_all(|host| host);
}

#[test]
fn and_goes_on_so_when_it_is_dumped_and_replayed_after_every_step() {
    take_all(|host| {
        let entries = host.entries();
        let telling = ["mtty", "mdpy", "mbochs"].iter().all(|driver| tells_its_costs(&entries, driver));
        if telling { SimHost::new(entries).unwrap() } else { host }
    });
}
