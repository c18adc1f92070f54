// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which files the library reads: none for which the kernel takes the lock of a device, and as few as a request
//! needs.

use std::sync::Arc;

use mdev::test_hooks::callout::Callouts;
use mdev::test_hooks::sim::{LogEntry, Op, SimHost, default_host};
use mdev::test_hooks::store::{Definitions, Runtime};
use mdev::test_hooks::sysfs::basename;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags, Node, StartFlags, XmlFlags};

use crate::support::scripts::install_script;

const M60: &str = "pci_0000_86_00_0";
const H200: &str = "pci_0000_41_00_0";
const UUID: &str = "00000000-1111-4222-8333-000000000001";

/// The files for which the kernel takes the lock of the device: an unbind, a probe and a removal hold it.
const LOCKED: [&str; 4] = ["driver_override", "sriov_numvfs", "sriov_vf_total_msix", "uevent"];

fn open() -> (SimHost, Conn) {
    let host = default_host();
    let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
    (host, conn)
}

/// Returns the files that `request` reads.
fn reads(host: &SimHost, request: impl FnOnce()) -> Vec<String> {
    host.start_log();
    request();
    let read = |entry: LogEntry| (entry.op == Op::Read).then_some(entry.path);
    host.take_log().into_iter().filter_map(read).collect()
}

fn device(parent: &str, type_id: &str) -> String {
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/><uuid>{UUID}</uuid></capability></device>"
    )
}

#[test]
fn requests_read_no_file_that_takes_lock_of_device() {
    let (host, conn) = open();
    let mut all = reads(&host, || {
        for flags in [ListFlags::empty(), ListFlags::NO_TYPES, ListFlags::INACTIVE, ListFlags::DEVICES] {
            for node in conn.list(flags).unwrap() {
                let known = conn.lookup_by_name(node.name()).unwrap();
                for flags in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
                    node.xml(flags).unwrap();
                    known.xml(flags).unwrap();
                }
                let _ = known.attrs();
            }
        }
        for name in ["nothing", "0000:41:00.0", "0000:41:00.4", "/sys/devices/none", "pci_0000_40_01_0", "mdev_x"] {
            let _ = conn.lookup_by_name(name);
        }
    });
    for (parent, type_id) in [(M60, "12"), ("pci_0000_00_02_0", "i915-GVTg_V5_4"), (H200, "1438")] {
        all.extend(reads(&host, || {
            let xml = device(parent, type_id);
            let node = conn.define_xml(xml.as_bytes(), DefineFlags::AUTOSTART).unwrap();
            conn.autostart(None, StartFlags::empty()).unwrap();
            node.xml(XmlFlags::empty()).unwrap();
            conn.dump_xml().unwrap();
            conn.monitor().unwrap().receive().unwrap();
            conn.wait_parent(parent, 0).unwrap();
            conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
            node.undefine(DefineFlags::empty()).unwrap();
            conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap().destroy(DestroyFlags::empty()).unwrap();
        }));
    }
    assert!(all.len() > 1000, "only {} reads", all.len());
    let locked: Vec<&String> = all.iter().filter(|path| LOCKED.contains(&basename(path))).collect();
    assert_eq!(locked, Vec::<&String>::new());
}

/// The driver builds each of these lists when it is read, with a call to the card's firmware for each type.
#[test]
fn list_without_types_reads_no_list_of_types() {
    let (host, conn) = open();
    let lists = |flags: ListFlags| {
        let read = reads(&host, || drop(conn.list(flags).unwrap()));
        read.iter().filter(|path| basename(path) == "creatable_vgpu_types").count()
    };
    for flags in [ListFlags::NO_TYPES, ListFlags::NO_TYPES | ListFlags::PARENTS, ListFlags::DEVICES] {
        assert_eq!(lists(flags), 0, "{flags:?}");
    }
    assert_eq!(lists(ListFlags::PARENTS), 8, "one read for each VF");
}

const IGD: &str = "/sys/devices/pci0000:00/0000:00:02.0";

const IGD_TYPE: &str = "i915-GVTg_V5_4";

const PCI: &str = "/sys/bus/pci/devices";

const BUS: &str = "/sys/bus/mdev/devices";

/// The folders that `request` opens, in order.
fn opens(host: &SimHost, request: impl FnOnce()) -> Vec<String> {
    host.start_log();
    request();
    let opened = |entry: LogEntry| (entry.op == Op::Open).then_some(entry.path);
    host.take_log().into_iter().filter_map(opened).collect()
}

fn create(conn: &Conn) -> Node {
    conn.create_xml(device("0000:00:02.0", IGD_TYPE).as_bytes(), CreateFlags::empty()).unwrap()
}

/// The folders of a destroy: of the bus, the parent, the device and its VFIO nodes.
fn opened_by_destroy() -> Vec<String> {
    vec![BUS.to_owned(), IGD.to_owned(), format!("{BUS}/{UUID}/vfio-dev"), format!("{IGD}/{UUID}")]
}

#[test]
fn destroy_locates_the_device_once() {
    let (host, conn) = open();
    let node = create(&conn);
    assert_eq!(opens(&host, || node.destroy(DestroyFlags::empty()).unwrap()), opened_by_destroy());
    create(&conn);
    assert_eq!(opens(&host, || conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap()), opened_by_destroy());
}

#[test]
fn destroy_between_callouts_locates_the_device_once() {
    let root = tempfile::tempdir().unwrap();
    install_script(&root.path().join("etc/mdevctl.d/scripts.d/callouts/s"), "exit 0\n");
    let path = root.path().to_str().unwrap();
    let host = default_host();
    let parts = (Arc::new(host.clone()) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
    let conn = Conn::with(parts, Callouts::below(path));
    create(&conn);
    assert_eq!(opens(&host, || conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap()), opened_by_destroy());
}

#[test]
fn attribute_request_locates_the_device_once() {
    let (host, conn) = open();
    let xml = device("matrix", "vfio_ap-passthrough");
    let node = conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
    let own = [format!("/sys/devices/vfio_ap/matrix/{UUID}"), BUS.to_owned()];
    assert_eq!(opens(&host, || drop(node.attr("matrix").unwrap())), own);
    assert_eq!(opens(&host, || node.set_attr("assign_adapter", "5").unwrap()), own);
    assert_eq!(opens(&host, || assert!(!node.attr_access("matrix").unwrap().is_empty())), own);
}

fn request(n: u32) -> String {
    device("0000:00:02.0", IGD_TYPE).replace(UUID, &format!("{}{n}", &UUID[..35]))
}

/// The folders of a create that finds its parent by its address, without those in which VFIO nodes are looked for.
fn opened_by_create(log: Vec<String>, bus: &[&str]) {
    let own: Vec<&String> = log.iter().filter(|path| !path.contains("vfio")).collect();
    let parents = [PCI, IGD].map(str::to_owned);
    let bus: Vec<String> = bus.iter().map(|path| (*path).to_owned()).collect();
    let expected = [&parents[..], &[format!("{IGD}/mdev_supported_types/{IGD_TYPE}")], &bus].concat();
    assert_eq!(own, expected.iter().collect::<Vec<_>>());
}

#[test]
fn create_opens_its_parent_and_its_type_once() {
    let (host, conn) = open();
    // The bus before the call-outs, for the UUID, and after them, for the records.
    opened_by_create(opens(&host, || drop(create(&conn))), &[BUS, BUS]);
    let again = CreateFlags::EXIST_OK;
    opened_by_create(opens(&host, || drop(conn.create_xml(request(1).as_bytes(), again).unwrap())), &[BUS]);
}

#[test]
fn create_on_a_parent_of_the_class_lists_no_folder() {
    let (host, conn) = open();
    for name in ["matrix", "ap_matrix"] {
        host.start_log();
        let xml = device(name, "vfio_ap-passthrough");
        conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
        let listed = host.take_log().into_iter().find(|entry| entry.op == Op::List);
        assert_eq!(listed, None, "{name}");
        conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    }
}

#[test]
fn create_of_a_group_opens_its_parent_and_its_type_once() {
    let (host, conn) = open();
    let requests: Vec<String> = (1..=3).map(request).collect();
    let requests: Vec<&[u8]> = requests.iter().map(String::as_bytes).collect();
    host.start_log();
    conn.create_group_xml(&requests, CreateFlags::empty()).unwrap();
    let log = host.take_log();
    let of = |op: Op| log.iter().filter(move |entry| entry.op == op).map(|entry| entry.path.clone());
    opened_by_create(of(Op::Open).collect(), &[BUS, BUS]);
    let read = |file: &str| of(Op::Read).filter(|path| basename(path) == file).count();
    // Once for each device before the first is created, and again before each write except the first.
    assert_eq!(read("available_instances"), 5);
    let created = |entry: &LogEntry| entry.op == Op::Write && basename(&entry.path) == "create";
    let writes: Vec<usize> = (0..log.len()).filter(|at| created(&log[*at])).collect();
    for between in writes.windows(2) {
        let checks = log[between[0]..between[1]].iter();
        let is_check = |entry: &&LogEntry| entry.op == Op::Read && basename(&entry.path) == "available_instances";
        assert_eq!(checks.filter(is_check).count(), 1);
    }
    assert_eq!((read("device_api"), read("numa_node")), (1, 1));
}

#[test]
fn start_locates_the_device_once() {
    let (host, conn) = open();
    let node = conn.define_xml(request(1).as_bytes(), DefineFlags::empty()).unwrap();
    host.start_log();
    node.start(StartFlags::empty()).unwrap();
    let log = host.take_log();
    let opened = log.iter().filter(|entry| entry.op == Op::Open && entry.path == BUS).count();
    let written = log.iter().position(|entry| entry.op == Op::Write).unwrap();
    let looks = log[..written].iter().filter(|entry| entry.path == format!("{BUS}/{UUID}")).count();
    assert_eq!((opened, looks), (2, 1));
}

/// How often a request on a VF opens the folder of PCI devices.
fn opens_of_pci(host: &SimHost, request: impl FnOnce()) -> usize {
    opens(host, request).iter().filter(|path| *path == PCI).count()
}

#[test]
fn requests_on_a_vf_open_the_folder_of_pci_devices_once() {
    let (host, conn) = open();
    let xml = device("0000:41:00.4", "1438");
    let create = || conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
    // A create opens it once before the call-outs and once after them.
    assert_eq!(opens_of_pci(&host, || drop(create())), 2, "create");
    assert_eq!(opens_of_pci(&host, || conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap()), 1, "destroy");
    let node = create();
    assert_eq!(opens_of_pci(&host, || drop(node.attr("vgpu_params").unwrap())), 1, "read of an attribute");
    assert_eq!(opens_of_pci(&host, || node.set_attr("vgpu_params", "a=1").unwrap()), 1, "write of an attribute");
    assert_eq!(opens_of_pci(&host, || node.destroy(DestroyFlags::empty()).unwrap()), 1, "destroy by node");
}
