// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions: devices that persist. They are stored in mdevctl's own files, so that both tools use the same definitions.
//!
//! `/etc/mdevctl.d/<parent>/<uuid>` has mdevctl's format, equal to the byte. It has no place for name, group, parameters and owner:
//! mdevctl would remove unknown members at its next `modify`, and print a warning for a second file in its folder. So they are in
//! `/etc/libmdev/definitions/<parent>/<uuid>`, the extras. Extras apply only to the mdevctl file for which they were written, and only
//! while that file has the same type.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use uuid::Uuid;

use super::notifier::{Listener, Notifier};
use crate::error::{Error, Result};

mod extras;
mod file;
mod files;
mod json;
#[cfg(test)]
mod tests;

pub use files::{DefinitionFiles, MDEVCTL_FOLDER, is_unreadable};

/// A defined device, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definition {
    /// Sysfs name of the parent: `0000:86:00.0`, `mtty`.
    pub parent: String,
    /// UUID. Another parent may have a definition of the same UUID.
    pub uuid: Uuid,
    /// Id of the type.
    pub type_id: String,
    /// True if the device is started when its parent appears.
    pub autostart: bool,
    /// Attributes that are written to the device after its creation, in order.
    pub attributes: Vec<(String, String)>,
    /// Name of the device; `None` for a generated name.
    pub name: Option<String>,
    /// Group number.
    pub group: Option<u32>,
    /// Parameters.
    pub params: Option<String>,
    /// Owner of the connection that defined the device.
    pub owner: Option<String>,
}

/// A file or folder that may be a definition and cannot be used.
#[derive(Debug)]
pub struct Broken {
    /// Sysfs name of the parent.
    pub parent: String,
    /// UUID; `None` if the folder of the parent cannot be opened.
    pub uuid: Option<Uuid>,
    /// The cause.
    pub error: Error,
}

/// The existing definition that a new definition would replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previous {
    /// There is no definition.
    Nothing,
    /// A file that is not a valid definition, and is not being written.
    Broken,
    /// A valid definition.
    Definition(Definition),
}

/// The autostart of a definition that replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The autostart of the older definition.
    Keep,
    /// The autostart of the new definition.
    Set,
}

/// The definitions of one host.
#[derive(Debug)]
pub enum Definitions {
    /// Files of a real host, or of a host below another root.
    Files(DefinitionFiles),
    /// A map, for the simulated host.
    Memory(MemoryDefinitions),
}

/// Definitions by parent and UUID.
#[derive(Debug, Default)]
pub struct MemoryDefinitions {
    all: Mutex<BTreeMap<(String, Uuid), Definition>>,
    /// The lock of the store: held from the check to the end of the write.
    writing: Mutex<()>,
    changed: Notifier,
}

impl MemoryDefinitions {
    fn map(&self) -> MutexGuard<'_, BTreeMap<(String, Uuid), Definition>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a listener that is notified of every change from now on.
    pub fn listen(&self) -> std::result::Result<Listener, Errno> {
        self.changed.listen()
    }
}

impl Definitions {
    /// Returns the definitions of the host below `root`: the files are in its `etc`, the lock is in its `run`.
    pub fn files(root: &str) -> Self {
        Definitions::Files(DefinitionFiles::new(root))
    }

    /// Returns definitions in memory.
    pub fn memory(all: impl IntoIterator<Item = Definition>) -> Self {
        let keyed = |definition: Definition| ((definition.parent.clone(), definition.uuid), definition);
        let all = Mutex::new(all.into_iter().map(keyed).collect());
        Definitions::Memory(MemoryDefinitions { all, ..MemoryDefinitions::default() })
    }

    /// Returns all definitions, sorted by parent and UUID. Reports and leaves out an unusable definition. Fails only if this process has
    /// run out of descriptors or memory.
    pub fn all(&self) -> Result<Vec<Definition>> {
        match self {
            Definitions::Files(files) => files.all(),
            Definitions::Memory(memory) => Ok(memory.map().values().cloned().collect()),
        }
    }

    /// Returns all definitions, and the unusable ones, for callers that must not ignore them. Fails if the folder of definitions cannot be
    /// listed.
    pub fn all_and_broken(&self) -> Result<(Vec<Definition>, Vec<Broken>)> {
        match self {
            Definitions::Files(files) => files.all_and_broken(),
            Definitions::Memory(_) => Ok((self.all()?, Vec::new())),
        }
    }

    /// Returns the definitions of one parent, and the unusable ones: see [`Definitions::all_and_broken`].
    pub fn of_parent_and_broken(&self, parent: &str) -> Result<(Vec<Definition>, Vec<Broken>)> {
        match self {
            Definitions::Files(files) => files.of_parent_and_broken(parent),
            Definitions::Memory(memory) => {
                Ok((memory.map().values().filter(|one| one.parent == parent).cloned().collect(), Vec::new()))
            }
        }
    }

    /// Returns the definitions of a UUID, sorted by parent. Fails if one of them is unusable.
    pub fn of_uuid(&self, uuid: &Uuid) -> Result<Vec<Definition>> {
        match self {
            Definitions::Files(files) => files.of_uuid(uuid),
            Definitions::Memory(memory) => Ok(memory.map().values().filter(|one| one.uuid == *uuid).cloned().collect()),
        }
    }

    /// Returns the definition of a parent and UUID; `None` if there is none. Fails if it is unusable.
    pub fn get(&self, parent: &str, uuid: &Uuid) -> Result<Option<Definition>> {
        match self {
            Definitions::Files(files) => files.get(parent, uuid),
            Definitions::Memory(memory) => Ok(memory.map().get(&(parent.to_owned(), *uuid)).cloned()),
        }
    }

    /// Returns the definition that [`Definitions::put`] would replace. mdevctl writes a file in place, so an invalid file is read again for
    /// some milliseconds. Fails if the file cannot be read.
    pub fn previous(&self, parent: &str, uuid: &Uuid) -> Result<Previous> {
        match self {
            Definitions::Files(files) => files.previous(parent, uuid),
            Definitions::Memory(_) => Ok(self.get(parent, uuid)?.map_or(Previous::Nothing, Previous::Definition)),
        }
    }

    /// Writes a definition and returns what was written. It replaces an older definition of the same parent and UUID. It takes
    /// the owner of that definition if it has none itself, and its autostart with [`Start::Keep`]. `check` runs under the lock of
    /// the store, directly before the first write, so that its result is still valid.
    pub fn put(&self, definition: &Definition, start: Start, check: &dyn Fn() -> Result<()>) -> Result<Definition> {
        match self {
            Definitions::Files(files) => files.put(definition, start, check),
            Definitions::Memory(memory) => {
                let _alone = memory.writing.lock().unwrap_or_else(PoisonError::into_inner);
                check()?;
                let mut all = memory.map();
                let key = (definition.parent.clone(), definition.uuid);
                let new = all.get(&key).map_or_else(|| definition.clone(), |old| definition.in_place_of(old, start));
                all.insert(key, new.clone());
                memory.changed.notify();
                Ok(new)
            }
        }
    }

    /// Changes the autostart of a definition. Returns false if there is no such definition. Fails if the store cannot be written.
    pub fn set_autostart(&self, parent: &str, uuid: &Uuid, autostart: bool) -> Result<bool> {
        match self {
            Definitions::Files(files) => files.set_autostart(parent, uuid, autostart),
            Definitions::Memory(memory) => {
                let _alone = memory.writing.lock().unwrap_or_else(PoisonError::into_inner);
                let set = |definition: &mut Definition| definition.autostart = autostart;
                let found = memory.map().get_mut(&(parent.to_owned(), *uuid)).map(set).is_some();
                memory.changed.notify();
                Ok(found)
            }
        }
    }

    /// Removes a definition. Returns false if there is no such definition. Fails if the file cannot be removed.
    pub fn remove(&self, parent: &str, uuid: &Uuid) -> Result<bool> {
        match self {
            Definitions::Files(files) => files.remove(parent, uuid),
            Definitions::Memory(memory) => {
                let found = memory.map().remove(&(parent.to_owned(), *uuid)).is_some();
                memory.changed.notify();
                Ok(found)
            }
        }
    }
}

impl Definition {
    /// Returns the definition with the owner, and perhaps the autostart, of the definition that it replaces.
    fn in_place_of(&self, old: &Definition, start: Start) -> Definition {
        let owner = self.owner.clone().or_else(|| old.owner.clone());
        let autostart = if start == Start::Keep { old.autostart } else { self.autostart };
        Definition { autostart, owner, ..self.clone() }
    }
}
