// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parents and devices as libvirt's node-device driver prints them: byte for byte, except for these cases, in which libvirt's
//! schema requires data that a host may not have:
//!
//! * On the layout `mdev`, a type is left out if it has no `device_api`, or one that the schema does not allow: no correct value
//!   could be printed. The RFC dialect contains such a type.
//! * The layouts `rfc`, `general` and `vendor-vfio` have no file `device_api`. QEMU gets their devices as `vfio-pci` (on a
//!   subchannel `vfio-ccw`, on the AP matrix `vfio-ap`), so this value is printed.
//! * `<availableInstances>` is required, so a type whose number is unknown is left out, too.
//! * A parent without any type has no `mdev_types` capability, as in libvirt.
//! * A device whose type is unknown has no `<type>`. libvirt does not show such a device at all.
//! * An inactive device has IOMMU group 0, as in libvirt. An active device without a group has no `<iommuGroup>`, since 0 is the
//!   number of a real group.
//! * The `<iommuGroup>` of a PCI parent needs a member, so it is left out if the members are unknown.
//! * Unlike libvirt 9, attribute values are escaped, and parents other than pci, css, ap_matrix and mtty are shown. Their types
//!   are in an `mdev_types` capability inside another capability, as libvirt prints them for mtty and as OpenStack Nova reads them.
//!   The outer capability is printed without types, too. libvirt's schema allows neither.

use super::kind::{ParentKind, Subchannel};
use super::writer::{Writer, id16};
use crate::model::{Device, LayoutKind, Parent, ParentDetails, PciFacts, Type};

/// The values of `<deviceAPI>` that the schema allows.
const KNOWN_APIS: [&str; 3] = ["vfio-pci", "vfio-ccw", "vfio-ap"];

/// A parent with the types that libvirt's schema can express.
pub fn parent_libvirt(p: &Parent, d: &ParentDetails) -> String {
    let kind = ParentKind::of(p);
    let mut w = Writer::default();
    w.open("device", &[]);
    w.leaf("name", &[], &p.name);
    w.leaf("path", &[], &p.syspath);
    if !d.parent.is_empty() {
        w.leaf("parent", &[], &d.parent);
    }
    driver(&mut w, p.driver.as_deref());
    match kind {
        ParentKind::Pci(facts) => pci(&mut w, p, d, &facts),
        ParentKind::Css(subchannel) => {
            w.open("capability", &[("type", &"css")]);
            subchannel.write(&mut w);
            if let Some(channel) = d.channel_device.as_deref().and_then(Subchannel::parse) {
                w.open("channel_dev_addr", &[]);
                channel.write(&mut w);
                w.close();
            }
            types(&mut w, p, kind);
        }
        ParentKind::ApMatrix => {
            w.open("capability", &[("type", &"ap_matrix")]);
            types(&mut w, p, kind);
        }
        ParentKind::Other => {
            w.open("capability", &[("type", &"mdev_types")]);
            types(&mut w, p, kind);
        }
    }
    w.finish()
}

fn driver(w: &mut Writer, name: Option<&str>) {
    if let Some(name) = name {
        w.open("driver", &[]);
        w.leaf("name", &[], name);
        w.close();
    }
}

fn pci(w: &mut Writer, p: &Parent, d: &ParentDetails, facts: &PciFacts) {
    w.open("capability", &[("type", &"pci")]);
    w.leaf("class", &[], format_args!("0x{:06x}", facts.class));
    w.pci_place(&facts.address);
    w.leaf_or_empty("product", &[("id", &id16(facts.product))], d.product_name.as_deref());
    w.leaf_or_empty("vendor", &[("id", &id16(facts.vendor))], d.vendor_name.as_deref());
    functions(w, d);
    types(w, p, ParentKind::Pci(*facts));
    if let Some(number) = p.iommu_group.filter(|_| !d.iommu_group_members.is_empty()) {
        w.open("iommuGroup", &[("number", &number)]);
        d.iommu_group_members.iter().for_each(|a| w.address(a));
        w.close();
    }
    if let Some(node) = p.numa_node.filter(|n| *n >= 0) {
        w.empty("numa", &[("node", &node)]);
    }
}

/// The SR-IOV capabilities.
fn functions(w: &mut Writer, d: &ParentDetails) {
    if let Some(physical) = &d.physical_function {
        w.open("capability", &[("type", &"phys_function")]);
        w.address(physical);
        w.close();
    }
    let most = d.max_virtual_functions.filter(|n| *n > 0);
    if d.virtual_functions.is_empty() {
        if let Some(most) = most {
            w.empty("capability", &[("type", &"virt_functions"), ("maxCount", &most)]);
        }
        return;
    }
    match most {
        Some(most) => w.open("capability", &[("type", &"virt_functions"), ("maxCount", &most)]),
        None => w.open("capability", &[("type", &"virt_functions")]),
    }
    d.virtual_functions.iter().for_each(|a| w.address(a));
    w.close();
}

fn types(w: &mut Writer, p: &Parent, kind: ParentKind) {
    let whole = |t| whole_type(p, t, kind);
    let shown: Vec<(&Type, &str, u32)> = p.types.iter().filter_map(whole).collect();
    if shown.is_empty() {
        return;
    }
    w.open("capability", &[("type", &"mdev_types")]);
    for (t, api, available) in shown {
        w.open("type", &[("id", &t.id())]);
        if let Some(name) = t.name() {
            w.leaf("name", &[], name);
        }
        w.leaf("deviceAPI", &[], api);
        w.leaf("availableInstances", &[], available);
        w.close();
    }
    w.close();
}

/// A type with the data that the schema requires; `None` if some of it is unknown.
fn whole_type<'a>(p: &Parent, t: &'a Type, kind: ParentKind) -> Option<(&'a Type, &'a str, u32)> {
    Some((t, device_api(p, t, kind)?, t.available_instances?))
}

/// The value of `<deviceAPI>`; `None` if the schema allows no correct value.
fn device_api<'a>(p: &Parent, t: &'a Type, kind: ParentKind) -> Option<&'a str> {
    match (t.device_api(), p.layout, kind) {
        (Some(api), _, _) => Some(api).filter(|a| KNOWN_APIS.contains(a)),
        (None, LayoutKind::MDEV, _) => None,
        (None, _, ParentKind::Css(_)) => Some("vfio-ccw"),
        (None, _, ParentKind::ApMatrix) => Some("vfio-ap"),
        (None, _, _) => Some("vfio-pci"),
    }
}

/// A device.
pub fn device_libvirt(d: &Device) -> String {
    let mut w = Writer::default();
    w.open("device", &[]);
    w.leaf("name", &[], &d.name);
    if d.active {
        w.leaf("path", &[], &d.syspath);
    }
    w.leaf("parent", &[], &d.parent);
    driver(&mut w, d.driver.as_deref().filter(|_| d.active));
    w.open("capability", &[("type", &"mdev")]);
    if let Some(id) = &d.type_id {
        w.empty("type", &[("id", id)]);
    }
    w.leaf("uuid", &[], d.uuid.hyphenated());
    w.leaf("parent_addr", &[], &d.parent_sysname);
    if let Some(number) = d.iommu_group.or(if d.active { None } else { Some(0) }) {
        w.empty("iommuGroup", &[("number", &number)]);
    }
    for (name, value) in &d.attributes {
        w.empty("attr", &[("name", name), ("value", value)]);
    }
    w.finish()
}
