// SPDX-License-Identifier: LGPL-2.1-or-later
//! The definitions that start at boot and when hardware appears, as the unit and the udev rule request it.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use mdev::ErrorCode;
use mdev::test_hooks::sim::Op;
use mdev::test_hooks::store::{Definition, Definitions, Runtime, Start};
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, DefineFlags, DestroyFlags, Node, StartFlags};

use crate::support::definitions::{IGD, UUID, host, xml};
use crate::support::scripts::install_script;

const CARD: &str = "0000:c1:00.0";

fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn define(conn: &Conn, xml: &str) -> Node {
    conn.define_xml(xml.as_bytes(), DefineFlags::AUTOSTART).unwrap()
}

/// VFs appear one by one, each with its own event: an autostart of one VF also starts definitions that any VF can take.
#[test]
fn autostart_of_vf_starts_definitions_of_its_card() {
    let (_root, sim, conn) = host(true);
    sim.enable_vfs().unwrap();
    let vf = |n: usize| format!("0000:c1:{:02x}.{}", (4 + n) / 8, (4 + n) % 8);
    let files = |n: usize| format!("/sys/devices/pci0000:c0/0000:c0:01.0/{}/nvidia", vf(n));
    let second: Vec<_> = sim.entries().into_iter().filter(|entry| entry.path().starts_with(&files(1))).collect();
    (1..8).for_each(|n| sim.unplug(&files(n)).unwrap());
    for (n, parent) in [(0, CARD), (1, CARD), (2, CARD), (3, &vf(5))] {
        define(&conn, &xml(parent, "1438", &uuid(n), ""));
    }
    let running = || (0..4).filter(|n| conn.lookup_by_uuid(&uuid(*n)).unwrap().is_active()).collect::<Vec<_>>();
    assert_eq!(conn.autostart(Some(&vf(0)), StartFlags::empty()), Ok(1), "the other definitions are for other VFs");
    assert_eq!(running(), [0]);
    // An autostart of the card itself returns an error.
    let e = conn.autostart(Some(CARD), StartFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoInstances, "{e}");
    sim.plug(second).unwrap();
    assert_eq!(conn.autostart(Some(&vf(1)), StartFlags::empty()), Ok(1));
    assert_eq!(running(), [0, 1]);
    // All VFs exist now, and a definition without a free instance fails.
    (2..8).for_each(|n| sim.unplug(&format!("/sys/devices/pci0000:c0/0000:c0:01.0/{CARD}/virtfn{n}")).unwrap());
    let e = conn.autostart(Some(&vf(1)), StartFlags::empty()).unwrap_err();
    assert!(e.code == ErrorCode::NoInstances && e.message.contains(&uuid(2)), "{e}");
}

/// An invalid file can be the definition of a device that must start.
#[test]
fn autostart_with_broken_definition_returns_error() {
    let (root, _sim, conn) = host(true);
    let base = root.path().join("etc/mdevctl.d");
    define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
    for (n, parent) in [(1, IGD), (2, "0000:86:00.0"), (3, "0000:99:00.0")] {
        fs::create_dir_all(base.join(parent)).unwrap();
        fs::write(base.join(parent).join(uuid(n)), r#"{"mdev_type":"11","start":"auto""#).unwrap();
    }
    fs::write(base.join("stray"), "").unwrap();
    let e = conn.autostart(None, StartFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::Store, "{e}");
    assert!(e.message.starts_with("2 of the devices could not be started, 1 were: "), "{e}");
    assert!([1, 2].iter().all(|n| e.message.contains(&uuid(*n))) && !e.message.contains(&uuid(3)), "{e}");
    assert!(conn.lookup_by_uuid(UUID).unwrap().is_active());
    let e = conn.autostart(Some("0000:86:00.0"), StartFlags::empty()).unwrap_err();
    assert!(e.message.starts_with("1 of") && e.message.contains(&uuid(2)), "{e}");
    assert_eq!(conn.autostart(Some("0000:41:00.0"), StartFlags::empty()), Ok(0));
    // A directory that cannot be read is not treated as empty.
    fs::rename(&base, root.path().join("away")).unwrap();
    assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(0));
    symlink(&base, &base).unwrap();
    let e = conn.autostart(None, StartFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Store, Errno::LOOP.raw_os_error()), "{e}");
}

/// While the first device starts, which can take minutes, the definitions of other devices change.
#[test]
fn autostart_uses_definitions_that_changed_during_first_start() {
    let (root, sim, conn) = host(true);
    let definitions = Definitions::files(root.path().to_str().unwrap());
    for n in 1..5 {
        let text = xml(IGD, if n == 1 { "i915-GVTg_V5_8" } else { "i915-GVTg_V5_4" }, &uuid(n), "");
        define(&conn, &text);
    }
    let [gone, manual, changed] = [2, 3, 4].map(|n| uuid(n).parse().unwrap());
    sim.set_hook(Some(Arc::new(move |op, path: &str| {
        if op == Op::Write && path.ends_with("/create") {
            definitions.remove(IGD, &gone).unwrap();
            definitions.set_autostart(IGD, &manual, false).unwrap();
            let new = definitions.get(IGD, &changed).unwrap().unwrap();
            definitions.put(&Definition { type_id: "i915-GVTg_V5_8".into(), ..new }, Start::Set, &|| Ok(())).unwrap();
        }
        None
    })));
    assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(2));
    sim.set_hook(None);
    let running = |n: u32| conn.lookup_by_uuid(&uuid(n)).is_ok_and(|node| node.is_active());
    assert_eq!([1, 2, 3, 4].map(running), [true, false, false, true]);
    assert_eq!(conn.lookup_by_uuid(&uuid(4)).unwrap().type_id(), Ok("i915-GVTg_V5_8"));
}

/// For every action, the call-out's parent of a device is the parent in its definition.
#[test]
fn callouts_get_vf_that_definition_names_as_parent() {
    let (root, sim, _conn) = host(true);
    let path = root.path().to_str().unwrap();
    let notifier = root.path().join("etc/mdevctl.d/scripts.d/notifiers/n");
    let log = root.path().join("log");
    install_script(&notifier, &format!("echo $6 ${{12}} >>'{}'\n", log.display()));
    let parts = (Arc::new(sim) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
    let conn = Conn::with(parts, mdev::test_hooks::callout::Callouts::below(path));
    let node = define(&conn, &xml("0000:41:00.5", "1438", UUID, ""));
    node.start(StartFlags::empty()).unwrap();
    node.destroy(DestroyFlags::empty()).unwrap();
    node.undefine(DefineFlags::empty()).unwrap();
    let notified = ["define", "start", "stop", "undefine"].map(|action| format!("{action} 0000:41:00.5\n"));
    assert_eq!(fs::read_to_string(&log).unwrap(), notified.concat());
}
