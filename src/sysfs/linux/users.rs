// SPDX-License-Identifier: LGPL-2.1-or-later
//! Who has a device node open, from /proc. Only what this process may look into is seen: root sees all of its own PID
//! namespace and those below it.

use std::path::Path;

/// The first process found that has `node` open.
pub(super) fn find(node: &str) -> Option<u32> {
    // Kernels before 6.6, and hosts without such nodes: spares the search.
    std::fs::symlink_metadata(node).ok()?;
    let processes = std::fs::read_dir("/proc").ok()?;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| has_open(*pid, Path::new(node)))
}

fn has_open(pid: u32, node: &Path) -> bool {
    // A process that ends meanwhile, or that is not ours to look into, has nothing open as far as we can tell.
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == node))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_open_file_is_found_and_a_closed_one_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().canonicalize().unwrap();
        assert_eq!(super::find(path.to_str().unwrap()), Some(std::process::id()));
        let file = file.into_file();
        drop(file);
        assert_eq!(super::find(path.to_str().unwrap()), None);
    }
}
