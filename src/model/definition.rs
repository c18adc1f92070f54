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
