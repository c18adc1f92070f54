// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files of `nodedev simfs` return what the real kernel and the drivers returned: every recorded step is repeated by plain system
//! calls on the served host.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mdev::Conn;
use mdev::test_hooks::sim::SimHost;
use mdev::test_hooks::store::Runtime;
use mdev::test_hooks::sysfs::basename;

#[allow(dead_code)]
#[path = "../../../tests/it/support/facts.rs"]
mod facts;
#[path = "../../../tests/it/support/facts_hosts.rs"]
mod facts_hosts;
#[path = "../../../tests/it/support/skip.rs"]
mod skip;

use facts::steps;
use facts_hosts::{card, kernel_host, pf};
use skip::skip;

const NODEDEV: &str = env!("CARGO_BIN_EXE_nodedev");

fn guest(name: &str) -> String {
    format!("{}/../../vm-tests/guest/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// True if this machine can serve a host to a command.
fn can_serve() -> bool {
    let served = Command::new(NODEDEV).args(["simfs", "--", "perl", "-e", "use Errno; use Fcntl;"]).output().unwrap();
    let can = served.status.success();
    if !can {
        skip(&format!("nodedev simfs cannot run perl here: {}", String::from_utf8_lossy(&served.stderr)));
    }
    can
}

/// Serves the host, repeats the record there, and returns the lines that differ.
fn differences(host: SimHost, facts: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("host.xml");
    let conn = Conn::on(Arc::new(host), Arc::new(Runtime::memory([])));
    std::fs::write(&dump, conn.dump_xml().unwrap()).unwrap();
    let tried = Command::new(NODEDEV)
        .args(["simfs", "--host", dump.to_str().unwrap(), "--", &guest("try-facts"), &guest(facts)])
        .output()
        .unwrap();
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
    let recorded = std::fs::read_to_string(Path::new(&guest(facts))).unwrap();
    let seen = String::from_utf8(tried.stdout).unwrap();
    assert_eq!(seen.lines().count(), recorded.lines().count(), "{seen}");
    let differs = |(seen, recorded): (&str, &str)| (seen != recorded).then(|| format!("{seen}\n  really {recorded}"));
    seen.lines().zip(recorded.lines()).filter_map(differs).collect()
}

#[test]
fn served_files_return_what_real_kernel_returned() {
    if can_serve() {
        let facts = std::fs::read_to_string(guest("kernel-facts.tsv")).unwrap();
        assert_eq!(differences(kernel_host(&steps(&facts)), "kernel-facts.tsv"), Vec::<String>::new());
    }
}

#[test]
fn served_vfs_return_what_drivers_returned() {
    for (facts, driver) in [("vendor-facts.tsv", "nvidia"), ("vendor-facts-upstream.tsv", "nvidia-vgpu-vfio")] {
        if can_serve() {
            let text = std::fs::read_to_string(guest(facts)).unwrap();
            let steps = steps(&text);
            let host = SimHost::new(card(&steps, basename(&pf(&steps)), driver)).unwrap();
            assert_eq!(differences(host, facts), Vec::<String>::new(), "{facts}");
        }
    }
}
