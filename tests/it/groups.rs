// SPDX-License-Identifier: LGPL-2.1-or-later
//! Allocated group numbers are not in use by any other device, and records that killed creators left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mdev::test_hooks::lock::is_held;
use mdev::test_hooks::sim::Op;
use mdev::test_hooks::sysfs::{Sysfs, basename};
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags};
use mdev::{Error, ErrorCode};
use rustix::io::Errno;

use crate::support::lab::{Lab, request};

const RFC: &str = "/sys/devices/pci0000:80/0000:80:02.0/0000:86:00.0";
const GENERAL: &str = "/sys/devices/pci0000:80/0000:80:03.0/0000:87:00.0";

/// Writes to sysfs as another program does.
fn echo(lab: &Lab, parent: &str, type_id: &str, text: &str) {
    lab.sim.echo(&format!("{parent}/mdev_supported_types/{type_id}/create"), text).unwrap();
}

/// Writes a definition as mdevctl does.
fn define(lab: &Lab, parent: &str, uuid: &str, attrs: &str) {
    let folder = lab.root().join("etc/mdevctl.d").join(parent);
    fs::create_dir_all(&folder).unwrap();
    let text = format!(r#"{{"mdev_type": "11", "start": "manual", "attrs": [{attrs}]}}"#);
    fs::write(folder.join(uuid), text).unwrap();
}

/// Writes the record that a creator leaves if it is killed before it has finished.
fn leave_record(lab: &Lab, uuid: &str, type_id: &str, more: &str) {
    let text = format!(r#"{{"uuid":"{uuid}","parent":"0000:86:00.0","type":"{type_id}"{more}}}"#);
    fs::write(lab.root().join("run/libmdev/devices").join(uuid), text).unwrap();
}

fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn group_of(conn: &Conn) -> u32 {
    try_group_of(conn).map_err(|e| e.to_string()).unwrap()
}

fn try_group_of(conn: &Conn) -> Result<u32, Error> {
    let text = request("0000:86:00.0", "11", "");
    let made = conn.create_group_xml(&[text.as_bytes()], CreateFlags::empty())?;
    made[0].group()
}

#[test]
fn concurrent_creates_allocate_groups_that_are_not_in_use() {
    let lab = Lab::in_files();
    // Devices of another program that show a group, one on each layout with groups.
    echo(&lab, RFC, "11", &format!("{}:1", uuid(1)));
    echo(&lab, GENERAL, "queue-4", &format!("{}:2", uuid(2)));
    // A definition on a parent that is absent.
    let more = format!("<uuid>{}</uuid><group>3</group>", uuid(3));
    lab.other().define_xml(request("0000:99:00.0", "11", &more).as_bytes(), DefineFlags::empty()).unwrap();
    // Killed creators: the device of one exists; the device of the other can still appear.
    leave_record(&lab, &uuid(4), "12", r#","group":4"#);
    echo(&lab, RFC, "12", &uuid(4));
    leave_record(&lab, &uuid(5), "11", r#","group":5"#);
    let mut groups: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| group_of(&lab.other()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    groups.sort_unstable();
    assert_eq!(groups, [6, 7, 8, 9, 10, 11, 12, 13]);
}

#[test]
fn groups_given_as_attributes_are_in_use() {
    let lab = Lab::in_files();
    let more = format!("<uuid>{}</uuid><attr name='group' value='1'/>", uuid(1));
    lab.other().define_xml(request("0000:99:00.0", "11", &more).as_bytes(), DefineFlags::empty()).unwrap();
    define(&lab, "0000:99:00.0", &uuid(2), r#"{"group": "2\n"}, {"other": "5"}, {"group": "3"}"#);
    // Creators that have not written the attribute yet: the device of one exists; the device of the other can still
    // appear.
    leave_record(&lab, &uuid(3), "12", r#","attributes":[["group","4"]]"#);
    echo(&lab, RFC, "12", &uuid(3));
    leave_record(&lab, &uuid(4), "11", r#","group":5,"attributes":[["group","6"]]"#);
    assert_eq!(group_of(&lab.other()), 7);
}

#[test]
fn create_fails_while_group_in_use_cannot_be_read() {
    let lab = Lab::in_files();
    let conn = lab.other();
    echo(&lab, GENERAL, "queue-4", &format!("{}:1", uuid(1)));
    let fail = |errno| lab.sim.set_hook(Some(Arc::new(move |op, path| is_group(op, path).then_some(errno))));
    for errno in [Errno::IO, Errno::ACCESS, Errno::MFILE] {
        fail(errno);
        let e = try_group_of(&conn).unwrap_err();
        assert_eq!((e.errno, e.path.is_some_and(|path| path.ends_with("/group"))), (errno.raw_os_error(), true));
        lab.sim.set_hook(None);
        assert_eq!(lab.sim.entries().iter().filter(|entry| entry.path().ends_with("mdev_type")).count(), 1, "{errno}");
    }
    // Only an allocation needs the group numbers in use.
    fail(Errno::IO);
    let text = request("0000:86:00.0", "11", "<group>9</group>");
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    // A device that its creator removes at that moment has no group.
    fail(Errno::NODEV);
    assert_eq!(group_of(&conn), 1);
}

fn is_group(op: Op, path: &str) -> bool {
    op == Op::Read && path.ends_with("/group")
}

#[test]
fn create_fails_while_record_of_device_cannot_be_read() {
    let lab = Lab::in_files();
    let conn = lab.other();
    let record = lab.root().join("run/libmdev/devices").join(uuid(1));
    fs::write(&record, "{").unwrap();
    echo(&lab, RFC, "12", &uuid(1));
    let e = try_group_of(&conn).unwrap_err();
    assert_eq!((e.code, e.path.as_deref()), (ErrorCode::Store, record.to_str()), "{e}");
    let text = request("0000:86:00.0", "11", "<group>9</group>");
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    // A record without its device is ignored and removed.
    conn.lookup_by_uuid(&uuid(1)).unwrap().destroy(DestroyFlags::empty()).unwrap();
    fs::write(&record, "{").unwrap();
    assert_eq!(group_of(&conn), 1);
}

#[test]
fn definition_written_while_creator_waits_for_store_is_counted() {
    let lab = Arc::new(Lab::in_files());
    // The creator looks for the device of this record once it has the lock of the store.
    leave_record(&lab, &uuid(1), "12", r#","group":1"#);
    echo(&lab, RFC, "12", &uuid(1));
    let (writer, lock) = (Arc::downgrade(&lab), lab.root().join("run/libmdev/lock"));
    lab.sim.set_hook(Some(Arc::new(move |op, path| {
        if op == Op::Meta && path.ends_with(&uuid(1)) && is_held(lock.to_str()?).unwrap() {
            define(&*writer.upgrade()?, "0000:99:00.0", &uuid(2), r#"{"group": "2"}"#);
        }
        None
    })));
    assert_eq!(group_of(&lab.other()), 3);
    assert!(lab.root().join("etc/mdevctl.d/0000:99:00.0").exists(), "the hook must see the lock");
}

/// A driver can block a read, and only one creator at a time can hold the lock of the store.
#[test]
fn create_reads_no_file_of_driver_under_lock_of_store() {
    let lab = Lab::in_files();
    echo(&lab, RFC, "11", &format!("{}:1", uuid(1)));
    let lock = lab.root().join("run/libmdev/lock");
    let held = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&held);
    lab.sim.set_hook(Some(Arc::new(move |op, path| {
        if op == Op::Read && is_held(lock.to_str()?).unwrap_or(false) {
            seen.lock().unwrap().push(path.to_owned());
        }
        None
    })));
    assert_eq!(group_of(&lab.other()), 2);
    assert_eq!(*held.lock().unwrap(), Vec::<String>::new());
}

/// The device of the definition can have any group once the file is complete or fixed.
#[test]
fn create_fails_while_definition_cannot_be_read() {
    let lab = Lab::in_files();
    let conn = lab.other();
    define(&lab, "0000:99:00.0", &uuid(1), r#"{"group": "1"}"#);
    let file = lab.root().join("etc/mdevctl.d/0000:99:00.0").join(uuid(1));
    let whole = fs::read(&file).unwrap();
    let before = conn.list(ListFlags::DEVICES | ListFlags::ACTIVE).unwrap().len();
    let set = |text: &[u8], mode| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (text, mode) in [(&whole[..whole.len() / 2], 0o644), (&whole, 0o666)] {
        set(text, mode);
        let e = try_group_of(&conn).unwrap_err();
        assert_eq!(e.path.as_deref(), file.to_str(), "{e}");
        assert!(e.message.contains("name a group with <group>"), "{e}");
        assert_eq!(conn.list(ListFlags::DEVICES | ListFlags::ACTIVE).unwrap().len(), before);
    }
    // Only an allocation needs the group numbers in use.
    let text = request("0000:86:00.0", "11", "<group>9</group>");
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    set(&whole, 0o644);
    assert_eq!(group_of(&conn), 2);
}

#[test]
fn name_and_group_of_killed_creator_are_free_at_once() {
    let lab = Lab::in_files();
    leave_record(&lab, &uuid(5), "11", r#","group":5,"name":"mine""#);
    let conn = lab.other();
    let text = request("0000:86:00.0", "11", &format!("<uuid>{}</uuid><group>7</group>", uuid(5)));
    let text = text.replace("<parent>", "<name>mine</name><parent>");
    assert_eq!(conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap().group(), Ok(7));
}

/// The time of a device's link is the time of the first look at it.
#[test]
fn record_of_killed_creator_matches_only_device_of_its_age() {
    for (made_before, is_its_own) in [(900, false), (600, true), (300, false), (0, false)] {
        let lab = Lab::in_files();
        let conn = lab.other();
        conn.set_owner(Some("me")).unwrap();
        leave_record(&lab, &uuid(1), "11", r#","name":"ghost","owner":"me""#);
        let record = fs::File::options().write(true).open(lab.root().join("run/libmdev/devices").join(uuid(1)));
        record.unwrap().set_modified(SystemTime::now() - Duration::from_secs(600)).unwrap();
        echo(&lab, RFC, "11", &uuid(1));
        let group = lab.sim.open(&format!("/sys/bus/mdev/devices/{}", uuid(1))).unwrap().link("iommu_group").unwrap();
        let node = format!("/dev/vfio/{}", basename(&group));
        lab.sim.set_back_time(&node, Duration::from_secs(made_before)).unwrap();
        let node = conn.lookup_by_uuid(&uuid(1)).unwrap();
        assert_eq!((node.name() == "ghost", node.owner().is_ok()), (is_its_own, is_its_own), "{made_before}");
        match node.destroy(DestroyFlags::OWNED) {
            Ok(()) => assert!(is_its_own, "{made_before}"),
            Err(e) => assert_eq!((e.code, is_its_own), (ErrorCode::NotOwner, false), "{e}"),
        }
    }
}

#[test]
fn record_of_killed_creator_does_not_match_device_of_another_type() {
    let facts = r#","name":"ghost","owner":"me""#;
    for (made, is_its_own) in [("11", true), ("12", false)] {
        let lab = Lab::in_files();
        let conn = lab.other();
        conn.set_owner(Some("me")).unwrap();
        leave_record(&lab, &uuid(1), "11", facts);
        echo(&lab, RFC, made, &uuid(1));
        let node = conn.lookup_by_uuid(&uuid(1)).unwrap();
        assert_eq!((node.name() == "ghost", node.owner().is_ok()), (is_its_own, is_its_own), "{made}");
        assert_eq!(conn.lookup_by_name("ghost").is_ok(), is_its_own, "{made}");
        match node.destroy(DestroyFlags::OWNED) {
            Ok(()) => assert!(is_its_own),
            Err(e) => assert_eq!((e.code, is_its_own), (ErrorCode::NotOwner, false), "{e}"),
        }
        let text = request("0000:86:00.0", "11", "").replace("<parent>", "<name>ghost</name><parent>");
        conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    }
}

/// Every device of a group is checked again before its write, since the devices before it have taken instances.
#[test]
fn group_create_that_exceeds_the_instances_writes_nothing_for_the_last_device() {
    let lab = Lab::new();
    let text = request("0.0.0052", "vfio_ccw-io", "");
    lab.sim.start_log();
    let e = lab.conn.create_group_xml(&[text.as_bytes(), text.as_bytes()], CreateFlags::empty()).map(drop).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoInstances, "{e}");
    let log = lab.sim.take_log();
    let writes = log.iter().filter(|entry| entry.op == Op::Write && basename(&entry.path) == "create").count();
    assert_eq!(writes, 1, "{e}");
    assert!(!lab.conn.list(ListFlags::DEVICES).unwrap().iter().any(|node| node.type_id() == Ok("vfio_ccw-io")));
}
