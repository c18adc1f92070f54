// SPDX-License-Identifier: LGPL-2.1-or-later
//! The operations of a user: list, dump, create, destroy, define, attach, wait. The only module that uses all other modules.

mod attrs;
mod callouts;
mod create;
mod created_device;
mod define;
mod definitions;
mod destroy;
mod devices;
mod diagnose;
mod diagnose_host;
mod dry_run;
mod dump;
mod filter;
mod flags;
mod host;
mod identity;
mod incomplete;
mod list;
mod lookup;
mod node;
mod node_attrs;
mod node_info;
mod open;
mod open_device;
mod options;
mod plan;
mod problems;
mod qemu;
#[cfg(feature = "sim")]
mod simulated;
mod spare;
#[cfg(test)]
mod store_faults;
mod suggest;
#[cfg(test)]
mod toy;
mod transaction;
mod uri;
mod users;
mod wait_device;
mod wait_parent;
mod wait_state;
mod watch;

pub use create::GROUP_MAX;
pub use dry_run::CreatePlan;
pub use filter::ListFilter;
pub use flags::{AttrAccess, CreateFlags, DefineFlags, DestroyFlags, ListFlags, QemuFlags, StartFlags, XmlFlags};
pub use host::Conn;
#[cfg(any(test, feature = "test-hooks"))]
pub use host::Parts;
pub use node::Node;
pub use options::CreateOptions;
#[cfg(feature = "sim")]
pub use simulated::{HostFile, open_simulated};
pub use users::User;
pub use wait_state::DeviceWait;
pub use watch::{Event, EventKind, Monitor};

use host::{Host, check_owner_name};

/// Returns the version of this library: `MAJOR.MINOR.PATCH`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
