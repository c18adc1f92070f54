// SPDX-License-Identifier: LGPL-2.1-or-later
//! VFs that change hands in the middle of a request (layout vendor-vfio). Not everybody who sets them waits for the lock
//! of this library, and a path or a handle says nothing of whose a VF is now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mdev::driver::{Conn, CreateFlags, DestroyFlags, ListFlags, Node};
use mdev::error::{Error, ErrorCode};
use mdev::store::Runtime;
use mdev::sysfs::sim::{Op, SimHost, default_host};
use mdev::sysfs::{Errno, Sysfs, read_text};

#[allow(dead_code)]
#[path = "support/hosts.rs"]
mod hosts;
#[allow(dead_code)]
#[path = "support/vfs.rs"]
mod vfs;

use vfs::at;

const PF: &str = "pci_0000_41_00_0";
const FIRST: &str = "0000:41:00.4";
const OURS: &str = "11111111-2222-4333-8444-555555555551";
const THEIRS: &str = "11111111-2222-4333-8444-555555555552";
const CURRENT: &str = "/virtfn0/nvidia/current_vgpu_type";

struct Lab {
    host: SimHost,
    runtime: Arc<Runtime>,
    conn: Conn,
}

impl Lab {
    fn new() -> Lab {
        let host = default_host();
        let runtime = Arc::new(Runtime::memory([]));
        let conn = Conn::on(Arc::new(host.clone()), Arc::clone(&runtime));
        Lab { host, runtime, conn }
    }

    /// A file of the first VF.
    fn file(&self, name: &str) -> String {
        read_text(&*self.host.open(&vfs::vf(0)).unwrap(), &format!("nvidia/{name}")).unwrap()
    }

    fn current(&self) -> String {
        self.file("current_vgpu_type")
    }

    /// What a shell makes of the first VF.
    fn echo(&self, value: &str) {
        self.host.echo(&at(0, "current_vgpu_type"), value).unwrap();
    }

    /// Before the first operation that `when` is true of, `what` happens.
    fn before(&self, when: impl Fn(Op, &str) -> bool + Send + Sync + 'static, what: impl Fn() + Send + Sync + 'static) {
        let done = AtomicBool::new(false);
        self.host.set_hook(Some(Arc::new(move |op, path| {
            if !done.load(Ordering::Relaxed) && when(op, path) && !done.swap(true, Ordering::Relaxed) {
                what();
            }
            None
        })));
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

/// True for the n-th operation of this kind on the first VF's type after its mark was set.
fn nth_after_stamp(op: Op, nth: usize) -> impl Fn(Op, &str) -> bool + Send + Sync + 'static {
    let (stamped, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    move |this, path| {
        if !path.ends_with(CURRENT) {
            return false;
        }
        if this == Op::Stamp {
            stamped.store(true, Ordering::Relaxed);
        }
        this == op && stamped.load(Ordering::Relaxed) && count.fetch_add(1, Ordering::Relaxed) + 1 == nth
    }
}

/// From the moment that the VF was seen to be free until its type is written.
#[test]
fn a_vf_that_somebody_takes_meanwhile_stays_theirs() {
    for (op, nth) in [(Op::Stamp, 1), (Op::Read, 1), (Op::Read, 2)] {
        for theirs in ["1438", "1441"] {
            for named in [false, true] {
                let what = format!("{op:?} {nth}, {theirs}, named: {named}");
                let lab = Lab::new();
                let host = lab.host.clone();
                lab.before(nth_after_stamp(op, nth), move || {
                    host.echo(&at(0, "current_vgpu_type"), theirs).unwrap();
                    host.echo(&at(0, "vgpu_params"), "theirs=1").unwrap();
                });
                let made = create(&lab.conn, if named { FIRST } else { PF }, "1441", OURS, "<params>ours=1</params>");
                lab.host.set_hook(None);
                assert_eq!((lab.current().as_str(), lab.file("vgpu_params").as_str()), (theirs, "theirs=1"), "{what}");
                match made {
                    Ok(node) => {
                        assert!(!named && node.syspath() == vfs::vf(1), "{what}: {}", node.syspath());
                        node.destroy(DestroyFlags::empty()).unwrap();
                    }
                    Err(e) => {
                        assert!(named, "{what}: {e}");
                        assert_eq!(
                            (e.code, e.errno),
                            (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()),
                            "{what}: {e}"
                        );
                    }
                }
                assert!(lab.runtime.all().unwrap().is_empty(), "{what}");
            }
        }
    }
}

/// Otherwise their device would be known under our UUID until that is noticed.
#[test]
fn nothing_is_remembered_of_a_vf_that_was_taken() {
    let lab = Lab::new();
    let (host, runtime) = (lab.host.clone(), Arc::clone(&lab.runtime));
    lab.before(nth_after_stamp(Op::Stamp, 1), move || host.echo(&at(0, "current_vgpu_type"), "1441").unwrap());
    lab.host.start_log();
    create(&lab.conn, PF, "1441", OURS, "").unwrap();
    let log = lab.host.take_log();
    let stamped = |vf: &str| log.iter().position(|e| e.op == Op::Stamp && e.path.contains(vf)).unwrap();
    let between = &log[stamped("virtfn0")..stamped("virtfn1")];
    assert_eq!(between.iter().filter(|e| e.op == Op::Read && e.path.ends_with(CURRENT)).count(), 1, "{between:?}");
    assert_eq!(runtime.all().unwrap().values().next().unwrap().function.as_deref(), Some("0000:41:00.5"));
}

/// The driver refuses our type, since the VF has another. What it has is not ours to take away.
#[test]
fn what_a_refused_create_finds_is_left_alone() {
    let lab = Lab::new();
    let host = lab.host.clone();
    let once = AtomicBool::new(false);
    lab.host.set_hook(Some(Arc::new(move |op, path| {
        if op != Op::Write || !path.ends_with(CURRENT) || once.swap(true, Ordering::Relaxed) {
            return None;
        }
        // Without O_TRUNC, so that our mark stays.
        let dir = host.open(&vfs::vf(0)).unwrap();
        dir.write("nvidia/current_vgpu_type", b"1438").unwrap();
        dir.write("nvidia/vgpu_params", b"theirs=1").unwrap();
        Some(Errno::RANGE)
    })));
    let e = create(&lab.conn, FIRST, "1441", OURS, "").unwrap_err();
    lab.host.set_hook(None);
    assert_eq!(e.errno, Errno::RANGE.raw_os_error(), "{e}");
    assert_eq!((lab.current().as_str(), lab.file("vgpu_params").as_str()), ("1438", "theirs=1"));
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
