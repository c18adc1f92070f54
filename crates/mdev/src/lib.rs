// SPDX-License-Identifier: LGPL-2.1-or-later
//! A node-device driver for mediated devices (such as virtual GPUs), in the manner of libvirt.
//!
//! A parent device, such as a graphics card, offers types. [`Conn::create_xml`] makes a device of a type, [`Node::qemu_args`]
//! returns the QEMU arguments that attach the device to a guest, [`Node::destroy`] removes the device. [`Conn::monitor`] reports
//! changes. The calls are the same for all generations of the kernel interface.
//!
//! ```
//! use mdev::{Conn, CreateFlags, DestroyFlags, ListFlags, QemuFlags};
//!
//! # fn main() -> mdev::Result<()> {
//! // The built-in simulated host; None opens the host that the program runs on.
//! let conn = Conn::open(Some("test:///default"))?;
//! for parent in conn.list(ListFlags::PARENTS)? {
//!     for ty in parent.types()? {
//!         println!("{} {} {:?}", parent.name(), ty.id(), ty.available_instances);
//!     }
//! }
//! let xml = b"<device><parent>pci_0000_86_00_0</parent>\
//!             <capability type='mdev'><type id='11'/></capability></device>";
//! let device = conn.create_xml(xml, CreateFlags::empty())?;
//! println!("qemu-system-x86_64 {}", device.qemu_args(QemuFlags::empty())?);
//! device.destroy(DestroyFlags::empty())
//! # }
//! ```
//!
//! # Rules
//!
//! - A [`Node`] describes an object at the time at which it was read, and never changes. [`Conn`] and [`Node`] can be used by several
//!   threads at once; a [`Monitor`] by one at a time.
//! - A list leaves out an object that cannot be read, and continues. [`collect`] returns what a request left out; without
//!   [`collect`], the omission is only logged (crate `log`).
//! - No call starts a thread, prints, or changes a signal, the working folder, the umask or the environment of the process.
//! - [`Error`] has a code, an errno value, a sentence and, if there is one, the path of the object.
//!
//! # Modules
//!
//! Calls go down: `driver -> backend -> sysfs`, and `driver, backend -> store`.
//!
//! | module | contents |
//! |---|---|
//! | `driver` | the operations of a user; the only module that uses all others |
//! | `backend` | the kernel interfaces of mediated devices, behind one trait |
//! | `sysfs` | access to a kernel: two traits, and their implementation on Linux |
//! | `sim` | the simulated host behind the same traits: feature `sim` |
//! | `store` | records under `/run/libmdev`, definitions under `/etc/mdevctl.d` |
//! | `monitor` | uevents and changes of the store, behind one descriptor |
//! | `callout` | mdevctl's call-outs: programs that may refuse an action and are notified of its outcome |
//! | `model`, `xml` | plain data; text to data and back, in both dialects; no I/O |
//! | `error`, `finding` | the error type; the objects that a request left out of its result, with the cause |
//! | `fd`, `lock`, `time`, `trust` | descriptors; flock(2) with a timeout; times as numbers; which files are trusted |
//! | `sys` | system calls that need `unsafe`, the only `unsafe` of this crate |

/// The program of docs/rust.md, as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct RustPage;

// The support files of the tests refer to the library by this name.
#[cfg(test)]
extern crate self as mdev;

mod backend;
mod callout;
mod driver;
mod error;
mod fd;
mod finding;
mod lock;
mod model;
mod monitor;
#[cfg(feature = "sim")]
mod sim;
mod store;
mod sys;
mod sysfs;
#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod testing;
mod time;
mod trust;
mod xml;

pub use driver::{
    AttrAccess, Conn, CreateFlags, CreateOptions, CreatePlan, DefineFlags, DestroyFlags, DeviceWait, Event, EventKind,
    GROUP_MAX, ListFilter, ListFlags, Monitor, Node, QemuFlags, StartFlags, User, XmlFlags, version,
};
pub use error::{Error, ErrorCode, Result};
pub use finding::{Finding, Severity, collect};
pub use model::Type;

/// The simulated host of `test:///default` and `test:///PATH` by inode number, for a program that serves it as a file system.
#[cfg(feature = "sim")]
pub mod simulator {
    pub use rustix::io::Errno;

    pub use crate::driver::{HostFile, open_simulated as open};
    pub use crate::sim::{EntryType, OpenNode, SimHost, Stat, WRITE_MAX};
}

/// Only for the C interface of the same version.
#[doc(hidden)]
pub mod c_interface {
    pub use crate::error::printable;
    pub use crate::finding::report;
}

/// Internal modules, for the tests of this project. Not stable.
#[cfg(any(test, feature = "test-hooks"))]
#[doc(hidden)]
pub mod test_hooks {
    pub use crate::driver::Parts;
    pub mod callout {
        pub use crate::callout::*;
    }
    pub mod lock {
        pub use crate::lock::*;
    }
    pub mod model {
        pub use crate::model::*;
    }
    pub mod sim {
        pub use crate::sim::*;
    }
    pub mod store {
        pub use crate::store::*;
    }
    pub mod sysfs {
        pub use crate::sysfs::*;
    }
    pub mod xml {
        pub use crate::xml::*;
    }
}
