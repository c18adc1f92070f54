// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel through the door: what `sim_facts.rs` cannot have recorded on a real one.

#[path = "support/hosts.rs"]
#[allow(dead_code)]
mod hosts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hosts::{exists, file, host, link, list, read, replay, samples, target, uuid, write};
use mdev::sysfs::sim::{Op, SimEntry, SimHost, default_host};
use mdev::sysfs::{EntryKind, Errno, READ_MAX, Sysfs};

const I915: &str = "/sys/devices/pci0000:00/0000:00:02.0";
const M60: &str = "/sys/devices/pci0000:80/0000:80:02.0/0000:86:00.0";
const ACCEL: &str = "/sys/devices/pci0000:80/0000:80:03.0/0000:87:00.0";
const MATRIX: &str = "/sys/devices/vfio_ap/matrix";
const MTTY: &str = "/sys/devices/virtual/mtty/mtty";
const FIRST: &str = "b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93";

fn ty(parent: &str, id: &str) -> String {
    format!("{parent}/mdev_supported_types/{id}")
}

fn create(host: &SimHost, parent: &str, id: &str, value: &str) -> Result<(), Errno> {
    write(host, &format!("{}/create", ty(parent, id)), value)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

mod door {
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
    fn files_are_read_as_their_mode_says() {
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
    fn files_are_written_as_their_mode_says() {
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
    fn entries_are_told_apart() {
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
    fn a_directory_that_is_gone_stays_gone() {
        let host = odd_host();
        let dir = host.open("/sys/d").unwrap();
        let ino = dir.ino().unwrap();
        host.unplug("/sys/d").unwrap();
        host.plug([file("/sys/d/plain", 0o444, "new\n")]).unwrap();
        assert_eq!(dir.read("plain", &mut Vec::new()), Err(Errno::NOENT));
        assert_eq!(dir.list(&mut |_, _| ()), Err(Errno::NOENT));
        assert_eq!(dir.lock(soon()).unwrap_err(), Errno::NOENT);
        assert_ne!(host.open("/sys/d").unwrap().ino(), Ok(ino));
    }

    #[test]
    fn a_host_that_contradicts_itself_is_refused() {
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
    fn a_lock_belongs_to_one() {
        let host = default_host();
        let (dir, other) = (host.open(M60).unwrap(), host.open(ACCEL).unwrap());
        let guard = dir.lock(soon()).unwrap();
        assert_eq!(host.open(M60).unwrap().lock(Instant::now()).unwrap_err(), Errno::TIMEDOUT);
        drop(other.lock(Instant::now()).unwrap());
        let waiter = std::thread::spawn(move || dir.lock(soon()).map(drop));
        drop(guard);
        assert_eq!(waiter.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_watch_hears_of_what_comes_after_it() {
        let host = default_host();
        create(&host, I915, "i915-GVTg_V5_8", &uuid(1)).unwrap();
        let mut watch = host.watch().unwrap();
        assert_eq!(watch.wait(Some(Instant::now())), Ok(false));
        let other = host.clone();
        let creator = std::thread::spawn(move || create(&other, I915, "i915-GVTg_V5_8", &uuid(2)));
        assert_eq!(watch.wait(None), Ok(true));
        creator.join().unwrap().unwrap();
        assert_eq!(watch.wait(Some(Instant::now())), Ok(false));
        write(&host, &format!("{I915}/{FIRST}/uevent"), "change\n").unwrap();
        assert_eq!(watch.wait(Some(soon())), Ok(true));
        assert_eq!(write(&host, &format!("{I915}/{FIRST}/uevent"), "explode"), Err(Errno::INVAL));
    }

    /// Many rounds, so that the waiter is asleep in some of them when the change comes.
    #[test]
    fn who_sleeps_is_woken() {
        let host = default_host();
        let mut watch = host.watch().unwrap();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            (0..200).all(|_| {
                ready.send(()).unwrap();
                watch.wait(Some(soon())) == Ok(true)
            })
        });
        for () in is_ready {
            std::thread::yield_now();
            write(&host, &format!("{I915}/{FIRST}/uevent"), "change").unwrap();
        }
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn parents_come_and_go() {
        let host = host(samples());
        create(&host, MTTY, "mtty-1", &uuid(1)).unwrap();
        let mut watch = host.watch().unwrap();
        host.unplug(MTTY).unwrap();
        assert_eq!(watch.wait(Some(soon())), Ok(true));
        assert!(!exists(&host, "/sys/class/mdev_bus/mtty"), "a link that leads nowhere");
        assert_eq!(list(&host, "/sys/bus/mdev/devices").unwrap(), Vec::<String>::new());
        let mtty = samples().into_iter().filter(|e| e.path().contains("/mtty"));
        host.plug(mtty).unwrap();
        assert_eq!(watch.wait(Some(soon())), Ok(true));
        assert_eq!(create(&host, MTTY, "mtty-1", &uuid(1)), Ok(()));
    }
}

mod in_use {
    use super::*;

    /// The host and the IOMMU group of its first device.
    fn first() -> (SimHost, u32) {
        let host = default_host();
        let group = target(&host, &format!("{I915}/{FIRST}/iommu_group")).unwrap();
        let number = group.rsplit('/').next().unwrap().parse().unwrap();
        (host, number)
    }

    #[test]
    fn a_group_is_held_by_one() {
        let (host, group) = first();
        assert_eq!(host.hold_vfio_group(group + 1).unwrap_err(), Errno::NOENT);
        let guard = host.hold_vfio_group(group).unwrap();
        assert_eq!(host.hold_vfio_group(group).unwrap_err(), Errno::BUSY);
        assert_eq!(host.set_in_use(FIRST, true), Err(Errno::BUSY));
        drop(guard);
        drop(host.hold_vfio_group(group).unwrap());
        assert_eq!(host.set_in_use(&uuid(1), true), Err(Errno::NODEV));
    }

    #[test]
    fn what_a_guest_has_is_not_removed() {
        let (host, group) = first();
        host.set_in_use(FIRST, true).unwrap();
        assert_eq!(host.hold_vfio_group(group).unwrap_err(), Errno::BUSY);
        let remove = format!("{I915}/{FIRST}/remove");
        assert_eq!((write(&host, &remove, "1"), exists(&host, &remove)), (Err(Errno::BUSY), true));
        host.set_in_use(FIRST, false).unwrap();
        let guard = host.hold_vfio_group(group).unwrap();
        assert_eq!(write(&host, &remove, "1"), Ok(()));
        // The number is free again, and whoever still has the old node open does not hold the new one.
        create(&host, I915, "i915-GVTg_V5_1", &uuid(1)).unwrap();
        drop(host.hold_vfio_group(group).unwrap());
        drop(guard);
    }

    #[test]
    fn the_two_proposals_say_busy_as_well() {
        let host = default_host();
        create(&host, M60, "13", &uuid(1)).unwrap();
        create(&host, ACCEL, "queue-1", &uuid(2)).unwrap();
        for number in [1, 2] {
            host.set_in_use(&uuid(number), true).unwrap();
        }
        assert_eq!(write(&host, &format!("{M60}/mdev_destroy"), uuid(1)), Err(Errno::BUSY));
        assert_eq!(write(&host, &format!("{ACCEL}/{}/destroy", uuid(2)), "1"), Err(Errno::BUSY));
    }
}

mod merged {
    use super::*;

    #[test]
    fn a_device_has_what_leads_to_it_and_takes_it_along() {
        let host = host(samples());
        let before = host.entries();
        create(&host, MTTY, "mtty-2", &uuid(1)).unwrap();
        let dir = format!("{MTTY}/{}", uuid(1));
        assert_eq!(read(&host, &format!("{dir}/uevent")).as_deref(), Ok("DRIVER=mtty"));
        assert_eq!(read(&host, &format!("{dir}/vendor/sample_mdev_dev")), Ok(format!("This is MDEV {}", uuid(1))));
        assert_eq!(target(&host, &format!("{dir}/iommu_group")).as_deref(), Ok("../../../../../kernel/iommu_groups/0"));
        assert_eq!(target(&host, &format!("{dir}/subsystem")).as_deref(), Ok("../../../../../bus/mdev"));
        assert_eq!(list(&host, "/sys/kernel/iommu_groups/0/devices").unwrap(), [uuid(1)]);
        assert_eq!(list(&host, "/sys/bus/mdev/drivers/mtty").unwrap(), [uuid(1)]);
        assert_eq!(list(&host, "/sys/class/vfio-dev/vfio0").unwrap(), ["device", "subsystem", "uevent"]);
        assert!(exists(&host, "/dev/vfio/0"));
        write(&host, &format!("{dir}/remove"), "1").unwrap();
        let left: Vec<SimEntry> = host.entries().into_iter().filter(|entry| !before.contains(entry)).collect();
        // Only folders that any device would need again.
        assert!(left.iter().all(|entry| matches!(entry, SimEntry::Dir { .. })), "{left:?}");
    }

    #[test]
    fn iommu_groups_are_numbered_from_below() {
        let host = default_host();
        let group = |uuid: &str| target(&host, &format!("{I915}/{uuid}/iommu_group")).unwrap();
        assert!(group(FIRST).ends_with("/6"), "0 to 5 belong to the PCI functions");
        for number in [1, 2] {
            create(&host, I915, "i915-GVTg_V5_8", &uuid(number)).unwrap();
        }
        write(&host, &format!("{I915}/{}/remove", uuid(1)), "1").unwrap();
        create(&host, I915, "i915-GVTg_V5_8", &uuid(3)).unwrap();
        assert!(group(&uuid(2)).ends_with("/8") && group(&uuid(3)).ends_with("/7"));
    }

    #[test]
    fn whoever_is_too_many_hears_it_in_the_drivers_words() {
        let host = default_host();
        assert_eq!(create(&host, I915, "i915-GVTg_V5_1", &uuid(1)), Err(Errno::NOSPC));
        let css = "/sys/devices/css0/0.0.0052";
        create(&host, css, "vfio_ccw-io", &uuid(1)).unwrap();
        assert_eq!(create(&host, css, "vfio_ccw-io", &uuid(2)), Err(Errno::USERS));
    }

    #[test]
    fn a_write_longer_than_a_page_is_cut() {
        let host = default_host();
        let dir = host.open(&format!("{I915}/{FIRST}")).unwrap();
        let long = format!("change{}", " x".repeat(3000));
        // The driver took the first page and was content; the caller learns that it was not all.
        assert_eq!(dir.write("uevent", long.as_bytes()), Err(Errno::IO));
    }
}

mod rfc {
    use super::*;

    fn params(host: &SimHost) -> String {
        host.params_set(&ty(M60, "11")).unwrap()
    }

    #[test]
    fn params_stay_until_a_newline_clears_them() {
        let host = default_host();
        let file = format!("{}/params", ty(M60, "11"));
        write(&host, &file, "frame_rate_limiter=0\n").unwrap();
        create(&host, M60, "11", &format!("{}:1", uuid(1))).unwrap();
        create(&host, M60, "11", &uuid(2)).unwrap();
        assert_eq!((write(&host, &file, ""), params(&host).as_str()), (Err(Errno::INVAL), "frame_rate_limiter=0"));
        write(&host, &file, "\n").unwrap();
        create(&host, M60, "11", &uuid(3)).unwrap();
        let shown = |number, name: &str| read(&host, &format!("{M60}/{}/{name}", uuid(number)));
        assert_eq!(shown(1, "params").as_deref(), Ok("frame_rate_limiter=0"));
        assert_eq!(shown(2, "params").as_deref(), Ok("frame_rate_limiter=0"), "nobody cleared them");
        assert_eq!(shown(3, "params").as_deref(), Ok(""));
        assert_eq!((shown(1, "group").as_deref(), shown(2, "group")), (Ok("1"), Err(Errno::NOENT)));
        assert_eq!(read(&host, &file), Err(Errno::ACCESS));
        assert_eq!(host.params_set(M60), Err(Errno::NOENT));
    }

    #[test]
    fn create_is_as_strict_as_a_vendor() {
        let host = default_host();
        let long = format!("{}0", uuid(1));
        let bad =
            ["", ":", ":x", ":1:1", ":-1", ":4294967296", " ", "x", "\n\n"].map(|tail| format!("{}{tail}", uuid(1)));
        for value in bad[1..].iter().chain([&long, &uuid(1)[1..].to_owned()]) {
            assert_eq!(create(&host, M60, "11", value), Err(Errno::INVAL), "{value:?}");
        }
        for without_groups in ["12", "13"] {
            assert_eq!(create(&host, M60, without_groups, &format!("{}:1", uuid(1))), Err(Errno::INVAL));
        }
        create(&host, M60, "11", &format!("{}\n", uuid(0xab).to_uppercase())).unwrap();
        assert!(exists(&host, &format!("/sys/bus/mdev/devices/{}", uuid(0xab))));
        assert_eq!(create(&host, M60, "12", &uuid(0xab)), Err(Errno::EXIST));
        assert_eq!(create(&host, I915, "i915-GVTg_V5_8", &uuid(0xab)), Err(Errno::EXIST));
    }

    #[test]
    fn the_parent_destroys_its_own() {
        let host = default_host();
        let destroy = |value: &str| write(&host, &format!("{M60}/mdev_destroy"), value);
        create(&host, M60, "11", &uuid(1)).unwrap();
        assert_eq!(target(&host, &format!("{M60}/{}/mdev_type", uuid(1))).as_deref(), Ok("../mdev_supported_types/11"));
        assert_eq!(
            (destroy(&uuid(2)), destroy(FIRST), destroy("1")),
            (Err(Errno::NODEV), Err(Errno::NODEV), Err(Errno::INVAL))
        );
        assert_eq!((destroy(&format!("{}\n", uuid(1))), destroy(&uuid(1))), (Ok(()), Err(Errno::NODEV)));
        assert!(!exists(&host, &format!("{M60}/{}", uuid(1))));
    }

    #[test]
    fn the_types_share_the_framebuffer() {
        let host = default_host();
        let left = || ["11", "12", "13"].map(|id| read(&host, &format!("{}/max_instances", ty(M60, id))).unwrap());
        assert_eq!(left(), ["16", "16", "8"]);
        create(&host, M60, "11", &uuid(1)).unwrap();
        assert_eq!(left(), ["15", "15", "7"]);
        for number in 2..=8 {
            create(&host, M60, "13", &uuid(number)).unwrap();
        }
        assert_eq!(left(), ["1", "1", "0"]);
        assert_eq!(create(&host, M60, "13", &uuid(9)), Err(Errno::NOSPC));
    }
}

mod general {
    use super::*;

    #[test]
    fn a_device_is_run_from_its_own_folder() {
        let host = default_host();
        create(&host, ACCEL, "queue-4", &format!("{}:3", uuid(1))).unwrap();
        let at = |name: &str| format!("{ACCEL}/{}/{name}", uuid(1));
        assert_eq!(target(&host, &at("type")).as_deref(), Ok("../mdev_supported_types/queue-4"));
        let shown = |name: &str| read(&host, &at(name)).unwrap();
        assert_eq!(["online", "priority", "weight", "group"].map(shown), ["1", "0", "100", "3"]);
        for (name, value, after) in
            [("online", "off", "0"), ("weight", "0x10\n", "16"), ("priority", "7", "7"), ("group", "4", "4")]
        {
            write(&host, &at(name), value).unwrap();
            assert_eq!(shown(name), after, "{name}");
        }
        for (name, value) in [
            ("online", "2"),
            ("weight", "heavy"),
            ("priority", "-1"),
            ("group", "x"),
            ("reset", "now"),
            ("destroy", "now"),
        ] {
            assert_eq!(write(&host, &at(name), value), Err(Errno::INVAL), "{name}");
        }
        assert_eq!(read(&host, &at("reset")), Err(Errno::ACCESS));
        for value in ["0", "1"] {
            write(&host, &at("reset"), value).unwrap();
        }
        assert_eq!((host.resets(&uuid(1)), host.resets(&uuid(2))), (Ok(1), Err(Errno::NODEV)));
        assert_eq!(write(&host, &at("destroy"), "0"), Ok(()));
        assert_eq!(write(&host, &at("destroy"), "1"), Ok(()));
        assert_eq!(write(&host, &at("destroy"), "1"), Err(Errno::NOENT));
    }

    #[test]
    fn only_grouped_types_have_groups() {
        let host = default_host();
        for ungrouped in ["queue-1", "queue-2"] {
            assert_eq!(create(&host, ACCEL, ungrouped, &format!("{}:1", uuid(1))), Err(Errno::INVAL));
            create(&host, ACCEL, ungrouped, &uuid(1)).unwrap();
            assert!(!exists(&host, &format!("{ACCEL}/{}/group", uuid(1))));
            write(&host, &format!("{ACCEL}/{}/destroy", uuid(1)), "1").unwrap();
        }
    }
}

mod ap {
    use super::*;

    fn two_devices() -> SimHost {
        let host = default_host();
        for number in [1, 2] {
            create(&host, MATRIX, "vfio_ap-passthrough", &uuid(number)).unwrap();
        }
        host
    }

    fn set(host: &SimHost, number: u32, name: &str, value: &str) -> Result<(), Errno> {
        write(host, &format!("{MATRIX}/{}/{name}", uuid(number)), value)
    }

    fn get(host: &SimHost, number: u32, name: &str) -> String {
        read(host, &format!("{MATRIX}/{}/{name}", uuid(number))).unwrap()
    }

    #[test]
    fn adapters_and_domains_make_queues() {
        let host = two_devices();
        assert_eq!(get(&host, 1, "matrix"), "");
        set(&host, 1, "assign_adapter", "5\n").unwrap();
        assert_eq!((get(&host, 1, "matrix"), get(&host, 1, "guest_matrix")), ("05.".to_owned(), String::new()));
        set(&host, 1, "assign_domain", "0xab").unwrap();
        set(&host, 1, "assign_control_domain", "0xab").unwrap();
        assert_eq!(
            (get(&host, 1, "matrix"), get(&host, 1, "control_domains")),
            ("05.00ab".to_owned(), "00ab".to_owned())
        );
        for name in ["assign_adapter", "unassign_domain", "assign_control_domain"] {
            assert_eq!((set(&host, 1, name, "256"), set(&host, 1, name, "x")), (Err(Errno::NODEV), Err(Errno::INVAL)));
        }
        set(&host, 1, "unassign_adapter", "5").unwrap();
        assert_eq!(get(&host, 1, "matrix"), ".00ab");
        assert_eq!(read(&host, &format!("{MATRIX}/{}/assign_adapter", uuid(1))), Err(Errno::ACCESS));
    }

    #[test]
    fn a_queue_belongs_to_one_device() {
        let host = two_devices();
        set(&host, 1, "assign_adapter", "5").unwrap();
        set(&host, 1, "assign_domain", "4").unwrap();
        // An adapter may be shared as long as no domain is.
        set(&host, 2, "assign_adapter", "5").unwrap();
        assert_eq!(set(&host, 2, "assign_domain", "4"), Err(Errno::ADDRINUSE));
        assert_eq!(get(&host, 2, "matrix"), "05.", "nothing of the refused one stays");
        let config = get(&host, 1, "ap_config");
        assert_eq!(set(&host, 2, "ap_config", &config), Err(Errno::ADDRINUSE));
        write(&host, &format!("{MATRIX}/{}/remove", uuid(1)), "1").unwrap();
        set(&host, 2, "ap_config", &config).unwrap();
        assert_eq!(get(&host, 2, "matrix"), "05.0004");
        for bad in ["0x0", "0x0,0x0", "0x0,0x0,0x0,0x0", "0x0,0x0,0xg"] {
            assert_eq!(set(&host, 2, "ap_config", bad), Err(Errno::INVAL), "{bad}");
        }
    }

    #[test]
    fn a_replay_knows_whose_the_queues_are() {
        let host = two_devices();
        for (name, value) in [("assign_adapter", "5"), ("assign_domain", "4"), ("assign_control_domain", "7")] {
            set(&host, 1, name, value).unwrap();
        }
        let host = replay(&host);
        set(&host, 2, "assign_adapter", "5").unwrap();
        assert_eq!(set(&host, 2, "assign_domain", "4"), Err(Errno::ADDRINUSE));
        assert_eq!(get(&host, 1, "control_domains"), "0007");
        // Nothing is inherited from the device that a new one is made after.
        create(&host, MATRIX, "vfio_ap-passthrough", &uuid(3)).unwrap();
        assert_eq!((get(&host, 3, "matrix"), get(&host, 3, "control_domains")), (String::new(), String::new()));
    }
}

mod replayed {
    use super::*;

    #[test]
    fn a_dump_makes_the_same_host() {
        let host = default_host();
        create(&host, M60, "11", &format!("{}:1", uuid(1))).unwrap();
        create(&host, ACCEL, "queue-4", &uuid(2)).unwrap();
        assert_eq!(replay(&host).entries(), host.entries());
    }

    #[test]
    fn devices_of_the_dump_can_be_removed_and_give_back_what_they_took() {
        let host = host(samples());
        create(&host, MTTY, "mtty-2", &uuid(1)).unwrap();
        let host = replay(&host);
        let left = |id: &str| read(&host, &format!("{}/available_instances", ty(MTTY, id))).unwrap();
        assert_eq!([left("mtty-1"), left("mtty-2")], ["22", "11"]);
        write(&host, &format!("{MTTY}/{}/remove", uuid(1)), "1").unwrap();
        assert_eq!([left("mtty-1"), left("mtty-2")], ["24", "12"]);
        assert!(!exists(&host, "/dev/vfio/0") && !exists(&host, "/sys/kernel/iommu_groups/0"));
    }

    #[test]
    fn new_devices_are_made_after_old_ones() {
        let dir = format!("{MTTY}/{}", uuid(1));
        let mut entries = samples();
        entries.extend([
            link(&format!("{dir}/mdev_type"), "../mdev_supported_types/mtty-1"),
            link(&format!("{dir}/driver"), "../../../../../bus/mdev/drivers/other"),
            link(&format!("{dir}/iommu_group"), "../../../../../kernel/iommu_groups/4"),
            link(
                &format!("/sys/bus/mdev/devices/{}", uuid(1)),
                &format!("../../../devices/virtual/mtty/mtty/{}", uuid(1)),
            ),
            file(&format!("{dir}/remove"), 0o200, ""),
            file(&format!("{dir}/knob/depth"), 0o644, "3\n"),
            file(&format!("{dir}/self"), 0o444, &format!("{}\n", uuid(1))),
        ]);
        let host = host(entries);
        create(&host, MTTY, "mtty-1", &uuid(2)).unwrap();
        let new = |name: &str| format!("{MTTY}/{}/{name}", uuid(2));
        assert_eq!(read(&host, &new("self")), Ok(uuid(2)));
        write(&host, &new("knob/depth"), "4").unwrap();
        assert_eq!(
            (read(&host, &new("knob/depth")).as_deref(), read(&host, &format!("{dir}/knob/depth")).as_deref()),
            (Ok("4"), Ok("3"))
        );
        assert_eq!(target(&host, &new("driver")).as_deref(), Ok("../../../../../bus/mdev/drivers/other"));
        assert_eq!(target(&host, &new("iommu_group")).as_deref(), Ok("../../../../../kernel/iommu_groups/0"));
        assert_eq!(write(&host, &format!("{dir}/remove"), "1"), Ok(()), "links that the dump lacks are not missed");
    }

    #[test]
    fn odd_dumps_are_served_as_far_as_they_go() {
        let odd = vec![
            // A device that was not ready, one whose type is unknown, a folder that is no device.
            SimEntry::Dir { path: format!("{MTTY}/{}", uuid(1)) },
            link(&format!("{MTTY}/{}/mdev_type", uuid(2)), "../mdev_supported_types/mtty-7"),
            file(&format!("{MTTY}/{}/remove", uuid(2)), 0o200, ""),
            SimEntry::Dir { path: format!("{MTTY}/{}", uuid(0xab).to_uppercase()) },
            // A counter that cannot be read, one that is no number, a type with nothing in it.
            SimEntry::File {
                path: "/sys/p/mdev_supported_types/a/available_instances".to_owned(),
                mode: 0o444,
                content: Err(Errno::IO),
            },
            file("/sys/p/mdev_supported_types/a/create", 0o200, ""),
            file("/sys/p/mdev_supported_types/a/device_api", 0o444, "vfio-pci\n"),
            file("/sys/p/mdev_supported_types/b/available_instances", 0o444, "many\n"),
            file("/sys/p/mdev_supported_types/b/create", 0o200, ""),
            SimEntry::Dir { path: "/sys/p/mdev_supported_types/c".to_owned() },
        ];
        let host = host([samples(), odd].concat());
        assert_eq!(create(&host, MTTY, "mtty-1", &uuid(1)), Err(Errno::EXIST));
        assert_eq!(write(&host, &format!("{MTTY}/{}/remove", uuid(2)), "1"), Ok(()));
        assert_eq!(create(&host, MTTY, "mtty-1", &uuid(2)), Ok(()));
        for (number, id) in [(3, "a"), (4, "b")] {
            create(&host, "/sys/p", id, &uuid(number)).unwrap();
        }
        assert_eq!(read(&host, "/sys/p/mdev_supported_types/a/available_instances"), Err(Errno::IO));
        assert_eq!(create(&host, "/sys/p", "c", &uuid(5)), Err(Errno::NOENT));
    }
}

mod injected {
    use super::*;

    #[test]
    fn the_log_shows_the_sequence_of_a_create() {
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
            (Op::Write, "params", Some(&b"x"[..])),
            (Op::Write, "create", Some(id.as_bytes())),
            (Op::Write, "params", Some(&b"\n"[..])),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn failures_come_when_they_were_asked_for() {
        let host = default_host();
        host.fail_next(Op::Write, "11/create", Errno::IO, 2);
        assert_eq!(create(&host, M60, "11", &uuid(1)), Ok(()));
        assert_eq!(create(&host, M60, "11", &uuid(2)), Err(Errno::IO));
        assert!(!exists(&host, &format!("{M60}/{}", uuid(2))));
        assert_eq!(create(&host, M60, "11", &uuid(2)), Ok(()));
    }

    #[test]
    fn a_hook_may_change_the_host() {
        let host = default_host();
        let (changed, dir) = (host.clone(), host.open(M60).unwrap());
        host.set_hook(Some(Arc::new(move |op, path: &str| {
            if op == Op::Write && path.ends_with("/create") {
                changed.unplug(M60).unwrap();
            }
            (op == Op::Lock).then_some(Errno::NOLCK)
        })));
        assert_eq!(dir.lock(soon()).unwrap_err(), Errno::NOLCK);
        assert_eq!(dir.write("mdev_supported_types/11/create", uuid(1).as_bytes()), Err(Errno::NOENT));
        host.set_hook(None);
        assert_eq!(host.open(M60).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn a_create_may_do_nothing_or_half_of_it() {
        let host = default_host();
        let at = |name: &str| format!("{I915}/{}/{name}", uuid(1));
        host.swallow_next_create();
        assert_eq!(create(&host, I915, "i915-GVTg_V5_4", &uuid(1)), Ok(()));
        assert!(!exists(&host, &format!("{I915}/{}", uuid(1))));
        assert_eq!(read(&host, &format!("{}/available_instances", ty(I915, "i915-GVTg_V5_8"))).as_deref(), Ok("7"));
        host.hold_back_links(true);
        create(&host, I915, "i915-GVTg_V5_4", &uuid(1)).unwrap();
        assert!(exists(&host, &at("remove")) && !exists(&host, &at("mdev_type")) && !exists(&host, &at("iommu_group")));
        let mut watch = host.watch().unwrap();
        host.hold_back_links(false);
        assert_eq!(watch.wait(Some(soon())), Ok(true));
        assert!(exists(&host, &at("mdev_type")) && exists(&host, &at("iommu_group")) && exists(&host, "/dev/vfio/7"));
    }
}
