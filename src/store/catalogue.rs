// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that have been seen on parents that show only those that can be made now: `/run/libmdev/types/<parent>`, JSON.
//!
//! A convenience: whoever may not write it, or finds it broken, sees the types that are shown and no others.

use serde::{Deserialize, Serialize};

/// Ids and names of the types of one parent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Catalogue {
    /// Tells the VFs of today from those of before.
    pub(super) stamp: u64,
    pub(super) types: Vec<(String, String)>,
}

impl Catalogue {
    /// What is in the text, when it is about these VFs.
    pub(super) fn read(text: &[u8], stamp: u64) -> Option<Vec<(String, String)>> {
        let catalogue: Catalogue = serde_json::from_slice(text).ok()?;
        (catalogue.stamp == stamp).then_some(catalogue.types)
    }
}
