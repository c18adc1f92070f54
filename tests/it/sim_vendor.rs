// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated kernel's PFs, whose VFs are virtual GPUs, in the cases that `vendor_facts.rs` has no record of.

use std::sync::Arc;

use mdev::test_hooks::sim::{Op, SimEntry, SimHost, default_host, upstream_host};
use mdev::test_hooks::sysfs::{Errno, Sysfs, Users, VfioNode};

use crate::support::hosts::{self, exists, file, has_event, host, link, list, read, replay, target, write};
use crate::support::vfs::{ALL, IDLE_PF, PF, at, card, creatable, ids, set, vf};

/// Returns the names of the types that a VF lists.
fn names(host: &SimHost, number: u32) -> Vec<String> {
    let text = read(host, &at(number, "creatable_vgpu_types")).unwrap();
    text.lines().skip(1).map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

fn current(host: &SimHost, number: u32) -> String {
    read(host, &at(number, "current_vgpu_type")).unwrap()
}

mod built_in_host {
    use super::*;

    #[test]
    fn default_host_has_card_with_eight_vfs() {
        let host = default_host();
        let shown = |name: &str| read(&host, &format!("{PF}/{name}")).unwrap();
        assert_eq!(["vendor", "device", "class", "numa_node"].map(shown), ["0x10de", "0x2335", "0x030200", "1"]);
        assert_eq!(["sriov_totalvfs", "sriov_numvfs"].map(shown), ["8", "8"]);
        for number in 0..8 {
            let path = vf(number);
            let address = path.rsplit('/').next().unwrap();
            assert_eq!(target(&host, &format!("{PF}/virtfn{number}")), Ok(format!("../{address}")));
            assert_eq!(target(&host, &format!("{path}/physfn")).as_deref(), Ok("../0000:41:00.0"));
            assert_eq!(list(&host, &format!("{path}/iommu_group/devices")).unwrap(), [address]);
            let group = target(&host, &format!("{path}/iommu_group")).unwrap();
            assert!(exists(&host, &format!("/dev/vfio/{}", group.rsplit('/').next().unwrap())));
            let vfio = format!("vfio{number}");
            assert_eq!(list(&host, &format!("{path}/vfio-dev")).unwrap(), std::slice::from_ref(&vfio));
            assert_eq!(list(&host, &format!("/sys/class/vfio-dev/{vfio}/device/nvidia")).unwrap().len(), 6);
            assert_eq!(current(&host, number), "0");
        }
        let drivers = list(&host, "/sys/bus/pci/drivers/nvidia").unwrap();
        assert!(
            ["0000:41:00.0", "0000:41:00.4", "0000:41:01.3", "0000:c1:00.0"]
                .iter()
                .all(|d| drivers.contains(&(*d).to_owned()))
        );
        assert_eq!(vf(7).rsplit('/').next(), Some("0000:41:01.3"));
        let sizes = ["4C", "8C", "17C", "35C", "70C", "141C"].map(|size| format!("NVIDIA H200X-{size}"));
        assert_eq!(names(&host, 0), sizes);
    }

    #[test]
    fn default_host_has_card_whose_vfs_can_be_enabled() {
        let host = default_host();
        assert_eq!(read(&host, &format!("{IDLE_PF}/sriov_numvfs")).as_deref(), Ok("0"));
        assert!(!exists(&host, &format!("{IDLE_PF}/virtfn0")));
        let mut events = host.events().unwrap();
        host.enable_vfs().unwrap();
        assert!(has_event(&mut *events));
        assert_eq!(read(&host, &format!("{IDLE_PF}/sriov_numvfs")).as_deref(), Ok("8"));
        let file = |number: u32, name: &str| format!("{IDLE_PF}/virtfn{number}/nvidia/{name}");
        write(&host, &file(7, "current_vgpu_type"), "1443").unwrap();
        assert_eq!(read(&host, &file(0, "creatable_vgpu_types")).as_deref(), Ok("ID    : vGPU Name"));
        // The types of one card do not affect the other card.
        assert_eq!(creatable(&host, 0), ALL);
        assert_eq!(host.enable_vfs().unwrap_err().errno, Errno::BUSY.raw_os_error());
    }

    #[test]
    fn default_host_keeps_iommu_groups_of_its_other_devices() {
        let host = default_host();
        let group = target(&host, &format!("{}/{}/iommu_group", hosts::I915, hosts::FIRST)).unwrap();
        assert!(group.ends_with("/6"));
    }
}

mod upstream {
    use super::*;

    #[test]
    fn card_of_upstream_driver_lists_only_type_in_use() {
        let host = upstream_host();
        let driver =
            |path: &str| target(&host, &format!("{path}/driver")).unwrap().rsplit('/').next().unwrap().to_owned();
        assert_eq!([driver(PF), driver(&vf(0))], ["nova_core", "nvidia-vgpu-vfio"]);
        assert_eq!(list(&host, &format!("{}/nvidia", vf(0))).unwrap(), ["creatable_vgpu_types", "current_vgpu_type"]);
        let at = |number| read(&host, &at(number, "creatable_vgpu_types")).unwrap();
        assert!(at(0).starts_with("ID    : vGPU Name\n1438  : "));
        assert_eq!((set(&host, 0, "0"), set(&host, 0, "1440")), (Ok(()), Ok(())));
        assert_eq!((at(0).as_str(), at(1).as_str()), ("", "1440  : NVIDIA H200X-17C"));
        assert_eq!((set(&host, 1, "1438"), set(&host, 1, "7")), (Err(Errno::INVAL), Err(Errno::NODEV)));
    }

    #[test]
    fn set_of_upstream_vf_in_use_returns_ebusy() {
        let host = upstream_host();
        set(&host, 0, "1440").unwrap();
        host.set_in_use("0000:41:00.4", true).unwrap();
        for value in ["0", "1440", "1438", "7"] {
            assert_eq!((set(&host, 0, value), current(&host, 0).as_str()), (Err(Errno::BUSY), "1440"), "{value}");
        }
        assert_eq!(set(&host, 0, "garbage"), Err(Errno::INVAL));
    }
}

mod types {
    use super::*;

    #[test]
    fn write_of_listed_type_sets_it() {
        let host = default_host();
        assert_eq!(set(&host, 2, "1440\n"), Ok(()));
        assert_eq!((current(&host, 2).as_str(), current(&host, 3).as_str()), ("1440", "0"));
        assert_eq!(set(&host, 2, "0"), Ok(()));
        assert_eq!((current(&host, 2).as_str(), creatable(&host, 3)), ("0", ALL.to_vec()));
    }

    #[test]
    fn set_of_vf_shortens_lists_of_others() {
        let host = default_host();
        set(&host, 0, "1442").unwrap();
        assert_eq!(creatable(&host, 1), ALL[..5]);
        // A VF with a type lists no types.
        assert_eq!(read(&host, &at(0, "creatable_vgpu_types")).as_deref(), Ok("ID    : vGPU Name"));
        set(&host, 1, "1442").unwrap();
        // 141 minus 2 x 70 is less than the smallest type: only the header remains.
        assert_eq!(read(&host, &at(2, "creatable_vgpu_types")).as_deref(), Ok("ID    : vGPU Name"));
        assert_eq!(set(&host, 2, "1438"), Err(Errno::IO));
        set(&host, 0, "0").unwrap();
        assert_eq!(creatable(&host, 2), ALL[..5]);
        assert_eq!(set(&host, 2, "1438"), Ok(()));
        assert_eq!(creatable(&host, 3), ALL[..4]);
    }

    #[test]
    fn refused_write_of_type_changes_nothing() {
        let host = default_host();
        assert_eq!((set(&host, 0, "0"), set(&host, 0, "7")), (Err(Errno::PERM), Err(Errno::IO)));
        set(&host, 0, "1440").unwrap();
        for (value, errno) in [
            ("1438", Errno::PERM),
            ("1440", Errno::PERM),
            ("7", Errno::PERM),
            ("-1", Errno::PERM),
            ("4294967296", Errno::PERM),
            ("garbage", Errno::INVAL),
            ("\n", Errno::INVAL),
            ("0x1433", Errno::INVAL),
            ("9223372036854775808", Errno::RANGE),
        ] {
            assert_eq!((set(&host, 0, value), current(&host, 0).as_str()), (Err(errno), "1440"), "{value:?}");
        }
        assert_eq!((set(&host, 0, "0"), creatable(&host, 1)), (Ok(()), ALL.to_vec()));
    }

    #[test]
    fn set_of_vf_in_use_returns_eperm() {
        let host = default_host();
        assert_eq!(host.set_in_use("0000:41:00.5", true), Err(Errno::NODEV), "a guest can open only a VF with a type");
        set(&host, 1, "1440").unwrap();
        host.set_in_use("0000:41:00.5", true).unwrap();
        assert_eq!(host.set_in_use("0000:41:00.5", true), Err(Errno::BUSY));
        for value in ["0", "1438", "7"] {
            assert_eq!((set(&host, 1, value), current(&host, 1).as_str()), (Err(Errno::PERM), "1440"), "{value}");
        }
        assert_eq!(set(&host, 1, "garbage"), Err(Errno::INVAL));
        assert_eq!(write(&host, &at(1, "vgpu_params"), "a=1\n"), Err(Errno::PERM));
        // Files other than the type and the parameters can be written at any time.
        write(&host, &at(1, "placement_id"), "3").unwrap();
        host.set_in_use("0000:41:00.5", false).unwrap();
        assert_eq!((set(&host, 1, "0"), creatable(&host, 0)), (Ok(()), ALL.to_vec()));
        assert_eq!(host.set_in_use("0000:41:0f.5", true), Err(Errno::NODEV));
    }

    #[test]
    fn time_of_vf_file_changes_only_with_truncating_open() {
        let host = default_host();
        let dir = host.open(&format!("{}/nvidia", vf(0))).unwrap();
        let changed = || dir.meta("current_vgpu_type").unwrap().changed;
        let mark = dir.set_mtime("current_vgpu_type").unwrap();
        for value in ["1440", "0", "1440", "7"] {
            let _ = dir.write("current_vgpu_type", value.as_bytes());
        }
        assert_eq!(changed(), mark);
        assert_eq!(host.echo(&at(0, "current_vgpu_type"), "1440"), Err(Errno::PERM));
        assert_ne!(changed(), mark);
        assert_eq!(current(&host, 0), "1440");
    }
}

mod other_files {
    use super::*;

    #[test]
    fn vgpu_params_stay_until_they_are_overwritten_or_cleared() {
        let host = default_host();
        let params = at(0, "vgpu_params");
        write(&host, &params, "enable_uvm=1,frame_rate_limiter=0\n").unwrap();
        for value in ["1438", "0", "garbage"] {
            let _ = set(&host, 0, value);
            assert_eq!(read(&host, &params).as_deref(), Ok("enable_uvm=1,frame_rate_limiter=0"));
        }
        assert_eq!(read(&host, &at(1, "vgpu_params")).as_deref(), Ok(""));
        for (text, kept) in [("a=60", "a=6"), ("a\n", "a"), ("=1,\n", "=1,"), ("a=1\nb=2\n", "a=1\nb=2"), (" ", "")] {
            write(&host, &params, text).unwrap();
            assert_eq!(read(&host, &params).as_deref(), Ok(kept), "{text:?}");
        }
        write(&host, &params, "\n").unwrap();
        assert_eq!(read(&host, &params).as_deref(), Ok(""));
    }

    #[test]
    fn vgpu_params_of_more_than_1024_bytes_return_e2big() {
        let host = default_host();
        let params = at(0, "vgpu_params");
        let long = "x".repeat(1023);
        assert_eq!((write(&host, &params, format!("{long}\n")), read(&host, &params)), (Ok(()), Ok(long.clone())));
        assert_eq!(write(&host, &params, format!("{long}x\n")), Err(Errno::TOOBIG));
        assert_eq!(read(&host, &params), Ok(long));
    }

    #[test]
    fn vgpu_params_of_vf_without_type_return_enxio_on_request() {
        let host = default_host();
        host.params_need_type();
        for host in [&host, &replay(&host)] {
            let params = at(0, "vgpu_params");
            assert_eq!((write(host, &params, "a=1\n"), read(host, &params)), (Err(Errno::NXIO), Err(Errno::NXIO)));
            set(host, 0, "1440").unwrap();
            assert_eq!((read(host, &params).as_deref(), write(host, &params, "a=1\n")), (Ok(""), Ok(())));
            set(host, 0, "0").unwrap();
            assert_eq!(read(host, &params), Err(Errno::NXIO));
            set(host, 0, "1440").unwrap();
            assert_eq!(read(host, &params).as_deref(), Ok(""));
        }
    }

    #[test]
    fn write_of_malformed_number_returns_einval() {
        let host = default_host();
        for (name, most) in [("gpu_instance_id", "4294967295"), ("placement_id", "4294967295"), ("warm_update", "1")] {
            let path = at(0, name);
            for good in ["1", "0\n", most] {
                write(&host, &path, good).unwrap();
                assert_eq!(read(&host, &path).as_deref(), Ok(good.trim_end()));
            }
            for bad in ["-1", "x", "\n", "4294967296", "1 2", "0x1"] {
                assert_eq!(
                    (write(&host, &path, bad), read(&host, &path).as_deref()),
                    (Err(Errno::INVAL), Ok(most)),
                    "{name} {bad:?}"
                );
            }
        }
        assert_eq!(write(&host, &at(0, "warm_update"), "2"), Err(Errno::INVAL));
        assert_eq!(write(&host, &at(0, "creatable_vgpu_types"), "1"), Err(Errno::ACCESS));
    }
}

mod vfio {
    use super::*;

    fn group(host: &SimHost, number: u32) -> u32 {
        let group = target(host, &format!("{}/iommu_group", vf(number))).unwrap();
        group.rsplit('/').next().unwrap().parse().unwrap()
    }

    #[test]
    fn group_holder_and_guest_exclude_each_other() {
        let host = default_host();
        set(&host, 1, "1440").unwrap();
        let number = group(&host, 1);
        let guard = host.hold_vfio_group(number).unwrap();
        assert_eq!(host.set_in_use("0000:41:00.5", true), Err(Errno::BUSY));
        assert_eq!(set(&host, 1, "0"), Ok(()), "a holder of the group does not use the device");
        set(&host, 1, "1440").unwrap();
        drop(guard);
        host.set_in_use("0000:41:00.5", true).unwrap();
        assert_eq!(host.hold_vfio_group(number).unwrap_err(), Errno::BUSY);
        drop(host.hold_vfio_group(group(&host, 2)).unwrap());
    }

    #[test]
    fn vfio_users_of_node_in_use_are_found() {
        let host = default_host();
        let number = group(&host, 1);
        set(&host, 1, "1440").unwrap();
        let device = |name: &str| VfioNode::Device { name: name.to_owned(), number: None };
        let nodes = [device("vfio1"), VfioNode::Group(number), device("vfio2")];
        let users = |node: &VfioNode| host.vfio_users(std::slice::from_ref(node));
        assert!(nodes.iter().all(|node| users(node) == Ok(Users::None)));
        assert_eq!(users(&device("vfio77")), Ok(Users::NoNode));
        host.set_in_use("0000:41:00.5", true).unwrap();
        let found = nodes.each_ref().map(|node| matches!(users(node), Ok(Users::Found(_))));
        assert_eq!(found, [true, true, false]);
    }
}

mod hooks {
    use super::*;

    #[test]
    fn swallowed_set_succeeds_and_changes_nothing() {
        let host = default_host();
        host.swallow_next_create();
        assert_eq!(set(&host, 0, "7"), Err(Errno::IO), "a refused set is not a create");
        assert_eq!((set(&host, 0, "1440"), current(&host, 0).as_str()), (Ok(()), "0"));
        assert_eq!((set(&host, 0, "1440"), current(&host, 0).as_str()), (Ok(()), "1440"));
    }

    #[test]
    fn iommu_group_and_node_of_vf_can_be_held_back() {
        let host = default_host();
        let before = host.entries();
        let group = target(&host, &format!("{}/iommu_group", vf(0))).unwrap();
        let node = format!("/dev/vfio/{}", group.rsplit('/').next().unwrap());
        let held = [
            format!("{}/iommu_group", vf(0)),
            format!("{}/vfio-dev", vf(0)),
            node,
            "/sys/class/vfio-dev/vfio0".to_owned(),
        ];
        host.hold_back_links(true);
        set(&host, 0, "1440").unwrap();
        let mut events = host.events().unwrap();
        assert_eq!(held.each_ref().map(|path| exists(&host, path)), [false; 4]);
        assert!(exists(&host, &format!("{}/iommu_group", vf(1))));
        host.hold_back_links(false);
        assert!(has_event(&mut *events));
        set(&host, 0, "0").unwrap();
        assert_eq!(host.entries(), before);
    }

    #[test]
    fn failures_logs_and_hooks_work_on_vf_files() {
        let host = default_host();
        host.fail_next(Op::Write, "0000:41:00.4/nvidia/current_vgpu_type", Errno::TIMEDOUT, 1);
        host.start_log();
        assert_eq!((set(&host, 0, "1440"), current(&host, 0).as_str()), (Err(Errno::TIMEDOUT), "0"));
        assert!(host.take_log().iter().any(|entry| entry.value.as_deref() == Some(b"1440")));
        // Another program sets its VF first.
        let other = host.clone();
        host.set_hook(Some(Arc::new(move |op, path: &str| {
            if op == Op::Write && path.ends_with("00.4/nvidia/current_vgpu_type") {
                set(&other, 1, "1443").unwrap();
            }
            None
        })));
        assert_eq!(set(&host, 0, "1438"), Err(Errno::IO));
    }
}

mod plug_and_unplug {
    use super::*;

    #[test]
    fn unplug_of_vf_frees_its_group_and_framebuffer() {
        let host = default_host();
        set(&host, 0, "1443").unwrap();
        host.set_in_use("0000:41:00.4", true).unwrap();
        let group = target(&host, &format!("{}/iommu_group", vf(0))).unwrap();
        let number = group.rsplit('/').next().unwrap();
        host.unplug(&vf(0)).unwrap();
        assert_eq!(creatable(&host, 1), ALL);
        let links = [
            "/sys/bus/pci/devices/0000:41:00.4",
            "/sys/bus/pci/drivers/nvidia/0000:41:00.4",
            "/sys/class/vfio-dev/vfio0",
        ];
        let gone =
            [format!("{PF}/virtfn0"), format!("/dev/vfio/{number}"), format!("/sys/kernel/iommu_groups/{number}")];
        for path in links.into_iter().chain(gone.iter().map(String::as_str)) {
            assert!(!exists(&host, path), "{path}");
        }
    }

    #[test]
    fn unplug_of_card_removes_its_vfs() {
        let host = default_host();
        set(&host, 0, "1440").unwrap();
        let card: Vec<SimEntry> = host.entries().into_iter().filter(|e| e.path().contains("/0000:41:0")).collect();
        host.unplug(PF).unwrap();
        assert_eq!((exists(&host, &vf(0)), exists(&host, &vf(7))), (false, false));
        host.plug(card.into_iter().filter(|entry| !exists(&host, entry.path()))).unwrap();
        assert_eq!((current(&host, 0).as_str(), creatable(&host, 1)), ("1440", ids("1438 1439 1440 1441 1442")));
    }

    #[test]
    fn vf_without_its_driver_has_no_type_files() {
        let host = default_host();
        set(&host, 0, "1443").unwrap();
        host.unplug(&format!("{}/nvidia", vf(0))).unwrap();
        assert_eq!((set(&host, 0, "0"), creatable(&host, 1)), (Err(Errno::NOENT), ALL.to_vec()));
        // The VF itself still exists.
        assert!(exists(&host, &format!("{}/physfn", vf(0))));
    }

    #[test]
    fn vf_plugged_later_lists_only_types_that_fit() {
        let mut entries =
            card("0000:05:00", &[("0", "NVIDIA A40-4Q  559\nNVIDIA A40-8Q  560\n"), ("0", "NVIDIA A40-8Q  560\n")]);
        let later = entries.split_off(entries.iter().position(|entry| entry.path().ends_with("virtfn1")).unwrap());
        let host = host(entries);
        write(&host, "/sys/devices/0000:05:00.0/virtfn0/nvidia/current_vgpu_type", "559").unwrap();
        host.plug(later).unwrap();
        let listed = read(&host, "/sys/devices/0000:05:00.0/virtfn1/nvidia/creatable_vgpu_types");
        assert_eq!(listed.as_deref(), Ok("NVIDIA A40-4Q  559"));
    }
}

mod replayed {
    use super::*;

    fn file_of(number: u32, name: &str) -> String {
        format!("/sys/devices/0000:05:00.0/virtfn{number}/nvidia/{name}")
    }

    #[test]
    fn replay_of_used_vfs_is_equal_and_continues_alike() {
        let host = default_host();
        for (number, id) in [(0, "1441"), (1, "1438")] {
            set(&host, number, id).unwrap();
        }
        write(&host, &at(0, "vgpu_params"), "a=1\n").unwrap();
        let again = replay(&host);
        assert_eq!(again.entries(), host.entries());
        set(&again, 0, "0").unwrap();
        assert_eq!(set(&again, 2, "1442"), Ok(()));
        assert_eq!(read(&again, &at(0, "vgpu_params")).as_deref(), Ok("a=1"));
    }

    #[test]
    fn list_of_types_keeps_its_format_in_replay() {
        for (list, after) in [
            (
                "ID    : vGPU Name\n1148  : NVIDIA L40S-2Q\n1149  : NVIDIA L40S-4Q\n",
                "ID    : vGPU Name\n1148  : NVIDIA L40S-2Q\n",
            ),
            ("1148  : NVIDIA L40S-2Q\n1149  : NVIDIA L40S-4Q\n", "1148  : NVIDIA L40S-2Q\n"),
            ("1148:NVIDIA L40S-2Q\r\n1149:NVIDIA L40S-4Q\r\n", "1148:NVIDIA L40S-2Q\r\n"),
            ("NVIDIA L40S-2Q  1148\nNVIDIA L40S-4Q  1149\n", "NVIDIA L40S-2Q  1148\n"),
        ] {
            let host = host(card("0000:05:00", &[("0", list), ("0", list)]));
            let shown = |number| {
                let mut text = Vec::new();
                let dir = host.open(&format!("/sys/devices/0000:05:00.0/virtfn{number}/nvidia")).unwrap();
                dir.read("creatable_vgpu_types", &mut text).unwrap();
                String::from_utf8(text).unwrap()
            };
            assert_eq!(shown(1), list, "untouched");
            write(&host, &file_of(0, "current_vgpu_type"), "1148").unwrap();
            assert_eq!(shown(1), after);
            write(&host, &file_of(0, "current_vgpu_type"), "0").unwrap();
            assert_eq!((shown(0).as_str(), shown(1).as_str()), (list, list));
        }
    }

    #[test]
    fn replay_of_full_card_lists_types_after_clear() {
        let host = host(card("0000:05:00", &[("1149", ""), ("0", ""), ("0", "")]));
        assert_eq!(write(&host, &file_of(1, "current_vgpu_type"), "1149"), Err(Errno::IO));
        write(&host, &file_of(0, "current_vgpu_type"), "0").unwrap();
        assert_eq!(read(&host, &file_of(2, "creatable_vgpu_types")).as_deref(), Ok("1149  : vGPU type 1149"));
        assert_eq!(write(&host, &file_of(2, "current_vgpu_type"), "1149"), Ok(()));
        assert_eq!(write(&host, &file_of(1, "current_vgpu_type"), "1149"), Err(Errno::IO));
    }

    #[test]
    fn replay_of_full_card_takes_types_from_card_of_its_model() {
        let empty = "1148  : NVIDIA L40S-24Q\n1149  : NVIDIA L40S-48Q\n";
        let host = host([card("0000:05:00", &[("1149", ""), ("0", "")]), card("0000:06:00", &[("0", empty)])].concat());
        write(&host, &file_of(0, "current_vgpu_type"), "0").unwrap();
        assert_eq!(read(&host, &file_of(0, "creatable_vgpu_types")).as_deref(), Ok(empty.trim_end()));
        write(&host, &file_of(1, "current_vgpu_type"), "1148").unwrap();
        assert_eq!(read(&host, &file_of(0, "creatable_vgpu_types")).as_deref(), Ok("1148  : NVIDIA L40S-24Q"));
    }

    #[test]
    fn replay_of_full_card_ignores_cards_of_another_mode_or_model() {
        let in_parts = card("0000:06:00", &[("0", "1200  : NVIDIA L40S-1-6Q\n")]);
        let mut another = card("0000:07:00", &[("0", "1149  : NVIDIA L4-24Q\n")]);
        another.retain(|entry| !entry.path().ends_with("/device"));
        let host = host([card("0000:05:00", &[("1149", "")]), in_parts, another].concat());
        write(&host, &file_of(0, "current_vgpu_type"), "0").unwrap();
        assert_eq!(read(&host, &file_of(0, "creatable_vgpu_types")).as_deref(), Ok("1149  : vGPU type 1149"));
    }

    #[test]
    fn replay_of_half_full_card_keeps_its_lists() {
        // All types have one size, as on a card that is not in the mode for mixed sizes: 48 GiB, of which two times 4
        // are in use.
        let list = "1148  : NVIDIA L40S-4Q\n";
        let host = host(card("0000:05:00", &[("1148", ""), ("1148", ""), ("0", list), ("0", list), ("0", list)]));
        for number in 2..5 {
            assert_eq!(write(&host, &file_of(number, "current_vgpu_type"), "1148"), Ok(()), "{number}");
        }
    }

    #[test]
    fn replay_of_odd_vf_files_keeps_what_is_valid() {
        let mut entries = card(
            "0000:05:00",
            &[("0", "nonsense\n0 : none\n5 : NVIDIA X-1Q\n5 : NVIDIA X-2Q\n6 : no size\n"), ("many", ""), ("9", "")],
        );
        let unreadable = SimEntry::File {
            path: "/sys/odd/nvidia/current_vgpu_type".to_owned(),
            mode: 0o644,
            content: Err(Errno::IO),
        };
        // A VF of two cards, a VF that is its own card, links to nothing or to a node that is not a VF.
        entries.extend([
            link("/sys/devices/0000:06:00.0/virtfn0", "../0000:05:00.4"),
            unreadable,
            link("/sys/odd/virtfn0", "../odd"),
            link("/sys/odd/virtfn1", "../gone"),
            link("/sys/odd/virtfn2", "../devices"),
            link("/sys/odd/virtfnx", "../odd"),
            file("/sys/odd/virtfn3", 0o644, ""),
        ]);
        let host = host(entries);
        assert_eq!(
            write(&host, &file_of(1, "current_vgpu_type"), "6"),
            Err(Errno::IO),
            "the type is not in its list yet"
        );
        write(&host, &file_of(0, "current_vgpu_type"), "5").unwrap();
        // After any change all VFs show the same list, without the lines that cannot be parsed.
        assert_eq!(read(&host, &file_of(1, "creatable_vgpu_types")).as_deref(), Ok("6 : no size"));
        assert_eq!(read(&host, "/sys/odd/nvidia/current_vgpu_type"), Err(Errno::IO));
        assert_eq!(write(&host, "/sys/odd/nvidia/current_vgpu_type", "5"), Err(Errno::IO));
        replay(&host);
    }
}
