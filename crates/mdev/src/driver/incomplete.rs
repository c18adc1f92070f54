// SPDX-License-Identifier: LGPL-2.1-or-later
//! Incomplete groups: their creators were killed before every device was usable, or could not remove the devices again.

use std::collections::HashMap;

use rustix::io::Errno;
use uuid::Uuid;

use super::open_device::OpenDevice;
use super::{Conn, DestroyFlags, Host, callouts, check_owner_name, devices};
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, first_failed, observe, report, report_unless_exhausted};
use crate::store::DeviceRecord;

impl Conn {
    /// Destroys the devices of the incomplete groups of `owner`, or of all, and returns their number. A group that a process
    /// creates now does not count as incomplete. If a device cannot be destroyed, destroys the others and then fails.
    pub fn destroy_incomplete(&self, owner: Option<&str>, flags: DestroyFlags) -> Result<usize> {
        if flags.contains(DestroyFlags::OWNED) {
            let message = "MDEV_DESTROY_OWNED does not apply to incomplete groups; give the owner instead";
            return Err(Error::new(ErrorCode::InvalidFlags, Errno::INVAL, message));
        }
        check_owner_name(owner)?;
        let (removed, left) = remove(&self.host, owner, flags)?;
        let Some(first) = left.first() else { return Ok(removed) };
        let why: Vec<&str> = left.iter().map(|e| e.message.as_str()).collect();
        let message = format!("{} of the incomplete groups cannot be removed: {}", left.len(), why.join("; "));
        Err(Error { message, ..first.clone() })
    }
}

/// One incomplete group.
struct Group {
    owner: Option<String>,
    /// The members that exist. `Err`: cannot determine whether the member exists.
    members: Vec<(Uuid, Result<OpenDevice>)>,
    /// True if a device of the killed creator may still appear.
    may_grow: bool,
}

impl Group {
    fn read(host: &Host, id: Uuid, records: &HashMap<Uuid, DeviceRecord>) -> Group {
        let mut group = Group { owner: None, members: Vec::new(), may_grow: false };
        for record in records.values().filter(|record| record.batch == Some(id)) {
            group.owner = group.owner.or_else(|| record.owner.clone());
            match find_member(host, record) {
                Ok(Some(device)) => group.members.push((record.uuid, Ok(device))),
                Ok(None) => group.may_grow |= record.may_still_appear(),
                Err(e) => group.members.push((record.uuid, Err(e.of(&format!("device {}", record.uuid))))),
            }
        }
        group.members.sort_unstable_by_key(|(uuid, _)| *uuid);
        group
    }
}

/// The device of a record, if it exists. Fails if it may be the device of another program.
fn find_member(host: &Host, record: &DeviceRecord) -> Result<Option<OpenDevice>> {
    let Some(found) = devices::locate_near(host, &record.uuid, &record.parent)? else { return Ok(None) };
    let opened = OpenDevice::open(host, found)?;
    let is_about = opened.device.backend.is_about(&*host.sysfs, opened.parent.layout, &opened.device, record)?;
    Ok(is_about.then_some(opened))
}

/// Destroys the devices of the incomplete groups of `owner`, or of all. Returns the number of destroyed devices, and the errors
/// of those that cannot be destroyed.
pub(super) fn remove(host: &Host, owner: Option<&str>, flags: DestroyFlags) -> Result<(usize, Vec<Error>)> {
    let (mut removed, mut left) = (0, Vec::new());
    for id in host.runtime.incomplete()? {
        // Locked until the group is removed, so that only one process removes it.
        let claimed = match host.runtime.claim(&id) {
            Ok(Some(claimed)) => claimed,
            Ok(None) => continue,
            Err(e) => {
                left.push(e);
                continue;
            }
        };
        let (records, left_out) = observe(|| host.runtime.all());
        // A record that cannot be read may be the record of a member.
        let unread = first_failed(left_out);
        let group = Group::read(host, id, &records?);
        let is_empty = group.members.is_empty() && !group.may_grow && unread.is_none();
        if !is_empty && owner.is_some_and(|owner| group.owner.as_deref() != Some(owner)) {
            continue;
        }
        let before = left.len();
        left.extend(unread);
        for (_, member) in group.members {
            match member.and_then(|device| callouts::destroy(host, &device, flags)) {
                Ok(()) => removed += 1,
                Err(e) if e.code == ErrorCode::NoNode => {}
                Err(e) => left.push(e),
            }
        }
        if left.len() == before && !group.may_grow {
            claimed.finish().unwrap_or_else(|e| left.push(e));
        }
    }
    Ok((removed, left))
}

/// Reports each incomplete group that has devices.
pub(super) fn report_all(host: &Host) -> Result<()> {
    let ids = match host.runtime.incomplete() {
        Ok(ids) => ids,
        Err(e) => return report_unless_exhausted(e),
    };
    if ids.is_empty() {
        return Ok(());
    }
    let records = host.runtime.all()?;
    for id in ids {
        let group = Group::read(host, id, &records);
        if group.members.is_empty() {
            continue;
        }
        let uuids: Vec<String> = group.members.iter().map(|(uuid, _)| uuid.to_string()).collect();
        let owner = group.owner.map_or_else(|| "no owner".to_owned(), |owner| format!("the owner '{owner}'"));
        let what = format!(
            "a group of {owner} is incomplete, since its creator was killed or could not remove its devices; left are {}",
            uuids.join(", ")
        );
        let finding = Finding::new(ErrorCode::NotReady, host.runtime.batch_path(&id), what).serious();
        report(finding.next("remove them with mdev_conn_destroy_incomplete() or 'nodedev destroy --incomplete'"));
    }
    Ok(())
}
