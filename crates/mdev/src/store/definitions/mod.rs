// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions: devices that persist. mdevctl's own files, so that nobody has to choose between the two.
//!
//! `/etc/mdevctl.d/<parent>/<uuid>` is mdevctl's to the byte. What it has no word for (name, group, parameters, owner) would be lost
//! in its next `modify`, and a second file beside its own makes it grumble at every call; so those are in
//! `/etc/libmdev/definitions/<parent>/<uuid>`, and count only for the very file of mdevctl's that they were written for, with
//! the same type in it.

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

/// A device that is defined, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definition {
    /// Sysfs name of the parent: `0000:86:00.0`, `mtty`.
    pub parent: String,
    /// UUID; under another parent there may be a definition of the same one.
    pub uuid: Uuid,
    /// Id of the type.
    pub type_id: String,
    /// Started when its parent appears.
    pub autostart: bool,
    /// Written to the device after it was made, in order.
    pub attributes: Vec<(String, String)>,
    /// The caller's name for the device.
    pub name: Option<String>,
    /// Group number.
    pub group: Option<u32>,
    /// Parameters.
    pub params: Option<String>,
    /// Who defined it.
    pub owner: Option<String>,
}

/// What may be a definition and cannot be used.
#[derive(Debug)]
pub struct Broken {
    /// Sysfs name of the parent.
    pub parent: String,
    /// UUID; without, the folder of the parent cannot be opened.
    pub uuid: Option<Uuid>,
    /// What is wrong with it.
    pub error: Error,
}

/// What a definition takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previous {
    /// There is none.
    Nothing,
    /// Something that is no definition, and no half-written one either.
    Broken,
    /// This one.
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
    /// Those of a real host, or of one below another root.
    Files(DefinitionFiles),
    /// Those of the simulated host.
    Memory(MemoryDefinitions),
}

/// Definitions by parent and UUID.
#[derive(Debug, Default)]
pub struct MemoryDefinitions {
    all: Mutex<BTreeMap<(String, Uuid), Definition>>,
    /// What the lock is to files: held by who looks before writing.
    writing: Mutex<()>,
    changed: Notifier,
}

impl MemoryDefinitions {
    fn map(&self) -> MutexGuard<'_, BTreeMap<(String, Uuid), Definition>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of every change from now on.
    pub fn listen(&self) -> std::result::Result<Listener, Errno> {
        self.changed.listen()
    }
}

impl Definitions {
    /// Below `root`, whose `etc` has them and whose `run` the lock.
    pub fn files(root: &str) -> Self {
        Definitions::Files(DefinitionFiles::new(root))
    }

    /// In memory.
    pub fn memory(all: impl IntoIterator<Item = Definition>) -> Self {
        let keyed = |definition: Definition| ((definition.parent.clone(), definition.uuid), definition);
        let all = Mutex::new(all.into_iter().map(keyed).collect());
        Definitions::Memory(MemoryDefinitions { all, ..MemoryDefinitions::default() })
    }

    /// All, by parent and UUID; what is broken is logged and left out. An error for want of descriptors or memory alone, which
    /// is no definition's fault.
    pub fn all(&self) -> Result<Vec<Definition>> {
        match self {
            Definitions::Files(files) => files.all(),
            Definitions::Memory(memory) => Ok(memory.map().values().cloned().collect()),
        }
    }

    /// The same, with what cannot be used, for who must not pass over it. Fails when it cannot be told what there is.
    pub fn all_and_broken(&self) -> Result<(Vec<Definition>, Vec<Broken>)> {
        match self {
            Definitions::Files(files) => files.all_and_broken(),
            Definitions::Memory(_) => Ok((self.all()?, Vec::new())),
        }
    }

    /// Those of one parent, and what cannot be used there, as [`Definitions::all_and_broken`] has them.
    pub fn of_parent_and_broken(&self, parent: &str) -> Result<(Vec<Definition>, Vec<Broken>)> {
        match self {
            Definitions::Files(files) => files.of_parent_and_broken(parent),
            Definitions::Memory(memory) => {
                Ok((memory.map().values().filter(|one| one.parent == parent).cloned().collect(), Vec::new()))
            }
        }
    }

    /// Those of one UUID, by parent; one that is broken is an error, since this call names it.
    pub fn of_uuid(&self, uuid: &Uuid) -> Result<Vec<Definition>> {
        match self {
            Definitions::Files(files) => files.of_uuid(uuid),
            Definitions::Memory(memory) => Ok(memory.map().values().filter(|one| one.uuid == *uuid).cloned().collect()),
        }
    }

    /// One.
    pub fn get(&self, parent: &str, uuid: &Uuid) -> Result<Option<Definition>> {
        match self {
            Definitions::Files(files) => files.get(parent, uuid),
            Definitions::Memory(memory) => Ok(memory.map().get(&(parent.to_owned(), *uuid)).cloned()),
        }
    }

    /// What [`Definitions::put`] would replace. mdevctl writes in place, so what is broken is looked at for some milliseconds.
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

    /// Changes the start of one. False: there is none.
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

    /// Removes one. False: there is none.
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
    /// With what it takes over from an older one.
    fn in_place_of(&self, old: &Definition, start: Start) -> Definition {
        let owner = self.owner.clone().or_else(|| old.owner.clone());
        let autostart = if start == Start::Keep { old.autostart } else { self.autostart };
        Definition { autostart, owner, ..self.clone() }
    }
}
