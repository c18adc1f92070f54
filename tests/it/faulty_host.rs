// SPDX-License-Identifier: LGPL-2.1-or-later
//! 64 parents, of which thirty have one fault each: every sound node is listed. With `--nocapture`, the test also
//! prints what libvirt and mdevctl list of the same host; it does not assert their results.

use std::collections::BTreeMap;
use std::path::Path;

use mdev::{Conn, ListFlags, Node, XmlFlags};

use crate::support::faults::{FAULTS, Left, TYPES, address, device, fault_of};
use crate::support::{faults, rivals, tree, xmltree};

const PARENTS: usize = 64;

/// The fault with which libvirt and mdevctl hang: they open the FIFO and wait.
const HANGS: &str = "available-fifo";

struct Seen {
    nodes: BTreeMap<String, Node>,
}

impl Seen {
    fn of(root: &Path) -> Seen {
        let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.display()))).unwrap();
        let nodes = conn.list(ListFlags::empty()).unwrap();
        Seen { nodes: nodes.into_iter().map(|node| (node.name().to_owned(), node)).collect() }
    }

    fn parent(&self, index: usize) -> Option<&Node> {
        self.nodes.get(&format!("pci_{}", address(index).replace([':', '.'], "_")))
    }

    fn device(&self, index: usize) -> Option<&Node> {
        self.nodes.values().find(|node| node.uuid().is_ok_and(|uuid| uuid == device(index)))
    }
}

fn has_types(parent: &Node, wanted: &[&str]) -> bool {
    let types = parent.types().unwrap();
    wanted.iter().all(|id| {
        types.iter().any(|t| t.id() == *id && t.available_instances == Some(16) && t.device_api() == Some("vfio-pci"))
    })
}

/// Returns the first node that a sound or faulty parent must still show and does not.
fn missing(seen: &Seen, index: usize, left: Option<Left>) -> Option<&'static str> {
    let parent = seen.parent(index);
    let device = seen.device(index);
    let sound: &[&str] = if left == Some(Left::OtherTypes) { &TYPES[1..] } else { &TYPES };
    match left {
        // The directory of types is not a directory any more: the parent may be missing, its device may not.
        Some(Left::ParentOnly) => device.is_none().then_some("the device"),
        _ if parent.is_none() => Some("the parent"),
        _ if !parent.is_some_and(|parent| has_types(parent, sound)) => Some("a sound type"),
        Some(Left::NoDevice) => None,
        _ => device.is_none().then_some("the device"),
    }
}

#[test]
fn list_of_faulty_host_has_every_sound_node() {
    let root = tempfile::tempdir().unwrap();
    faults::host(root.path(), PARENTS, &[]).unwrap();
    let seen = Seen::of(root.path());
    let mut wrong = Vec::new();
    for index in 0..PARENTS {
        let fault = fault_of(index);
        if let Some(what) = missing(&seen, index, fault.map(|f| f.left)) {
            wrong.push(format!("{}: {what} is missing", fault.map_or("a sound parent", |f| f.name)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unknown = seen.nodes.keys().filter(|name| name.contains("_ff_1f_")).collect::<Vec<_>>();
    assert!(unknown.is_empty(), "dangling links must not be nodes: {unknown:?}");
}

/// A list without types has the same nodes with the same dumps, whatever is faulty on the host.
#[test]
fn list_without_types_of_faulty_host_has_same_nodes() {
    let root = tempfile::tempdir().unwrap();
    faults::host(root.path(), PARENTS, &[]).unwrap();
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let [whole, bare] = [ListFlags::empty(), ListFlags::NO_TYPES].map(|flags| conn.list(flags).unwrap());
    let names = |nodes: &[Node]| nodes.iter().map(|node| node.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&whole), names(&bare));
    for (whole, bare) in whole.iter().zip(&bare) {
        assert_eq!(bare.types().unwrap_err().code, mdev::ErrorCode::NoData);
        for flags in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
            assert_eq!(whole.xml(flags).unwrap(), bare.xml(flags).unwrap());
        }
    }
}

#[test]
fn xml_of_every_node_of_faulty_host_is_valid() {
    let root = tempfile::tempdir().unwrap();
    faults::host(root.path(), PARENTS, &[]).unwrap();
    for (name, node) in Seen::of(root.path()).nodes {
        for flags in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
            let xml = node.xml(flags).unwrap();
            xmltree::Element::parse(&xml).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        assert!(!name.is_empty());
    }
}

#[test]
fn single_fault_hides_no_other_node() {
    for fault in FAULTS {
        let root = tempfile::tempdir().unwrap();
        faults::host(root.path(), 5, &[fault.name]).unwrap();
        let seen = Seen::of(root.path());
        for index in 0..5 {
            let left = (index == 1).then_some(fault.left);
            assert_eq!(missing(&seen, index, left), None, "{}, parent {index}", fault.name);
        }
    }
}

/// Faults that hide nothing in a list or a dump: a wrong vendor name or number, or a stray file.
const HARMLESS: [&str; 10] = [
    // Clamped: any number above 0 means that a device can be created.
    "available-overflow",
    "name-not-utf8",
    "name-is-directory",
    "type-is-file",
    "device-type-dangles",
    "pci-ids-garbage",
    "pci-class-empty",
    "numa-garbage",
    "config-empty",
    "uevent-empty",
];

/// Findings report every omission of a list: at least one finding names the place of each fault, and none names a
/// parent without faults.
#[test]
fn list_problems_of_faulty_host_names_every_fault() {
    let problems = |names: &[&str], parents: usize| {
        let root = tempfile::tempdir().unwrap();
        faults::host(root.path(), parents, names).unwrap();
        let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
        conn.list_problems().unwrap()
    };
    let mut silent = Vec::new();
    for fault in FAULTS {
        let found = problems(&[fault.name], 3);
        let of_sound = found.iter().find(|one| [0, 2].iter().any(|index| one.object.contains(&address(*index))));
        assert_eq!(of_sound, None, "{}", fault.name);
        let objects = [address(1), "0000:ff:1f".to_owned(), "dead".to_owned(), "babe".to_owned(), "stray".to_owned()];
        if !HARMLESS.contains(&fault.name)
            && !found.iter().any(|one| objects.iter().any(|object| one.object.contains(object)))
        {
            silent.push((fault.name, found));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

/// A file of only one type of a parent is also in the parent's dump, both from a list and from a lookup.
#[test]
fn file_that_only_one_type_has_is_in_dump() {
    let root = tempfile::tempdir().unwrap();
    let tree = faults::host(root.path(), 3, &[FAULTS[0].name]).unwrap();
    for (id, file) in [(TYPES[0], "first_alone"), (TYPES[2], "last_alone")] {
        let path = format!("/sys/devices/pci0000:00/{}", address(0));
        tree.file(&format!("{}/{file}", tree::type_dir(&path, id)), 0o444, "1\n").unwrap();
    }
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let listed = Seen::of(root.path()).parent(0).unwrap().xml(XmlFlags::empty()).unwrap();
    let looked_up = conn.lookup_by_name(&address(0)).unwrap().xml(XmlFlags::empty()).unwrap();
    assert_eq!(listed, looked_up);
    assert!(listed.contains("first_alone") && listed.contains("last_alone"), "{listed}");
}

/// Returns the numbers of parents and devices that libvirt lists.
fn libvirt(root: &Path, timeout: u32) -> String {
    let out = tempfile::tempdir().unwrap();
    match rivals::run_script("libvirt-on-tree", root, out.path(), timeout) {
        Ok(()) => {
            let count = |list: &str| rivals::lines(&out.path().join(list)).len();
            format!("{} parents, {} devices", count("mdev_types"), count("mdev"))
        }
        Err(why) => why.lines().last().unwrap_or_default().split(';').next().unwrap_or_default().to_owned(),
    }
}

/// Returns the numbers of parents and devices that mdevctl lists, or its error message.
fn mdevctl(root: &Path, timeout: u32) -> String {
    let out = tempfile::tempdir().unwrap();
    if let Err(why) = rivals::run_script("mdevctl-on-tree", root, out.path(), timeout) {
        return why;
    }
    let answer = |what: &str, key: &str| {
        let file = |suffix: &str| out.path().join(format!("{what}.{suffix}"));
        let code = rivals::lines(&file("code")).concat();
        if code != "0" {
            let complaint = rivals::lines(&file("err")).into_iter().next().unwrap_or_default();
            return format!("{what}: nothing, exit code {code} {complaint}");
        }
        let count = rivals::lines(&file("json")).iter().filter(|line| line.contains(key)).count();
        format!("{what}: {count}")
    };
    format!("{}; {}", answer("types", "\": ["), answer("list", "\"mdev_type\""))
}

#[test]
fn faulty_host_is_listed_by_this_library_and_shown_beside_libvirt_and_mdevctl() {
    if !rivals::can_run(&["libvirtd", "virsh", "mdevctl"]) {
        return;
    }
    let all: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
    let passable: Vec<_> = all.iter().copied().filter(|name| *name != HANGS).collect();
    for (title, names, timeout) in [("every fault", &all, 3), ("all but the FIFO", &passable, 60)] {
        let root = tempfile::tempdir().unwrap();
        faults::host(root.path(), PARENTS, names).unwrap();
        let seen = Seen::of(root.path());
        let parents = seen.nodes.values().filter(|node| node.is_parent()).count();
        let devices = seen.nodes.len() - parents;
        println!("{title}, {} among {PARENTS} parents with {PARENTS} devices", names.len());
        println!("  libmdev  {parents} parents, {devices} devices");
        println!("  libvirt  {}", libvirt(root.path(), timeout));
        println!("  mdevctl  {}", mdevctl(root.path(), timeout));
        assert!(parents >= PARENTS - 1 && devices >= PARENTS - 1, "{title}: this library lists too few nodes");
    }
}
