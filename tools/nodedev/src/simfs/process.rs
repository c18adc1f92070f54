// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which process a request of FUSE is from.

use std::fs::read_to_string;

/// The most processes between a writer and the process that started it.
const LEVELS_MAX: u32 = 8;

/// Returns a number from `/proc/PID/status`; `None` if the process no longer exists.
fn status(id: u32, field: &str) -> Option<u32> {
    let text = read_to_string(format!("/proc/{id}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok())
}

/// Returns the process of a thread; the number itself if the thread no longer exists.
pub fn of_thread(thread: u32) -> u32 {
    status(thread, "Tgid:").unwrap_or(thread)
}

/// True if a process is `other`, or was started by it.
pub fn is_or_is_below(process: u32, other: u32) -> bool {
    let mut here = process;
    for _ in 0..LEVELS_MAX {
        if here == other && here != 0 {
            return true;
        }
        match status(here, "PPid:") {
            Some(above) if above > 1 => here = above,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_is_below_its_parent_only() {
        let own = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(is_or_is_below(own, own) && is_or_is_below(own, parent));
        assert!(!is_or_is_below(parent, own) && !is_or_is_below(0, 0));
    }

    #[test]
    fn process_of_a_thread_is_found() {
        let thread = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get());
        let own = std::process::id();
        assert_eq!(of_thread(own), own);
        drop(thread.join());
    }
}
