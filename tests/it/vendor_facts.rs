// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated VFs behave like the VFs of this project's kernel module: every step of
//! `vm-tests/guest/vendor-facts.tsv` and `vendor-facts-upstream.tsv` is repeated in memory. The card is built only
//! from the recorded state before the first step and the name of the VFs' driver.

use std::collections::BTreeSet;

use mdev::test_hooks::sim::{SimEntry, SimHost};
use mdev::test_hooks::sysfs::{IoResult, Sysfs, basename, read_text};

use crate::support::facts::{self, Step, steps, unescape};

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

/// Number of VFs of the card.
const VFS: u32 = 8;

/// Returns the path of the recorded card.
fn pf(steps: &[Step]) -> String {
    let path = &steps[0].path;
    path[..path.find("/virtfn0").expect("the first step is about a VF")].to_owned()
}

/// Returns the address `more` functions after this one.
fn behind(address: &str, more: u32) -> String {
    let (bus, place) = address.rsplit_once(':').unwrap();
    let (slot, function) = place.split_once('.').unwrap();
    let place = u32::from_str_radix(slot, 16).unwrap() * 8 + function.parse::<u32>().unwrap() + more;
    format!("{bus}:{:02x}.{}", place / 8, place % 8)
}

/// Builds the host before the first write: a card whose VFs are all equal to the recorded VF.
fn card(steps: &[Step], address: &str, driver: &str) -> Vec<SimEntry> {
    let first: Vec<&Step> = steps.iter().take_while(|step| step.action != "write").collect();
    let link_of = |name: &str| first.iter().find(|step| step.action == "link" && step.path.ends_with(name)).unwrap();
    let link = |path: String, target: &str| SimEntry::Link { path, target: target.to_owned() };
    let file = |path: String, mode: u32, content: &[u8]| SimEntry::File { path, mode, content: Ok(content.to_vec()) };
    let dir = format!("/sys/devices/{address}");
    let mut entries = vec![
        link(format!("/sys/bus/pci/devices/{address}"), &format!("../../../devices/{address}")),
        file(format!("{dir}/vendor"), 0o444, b"0x10de\n"),
    ];
    let offset = (1..8).find(|n| behind(basename(&pf(steps)), *n) == basename(link_of("/virtfn0").outcome)).unwrap();
    for number in 0..VFS {
        let vf = behind(address, offset + number);
        entries.push(link(format!("{dir}/virtfn{number}"), &format!("../{vf}")));
        entries.push(link(format!("/sys/devices/{vf}/physfn"), &format!("../{address}")));
        entries.push(link(format!("/sys/devices/{vf}/driver"), &format!("../../bus/pci/drivers/{driver}")));
        for step in first.iter().filter(|step| step.action == "read" && step.path.contains("/virtfn0/")) {
            let name = basename(&step.path);
            let mode = if name == "creatable_vgpu_types" { 0o444 } else { 0o644 };
            entries.push(file(format!("/sys/devices/{vf}/nvidia/{name}"), mode, &unescape(step.outcome)));
        }
    }
    entries
}

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
