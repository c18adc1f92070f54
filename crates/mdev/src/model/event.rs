// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a monitor reports.

/// What happened.
///
/// Since: 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum EventKind {
    /// Nothing: not an event.
    None = 0,
    /// A node is there. A device is ready for use then.
    Created = 1,
    /// A node is gone. It is described as it was last known; a device is not active any more.
    Deleted = 2,
    /// A node has changed. A parent: what its types have left, or the driver said that something has changed. A device: the
    /// driver said so, or its definition is another.
    Updated = 3,
    /// A device was defined.
    Defined = 4,
    /// A definition is gone.
    Undefined = 5,
    /// Events were lost, since they were not fetched in time: list again. No node comes with it. What is told afterwards is
    /// right.
    Overrun = 6,
}
