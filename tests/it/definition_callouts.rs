// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions and their call-outs: which call-outs run, and the effect of a refusal or of a change in between.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use mdev::ErrorCode;
use mdev::test_hooks::sim::Op;
use mdev::test_hooks::store::{Definitions, Runtime};
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags, Node, StartFlags};

use crate::support::definitions::{IGD, UUID, host, xml};
use crate::support::scripts::install_script;

fn define(conn: &Conn, xml: &str) -> Node {
    conn.define_xml(xml.as_bytes(), DefineFlags::empty()).unwrap()
}

/// A call-out that can refuse gets the type of the device, so an unreadable type fails the destroy.
#[test]
fn destroy_with_unreadable_type_fails_unless_no_callouts_is_set() {
    let (root, sim, _conn) = host(true);
    let path = root.path().to_str().unwrap();
    let script = root.path().join("etc/mdevctl.d/scripts.d/callouts/s");
    install_script(&script, "[ $4 = pre ] && [ $6 = stop ] && exit 1\nexit 0\n");
    let parts = (Arc::new(sim.clone()) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
    let conn = Conn::with(parts, mdev::test_hooks::callout::Callouts::below(path));
    conn.create_xml(xml(IGD, "i915-GVTg_V5_4", UUID, "").as_bytes(), CreateFlags::empty()).unwrap();

    // The layout of the parent is detected by the type as well.
    sim.fail_next(Op::Link, "/mdev_type", Errno::IO, 2);
    let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    assert_eq!(e.errno, Errno::IO.raw_os_error(), "{e}");
    assert!(e.message.contains("MDEV_DESTROY_NO_CALLOUTS"), "{e}");
    let e = conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::Callout, "{e}");
    sim.fail_next(Op::Link, "/mdev_type", Errno::IO, 1);
    conn.destroy_uuid(UUID, DestroyFlags::NO_CALLOUTS).unwrap();
}

/// The answer is of the script, whatever device it is asked about.
#[test]
fn create_of_a_group_asks_a_script_once_for_its_capabilities() {
    let (root, sim, _conn) = host(true);
    let path = root.path().to_str().unwrap();
    let log = root.path().join("log");
    let body = format!("echo \"$4 $6\" >>'{}'\n[ $6 = capabilities ] && exit 2\nexit 0\n", log.display());
    install_script(&root.path().join("etc/mdevctl.d/scripts.d/callouts/s"), &body);
    let parts = (Arc::new(sim) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
    let conn = Conn::with(parts, mdev::test_hooks::callout::Callouts::below(path));
    let requests = [UUID.to_owned(), UUID.replace('1', "2")].map(|uuid| xml(IGD, "i915-GVTg_V5_4", &uuid, ""));
    conn.create_group_xml(&requests.each_ref().map(String::as_bytes), CreateFlags::empty()).unwrap();
    let calls = fs::read_to_string(&log).unwrap();
    assert_eq!(calls, "get capabilities\npre start\npre start\npost start\npost start\n");
}

/// A script decides for the types that it supports, and for no other type of the same request.
#[test]
fn capabilities_of_a_script_apply_to_its_type_alone() {
    let matrix = xml("matrix", "vfio_ap-passthrough", UUID, "");
    let igd = xml(IGD, "i915-GVTg_V5_4", &UUID.replace('1', "2"), "");
    let again = xml("matrix", "vfio_ap-passthrough", &UUID.replace('1', "3"), "");
    for requests in [[&matrix, &igd, &again], [&igd, &matrix, &again]] {
        let (root, sim, _conn) = host(true);
        let path = root.path().to_str().unwrap();
        let log = root.path().join("log");
        let supports = r#"{"supports":{"version":3,"actions":["start"],"events":["pre"]}}"#;
        let body = format!(
            "echo \"$4 $6 $2\" >>'{}'\n[ \"$2\" = vfio_ap-passthrough ] || exit 2\n[ $6 = capabilities ] && printf '{supports}'\nexit 0\n",
            log.display()
        );
        install_script(&root.path().join("etc/mdevctl.d/scripts.d/callouts/s"), &body);
        let parts = (Arc::new(sim) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
        let conn = Conn::with(parts, mdev::test_hooks::callout::Callouts::below(path));
        conn.create_group_xml(&requests.map(String::as_bytes), CreateFlags::empty()).unwrap();
        let calls = fs::read_to_string(&log).unwrap();
        let count = |call: &str| calls.lines().filter(|line| *line == call).count();
        assert_eq!(count("get capabilities vfio_ap-passthrough"), 1, "{calls}");
        assert_eq!(count("get capabilities i915-GVTg_V5_4"), 1, "{calls}");
        // The script does not support `post`, which it therefore does not get for its own type.
        assert_eq!(count("post start vfio_ap-passthrough"), 0, "{calls}");
        assert_eq!(count("pre start vfio_ap-passthrough"), 2, "{calls}");
    }
}

/// Call-outs run for each start, stop and definition of a device, and can refuse it.
#[test]
fn callouts_run_before_and_after_each_action_and_can_refuse_it() {
    let (root, sim, _conn) = host(true);
    let path = root.path().to_str().unwrap();
    let script = root.path().join("etc/mdevctl.d/scripts.d/callouts/s");
    let log = root.path().join("log");
    let write = |body: &str| {
        let text = format!(
            "[ $6 = capabilities ] && exit 2\necho \"$4 $6 $8 ${{12}} $2 $(cat)\" >>'{}'\n{body}\n",
            log.display()
        );
        install_script(&script, &text);
    };
    let calls = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        let common = format!(" {IGD} i915-GVTg_V5_4 {{\"mdev_type\":\"i915-GVTg_V5_4\",\"start\":");
        text.lines().map(|line| line.replace(&common, " ").replace(",\"attrs\":[]}", "")).collect::<Vec<_>>()
    };
    let parts = (Arc::new(sim) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
    let conn = Conn::with(parts, mdev::test_hooks::callout::Callouts::below(path));
    let text = xml(IGD, "i915-GVTg_V5_4", UUID, "");

    write("exit 0");
    let node = define(&conn, &text);
    assert_eq!(calls(), ["pre define none \"manual\"", "post define success \"manual\""]);
    node.set_autostart(true).unwrap();
    assert_eq!(calls(), ["pre modify none \"auto\"", "post modify success \"auto\""]);
    assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(1));
    assert_eq!(calls(), ["pre start none \"auto\"", "post start success \"auto\""]);
    node.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(calls(), ["pre stop none \"manual\"", "post stop success \"manual\""]);
    node.undefine(DefineFlags::empty()).unwrap();
    assert_eq!(calls(), ["pre undefine none \"auto\"", "post undefine success \"auto\""]);
    conn.list(ListFlags::empty()).unwrap();
    conn.lookup_by_uuid(UUID).unwrap_err();
    assert!(calls().is_empty(), "a list runs no call-outs");

    // A refusal of one of two devices: none is created, and the scripts of the other device get the failure.
    let second = "22222222-2222-4333-8444-555555555555";
    write(&format!("[ $4 = pre ] && [ ${{10}} = {second} ] && exit 1; exit 0"));
    let other = text.replace(UUID, second);
    let e = conn.create_group_xml(&[text.as_bytes(), other.as_bytes()], CreateFlags::empty()).unwrap_err();
    assert_eq!(e.code, ErrorCode::Callout, "{e}");
    assert_eq!(calls(), ["pre start none \"manual\"", "pre start none \"manual\"", "post start failure \"manual\""]);
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap_err().code, ErrorCode::NoNode);
    conn.create_xml(other.as_bytes(), CreateFlags::NO_CALLOUTS).unwrap();
    conn.destroy_uuid(second, DestroyFlags::NO_CALLOUTS).unwrap();
    assert!(calls().is_empty());

    // Define and autostart in one step, with and without call-outs.
    write("exit 0");
    conn.define_xml(text.as_bytes(), DefineFlags::AUTOSTART).unwrap();
    assert_eq!(calls(), ["pre define none \"auto\"", "post define success \"auto\""]);
    conn.define_xml(other.as_bytes(), DefineFlags::AUTOSTART | DefineFlags::NO_CALLOUTS).unwrap();
    assert!(calls().is_empty());

    // A script turns the autostart off between the call-outs and the write: it stays off.
    let path = root.path().join("etc/mdevctl.d").join(IGD);
    write(&format!("[ $4 = pre ] && sed -i s/auto/manual/ '{}'; exit 0", path.join(UUID).display()));
    conn.define_xml(text.as_bytes(), DefineFlags::empty()).unwrap();
    assert_eq!(calls(), ["pre modify none \"auto\"", "post modify success \"auto\""]);
    assert_eq!(node.autostart(), Ok(false));
    node.set_autostart(true).unwrap();
    calls();

    // Another program removes the definition first: neither the caller nor the scripts get a success.
    let gone = |uuid: &str| write(&format!("[ $4 = pre ] && rm '{}'; exit 0", path.join(uuid).display()));
    gone(UUID);
    assert_eq!(node.undefine(DefineFlags::empty()).unwrap_err().code, ErrorCode::WrongState);
    assert_eq!(calls(), ["pre undefine none \"auto\"", "post undefine failure \"auto\""]);
    gone(second);
    let node = conn.lookup_by_uuid(second).unwrap();
    assert_eq!(node.set_autostart(false).unwrap_err().code, ErrorCode::WrongState);
    assert_eq!(calls(), ["pre modify none \"manual\"", "post modify failure \"manual\""]);

    // If the library cannot determine whether there are scripts, only actions without call-outs continue.
    let scripts = script.parent().unwrap();
    fs::remove_dir_all(scripts).unwrap();
    symlink(scripts, scripts).unwrap();
    let e = conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Callout, Errno::LOOP.raw_os_error()), "{e}");
    assert_eq!(conn.define_xml(text.as_bytes(), DefineFlags::empty()).unwrap_err().code, ErrorCode::Callout);
    conn.create_xml(text.as_bytes(), CreateFlags::NO_CALLOUTS).unwrap();
    assert_eq!(conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err().code, ErrorCode::Callout);
    conn.destroy_uuid(UUID, DestroyFlags::NO_CALLOUTS).unwrap();
}

/// A redefine replaces the definition as it is at the time of the write, not as it was first read. It also replaces
/// an invalid definition.
#[test]
fn redefine_during_callout_uses_definition_as_callout_left_it() {
    let (root, sim, _conn) = host(true);
    let path = root.path().to_str().unwrap();
    let script = root.path().join("etc/mdevctl.d/scripts.d/callouts/s");
    let (log, main) = (root.path().join("log"), root.path().join(format!("etc/mdevctl.d/{IGD}/{UUID}")));
    let beside = root.path().join(format!("etc/libmdev/definitions/{IGD}/{UUID}"));
    let write = |body: &str| {
        let text =
            format!("[ $6 = capabilities ] && exit 2\n[ $4 = pre ] || exit 0\necho $6 >>'{}'\n{body}\n", log.display());
        install_script(&script, &text);
    };
    let parts = (Arc::new(sim) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::files(path)));
    let conn = Conn::with(parts, mdev::test_hooks::callout::Callouts::below(path));
    write("exit 0");
    conn.set_owner(Some("web")).unwrap();
    define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
    conn.set_owner(None).unwrap();
    write(&format!("sed -i s/web/batch/ '{}'", beside.display()));
    assert_eq!(define(&conn, &xml(IGD, "i915-GVTg_V5_8", UUID, "")).owner(), Ok("batch"));
    fs::write(&main, "").unwrap();
    define(&conn, &xml(IGD, "i915-GVTg_V5_4", UUID, ""));
    // The library does not overwrite a file of another user or a file that every user can write.
    fs::set_permissions(&main, fs::Permissions::from_mode(0o666)).unwrap();
    let e = conn.define_xml(xml(IGD, "i915-GVTg_V5_8", UUID, "").as_bytes(), DefineFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.path.as_deref()), (ErrorCode::Store, main.to_str()), "{e}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "define\nmodify\nmodify\n");
    // A failed redefine leaves no file behind.
    fs::remove_file(&main).unwrap();
    fs::create_dir(&main).unwrap();
    let e = conn.define_xml(xml(IGD, "i915-GVTg_V5_8", UUID, "").as_bytes(), DefineFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Store, Errno::ISDIR.raw_os_error()), "{e}");
    let names = fs::read_dir(main.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), [UUID]);
}
