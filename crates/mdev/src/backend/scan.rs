// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads folders of links to devices.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, or_report, report};
use crate::sysfs::{Dir, Errno, IoResult, Sysfs, if_present, names, resolve};

/// Calls `visit` for every entry of a folder; for none if the folder does not exist. Reports and leaves out an entry
/// for which `visit` fails. Fails only if this process has run out of descriptors or memory.
pub(super) fn scan(sysfs: &dyn Sysfs, path: &str, visit: &mut dyn FnMut(&dyn Dir, &str) -> IoResult<()>) -> Result<()> {
    // A kernel without this bus does not have the folder.
    let opened = or_report(if_present(sysfs.open(path)), |errno| {
        Finding::io(path, "its devices are left out, it cannot be opened", errno)
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

/// The path to which a link leads. `None` if the entry is not a link to an existing folder; reports that.
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

/// The places with these paths and subsystems, in the order of the paths.
pub(super) fn sorted(subsystems: BTreeMap<String, String>) -> Vec<Place> {
    subsystems.into_iter().map(|(syspath, subsystem)| Place { syspath, subsystem }).collect()
}
