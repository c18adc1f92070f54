// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which scripts a host has.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;

use crate::error::{Error, ErrorCode, Result, describe};
use crate::trust::writable_by_others;

/// More entries than any host has, the two that every folder has among them; a folder of that many is not one of scripts.
const SCRIPTS_MAX: usize = 258;

/// A script, open: the file that was checked; its path may lead to another file later.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) path: PathBuf,
    pub(super) file: OwnedFd,
}

/// The scripts in the folders called `kinds` of each of `folders`, in the order in which mdevctl asks them. Fails if a script
/// that might refuse cannot be asked: a folder cannot be read, or another user may change a folder or a script.
pub(super) fn of<const N: usize>(folders: &[PathBuf], kinds: [&str; N]) -> Result<[Vec<Script>; N]> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut found = kinds.map(|_| Vec::new());
    for folder in folders {
        let above = match open(folder, flags, Mode::empty()) {
            Ok(above) => above,
            Err(errno) if is_absent(errno) => continue,
            Err(errno) => return Err(closed(folder, errno)),
        };
        check(&above, folder)?;
        for (kind, found) in kinds.iter().zip(&mut found) {
            let folder = folder.join(kind);
            match openat(&above, *kind, flags, Mode::empty()) {
                Ok(dir) => found.extend(in_folder(&dir, &folder)?),
                Err(errno) if is_absent(errno) => {}
                Err(errno) => return Err(closed(&folder, errno)),
            }
        }
    }
    Ok(found)
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR)
}

fn closed(folder: &Path, errno: Errno) -> Error {
    let path = folder.display().to_string();
    let message = format!("the scripts in {path} cannot be asked, so this was not done: {}", describe(errno));
    Error::new(ErrorCode::Callout, errno, message).at(path)
}

/// Fails if another user may change the script, or put another one into the folder. It could refuse if it were asked, so it
/// is not passed over.
fn check(file: &OwnedFd, path: &Path) -> Result<()> {
    let stat = fstat(file).map_err(|errno| closed(path, errno))?;
    let path = path.display().to_string();
    let owner = stat.st_uid;
    let why = if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        Some(format!("it belongs to user {owner}, neither to root nor to the caller (chown root)"))
    } else {
        writable_by_others(&stat)
    };
    why.map_or(Ok(()), |why| {
        let message = format!("cannot run the call-outs of {path}, so nothing was done: {why}");
        Err(Error::new(ErrorCode::Callout, Errno::CANCELED, message).at(path))
    })
}

fn in_folder(dir: &OwnedFd, folder: &Path) -> Result<Vec<Script>> {
    let failed = |errno| closed(folder, errno);
    check(dir, folder)?;
    let mut scripts = Vec::new();
    for entry in Dir::read_from(dir).map_err(failed)?.take(SCRIPTS_MAX) {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let path = folder.join(name);
        if let Some(file) = open_script(dir, name, &path).map_err(failed)? {
            check(&file, &path)?;
            scripts.push(Script { path, file });
        }
    }
    scripts.sort_unstable_by(|a: &Script, b| a.path.cmp(&b.path));
    Ok(scripts)
}

/// `None` for a folder, a file that is not executable, and a link that leads to nothing. Any other link is followed: vendors'
/// packages link their scripts here.
fn open_script(dir: &OwnedFd, name: &str, path: &Path) -> std::result::Result<Option<OwnedFd>, Errno> {
    // O_PATH: an open for reading may act on what is no regular file.
    let file = match openat(dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        // A link that leads to nothing that this caller could run.
        Err(errno) if is_absent(errno) || matches!(errno, Errno::LOOP | Errno::ACCESS) => {
            log::warn!("{}: not run: {}", path.display(), describe(errno));
            return Ok(None);
        }
        Err(errno) => return Err(errno),
    };
    let mode = fstat(&file)?.st_mode;
    let is_program = FileType::from_raw_mode(mode) == FileType::RegularFile && mode & 0o111 != 0;
    Ok(is_program.then_some(file))
}
