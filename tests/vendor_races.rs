// SPDX-License-Identifier: LGPL-2.1-or-later
//! VFs that change hands in the middle of a request (layout vendor-vfio). Not everybody who sets them waits for the lock
//! of this library, and a path or a handle says nothing of whose a VF is now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mdev::driver::{Conn, CreateFlags, ListFlags, Node};
use mdev::error::Error;
use mdev::store::Runtime;
use mdev::sysfs::sim::{Op, SimHost, default_host};
use mdev::sysfs::{Errno, Sysfs};

#[allow(dead_code)]
#[path = "support/hosts.rs"]
mod hosts;
#[allow(dead_code)]
#[path = "support/vfs.rs"]
mod vfs;

use vfs::at;

const PF: &str = "pci_0000_41_00_0";
const OURS: &str = "11111111-2222-4333-8444-555555555551";
const THEIRS: &str = "11111111-2222-4333-8444-555555555552";
const CURRENT: &str = "/virtfn0/nvidia/current_vgpu_type";

struct Lab {
    host: SimHost,
    conn: Conn,
}

impl Lab {
    fn new() -> Lab {
        let host = default_host();
        let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
        Lab { host, conn }
    }

    /// What a shell makes of the first VF.
    fn echo(&self, value: &str) {
        self.host.echo(&at(0, "current_vgpu_type"), value).unwrap();
    }
}

fn xml(parent: &str, type_id: &str, more: &str) -> String {
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>{more}</capability></device>"
    )
}

fn create(conn: &Conn, parent: &str, type_id: &str, uuid: &str, more: &str) -> Result<Node, Error> {
    conn.create_xml(xml(parent, type_id, &format!("<uuid>{uuid}</uuid>{more}")).as_bytes(), CreateFlags::empty())
}

/// Out of descriptors at any step: a list that succeeds has every device, and its type where there is one.
#[test]
fn want_of_descriptors_hides_no_device() {
    let lab = Lab::new();
    create(&lab.conn, PF, "1441", OURS, "").unwrap();
    create(&lab.conn, "0000:86:00.0", "11", THEIRS, "<group>1</group>").unwrap();
    lab.echo("0");
    lab.echo("1438");
    // One that shows no type yet.
    lab.host.hold_back_links(true);
    let kind = lab.host.open("/sys/bus/pci/devices/0000:86:00.0/mdev_supported_types/11").unwrap();
    kind.write("create", format!("{OURS}:2").as_bytes()).unwrap();
    let shown = |nodes: Vec<Node>| -> Vec<(String, String)> {
        nodes.iter().map(|node| (node.uuid().unwrap(), node.type_id().unwrap_or("none").to_owned())).collect()
    };
    let whole = shown(lab.conn.list(ListFlags::DEVICES).unwrap());
    let (mut failed, mut nth) = (0, 0);
    loop {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        lab.host.set_hook(Some(Arc::new(move |op, path: &str| {
            let of_device = path.contains(CURRENT) || path.contains("/sys/bus/mdev/devices");
            let this = of_device && (matches!(op, Op::Open | Op::Read) || path.ends_with("/mdev_type"));
            (this && counter.fetch_add(1, Ordering::Relaxed) == nth).then_some(Errno::MFILE)
        })));
        let listed = lab.conn.list(ListFlags::DEVICES);
        let found = lab.conn.lookup_by_uuid(THEIRS);
        lab.host.set_hook(None);
        match listed {
            Ok(nodes) => assert_eq!(shown(nodes), whole, "step {nth}"),
            Err(e) => {
                assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "step {nth}: {e}");
                failed += 1;
            }
        }
        match found {
            Ok(node) => assert_eq!(node.type_id(), Ok("11"), "step {nth}"),
            Err(e) => assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "step {nth}: {e}"),
        }
        if count.load(Ordering::Relaxed) <= nth {
            break;
        }
        nth += 1;
    }
    assert!(failed > 5, "{failed} of {nth}");
}
