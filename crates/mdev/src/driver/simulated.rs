// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens simulated hosts: the built-in one, and the replay of a dump.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::dump::{DEFINITIONS, NamedTypes, TYPE_CACHES};
use super::host::Parts;
use crate::backend::devices::device_of_record;
use crate::backend::parents::read_types_only;
use crate::backend::{Folders, places};
use crate::error::{Error, ErrorCode, Result};
use crate::fd::long_lived;
use crate::model::host::HostEntryKind;
use crate::model::name::parse_uuid;
use crate::sim::{SimEntry, SimHost, default_host, described_host};
use crate::store::{Definition, Definitions, DeviceRecord, RECORDS, RecordedDevice, Runtime};
use crate::sysfs::{Sysfs, basename, dirname};
use crate::xml;

/// The maximum size of a dump that is replayed.
const DUMP_MAX: u64 = 16 * 1024 * 1024;

/// The host `test:///default`, shared by all connections of the process, with the id of that process. The child of a fork gets
/// another host: it has a copy of the parent's host, whose locks may be held by a thread that does not exist in the child.
static DEFAULT_HOST: Mutex<Option<(u32, Parts)>> = Mutex::new(None);

/// Returns the built-in host of this process.
pub(super) fn default_parts() -> Parts {
    let lock = || DEFAULT_HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let ours = |made: &Option<(u32, Parts)>| made.clone().filter(|(of, _)| *of == process).map(|(_, parts)| parts);
    // Created without the lock, which is held so briefly that a fork is unlikely to copy it while it is held.
    let known = ours(&lock());
    known.unwrap_or_else(|| {
        let new: Parts = (Arc::new(default_host()), Arc::new(Runtime::memory([])), Arc::new(Definitions::memory([])));
        let mut made = lock();
        ours(&made).unwrap_or_else(|| made.insert((process, new)).1.clone())
    })
}

/// The content of a dump.
struct Dump {
    host: SimHost,
    /// The records, with the identities that the devices have on the simulated host.
    records: Vec<DeviceRecord>,
    definitions: Vec<Definition>,
    /// The files of the definitions, by path.
    definition_files: Vec<HostFile>,
    type_caches: Vec<(String, NamedTypes)>,
}

/// Returns a new simulated host from the dump at `path`.
pub(super) fn replay(path: &str) -> Result<Parts> {
    let dump = parse_dump(path, &read_text(path)?)?;
    let sysfs: Arc<dyn Sysfs> = Arc::new(dump.host);
    let runtime = Runtime::memory(dump.records);
    restore_types(&*sysfs, &runtime, &dump.type_caches)?;
    Ok((sysfs, Arc::new(runtime), Arc::new(Definitions::memory(dump.definitions))))
}

/// A file of a simulated host: its path and content.
pub type HostFile = (String, Vec<u8>);

/// Returns a new simulated host, and the files that it has in /run and /etc, by path: the built-in host, or with `path` the host of a
/// dump, with the records and definitions of its devices, or the host of a description in JSON. Fails as [`Conn::open`](super::Conn::open) does for `test:///PATH`.
pub fn open_simulated(path: Option<&str>) -> Result<(SimHost, Vec<HostFile>)> {
    let Some(path) = path else {
        let host = default_host();
        host.complete()?;
        return Ok((host, Vec::new()));
    };
    let text = read_text(path)?;
    if text.trim_ascii_start().starts_with(b"{") {
        let host = described_host(path, &text)?;
        host.complete()?;
        return Ok((host, Vec::new()));
    }
    let dump = parse_dump(path, &text)?;
    dump.host.complete()?;
    let mut files = dump.definition_files;
    for record in dump.records {
        let text = serde_json::to_vec(&record).map_err(|e| Error::invalid(format!("{path}: {e}")))?;
        files.push((format!("{RECORDS}/{}", record.uuid), text));
    }
    Ok((dump.host, files))
}

/// Reads the text of a dump.
fn read_text(path: &str) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::io("read", path, Errno::from_io_error(&e).unwrap_or(Errno::IO));
    // Without O_NONBLOCK, the open of a FIFO would block until a writer opens it.
    let opened = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).and_then(long_lived);
    let file = File::from(opened.map_err(|errno| Error::io("read", path, errno))?);
    if !file.metadata().map_err(failed)?.is_file() {
        let message = format!("{path} is not a regular file, so it is not a dump of a host");
        return Err(Error::invalid(message).at(path));
    }
    let mut text = Vec::new();
    file.take(DUMP_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > DUMP_MAX {
        let message = format!("{path} is larger than {} MiB; it is not a dump of a host", DUMP_MAX >> 20);
        return Err(Error::new(ErrorCode::XmlLimit, Errno::FBIG, message).at(path));
    }
    Ok(text)
}

fn parse_dump(path: &str, text: &[u8]) -> Result<Dump> {
    let parsed = xml::parse_host(text).map_err(|e| e.of(path).at(path))?;
    let (mut records, mut entries, mut type_caches) = (Vec::new(), Vec::new(), Vec::new());
    let (mut definitions, mut definition_files) = (Vec::new(), Vec::new());
    for entry in parsed.entries {
        match entry.kind {
            HostEntryKind::File(_, Ok(content)) if dirname(&entry.path) == RECORDS => {
                match serde_json::from_slice::<DeviceRecord>(&content) {
                    Ok(known) if known.uuid.to_string() == basename(&entry.path) => records.push(known),
                    _ => log::warn!("{path}: the record in {} cannot be used", entry.path),
                }
            }
            HostEntryKind::File(_, Ok(content)) if dirname(dirname(&entry.path)) == DEFINITIONS => {
                let parent = basename(dirname(&entry.path));
                match parse_uuid(basename(&entry.path)).and_then(|uuid| Definition::from_json(parent, uuid, &content)) {
                    Some(definition) => definitions.push(definition),
                    None => log::warn!("{path}: the definition in {} cannot be used", entry.path),
                }
                definition_files.push((entry.path, content));
            }
            HostEntryKind::File(_, Ok(content)) if dirname(&entry.path) == TYPE_CACHES => {
                match serde_json::from_slice(&content) {
                    Ok(types) => type_caches.push((basename(&entry.path).to_owned(), types)),
                    Err(_) => log::warn!("{path}: the types in {} cannot be used", entry.path),
                }
            }
            kind => entries.push(sim_entry(entry.path, kind)),
        }
    }
    let host = SimHost::new(entries).map_err(|e| e.of(path))?;
    // The record of a device gets the identity that the device has on the simulated host.
    let folders = Folders::new(&host);
    records.retain_mut(|known| {
        let found = device_of_record(&folders, known);
        known.identity = if let Ok(RecordedDevice::Own(identity)) = found { Some(identity) } else { None };
        known.identity.is_some()
    });
    Ok(Dump { host, records, definitions, definition_files, type_caches })
}

fn sim_entry(path: String, kind: HostEntryKind) -> SimEntry {
    match kind {
        HostEntryKind::Dir => SimEntry::Dir { path },
        HostEntryKind::Link(target) => SimEntry::Link { path, target },
        HostEntryKind::File(mode, content) => {
            SimEntry::File { path, mode, content: content.map_err(Errno::from_raw_os_error) }
        }
    }
}

/// Stores the remembered types of the dumped host.
fn restore_types(sysfs: &dyn Sysfs, runtime: &Runtime, remembered: &[(String, NamedTypes)]) -> Result<()> {
    if remembered.is_empty() {
        return Ok(());
    }
    for place in places::all(sysfs)? {
        let Some((_, types)) = remembered.iter().find(|(sysname, _)| sysname == place.sysname()) else { continue };
        let read = sysfs.open(&place.syspath).and_then(|dir| read_types_only(&*dir, &runtime.records()));
        if let Some(seen) = read.ok().and_then(|read| read.seen) {
            runtime.remember_types(place.sysname(), seen.version, types);
        }
    }
    Ok(())
}
