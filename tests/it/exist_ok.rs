// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates of a UUID that exists already: what is compared before the device is waited for.

use mdev::test_hooks::sim::{LogEntry, Op, SimHost, default_host};
use mdev::test_hooks::sysfs::Errno;
use mdev::{CreateFlags, DefineFlags, ErrorCode, StartFlags};

use crate::support::hosts::{ACCEL, I915, M60, create as write_create, link};
use crate::support::lab::{Lab, UUID, request, with_uuid};

/// Parents of each layout with an mdev bus, with two types of each.
const PARENTS: [(&str, &str, &str); 3] =
    [(M60, "12", "13"), (ACCEL, "queue-1", "queue-2"), (I915, "i915-GVTg_V5_4", "i915-GVTg_V5_8")];

/// Whether a request has waited for the kernel.
fn has_waited(sim: &SimHost) -> bool {
    sim.take_log().iter().any(|entry: &LogEntry| entry.op == Op::Watch)
}

/// The create fails because the UUID exists, without a wait and without a write.
fn refused_at_once(lab: &Lab, parent: &str, type_id: &str) {
    let text = request(parent, type_id, &with_uuid(""));
    lab.sim.start_log();
    let e = lab.conn.create_xml(text.as_bytes(), CreateFlags::EXIST_OK).map(drop).unwrap_err();
    assert_eq!(e.code, ErrorCode::Exists, "{parent}: {e}");
    let log = lab.sim.take_log();
    let other = log.iter().find(|entry| matches!(entry.op, Op::Watch | Op::Write));
    assert_eq!(other, None, "{parent}: {e}");
}

#[test]
fn create_over_device_of_another_type_that_is_not_ready_fails_at_once() {
    let lab = Lab::new();
    write_create(&lab.sim, I915, "i915-GVTg_V5_4", UUID).unwrap();
    lab.driver(|_, _, path| (path.contains("iommu_group") || path.contains("vfio-dev")).then_some(Errno::NOENT));
    refused_at_once(&lab, I915, "i915-GVTg_V5_8");
}

fn dangling(parent: &str) -> Lab {
    let mut entries = default_host().entries();
    let target = parent.trim_start_matches("/sys/");
    entries.push(link(&format!("/sys/bus/mdev/devices/{UUID}"), &format!("../../../{target}/{UUID}")));
    Lab::on(SimHost::new(entries).unwrap())
}

#[test]
fn create_over_link_that_leads_nowhere_fails_at_once() {
    for (parent, type_id, _) in PARENTS {
        refused_at_once(&dangling(parent), parent, type_id);
        // The same on another parent.
        refused_at_once(&dangling("/sys/devices/virtual/none"), parent, type_id);
    }
}

#[test]
fn definition_whose_link_leads_nowhere_is_not_running() {
    for (parent, type_id, _) in PARENTS {
        let lab = dangling(parent);
        let text = request(parent, type_id, &with_uuid(""));
        let node = lab.conn.define_xml(text.as_bytes(), DefineFlags::AUTOSTART).unwrap();
        lab.sim.start_log();
        let e = node.start(StartFlags::empty()).unwrap_err();
        assert_eq!(e.code, ErrorCode::Exists, "{parent}: {e}");
        let e = lab.conn.autostart(None, StartFlags::empty()).unwrap_err();
        assert_eq!(e.code, ErrorCode::Exists, "{parent}: {e}");
        assert!(!has_waited(&lab.sim), "{parent}");
    }
}
