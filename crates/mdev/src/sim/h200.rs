// SPDX-License-Identifier: LGPL-2.1-or-later
//! Two cards of the built-in host whose VFs are virtual GPUs: one with its VFs enabled, one without. Also a host with
//! one card that has the driver that was proposed for the kernel in 2025.

use super::default::{Build, Pci, bridge};
use super::nodes::{VFIO_CLASS, VFIO_NODES};
use super::vendor::UPSTREAM_DRIVER;
use super::{SimEntry, SimHost, basename, dirname};
use crate::error::{Error, Result};
use crate::sysfs::{Errno, IoResult};

/// The kernel module of the vendor's vGPU host software.
pub(super) const SOFTWARE: &str = "/sys/module/nvidia_vgpu_vfio";

/// Number of VFs of a card.
const VFS: u32 = 8;

/// The types that a VF of an empty card can get.
const TYPES: &str = "\
ID    : vGPU Name
1438  : NVIDIA H200X-4C
1439  : NVIDIA H200X-8C
1440  : NVIDIA H200X-17C
1441  : NVIDIA H200X-35C
1442  : NVIDIA H200X-70C
1443  : NVIDIA H200X-141C
";

/// A card, and the numbers for its first VF.
struct Card {
    pf: Pci<'static>,
    vf_driver: &'static str,
    first_group: u32,
    first_vfio: u32,
}

/// The IOMMU group numbers are high: new devices get the lowest free numbers and do not reach these soon.
const BRIDGES: [Pci<'static>; 2] =
    [bridge("pci0000:40/0000:40:01.0", 0x2f04, 1, 60), bridge("pci0000:c0/0000:c0:01.0", 0x2f08, 0, 61)];

const ENABLED: Card = Card {
    pf: h200("pci0000:40/0000:40:01.0/0000:41:00.0", "nvidia", 1, 62),
    vf_driver: "nvidia",
    first_group: 63,
    first_vfio: 0,
};

const IDLE: Card = Card {
    pf: h200("pci0000:c0/0000:c0:01.0/0000:c1:00.0", "nvidia", 0, 71),
    vf_driver: "nvidia",
    first_group: 72,
    first_vfio: VFS,
};

const UPSTREAM: Card =
    Card { pf: h200(ENABLED.pf.path, "nova_core", 1, 62), vf_driver: UPSTREAM_DRIVER, first_group: 63, first_vfio: 0 };

const fn h200(path: &'static str, driver: &'static str, numa_node: i32, iommu_group: u32) -> Pci<'static> {
    Pci { path, vendor: 0x10de, device: 0x2335, class: 0x03_0200, driver, numa_node, iommu_group }
}

pub(super) fn cards(build: &mut Build) {
    BRIDGES.iter().for_each(|bridge| drop(build.pci(bridge)));
    build.entries.push(SimEntry::Dir { path: SOFTWARE.to_owned() });
    pf(build, &ENABLED, VFS);
    pf(build, &IDLE, 0);
}

/// Returns a new host with one card. Its eight VFs have the driver that was proposed for the kernel in 2025: all VFs
/// of a card have one type, and a VF has only the files for its type. The addresses are those of the first card of
/// [`default_host`].
///
/// [`default_host`]: super::default_host
pub fn upstream_host() -> SimHost {
    let mut build = Build::default();
    build.file("/dev/vfio/vfio", 0o666, "");
    build.pci(&BRIDGES[0]);
    pf(&mut build, &UPSTREAM, VFS);
    // No entry exists twice: the tests of the simulated VFs check that.
    SimHost::new(build.entries).expect("the entries above fit together")
}

fn pf(build: &mut Build, card: &Card, vfs: u32) {
    let path = build.pci(&card.pf);
    build.file(&format!("{path}/sriov_totalvfs"), 0o444, &format!("{VFS}\n"));
    build.file(&numvfs(&path), 0o644, &format!("{vfs}\n"));
    (0..vfs).for_each(|number| virtual_function(build, card, number));
}

fn numvfs(pf: &str) -> String {
    format!("{pf}/sriov_numvfs")
}

fn virtual_function(build: &mut Build, card: &Card, number: u32) {
    let pf = format!("/sys/devices/{}", card.pf.path);
    let bus = basename(&pf).rsplit_once(':').map_or("", |(bus, _)| bus);
    // The first VF is four functions after the card.
    let function = 4 + number;
    let address = format!("{bus}:{:02x}.{}", function / 8, function % 8);
    let group = card.first_group + number;
    let place = format!("{}/{address}", dirname(card.pf.path));
    let path = build.pci(&Pci { path: &place, driver: card.vf_driver, iommu_group: group, ..card.pf });
    build.link(&format!("{path}/physfn"), &pf);
    build.link(&format!("{pf}/virtfn{number}"), &path);
    build.file(&format!("{VFIO_NODES}/{group}"), 0o600, "");
    let vfio = format!("vfio{}", card.first_vfio + number);
    let vfio_dir = format!("{path}/vfio-dev/{vfio}");
    build.file(&format!("{vfio_dir}/uevent"), 0o644, "");
    build.link(&format!("{vfio_dir}/device"), &path);
    build.link(&format!("{VFIO_CLASS}/{vfio}"), &vfio_dir);
    let files = [
        ("creatable_vgpu_types", 0o444, TYPES),
        ("current_vgpu_type", 0o644, "0\n"),
        ("gpu_instance_id", 0o644, "0\n"),
        ("placement_id", 0o644, "0\n"),
        ("vgpu_params", 0o644, "\n"),
        ("warm_update", 0o644, "0\n"),
    ];
    let only_types = card.vf_driver == UPSTREAM_DRIVER;
    for (name, mode, content) in files.into_iter().take(if only_types { 2 } else { files.len() }) {
        build.file(&format!("{path}/nvidia/{name}"), mode, content);
    }
}

impl SimHost {
    /// Enables the VFs of the built-in host's second card, as `sriov-manage -e 0000:c1:00.0` does. ENOENT on a host
    /// without the card, EBUSY if the VFs exist already.
    pub fn enable_vfs(&self) -> Result<()> {
        let pf = format!("/sys/devices/{}", IDLE.pf.path);
        let failed = |errno| Error::io("enable the VFs of", &pf, errno);
        self.begin_enabling(&pf).map_err(failed)?;
        let mut build = Build::default();
        build.file(&numvfs(&pf), 0o644, &format!("{VFS}\n"));
        (0..VFS).for_each(|number| virtual_function(&mut build, &IDLE, number));
        self.plug(build.entries)
    }

    /// Removes `sriov_numvfs`; the entries of the VFs contain a new one.
    fn begin_enabling(&self, pf: &str) -> IoResult<()> {
        self.with(|kernel| {
            let pf = kernel.tree.find(pf)?;
            if kernel.tree.child(pf, "virtfn0").is_some() {
                return Err(Errno::BUSY);
            }
            kernel.tree.remove_at(pf, "sriov_numvfs");
            Ok(())
        })
    }
}
