// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files of definitions. They are opened relative to descriptors of their folders, and no symbolic link is followed: the content of
//! a definition makes root write to devices.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat};
use rustix::io::Errno;
use uuid::Uuid;

use super::extras::{Extras, FileIdentity};
use super::file::{self, ReadError};
use super::{Broken, Definition, Previous, Start, json};
use crate::error::{Error, ErrorCode, Result, shown, unless_exhausted};
use crate::finding::{Finding, report};
use crate::model::name::{is_component, parse_uuid};
use crate::store::atomic::{Unnamed, sweep};
use crate::store::calls::{fsync, mkdirat, names, open, openat, unlinkat};
use crate::store::files::{LOCK_TIMEOUT, lock_store};

/// The folder of definitions below a root.
pub const MDEVCTL_FOLDER: &str = "/etc/mdevctl.d";

/// mdevctl's folder of call-outs, beside the folders of parents.
const SCRIPTS: &str = "scripts.d";

/// The number of reads of an invalid file. mdevctl writes a file in place, so a file may be incomplete for a few milliseconds.
const RETRIES: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(2);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The files in `etc/mdevctl.d` and `etc/libmdev` below a root.
#[derive(Debug)]
pub struct DefinitionFiles {
    /// `.../etc/mdevctl.d`
    base: String,
    /// `.../etc/libmdev/definitions`
    extras: String,
    /// `.../run/libmdev`, the folder of the lock.
    run: String,
}

impl DefinitionFiles {
    pub(super) fn new(root: &str) -> Self {
        let root = root.trim_end_matches('/');
        DefinitionFiles {
            base: format!("{root}{MDEVCTL_FOLDER}"),
            extras: format!("{root}/etc/libmdev/definitions"),
            run: format!("{root}/run/libmdev"),
        }
    }

    /// Returns the folder of mdevctl's files.
    pub fn folder(&self) -> &str {
        &self.base
    }

    /// Returns the root of the host.
    pub fn root(&self) -> &str {
        self.base.strip_suffix(MDEVCTL_FOLDER).unwrap_or_default()
    }

    pub(super) fn all(&self) -> Result<Vec<Definition>> {
        let mut all = Vec::new();
        self.each_parent(
            &mut |parent, dir| {
                all.extend(self.whole(parent, dir)?);
                Ok(())
            },
            &mut left_out,
        )?;
        all.sort_unstable_by(|a: &Definition, b| (&a.parent, a.uuid).cmp(&(&b.parent, b.uuid)));
        Ok(all)
    }

    /// Returns the valid definitions in the folder of a parent. Reports and leaves out the others.
    fn whole(&self, parent: &str, dir: &OwnedFd) -> Result<Vec<Definition>> {
        let mut found = Vec::new();
        for uuid in self.uuids(parent, dir, &mut left_out)? {
            match self.read(parent, dir, &uuid) {
                Ok(one) => found.extend(one.map(|one| one.definition)),
                Err(e) => left_out(e)?,
            }
        }
        Ok(found)
    }

    pub(super) fn all_and_broken(&self) -> Result<(Vec<Definition>, Vec<Broken>)> {
        let mut found = (Vec::new(), Vec::new());
        let base = match open(&self.base, FOLDER, Mode::empty()) {
            Ok(base) => base,
            Err(Errno::NOENT) => return Ok(found),
            Err(errno) => return Err(self.failed("open", &self.base, errno)),
        };
        for parent in self.names(&base, &self.base, &mut Err)?.into_iter().filter(|name| is_parent(name)) {
            self.add_of_parent(&parent, &mut found)?;
        }
        found.0.sort_unstable_by(|a: &Definition, b| (&a.parent, a.uuid).cmp(&(&b.parent, b.uuid)));
        found.1.sort_unstable_by(|a: &Broken, b| (&a.parent, a.uuid).cmp(&(&b.parent, b.uuid)));
        Ok(found)
    }

    pub(super) fn of_parent_and_broken(&self, parent: &str) -> Result<(Vec<Definition>, Vec<Broken>)> {
        let mut found = (Vec::new(), Vec::new());
        self.add_of_parent(parent, &mut found)?;
        Ok(found)
    }

    fn add_of_parent(&self, parent: &str, (all, broken): &mut (Vec<Definition>, Vec<Broken>)) -> Result<()> {
        let mut leave_out = |uuid, error: Error| {
            broken.push(Broken { parent: parent.to_owned(), uuid, error: unless_exhausted(error)? });
            Ok(())
        };
        let dir = match self.open_parent(&self.base, parent) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Ok(()),
            // As for a list, it is not the folder of a parent.
            Err(e) if is_not_folder(&e) => return Ok(()),
            Err(e) => return leave_out(None, e),
        };
        for uuid in self.uuids(parent, &dir, &mut |e| leave_out(None, e))? {
            match self.read(parent, &dir, &uuid) {
                Ok(found) => all.extend(found.map(|one| one.definition)),
                Err(e) => leave_out(Some(uuid), e)?,
            }
        }
        Ok(())
    }

    pub(super) fn of_uuid(&self, uuid: &Uuid) -> Result<Vec<Definition>> {
        let (mut found, broken) = (Vec::new(), Cell::new(None));
        // A folder that cannot be read may contain the definition.
        let mut unknown = |e: Error| {
            broken.set(Some(unless_exhausted(e)?));
            Ok(())
        };
        let visit = &mut |parent: &str, dir: &OwnedFd| match self.read(parent, dir, uuid) {
            Ok(one) => {
                found.extend(one.map(|one| one.definition));
                Ok(())
            }
            Err(e) => {
                broken.set(Some(unless_exhausted(e)?));
                Ok(())
            }
        };
        self.each_parent(visit, &mut unknown)?;
        found.sort_unstable_by(|a: &Definition, b| a.parent.cmp(&b.parent));
        match broken.into_inner() {
            Some(e) if found.is_empty() => return Err(e),
            Some(e) => left_out(e)?,
            None => {}
        }
        Ok(found)
    }

    pub(super) fn get(&self, parent: &str, uuid: &Uuid) -> Result<Option<Definition>> {
        match self.open_parent(&self.base, parent)? {
            Some(dir) => Ok(self.read(parent, &dir, uuid)?.map(|found| found.definition)),
            None => Ok(None),
        }
    }

    pub(super) fn previous(&self, parent: &str, uuid: &Uuid) -> Result<Previous> {
        Ok(match self.old(parent, uuid)? {
            Old::Nothing => Previous::Nothing,
            Old::Broken(..) => Previous::Broken,
            Old::Found(found) => Previous::Definition(found.definition),
        })
    }

    pub(super) fn put(&self, new: &Definition, start: Start, check: &dyn Fn() -> Result<()>) -> Result<Definition> {
        let _alone = lock_store(&self.run, LOCK_TIMEOUT)?;
        check()?;
        let old = self.old(&new.parent, &new.uuid)?;
        let new = match &old {
            Old::Nothing => new.clone(),
            Old::Broken(why, _) => {
                log::warn!("{}: {why}; it is replaced", self.path(&new.parent, &new.uuid));
                new.clone()
            }
            Old::Found(old) => new.in_place_of(&old.definition, start),
        };
        self.write(&new, old)?;
        Ok(new)
    }

    pub(super) fn set_autostart(&self, parent: &str, uuid: &Uuid, autostart: bool) -> Result<bool> {
        let _alone = lock_store(&self.run, LOCK_TIMEOUT)?;
        let Some(dir) = self.open_parent(&self.base, parent)? else { return Ok(false) };
        let Some(found) = self.read(parent, &dir, uuid)? else { return Ok(false) };
        if found.definition.autostart == autostart {
            return Ok(true);
        }
        let new = Definition { autostart, ..found.definition };
        let text = json::update(Some(&found.text), &new);
        self.replace(&new, &Extras::of(&new), &text, found.own)?;
        Ok(true)
    }

    pub(super) fn remove(&self, parent: &str, uuid: &Uuid) -> Result<bool> {
        let _alone = lock_store(&self.run, LOCK_TIMEOUT)?;
        let Some(dir) = self.open_parent(&self.base, parent)? else { return Ok(false) };
        // Opened before the first removal: later, the process may have no descriptor left.
        let beside = self.open_extras(parent)?;
        sweep(&dir);
        // mdevctl's file first: without it, the extras have no effect.
        match unlinkat(&dir, uuid.to_string(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(self.failed("remove", &self.path(parent, uuid), errno)),
        }
        let kept = self.sync(&dir, &format!("{}/{parent}", self.base));
        if let Some(Err(e)) = beside.map(|beside| self.unlink_extras(&beside, parent, uuid)) {
            log::warn!("{e}; a later definition of this UUID and type may find it");
        }
        kept.map(|()| true)
    }

    fn path(&self, parent: &str, uuid: &Uuid) -> String {
        format!("{}/{parent}/{uuid}", self.base)
    }

    fn failed(&self, action: &str, path: &str, errno: Errno) -> Error {
        let hint = match errno {
            Errno::NOSPC | Errno::DQUOT => "; the definition is unchanged; free some space and try again",
            _ => "",
        };
        store_error(action, path, errno, hint)
    }

    /// Returns the error for an unusable file.
    fn read_error(&self, path: &str, error: &ReadError) -> Error {
        let (why, errno) = match error {
            // The file may be valid.
            ReadError::Io(errno) => return self.failed("read", path, *errno),
            ReadError::Invalid(why, _) => (why, Errno::BADMSG),
            ReadError::NotRegular(why, errno) => (why, *errno),
            ReadError::Untrusted(why) => (why, Errno::PERM),
        };
        Error::new(ErrorCode::Store, errno, format!("invalid definition {path}: {why}{FIX}")).at(path)
    }

    /// Visits every folder of a parent. Calls `closed` for a folder that cannot be opened.
    fn each_parent(
        &self,
        visit: &mut dyn FnMut(&str, &OwnedFd) -> Result<()>,
        closed: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<()> {
        let base = match open(&self.base, FOLDER, Mode::empty()) {
            Ok(base) => base,
            // This host has no definitions.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return closed(self.failed("open", &self.base, errno)),
        };
        for parent in self.names(&base, &self.base, closed)? {
            if !is_parent(&parent) {
                continue;
            }
            match openat(&base, &parent, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(dir) => visit(&parent, &dir)?,
                // A file or a link, not the folder of a parent.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {
                    log::debug!("{}/{parent}: left out, not a folder", self.base);
                }
                Err(errno) => closed(self.failed("open", &format!("{}/{parent}", self.base), errno))?,
            }
        }
        Ok(())
    }

    /// Returns the names in a folder. Calls `cut` if the listing fails before its end.
    fn names(&self, dir: &OwnedFd, path: &str, cut: &mut dyn FnMut(Error) -> Result<()>) -> Result<Vec<String>> {
        names(dir, &mut |errno| cut(self.failed("list", path, errno)))
    }

    fn uuids(&self, parent: &str, dir: &OwnedFd, cut: &mut dyn FnMut(Error) -> Result<()>) -> Result<Vec<Uuid>> {
        let folder = format!("{}/{parent}", self.base);
        let own = |name: &String| {
            let uuid = parse_uuid(name)?;
            let is_own = uuid.to_string() == *name;
            if !is_own {
                let what = "ignored, a definition is named by its UUID in lower case";
                let finding = Finding::new(ErrorCode::Store, format!("{folder}/{name}"), what);
                report(finding.serious().next(format!("rename it to {uuid}")));
            }
            is_own.then_some(uuid)
        };
        Ok(self.names(dir, &folder, cut)?.iter().filter_map(own).collect())
    }

    fn open_parent(&self, base: &str, parent: &str) -> Result<Option<OwnedFd>> {
        if !is_parent(parent) {
            return Err(Error::invalid(format!("'{}' is not the sysfs name of a parent", shown(parent))));
        }
        match open(&format!("{base}/{parent}"), FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("open", &format!("{base}/{parent}"), errno)),
        }
    }

    /// Opens the folder of a parent's extras; `None` if it does not exist.
    fn open_extras(&self, parent: &str) -> Result<Option<OwnedFd>> {
        match self.open_parent(&self.extras, parent) {
            Err(e) if is_not_folder(&e) => {
                log::warn!("{e}");
                Ok(None)
            }
            opened => opened,
        }
    }

    fn read(&self, parent: &str, dir: &OwnedFd, uuid: &Uuid) -> Result<Option<Found>> {
        match file::definition(dir, parent, uuid) {
            Ok(Some(read)) => self.complete(read).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(self.read_error(&self.path(parent, uuid), &error)),
        }
    }

    fn complete(&self, (mut definition, text, identity): file::Read) -> Result<Found> {
        let beside = self.read_extras(&definition.parent, &definition.uuid)?;
        let own = beside.and_then(|beside| beside.belonging_to(&identity, &definition.type_id));
        if let Some(own) = own.clone() {
            own.lend(&mut definition);
        }
        let own = own.map(|own| own.owned_by(&identity));
        Ok(Found { definition, text, identity, own })
    }

    /// Reads extras. Invalid extras count as missing: the device can be started without them. Fails if they cannot be read, since they may
    /// contain the owner.
    fn read_extras(&self, parent: &str, uuid: &Uuid) -> Result<Option<Extras>> {
        let Some(dir) = self.open_extras(parent)? else { return Ok(None) };
        let path = format!("{}/{parent}/{uuid}", self.extras);
        let error = match file::text(&dir, &uuid.to_string()) {
            Ok(None) => return Ok(None),
            Ok(Some((text, _))) => match serde_json::from_slice(&text) {
                Ok(extras) => return Ok(Some(extras)),
                Err(e) => ReadError::Invalid(e.to_string(), text),
            },
            Err(error) => error,
        };
        let e = self.read_error(&path, &error);
        match error {
            ReadError::Invalid(..) | ReadError::NotRegular(..) => {
                log::warn!("{e}");
                Ok(None)
            }
            ReadError::Untrusted(_) | ReadError::Io(_) => Err(e),
        }
    }

    /// Reads the existing definition before a write.
    fn old(&self, parent: &str, uuid: &Uuid) -> Result<Old> {
        let Some(dir) = self.open_parent(&self.base, parent)? else { return Ok(Old::Nothing) };
        let mut retries = 0;
        loop {
            match file::definition(&dir, parent, uuid) {
                Ok(None) => return Ok(Old::Nothing),
                Ok(Some(read)) => return Ok(Old::Found(Box::new(self.complete(read)?))),
                Err(ReadError::Invalid(..)) if retries < RETRIES => {
                    retries += 1;
                    std::thread::sleep(RETRY_INTERVAL);
                }
                Err(ReadError::Invalid(why, text)) => return Ok(Old::Broken(why, Some(text))),
                Err(ReadError::NotRegular(why, _)) => return Ok(Old::Broken(why, None)),
                Err(error) => return Err(self.read_error(&self.path(parent, uuid), &error)),
            }
        }
    }

    /// Writes a definition. If the writer is killed or a write fails, either the old or the new definition remains.
    fn write(&self, new: &Definition, old: Old) -> Result<()> {
        let extras = Extras::of(new);
        let old = match old {
            Old::Found(old) => old,
            Old::Nothing => return self.replace(new, &extras, &json::update(None, new), None),
            // An invalid file may have valid unknown members, which are kept.
            Old::Broken(_, text) => return self.replace(new, &extras, &json::update(text.as_deref(), new), None),
        };
        let text = json::update(Some(&old.text), new);
        if old.text == text.as_bytes() {
            return self.write_extras(new, &extras.owned_by(&old.identity));
        }
        self.replace(new, &extras, &text, old.own)
    }

    /// Writes both files. The extras are first: without their mdevctl file, they have no effect. `before` are the extras of the existing
    /// file.
    fn replace(&self, new: &Definition, extras: &Extras, text: &str, before: Option<Extras>) -> Result<()> {
        let folder = format!("{}/{}", self.base, new.parent);
        let failed = |errno| self.failed("write", &format!("{folder}/{}", new.uuid), errno);
        let dir = self.make_parent(&self.base, &new.parent)?;
        sweep(&dir);
        let file = Unnamed::new(&dir, text.as_bytes()).map_err(failed)?;
        fsync(file.file()).map_err(failed)?;
        let identity = FileIdentity::of(file.file()).map_err(failed)?.with(text.as_bytes());
        let before = before.filter(|before| !before.is_empty());
        let is_first = before.is_none();
        let written = match extras.is_empty() {
            // Old extras must not apply to the new definition.
            true if is_first => self.write_extras(new, extras),
            true => Ok(()),
            false => self.write_extras(new, &extras.owned_by(&identity).after(before)),
        };
        if let Err(e) = written.and_then(|()| file.replace(&new.uuid.to_string()).map_err(failed)) {
            // A file that contains the old extras needs no change.
            if is_first {
                self.discard_extras(new);
            }
            return Err(e);
        }
        let kept = self.sync(&dir, &folder);
        if extras.is_empty() {
            self.discard_extras(new);
        }
        kept
    }

    /// Writes the file of extras, or removes it if there are none. The file is complete or unchanged, also after a loss of power.
    fn write_extras(&self, new: &Definition, extras: &Extras) -> Result<()> {
        if extras.is_empty() {
            return match self.open_extras(&new.parent)? {
                Some(dir) => self.unlink_extras(&dir, &new.parent, &new.uuid),
                None => Ok(()),
            };
        }
        let text = serde_json::to_string_pretty(extras).unwrap_or_default();
        let folder = format!("{}/{}", self.extras, new.parent);
        let failed = |errno| self.failed("write", &format!("{folder}/{}", new.uuid), errno);
        let dir = self.make_parent(&self.extras, &new.parent)?;
        sweep(&dir);
        let file = Unnamed::new(&dir, text.as_bytes()).map_err(failed)?;
        fsync(file.file()).map_err(failed)?;
        file.replace(&new.uuid.to_string()).map_err(failed)?;
        self.sync(&dir, &folder)
    }

    /// Removes extras without a definition. Logs a failure, since such extras are ignored.
    fn discard_extras(&self, of: &Definition) {
        let removed = self.write_extras(of, &Extras::default());
        removed.unwrap_or_else(|e| log::warn!("{e}; the remaining file belongs to no definition"));
    }

    /// Makes a change durable.
    fn sync(&self, dir: impl AsFd, path: &str) -> Result<()> {
        let hint = "; the change is done, but may be lost if the power fails";
        fsync(dir).map_err(|errno| store_error("write", path, errno, hint))
    }

    fn make_parent(&self, base: &str, parent: &str) -> Result<OwnedFd> {
        if let Some(dir) = self.open_parent(base, parent)? {
            return Ok(dir);
        }
        let folder = format!("{base}/{parent}");
        for path in [above(base), base, &folder] {
            let mode = Mode::from_raw_mode(0o755);
            match mkdirat(CWD, path, mode).and_then(|()| chmodat(CWD, path, mode, AtFlags::empty())) {
                Ok(()) => {
                    let kept = open(above(path), FOLDER, Mode::empty()).and_then(fsync);
                    kept.map_err(|errno| self.failed("write", above(path), errno))?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("make", path, errno)),
            }
        }
        let made = self.open_parent(base, parent)?;
        made.ok_or_else(|| self.failed("open", &folder, Errno::NOENT))
    }

    fn unlink_extras(&self, dir: &OwnedFd, parent: &str, uuid: &Uuid) -> Result<()> {
        sweep(dir);
        match unlinkat(dir, uuid.to_string(), AtFlags::empty()) {
            Ok(()) => self.sync(dir, &format!("{}/{parent}", self.extras)),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", &format!("{}/{parent}/{uuid}", self.extras), errno)),
        }
    }
}

/// A definition with the data of its two files.
struct Found {
    definition: Definition,
    text: Vec<u8>,
    identity: FileIdentity,
    /// The extras that belong to the file.
    own: Option<Extras>,
}

/// The state of the file before a write.
enum Old {
    Nothing,
    /// The cause, and the text of the file if it was read.
    Broken(String, Option<Vec<u8>>),
    Found(Box<Found>),
}

/// True if this may be the sysfs name of a parent.
fn is_parent(name: &str) -> bool {
    is_component(name) && name != SCRIPTS && !name.starts_with('.')
}

fn store_error(action: &str, path: &str, errno: Errno, hint: &str) -> Error {
    let plain = Error::io(action, path, errno);
    let code = if plain.code == ErrorCode::AccessDenied { plain.code } else { ErrorCode::Store };
    Error { code, message: format!("{}{hint}", plain.message), ..plain }
}

/// True for the error of a file or link that is not a folder.
fn is_not_folder(e: &Error) -> bool {
    [Errno::NOTDIR, Errno::LOOP].contains(&e.errno())
}

/// True for the error of a definition or folder that could not be read: the definition may be valid. False for the error of a definition
/// that was read and is invalid.
pub fn is_unreadable(e: &Error) -> bool {
    !is_invalid(e) && !is_not_folder(e)
}

/// True for the error of a definition that was read and is invalid.
fn is_invalid(e: &Error) -> bool {
    e.message.ends_with(FIX)
}

/// The next step for a definition that cannot be used.
const FIX: &str = "; fix or remove the file";

/// Reports a definition or folder that is left out. Fails if this process has run out of descriptors or memory.
fn left_out(e: Error) -> Result<()> {
    let e = unless_exhausted(e)?;
    let mut finding = Finding::from(&e).serious();
    if let Some(what) = e.message.strip_suffix(FIX) {
        // The file was read, so no call failed.
        finding = Finding { message: what.to_owned(), errno: None, ..finding }.next(FIX.trim_start_matches("; "));
    }
    report(finding);
    Ok(())
}

/// Returns the parent folder of a folder.
fn above(path: &str) -> &str {
    path.rfind('/').filter(|end| *end > 0).map_or("/", |end| &path[..end])
}
