// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which scripts a host has.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, open, openat};
use rustix::io::Errno;

use crate::error::{Error, ErrorCode, Result, describe};

/// More entries than any host has, the two that every folder has among them; a folder of that many is not one of scripts.
const SCRIPTS_MAX: usize = 258;

/// A script, open: the file that was found fit, whatever has its path later.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) path: PathBuf,
    pub(super) file: OwnedFd,
}

/// The scripts in the folders called `kinds` of each of `folders`, in the order in which mdevctl asks them. A folder that is
/// there and that cannot be read may have one that would refuse.
pub(super) fn of<const N: usize>(folders: &[PathBuf], kinds: [&str; N]) -> Result<[Vec<Script>; N]> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut found = kinds.map(|_| Vec::new());
    for folder in folders {
        let above = match open(folder, flags, Mode::empty()).and_then(|above| own(above, folder)) {
            Ok(Some(above)) => above,
            Ok(None) => continue,
            Err(errno) if is_absent(errno) => continue,
            Err(errno) => return Err(closed(folder, errno)),
        };
        for (kind, found) in kinds.iter().zip(&mut found) {
            let folder = folder.join(kind);
            match openat(&above, *kind, flags, Mode::empty()).and_then(|dir| in_folder(dir, &folder)) {
                Ok(scripts) => found.extend(scripts),
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

/// `None` when a stranger could put another script into the folder after it was looked at.
fn own(dir: OwnedFd, folder: &Path) -> std::result::Result<Option<OwnedFd>, Errno> {
    let why = strangers(&fstat(&dir)?);
    if let Some(why) = &why {
        log::warn!("{}: its scripts are not run: {why}", folder.display());
    }
    Ok(why.is_none().then_some(dir))
}

fn in_folder(dir: OwnedFd, folder: &Path) -> std::result::Result<Vec<Script>, Errno> {
    let mut scripts = Vec::new();
    let Some(dir) = own(dir, folder)? else { return Ok(scripts) };
    for entry in Dir::read_from(&dir)?.take(SCRIPTS_MAX) {
        let entry = entry?;
        if entry.file_type() == FileType::Directory {
            continue;
        }
        let Ok(name) = entry.file_name().to_str() else { continue };
        let path = folder.join(name);
        match fitness(&dir, name)? {
            Fitness::Fit(file) => scripts.push(Script { path, file }),
            Fitness::NoScript => {}
            Fitness::Unfit(why) => log::warn!("{}: not run: {why}", path.display()),
        }
    }
    scripts.sort_unstable_by(|a: &Script, b| a.path.cmp(&b.path));
    Ok(scripts)
}

enum Fitness {
    Fit(OwnedFd),
    /// Not a regular file, or not executable.
    NoScript,
    Unfit(String),
}

/// Fit to be run with the caller's rights. A link is followed: vendors' packages link their scripts here.
fn fitness(dir: &OwnedFd, name: &str) -> std::result::Result<Fitness, Errno> {
    // O_PATH: an open for reading may act on what is no regular file.
    let file = match openat(dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        // A link that leads to nothing that this caller could run.
        Err(errno) if is_absent(errno) || matches!(errno, Errno::LOOP | Errno::ACCESS) => {
            return Ok(Fitness::Unfit(describe(errno)));
        }
        Err(errno) => return Err(errno),
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_mode & 0o111 == 0 {
        return Ok(Fitness::NoScript);
    }
    Ok(strangers(&stat).map_or(Fitness::Fit(file), Fitness::Unfit))
}

/// Why somebody else than root and the caller decides what is in it.
fn strangers(stat: &Stat) -> Option<String> {
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Some(format!("it belongs to user {}, neither to root nor to the caller", stat.st_uid));
    }
    (stat.st_mode & 0o002 != 0).then(|| "everybody may write it".to_owned())
}
