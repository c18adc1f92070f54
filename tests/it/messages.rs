// SPDX-License-Identifier: LGPL-2.1-or-later
//! The next steps in error messages.

use mdev::Error;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags};

const UUID: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc601";

fn host() -> Conn {
    use std::sync::Arc;
    let sim = mdev::test_hooks::sim::default_host();
    Conn::of((
        Arc::new(sim),
        Arc::new(mdev::test_hooks::store::Runtime::memory([])),
        Arc::new(mdev::test_hooks::store::Definitions::memory([])),
    ))
}

fn request(parent: &str, type_id: &str) -> String {
    format!(
        "<device><name>vgpu</name><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>\
         <uuid>{UUID}</uuid></capability></device>"
    )
}

fn create(conn: &Conn, xml: &str) -> Error {
    conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap_err()
}

fn contains(e: &Error, part: &str) {
    assert!(e.message.contains(part), "'{part}' is not in: {e}");
}

#[test]
fn lookup_of_misspelt_name_suggests_nearest() {
    let conn = host();
    conn.define_xml(request("0000:86:00.0", "12").as_bytes(), DefineFlags::empty()).unwrap();
    for (wrong, near) in [("pci_0000_86_00_1", "pci_0000_86_00_0"), ("vgpuu", "vgpu"), ("0000:87:00.1", "0000:87:00.0")]
    {
        let e = conn.lookup_by_name(wrong).unwrap_err();
        contains(&e, &format!("did you mean '{near}'?"));
    }
    contains(&conn.lookup_by_name("something-else").unwrap_err(), "list the nodes");
    contains(&conn.lookup_by_name(UUID.replace("601", "602").as_str()).unwrap_err(), "mdev_conn_lookup_by_uuid()");
    contains(&create(&conn, &request("pci_0000_99_00_0", "12")), "list the parents");
}

#[test]
fn open_of_missing_host_names_uri_and_next_step() {
    contains(&Conn::open(Some("test:///nothere")).map(drop).unwrap_err(), "test:///nothere: cannot read /nothere");
    contains(&Conn::open(Some("test:///nothere")).map(drop).unwrap_err(), "simulated host is test:///default");
    contains(
        &Conn::open(Some("mdev:///system?root=/nonexist")).map(drop).unwrap_err(),
        "root= needs an existing directory",
    );
}

#[test]
fn destroy_of_definition_points_to_undefine() {
    let node = host().define_xml(request("0000:86:00.0", "12").as_bytes(), DefineFlags::empty()).unwrap();
    contains(&node.destroy(DestroyFlags::empty()).unwrap_err(), "undefine it to remove its definition");
}

#[test]
fn create_with_refused_attribute_reports_reason_and_keeps_no_device() {
    let with = |attr: &str| {
        let conn = host();
        let e = create(&conn, &request("0000:41:00.0", "1441").replace("<uuid>", &format!("{attr}<uuid>")));
        assert!(conn.lookup_by_name("vgpu").is_err());
        e
    };
    let e = with("<attr name='placement_id' value='x'/>");
    contains(&e, "the driver refuses the value 'x'; the create fails and removes its device");
    contains(&with("<attr name='placement' value='1'/>"), "it has ");
    contains(&with("<attr name='placement' value='1'/>"), "placement_id");
}

#[test]
fn destroy_owned_of_device_without_owner_names_flag() {
    let conn = host();
    let node = conn.create_xml(request("0000:86:00.0", "12").as_bytes(), CreateFlags::empty()).unwrap();
    conn.set_owner(Some("nova")).unwrap();
    let e = node.destroy(DestroyFlags::OWNED).unwrap_err();
    contains(&e, "does not belong to 'nova'; destroy it without the check (MDEV_DESTROY_OWNED, --owned)");
    contains(
        &node.reset().unwrap_err(),
        "has no file 'reset': only devices of the general layout have it, and this device has the rfc layout",
    );
}

#[test]
fn create_on_device_names_its_parent() {
    let conn = host();
    conn.create_xml(request("0000:86:00.0", "12").as_bytes(), CreateFlags::empty()).unwrap();
    let e = create(&conn, &request("vgpu", "12").replace("<name>vgpu</name>", "").replace("cc601", "cc602"));
    contains(&e, "'vgpu' is a mediated device, not a parent; its parent is pci_0000_86_00_0");
    contains(&create(&conn, &request("pci_0000_86_00_1", "12")), "did you mean 'pci_0000_86_00_0'?");
}

#[test]
fn create_of_unknown_type_lists_ids_with_names() {
    let e = create(&host(), &request("0000:86:00.0", "GRID M60-9Q"));
    contains(&e, "there is no type 'GRID M60-9Q'; it has 11 (GRID M60-0B)");
}

#[test]
fn undefine_of_transient_device_suggests_destroy() {
    let conn = host();
    let node = conn.create_xml(request("0000:86:00.0", "12").as_bytes(), CreateFlags::empty()).unwrap();
    let e = node.undefine(DefineFlags::empty()).unwrap_err();
    contains(&e, "destroy it to remove it");
    assert!(!e.message.contains("define it first"), "{e}");
    node.destroy(DestroyFlags::empty()).unwrap();
}

#[test]
fn xml_errors_name_expected_content() {
    let conn = host();
    contains(&create(&conn, "\n { \"mdev_type\": \"12\" }"), "looks like JSON");
    contains(&create(&conn, "<device><parrent>x</parrent></device>"), "expected one of name, parent, capability");
    let e = create(&conn, "<device><capability type='mdev'><typ id='1'/></capability></device>");
    contains(&e, "expected one of type, uuid,");
}
