// SPDX-License-Identifier: LGPL-2.1-or-later
//! A parent device and the types that it can create.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::address::PciAddress;

/// The name of a layout, a generation of the kernel interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayoutKind(&'static str);

impl LayoutKind {
    /// The founding proposal: `mdev_destroy`, `max_instances`, `params`.
    pub const RFC: LayoutKind = LayoutKind::new("rfc");
    /// The reply to it: `available_instances`, the device's own `destroy`, `online`, `reset`.
    pub const GENERAL: LayoutKind = LayoutKind::new("general");
    /// Linux 4.10 and later.
    pub const MDEV: LayoutKind = LayoutKind::new("mdev");
    /// NVIDIA vGPU 17 and later on kernel 6.8 and later: SR-IOV functions without an mdev bus.
    pub const VENDOR_VFIO: LayoutKind = LayoutKind::new("vendor-vfio");

    /// A layout of this name.
    pub const fn new(name: &'static str) -> LayoutKind {
        LayoutKind(name)
    }

    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// One directory of `mdev_supported_types`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Type {
    /// The directory's name: what a create request gives as type.
    pub id: String,
    /// `name`, where the vendor gives one.
    pub name: Option<String>,
    /// How many can still be created; unknown where the file cannot be read or understood.
    pub available_instances: Option<u32>,
    /// `available_instances` counts places (VFs) that share the card, each as if it were alone, so that fewer may fit.
    pub counts_places: bool,
    /// The type has a `requires_group` file that does not read 0.
    pub requires_group: bool,
    /// The type takes a parameter string before create.
    pub has_params: bool,
    /// Every readable regular file but `name`, in the order in which it is dumped.
    pub attributes: Vec<(Cow<'static, str>, String)>,
}

impl Type {
    /// A class attribute by name; `name` is one as well.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        if name == "name" {
            return self.name.as_deref();
        }
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The kind of its devices, where the vendor gives one: `vfio-pci`, `vfio-ccw`, `vfio-ap`.
    pub fn device_api(&self) -> Option<&str> {
        self.attribute("device_api")
    }

    /// How many can still be created, and whether that is an upper bound. One place that offers the type is one device.
    pub fn capacity(&self) -> Option<(u32, bool)> {
        self.available_instances.map(|count| (count, self.counts_places && count > 1))
    }

    /// Whether `text` is the id or the name. `_` may stand for a space of the name, as management software writes it.
    fn is_called(&self, text: &str) -> bool {
        self.id == text || self.name.as_deref().is_some_and(|name| name == text || name.replace(' ', "_") == text)
    }

    /// Whether `text` is a form that other tools print, in upper or lower case: the number of the id as `0x60e`, `1550` or
    /// `nvidia-1550`, or the name without the vendor's prefix (`A10-4Q`).
    fn is_also_called(&self, text: &str) -> bool {
        let same_number = number(&self.id).is_some_and(|id| number(text) == Some(id));
        let same_name = || self.name.as_deref().is_some_and(|name| short_name(name) == short_name(text));
        same_number || self.id.eq_ignore_ascii_case(text) || same_name()
    }
}

/// The number in `1550`, `0x60e` and `nvidia-1550`.
fn number(id: &str) -> Option<u32> {
    let id = id.to_ascii_lowercase();
    let id = id.strip_prefix("nvidia-").unwrap_or(&id);
    let (digits, radix) = id.strip_prefix("0x").map_or((id, 10), |digits| (digits, 16));
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

fn short_name(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', " ");
    let without =
        ["nvidia ", "grid "].iter().fold(name.as_str(), |name, brand| name.strip_prefix(brand).unwrap_or(name));
    without.trim().to_owned()
}

/// The result of [`find_type`].
#[derive(Debug)]
pub enum FoundType<'t> {
    /// This type.
    One(&'t Type),
    /// No type.
    Nothing,
    /// A short form that these types share.
    Several(Vec<&'t Type>),
}

/// The type that `text` means: the one with this id, else the one with this name, else the only one for which it is a form
/// that other tools print.
pub fn find_type<'t>(types: &'t [Type], text: &str) -> FoundType<'t> {
    let exact = types.iter().find(|kind| kind.id == text).or_else(|| types.iter().find(|kind| kind.is_called(text)));
    if let Some(kind) = exact {
        return FoundType::One(kind);
    }
    let also: Vec<&Type> = types.iter().filter(|kind| kind.is_also_called(text)).collect();
    match also[..] {
        [] => FoundType::Nothing,
        [one] => FoundType::One(one),
        _ => FoundType::Several(also),
    }
}

/// Numbers by value, before everything else by text.
pub fn compare_ids(a: &str, b: &str) -> Ordering {
    match (parse_count(a), parse_count(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// A count as drivers print it; `u32::MAX` for every larger count. `None` for -1 and fractions, which some drivers print in a
/// faulty state.
pub fn parse_count(text: &str) -> Option<u32> {
    let digits = text.trim_ascii();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits alone fail to parse only if the number is too large.
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// What the PCI core says about a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciFacts {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID; libvirt and the founding proposal call it product.
    pub product: u16,
    /// Class, subclass and programming interface in 24 bits.
    pub class: u32,
}

/// A VF of a parent whose devices are VFs, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vf {
    /// Its name below the PF: `virtfn3`.
    pub entry: String,
    /// Its sysfs name: `0000:41:00.7`.
    pub sysname: String,
    /// The type that it has been given; `None` while it is free.
    pub type_id: Option<String>,
}

/// A device that can create mediated devices, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Node name: `pci_0000_86_00_0`.
    pub name: String,
    /// Last component of the sysfs path: `0000:86:00.0`.
    pub sysname: String,
    /// `/sys/devices/...`
    pub syspath: String,
    /// `pci`, `css`, `matrix`, `mtty`, ...
    pub subsystem: String,
    /// The generation of the interface that it speaks.
    pub layout: LayoutKind,
    /// The bound driver.
    pub driver: Option<String>,
    /// NUMA node, where the platform has them.
    pub numa_node: Option<i32>,
    /// IOMMU group of the parent itself.
    pub iommu_group: Option<u32>,
    /// Node name of the physical function, when this is a VF.
    pub physical_function: Option<String>,
    /// For PCI parents.
    pub pci: Option<PciFacts>,
    /// The types, in the order of their ids (numbers by value, the rest by text).
    pub types: Vec<Type>,
    /// The VFs that take part, where devices are VFs.
    pub vfs: Vec<Vf>,
}

/// What only a dump needs to know of a parent, and what is therefore read only for a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParentDetails {
    /// Node name of the device above it; `computer` at the root.
    pub parent: String,
    /// From pci.ids.
    pub vendor_name: Option<String>,
    /// From pci.ids.
    pub product_name: Option<String>,
    /// The physical function of a VF.
    pub physical_function: Option<PciAddress>,
    /// The virtual functions of a PF, enabled now.
    pub virtual_functions: Vec<PciAddress>,
    /// `sriov_totalvfs`, where there is one.
    pub max_virtual_functions: Option<u32>,
    /// The members of the parent's IOMMU group.
    pub iommu_group_members: Vec<PciAddress>,
    /// What `dev_busid` of a subchannel says: the device behind it (`0.0.1234`), or `none`.
    pub channel_device: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(all: &[(&str, &str)]) -> Vec<Type> {
        let one = |(id, name): &(&str, &str)| Type {
            id: (*id).to_owned(),
            name: Some((*name).to_owned()),
            ..Type::default()
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn ids_of_types_sort_numbers_by_value() {
        let mut ids = ["i915-GVTg_V5_4", "12", "11", "9", "100", "i915-GVTg_V5_1"];
        ids.sort_unstable_by(|a, b| compare_ids(a, b));
        assert_eq!(ids, ["9", "11", "12", "100", "i915-GVTg_V5_1", "i915-GVTg_V5_4"]);
    }

    #[test]
    fn count_with_other_characters_is_not_parsed() {
        assert_eq!(parse_count("16\n"), Some(16));
        for large in ["4294967296", "99999999999999999999999"] {
            assert_eq!(parse_count(large), Some(u32::MAX), "{large}");
        }
        for bad in ["", "-1", "+1", "1.5", "0x10", "16 of 32"] {
            assert_eq!(parse_count(bad), None, "{bad}");
        }
    }

    #[test]
    fn type_is_found_by_every_form_in_use() {
        let all =
            types(&[("1550", "NVIDIA A10-4Q"), ("nvidia-63", "GRID P4-1Q"), ("60e", "Other 8"), ("8", "NVIDIA A/B-1")]);
        for (text, id) in [
            ("1550", "1550"),
            ("0x60e", "1550"),
            ("0X60E", "1550"),
            ("nvidia-1550", "1550"),
            ("NVIDIA A10-4Q", "1550"),
            ("nvidia_a10-4q", "1550"),
            ("A10-4Q", "1550"),
            ("a10-4q", "1550"),
            ("63", "nvidia-63"),
            ("NVIDIA-63", "nvidia-63"),
            ("p4-1q", "nvidia-63"),
            ("60e", "60e"),
            ("NVIDIA A/B-1", "8"),
        ] {
            assert!(matches!(find_type(&all, text), FoundType::One(kind) if kind.id == id), "{text}");
        }
        for text in ["", "0x", "nvidia-", "155", "A10", "0x1550", "4294967296550"] {
            assert!(matches!(find_type(&all, text), FoundType::Nothing), "{text}");
        }
    }

    #[test]
    fn short_name_of_two_types_is_ambiguous() {
        let all = types(&[("1", "NVIDIA T4-1Q"), ("2", "GRID T4-1Q")]);
        assert!(matches!(find_type(&all, "T4-1Q"), FoundType::Several(both) if both.len() == 2));
        assert!(matches!(find_type(&all, "GRID T4-1Q"), FoundType::One(kind) if kind.id == "2"));
    }
}
