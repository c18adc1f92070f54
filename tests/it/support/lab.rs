// SPDX-License-Identifier: LGPL-2.1-or-later
//! A simulated host for one test, with a driver whose results the test chooses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mdev::driver::{Conn, CreateFlags, DestroyFlags, ListFlags, Node};
use mdev::error::Error;
use mdev::store::Runtime;
use mdev::sysfs::Errno;
use mdev::sysfs::sim::{Op, SimEntry, SimHost, default_host};

use super::hosts::read;
use super::vfs;

pub const UUID: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc60c";

pub struct Lab {
    pub sim: SimHost,
    pub runtime: Arc<Runtime>,
    pub conn: Conn,
}

impl Lab {
    pub fn new() -> Lab {
        Lab::on(default_host())
    }

    pub fn on(sim: SimHost) -> Lab {
        let runtime = Arc::new(Runtime::memory([]));
        let conn = Conn::on(Arc::new(sim.clone()), Arc::clone(&runtime));
        Lab { sim, runtime, conn }
    }

    pub fn create(&self, parent: &str, type_id: &str, more: &str) -> Result<Node, Error> {
        self.create_with(parent, type_id, more, CreateFlags::empty())
    }

    pub fn create_with(&self, parent: &str, type_id: &str, more: &str, flags: CreateFlags) -> Result<Node, Error> {
        self.conn.create_xml(request(parent, type_id, more).as_bytes(), flags)
    }

    pub fn destroy(&self, uuid: &str) -> Result<(), Error> {
        self.conn.destroy_uuid(uuid, DestroyFlags::empty())
    }

    /// Calls `answer` before each operation, but not before the operations that `answer` itself does on the host.
    pub fn driver(&self, answer: impl Fn(&SimHost, Op, &str) -> Option<Errno> + Send + Sync + 'static) {
        let (sim, busy) = (self.sim.clone(), AtomicBool::new(false));
        self.sim.set_hook(Some(Arc::new(move |op, path: &str| {
            if busy.swap(true, Ordering::Relaxed) {
                return None;
            }
            let answered = answer(&sim, op, path);
            busy.store(false, Ordering::Relaxed);
            answered
        })));
    }

    pub fn is_listed(&self, uuid: &str) -> bool {
        self.conn.list(ListFlags::DEVICES).unwrap().iter().any(|node| node.uuid().unwrap() == uuid)
    }
}

pub fn request(parent: &str, type_id: &str, more: &str) -> String {
    format!(
        "<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>{more}</capability></device>"
    )
}

pub fn with_uuid(more: &str) -> String {
    format!("<uuid>{UUID}</uuid>{more}")
}

/// The default host with another text in one file.
pub fn host_with(path: &str, text: &str) -> SimHost {
    let mut entries = default_host().entries();
    for entry in &mut entries {
        match entry {
            SimEntry::File { path: own, content, .. } if own == path => *content = Ok(text.as_bytes().to_vec()),
            _ => {}
        }
    }
    SimHost::new(entries).unwrap()
}

pub const LIMITER: &str = "<params>frame_rate_limiter=60</params>";

/// The state of the first VF: its type and its parameters.
pub fn first_vf(lab: &Lab) -> [String; 2] {
    ["current_vgpu_type", "vgpu_params"].map(|file| read(&lab.sim, &vfs::at(0, file)).unwrap())
}
