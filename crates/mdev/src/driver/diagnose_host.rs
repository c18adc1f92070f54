// SPDX-License-Identifier: LGPL-2.1-or-later
//! The checks of a diagnosis that are about the host, not about one device.

use std::collections::BTreeSet;

use super::{Conn, ListFlags};
use crate::backend::Folders;
use crate::backend::devices::device_of_record;
use crate::error::{ErrorCode, Result};
use crate::finding::{Finding, collect, counted};
use crate::store::RecordedDevice;
use crate::sysfs::{Dir, Sysfs, names, read_text};

/// The IOMMU groups.
const GROUPS: &str = "/sys/kernel/iommu_groups";

/// The link that enables the unit for autostart.
const UNIT: (&str, &str) = ("/etc/systemd/system/multi-user.target.wants", "libmdev-autostart.service");

/// The file that enables autostart without systemd.
const SWITCH: (&str, &str) = ("/etc/libmdev", "autostart");

/// Folders in which mdevctl's udev rule can be installed.
const RULES: [&str; 3] = ["/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];

/// mdevctl's udev rule.
const MDEVCTL_RULE: &str = "60-mdevctl.rules";

/// Checks the host: IOMMU, VFIO, privileges, definitions, records and autostart.
pub(super) fn check_host(conn: &Conn) -> Result<Vec<Finding>> {
    let sysfs = &*conn.host.sysfs;
    let mut found = Vec::new();
    // A simulated host has no modules, nodes and units to check.
    if sysfs.kernel().is_some() {
        found.extend([check_iommu(sysfs), check_vfio(sysfs), check_user()]);
    }
    let everything = ListFlags::PARENTS | ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE;
    found.extend(conn.list_problems()?);
    found.extend(stale_records(conn)?);
    let (nodes, _) = collect(|| conn.list(everything));
    let autostart = nodes?.iter().filter(|node| !node.is_parent() && node.autostart().unwrap_or(false)).count();
    if sysfs.kernel().is_some() {
        found.extend(check_autostart(sysfs, autostart));
        found.extend(check_mdevctl_rule(sysfs));
    }
    Ok(found)
}

fn exists(sysfs: &dyn Sysfs, (folder, name): (&str, &str)) -> bool {
    sysfs.open(folder).is_ok_and(|dir| dir.meta(name).is_ok())
}

fn check_iommu(sysfs: &dyn Sysfs) -> Finding {
    let mut groups = BTreeSet::new();
    let listed = sysfs.open(GROUPS).and_then(|dir| names(&*dir, &mut groups));
    if listed.is_ok() && groups.iter().any(|name| name.parse::<u32>().is_ok()) {
        return Finding::note("IOMMU", format_args!("on, {}", counted(groups.len(), "group")));
    }
    Finding::new(ErrorCode::NotSupported, "IOMMU", "off: there are no IOMMU groups, so no guest can use a PCI device")
        .serious()
        .next("enable VT-d or AMD-Vi in the firmware, add intel_iommu=on (Intel) to the kernel's command line, and reboot")
}

fn check_vfio(sysfs: &dyn Sysfs) -> Finding {
    let node = ("/dev/vfio", "vfio");
    let problem = |what: &str, next: &str| Finding::new(ErrorCode::NotReady, "VFIO", what).serious().next(next);
    if !exists(sysfs, ("/sys/module", "vfio")) {
        return problem(
            "the kernel module vfio is not loaded",
            "modprobe vfio-pci; for mediated devices also modprobe mdev",
        );
    }
    if !exists(sysfs, node) && !exists(sysfs, ("/dev", "iommu")) {
        return problem(
            "/dev/vfio/vfio and /dev/iommu do not exist",
            "modprobe vfio_iommu_type1 (groups) or iommufd; in a container, bind-mount /dev/vfio",
        );
    }
    let mode = sysfs.open(node.0).and_then(|dir| dir.meta(node.1)).map_or(0, |meta| meta.mode);
    let who = if mode & 0o002 != 0 { "every user" } else { "root and the owner of a group" };
    Finding::note("VFIO", format_args!("the module is loaded; {who} can open /dev/vfio/vfio"))
}

fn check_user() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::note("user", "root: devices can be created and destroyed");
    }
    let what = "not root: devices can be listed, and not created or destroyed";
    Finding::new(ErrorCode::AccessDenied, "user", what).next("run the command as root, for example with sudo")
}

/// Returns a finding if there are records of devices that no longer exist.
fn stale_records(conn: &Conn) -> Result<Option<Finding>> {
    let host = &conn.host;
    let folders = Folders::new(&*host.sysfs);
    let mut stale = BTreeSet::new();
    for record in host.runtime.all()?.into_values() {
        if matches!(device_of_record(&folders, &record), Ok(RecordedDevice::Absent)) && !record.may_still_appear() {
            stale.insert(record.uuid.to_string());
        }
    }
    let Some(first) = stale.first() else { return Ok(None) };
    let what = format!("{} of devices that no longer exist, such as {first}", counted(stale.len(), "record"));
    let next = "no action is needed: the next create removes them";
    Ok(Some(Finding::new(ErrorCode::Store, crate::store::RECORDS, what).next(next)))
}

fn check_autostart(sysfs: &dyn Sysfs, defined: usize) -> Option<Finding> {
    let is_enabled = exists(sysfs, UNIT) || exists(sysfs, SWITCH);
    match (defined, is_enabled) {
        (0, _) => None,
        (_, true) => Some(Finding::note("autostart", format_args!("enabled, {}", counted(defined, "definition")))),
        (_, false) => {
            let what = format!("nothing starts at boot, and autostart is on for {}", counted(defined, "definition"));
            let next =
                "systemctl enable --now libmdev-autostart.service; without systemd: touch /etc/libmdev/autostart";
            Some(Finding::new(ErrorCode::WrongState, "autostart", what).next(next))
        }
    }
}

/// Returns a finding if mdevctl's udev rule is installed and the program that it runs is not.
fn check_mdevctl_rule(sysfs: &dyn Sysfs) -> Option<Finding> {
    let (folder, dir): (&str, Box<dyn Dir>) = RULES
        .iter()
        .filter_map(|folder| Some((*folder, sysfs.open(folder).ok()?)))
        .find(|(_, dir)| dir.meta(MDEVCTL_RULE).is_ok())?;
    let text = read_text(&*dir, MDEVCTL_RULE).ok()?;
    let program =
        text.split(['"', ' ', '\'']).find(|word| word.starts_with('/') && word.ends_with("mdevctl"))?.to_owned();
    let (parent, name) = program.rsplit_once('/')?;
    if exists(sysfs, (parent, name)) {
        return None;
    }
    let what = format!("it runs {program}, which does not exist: mdevctl starts nothing at boot");
    let next = "systemctl enable --now libmdev-autostart.service: libmdev then starts the same definitions";
    Some(Finding::new(ErrorCode::NotReady, format!("{folder}/{MDEVCTL_RULE}"), what).next(next))
}
