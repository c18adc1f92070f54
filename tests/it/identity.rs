// SPDX-License-Identifier: LGPL-2.1-or-later
//! A name or a handle belongs to one device: no operation on it reaches another device of the same UUID.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mdev::test_hooks::sim::{Op, SimHost};
use mdev::test_hooks::sysfs::{Errno, Sysfs};
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, Node, StartFlags};
use mdev::{Error, ErrorCode};

use crate::support::definitions::{IGD, UUID, host, xml};

/// A parent of every layout, each with a type.
const PARENTS: [(&str, &str); 4] =
    [(IGD, "i915-GVTg_V5_4"), ("0000:86:00.0", "11"), ("0000:87:00.0", "queue-1"), ("0000:41:00.0", "1441")];

fn define(conn: &Conn, parent: &str, type_id: &str) -> Node {
    conn.define_xml(xml(parent, type_id, UUID, "").as_bytes(), DefineFlags::empty()).unwrap()
}

fn create(conn: &Conn, parent: &str, type_id: &str, uuid: &str, flags: CreateFlags) -> Result<Node, Error> {
    conn.create_xml(xml(parent, type_id, uuid, "").as_bytes(), flags)
}

fn fails<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode, errno: Errno, what: &str) {
    let e = result.expect_err(what);
    assert_eq!((e.code, e.errno), (code, errno.raw_os_error()), "{what}: {e}");
}

/// Calls every operation that reads or changes the running device of this node. Checks that each fails with `code`.
fn every_operation_fails(node: &Node, code: ErrorCode, what: &str) {
    let failed = |result, operation: &str| fails(result, code, Errno::NODEV, &format!("{operation} of {what}"));
    failed(node.destroy(DestroyFlags::empty()), "destroy");
    failed(node.destroy(DestroyFlags::OWNED), "destroy of the owner");
    failed(node.attr("uevent").map(drop), "attr");
    failed(node.attrs().map(drop), "attrs");
    failed(node.attr_access("uevent").map(drop), "attr_access");
    failed(node.set_attr("uevent", "add"), "set_attr");
    failed(node.set_attr("priority", "1"), "set_attr");
    failed(node.reset(), "reset");
    failed(node.set_online(false), "set_online");
}

#[test]
fn operations_on_inactive_device_do_not_reach_same_uuid_on_another_parent() {
    for (a, a_type) in PARENTS {
        for (b, b_type) in PARENTS.into_iter().filter(|(b, _)| *b != a) {
            for files in [true, false] {
                let what = format!("{a} while it runs on {b}");
                let (_root, _sim, conn) = host(files);
                conn.set_owner(Some("me")).unwrap();
                let handle = define(&conn, a, a_type);
                define(&conn, b, b_type).start(StartFlags::empty()).unwrap();
                let running = conn.lookup_by_uuid(UUID).unwrap();
                assert_eq!(running.type_id(), Ok(b_type));
                let named =
                    conn.lookup_by_name(&format!("mdev_{}", format!("{UUID}_{a}").replace([':', '.', '-'], "_")));
                let named = named.unwrap();
                for node in [&handle, &named] {
                    assert_eq!((node.is_active(), node.type_id()), (false, Ok(a_type)), "{what}");
                    every_operation_fails(node, ErrorCode::WrongState, &what);
                    fails(node.start(StartFlags::empty()), ErrorCode::Exists, Errno::EXIST, &what);
                    node.set_autostart(true).unwrap();
                    assert_eq!((node.autostart(), running.autostart()), (Ok(true), Ok(false)), "{what}");
                    fails(
                        create(&conn, a, a_type, UUID, CreateFlags::EXIST_OK),
                        ErrorCode::Exists,
                        Errno::EXIST,
                        &what,
                    );
                }
                named.undefine(DefineFlags::empty()).unwrap();
                assert_eq!((named.is_persistent(), running.is_persistent()), (Ok(false), Ok(true)), "{what}");
                fails(named.destroy(DestroyFlags::empty()), ErrorCode::WrongState, Errno::NODEV, &what);
                let now = conn.lookup_by_uuid(UUID).unwrap();
                assert_eq!((now.is_active(), now.type_id()), (true, Ok(b_type)), "{what}");
                now.destroy(DestroyFlags::empty()).unwrap();
            }
        }
    }
}

#[test]
fn handle_of_definition_destroys_device_started_from_it() {
    for (parent, type_id) in PARENTS {
        let (_root, _sim, conn) = host(true);
        let node = define(&conn, parent, type_id);
        for _ in 0..2 {
            node.start(StartFlags::empty()).unwrap();
            node.destroy(DestroyFlags::empty()).unwrap();
            assert!(!conn.lookup_by_uuid(UUID).unwrap().is_active(), "{parent}");
        }
    }
}

/// The device was destroyed, and this library or a raw write has created another device of its UUID.
#[test]
fn stale_handle_does_not_reach_next_device_of_its_uuid() {
    for (old, old_type) in PARENTS {
        for (new, new_type) in PARENTS {
            let what = format!("{old}, then made on {new}");
            let (_root, _sim, conn) = host(true);
            conn.set_owner(Some("me")).unwrap();
            let stale = create(&conn, old, old_type, UUID, CreateFlags::empty()).unwrap();
            conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
            every_operation_fails(&stale, ErrorCode::NoNode, &format!("{old}, which is gone"));
            let next = create(&conn, new, new_type, UUID, CreateFlags::empty()).unwrap();
            every_operation_fails(&stale, ErrorCode::NoNode, &what);
            next.attrs().unwrap();
            next.destroy(DestroyFlags::OWNED).unwrap();
        }
    }
}

#[test]
fn stale_handle_does_not_reach_device_of_another_program() {
    for (parent, type_id) in &PARENTS[..3] {
        let (_root, sim, conn) = host(true);
        let stale = create(&conn, parent, type_id, UUID, CreateFlags::empty()).unwrap();
        let above = stale.syspath().strip_suffix(&format!("/{UUID}")).unwrap().to_owned();
        stale.destroy(DestroyFlags::empty()).unwrap();
        sim.echo(&format!("{above}/mdev_supported_types/{type_id}/create"), UUID).unwrap();
        every_operation_fails(&stale, ErrorCode::NoNode, parent);
        assert!(conn.lookup_by_uuid(UUID).unwrap().is_active());
    }
}

/// Runs `what` before the first operation on the kernel for which `when` is true.
fn once_before(
    sim: &SimHost,
    when: impl Fn(Op, &str) -> bool + Send + Sync + 'static,
    what: impl Fn() + Send + Sync + 'static,
) {
    let done = std::sync::atomic::AtomicBool::new(false);
    sim.set_hook(Some(std::sync::Arc::new(move |op, path| {
        if when(op, path) && !done.swap(true, std::sync::atomic::Ordering::Relaxed) {
            what();
        }
        None
    })));
}

/// A failed create removes its own device and not the next device of the UUID.
#[test]
fn failed_create_does_not_remove_device_of_another_program() {
    let (_root, sim, conn) = host(true);
    let other = sim.clone();
    let device = format!("{}/{UUID}", "/sys/devices/pci0000:00/0000:00:02.0");
    once_before(
        &sim,
        |op, path| op == Op::Open && path.ends_with(UUID),
        move || {
            other.echo(&format!("{device}/remove"), "1").unwrap();
            let create = "/sys/devices/pci0000:00/0000:00:02.0/mdev_supported_types/i915-GVTg_V5_4/create";
            other.echo(create, UUID).unwrap();
        },
    );
    let more = "<attr name='no-such' value='1'/>";
    let text = xml(IGD, "i915-GVTg_V5_4", UUID, more);
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap_err();
    sim.set_hook(None);
    let now = conn.lookup_by_uuid(UUID).unwrap();
    assert!(now.is_active());
}

/// At every step of a destroy, another program destroys the device and creates one of the same UUID.
#[test]
fn destroy_reaches_no_device_that_replaces_its_device() {
    for (old, old_type) in [PARENTS[0], PARENTS[2]] {
        for (new, new_type) in [PARENTS[0], PARENTS[2]] {
            let mut destroyed = false;
            for step in 0.. {
                let (_root, sim, conn) = host(true);
                let node = create(&conn, old, old_type, UUID, CreateFlags::empty()).unwrap();
                let old_path = node.syspath().to_owned();
                let above = conn.lookup_by_name(&format!("pci_{}", new.replace([':', '.'], "_")));
                let above = above.unwrap().syspath().to_owned();
                let new_path = format!("{above}/{UUID}");
                let (counted, other, made) = (AtomicUsize::new(0), sim.clone(), Arc::new(AtomicBool::new(false)));
                let (created, path) = (Arc::clone(&made), new_path.clone());
                sim.set_hook(Some(Arc::new(move |_, _| {
                    if counted.fetch_add(1, Ordering::Relaxed) == step {
                        let gone = ["remove", "destroy"].map(|file| other.echo(&format!("{old_path}/{file}"), "1"));
                        assert!(gone.contains(&Ok(())) || other.open(&old_path).is_err());
                        other.echo(&format!("{above}/mdev_supported_types/{new_type}/create"), UUID).unwrap();
                        created.store(other.open(&path).is_ok(), Ordering::Relaxed);
                    }
                    None
                })));
                sim.start_log();
                let result = node.destroy(DestroyFlags::empty());
                sim.set_hook(None);
                let log = sim.take_log();
                let what = format!("{old}, replaced on {new} before operation {step}: {result:?}");
                if !made.load(Ordering::Relaxed) {
                    assert!(destroyed && step > 10, "{what}");
                    break;
                }
                assert!(sim.open(&new_path).is_ok(), "the new device was destroyed: {what}");
                assert!(log.iter().all(|entry| entry.op != Op::Watch), "the wait returned the new device: {what}");
                match result {
                    Ok(()) => destroyed = true,
                    Err(e) => assert!(e.code == ErrorCode::NoNode && !destroyed, "{what}"),
                }
            }
        }
    }
}

#[test]
fn exist_ok_does_not_accept_device_on_another_vf() {
    let (_root, _sim, conn) = host(true);
    create(&conn, "0000:41:00.4", "1441", UUID, CreateFlags::empty()).unwrap();
    let again = |parent: &str| create(&conn, parent, "1441", UUID, CreateFlags::EXIST_OK);
    again("0000:41:00.0").unwrap();
    again("0000:41:00.4").unwrap();
    fails(again("0000:41:00.5"), ErrorCode::Exists, Errno::EXIST, "another VF");
}
