// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates, definitions, plans and filters without XML.

use std::sync::Arc;

use mdev::test_hooks::sim::{LogEntry, Op, SimHost, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::{
    Conn, CreateFlags, CreateOptions, DefineFlags, DestroyFlags, DeviceWait, ErrorCode, ListFilter, ListFlags, XmlFlags,
};

const UUID: &str = "c60cc60c-0000-4222-8333-444444444447";
const CARD: &str = "pci_0000_41_00_0";

/// The built-in host, not shared with other tests.
fn host() -> (SimHost, Conn) {
    let sysfs = default_host();
    (sysfs.clone(), Conn::on(Arc::new(sysfs), Arc::new(Runtime::memory([]))))
}

fn written_files(host: &SimHost) -> Vec<String> {
    let is_write = |entry: &LogEntry| entry.op == Op::Write;
    host.take_log().into_iter().filter(is_write).map(|entry| entry.path).collect()
}

#[test]
fn plan_of_each_layout_is_what_the_create_writes() {
    for (parent, ty, params) in [
        ("pci_0000_86_00_0", "11", Some("a=1")),
        ("pci_0000_00_02_0", "i915-GVTg_V5_8", None),
        (CARD, "1441", Some("a=1")),
    ] {
        let (sysfs, conn) = host();
        let options = CreateOptions { parent: Some(parent), ty, uuid: Some(UUID), params, ..CreateOptions::default() };
        let before = sysfs.entries();
        let plan = conn.plan(&options, CreateFlags::empty()).unwrap();
        let dry = conn.create(&options, CreateFlags::DRY_RUN).unwrap();
        assert!(!dry.is_active() && dry.uuid().unwrap() == UUID, "{parent}");
        assert_eq!(sysfs.entries(), before, "{parent}: a plan changes nothing");
        assert!(!plan.writes.is_empty() && plan.parent == parent && plan.type_id == ty, "{plan:?}");
        sysfs.start_log();
        let device = conn.create(&options, CreateFlags::empty()).unwrap();
        let written = written_files(&sysfs);
        // A create also clears parameters; every planned write is among its writes, in the same order.
        let mut rest = written.iter();
        for (path, _) in &plan.writes {
            assert!(rest.any(|file| file == path), "{parent}: {path} is not in {written:?}");
        }
        device.destroy(DestroyFlags::empty()).unwrap();
    }
}

#[test]
fn options_and_xml_make_the_same_device() {
    let (_, conn) = host();
    let xml = format!(
        "<device><name>a</name><parent>{CARD}</parent><capability type='mdev'><type id='H200X-35C'/><uuid>{UUID}</uuid>\
         <params>b=2</params></capability></device>"
    );
    let dump = |device: &mdev::Node| device.xml(XmlFlags::empty()).unwrap();
    let first = conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
    let expected = dump(&first);
    first.destroy(DestroyFlags::empty()).unwrap();
    let options = CreateOptions {
        parent: Some("41:00.0"),
        ty: "H200X-35C",
        uuid: Some(UUID),
        name: Some("a"),
        params: Some("b=2"),
        ..CreateOptions::default()
    };
    let second = conn.create(&options, CreateFlags::empty()).unwrap();
    assert_eq!(dump(&second), expected);
    let defined = conn.define(&options, DefineFlags::empty());
    assert!(defined.is_ok(), "{defined:?}");
}

#[test]
fn invalid_option_is_refused_and_named() {
    let (_, conn) = host();
    let valid = CreateOptions { ty: "11", ..CreateOptions::default() };
    let many = vec![("a", "1"); 1025];
    let cases = [
        (CreateOptions { ty: "", ..valid }, "type"),
        (CreateOptions { uuid: Some("x"), ..valid }, "UUID"),
        (CreateOptions { name: Some("a/b"), ..valid }, "name"),
        (CreateOptions { parent: Some(".."), ..valid }, "parent"),
        (CreateOptions { group: Some(0), ..valid }, "group"),
        (CreateOptions { numa_node: Some(-1), ..valid }, "NUMA node"),
        (CreateOptions { attributes: &[("../x", "1")], ..valid }, "attribute"),
        (CreateOptions { attributes: &[("a", "")], ..valid }, "attribute"),
        (CreateOptions { attributes: &many, ..valid }, "attributes"),
    ];
    for (options, named) in cases {
        let e = conn.create(&options, CreateFlags::empty()).unwrap_err();
        assert_eq!(e.code, ErrorCode::InvalidArgument, "{e}");
        assert!(e.message.contains(named), "{named}: {e}");
    }
}

#[test]
fn plan_of_a_create_that_must_fail_fails() {
    let (_, conn) = host();
    let options = CreateOptions { parent: Some(CARD), ty: "1441", uuid: Some(UUID), ..CreateOptions::default() };
    conn.create(&options, CreateFlags::empty()).unwrap();
    assert_eq!(conn.plan(&options, CreateFlags::empty()).unwrap_err().code, ErrorCode::Exists);
    assert!(conn.plan(&options, CreateFlags::EXIST_OK).unwrap().exists);
    let other = CreateOptions { ty: "11", uuid: None, ..options };
    assert_eq!(conn.plan(&other, CreateFlags::empty()).unwrap_err().code, ErrorCode::NoType);
    let group = CreateOptions { group: Some(1), uuid: None, ..options };
    assert_eq!(conn.plan(&group, CreateFlags::empty()).unwrap_err().code, ErrorCode::GroupNotSupported);
}

#[test]
fn filter_on_an_absent_parent_finds_its_definitions() {
    let (_, conn) = host();
    let options = CreateOptions { parent: Some("0000:99:00.0"), ty: "7", uuid: Some(UUID), ..CreateOptions::default() };
    let filter = ListFilter { parent: Some("0000:99:00.0"), ..ListFilter::default() };
    let all = ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE;
    assert_eq!(conn.list_filtered(&filter, all).unwrap_err().code, ErrorCode::NoParent);
    conn.define(&options, DefineFlags::empty()).unwrap();
    let found = conn.list_filtered(&filter, all).unwrap();
    assert_eq!(found.iter().map(|node| node.uuid().unwrap()).collect::<Vec<_>>(), [UUID]);
}

#[test]
fn filter_on_a_vf_finds_the_device_on_it() {
    let (_, conn) = host();
    let options = CreateOptions { parent: Some(CARD), ty: "1441", ..CreateOptions::default() };
    let first = conn.create(&options, CreateFlags::empty()).unwrap();
    conn.create(&options, CreateFlags::empty()).unwrap();
    let address = first.address().unwrap();
    let filter = ListFilter { parent: Some(&address), ..ListFilter::default() };
    let found = conn.list_filtered(&filter, ListFlags::empty()).unwrap();
    assert_eq!(found.iter().map(|node| node.uuid().unwrap()).collect::<Vec<_>>(), [first.uuid().unwrap()]);
}

#[test]
fn wait_for_a_free_device_names_its_user() {
    let (sysfs, conn) = host();
    let options = CreateOptions { parent: Some(CARD), ty: "1441", uuid: Some(UUID), ..CreateOptions::default() };
    let device = conn.create(&options, CreateFlags::empty()).unwrap();
    sysfs.set_in_use(&device.address().unwrap(), true).unwrap();
    let e = conn.wait_device(UUID, DeviceWait::Free, 0).unwrap_err();
    assert_eq!(e.code, ErrorCode::Timeout);
    assert!(e.message.contains("in use by process") && e.message.contains("qemu"), "{e}");
    assert_eq!(device.users().unwrap().iter().map(|user| user.program.as_str()).collect::<Vec<_>>(), ["qemu"]);
    sysfs.set_in_use(&device.address().unwrap(), false).unwrap();
    assert_eq!(conn.wait_device(UUID, DeviceWait::Free, 0), Ok(()));
    assert_eq!(device.users(), Ok(Vec::new()));
}

#[test]
fn wait_for_a_created_device_ends_with_its_creation() {
    let (_, conn) = host();
    let options =
        CreateOptions { parent: Some("css_0_0_0052"), ty: "vfio_ccw-io", uuid: Some(UUID), ..CreateOptions::default() };
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| conn.wait_device(UUID, DeviceWait::Created, 30_000));
        let device = conn.create(&options, CreateFlags::empty()).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(()));
        let waiter = scope.spawn(|| conn.wait_device(UUID, DeviceWait::Deleted, 30_000));
        device.destroy(DestroyFlags::empty()).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}
