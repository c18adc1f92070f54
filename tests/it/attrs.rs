// SPDX-License-Identifier: LGPL-2.1-or-later
//! Attributes in subdirectories of a device: files of vendors' drivers, and names that lead out of the device.

use std::fs;
use std::sync::Arc;

use mdev::ErrorCode;
use mdev::test_hooks::sim::{Op, SimEntry, SimHost, default_host};
use mdev::test_hooks::store::{Definitions, Runtime};
use mdev::test_hooks::sysfs::Errno;
use mdev::{AttrAccess, Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags, StartFlags, XmlFlags};

use crate::support::hosts::{self, MTTY, file, host, link, samples};
use crate::support::tree::{Tree, TypeSpec};

const TEMPLATE: &str = "11111111-2222-4333-8444-000000000001";
const UUID: &str = "11111111-2222-4333-8444-555555555555";

/// A parent whose driver adds files in subdirectories to each device, as NVIDIA's and Intel's drivers do, with one
/// such device.
fn vendors_host() -> (tempfile::TempDir, SimHost, Conn) {
    let device = format!("{MTTY}/{TEMPLATE}");
    let mut entries = samples();
    entries.extend([
        SimEntry::Dir { path: device.clone() },
        file(&format!("{device}/uevent"), 0o644, ""),
        file(&format!("{device}/remove"), 0o200, ""),
        file(&format!("{device}/nvidia/vgpu_params"), 0o644, "\n"),
        file(&format!("{device}/nvidia/vm_name"), 0o444, "\n"),
        file(&format!("{device}/nvidia/deep/er"), 0o644, "\n"),
        file(&format!("{device}/nvidia/destroy"), 0o200, ""),
        file(&format!("{device}/intel_vgpu/vgpu_id"), 0o444, "1\n"),
        file(&format!("{device}/power/control"), 0o644, "auto\n"),
        link(&format!("{MTTY}/subsystem"), "../../../../class/mtty"),
        link(&format!("{device}/mdev_type"), "../mdev_supported_types/mtty-1"),
        link(&format!("{device}/nvidia/out"), "../.."),
        link(&format!("{device}/up"), ".."),
        link(&format!("/sys/bus/mdev/devices/{TEMPLATE}"), &format!("../../../devices/virtual/mtty/mtty/{TEMPLATE}")),
    ]);
    let sim = host(entries);
    let root = tempfile::tempdir().unwrap();
    ["etc", "run"].iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
    let definitions = Definitions::files(root.path().to_str().unwrap());
    let conn = Conn::of((Arc::new(sim.clone()), Arc::new(Runtime::memory([])), Arc::new(definitions)));
    (root, sim, conn)
}

fn xml(attr: &str) -> String {
    format!(
        "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>{UUID}</uuid>{attr}</capability></device>"
    )
}

const PARAMS: &str = "<attr name='nvidia/vgpu_params' value='frame_rate_limiter=60'/>";

#[test]
fn nested_attribute_of_device_is_listed_read_and_written() {
    let (_root, _sim, conn) = vendors_host();
    let node = conn.create_xml(xml(PARAMS).as_bytes(), CreateFlags::empty()).unwrap();
    assert_eq!(node.attr("nvidia/vgpu_params").unwrap(), "frame_rate_limiter=60");
    node.set_attr("nvidia/vgpu_params", "frame_rate_limiter=30").unwrap();
    assert_eq!(node.attr("nvidia/vgpu_params").unwrap(), "frame_rate_limiter=30");
    assert_eq!(node.attr("nvidia/vm_name").unwrap(), "");
    let e = node.set_attr("nvidia/vm_name", "x").unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoAttribute, Errno::ACCESS.raw_os_error()), "{e}");
    assert_eq!(node.attr_access("nvidia/vm_name"), Ok(AttrAccess::READ));
    node.set_attr("nvidia/deep/er", "1").unwrap();
    let names = node.attrs().unwrap();
    for name in ["nvidia/vgpu_params", "nvidia/vm_name", "intel_vgpu/vgpu_id", "uevent"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    // Not listed: files below a second level, files of power management, files behind links, and files that can be
    // neither read nor written here.
    let unwanted = |name: &&String| {
        name.starts_with("power/")
            || name.starts_with("up")
            || name.ends_with("destroy")
            || name.matches('/').count() > 1
    };
    assert_eq!(names.iter().filter(unwanted).count(), 0, "{names:?}");
}

#[test]
fn attribute_name_outside_device_is_refused() {
    let (_root, _sim, conn) = vendors_host();
    let node = conn.lookup_by_uuid(TEMPLATE).unwrap();
    for bad in
        ["../uevent", "nvidia/../uevent", "nvidia//vgpu_params", "/etc/passwd", "nvidia/", ".", "nvidia/./vm_name"]
    {
        assert_eq!(node.attr(bad).unwrap_err().code, ErrorCode::InvalidArgument, "{bad}");
        assert_eq!(node.set_attr(bad, "1").unwrap_err().code, ErrorCode::InvalidArgument, "{bad}");
    }
    for linked in ["nvidia/out/uevent", "up/uevent", "mdev_type/name", "nvidia", "nvidia/vm_name/x"] {
        let e = node.attr(linked).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoAttribute, Errno::INVAL.raw_os_error()), "{linked}: {e}");
        assert_eq!(node.set_attr(linked, "1").unwrap_err(), e, "{linked}");
        assert_eq!(node.attr_access(linked).unwrap_err(), e, "{linked}");
    }
    for absent in ["nvidia/no_such", "no_such/file"] {
        let e = node.attr(absent).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoAttribute, Errno::NOENT.raw_os_error()), "{absent}: {e}");
    }
    for order in ["remove", "nvidia/destroy", "nvidia/current_vgpu_type", "a/b/remove"] {
        let e = node.set_attr(order, "1").unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoAttribute, Errno::ACCESS.raw_os_error()), "{order}: {e}");
    }
    assert!(conn.lookup_by_uuid(TEMPLATE).is_ok());
}

#[test]
fn mdevctl_definition_with_nested_attributes_starts_and_is_printed_same() {
    let (root, _sim, conn) = vendors_host();
    let folder = root.path().join("etc/mdevctl.d/mtty");
    fs::create_dir_all(&folder).unwrap();
    let text = r#"{"mdev_type":"mtty-1","start":"auto","attrs":[{"nvidia/vgpu_params":"disable_vnc=1"}]}"#;
    fs::write(folder.join(UUID), text).unwrap();
    let params = || conn.lookup_by_uuid(UUID).unwrap().attr("nvidia/vgpu_params").unwrap();
    conn.lookup_by_uuid(UUID).unwrap().start(StartFlags::empty()).unwrap();
    assert_eq!(params(), "disable_vnc=1");
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    assert_eq!(conn.autostart(None, StartFlags::empty()), Ok(1));
    assert_eq!(params(), "disable_vnc=1");
    for dialect in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
        let printed = conn.lookup_by_uuid(UUID).unwrap().xml(dialect).unwrap();
        assert!(printed.contains("<attr name='nvidia/vgpu_params' value='disable_vnc=1'/>"), "{printed}");
        conn.lookup_by_uuid(UUID).unwrap().undefine(DefineFlags::empty()).unwrap();
        conn.define_xml(printed.as_bytes(), DefineFlags::empty()).unwrap();
        conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
        conn.lookup_by_uuid(UUID).unwrap().start(StartFlags::empty()).unwrap();
        assert_eq!(params(), "disable_vnc=1");
    }
}

/// Names that no device can have are refused before the create, in requests and in definitions.
#[test]
fn create_with_bad_attribute_name_is_refused_before_any_write() {
    let (root, sim, conn) = vendors_host();
    sim.set_hook(Some(Arc::new(|op, path: &str| {
        assert!(!(op == Op::Write && path.ends_with("/create")), "no device must be created");
        None
    })));
    let folder = root.path().join("etc/mdevctl.d/mtty");
    fs::create_dir_all(&folder).unwrap();
    for name in ["../uevent", "nvidia/../../x", "nvidia//x", "remove", "nvidia/current_vgpu_type", ""] {
        let text = format!(r#"{{"mdev_type":"mtty-1","start":"auto","attrs":[{{"{name}":"1"}}]}}"#);
        fs::write(folder.join(UUID), text).unwrap();
        assert!(conn.lookup_by_uuid(UUID).unwrap().start(StartFlags::empty()).is_err(), "{name}");
        fs::remove_file(folder.join(UUID)).unwrap();
        let text = xml(&format!("<attr name='{name}' value='1'/>"));
        assert!(conn.create_xml(text.as_bytes(), CreateFlags::empty()).is_err(), "{name}");
        assert!(conn.define_xml(text.as_bytes(), DefineFlags::empty()).is_err(), "{name}");
    }
    sim.set_hook(None);
    assert_eq!(conn.list(ListFlags::DEVICES).unwrap().len(), 1);
}

/// If all attributes of a device are in one subdirectory, a file in it has two names.
#[test]
fn attribute_of_vf_is_found_with_and_without_its_folder() {
    let sim = default_host();
    let conn = Conn::on(Arc::new(sim), Arc::new(Runtime::memory([])));
    let text = format!(
        "<device><parent>0000:41:00.0</parent><capability type='mdev'><type id='1441'/><uuid>{UUID}</uuid>{PARAMS}</capability></device>"
    );
    let node = conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    for name in ["nvidia/vgpu_params", "vgpu_params"] {
        assert_eq!(node.attr(name).unwrap(), "frame_rate_limiter=60");
        assert_eq!(node.attr_access(name), Ok(AttrAccess::READ | AttrAccess::WRITE));
        node.set_attr(name, "frame_rate_limiter=60").unwrap();
    }
    let printed = node.xml(XmlFlags::LIBVIRT).unwrap();
    conn.define_xml(printed.as_bytes(), DefineFlags::empty()).unwrap();
    for outside in ["driver/unbind", "../driver_override", "physfn/vendor"] {
        assert!(node.attr(outside).is_err(), "{outside}");
    }
}

/// As above, with files of a real file system.
#[test]
fn nested_attribute_on_file_system_is_read_and_linked_files_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(root.path()).unwrap();
    let mtty = tree.virtual_device("mtty").unwrap();
    tree.parent(&mtty, &[TypeSpec::new("mtty-1", "Single port serial", "vfio-pci", 24)]).unwrap();
    let device = tree.mdev(&mtty, "mtty-1", UUID).unwrap();
    tree.file(&format!("{device}/nvidia/vgpu_params"), 0o644, "\n").unwrap();
    tree.file("/sys/elsewhere/secret", 0o644, "1\n").unwrap();
    for (place, target) in
        [("out", "/sys/elsewhere"), ("nvidia/out", "/sys/elsewhere"), ("nvidia/secret", "/sys/elsewhere/secret")]
    {
        std::os::unix::fs::symlink(target, root.path().join(format!("{device}/{place}").trim_start_matches('/')))
            .unwrap();
    }
    let conn = Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap();
    let node = conn.lookup_by_uuid(UUID).unwrap();
    node.set_attr("nvidia/vgpu_params", "a=60").unwrap();
    assert_eq!(node.attr("nvidia/vgpu_params").unwrap(), "a=60");
    assert_eq!(
        fs::read(root.path().join(format!("{device}/nvidia/vgpu_params").trim_start_matches('/'))).unwrap(),
        b"a=60\n"
    );
    assert!(node.attrs().unwrap().contains(&"nvidia/vgpu_params".to_owned()));
    for linked in ["out/secret", "nvidia/out/secret", "nvidia/secret"] {
        assert_eq!(node.attr(linked).unwrap_err().code, ErrorCode::NoAttribute, "{linked}");
        assert_eq!(node.set_attr(linked, "2").unwrap_err().code, ErrorCode::NoAttribute, "{linked}");
    }
    assert_eq!(fs::read(root.path().join("sys/elsewhere/secret")).unwrap(), b"1\n");
}

/// The XML of a running matrix of AP queues contains its current queues, whichever way they were assigned, in a form
/// that creates the same matrix again.
#[test]
fn xml_of_running_ap_device_has_its_current_queues() {
    let sim = default_host();
    let parts = (Arc::new(sim.clone()) as _, Arc::new(Runtime::memory([])), Arc::new(Definitions::memory([])));
    let conn = Conn::of(parts);
    hosts::create(&sim, "/sys/devices/vfio_ap/matrix", "vfio_ap-passthrough", UUID).unwrap();
    let node = conn.lookup_by_uuid(UUID).unwrap();
    for (name, value) in [("assign_adapter", "0x05"), ("assign_adapter", "3"), ("assign_domain", "0xab")] {
        node.set_attr(name, value).unwrap();
    }
    node.set_attr("assign_control_domain", "0xab").unwrap();
    let attr = |name: &str, value: &str| format!("<attr name='{name}' value='{value}'/>");
    let expected = [
        attr("assign_adapter", "3"),
        attr("assign_adapter", "5"),
        attr("assign_domain", "171"),
        attr("assign_control_domain", "171"),
    ];
    for dialect in [XmlFlags::empty(), XmlFlags::LIBVIRT] {
        let printed = conn.lookup_by_uuid(UUID).unwrap().xml(dialect).unwrap();
        let attrs: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.starts_with("<attr ")).collect();
        assert_eq!(attrs, expected, "{printed}");
        let defined = conn.define_xml(printed.as_bytes(), DefineFlags::empty()).unwrap();
        assert_eq!(defined.definition_attrs().unwrap().len(), 4);
        conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
        conn.lookup_by_uuid(UUID).unwrap().start(StartFlags::empty()).unwrap();
        assert_eq!(conn.lookup_by_uuid(UUID).unwrap().attr("matrix").unwrap(), "03.00ab\n05.00ab");
    }
    // Only adapters are assigned now.
    let node = conn.lookup_by_uuid(UUID).unwrap();
    node.set_attr("unassign_domain", "0xab").unwrap();
    assert!(!node.xml(XmlFlags::LIBVIRT).unwrap().contains("assign_domain'"));
    // If the queues cannot be read, the XML shows the assignments of the create; exhausted descriptors are an error.
    for (errno, is_shown) in [(Errno::ACCESS, true), (Errno::MFILE, false)] {
        sim.set_hook(Some(Arc::new(move |op, path: &str| {
            (op == Op::Read && path.ends_with("/control_domains")).then_some(errno)
        })));
        assert_eq!(node.xml(XmlFlags::LIBVIRT).is_ok_and(|xml| xml.contains("171")), is_shown, "{errno}");
    }
    // A list never reads the queues.
    sim.set_hook(Some(Arc::new(|_, path: &str| {
        assert!(!path.ends_with("/control_domains"));
        None
    })));
    conn.list(ListFlags::DEVICES).unwrap();
    sim.set_hook(None);
}
