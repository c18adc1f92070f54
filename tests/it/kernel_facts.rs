// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel returns what the real kernel returned: every step that `vm-tests/guest/kernel-facts.tsv`
//! recorded with Linux 6.1 and its sample drivers is repeated in memory. The host contains only what the record says
//! existed at the start.

use std::collections::BTreeSet;

use mdev::test_hooks::sim::{SimEntry, SimHost};
use mdev::test_hooks::sysfs::{IoResult, Sysfs, basename, dirname};

use crate::support::facts::{self, steps};
use crate::support::facts_hosts::kernel_host;

const FACTS: &str = include_str!("../../vm-tests/guest/kernel-facts.tsv");

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
    facts::take_all(&steps, kernel_host(&steps), devices, between);
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
