// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every step of a create and of a destroy fails in turn, in every way. In each case: no partial device remains, the
//! parameters do not reach the next device, no record remains without its device, and the next request succeeds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mdev::test_hooks::sim::Op;
use mdev::test_hooks::sysfs::Errno;
use mdev::{CreateFlags, DestroyFlags};
use mdev::{Error, ErrorCode};

use crate::support::lab::Lab;

const UUID: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc60c";
const TYPE: &str = "/sys/bus/pci/devices/0000:86:00.0/mdev_supported_types/11";
const ERRNOS: [Errno; 6] = [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::INTR, Errno::NOENT, Errno::NODEV];

/// A place for a device, and the attribute that shows its parameters.
#[derive(Clone, Copy)]
struct Case {
    parent: &'static str,
    type_id: &'static str,
    group: &'static str,
    params: &'static str,
}

/// The two layouts whose create takes more than one write.
const RFC: Case = Case { parent: "0000:86:00.0", type_id: "11", group: "<group>1</group>", params: "params" };
const VENDOR: Case = Case { parent: "0000:41:00.0", type_id: "1441", group: "", params: "vgpu_params" };

impl Case {
    fn xml(&self, params: &str, uuid: &str) -> Vec<u8> {
        let Case { parent, type_id, group, .. } = self;
        format!(
            "<device><name>n</name><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>\
             {group}<params>{params}</params>{uuid}</capability></device>"
        )
        .into_bytes()
    }
}

fn create(lab: &Lab, case: Case) -> Result<(), Error> {
    let xml = case.xml("mine=1", &format!("<uuid>{UUID}</uuid>"));
    lab.conn.create_xml(&xml, CreateFlags::empty()).map(drop)
}

/// The next create without parameters succeeds, and its device has none.
fn next_is_clean(lab: &Lab, case: Case, step: &str) {
    let theirs = lab.create(case.parent, case.type_id, "").unwrap_or_else(|e| panic!("after {step}: {e}"));
    assert_eq!(theirs.attr(case.params).unwrap(), "", "after {step}");
    theirs.destroy(DestroyFlags::empty()).unwrap();
}

#[test]
fn create_with_failure_at_any_step_leaves_nothing_behind() {
    every_step_of_creating(RFC, (60, 20));
}

#[test]
fn create_on_vf_with_failure_at_any_step_leaves_nothing_behind() {
    every_step_of_creating(VENDOR, (60, 20));
}

/// `at_least`: the least number of failures that make the create fail, and of failures that do not.
fn every_step_of_creating(case: Case, at_least: (u32, u32)) {
    let steps = {
        let lab = Lab::new();
        let (made, steps) = lab.with_failure(usize::MAX, Errno::IO, || create(&lab, case));
        made.unwrap();
        steps
    };
    assert!(steps > 10, "the hook must see the create: {steps}");
    let (mut failed, mut tolerated) = (0, 0);
    for nth in 0..steps {
        for errno in ERRNOS {
            let lab = Lab::new();
            let before = lab.uuids().len();
            let (result, _) = lab.with_failure(nth, errno, || create(&lab, case));
            let step = format!("step {nth} with {errno:?}: {result:?}");
            match result {
                Ok(()) => {
                    tolerated += 1;
                    assert_eq!(lab.uuids().len(), before + 1, "{step}");
                    assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap().attr(case.params).unwrap(), "mine=1", "{step}");
                    lab.conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
                }
                Err(e) => {
                    failed += 1;
                    assert_eq!(lab.uuids().len(), before, "{step}");
                    assert!(e.errno > 0 && e.message.len() > 10, "{step}");
                }
            }
            assert!(lab.runtime.all().unwrap().is_empty(), "{step}");
            next_is_clean(&lab, case, &step);
            create(&lab, case).unwrap_or_else(|e| panic!("{step}: {e}"));
        }
    }
    // The create may tolerate failures of steps that only add details to the result, never failures of steps that
    // create the device.
    assert!(failed >= at_least.0 && tolerated >= at_least.1, "{failed} failed, {tolerated} did not matter");
}

/// A panic is caught at the C boundary and no later code runs, so that the state is the same as after a kill of the
/// creator. An existing device has its record, so that a caller can find and destroy it.
#[test]
fn device_that_was_made_before_panic_keeps_its_record() {
    for case in [RFC, VENDOR] {
        let (mut made, mut absent) = (0, 0);
        for nth in 0.. {
            let lab = Lab::new();
            let (before, count) = (lab.uuids().len(), AtomicUsize::new(0));
            let is_over = Arc::new(AtomicBool::new(true));
            let over = Arc::clone(&is_over);
            lab.sim.set_hook(Some(Arc::new(move |_, _: &str| {
                if count.fetch_add(1, Ordering::Relaxed) == nth {
                    over.store(false, Ordering::Relaxed);
                    resume_unwind(Box::new("a panic"));
                }
                None
            })));
            let created = catch_unwind(AssertUnwindSafe(|| create(&lab, case)));
            lab.sim.set_hook(None);
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            assert!(created.is_err(), "step {nth}");
            if lab.uuids().len() > before {
                let node = lab.conn.lookup_by_uuid(UUID).unwrap_or_else(|e| panic!("step {nth}: {e}"));
                assert_eq!(node.name(), "n", "step {nth}");
                node.destroy(DestroyFlags::empty()).unwrap();
                made += 1;
            } else {
                absent += 1;
            }
            create(&lab, case).unwrap_or_else(|e| panic!("step {nth}: {e}"));
            lab.conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
            assert!(lab.runtime.all().unwrap().is_empty(), "step {nth}");
        }
        assert!(made > 5 && absent > 5, "{made} {absent}");
    }
}

/// The driver creates the device and returns an error, and one more step fails. The error names a device that
/// remains; without a device there is no record.
#[test]
fn create_with_two_faults_names_device_that_stays() {
    every_step_with_two_faults(RFC, "/11/create");
}

#[test]
fn create_on_vf_with_two_faults_names_device_that_stays() {
    every_step_with_two_faults(VENDOR, "/current_vgpu_type");
}

fn every_step_with_two_faults(case: Case, file: &str) {
    // After an interrupted create, some failures take the full timeout in which a device must become usable.
    for (false_errno, errnos) in [(Errno::IO, &[Errno::IO, Errno::INTR, Errno::MFILE][..]), (Errno::INTR, &[Errno::IO])]
    {
        let mut seen = [0; 3];
        let mut nth = 0;
        while every_way_to_fail(case, (file, false_errno), (nth, errnos), &mut seen) {
            nth += 1;
        }
        let [made, refused, stays] = seen;
        // An interrupted create is successful.
        assert!(refused > 20 && (made > 20) == (false_errno == Errno::INTR), "{file}, {false_errno:?}: {seen:?}");
        // The device stays if a step of the removal fails, or the check whether another program made the device.
        assert!(stays > 0 || false_errno == Errno::INTR, "{file}, {false_errno:?}: {seen:?}");
    }
}

/// Returns false if the create ended before its n-th operation. Counts in `seen`: created, refused, refused with a
/// device that remains.
fn every_way_to_fail(
    case: Case,
    (file, false_errno): (&str, Errno),
    (nth, errnos): (usize, &[Errno]),
    seen: &mut [u32; 3],
) -> bool {
    for &errno in errnos {
        let lab = Lab::new();
        let before = lab.uuids();
        lab.sim.fail_after_write(file, false_errno, 1);
        let (result, steps) = lab.with_failure(nth, errno, || create(&lab, case));
        let step = format!("{file}, {false_errno:?}, step {nth} with {errno:?}: {result:?}");
        let left: Vec<String> = lab.uuids().into_iter().filter(|uuid| !before.contains(uuid)).collect();
        let has_record = !lab.runtime.all().unwrap().is_empty();
        assert!(left.len() <= 1 && (left.len() == 1 || !has_record), "{step}: {left:?}");
        let is_named = |uuid: &String| result.as_ref().is_err_and(|e| e.message.contains(uuid));
        assert!(left.iter().all(|uuid| (has_record && result.is_ok()) || is_named(uuid)), "{step}: {left:?}");
        seen[usize::from(result.is_err()) + usize::from(result.is_err() && !left.is_empty())] += 1;
        for uuid in &left {
            let node = lab.conn.lookup_by_uuid(uuid).unwrap_or_else(|e| panic!("{step}: {e}"));
            assert_eq!(node.name() == "n", has_record, "{step}");
            node.destroy(DestroyFlags::empty()).unwrap_or_else(|e| panic!("{step}: {e}"));
        }
        assert!(lab.runtime.all().unwrap().is_empty(), "{step}");
        // If the create failed before that operation, the driver's fault has not occurred yet.
        let _ = create(&lab, case);
        let _ = lab.conn.destroy_uuid(UUID, DestroyFlags::empty());
        next_is_clean(&lab, case, &step);
        if nth >= steps {
            return false;
        }
    }
    true
}

#[test]
fn destroy_with_failure_at_any_step_can_be_repeated() {
    every_step_of_destroying(RFC);
}

#[test]
fn destroy_on_vf_with_failure_at_any_step_can_be_repeated() {
    every_step_of_destroying(VENDOR);
}

fn every_step_of_destroying(case: Case) {
    let mut nth = 0;
    loop {
        for errno in ERRNOS {
            let lab = Lab::new();
            let before = lab.uuids().len();
            create(&lab, case).unwrap();
            let (result, steps) = lab.with_failure(nth, errno, || lab.conn.destroy_uuid(UUID, DestroyFlags::empty()));
            if nth >= steps {
                assert!(nth > 4, "the hook must see the destroy");
                return;
            }
            if result.is_err() {
                // The device is complete or removed: a second destroy leaves nothing behind.
                match lab.conn.destroy_uuid(UUID, DestroyFlags::empty()) {
                    Ok(()) => {}
                    Err(e) => assert_eq!(e.code, ErrorCode::NoNode, "step {nth} with {errno:?}: {result:?}"),
                }
            }
            assert_eq!(lab.uuids().len(), before, "step {nth} with {errno:?}: {result:?}");
            create(&lab, case).unwrap();
        }
        nth += 1;
    }
}

#[test]
fn failed_create_names_parent_and_file() {
    for (op, file, errno) in [
        (Op::Read, "/11/max_instances", Errno::IO),
        (Op::Write, "/11/params", Errno::INVAL),
        (Op::Write, "/11/create", Errno::IO),
    ] {
        let lab = Lab::new();
        lab.sim.fail_next(op, file, errno, 1);
        let e = create(&lab, RFC).unwrap_err();
        assert_eq!(e.errno, errno.raw_os_error(), "{file}: {e}");
        assert!(e.message.contains(file) && e.message.starts_with("pci_0000_86_00_0: "), "{file}: {e}");
        assert!(e.path.as_deref().is_some_and(|path| path.ends_with(file)), "{e:?}");
    }
}

#[test]
fn create_under_lock_writes_sequence_of_proposal_only() {
    let lab = Lab::new();
    let sim = lab.sim.clone();
    // Counted from the lock on: a read before the lock would see a state that other processes are about to change.
    lab.runtime.set_lock_hook(Some(Box::new(move |name| {
        assert_eq!(name, "type-0000:86:00.0-11");
        sim.start_log();
    })));
    create(&lab, RFC).unwrap();
    let log = lab.sim.take_log();
    let in_type = |path: &str| path.contains("/mdev_supported_types/11/");
    let sequence: Vec<(Op, &str, Option<&[u8]>)> = log
        .iter()
        .filter(|entry| matches!(entry.op, Op::Read | Op::Write) && in_type(&entry.path))
        .map(|entry| (entry.op, entry.path.rsplit('/').next().unwrap(), entry.value.as_deref()))
        .filter(|(_, file, _)| *file != "requires_group" && *file != "device_api")
        .collect();
    let create = format!("{UUID}:1\n");
    assert_eq!(
        sequence,
        [
            (Op::Read, "max_instances", None),
            (Op::Write, "params", Some(&b"mine=1\n"[..])),
            (Op::Write, "create", Some(create.as_bytes())),
            (Op::Write, "params", Some(&b"\n"[..])),
        ]
    );
    assert_eq!(lab.sim.params_set(TYPE).unwrap(), "");
}

#[test]
fn impossible_create_is_refused_before_any_write() {
    let request = |body: &str| {
        format!("<device><parent>0000:86:00.0</parent><capability type='mdev'>{body}</capability></device>")
            .into_bytes()
    };
    for (body, code) in [
        ("<type id='13'/><params>a=1</params>", ErrorCode::ParamsNotSupported),
        ("<type id='13'/><group>1</group>", ErrorCode::GroupNotSupported),
        ("<type id='14'/>", ErrorCode::NoType),
    ] {
        let lab = Lab::new();
        lab.sim.start_log();
        let e = lab.conn.create_xml(&request(body), CreateFlags::empty()).unwrap_err();
        assert_eq!(e.code, code, "{body}: {e}");
        assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write), "{body}");
    }
    // Types share the card: when type 12 has used it up, type 11 has no instances either.
    let lab = Lab::new();
    while lab.conn.create_xml(&request("<type id='12'/>"), CreateFlags::empty()).is_ok() {}
    lab.sim.start_log();
    let e = create(&lab, RFC).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{e}");
    assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write));
}

#[test]
fn create_whose_parent_is_removed_during_wait_for_lock_returns_no_parent() {
    let lab = Lab::new();
    let sim = lab.sim.clone();
    let parent = lab.conn.lookup_by_name("0000:86:00.0").unwrap().syspath().to_owned();
    // The parent is removed after the create has found it and before the create gets the lock.
    lab.runtime.set_lock_hook(Some(Box::new(move |_| sim.unplug(&parent).unwrap())));
    let e = create(&lab, RFC).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoParent, Errno::NODEV.raw_os_error()), "{e}");
    assert!(lab.runtime.all().unwrap().is_empty());
}

/// The driver has created the device; the device and its parent are removed before the create has found the device
/// usable.
#[test]
fn create_whose_parent_is_removed_after_driver_made_device_names_parent() {
    // The directories that are removed, below the parent.
    let unbound = [format!("/{UUID}"), "/mdev_supported_types".to_owned()];
    for (case, file, gone) in [
        (RFC, "/11/create", &[String::new()][..]),
        (RFC, "/11/create", &unbound),
        (VENDOR, "/current_vgpu_type", &[String::new()]),
    ] {
        let (mut while_waiting, mut while_finding) = (0, 0);
        for nth in 1.. {
            let lab = Lab::new();
            let parent = lab.conn.lookup_by_name(case.parent).unwrap();
            let (node, path) = (parent.name(), parent.syspath().to_owned());
            let (sim, left) = (lab.sim.clone(), Arc::new(AtomicUsize::new(0)));
            let after_write = Arc::clone(&left);
            let gone_paths: Vec<String> = gone.iter().map(|below| format!("{path}{below}")).collect();
            lab.sim.set_hook(Some(Arc::new(move |op, path: &str| {
                let is_write = op == Op::Write && path.ends_with(file);
                let count = left.load(Ordering::Relaxed);
                if is_write || count > 0 {
                    left.store(count + 1, Ordering::Relaxed);
                }
                if count == nth {
                    gone_paths.iter().for_each(|path| sim.unplug(path).unwrap());
                }
                None
            })));
            let result = create(&lab, case);
            lab.sim.set_hook(None);
            if after_write.load(Ordering::Relaxed) <= nth {
                break;
            }
            let step = format!("{file}, {gone:?}, operation {nth}");
            // The last operations only read the device once more.
            let Err(e) = result else { continue };
            assert_eq!((e.code, e.errno), (ErrorCode::NoParent, Errno::NODEV.raw_os_error()), "{step}: {e}");
            assert!(e.message.starts_with(&format!("{node}: ")), "{step}: {e}");
            assert!(e.message.contains(": its parent was removed, or its driver unbound; "), "{step}: {e}");
            *(if e.message.contains(UUID) { &mut while_finding } else { &mut while_waiting }) += 1;
            assert!(lab.runtime.all().unwrap().is_empty(), "{step}: {e}");
        }
        assert!(while_waiting > 0 && while_finding > 0, "{file}, {gone:?}: {while_waiting}, {while_finding}");
    }
}

#[test]
fn destroy_of_device_in_use_writes_nothing() {
    let lab = Lab::new();
    create(&lab, RFC).unwrap();
    lab.sim.set_in_use(UUID, true).unwrap();
    lab.sim.start_log();
    let e = lab.conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
    assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write));
    assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap().name(), "n");
    lab.sim.set_in_use(UUID, false).unwrap();
    lab.conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
}

#[test]
fn create_that_driver_ignores_returns_not_ready() {
    let lab = Lab::new();
    lab.sim.swallow_next_create();
    let e = create(&lab, RFC).unwrap_err();
    assert_eq!(e.code, ErrorCode::NotReady, "{e}");
    assert!(lab.runtime.all().unwrap().is_empty());
    create(&lab, RFC).unwrap();
}
