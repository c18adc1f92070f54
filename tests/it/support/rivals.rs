// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runs libvirt's own driver and mdevctl on a made-up host, through the scripts in tests/oracle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::skip::skip;

/// If this variable is set, a comparison that cannot be made fails instead of being skipped.
const REQUIRE: &str = "MDEV_REQUIRE_RIVALS";

/// Returns true if the programs are installed and this process may mount a tree over /sys; otherwise reports a skip.
#[track_caller]
pub fn can_run(programs: &[&str]) -> bool {
    let missing = |program: &&&str| {
        !["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists())
    };
    let reason = if !is_root() {
        Some("not root".to_owned())
    } else if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
        Some("cannot create a mount namespace here".to_owned())
    } else {
        programs.iter().find(missing).map(|program| format!("{program} is not installed"))
    };
    if let Some(reason) = &reason {
        assert!(std::env::var_os(REQUIRE).is_none(), "{REQUIRE} is set, and: {reason}");
        skip(reason);
    }
    reason.is_none()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Runs a script of tests/oracle on a tree. The error contains the script's message.
pub fn run_script(script: &str, tree: &Path, out: &Path, timeout: u32) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(script);
    let run = Command::new(&script)
        .args([tree, out])
        .env("ORACLE_TIMEOUT", timeout.to_string())
        .output()
        .map_err(|e| format!("{}: {e}", script.display()))?;
    if run.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&run.stderr).trim().to_owned()) }
}

/// Returns the XML files that libvirt-on-tree wrote, by node name.
pub fn dumps(out: &Path) -> BTreeMap<String, String> {
    let mut dumps = BTreeMap::new();
    for entry in fs::read_dir(out).expect("the script created the directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".xml") {
            // libvirt can print bytes that are not UTF-8.
            let text = fs::read(entry.path()).expect("the script wrote the file");
            dumps.insert(name.to_owned(), String::from_utf8_lossy(&text).into_owned());
        }
    }
    dumps
}

/// Returns the lines of a list that a script wrote; none if the script did not write it.
pub fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}
