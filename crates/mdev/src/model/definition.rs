// SPDX-License-Identifier: LGPL-2.1-or-later
//! The content of a create request.

use uuid::Uuid;

/// A `<device>` element with an `mdev` capability, read from either dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceDef {
    /// `<name>`; `None` for libvirt's placeholder `new device`.
    pub name: Option<String>,
    /// `<parent>`: a node name, an address or a sysfs path.
    pub parent: Option<String>,
    /// `<type id='...'>`: the id or the name of a type.
    pub type_id: String,
    /// `<uuid>`; without it, the library generates a random UUID.
    pub uuid: Option<Uuid>,
    /// `<group>`
    pub group: Option<u32>,
    /// `<params>`, without enclosing quotes; never empty.
    pub params: Option<String>,
    /// `<numa node='...'/>`: the preferred NUMA node of the parent. Used only if the request has no parent and
    /// several parents qualify.
    pub numa_node: Option<i32>,
    /// `<start type='auto|manual'/>`: true if the device is started when its parent appears.
    pub autostart: Option<bool>,
    /// `<attr name='' value=''/>`, in order; a name can occur several times.
    pub attributes: Vec<(String, String)>,
}

/// The attribute that contains the group number of a device.
const GROUP: &str = "group";

/// Returns the group in the text of a device's `group` file; `None` for an empty text and for 0. Returns `other` if
/// the text is not a number.
pub fn group_in_text(text: &str, other: Option<u32>) -> Option<u32> {
    match text.trim() {
        "" => None,
        text => text.parse().map_or(other, |group| Some(group).filter(|group| *group != 0)),
    }
}

/// Returns every group number that a device with this group and these attributes can have.
pub fn group_numbers(group: Option<u32>, attributes: &[(String, String)]) -> impl Iterator<Item = u32> {
    let own = attributes.iter().filter(|(name, _)| name == GROUP);
    group.into_iter().chain(own.filter_map(|(_, text)| group_in_text(text, None)))
}
