// SPDX-License-Identifier: LGPL-2.1-or-later
//! The built-in host behind `test:///default`: one parent of every kind.
//!
//! To add a device, add a line or a function here: [`Build`] creates the files that every PCI device has, and the
//! links that lead to the device. [`SimHost`] finds out itself what the files mean.

use super::{SimEntry, SimHost, h200, tree};
use crate::sysfs::Sysfs;

/// The device that exists from the start.
const FIRST_UUID: &str = "b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93";

/// Names in the format of pci.ids; the lines of devices begin with a tab.
const PCI_IDS: &str = "\
# The vendors and devices of the simulated host.
10de  NVIDIA
\t13f2  GRID M60
\t2335  GH100 [H200 SXM 141GB]
1b36  Red Hat, Inc.
\t0005  QEMU PCI Test Device
8086  Intel Corporation
\t1901  6th-10th Gen Core Processor PCIe Controller (x16)
\t1912  HD Graphics 530
\t2f04  Xeon E7 v3/Xeon E5 v3/Core i7 PCI Express Root Port 2
\t2f08  Xeon E7 v3/Xeon E5 v3/Core i7 PCI Express Root Port 3
";

/// A PCI function.
pub(super) struct Pci<'a> {
    /// Below `/sys/devices`.
    pub(super) path: &'a str,
    pub(super) vendor: u16,
    pub(super) device: u16,
    pub(super) class: u32,
    pub(super) driver: &'a str,
    pub(super) numa_node: i32,
    pub(super) iommu_group: u32,
}

const I915: Pci<'static> = Pci {
    path: "pci0000:00/0000:00:02.0",
    vendor: 0x8086,
    device: 0x1912,
    class: 0x03_0000,
    driver: "i915",
    numa_node: -1,
    iommu_group: 0,
};

const GRID_M60: Pci<'static> = Pci {
    path: "pci0000:80/0000:80:02.0/0000:86:00.0",
    vendor: 0x10de,
    device: 0x13f2,
    class: 0x03_0000,
    driver: "nvidia",
    numa_node: 1,
    iommu_group: 4,
};

const ACCELERATOR: Pci<'static> = Pci {
    path: "pci0000:80/0000:80:03.0/0000:87:00.0",
    vendor: 0x1b36,
    device: 0x0005,
    class: 0x12_0000,
    driver: "accel",
    numa_node: 1,
    iommu_group: 5,
};

pub(super) const fn bridge(path: &str, device: u16, numa_node: i32, iommu_group: u32) -> Pci<'_> {
    Pci { path, vendor: 0x8086, device, class: 0x06_0400, driver: "pcieport", numa_node, iommu_group }
}

/// The first bridge has no parent device behind it; each of the others has one.
const BRIDGES: [Pci<'static>; 3] = [
    bridge("pci0000:00/0000:00:01.0", 0x1901, -1, 1),
    bridge("pci0000:80/0000:80:02.0", 0x2f04, 1, 2),
    bridge("pci0000:80/0000:80:03.0", 0x2f08, 1, 3),
];

/// Returns a new host, equal at every call.
pub fn default_host() -> SimHost {
    let mut build = Build::default();
    build.file("/usr/share/misc/pci.ids", 0o644, PCI_IDS);
    build.file("/dev/vfio/vfio", 0o666, "");
    BRIDGES.iter().for_each(|bridge| drop(build.pci(bridge)));
    rfc(&mut build);
    general(&mut build);
    i915(&mut build);
    subchannel(&mut build);
    ap_matrix(&mut build);
    h200::cards(&mut build);
    // The tests of this file check that no entry exists twice and that the type exists.
    let host = SimHost::new(build.entries).expect("the entries above fit together");
    let first = host.open(&format!("/sys/devices/{}/mdev_supported_types/i915-GVTg_V5_8", I915.path));
    first.and_then(|dir| dir.write("create", FIRST_UUID.as_bytes())).expect("nothing is taken yet");
    host
}

/// The example of the founding proposal. The three types share 8 GiB of framebuffer.
fn rfc(build: &mut Build) {
    let parent = build.pci(&GRID_M60);
    build.file(&format!("{parent}/mdev_destroy"), 0o200, "");
    let types = [
        ("11", "GRID M60-0B", "512M", "2560x1600", "2", "16"),
        ("12", "GRID M60-0Q", "512M", "2560x1600", "2", "16"),
        ("13", "GRID M60-1A", "1024M", "1280x1024", "1", "8"),
    ];
    for (id, name, fb_length, resolution, heads, max_instances) in types {
        let attributes = [
            ("name", name),
            ("fb_length", fb_length),
            ("resolution", resolution),
            ("heads", heads),
            ("max_instances", max_instances),
        ];
        build.mdev_type(&parent, id, &attributes);
    }
    // Type 11 accepts parameters and groups; 12 accepts parameters and refuses groups; 13 accepts neither.
    let ty = |id: &str, file: &str| format!("{parent}/mdev_supported_types/{id}/{file}");
    build.file(&ty("11", "params"), 0o200, "");
    build.file(&ty("12", "params"), 0o200, "");
    build.file(&ty("11", "requires_group"), 0o444, "1\n");
    build.file(&ty("12", "requires_group"), 0o444, "0\n");
}

/// The reviewer's layout: an accelerator with 16 queues.
fn general(build: &mut Build) {
    let parent = build.pci(&ACCELERATOR);
    build.mdev_type(&parent, "queue-1", &[("available_instances", "16")]);
    build.mdev_type(&parent, "queue-2", &[("available_instances", "8"), ("requires_group", "0")]);
    build.mdev_type(&parent, "queue-4", &[("available_instances", "4"), ("requires_group", "1")]);
}

/// Intel GVT-g: the types share the aperture. An instance of the first type takes all of it, of the last an eighth.
fn i915(build: &mut Build) {
    let parent = build.pci(&I915);
    let types = [
        ("1", "512", "1024", "1920x1200"),
        ("2", "256", "1024", "1920x1200"),
        ("4", "128", "512", "1920x1200"),
        ("8", "64", "384", "1024x768"),
    ];
    for (share, low, high, resolution) in types {
        let text = format!(
            "low_gm_size: {low}MB\nhigh_gm_size: {high}MB\nfence: 4\nresolution: {resolution}\nweight: {}",
            16 / share.parse::<u32>().unwrap_or(1)
        );
        let attributes = [("available_instances", share), ("device_api", "vfio-pci"), ("description", &text)];
        build.mdev_type(&parent, &format!("i915-GVTg_V5_{share}"), &attributes);
    }
    build.mdev_bus(&parent);
}

/// An s390 I/O subchannel; a guest gets all of it.
fn subchannel(build: &mut Build) {
    let parent = "/sys/devices/css0/0.0.0052".to_owned();
    build.bound(&parent, "css", "vfio_ccw");
    build.file(&format!("{parent}/uevent"), 0o644, "DRIVER=vfio_ccw\nST=0\nMODALIAS=css:t0\n");
    for (name, content) in [("type", "0"), ("modalias", "css:t0"), ("pimpampom", "80 80 ff"), ("dev_busid", "0.0.1234")]
    {
        build.file(&format!("{parent}/{name}"), 0o444, &format!("{content}\n"));
    }
    let attributes = [("name", "I/O subchannel (Non-QDIO)"), ("available_instances", "1"), ("device_api", "vfio-ccw")];
    build.mdev_type(&parent, "vfio_ccw-io", &attributes);
    build.mdev_bus(&parent);
}

/// The s390 crypto adapters, as one parent.
fn ap_matrix(build: &mut Build) {
    let parent = "/sys/devices/vfio_ap/matrix".to_owned();
    build.bound(&parent, "matrix", "vfio_ap");
    build.file(&format!("{parent}/uevent"), 0o644, "DRIVER=vfio_ap\n");
    build.file("/sys/bus/ap/ap_max_adapter_id", 0o444, "255\n");
    build.file("/sys/bus/ap/ap_max_domain_id", 0o444, "255\n");
    let attributes =
        [("name", "VFIO AP Passthrough Device"), ("available_instances", "65536"), ("device_api", "vfio-ap")];
    build.mdev_type(&parent, "vfio_ap-passthrough", &attributes);
    build.mdev_bus(&parent);
}

/// Collects the entries of a host.
#[derive(Default)]
pub(super) struct Build {
    pub(super) entries: Vec<SimEntry>,
}

impl Build {
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &str) {
        self.entries.push(SimEntry::File { path: path.to_owned(), mode, content: Ok(content.as_bytes().to_vec()) });
    }

    /// Adds a link in the form of sysfs; `to` is absolute.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        let target = tree::relative(super::dirname(path), to);
        self.entries.push(SimEntry::Link { path: path.to_owned(), target });
    }

    fn dir(&mut self, path: &str) {
        self.entries.push(SimEntry::Dir { path: path.to_owned() });
    }

    /// Adds the links between a device, its bus and its driver.
    fn bound(&mut self, device: &str, bus: &str, driver: &str) {
        let name = super::basename(device);
        self.link(&format!("{device}/subsystem"), &format!("/sys/bus/{bus}"));
        self.link(&format!("/sys/bus/{bus}/devices/{name}"), device);
        self.link(&format!("{device}/driver"), &format!("/sys/bus/{bus}/drivers/{driver}"));
        self.link(&format!("/sys/bus/{bus}/drivers/{driver}/{name}"), device);
    }

    /// Adds a PCI function; returns its path.
    pub(super) fn pci(&mut self, pci: &Pci<'_>) -> String {
        let Pci { vendor, device, class, driver, numa_node, iommu_group, .. } = *pci;
        let path = format!("/sys/devices/{}", pci.path);
        let slot = super::basename(&path).to_owned();
        self.bound(&path, "pci", driver);
        let uevent = format!(
            "DRIVER={driver}\nPCI_CLASS={class:X}\nPCI_ID={vendor:04X}:{device:04X}\n\
             PCI_SUBSYS_ID={vendor:04X}:0000\nPCI_SLOT_NAME={slot}\n"
        );
        self.file(&format!("{path}/uevent"), 0o644, &uevent);
        let values = [
            ("vendor", format!("{vendor:#06x}")),
            ("device", format!("{device:#06x}")),
            ("subsystem_vendor", format!("{vendor:#06x}")),
            ("subsystem_device", "0x0000".to_owned()),
            ("class", format!("{class:#08x}")),
            ("revision", "0xa1".to_owned()),
            ("numa_node", numa_node.to_string()),
        ];
        for (name, value) in values {
            self.file(&format!("{path}/{name}"), 0o444, &format!("{value}\n"));
        }
        let group = format!("/sys/kernel/iommu_groups/{iommu_group}");
        self.link(&format!("{path}/iommu_group"), &group);
        self.link(&format!("{group}/devices/{slot}"), &path);
        path
    }

    /// Adds a type with its readable files. A type of the merged layout also gets the directory of its devices.
    pub(super) fn mdev_type(&mut self, parent: &str, id: &str, attributes: &[(&str, &str)]) {
        let dir = format!("{parent}/mdev_supported_types/{id}");
        self.file(&format!("{dir}/create"), 0o200, "");
        for (name, value) in attributes {
            self.file(&format!("{dir}/{name}"), 0o444, &format!("{value}\n"));
        }
        if attributes.iter().any(|(name, _)| *name == "device_api") {
            self.dir(&format!("{dir}/devices"));
        }
    }

    /// Adds the parent to the class that only the merged layout has.
    pub(super) fn mdev_bus(&mut self, parent: &str) {
        self.link(&format!("/sys/class/mdev_bus/{}", super::basename(parent)), parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysfs::read_text;

    #[test]
    fn first_device_of_default_host_uses_one_instance() {
        let types = format!("/sys/devices/{}/mdev_supported_types", I915.path);
        let dir = default_host().open(&types).unwrap();
        let left =
            ["1", "2", "4", "8"].map(|s| read_text(&*dir, &format!("i915-GVTg_V5_{s}/available_instances")).unwrap());
        assert_eq!(left, ["0", "1", "3", "7"]);
    }

    #[test]
    fn links_of_default_host_have_targets() {
        let host = default_host();
        let entries = host.entries();
        let links = entries.iter().filter(|entry| matches!(entry, SimEntry::Link { .. }));
        for link in links {
            assert!(host.open(link.path()).is_ok(), "{link:?}");
        }
    }

    #[test]
    fn default_hosts_do_not_share_state() {
        let (one, other) = (default_host(), default_host());
        one.unplug(&format!("/sys/devices/{}", GRID_M60.path)).unwrap();
        assert_ne!(one.entries(), other.entries());
        assert_eq!(other.entries(), default_host().entries());
    }
}
