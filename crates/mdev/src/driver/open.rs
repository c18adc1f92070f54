// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens a connection to the host of a URI.

use std::sync::Arc;

use rustix::io::Errno;

use super::host::Conn;
#[cfg(feature = "sim")]
use super::simulated;
use super::uri;
use crate::callout::Callouts;
use crate::error::{Error, ErrorCode, Result};
use crate::store::{Definitions, Runtime};
use crate::sysfs::Sysfs;
use crate::sysfs::linux::LinuxSysfs;

/// The folders below a root in which the library creates files. It opens them by path, so a link could lead out of the root.
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
            let message = format!("{path} is a symbolic link, which may lead out of the root; replace it by a folder");
            return Err(Error::new(ErrorCode::Store, Errno::LOOP, message).at(path));
        }
    }
    Ok(())
}

impl Conn {
    /// Opens the host of a URI; `None` opens this host. Checks that the host exists; needs no privilege. Fails with EINVAL if the URI is
    /// invalid, and with ENOENT if the host does not exist.
    pub fn open(uri: Option<&str>) -> Result<Conn> {
        match uri::parse(uri)? {
            uri::Target::System { root } => open_root(uri, &root),
            #[cfg(feature = "sim")]
            uri::Target::Default => Ok(Conn::of(simulated::default_parts())),
            #[cfg(feature = "sim")]
            uri::Target::Dump { path } => simulated::replay(&path).map(Conn::of).map_err(|e| uri::missing(uri, e)),
            #[cfg(not(feature = "sim"))]
            uri::Target::Default | uri::Target::Dump { .. } => Err(no_simulated_hosts()),
        }
    }
}

fn open_root(uri: Option<&str>, root: &str) -> Result<Conn> {
    let sysfs = LinuxSysfs::new(root).map_err(|errno| uri::missing(uri, Error::io("open", root, errno)))?;
    refuse_linked_stores(&sysfs, root)?;
    let run = format!("{}/run", root.trim_end_matches('/'));
    let sysfs: Arc<dyn Sysfs> = Arc::new(sysfs);
    let parts = (sysfs, Arc::new(Runtime::files(&run)), Arc::new(Definitions::files(root)));
    Ok(Conn::with(parts, Callouts::below(root)))
}

#[cfg(not(feature = "sim"))]
fn no_simulated_hosts() -> Error {
    let message = "this build has no simulated hosts; build the crate mdev with its feature 'sim'";
    Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message)
}
