// SPDX-License-Identifier: LGPL-2.1-or-later
//! Folders of links to devices.

use std::collections::BTreeMap;

use super::Place;
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, report};
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, if_present, is_absent, is_exhausted, resolve};

/// Visits every entry of a directory; none if the directory does not exist. Reports and leaves out an entry whose visit fails.
/// Fails only when this process has run out of descriptors or memory.
pub(super) fn scan(sysfs: &dyn Sysfs, path: &str, visit: &mut dyn FnMut(&dyn Dir, &str) -> IoResult<()>) -> Result<()> {
    let dir = match sysfs.open(path) {
        Ok(dir) => dir,
        // A kernel without this bus.
        Err(errno) if is_absent(errno) => return Ok(()),
        Err(errno) if is_exhausted(errno) => return Err(Error::io("open", path, errno)),
        Err(errno) => {
            report(Finding::io(path, "its devices are not listed, it cannot be opened", errno));
            return Ok(());
        }
    };
    let mut exhausted = None;
    let listed = dir.list(&mut |name, _| match visit(&*dir, name) {
        Err(errno) if is_exhausted(errno) => exhausted = Some(errno),
        Err(errno) => report(Finding::io(format!("{path}/{name}"), "left out", errno)),
        Ok(()) => {}
    });
    match exhausted.map_or(listed, Err) {
        Ok(()) => Ok(()),
        Err(errno) if is_exhausted(errno) => Err(Error::io("list", path, errno)),
        Err(errno) => {
            report(Finding::io(path, "it cannot be listed to its end", errno));
            Ok(())
        }
    }
}

pub(super) fn follow(dir: &dyn Dir, name: &str) -> IoResult<Option<String>> {
    let target = match dir.link(name) {
        // Not a link.
        Err(Errno::INVAL) => None,
        link => if_present(link)?.and_then(|target| resolve(dir.path(), &target)),
    };
    if target.is_none() {
        let link = format!("{}/{name}", dir.path());
        report(Finding::new(ErrorCode::BadData, link, "left out, not a link to an existing directory"));
    }
    Ok(target)
}

/// The places of subsystems by path.
pub(super) fn sorted(found: BTreeMap<String, String>) -> Vec<Place> {
    found.into_iter().map(|(syspath, subsystem)| Place { syspath, subsystem }).collect()
}
