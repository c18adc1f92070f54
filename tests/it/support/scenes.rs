// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whole hosts built with [`super::tree`]: one for measurements, one for the comparison with libvirt.
#![allow(dead_code, reason = "mktree and the tests each use a part of it")]

use std::io;
use std::path::Path;

use super::tree::{Pci, Tree, TypeSpec, uuid};

/// `parents` PCI functions with `types` types each and `devices` devices spread over them.
pub fn scale(root: &Path, parents: u32, types: u32, devices: u32) -> io::Result<Tree> {
    let mut tree = Tree::new(root)?;
    let specs: Vec<_> = (0..types)
        .map(|t| {
            TypeSpec::new(&format!("nvidia-{}", 11 + t), &format!("GRID M60-{t}Q"), "vfio-pci", 16)
                .described(&format!("num_heads={}, frl_config=60, framebuffer=512M, max_instance=16", 1 + t % 4))
        })
        .collect();
    let mut paths = Vec::new();
    for p in 0..parents {
        let addr = format!("{:04x}:{:02x}:00.0", p / 224, 0x10 + p % 224);
        let mut pci = Pci::new(&addr, 0x10de, 0x13f2, 0x030000);
        pci.numa = Some((p % 2) as i32);
        let path = tree.pci(&pci)?;
        tree.group(&[&path])?;
        tree.parent(&path, &specs)?;
        paths.push(path);
    }
    for d in 0..devices {
        let spec = &specs[(d % types) as usize];
        tree.mdev(&paths[(d % parents) as usize], &spec.id, &uuid(d + 1))?;
    }
    Ok(tree)
}

/// A host with every kind of node that libvirt's driver prints differently.
pub fn oracle(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new(root)?;
    behind_a_bridge(&mut tree)?;
    virtual_functions(&mut tree)?;
    plain_functions(&mut tree)?;
    other_buses(&mut tree)?;
    Ok(tree)
}

fn grid() -> Vec<TypeSpec> {
    vec![
        TypeSpec::new("nvidia-18", "GRID M60-2Q", "vfio-pci", 4).described("num_heads=4, max_resolution=4096x2160"),
        TypeSpec::new("nvidia-9", "GRID <M60>&\"0B'", "vfio-pci", 16),
        TypeSpec::new("nvidia-11", "", "vfio-pci", 0).nameless(),
    ]
}

/// Two functions of a card behind a bridge, in one IOMMU group; the first is a parent with two devices.
fn behind_a_bridge(tree: &mut Tree) -> io::Result<()> {
    let mut bridge = Pci::new("0000:00:01.0", 0x8086, 0x1901, 0x060400);
    bridge.driver = Some("pcieport");
    bridge.header = 0x01;
    let bridge = tree.pci(&bridge)?;
    let mut gpu = Pci::new("0000:06:00.0", 0x10de, 0x13f2, 0x030000);
    gpu.above = bridge.clone();
    gpu.numa = Some(1);
    gpu.header = 0x80;
    let gpu = tree.pci(&gpu)?;
    let mut audio = Pci::new("0000:06:00.1", 0x10de, 0x0fbb, 0x040300);
    audio.above = bridge;
    audio.driver = None;
    let audio = tree.pci(&audio)?;
    tree.group(&[&gpu, &audio])?;
    tree.parent(&gpu, &grid())?;
    tree.mdev(&gpu, "nvidia-18", "c60cc60c-c60c-c60c-c60c-c60cc60cc60c")?;
    let second = tree.mdev(&gpu, "nvidia-11", &uuid(0xabcdef))?;
    tree.remove(&format!("{second}/driver"))
}

/// A physical function with VFs that are parents, and one whose VFs are all disabled.
fn virtual_functions(tree: &mut Tree) -> io::Result<()> {
    let pf = tree.pci(&Pci { numa: Some(0), ..Pci::new("0000:41:00.0", 0x10de, 0x2235, 0x030200) })?;
    tree.group(&[&pf])?;
    let mut vfs = Vec::new();
    for addr in ["0000:41:00.4", "0000:41:00.5", "0000:41:01.0"] {
        let vf = tree.pci(&Pci { numa: Some(0), ..Pci::new(addr, 0x10de, 0x2235, 0x030200) })?;
        tree.group(&[&vf])?;
        tree.parent(&vf, &grid()[..1])?;
        vfs.push(vf);
    }
    tree.sriov(&pf, &vfs.iter().map(String::as_str).collect::<Vec<_>>(), 16)?;
    tree.parent(&pf, &grid())?;
    tree.mdev(&vfs[1], "nvidia-18", &uuid(0x4105))?;
    let idle = tree.pci(&Pci::new("0000:42:00.0", 0x10de, 0x2230, 0x030000))?;
    tree.sriov(&idle, &[], 8)?;
    tree.parent(&idle, &grid()[..2])
}

/// Parents with one missing or unusual property each.
fn plain_functions(tree: &mut Tree) -> io::Result<()> {
    let igd = Pci { driver: Some("i915"), ..Pci::new("0000:00:02.0", 0x8086, 0x3e92, 0x030000) };
    let igd = tree.pci(&igd)?;
    tree.group(&[&igd])?;
    let gvt = "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4";
    let gvt =
        ["i915-GVTg_V5_4", "i915-GVTg_V5_8"].map(|t| TypeSpec::new(t, t, "vfio-pci", 1).described(gvt).nameless());
    tree.parent(&igd, &gvt)?;
    tree.mdev(&igd, "i915-GVTg_V5_4", &uuid(0x915))?;

    let unknown =
        Pci { driver: None, numa: None, config_len: 64, ..Pci::new("0001:02:1f.7", 0xabcd, 0x1234, 0x120000) };
    let unknown = tree.pci(&unknown)?;
    tree.parent(&unknown, &grid()[1..])?;

    let unlisted = Pci { driver: Some("vfio-pci"), ..Pci::new("0000:a0:00.0", 0x10de, 0xfffe, 0x0302ff) };
    let unlisted = tree.pci(&unlisted)?;
    tree.file(&format!("{unlisted}/vpd"), 0o600, vital_product_data())?;
    tree.parent(&unlisted, &grid()[..1])?;

    let empty = tree.pci(&Pci::new("0000:b0:00.0", 0x10de, 0x13f2, 0x030000))?;
    tree.parent(&empty, &[])
}

/// A name and a part number, with the checksum that makes the sum of all bytes up to and including it 0.
fn vital_product_data() -> Vec<u8> {
    let mut bytes = vec![0x82, 4, 0];
    bytes.extend(b"card");
    bytes.extend([0x90, 10, 0]);
    bytes.extend(b"PN\x03123RV\x01");
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes.extend([sum.wrapping_neg(), 0x78]);
    bytes
}

/// Both kinds of s390 parents, and three parents without a bus, one of them without types.
fn other_buses(tree: &mut Tree) -> io::Result<()> {
    let ccw = TypeSpec::new("vfio_ccw-io", "I/O subchannel (Non-QDIO)", "vfio-ccw", 1);
    let subchannel = tree.css("0.0.0052", Some("0.0.1234"))?;
    tree.parent(&subchannel, std::slice::from_ref(&ccw))?;
    tree.mdev(&subchannel, "vfio_ccw-io", &uuid(0x52))?;
    let idle = tree.css("0.2.abcd", None)?;
    tree.parent(&idle, &[ccw])?;

    let matrix = tree.ap_matrix()?;
    tree.parent(&matrix, &[TypeSpec::new("vfio_ap-passthrough", "VFIO AP Passthrough Device", "vfio-ap", 65536)])?;
    let ap = tree.mdev(&matrix, "vfio_ap-passthrough", &uuid(0xa9))?;
    for file in ["assign_adapter", "assign_domain", "assign_control_domain"] {
        tree.file(&format!("{ap}/{file}"), 0o200, "")?;
    }
    tree.file(&format!("{ap}/matrix"), 0o444, "05.0004\n05.00ab\n")?;
    tree.file(&format!("{ap}/control_domains"), 0o444, "0004\n")?;

    let mtty = tree.virtual_device("mtty")?;
    tree.parent(&mtty, &[TypeSpec::new("mtty-1", "Single port serial", "vfio-pci", 24)])?;
    tree.mdev(&mtty, "mtty-1", &uuid(0x77))?;
    let idle = tree.class_device("mtty", "idle")?;
    tree.parent(&idle, &[])?;
    let mdpy = tree.virtual_device("mdpy")?;
    tree.parent(&mdpy, &[TypeSpec::new("mdpy-vga", "vga", "vfio-pci", 4)])?;
    tree.mdev(&mdpy, "mdpy-vga", &uuid(0x4d))?;
    Ok(())
}
