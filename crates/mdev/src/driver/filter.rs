// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lists the nodes of a host that match a filter.

use super::{Conn, Host, ListFlags, Node, definitions};
use crate::backend::places;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{FoundType, find_type};
use crate::sysfs::basename;

/// Selects nodes of a list. A node must match every given value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListFilter<'a> {
    /// This parent and its devices: node name, address or path. For a VF, the device on it.
    pub parent: Option<&'a str>,
    /// Devices of this type, and parents that offer it: id, name, or a short form of them.
    pub ty: Option<&'a str>,
    /// Devices of this owner, and no parents.
    pub owner: Option<&'a str>,
    /// Nodes of this sysfs layout.
    pub layout: Option<&'a str>,
}

/// The parent of a filter.
struct WantedParent {
    sysname: String,
    /// The sysfs name of the VF, if the filter names one.
    vf: Option<String>,
    /// The error for a parent that does not exist. Such a parent can have definitions.
    missing: Option<Error>,
}

impl WantedParent {
    fn find(host: &Host, text: &str) -> Result<Self> {
        match places::find_target(&*host.sysfs, text) {
            Ok(target) => {
                let sysname = target.place.sysname().to_owned();
                Ok(WantedParent { sysname, vf: target.slot, missing: None })
            }
            Err(e) if e.code == ErrorCode::NoParent => {
                let sysname = definitions::sysname_of_absent(text).ok_or_else(|| e.clone())?;
                Ok(WantedParent { sysname, vf: None, missing: Some(e) })
            }
            Err(e) => Err(e),
        }
    }

    fn has(&self, node: &Node) -> bool {
        match (node.as_parent(), node.as_device(), &self.vf) {
            (Some(parent), _, None) => parent.sysname == self.sysname,
            (_, Some(device), None) => device.parent_sysname == self.sysname,
            // A definition may name the VF as its parent.
            (_, Some(device), Some(vf)) => basename(&device.syspath) == vf || device.parent_sysname == *vf,
            _ => false,
        }
    }
}

impl Conn {
    /// Returns the nodes that match a filter, in the order of [`Conn::list`]. Fails as that does, and with ENODEV if the parent of the
    /// filter does not exist and has no definitions.
    pub fn list_filtered(&self, filter: &ListFilter<'_>, flags: ListFlags) -> Result<Vec<Node>> {
        let wanted = filter.parent.map(|parent| WantedParent::find(&self.host, parent)).transpose()?;
        // A short form of a type is resolved with the types of the parents.
        let types = filter.ty.map(|ty| self.type_ids(ty)).transpose()?;
        let mut nodes = self.list(flags)?;
        nodes.retain(|node| {
            let has_type = |ids: &Vec<(String, String)>| match node.type_id() {
                Ok(own) => ids.iter().any(|(_, id)| id == own),
                Err(_) => ids.iter().any(|(parent, _)| parent == node.name()),
            };
            wanted.as_ref().is_none_or(|wanted| wanted.has(node))
                && types.as_ref().is_none_or(has_type)
                && filter.owner.is_none_or(|owner| node.owner() == Ok(owner))
                && filter.layout.is_none_or(|layout| node.layout() == layout)
        });
        match wanted.and_then(|wanted| wanted.missing).filter(|_| nodes.is_empty()) {
            Some(missing) => Err(missing),
            None => Ok(nodes),
        }
    }

    /// Returns the parents that offer a type, each with the id of the type there. The text itself counts as an id everywhere.
    fn type_ids(&self, text: &str) -> Result<Vec<(String, String)>> {
        let mut ids = vec![(String::new(), text.to_owned())];
        for parent in self.list(ListFlags::PARENTS)? {
            if let FoundType::One(ty) = find_type(parent.types()?, text) {
                ids.push((parent.name().to_owned(), ty.id().to_owned()));
            }
        }
        Ok(ids)
    }
}
