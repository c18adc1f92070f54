// SPDX-License-Identifier: LGPL-2.1-or-later
//! The record of a device, and the checks of new records for conflicts.

use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorCode, Result};
use crate::model::group_numbers;
use crate::model::name::{is_attribute, is_plain_component};
use crate::time::nanoseconds;

/// The maximum length of a value: one page, minus the NUL that the kernel appends.
const VALUE_MAX: usize = 4095;

/// The record of one device. Some names in the file differ from the names of the fields, which are newer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// UUID of the device.
    pub uuid: Uuid,
    /// Sysfs name of its parent.
    pub parent: String,
    /// Id of its type.
    #[serde(rename = "type")]
    pub type_id: String,
    /// Name that the creator chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Parameters from the create request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// Owner of the connection that created the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Attributes that the create wrote, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Sysfs name of the VF; `None` for a device on the mdev bus, which the kernel finds by UUID.
    #[serde(rename = "function", default, skip_serializing_if = "Option::is_none")]
    pub vf: Option<String>,
    /// The identity of the device, which no other device of its UUID has. On the mdev bus: the inode number of
    /// `/sys/bus/mdev/devices/<uuid>`, unknown while the device is being created. On a VF: the time that the creator set.
    #[serde(rename = "mark", default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<u64>,
    /// Id of the group with which the device was created: [`Runtime::begin_batch`](super::Runtime::begin_batch). Used only while that
    /// group is incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Uuid>,
    /// True if the kernel may not show the type of the device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub type_hidden: bool,
    /// Set if the record has no identity and its creator no longer runs: the time in nanoseconds when the record was written, or when the
    /// write for the device began. It is unknown then whether the creator created the device. Another program may have created a device
    /// of this UUID.
    #[serde(skip)]
    pub abandoned: Option<u64>,
}

/// How long after the start of a creator's write the device may appear. No known driver blocks the write for longer. A killed creator
/// ends only after the write.
const APPEAR_TIMEOUT: Duration = Duration::from_secs(120);

impl DeviceRecord {
    /// Returns whether the record has data that sysfs does not show.
    pub fn worth_keeping(&self) -> bool {
        self.name.is_some()
            || self.group.is_some()
            || self.params.is_some()
            || self.owner.is_some()
            || !self.attributes.is_empty()
            || self.vf.is_some()
            || self.batch.is_some()
            || self.type_hidden
    }

    /// Returns every group number that the device may have: from the create request, and from its attributes.
    fn groups(&self) -> impl Iterator<Item = u32> {
        group_numbers(self.group, &self.attributes)
    }

    /// Returns the same if the device may still appear, else none.
    pub(super) fn groups_held(&self) -> Vec<u32> {
        if self.may_still_appear() { self.groups().collect() } else { Vec::new() }
    }

    /// True if the creator of the record was killed, and a device that appeared at this time may be its device.
    pub fn may_have_created(&self, appeared: u64) -> bool {
        let bound = |written: u64| written.saturating_add(u64::try_from(APPEAR_TIMEOUT.as_nanos()).unwrap_or(u64::MAX));
        self.abandoned.is_none_or(|written| appeared <= bound(written))
    }

    /// True if the creator of the record was killed, and a node that appeared at this time existed before its write for the device.
    pub fn began_after(&self, appeared: u64) -> bool {
        // File times lag by up to one tick of the kernel's clock; 1 s is more than that.
        self.abandoned.is_some_and(|began| appeared.saturating_add(1_000_000_000) < began)
    }

    /// True if the creator of the record was killed, and its device may still appear.
    pub fn may_still_appear(&self) -> bool {
        self.abandoned.is_some() && self.may_have_created(nanoseconds(SystemTime::now()))
    }

    /// Returns why the values are invalid; `None` if they are valid. The limits are those of a create request.
    pub(super) fn invalid_reason(&self) -> Option<&'static str> {
        let texts = [Some(&self.parent), Some(&self.type_id), self.name.as_ref(), self.vf.as_ref()];
        if !texts.into_iter().flatten().all(|text| text.is_empty() || is_plain_component(text)) {
            return Some("a name in it is longer than 255 bytes, or has a '/' or a control character");
        }
        if self.owner.as_ref().is_some_and(|owner| owner.len() > 255 || owner.chars().any(char::is_control)) {
            return Some("its owner is longer than 255 bytes or has a control character");
        }
        if self.params.as_ref().is_some_and(|params| params.len() > VALUE_MAX) {
            return Some("its parameters are longer than a sysfs file");
        }
        let is_valid = |(name, value): &(String, String)| {
            is_attribute(name) && !name.chars().any(char::is_control) && value.len() <= VALUE_MAX
        };
        (!self.attributes.iter().all(is_valid)).then_some("an attribute in it has no valid name or value")
    }

    /// Returns whether this is the record of the device with this identity, not of an earlier device of the same UUID.
    pub fn is_of(&self, identity: u64) -> bool {
        self.identity.is_none_or(|known| known == identity)
    }
}

/// The device that exists now with the UUID of a record, or on the VF of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedDevice {
    /// There is no device.
    Absent,
    /// The device of the record, with its identity now.
    Own(u64),
    /// Another device.
    Other,
}

/// Finds the device of a record. A device that cannot be read counts as existing.
pub type FindDevice<'a> = dyn Fn(&DeviceRecord) -> RecordedDevice + 'a;

/// Returns the group numbers in use by devices without records, and by definitions.
pub type GroupsInUse<'a> = dyn Fn() -> Result<Vec<u32>> + 'a;

/// A request for an unused group number for several devices.
#[derive(Clone, Copy)]
pub struct NewGroup<'a> {
    /// The devices; none: no group is needed.
    pub members: &'a [Uuid],
    /// Called under the lock of the store, if a group is needed. It must not read from a driver, which may block.
    pub in_use: &'a GroupsInUse<'a>,
}

impl<'a, const N: usize> From<&'a [Uuid; N]> for NewGroup<'a> {
    fn from(members: &'a [Uuid; N]) -> Self {
        NewGroup { members, in_use: &|| Ok(Vec::new()) }
    }
}

/// Fails if a UUID or a name is in use by one of `living`, the records of existing devices. Allocates the number of the new group.
pub(super) fn validate_and_allocate(
    records: &mut [DeviceRecord],
    new_group: NewGroup<'_>,
    living: &[DeviceRecord],
    find: &FindDevice<'_>,
) -> Result<()> {
    for (i, new) in records.iter().enumerate() {
        // If another program has a device of this UUID, the record would become the record of that device. This cannot happen on a VF:
        // the kernel stores no UUID for it, and the creator holds its lock.
        if (new.vf.is_none() && find(new) != RecordedDevice::Absent)
            || living.iter().chain(records.iter().take(i)).any(|other| other.uuid == new.uuid)
        {
            return Err(uuid_in_use(&new.uuid));
        }
        let Some(name) = new.name.as_deref() else { continue };
        let others = living.iter().chain(records.iter().take(i));
        if let Some(other) = others.filter(|other| other.uuid != new.uuid).find(|o| o.name.as_deref() == Some(name)) {
            let message = format!("the name '{name}' is taken by device {}; choose another", other.uuid);
            return Err(Error::new(ErrorCode::Exists, Errno::EXIST, message));
        }
    }
    if !new_group.members.is_empty() {
        let group = free_group(living, (new_group.in_use)()?)?;
        records.iter_mut().filter(|new| new_group.members.contains(&new.uuid)).for_each(|new| new.group = Some(group));
    }
    Ok(())
}

/// Returns the error for a UUID that is in use.
pub fn uuid_in_use(uuid: &Uuid) -> Error {
    let message = format!("device {uuid} already exists; omit <uuid> to get a random UUID");
    Error::new(ErrorCode::Exists, Errno::EXIST, message)
}

/// Returns the lowest group number, from 1, that no existing device has. Fails if all are in use.
fn free_group(living: &[DeviceRecord], in_use: Vec<u32>) -> Result<u32> {
    let mut taken: Vec<u32> = living.iter().flat_map(DeviceRecord::groups).chain(in_use).collect();
    taken.sort_unstable();
    taken.dedup();
    let mut next = 1_u32;
    for group in taken {
        if group == next {
            next = next.checked_add(1).ok_or_else(|| {
                Error::new(ErrorCode::Store, Errno::NOSPC, "every group number is in use; destroy some devices")
            })?;
        }
    }
    Ok(next)
}
