// SPDX-License-Identifier: LGPL-2.1-or-later
//! Functions that several tests use.

pub mod absence;
pub mod alone;
pub mod definitions;
pub mod facts;
pub mod facts_hosts;
pub mod faults;
pub mod hosts;
pub mod lab;
pub mod rivals;
pub mod scenes;
pub mod scripts;
pub mod skip;
pub mod tree;
pub mod vfs;
pub mod xmltree;
