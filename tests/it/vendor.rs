// SPDX-License-Identifier: LGPL-2.1-or-later
//! Virtual GPUs that are VFs of a PF (layout vendor-vfio), through the calls that every layout has.

use std::sync::Arc;

use mdev::test_hooks::sim::{Op, SimHost, default_host, upstream_host};
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::{Errno, Sysfs};
use mdev::{Conn, CreateFlags, DestroyFlags, ListFlags, Node, XmlFlags};
use mdev::{Error, ErrorCode};

use crate::support::lab::Lab;

const PF: &str = "pci_0000_41_00_0";
const UUID: &str = "11111111-2222-4333-8444-555555555555";

fn host() -> (SimHost, Conn) {
    let host = default_host();
    let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
    (host, conn)
}

fn request(parent: &str, type_id: &str, more: &str) -> String {
    let parent = if parent.is_empty() { String::new() } else { format!("<parent>{parent}</parent>") };
    format!("<device>{parent}<capability type='mdev'><type id='{type_id}'/>{more}</capability></device>")
}

fn create(conn: &Conn, xml: &str) -> Result<Node, Error> {
    conn.create_xml(xml.as_bytes(), CreateFlags::empty())
}

fn vf(number: u32) -> String {
    format!("/sys/bus/pci/devices/0000:41:{:02x}.{}", (4 + number) / 8, (4 + number) % 8)
}

fn current(host: &SimHost, number: u32) -> String {
    mdev::test_hooks::sysfs::read_text(&*host.open(&vf(number)).unwrap(), "nvidia/current_vgpu_type").unwrap()
}

fn devices(conn: &Conn) -> Vec<Node> {
    let on_pf = |node: &Node| node.parent_name() == PF;
    conn.list(ListFlags::DEVICES).unwrap().into_iter().filter(on_pf).collect()
}

#[test]
fn dump_contains_the_types_and_remembers_none() {
    let lab = Lab::in_files();
    let remembered = lab.root().join("run/libmdev/types");
    let dump = lab.conn.dump_xml().unwrap();
    assert!(dump.contains("/run/libmdev/types/0000:41:00.0"));
    assert!(!remembered.exists());
    lab.conn.list(ListFlags::PARENTS).unwrap();
    assert!(remembered.join("0000:41:00.0").exists());
    assert_eq!(lab.conn.dump_xml().unwrap(), dump);
}

#[test]
fn vgpu_is_created_found_listed_and_destroyed() {
    let (host, conn) = host();
    let parent = conn.lookup_by_name("0000:41:00.0").unwrap();
    assert_eq!((parent.name(), parent.layout(), parent.is_parent()), (PF, "vendor-vfio", true));
    assert_eq!(parent.numa_node(), Ok(1));
    let kind = parent.find_type("NVIDIA_H200X-35C").unwrap();
    assert_eq!((kind.id(), kind.available_instances), ("1441", Some(8)));

    let more = format!("<uuid>{UUID}</uuid><params>frame_rate_limiter=0</params>");
    let node = create(&conn, &request(PF, "NVIDIA H200X-35C", &more)).unwrap();
    assert_eq!((node.uuid().unwrap().as_str(), node.type_id(), node.parent_name()), (UUID, Ok("1441"), PF));
    assert_eq!(node.physical_function(), Ok(PF));
    assert!(node.iommu_group().is_ok());
    assert_eq!(node.name(), format!("mdev_{}_0000_41_00_0", UUID.replace('-', "_")));
    assert_eq!(node.qemu_device().unwrap(), "vfio-pci,host=0000:41:00.4");
    assert!(node.hostdev_xml().unwrap().contains("type='pci' managed='no'"));
    assert_eq!(node.attr("vgpu_params").unwrap(), "frame_rate_limiter=0");
    node.set_attr("placement_id", "3").unwrap();
    assert_eq!(node.attr("placement_id").unwrap(), "3");
    assert_eq!(node.set_attr("current_vgpu_type", "0").unwrap_err().errno, Errno::ACCESS.raw_os_error());
    assert_eq!(node.reset().unwrap_err().errno, Errno::OPNOTSUPP.raw_os_error());

    assert_eq!(devices(&conn).len(), 1);
    assert_eq!(conn.lookup_by_uuid(UUID).unwrap().syspath(), node.syspath());
    assert_eq!(conn.lookup_by_name(node.name()).unwrap().uuid().unwrap(), UUID);
    conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap();
    assert_eq!(current(&host, 0), "0");
    assert_eq!(mdev::test_hooks::sysfs::read_text(&*host.open(&vf(0)).unwrap(), "nvidia/vgpu_params").unwrap(), "");
    assert_eq!(conn.destroy_uuid(UUID, DestroyFlags::empty()).unwrap_err().errno, Errno::NODEV.raw_os_error());
}

#[test]
fn create_on_vf_writes_params_then_type_and_reads_back() {
    let (host, conn) = host();
    host.start_log();
    create(&conn, &request(PF, "1441", "<params>a=1</params>")).unwrap();
    let log = host.take_log();
    let of_files = log.iter().filter(|e| matches!(e.op, Op::Write | Op::Stamp));
    let steps: Vec<String> = of_files
        .map(|e| {
            let value = e.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            format!("{:?} {} {value}", e.op, e.path.rsplit('/').next().unwrap())
        })
        .collect();
    let expected = ["Stamp current_vgpu_type ", "Write vgpu_params a=1\n", "Write current_vgpu_type 1441\n"];
    assert_eq!(steps, expected);
    let written = log.iter().rposition(|e| e.op == Op::Write).unwrap();
    assert!(log[written + 1..].iter().any(|e| e.op == Op::Read && e.path.ends_with("current_vgpu_type")));
}

#[test]
fn create_on_named_vf_uses_that_vf() {
    let (host, conn) = host();
    for parent in ["0000:41:00.6", "pci_0000_41_00_7"] {
        create(&conn, &request(parent, "1438", "")).unwrap();
    }
    assert_eq!([0, 1, 2, 3, 4].map(|n| current(&host, n)), ["0", "0", "1438", "1438", "0"]);
    let e = create(&conn, &request("0000:41:00.6", "1438", "")).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{e}");
    assert_eq!(conn.lookup_by_name("0000:41:00.6").unwrap().parent_name(), PF);
    let e = conn.lookup_by_name("0000:41:00.5").unwrap_err();
    assert_eq!(e.code, ErrorCode::NoParent, "{e}");
    assert!(e.message.contains(PF), "{e}");
    assert_eq!(conn.wait_parent("0000:41:00.6", 0).unwrap().name(), PF);
}

#[test]
fn create_on_full_card_returns_enospc_and_keeps_type_names() {
    let (_host, conn) = host();
    let whole = create(&conn, &request(PF, "NVIDIA H200X-141C", "")).unwrap();
    let parent = conn.lookup_by_name(PF).unwrap();
    for kind in parent.types().unwrap() {
        assert_eq!(kind.available_instances, Some(0), "{kind:?}");
        assert!(kind.name().is_some());
    }
    assert_eq!(parent.types().unwrap().len(), 6);
    let e = create(&conn, &request(PF, "NVIDIA H200X-4C", "")).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{e}");
    let e = create(&conn, &request(PF, "4711", "")).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoType, "{e}");
    whole.destroy(DestroyFlags::empty()).unwrap();
    create(&conn, &request(PF, "NVIDIA H200X-4C", "")).unwrap();
}

#[test]
fn create_on_card_without_vfs_suggests_sriov_manage() {
    let (host, conn) = host();
    let parent = conn.lookup_by_name("0000:c1:00.0").unwrap();
    assert_eq!((parent.layout(), parent.types().unwrap().len()), ("vendor-vfio", 0));
    let e = create(&conn, &request("0000:c1:00.0", "1441", "")).unwrap_err();
    assert_eq!(e.code, ErrorCode::NoType);
    assert!(e.message.contains("sriov-manage -e 0000:c1:00.0"), "{e}");
    assert!(parent.find_type("1441").unwrap_err().message.contains("sriov-manage -e 0000:c1:00.0"));
    host.enable_vfs().unwrap();
    create(&conn, &request("0000:c1:00.0", "1441", "")).unwrap();
}

#[test]
fn vgpu_of_another_program_has_stable_uuid_and_is_destroyed() {
    let (host, conn) = host();
    host.echo(&format!("{}/nvidia/current_vgpu_type", vf(2)), "1440").unwrap();
    let [found] = &devices(&conn)[..] else { panic!("one device") };
    let uuid = found.uuid().unwrap();
    assert_eq!(devices(&conn)[0].uuid().unwrap(), uuid);
    assert_eq!(conn.lookup_by_uuid(&uuid).unwrap().type_id(), Ok("1440"));
    assert_eq!(conn.lookup_by_name(found.name()).unwrap().uuid().unwrap(), uuid);
    conn.destroy_uuid(&uuid, DestroyFlags::empty()).unwrap();
    assert_eq!(current(&host, 2), "0");
    assert!(conn.lookup_by_uuid(&uuid).is_err());
}

#[test]
fn stale_destroy_leaves_vgpu_of_another_program() {
    for same_type in [true, false] {
        let (host, conn) = host();
        let ours = create(&conn, &request(PF, "1441", "")).unwrap();
        let file = format!("{}/nvidia/current_vgpu_type", vf(0));
        host.echo(&file, "0").unwrap();
        assert!(conn.lookup_by_uuid(&ours.uuid().unwrap()).is_err());
        let theirs = if same_type { "1441" } else { "1438" };
        host.echo(&file, theirs).unwrap();
        let e = ours.destroy(DestroyFlags::empty()).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::NoNode, Errno::NODEV.raw_os_error()), "{e}");
        assert_eq!(current(&host, 0), theirs);
        assert_ne!(devices(&conn)[0].uuid(), ours.uuid());
    }
}

#[test]
fn destroy_of_vgpu_in_use_returns_ebusy() {
    let (host, conn) = host();
    let node = create(&conn, &request(PF, "1441", "")).unwrap();
    host.set_in_use("0000:41:00.4", true).unwrap();
    let e = node.destroy(DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InUse, Errno::BUSY.raw_os_error()), "{e}");
    assert_eq!(current(&host, 0), "1441");
    host.set_in_use("0000:41:00.4", false).unwrap();
    node.destroy(DestroyFlags::empty()).unwrap();
}

#[test]
fn create_on_vf_does_not_inherit_old_parameters() {
    let (host, conn) = host();
    host.echo(&format!("{}/nvidia/vgpu_params", vf(0)), "poison=1").unwrap();
    let node = create(&conn, &request(PF, "1441", "")).unwrap();
    assert_eq!(node.attr("vgpu_params").unwrap(), "");
}

#[test]
fn create_tries_next_vf_after_refusal_and_leaves_nothing_behind() {
    let (host, conn) = host();
    // The VF lists the type and the driver has no framebuffer: the library tries the next VF.
    host.fail_next(Op::Write, "00.4/nvidia/current_vgpu_type", Errno::NOSPC, 1);
    host.fail_next(Op::Write, "virtfn0/nvidia/current_vgpu_type", Errno::NOSPC, 1);
    create(&conn, &request(PF, "1441", &format!("<uuid>{UUID}</uuid>"))).unwrap();
    assert_eq!([current(&host, 0), current(&host, 1)], ["0", "1441"]);
    // Every other errno is returned to the caller unchanged.
    host.fail_next(Op::Write, "nvidia/current_vgpu_type", Errno::IO, 1);
    let e =
        create(&conn, &request(PF, "1441", "<params>a=1</params><uuid>22222222-2222-4333-8444-555555555555</uuid>"));
    let e = e.unwrap_err();
    assert_eq!(e.errno, Errno::IO.raw_os_error(), "{e}");
    assert_eq!(devices(&conn).len(), 1);
    assert_eq!(mdev::test_hooks::sysfs::read_text(&*host.open(&vf(0)).unwrap(), "nvidia/vgpu_params").unwrap(), "");
}

#[test]
fn concurrent_creates_fill_card_to_last_instance() {
    let (host, conn) = host();
    let results: Vec<Result<Node, Error>> = std::thread::scope(|scope| {
        let one = || create(&conn, &request(PF, "NVIDIA H200X-35C", ""));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 4);
    for e in results.into_iter().filter_map(Result::err) {
        assert_eq!((e.code, e.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{e}");
    }
    let listed = devices(&conn);
    assert_eq!(listed.len(), 4);
    assert_eq!((0..4).map(|n| current(&host, n)).filter(|id| id == "1441").count(), 4);
    listed.iter().for_each(|node| node.destroy(DestroyFlags::empty()).unwrap());
    assert!(devices(&conn).is_empty());
}

#[test]
fn create_spreads_or_packs_cards_and_prefers_numa_node() {
    let (host, conn) = host();
    host.enable_vfs().unwrap();
    let parents = |flags: CreateFlags, more: &str, n: usize| -> Vec<String> {
        let one = || conn.create_xml(request("", "NVIDIA H200X-17C", more).as_bytes(), flags).unwrap();
        let nodes: Vec<Node> = (0..n).map(|_| one()).collect();
        let names = nodes.iter().map(|node| node.parent_name().to_owned()).collect();
        nodes.iter().for_each(|node| node.destroy(DestroyFlags::empty()).unwrap());
        names
    };
    let count = |names: &[String], name: &str| names.iter().filter(|n| *n == name).count();
    let spread = parents(CreateFlags::empty(), "", 6);
    assert_eq!((count(&spread, PF), count(&spread, "pci_0000_c1_00_0")), (3, 3));
    let packed = parents(CreateFlags::PACK, "", 10);
    assert!(packed[..8].iter().all(|name| *name == packed[0]), "{packed:?}");
    assert_eq!(count(&packed, &packed[0]), 8);
    for (node, name) in [(1, PF), (0, "pci_0000_c1_00_0")] {
        let near = parents(CreateFlags::empty(), &format!("<numa node='{node}'/>"), 9);
        assert_eq!(count(&near, name), 8, "{near:?}");
    }
}

#[test]
fn replay_of_host_keeps_its_vgpus() {
    let (_host, conn) = host();
    let more = format!("<uuid>{UUID}</uuid>");
    let xml = request(PF, "1441", &more).replace("<capability", "<name>my-vgpu</name><capability");
    create(&conn, &xml).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), conn.dump_xml().unwrap()).unwrap();
    let replay = Conn::open(Some(&format!("test://{}", file.path().display()))).unwrap();
    let names =
        |conn: &Conn| conn.list(ListFlags::empty()).unwrap().iter().map(|n| n.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&replay), names(&conn));
    let node = replay.lookup_by_name("my-vgpu").unwrap();
    assert_eq!((node.uuid().unwrap().as_str(), node.type_id()), (UUID, Ok("1441")));
    for parent in [PF, "pci_0000_c1_00_0"] {
        let xml = |conn: &Conn| conn.lookup_by_name(parent).unwrap().xml(XmlFlags::empty()).unwrap();
        assert_eq!(xml(&replay), xml(&conn));
    }
    node.destroy(DestroyFlags::empty()).unwrap();
    create(&replay, &request(PF, "1438", "")).unwrap();
}

/// Another test checks these files and the other golden files against libvirt's schema.
#[test]
fn vgpu_xml_in_both_dialects_is_equal_to_golden_files() {
    let (_host, conn) = host();
    let golden = |name: &str| {
        std::fs::read_to_string(format!("{}/tests/golden/{name}.xml", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let libvirt = |name: &str| conn.lookup_by_name(name).unwrap().xml(XmlFlags::LIBVIRT).unwrap();
    assert_eq!(libvirt(PF), golden("libvirt_vendor_pf"));
    assert_eq!(libvirt("pci_0000_c1_00_0"), golden("libvirt_vendor_idle"));
    let more = format!("<params>frame_rate_limiter=0</params><uuid>{UUID}</uuid>");
    let xml = request(PF, "1441", &more).replace("<capability", "<name>my-vgpu</name><capability");
    let node = create(&conn, &xml).unwrap();
    assert_eq!(node.xml(XmlFlags::LIBVIRT).unwrap(), golden("libvirt_vendor_device"));
    let dump = node.xml(XmlFlags::empty()).unwrap();
    assert_eq!(dump, golden("rfc_vendor_device"));
    // The dump creates the same device again.
    node.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!(create(&conn, &dump).unwrap().xml(XmlFlags::empty()).unwrap(), dump);
}

/// The driver that was proposed for the kernel: one type on a card, no parameters, other driver names.
#[test]
fn vgpu_of_upstream_driver_is_created_listed_and_destroyed() {
    let host = upstream_host();
    let conn = Conn::on(Arc::new(host.clone()), Arc::new(Runtime::memory([])));
    let parent = conn.lookup_by_name(PF).unwrap();
    assert_eq!((parent.layout(), parent.is_parent()), ("vendor-vfio", true));
    assert_eq!(parent.find_type("1440").unwrap().available_instances, Some(8));
    let refused = create(&conn, &request(PF, "1440", "<params>a=1</params>")).unwrap_err();
    assert_eq!((refused.code, current(&host, 0).as_str()), (ErrorCode::ParamsNotSupported, "0"), "{refused}");

    let node = create(&conn, &request(PF, "1440", &format!("<uuid>{UUID}</uuid>"))).unwrap();
    assert_eq!((node.type_id(), current(&host, 0).as_str()), (Ok("1440"), "1440"));
    let other = create(&conn, &request(PF, "1438", "")).unwrap_err();
    assert_eq!((other.code, other.errno), (ErrorCode::NoInstances, Errno::NOSPC.raw_os_error()), "{other}");
    host.set_in_use("0000:41:00.4", true).unwrap();
    assert_eq!(node.destroy(DestroyFlags::empty()).unwrap_err().code, ErrorCode::InUse);
    host.set_in_use("0000:41:00.4", false).unwrap();
    node.destroy(DestroyFlags::empty()).unwrap();
    assert_eq!((current(&host, 0).as_str(), devices(&conn).len()), ("0", 0));
}
