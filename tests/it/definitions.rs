// SPDX-License-Identifier: LGPL-2.1-or-later
//! Persistent devices, through the calls of the driver: on the simulated host, and with files below a made-up root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use mdev::ErrorCode;
use mdev::test_hooks::sim::Op;
use mdev::test_hooks::store::{Definitions, Runtime};
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags, Node, StartFlags, XmlFlags};

use crate::support::definitions::{IGD, UUID, host, xml};
use crate::support::skip::skip;

fn names(conn: &Conn, flags: ListFlags) -> Vec<String> {
    conn.list(ListFlags::DEVICES | flags).unwrap().iter().map(|node| node.uuid().unwrap()).collect()
}

fn define(conn: &Conn, xml: &str) -> Node {
    conn.define_xml(xml.as_bytes(), DefineFlags::empty()).unwrap()
}

#[test]
fn definition_is_started_destroyed_and_undefined() {
    for files in [true, false] {
        let (_root, _sim, conn) = host(files);
        let before = names(&conn, ListFlags::ACTIVE).len();
        let node = define(&conn, &xml("pci_0000_00_02_0", "i915-GVTg_V5_4", UUID, ""));
        assert_eq!((node.is_active(), node.is_persistent(), node.autostart()), (false, Ok(true), Ok(false)));
        assert_eq!(node.parent_name(), "pci_0000_00_02_0");
        assert_eq!(names(&conn, ListFlags::INACTIVE), [UUID]);
        assert_eq!(names(&conn, ListFlags::empty()).len(), before);
        let e = node.destroy(DestroyFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::WrongState, Errno::NODEV.raw_os_error()), "{e}");
        assert_eq!(node.attr("uevent").unwrap_err().code, ErrorCode::WrongState);

        node.start(StartFlags::empty()).unwrap();
        let running = conn.lookup_by_uuid(UUID).unwrap();
        assert!(running.is_active());
        assert_eq!(running.name(), node.name());
        let both = ListFlags::ACTIVE | ListFlags::INACTIVE;
        assert_eq!(names(&conn, both).iter().filter(|uuid| *uuid == UUID).count(), 1, "one node");
        assert!(names(&conn, ListFlags::INACTIVE).is_empty());
        assert_eq!(node.start(StartFlags::empty()).unwrap_err().code, ErrorCode::WrongState);

        running.set_autostart(true).unwrap();
        assert_eq!(node.autostart(), Ok(true));
        // A changed definition applies from the next start on. A redefine keeps the properties that the request does
        // not contain.
        define(&conn, &xml(IGD, "i915-GVTg_V5_8", UUID, ""));
        assert_eq!(conn.lookup_by_uuid(UUID).unwrap().type_id(), Ok("i915-GVTg_V5_4"));
        assert_eq!(running.autostart(), Ok(true));
        running.undefine(DefineFlags::empty()).unwrap();
        assert_eq!(running.is_persistent(), Ok(false));
        assert_eq!(running.undefine(DefineFlags::empty()).unwrap_err().code, ErrorCode::WrongState);
        assert_eq!(running.set_autostart(true).unwrap_err().code, ErrorCode::WrongState);
        running.destroy(DestroyFlags::empty()).unwrap();
        assert_eq!(conn.lookup_by_uuid(UUID).unwrap_err().code, ErrorCode::NoNode);
    }
}

#[test]
fn start_restores_name_group_and_parameters() {
    for files in [true, false] {
        let (root, _sim, conn) = host(files);
        let more = "<group>3</group><params>frame_rate_limiter=0</params>";
        let text = xml("0000:86:00.0", "11", UUID, more).replace("<parent>", "<name>my-vgpu</name><parent>");
        let node = define(&conn, &text);
        assert_eq!((node.name(), node.group()), ("my-vgpu", Ok(3)));
        assert!(!conn.lookup_by_name("my-vgpu").unwrap().is_active());
        if files {
            let main = fs::read_to_string(root.path().join(format!("etc/mdevctl.d/0000:86:00.0/{UUID}"))).unwrap();
            assert_eq!(main, "{\n  \"mdev_type\": \"11\",\n  \"start\": \"manual\",\n  \"attrs\": []\n}");
        }
        let e = conn
            .define_xml(text.replace(UUID, "22222222-2222-4333-8444-555555555555").as_bytes(), DefineFlags::empty())
            .unwrap_err();
        assert_eq!(e.code, ErrorCode::Exists, "{e}");
        node.start(StartFlags::empty()).unwrap();
        let running = conn.lookup_by_name("my-vgpu").unwrap();
        assert_eq!((running.is_active(), running.group()), (true, Ok(3)));
        assert_eq!(running.attr("params").unwrap(), "frame_rate_limiter=0");
        running.destroy(DestroyFlags::empty()).unwrap();
        assert!(!conn.lookup_by_name("my-vgpu").unwrap().is_active());
        // If mdevctl's file has another type, the extras beside it do not apply.
        if files {
            let path = root.path().join(format!("etc/mdevctl.d/0000:86:00.0/{UUID}"));
            fs::write(path, r#"{"mdev_type":"12","start":"manual"}"#).unwrap();
            assert_eq!(conn.lookup_by_uuid(UUID).unwrap().group().unwrap_err().code, ErrorCode::NoData);
        }
    }
}

#[test]
fn autostart_starts_each_definition_once_despite_failures() {
    let (_root, _sim, conn) = host(true);
    let uuid = |n: u32| format!("{n:08x}-0000-4000-8000-000000000000");
    for n in 0..6 {
        // Two definitions of a type with one instance left beside the existing device; one on a card that is absent.
        let (parent, type_id) = match n {
            0 | 1 => ("0000:86:00.0", "11"),
            2 | 3 => ("0000:41:00.0", "1443"),
            4 => ("0000:41:00.5", "1438"),
            _ => ("0000:99:00.0", "11"),
        };
        define(&conn, &xml(parent, type_id, &uuid(n), "")).set_autostart(n != 1).unwrap();
    }
    let e = conn.autostart(None, StartFlags::empty()).unwrap_err();
    assert_eq!(e.errno, Errno::NOSPC.raw_os_error(), "{e}");
    assert!(e.message.contains(&uuid(3)) && e.message.contains("2 were"), "{e}");
    let running = |n: u32| conn.lookup_by_uuid(&uuid(n)).unwrap().is_active();
    // Definition 4 names its VF, and the card is full.
    assert_eq!([0, 1, 2, 3, 4, 5].map(running), [true, false, true, false, false, false]);
    conn.lookup_by_uuid(&uuid(2)).unwrap().destroy(DestroyFlags::empty()).unwrap();
    conn.lookup_by_uuid(&uuid(3)).unwrap().set_autostart(false).unwrap();
    conn.lookup_by_uuid(&uuid(2)).unwrap().set_autostart(false).unwrap();
    assert_eq!(conn.autostart(Some("0000:86:00.0"), StartFlags::empty()), Ok(0));
    assert_eq!(conn.autostart(Some("0000:41:00.0"), StartFlags::empty()), Ok(1));
    assert!(running(4));
    assert_eq!(conn.lookup_by_uuid(&uuid(4)).unwrap().syspath().rsplit('/').next(), Some("0000:41:00.5"));
    assert_eq!(conn.autostart(Some("0000:99:00.0"), StartFlags::empty()).unwrap_err().code, ErrorCode::NoParent);
}

/// An autostart at boot has no owner: the device belongs to the owner of its definition.
#[test]
fn definition_keeps_its_owner_over_start_and_redefine() {
    for files in [true, false] {
        let (root, sim, conn) = host(files);
        conn.set_owner(Some("web")).unwrap();
        let node = define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
        assert_eq!(node.owner(), Ok("web"));
        if files {
            // A process like the one at boot.
            let definitions = Definitions::files(root.path().to_str().unwrap());
            let boot = Conn::of((Arc::new(sim), Arc::new(Runtime::memory([])), Arc::new(definitions)));
            boot.lookup_by_uuid(UUID).unwrap().set_autostart(true).unwrap();
            assert_eq!(boot.autostart(None, StartFlags::empty()), Ok(1));
            let started = boot.lookup_by_uuid(UUID).unwrap();
            assert_eq!((started.owner(), started.is_active()), (Ok("web"), true));
            boot.set_owner(Some("batch")).unwrap();
            assert_eq!(boot.destroy_uuid(UUID, DestroyFlags::OWNED).unwrap_err().code, ErrorCode::NotOwner);
            boot.set_owner(Some("web")).unwrap();
            boot.destroy_uuid(UUID, DestroyFlags::OWNED).unwrap();
        }
        // A redefine by a caller without an owner keeps the owner; a redefine by another owner replaces it.
        conn.set_owner(None).unwrap();
        assert_eq!(define(&conn, &xml(IGD, "i915-GVTg_V5_8", UUID, "")).owner(), Ok("web"));
        conn.set_owner(Some("batch")).unwrap();
        assert_eq!(define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, "")).owner(), Ok("batch"));
    }
}

/// The second caller finds the devices of the first, including the last instance.
#[test]
fn concurrent_autostarts_start_each_definition_once() {
    for round in 0..20 {
        let (_root, _sim, conn) = host(true);
        let uuid = |n: u32| format!("{n:08x}-{round:04}-4000-8000-000000000000");
        define(&conn, &xml("0000:41:00.0", "1443", &uuid(1), "")).set_autostart(true).unwrap();
        define(&conn, &xml("0000:86:00.0", "11", &uuid(2), "")).set_autostart(true).unwrap();
        let barrier = std::sync::Barrier::new(2);
        let start = || {
            barrier.wait();
            conn.autostart(None, StartFlags::empty())
        };
        let started = std::thread::scope(|scope| [scope.spawn(start), scope.spawn(start)].map(|t| t.join().unwrap()));
        let count = |result: &Result<u32, mdev::Error>| result.clone().unwrap_or_else(|e| panic!("{round}: {e}"));
        assert_eq!(started.iter().map(count).sum::<u32>(), 2);
    }
}

#[test]
fn autostart_with_many_failures_names_first_eight() {
    let (_root, _sim, conn) = host(true);
    let uuid = |n: u32| format!("{n:08x}-0000-4000-8000-000000000000");
    // Each of these types takes the whole card.
    for n in 0..12 {
        define(&conn, &xml("0000:41:00.0", "1443", &uuid(n), "")).set_autostart(true).unwrap();
    }
    let e = conn.autostart(None, StartFlags::empty()).unwrap_err();
    assert!(e.message.starts_with("11 of the devices could not be started, 1 were: "), "{e}");
    assert!(e.message.ends_with("; and 3 more, which the log names"), "{e}");
    assert_eq!((1..12).filter(|n| e.message.contains(&uuid(*n))).count(), 8, "{e}");
}

/// Two definitions never have the same name, and a redefine keeps an autostart that was set concurrently.
#[test]
fn concurrent_defines_keep_names_unique_and_autostart() {
    for files in [true, false] {
        let (_root, _sim, conn) = host(files);
        let uuid = |n: u32| format!("{n:08x}-0000-4000-8000-000000000000");
        for round in 0..20 {
            let define = |n: u32| {
                let text = xml(IGD, "i915-GVTg_V5_4", &uuid(n), "")
                    .replace("<parent>", &format!("<name>n{round}</name><parent>"));
                conn.define_xml(text.as_bytes(), DefineFlags::empty()).map(drop)
            };
            let barrier = std::sync::Barrier::new(2);
            let (one, two) = std::thread::scope(|scope| {
                let [one, two] = [1, 2].map(|n| {
                    let (barrier, define) = (&barrier, &define);
                    scope.spawn(move || {
                        barrier.wait();
                        define(100 * round + n)
                    })
                });
                (one.join().unwrap(), two.join().unwrap())
            });
            let errors: Vec<_> = [one, two].into_iter().filter_map(Result::err).collect();
            assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), [ErrorCode::Exists], "round {round}");
        }
        let node = define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
        std::thread::scope(|scope| {
            let redefine = || (0..50).for_each(|_| drop(define(&conn, &xml(IGD, "i915-GVTg_V5_8", UUID, ""))));
            let redefining = scope.spawn(redefine);
            for n in 0..50 {
                node.set_autostart(n % 2 == 0).unwrap();
                assert_eq!(node.autostart(), Ok(n % 2 == 0), "{n}");
            }
            redefining.join().unwrap();
        });
    }
}

#[test]
fn lookup_of_uuid_defined_under_two_parents_is_ambiguous() {
    let (_root, _sim, conn) = host(true);
    define(&conn, &xml("0000:86:00.0", "11", UUID, ""));
    define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
    let e = conn.lookup_by_uuid(UUID).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Ambiguous, Errno::NOTUNIQ.raw_os_error()));
    let name = |parent: &str| format!("mdev_{}_{parent}", UUID.replace('-', "_"));
    assert!(e.message.contains(&name("0000_86_00_0")) && e.message.contains(&name("0000_00_02_0")), "{e}");
    conn.lookup_by_name(&name("0000_00_02_0")).unwrap().start(StartFlags::empty()).unwrap();
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap().parent_name(), "pci_0000_00_02_0");
    // The other definition is a node of its own and cannot run at the same time.
    let other = conn.lookup_by_name(&name("0000_86_00_0")).unwrap();
    assert!(!other.is_active());
    assert_eq!(names(&conn, ListFlags::INACTIVE), [UUID]);
    assert_eq!(other.start(StartFlags::empty()).unwrap_err().code, ErrorCode::Exists);
    other.undefine(DefineFlags::empty()).unwrap();
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap().is_persistent(), Ok(true));
}

#[test]
fn start_writes_attributes_in_order_and_removes_device_on_bad_one() {
    let (_root, _sim, conn) = host(true);
    let attr = |name: &str, value: &str| format!("<attr name='{name}' value='{value}'/>");
    let good = attr("assign_adapter", "5") + &attr("assign_domain", "4") + &attr("assign_domain", "0xab");
    let node = define(&conn, &xml("ap_matrix", "vfio_ap-passthrough", UUID, &good));
    node.start(StartFlags::empty()).unwrap();
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap().attr("matrix").unwrap(), "05.0004\n05.00ab");
    node.destroy(DestroyFlags::empty()).unwrap();
    let bad = good + &attr("no_such_file", "1");
    define(&conn, &xml("ap_matrix", "vfio_ap-passthrough", UUID, &bad));
    assert_eq!(node.start(StartFlags::empty()).unwrap_err().code, ErrorCode::NoAttribute);
    assert!(!conn.lookup_by_uuid(UUID).unwrap().is_active());
}

#[test]
fn define_on_absent_parent_succeeds_and_start_returns_no_parent() {
    let (_root, _sim, conn) = host(true);
    let node = define(&conn, &xml("pci_0000_99_00_0", "4711", UUID, ""));
    assert_eq!((node.parent_name(), node.layout()), ("computer", "mdev"));
    assert_eq!(node.start(StartFlags::empty()).unwrap_err().code, ErrorCode::NoParent);
    // Its XML defines the same device again.
    for parent in ["pci_0000_99_00_0", "css_0_0_0099"] {
        let node = define(&conn, &xml(parent, "4711", UUID, ""));
        for dialect in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
            let printed = node.xml(dialect).unwrap();
            let again = define(&conn, &printed);
            assert_eq!((again.name(), again.xml(dialect).unwrap()), (node.name(), printed));
            assert_eq!(conn.list(ListFlags::INACTIVE | ListFlags::DEVICES).unwrap().len(), 1);
        }
        node.undefine(DefineFlags::empty()).unwrap();
    }
    for unknown in ["some_card", "computer"] {
        let e = conn.define_xml(xml(unknown, "11", UUID, "").as_bytes(), DefineFlags::empty()).unwrap_err();
        assert_eq!(e.code, ErrorCode::NoParent, "{e}");
    }
    let e = conn.define_xml(xml("0000:86:00.0", "4711", UUID, "").as_bytes(), DefineFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoType, "{e}");
}

#[test]
fn start_element_sets_autostart() {
    for files in [true, false] {
        let (_root, _sim, conn) = host(files);
        let text = |start: &str| xml(IGD, "i915-GVTg_V5_4", UUID, &format!("<start type='{start}'/>"));
        assert_eq!(define(&conn, &text("auto")).autostart(), Ok(true));
        assert_eq!(define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, "")).autostart(), Ok(true), "unchanged");
        assert_eq!(define(&conn, &text("manual")).autostart(), Ok(false));
        let e = conn.define_xml(text("manual").as_bytes(), DefineFlags::AUTOSTART).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::InvalidFlags, libc::EINVAL), "{e}");
        let created = conn.create_xml(text("auto").as_bytes(), CreateFlags::empty()).unwrap();
        assert_eq!((created.is_active(), created.autostart()), (true, Ok(false)), "no effect on create");
    }
}

#[test]
fn dump_of_host_contains_its_definitions() {
    let (_root, _sim, conn) = host(false);
    define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, "")).set_autostart(true).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), conn.dump_xml().unwrap()).unwrap();
    let replay = Conn::open(Some(&format!("test://{}", file.path().display()))).unwrap();
    assert_eq!(names(&replay, ListFlags::INACTIVE), [UUID]);
    assert_eq!(replay.autostart(None, StartFlags::empty()), Ok(1));
}

/// A list contains the valid definitions; the lookup of an invalid definition returns the error.
#[test]
fn list_beside_hostile_files_has_sound_definitions() {
    let (root, _sim, conn) = host(true);
    define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
    let base = root.path().join("etc/mdevctl.d");
    let dir = base.join(IGD);
    let uuid = |n: u32| format!("{n:08x}-0000-4000-8000-000000000000");
    let good = r#"{"mdev_type":"i915-GVTg_V5_4","start":"auto"}"#;
    fs::write(root.path().join("elsewhere"), good).unwrap();
    symlink(root.path().join("elsewhere"), dir.join(uuid(1))).unwrap();
    fs::create_dir(dir.join(uuid(2))).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, dir.join(uuid(3)), fifo, rustix::fs::Mode::from(0o600), 0).unwrap();
    fs::File::create(dir.join(uuid(4))).unwrap().set_len(1 << 30).unwrap();
    for (n, text) in [(5, ""), (6, "{"), (7, r#"{"mdev_type":5,"start":"auto"}"#), (8, "\0\u{fffd}")] {
        fs::write(dir.join(uuid(n)), text).unwrap();
    }
    fs::write(dir.join(uuid(9)), good).unwrap();
    let is_root = std::os::unix::fs::chown(dir.join(uuid(9)), Some(12345), None).is_ok();
    fs::write(dir.join(uuid(12)), good).unwrap();
    fs::set_permissions(dir.join(uuid(12)), fs::Permissions::from_mode(0o666)).unwrap();
    if !is_root {
        skip("only root can give a file to another user or group");
    } else {
        fs::write(dir.join(uuid(13)), good).unwrap();
        std::os::unix::fs::chown(dir.join(uuid(13)), None, Some(12345)).unwrap();
        fs::set_permissions(dir.join(uuid(13)), fs::Permissions::from_mode(0o664)).unwrap();
    }
    fs::write(dir.join(uuid(10).to_uppercase()), good).unwrap();
    fs::write(dir.join("stray"), good).unwrap();
    fs::create_dir_all(base.join("scripts.d/callouts")).unwrap();
    fs::write(base.join("scripts.d").join(uuid(11)), good).unwrap();
    symlink(&dir, base.join("0000:86:00.0")).unwrap();
    fs::write(base.join("0000:87:00.0"), good).unwrap();

    let listed = names(&conn, ListFlags::INACTIVE);
    let expected = if is_root { vec![UUID.to_owned()] } else { vec![uuid(9), UUID.to_owned()] };
    assert_eq!(listed, expected);
    for n in (1..9).chain([12]).chain([9, 13].into_iter().filter(|_| is_root)) {
        let e = conn.lookup_by_uuid(&uuid(n)).unwrap_err();
        assert_eq!(e.code, ErrorCode::Store, "{n}: {e}");
        assert!(e.path.as_deref().is_some_and(|path| path.ends_with(&uuid(n))), "{n}: {e:?}");
    }
    for n in [10, 11] {
        assert_eq!(conn.lookup_by_uuid(&uuid(n)).unwrap_err().code, ErrorCode::NoNode, "{n}");
    }
    // The library does not write through a link in the place of a parent's directory.
    let e = conn.define_xml(xml("0000:86:00.0", "11", &uuid(20), "").as_bytes(), DefineFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::Store, "{e}");
    // A link in the place of a definition is replaced; the target of the link stays unchanged.
    define(&conn, &xml(IGD, "i915-GVTg_V5_8", &uuid(1), ""));
    assert_eq!(fs::read_to_string(root.path().join("elsewhere")).unwrap(), good);
    conn.create_xml(xml(IGD, "i915-GVTg_V5_8", &uuid(30), "").as_bytes(), CreateFlags::empty()).unwrap();
}

/// At boot the VFs of a card appear after the card. The service that enables them repeats the autostart.
#[test]
fn autostart_of_card_without_vfs_waits_until_they_are_enabled() {
    let (root, sim, conn) = host(true);
    let folder = root.path().join("etc/mdevctl.d/0000:c1:00.0");
    // The types are unknown until the VFs exist.
    let text = xml("0000:c1:00.0", "1438", UUID, "");
    assert!(!conn.define_xml(text.as_bytes(), DefineFlags::AUTOSTART).unwrap().is_active());
    assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(0));
    // An autostart of the card itself returns an error.
    let e = conn.autostart(Some("0000:c1:00.0"), StartFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoType, "{e}");
    sim.enable_vfs().unwrap();
    // An idle card lists all of its types; a card with a vGPU does not.
    let unknown = folder.join(UUID.replace('1', "9"));
    fs::write(&unknown, r#"{"mdev_type":"4711","start":"auto"}"#).unwrap();
    let defined = fs::read(folder.join(UUID)).unwrap();
    fs::remove_file(folder.join(UUID)).unwrap();
    let e = conn.autostart(None, StartFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoType, Errno::NODEV.raw_os_error()), "{e}");
    fs::write(folder.join(UUID), defined).unwrap();
    assert_eq!(conn.autostart(Some("0000:86:00.0"), StartFlags::empty()), Ok(0));
    let e = conn.autostart(Some("0000:c1:00.0"), StartFlags::empty()).unwrap_err();
    assert!(e.message.contains(", 1 were"), "{e}");
    let e = conn.autostart(Some("0000:c1:00.0"), StartFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoType, Errno::AGAIN.raw_os_error()), "{e}");
    fs::remove_file(&unknown).unwrap();
    assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(0));
}

#[test]
fn define_with_autostart_flag_sets_autostart() {
    for files in [true, false] {
        let (_root, _sim, conn) = host(files);
        let text = xml(IGD, "i915-GVTg_V5_4", UUID, "");
        let define = |flags| conn.define_xml(text.as_bytes(), flags).unwrap();
        let node = define(DefineFlags::AUTOSTART);
        assert_eq!(node.autostart(), Ok(true));
        define(DefineFlags::empty());
        assert_eq!(node.autostart(), Ok(true), "unchanged without the flag");
        node.set_autostart(false).unwrap();
        define(DefineFlags::empty());
        assert_eq!(node.autostart(), Ok(false));
        define(DefineFlags::AUTOSTART);
        assert_eq!(node.autostart(), Ok(true), "an existing definition too");
        assert_eq!(node.undefine(DefineFlags::AUTOSTART).unwrap_err().code, ErrorCode::InvalidFlags);
        assert_eq!(node.is_persistent(), Ok(true));
    }
}

/// Without the UUID, the caller could only repeat the define, which would add a second definition.
#[test]
fn define_without_uuid_succeeds_when_descriptors_run_out_after_write() {
    let (_root, sim, conn) = host(true);
    let text = xml(IGD, "i915-GVTg_V5_4", UUID, "").replace(&format!("<uuid>{UUID}</uuid>"), "");
    sim.set_hook(Some(Arc::new(|op, path: &str| {
        (op == Op::Open && path.ends_with("/sys/bus/mdev/devices")).then_some(Errno::MFILE)
    })));
    let node = conn.define_xml(text.as_bytes(), DefineFlags::empty()).unwrap();
    sim.set_hook(None);
    assert_eq!(names(&conn, ListFlags::INACTIVE), [node.uuid().unwrap()]);
}

/// A parent that cannot be read because descriptors are exhausted is not absent.
#[test]
fn redefine_without_descriptors_does_not_take_parent_for_absent() {
    let mut refused = 0;
    for op in [Op::Open, Op::List] {
        for nth in 1..30 {
            let (_root, sim, conn) = host(false);
            define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
            sim.fail_next(op, "", Errno::MFILE, nth);
            match conn.lookup_by_uuid(UUID) {
                Ok(node) => assert_eq!(node.parent_name(), "pci_0000_00_02_0", "{op:?} {nth}"),
                Err(e) => {
                    assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{op:?} {nth}: {e}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
}

/// mdevctl treats such a definition as manual too.
#[test]
fn definition_whose_start_is_not_string_is_manual() {
    let (root, _sim, conn) = host(true);
    let folder = root.path().join("etc/mdevctl.d/0000:00:02.0");
    fs::create_dir_all(&folder).unwrap();
    for start in ["true", "false", "1", "[\"auto\"]"] {
        let text = format!(r#"{{"mdev_type":"i915-GVTg_V5_4","start":{start},"attrs":[]}}"#);
        fs::write(folder.join(UUID), text).unwrap();
        assert_eq!(names(&conn, ListFlags::INACTIVE), [UUID], "{start}");
        assert_eq!(conn.lookup_by_uuid(UUID).unwrap().autostart(), Ok(false), "{start}");
        assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(0), "{start}");
        assert_eq!(conn.list_problems().unwrap(), [], "{start}");
    }
}
