// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whether another user may write a file whose content the caller acts on with its own rights.

use rustix::fs::Stat;
use rustix::process::{getegid, geteuid};

/// The reason why a user other than root and the caller may write a file or folder by its mode, with the `chmod` argument that
/// forbids it; `None` if no such user may write it. The members of the caller's own group are trusted unless the caller is root.
pub fn writable_by_others(stat: &Stat) -> Option<String> {
    if stat.st_mode & 0o002 != 0 {
        return Some("every user may write it (chmod o-w)".to_owned());
    }
    let is_own = !geteuid().is_root() && stat.st_gid == getegid().as_raw();
    let by_group = stat.st_mode & 0o020 != 0 && stat.st_gid != 0 && !is_own;
    by_group.then(|| format!("the members of group {} may write it (chmod g-w)", stat.st_gid))
}
