// SPDX-License-Identifier: LGPL-2.1-or-later
//! Devices of one kind work although files or devices of another kind are faulty.

use std::sync::atomic::{AtomicUsize, Ordering};

use mdev::ErrorCode;
use mdev::test_hooks::sim::{Op, SimEntry};
use mdev::test_hooks::sysfs::Errno;
use mdev::{DefineFlags, ListFlags, StartFlags};

use crate::support::hosts::{M60, uuid};
use crate::support::lab::{Lab, UUID};

const VF: &str = "0000:41:00.5";

fn vgpu(lab: &Lab) -> mdev::Node {
    lab.create(VF, "1441", &format!("<uuid>{UUID}</uuid>")).unwrap()
}

#[test]
fn destroy_on_proposal_parent_without_types_removes_device() {
    let lab = Lab::new();
    lab.create("0000:86:00.0", "11", &format!("<uuid>{UUID}</uuid>")).unwrap();
    lab.sim.unplug(&format!("{M60}/mdev_supported_types")).unwrap();
    assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap().layout(), "rfc");
    lab.destroy(UUID).unwrap();
    assert_eq!(lab.conn.lookup_by_uuid(UUID).unwrap_err().code, ErrorCode::NoNode);
}

#[test]
fn destroy_on_vf_that_cannot_be_read_afterwards_succeeds() {
    let lab = Lab::new();
    vgpu(&lab);
    let cleared = AtomicUsize::new(0);
    lab.driver(move |_, op, path| {
        if !path.ends_with("/current_vgpu_type") {
            return None;
        }
        match op {
            Op::Write => cleared.store(1, Ordering::Relaxed),
            // The driver's answer is read only once.
            Op::Read if cleared.load(Ordering::Relaxed) > 0 => {
                return (cleared.fetch_add(1, Ordering::Relaxed) > 1).then_some(Errno::IO);
            }
            _ => {}
        }
        None
    });
    lab.destroy(UUID).unwrap();
}

#[test]
fn attribute_of_vf_is_read_and_written_while_another_vf_is_unreadable() {
    let lab = Lab::new();
    let device = vgpu(&lab);
    lab.unreadable(&["/virtfn0"]);
    device.attr("current_vgpu_type").unwrap();
    device.set_attr("vgpu_params", "frame_rate_limiter=1").unwrap();
}

#[test]
fn create_on_bus_does_not_need_pci_devices() {
    let lab = Lab::new();
    lab.sim.swallow_next_create();
    lab.unreadable(&["/sys/bus/pci/devices"]);
    let e = lab.create("matrix", "vfio_ap-passthrough", &format!("<uuid>{UUID}</uuid>")).unwrap_err();
    assert_eq!(e.code, ErrorCode::NotReady, "{e}");
}

/// The parent of the proposal's layout, as a VF.
#[test]
fn device_of_a_parent_that_is_a_vf_has_its_pf_defined_and_running() {
    let lab = Lab::new();
    lab.sim.plug([SimEntry::Link { path: format!("{M60}/physfn"), target: "../0000:85:00.0".to_owned() }]).unwrap();
    let text = format!(
        "<device><parent>0000:86:00.0</parent><capability type='mdev'><type id='11'/><uuid>{UUID}</uuid></capability></device>"
    );
    let device = lab.conn.define_xml(text.as_bytes(), DefineFlags::empty()).unwrap();
    let pf = Ok("pci_0000_85_00_0");
    assert_eq!((device.is_active(), device.physical_function()), (false, pf.clone()));
    device.start(StartFlags::empty()).unwrap();
    let device = lab.conn.lookup_by_uuid(UUID).unwrap();
    assert_eq!((device.is_active(), device.physical_function()), (true, pf));
}

#[test]
fn list_contains_objects_that_kernel_skips_after_a_removal() {
    let lab = Lab::new();
    // In the order in which the bus returns them.
    let uuids = [1, 2, 3, 4].map(uuid);
    for uuid in &uuids {
        lab.create("0000:86:00.0", "11", &format!("<uuid>{uuid}</uuid>")).unwrap();
    }
    let sysnames = |flags| -> Vec<String> {
        let listed = lab.conn.list(flags).unwrap();
        listed.iter().map(|node| node.syspath().rsplit_once('/').unwrap().1.to_owned()).collect()
    };
    let parents = ["0000:00:02.0", "0000:86:00.0"];
    for (flags, removed) in [(ListFlags::DEVICES, [&*uuids[0], &uuids[2]]), (ListFlags::PARENTS, parents)] {
        let before = sysnames(flags);
        for gone in removed {
            lab.sim.remove_while_listed(gone);
        }
        let mut left = before.clone();
        left.retain(|name| !removed.contains(&name.as_str()));
        assert_eq!((sysnames(flags), before.len()), (left.clone(), left.len() + 2));
    }
}
