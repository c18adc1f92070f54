// SPDX-License-Identifier: LGPL-2.1-or-later
//! A simulated host with a store of definitions.

use std::fs;
use std::sync::Arc;

use mdev::Conn;
use mdev::test_hooks::sim::{SimHost, default_host};
use mdev::test_hooks::store::{Definitions, Runtime};

pub const UUID: &str = "11111111-2222-4333-8444-555555555555";
pub const IGD: &str = "0000:00:02.0";

/// The simulated kernel with definitions in files, or in memory.
pub fn host(files: bool) -> (tempfile::TempDir, SimHost, Conn) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::create_dir(root.path().join("run")).unwrap();
    let definitions = match files {
        true => Definitions::files(root.path().to_str().unwrap()),
        false => Definitions::memory([]),
    };
    let sim = default_host();
    let conn = Conn::of((Arc::new(sim.clone()), Arc::new(Runtime::memory([])), Arc::new(definitions)));
    (root, sim, conn)
}

pub fn xml(parent: &str, type_id: &str, uuid: &str, more: &str) -> String {
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/><uuid>{uuid}</uuid>{more}\
         </capability></device>"
    )
}
