// SPDX-License-Identifier: LGPL-2.1-or-later
//! The hosts of the records of a kernel's answers, before the first write.

use std::collections::{BTreeMap, BTreeSet};

use mdev::test_hooks::sim::{SimEntry, SimHost};
use mdev::test_hooks::sysfs::{basename, dirname};

use super::facts::{Step, unescape};

/// Builds the host before the first write: the links of the class, and the files of each type.
pub fn kernel_host(steps: &[Step]) -> SimHost {
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

/// Number of VFs of the card.
pub const VFS: u32 = 8;

/// Returns the path of the recorded card.
pub fn pf(steps: &[Step]) -> String {
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
pub fn card(steps: &[Step], address: &str, driver: &str) -> Vec<SimEntry> {
    let first: Vec<&Step> = steps.iter().take_while(|step| step.action != "write").collect();
    let link_of = |name: &str| first.iter().find(|step| step.action == "link" && step.path.ends_with(name)).unwrap();
    let link = |path: String, target: &str| SimEntry::Link { path, target: target.to_owned() };
    let file = |path: String, mode: u32, content: &[u8]| SimEntry::File { path, mode, content: Ok(content.to_vec()) };
    let dir = format!("/sys/devices/{address}");
    let mut entries = vec![
        link(format!("/sys/bus/pci/devices/{address}"), &format!("../../../devices/{address}")),
        link(format!("{dir}/subsystem"), "../../bus/pci"),
        file(format!("{dir}/vendor"), 0o444, b"0x10de\n"),
        file(format!("{dir}/sriov_totalvfs"), 0o444, b"8\n"),
    ];
    let offset = (1..8).find(|n| behind(basename(&pf(steps)), *n) == basename(link_of("/virtfn0").outcome)).unwrap();
    for number in 0..VFS {
        let vf = behind(address, offset + number);
        entries.push(link(format!("{dir}/virtfn{number}"), &format!("../{vf}")));
        entries.push(link(format!("/sys/devices/{vf}/physfn"), &format!("../{address}")));
        entries.push(link(format!("/sys/bus/pci/devices/{vf}"), &format!("../../../devices/{vf}")));
        entries.push(link(format!("/sys/devices/{vf}/driver"), &format!("../../bus/pci/drivers/{driver}")));
        for step in first.iter().filter(|step| step.action == "read" && step.path.contains("/virtfn0/")) {
            let name = basename(&step.path);
            let mode = if name == "creatable_vgpu_types" { 0o444 } else { 0o644 };
            entries.push(file(format!("/sys/devices/{vf}/nvidia/{name}"), mode, &unescape(step.outcome)));
        }
    }
    entries
}
