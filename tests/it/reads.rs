// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which files the library reads: none for which the kernel takes the lock of a device, and as few as a request needs.

use std::sync::Arc;

use mdev::driver::{Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags, StartFlags, XmlFlags};
use mdev::store::Runtime;
use mdev::sysfs::basename;
use mdev::sysfs::sim::{LogEntry, Op, SimHost, default_host};

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

/// The files that `request` reads.
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
fn requests_read_no_file_that_takes_the_lock_of_a_device() {
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
    assert_eq!(lists(ListFlags::PARENTS), 8, "one for each VF");
}
