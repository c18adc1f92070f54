// SPDX-License-Identifier: LGPL-2.1-or-later
//! Data that the library stores outside the kernel.
//!
//! [`runtime`] has the records of running devices: data that the kernel does not return, such as name, group, parameters and owner.
//! [`definitions`] has devices that persist, in mdevctl's files.

mod atomic;
mod batch;
mod calls;
pub mod definitions;
mod files;
mod memory;
mod notifier;
mod record;
mod records;
mod reservation;
pub mod runtime;
mod type_cache;

pub use batch::Batch;
#[cfg(test)]
pub(crate) use calls::watched;
pub use definitions::{Broken, Definition, Definitions, MDEVCTL_FOLDER, Previous, Start, is_unreadable};
pub use notifier::Listener;
pub use record::{DeviceRecord, NewGroup, RecordedDevice, uuid_in_use};
pub use records::Records;
pub use reservation::Reservation;
pub use runtime::{HostLock, Runtime};

/// The folder of the records of devices, below the root of a connection.
pub const RECORDS: &str = "/run/libmdev/devices";
