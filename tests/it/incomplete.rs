// SPDX-License-Identifier: LGPL-2.1-or-later
//! Groups whose creators were killed before every device was usable.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mdev::test_hooks::sim::{Op, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::{Errno, Sysfs, basename};
use mdev::{Conn, CreateFlags, DestroyFlags, ListFlags, Node};
use mdev::{Error, ErrorCode};
use mdev::{Finding, Severity};

use crate::support::lab::Lab;

const RFC: (&str, &str) = ("0000:86:00.0", "11");
const VENDOR: (&str, &str) = ("0000:41:00.0", "1438");

fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// The files of the store and their times, by path.
type Files = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

/// Opens a connection with this owner.
fn connect(lab: &Lab, owner: Option<&str>) -> Conn {
    let conn = lab.other();
    conn.set_owner(owner).unwrap();
    conn
}

fn names(lab: &Lab, folder: &str) -> usize {
    fs::read_dir(lab.root().join("run/libmdev").join(folder)).map_or(0, Iterator::count)
}

/// Kills the creator of a group before the first operation of the simulated kernel that `at` selects: its memory and
/// its locks are lost, it cleans up nothing, and its files and devices remain. Returns false if `at` selects no
/// operation.
fn kill_creator(lab: &Lab, at: impl Fn(Op, &str) -> bool + Send + Sync + 'static, create: impl FnOnce()) -> bool {
    let run = lab.root().join("run/libmdev");
    let files = Arc::new(Mutex::new(Files::new()));
    let (saved, from, done) = (Arc::clone(&files), run.clone(), AtomicBool::new(false));
    lab.sim.set_hook(Some(Arc::new(move |op, path: &str| {
        if !done.load(Ordering::Relaxed) && at(op, path) {
            done.store(true, Ordering::Relaxed);
            *saved.lock().unwrap() = read_files(&from);
            resume_unwind(Box::new("killed"));
        }
        None
    })));
    let killed = catch_unwind(AssertUnwindSafe(create)).is_err();
    lab.sim.set_hook(None);
    if killed {
        // Restores the files that the unwinding removed.
        for (path, (text, time)) in files.lock().unwrap().iter() {
            let _ = fs::remove_file(path);
            fs::write(path, text).unwrap();
            set_time(path, *time);
        }
    }
    killed
}

/// Returns the path of the VFIO node of a device.
fn group_node(lab: &Lab, uuid: &str) -> String {
    let group = lab.sim.open(&format!("/sys/bus/mdev/devices/{uuid}")).unwrap().link("iommu_group").unwrap();
    format!("/dev/vfio/{}", basename(&group))
}

/// Leaves one device of a group of three whose owner is "me".
fn leave_one(lab: &Lab) {
    let writes = AtomicUsize::new(0);
    let second = move |op, path: &str| {
        op == Op::Write && path.ends_with("/create") && writes.fetch_add(1, Ordering::Relaxed) == 1
    };
    assert!(kill_creator(lab, second, || drop(create(&connect(lab, Some("me")), RFC))));
}

fn read_files(run: &Path) -> Files {
    let entries = |folder: &str| fs::read_dir(run.join(folder)).into_iter().flatten();
    let paths = entries("devices").chain(entries("groups")).map(|entry| entry.unwrap().path());
    let read =
        |path: PathBuf| (path.clone(), (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()));
    paths.map(read).collect()
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Moves the times of all records back by `by`.
fn set_back_times(run: &Path, by: Duration) {
    read_files(run).iter().for_each(|(path, (_, time))| set_time(path, *time - by));
}

fn devices(conn: &Conn) -> Vec<String> {
    let nodes = conn.list(ListFlags::DEVICES).unwrap();
    let mut uuids: Vec<String> = nodes.iter().map(|node| node.uuid().unwrap()).collect();
    uuids.sort();
    uuids
}

fn xml((parent, type_id): (&str, &str), n: u32) -> String {
    let uuid = uuid(n);
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/><uuid>{uuid}</uuid></capability>\
         </device>"
    )
}

/// Creates devices 1 to 3 as one group.
fn create(conn: &Conn, on: (&str, &str)) -> Result<Vec<Node>, Error> {
    let texts: Vec<String> = (1..=3).map(|n| xml(on, n)).collect();
    let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    conn.create_group_xml(&texts, CreateFlags::empty())
}

fn incomplete(conn: &Conn) -> Vec<Finding> {
    let found = conn.list_problems().unwrap();
    found.into_iter().filter(|finding| finding.message.contains("incomplete")).collect()
}

#[test]
fn group_of_creator_killed_at_any_step_is_listed_and_removed() {
    for on in [RFC, VENDOR] {
        let mut seen = [0; 4];
        let complete = loop {
            let nth = seen.iter().sum::<usize>();
            let (lab, step) = (Lab::in_files(), AtomicUsize::new(0));
            let before = lab.uuids();
            let conn = connect(&lab, Some("me"));
            // A kill between two of these operations leaves the same files and devices.
            let at = move |op, _: &str| {
                matches!(op, Op::Write | Op::Stamp | Op::Meta) && step.fetch_add(1, Ordering::Relaxed) == nth
            };
            if !kill_creator(&lab, at, || drop(create(&conn, on).unwrap())) {
                break lab;
            }
            let other = connect(&lab, None);
            let left: Vec<String> = lab.uuids().into_iter().filter(|uuid| !before.contains(uuid)).collect();
            let found = incomplete(&other);
            assert_eq!(found.len(), usize::from(!left.is_empty()), "step {nth}: {left:?}: {found:?}");
            for finding in found {
                assert_eq!((finding.severity, finding.code), (Severity::Error, ErrorCode::NotReady));
                assert!(finding.object.contains("/libmdev/groups/"), "{finding:?}");
                assert!(left.iter().all(|uuid| finding.message.contains(uuid)), "step {nth}: {left:?}: {finding:?}");
                assert!(finding.message.contains("'me'") && finding.next_step.unwrap().contains("--incomplete"));
            }
            assert_eq!(other.destroy_incomplete(Some("you"), DestroyFlags::empty()), Ok(0));
            assert_eq!(other.destroy_incomplete(Some("me"), DestroyFlags::empty()), Ok(left.len()), "step {nth}");
            assert_eq!((lab.uuids(), incomplete(&other)), (before, Vec::new()), "step {nth}");
            create(&conn, on).unwrap_or_else(|e| panic!("step {nth}: {e}"));
            assert_eq!(names(&lab, "devices"), 3, "step {nth}");
            seen[left.len()] += 1;
        };
        assert!(seen.iter().all(|n| *n > 1), "kills with 0 to 3 devices: {seen:?}");
        // The group of the creator that was not killed is complete.
        let conn = connect(&complete, Some("me"));
        let made = complete.uuids();
        assert_eq!((names(&complete, "groups"), incomplete(&conn)), (0, Vec::new()));
        assert_eq!(conn.destroy_incomplete(None, DestroyFlags::empty()), Ok(0));
        assert_eq!(complete.uuids(), made);
    }
}

#[test]
fn create_group_removes_incomplete_groups_of_same_owner_only() {
    let lab = Lab::in_files();
    leave_one(&lab);
    for owner in [None, Some("you")] {
        let e = create(&connect(&lab, owner), RFC).unwrap_err();
        assert_eq!(e.code, ErrorCode::Exists, "{owner:?}: {e}");
    }
    let conn = connect(&lab, Some("me"));
    let made = create(&conn, RFC).unwrap();
    assert!(made.iter().all(|node| node.owner() == Ok("me")));
    assert_eq!(incomplete(&conn), []);
}

#[test]
fn group_of_running_creator_is_left_alone() {
    let lab = Lab::in_files();
    let (other, busy, looks) = (connect(&lab, Some("me")), AtomicBool::new(false), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&looks);
    lab.sim.set_hook(Some(Arc::new(move |op, path: &str| {
        if op == Op::Write && path.ends_with("/create") && !busy.swap(true, Ordering::Relaxed) {
            assert_eq!(incomplete(&other), []);
            assert_eq!(other.destroy_incomplete(None, DestroyFlags::empty()), Ok(0));
            counted.fetch_add(1, Ordering::Relaxed);
            busy.store(false, Ordering::Relaxed);
        }
        None
    })));
    create(&connect(&lab, Some("me")), RFC).unwrap();
    lab.sim.set_hook(None);
    assert_eq!(looks.load(Ordering::Relaxed), 3);
}

#[test]
fn device_in_use_stays_and_its_group_stays_listed() {
    let lab = Lab::in_files();
    let writes = AtomicUsize::new(0);
    let third = move |op, path: &str| {
        op == Op::Write && path.ends_with("/create") && writes.fetch_add(1, Ordering::Relaxed) == 2
    };
    assert!(kill_creator(&lab, third, || drop(create(&connect(&lab, None), RFC))));
    lab.sim.set_in_use(&uuid(1), true).unwrap();
    let conn = connect(&lab, None);
    let e = conn.destroy_incomplete(None, DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
    assert!(e.message.contains(&uuid(1)) && !e.message.contains(&uuid(2)), "{e}");
    assert!(lab.uuids().contains(&uuid(1)) && !lab.uuids().contains(&uuid(2)));
    assert!(incomplete(&conn)[0].message.contains(&uuid(1)));
    lab.sim.set_in_use(&uuid(1), false).unwrap();
    assert_eq!(conn.destroy_incomplete(None, DestroyFlags::empty()), Ok(1));
    assert_eq!(incomplete(&conn), []);
}

#[test]
fn device_that_another_program_created_is_no_member() {
    let lab = Lab::in_files();
    leave_one(&lab);
    // Another program destroys the device and creates it again.
    lab.sim.echo("/sys/bus/pci/devices/0000:86:00.0/mdev_destroy", &uuid(1)).unwrap();
    let path = "/sys/bus/pci/devices/0000:86:00.0/mdev_supported_types/12/create";
    lab.sim.echo(path, &uuid(1)).unwrap();
    let conn = connect(&lab, Some("me"));
    assert_eq!((incomplete(&conn), conn.destroy_incomplete(None, DestroyFlags::empty())), (Vec::new(), Ok(0)));
    assert!(lab.uuids().contains(&uuid(1)));
}

#[test]
fn device_created_in_over_one_minute_is_found_after_kill_of_creator() {
    let lab = Lab::in_files();
    let (run, writes) = (lab.root().join("run/libmdev"), AtomicUsize::new(0));
    // The driver takes 70 s for each device. The creator is killed at its first look at the third device.
    let at = move |op, path: &str| {
        if op == Op::Write && path.ends_with("/create") {
            writes.fetch_add(1, Ordering::Relaxed);
            set_back_times(&run, Duration::from_secs(70));
        }
        op == Op::Meta && path.ends_with(&uuid(3)) && writes.load(Ordering::Relaxed) == 3
    };
    assert!(kill_creator(&lab, at, || drop(create(&connect(&lab, Some("me")), RFC))));
    let conn = connect(&lab, Some("me"));
    assert_eq!(conn.lookup_by_uuid(&uuid(3)).unwrap().owner().as_deref(), Ok("me"));
    assert_eq!(conn.destroy_incomplete(Some("me"), DestroyFlags::empty()), Ok(3));
    assert!(!lab.uuids().contains(&uuid(3)));
    assert_eq!((names(&lab, "devices"), names(&lab, "groups")), (0, 0));
}

/// /dev has no node of the device, and the first look at the device's link was too late to show its age.
#[test]
fn device_of_unknown_age_is_not_destroyed_and_its_record_is_kept() {
    let lab = Lab::in_files();
    let is_made = AtomicBool::new(false);
    let at = move |op, path: &str| {
        is_made.fetch_or(op == Op::Write && path.ends_with("/create"), Ordering::Relaxed);
        op == Op::Meta && path.ends_with(&uuid(1)) && is_made.load(Ordering::Relaxed)
    };
    assert!(kill_creator(&lab, at, || drop(create(&connect(&lab, Some("me")), RFC))));
    set_back_times(&lab.root().join("run/libmdev"), Duration::from_secs(600));
    lab.sim.unplug(&group_node(&lab, &uuid(1))).unwrap();
    let conn = connect(&lab, Some("me"));
    let e = conn.destroy_incomplete(None, DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NotReady, Errno::NODATA.raw_os_error()), "{e}");
    let record = format!("/run/libmdev/devices/{}", uuid(1));
    assert!(e.message.contains(&format!("device {}", uuid(1))) && e.message.contains(&record), "{e}");
    assert!(incomplete(&conn)[0].message.contains(&uuid(1)));
    // The device is shown without its record.
    let node = conn.lookup_by_uuid(&uuid(1)).unwrap();
    node.owner().unwrap_err();
    let found = conn.list_problems().unwrap();
    assert!(found.iter().any(|finding| finding.message.contains("cannot determine")), "{found:?}");
    let e = node.destroy(DestroyFlags::OWNED).unwrap_err();
    assert_eq!(e.code, ErrorCode::NotOwner, "{e}");
    // Another creator reuses the record.
    let text = xml(RFC, 9).replace("<parent>", "<name>other</name><parent>");
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    conn.destroy_incomplete(None, DestroyFlags::empty()).unwrap_err();
    node.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(conn.destroy_incomplete(None, DestroyFlags::empty()), Ok(0));
    assert_eq!((names(&lab, "devices"), incomplete(&conn)), (1, Vec::new()));
}

/// For both stores, without a kill.
#[test]
fn group_whose_devices_cannot_be_removed_is_incomplete() {
    let lab = Lab::in_files();
    for runtime in [Runtime::files(lab.root().to_str().unwrap()), Runtime::memory([])] {
        let sim = default_host();
        let conn = Conn::on(Arc::new(sim.clone()), Arc::new(runtime));
        let before = devices(&conn);
        sim.fail_next(Op::Write, "/create", Errno::IO, 2);
        sim.fail_next(Op::Write, "/mdev_destroy", Errno::IO, 1);
        create(&conn, RFC).unwrap_err();
        assert_eq!(incomplete(&conn).len(), 1);
        assert_eq!(conn.destroy_incomplete(None, DestroyFlags::NO_CALLOUTS), Ok(1));
        assert_eq!((devices(&conn), incomplete(&conn)), (before, Vec::new()));
    }
}

#[test]
fn destroy_incomplete_with_bad_arguments_is_refused() {
    let conn = connect(&Lab::in_files(), Some("me"));
    let e = conn.destroy_incomplete(None, DestroyFlags::OWNED).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InvalidFlags, Errno::INVAL.raw_os_error()));
    assert_eq!(conn.destroy_incomplete(Some(""), DestroyFlags::empty()).unwrap_err().code, ErrorCode::InvalidArgument);
}
