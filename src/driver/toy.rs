// SPDX-License-Identifier: LGPL-2.1-or-later
//! A backend that the driver does not know by name works in every request.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use super::{Conn, CreateFlags, DestroyFlags, ListFlags};
use crate::error::ErrorCode;
use crate::store::Runtime;
use crate::sysfs::linux::LinuxSysfs;

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

#[test]
fn backend_of_one_file_serves_every_request() {
    let root = tempfile::tempdir().unwrap();
    let slot = root.path().join("sys/toys/bear/slot");
    fs::create_dir_all(slot.parent().unwrap()).unwrap();
    fs::write(&slot, format!("{}\n", uuid::Uuid::nil())).unwrap();
    symlink("../../bus/toy", slot.with_file_name("subsystem")).unwrap();
    let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
    let conn = Conn::on(Arc::new(sysfs), Arc::new(Runtime::memory([])));

    let parents = conn.list(ListFlags::PARENTS).unwrap();
    assert_eq!(
        parents.iter().map(|parent| (parent.name(), parent.layout())).collect::<Vec<_>>(),
        [("toy_bear", "toy")]
    );
    assert_eq!(conn.lookup_by_name("toy_bear").unwrap().types().unwrap()[0].id(), "only");
    let xml = format!(
        "<device><name>ted</name><parent>toy_bear</parent><capability type='mdev'><type id='only'/><uuid>{UUID}</uuid>\
         </capability></device>"
    );
    let device = conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
    assert_eq!((device.name(), device.parent_name(), device.layout()), ("ted", "toy_bear", "toy"));
    assert_eq!(fs::read_to_string(&slot).unwrap().trim(), UUID);
    assert_eq!(conn.list(ListFlags::DEVICES).unwrap()[0].uuid().unwrap(), UUID);
    assert_eq!(
        conn.lookup_by_name("ted").unwrap().qemu_device().unwrap(),
        format!("vfio-pci,sysfsdev=/sys/bus/mdev/devices/{UUID}")
    );
    assert_eq!(conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap_err().code, ErrorCode::Exists);
    device.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap_err().code, ErrorCode::NoNode);
    assert_eq!(conn.list(ListFlags::DEVICES).unwrap().len(), 0);
}
