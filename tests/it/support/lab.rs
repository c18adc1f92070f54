// SPDX-License-Identifier: LGPL-2.1-or-later
//! A simulated host for one test, with a driver whose results the test chooses.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mdev::Error;
use mdev::test_hooks::sim::{Op, SimEntry, SimHost, default_host};
use mdev::test_hooks::store::{Definitions, Runtime};
use mdev::test_hooks::sysfs::Errno;
use mdev::{Conn, CreateFlags, DestroyFlags, ListFlags, Node};
use tempfile::TempDir;

use super::hosts::read;
use super::vfs;

pub const UUID: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc60c";

/// A simulated host, its stores, and a connection to both.
pub struct Lab {
    pub sim: SimHost,
    pub runtime: Arc<Runtime>,
    pub conn: Conn,
    root: Option<TempDir>,
}

impl Lab {
    /// The default host with its stores in memory.
    pub fn new() -> Lab {
        Lab::on(default_host())
    }

    pub fn on(sim: SimHost) -> Lab {
        Lab::with(sim, Runtime::memory([]))
    }

    pub fn with(sim: SimHost, runtime: Runtime) -> Lab {
        let runtime = Arc::new(runtime);
        let conn = Conn::on(Arc::new(sim.clone()), Arc::clone(&runtime));
        Lab { sim, runtime, conn, root: None }
    }

    /// The default host with its stores in files below a root. Every connection has its own store, as every process
    /// has.
    pub fn in_files() -> Lab {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/libmdev/devices")).unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let sim = default_host();
        let runtime = Arc::new(Lab::runtime_below(root.path()));
        let conn = Lab::files_below(root.path(), &sim, Arc::clone(&runtime));
        Lab { sim, runtime, conn, root: Some(root) }
    }

    fn runtime_below(root: &Path) -> Runtime {
        Runtime::files(root.join("run").to_str().unwrap())
    }

    fn files_below(root: &Path, sim: &SimHost, runtime: Arc<Runtime>) -> Conn {
        let definitions = Definitions::files(root.to_str().unwrap());
        Conn::of((Arc::new(sim.clone()), runtime, Arc::new(definitions)))
    }

    /// A connection of another user to the same host.
    pub fn other(&self) -> Conn {
        match &self.root {
            Some(root) => Lab::files_below(root.path(), &self.sim, Arc::new(Lab::runtime_below(root.path()))),
            None => Conn::on(Arc::new(self.sim.clone()), Arc::clone(&self.runtime)),
        }
    }

    /// The root of the files.
    pub fn root(&self) -> &Path {
        self.root.as_ref().expect("a lab in files").path()
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

    /// Calls `what` before the first operation that `when` selects.
    pub fn before(
        &self,
        when: impl Fn(Op, &str) -> bool + Send + Sync + 'static,
        what: impl Fn() + Send + Sync + 'static,
    ) {
        let done = AtomicBool::new(false);
        self.sim.set_hook(Some(Arc::new(move |op, path| {
            if !done.load(Ordering::Relaxed) && when(op, path) && !done.swap(true, Ordering::Relaxed) {
                what();
            }
            None
        })));
    }

    /// Calls `what` before the next lock is taken.
    pub fn before_lock(&self, what: impl Fn() + Send + Sync + 'static) {
        let done = AtomicBool::new(false);
        self.runtime.set_lock_hook(Some(Box::new(move |_| {
            if !done.swap(true, Ordering::Relaxed) {
                what();
            }
        })));
    }

    /// Runs `request` with its n-th operation failing. Also returns the number of operations.
    pub fn with_failure<T>(&self, nth: usize, errno: Errno, request: impl FnOnce() -> T) -> (T, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let hook = move |_: Op, _: &str| (counter.fetch_add(1, Ordering::Relaxed) == nth).then_some(errno);
        self.sim.set_hook(Some(Arc::new(hook)));
        let result = request();
        self.sim.set_hook(None);
        (result, count.load(Ordering::Relaxed))
    }

    /// Makes every operation fail on paths that contain one of these parts.
    pub fn unreadable(&self, parts: &'static [&'static str]) {
        let hook = move |_: Op, path: &str| parts.iter().any(|part| path.contains(part)).then_some(Errno::IO);
        self.sim.set_hook(Some(Arc::new(hook)));
    }

    /// Returns the UUIDs of the devices.
    pub fn uuids(&self) -> Vec<String> {
        self.conn.list(ListFlags::DEVICES).unwrap().iter().map(|node| node.uuid().unwrap()).collect()
    }

    pub fn is_listed(&self, uuid: &str) -> bool {
        self.uuids().iter().any(|listed| listed == uuid)
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

/// Returns the default host with another content of one file.
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

/// Returns the type and the parameters of the first VF.
pub fn first_vf(lab: &Lab) -> [String; 2] {
    ["current_vgpu_type", "vgpu_params"].map(|file| read(&lab.sim, &vfs::at(0, file)).unwrap())
}
