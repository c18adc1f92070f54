// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a create request asks for.

use uuid::Uuid;

/// A `<device>` element with an `mdev` capability, read from either dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceDef {
    /// `<name>`; libvirt's placeholder `new device` counts as none.
    pub name: Option<String>,
    /// `<parent>`: a node name, an address or a sysfs path.
    pub parent: Option<String>,
    /// `<type id='...'>`: an id or a name.
    pub type_id: String,
    /// `<uuid>`; a random one is made otherwise.
    pub uuid: Option<Uuid>,
    /// `<group>`
    pub group: Option<u32>,
    /// `<params>`, without enclosing quotes, never empty.
    pub params: Option<String>,
    /// `<numa node='...'/>`: where the parent should be, when none is named and there is a choice.
    pub numa_node: Option<i32>,
    /// `<start type='auto|manual'/>`: whether a definition starts when its parent appears.
    pub autostart: Option<bool>,
    /// `<attr name='' value=''/>`, in order, repeated names allowed.
    pub attributes: Vec<(String, String)>,
}

/// The attribute of a device that is its group number.
const GROUP: &str = "group";

/// The group of a device by the text of its `group` file. Empty or 0: no group. `other` counts only where the text is no number.
pub fn group_in_text(text: &str, other: Option<u32>) -> Option<u32> {
    match text.trim() {
        "" => None,
        text => text.parse().map_or(other, |group| Some(group).filter(|group| *group != 0)),
    }
}

/// Every group number that a device may have which is made with this group and these attributes.
pub fn group_numbers(group: Option<u32>, attributes: &[(String, String)]) -> impl Iterator<Item = u32> {
    let own = attributes.iter().filter(|(name, _)| name == GROUP);
    group.into_iter().chain(own.filter_map(|(_, text)| group_in_text(text, None)))
}
