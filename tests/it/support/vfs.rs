// SPDX-License-Identifier: LGPL-2.1-or-later
//! PFs and VFs for tests of the simulated kernel.

use mdev::test_hooks::sim::{SimEntry, SimHost};
use mdev::test_hooks::sysfs::IoResult;

use super::hosts::{file, link, read, write};

/// The built-in host's card with VFs, then the card without VFs.
pub const PF: &str = "/sys/devices/pci0000:40/0000:40:01.0/0000:41:00.0";
pub const IDLE_PF: &str = "/sys/devices/pci0000:c0/0000:c0:01.0/0000:c1:00.0";

/// The card's types, from 4 GiB to all 141 GiB.
pub const ALL: [u32; 6] = [1438, 1439, 1440, 1441, 1442, 1443];

/// The framebuffer sizes of these types, in GiB.
pub const SIZES: [u32; 6] = [4, 8, 17, 35, 70, 141];

/// Directory of a VF of [`PF`].
pub fn vf(number: u32) -> String {
    let function = 4 + number;
    format!("/sys/devices/pci0000:40/0000:40:01.0/0000:41:{:02x}.{}", function / 8, function % 8)
}

/// Path of a file of a VF of [`PF`].
pub fn at(number: u32, name: &str) -> String {
    format!("{}/nvidia/{name}", vf(number))
}

/// Writes the type of a VF of [`PF`].
pub fn set(host: &SimHost, number: u32, value: &str) -> IoResult<()> {
    write(host, &at(number, "current_vgpu_type"), value)
}

/// Returns the types that a VF of [`PF`] lists.
pub fn creatable(host: &SimHost, number: u32) -> Vec<u32> {
    let text = read(host, &at(number, "creatable_vgpu_types")).unwrap();
    let id = |line: &str| line.split_once(':').unwrap().0.trim().parse().ok();
    text.lines().filter_map(id).collect()
}

pub fn ids(text: &str) -> Vec<u32> {
    text.split(' ').map(|id| id.parse().unwrap()).collect()
}

/// Entries of a minimal card: for each VF, its current type and its list of types.
pub fn card(bus: &str, vfs: &[(&str, &str)]) -> Vec<SimEntry> {
    let pf = format!("/sys/devices/{bus}.0");
    let mut entries =
        vec![file(&format!("{pf}/vendor"), 0o444, "0x10de\n"), file(&format!("{pf}/device"), 0o444, "0x26b9\n")];
    for (number, (current, list)) in vfs.iter().enumerate() {
        let vf = format!("/sys/devices/{bus}.{}", 4 + number);
        entries.extend([
            link(&format!("{pf}/virtfn{number}"), &format!("../{bus}.{}", 4 + number)),
            link(&format!("{vf}/physfn"), &format!("../{bus}.0")),
            file(&format!("{vf}/nvidia/current_vgpu_type"), 0o644, &format!("{current}\n")),
            file(&format!("{vf}/nvidia/creatable_vgpu_types"), 0o444, list),
        ]);
    }
    entries
}
