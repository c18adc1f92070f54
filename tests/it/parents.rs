// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which PCI devices are parents, and the errors for devices that are not parents or cannot create a device now.

use std::collections::BTreeSet;
use std::sync::Arc;

use mdev::test_hooks::sim::{LogEntry, Op, SimEntry, SimHost, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, EventKind, ListFlags, Node, StartFlags, XmlFlags};
use mdev::{Error, ErrorCode};

use crate::support::hosts::{file, link, uuid};
use crate::support::lab::Lab;

const PF: &str = "0000:41:00.0";
const SECOND: &str = "0000:81:00.0";
const HEADER: &str = "ID    : vGPU Name\n";
const LIST: &str = "1433 : NVIDIA H200X-17C\n1434 : NVIDIA H200X-35C\n";

/// A PCI device with links from its bus and driver.
fn device(address: &str, driver: Option<&str>) -> Vec<SimEntry> {
    let path = format!("/sys/devices/{address}");
    let mut entries = vec![
        file(&format!("{path}/vendor"), 0o444, "0x10de\n"),
        file(&format!("{path}/device"), 0o444, "0x2335\n"),
        file(&format!("{path}/class"), 0o444, "0x030200\n"),
        link(&format!("{path}/subsystem"), "../../bus/pci"),
        link(&format!("/sys/bus/pci/devices/{address}"), &format!("../../../devices/{address}")),
    ];
    if let Some(driver) = driver {
        entries.push(link(&format!("{path}/driver"), &format!("../../bus/pci/drivers/{driver}")));
        let bound = format!("/sys/bus/pci/drivers/{driver}/{address}");
        entries.push(link(&bound, &format!("../../../../devices/{address}")));
    }
    entries
}

/// A PF whose VFs have these lists and are bound to `vf_driver`; without a driver the VFs have no files.
fn card(address: &str, driver: &str, lists: &[&str], vf_driver: Option<&str>) -> Vec<SimEntry> {
    let mut entries = device(address, Some(driver));
    entries.push(file(&format!("/sys/devices/{address}/sriov_totalvfs"), 0o444, "8\n"));
    for (n, list) in lists.iter().enumerate() {
        let vf = address.replace(".0", &format!(".{}", n + 1));
        entries.extend(device(&vf, vf_driver));
        entries.push(link(&format!("/sys/devices/{address}/virtfn{n}"), &format!("../{vf}")));
        entries.push(link(&format!("/sys/devices/{vf}/physfn"), &format!("../{address}")));
        entries.push(link(&format!("/sys/devices/{vf}/iommu_group"), &format!("../../kernel/iommu_groups/{n}")));
        entries.push(file(&format!("/dev/vfio/{n}"), 0o600, ""));
        if vf_driver.is_some_and(|driver| driver != "vfio-pci") {
            entries.push(file(&format!("/sys/devices/{vf}/nvidia/current_vgpu_type"), 0o644, "0\n"));
            entries.push(file(&format!("/sys/devices/{vf}/nvidia/creatable_vgpu_types"), 0o444, list));
        }
    }
    entries
}

fn host(entries: Vec<SimEntry>) -> (SimHost, Conn) {
    let host = SimHost::new(entries).unwrap();
    let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
    (host, conn)
}

fn names(conn: &Conn) -> Vec<String> {
    conn.list(ListFlags::PARENTS).unwrap().iter().map(|node| node.name().to_owned()).collect()
}

fn request(parent: &str, type_id: &str, number: u32) -> String {
    let uuid = uuid(number);
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/><uuid>{uuid}</uuid></capability></device>"
    )
}

fn create(conn: &Conn, parent: &str, type_id: &str) -> Error {
    conn.create_xml(request(parent, type_id, 1).as_bytes(), CreateFlags::empty()).unwrap_err()
}

/// The VFs exist and list no types: MIG mode without GPU instances, a full card, another mode.
#[test]
fn create_on_card_with_vfs_and_no_types_does_not_suggest_to_enable_vfs() {
    for empty in [HEADER, ""] {
        let (host, conn) = host(card(PF, "nvidia", &[empty, empty], Some("nvidia")));
        assert_eq!(names(&conn), ["pci_0000_41_00_0"]);
        let parent = conn.lookup_by_name(PF).unwrap();
        assert_eq!(parent.types().unwrap(), []);
        let of_find = parent.find_type("1434").unwrap_err();
        for e in [of_find, create(&conn, PF, "1434"), create(&conn, "0000:41:00.1", "1434")] {
            assert!(e.message.contains("2 VFs are enabled") && e.message.contains("MIG mode"), "{e}");
            assert!(!e.message.contains("sriov-manage"), "{e}");
            assert_eq!(e.code, ErrorCode::NoType);
        }
        // The types that the card can get are not known.
        let text = request(PF, "1434", 1);
        let node = conn.define_xml(text.as_bytes(), DefineFlags::AUTOSTART).unwrap();
        assert!(!node.start(StartFlags::empty()).unwrap_err().message.contains("sriov-manage"));
        assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(0));
        let e = conn.autostart(Some(PF), StartFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoType, libc::EAGAIN), "{e}");
        // GPU instances were created.
        for vf in 1..3 {
            host.unplug(&format!("/sys/devices/0000:41:00.{vf}/nvidia")).unwrap();
            host.plug([
                file(&format!("/sys/devices/0000:41:00.{vf}/nvidia/current_vgpu_type"), 0o644, "0\n"),
                file(&format!("/sys/devices/0000:41:00.{vf}/nvidia/creatable_vgpu_types"), 0o444, LIST),
            ])
            .unwrap();
        }
        assert_eq!(conn.autostart(Some(PF), StartFlags::empty()), Ok(1));
    }
}

/// Drivers list only the types that fit beside the vGPUs. No type is cached, because other programs created the
/// vGPUs.
#[test]
fn define_accepts_type_that_used_card_does_not_list() {
    for (list, is_used, code) in [(HEADER, true, None), (LIST, true, None), (LIST, false, Some(ErrorCode::NoType))] {
        let (host, conn) = host(card(PF, "nvidia", &[list, list], Some("nvidia")));
        let set = |n: u32, current: &str, list: &str| {
            let folder = format!("/sys/devices/0000:41:00.{n}/nvidia");
            host.unplug(&folder).unwrap();
            let current = file(&format!("{folder}/current_vgpu_type"), 0o644, current);
            host.plug([current, file(&format!("{folder}/creatable_vgpu_types"), 0o444, list)]).unwrap();
        };
        if is_used {
            set(1, "1440\n", HEADER);
        }
        let define = |parent: &str, type_id: &str, number: u32| {
            // One device fills the card.
            let flags = if number == 1 { DefineFlags::AUTOSTART } else { DefineFlags::empty() };
            let defined = conn.define_xml(request(parent, type_id, number).as_bytes(), flags);
            defined.map(drop).map_err(|e| e.code)
        };
        assert_eq!(define(PF, "1441", 1).err(), code, "{list} {is_used}");
        assert_eq!(define("0000:41:00.2", "1441", 2).err(), code, "{list} {is_used}");
        assert_eq!(define(PF, "NVIDIA H200X-141C", 3).err(), Some(ErrorCode::NoType), "{list} {is_used}");
        if code.is_some() {
            continue;
        }
        let e = conn.autostart(Some(PF), StartFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoType, libc::EAGAIN), "{e}");
        assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(0));
        // The vGPU was removed, and the driver lists every type.
        [1, 2].iter().for_each(|n| set(*n, "0\n", "1440 : NVIDIA H200X-71C\n1441 : NVIDIA H200X-141C\n"));
        assert_eq!(conn.autostart(Some(PF), StartFlags::empty()), Ok(1), "{list}");
    }
}

#[test]
fn card_with_any_driver_is_found_by_its_vfs() {
    for (driver, vf_driver) in [
        ("nvidia", "nvidia"),
        ("nova_core", "nvidia-vgpu-vfio"),
        ("NovaCore", "nvidia-vgpu-vfio"),
        ("other", "nvidia"),
        ("other", "other-vf"),
    ] {
        let (_host, conn) = host(card(PF, driver, &[LIST, LIST], Some(vf_driver)));
        assert_eq!(names(&conn), ["pci_0000_41_00_0"], "{driver}");
        assert_eq!(conn.lookup_by_name("pci_0000_41_00_0").unwrap().types().unwrap().len(), 2);
        let replay = conn.dump_xml().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), replay).unwrap();
        let replay = Conn::open(Some(&format!("test://{}", file.path().display()))).unwrap();
        assert_eq!(names(&replay), ["pci_0000_41_00_0"], "{driver}");
        // A vGPU is listed, its card is chosen as a parent, and a monitor reports it.
        let mut monitor = conn.monitor().unwrap();
        let anywhere = request(PF, "1434", 1).replace(&format!("<parent>{PF}</parent>"), "");
        let made = conn.create_xml(anywhere.as_bytes(), CreateFlags::empty()).unwrap();
        assert_eq!(monitor.receive().unwrap().map(|event| event.kind), Some(EventKind::Created), "{vf_driver}");
        let listed = conn.list(ListFlags::DEVICES).unwrap();
        assert_eq!(listed.iter().map(|node| node.name()).collect::<Vec<_>>(), [made.name()], "{vf_driver}");
    }
}

#[test]
fn card_with_unbound_vfs_is_listed_as_parent() {
    for vf_driver in [None, Some("vfio-pci")] {
        let (_host, conn) = host(card(PF, "nvidia", &["", ""], vf_driver));
        assert_eq!(names(&conn), ["pci_0000_41_00_0"]);
        let e = create(&conn, PF, "1434");
        assert!(e.message.contains(&format!("bound to {}", vf_driver.unwrap_or("no driver"))), "{e}");
        conn.define_xml(request(PF, "1434", 1).as_bytes(), DefineFlags::empty()).unwrap();
    }
}

#[test]
fn card_without_vfs_is_not_listed_as_parent() {
    let (machine, conn) = host([card(PF, "nvidia", &[], None), card(SECOND, "nvidia", &[], None)].concat());
    assert_eq!(names(&conn), Vec::<String>::new());
    let e = conn.lookup_by_name(PF).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoParent);
    assert!(e.message.contains("nvidia_vgpu_vfio") && !e.message.contains("sriov-manage"), "{e}");
    let mut monitor = conn.monitor().unwrap();
    // The host software is loaded, or the VFs of another card appear.
    machine.plug([SimEntry::Dir { path: "/sys/module/nvidia_vgpu_vfio".to_owned() }]).unwrap();
    assert_eq!(names(&conn), ["pci_0000_41_00_0", "pci_0000_81_00_0"]);
    assert!(create(&conn, PF, "1434").message.contains("sriov-manage -e 0000:41:00.0"));
    assert!(monitor.receive().unwrap().is_none());
    let (_host, conn) = host([card(PF, "nvidia", &[LIST], Some("nvidia")), card(SECOND, "nvidia", &[], None)].concat());
    assert_eq!(names(&conn), ["pci_0000_41_00_0", "pci_0000_81_00_0"]);
    assert!(conn.lookup_by_name(SECOND).unwrap().types().unwrap().is_empty());
}

#[test]
fn lookup_of_a_card_without_vfs_names_the_software_that_is_unreadable() {
    for (unreadable, errno) in
        [("/sys/module/nvidia_vgpu_vfio", Errno::IO), ("/drivers/nvidia-vgpu-vfio", Errno::ACCESS)]
    {
        let (machine, conn) = host(card(PF, "nvidia", &[], None));
        machine.set_hook(Some(Arc::new(move |_: Op, path: &str| path.ends_with(unreadable).then_some(errno))));
        let e = conn.lookup_by_name(PF).unwrap_err();
        assert_eq!(e.errno, errno.raw_os_error(), "{e}");
        assert!(e.path.as_deref().is_some_and(|path| path.ends_with(unreadable)), "{e}");
        assert!(e.message.contains(unreadable), "{e}");
    }
}

#[test]
fn lookup_of_a_device_that_is_no_parent_names_its_driver() {
    for (driver, word) in
        [(None, "no driver"), (Some("vfio-pci"), "vfio-pci"), (Some("nouveau"), "nouveau"), (Some("i915"), "kvmgt")]
    {
        let (_host, conn) = host(device(PF, driver));
        let e = conn.lookup_by_name(PF).unwrap_err();
        assert!(e.message.contains(word), "{e}");
    }
}

/// The scan reads the device once for the parents and once for their vGPUs.
#[test]
fn pci_device_that_is_not_pf_is_read_once_per_scan() {
    let (host, conn) = host(device(PF, Some("e1000")));
    host.start_log();
    conn.list(ListFlags::empty()).unwrap();
    let about = |entry: &LogEntry| entry.path.contains(PF) && !entry.path.ends_with("mdev_supported_types");
    assert_eq!(host.take_log().into_iter().filter(about).count(), 2);
}

/// A network card may have hundreds of VFs.
#[test]
fn list_reads_no_vf_of_network_card() {
    let mut entries = card(PF, "mlx5_core", &["", ""], Some("vfio-pci"));
    for entry in &mut entries {
        if entry.path().ends_with("/class") {
            *entry = file(entry.path(), 0o444, "0x020000\n");
        }
    }
    let (host, conn) = host(entries);
    host.start_log();
    assert_eq!(names(&conn), Vec::<String>::new());
    let about = |entry: &LogEntry| entry.path.contains("/virtfn");
    assert_eq!(host.take_log().into_iter().filter(about).count(), 0);
}

/// The forms of a name that other tools print work in the same calls.
#[test]
fn lookup_finds_types_parents_and_devices_in_every_form_in_use() {
    let host = mdev::test_hooks::sim::default_host();
    let conn = Conn::on(Arc::new(host), Arc::new(Runtime::memory([])));
    for (number, ty) in ["0x5a1", "nvidia-1441", "H200X-35C", "nvidia_h200x-35c", "nvidia h200x-35c"].iter().enumerate()
    {
        let text = request("41:00.0", ty, 1 + number as u32);
        let node = conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
        assert_eq!(node.type_id(), Ok("1441"), "{ty}");
        node.destroy(mdev::DestroyFlags::empty()).unwrap();
    }
    let parent = conn.lookup_by_name("41:00.0").unwrap();
    assert_eq!(parent.find_type("h200x-35c").unwrap().id(), "1441");

    let vgpu = conn.create_xml(request("41:00.5", "1441", 1).as_bytes(), CreateFlags::empty()).unwrap();
    let vf = vgpu.syspath().to_owned();
    assert!(vf.ends_with("0000:41:00.5"));
    for name in [
        "0000:41:00.5",
        "41:00.5",
        "pci_0000_41_00_5",
        "/sys/bus/pci/devices/0000:41:00.5",
        "/sys/bus/pci/devices/0000:41:00.5/",
        "/sys/bus/pci/devices/0000:41:00.0/virtfn1",
        &vf,
    ] {
        assert_eq!(conn.lookup_by_name(name).unwrap().uuid().unwrap(), uuid(1), "{name}");
    }
    let e = conn.lookup_by_name("41:00.6").unwrap_err();
    assert_eq!(e.code, ErrorCode::NoParent);
    assert!(e.message.contains("no vGPU"), "{e}");

    let mdev =
        conn.create_xml(request("pci_0000_00_02_0", "i915-gvtg_v5_8", 2).as_bytes(), CreateFlags::empty()).unwrap();
    let id = uuid(2);
    for name in [
        mdev.syspath().to_owned(),
        format!("{}/", mdev.syspath()),
        format!("/sys/bus/mdev/devices/{id}"),
        format!("/sys/class/mdev_bus/0000:00:02.0/{id}"),
        format!("/sys/bus/pci/devices/0000:00:02.0/{id}"),
        format!("/sys/class/mdev_bus/0000:00:02.0/mdev_supported_types/i915-GVTg_V5_8/devices/{id}"),
    ] {
        assert_eq!(conn.lookup_by_name(&name).unwrap().uuid().unwrap(), id, "{name}");
    }
    for name in [format!("/sys/class/{id}"), format!("/sys/bus/pci/devices/{id}")] {
        assert!(conn.lookup_by_name(&name).is_err(), "{name}");
    }
}

#[test]
fn type_name_with_slash_is_found_and_opens_no_other_folder() {
    let (_host, conn) = host(card(PF, "nvidia", &["1 : NVIDIA A/B-1Q\n"], Some("nvidia")));
    let node = conn.create_xml(request(PF, "NVIDIA A/B-1Q", 1).as_bytes(), CreateFlags::empty()).unwrap();
    assert_eq!(node.type_id(), Ok("1"));
    let gvt = request("0000:00:02.0", "i915-GVTg_V5_8/devices", 2);
    let conn = Conn::on(Arc::new(mdev::test_hooks::sim::default_host()), Arc::new(Runtime::memory([])));
    for made in
        [conn.create_xml(gvt.as_bytes(), CreateFlags::empty()), conn.define_xml(gvt.as_bytes(), DefineFlags::empty())]
    {
        assert_eq!(made.unwrap_err().code, ErrorCode::NoType);
    }
}

#[test]
fn short_name_of_two_types_returns_error_that_names_both() {
    let (_host, conn) = host(card(PF, "nvidia", &["1 : NVIDIA T4-1Q\n2 : GRID T4-1Q\n"], Some("nvidia")));
    let of_find = conn.lookup_by_name(PF).unwrap().find_type("t4-1q").unwrap_err();
    let anywhere = request(PF, "t4-1q", 1).replace(&format!("<parent>{PF}</parent>"), "");
    let of_choice = conn.create_xml(anywhere.as_bytes(), CreateFlags::empty()).unwrap_err();
    for e in [of_find, create(&conn, PF, "t4-1q"), of_choice] {
        assert_eq!(e.code, ErrorCode::Ambiguous);
        assert!(e.message.contains("1 (NVIDIA T4-1Q), 2 (GRID T4-1Q)"), "{e}");
    }
}

#[test]
fn wait_parent_returns_when_parent_has_type() {
    let (machine, conn) = host(card(PF, "nvidia", &[HEADER, HEADER], Some("nvidia")));
    let e = conn.wait_parent(PF, 0).unwrap_err();
    assert_eq!(e.code, ErrorCode::Timeout);
    assert!(e.message.contains("2 VFs are enabled") && e.message.contains("MIG mode"), "{e}");
    let waiter = conn.clone();
    let waiting = std::thread::spawn(move || waiter.wait_parent(PF, 30_000).map(|node| node.types().unwrap().len()));
    machine.unplug("/sys/devices/0000:41:00.1/nvidia/creatable_vgpu_types").unwrap();
    machine.plug([file("/sys/devices/0000:41:00.1/nvidia/creatable_vgpu_types", 0o444, LIST)]).unwrap();
    assert_eq!(waiting.join().unwrap(), Ok(2));
}

/// Ampere with an older driver: each VF is a parent on the mdev bus, and the PF is not.
#[test]
fn wait_parent_on_card_whose_vfs_are_parents_returns_first() {
    let mut entries = card(PF, "nvidia", &["", ""], None);
    for vf in ["0000:41:00.1", "0000:41:00.2"] {
        let ty = format!("/sys/devices/{vf}/mdev_supported_types/nvidia-474");
        entries.push(file(&format!("{ty}/available_instances"), 0o444, "1\n"));
        entries.push(file(&format!("{ty}/device_api"), 0o444, "vfio-pci\n"));
        entries.push(file(&format!("{ty}/name"), 0o444, "NVIDIA A10-4Q\n"));
        entries.push(file(&format!("{ty}/create"), 0o200, ""));
        entries.push(link(&format!("/sys/class/mdev_bus/{vf}"), &format!("../../devices/{vf}")));
    }
    let (_host, conn) = host(entries);
    assert_eq!(names(&conn), ["pci_0000_41_00_1", "pci_0000_41_00_2"]);
    for name in [PF, "pci_0000_41_00_0", "/sys/bus/pci/devices/0000:41:00.0"] {
        assert_eq!(conn.wait_parent(name, 0).unwrap().name(), "pci_0000_41_00_1", "{name}");
    }
}

/// A list of both kinds reads each parent for the parent itself and again for its devices; a list of devices reads it
/// only for the devices.
#[test]
fn list_of_both_kinds_with_failure_has_same_devices_as_list_of_devices() {
    let sim = default_host();
    let conn = Conn::on(Arc::new(sim.clone()), Arc::new(Runtime::memory([])));
    for (n, (parent, type_id)) in [("0000:86:00.0", "12"), ("0000:87:00.0", "queue-1"), (PF, "1441")].iter().enumerate()
    {
        conn.create_xml(request(parent, type_id, n as u32).as_bytes(), CreateFlags::empty()).unwrap();
    }
    let both = ListFlags::PARENTS | ListFlags::DEVICES;
    let devices = |flags| {
        let nodes = conn.list(flags).unwrap().into_iter().filter(|node| node.uuid().is_ok());
        let line = |node: Node| {
            let (ty, uuid) = (node.type_id().unwrap_or("?"), node.uuid().unwrap());
            format!("{} {uuid} on {}: {ty}, {}", node.name(), node.parent_name(), node.xml(XmlFlags::empty()).unwrap())
        };
        nodes.map(line).collect::<Vec<_>>()
    };
    let whole = devices(both);
    assert!(whole.len() > 3, "{whole:?}");
    sim.start_log();
    devices(both);
    let steps: BTreeSet<(String, String)> =
        sim.take_log().into_iter().map(|entry| (format!("{:?}", entry.op), entry.path)).collect();
    let mut shorter = 0;
    for (op, path) in steps {
        // If the directory of all parents cannot be listed, only a list that needs it fails.
        if path == "/sys/class/mdev_bus" || path == "/sys/bus/pci/devices" {
            continue;
        }
        let (wanted_op, wanted) = (op.clone(), path.clone());
        let fails = move |op: Op, path: &str| format!("{op:?}") == wanted_op && path == wanted;
        sim.set_hook(Some(Arc::new(move |op, path: &str| fails(op, path).then_some(Errno::IO))));
        let (alone, with_parents) = (devices(ListFlags::DEVICES), devices(both));
        sim.set_hook(None);
        shorter += usize::from(alone.len() < whole.len());
        assert_eq!(alone, with_parents, "{op} of {path} fails");
    }
    assert!(shorter > 5, "{shorter}");
}

/// The types are cached, but the card cannot create them.
#[test]
fn wait_parent_on_card_with_remembered_types_only_times_out() {
    let (machine, conn) = host(card(PF, "nvidia", &[LIST, LIST], Some("nvidia")));
    assert_eq!(conn.wait_parent(PF, 0).unwrap().types().unwrap().len(), 2);
    for vf in ["0000:41:00.1", "0000:41:00.2"] {
        let list = format!("/sys/devices/{vf}/nvidia/creatable_vgpu_types");
        machine.unplug(&list).unwrap();
        machine.plug([file(&list, 0o444, HEADER)]).unwrap();
    }
    assert_eq!(conn.lookup_by_name(PF).unwrap().types().unwrap().len(), 2);
    let e = conn.wait_parent(PF, 0).unwrap_err();
    assert!(e.code == ErrorCode::Timeout && e.message.contains("MIG mode"), "{e}");
}

/// A device without its API would be handed to QEMU as a PCI device, which it may not be.
#[test]
fn device_whose_api_cannot_be_read_is_a_finding_and_exhaustion_an_error() {
    let lab = Lab::new();
    let xml = "<device><parent>pci_0000_00_02_0</parent><capability type='mdev'><type id='i915-GVTg_V5_4'/></capability></device>";
    lab.conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap();
    for (errno, is_error) in [(Errno::MFILE, true), (Errno::IO, false)] {
        let fail = move |op, path: &str| (op == Op::Read && path.ends_with("V5_4/device_api")).then_some(errno);
        lab.sim.set_hook(Some(std::sync::Arc::new(fail)));
        let (listed, left_out) = mdev::collect(|| lab.conn.list(ListFlags::DEVICES));
        lab.sim.set_hook(None);
        match listed {
            Err(e) => assert!(is_error && e.errno == errno.raw_os_error(), "{e}"),
            Ok(_) => {
                assert!(!is_error && left_out.iter().any(|left| left.object.ends_with("device_api")), "{left_out:?}")
            }
        }
    }
}
