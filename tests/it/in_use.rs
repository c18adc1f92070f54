// SPDX-License-Identifier: LGPL-2.1-or-later
//! Devices that a process has open are never destroyed; the error names the node and the process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use mdev::ErrorCode;
use mdev::test_hooks::sim::{Op, SimEntry, SimHost, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::{Errno, Sysfs, Users};
use mdev::{Conn, CreateFlags, DestroyFlags};

use crate::support::alone::alone;

const UUID: &str = "11111111-2222-4333-8444-555555555555";
const IGD: &str = "/sys/devices/pci0000:00/0000:00:02.0";

fn lab() -> (SimHost, Conn) {
    let host = default_host();
    let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
    let xml = format!(
        "<device><parent>0000:00:02.0</parent><capability type='mdev'><type id='i915-GVTg_V5_8'/><uuid>{UUID}</uuid>\
         </capability></device>"
    );
    conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
    (host, conn)
}

/// Adds a VFIO node of its own to the device, as on a kernel with CONFIG_VFIO_DEVICE_CDEV.
fn add_cdev(host: &SimHost) -> &'static str {
    let path = format!("{IGD}/{UUID}/vfio-dev/vfio900/dev");
    host.plug([SimEntry::File { path, mode: 0o444, content: Ok(b"511:900\n".to_vec()) }]).unwrap();
    "vfio900"
}

#[test]
fn device_opened_by_its_own_node_is_busy_although_group_is_free() {
    let (host, conn) = lab();
    let name = add_cdev(&host);
    host.set_opened(UUID, true).unwrap();
    host.start_log();
    let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
    assert!(host.take_log().iter().all(|entry| entry.op != Op::Write));
    let path = format!("/dev/vfio/devices/{name}");
    assert!(e.message.contains(&path) && e.message.contains("process 4711 (qemu)"), "{e}");
    assert_eq!(e.path, Some(path));
    host.set_opened(UUID, false).unwrap();
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
}

#[test]
fn device_in_use_is_busy_and_error_names_process() {
    let (host, conn) = lab();
    host.set_in_use(UUID, true).unwrap();
    let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
    assert!(e.message.contains("process 4711 (qemu) has /dev/vfio/"), "{e}");
}

/// Every attempt runs in a process of its own, so that the driver cannot block the caller.
#[test]
fn interrupted_removal_is_repeated_by_process_and_not_without_end() {
    let (host, conn) = lab();
    add_cdev(&host);
    host.start_log();
    let writes = AtomicU32::new(0);
    host.set_hook(Some(Arc::new(move |op, path: &str| {
        let is_removal = op == Op::Write && path.ends_with("/remove");
        // The hook ends after 1000 writes, so that the test fails instead of hanging.
        let is_interrupted = is_removal && writes.fetch_add(1, Ordering::Relaxed) < 1000;
        is_interrupted.then_some(Errno::INTR)
    })));
    let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    host.set_hook(None);
    assert_eq!((e.code, e.errno), (ErrorCode::Kernel, Errno::INTR.raw_os_error()), "{e}");
    let log = host.take_log();
    let count = |op: Op| log.iter().filter(|entry| entry.op == op && entry.path.ends_with("/remove")).count();
    assert!((2..100).contains(&count(Op::Write)), "{} writes", count(Op::Write));
    assert_eq!(count(Op::Start), count(Op::Write));
    host.fail_next(Op::Write, "/remove", Errno::INTR, 1);
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    // The driver has done its work before the signal.
    let (host, conn) = lab();
    host.fail_after_write("/remove", Errno::INTR, 1);
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
}

#[test]
fn process_that_cannot_be_started_is_not_reported_as_driver() {
    for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE] {
        let (host, conn) = lab();
        add_cdev(&host);
        host.fail_next(Op::Start, "/remove", errno, 1);
        host.start_log();
        let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::Kernel, errno.raw_os_error()), "{e}");
        assert!(e.message.contains("was not removed: cannot start a process that writes"), "{e}");
        let log = host.take_log();
        assert!(log.iter().all(|entry| entry.op != Op::Write));
        // An EAGAIN of fork is not an EAGAIN of a driver: the write is not repeated and nothing waits.
        assert_eq!(log.iter().filter(|entry| entry.op == Op::Start).count(), 1, "{log:?}");
        assert!(log.iter().all(|entry| entry.op != Op::Watch), "{log:?}");
        conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    }
}

#[test]
fn errno_of_driver_is_not_end_of_wait() {
    let (host, conn) = lab();
    add_cdev(&host);
    host.fail_next(Op::Write, "/remove", Errno::TIMEDOUT, 1);
    let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Kernel, Errno::TIMEDOUT.raw_os_error()), "{e}");
    assert!(e.message.contains("cannot write") && !e.message.contains("within"), "{e}");
}

/// No other process has used the device yet, so the library may do the write itself.
#[test]
fn failed_create_removes_its_device_although_no_process_can_be_started() {
    let (host, conn) = lab();
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    let other = host.clone();
    let plugged = AtomicBool::new(false);
    host.set_hook(Some(Arc::new(move |op, path: &str| {
        if path.ends_with("/no-such") && !plugged.swap(true, Ordering::Relaxed) {
            add_cdev(&other);
        }
        (op == Op::Start).then_some(Errno::AGAIN)
    })));
    host.start_log();
    let xml = format!(
        "<device><parent>0000:00:02.0</parent><capability type='mdev'><type id='i915-GVTg_V5_8'/><uuid>{UUID}</uuid>\
         <attr name='no-such' value='1'/></capability></device>"
    );
    let e = conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap_err();
    host.set_hook(None);
    assert!(!e.message.contains("cannot be removed again"), "{e}");
    assert!(host.open(&format!("{IGD}/{UUID}")).is_err());
    assert!(host.take_log().iter().any(|entry| entry.op == Op::Start), "the library tries to start a process first");
}

#[test]
fn failed_search_for_users_fails_destroy_with_its_errno() {
    for errno in [Errno::MFILE, Errno::ACCESS] {
        let (host, conn) = lab();
        add_cdev(&host);
        host.fail_next(Op::Users, "", errno, 1);
        host.start_log();
        let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
        assert_eq!(e.errno, errno.raw_os_error(), "{e}");
        assert!(e.message.contains("search for the users of /dev/vfio/"), "{e}");
        assert!(host.take_log().iter().all(|entry| entry.op != Op::Write));
        // The driver's EBUSY proves that the device is in use.
        host.set_in_use(UUID, true).unwrap();
        host.fail_next(Op::Users, "", errno, 1);
        let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
        assert!(e.message.contains("which one cannot be determined") && !e.message.contains("not visible"), "{e}");
    }
}

/// A process in another PID namespace can be a guest. A process that only a security policy hides cannot be one while
/// the group is held.
#[test]
fn unreadable_process_is_no_obstacle_while_group_is_held() {
    let why = || "process 4712 cannot be looked into".to_owned();
    let (host, conn) = lab();
    add_cdev(&host);
    host.set_no_user(Users::Unknown(why()));
    let refuse = || {
        host.start_log();
        let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
        assert!(e.message.contains("4712"), "{e}");
        assert!(host.take_log().iter().all(|entry| entry.op != Op::Start && entry.op != Op::Write));
    };
    refuse();
    host.set_no_user(Users::Incomplete(why()));
    // The kernel or /dev has no node of the group.
    host.fail_next(Op::Hold, "", Errno::NOENT, 1);
    refuse();
    // A process has the group open, and the search did not find it.
    host.fail_next(Op::Hold, "", Errno::BUSY, 1);
    refuse();
    host.start_log();
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    assert!(
        host.take_log().iter().any(|entry| entry.op == Op::Start),
        "a process does the write, because it can block"
    );
}

/// A guest that starts while the library has the group open would fail, so the explanation does not open it.
#[test]
fn refused_write_is_explained_without_open_of_group() {
    let (host, conn) = lab();
    let path = format!("{IGD}/{UUID}/rate");
    host.plug([SimEntry::File { path, mode: 0o644, content: Ok(b"1\n".to_vec()) }]).unwrap();
    let node = conn.lookup_by_uuid(UUID).unwrap();
    for in_use in [false, true] {
        host.set_in_use(UUID, in_use).unwrap();
        host.fail_next(Op::Write, "/rate", Errno::PERM, 1);
        host.start_log();
        let e = node.set_attr("rate", "2").unwrap_err();
        let log = host.take_log();
        assert!(log.iter().all(|entry| entry.op != Op::Hold), "{e}");
        assert!(log.iter().any(|entry| entry.op == Op::Users), "{e}");
        let code = if in_use { ErrorCode::InUse } else { ErrorCode::Kernel };
        assert_eq!(e.code, code, "{e}");
    }
}

/// On a kernel without CONFIG_VFIO_GROUP, a device has only its own node.
#[test]
fn device_without_group_is_ready_when_it_has_its_own_node() {
    if !alone("in_use::device_without_group_is_ready_when_it_has_its_own_node") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let device = root.path().join(format!("sys/devices/virtual/mtty/mtty/{UUID}"));
    let ty = root.path().join("sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1");
    std::fs::create_dir_all(device.join("vfio-dev/vfio0")).unwrap();
    std::fs::create_dir_all(&ty).unwrap();
    for (name, text) in [("device_api", "vfio-pci\n"), ("available_instances", "1\n"), ("create", "")] {
        std::fs::write(ty.join(name), text).unwrap();
    }
    let link = |target: &str, path: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    };
    link("../mdev_supported_types/mtty-1", &format!("sys/devices/virtual/mtty/mtty/{UUID}/mdev_type"));
    link("../../../../class/mtty", "sys/devices/virtual/mtty/mtty/subsystem");
    link("../../devices/virtual/mtty/mtty", "sys/class/mdev_bus/mtty");
    link(&format!("../../../devices/virtual/mtty/mtty/{UUID}"), &format!("sys/bus/mdev/devices/{UUID}"));
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let xml = format!(
        "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>{UUID}</uuid></capability></device>"
    );
    log::set_logger(&Warnings).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    // A create fails if its device does not become ready.
    conn.create_xml(xml.as_bytes(), CreateFlags::EXIST_OK).unwrap();
    // If the kernel's class has the node, the create does not wait for the node in /dev.
    std::fs::create_dir_all(root.path().join("dev/vfio")).unwrap();
    std::fs::create_dir_all(root.path().join("sys/class/vfio/7")).unwrap();
    link("../../../../../kernel/iommu_groups/7", &format!("sys/devices/virtual/mtty/mtty/{UUID}/iommu_group"));
    conn.create_xml(xml.as_bytes(), CreateFlags::EXIST_OK).unwrap();
    let about = |warning: &&String| warning.contains(UUID) && warning.contains("VFIO node");
    let warnings = WARNINGS.lock().unwrap();
    assert_eq!(warnings.iter().find(about), None, "the create must not wait for a node");
}

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Records the library's log messages.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        WARNINGS.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}
