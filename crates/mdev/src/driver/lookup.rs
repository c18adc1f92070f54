// SPDX-License-Identifier: LGPL-2.1-or-later
//! Looks up one node.

use rustix::io::Errno;

use super::host::{Conn, Host};
use super::{Node, definitions, devices, identity, suggest};
use crate::backend::{Place, Target, parents, places};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::finding::{first_failed, observe};
use crate::model::Parent;
use crate::model::name::parse_uuid;

impl Conn {
    /// Finds a device by its name, its path in sysfs, or the address of its VF; a parent by its node name, its path or its address (in
    /// upper or lower case, with or without domain 0). Fails with ENODEV if there is no such node.
    pub fn lookup_by_name(&self, name: &str) -> Result<Node> {
        let (device, left_out) = observe(|| devices::by_name(&self.host, name));
        let device = match device {
            // The name contains the UUID of an object that cannot be read, which may be the wanted device. If the wanted device is
            // defined on another parent, it is another device.
            Err(e) if devices::generated_uuid(name).is_some() => match definitions::by_name(&self.host, name) {
                Ok(Some(device)) => Some(device),
                _ => return Err(e),
            },
            found => found?,
        };
        if let Some(device) = device {
            return Ok(Node::device(self.clone(), device));
        }
        match places::find_target(&*self.host.sysfs, name) {
            Ok(Target { place, slot: Some(slot) }) => match devices::on_slot(&self.host, &slot)? {
                Some(device) => Ok(Node::device(self.clone(), device)),
                None => Err(places::no_vgpu(&place, &slot)),
            },
            Ok(Target { place, slot: None }) => self.parent_at(&place),
            Err(e) if e.code == ErrorCode::NoParent && e.path.is_none() => {
                if let Some(device) = definitions::by_name(&self.host, name)? {
                    return Ok(Node::device(self.clone(), device));
                }
                // A device whose record cannot be read may have the name.
                if let Some(e) = first_failed(left_out) {
                    return Err(e);
                }
                let next = match suggest::nearest_node(&self.host, name) {
                    _ if parse_uuid(name).is_some() => "this is a UUID: use mdev_conn_lookup_by_uuid()".to_owned(),
                    Some(near) => format!("did you mean '{}'?", shown(&near)),
                    None => "list the nodes to see which there are".to_owned(),
                };
                let message = format!("there is no node device '{}'; {next}", shown(name));
                Err(Error::new(ErrorCode::NoNode, Errno::NODEV, message))
            }
            Err(e) => Err(e),
        }
    }

    fn parent_at(&self, place: &Place) -> Result<Node> {
        Ok(Node::parent(self.clone(), read_parent(&self.host, place)?))
    }

    /// Finds a device by its UUID, running or defined. Fails with ENODEV if there is no such device, and with ENOTUNIQ if it does not
    /// run and is defined on several parents.
    pub fn lookup_by_uuid(&self, uuid: &str) -> Result<Node> {
        let uuid = self.uuid(uuid)?;
        let device = match devices::by_uuid(&self.host, &uuid) {
            Ok(Some(device)) => Some(device),
            Ok(None) => definitions::by_uuid(&self.host, &uuid)?,
            // An object that cannot be read may be the wanted device. If every object on the parent of the definition can be read,
            // it is another device.
            Err(e) => match definitions::by_uuid(&self.host, &uuid) {
                Ok(Some(idle))
                    if matches!(devices::by_uuid_near(&self.host, &uuid, &idle.parent_sysname), Ok(None)) =>
                {
                    Some(idle)
                }
                _ => return Err(e),
            },
        };
        device
            .map(|device| Node::device(self.clone(), device))
            .ok_or_else(|| identity::explain_missing(&self.host, &uuid))
    }
}

/// Reads a parent with its types.
pub(super) fn read_parent(host: &Host, place: &Place) -> Result<Parent> {
    let read = parents::read(&*host.sysfs, &host.runtime.records(), place);
    read.map_err(|errno| Error::io("read", &place.syspath, errno).of(&place.name()))
}
