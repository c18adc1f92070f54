// SPDX-License-Identifier: LGPL-2.1-or-later
//! Call-outs and notifiers of mdevctl.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes an executable shell script, with the folders above it. Another process writes the file: a child that another test
/// starts at this moment would inherit a descriptor of this process, and execve(2) fails with ETXTBSY while a program is open
/// for writing.
pub fn install_script(path: &Path, body: &str) {
    let mut install = Command::new("install");
    let mut child = install.args(["-D", "-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "#!/bin/sh\n{body}").unwrap();
    assert!(child.wait().unwrap().success(), "{}", path.display());
}
