// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens a connection to the host that a URI names.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::host::{Conn, Parts};
use super::{dump, uri};
use crate::callout::Callouts;
use crate::error::{Error, ErrorCode, Result};
use crate::sim;
use crate::store::{Definitions, Runtime};
use crate::sysfs::Sysfs;
use crate::sysfs::linux::LinuxSysfs;

/// The folders below a root in which the library makes files. It opens them by path, so a link there could lead out.
const STORES: [&str; 6] = [
    "run/libmdev/devices",
    "run/libmdev/groups",
    "run/libmdev/locks",
    "run/libmdev/types",
    "etc/libmdev/definitions",
    "etc/mdevctl.d",
];

fn refuse_linked_stores(sysfs: &LinuxSysfs, root: &str) -> Result<()> {
    for folder in STORES {
        let link = sysfs.link_on_the_way(folder).map_err(|errno| Error::io("open", folder, errno))?;
        if let Some(link) = link {
            let path = format!("{}/{link}", root.trim_end_matches('/'));
            let message = format!("{path} is a symbolic link, which may lead out of the root; make it a folder");
            return Err(Error::new(ErrorCode::Store, Errno::LOOP, message).at(path));
        }
    }
    Ok(())
}

/// `test:///default`: one for the whole process, like a real host, with the number of that process. A child of a fork gets
/// its own: the parent's is a copy there, which some other thread may have locked for ever.
static DEFAULT_HOST: Mutex<Option<(u32, Parts)>> = Mutex::new(None);

impl Conn {
    /// Opens the host that `uri` names; none is this one.
    pub fn open(uri: Option<&str>) -> Result<Conn> {
        let parts = match uri::parse(uri)? {
            uri::Target::System { root } => {
                let sysfs =
                    LinuxSysfs::new(&root).map_err(|errno| uri::missing(uri, Error::io("open", &root, errno)))?;
                refuse_linked_stores(&sysfs, &root)?;
                let run = format!("{}/run", root.trim_end_matches('/'));
                let sysfs: Arc<dyn Sysfs> = Arc::new(sysfs);
                let parts = (sysfs, Arc::new(Runtime::files(&run)), Arc::new(Definitions::files(&root)));
                return Ok(Conn::with(parts, Callouts::below(&root)));
            }
            uri::Target::Default => default_parts(),
            uri::Target::Dump { path } => dump::replay(&path).map_err(|e| uri::missing(uri, e))?,
        };
        Ok(Conn::of(parts))
    }
}

fn default_parts() -> Parts {
    let lock = || DEFAULT_HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let ours = |made: &Option<(u32, Parts)>| made.clone().filter(|(of, _)| *of == process).map(|(_, parts)| parts);
    // Made outside of the lock, which is held for so short that a fork does not find it taken.
    let known = ours(&lock());
    known.unwrap_or_else(|| {
        let new: Parts =
            (Arc::new(sim::default_host()), Arc::new(Runtime::memory([])), Arc::new(Definitions::memory([])));
        let mut made = lock();
        ours(&made).unwrap_or_else(|| made.insert((process, new)).1.clone())
    })
}
