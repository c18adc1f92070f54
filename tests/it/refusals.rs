// SPDX-License-Identifier: LGPL-2.1-or-later
//! Requests that create and define refuse, so that no device is created or defined that cannot be used later.

use mdev::test_hooks::sim::Op;
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, Node, StartFlags};
use mdev::{Error, ErrorCode};

use crate::support::definitions::{IGD, UUID, host, xml};

const OTHER: &str = "22222222-2222-4333-8444-555555555555";
const NAME: &str = "<name>mine</name>";

fn named(parent: &str, type_id: &str, uuid: &str) -> String {
    xml(parent, type_id, uuid, "").replace("<parent>", &format!("{NAME}<parent>"))
}

fn define(conn: &Conn, xml: &str) -> Result<Node, Error> {
    conn.define_xml(xml.as_bytes(), DefineFlags::empty())
}

fn create(conn: &Conn, xml: &str) -> Result<Node, Error> {
    conn.create_xml(xml.as_bytes(), CreateFlags::EXIST_OK)
}

fn refused(result: Result<Node, Error>, code: ErrorCode, errno: Errno, words: &[&str]) {
    let e = result.map(drop).unwrap_err();
    assert_eq!((e.code, e.errno), (code, errno.raw_os_error()), "{e}");
    words.iter().for_each(|word| assert!(e.message.contains(word), "{word}: {e}"));
}

#[test]
fn create_of_uuid_that_is_defined_with_another_type_returns_eexist() {
    for (parent, defined, other) in
        [(IGD, "i915-GVTg_V5_4", "i915-GVTg_V5_8"), ("0000:86:00.0", "11", "12"), ("0000:41:00.0", "1441", "1438")]
    {
        for files in [true, false] {
            let (_root, _sim, conn) = host(files);
            let node = define(&conn, &xml(parent, defined, UUID, "")).unwrap();
            let words = [UUID, defined, other, "undefine"];
            refused(create(&conn, &xml(parent, other, UUID, "")), ErrorCode::Exists, Errno::EXIST, &words);
            let group = conn.create_group_xml(&[xml(parent, other, UUID, "").as_bytes()], CreateFlags::empty());
            refused(group.map(|mut nodes| nodes.remove(0)), ErrorCode::Exists, Errno::EXIST, &["device 1 of 1"]);
            // The defined device can be created too, and the definition of another device does not affect a running
            // device.
            create(&conn, &xml(parent, defined, UUID, "")).unwrap();
            define(&conn, &xml(parent, other, UUID, "")).unwrap();
            create(&conn, &xml(parent, defined, UUID, "")).unwrap().destroy(DestroyFlags::empty()).unwrap();
            node.start(StartFlags::empty()).unwrap();
            assert_eq!(conn.lookup_by_uuid(UUID).unwrap().type_id(), Ok(other));
        }
    }
}

#[test]
fn create_on_pf_with_uuid_defined_on_vf_returns_eexist() {
    let (_root, _sim, conn) = host(true);
    define(&conn, &xml("0000:41:00.5", "1441", UUID, "")).unwrap();
    for parent in ["0000:41:00.0", "0000:41:00.5"] {
        refused(create(&conn, &xml(parent, "1438", UUID, "")), ErrorCode::Exists, Errno::EXIST, &[UUID]);
    }
    create(&conn, &xml("0000:41:00.6", "1438", UUID, "")).unwrap();
}

#[test]
fn create_under_name_of_inactive_definition_returns_eexist() {
    for files in [true, false] {
        let (_root, _sim, conn) = host(files);
        let node = define(&conn, &named("0000:86:00.0", "11", UUID)).unwrap();
        for (parent, type_id, uuid) in
            [("0000:86:00.0", "11", OTHER), (IGD, "i915-GVTg_V5_4", OTHER), (IGD, "i915-GVTg_V5_4", UUID)]
        {
            let words = ["'mine'", UUID, "0000:86:00.0"];
            refused(create(&conn, &named(parent, type_id, uuid)), ErrorCode::Exists, Errno::EXIST, &words);
        }
        node.start(StartFlags::empty()).unwrap();
        assert!(conn.lookup_by_name("mine").unwrap().is_active());
        node.destroy(DestroyFlags::empty()).unwrap();
        create(&conn, &named("0000:86:00.0", "11", UUID)).unwrap();
        conn.lookup_by_name("mine").unwrap().undefine(DefineFlags::empty()).unwrap();
    }
}

#[test]
fn define_refuses_parameters_and_group_that_no_start_would_take() {
    let (_root, _sim, conn) = host(true);
    let params = "<params>a=1</params>";
    for (parent, type_id) in [(IGD, "i915-GVTg_V5_4"), ("0000:87:00.0", "queue-1")] {
        let wanted = xml(parent, type_id, UUID, params);
        refused(define(&conn, &wanted), ErrorCode::ParamsNotSupported, Errno::OPNOTSUPP, &["pci_0000", "<params>"]);
    }
    for (parent, type_id) in [(IGD, "i915-GVTg_V5_4"), ("0000:41:00.0", "1441")] {
        let wanted = xml(parent, type_id, UUID, "<group>3</group>");
        refused(define(&conn, &wanted), ErrorCode::GroupNotSupported, Errno::OPNOTSUPP, &["pci_0000", "<group>"]);
    }
    for (parent, type_id, more) in [("0000:86:00.0", "11", params), ("0000:41:00.0", "1441", params)] {
        define(&conn, &xml(parent, type_id, UUID, more)).unwrap().undefine(DefineFlags::empty()).unwrap();
    }
}

#[test]
fn define_on_absent_parent_takes_id_of_type_only() {
    let (_root, _sim, conn) = host(true);
    for parent in ["0000:99:00.0", "0000:c1:00.0"] {
        let name = conn.lookup_by_name("pci_0000_86_00_0").unwrap();
        let name = name.find_type("11").unwrap().name().unwrap();
        let underscores = name.replace(' ', "_");
        for wanted in [name, &underscores] {
            refused(define(&conn, &xml(parent, wanted, UUID, "")), ErrorCode::NoType, Errno::NODEV, &["'11'", wanted]);
        }
        let spaced = xml(parent, "GRID unknown-1Q", UUID, "");
        refused(define(&conn, &spaced), ErrorCode::NoType, Errno::NODEV, &["GRID unknown-1Q"]);
        for wanted in ["11", "nvidia-999", "GRID_unknown-1Q"] {
            define(&conn, &xml(parent, wanted, UUID, "")).unwrap().undefine(DefineFlags::empty()).unwrap();
        }
    }
}

#[test]
fn errors_of_group_name_device() {
    let (_root, sim, conn) = host(true);
    sim.set_hook(Some(std::sync::Arc::new(move |op, path| {
        (op == Op::Open && path.ends_with("mdev_supported_types/12")).then_some(Errno::IO)
    })));
    let texts = ["11", "12"].map(|id| xml("0000:86:00.0", id, "", "").replace("<uuid></uuid>", ""));
    let requests: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let e = conn.create_group_xml(&requests, CreateFlags::empty()).map(drop).unwrap_err();
    assert!(e.message.starts_with("device 2 of 2: "), "{e}");
    // The same if the driver refuses the second device.
    let refuse = |op, path: &str| (op == Op::Write && path.ends_with("12/create")).then_some(Errno::IO);
    sim.set_hook(Some(std::sync::Arc::new(refuse)));
    let e = conn.create_group_xml(&requests, CreateFlags::empty()).map(drop).unwrap_err();
    assert!(e.message.starts_with("device 2 of 2: "), "{e}");
}
