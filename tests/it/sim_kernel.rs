// SPDX-License-Identifier: LGPL-2.1-or-later
//! The drivers of the simulated kernel, in the cases that `kernel_facts.rs` has no record of.

use mdev::test_hooks::sim::{SimEntry, SimHost, default_host};
use mdev::test_hooks::sysfs::{Errno, Sysfs};

use crate::support::hosts::{
    ACCEL, FIRST, I915, M60, MATRIX, MTTY, create, exists, file, host, link, list, read, replay, samples, target, ty,
    uuid, write,
};

mod device_directories {
    use super::*;

    #[test]
    fn write_to_vgpu_params_drops_last_byte() {
        let host = default_host();
        create(&host, M60, "12", &uuid(1)).unwrap();
        let at = |name: &str| format!("{M60}/{}/nvidia/{name}", uuid(1));
        assert_eq!(list(&host, &format!("{M60}/{}/nvidia", uuid(1))).unwrap(), ["vgpu_params", "vm_name"]);
        for (text, kept) in [("frame_rate_limiter=60", "frame_rate_limiter=6"), ("a=1\n", "a=1"), (" ", "")] {
            write(&host, &at("vgpu_params"), text).unwrap();
            assert_eq!(read(&host, &at("vgpu_params")).as_deref(), Ok(kept), "{text:?}");
        }
        assert_eq!(write(&host, &at("vgpu_params"), "x".repeat(1025)), Err(Errno::TOOBIG));
        host.set_in_use(&uuid(1), true).unwrap();
        assert_eq!(read(&host, &at("vm_name")).as_deref(), Ok("lab"));
        assert_eq!(write(&host, &at("vgpu_params"), "a=1\n"), Err(Errno::PERM));
        host.set_in_use(&uuid(1), false).unwrap();
        assert_eq!(
            (read(&host, &at("vm_name")).as_deref(), write(&host, &at("vm_name"), "x")),
            (Ok(""), Err(Errno::ACCESS))
        );
        assert_eq!(replay(&host).entries(), host.entries());
    }

    #[test]
    fn device_of_general_layout_has_vendor_folder_of_samples() {
        let host = default_host();
        create(&host, ACCEL, "queue-1", &uuid(2)).unwrap();
        let shown = read(&host, &format!("{ACCEL}/{}/vendor/sample_mdev_dev", uuid(2)));
        assert_eq!(shown, Ok(format!("This is MDEV {}", uuid(2))));
    }
}

mod in_use {
    use super::*;

    /// Returns the host and the IOMMU group of its first device.
    fn first() -> (SimHost, u32) {
        let host = default_host();
        let group = target(&host, &format!("{I915}/{FIRST}/iommu_group")).unwrap();
        let number = group.rsplit('/').next().unwrap().parse().unwrap();
        (host, number)
    }

    #[test]
    fn vfio_group_is_opened_by_one_holder_only() {
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
    fn remove_of_device_in_use_returns_ebusy() {
        let (host, group) = first();
        host.set_in_use(FIRST, true).unwrap();
        assert_eq!(host.hold_vfio_group(group).unwrap_err(), Errno::BUSY);
        let remove = format!("{I915}/{FIRST}/remove");
        assert_eq!((write(&host, &remove, "1"), exists(&host, &remove)), (Err(Errno::BUSY), true));
        host.set_in_use(FIRST, false).unwrap();
        let guard = host.hold_vfio_group(group).unwrap();
        assert_eq!(write(&host, &remove, "1"), Ok(()));
        // The number is free again. A process that still has the old node open does not hold the new node.
        create(&host, I915, "i915-GVTg_V5_1", &uuid(1)).unwrap();
        drop(host.hold_vfio_group(group).unwrap());
        drop(guard);
    }

    #[test]
    fn destroy_of_device_in_use_in_both_proposals_returns_ebusy() {
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
    fn device_comes_with_its_links_and_is_removed_with_them() {
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
        // Only directories remain that the next device would need again.
        assert!(left.iter().all(|entry| matches!(entry, SimEntry::Dir { .. })), "{left:?}");
    }

    #[test]
    fn new_device_gets_lowest_free_iommu_group() {
        let host = default_host();
        let group = |uuid: &str| target(&host, &format!("{I915}/{uuid}/iommu_group")).unwrap();
        assert!(group(FIRST).ends_with("/6"), "groups 0 to 5 belong to the PCI functions");
        for number in [1, 2] {
            create(&host, I915, "i915-GVTg_V5_8", &uuid(number)).unwrap();
        }
        write(&host, &format!("{I915}/{}/remove", uuid(1)), "1").unwrap();
        create(&host, I915, "i915-GVTg_V5_8", &uuid(3)).unwrap();
        assert!(group(&uuid(2)).ends_with("/8") && group(&uuid(3)).ends_with("/7"));
    }

    #[test]
    fn create_without_instances_returns_errno_of_driver() {
        let host = default_host();
        assert_eq!(create(&host, I915, "i915-GVTg_V5_1", &uuid(1)), Err(Errno::NOSPC));
        let css = "/sys/devices/css0/0.0.0052";
        create(&host, css, "vfio_ccw-io", &uuid(1)).unwrap();
        assert_eq!(create(&host, css, "vfio_ccw-io", &uuid(2)), Err(Errno::USERS));
    }

    #[test]
    fn write_above_page_size_returns_eio() {
        let host = default_host();
        let dir = host.open(&format!("{I915}/{FIRST}")).unwrap();
        let long = format!("change{}", " x".repeat(3000));
        // The driver accepted the first page. The caller gets an error because the write was longer.
        assert_eq!(dir.write("uevent", long.as_bytes()), Err(Errno::IO));
    }
}

mod rfc {
    use super::*;

    fn params(host: &SimHost) -> String {
        host.params_set(&ty(M60, "11")).unwrap()
    }

    #[test]
    fn params_of_type_stay_until_newline_clears_them() {
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
        assert_eq!(shown(2, "params").as_deref(), Ok("frame_rate_limiter=0"), "no write cleared them");
        assert_eq!(shown(3, "params").as_deref(), Ok(""));
        assert_eq!((shown(1, "group").as_deref(), shown(2, "group")), (Ok("1"), Err(Errno::NOENT)));
        assert_eq!(read(&host, &file), Err(Errno::ACCESS));
        assert_eq!(host.params_set(M60), Err(Errno::NOENT));
    }

    #[test]
    fn create_with_malformed_value_returns_einval() {
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
    fn mdev_destroy_of_parent_removes_only_its_own_devices() {
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
    fn create_takes_instances_from_every_type_of_card() {
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
    fn device_of_general_layout_is_set_and_destroyed_in_its_folder() {
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
    fn create_with_group_on_type_without_groups_returns_einval() {
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
    fn ap_adapters_and_domains_make_queues() {
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
    fn ap_queue_of_another_device_is_refused() {
        let host = two_devices();
        set(&host, 1, "assign_adapter", "5").unwrap();
        set(&host, 1, "assign_domain", "4").unwrap();
        // Two devices can share an adapter while they share no domain.
        set(&host, 2, "assign_adapter", "5").unwrap();
        assert_eq!(set(&host, 2, "assign_domain", "4"), Err(Errno::ADDRINUSE));
        assert_eq!(get(&host, 2, "matrix"), "05.", "a refused assignment changes nothing");
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
    fn replayed_ap_devices_keep_their_queues() {
        let host = two_devices();
        for (name, value) in [("assign_adapter", "5"), ("assign_domain", "4"), ("assign_control_domain", "7")] {
            set(&host, 1, name, value).unwrap();
        }
        let host = replay(&host);
        set(&host, 2, "assign_adapter", "5").unwrap();
        assert_eq!(set(&host, 2, "assign_domain", "4"), Err(Errno::ADDRINUSE));
        assert_eq!(get(&host, 1, "control_domains"), "0007");
        // A new device does not inherit the assignments of the device whose files it copies.
        create(&host, MATRIX, "vfio_ap-passthrough", &uuid(3)).unwrap();
        assert_eq!((get(&host, 3, "matrix"), get(&host, 3, "control_domains")), (String::new(), String::new()));
    }
}

mod replayed {
    use super::*;

    #[test]
    fn replay_of_dump_is_equal_to_host() {
        let host = default_host();
        create(&host, M60, "11", &format!("{}:1", uuid(1))).unwrap();
        create(&host, ACCEL, "queue-4", &uuid(2)).unwrap();
        assert_eq!(replay(&host).entries(), host.entries());
    }

    #[test]
    fn removal_of_replayed_device_frees_its_instances() {
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
    fn new_device_on_replay_has_form_of_old_one() {
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
        assert_eq!(
            write(&host, &format!("{dir}/remove"), "1"),
            Ok(()),
            "links that the dump does not contain are not needed"
        );
    }

    #[test]
    fn replay_of_odd_dump_keeps_what_is_valid() {
        let odd = vec![
            // A device that was not ready, a device of unknown type, a directory that is not a device.
            SimEntry::Dir { path: format!("{MTTY}/{}", uuid(1)) },
            link(&format!("{MTTY}/{}/mdev_type", uuid(2)), "../mdev_supported_types/mtty-7"),
            file(&format!("{MTTY}/{}/remove", uuid(2)), 0o200, ""),
            SimEntry::Dir { path: format!("{MTTY}/{}", uuid(0xab).to_uppercase()) },
            // A counter that cannot be read, a counter that is not a number, an empty type.
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
