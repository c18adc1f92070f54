// SPDX-License-Identifier: LGPL-2.1-or-later
//! Remembered types of parents that list only the types that can be created now: `/run/libmdev/types/<parent>`, JSON.
//!
//! A convenience: if the file cannot be written or is invalid, only the types that the parent lists now are shown.

use serde::{Deserialize, Serialize};

/// Ids and names of the types of one parent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct TypeCache {
    /// The version of the VFs: the types are valid only for VFs of the same version.
    #[serde(rename = "stamp")]
    pub(super) version: u64,
    pub(super) types: Vec<(String, String)>,
}

impl TypeCache {
    /// Returns the types in the text of a file. `None` if it is invalid or has another version.
    pub(super) fn read(text: &[u8], version: u64) -> Option<Vec<(String, String)>> {
        let cache: TypeCache = serde_json::from_slice(text).ok()?;
        (cache.version == version).then_some(cache.types)
    }
}
