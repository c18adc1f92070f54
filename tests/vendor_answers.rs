// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the library makes of files that a vendor's driver leaves out, fills in an unusual way or changes, and of the errors
//! that it returns.

use std::sync::Arc;

use mdev::driver::{Conn, CreateFlags, DestroyFlags, ListFlags, Node, XmlFlags};
use mdev::error::{Error, ErrorCode};
use mdev::store::Runtime;
use mdev::sysfs::Errno;
use mdev::sysfs::sim::{Op, SimEntry, SimHost, default_host};

#[path = "support/hosts.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod hosts;

use hosts::{ACCEL, FIRST, I915, M60, create as write_create, exists, read, ty, write};

const UUID: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc60c";

struct Lab {
    sim: SimHost,
    runtime: Arc<Runtime>,
    conn: Conn,
}

impl Lab {
    fn new() -> Lab {
        Lab::on(default_host())
    }

    fn on(sim: SimHost) -> Lab {
        let runtime = Arc::new(Runtime::memory([]));
        let conn = Conn::on(Arc::new(sim.clone()), Arc::clone(&runtime));
        Lab { sim, runtime, conn }
    }

    fn create(&self, parent: &str, type_id: &str, more: &str) -> Result<Node, Error> {
        self.create_with(parent, type_id, more, CreateFlags::empty())
    }

    fn create_with(&self, parent: &str, type_id: &str, more: &str, flags: CreateFlags) -> Result<Node, Error> {
        self.conn.create_xml(request(parent, type_id, more).as_bytes(), flags)
    }

    fn destroy(&self, uuid: &str) -> Result<(), Error> {
        self.conn.destroy_uuid(uuid, DestroyFlags::empty())
    }

    fn is_listed(&self, uuid: &str) -> bool {
        self.conn.list(ListFlags::DEVICES).unwrap().iter().any(|node| node.uuid().unwrap() == uuid)
    }
}

fn request(parent: &str, type_id: &str, more: &str) -> String {
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>{more}</capability></device>"
    )
}

fn with_uuid(more: &str) -> String {
    format!("<uuid>{UUID}</uuid>{more}")
}

/// The default host with another text in one file.
fn host_with(path: &str, text: &str) -> SimHost {
    let mut entries = default_host().entries();
    for entry in &mut entries {
        match entry {
            SimEntry::File { path: own, content, .. } if own == path => *content = Ok(text.as_bytes().to_vec()),
            _ => {}
        }
    }
    SimHost::new(entries).unwrap()
}

#[test]
fn device_without_the_file_that_removes_it_returns_enoent() {
    let lab = Lab::new();
    lab.create("0000:86:00.0", "11", &with_uuid("<group>1</group>")).unwrap();
    let queue = lab.create("0000:87:00.0", "queue-1", "").unwrap().uuid().unwrap();
    let files = [
        (FIRST, format!("{I915}/{FIRST}/remove")),
        (queue.as_str(), format!("{ACCEL}/{queue}/destroy")),
        (UUID, format!("{M60}/mdev_destroy")),
    ];
    for (uuid, file) in &files {
        lab.sim.unplug(file).unwrap();
        let e = lab.destroy(uuid).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoAttribute, Errno::NOENT.raw_os_error()), "{e}");
        assert!(e.message.contains(file.as_str()), "{e}");
        assert!(lab.is_listed(uuid), "{uuid}");
    }
    // Its name and group are still remembered.
    assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap().group(), Ok(1));
    let e = lab.destroy("00000000-1111-4222-8333-000000000001").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoNode, Errno::NODEV.raw_os_error()), "{e}");
}

#[test]
fn rfc_parent_without_mdev_destroy_is_still_rfc() {
    let lab = Lab::new();
    lab.sim.unplug(&format!("{M60}/mdev_destroy")).unwrap();
    assert_eq!(lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap().layout(), "rfc");
    let node = lab.create("0000:86:00.0", "11", "<group>1</group>").unwrap();
    assert_eq!((node.layout(), node.group()), ("rfc", Ok(1)));
}

#[test]
fn count_above_32_bits_is_clamped_and_allows_a_create() {
    for count in ["4294967296", "99999999999999999999999"] {
        let file = format!("{}/max_instances", ty(M60, "11"));
        let lab = Lab::on(host_with(&file, &format!("{count}\n")));
        assert_eq!(read(&lab.sim, &file).unwrap(), count);
        let parent = lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap();
        assert_eq!(parent.find_type("11").unwrap().available_instances, Some(u32::MAX));
        lab.create("0000:86:00.0", "11", "<group>1</group>").unwrap();
    }
}

#[test]
fn einval_without_a_group_names_the_group() {
    let lab = Lab::new();
    lab.sim.fail_next(Op::Write, "/11/create", Errno::INVAL, 1);
    let e = lab.create("0000:86:00.0", "11", "").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Kernel, Errno::INVAL.raw_os_error()), "{e}");
    assert!(e.message.contains("requires a group"), "{e}");
    // Neither with a group nor on a type that requires none is the group the cause.
    for (type_id, group) in [("11", "<group>1</group>"), ("12", "")] {
        lab.sim.fail_next(Op::Write, &format!("/{type_id}/create"), Errno::INVAL, 1);
        let e = lab.create("0000:86:00.0", type_id, group).unwrap_err();
        assert!(!e.message.contains("group"), "{e}");
    }
}

#[test]
fn requires_group_of_0_is_as_if_it_were_absent() {
    let lab = Lab::new();
    let types = lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap();
    assert_eq!(["11", "12", "13"].map(|id| types.find_type(id).unwrap().requires_group), [true, false, false]);
    for type_id in ["12", "13"] {
        let e = lab.create("0000:86:00.0", type_id, "<group>1</group>").unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::GroupNotSupported, Errno::OPNOTSUPP.raw_os_error()), "{e}");
    }
    let xml = request("0000:86:00.0", "12", "");
    let made = lab.conn.create_group_xml(&[xml.as_bytes()], CreateFlags::empty()).unwrap();
    assert!(made[0].group().is_err());
}

#[test]
fn params_with_a_newline_or_a_nul_are_refused_before_any_write() {
    let lab = Lab::new();
    lab.sim.start_log();
    for params in ["a=1\nb=2", "a=1&#10;", "a=1&#0;", "a=1\0"] {
        let e = lab.create("0000:86:00.0", "11", &format!("<params>{params}</params>")).unwrap_err();
        assert_eq!(e.errno, Errno::INVAL.raw_os_error(), "{params:?}: {e}");
    }
    assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write));
}

#[test]
fn group_file_of_the_driver_beats_the_record() {
    let lab = Lab::new();
    let node = lab.create("0000:87:00.0", "queue-4", &with_uuid("<group>5</group>")).unwrap();
    assert_eq!(node.group(), Ok(5));
    let shown = || {
        let node = lab.conn.lookup_by_uuid(UUID).unwrap();
        let listed = lab.conn.list(ListFlags::DEVICES).unwrap();
        let listed = listed.iter().find(|node| node.uuid().unwrap() == UUID).unwrap();
        assert_eq!(node.group().ok(), listed.group().ok());
        (node.group().ok(), node.xml(XmlFlags::empty()).unwrap())
    };
    for (text, group) in [("7", Some(7)), ("", None), ("5", Some(5))] {
        write(&lab.sim, &format!("{ACCEL}/{UUID}/group"), format!("{text}\n")).unwrap();
        let (now, xml) = shown();
        assert_eq!(now, group);
        assert_eq!(xml.contains("<group>"), group.is_some(), "{xml}");
        assert!(group.is_none_or(|group| xml.contains(&format!("<group>{group}</group>"))), "{xml}");
    }
}

#[test]
fn group_given_as_an_attribute_is_shown() {
    let lab = Lab::new();
    let node = lab.create("0000:87:00.0", "queue-4", "<attr name='group' value='5'/>").unwrap();
    assert_eq!(node.group(), Ok(5));
    assert!(node.xml(XmlFlags::empty()).unwrap().contains("<group>5</group>"));
}

/// A device that another program made, on a driver that has no link to its type.
#[test]
fn device_of_unknown_type_has_no_empty_type_in_any_dialect() {
    let lab = Lab::new();
    write_create(&lab.sim, M60, "11", &format!("{UUID}:1")).unwrap();
    lab.sim.unplug(&format!("{M60}/{UUID}/mdev_type")).unwrap();
    let node = lab.conn.lookup_by_uuid(UUID).unwrap();
    assert_eq!(node.type_id().unwrap_err().code, ErrorCode::NoData);
    for flags in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
        let xml = node.xml(flags).unwrap();
        assert!(!xml.contains("<type id="), "{xml}");
        // The dump does not say what to create, and the error names what is missing.
        let e = lab.conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap_err();
        assert!(e.code == ErrorCode::XmlContent && e.message.contains("<type id="), "{e}");
        let whole = xml.replace("<uuid>", "<type id='11'/><uuid>");
        lab.destroy(UUID).unwrap();
        let again = lab.conn.create_xml(whole.as_bytes(), CreateFlags::empty()).unwrap();
        assert_eq!(again.uuid().unwrap(), UUID);
        lab.sim.unplug(&format!("{M60}/{UUID}/mdev_type")).unwrap();
    }
    assert!(exists(&lab.sim, &format!("{M60}/{UUID}")));
    assert!(lab.runtime.all().is_ok());
}
