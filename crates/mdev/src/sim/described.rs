// SPDX-License-Identifier: LGPL-2.1-or-later
//! A host from a short description in JSON: cards with their types.

use serde::Deserialize;

use super::default::{Build, Pci};
use super::nodes::{VFIO_CLASS, VFIO_NODES};
use super::{SimEntry, SimHost, dirname};
use crate::error::{Error, ErrorCode, Result};
use crate::sysfs::Errno;

/// The first IOMMU group of a described device. New devices get the lowest free numbers, and do not reach it soon.
const FIRST_GROUP: u32 = 1000;

/// The most VFs of a card: SR-IOV has 16 bits, no card has more.
const VFS_MAX: u32 = 256;

/// The description of a host. `faults` and other members are for the program that serves the host.
#[derive(Debug, Deserialize)]
struct Described {
    cards: Vec<Card>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layout {
    Mdev,
    Rfc,
    General,
    VendorVfio,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Card {
    address: String,
    layout: Layout,
    #[serde(default = "nvidia")]
    driver: String,
    #[serde(default = "nvidia_vendor")]
    vendor: String,
    #[serde(default = "some_device")]
    device: String,
    #[serde(default)]
    numa_node: i32,
    /// The enabled VFs: the devices of `vendor-vfio`, the parents of `mdev`.
    #[serde(default)]
    vfs: u32,
    types: Vec<Type>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Type {
    id: String,
    name: Option<String>,
    /// How many devices of this type alone fit.
    #[serde(default = "one")]
    instances: u32,
    description: Option<String>,
    #[serde(default = "vfio_pci")]
    device_api: String,
    #[serde(default)]
    requires_group: bool,
}

fn nvidia() -> String {
    "nvidia".to_owned()
}

fn nvidia_vendor() -> String {
    "0x10de".to_owned()
}

fn some_device() -> String {
    "0x2236".to_owned()
}

fn vfio_pci() -> String {
    "vfio-pci".to_owned()
}

const fn one() -> u32 {
    1
}

fn invalid(path: &str, what: impl std::fmt::Display) -> Error {
    let message = format!("{path}: invalid description of a host: {what}; docs/simulated-host.md describes the format");
    Error::new(ErrorCode::BadData, Errno::INVAL, message).at(path)
}

/// Returns the host of a description. `path` is the name of the text in errors.
pub fn described_host(path: &str, text: &[u8]) -> Result<SimHost> {
    let described: Described = serde_json::from_slice(text).map_err(|e| invalid(path, e))?;
    let mut build = Build::default();
    let mut group = FIRST_GROUP;
    for card in &described.cards {
        add_card(&mut build, card, &mut group)
            .map_err(|what| invalid(path, format!("card {}: {what}", card.address)))?;
    }
    if described.cards.iter().any(|card| card.layout == Layout::VendorVfio) {
        build.entries.push(SimEntry::Dir { path: super::h200::SOFTWARE.to_owned() });
    }
    SimHost::new(build.entries).map_err(|e| e.of(path))
}

fn id(text: &str, name: &str) -> std::result::Result<u16, String> {
    u16::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| format!("{name} '{text}' is not a hexadecimal number"))
}

fn add_card(build: &mut Build, card: &Card, group: &mut u32) -> std::result::Result<(), String> {
    let address = card.address.to_ascii_lowercase();
    if !is_address(&address) {
        return Err("the address is not DDDD:BB:SS.F".to_owned());
    }
    if card.vfs > VFS_MAX {
        return Err(format!("{} VFs are too many; at most {VFS_MAX}", card.vfs));
    }
    for ty in &card.types {
        let is_number = ty.id.bytes().all(|byte| byte.is_ascii_digit());
        if ty.id.is_empty() || ty.id.contains('/') || card.layout == Layout::VendorVfio && !is_number {
            return Err(format!("'{}' is not the id of a type of this layout", ty.id));
        }
    }
    let (vendor, device) = (id(&card.vendor, "vendor")?, id(&card.device, "device")?);
    let root = address.get(..7).unwrap_or_default();
    let path = format!("pci{root}/{address}");
    let mut next_group = || {
        *group += 1;
        *group - 1
    };
    let (driver, numa_node) = (card.driver.as_str(), card.numa_node);
    let class = 0x03_0200;
    let pf = build.pci(&Pci { path: &path, vendor, device, class, driver, numa_node, iommu_group: next_group() });
    let has_vfs = card.layout == Layout::VendorVfio || card.vfs > 0;
    if has_vfs {
        build.file(&format!("{pf}/sriov_totalvfs"), 0o444, &format!("{}\n", card.vfs.max(1)));
        build.file(&format!("{pf}/sriov_numvfs"), 0o644, &format!("{}\n", card.vfs));
    }
    for number in 0..card.vfs {
        let iommu_group = next_group();
        let place = format!("{}/{}", dirname(&path), address_of_vf(&address, number));
        let vf = build.pci(&Pci { path: &place, vendor, device, class, driver, numa_node, iommu_group });
        build.link(&format!("{vf}/physfn"), &pf);
        build.link(&format!("{pf}/virtfn{number}"), &vf);
        match card.layout {
            Layout::VendorVfio => add_vgpu_files(build, card, &vf, iommu_group),
            _ => add_types(build, card, &vf),
        }
    }
    if card.layout != Layout::VendorVfio && card.vfs == 0 {
        add_types(build, card, &pf);
    }
    Ok(())
}

/// True for a PCI address in the form of sysfs: `0000:41:00.0`.
fn is_address(text: &str) -> bool {
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fields: Vec<&str> = text.split([':', '.']).collect();
    let [domain, bus, slot, function] = fields[..] else { return false };
    let has_form = text.as_bytes().get(10) == Some(&b'.');
    has_form && is_hex(domain, 4) && is_hex(bus, 2) && is_hex(slot, 2) && matches!(function.as_bytes(), [b'0'..=b'7'])
}

/// Returns the address of a VF: the first is four functions after its card.
fn address_of_vf(card: &str, number: u32) -> String {
    let bus = card.rsplit_once(':').map_or("", |(bus, _)| bus);
    let function = 4 + number;
    if function < 256 {
        format!("{bus}:{:02x}.{}", function / 8, function % 8)
    } else {
        // The next bus.
        let (domain, number) = bus.split_once(':').unwrap_or(("0000", "00"));
        let next = u32::from_str_radix(number, 16).unwrap_or(0) + 1;
        format!("{domain}:{next:02x}:{:02x}.{}", (function - 256) / 8, function % 8)
    }
}

fn add_vgpu_files(build: &mut Build, card: &Card, vf: &str, group: u32) {
    build.file(&format!("{VFIO_NODES}/{group}"), 0o600, "");
    let vfio = format!("vfio{group}");
    let folder = format!("{vf}/vfio-dev/{vfio}");
    build.file(&format!("{folder}/uevent"), 0o644, "");
    build.link(&format!("{folder}/device"), vf);
    build.link(&format!("{VFIO_CLASS}/{vfio}"), &folder);
    let mut types = "ID    : vGPU Name\n".to_owned();
    for ty in &card.types {
        types.push_str(&format!("{:<5} : {}\n", ty.id, ty.name.as_deref().unwrap_or(&ty.id)));
    }
    let files = [
        ("creatable_vgpu_types", 0o444, types.as_str()),
        ("current_vgpu_type", 0o644, "0\n"),
        ("gpu_instance_id", 0o644, "0\n"),
        ("placement_id", 0o644, "0\n"),
        ("vgpu_params", 0o644, "\n"),
        ("warm_update", 0o644, "0\n"),
    ];
    for (name, mode, content) in files {
        build.file(&format!("{vf}/nvidia/{name}"), mode, content);
    }
}

fn add_types(build: &mut Build, card: &Card, parent: &str) {
    for ty in &card.types {
        let instances = ty.instances.to_string();
        let mut attributes: Vec<(&str, &str)> = Vec::new();
        attributes.extend(ty.name.as_deref().map(|name| ("name", name)));
        attributes.extend(ty.description.as_deref().map(|text| ("description", text)));
        match card.layout {
            Layout::Rfc => attributes.push(("max_instances", &instances)),
            Layout::General => attributes.push(("available_instances", &instances)),
            Layout::Mdev | Layout::VendorVfio => {
                attributes.push(("available_instances", &instances));
                attributes.push(("device_api", &ty.device_api));
            }
        }
        if card.layout != Layout::Mdev && ty.requires_group {
            attributes.push(("requires_group", "1"));
        }
        build.mdev_type(parent, &ty.id, &attributes);
        if card.layout == Layout::Rfc {
            build.file(&format!("{parent}/mdev_supported_types/{}/params", ty.id), 0o200, "");
        }
    }
    match card.layout {
        Layout::Rfc => build.file(&format!("{parent}/mdev_destroy"), 0o200, ""),
        Layout::General => {}
        Layout::Mdev | Layout::VendorVfio => build.mdev_bus(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        described_host("host.json", text.as_bytes()).unwrap_err().message
    }

    #[test]
    fn cards_of_each_layout_are_parents() {
        let text = br#"{"cards": [
            {"address": "0000:41:00.0", "layout": "vendor-vfio", "vfs": 16, "types": [{"id": "1438", "name": "NVIDIA A10-4Q"}]},
            {"address": "0000:42:00.0", "layout": "mdev", "vfs": 2, "types": [{"id": "nvidia-592", "name": "NVIDIA A10-4Q"}]},
            {"address": "0000:43:00.0", "layout": "mdev", "driver": "i915", "types": [{"id": "a", "instances": 7}]},
            {"address": "0000:44:00.0", "layout": "rfc", "types": [{"id": "11", "instances": 4, "requiresGroup": true}]},
            {"address": "0000:45:00.0", "layout": "general", "types": [{"id": "q"}]}], "faults": []}"#;
        let host = described_host("host.json", text).unwrap();
        let parents: Vec<String> =
            crate::backend::places::all(&host).unwrap().iter().map(|place| place.sysname().to_owned()).collect();
        let expected = ["0000:41:00.0", "0000:42:00.4", "0000:42:00.5", "0000:43:00.0", "0000:44:00.0", "0000:45:00.0"];
        assert_eq!(parents, expected);
        assert!(host.inode("/sys/bus/pci/devices/0000:41:02.3/nvidia/current_vgpu_type").is_ok());
    }

    #[test]
    fn vfs_after_the_last_function_are_on_the_next_bus() {
        assert_eq!(address_of_vf("0000:41:00.0", 251), "0000:41:1f.7");
        assert_eq!(address_of_vf("0000:41:00.0", 252), "0000:42:00.0");
    }

    #[test]
    fn invalid_description_is_an_error_with_its_place() {
        let card = |rest: &str| format!(r#"{{"cards": [{{"address": "0000:41:00.0", "layout": "mdev", {rest}}}]}}"#);
        assert!(error("{}").contains("missing field `cards`"));
        assert!(error(&card(r#""types": [{"id": "a/b"}]"#)).contains("'a/b' is not the id of a type"));
        assert!(error(&card(r#""types": [], "vfs": 300"#)).contains("300 VFs are too many"));
        assert!(error(&card(r#""types": [], "vender": 1"#)).contains("unknown field `vender`"));
        assert!(error(&card(r#""types": [], "vendor": "x""#)).contains("vendor 'x' is not a hexadecimal number"));
        assert!(error(&card(r#""types": []"#).replace("0000:41", "41")).contains("the address is not DDDD:BB:SS.F"));
    }
}
