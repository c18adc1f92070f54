// SPDX-License-Identifier: LGPL-2.1-or-later
//! The `<hostdev>` element that attaches a device to a libvirt domain.

use super::writer::Writer;
use crate::model::{Attach, Device};

/// The element: with the UUID of a device on the mdev bus, or with the address of a device that is a PCI function.
pub fn hostdev(d: &Device) -> String {
    let mut w = Writer::default();
    if let Attach::Pci(address) = d.attach {
        // managed='no': rebinding the function to vfio-pci, as libvirt would do for 'yes', undoes the work of the vendor's driver.
        w.open("hostdev", &[("mode", &"subsystem"), ("type", &"pci"), ("managed", &"no")]);
        w.open("source", &[]);
        if let Some(address) = address {
            w.address(&address);
        }
    } else {
        w.open("hostdev", &[("mode", &"subsystem"), ("type", &"mdev"), ("model", &model(d))]);
        w.open("source", &[]);
        w.empty("address", &[("uuid", &d.uuid.hyphenated())]);
    }
    w.finish()
}

/// The device API. The older layouts have no `device_api`; their devices are `vfio-pci`, except for the two kinds of s390.
fn model(d: &Device) -> &str {
    match &d.device_api {
        Some(api) => api,
        None if d.parent == "ap_matrix" => "vfio-ap",
        None if d.parent.starts_with("css_") => "vfio-ccw",
        None => "vfio-pci",
    }
}
