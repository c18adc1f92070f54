// SPDX-License-Identifier: LGPL-2.1-or-later
//! Call-out scripts and notifiers of mdevctl.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Creates an executable shell script and the directories above it. Another process writes the file. If this process
/// wrote it, a child that another test starts at that moment would inherit the open descriptor, and execve(2) fails
/// with ETXTBSY while a program is open for writing.
pub fn install_script(path: &Path, body: &str) {
    let mut install = Command::new("install");
    let mut child = install.args(["-D", "-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "#!/bin/sh\n{body}").unwrap();
    assert!(child.wait().unwrap().success(), "{}", path.display());
}
