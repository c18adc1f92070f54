// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel follows the contract of the sysfs traits, and fails and blocks where tests request it.

use std::sync::Arc;
use std::time::Instant;

use mdev::test_hooks::sim::{Op, SimEntry, SimHost, default_host};
use mdev::test_hooks::sysfs::{EntryKind, Errno, POLL_INTERVAL, READ_MAX, Sysfs, Waiter};

use crate::support::hosts::{
    FIRST, I915, M60, MTTY, create, exists, file, has_event, host, link, list, read, samples, soon, ty, uuid, write,
};

mod contract {
    use super::*;

    fn odd_host() -> SimHost {
        let unreadable = SimEntry::File { path: "/sys/d/broken".to_owned(), mode: 0o444, content: Err(Errno::IO) };
        host(vec![
            file("/sys/d/plain", 0o444, "text\n"),
            file("/sys/d/secret", 0o200, ""),
            file("/sys/d/setting", 0o644, "1\n"),
            file("/sys/d/huge", 0o444, &"x".repeat(READ_MAX + 1)),
            file("/sys/d/sub/file", 0o444, "below\n"),
            file("/dev/vfio/vfio", 0o666, ""),
            link("/sys/d/loop", "loop"),
            link("/sys/d/nowhere", "../gone"),
            link("/sys/d/there", "../d/sub"),
            link("/sys/d/tofile", "plain"),
            unreadable,
        ])
    }

    #[test]
    fn open_takes_absolute_paths_and_directories() {
        let host = odd_host();
        for bad in ["", "/", "sys/d", "/sys/../sys", "/sys//d", "/sys/d/", "/sys/\0", "/sys/./d"] {
            assert_eq!(host.open(bad).unwrap_err(), Errno::INVAL, "{bad:?}");
        }
        let cases = [
            ("none", Errno::NOENT),
            ("nowhere", Errno::NOENT),
            ("loop", Errno::LOOP),
            ("plain", Errno::NOTDIR),
            ("plain/x", Errno::NOTDIR),
        ];
        for (name, errno) in cases {
            assert_eq!(host.open(&format!("/sys/d/{name}")).unwrap_err(), errno, "{name}");
            assert_eq!(host.open("/sys/d").unwrap().open(name).unwrap_err(), errno, "{name}");
        }
        let dir = host.open("/sys/d/there").unwrap();
        assert_eq!((dir.path(), read(&host, "/sys/d/there/file").as_deref()), ("/sys/d/there", Ok("below")));
        assert_eq!(dir.ino(), host.open("/sys/d/sub").unwrap().ino());
    }

    #[test]
    fn read_returns_errno_of_mode_and_kind_of_file() {
        let host = odd_host();
        let cases = [
            ("secret", Errno::ACCESS),
            ("huge", Errno::FBIG),
            ("broken", Errno::IO),
            ("sub", Errno::ISDIR),
            ("tofile", Errno::LOOP),
            ("none", Errno::NOENT),
            ("plain/x", Errno::NOTDIR),
            ("../d/plain", Errno::INVAL),
        ];
        let dir = host.open("/sys/d").unwrap();
        for (name, errno) in cases {
            assert_eq!(dir.read(name, &mut Vec::new()), Err(errno), "{name}");
        }
        let mut text = b"before ".to_vec();
        dir.read("plain", &mut text).unwrap();
        assert_eq!(text, b"before text\n");
    }

    #[test]
    fn write_returns_errno_of_mode_and_kind_of_file() {
        let host = odd_host();
        let dir = host.open("/sys/d").unwrap();
        let cases = [
            ("plain", Errno::ACCESS),
            ("sub", Errno::ISDIR),
            ("tofile", Errno::LOOP),
            ("none", Errno::NOENT),
            ("setting", Errno::IO),
            ("..", Errno::INVAL),
        ];
        for (name, errno) in cases {
            assert_eq!(dir.write(name, b"1"), Err(errno), "{name}");
        }
        assert_eq!(dir.write("setting", b""), Err(Errno::INVAL));
        assert_eq!(host.open("/dev/vfio").unwrap().write("vfio", b"1"), Err(Errno::INVAL));
        assert_eq!(read(&host, "/sys/d/setting").as_deref(), Ok("1"));
    }

    #[test]
    fn meta_returns_kind_and_mode_of_each_entry() {
        let host = odd_host();
        let dir = host.open("/sys/d").unwrap();
        let meta = |name: &str| dir.meta(name).map(|m| (m.kind, m.mode));
        assert_eq!(meta("secret"), Ok((EntryKind::File, 0o200)));
        assert_eq!(meta("loop"), Ok((EntryKind::Link, 0o777)));
        assert_eq!(meta("sub"), Ok((EntryKind::Dir, 0o755)));
        assert_eq!(host.open("/dev/vfio").unwrap().meta("vfio").unwrap().kind, EntryKind::Other);
        assert_eq!((meta("none"), meta("plain/x")), (Err(Errno::NOENT), Err(Errno::NOTDIR)));
        assert_eq!((dir.link("there").as_deref(), dir.link("plain")), (Ok("../d/sub"), Err(Errno::INVAL)));
    }

    #[test]
    fn open_directory_that_was_removed_returns_enoent_although_replaced() {
        let host = odd_host();
        let dir = host.open("/sys/d").unwrap();
        let ino = dir.ino().unwrap();
        host.unplug("/sys/d").unwrap();
        host.plug([file("/sys/d/plain", 0o444, "new\n")]).unwrap();
        assert_eq!(dir.read("plain", &mut Vec::new()), Err(Errno::NOENT));
        assert_eq!(dir.list(&mut |_, _| ()), Err(Errno::NOENT));
        assert_ne!(host.open("/sys/d").unwrap().ino(), Ok(ino));
    }

    #[test]
    fn host_with_contradictory_entries_is_refused() {
        let twice = vec![file("/sys/a", 0o444, ""), link("/sys/a", "b")];
        let below_a_file = vec![file("/sys/a", 0o444, ""), file("/sys/a/b", 0o444, "")];
        let below_a_link = vec![link("/sys/a", "b"), file("/sys/a/b", 0o444, "")];
        let climbing = vec![file("/sys/../a", 0o444, "")];
        for entries in [twice, below_a_file, below_a_link, climbing, vec![file("sys/a", 0o444, "")]] {
            let error = SimHost::new(entries.clone()).unwrap_err();
            assert!(error.message.starts_with("simulated host: \""), "{entries:?}: {error}");
        }
    }
}

mod waiting {
    use super::*;

    #[test]
    fn change_after_start_ends_wait() {
        let host = default_host();
        create(&host, I915, "i915-GVTg_V5_8", &uuid(1)).unwrap();
        let (mut waiter, mut events) = (Waiter::new(&host).unwrap(), host.events().unwrap());
        assert_eq!(waiter.wait(Some(Instant::now())), Ok(false));
        assert!(!has_event(&mut *events));
        let other = host.clone();
        let creator = std::thread::spawn(move || create(&other, I915, "i915-GVTg_V5_8", &uuid(2)));
        assert_eq!(waiter.wait(None), Ok(true));
        creator.join().unwrap().unwrap();
        assert!(has_event(&mut *events));
        write(&host, &format!("{I915}/{FIRST}/uevent"), "change\n").unwrap();
        assert_eq!(waiter.wait(Some(soon())), Ok(true));
        assert!(has_event(&mut *events));
        assert_eq!(write(&host, &format!("{I915}/{FIRST}/uevent"), "explode"), Err(Errno::INVAL));
        assert!(!has_event(&mut *events));
    }

    /// Many rounds, so that the waiter sleeps in some of them when the change occurs. Without an event, each round
    /// would last `POLL_INTERVAL`.
    #[test]
    fn sleeping_waiter_is_woken_by_event() {
        const ROUNDS: u32 = 200;
        let host = default_host();
        let mut waiter = Waiter::new(&host).unwrap();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let start = Instant::now();
        let waiter = std::thread::spawn(move || {
            (0..ROUNDS).all(|_| {
                ready.send(()).unwrap();
                waiter.wait(Some(soon())) == Ok(true)
            })
        });
        for () in is_ready {
            std::thread::yield_now();
            write(&host, &format!("{I915}/{FIRST}/uevent"), "change").unwrap();
        }
        assert!(waiter.join().unwrap());
        assert!(start.elapsed() < POLL_INTERVAL * ROUNDS / 4);
    }

    #[test]
    fn watch_reports_parent_that_is_unplugged_and_plugged() {
        let host = host(samples());
        create(&host, MTTY, "mtty-1", &uuid(1)).unwrap();
        let mut events = host.events().unwrap();
        host.unplug(MTTY).unwrap();
        assert!(has_event(&mut *events));
        assert!(!exists(&host, "/sys/class/mdev_bus/mtty"), "a dangling link");
        assert_eq!(list(&host, "/sys/bus/mdev/devices").unwrap(), Vec::<String>::new());
        let mtty = samples().into_iter().filter(|e| e.path().contains("/mtty"));
        // The kernel sends a uevent only for a device of a bus or class.
        host.plug(mtty.chain([link(&format!("{MTTY}/subsystem"), "/sys/class/mtty")])).unwrap();
        assert!(has_event(&mut *events));
        assert_eq!(create(&host, MTTY, "mtty-1", &uuid(1)), Ok(()));
    }
}

mod injected {
    use super::*;

    #[test]
    fn log_contains_sequence_of_create() {
        let host = default_host();
        let dir = host.open(&ty(M60, "11")).unwrap();
        host.start_log();
        dir.read("max_instances", &mut Vec::new()).unwrap();
        dir.write("params", b"x").unwrap();
        dir.write("create", uuid(1).as_bytes()).unwrap();
        dir.write("params", b"\n").unwrap();
        let log = host.take_log();
        let steps: Vec<_> =
            log.iter().map(|e| (e.op, e.path.rsplit('/').next().unwrap(), e.value.as_deref())).collect();
        let id = uuid(1);
        let expected = [
            (Op::Read, "max_instances", None),
            (Op::OpenFile, "params", None),
            (Op::Write, "params", Some(&b"x"[..])),
            (Op::OpenFile, "create", None),
            (Op::Write, "create", Some(id.as_bytes())),
            (Op::OpenFile, "params", None),
            (Op::Write, "params", Some(&b"\n"[..])),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn fail_next_fails_nth_matching_operation() {
        let host = default_host();
        host.fail_next(Op::Write, "11/create", Errno::IO, 2);
        assert_eq!(create(&host, M60, "11", &uuid(1)), Ok(()));
        assert_eq!(create(&host, M60, "11", &uuid(2)), Err(Errno::IO));
        assert!(!exists(&host, &format!("{M60}/{}", uuid(2))));
        assert_eq!(create(&host, M60, "11", &uuid(2)), Ok(()));
    }

    #[test]
    fn fail_after_write_returns_error_although_write_took_effect() {
        let host = default_host();
        host.fail_after_write("/create", Errno::INTR, 2);
        assert_eq!(create(&host, M60, "11", &uuid(1)), Ok(()));
        assert_eq!(create(&host, M60, "11", &uuid(1)), Err(Errno::EXIST));
        assert_eq!(create(&host, M60, "11", &uuid(2)), Err(Errno::INTR));
        assert!(exists(&host, &format!("{M60}/{}", uuid(2))));
        assert_eq!(create(&host, M60, "11", &uuid(3)), Ok(()));
    }

    #[test]
    fn hook_that_changes_host_affects_operation() {
        let host = default_host();
        let (changed, dir) = (host.clone(), host.open(M60).unwrap());
        host.set_hook(Some(Arc::new(move |op, path: &str| {
            if op == Op::Write && path.ends_with("/create") {
                changed.unplug(M60).unwrap();
            }
            (op == Op::List).then_some(Errno::NOMEM)
        })));
        assert_eq!(dir.list(&mut |_, _| ()).unwrap_err(), Errno::NOMEM);
        assert_eq!(dir.write("mdev_supported_types/11/create", uuid(1).as_bytes()), Err(Errno::NODEV));
        host.set_hook(None);
        assert_eq!(host.open(M60).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn create_with_held_back_links_or_swallowed_is_incomplete() {
        let host = default_host();
        let at = |name: &str| format!("{I915}/{}/{name}", uuid(1));
        host.swallow_next_create();
        assert_eq!(create(&host, I915, "i915-GVTg_V5_4", &uuid(1)), Ok(()));
        assert!(!exists(&host, &format!("{I915}/{}", uuid(1))));
        assert_eq!(read(&host, &format!("{}/available_instances", ty(I915, "i915-GVTg_V5_8"))).as_deref(), Ok("7"));
        host.hold_back_links(true);
        create(&host, I915, "i915-GVTg_V5_4", &uuid(1)).unwrap();
        assert!(exists(&host, &at("remove")) && !exists(&host, &at("mdev_type")) && !exists(&host, &at("iommu_group")));
        let mut events = host.events().unwrap();
        host.hold_back_links(false);
        assert!(has_event(&mut *events));
        assert!(exists(&host, &at("mdev_type")) && exists(&host, &at("iommu_group")) && exists(&host, "/dev/vfio/7"));
    }
}
