// SPDX-License-Identifier: LGPL-2.1-or-later
//! A node-device driver for mediated devices (virtual GPUs and their like), in the manner of libvirt.
//!
//! A parent device, such as a graphics card, offers types. [`Conn::create_xml`] makes a device of a type, [`Node::qemu_args`]
//! returns the arguments that give the device to a guest, [`Node::destroy`] removes it. [`Conn::monitor`] reports what
//! changes. All generations of the kernel interface are used in the same way.
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
//! - A [`Node`] describes an object as it was when it was read, and never changes. [`Conn`] and [`Node`] can be used by several
//!   threads at once; a [`Monitor`] by one at a time.
//! - A list goes on after an object that cannot be read. [`collect`] returns what a request left out; without it the omission is
//!   a line of the log (crate `log`).
//! - No call starts a thread, prints, or changes a signal, the working folder, the umask or the environment of the process.
//! - [`Error`] has a code, an errno value, a sentence and, where there is one, the path of the object.
//!
//! # Modules
//!
//! Calls go down: `driver -> backend -> sysfs`, and `driver, backend -> store`.
//!
//! | module | contents |
//! |---|---|
//! | `driver` | what a user can do; the only module that uses all others |
//! | `backend` | the ways in which kernels make mediated devices, behind one trait |
//! | `sysfs` | access to a kernel: two traits, and their implementation on Linux |
//! | `sim` | the simulated host behind the same traits: feature `sim` |
//! | `store` | records under `/run/libmdev`, definitions under `/etc/mdevctl.d` |
//! | `monitor` | the changes of a host, behind one descriptor |
//! | `callout` | mdevctl's call-outs: programs that may refuse an action and are notified of its outcome |
//! | `model`, `xml` | plain data; text to data and back, in both dialects; no I/O |
//! | `error`, `finding` | the error type; what a request left out of its result, and why |
//! | `fd`, `lock`, `time`, `trust` | descriptors; flock(2) with a timeout; times as numbers; which files are trusted |
//! | `sys` | system calls that need `unsafe`, the only `unsafe` of this crate |

// The support files of the tests use the library by this name.
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
    AttrAccess, Conn, CreateFlags, DefineFlags, DestroyFlags, Event, EventKind, GROUP_MAX, ListFlags, Monitor, Node,
    QemuFlags, StartFlags, XmlFlags, version,
};
pub use error::{Error, ErrorCode, Result};
pub use finding::{Finding, Severity, collect};
pub use model::Type;

/// For the C interface of the same version, and for no other program.
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
