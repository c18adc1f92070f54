// SPDX-License-Identifier: LGPL-2.1-or-later
//! Plain data: parents, types and devices. No I/O.

pub mod address;
pub mod definition;
pub mod device;
pub mod event;
pub mod host;
pub mod name;
pub mod parent;
pub mod types;
pub mod values;

pub use address::PciAddress;
pub use definition::{DeviceDef, group_in_text, group_numbers};
pub use device::{Attach, Device, NO_PARENT};
pub use event::EventKind;
pub use parent::{LayoutKind, Parent, ParentDetails, PciFacts, Vf};
pub use types::{FoundType, TextsBuilder, Type, TypeTexts, compare_ids, find_type, parse_count};
