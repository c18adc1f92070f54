// SPDX-License-Identifier: LGPL-2.1-or-later
//! How definitions come, change and go.

use std::collections::BTreeSet;

use rustix::io::Errno;
use uuid::Uuid;

use super::{EventKind, Monitor};
use crate::driver::defined;
use crate::driver::spots::with_room;
use crate::driver::{Host, Node};
use crate::error::{Error, Result};
use crate::model::Device;
use crate::model::name::parse_uuid;
use crate::monitor::{Definitions, Folders, MEMORY};
use crate::store;
use crate::sysfs::is_exhausted;

/// Who tells of the definitions of a host.
pub(super) fn source(host: &Host) -> Result<Box<dyn Definitions>> {
    match &*host.definitions {
        store::Definitions::Files(files) => {
            let followed = Folders::new(files.root(), store::MDEVCTL_FOLDER);
            Ok(Box::new(followed.map_err(|errno| Error::io("follow", files.folder(), errno))?))
        }
        store::Definitions::Memory(memory) => {
            Ok(Box::new(memory.listen().map_err(|errno| Error::io("follow", MEMORY, errno))?))
        }
    }
}

impl Monitor {
    /// A file in the folder of a parent may be another now. An error for want of descriptors or memory alone: what could not
    /// be looked at is not gone.
    pub(super) fn look_at_definition(&mut self, parent: &str, file: &str) -> Result<()> {
        // Half-written files have names that are no UUID.
        let Some(uuid) = parse_uuid(file).filter(|uuid| uuid.to_string() == file) else { return Ok(()) };
        let host = &self.conn.host;
        let now = match with_room(host, || host.definitions.get(parent, &uuid)) {
            Err(e) if !is_exhausted(Errno::from_raw_os_error(e.errno)) => {
                // A list leaves it out as well.
                log::warn!("{e}");
                None
            }
            found => found?,
        };
        self.defined((parent.to_owned(), uuid), now);
        Ok(())
    }

    /// Any file of one parent, or of all.
    pub(super) fn look_at_definitions(&mut self, parent: Option<&str>) -> Result<()> {
        let host = &self.conn.host;
        let now = match parent {
            Some(parent) => with_room(host, || host.definitions.of_parent(parent)),
            None => defined::all(host),
        }?;
        let known = self.memory.definitions.keys().filter(|(of, _)| parent.is_none_or(|parent| parent == of)).cloned();
        let keys = now.iter().map(|def| (def.parent.clone(), def.uuid)).chain(known).collect::<BTreeSet<_>>();
        for key in keys {
            let def = now.iter().find(|def| (&def.parent, &def.uuid) == (&key.0, &key.1)).cloned();
            self.defined(key, def);
        }
        Ok(())
    }

    /// What a definition is now.
    fn defined(&mut self, key: (String, Uuid), now: Option<store::Definition>) {
        let before = self.memory.definitions.get(&key);
        let (kind, def) = match (before, now) {
            (None, Some(now)) => (EventKind::Defined, now),
            (Some(before), Some(now)) if *before != now => (EventKind::Updated, now),
            (Some(before), None) => (EventKind::Undefined, before.clone()),
            _ => return,
        };
        let node = Node::device(self.conn.clone(), self.device_of(&def));
        self.tell(kind, Some(node));
        match kind {
            EventKind::Undefined => self.memory.definitions.remove(&key),
            _ => self.memory.definitions.insert(key, def),
        };
    }

    /// The device of a definition as it is: running, or not.
    fn device_of(&self, def: &store::Definition) -> Device {
        let memory = &self.memory;
        if let Some(known) = memory.devices.values().find(|known| defined::is_of(def, &known.device)) {
            return known.device.clone();
        }
        let function = || memory.vfs.values().find(|vf| vf.function.sysname == def.parent);
        let parent = memory.parents.values().find(|known| known.parent.sysname == def.parent);
        let parent = parent.or_else(|| memory.parents.get(&function()?.parent));
        defined::on_parent(def, parent.map(|known| &known.parent))
    }
}
