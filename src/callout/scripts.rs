// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which scripts a host has.

use std::path::PathBuf;

use rustix::fs::{Access, AtFlags, Dir, FileType, Mode, OFlags, access, open, openat, statat};
use rustix::io::Errno;

/// More than any host has; a folder of that many is not one of scripts.
const SCRIPTS_MAX: usize = 256;

/// The scripts in the `kind` folder of each of `folders`, in the order in which mdevctl asks them.
pub(super) fn of(folders: &[PathBuf], kind: &str) -> Vec<PathBuf> {
    folders.iter().flat_map(|folder| in_folder(folder, kind)).collect()
}

/// One of the folders is there.
pub(super) fn are_there(folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| access(folder, Access::EXISTS).is_ok())
}

fn in_folder(folder: &std::path::Path, kind: &str) -> Vec<PathBuf> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match open(folder, flags, Mode::empty()).and_then(|above| openat(above, kind, flags, Mode::empty())) {
        Ok(dir) => dir,
        Err(errno) => {
            if errno != Errno::NOENT {
                log::warn!("{}/{kind}: its scripts are not run, it cannot be opened: {errno}", folder.display());
            }
            return Vec::new();
        }
    };
    let names = Dir::read_from(&dir).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    let mut scripts: Vec<PathBuf> = names
        .filter(|name| !matches!(&**name, "." | ".."))
        .take(SCRIPTS_MAX)
        .filter_map(|name| {
            let path = folder.join(kind).join(&name);
            match is_fit(&dir, &name) {
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
fn is_fit(dir: &rustix::fd::OwnedFd, name: &str) -> Result<bool, String> {
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
