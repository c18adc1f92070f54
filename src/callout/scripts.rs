// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which scripts a host has.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;

/// More than any host has; a folder of that many is not one of scripts.
const SCRIPTS_MAX: usize = 256;

/// The scripts in the folders called `kinds` of each of `folders`, in the order in which mdevctl asks them.
pub(super) fn of<const N: usize>(folders: &[PathBuf], kinds: [&str; N]) -> [Vec<PathBuf>; N] {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut found = kinds.map(|_| Vec::new());
    for folder in folders {
        let above = match open(folder, flags, Mode::empty()) {
            Ok(above) => above,
            Err(errno) => {
                warn_closed(folder, errno);
                continue;
            }
        };
        for (kind, found) in kinds.iter().zip(&mut found) {
            match openat(&above, *kind, flags, Mode::empty()) {
                Ok(dir) => found.extend(in_folder(&dir, &folder.join(kind))),
                Err(errno) => warn_closed(&folder.join(kind), errno),
            }
        }
    }
    found
}

fn warn_closed(folder: &Path, errno: Errno) {
    if errno != Errno::NOENT {
        log::warn!("{}: its scripts are not run, it cannot be opened: {errno}", folder.display());
    }
}

fn in_folder(dir: &OwnedFd, folder: &Path) -> Vec<PathBuf> {
    let names = Dir::read_from(dir).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    let mut scripts: Vec<PathBuf> = names
        .filter(|name| !matches!(&**name, "." | ".."))
        .take(SCRIPTS_MAX)
        .filter_map(|name| {
            let path = folder.join(&name);
            match is_fit(dir, &name) {
                Ok(true) => Some(path),
                Ok(false) => None,
                Err(why) => {
                    log::warn!("{}: not run: {why}", path.display());
                    None
                }
            }
        })
        .collect();
    scripts.sort();
    scripts
}

/// Fit to be run with the caller's rights. A link is followed: vendors' packages link their scripts here.
fn is_fit(dir: &OwnedFd, name: &str) -> Result<bool, String> {
    let stat = match statat(dir, name, AtFlags::empty()) {
        Ok(stat) => stat,
        Err(errno) => return Err(crate::error::describe(errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_mode & 0o111 == 0 {
        return Ok(false);
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(format!("it belongs to user {}, neither to root nor to the caller", stat.st_uid));
    }
    if stat.st_mode & 0o002 != 0 {
        return Err("everybody may write it".to_owned());
    }
    Ok(true)
}
