// SPDX-License-Identifier: LGPL-2.1-or-later
//! The dialect of the founding proposal, with the proposal's elements in the proposal's order.
//!
//! Elements that the proposal does not have follow after those: the `<uuid>` of a device, its IOMMU group, its owner and the
//! attributes that were written at its creation. `parse_device` reads the dump of a device as a request for the same device.
//!
//! A parent that is not on PCI has the same nested `mdev` capability, inside another capability: `css` with `<cssid>`, `<ssid>` and
//! `<devno>` in hexadecimal as on s390, `ap_matrix`, or the name of the bus.

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
        // Only the path identifies the VF.
        w.leaf("path", &[], &d.syspath);
    }
    // The dump of a definition must define the same device again, also while its parent does not exist.
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

/// Parameters are printed without quotes. Parameters that have enclosing quotes get a second pair, which the parser removes.
fn guarded(params: &str) -> String {
    if super::definition::without_quotes(params) == params { params.to_owned() } else { format!("'{params}'") }
}
