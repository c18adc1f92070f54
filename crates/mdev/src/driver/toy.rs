// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every request works with the test backend, which no code of the driver names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::{Conn, CreateFlags, DefineFlags, DestroyFlags, EventKind, ListFlags, Node, StartFlags};
use crate::error::ErrorCode;
use crate::store::Runtime;
use crate::sysfs::linux::LinuxSysfs;

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const OTHER: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002";

/// A host with parents of the test backend.
struct Toys(TempDir, Conn);

impl Toys {
    fn new(names: &[&str]) -> Toys {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
        let runtime = Runtime::files(root.path().join("run").to_str().unwrap());
        let toys = Toys(root, Conn::on(Arc::new(sysfs), Arc::new(runtime)));
        for name in names {
            fs::create_dir_all(toys.file(name, "slot").parent().unwrap()).unwrap();
            fs::write(toys.file(name, "slot"), format!("{}\n", Uuid::nil())).unwrap();
            fs::write(toys.file(name, "volume"), "1\n").unwrap();
            symlink("../../bus/toy", toys.file(name, "subsystem")).unwrap();
        }
        toys
    }

    fn file(&self, toy: &str, name: &str) -> PathBuf {
        self.0.path().join("sys/toys").join(toy).join(name)
    }

    fn slot(&self, toy: &str) -> String {
        fs::read_to_string(self.file(toy, "slot")).unwrap().trim().to_owned()
    }

    /// Changes the device as another program would.
    fn set(&self, toy: &str, uuid: &str) {
        fs::write(self.file(toy, "slot"), format!("{uuid}\n")).unwrap();
    }

    fn create(&self, toy: &str, name: &str, uuid: &str) -> Node {
        self.1.create_xml(xml(toy, name, uuid).as_bytes(), CreateFlags::empty()).unwrap()
    }
}

fn xml(toy: &str, name: &str, uuid: &str) -> String {
    format!(
        "<device><name>{name}</name><parent>toy_{toy}</parent><capability type='mdev'><type id='only'/><uuid>{uuid}</uuid>\
         </capability></device>"
    )
}

#[test]
fn backend_of_one_file_serves_every_request() {
    let toys = Toys::new(&["bear"]);
    let conn = &toys.1;
    let parents = conn.list(ListFlags::PARENTS).unwrap();
    assert_eq!(
        parents.iter().map(|parent| (parent.name(), parent.layout())).collect::<Vec<_>>(),
        [("toy_bear", "toy")]
    );
    assert_eq!(conn.lookup_by_name("toy_bear").unwrap().types().unwrap()[0].id(), "only");
    let device = toys.create("bear", "ted", UUID);
    assert_eq!((device.name(), device.parent_name(), device.layout()), ("ted", "toy_bear", "toy"));
    assert_eq!(device.type_id(), Ok("only"));
    assert_eq!(toys.slot("bear"), UUID);
    assert_eq!(conn.list(ListFlags::DEVICES).unwrap()[0].uuid().unwrap(), UUID);
    let again = conn.create_xml(xml("bear", "ted", UUID).as_bytes(), CreateFlags::empty());
    assert_eq!(again.unwrap_err().code, ErrorCode::Exists);
    device.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap_err().code, ErrorCode::NoNode);
    assert_eq!(conn.list(ListFlags::DEVICES).unwrap().len(), 0);
}

#[test]
fn monitor_reports_devices_of_a_backend_without_uevents() {
    let toys = Toys::new(&["bear", "duck"]);
    let mut monitor = toys.1.monitor().unwrap();
    let mut events = || {
        let received = std::iter::from_fn(|| monitor.receive().unwrap());
        received.map(|event| (event.kind, event.node.unwrap().uuid().unwrap())).collect::<Vec<_>>()
    };
    let of = |kind, uuid: &str| (kind, uuid.to_owned());
    let device = toys.create("bear", "ted", UUID);
    assert_eq!(events(), [of(EventKind::Created, UUID)]);
    toys.set("bear", OTHER);
    assert_eq!(events(), [of(EventKind::Deleted, UUID), of(EventKind::Created, OTHER)]);
    assert_eq!(device.destroy(DestroyFlags::empty()).unwrap_err().code, ErrorCode::NoNode);
    toys.set("bear", &Uuid::nil().to_string());
    assert_eq!(events(), [of(EventKind::Deleted, OTHER)]);
    assert_eq!(events(), []);
}

#[test]
fn definition_on_a_backend_of_one_file_is_started_and_undefined() {
    let toys = Toys::new(&["bear"]);
    let conn = &toys.1;
    let defined = conn.define_xml(xml("bear", "ted", UUID).as_bytes(), DefineFlags::empty()).unwrap();
    assert_eq!((defined.layout(), defined.is_active(), defined.is_persistent()), ("toy", false, Ok(true)));
    defined.start(StartFlags::empty()).unwrap();
    assert_eq!(toys.slot("bear"), UUID);
    let device = conn.lookup_by_name("ted").unwrap();
    assert_eq!((device.is_active(), device.is_persistent()), (true, Ok(true)));
    device.set_autostart(true).unwrap();
    device.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(conn.autostart(Some("toy_bear"), StartFlags::empty()), Ok(1));
    assert_eq!(toys.slot("bear"), UUID);
    let device = conn.lookup_by_uuid(UUID).unwrap();
    device.undefine(DefineFlags::empty()).unwrap();
    assert_eq!((device.is_persistent(), conn.list(ListFlags::INACTIVE).unwrap().len()), (Ok(false), 0));
}

#[test]
fn attribute_of_a_backend_of_one_file_is_written_and_its_control_file_is_not() {
    let toys = Toys::new(&["bear"]);
    let device = toys.create("bear", "ted", UUID);
    device.set_attr("volume", "11").unwrap();
    assert_eq!(device.attr("volume").unwrap(), "11");
    assert_eq!(device.set_attr("slot", OTHER).unwrap_err().code, ErrorCode::NoAttribute);
    assert_eq!(toys.slot("bear"), UUID);
    toys.set("bear", OTHER);
    assert_eq!(device.set_attr("volume", "1").unwrap_err().code, ErrorCode::NoNode);
}

/// A create removes the records of devices that no longer exist.
#[test]
fn record_of_a_backend_of_one_file_lives_as_long_as_its_device() {
    let toys = Toys::new(&["bear", "duck"]);
    let record = toys.0.path().join("run/libmdev/devices").join(UUID);
    toys.create("bear", "ted", UUID);
    toys.create("duck", "donald", OTHER).destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(toys.1.lookup_by_uuid(UUID).unwrap().name(), "ted");
    assert!(record.exists());
    toys.set("bear", &Uuid::nil().to_string());
    toys.create("duck", "donald", OTHER);
    assert!(!record.exists());
}

#[test]
fn dump_of_a_backend_of_one_file_replays_its_device() {
    let toys = Toys::new(&["bear", "duck"]);
    toys.create("bear", "ted", UUID);
    let path = toys.0.path().join("dump.xml");
    fs::write(&path, toys.1.dump_xml().unwrap()).unwrap();
    let replay = Conn::open(Some(&format!("test://{}", path.display()))).unwrap();
    let names = |flags| replay.list(flags).unwrap().iter().map(|node| node.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(ListFlags::PARENTS), ["toy_bear", "toy_duck"]);
    assert_eq!(names(ListFlags::DEVICES), ["ted"]);
}
