// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every operation of a request fails in turn with an errno that does not depend on the object. No request may then
//! report that a node, parent or device does not exist, and no list may be incomplete without a finding.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use mdev::collect;
use mdev::test_hooks::sim::{Op, SimHost};
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, EventKind, ListFlags, Monitor, Node, StartFlags};
use mdev::{Error, ErrorCode};

use crate::support::absence::{CARD, DEFINED, M60, NEW, ON_BUS, ON_VF, OTHER, VERSION_5, VF, Verdict, verdict, xml};
use crate::support::lab::Lab;

const OTHER_VF: &str = "0000:41:00.6";
const DEFINED_ON_VF: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc606";

/// No errno of these means that an object does not exist.
const ERRNOS: [Errno; 3] = [Errno::IO, Errno::NOMEM, Errno::INTR];

/// A host with a device on the mdev bus, a device on a VF, and for each parent a definition with autostart.
fn host_with_devices() -> Lab {
    let lab = Lab::new();
    for request in [xml(M60, "12", ON_BUS, "bus"), xml(VF, "1441", ON_VF, "vf")] {
        lab.conn.create_xml(request.as_bytes(), CreateFlags::empty()).unwrap();
    }
    for request in [xml(M60, "12", DEFINED, "defined"), xml(OTHER_VF, "1441", DEFINED_ON_VF, "on a VF")] {
        lab.conn.define_xml(request.as_bytes(), DefineFlags::AUTOSTART).unwrap();
    }
    lab
}

/// Requests that change the host; each runs on a new host.
const CHANGES: [&str; 12] = [
    "create",
    "create on a VF",
    "create a group",
    "destroy",
    "destroy a VF's device",
    "autostart",
    "autostart a PF",
    "create a device named as a parent",
    "create a device named as a class parent",
    "create a device that is defined with another type",
    "start",
    "undefine",
];

/// `whole`: the number of nodes of the host.
fn list(conn: &Conn, flags: ListFlags, whole: usize) -> Verdict {
    let (listed, found) = collect(|| conn.list(flags));
    match listed {
        Ok(nodes) if nodes.len() < whole && found.is_empty() => Err(format!("{} of {whole} nodes", nodes.len())),
        other => verdict(other.map(drop)),
    }
}

fn started(conn: &Conn, parent: &str) -> Verdict {
    match conn.autostart(Some(parent), StartFlags::empty()) {
        Ok(0) => Err("no device was started and no error returned".to_owned()),
        other => verdict(other.map(drop)),
    }
}

/// Checks that the definition is listed below its parent, or that a finding reports that the parent cannot be read.
fn below_parent(conn: &Conn, uuid: &str) -> Verdict {
    let (node, found) = collect(|| conn.lookup_by_uuid(uuid));
    match node {
        Ok(node) if node.parent_name() == "computer" && found.is_empty() => Err("no parent and no finding".to_owned()),
        other => verdict(other.map(drop)),
    }
}

/// A create that conflicts with a parent, a device or a definition.
fn conflict(conn: &Conn, xml: &str) -> Verdict {
    match conn.create_xml(xml.as_bytes(), CreateFlags::empty()) {
        Ok(_) => Err("the create succeeded".to_owned()),
        other => verdict(other.map(drop)),
    }
}

/// A dump is complete or reports what is missing: with the errno of a file or with a finding.
fn dump(conn: &Conn) -> Verdict {
    static WHOLE: LazyLock<String> = LazyLock::new(|| host_with_devices().conn.dump_xml().unwrap());
    let whole = &*WHOLE;
    let (dumped, found) = collect(|| conn.dump_xml());
    match dumped {
        Ok(text) if text != *whole && !["EIO", "EINTR"].iter().any(|e| text.contains(e)) && found.is_empty() => {
            Err(format!("{} of {} bytes", text.len(), whole.len()))
        }
        Ok(text) if text.contains("ENOMEM") => Err("ENOMEM as the content of a file".to_owned()),
        other => verdict(other.map(drop)),
    }
}

/// Runs a request on the device with this UUID.
fn of<T>(conn: &Conn, uuid: &str, request: impl FnOnce(Node) -> Result<T, Error>) -> Verdict {
    verdict(conn.lookup_by_uuid(uuid).and_then(request).map(drop))
}

/// The device has its IOMMU group, or a finding reports that the group cannot be read.
fn grouped(conn: &Conn, uuid: &str) -> Verdict {
    let (node, found) = collect(|| conn.lookup_by_uuid(uuid));
    let has_none = found.iter().find(|finding| finding.message.contains("has no IOMMU group"));
    if let Some(finding) = has_none {
        return Err(finding.message.clone());
    }
    match node {
        Ok(node) if node.iommu_group().is_err() && found.is_empty() => Err("no group and no finding".to_owned()),
        other => verdict(other.map(drop)),
    }
}

type Request = fn(&Conn) -> Verdict;

const REQUESTS: [(&str, Request); 40] = [
    ("look up a parent", |conn| verdict(conn.lookup_by_name("pci_0000_86_00_0").map(drop))),
    ("look up a PF", |conn| verdict(conn.lookup_by_name(CARD).map(drop))),
    ("look up a parent by path", |conn| verdict(conn.lookup_by_name("/sys/bus/pci/devices/0000:86:00.0").map(drop))),
    ("look up by name", |conn| verdict(conn.lookup_by_name("bus").map(drop))),
    ("look up a VF's device by name", |conn| verdict(conn.lookup_by_name("vf").map(drop))),
    ("look up a definition by name", |conn| verdict(conn.lookup_by_name("defined").map(drop))),
    ("look up by UUID", |conn| verdict(conn.lookup_by_uuid(ON_BUS).map(drop))),
    ("look up a VF's device by UUID", |conn| verdict(conn.lookup_by_uuid(ON_VF).map(drop))),
    ("look up a definition by UUID", |conn| below_parent(conn, DEFINED)),
    ("look up a definition on a VF by UUID", |conn| below_parent(conn, DEFINED_ON_VF)),
    ("list", |conn| list(conn, ListFlags::empty(), 10)),
    ("list devices", |conn| list(conn, ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE, 5)),
    ("create", |conn| verdict(conn.create_xml(xml(M60, "12", NEW, "new").as_bytes(), CreateFlags::empty()).map(drop))),
    ("create where a parent has room", |conn| {
        let text = xml(M60, "12", NEW, "new").replace(&format!("<parent>{M60}</parent>"), "");
        verdict(conn.create_xml(text.as_bytes(), CreateFlags::empty()).map(drop))
    }),
    ("create on a VF", |conn| {
        verdict(conn.create_xml(xml(CARD, "1441", NEW, "new").as_bytes(), CreateFlags::empty()).map(drop))
    }),
    ("destroy", |conn| verdict(conn.destroy_uuid(ON_BUS, DestroyFlags::empty()))),
    ("destroy a VF's device", |conn| verdict(conn.destroy_uuid(ON_VF, DestroyFlags::empty()))),
    ("autostart", |conn| started(conn, M60)),
    ("autostart a PF", |conn| started(conn, CARD)),
    ("create a device named as a parent", |conn| conflict(conn, &xml(M60, "12", NEW, "pci_0000_41_00_0"))),
    ("create a device named as a class parent", |conn| conflict(conn, &xml(M60, "12", NEW, "css_0_0_0052"))),
    ("create a device that is defined with another type", |conn| {
        conflict(conn, &xml(CARD, "1442", DEFINED_ON_VF, "new"))
    }),
    ("look up a vGPU by its VF", |conn| verdict(conn.lookup_by_name(VF).map(drop))),
    ("look up a vGPU by a path to its VF", |conn| {
        verdict(conn.lookup_by_name("/sys/bus/pci/devices/0000:41:00.0/virtfn1").map(drop))
    }),
    ("look up a PF by path", |conn| verdict(conn.lookup_by_name("/sys/bus/pci/devices/0000:41:00.0").map(drop))),
    ("look up a device by path", |conn| {
        verdict(conn.lookup_by_name(&format!("/sys/bus/mdev/devices/{ON_BUS}")).map(drop))
    }),
    ("read the group of a device", |conn| grouped(conn, ON_BUS)),
    ("read the group of a VF's device", |conn| grouped(conn, ON_VF)),
    ("wait for a parent", |conn| verdict(conn.wait_parent(M60, 0).map(drop))),
    ("wait for a PF", |conn| verdict(conn.wait_parent(CARD, 0).map(drop))),
    ("wait for the PF of a VF", |conn| verdict(conn.wait_parent(VF, 0).map(drop))),
    ("dump the host", dump),
    ("read an attribute", |conn| of(conn, ON_BUS, |node| node.attr("uevent"))),
    ("list the attributes", |conn| of(conn, ON_VF, |node| node.attrs())),
    ("set an attribute", |conn| of(conn, ON_VF, |node| node.set_attr("vgpu_params", "x=1"))),
    ("reset", |conn| of(conn, ON_BUS, |node| node.reset())),
    ("start", |conn| of(conn, DEFINED, |node| node.start(StartFlags::empty()))),
    ("undefine", |conn| of(conn, DEFINED, |node| node.undefine(DefineFlags::empty()))),
    ("create a group", |conn| {
        let (one, two) = (xml(M60, "12", NEW, "new"), xml(CARD, "1441", OTHER, "other"));
        verdict(conn.create_group_xml(&[one.as_bytes(), two.as_bytes()], CreateFlags::empty()).map(drop))
    }),
    ("open a monitor", |conn| verdict(conn.monitor().map(drop))),
];

/// How long a failure lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lasts {
    /// The n-th operation fails.
    Once,
    /// The n-th operation fails, and every later operation of the same kind on the same path.
    On,
}

/// Runs the request with its n-th operation failing. Returns the verdict and the failed operation; `None` if the
/// request has fewer operations.
fn with_failure<T>(
    sim: &SimHost,
    nth: usize,
    errno: Errno,
    lasts: Lasts,
    request: impl FnOnce() -> T,
) -> Option<(T, String)> {
    let (count, failed) = (AtomicUsize::new(0), Arc::new(Mutex::new(None)));
    let at = Arc::clone(&failed);
    sim.set_hook(Some(Arc::new(move |op: Op, path: &str| {
        let mut failed = at.lock().unwrap();
        if count.fetch_add(1, Ordering::Relaxed) == nth {
            *failed = Some((op, path.to_owned()));
            return Some(errno);
        }
        let again = || failed.as_ref().is_some_and(|(of, at)| *of == op && at == path);
        (lasts == Lasts::On && again()).then_some(errno)
    })));
    let verdict = request();
    sim.set_hook(None);
    let step = failed.lock().unwrap().take();
    step.map(|(op, path)| (verdict, format!("{op:?} {path}")))
}

/// Runs the requests with each operation failing `times` times, with the errnos in turn. Returns the number of failures
/// and the wrong verdicts.
fn wrong(lasts: Lasts, errnos: &[Errno], times: usize, requests: &[(&str, Request)]) -> (usize, Vec<String>) {
    let (mut wrong, mut injected) = (Vec::new(), 0);
    for (name, request) in requests {
        let mut lab = host_with_devices();
        for first in 0..times {
            for (nth, errno) in errnos.iter().copied().cycle().skip(first).enumerate() {
                if CHANGES.contains(name) {
                    lab = host_with_devices();
                }
                let conn = &lab.conn;
                let Some((verdict, step)) = with_failure(&lab.sim, nth, errno, lasts, || request(conn)) else { break };
                injected += 1;
                if let Err(why) = verdict {
                    wrong.push(format!("{name}: {errno} at {step}: {why}"));
                }
            }
        }
    }
    (injected, wrong)
}

#[test]
fn failure_with_any_errno_is_not_reported_as_absence() {
    let (injected, wrong) = wrong(Lasts::Once, &ERRNOS, 2, &REQUESTS);
    assert!(injected > 1000, "only {injected} errors were injected");
    assert!(wrong.is_empty(), "{} of {injected}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A repeated read does not help here.
#[test]
fn lasting_failure_is_not_reported_as_absence() {
    let lookups = REQUESTS.into_iter().filter(|(name, _)| !CHANGES.contains(name)).collect::<Vec<_>>();
    let (injected, wrong) = wrong(Lasts::On, &[Errno::IO, Errno::INTR], 1, &lookups);
    assert!(injected > 1000, "only {injected} errors were injected");
    assert!(wrong.is_empty(), "{} of {injected}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Makes the kernel send every event about nodes that stay, and creates devices so that the monitor counts instances
/// again.
fn cause_events(lab: &Lab) {
    let uevent = |path: &str| format!("{}/uevent", lab.conn.lookup_by_name(path).unwrap().syspath());
    for path in ["bus", M60, CARD] {
        lab.sim.echo(&uevent(path), "change").unwrap();
    }
    let vf = format!("/sys/bus/pci/devices/{VF}");
    lab.sim.echo(&format!("{vf}/uevent"), "change").unwrap();
    for text in [xml(M60, "12", NEW, "new"), xml(CARD, "1441", OTHER, "other")] {
        lab.conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    }
}

fn drain(monitor: &mut Monitor, kinds: &mut Vec<(EventKind, String)>) -> Result<(), Error> {
    while let Some(event) = monitor.receive()? {
        kinds.push((event.kind, event.node.map_or(String::new(), |node| node.name().to_owned())));
    }
    Ok(())
}

/// A node that the monitor cannot read keeps its last known state.
#[test]
fn monitor_does_not_report_unreadable_nodes_as_deleted() {
    let (mut wrong, mut injected) = (Vec::new(), 0);
    for (lasts, first) in [(Lasts::Once, 0), (Lasts::On, 0), (Lasts::Once, 1)] {
        for (nth, errno) in ERRNOS.into_iter().cycle().skip(first).enumerate() {
            let lab = host_with_devices();
            let mut monitor = lab.conn.monitor().unwrap();
            cause_events(&lab);
            let mut kinds = Vec::new();
            let drained = with_failure(&lab.sim, nth, errno, lasts, || drain(&mut monitor, &mut kinds));
            let Some((result, step)) = drained else { break };
            injected += 1;
            if let Err(e) = verdict(result) {
                wrong.push(format!("{errno} at {step}: {e}"));
            }
            drain(&mut monitor, &mut kinds).unwrap();
            for (kind, name) in kinds {
                if matches!(kind, EventKind::Deleted | EventKind::Undefined) {
                    wrong.push(format!("{errno} at {step}: {kind:?} {name}"));
                }
            }
        }
    }
    assert!(injected > 100, "only {injected} errors were injected");
    assert!(wrong.is_empty(), "{} of {injected}:\n{}", wrong.len(), wrong.join("\n"));
}

/// One object of each kind: a VF, a PCI device that is no PF, and a device on the mdev bus.
const UNREADABLE: [&[&str]; 3] =
    [&["virtfn3/nvidia/current_vgpu_type"], &["0000:c2:00.0", "0000:86:00.0/sriov_totalvfs"], &[ON_BUS]];

/// None of these objects can be a device on this parent.
#[test]
fn version_5_uuid_is_usable_beside_unreadable_objects_elsewhere() {
    for parts in UNREADABLE {
        let lab = host_with_devices();
        let conn = &lab.conn;
        lab.unreadable(parts);
        let text = xml(M60, "12", VERSION_5, "five");
        let node = conn.define_xml(text.as_bytes(), DefineFlags::AUTOSTART).unwrap();
        assert!(!conn.lookup_by_uuid(VERSION_5).unwrap().is_active(), "{parts:?}");
        let generated = format!("mdev_{}_0000_86_00_0", VERSION_5.replace('-', "_"));
        assert!(!conn.lookup_by_name(&generated).unwrap().is_active(), "{parts:?}");
        assert!(!conn.lookup_by_name("five").unwrap().is_active(), "{parts:?}");
        node.start(StartFlags::empty()).unwrap();
        assert!(conn.lookup_by_uuid(VERSION_5).unwrap().is_active(), "{parts:?}");
        conn.destroy_uuid(VERSION_5, DestroyFlags::empty()).unwrap();
        assert_eq!(conn.autostart(Some(M60), StartFlags::empty()), Ok(2), "{parts:?}");
        conn.destroy_uuid(VERSION_5, DestroyFlags::empty()).unwrap();
        node.undefine(DefineFlags::empty()).unwrap();
        conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    }
}

/// The lookup fails only if the unreadable object may be the device.
#[test]
fn unreadable_vf_may_have_version_5_uuid_on_its_own_card() {
    for (number, parts) in UNREADABLE.into_iter().enumerate() {
        let lab = host_with_devices();
        lab.unreadable(parts);
        let looked_up = lab.conn.lookup_by_uuid(VERSION_5).unwrap_err();
        let created = lab.conn.create_xml(xml(CARD, "1441", VERSION_5, "five").as_bytes(), CreateFlags::empty());
        let is_hidden = number == 0;
        assert_eq!(looked_up.code, if is_hidden { ErrorCode::Kernel } else { ErrorCode::NoNode }, "{looked_up}");
        assert_eq!(created.map_err(|e| e.code).err(), is_hidden.then_some(ErrorCode::Kernel), "{parts:?}");
    }
}

#[test]
fn name_with_underscore_or_colon_is_free_beside_unreadable_pci_device() {
    let lab = host_with_devices();
    lab.unreadable(UNREADABLE[1]);
    for (name, uuid) in [("my_device", NEW), ("my:device", OTHER)] {
        let text = xml(CARD, "1441", uuid, name);
        lab.conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
        lab.conn.define_xml(text.as_bytes(), DefineFlags::empty()).unwrap();
    }
}

/// A card with a vGPU may list more types later.
#[test]
fn autostart_waits_for_hidden_type_beside_unreadable_vf() {
    for parts in [&["virtfn3/nvidia/creatable_vgpu_types"], &["virtfn3/nvidia/current_vgpu_type"]] {
        let lab = host_with_devices();
        lab.unreadable(parts);
        let text = xml(CARD, "1999", NEW, "hidden");
        lab.conn.define_xml(text.as_bytes(), DefineFlags::AUTOSTART).unwrap();
        let e = lab.conn.autostart(Some(CARD), StartFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoType, Errno::AGAIN.raw_os_error()), "{e}");
        lab.conn.autostart(None, StartFlags::empty()).unwrap();
        let e = lab.conn.create_xml(xml(CARD, "1999", OTHER, "x").as_bytes(), CreateFlags::empty()).unwrap_err();
        assert_eq!(e.code, ErrorCode::Kernel, "the VF may list the type: {e}");
    }
}

#[test]
fn autostart_reports_exhaustion_beside_unreadable_vf() {
    for nth in 0.. {
        let lab = host_with_devices();
        lab.conn.lookup_by_uuid(DEFINED_ON_VF).unwrap().undefine(DefineFlags::empty()).unwrap();
        lab.conn.define_xml(xml(CARD, "1999", NEW, "hidden").as_bytes(), DefineFlags::AUTOSTART).unwrap();
        let (count, failed) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let injected = Arc::clone(&failed);
        lab.sim.set_hook(Some(Arc::new(move |op, path: &str| {
            let needs_descriptor = matches!(op, Op::Open | Op::Read | Op::List);
            if needs_descriptor && count.fetch_add(1, Ordering::Relaxed) == nth {
                injected.store(true, Ordering::Relaxed);
                return Some(Errno::MFILE);
            }
            path.ends_with("virtfn3/nvidia/creatable_vgpu_types").then_some(Errno::IO)
        })));
        let e = lab.conn.autostart(Some(CARD), StartFlags::empty()).unwrap_err();
        if !failed.load(Ordering::Relaxed) {
            assert!(nth > 20, "{nth}");
            break;
        }
        assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{nth}: {e}");
    }
}

#[test]
fn define_with_type_number_reports_exhaustion() {
    let lab = host_with_devices();
    lab.sim.fail_next(Op::Read, "/12/name", Errno::MFILE, 1);
    let text = xml("0000:ff:00.0", "1999", OTHER, "x");
    let e = lab.conn.define_xml(text.as_bytes(), DefineFlags::empty()).unwrap_err();
    assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{e}");
}

#[test]
fn create_with_unknown_type_lists_types_despite_unreadable_attribute() {
    let lab = host_with_devices();
    lab.unreadable(&["/heads"]);
    let e = lab.conn.create_xml(xml(M60, "99", NEW, "x").as_bytes(), CreateFlags::empty()).unwrap_err();
    assert!(e.code == ErrorCode::NoType && e.message.contains("it has 1"), "{e}");
    let (parent, found) = collect(|| lab.conn.lookup_by_name(M60));
    assert!(parent.is_ok() && !found.is_empty(), "{found:?}");
}
