// SPDX-License-Identifier: LGPL-2.1-or-later
//! The problems of a host: objects that lists leave out, and incomplete groups.

use super::{Conn, ListFlags, incomplete};
use crate::error::Result;
use crate::finding::{Finding, collect};

impl Conn {
    /// Reads the whole host and returns its problems: parents, types, devices and definitions that a list leaves out or shows
    /// incompletely, and incomplete groups. Empty if there are none. Fails when a list fails.
    pub fn list_problems(&self) -> Result<Vec<Finding>> {
        let everything = ListFlags::PARENTS | ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE;
        let (listed, found) = collect(|| {
            self.list(everything)?;
            incomplete::report_all(&self.host)
        });
        listed?;
        Ok(found)
    }
}
