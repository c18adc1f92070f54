// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that have been seen on parents that show only those that can be made now: `/run/libmdev/types/<parent>`, JSON.
//!
//! A convenience: whoever may not write it, or finds it broken, sees the types that are shown and no others.

use serde::{Deserialize, Serialize};

/// Ids and names of the types of one parent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct TypeCache {
    /// Tells the VFs of today from those of before.
    #[serde(rename = "stamp")]
    pub(super) version: u64,
    pub(super) types: Vec<(String, String)>,
}

impl TypeCache {
    /// What is in the text, when it is about these VFs.
    pub(super) fn read(text: &[u8], version: u64) -> Option<Vec<(String, String)>> {
        let cache: TypeCache = serde_json::from_slice(text).ok()?;
        (cache.version == version).then_some(cache.types)
    }
}
