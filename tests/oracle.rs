// SPDX-License-Identifier: LGPL-2.1-or-later
//! Our libvirt dialect beside what libvirt's own node-device driver prints for the same made-up host, element by element.
//!
//! Allowed to differ, and nothing else:
//!
//! * `pci-express` and the `vpd` capability of PCI nodes have nothing to do with mediated devices: not printed by us.
//! * A parent on a bus of its own (mtty): libvirt prints `mdev_types` inside `mdev_types`, which its schema refuses.
//! * A parent whose bus libvirt does not know (mdpy): ours alone, and libvirt says `computer` is the parent of its devices.
//! * A parent without types: ours alone; libvirt has the PCI node, but not as a parent.
//! * The order of types and of the members of an IOMMU group: libvirt has the directory's, which is chance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use mdev::driver::{Conn, ListFlags, XmlFlags};

#[path = "support/rivals.rs"]
mod rivals;
#[path = "support/scenes.rs"]
mod scenes;
#[path = "support/tree.rs"]
mod tree;
#[path = "support/xmltree.rs"]
mod xmltree;

use xmltree::Element;

/// Nodes that libvirt has not, or not as parents, and we have.
const OURS_ALONE: [&str; 2] = ["mdpy_mdpy", "pci_0000_b0_00_0"];

const SCHEMA: &str = "/usr/share/libvirt/schemas/nodedev.rng";

fn ours(root: &Path) -> BTreeMap<String, String> {
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.display()))).unwrap();
    let nodes = conn.list(ListFlags::empty()).unwrap();
    nodes.iter().map(|node| (node.name().to_owned(), node.xml(XmlFlags::LIBVIRT).unwrap())).collect()
}

fn is_bare_parent(device: &Element) -> bool {
    device.children.iter().any(|child| child.is_capability("mdev_types"))
}

/// What both dumps are brought to before they are compared.
fn normalised(xml: &str) -> Element {
    let mut device = Element::parse(xml).unwrap();
    device.each(&|element| {
        element.children.retain(|child| child.name != "pci-express" && !child.is_capability("vpd"));
        if element.is_capability("mdev_types") || element.name == "iommuGroup" {
            element.children.sort_unstable();
        }
    });
    if is_bare_parent(&device) {
        // mtty: one capability inside another of the same kind.
        device.each(&|element| {
            if let [only] = &element.children[..] {
                if element.is_capability("mdev_types") && only.is_capability("mdev_types") {
                    element.children = only.children.clone();
                }
            }
        });
    }
    if device.child("path").is_some_and(|path| path.text.contains("/mdpy/mdpy/")) {
        device.children.iter_mut().filter(|c| c.name == "parent").for_each(|c| c.text = "computer".into());
    }
    device
}

#[test]
fn our_dump_is_what_libvirt_prints() {
    if !rivals::can_ask(&["libvirtd", "virsh"]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    scenes::oracle(root.path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    rivals::ask("libvirt-on-tree", root.path(), out.path(), 60).unwrap();
    let theirs = rivals::dumps(out.path());
    let ours = ours(root.path());

    let expected: BTreeSet<_> = theirs.keys().map(String::as_str).chain(OURS_ALONE).collect();
    assert_eq!(ours.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert!(theirs.len() >= 19, "libvirt lists only {:?}", theirs.keys());

    let mut differences = Vec::new();
    for (name, theirs) in &theirs {
        let (ours, theirs) = (normalised(&ours[name]), normalised(theirs));
        if ours != theirs {
            let lines = |e: &Element| e.lines().join("\n");
            differences.push(format!("{name}\n-- ours\n{}\n-- libvirt\n{}", lines(&ours), lines(&theirs)));
        }
    }
    assert!(differences.is_empty(), "{} nodes differ:\n{}", differences.len(), differences.join("\n\n"));
}

#[test]
fn our_dump_is_valid_by_libvirts_schema() {
    if !rivals::can_ask(&["xmllint"]) || !Path::new(SCHEMA).exists() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    scenes::oracle(root.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for (name, xml) in ours(root.path()) {
        // The schema has no place for types outside pci, css and ap_matrix.
        if is_bare_parent(&Element::parse(&xml).unwrap()) {
            continue;
        }
        let file = folder.path().join(format!("{name}.xml"));
        std::fs::write(&file, &xml).unwrap();
        let run = Command::new("xmllint").args(["--noout", "--relaxng", SCHEMA]).arg(&file).output().unwrap();
        assert!(run.status.success(), "{}\n{xml}", String::from_utf8_lossy(&run.stderr));
        checked += 1;
    }
    assert!(checked >= 19, "only {checked} nodes were checked");
}
