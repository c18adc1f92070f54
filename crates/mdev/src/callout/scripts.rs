// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the scripts of a host.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;

use crate::error::{Error, ErrorCode, Result, describe};
use crate::trust::writable_by_others;

/// The most entries of a folder that are read, with `.` and `..`. No host has as many.
const SCRIPTS_MAX: usize = 258;

/// A script as an open file. This is the checked file, even if its path leads to another file later.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) path: PathBuf,
    pub(super) file: OwnedFd,
}

/// Returns the scripts in the folders `subfolders` of each of `folders`, in the order in which mdevctl runs them. Fails if a folder cannot
/// be read, or if another user may change a folder or a script, since a script in it might refuse the action.
pub(super) fn find<const N: usize>(folders: &[PathBuf], subfolders: [&str; N]) -> Result<[Vec<Script>; N]> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut found = subfolders.map(|_| Vec::new());
    for folder in folders {
        let outer = match open(folder, flags, Mode::empty()) {
            Ok(outer) => outer,
            Err(errno) if is_absent(errno) => continue,
            Err(errno) => return Err(read_error(folder, errno)),
        };
        check(&outer, folder)?;
        for (name, found) in subfolders.iter().zip(&mut found) {
            let folder = folder.join(name);
            match openat(&outer, *name, flags, Mode::empty()) {
                Ok(dir) => found.extend(in_folder(&dir, &folder)?),
                Err(errno) if is_absent(errno) => {}
                Err(errno) => return Err(read_error(&folder, errno)),
            }
        }
    }
    Ok(found)
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR)
}

fn read_error(folder: &Path, errno: Errno) -> Error {
    let path = folder.display().to_string();
    let message = format!("cannot read the call-outs in {path}, so nothing was done: {}", describe(errno));
    Error::new(ErrorCode::Callout, errno, message).at(path)
}

/// Fails if another user may change the script, or add scripts to the folder. The script might refuse, so it must not be skipped.
fn check(file: &OwnedFd, path: &Path) -> Result<()> {
    let stat = fstat(file).map_err(|errno| read_error(path, errno))?;
    let path = path.display().to_string();
    let owner = stat.st_uid;
    let reason = if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        Some(format!("it belongs to user {owner} and not to root or to the caller (chown root)"))
    } else {
        writable_by_others(&stat)
    };
    reason.map_or(Ok(()), |reason| {
        let message = format!("cannot run the call-outs of {path}, so nothing was done: {reason}");
        Err(Error::new(ErrorCode::Callout, Errno::CANCELED, message).at(path))
    })
}

fn in_folder(dir: &OwnedFd, folder: &Path) -> Result<Vec<Script>> {
    let failed = |errno| read_error(folder, errno);
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

/// Opens a script. `None` for a folder, a file that is not executable, and a link without a target. Other links are followed, since packages of
/// vendors install links to their scripts.
fn open_script(dir: &OwnedFd, name: &str, path: &Path) -> std::result::Result<Option<OwnedFd>, Errno> {
    // O_PATH, since an open for reading may have side effects on a file that is not regular.
    let file = match openat(dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        // A link to a file that does not exist or that the caller cannot access.
        Err(errno) if is_absent(errno) || matches!(errno, Errno::LOOP | Errno::ACCESS) => {
            log::warn!("call-out {} skipped: {}", path.display(), describe(errno));
            return Ok(None);
        }
        Err(errno) => return Err(errno),
    };
    let mode = fstat(&file)?.st_mode;
    let is_program = FileType::from_raw_mode(mode) == FileType::RegularFile && mode & 0o111 != 0;
    Ok(is_program.then_some(file))
}
