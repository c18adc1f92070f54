// SPDX-License-Identifier: LGPL-2.1-or-later
//! The processes that have a device open.

use rustix::io::Errno;

use super::{Node, identity};
use crate::backend::vfio::Nodes;
use crate::error::{Error, ErrorCode, Result};
use crate::finding::{Finding, report};
use crate::sysfs;

/// A process that has the VFIO node of a device open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Process id.
    pub pid: u32,
    /// Name of the program; may be empty.
    pub program: String,
    /// Name of the virtual machine, if the program is QEMU and has a name for it.
    pub guest: Option<String>,
    /// Path of the node.
    pub path: String,
}

impl Node {
    /// Returns the processes that have a running device open now. Searches the descriptors of all processes, for at most 5 s. Reports
    /// a finding if not all processes could be examined, for example as an ordinary user. Fails with ENODATA for a parent, and with
    /// ENODEV if the device does not run.
    pub fn users(&self) -> Result<Vec<User>> {
        let device = self.value(self.as_device(), "users; only devices have them")?;
        if !device.active {
            return Err(self.not_running());
        }
        let host = &self.conn().host;
        let located = identity::locate(host, device)?;
        let nodes = Nodes::of(&*located.dir, &located.entry)?.all();
        let found = host.sysfs.all_vfio_users(&nodes);
        let found = found.map_err(|errno: Errno| Error::io("search for the users of", &located.syspath, errno))?;
        if let Some(why) = found.incomplete {
            let what = format!("not all processes that may have it open were found: {why}");
            report(Finding::new(ErrorCode::AccessDenied, self.name(), what));
        }
        let user =
            |user: sysfs::User| User { pid: user.pid, program: user.program, guest: user.guest, path: user.path };
        Ok(found.users.into_iter().map(user).collect())
    }
}
