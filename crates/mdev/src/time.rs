// SPDX-License-Identifier: LGPL-2.1-or-later
//! Conversion of times to numbers.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970. 0 for an earlier time, the largest number after the year 2554.
pub fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
