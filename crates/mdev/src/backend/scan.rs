// SPDX-License-Identifier: LGPL-2.1-or-later
//! Folders of links to devices.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, or_report, report};
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, if_present, names, resolve};

/// Visits every entry of a directory; none if the directory does not exist. Reports and leaves out an entry whose visit fails.
/// Fails only when this process has run out of descriptors or memory.
pub(super) fn scan(sysfs: &dyn Sysfs, path: &str, visit: &mut dyn FnMut(&dyn Dir, &str) -> IoResult<()>) -> Result<()> {
    // A kernel may not have this bus.
    let opened = or_report(if_present(sysfs.open(path)), |errno| {
        Finding::io(path, "its devices are not listed, it cannot be opened", errno)
    });
    let opened = opened.map_err(|errno| Error::io("open", path, errno))?;
    let Some(dir) = opened.flatten() else { return Ok(()) };
    let mut entries = BTreeSet::new();
    let listed = names(&*dir, &mut entries);
    or_report(listed, |errno| Finding::io(path, "it cannot be listed to its end", errno))
        .map_err(|errno| Error::io("list", path, errno))?;
    for name in entries {
        let visited = or_report(visit(&*dir, &name), |errno| Finding::io(format!("{path}/{name}"), "left out", errno));
        visited.map_err(|errno| Error::io("list", path, errno))?;
    }
    Ok(())
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
