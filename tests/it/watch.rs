// SPDX-License-Identifier: LGPL-2.1-or-later
//! The events of a monitor on simulated hosts: in order, without loss, and correct again after a loss.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mdev::test_hooks::sim::{Op, SimEntry, SimHost, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, Event, EventKind, ListFlags, Monitor, StartFlags, XmlFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use EventKind::{Created, Defined, Deleted, Overrun, Undefined, Updated};

use crate::support::vfs;

/// Parents and types of the built-in host for these tests.
const RFC: &str = "/sys/devices/pci0000:80/0000:80:02.0/0000:86:00.0";

/// Long enough for a machine under load; a passing test never waits that long.
const LIMIT: Duration = Duration::from_secs(20);

fn host() -> (SimHost, Conn) {
    let host = default_host();
    let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
    (host, conn)
}

/// Waits until the descriptor is readable; false at the limit.
fn readable(monitor: &Monitor, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::from_borrowed_fd(monitor.fd().as_fd(), PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// Returns the next event, by polling alone.
fn next(monitor: &mut Monitor) -> Event {
    let end = Instant::now() + LIMIT;
    while readable(monitor, end.saturating_duration_since(Instant::now())) {
        if let Some(event) = monitor.receive().unwrap() {
            return event;
        }
    }
    panic!("no event within the limit");
}

/// Returns the kind and the node name of an event.
fn short(event: &Event) -> (EventKind, String) {
    (event.kind, event.node.as_ref().map_or(String::new(), |node| node.name().to_owned()))
}

/// Returns the next event that is not an update of a number of instances.
fn next_change(monitor: &mut Monitor) -> (EventKind, String) {
    loop {
        let event = next(monitor);
        if event.kind != Updated || event.node.as_ref().is_some_and(|node| !node.is_parent()) {
            return short(&event);
        }
    }
}

fn xml(parent: &str, kind: &str, rest: &str) -> String {
    format!("<device><parent>{parent}</parent><capability type='mdev'><type id='{kind}'/>{rest}</capability></device>")
}

/// Applies all pending events to `reported`, and checks that the result equals a list.
fn assert_events_equal_list(monitor: &mut Monitor, conn: &Conn, reported: &mut Vec<String>) {
    while let Some(event) = monitor.receive().unwrap() {
        apply(&event, reported);
    }
    let mut listed: Vec<String> =
        conn.list(ListFlags::empty()).unwrap().iter().map(|node| node.name().to_owned()).collect();
    listed.sort_unstable();
    reported.sort_unstable();
    assert_eq!(*reported, listed);
}

fn apply(event: &Event, reported: &mut Vec<String>) {
    let name = || event.node.as_ref().unwrap().name().to_owned();
    match event.kind {
        Created => reported.push(name()),
        Deleted => {
            let at = reported.iter().position(|known| *known == name()).expect("a deleted node was created before");
            reported.swap_remove(at);
        }
        _ => {}
    }
}

fn all(conn: &Conn) -> Vec<String> {
    conn.list(ListFlags::empty()).unwrap().iter().map(|node| node.name().to_owned()).collect()
}

#[test]
fn monitor_reports_create_and_destroy_with_full_node() {
    let (_host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    assert!(!readable(&monitor, Duration::ZERO));
    assert!(monitor.receive().unwrap().is_none());
    let request = xml("pci_0000_86_00_0", "11", "<group>1</group>");
    let request = request.replace("<device>", "<device><name>my-vgpu</name>");
    let made = conn.create_xml(request.as_bytes(), CreateFlags::empty()).unwrap();
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Created, "my-vgpu".to_owned()));
    let node = event.node.unwrap();
    assert_eq!((node.type_id().unwrap(), node.group().unwrap(), node.is_active()), ("11", 1, true));
    assert_eq!((node.uuid().unwrap(), node.syspath()), (made.uuid().unwrap(), made.syspath()));
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Updated, "pci_0000_86_00_0".to_owned()));
    let left = |event: Event| event.node.unwrap().find_type("11").unwrap().clone();
    let (now, then) = (left(event), conn.lookup_by_name("pci_0000_86_00_0").unwrap().find_type("11").unwrap().clone());
    assert_eq!(
        (now.available_instances, now.attribute("max_instances")),
        (then.available_instances, then.attribute("max_instances"))
    );
    made.destroy(DestroyFlags::empty()).unwrap();
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Deleted, "my-vgpu".to_owned()));
    let node = event.node.unwrap();
    assert_eq!((node.type_id().unwrap(), node.group().unwrap(), node.is_active()), ("11", 1, false));
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Updated, "pci_0000_86_00_0".to_owned()));
    assert_eq!(left(event).available_instances, then.available_instances.map(|n| n + 1));
    assert!(monitor.receive().unwrap().is_none());
}

#[test]
fn monitor_reports_500_fast_changes_in_order() {
    let (host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    let create = format!("{RFC}/mdev_supported_types/11/create");
    let destroy = format!("{RFC}/mdev_destroy");
    let mut expected = Vec::new();
    for n in 0..500 {
        let uuid = format!("00000000-0000-4000-8000-{n:012x}");
        host.echo(&create, &uuid).unwrap();
        host.echo(&destroy, &uuid).unwrap();
        let name = format!("mdev_{}_0000_86_00_0", uuid.replace('-', "_"));
        expected.extend([(Created, name.clone()), (Deleted, name)]);
    }
    for wanted in expected {
        assert_eq!(next_change(&mut monitor), wanted);
    }
}

#[test]
fn monitor_reports_device_when_it_is_ready() {
    let (host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    let parent = conn.lookup_by_name("ap_matrix").unwrap();
    let kind = parent.types().unwrap()[0].id();
    let create = format!("{}/mdev_supported_types/{kind}/create", parent.syspath());
    host.hold_back_links(true);
    host.echo(&create, "00000000-0000-4000-8000-000000000001").unwrap();
    host.echo(&create, "00000000-0000-4000-8000-000000000002").unwrap();
    // A create that fails before the device is ready: the device was never reported and is not reported now.
    host.unplug(&format!("{}/00000000-0000-4000-8000-000000000001", parent.syspath())).unwrap();
    assert!(readable(&monitor, LIMIT));
    while let Some(event) = monitor.receive().unwrap() {
        assert!(event.node.unwrap().is_parent(), "no device is ready yet");
    }
    host.hold_back_links(false);
    let event = loop {
        let event = next(&mut monitor);
        if event.kind == Created {
            break event;
        }
    };
    let node = event.node.unwrap();
    assert_eq!(node.uuid().unwrap(), "00000000-0000-4000-8000-000000000002");
    assert!(node.iommu_group().is_ok());
    assert_eq!(node.type_id().unwrap(), kind);
}

/// The kernel sends no uevent if no driver will be bound to a device.
#[test]
fn unbound_device_is_reported_without_bind() {
    let (host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    host.hold_back_links(true);
    let uuid = "00000000-0000-4000-8000-000000000001";
    host.echo(&format!("{RFC}/mdev_supported_types/11/create"), uuid).unwrap();
    let event = next(&mut monitor);
    let node = event.node.as_ref().unwrap();
    assert_eq!((event.kind, &*node.uuid().unwrap(), node.iommu_group().is_ok()), (Created, uuid, false));
    let name = node.name().to_owned();
    host.hold_back_links(false);
    assert_eq!(next_change(&mut monitor), (Updated, name));
}

#[test]
fn monitor_reports_parent_that_is_unplugged_and_plugged() {
    let (host, conn) = host();
    let mut reported = all(&conn);
    let mut monitor = conn.monitor().unwrap();
    let entries: Vec<SimEntry> = host.entries().into_iter().filter(|e| e.path().starts_with(RFC)).collect();
    let uuid = "00000000-0000-4000-8000-000000000003";
    host.echo(&format!("{RFC}/mdev_supported_types/11/create"), uuid).unwrap();
    host.unplug(RFC).unwrap();
    let device = format!("mdev_{}_0000_86_00_0", uuid.replace('-', "_"));
    // A device that was created and removed before the read is reported too.
    assert_eq!(next_change(&mut monitor), (Created, device.clone()));
    assert_eq!(next_change(&mut monitor), (Deleted, device.clone()));
    assert_eq!(next_change(&mut monitor), (Deleted, "pci_0000_86_00_0".to_owned()));
    assert_eq!(reported.iter().filter(|name| name.ends_with("0000_86_00_0")).count(), 1);
    reported.retain(|name| name != "pci_0000_86_00_0");
    let link = SimEntry::Link {
        path: "/sys/bus/pci/devices/0000:86:00.0".to_owned(),
        target: "../../../devices/pci0000:80/0000:80:02.0/0000:86:00.0".to_owned(),
    };
    host.plug(entries.into_iter().chain([link])).unwrap();
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Created, "pci_0000_86_00_0".to_owned()));
    assert!(event.node.unwrap().find_type("11").is_ok());
    reported.push("pci_0000_86_00_0".to_owned());
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
}

#[test]
fn monitor_reports_change_uevent_as_update() {
    let (host, conn) = host();
    let made = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
    let mut monitor = conn.monitor().unwrap();
    host.echo(&format!("{}/uevent", made.syspath()), "change").unwrap();
    assert_eq!(short(&next(&mut monitor)), (Updated, made.name().to_owned()));
    host.echo(&format!("{RFC}/uevent"), "change").unwrap();
    assert_eq!(short(&next(&mut monitor)), (Updated, "pci_0000_86_00_0".to_owned()));
    // Like udevadm trigger for every device of the host: nothing changed.
    host.echo(&format!("{}/uevent", made.syspath()), "add").unwrap();
    host.echo(&format!("{RFC}/uevent"), "add").unwrap();
    assert!(monitor.receive().unwrap().is_none());
}

#[test]
fn monitor_is_correct_after_overrun() {
    let (host, conn) = host();
    let mut reported = all(&conn);
    let mut monitor = conn.monitor().unwrap();
    monitor.set_buffer_size(4096).unwrap();
    let kept = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
    for _ in 0..100 {
        let made = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
        made.destroy(DestroyFlags::empty()).unwrap();
    }
    let last = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
    let event = next(&mut monitor);
    assert_eq!(event.kind, Overrun);
    assert!(event.node.is_none());
    // The caller lists again; from here on, events and list agree.
    reported.clear();
    reported.extend(all(&conn));
    assert!(reported.contains(&kept.name().to_owned()));
    monitor.set_buffer_size(1 << 20).unwrap();
    last.destroy(DestroyFlags::empty()).unwrap();
    let late = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
    assert_eq!(next_change(&mut monitor), (Deleted, last.name().to_owned()));
    reported.retain(|name| name != last.name());
    assert_eq!(next_change(&mut monitor), (Created, late.name().to_owned()));
    reported.push(late.name().to_owned());
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
    drop(host);
}

#[test]
fn monitor_reports_overrun_after_failed_read_of_host() {
    let (host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    let made = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
    host.fail_next(Op::Open, "/sys/bus/mdev/devices", Errno::MFILE, 1);
    assert_eq!(monitor.receive().unwrap_err().errno, Errno::MFILE.raw_os_error());
    assert_eq!(monitor.receive().unwrap().unwrap().kind, Overrun);
    made.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(next_change(&mut monitor), (Deleted, made.name().to_owned()));
}

#[test]
fn monitor_reports_vgpus_created_and_removed_by_any_program() {
    let (host, conn) = host();
    let mut reported = all(&conn);
    let mut monitor = conn.monitor().unwrap();
    let pf = "pci_0000_41_00_0";
    let free = (0..8).find(|n| !vfs::creatable(&host, *n).is_empty()).expect("a free VF");
    let kind = vfs::creatable(&host, free)[0].to_string();
    host.echo(&vfs::at(free, "current_vgpu_type"), &kind).unwrap();
    let event = next(&mut monitor);
    assert_eq!((event.kind, event.node.as_ref().unwrap().syspath()), (Created, vfs::vf(free).as_str()));
    assert_eq!(event.node.as_ref().unwrap().type_id().unwrap(), kind);
    apply(&event, &mut reported);
    assert_eq!(short(&next(&mut monitor)), (Updated, pf.to_owned()));
    host.echo(&vfs::at(free, "current_vgpu_type"), "0").unwrap();
    let event = next(&mut monitor);
    assert_eq!((event.kind, event.node.as_ref().unwrap().syspath()), (Deleted, vfs::vf(free).as_str()));
    apply(&event, &mut reported);
    let mine = xml(pf, &kind, "").replace("<device>", "<device><name>mine</name>");
    let made = conn.create_xml(mine.as_bytes(), CreateFlags::empty()).unwrap();
    assert_eq!(next_change(&mut monitor), (Created, "mine".to_owned()));
    reported.push("mine".to_owned());
    // Another program sets the same type of the VF again: that is another device.
    let path = format!("{}/nvidia/current_vgpu_type", made.syspath());
    host.echo(&path, "0").unwrap();
    host.echo(&path, &kind).unwrap();
    let event = next(&mut monitor);
    assert_ne!(event.kind, Created);
    let event = if event.kind == Updated { next(&mut monitor) } else { event };
    assert_eq!(short(&event), (Deleted, "mine".to_owned()));
    apply(&event, &mut reported);
    let event = next(&mut monitor);
    assert_eq!((event.kind, event.node.as_ref().unwrap().syspath()), (Created, made.syspath()));
    apply(&event, &mut reported);
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
}

#[test]
fn monitor_reports_vgpus_of_vfs_that_are_removed() {
    let (host, conn) = host();
    let pf = "pci_0000_41_00_0";
    let mut reported = all(&conn);
    let mut monitor = conn.monitor().unwrap();
    let made = conn
        .create_xml(xml(pf, &vfs::creatable(&host, 5)[0].to_string(), "").as_bytes(), CreateFlags::empty())
        .unwrap();
    assert_eq!(next_change(&mut monitor), (Created, made.name().to_owned()));
    host.unplug(made.syspath()).unwrap();
    assert_eq!(next_change(&mut monitor), (Deleted, made.name().to_owned()));
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
    host.unplug(vfs::PF).unwrap();
    loop {
        let (kind, name) = next_change(&mut monitor);
        assert_eq!(kind, Deleted);
        reported.retain(|known| *known != name);
        if name == pf {
            break;
        }
    }
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
}

/// The VF is still there, and so is its file: only the link of the PF to it is gone.
#[test]
fn monitor_ends_the_watch_of_a_vf_that_its_pf_has_lost() {
    let (host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    // A change of a VF is read again until 250 ms later.
    let quiet = Duration::from_secs(1);
    let mut wakes = |value: &str| {
        while readable(&monitor, quiet) {
            monitor.receive().unwrap();
        }
        vfs::set(&host, 7, value).unwrap();
        readable(&monitor, Duration::ZERO)
    };
    let kind = vfs::creatable(&host, 7)[0].to_string();
    assert!(wakes(&kind), "a write to a VF of the PF");
    host.unplug(&format!("{}/virtfn7", vfs::PF)).unwrap();
    host.echo(&format!("{}/uevent", vfs::PF), "change").unwrap();
    assert!(!wakes("0"), "a write to the VF that the PF has lost");
}

/// One failed read of a VF is not the state of the host.
#[test]
fn monitor_keeps_vgpu_whose_vf_cannot_be_read_once() {
    let (host, conn) = host();
    let mut reported = all(&conn);
    let free = (0..8).find(|n| !vfs::creatable(&host, *n).is_empty()).expect("a free VF");
    let kind = vfs::creatable(&host, free)[0].to_string();
    let read = format!("virtfn{free}/nvidia/current_vgpu_type");
    host.fail_next(Op::Read, &read, Errno::IO, 1);
    let mut monitor = conn.monitor().unwrap();
    host.echo(&vfs::at(free, "current_vgpu_type"), &kind).unwrap();
    let event = next(&mut monitor);
    assert_eq!((event.kind, event.node.as_ref().unwrap().syspath()), (Created, vfs::vf(free).as_str()));
    apply(&event, &mut reported);
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
    // The monitor reads the parent again when another VF is removed; the kernel removes the last VF first.
    host.fail_next(Op::Read, &read, Errno::IO, 1);
    host.unplug(&vfs::vf(7)).unwrap();
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
    // A write during the failed reads is reported when the parent is read.
    host.echo(&vfs::at(free, "current_vgpu_type"), "0").unwrap();
    host.fail_next(Op::Read, &read, Errno::IO, 1);
    host.unplug(&vfs::vf(6)).unwrap();
    while next(&mut monitor).node.unwrap().syspath() != vfs::vf(free) {}
    reported = all(&conn);
    assert_events_equal_list(&mut monitor, &conn, &mut reported);
}

/// A failed read is not an event of a device.
#[test]
fn monitor_without_descriptors_reports_nothing_as_deleted() {
    let (host, conn) = host();
    let kind = vfs::creatable(&host, 5)[0].to_string();
    let made = conn.create_xml(xml("pci_0000_41_00_0", &kind, "").as_bytes(), CreateFlags::empty()).unwrap();
    let mut reported = all(&conn);
    for (op, path) in
        [(Op::Open, vfs::PF), (Op::Read, "nvidia/current_vgpu_type"), (Op::Meta, "nvidia/current_vgpu_type")]
    {
        let mut monitor = conn.monitor().unwrap();
        let other = (0..8).find(|n| vfs::vf(*n) != made.syspath() && !vfs::creatable(&host, *n).is_empty()).unwrap();
        host.echo(&vfs::at(other, "current_vgpu_type"), &vfs::creatable(&host, other)[0].to_string()).unwrap();
        host.fail_next(op, path, Errno::MFILE, 1);
        let mut kinds = Vec::new();
        loop {
            match monitor.receive() {
                Err(e) => assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{e}"),
                Ok(Some(event)) => kinds.push(event.kind),
                Ok(None) => break,
            }
        }
        assert!(
            !kinds.contains(&Deleted) && (kinds.contains(&Overrun) || kinds.contains(&Created)),
            "{op:?}: {kinds:?}"
        );
        host.echo(&vfs::at(other, "current_vgpu_type"), "0").unwrap();
        while next(&mut monitor).kind != Deleted {}
        assert_events_equal_list(&mut monitor, &conn, &mut reported);
    }
}

#[test]
fn monitor_reads_only_node_of_event() {
    let (host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    host.start_log();
    let listed = conn.list(ListFlags::empty()).unwrap().len();
    let whole = host.take_log().len();
    let created = conn.create_xml(xml("pci_0000_86_00_0", "11", "").as_bytes(), CreateFlags::empty()).unwrap();
    host.start_log();
    while monitor.receive().unwrap().is_some() {}
    let log = host.take_log();
    assert!(log.iter().all(|entry| !entry.path.contains("0000:41:00") && !entry.path.contains("mtty")), "{log:#?}");
    assert!(log.len() * 4 < whole, "{} of {whole} operations for {listed} nodes: {log:#?}", log.len());
    drop(created);
}

#[test]
fn monitor_reports_define_redefine_and_undefine() {
    let (_host, conn) = host();
    let mut monitor = conn.monitor().unwrap();
    let request = xml("pci_0000_86_00_0", "11", "").replace("<device>", "<device><name>kept</name>");
    let defined = conn.define_xml(request.as_bytes(), DefineFlags::empty()).unwrap();
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Defined, "kept".to_owned()));
    let node = event.node.unwrap();
    assert_eq!((node.is_active(), node.type_id().unwrap(), node.parent_name()), (false, "11", "pci_0000_86_00_0"));
    assert_eq!(node.xml(XmlFlags::empty()).unwrap(), defined.xml(XmlFlags::empty()).unwrap());
    defined.set_autostart(true).unwrap();
    assert_eq!(short(&next(&mut monitor)), (Updated, "kept".to_owned()));
    defined.set_autostart(true).unwrap();
    assert!(monitor.receive().unwrap().is_none());
    defined.start(StartFlags::empty()).unwrap();
    assert_eq!(short(&next(&mut monitor)), (Created, "kept".to_owned()));
    assert_eq!(short(&next(&mut monitor)), (Updated, "pci_0000_86_00_0".to_owned()));
    defined.undefine(DefineFlags::empty()).unwrap();
    let event = next(&mut monitor);
    assert_eq!((short(&event), event.node.unwrap().is_active()), ((Undefined, "kept".to_owned()), true));
    conn.destroy_uuid(&defined.uuid().unwrap(), DestroyFlags::empty()).unwrap();
    assert_eq!(next_change(&mut monitor), (Deleted, "kept".to_owned()));
}

/// Other programs write definitions in place (mdevctl) or rename them, and create and remove directories. Invalid
/// files are not reported.
#[test]
fn monitor_reports_definitions_that_other_programs_write() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sys/class")).unwrap();
    std::fs::create_dir(root.path().join("run")).unwrap();
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let mut monitor = conn.monitor().unwrap();
    let uuid = "00000000-0000-4000-8000-000000000001";
    let name = format!("mdev_{}_mtty", uuid.replace('-', "_"));
    let folder = root.path().join("etc/mdevctl.d/mtty");
    let file = folder.join(uuid);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&file, r#"{"mdev_type": "mtty-1", "start": "manual", "attrs": []}"#).unwrap();
    let event = next(&mut monitor);
    assert_eq!(short(&event), (Defined, name.clone()));
    assert_eq!(event.node.unwrap().type_id().unwrap(), "mtty-1");
    std::fs::write(&file, r#"{"mdev_type": "mtty-2", "start": "auto"}"#).unwrap();
    let event = next(&mut monitor);
    assert_eq!((short(&event), event.node.unwrap().type_id().unwrap()), ((Updated, name.clone()), "mtty-2"));
    // An invalid definition: a list skips it too.
    std::fs::write(&file, "{").unwrap();
    assert_eq!(short(&next(&mut monitor)), (Undefined, name.clone()));
    std::fs::write(folder.join("README"), "x").unwrap();
    std::fs::write(root.path().join("etc/mdevctl.d/stray"), "x").unwrap();
    std::fs::create_dir(root.path().join("etc/mdevctl.d/scripts.d")).unwrap();
    std::fs::write(root.path().join(format!("etc/mdevctl.d/scripts.d/{uuid}")), "{}").unwrap();
    assert!(monitor.receive().unwrap().is_none());
    let request =
        xml("mtty", "mtty-2", &format!("<uuid>{uuid}</uuid>")).replace("<device>", "<device><name>mine</name>");
    conn.define_xml(request.as_bytes(), DefineFlags::empty()).unwrap();
    assert_eq!(short(&next(&mut monitor)), (Defined, "mine".to_owned()));
    std::fs::remove_dir_all(root.path().join("etc")).unwrap();
    assert_eq!(short(&next(&mut monitor)), (Undefined, "mine".to_owned()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&file, r#"{"mdev_type": "mtty-1", "start": "manual"}"#).unwrap();
    assert_eq!(short(&next(&mut monitor)), (Defined, name));
    assert!(monitor.receive().unwrap().is_none());
}

/// A pseudo-random sequence that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// The first definition in an existing directory: its file is linked to its place, not renamed.
#[test]
fn monitor_reports_first_definition_of_another_process() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["sys", "run", "etc/mdevctl.d/0000:99:00.0"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let conn = || Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let (watched, other) = (conn(), conn());
    let mut monitor = watched.monitor().unwrap();
    for n in 0..3 {
        let uuid = format!("0000000{n}-0000-4000-8000-000000000000");
        let xml = xml("0000:99:00.0", "11", &format!("<uuid>{uuid}</uuid>"));
        let node = other.define_xml(xml.as_bytes(), DefineFlags::empty()).unwrap();
        assert_eq!(short(&next(&mut monitor)), (Defined, node.name().to_owned()));
        node.undefine(DefineFlags::empty()).unwrap();
        assert_eq!(short(&next(&mut monitor)), (Undefined, node.name().to_owned()));
    }
}

/// After changes in any order, and exhausted descriptors at any time, the events add up to the list.
#[test]
fn events_of_random_changes_add_up_to_list() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let (host, conn) = host();
        let mut reported = all(&conn);
        let mut monitor = conn.monitor().unwrap();
        let mut alive: Vec<String> = Vec::new();
        for _ in 0..60 {
            match random.below(10) {
                0..=3 => {
                    let (parent, kind) = [
                        ("pci_0000_86_00_0", "13"),
                        ("pci_0000_87_00_0", "queue-1"),
                        ("ap_matrix", "vfio_ap-passthrough"),
                        ("pci_0000_41_00_0", "1438"),
                    ][random.below(4)];
                    if let Ok(node) = conn.create_xml(xml(parent, kind, "").as_bytes(), CreateFlags::empty()) {
                        alive.push(node.uuid().unwrap());
                    }
                }
                4 | 5 if !alive.is_empty() => {
                    let uuid = alive.swap_remove(random.below(alive.len()));
                    conn.destroy_uuid(&uuid, DestroyFlags::empty()).unwrap();
                }
                6 => monitor.set_buffer_size([1000, 1 << 20][random.below(2)]).unwrap(),
                7 => {
                    let op = [Op::Open, Op::Read, Op::List][random.below(3)];
                    host.fail_next(op, "", Errno::MFILE, 1 + random.below(12) as u32);
                    let _ = fetch(&mut monitor, &conn, &mut reported);
                    // A failure that has not occurred yet must not affect later requests.
                    while conn.list(ListFlags::empty()).is_err() {}
                }
                _ => drop(fetch(&mut monitor, &conn, &mut reported)),
            }
        }
        while !fetch(&mut monitor, &conn, &mut reported) {}
        let mut listed = all(&conn);
        listed.sort_unstable();
        reported.sort_unstable();
        assert_eq!(reported, listed, "seed {seed}");
    }
}

/// Receives all events; false if a read failed.
fn fetch(monitor: &mut Monitor, conn: &Conn, reported: &mut Vec<String>) -> bool {
    loop {
        match monitor.receive() {
            Ok(Some(event)) if event.kind == Overrun => {
                let nodes = std::iter::repeat_with(|| conn.list(ListFlags::empty())).find_map(Result::ok).unwrap();
                *reported = nodes.iter().map(|node| node.name().to_owned()).collect();
            }
            Ok(Some(event)) => {
                let name = event.node.as_ref().map_or(String::new(), |node| node.name().to_owned());
                reported.retain(|known| event.kind == Updated || *known != name);
                if event.kind == Created {
                    reported.push(name);
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
