// SPDX-License-Identifier: LGPL-2.1-or-later
//! The main calls of the driver on the simulated host.

use mdev::ErrorCode;
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DestroyFlags, ListFlags, XmlFlags};

const MY_VGPU: &[u8] = b"<device>
  <name>my-vgpu</name>
  <parent>pci_0000_86_00_0</parent>
  <capability type='mdev'>
    <type id='11'/>
    <group>1</group>
    <params>'frame_rate_limiter=0'</params>
  </capability>
</device>";

/// A host of this test alone: the default host, dumped and replayed.
fn host() -> (tempfile::TempDir, Conn) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.xml");
    std::fs::write(&path, Conn::open(Some("test:///default")).unwrap().dump_xml().unwrap()).unwrap();
    let conn = Conn::open(Some(&format!("test://{}", path.display()))).unwrap();
    (dir, conn)
}

fn names(conn: &Conn, flags: ListFlags) -> Vec<String> {
    conn.list(flags).unwrap().iter().map(|node| node.name().to_owned()).collect()
}

fn available(conn: &Conn, type_id: &str) -> Option<u32> {
    let parent = conn.lookup_by_name("pci_0000_86_00_0").unwrap();
    parent.find_type(type_id).unwrap().available_instances
}

/// The parents of every layout, including a card with VFs.
#[test]
fn list_without_types_has_same_nodes_as_full_list() {
    let (_dir, conn) = host();
    let bare = conn.list(ListFlags::NO_TYPES).unwrap();
    assert_eq!(names(&conn, ListFlags::empty()), bare.iter().map(|node| node.name().to_owned()).collect::<Vec<_>>());
    for node in bare {
        let known = conn.lookup_by_name(node.name()).unwrap();
        assert_eq!(node.types().unwrap_err().code, ErrorCode::NoData);
        assert_eq!((node.layout(), node.parent_name()), (known.layout(), known.parent_name()));
        assert_eq!(node.xml(XmlFlags::empty()).unwrap(), known.xml(XmlFlags::empty()).unwrap());
    }
}

#[test]
fn device_of_proposal_is_created_listed_and_destroyed() {
    let (_dir, conn) = host();
    let before = available(&conn, "11");
    let vgpu = conn.create_xml(MY_VGPU, CreateFlags::empty()).unwrap();
    let uuid = vgpu.uuid().unwrap();
    assert_eq!(
        (vgpu.name(), vgpu.parent_name(), vgpu.type_id().unwrap(), vgpu.group().unwrap()),
        ("my-vgpu", "pci_0000_86_00_0", "11", 1)
    );
    assert_eq!(available(&conn, "11"), before.map(|n| n - 1));
    assert_eq!(vgpu.qemu_device().unwrap(), format!("vfio-pci,sysfsdev=/sys/bus/mdev/devices/{uuid}"));
    for found in [conn.lookup_by_name("my-vgpu").unwrap(), conn.lookup_by_uuid(&uuid).unwrap()] {
        let xml = found.xml(XmlFlags::empty()).unwrap();
        for part in
            ["<name>my-vgpu</name>", "<type id='11'/>", "<group>1</group>", "<params>frame_rate_limiter=0</params>"]
        {
            assert!(xml.contains(part), "{part} in {xml}");
        }
    }
    conn.destroy_uuid(&uuid, DestroyFlags::empty()).unwrap();
    assert_eq!(available(&conn, "11"), before);
    assert_eq!(conn.lookup_by_name("my-vgpu").unwrap_err().code, ErrorCode::NoNode);
    assert_eq!(vgpu.destroy(DestroyFlags::empty()).unwrap_err().errno, 19);
}

#[test]
fn create_with_used_name_or_uuid_returns_exists() {
    let (_dir, conn) = host();
    let first = conn.create_xml(MY_VGPU, CreateFlags::empty()).unwrap();
    assert_eq!(conn.create_xml(MY_VGPU, CreateFlags::empty()).unwrap_err().code, ErrorCode::Exists);
    let again = first.xml(XmlFlags::empty()).unwrap();
    assert_eq!(conn.create_xml(again.as_bytes(), CreateFlags::empty()).unwrap_err().code, ErrorCode::Exists);
    let same = conn.create_xml(again.as_bytes(), CreateFlags::EXIST_OK).unwrap();
    assert_eq!(same.uuid().unwrap(), first.uuid().unwrap());
    let other = again.replace("id='11'", "id='12'");
    assert_eq!(conn.create_xml(other.as_bytes(), CreateFlags::EXIST_OK).unwrap_err().code, ErrorCode::Exists);
    assert_eq!(conn.list(ListFlags::DEVICES).unwrap().len(), 2);
}

#[test]
fn destroy_owned_by_another_owner_returns_eperm() {
    let (_dir, conn) = host();
    conn.set_owner(Some("nova")).unwrap();
    let vgpu = conn.create_xml(MY_VGPU, CreateFlags::empty()).unwrap();
    assert_eq!(vgpu.owner().unwrap(), "nova");
    conn.set_owner(Some("kubevirt")).unwrap();
    assert_eq!(vgpu.destroy(DestroyFlags::OWNED).unwrap_err().errno, 1);
    conn.set_owner(Some("nova")).unwrap();
    vgpu.destroy(DestroyFlags::OWNED).unwrap();
}

#[test]
fn create_group_creates_all_devices_or_none() {
    let (_dir, conn) = host();
    let one = |type_id: &str| {
        format!(
            "<device><parent>0000:86:00.0</parent><capability type='mdev'><type id='{type_id}'/></capability></device>"
        )
    };
    let (good, bad) = (one("11"), one("nope"));
    let before = names(&conn, ListFlags::DEVICES);
    let failed = conn.create_group_xml(&[good.as_bytes(), good.as_bytes(), bad.as_bytes()], CreateFlags::empty());
    assert_eq!(failed.unwrap_err().code, ErrorCode::NoType);
    assert_eq!(names(&conn, ListFlags::DEVICES), before);
    let made = conn.create_group_xml(&[good.as_bytes(), good.as_bytes()], CreateFlags::empty()).unwrap();
    assert_eq!(made[0].group().unwrap(), made[1].group().unwrap());
    let next = conn.create_group_xml(&[good.as_bytes()], CreateFlags::empty()).unwrap();
    assert_ne!(next[0].group().unwrap(), made[0].group().unwrap());
}

#[test]
fn lookup_of_parent_accepts_names_addresses_and_paths() {
    let (_dir, conn) = host();
    let path = conn.lookup_by_name("pci_0000_86_00_0").unwrap().syspath().to_owned();
    for name in ["0000:86:00.0", "PCI_0000_86_00_0", &path, "/sys/bus/pci/devices/0000:86:00.0"] {
        assert_eq!(conn.lookup_by_name(name).unwrap().name(), "pci_0000_86_00_0", "{name}");
    }
    for name in ["../0000:86:00.0", "a/b", ""] {
        assert_eq!(conn.lookup_by_name(name).unwrap_err().errno, 22, "{name}");
    }
    assert_eq!(conn.wait_parent("0000:86:00.0", 0).unwrap().name(), "pci_0000_86_00_0");
    assert_eq!(conn.wait_parent("0000:99:00.0", 1).unwrap_err().code, ErrorCode::Timeout);
}

#[test]
fn dump_of_replayed_host_is_equal() {
    let (dir, conn) = host();
    let first = std::fs::read_to_string(dir.path().join("host.xml")).unwrap();
    assert_eq!(conn.dump_xml().unwrap(), first);
}

#[test]
fn list_without_descriptors_is_complete_or_error() {
    use mdev::test_hooks::sim;
    use mdev::test_hooks::store::Runtime;
    use mdev::test_hooks::sysfs::Errno;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let sim = sim::default_host();
    let conn = Conn::on(Arc::new(sim.clone()), Arc::new(Runtime::memory([])));
    let mut failures = 0;
    for (flags, nth) in [ListFlags::empty(), ListFlags::DEVICES].iter().flat_map(|f| (0..200).map(move |nth| (*f, nth)))
    {
        let whole = names(&conn, flags);
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        sim.set_hook(Some(Arc::new(move |op, _: &str| {
            let opens = matches!(op, sim::Op::Open | sim::Op::Read);
            (opens && counter.fetch_add(1, Ordering::Relaxed) == nth).then_some(Errno::MFILE)
        })));
        let listed = conn.list(flags);
        sim.set_hook(None);
        match listed {
            Ok(nodes) => assert_eq!(nodes.iter().map(|n| n.name()).collect::<Vec<_>>(), whole, "open {nth}"),
            Err(e) => {
                failures += 1;
                assert_eq!(e.errno, Errno::MFILE.raw_os_error(), "{e}");
            }
        }
        assert!(count.load(Ordering::Relaxed) < 200);
    }
    assert!(failures > 20, "{failures}");
}

/// Two parents with one type, with these numbers of available instances.
fn two_parents(left: [u32; 2]) -> Conn {
    use mdev::test_hooks::sim::{SimEntry, SimHost};
    let mut entries = Vec::new();
    for (n, left) in left.into_iter().enumerate() {
        let parent = format!("/sys/devices/pci0000:00/0000:00:0{n}.0");
        let target = format!("../../../devices/pci0000:00/0000:00:0{n}.0");
        entries.push(SimEntry::Link { path: format!("/sys/bus/pci/devices/0000:00:0{n}.0"), target });
        for (name, mode, text) in [
            ("create", 0o200, ""),
            ("device_api", 0o444, "vfio-pci"),
            ("available_instances", 0o444, &left.to_string()),
        ] {
            let path = format!("{parent}/mdev_supported_types/t/{name}");
            entries.push(SimEntry::File { path, mode, content: Ok(text.into()) });
        }
    }
    let sim = SimHost::new(entries).unwrap();
    Conn::on(std::sync::Arc::new(sim), std::sync::Arc::new(mdev::test_hooks::store::Runtime::memory([])))
}

#[test]
fn create_without_parent_uses_emptiest_and_with_pack_fullest() {
    let xml = b"<device><capability type='mdev'><type id='t'/></capability></device>";
    let placed = |conn: &Conn, flags| conn.create_xml(xml, flags).map(|node| node.parent_name().to_owned());
    let spread = two_parents([2, 3]);
    let order: Vec<String> = (0..5).map(|_| placed(&spread, CreateFlags::empty()).unwrap()).collect();
    assert_eq!(order.iter().map(|name| &name[12..14]).collect::<Vec<_>>(), ["01", "00", "01", "00", "01"]);
    let full = placed(&spread, CreateFlags::empty()).unwrap_err();
    assert_eq!((full.code, full.errno), (ErrorCode::NoInstances, 28), "{full}");
    let pack = two_parents([2, 3]);
    let order: Vec<String> = (0..5).map(|_| placed(&pack, CreateFlags::PACK).unwrap()).collect();
    assert_eq!(order.iter().map(|name| &name[12..14]).collect::<Vec<_>>(), ["00", "00", "01", "01", "01"]);
}

#[test]
fn create_group_with_exist_ok_keeps_group_of_its_devices() {
    let (_dir, conn) = host();
    let xml = |n: u32| {
        format!(
            "<device><parent>0000:86:00.0</parent><capability type='mdev'><type id='11'/>\
             <uuid>{n:08x}-0000-4000-8000-000000000000</uuid></capability></device>"
        )
    };
    let (first, second) = (xml(1), xml(2));
    conn.create_group_xml(&[first.as_bytes()], CreateFlags::empty()).unwrap();
    let other = xml(9);
    conn.create_group_xml(&[other.as_bytes()], CreateFlags::empty()).unwrap();
    let again = conn.create_group_xml(&[second.as_bytes(), first.as_bytes()], CreateFlags::EXIST_OK).unwrap();
    assert_eq!([again[0].group(), again[1].group()], [Ok(1), Ok(1)]);
    // Two devices in different groups do not belong to one guest.
    let e = conn.create_group_xml(&[first.as_bytes(), other.as_bytes()], CreateFlags::EXIST_OK).unwrap_err();
    assert_eq!(e.code, ErrorCode::Exists, "{e}");
}

/// One byte more than the maximum size of a dump is refused; the file is sparse.
#[test]
fn dump_of_more_than_16_mib_is_refused_without_being_parsed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.xml");
    let open = |size: u64| {
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        Conn::open(Some(&format!("test://{}", path.display()))).unwrap_err()
    };
    for size in [(16 << 20) + 1, 1 << 40] {
        let e = open(size);
        assert_eq!((e.code, e.errno), (ErrorCode::XmlLimit, Errno::FBIG.raw_os_error()), "{e}");
        let text = format!("{} is larger than 16 MiB; it is not a dump of a host", path.display());
        assert_eq!((e.message.as_str(), e.path.as_deref()), (text.as_str(), path.to_str()));
    }
    // A file of 16 MiB is parsed.
    assert_ne!(open(16 << 20).code, ErrorCode::XmlLimit);
}
