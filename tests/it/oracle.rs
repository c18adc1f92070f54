// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compares this library's libvirt dialect with the XML of libvirt's own node-device driver for the same made-up
//! host, line by line.
//!
//! Our dump is not changed. [`DIFFERENCES`] lists all differences and changes libvirt's dump accordingly. Each
//! difference must occur, so that the list stays complete and correct.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use mdev::{Conn, ListFlags, XmlFlags};

use crate::support::skip::skip;
use crate::support::{rivals, scenes};

/// Changes the lines of libvirt's dump to ours; returns false if there is nothing to change.
type Change = fn(&mut Vec<String>) -> bool;

/// The differences; the comment at each is the reason why the result of this library is correct.
const DIFFERENCES: [(&str, Change); 4] = [
    ("pci-express: not related to mediated devices", |lines| remove(lines, "<pci-express")),
    ("vpd: not related to mediated devices", |lines| remove(lines, "<capability type='vpd'>")),
    (
        "mdpy: libvirt does not list this parent, and prints the root of the tree as the parent of its devices",
        |lines| {
            let is_below_mdpy = lines.iter().any(|line| line.contains("<path>/sys/devices/virtual/mdpy/mdpy/"));
            let parent = lines.iter_mut().find(|line| line.as_str() == "  <parent>computer</parent>");
            parent.filter(|_| is_below_mdpy).map(|line| *line = "  <parent>mdpy_mdpy</parent>".to_owned()).is_some()
        },
    ),
    (
        "vfio-ap: libvirt gets the queues of an active device from the call-out of s390-tools, which this host does not have",
        |lines| {
            let is_matrix = lines.iter().any(|line| line.contains("<path>/sys/devices/vfio_ap/matrix/"));
            let end = lines.iter().position(|line| line == "  </capability>").filter(|_| is_matrix);
            let Some(end) = end else { return false };
            let queues = [("adapter", 5), ("domain", 4), ("domain", 0xab), ("control_domain", 4)];
            let attr = |(what, id): (&str, u32)| format!("    <attr name='assign_{what}' value='{id}'/>");
            lines.splice(end..end, queues.map(attr));
            true
        },
    ),
];

/// Parents that only this library lists, and whether libvirt lists the node.
const OURS_ALONE: [(&str, bool); 2] = [("mdpy_mdpy", false), ("pci_0000_b0_00_0", true)];

/// Nodes that the schema does not allow: types outside of pci, css and ap_matrix.
const NOT_IN_SCHEMA: [&str; 3] = ["mdpy_mdpy", "mtty_idle", "mtty_mtty"];

const SCHEMA: &str = "/usr/share/libvirt/schemas/nodedev.rng";

fn ours(root: &Path) -> BTreeMap<String, String> {
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.display()))).unwrap();
    let nodes = conn.list(ListFlags::empty()).unwrap();
    nodes.iter().map(|node| (node.name().to_owned(), node.xml(XmlFlags::LIBVIRT).unwrap())).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the lines of the first element that begins with `start`: its first line and the line after its end.
fn element(lines: &[String], start: &str) -> Option<(usize, usize)> {
    let first = lines.iter().position(|line| line.trim_start().starts_with(start))?;
    let is_whole = lines[first].ends_with("/>") || lines[first].contains("</");
    let end = lines[first + 1..].iter().position(|line| indent(line) == indent(&lines[first]));
    Some((first, if is_whole { first + 1 } else { first + 1 + end? + 1 }))
}

fn remove(lines: &mut Vec<String>, start: &str) -> bool {
    element(lines, start).map(|(first, end)| lines.drain(first..end)).is_some()
}

/// libvirt prints types in the order of the directory, which differs between file systems; this library prints them
/// in the order of their ids.
fn sort_types(lines: &mut [String]) {
    let is_type = |line: &String| line.trim_start().starts_with("<type id=");
    let Some(first) = lines.iter().position(is_type) else { return };
    let outer = indent(&lines[first]);
    let end = first + lines[first..].iter().take_while(|line| indent(line) >= outer).count();
    let mut types: Vec<Vec<String>> = Vec::new();
    for line in &lines[first..end] {
        match types.last_mut() {
            Some(last) if !is_type(line) => last.push(line.clone()),
            _ => types.push(vec![line.clone()]),
        }
    }
    types.sort();
    lines[first..end].clone_from_slice(&types.concat());
}

#[test]
fn xml_in_libvirt_dialect_is_equal_to_what_libvirt_prints() {
    if !rivals::can_run(&["libvirtd", "virsh"]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    scenes::oracle(root.path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    rivals::run_script("libvirt-on-tree", root.path(), out.path(), 60).unwrap();
    let theirs = rivals::dumps(out.path());
    let ours = ours(root.path());

    let expected: BTreeSet<_> = theirs.keys().map(String::as_str).chain(OURS_ALONE.map(|(name, _)| name)).collect();
    assert_eq!(ours.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert!(theirs.len() >= 20, "libvirt lists only {:?}", theirs.keys());
    let nodes = rivals::lines(&out.path().join("nodes"));
    for (name, listed) in OURS_ALONE {
        assert_eq!(nodes.iter().any(|node| node == name), listed, "{name} among libvirt's nodes: {nodes:?}");
    }

    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, theirs) in &theirs {
        let mut lines: Vec<String> = theirs.lines().map(str::to_owned).collect();
        sort_types(&mut lines);
        seen.extend(DIFFERENCES.iter().filter(|(_, change)| change(&mut lines)).map(|(what, _)| *what));
        let ours = &ours[name];
        if *ours != lines.join("\n") + "\n" {
            wrong.push(format!("{name}\n-- ours\n{ours}-- libvirt\n{theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{} nodes differ:\n{}", wrong.len(), wrong.join("\n"));
    let unseen: Vec<_> = DIFFERENCES.iter().map(|(what, _)| *what).filter(|what| !seen.contains(what)).collect();
    assert!(unseen.is_empty(), "libvirt prints this as we do; remove it from DIFFERENCES: {unseen:?}");
}

#[test]
fn xml_in_libvirt_dialect_is_valid_by_schema_of_libvirt() {
    if !rivals::can_run(&["xmllint"]) {
        return;
    }
    if !Path::new(SCHEMA).exists() {
        return skip("libvirt0, which has nodedev.rng, is not installed");
    }
    let root = tempfile::tempdir().unwrap();
    scenes::oracle(root.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ours = ours(root.path());
    assert!(ours.len() >= 22, "only {} nodes are checked", ours.len());
    for (name, xml) in ours {
        let file = folder.path().join(format!("{name}.xml"));
        std::fs::write(&file, &xml).unwrap();
        let run = Command::new("xmllint").args(["--noout", "--relaxng", SCHEMA]).arg(&file).output().unwrap();
        let expected = !NOT_IN_SCHEMA.contains(&name.as_str());
        assert_eq!(run.status.success(), expected, "{name}: {}\n{xml}", String::from_utf8_lossy(&run.stderr));
    }
}
