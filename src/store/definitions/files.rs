// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files of definitions. Everything is reached from descriptors of the folders, and no symbolic link is followed below
//! them: a definition makes root write to devices.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, fstat, fsync, mkdirat, open, openat, unlinkat};
use rustix::io::Errno;
use uuid::Uuid;

use super::extras::Extras;
use super::{Broken, Definition, json};
use crate::error::{Error, ErrorCode, Result, describe, shown};
use crate::model::name::{is_component, parse_uuid};
use crate::store::atomic::Unnamed;
use crate::store::files::lock_store;

/// The AP matrix needs some hundred attributes; nothing needs this much.
const TEXT_MAX: u64 = 1024 * 1024;

/// The folder of definitions below a root.
pub const MDEVCTL_FOLDER: &str = "/etc/mdevctl.d";

/// mdevctl keeps its call-outs among the parents.
const SCRIPTS: &str = "scripts.d";

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// `etc/mdevctl.d` and `etc/libmdev` below a root.
#[derive(Debug)]
pub struct DefinitionFiles {
    /// `.../etc/mdevctl.d`
    base: String,
    /// `.../etc/libmdev/definitions`
    extras: String,
    /// `.../run/libmdev`, which has the lock.
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

    /// The folder of the definitions.
    pub fn folder(&self) -> &str {
        &self.base
    }

    /// The root that it is below.
    pub fn root(&self) -> &str {
        self.base.strip_suffix(MDEVCTL_FOLDER).unwrap_or_default()
    }

    pub(super) fn of_parent(&self, parent: &str) -> Vec<Definition> {
        // A folder that is none of a parent, or that is gone, has none.
        let Ok(Some(dir)) = self.open_parent(&self.base, parent) else { return Vec::new() };
        let mut found = Vec::new();
        for uuid in self.uuids(parent, &dir) {
            match self.read(parent, &dir, &uuid) {
                Ok(one) => found.extend(one),
                Err(e) => log::warn!("{e}: left out"),
            }
        }
        found.sort_unstable_by_key(|def: &Definition| def.uuid);
        found
    }

    pub(super) fn all(&self) -> Vec<Definition> {
        let mut all = Vec::new();
        self.each_parent(&mut |parent, dir| {
            for uuid in self.uuids(parent, dir) {
                match self.read(parent, dir, &uuid) {
                    Ok(found) => all.extend(found),
                    Err(e) => log::warn!("{e}: left out"),
                }
            }
        });
        all.sort_unstable_by(|a: &Definition, b| (&a.parent, a.uuid).cmp(&(&b.parent, b.uuid)));
        all
    }

    pub(super) fn all_and_broken(&self) -> Result<(Vec<Definition>, Vec<Broken>)> {
        let (mut all, mut broken) = (Vec::new(), Vec::new());
        let base = match open(&*self.base, FOLDER, Mode::empty()) {
            Ok(base) => base,
            Err(Errno::NOENT) => return Ok((all, broken)),
            Err(errno) => return Err(self.failed("open", &self.base, errno)),
        };
        for parent in names(&base, &self.base) {
            if parent == SCRIPTS || parent.starts_with('.') {
                continue;
            }
            let dir = match self.open_parent(&self.base, &parent) {
                Ok(Some(dir)) => dir,
                Ok(None) => continue,
                // As in a list.
                Err(e) if [Errno::NOTDIR, Errno::LOOP].iter().any(|errno| errno.raw_os_error() == e.errno) => continue,
                Err(error) => {
                    broken.push(Broken { parent, uuid: None, error });
                    continue;
                }
            };
            for uuid in self.uuids(&parent, &dir) {
                match self.read(&parent, &dir, &uuid) {
                    Ok(found) => all.extend(found),
                    Err(error) => broken.push(Broken { parent: parent.clone(), uuid: Some(uuid), error }),
                }
            }
        }
        all.sort_unstable_by(|a: &Definition, b| (&a.parent, a.uuid).cmp(&(&b.parent, b.uuid)));
        broken.sort_unstable_by(|a: &Broken, b| (&a.parent, a.uuid).cmp(&(&b.parent, b.uuid)));
        Ok((all, broken))
    }

    pub(super) fn of_uuid(&self, uuid: &Uuid) -> Result<Vec<Definition>> {
        let (mut found, mut broken) = (Vec::new(), None);
        self.each_parent(&mut |parent, dir| match self.read(parent, dir, uuid) {
            Ok(one) => found.extend(one),
            Err(e) => broken = Some(e),
        });
        found.sort_unstable_by(|a: &Definition, b| a.parent.cmp(&b.parent));
        match broken {
            Some(e) if found.is_empty() => Err(e),
            Some(e) => {
                log::warn!("{e}: left out");
                Ok(found)
            }
            None => Ok(found),
        }
    }

    pub(super) fn get(&self, parent: &str, uuid: &Uuid) -> Result<Option<Definition>> {
        match self.open_parent(&self.base, parent)? {
            Some(dir) => self.read(parent, &dir, uuid),
            None => Ok(None),
        }
    }

    pub(super) fn put(&self, new: &Definition, check: &dyn Fn() -> Result<()>) -> Result<()> {
        let _alone = lock_store(&self.run)?;
        check()?;
        // A broken one is replaced.
        match self.get(&new.parent, &new.uuid).ok().flatten() {
            Some(old) => self.write(&Definition { autostart: old.autostart || new.autostart, ..new.clone() }),
            None => self.write(new),
        }
    }

    pub(super) fn set_autostart(&self, parent: &str, uuid: &Uuid, autostart: bool) -> Result<bool> {
        let _alone = lock_store(&self.run)?;
        let Some(found) = self.get(parent, uuid)? else { return Ok(false) };
        if found.autostart != autostart {
            self.write(&Definition { autostart, ..found })?;
        }
        Ok(true)
    }

    pub(super) fn remove(&self, parent: &str, uuid: &Uuid) -> Result<bool> {
        let _alone = lock_store(&self.run)?;
        let Some(dir) = self.open_parent(&self.base, parent)? else { return Ok(false) };
        sweep(&dir);
        // First what counts: without it, the rest counts for nothing.
        match unlinkat(&dir, uuid.to_string(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(self.failed("remove", &self.path(parent, uuid), errno)),
        }
        self.sync(&dir, parent)?;
        self.remove_extras(parent, uuid);
        Ok(true)
    }

    fn path(&self, parent: &str, uuid: &Uuid) -> String {
        format!("{}/{parent}/{uuid}", self.base)
    }

    fn failed(&self, action: &str, path: &str, errno: Errno) -> Error {
        let plain = Error::io(action, path, errno);
        let hint = match errno {
            Errno::NOSPC | Errno::DQUOT => "; the definition is as it was, make room and try again",
            _ => "",
        };
        let code = if plain.code == ErrorCode::AccessDenied { plain.code } else { ErrorCode::Store };
        Error { code, message: format!("{}{hint}", plain.message), ..plain }
    }

    /// Every folder of a parent.
    fn each_parent(&self, visit: &mut dyn FnMut(&str, &OwnedFd)) {
        let base = match open(&*self.base, FOLDER, Mode::empty()) {
            Ok(base) => base,
            // Nothing was ever defined on this host.
            Err(Errno::NOENT) => return,
            Err(errno) => {
                log::warn!("{}: cannot be opened: {errno}; no definition is known", self.base);
                return;
            }
        };
        for parent in names(&base, &self.base) {
            if parent == SCRIPTS || parent.starts_with('.') {
                continue;
            }
            match openat(&base, &*parent, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(dir) => visit(&parent, &dir),
                // A stray file, or a link: not a parent's folder.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {
                    log::debug!("{}/{parent}: left out, not a folder", self.base);
                }
                Err(errno) => log::warn!("{}/{parent}: left out, cannot be opened: {errno}", self.base),
            }
        }
    }

    fn uuids(&self, parent: &str, dir: &OwnedFd) -> Vec<Uuid> {
        let own = |name: &String| parse_uuid(name).filter(|uuid| uuid.to_string() == *name);
        names(dir, &format!("{}/{parent}", self.base)).iter().filter_map(own).collect()
    }

    fn open_parent(&self, base: &str, parent: &str) -> Result<Option<OwnedFd>> {
        if !is_component(parent) || parent == SCRIPTS || parent.starts_with('.') {
            return Err(Error::invalid(format!("'{}' is not the sysfs name of a parent", shown(parent))));
        }
        let opened = open(base, FOLDER, Mode::empty())
            .and_then(|base| openat(base, parent, FOLDER | OFlags::NOFOLLOW, Mode::empty()));
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("open", &format!("{base}/{parent}"), errno)),
        }
    }

    fn read(&self, parent: &str, dir: &OwnedFd, uuid: &Uuid) -> Result<Option<Definition>> {
        let broken = |why: &str, errno| {
            let path = self.path(parent, uuid);
            let message = format!("cannot use the definition {path}: {why}; mend or remove it");
            Error::new(ErrorCode::Store, errno, message).at(path)
        };
        let text = match read_text(dir, &uuid.to_string()) {
            Ok(None) => return Ok(None),
            Ok(Some(text)) => text,
            Err((why, errno)) => return Err(broken(&why, errno)),
        };
        let json::Text { type_id, autostart, attributes } =
            json::parse(&text).map_err(|why| broken(&why, Errno::BADMSG))?;
        let parent = parent.to_owned();
        let mut found = Definition { parent, uuid: *uuid, type_id, autostart, attributes, ..Definition::default() };
        let extras = self.read_extras(&found.parent, uuid);
        if let Some(extras) = extras.and_then(|extras| extras.belonging_to(&text, &found.type_id)) {
            extras.lend(&mut found);
        }
        Ok(Some(found))
    }

    /// What cannot be read of these is as if it were not there: the device can be started all the same.
    fn read_extras(&self, parent: &str, uuid: &Uuid) -> Option<Extras> {
        let dir = self.open_parent(&self.extras, parent).ok()??;
        let failed = |why: &str| log::warn!("{}/{parent}/{uuid}: cannot be used: {why}", self.extras);
        match read_text(&dir, &uuid.to_string()) {
            Ok(text) => serde_json::from_slice(&text?).map_err(|e| failed(&e.to_string())).ok(),
            Err((why, _)) => {
                failed(&why);
                None
            }
        }
    }

    /// Whoever is killed or has no room on the way leaves the old definition or the new one.
    fn write(&self, new: &Definition) -> Result<()> {
        let old = self.open_parent(&self.base, &new.parent)?;
        let old = old.and_then(|dir| read_text(&dir, &new.uuid.to_string()).ok().flatten());
        let text = json::update(old.as_deref(), new);
        let extras = Extras::of(new);
        // A broken file says nothing that could be kept.
        let old = old.and_then(|old| Some((Definition::from_json(&new.parent, new.uuid, &old)?, old)));
        let Some((definition, old)) = old else {
            // First what says nothing by itself: whoever sees the new definition sees all of it.
            self.write_extras(new, &extras)?;
            return self.write_file(&self.base, new, text.as_bytes());
        };
        if old == text.as_bytes() {
            return self.write_extras(new, &extras);
        }
        let beside = self.read_extras(&new.parent, &new.uuid);
        if beside.as_ref().map_or(extras.is_empty(), |beside| *beside == extras) {
            return self.write_file(&self.base, new, text.as_bytes());
        }
        let before = beside.and_then(|beside| beside.belonging_to(&old, &definition.type_id)).unwrap_or_default();
        self.write_extras(new, &extras.after(&old, before))?;
        self.write_file(&self.base, new, text.as_bytes())?;
        self.write_extras(new, &extras)
    }

    fn write_extras(&self, new: &Definition, extras: &Extras) -> Result<()> {
        if extras.is_empty() && !extras.is_on_the_way() {
            self.remove_extras(&new.parent, &new.uuid);
            return Ok(());
        }
        let text = serde_json::to_string_pretty(extras).unwrap_or_default();
        self.write_file(&self.extras, new, text.as_bytes())
    }

    /// Whole or not at all, also over a loss of power.
    fn write_file(&self, base: &str, new: &Definition, text: &[u8]) -> Result<()> {
        let path = format!("{base}/{}/{}", new.parent, new.uuid);
        let failed = |errno| self.failed("write", &path, errno);
        let dir = self.make_parent(base, &new.parent)?;
        sweep(&dir);
        let file = Unnamed::new(&dir, text).map_err(failed)?;
        fsync(file.file()).map_err(failed)?;
        let name = new.uuid.to_string();
        match file.name(&name) {
            Err(Errno::EXIST) => file.replace(&name).map_err(failed)?,
            result => result.map_err(failed)?,
        }
        self.sync(&dir, &new.parent)
    }

    fn sync(&self, dir: impl AsFd, parent: &str) -> Result<()> {
        fsync(dir).map_err(|errno| self.failed("write", &format!("{}/{parent}", self.base), errno))
    }

    fn make_parent(&self, base: &str, parent: &str) -> Result<OwnedFd> {
        if let Some(dir) = self.open_parent(base, parent)? {
            return Ok(dir);
        }
        let above = base.rfind('/').map_or("", |end| &base[..end]);
        for path in [above, base, &format!("{base}/{parent}")] {
            let mode = Mode::from_raw_mode(0o755);
            match mkdirat(CWD, path, mode).and_then(|()| chmodat(CWD, path, mode, AtFlags::empty())) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("make", path, errno)),
            }
        }
        let kept = open(base, FOLDER, Mode::empty()).and_then(fsync);
        kept.map_err(|errno| self.failed("write", base, errno))?;
        let made = self.open_parent(base, parent)?;
        made.ok_or_else(|| self.failed("open", &format!("{base}/{parent}"), Errno::NOENT))
    }

    fn remove_extras(&self, parent: &str, uuid: &Uuid) {
        if let Ok(Some(dir)) = self.open_parent(&self.extras, parent) {
            sweep(&dir);
            // Without mdevctl's file, or with another type in it, they count for nothing.
            let _ = unlinkat(&dir, uuid.to_string(), AtFlags::empty());
        }
    }
}

/// A regular file of ours or of root's that not everybody may write, whole. `None`: there is none.
fn read_text(dir: &OwnedFd, name: &str) -> std::result::Result<Option<Vec<u8>>, (String, Errno)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let failed = |errno| (describe(errno), errno);
    let fd = match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(("it is a symbolic link".to_owned(), Errno::LOOP)),
        Err(errno) => return Err(failed(errno)),
    };
    let stat = fstat(&fd).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(("it is not a regular file".to_owned(), Errno::INVAL));
    }
    let us = rustix::process::geteuid().as_raw();
    if us == 0 && stat.st_uid != 0 {
        return Err((format!("it belongs to user {}, who would have root write to devices", stat.st_uid), Errno::PERM));
    }
    if stat.st_mode & 0o002 != 0 {
        return Err(("everybody may write it (chmod o-w)".to_owned(), Errno::PERM));
    }
    let mut text = Vec::new();
    std::fs::File::from(fd)
        .take(TEXT_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|e| failed(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
    if text.len() as u64 > TEXT_MAX {
        return Err((format!("it is larger than {} KiB", TEXT_MAX >> 10), Errno::FBIG));
    }
    Ok(Some(text))
}

/// Under the lock: what killed writers have left. mdevctl would warn of each at every call.
fn sweep(dir: &OwnedFd) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let own = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new").or(name.strip_suffix(".part")));
        if own.is_some_and(|uuid| parse_uuid(uuid).is_some()) {
            let _ = unlinkat(dir, name, AtFlags::empty());
        }
    }
}

fn names(dir: &OwnedFd, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    match Dir::read_from(dir) {
        Ok(entries) => {
            for entry in entries.flatten() {
                if let Ok(name) = entry.file_name().to_str() {
                    if name != "." && name != ".." {
                        names.push(name.to_owned());
                    }
                }
            }
        }
        Err(errno) => log::warn!("{path}: cannot be listed: {errno}"),
    }
    names
}
