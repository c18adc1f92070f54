// SPDX-License-Identifier: LGPL-2.1-or-later
//! The content of a create request without XML.

use crate::error::{Error, Result};
use crate::model::DeviceDef;
use crate::model::values::{self, ATTRIBUTES_MAX};

/// The device to create or to define: the same values as in the XML. `None` and an empty list mean: not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions<'a> {
    /// The parent: node name, address or sysfs path. Without it, [`Conn::create`](crate::Conn::create) chooses a parent.
    pub parent: Option<&'a str>,
    /// The type: id, name, or a short form of them.
    pub ty: &'a str,
    /// The UUID; random without it.
    pub uuid: Option<&'a str>,
    /// The name of the device.
    pub name: Option<&'a str>,
    /// The group of the devices of one guest, from 1.
    pub group: Option<u32>,
    /// The parameters for the vendor's driver.
    pub params: Option<&'a str>,
    /// The preferred NUMA node, if there is no parent.
    pub numa_node: Option<i32>,
    /// Attributes to write after the create, in this order. A name can occur several times.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl CreateOptions<'_> {
    /// Returns the checked request. Fails with EINVAL if a value is invalid.
    pub(super) fn definition(&self) -> Result<DeviceDef> {
        fn valid<T>(value: Option<std::result::Result<T, String>>) -> Result<Option<T>> {
            value.transpose().map_err(Error::invalid)
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(Error::invalid(format!("more than {ATTRIBUTES_MAX} attributes")));
        }
        if self.group == Some(0) {
            return Err(Error::invalid("group is 0; group numbers begin at 1"));
        }
        if let Some(node) = self.numa_node.filter(|node| *node < 0) {
            return Err(Error::invalid(format!("NUMA node {node} is negative")));
        }
        let attributes = self.attributes.iter().map(|(name, value)| values::attribute("attribute", name, value));
        Ok(DeviceDef {
            name: valid(self.name.map(|name| values::name("name", name)))?.flatten(),
            parent: valid(self.parent.map(|parent| values::parent("parent", parent)))?,
            type_id: values::type_id("type", self.ty).map_err(Error::invalid)?,
            uuid: valid(self.uuid.map(|uuid| values::uuid("UUID", uuid)))?,
            group: self.group,
            params: valid(self.params.map(|params| values::params("params", params)))?.flatten(),
            numa_node: self.numa_node,
            autostart: None,
            attributes: attributes.collect::<std::result::Result<_, _>>().map_err(Error::invalid)?,
        })
    }
}
