// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parents and devices as libvirt's own node-device driver prints them, to the letter where the two can agree.
//!
//! Decisions where libvirt's schema asks for what a host may not have:
//!
//! * A type without `device_api` on a layout of the mdev bus (`mdev`), or with one that the schema does not know, is left out:
//!   nothing true could be printed. The RFC dialect shows it.
//! * The layouts `rfc`, `general` and `vendor-vfio` have no such file by design. Their devices are given to QEMU as `vfio-pci`
//!   (on a subchannel `vfio-ccw`, on the AP matrix `vfio-ap`), so that is what is printed.
//! * `<availableInstances>` is required: a type whose number is not known is left out as well.
//! * With no type left the `mdev_types` capability is left out, as libvirt does.
//! * A device whose type is not known has no `<type>`; libvirt would not show the device at all.
//! * An inactive device has IOMMU group 0, as libvirt prints it. An active one without a group has no `<iommuGroup>`, since 0 is
//!   the number of a real group.
//! * `<iommuGroup>` of a PCI parent needs a member: it is left out where the members are not known.
//! * Unlike libvirt 9, attribute values are escaped, and parents other than pci, css, ap_matrix and mtty are shown. Their types
//!   are in a `mdev_types` capability inside another one, as libvirt prints it for mtty and OpenStack Nova reads it. The outer
//!   capability is printed without types, too. Libvirt's own schema allows neither.

use super::kind::{ParentKind, Subchannel};
use super::writer::{Writer, id16};
use crate::model::{Device, LayoutKind, Parent, ParentDetails, PciFacts, Type};

/// What the schema allows in `<deviceAPI>`.
const KNOWN_APIS: [&str; 3] = ["vfio-pci", "vfio-ccw", "vfio-ap"];

/// A parent with those of its types that libvirt's schema can express.
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

/// A type with what the schema requires of it; `None` where that is not known.
fn whole_type<'a>(p: &Parent, t: &'a Type, kind: ParentKind) -> Option<(&'a Type, &'a str, u32)> {
    Some((t, device_api(p, t, kind)?, t.available_instances?))
}

/// What to print as `<deviceAPI>`; `None` where there is nothing true that the schema allows.
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
