// SPDX-License-Identifier: LGPL-2.1-or-later
//! The types of events that a monitor reports.

/// The type of an event.
///
/// Since: 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum EventKind {
    /// Not an event.
    None = 0,
    /// A node device exists. A mediated device is ready for use.
    Created = 1,
    /// A node device no longer exists. The event has its last known state; a mediated device in it is not active.
    Deleted = 2,
    /// A node device has changed. For a parent: the available instances of its types have changed, or the driver has
    /// sent a change event. For a mediated device: the driver has sent a change event, or the definition has changed.
    Updated = 3,
    /// A mediated device was defined.
    Defined = 4,
    /// A definition was removed.
    Undefined = 5,
    /// Events were lost, since the program did not fetch them in time: list the node devices again. The event has no
    /// node device. Later events are correct.
    Overrun = 6,
}
