// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel returns what the real kernel returned: every step that `vm-tests/guest/kernel-facts.tsv`
//! recorded with Linux 6.1 and its sample drivers is repeated in memory. The host contains only what the record says
//! existed at the start.

use std::collections::{BTreeMap, BTreeSet};

use mdev::test_hooks::sim::{SimEntry, SimHost};
use mdev::test_hooks::sysfs::{IoResult, Sysfs, basename, dirname};

use crate::support::facts::{self, Step, steps, unescape};

const FACTS: &str = include_str!("../../vm-tests/guest/kernel-facts.tsv");

/// Builds the host before the first write: the links of the class, and the files of each type.
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
    // Several files of one type lead to the same directory.
    let mut seen = BTreeSet::new();
    extra.retain(|e| seen.insert(e.path().to_owned()));
    SimHost::new(entries.into_values().chain(extra)).unwrap()
}

/// Converts the path of the class's link, `/sys/devices/virtual/mtty/...`, to the path of the parent,
/// `/sys/devices/virtual/mtty/mtty/...`.
fn in_parent(path: &str) -> String {
    let rest = path.strip_prefix("/sys/devices/virtual/").unwrap();
    let (driver, rest) = rest.split_once('/').unwrap();
    format!("/sys/devices/virtual/{driver}/{driver}/{rest}")
}

/// Returns the existing devices: `uuid@parent/type`.
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

/// True if a type of the driver's parent has an available instance. Without any, a dump does not show the costs of
/// the types.
fn tells_its_costs(entries: &[SimEntry], driver: &str) -> bool {
    entries.iter().any(|entry| {
        let counter = entry.path().starts_with(&format!("/sys/devices/virtual/{driver}/"))
            && entry.path().ends_with("/available_instances");
        counter && !matches!(entry, SimEntry::File { content: Ok(text), .. } if text == b"0\n")
    })
}

fn take_all(between: impl Fn(SimHost) -> SimHost) {
    let steps = steps(FACTS);
    assert!(steps.len() > 150, "only {} steps", steps.len());
    facts::take_all(&steps, initial_host(&steps), devices, between);
}

#[test]
fn simulated_kernel_returns_what_real_kernel_returned() {
    take_all(|host| host);
}

#[test]
fn simulated_kernel_replayed_after_every_step_returns_same() {
    take_all(|host| {
        let entries = host.entries();
        let telling = ["mtty", "mdpy", "mbochs"].iter().all(|driver| tells_its_costs(&entries, driver));
        if telling { SimHost::new(entries).unwrap() } else { host }
    });
}
