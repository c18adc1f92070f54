// SPDX-License-Identifier: LGPL-2.1-or-later
//! Group numbers that no other device has, and records that killed creators left.

use std::fs;
use std::sync::Arc;

use mdev::driver::{Conn, CreateFlags, DefineFlags, DestroyFlags};
use mdev::error::ErrorCode;
use mdev::store::{Definitions, Runtime};
use mdev::sysfs::sim::{SimHost, default_host};

const RFC: &str = "/sys/devices/pci0000:80/0000:80:02.0/0000:86:00.0";
const GENERAL: &str = "/sys/devices/pci0000:80/0000:80:03.0/0000:87:00.0";

/// A simulated kernel with the files of a host. Every connection has its own store, as every process has.
struct Lab {
    root: tempfile::TempDir,
    sim: SimHost,
}

impl Lab {
    fn new() -> Lab {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/libmdev/devices")).unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        Lab { root, sim: default_host() }
    }

    fn conn(&self) -> Conn {
        let root = self.root.path().to_str().unwrap();
        let (runtime, definitions) = (Runtime::files(&format!("{root}/run")), Definitions::files(root));
        Conn::of((Arc::new(self.sim.clone()), Arc::new(runtime), Arc::new(definitions)))
    }

    /// Writes to sysfs as another program does.
    fn echo(&self, parent: &str, type_id: &str, text: &str) {
        self.sim.echo(&format!("{parent}/mdev_supported_types/{type_id}/create"), text).unwrap();
    }

    /// The record that a creator leaves when it is killed before it is done.
    fn killed(&self, uuid: &str, type_id: &str, more: &str) {
        let text = format!(r#"{{"uuid":"{uuid}","parent":"0000:86:00.0","type":"{type_id}"{more}}}"#);
        fs::write(self.root.path().join("run/libmdev/devices").join(uuid), text).unwrap();
    }
}

fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn xml(parent: &str, type_id: &str, more: &str) -> String {
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>{more}</capability></device>"
    )
}

fn group_of(conn: &Conn) -> u32 {
    let text = xml("0000:86:00.0", "11", "");
    let made = conn.create_group_xml(&[text.as_bytes()], CreateFlags::empty()).map_err(|e| e.to_string()).unwrap();
    made[0].group().unwrap()
}

#[test]
fn allocated_groups_are_never_in_use() {
    let lab = Lab::new();
    // A device of another program on either layout that shows a group, and another whose record says otherwise.
    lab.echo(RFC, "11", &format!("{}:1", uuid(1)));
    lab.echo(GENERAL, "queue-4", &format!("{}:2", uuid(2)));
    // A definition on a parent that is absent.
    let more = format!("<uuid>{}</uuid><group>3</group>", uuid(3));
    lab.conn().define_xml(xml("0000:99:00.0", "11", &more).as_bytes(), DefineFlags::empty()).unwrap();
    // Killed creators: the device of one exists, the device of the other may still appear.
    lab.killed(&uuid(4), "12", r#","group":4"#);
    lab.echo(RFC, "12", &uuid(4));
    lab.killed(&uuid(5), "11", r#","group":5"#);
    let mut groups: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| group_of(&lab.conn()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    groups.sort_unstable();
    assert_eq!(groups, [6, 7, 8, 9, 10, 11, 12, 13]);
}

#[test]
fn the_place_of_a_killed_creator_is_free_at_once() {
    let lab = Lab::new();
    lab.killed(&uuid(5), "11", r#","group":5,"name":"mine""#);
    let conn = lab.conn();
    let text = xml("0000:86:00.0", "11", &format!("<uuid>{}</uuid><group>7</group>", uuid(5)));
    let text = text.replace("<parent>", "<name>mine</name><parent>");
    assert_eq!(conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap().group(), Ok(7));
}

#[test]
fn the_record_of_a_killed_creator_is_not_of_a_device_of_another_type() {
    let facts = r#","name":"ghost","owner":"me""#;
    for (made, is_its_own) in [("11", true), ("12", false)] {
        let lab = Lab::new();
        let conn = lab.conn();
        conn.set_owner(Some("me")).unwrap();
        lab.killed(&uuid(1), "11", facts);
        lab.echo(RFC, made, &uuid(1));
        let node = conn.lookup_by_uuid(&uuid(1)).unwrap();
        assert_eq!((node.name() == "ghost", node.owner().is_ok()), (is_its_own, is_its_own), "{made}");
        assert_eq!(conn.lookup_by_name("ghost").is_ok(), is_its_own, "{made}");
        match node.destroy(DestroyFlags::OWNED) {
            Ok(()) => assert!(is_its_own),
            Err(e) => assert_eq!((e.code, is_its_own), (ErrorCode::NotOwner, false), "{e}"),
        }
        let text = xml("0000:86:00.0", "11", "").replace("<parent>", "<name>ghost</name><parent>");
        conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    }
}
