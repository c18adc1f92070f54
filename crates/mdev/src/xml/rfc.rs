// SPDX-License-Identifier: LGPL-2.1-or-later
//! The dialect of the founding proposal, element for element and in its order.
//!
//! What the proposal does not have comes after what it has: a device also shows its `<uuid>`, its IOMMU group, its owner and
//! the attributes that were written at create. Feeding a device's dump to `parse_device` asks for the same device again.
//!
//! Parents that are not on PCI have the same nested `mdev` capability inside a capability of their own kind: `css` with
//! `<cssid>`, `<ssid>` and `<devno>` in hexadecimal as on s390, `ap_matrix`, or the name of the bus.

use super::kind::ParentKind;
use super::writer::{Writer, id16};
use crate::model::name::sanitize;
use crate::model::{Attach, Device, NO_PARENT, Parent, ParentDetails, PciFacts};

/// A parent with all its types.
pub fn parent_rfc(p: &Parent, d: &ParentDetails) -> String {
    let mut w = Writer::default();
    w.open("device", &[]);
    w.leaf("name", &[], &p.name);
    match ParentKind::of(p) {
        ParentKind::Pci(facts) => pci(&mut w, p, d, &facts),
        ParentKind::Css(subchannel) => {
            w.open("capability", &[("type", &"css")]);
            subchannel.write(&mut w);
            types(&mut w, p);
        }
        ParentKind::ApMatrix => {
            w.open("capability", &[("type", &"ap_matrix")]);
            types(&mut w, p);
        }
        ParentKind::Other => {
            w.open("capability", &[("type", &sanitize(&p.subsystem))]);
            types(&mut w, p);
        }
    }
    w.finish()
}

fn pci(w: &mut Writer, p: &Parent, d: &ParentDetails, facts: &PciFacts) {
    w.open("capability", &[("type", &"pci")]);
    w.pci_place(&facts.address);
    types(w, p);
    w.leaf_or_empty("product", &[("id", &id16(facts.product))], d.product_name.as_deref());
    w.leaf_or_empty("vendor", &[("id", &id16(facts.vendor))], d.vendor_name.as_deref());
}

fn types(w: &mut Writer, p: &Parent) {
    w.open("capability", &[("type", &"mdev")]);
    for t in &p.types {
        w.open("type", &[("id", &t.id())]);
        if let Some(name) = t.name() {
            w.leaf("name", &[], name);
        }
        for (name, value) in t.attributes() {
            w.leaf("attribute", &[("name", &name)], value);
        }
        w.close();
    }
    w.close();
}

/// A device.
pub fn device_rfc(d: &Device) -> String {
    let mut w = Writer::default();
    w.open("device", &[]);
    w.leaf("name", &[], &d.name);
    if d.active && d.attach != Attach::Mdev {
        // There is no other word for which VF it is.
        w.leaf("path", &[], &d.syspath);
    }
    // So that what is printed of a definition defines it again, also while its parent is not there.
    w.leaf("parent", &[], if d.parent == NO_PARENT { &d.parent_sysname } else { &d.parent });
    w.open("capability", &[("type", &"mdev")]);
    if let Some(id) = &d.type_id {
        w.empty("type", &[("id", id)]);
    }
    if let Some(group) = d.group {
        w.leaf("group", &[], group);
    }
    if let Some(params) = &d.params {
        w.leaf("params", &[], guarded(params));
    }
    w.leaf("uuid", &[], d.uuid.hyphenated());
    if let Some(number) = d.iommu_group {
        w.empty("iommuGroup", &[("number", &number)]);
    }
    if let Some(owner) = &d.owner {
        w.leaf("owner", &[], owner);
    }
    for (name, value) in &d.attributes {
        w.empty("attr", &[("name", name), ("value", value)]);
    }
    w.finish()
}

/// Parameters are printed without quotes, unless they are in quotes themselves: then a pair is put around them, for the
/// parser to take off again.
fn guarded(params: &str) -> String {
    if super::definition::without_quotes(params) == params { params.to_owned() } else { format!("'{params}'") }
}
