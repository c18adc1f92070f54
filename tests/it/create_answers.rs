// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates and removals whose driver has done its work and returns an error or is interrupted.

use std::sync::atomic::{AtomicBool, Ordering};

use mdev::ErrorCode;
use mdev::test_hooks::sim::{Op, SimHost, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::Errno;
use mdev::{CreateFlags, DestroyFlags, ListFlags};

use crate::support::hosts::{ACCEL, I915, M60, create as write_create, exists, read, write};
use crate::support::lab::{LIMITER, Lab, UUID, first_vf, request, with_uuid};
use crate::support::vfs;

/// A place for a device, and the file whose write creates it.
struct Maker {
    parent: &'static str,
    type_id: &'static str,
    file: &'static str,
    path: &'static str,
}

const MAKERS: [Maker; 4] = [
    Maker { parent: "0000:86:00.0", type_id: "12", file: "/12/create", path: M60 },
    Maker { parent: "0000:87:00.0", type_id: "queue-1", file: "/queue-1/create", path: ACCEL },
    Maker { parent: "0000:00:02.0", type_id: "i915-GVTg_V5_4", file: "/i915-GVTg_V5_4/create", path: I915 },
    Maker { parent: "0000:41:00.0", type_id: "1441", file: "/current_vgpu_type", path: vfs::PF },
];

impl Maker {
    fn named(&self) -> String {
        request(self.parent, self.type_id, &with_uuid("")).replace("<parent>", "<name>n</name><parent>")
    }

    /// Creates the device with the write that the library would do.
    fn make(&self, sim: &SimHost, uuid: &str) {
        match self.path {
            vfs::PF => vfs::set(sim, 0, self.type_id).unwrap(),
            path => write_create(sim, path, self.type_id, uuid).unwrap(),
        }
    }

    /// At the next create, the driver creates the device, does `more` and returns `errno`.
    fn makes_and_fails(
        &'static self,
        lab: &Lab,
        errno: Option<Errno>,
        more: impl Fn(&SimHost) + Send + Sync + 'static,
    ) {
        let done = AtomicBool::new(false);
        lab.sim.start_log();
        lab.driver(move |sim, op, path| {
            if op != Op::Write || !path.ends_with(self.file) || done.swap(true, Ordering::Relaxed) {
                return None;
            }
            let log = sim.take_log();
            let written = log.last().and_then(|entry| entry.value.clone()).unwrap();
            self.make(sim, std::str::from_utf8(&written).unwrap().trim());
            more(sim);
            errno
        });
    }
}

#[test]
fn device_that_driver_makes_and_reports_as_failed_is_removed() {
    for maker in &MAKERS {
        for errno in [Errno::IO, Errno::INVAL] {
            let lab = Lab::new();
            let before = lab.conn.list(ListFlags::DEVICES).unwrap().len();
            maker.makes_and_fails(&lab, Some(errno), |_| {});
            let e = lab.conn.create_xml(maker.named().as_bytes(), CreateFlags::empty()).map(drop).unwrap_err();
            assert_eq!(e.errno, errno.raw_os_error(), "{}: {e}", maker.type_id);
            assert_eq!(lab.conn.list(ListFlags::DEVICES).unwrap().len(), before, "{}", maker.type_id);
            assert!(lab.runtime.all().unwrap().is_empty(), "{}", maker.type_id);
        }
    }
}

/// Another program creates the device of this definition; after that, the file for the create cannot be opened.
#[test]
fn create_that_could_not_write_leaves_device_of_another_program() {
    for maker in &MAKERS[..3] {
        for errno in [Errno::MFILE, Errno::ACCESS, Errno::IO] {
            let lab = Lab::new();
            let done = AtomicBool::new(false);
            lab.driver(move |sim, op, path| {
                if op != Op::OpenFile || !path.ends_with(maker.file) {
                    return None;
                }
                if !done.swap(true, Ordering::Relaxed) {
                    maker.make(sim, UUID);
                }
                Some(errno)
            });
            let e = lab.create(maker.parent, maker.type_id, &with_uuid("")).unwrap_err();
            assert_eq!(e.errno, errno.raw_os_error(), "{}: {e}", maker.type_id);
            assert!(lab.is_listed(UUID), "{}: {errno}", maker.type_id);
            assert!(lab.runtime.all().unwrap().is_empty(), "{}", maker.type_id);
        }
    }
}

#[test]
fn group_create_with_unreadable_requires_group_writes_nothing() {
    for errno in [Errno::MFILE, Errno::NOMEM, Errno::IO] {
        let lab = Lab::new();
        lab.sim.fail_next(Op::Read, "/12/requires_group", errno, 1);
        lab.sim.start_log();
        let text = request("0000:86:00.0", "12", "");
        let e = lab.conn.create_group_xml(&[text.as_bytes()], CreateFlags::empty()).unwrap_err();
        assert_eq!(e.errno, errno.raw_os_error(), "{e}");
        assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write));
    }
}

/// A type that cannot be opened may require a group.
#[test]
fn group_create_with_type_that_cannot_be_opened_writes_nothing() {
    // The first open lists the types, the second is of the type with the wanted name.
    for nth in [1, 2] {
        let lab = Lab::new();
        lab.sim.fail_next(Op::Open, "mdev_supported_types/11", Errno::MFILE, nth);
        lab.sim.start_log();
        let text = request("0000:86:00.0", "GRID M60-0B", "");
        let e = lab.conn.create_group_xml(&[text.as_bytes()], CreateFlags::empty()).map(drop).unwrap_err();
        assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{nth}: {e}");
        assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write), "{nth}");
    }
}

#[test]
fn device_that_cannot_be_removed_again_keeps_its_record_and_is_named() {
    for maker in &MAKERS {
        let lab = Lab::new();
        lab.conn.set_owner(Some("nova")).unwrap();
        let id = if maker.path == vfs::PF { "0000:41:00.4" } else { UUID };
        maker.makes_and_fails(&lab, Some(Errno::IO), move |sim| sim.set_in_use(id, true).unwrap());
        let e = lab.conn.create_xml(maker.named().as_bytes(), CreateFlags::empty()).map(drop).unwrap_err();
        assert_eq!(e.errno, Errno::IO.raw_os_error(), "{e}");
        assert!(e.message.contains(&format!("device {UUID} was created and cannot be removed")), "{e}");
        let node = lab.conn.lookup_by_uuid(UUID).unwrap();
        assert_eq!((node.name(), node.owner()), ("n", Ok("nova")), "{}", maker.type_id);
        lab.sim.set_in_use(id, false).unwrap();
        node.destroy(DestroyFlags::OWNED).unwrap();
        assert!(lab.runtime.all().unwrap().is_empty());
    }
}

#[test]
fn interrupted_create_makes_one_device() {
    for maker in &MAKERS {
        for more in [with_uuid(""), String::new()] {
            let lab = Lab::new();
            let before = lab.conn.list(ListFlags::DEVICES).unwrap().len();
            // A signal before the driver did anything, and a signal after it did everything.
            lab.sim.fail_next(Op::Write, maker.file, Errno::INTR, 1);
            lab.create(maker.parent, maker.type_id, &more).unwrap().destroy(DestroyFlags::empty()).unwrap();
            maker.makes_and_fails(&lab, Some(Errno::INTR), |_| {});
            let node = lab.create(maker.parent, maker.type_id, &more).unwrap();
            assert_eq!(node.type_id(), Ok(maker.type_id));
            assert_eq!(lab.conn.list(ListFlags::DEVICES).unwrap().len(), before + 1, "{}", maker.type_id);
        }
    }
}

/// The caller specifies the UUID, and the write of the create fails for a reason of its own.
#[test]
fn failed_create_leaves_device_of_another_type_to_its_creator() {
    for (maker, other) in MAKERS[..3].iter().zip(["11", "queue-4", "i915-GVTg_V5_8"]) {
        let lab = Lab::new();
        let done = AtomicBool::new(false);
        lab.driver(move |sim, op, path| {
            if op != Op::Write || !path.ends_with(maker.file) || done.swap(true, Ordering::Relaxed) {
                return None;
            }
            write_create(sim, maker.path, other, UUID).unwrap();
            Some(Errno::IO)
        });
        let e = lab.create(maker.parent, maker.type_id, &with_uuid("")).unwrap_err();
        assert_eq!(e.errno, Errno::IO.raw_os_error(), "{e}");
        assert!(lab.is_listed(UUID), "{}", maker.type_id);
        assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap().type_id(), Ok(other));
    }
}

/// The write of the parameters fails, so that the create is never written.
#[test]
fn failed_parameters_leave_device_of_same_uuid_to_its_creator() {
    for errno in [Errno::IO, Errno::INTR] {
        let lab = Lab::new();
        let done = AtomicBool::new(false);
        lab.driver(move |sim, op, path| {
            if op != Op::Write || !path.ends_with("/12/params") || done.swap(true, Ordering::Relaxed) {
                return None;
            }
            write_create(sim, M60, "12", UUID).unwrap();
            Some(errno)
        });
        let e = lab.create("0000:86:00.0", "12", &with_uuid("<params>a=1</params>")).unwrap_err();
        let expected = if errno == Errno::INTR { Errno::EXIST } else { errno };
        assert_eq!(e.errno, expected.raw_os_error(), "{e}");
        assert!(lab.is_listed(UUID), "{errno}");
        assert_eq!(lab.sim.params_set(&format!("{M60}/mdev_supported_types/12")).unwrap(), "");
    }
}

/// The kernel itself can repeat a write after a signal.
#[test]
fn eexist_for_random_uuid_is_device_that_was_made() {
    for maker in &MAKERS[..3] {
        let lab = Lab::new();
        maker.makes_and_fails(&lab, None, |_| {});
        let node = lab.create(maker.parent, maker.type_id, "").unwrap();
        assert_eq!(node.type_id(), Ok(maker.type_id));
        // A UUID from the caller can belong to a device of another creator.
        let lab = Lab::new();
        maker.makes_and_fails(&lab, None, |_| {});
        let e = lab.create(maker.parent, maker.type_id, &with_uuid("")).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::Exists, Errno::EXIST.raw_os_error()), "{e}");
        assert!(lab.is_listed(UUID));
    }
}

#[test]
fn interrupted_removal_is_done_once() {
    for maker in &MAKERS {
        let lab = Lab::new();
        let node = lab.create(maker.parent, maker.type_id, &with_uuid("")).unwrap();
        let done = AtomicBool::new(false);
        let files = ["/remove", "/destroy", "/mdev_destroy", "/current_vgpu_type"];
        lab.driver(move |sim, op, path| {
            if op != Op::Write || !files.iter().any(|file| path.ends_with(file)) || done.swap(true, Ordering::Relaxed) {
                return None;
            }
            let value = match path.rsplit('/').next() {
                Some("mdev_destroy") => UUID,
                Some("current_vgpu_type") => "0",
                _ => "1",
            };
            write(sim, path, value).unwrap();
            Some(Errno::INTR)
        });
        node.destroy(DestroyFlags::empty()).unwrap();
        assert!(!lab.is_listed(UUID));
    }
}

/// The proposal has no link from a device to its type.
#[test]
fn type_of_plain_create_comes_from_record_where_driver_shows_none() {
    let lab = Lab::new();
    lab.sim.hold_back_links(true);
    let node = lab.create("0000:86:00.0", "12", &with_uuid("")).unwrap();
    assert!(!exists(&lab.sim, &format!("{M60}/{UUID}/mdev_type")));
    assert_eq!(node.type_id(), Ok("12"));
    let again = lab.create_with("0000:86:00.0", "12", &with_uuid(""), CreateFlags::EXIST_OK).unwrap();
    assert_eq!((again.uuid().unwrap().as_str(), again.type_id()), (UUID, Ok("12")));
    let e = lab.create_with("0000:86:00.0", "11", &with_uuid(""), CreateFlags::EXIST_OK).unwrap_err();
    assert_eq!(e.code, ErrorCode::Exists, "{e}");
    node.destroy(DestroyFlags::empty()).unwrap();
    assert!(lab.runtime.all().unwrap().is_empty());
}

#[test]
fn unreadable_records_do_not_leave_vf_with_its_type() {
    let run = tempfile::tempdir().unwrap();
    let lab = Lab::with(default_host(), Runtime::files(run.path().to_str().unwrap()));
    let devices = run.path().join("libmdev/devices");
    lab.driver(move |sim, op, path| {
        let is_set = || read(sim, &vfs::at(0, "current_vgpu_type")).unwrap() == "1441";
        if op == Op::Read && path.ends_with("/current_vgpu_type") && is_set() && devices.is_dir() {
            std::fs::remove_dir_all(&devices).unwrap();
            std::fs::write(&devices, "").unwrap();
        }
        None
    });
    let e = lab.create("0000:41:00.0", "1441", LIMITER).unwrap_err();
    assert_eq!(first_vf(&lab), ["0", ""], "{e}");
}
