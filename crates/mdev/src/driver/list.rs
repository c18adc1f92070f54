// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lists the nodes of a host.

use super::host::Conn;
use super::{ListFlags, Node, definitions, devices};
use crate::backend::parents::{self, ParentCache};
use crate::backend::{Place, places};
use crate::error::{Error, Result};
use crate::finding::{Finding, or_report};
use crate::model::Parent;
use crate::sysfs::IoResult;

impl Conn {
    /// Returns the nodes of the host, parents first. Reports and leaves out a node that cannot be read: see [`Conn::list_problems`].
    /// Fails only if this process or host has run out of descriptors or memory, or if a folder of the kernel cannot be listed.
    pub fn list(&self, flags: ListFlags) -> Result<Vec<Node>> {
        let both = ListFlags::PARENTS | ListFlags::DEVICES;
        let kinds = if flags.intersects(both) { flags & both } else { both };
        let states = flags & (ListFlags::ACTIVE | ListFlags::INACTIVE);
        let active = states != ListFlags::INACTIVE;
        let mut nodes = Vec::new();
        let mut known = ParentCache::new(&*self.host.sysfs);
        // Parents exist in the kernel or not at all.
        if kinds.contains(ListFlags::PARENTS) && active {
            for place in places::all(&*self.host.sysfs)? {
                let left_out = |errno| Finding::io(&place.syspath, "left out, it cannot be read", errno);
                let read = or_report(self.listed_parent(&place, flags), left_out);
                let read = read.map_err(|errno| Error::io("read", &place.syspath, errno))?;
                let Some(parent) = read else { continue };
                if kinds.contains(ListFlags::DEVICES) && !flags.contains(ListFlags::NO_TYPES) {
                    known.add(&parent);
                }
                nodes.push(Node::listed_parent(self.clone(), parent, flags));
            }
        }
        if kinds.contains(ListFlags::DEVICES) {
            let running = devices::all(&self.host, &mut known)?;
            let idle = match states.contains(ListFlags::INACTIVE) {
                true => definitions::inactive(&self.host, &running)?,
                false => Vec::new(),
            };
            let running = running.into_iter().filter(|_| active);
            nodes.extend(running.chain(idle).map(|device| Node::device(self.clone(), device)));
        }
        Ok(nodes)
    }

    fn listed_parent(&self, place: &Place, flags: ListFlags) -> IoResult<Parent> {
        match flags.contains(ListFlags::NO_TYPES) {
            true => parents::read_bare(&*self.host.sysfs, place),
            false => parents::read(&*self.host.sysfs, &self.host.runtime.records(), place),
        }
    }
}
