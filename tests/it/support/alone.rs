// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests that change a property of the whole process: resource limits, the logger.

use std::process::Command;

/// Runs the test of this name again, alone in a new process. Returns true in the new process, which makes the checks;
/// false in the process that started it.
pub fn alone(name: &str) -> bool {
    const ALONE: &str = "MDEV_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}
