// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the library handles files that a vendor's driver does not have, fills in an unusual way or changes, and the errors that
//! the driver returns.

use mdev::test_hooks::sim::{Op, SimEntry};
use mdev::test_hooks::sysfs::Errno;
use mdev::{CreateFlags, DefineFlags, DestroyFlags, ListFlags, QemuFlags, XmlFlags};
use mdev::{Error, ErrorCode};

use crate::support::hosts::{ACCEL, FIRST, I915, M60, create as write_create, exists, read, ty, write};
use crate::support::lab::{LIMITER, Lab, UUID, first_vf, host_with, request, with_uuid};
use crate::support::{hosts, vfs};

#[test]
fn device_without_file_that_removes_it_returns_enoent() {
    let lab = Lab::new();
    lab.create("0000:86:00.0", "11", &with_uuid("<group>1</group>")).unwrap();
    let queue = lab.create("0000:87:00.0", "queue-1", "").unwrap().uuid().unwrap();
    let files = [
        (FIRST, format!("{I915}/{FIRST}/remove")),
        (queue.as_str(), format!("{ACCEL}/{queue}/destroy")),
        (UUID, format!("{M60}/mdev_destroy")),
    ];
    for (uuid, file) in &files {
        lab.sim.unplug(file).unwrap();
        let e = lab.destroy(uuid).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoAttribute, Errno::NOENT.raw_os_error()), "{e}");
        assert!(e.message.contains(file.as_str()), "{e}");
        assert!(lab.is_listed(uuid), "{uuid}");
    }
    // The record still has its name and group.
    assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap().group(), Ok(1));
    let e = lab.destroy("00000000-1111-4222-8333-000000000001").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoNode, Errno::NODEV.raw_os_error()), "{e}");
}

#[test]
fn rfc_parent_without_mdev_destroy_is_still_rfc() {
    let lab = Lab::new();
    lab.sim.unplug(&format!("{M60}/mdev_destroy")).unwrap();
    assert_eq!(lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap().layout(), "rfc");
    let node = lab.create("0000:86:00.0", "11", "<group>1</group>").unwrap();
    assert_eq!((node.layout(), node.group()), ("rfc", Ok(1)));
}

/// The proposal allows any file of a type.
#[test]
fn rfc_parent_whose_type_has_device_api_is_still_rfc() {
    let lab = Lab::new();
    let (path, content) = (format!("{}/device_api", ty(M60, "11")), Ok(b"vfio-pci\n".to_vec()));
    lab.sim.plug([SimEntry::File { path, mode: 0o444, content }]).unwrap();
    assert_eq!(lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap().layout(), "rfc");
    let node = lab.create("0000:86:00.0", "11", "<group>1</group>").unwrap();
    assert_eq!((node.layout(), node.group()), ("rfc", Ok(1)));
    node.destroy(DestroyFlags::empty()).unwrap();
}

#[test]
fn count_above_32_bits_is_clamped_and_allows_create() {
    for count in ["4294967296", "99999999999999999999999"] {
        let file = format!("{}/max_instances", ty(M60, "11"));
        let lab = Lab::on(host_with(&file, &format!("{count}\n")));
        assert_eq!(read(&lab.sim, &file).unwrap(), count);
        let parent = lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap();
        assert_eq!(parent.find_type("11").unwrap().available_instances, Some(u32::MAX));
        lab.create("0000:86:00.0", "11", "<group>1</group>").unwrap();
    }
}

#[test]
fn einval_without_group_names_group() {
    let lab = Lab::new();
    lab.sim.fail_next(Op::Write, "/11/create", Errno::INVAL, 1);
    let e = lab.create("0000:86:00.0", "11", "").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Kernel, Errno::INVAL.raw_os_error()), "{e}");
    assert!(e.message.contains("requires a group"), "{e}");
    // If the request has a group or the type requires none, the group is not the cause.
    for (type_id, group) in [("11", "<group>1</group>"), ("12", "")] {
        lab.sim.fail_next(Op::Write, &format!("/{type_id}/create"), Errno::INVAL, 1);
        let e = lab.create("0000:86:00.0", type_id, group).unwrap_err();
        assert!(!e.message.contains("group"), "{e}");
    }
}

#[test]
fn requires_group_of_0_is_as_if_it_were_absent() {
    let lab = Lab::new();
    let types = lab.conn.lookup_by_name("pci_0000_86_00_0").unwrap();
    assert_eq!(["11", "12", "13"].map(|id| types.find_type(id).unwrap().requires_group), [true, false, false]);
    for type_id in ["12", "13"] {
        let e = lab.create("0000:86:00.0", type_id, "<group>1</group>").unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::GroupNotSupported, Errno::OPNOTSUPP.raw_os_error()), "{e}");
    }
    let xml = request("0000:86:00.0", "12", "");
    let made = lab.conn.create_group_xml(&[xml.as_bytes()], CreateFlags::empty()).unwrap();
    assert!(made[0].group().is_err());
}

#[test]
fn params_with_newline_or_nul_are_refused_before_any_write() {
    let lab = Lab::new();
    lab.sim.start_log();
    for params in ["a=1\nb=2", "a=1&#10;", "a=1&#0;", "a=1\0"] {
        let e = lab.create("0000:86:00.0", "11", &format!("<params>{params}</params>")).unwrap_err();
        assert_eq!(e.errno, Errno::INVAL.raw_os_error(), "{params:?}: {e}");
    }
    assert!(lab.sim.take_log().iter().all(|entry| entry.op != Op::Write));
}

#[test]
fn group_file_of_driver_beats_record() {
    let lab = Lab::new();
    let node = lab.create("0000:87:00.0", "queue-4", &with_uuid("<group>5</group>")).unwrap();
    assert_eq!(node.group(), Ok(5));
    let shown = || {
        let node = lab.conn.lookup_by_uuid(UUID).unwrap();
        let listed = lab.conn.list(ListFlags::DEVICES).unwrap();
        let listed = listed.iter().find(|node| node.uuid().unwrap() == UUID).unwrap();
        assert_eq!(node.group().ok(), listed.group().ok());
        (node.group().ok(), node.xml(XmlFlags::empty()).unwrap())
    };
    for (text, group) in [("7", Some(7)), ("", None), ("5", Some(5))] {
        write(&lab.sim, &format!("{ACCEL}/{UUID}/group"), format!("{text}\n")).unwrap();
        let (now, xml) = shown();
        assert_eq!(now, group);
        assert_eq!(xml.contains("<group>"), group.is_some(), "{xml}");
        assert!(group.is_none_or(|group| xml.contains(&format!("<group>{group}</group>"))), "{xml}");
    }
}

#[test]
fn group_given_as_attribute_is_shown() {
    let lab = Lab::new();
    let node = lab.create("0000:87:00.0", "queue-4", "<attr name='group' value='5'/>").unwrap();
    assert_eq!(node.group(), Ok(5));
    assert!(node.xml(XmlFlags::empty()).unwrap().contains("<group>5</group>"));
}

/// A device of another program, with a driver that has no link to its type.
#[test]
fn device_of_unknown_type_has_no_empty_type_in_any_dialect() {
    let lab = Lab::new();
    write_create(&lab.sim, M60, "11", &format!("{UUID}:1")).unwrap();
    lab.sim.unplug(&format!("{M60}/{UUID}/mdev_type")).unwrap();
    let node = lab.conn.lookup_by_uuid(UUID).unwrap();
    assert_eq!(node.type_id().unwrap_err().code, ErrorCode::NoData);
    for flags in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
        let xml = node.xml(flags).unwrap();
        assert!(!xml.contains("<type id="), "{xml}");
        // The dump has no type, so a create with it fails; the error names the missing element.
        let e = lab.conn.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap_err();
        assert!(e.code == ErrorCode::XmlContent && e.message.contains("<type id="), "{e}");
        let whole = xml.replace("<uuid>", "<type id='11'/><uuid>");
        lab.destroy(UUID).unwrap();
        let again = lab.conn.create_xml(whole.as_bytes(), CreateFlags::empty()).unwrap();
        assert_eq!(again.uuid().unwrap(), UUID);
        lab.sim.unplug(&format!("{M60}/{UUID}/mdev_type")).unwrap();
    }
    assert!(exists(&lab.sim, &format!("{M60}/{UUID}")));
    assert!(lab.runtime.all().is_ok());
}

#[test]
fn params_that_driver_does_not_keep_fail_create() {
    for kept in ["frame_rate_limiter=6\n", "\n", "x=1\n", "frame_rate_limiter=600\n"] {
        let lab = Lab::new();
        lab.driver(move |sim, op, path| {
            let params = vfs::at(0, "vgpu_params");
            if op == Op::Read && path.ends_with("/vgpu_params") && read(sim, &params).unwrap().ends_with("=60") {
                write(sim, &params, kept).unwrap();
            }
            None
        });
        let e = lab.create("0000:41:00.0", "1441", LIMITER).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::BadData, Errno::IO.raw_os_error()), "{e}");
        assert!(e.message.contains("vgpu_params") && e.message.contains("frame_rate_limiter=60"), "{e}");
        assert_eq!(first_vf(&lab), ["0", ""]);
        assert!(lab.runtime.all().unwrap().is_empty());
    }
}

#[test]
fn params_refused_before_type_are_written_after_it() {
    let lab = Lab::new();
    lab.driver(|sim, op, path| {
        let free = || read(sim, &vfs::at(0, "current_vgpu_type")).unwrap() == "0";
        (op == Op::Write && path.ends_with("/vgpu_params") && free()).then_some(Errno::NXIO)
    });
    let node = lab.create("0000:41:00.0", "1441", LIMITER).unwrap();
    assert_eq!(first_vf(&lab), ["1441", "frame_rate_limiter=60"]);
    assert_eq!(node.params(), Ok("frame_rate_limiter=60"));

    // A driver that never accepts parameters.
    let lab = Lab::new();
    lab.driver(|_, op, path| (op == Op::Write && path.ends_with("/vgpu_params")).then_some(Errno::NXIO));
    let e = lab.create("0000:41:00.0", "1441", LIMITER).unwrap_err();
    assert_eq!(e.errno, Errno::NXIO.raw_os_error(), "{e}");
    assert_eq!(first_vf(&lab), ["0", ""]);
}

#[test]
fn params_too_long_for_driver_are_reported_as_too_long() {
    let lab = Lab::new();
    lab.sim.fail_next(Op::Write, "/vgpu_params", Errno::TOOBIG, 1);
    let e = lab.create("0000:41:00.0", "1441", LIMITER).unwrap_err();
    assert_eq!(e.errno, Errno::TOOBIG.raw_os_error(), "{e}");
    assert!(e.message.contains("longer than the driver accepts"), "{e}");
    assert_eq!(first_vf(&lab), ["0", ""]);
}

/// The write succeeds, but the file shows its old content. Parameters are always shown as they were written, so the
/// driver did not accept them. Another file can show its value in another form, so the driver may have accepted it.
#[test]
fn unchanged_file_fails_only_write_of_parameters() {
    let lab = Lab::new();
    let vf = lab.create("0000:41:00.0", "1441", "").unwrap();
    let queue = lab.create("0000:87:00.0", "queue-1", "").unwrap();
    vf.set_attr("vgpu_params", "x=1").unwrap();
    queue.set_attr("weight", "30").unwrap();
    let weight = format!("{}/weight", queue.syspath());
    lab.driver(move |sim, op, path| {
        let revert = |file: &str, new: &str, old: &str| {
            if op == Op::Read && read(sim, file).unwrap() == new {
                write(sim, file, old).unwrap();
            }
        };
        match path {
            _ if path.ends_with("/vgpu_params") => revert(&vfs::at(0, "vgpu_params"), "y=2", "x=1\n"),
            _ if path.ends_with("/weight") => revert(&weight, "60", "30\n"),
            _ => {}
        }
        None
    });
    let e = vf.set_attr("vgpu_params", "y=2").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::BadData, Errno::IO.raw_os_error()), "{e}");
    assert!(e.message.contains("y=2") && e.message.contains("x=1"), "{e}");
    queue.set_attr("weight", "60").unwrap();
    for (node, name, old) in [(&vf, "vgpu_params", "x=1"), (&queue, "weight", "30")] {
        assert_eq!(node.attr(name).unwrap(), old);
        // A write of the current value changes nothing and succeeds.
        node.set_attr(name, old).unwrap();
    }
}

#[test]
fn attribute_that_driver_cuts_fails_write() {
    let lab = Lab::new();
    let node = lab.create("0000:41:00.0", "1441", "").unwrap();
    node.set_attr("vgpu_params", "disable_vnc=1").unwrap();
    lab.driver(|sim, op, path| {
        let params = vfs::at(0, "vgpu_params");
        if op == Op::Read && path.ends_with("/vgpu_params") && read(sim, &params).unwrap().ends_with("=60") {
            write(sim, &params, "frame_rate_limiter=6\n").unwrap();
        }
        None
    });
    let e = node.set_attr("vgpu_params", "frame_rate_limiter=60").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::BadData, Errno::IO.raw_os_error()), "{e}");
    // The driver shows a number in its own form.
    let queue = lab.create("0000:87:00.0", "queue-1", "").unwrap();
    queue.set_attr("weight", "007").unwrap();
    assert_eq!(queue.attr("weight").unwrap(), "7");
}

#[test]
fn eperm_of_driver_is_not_lack_of_privileges() {
    let lab = Lab::new();
    let queue = lab.create("0000:87:00.0", "queue-1", "").unwrap();
    let vf = lab.create("0000:41:00.0", "1441", "").unwrap();
    let refused = |result: Result<(), Error>| {
        let e = result.unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::Kernel, Errno::PERM.raw_os_error()), "{e}");
        assert!(e.message.contains("the driver refuses it") && !e.message.contains("root"), "{e}");
    };
    let fail = |file: &str| lab.sim.fail_next(Op::Write, file, Errno::PERM, 1);
    fail("/weight");
    refused(queue.set_attr("weight", "1"));
    fail("/online");
    refused(queue.set_online(false));
    fail("/destroy");
    refused(queue.destroy(DestroyFlags::empty()));
    fail("/vgpu_params");
    refused(vf.set_attr("vgpu_params", "a=1"));
    fail("/current_vgpu_type");
    refused(vf.destroy(DestroyFlags::empty()));
    assert_eq!(first_vf(&lab), ["1441", ""]);
    fail("/create");
    refused(lab.create("0000:86:00.0", "12", "").map(drop));
}

#[test]
fn unopenable_file_returns_access_error() {
    let lab = Lab::new();
    let file = format!("{}/create", ty(M60, "12"));
    lab.sim.unplug(&file).unwrap();
    lab.sim.plug([hosts::file(&file, 0o444, "")]).unwrap();
    let e = lab.create("0000:86:00.0", "12", "").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::AccessDenied, Errno::ACCESS.raw_os_error()), "{e}");
}

#[test]
fn enospc_with_instances_left_explains_count_of_one_type() {
    let lab = Lab::new();
    for (parent, type_id, attr) in
        [("0000:86:00.0", "12", "max_instances"), ("0000:87:00.0", "queue-1", "available_instances")]
    {
        lab.sim.fail_next(Op::Write, "/create", Errno::NOSPC, 1);
        let e = lab.create(parent, type_id, "").unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{e}");
        assert!(e.message.contains(&format!("{attr} of type {type_id} is 16")), "{e}");
    }
}

#[test]
fn vf_without_iommu_group_is_refused_before_any_write() {
    let lab = Lab::new();
    (0..8).for_each(|n| lab.sim.unplug(&format!("{}/iommu_group", vfs::vf(n))).unwrap());
    for parent in ["0000:41:00.0", "0000:41:00.6"] {
        lab.sim.start_log();
        let e = lab.create(parent, "1441", LIMITER).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NotSupported, Errno::OPNOTSUPP.raw_os_error()), "{e}");
        assert!(e.message.contains("IOMMU"), "{e}");
        assert!(lab.sim.take_log().iter().all(|entry| !matches!(entry.op, Op::Write | Op::Stamp)));
    }
    let xml = request("0000:41:00.0", "1441", "");
    let e = lab.conn.create_group_xml(&[xml.as_bytes(), xml.as_bytes()], CreateFlags::empty()).unwrap_err();
    assert!(e.message.contains("IOMMU"), "{e}");
}

#[test]
fn capacity_is_upper_bound_where_several_vfs_share_card() {
    let lab = Lab::new();
    let capacity = |parent: &str, id: &str| lab.conn.lookup_by_name(parent).unwrap().find_type(id).unwrap().capacity();
    assert_eq!(capacity("0000:41:00.0", "1443"), Some((8, true)));
    assert_eq!(capacity("0000:86:00.0", "11"), Some((16, false)));
    lab.create("0000:41:00.0", "1443", "").unwrap();
    assert_eq!(capacity("0000:41:00.0", "1443"), Some((0, false)));
}

/// Drivers differ in the result of a 0 to a free VF, and of a refused write to a VF with a type.
#[test]
fn destroy_is_done_when_vf_reads_0_and_refused_when_it_does_not() {
    for (errno, frees) in [(Errno::PERM, true), (Errno::PERM, false), (Errno::BUSY, true), (Errno::BUSY, false)] {
        let lab = Lab::new();
        let node = lab.create("0000:41:00.0", "1441", "").unwrap();
        lab.driver(move |sim, op, path| {
            if op != Op::Write || !path.ends_with("/current_vgpu_type") {
                return None;
            }
            if frees {
                vfs::set(sim, 0, "0").unwrap();
            }
            Some(errno)
        });
        let result = node.destroy(DestroyFlags::empty());
        assert_eq!(result.is_ok(), frees, "{errno:?}: {result:?}");
        assert_eq!(first_vf(&lab)[0], if frees { "0" } else { "1441" });
        assert_eq!(lab.is_listed(&node.uuid().unwrap()), !frees);
        assert_eq!(lab.runtime.all().unwrap().len(), usize::from(!frees));
    }
}

/// If the driver refuses the type, the VF stays free. The error is the driver's, or it reports that the card is full.
#[test]
fn refused_type_leaves_free_vf_and_no_record() {
    for (errno, list, code) in [
        (Errno::IO, None, ErrorCode::Kernel),
        (Errno::INVAL, None, ErrorCode::Kernel),
        (Errno::IO, Some("ID    : vGPU Name\n"), ErrorCode::NoInstances),
        (Errno::NODEV, Some(""), ErrorCode::NoInstances),
    ] {
        let lab = Lab::new();
        lab.driver(move |sim, op, path| {
            if op != Op::Write || !path.ends_with("/current_vgpu_type") {
                return None;
            }
            if let Some(list) = list {
                for n in 0..8 {
                    let file = vfs::at(n, "creatable_vgpu_types");
                    sim.unplug(&file).unwrap();
                    sim.plug([hosts::file(&file, 0o444, list)]).unwrap();
                }
            }
            Some(errno)
        });
        let e = lab.create("0000:41:00.0", "1441", LIMITER).unwrap_err();
        assert_eq!(e.code, code, "{errno:?}: {e}");
        assert_eq!(first_vf(&lab), ["0", ""]);
        assert!(lab.runtime.all().unwrap().is_empty());
    }
}

#[test]
fn qemu_args_have_uuid_that_nvidia_needs_and_iommufd_when_asked() {
    let lab = Lab::new();
    let vgpu = lab.create("0000:41:00.0", "1441", &with_uuid("")).unwrap();
    assert_eq!(vgpu.qemu_args(QemuFlags::empty()).unwrap(), format!("-device vfio-pci,host=0000:41:00.4 -uuid {UUID}"));
    assert_eq!(
        vgpu.qemu_args(QemuFlags::IOMMUFD).unwrap(),
        format!(
            "-object iommufd,id=iommufd-{UUID} -device vfio-pci,host=0000:41:00.4,iommufd=iommufd-{UUID} -uuid {UUID}"
        )
    );
    let grid = lab.create("0000:86:00.0", "12", "").unwrap();
    assert!(grid.qemu_args(QemuFlags::empty()).unwrap().ends_with(&format!(" -uuid {}", grid.uuid().unwrap())));
    let intel = lab.conn.lookup_by_uuid(FIRST).unwrap();
    let args = format!("-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/{FIRST}");
    assert_eq!(intel.qemu_args(QemuFlags::empty()).unwrap(), args);
    let parent = lab.conn.lookup_by_name("0000:86:00.0").unwrap();
    assert_eq!(parent.qemu_args(QemuFlags::empty()).unwrap_err().code, ErrorCode::NoData);
}

#[test]
fn device_without_vfio_group_gets_iommufd_object() {
    let lab = Lab::new();
    let path = format!("{I915}/{FIRST}");
    lab.sim.unplug(&format!("{path}/iommu_group")).unwrap();
    if !exists(&lab.sim, &format!("{path}/vfio-dev")) {
        lab.sim.plug([SimEntry::Dir { path: format!("{path}/vfio-dev/vfio0") }]).unwrap();
    }
    let node = lab.conn.lookup_by_uuid(FIRST).unwrap();
    let args = node.qemu_args(QemuFlags::empty()).unwrap();
    let device = format!("vfio-pci,sysfsdev=/sys/bus/mdev/devices/{FIRST},iommufd=iommufd-{FIRST}");
    assert_eq!(args, format!("-object iommufd,id=iommufd-{FIRST} -device {device}"));
    // A single argument or command is not enough for this device.
    let e = node.qemu_device().unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NotSupported, Errno::OPNOTSUPP.raw_os_error()), "{e}");
    assert!(e.message.contains("mdev_device_get_qemu_args()"), "{e}");
    let e = node.qmp_device_add(Some("hostdev0")).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NotSupported, Errno::OPNOTSUPP.raw_os_error()), "{e}");
    assert!(e.message.contains("object-add") && e.message.contains(&device), "{e}");
}

#[test]
fn eperm_of_driver_is_ebusy_where_user_is_found() {
    let lab = Lab::new();
    let queue = lab.create("0000:87:00.0", "queue-1", "").unwrap();
    let vf = lab.create("0000:41:00.0", "1441", "").unwrap();
    lab.sim.set_in_use(&queue.uuid().unwrap(), true).unwrap();
    lab.sim.set_in_use("0000:41:00.4", true).unwrap();
    let in_use = |result: Result<(), Error>| {
        let e = result.unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
    };
    let fail = |file: &str, errno| lab.sim.fail_next(Op::Write, file, errno, 1);
    fail("/vgpu_params", Errno::PERM);
    in_use(vf.set_attr("vgpu_params", "a=1"));
    fail("/online", Errno::PERM);
    in_use(queue.set_online(false));
    // Any other errno is returned unchanged.
    fail("/vgpu_params", Errno::INVAL);
    assert_eq!(vf.set_attr("vgpu_params", "a=1").unwrap_err().errno, Errno::INVAL.raw_os_error());
}

#[test]
fn allocated_group_is_in_no_driver_and_no_definition() {
    let lab = Lab::new();
    let allocate = || {
        let xml = request("0000:86:00.0", "11", "");
        let mut made = lab.conn.create_group_xml(&[xml.as_bytes()], CreateFlags::empty()).unwrap();
        let node = made.remove(0);
        let group = node.group().unwrap();
        node.destroy(DestroyFlags::empty()).unwrap();
        group
    };
    assert_eq!(allocate(), 1);
    // A device of another program.
    write_create(&lab.sim, M60, "11", &format!("{UUID}:1")).unwrap();
    assert_eq!(allocate(), 2);
    // A device that is defined but not started.
    let xml = request("0000:86:00.0", "11", "<group>2</group>");
    lab.conn.define_xml(xml.as_bytes(), DefineFlags::empty()).unwrap();
    assert_eq!(allocate(), 3);
    // A group that was changed after the create.
    let node = lab.create("0000:87:00.0", "queue-4", "<group>4</group>").unwrap();
    write(&lab.sim, &format!("{}/group", node.syspath()), "3\n").unwrap();
    assert_eq!(allocate(), 5);
}

/// Some drivers drop the last byte of a write, whichever byte it is.
#[test]
fn every_write_to_sysfs_ends_with_one_newline() {
    let lab = Lab::new();
    lab.sim.start_log();
    let queue = lab.create("0000:87:00.0", "queue-1", &with_uuid("<attr name='weight' value='2'/>")).unwrap();
    queue.set_online(false).unwrap();
    queue.set_online(true).unwrap();
    queue.reset().unwrap();
    queue.set_attr("weight", "16").unwrap();
    queue.set_attr("weight", "17\n").unwrap();
    lab.destroy(UUID).unwrap();
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let writes = |lab: &Lab| -> Vec<(String, String)> {
        let log = lab.sim.take_log().into_iter();
        log.filter_map(|entry| Some((last(&entry.path), String::from_utf8(entry.value?).unwrap()))).collect()
    };
    let seen = writes(&lab);
    let text =
        |file: &str| seen.iter().filter(|(name, _)| name == file).map(|(_, text)| text.as_str()).collect::<Vec<_>>();
    assert_eq!(text("online"), ["0\n", "1\n"], "{seen:?}");
    assert_eq!(text("reset"), ["1\n"]);
    assert_eq!(text("weight"), ["2\n", "16\n", "17\n"]);
    for (parent, type_id, more) in [
        ("0000:86:00.0", "11", with_uuid(&format!("<group>1</group>{LIMITER}"))),
        ("0000:41:00.0", "1441", with_uuid(LIMITER)),
        ("0000:00:02.0", "i915-GVTg_V5_8", with_uuid("")),
    ] {
        lab.sim.start_log();
        lab.create(parent, type_id, &more).unwrap();
        lab.destroy(UUID).unwrap();
        let seen = writes(&lab);
        assert!(seen.len() >= 2, "{parent}: {seen:?}");
        let is_line = |text: &str| text.strip_suffix('\n').is_some_and(|line| !line.contains('\n'));
        assert!(seen.iter().all(|(_, text)| is_line(text)), "{parent}: {seen:?}");
    }
}
