// SPDX-License-Identifier: LGPL-2.1-or-later
//! A host of PCI parents, each with at most one fault, and the nodes that a list must still contain.
#![allow(dead_code, reason = "mktree and the tests each use a part of it")]

use std::io;
use std::path::Path;

use super::tree::{Pci, Tree, TypeSpec, type_dir, uuid};

/// The types that every parent has before its fault.
pub const TYPES: [&str; 3] = ["nvidia-11", "nvidia-12", "nvidia-13"];

/// The nodes of a faulty parent that a list must contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// The parent, its three types and its device; the faulty node with its readable properties.
    All,
    /// The parent, its device and all types but the first, which can be missing or without properties.
    OtherTypes,
    /// The parent, without types; its device can be missing.
    ParentOnly,
    /// The parent and its types; the device can be missing.
    NoDevice,
}

/// A fault.
pub struct Fault {
    pub name: &'static str,
    pub left: Left,
    /// Adds the fault to the parent at this path; the UUID is its device.
    pub apply: fn(&mut Tree, &str, &str) -> io::Result<()>,
}

/// Address of parent `index` of [`host`].
pub fn address(index: usize) -> String {
    format!("0000:{:02x}:00.0", 0x10 + index)
}

/// UUID of the device of parent `index`.
pub fn device(index: usize) -> String {
    uuid(index as u32 + 1)
}

/// Adds the n-th fault to parent 2n+1, so that every faulty parent has sound neighbours. No name: all faults.
pub fn host(root: &Path, parents: usize, names: &[&str]) -> io::Result<Tree> {
    let mut tree = Tree::new(root)?;
    if let Some(name) = names.iter().find(|name| !FAULTS.iter().any(|f| f.name == **name)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no fault {name}")));
    }
    let chosen: Vec<_> = FAULTS.iter().filter(|f| names.is_empty() || names.contains(&f.name)).collect();
    assert!(chosen.len() * 2 < parents, "{parents} parents are too few");
    for index in 0..parents {
        let path = tree.pci(&Pci::new(&address(index), 0x10de, 0x13f2, 0x030000))?;
        tree.group(&[&path])?;
        let types = TYPES.map(|id| TypeSpec::new(id, &format!("GRID M60-{id}"), "vfio-pci", 16));
        tree.parent(&path, &types)?;
        tree.mdev(&path, TYPES[1], &device(index))?;
        if index % 2 == 1 {
            if let Some(fault) = chosen.get(index / 2) {
                (fault.apply)(&mut tree, &path, &device(index))?;
            }
        }
    }
    Ok(tree)
}

/// The fault that [`host`], called without names, adds to a parent.
pub fn fault_of(index: usize) -> Option<&'static Fault> {
    if index % 2 == 1 { FAULTS.get(index / 2) } else { None }
}

fn first(parent: &str, file: &str) -> String {
    format!("{}/{file}", type_dir(parent, TYPES[0]))
}

fn replace(tree: &Tree, path: &str, text: &[u8]) -> io::Result<()> {
    tree.remove(path)?;
    tree.file(path, 0o444, text)
}

/// All faults. One of them replaces a file by a FIFO: a program that opens it for reading blocks for an unlimited time.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "available-is-directory",
        left: Left::OtherTypes,
        apply: |t, p, _| {
            t.remove(&first(p, "available_instances"))?;
            t.dir(&first(p, "available_instances"))
        },
    },
    Fault {
        name: "available-read-error",
        left: Left::OtherTypes,
        apply: |t, p, _| {
            t.remove(&first(p, "available_instances"))?;
            // The first page of a process is never mapped: the read fails with EIO.
            std::os::unix::fs::symlink("/proc/self/mem", t.real(&first(p, "available_instances")))
        },
    },
    Fault {
        name: "available-missing",
        left: Left::OtherTypes,
        apply: |t, p, _| t.remove(&first(p, "available_instances")),
    },
    Fault {
        name: "available-empty",
        left: Left::OtherTypes,
        apply: |t, p, _| replace(t, &first(p, "available_instances"), b""),
    },
    Fault {
        name: "available-garbage",
        left: Left::OtherTypes,
        apply: |t, p, _| replace(t, &first(p, "available_instances"), b"plenty\n"),
    },
    Fault {
        name: "available-negative",
        left: Left::OtherTypes,
        apply: |t, p, _| replace(t, &first(p, "available_instances"), b"-1\n"),
    },
    Fault {
        name: "available-overflow",
        left: Left::OtherTypes,
        apply: |t, p, _| replace(t, &first(p, "available_instances"), b"99999999999999999999999\n"),
    },
    Fault {
        name: "available-fifo",
        left: Left::OtherTypes,
        apply: |t, p, _| {
            t.remove(&first(p, "available_instances"))?;
            fifo(&t.real(&first(p, "available_instances")))
        },
    },
    Fault { name: "device-api-missing", left: Left::OtherTypes, apply: |t, p, _| t.remove(&first(p, "device_api")) },
    Fault {
        name: "device-api-empty",
        left: Left::OtherTypes,
        apply: |t, p, _| replace(t, &first(p, "device_api"), b""),
    },
    Fault {
        name: "name-not-utf8",
        left: Left::OtherTypes,
        apply: |t, p, _| replace(t, &first(p, "name"), b"GRID \xff\xfe\n"),
    },
    Fault {
        name: "name-is-directory",
        left: Left::OtherTypes,
        apply: |t, p, _| {
            t.remove(&first(p, "name"))?;
            t.dir(&first(p, "name"))
        },
    },
    Fault {
        name: "description-huge",
        left: Left::OtherTypes,
        apply: |t, p, _| t.file(&first(p, "description"), 0o444, vec![b'x'; 3 << 20]),
    },
    Fault {
        name: "type-not-utf8",
        left: Left::All,
        apply: |t, p, _| t.raw_dir(&format!("{p}/mdev_supported_types"), b"nvidia-\xff"),
    },
    Fault {
        name: "type-is-file",
        left: Left::All,
        apply: |t, p, _| t.file(&format!("{p}/mdev_supported_types/stray"), 0o444, "1\n"),
    },
    Fault {
        name: "type-empty",
        left: Left::All,
        apply: |t, p, _| t.dir(&format!("{p}/mdev_supported_types/nvidia-99")),
    },
    Fault {
        name: "types-is-file",
        left: Left::ParentOnly,
        apply: |t, p, _| {
            t.remove(&format!("{p}/mdev_supported_types"))?;
            t.file(&format!("{p}/mdev_supported_types"), 0o444, "")
        },
    },
    Fault {
        name: "class-link-dangles",
        left: Left::All,
        apply: |t, _, _| t.link("/sys/class/mdev_bus/0000:ff:1f.7", "/sys/devices/pci0000:00/0000:ff:1f.7"),
    },
    Fault {
        name: "class-link-loops",
        left: Left::All,
        apply: |t, _, _| t.link("/sys/class/mdev_bus/0000:ff:1f.6", "/sys/class/mdev_bus/0000:ff:1f.6"),
    },
    Fault {
        name: "device-link-dangles",
        left: Left::All,
        apply: |t, p, _| t.link(&format!("/sys/bus/mdev/devices/{}", uuid(0xdead)), &format!("{p}/{}", uuid(0xdead))),
    },
    Fault { name: "device-not-ready", left: Left::All, apply: |t, p, _| t.bare_mdev(p, &uuid(0xbabe)).map(drop) },
    Fault { name: "device-without-group", left: Left::All, apply: |t, p, d| t.remove(&format!("{p}/{d}/iommu_group")) },
    Fault {
        name: "device-group-garbage",
        left: Left::All,
        apply: |t, p, d| {
            t.remove(&format!("{p}/{d}/iommu_group"))?;
            t.link(&format!("{p}/{d}/iommu_group"), "/sys/kernel/iommu_groups/none")
        },
    },
    Fault {
        name: "device-type-dangles",
        left: Left::NoDevice,
        apply: |t, p, d| {
            t.remove(&format!("{p}/{d}/mdev_type"))?;
            t.link(&format!("{p}/{d}/mdev_type"), &type_dir(p, "nvidia-gone"))
        },
    },
    Fault { name: "device-not-a-uuid", left: Left::All, apply: |t, p, _| t.bare_mdev(p, "stray").map(drop) },
    Fault {
        name: "pci-ids-garbage",
        left: Left::All,
        apply: |t, p, _| replace(t, &format!("{p}/vendor"), b"NVIDIA\n"),
    },
    Fault { name: "pci-class-empty", left: Left::All, apply: |t, p, _| replace(t, &format!("{p}/class"), b"") },
    Fault { name: "numa-garbage", left: Left::All, apply: |t, p, _| replace(t, &format!("{p}/numa_node"), b"?\n") },
    Fault { name: "config-empty", left: Left::All, apply: |t, p, _| replace(t, &format!("{p}/config"), b"") },
    Fault { name: "uevent-empty", left: Left::All, apply: |t, p, _| replace(t, &format!("{p}/uevent"), b"") },
];

/// Creates a named pipe with mkfifo(1), without a binding to libc.
fn fifo(path: &Path) -> io::Result<()> {
    let status = std::process::Command::new("mkfifo").arg(path).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("mkfifo failed")) }
}
