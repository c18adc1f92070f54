// SPDX-License-Identifier: LGPL-2.1-or-later
//! A made-up sysfs below a directory, in the form of the merged kernel interface. It is complete enough for this
//! library, libudev, mdevctl and libvirt's node-device driver. `root/sys` can be bound over /sys or used with
//! `?root=`.
#![allow(dead_code, reason = "mktree and the tests each use a part of it")]

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A tree under construction. Every path in its methods is absolute in the tree's own view (`/sys/...`).
pub struct Tree {
    root: PathBuf,
    next_group: u32,
}

/// A type directory.
#[derive(Clone)]
pub struct TypeSpec {
    pub id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub device_api: &'static str,
    pub available: u32,
}

impl TypeSpec {
    pub fn new(id: &str, name: &str, device_api: &'static str, available: u32) -> Self {
        TypeSpec { id: id.into(), name: Some(name.into()), description: None, device_api, available }
    }

    pub fn described(mut self, text: &str) -> Self {
        self.description = Some(text.into());
        self
    }

    pub fn nameless(mut self) -> Self {
        self.name = None;
        self
    }
}

/// A PCI function.
#[derive(Clone)]
pub struct Pci {
    pub addr: String,
    /// The directory that contains it.
    pub above: String,
    pub vendor: u16,
    pub product: u16,
    pub class: u32,
    pub driver: Option<&'static str>,
    /// Content of `numa_node`; `None`: the file does not exist.
    pub numa: Option<i32>,
    /// An ordinary user can read 64 bytes; plain PCI has 256.
    pub config_len: usize,
    /// Byte 0x0e of the configuration space.
    pub header: u8,
}

impl Pci {
    pub fn new(addr: &str, vendor: u16, product: u16, class: u32) -> Self {
        Pci {
            addr: addr.into(),
            above: format!("/sys/devices/pci{}:00", &addr[..4]),
            vendor,
            product,
            class,
            driver: Some("nvidia"),
            numa: Some(-1),
            config_len: 256,
            header: 0,
        }
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.above, self.addr)
    }
}

impl Tree {
    /// Starts a tree in an empty directory or a directory that does not exist yet.
    pub fn new(root: &Path) -> io::Result<Self> {
        let tree = Tree { root: root.to_owned(), next_group: 1 };
        for dir in [
            "/sys/bus/pci/devices",
            "/sys/bus/pci/drivers",
            "/sys/bus/mdev/devices",
            "/sys/bus/mdev/drivers/vfio_mdev",
            "/sys/class/mdev_bus",
            "/sys/kernel/iommu_groups",
            "/sys/devices/virtual",
            "/dev/vfio",
            "/etc/mdevctl.d",
            "/run",
        ] {
            tree.dir(dir)?;
        }
        Ok(tree)
    }

    /// Returns the real path of a path in the tree.
    pub fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.real(path))
    }

    /// Writes a file with the permission bits that sysfs would show. Creates the directories above it.
    pub fn file(&self, path: &str, mode: u32, text: impl AsRef<[u8]>) -> io::Result<()> {
        let real = self.real(path);
        if let Some(above) = real.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&real, text)?;
        fs::set_permissions(&real, fs::Permissions::from_mode(mode))
    }

    /// Creates a relative link from one path of the tree to another, as sysfs does.
    pub fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let real = self.real(path);
        if let Some(above) = real.parent() {
            fs::create_dir_all(above)?;
        }
        symlink(relative(path, target), real)
    }

    pub fn remove(&self, path: &str) -> io::Result<()> {
        let real = self.real(path);
        if real.symlink_metadata()?.is_dir() { fs::remove_dir_all(real) } else { fs::remove_file(real) }
    }

    /// Adds a directory below `path` whose name is not UTF-8.
    pub fn raw_dir(&self, path: &str, name: &[u8]) -> io::Result<()> {
        fs::create_dir_all(self.real(path).join(OsStr::from_bytes(name)))
    }

    /// Adds the entries that the device core creates for any device: `uevent`, `subsystem`, `driver`, and the bus's
    /// links to both.
    fn device(&self, path: &str, bus: &str, driver: Option<&str>, uevent: &str) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.link(&format!("{path}/subsystem"), &format!("/sys/bus/{bus}"))?;
        self.link(&format!("/sys/bus/{bus}/devices/{name}"), path)?;
        let mut text = String::new();
        if let Some(driver) = driver {
            let folder = format!("/sys/bus/{bus}/drivers/{driver}");
            self.link(&format!("{path}/driver"), &folder)?;
            self.link(&format!("{folder}/{name}"), path)?;
            text = format!("DRIVER={driver}\n");
        }
        self.file(&format!("{path}/uevent"), 0o644, text + uevent)
    }

    /// Adds a PCI function that is not yet a parent of mediated devices.
    pub fn pci(&self, pci: &Pci) -> io::Result<String> {
        let path = pci.path();
        let root = path.split('/').take(4).collect::<Vec<_>>().join("/");
        self.file(&format!("{root}/uevent"), 0o644, "")?;
        let (vendor, product, class) = (pci.vendor, pci.product, pci.class);
        let uevent = format!(
            "PCI_CLASS={class:X}\nPCI_ID={vendor:04X}:{product:04X}\nPCI_SUBSYS_ID={vendor:04X}:0001\nPCI_SLOT_NAME={}\n\
             MODALIAS=pci:v{vendor:08X}d{product:08X}sv{vendor:08X}sd00000001bc{:02X}sc{:02X}i{:02X}\n",
            pci.addr,
            class >> 16,
            class >> 8 & 0xff,
            class & 0xff
        );
        self.device(&path, "pci", pci.driver, &uevent)?;
        for (file, text) in [
            ("class", format!("0x{class:06x}\n")),
            ("vendor", format!("0x{vendor:04x}\n")),
            ("device", format!("0x{product:04x}\n")),
            ("subsystem_vendor", format!("0x{vendor:04x}\n")),
            ("subsystem_device", "0x0001\n".into()),
            ("revision", "0xa1\n".into()),
            ("irq", "16\n".into()),
            ("resource", "0x0000000000000000 0x0000000000000000 0x0000000000000000\n".repeat(13)),
        ] {
            self.file(&format!("{path}/{file}"), 0o444, text)?;
        }
        self.file(&format!("{path}/config"), 0o644, config_space(pci))?;
        if let Some(node) = pci.numa {
            self.file(&format!("{path}/numa_node"), 0o644, format!("{node}\n"))?;
        }
        Ok(path)
    }

    /// Adds devices to a new IOMMU group and returns its number. `/dev/vfio/<group>` is a plain file here.
    pub fn group(&mut self, paths: &[&str]) -> io::Result<u32> {
        let group = self.next_group;
        self.next_group += 1;
        let folder = format!("/sys/kernel/iommu_groups/{group}");
        self.dir(&format!("{folder}/reserved"))?;
        for path in paths {
            let name = path.rsplit('/').next().unwrap_or_default();
            self.link(&format!("{folder}/devices/{name}"), path)?;
            self.link(&format!("{path}/iommu_group"), &folder)?;
        }
        self.file(&format!("/dev/vfio/{group}"), 0o600, "")?;
        Ok(group)
    }

    /// Makes one function the physical function of others.
    pub fn sriov(&self, pf: &str, vfs: &[&str], total: u32) -> io::Result<()> {
        self.file(&format!("{pf}/sriov_totalvfs"), 0o444, format!("{total}\n"))?;
        self.file(&format!("{pf}/sriov_numvfs"), 0o644, format!("{}\n", vfs.len()))?;
        for (i, vf) in vfs.iter().enumerate() {
            self.link(&format!("{pf}/virtfn{i}"), vf)?;
            self.link(&format!("{vf}/physfn"), pf)?;
        }
        Ok(())
    }

    /// Registers a device as a parent: adds the class link and one directory for each type.
    pub fn parent(&self, path: &str, types: &[TypeSpec]) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.link(&format!("/sys/class/mdev_bus/{name}"), path)?;
        self.dir(&format!("{path}/mdev_supported_types"))?;
        types.iter().try_for_each(|spec| self.add_type(path, spec))
    }

    pub fn add_type(&self, parent: &str, spec: &TypeSpec) -> io::Result<()> {
        let folder = type_dir(parent, &spec.id);
        self.dir(&format!("{folder}/devices"))?;
        self.file(&format!("{folder}/create"), 0o200, "")?;
        self.file(&format!("{folder}/device_api"), 0o444, format!("{}\n", spec.device_api))?;
        self.file(&format!("{folder}/available_instances"), 0o444, format!("{}\n", spec.available))?;
        if let Some(name) = &spec.name {
            self.file(&format!("{folder}/name"), 0o444, format!("{name}\n"))?;
        }
        if let Some(text) = &spec.description {
            self.file(&format!("{folder}/description"), 0o444, format!("{text}\n"))?;
        }
        Ok(())
    }

    /// Adds the directory of a mediated device before its driver is bound, as a list can find it during a create.
    pub fn bare_mdev(&self, parent: &str, uuid: &str) -> io::Result<String> {
        let path = format!("{parent}/{uuid}");
        self.device(&path, "mdev", None, "")?;
        self.file(&format!("{path}/remove"), 0o200, "")?;
        self.dir(&format!("{path}/power"))?;
        Ok(path)
    }

    /// Adds a complete mediated device in an IOMMU group of its own.
    pub fn mdev(&mut self, parent: &str, type_id: &str, uuid: &str) -> io::Result<String> {
        let path = format!("{parent}/{uuid}");
        self.device(&path, "mdev", Some("vfio_mdev"), "")?;
        self.file(&format!("{path}/remove"), 0o200, "")?;
        self.dir(&format!("{path}/power"))?;
        let folder = type_dir(parent, type_id);
        self.link(&format!("{path}/mdev_type"), &folder)?;
        self.link(&format!("{folder}/devices/{uuid}"), &path)?;
        self.group(&[&path])?;
        Ok(path)
    }

    /// Adds an s390 I/O subchannel bound to vfio_ccw; `channel` is the device behind it.
    pub fn css(&self, name: &str, channel: Option<&str>) -> io::Result<String> {
        let path = format!("/sys/devices/css0/{name}");
        self.file("/sys/devices/css0/uevent", 0o644, "")?;
        self.device(&path, "css", Some("vfio_ccw"), "MODALIAS=css:t0\n")?;
        self.file(&format!("{path}/type"), 0o444, "0\n")?;
        self.file(&format!("{path}/modalias"), 0o444, "css:t0\n")?;
        self.file(&format!("{path}/dev_busid"), 0o444, format!("{}\n", channel.unwrap_or("none")))?;
        Ok(path)
    }

    /// Adds the AP matrix device of vfio_ap.
    pub fn ap_matrix(&self) -> io::Result<String> {
        let path = "/sys/devices/vfio_ap/matrix";
        self.device(path, "matrix", Some("vfio_ap"), "")?;
        self.dir("/sys/devices/vfio_ap")?;
        Ok(path.into())
    }

    /// Adds a parent without a bus, like the kernel's sample drivers: its subsystem is a class of the same name.
    pub fn virtual_device(&self, name: &str) -> io::Result<String> {
        self.class_device(name, name)
    }

    /// Adds a device of a class without a bus.
    pub fn class_device(&self, class: &str, name: &str) -> io::Result<String> {
        let path = format!("/sys/devices/virtual/{class}/{name}");
        self.link(&format!("/sys/class/{class}/{name}"), &path)?;
        self.link(&format!("{path}/subsystem"), &format!("/sys/class/{class}"))?;
        self.file(&format!("{path}/uevent"), 0o644, "")?;
        Ok(path)
    }
}

/// The directory of one type.
pub fn type_dir(parent: &str, id: &str) -> String {
    format!("{parent}/mdev_supported_types/{id}")
}

/// Returns a UUID built from a number, for trees that must be the same in every run.
pub fn uuid(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-{number:012x}")
}

/// The text of a link at `path` that points to `target`.
fn relative(path: &str, target: &str) -> String {
    let here: Vec<_> = path.split('/').collect();
    let there: Vec<_> = target.split('/').collect();
    let above = &here[..here.len() - 1];
    let common = above.iter().zip(&there).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; above.len() - common];
    parts.extend(&there[common..]);
    parts.join("/")
}

/// A configuration space with the header fields and, from 256 bytes on, a PCI Express capability.
fn config_space(pci: &Pci) -> Vec<u8> {
    let mut bytes = vec![0u8; pci.config_len];
    bytes[0..2].copy_from_slice(&pci.vendor.to_le_bytes());
    bytes[2..4].copy_from_slice(&pci.product.to_le_bytes());
    bytes[8] = 0xa1;
    bytes[9..12].copy_from_slice(&pci.class.to_le_bytes()[..3]);
    bytes[0x0e] = pci.header;
    if bytes.len() >= 256 && pci.driver == Some("vfio-pci") {
        // Status: capability list; one entry, PCI Express endpoint, link x16 at 8 GT/s.
        bytes[6] = 0x10;
        bytes[0x34] = 0x60;
        bytes[0x60..0x64].copy_from_slice(&[0x10, 0, 0x02, 0]);
        bytes[0x6c..0x70].copy_from_slice(&[0x03, 0x01, 0, 0]);
        bytes[0x72..0x74].copy_from_slice(&[0x03, 0x01]);
    }
    bytes
}
