// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions in a process with no or almost no descriptors left: no definition is reported as missing, and none is
//! lost. Each test runs in a process of its own.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mdev::Error;
use mdev::test_hooks::sim::{Op, SimEntry, default_host};
use mdev::test_hooks::store::{Definitions, Runtime};
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, EventKind, ListFlags, Node, StartFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{alone, scenes};

const UUID: &str = "11111111-2222-4333-8444-555555555555";
const IGD: &str = "0000:00:02.0";

/// More free descriptors than any of these requests needs.
const ENOUGH: usize = 24;

/// Returns true in a process of its own with few descriptors.
fn alone(name: &str) -> bool {
    let is_alone = alone::alone(&format!("exhausted::{name}"));
    if is_alone {
        let limits = Rlimit { current: Some(96), ..getrlimit(Resource::Nofile) };
        setrlimit(Resource::Nofile, limits).unwrap();
    }
    is_alone
}

/// Takes every descriptor but `free`.
fn leave(free: usize) -> Vec<OwnedFd> {
    let null = File::open("/dev/null").unwrap();
    let mut taken: Vec<OwnedFd> = std::iter::from_fn(|| null.as_fd().try_clone_to_owned().ok()).collect();
    assert!(taken.len() > free);
    taken.truncate(taken.len() - free);
    taken
}

/// Returns the result of `run` with `free` descriptors; `None` if it fails with EMFILE.
fn with<T>(free: usize, run: impl FnOnce() -> Result<T, Error>) -> Option<T> {
    let taken = leave(free);
    let result = run();
    drop(taken);
    match result {
        Ok(value) => Some(value),
        Err(e) => {
            assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{free} free: {e}");
            assert!(!e.message.contains("fix or remove"), "{e}");
            assert!(free < ENOUGH, "{e}");
            None
        }
    }
}

fn host() -> (tempfile::TempDir, Conn) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::create_dir(root.path().join("run")).unwrap();
    let definitions = Definitions::files(root.path().to_str().unwrap());
    let conn = Conn::of((Arc::new(default_host()), Arc::new(Runtime::memory([])), Arc::new(definitions)));
    (root, conn)
}

fn define(conn: &Conn, type_id: &str) -> Result<Node, Error> {
    let xml = format!(
        "<device><name>kept</name><parent>{IGD}</parent><capability type='mdev'><type id='{type_id}'/>\
         <uuid>{UUID}</uuid></capability></device>"
    );
    conn.define_xml(xml.as_bytes(), DefineFlags::empty())
}

#[test]
fn definition_survives_every_call_without_descriptors() {
    if !alone("definition_survives_every_call_without_descriptors") {
        return;
    }
    let (root, conn) = host();
    conn.set_owner(Some("web")).unwrap();
    let node = define(&conn, "i915-GVTg_V5_4").unwrap();
    node.set_autostart(true).unwrap();
    conn.set_owner(None).unwrap();
    let beside = root.path().join(format!("etc/libmdev/definitions/{IGD}/{UUID}"));
    let extras = || fs::read_to_string(&beside).unwrap().contains(r#""owner": "web""#);
    let mut refused = 0;
    for free in 0..=ENOUGH {
        let uuids = with(free, || conn.list(ListFlags::DEVICES | ListFlags::INACTIVE))
            .map(|nodes| nodes.iter().map(|node| node.uuid().unwrap()).collect::<Vec<_>>());
        refused += u32::from(uuids.is_none());
        assert!(uuids.is_none_or(|uuids| uuids == [UUID]), "{free}");
        assert_ne!(with(free, || node.is_persistent()), Some(false), "{free}");
        assert_ne!(with(free, || node.autostart()), Some(false), "{free}");
        assert!(with(free, || conn.lookup_by_name("kept")).is_none_or(|node| node.owner() == Ok("web")), "{free}");
        with(free, || conn.lookup_by_uuid(UUID));
        for autostart in [false, true] {
            with(free, || node.set_autostart(autostart));
            assert!(extras(), "{free}");
        }
        node.set_autostart(true).unwrap();
        for start in [
            |_: &Conn, node: &Node| node.start(StartFlags::empty()).map(|()| 1),
            |conn: &Conn, _: &Node| conn.autostart(None, StartFlags::empty()),
        ] {
            let started = with(free, || start(&conn, &node));
            if started.is_some() || conn.lookup_by_uuid(UUID).unwrap().is_active() {
                assert!(started.is_none_or(|count| count == 1), "{free}");
                let running = conn.lookup_by_uuid(UUID).unwrap();
                assert_eq!((running.owner(), running.name()), (Ok("web"), "kept"), "{free}");
                running.destroy(DestroyFlags::empty()).unwrap();
            }
        }
        for type_id in ["i915-GVTg_V5_8", "i915-GVTg_V5_4"] {
            with(free, || define(&conn, type_id));
            let now = conn.lookup_by_uuid(UUID).unwrap();
            assert_eq!((now.owner(), now.name(), now.autostart()), (Ok("web"), "kept", Ok(true)), "{free}");
        }
        define(&conn, "i915-GVTg_V5_4").unwrap();
    }
    assert!(refused > 1, "of {refused} lists");
    let mut free = 0;
    while with(free, || node.undefine(DefineFlags::empty())).is_none() {
        assert!(extras() && free < ENOUGH, "{free}");
        free += 1;
    }
    assert!(!beside.exists());
}

/// Cached descriptors are closed before a request fails.
#[test]
fn cached_descriptors_are_closed_when_descriptors_run_out() {
    if !alone("cached_descriptors_are_closed_when_descriptors_run_out") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    scenes::scale(root.path(), 6, 3, 2).unwrap();
    let folder = root.path().join("etc/mdevctl.d/0000:11:00.0");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(root.path().join("run")).unwrap();
    fs::write(folder.join(UUID), r#"{"mdev_type":"nvidia-11","start":"auto"}"#).unwrap();
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    for free in 0..40 {
        let taken = leave(free);
        let nodes = conn.list(ListFlags::ACTIVE | ListFlags::INACTIVE);
        let node = conn.lookup_by_uuid(UUID);
        drop(taken);
        assert!(nodes.is_ok() && node.is_ok() || free < 8, "{free} free: {nodes:?} {node:?}");
        // With fewer descriptors the call may fail, but its result is correct.
        assert!(nodes.as_ref().is_ok_and(|nodes| nodes.len() == 9) || nodes.is_err(), "{free} free: {nodes:?}");
        for node in nodes.unwrap_or_default().iter().chain(&node).filter(|node| node.uuid().as_deref() == Ok(UUID)) {
            assert_eq!(node.parent_name(), "pci_0000_11_00_0", "{free} free");
        }
    }
}

/// A monitor reports that events may be lost, and never reports an existing definition as undefined.
#[test]
fn monitor_without_descriptors_reports_no_definition_as_undefined() {
    if !alone("monitor_without_descriptors_reports_no_definition_as_undefined") {
        return;
    }
    let (root, conn) = host();
    define(&conn, "i915-GVTg_V5_4").unwrap();
    let file = root.path().join(format!("etc/mdevctl.d/{IGD}/{UUID}"));
    let folder = root.path().join("etc/mdevctl.d");
    let mut refused = 0;
    for free in 0..=ENOUGH {
        for all in [false, true] {
            let mut monitor = conn.monitor().unwrap();
            if all {
                // Another directory with the same content takes the place of the whole directory.
                fs::rename(&folder, root.path().join("etc/aside")).unwrap();
                fs::rename(root.path().join("etc/aside"), &folder).unwrap();
            } else {
                fs::write(&file, r#"{"mdev_type":"i915-GVTg_V5_8","start":"manual"}"#).unwrap();
            }
            let taken = leave(free);
            let mut kinds = Vec::new();
            loop {
                match monitor.receive() {
                    Ok(Some(event)) => kinds.push(event.kind),
                    Ok(None) => break,
                    Err(e) => {
                        assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{free} free: {e}");
                        refused += 1;
                        break;
                    }
                }
            }
            drop(taken);
            while let Some(event) = monitor.receive().unwrap() {
                kinds.push(event.kind);
            }
            assert!(!kinds.contains(&EventKind::Undefined), "{free} free: {kinds:?}");
            assert!(all || kinds.contains(&EventKind::Updated) || kinds.contains(&EventKind::Overrun), "{kinds:?}");
            fs::write(&file, r#"{"mdev_type":"i915-GVTg_V5_4","start":"manual"}"#).unwrap();
        }
    }
    assert!(refused > 1, "{refused}");
}

/// The process runs out of descriptors at each operation in turn. A failed create still removes its device, with
/// reserved descriptors, even if the driver created the device and returned an error.
#[test]
fn failed_create_without_descriptors_leaves_no_device() {
    if !alone("failed_create_without_descriptors_leaves_no_device") {
        return;
    }
    let makers = [
        ("0000:86:00.0", "11", "<group>7</group>", "/create"),
        (IGD, "i915-GVTg_V5_4", "", "/create"),
        ("0000:41:00.0", "1441", "", "/current_vgpu_type"),
    ];
    for (parent, type_id, group, file) in makers {
        let xml = format!(
            "<device><name>n</name><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>{group}\
             <uuid>{UUID}</uuid></capability></device>"
        );
        for false_errno in [None, Some(Errno::IO), Some(Errno::INTR)] {
            let mut failed = 0;
            let mut nth = 0;
            while create_without_descriptors(&xml, nth, false_errno.map(|errno| (file, errno)), &mut failed) {
                nth += 1;
            }
            assert!(failed > 7, "{parent}, {false_errno:?}: {failed}");
        }
    }
}

/// Creates a device with no descriptor left from the n-th operation on. Returns false if there are fewer operations.
/// `false_errno`: the driver creates the device and returns this errno for the write of this file.
fn create_without_descriptors(xml: &str, nth: usize, false_errno: Option<(&str, Errno)>, failed: &mut u32) -> bool {
    let sim = default_host();
    let runtime = Arc::new(Runtime::memory([]));
    let conn = Conn::on(Arc::new(sim.clone()), Arc::clone(&runtime));
    let (count, taken) = (AtomicUsize::new(0), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&taken);
    if let Some((file, errno)) = false_errno {
        sim.fail_after_write(file, errno, 1);
    }
    sim.set_hook(Some(Arc::new(move |op, _: &str| {
        if count.fetch_add(1, Ordering::Relaxed) == nth {
            *kept.lock().unwrap() = leave(0);
        }
        // These operations need a descriptor, as on the real host.
        let needs = matches!(op, Op::Open | Op::Read | Op::Write | Op::List | Op::Hold | Op::Watch);
        (needs && File::open("/dev/null").is_err()).then_some(Errno::MFILE)
    })));
    let created = conn.create_xml(xml.as_bytes(), CreateFlags::empty());
    sim.set_hook(None);
    let ran_out = !std::mem::take(&mut *taken.lock().unwrap()).is_empty();
    let (found, recorded) = (conn.lookup_by_uuid(UUID), !runtime.all().unwrap().is_empty());
    match created {
        Ok(_) => assert!(found.is_ok() && recorded),
        Err(e) => {
            let own = false_errno.is_some_and(|(_, errno)| e.errno == errno.raw_os_error());
            assert!(e.errno == Errno::MFILE.raw_os_error() || own, "{xml}, operation {nth}, {false_errno:?}: {e}");
            assert!(found.is_err() && !recorded, "{xml}, operation {nth}, {false_errno:?}: {e}");
            *failed += 1;
        }
    }
    ran_out
}

/// Writes the simulated host's files below `root`.
fn write_host(root: &Path) {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    for entry in default_host().entries() {
        let path = at(entry.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry {
            SimEntry::Dir { .. } => fs::create_dir_all(path).unwrap(),
            SimEntry::Link { target, .. } => symlink(target, path).unwrap(),
            SimEntry::File { content, .. } => fs::write(path, content.unwrap_or_default()).unwrap(),
        }
    }
    ["etc", "run"].iter().for_each(|name| fs::create_dir_all(root.join(name)).unwrap());
}

/// The four descriptors: an epoll, a netlink socket, an inotify for VFs and definitions, and a timer.
#[test]
fn monitor_with_vfs_and_definitions_has_four_descriptors() {
    if !alone("monitor_with_vfs_and_definitions_has_four_descriptors") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    write_host(root.path());
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let nodes = conn.list(ListFlags::empty()).unwrap().len();
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    for _ in 0..2 {
        let mut monitor = conn.monitor().unwrap();
        assert_eq!(count(), before + 4);
        assert!(monitor.receive().unwrap().is_none());
        // The inotify reports both kinds of files.
        let vf = root.path().join("sys/bus/pci/devices/0000:41:00.5/nvidia/current_vgpu_type");
        fs::write(&vf, "1441\n").unwrap();
        let folder = root.path().join("etc/mdevctl.d/0000:41:00.0");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(UUID), r#"{"mdev_type":"1441","start":"manual"}"#).unwrap();
        let events: Vec<_> = std::iter::from_fn(|| monitor.receive().unwrap()).map(|event| event.kind).collect();
        for kind in [EventKind::Created, EventKind::Defined] {
            assert!(events.contains(&kind), "no {kind:?} in {events:?}");
        }
        assert_eq!(count(), before + 4);
        drop(monitor);
        assert_eq!(count(), before);
        fs::write(&vf, "0\n").unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
    assert_eq!(conn.list(ListFlags::empty()).unwrap().len(), nodes);
}
