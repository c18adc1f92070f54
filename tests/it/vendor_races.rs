// SPDX-License-Identifier: LGPL-2.1-or-later
//! VFs that another program sets during a request (layout vendor-vfio). Other programs do not wait for the lock of this
//! library, and a path or a handle does not identify the current device of a VF.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mdev::test_hooks::sim::{Op, SimHost};
use mdev::test_hooks::sysfs::{Errno, Sysfs, read_text};
use mdev::{Conn, CreateFlags, DestroyFlags, EventKind, ListFlags, Monitor, Node};
use mdev::{Error, ErrorCode};

use crate::support::lab::{Lab, request};
use crate::support::vfs::at;
use crate::support::{hosts, vfs};

const PF: &str = "pci_0000_41_00_0";
const FIRST: &str = "0000:41:00.4";
const OURS: &str = "11111111-2222-4333-8444-555555555551";
const THEIRS: &str = "11111111-2222-4333-8444-555555555552";
const CURRENT: &str = "/virtfn0/nvidia/current_vgpu_type";

/// Returns the content of a file of the first VF.
fn file(lab: &Lab, name: &str) -> String {
    read_text(&*lab.sim.open(&vfs::vf(0)).unwrap(), &format!("nvidia/{name}")).unwrap()
}

fn current(lab: &Lab) -> String {
    file(lab, "current_vgpu_type")
}

/// Writes the type of the first VF as a shell does.
fn echo(lab: &Lab, value: &str) {
    lab.sim.echo(&at(0, "current_vgpu_type"), value).unwrap();
}

fn create(conn: &Conn, parent: &str, type_id: &str, uuid: &str, more: &str) -> Result<Node, Error> {
    conn.create_xml(request(parent, type_id, &format!("<uuid>{uuid}</uuid>{more}")).as_bytes(), CreateFlags::empty())
}

/// True for the n-th operation of this kind on the first VF's type after the library has set the identity.
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

fn is_gone<T: std::fmt::Debug>(result: Result<T, Error>, what: &str) {
    let e = result.expect_err(what);
    assert_eq!((e.code, e.errno), (ErrorCode::NoNode, Errno::NODEV.raw_os_error()), "{what}: {e}");
}

/// The other program writes between the library's look at the free VF and the library's write of the type.
#[test]
fn create_leaves_vf_that_another_program_takes_during_it() {
    for (op, nth) in [(Op::Stamp, 1), (Op::Read, 1), (Op::Read, 2)] {
        for theirs in ["1438", "1441"] {
            for named in [false, true] {
                let what = format!("{op:?} {nth}, {theirs}, named: {named}");
                let lab = Lab::new();
                let host = lab.sim.clone();
                lab.before(nth_after_stamp(op, nth), move || {
                    host.echo(&at(0, "current_vgpu_type"), theirs).unwrap();
                    host.echo(&at(0, "vgpu_params"), "theirs=1").unwrap();
                });
                let made = create(&lab.conn, if named { FIRST } else { PF }, "1441", OURS, "<params>ours=1</params>");
                lab.sim.set_hook(None);
                assert_eq!(
                    (current(&lab).as_str(), file(&lab, "vgpu_params").as_str()),
                    (theirs, "theirs=1"),
                    "{what}"
                );
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

/// A program that writes the type without truncating the file leaves the identity that the library has set. The
/// device still belongs to that program.
#[test]
fn create_leaves_vf_that_another_program_takes_without_new_time() {
    for nth in [1, 2] {
        let lab = Lab::new();
        let host = lab.sim.clone();
        lab.before(nth_after_stamp(Op::Read, nth), move || {
            hosts::write(&host, &at(0, "current_vgpu_type"), "1441\n").unwrap();
        });
        let e = create(&lab.conn, FIRST, "1441", OURS, "").unwrap_err();
        lab.sim.set_hook(None);
        assert_eq!((e.code, current(&lab).as_str()), (ErrorCode::NoInstances, "1441"), "{e}");
        assert!(lab.runtime.all().unwrap().is_empty());
    }
}

/// Otherwise a lookup by our UUID would return the device of the other program.
#[test]
fn create_leaves_no_record_of_vf_that_another_program_took() {
    let lab = Lab::new();
    let (host, runtime) = (lab.sim.clone(), Arc::clone(&lab.runtime));
    lab.before(nth_after_stamp(Op::Stamp, 1), move || host.echo(&at(0, "current_vgpu_type"), "1441").unwrap());
    lab.sim.start_log();
    create(&lab.conn, PF, "1441", OURS, "").unwrap();
    let log = lab.sim.take_log();
    let stamped = |vf: &str| log.iter().position(|e| e.op == Op::Stamp && e.path.contains(vf)).unwrap();
    let between = &log[stamped("virtfn0")..stamped("virtfn1")];
    assert_eq!(between.iter().filter(|e| e.op == Op::Read && e.path.ends_with(CURRENT)).count(), 1, "{between:?}");
    assert_eq!(runtime.all().unwrap().values().next().unwrap().vf.as_deref(), Some("0000:41:00.5"));
}

/// The driver refuses our type because the VF has the type of another program; that type stays.
#[test]
fn refused_create_leaves_type_and_parameters_of_another_program() {
    let lab = Lab::new();
    let host = lab.sim.clone();
    let once = AtomicBool::new(false);
    lab.sim.set_hook(Some(Arc::new(move |op, path| {
        if op != Op::Write || !path.ends_with(CURRENT) || once.swap(true, Ordering::Relaxed) {
            return None;
        }
        // Without O_TRUNC, so that the identity stays.
        let dir = host.open(&vfs::vf(0)).unwrap();
        dir.write("nvidia/current_vgpu_type", b"1438").unwrap();
        dir.write("nvidia/vgpu_params", b"theirs=1\n").unwrap();
        Some(Errno::PERM)
    })));
    let e = create(&lab.conn, FIRST, "1441", OURS, "").unwrap_err();
    lab.sim.set_hook(None);
    assert_eq!((e.code, e.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{e}");
    assert_eq!((current(&lab).as_str(), file(&lab, "vgpu_params").as_str()), ("1438", "theirs=1"));
}

/// The other program has cleared the VF again, and is about to give it a type with these parameters.
#[test]
fn refused_create_leaves_parameters_of_another_program_on_free_vf() {
    let lab = Lab::new();
    let host = lab.sim.clone();
    let once = AtomicBool::new(false);
    lab.sim.set_hook(Some(Arc::new(move |op, path| {
        if op != Op::Write || !path.ends_with(CURRENT) || once.swap(true, Ordering::Relaxed) {
            return None;
        }
        for (name, value) in [("current_vgpu_type", "1438"), ("current_vgpu_type", "0"), ("vgpu_params", "theirs=1")] {
            host.echo(&at(0, name), value).unwrap();
        }
        Some(Errno::PERM)
    })));
    create(&lab.conn, FIRST, "1441", OURS, "").unwrap_err();
    lab.sim.set_hook(None);
    assert_eq!((current(&lab).as_str(), file(&lab, "vgpu_params").as_str()), ("0", "theirs=1"));
}

/// Creates a vGPU on the first VF as a shell does; returns its UUID.
fn foreign_vgpu(lab: &Lab) -> String {
    echo(lab, "1441");
    let devices = lab.conn.list(ListFlags::DEVICES).unwrap();
    let found = devices.iter().find(|node| node.syspath() == vfs::vf(0)).unwrap();
    found.uuid().unwrap()
}

/// To destroy a device by a derived UUID, the library reads all cards. While it reads, another program replaces the device on the VF.
#[test]
fn destroy_by_derived_uuid_leaves_next_device_of_vf() {
    let lab = Lab::new();
    lab.sim.enable_vfs().unwrap();
    let uuid = foreign_vgpu(&lab);
    for vf in ["virtfn0", "virtfn3"] {
        let (host, other) = (lab.sim.clone(), lab.other());
        let file = format!("0000:c1:00.0/{vf}/nvidia/current_vgpu_type");
        lab.before(
            move |op, path| op == Op::Read && path.ends_with(&file),
            move || {
                host.echo(&at(0, "current_vgpu_type"), "0").unwrap();
                create(&other, FIRST, "1441", THEIRS, "").unwrap();
            },
        );
        is_gone(lab.conn.destroy_uuid(&uuid, DestroyFlags::empty()), vf);
        lab.sim.set_hook(None);
        assert_eq!(current(&lab), "1441", "{vf}");
        lab.conn.destroy_uuid(THEIRS, DestroyFlags::empty()).unwrap();
        echo(&lab, "1441");
    }
}

/// This also holds if the kernel shows the two devices as equal.
#[test]
fn destroy_by_derived_uuid_reads_records_again_under_lock() {
    let lab = Lab::new();
    let uuid = foreign_vgpu(&lab);
    let (host, other) = (lab.sim.clone(), lab.other());
    lab.before_lock(move || {
        host.open(&vfs::vf(0)).unwrap().write("nvidia/current_vgpu_type", b"0").unwrap();
        host.fail_next(Op::Stamp, CURRENT, Errno::PERM, 1);
        create(&other, FIRST, "1441", THEIRS, "").unwrap();
    });
    is_gone(lab.conn.destroy_uuid(&uuid, DestroyFlags::empty()), "destroy");
    assert_eq!(current(&lab), "1441");
    assert_eq!(lab.conn.lookup_by_uuid(THEIRS).unwrap().syspath(), vfs::vf(0));
}

/// A creator may hold the lock of the PF for long.
#[test]
fn destroy_of_vf_that_was_cleared_takes_no_lock() {
    let lab = Lab::new();
    create(&lab.conn, FIRST, "1441", OURS, "").unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    lab.runtime.set_lock_hook(Some(Box::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    })));
    let host = lab.sim.clone();
    lab.before(|op, _| op == Op::Hold, move || host.echo(&at(0, "current_vgpu_type"), "0").unwrap());
    is_gone(lab.conn.destroy_uuid(OURS, DestroyFlags::empty()), "destroy");
    lab.runtime.set_lock_hook(None);
    assert_eq!(taken.load(Ordering::Relaxed), 0);
}

/// The list compares the records with the state of each card that was read before the records.
#[test]
fn list_has_uuid_of_vgpu_created_during_it() {
    let lab = Lab::new();
    lab.sim.enable_vfs().unwrap();
    create(&lab.conn, FIRST, "1441", OURS, "").unwrap();
    let other = lab.other();
    lab.before(
        |op, path| op == Op::Read && path.ends_with("0000:c1:00.0/virtfn0/nvidia/current_vgpu_type"),
        move || drop(create(&other, "0000:c1:00.0", "1441", THEIRS, "").unwrap()),
    );
    let listed = lab.conn.list(ListFlags::DEVICES).unwrap();
    lab.sim.set_hook(None);
    let on = |parent: &str| {
        let nodes = listed.iter().filter(|node| node.parent_name() == parent);
        nodes.map(|node| node.uuid().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((on(PF), on("pci_0000_c1_00_0")), (vec![OURS.to_owned()], vec![THEIRS.to_owned()]));
}

/// Checks that no operation on a stale handle reaches the present device of the VF.
fn leaves_the_next_one_alone(lab: &Lab, stale: &Node, what: &str) {
    let before = (current(lab), file(lab, "vgpu_params"), file(lab, "warm_update"));
    is_gone(stale.set_attr("warm_update", "1"), what);
    is_gone(stale.set_attr("vgpu_params", "evil=1"), what);
    is_gone(stale.attr("vgpu_params"), what);
    is_gone(stale.attrs(), what);
    is_gone(stale.attr_access("vgpu_params"), what);
    is_gone(stale.destroy(DestroyFlags::empty()), what);
    assert_eq!((current(lab), file(lab, "vgpu_params"), file(lab, "warm_update")), before, "{what}");
}

/// Returns the last event about a device.
fn last(monitor: &mut Monitor) -> (EventKind, Node) {
    let mut found = None;
    while let Some(event) = monitor.receive().unwrap() {
        found = event.node.filter(|node| !node.is_parent()).map(|node| (event.kind, node)).or(found);
    }
    found.expect("an event")
}

#[test]
fn stale_vgpu_handle_does_not_reach_next_device() {
    for theirs in ["1441", "1438"] {
        let lab = Lab::new();
        let mut monitor = lab.conn.monitor().unwrap();
        let ours = create(&lab.conn, FIRST, "1441", OURS, "").unwrap();
        ours.set_attr("vgpu_params", "a=1").unwrap();
        assert_eq!(ours.attr("vgpu_params").unwrap(), "a=1");
        assert_eq!(last(&mut monitor).0, EventKind::Created);
        echo(&lab, "0");
        let (kind, deleted) = last(&mut monitor);
        assert_eq!(kind, EventKind::Deleted);
        leaves_the_next_one_alone(&lab, &ours, "cleared");
        let next = create(&lab.conn, FIRST, theirs, THEIRS, "<params>theirs=1</params>").unwrap();
        leaves_the_next_one_alone(&lab, &ours, "given to another");
        next.set_attr("warm_update", "1").unwrap();
        assert_eq!(next.attr("vgpu_params").unwrap(), "theirs=1");
        // The same UUID on the same VF is still another device.
        next.destroy(DestroyFlags::empty()).unwrap();
        create(&lab.conn, FIRST, "1441", OURS, "").unwrap();
        is_gone(ours.set_attr("vgpu_params", "evil=1"), "made again");
        // The handle of the Deleted event does not reach it either.
        is_gone(deleted.set_attr("vgpu_params", "evil=1"), "deleted");
    }
}

#[test]
fn stale_handle_of_derived_uuid_does_not_reach_next_device() {
    let lab = Lab::new();
    let uuid = foreign_vgpu(&lab);
    let node = lab.conn.lookup_by_uuid(&uuid).unwrap();
    node.set_attr("vgpu_params", "a=1").unwrap();
    assert_eq!(node.attr("vgpu_params").unwrap(), "a=1");
    echo(&lab, "0");
    create(&lab.conn, FIRST, "1441", THEIRS, "<params>theirs=1</params>").unwrap();
    leaves_the_next_one_alone(&lab, &node, "given to another");
}

/// The VF becomes another device while a write waits for the lock.
#[test]
fn set_attr_on_vf_that_changed_during_wait_returns_no_node() {
    let lab = Lab::new();
    let ours = create(&lab.conn, FIRST, "1441", OURS, "").unwrap();
    let (host, other) = (lab.sim.clone(), lab.other());
    lab.before_lock(move || {
        host.echo(&at(0, "current_vgpu_type"), "0").unwrap();
        create(&other, FIRST, "1441", THEIRS, "").unwrap();
    });
    is_gone(ours.set_attr("vgpu_params", "evil=1"), "set_attr");
    assert_eq!(file(&lab, "vgpu_params"), "");
}

/// The attributes of a request are written after other programs can take the lock again.
#[test]
fn create_writes_no_attribute_to_vf_that_changed() {
    let lab = Lab::new();
    let host = lab.sim.clone();
    let made = AtomicBool::new(false);
    lab.before(
        move |op, path| {
            if op == Op::Write && path.ends_with(CURRENT) {
                made.store(true, Ordering::Relaxed);
            }
            op == Op::Open && path.ends_with("/virtfn0/nvidia") && made.load(Ordering::Relaxed)
        },
        move || {
            host.echo(&at(0, "current_vgpu_type"), "0").unwrap();
            host.echo(&at(0, "current_vgpu_type"), "1438").unwrap();
        },
    );
    is_gone(create(&lab.conn, FIRST, "1441", OURS, "<attr name='placement_id' value='3'/>"), "create");
    lab.sim.set_hook(None);
    assert_eq!((current(&lab).as_str(), file(&lab, "placement_id").as_str()), ("1438", "0"));
}

/// A refused write leaves the device but changes the time of the file, which identifies the device.
#[test]
fn lookup_of_lost_vgpu_explains_what_happened_to_its_vf() {
    let lab = Lab::new();
    create(&lab.conn, FIRST, "1441", OURS, "").unwrap();
    lab.sim.set_in_use(FIRST, true).unwrap();
    assert_eq!(lab.sim.echo(&at(0, "current_vgpu_type"), "0"), Err(Errno::PERM));
    lab.sim.set_in_use(FIRST, false).unwrap();
    let message = || {
        let e = lab.conn.destroy_uuid(OURS, DestroyFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoNode, Errno::NODEV.raw_os_error()), "{e}");
        assert_eq!(lab.conn.lookup_by_uuid(OURS).unwrap_err(), e);
        e.message
    };
    let of_vf = |node: &Node| node.syspath() == vfs::vf(0);
    let listed = || lab.conn.list(ListFlags::DEVICES).unwrap().into_iter().find(of_vf).unwrap().uuid().unwrap();
    let text = message();
    assert!(text.contains("another program wrote the type") && text.contains(&listed()), "{text}");
    assert!(!text.contains("cleared"), "{text}");
    // Another type first, then no type.
    echo(&lab, "0");
    assert!(message().ends_with("was cleared"), "{}", message());
    echo(&lab, "1438");
    let text = message();
    assert!(text.contains("was cleared") && text.contains(&listed()), "{text}");
}

/// Returns the UUID under which the device on the first VF is listed.
fn listed(lab: &Lab) -> Option<String> {
    let devices = lab.conn.list(ListFlags::DEVICES).unwrap();
    devices.iter().find(|node| node.syspath() == vfs::vf(0)).map(|node| node.uuid().unwrap())
}

/// A write by a shell that the driver refuses. The shell truncates the file first, which changes the time of the
/// file.
fn refused_echo(host: &SimHost) {
    assert_eq!(host.echo(&at(0, "current_vgpu_type"), "1438"), Err(Errno::PERM));
}

fn clear_and_set(host: &SimHost) {
    host.echo(&at(0, "current_vgpu_type"), "0").unwrap();
    host.echo(&at(0, "current_vgpu_type"), "1441").unwrap();
}

/// Selects the n-th operation on the type of the first VF after the driver has accepted the type.
fn nth_when_set(host: &SimHost, nth: usize) -> impl Fn(Op, &str) -> bool + Send + Sync + 'static {
    let (host, count, busy) = (host.clone(), AtomicUsize::new(0), AtomicBool::new(false));
    move |_, path| {
        if !path.ends_with(CURRENT) || busy.swap(true, Ordering::Relaxed) {
            return false;
        }
        let is_set = hosts::read(&host, &at(0, "current_vgpu_type")).unwrap() == "1441";
        busy.store(false, Ordering::Relaxed);
        is_set && count.fetch_add(1, Ordering::Relaxed) == nth
    }
}

/// Checks that the VF is unchanged and that the error names the VF, its state and the next step.
fn is_left_and_named(lab: &Lab, e: &Error, what: &str) {
    assert_eq!(current(lab), "1441", "{what}: {e}");
    let uuid = listed(lab).expect("a vGPU");
    assert_ne!(uuid, OURS, "{what}: it may be another program's");
    for part in [FIRST, "still has type 1441", "not cleared", uuid.as_str(), "destroy it"] {
        assert!(e.message.contains(part), "{what}: {e}");
    }
    let record = lab.runtime.get(&OURS.parse().unwrap()).unwrap().expect("the record stays");
    assert_eq!(record.vf.as_deref(), Some(FIRST), "{what}");
    let later = lab.conn.lookup_by_uuid(OURS).unwrap_err();
    assert!(later.message.contains(&uuid), "{what}: {later}");
    lab.conn.destroy_uuid(&uuid, DestroyFlags::empty()).unwrap();
    assert_eq!(current(lab), "0", "{what}");
    create(&lab.conn, FIRST, "1441", OURS, "").unwrap_or_else(|e| panic!("{what}: {e}"));
}

#[test]
fn vf_that_another_program_writes_to_during_create_is_left_and_named() {
    for (theirs, what) in [(refused_echo as fn(&SimHost), "refused"), (clear_and_set, "cleared and set")] {
        for more in ["", "<attr name='placement_id' value='3'/>"] {
            let mut failed = 0;
            for nth in 0.. {
                let what = format!("{what}, {more}, operation {nth}");
                let lab = Lab::new();
                let (host, done) = (lab.sim.clone(), Arc::new(AtomicBool::new(false)));
                let happened = Arc::clone(&done);
                lab.before(nth_when_set(&lab.sim, nth), move || {
                    theirs(&host);
                    happened.store(true, Ordering::Relaxed);
                });
                let made = create(&lab.conn, FIRST, "1441", OURS, more);
                lab.sim.set_hook(None);
                match made {
                    Err(e) => {
                        is_left_and_named(&lab, &e, &what);
                        failed += 1;
                    }
                    Ok(node) => assert_eq!(node.syspath(), vfs::vf(0), "{what}"),
                }
                if !done.load(Ordering::Relaxed) {
                    break;
                }
            }
            assert!(failed > 1, "{what}, {more}: {failed}");
        }
    }
}

/// The other program writes between the library's look at the VF and the write that clears it.
#[test]
fn vf_that_another_program_writes_to_during_rollback_is_left_and_named() {
    for (theirs, what) in [(refused_echo as fn(&SimHost), "refused"), (clear_and_set, "cleared and set")] {
        let lab = Lab::new();
        lab.sim.fail_next(Op::Write, "/placement_id", Errno::IO, 1);
        let (host, taken) = (lab.sim.clone(), AtomicUsize::new(0));
        lab.runtime.set_lock_hook(Some(Box::new(move |_| {
            // The create takes the lock first, then the removal.
            if taken.fetch_add(1, Ordering::Relaxed) == 1 {
                theirs(&host);
            }
        })));
        let e = create(&lab.conn, FIRST, "1441", OURS, "<attr name='placement_id' value='3'/>").unwrap_err();
        lab.runtime.set_lock_hook(None);
        assert_eq!(e.errno, Errno::IO.raw_os_error(), "{e}");
        is_left_and_named(&lab, &e, what);
    }
}

/// If one of several devices stays, the others are removed. The group is not reported, because no call could remove
/// it.
#[test]
fn group_with_vf_written_by_another_program_leaves_only_that_vf() {
    let lab = Lab::new();
    let host = lab.sim.clone();
    lab.before(
        |op, path| op == Op::Write && path.ends_with("/virtfn1/nvidia/current_vgpu_type"),
        move || refused_echo(&host),
    );
    let texts = [OURS, THEIRS].map(|uuid| request(PF, "1441", &format!("<uuid>{uuid}</uuid>")));
    let e = lab.conn.create_group_xml(&[texts[0].as_bytes(), texts[1].as_bytes()], CreateFlags::empty()).unwrap_err();
    lab.sim.set_hook(None);
    let others = lab.conn.list(ListFlags::DEVICES).unwrap();
    assert!(others.iter().all(|node| node.syspath() != vfs::vf(1)), "{e}");
    assert_eq!(lab.conn.list_problems().unwrap(), []);
    is_left_and_named(&lab, &e, "group");
}

/// The driver refuses the type because another program was first. Without a time of the last write, the library has
/// no identity for the VF.
#[test]
fn vf_without_mark_whose_type_was_refused_is_not_cleared() {
    let lab = Lab::new();
    lab.sim.fail_next(Op::Stamp, CURRENT, Errno::PERM, 1);
    let host = lab.sim.clone();
    lab.before(
        |op, path| op == Op::Write && path.ends_with(CURRENT),
        move || host.echo(&at(0, "current_vgpu_type"), "1441").unwrap(),
    );
    let e = create(&lab.conn, FIRST, "1441", OURS, "").unwrap_err();
    lab.sim.set_hook(None);
    assert_eq!(current(&lab), "1441", "{e}");
    let uuid = listed(&lab).unwrap();
    assert!(uuid != OURS && e.message.contains(&uuid) && e.message.contains(FIRST), "{e}");
    assert!(lab.runtime.all().unwrap().is_empty(), "a record would name the device of the other program");
}

/// Descriptors run out at any step: a list that succeeds contains every device, with its type if it has one.
#[test]
fn list_of_vgpus_without_descriptors_is_complete_or_error() {
    let lab = Lab::new();
    create(&lab.conn, PF, "1441", OURS, "").unwrap();
    create(&lab.conn, "0000:86:00.0", "11", THEIRS, "<group>1</group>").unwrap();
    echo(&lab, "0");
    echo(&lab, "1438");
    // A device that shows no type yet.
    lab.sim.hold_back_links(true);
    let kind = lab.sim.open("/sys/bus/pci/devices/0000:86:00.0/mdev_supported_types/11").unwrap();
    kind.write("create", format!("{OURS}:2").as_bytes()).unwrap();
    let shown = |nodes: Vec<Node>| -> Vec<(String, String)> {
        nodes.iter().map(|node| (node.uuid().unwrap(), node.type_id().unwrap_or("none").to_owned())).collect()
    };
    let whole = shown(lab.conn.list(ListFlags::DEVICES).unwrap());
    let (mut failed, mut nth) = (0, 0);
    loop {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        lab.sim.set_hook(Some(Arc::new(move |op, path: &str| {
            let of_device = path.contains(CURRENT) || path.contains("/sys/bus/mdev/devices");
            let this = of_device && (matches!(op, Op::Open | Op::Read) || path.ends_with("/mdev_type"));
            (this && counter.fetch_add(1, Ordering::Relaxed) == nth).then_some(Errno::MFILE)
        })));
        let listed = lab.conn.list(ListFlags::DEVICES);
        let found = lab.conn.lookup_by_uuid(THEIRS);
        lab.sim.set_hook(None);
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
