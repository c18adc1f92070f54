// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated VFs behave like the VFs of this project's kernel module: every step of
//! `vm-tests/guest/vendor-facts.tsv` and `vendor-facts-upstream.tsv` is repeated in memory. The card is built only
//! from the recorded state before the first step and the name of the VFs' driver.

use std::collections::BTreeSet;

use mdev::test_hooks::sim::SimHost;
use mdev::test_hooks::sysfs::{IoResult, Sysfs, basename, read_text};

use crate::support::facts::{self, steps};
use crate::support::facts_hosts::{VFS, card, pf};

/// The record of one driver.
struct Record {
    driver: &'static str,
    facts: &'static str,
    at_least: usize,
}

const NVIDIA: Record =
    Record { driver: "nvidia", facts: include_str!("../../vm-tests/guest/vendor-facts.tsv"), at_least: 150 };

const UPSTREAM: Record = Record {
    driver: "nvidia-vgpu-vfio",
    facts: include_str!("../../vm-tests/guest/vendor-facts-upstream.tsv"),
    at_least: 60,
};

/// Returns the VFs with a type: `VF@PF/type`.
fn devices(host: &SimHost, pf: &str) -> IoResult<BTreeSet<String>> {
    let dir = host.open(pf)?;
    let mut found = BTreeSet::new();
    for number in 0..VFS {
        let vf = dir.link(&format!("virtfn{number}"))?;
        let current = read_text(&*dir, &format!("virtfn{number}/nvidia/current_vgpu_type"))?;
        if current != "0" {
            found.insert(format!("{}@{}/{current}", basename(&vf), basename(pf)));
        }
    }
    Ok(found)
}

fn take_all(record: &Record, more: &[&str], between: impl Fn(SimHost) -> SimHost) {
    let steps = steps(record.facts);
    assert!(steps.len() > record.at_least, "only {} steps", steps.len());
    let pf = pf(&steps);
    let cards = [basename(&pf)].into_iter().chain(more.iter().copied());
    let host = SimHost::new(cards.flat_map(|address| card(&steps, address, record.driver))).unwrap();
    facts::take_all(&steps, host, |host| devices(host, &pf), between);
}

#[test]
fn simulated_vfs_return_what_module_returned() {
    take_all(&NVIDIA, &[], |host| host);
}

#[test]
fn simulated_upstream_vfs_return_what_module_returned() {
    take_all(&UPSTREAM, &[], |host| host);
}

/// The host has a second card of the same model; a replay takes the types that are in no list from that card.
#[test]
fn simulated_vfs_replayed_after_every_step_return_same() {
    for record in [&NVIDIA, &UPSTREAM] {
        take_all(record, &["0000:c1:00.0"], |host| SimHost::new(host.entries()).unwrap());
    }
}
