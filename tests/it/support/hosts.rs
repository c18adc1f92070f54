// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hosts for tests of the simulated kernel, and short functions to use them.

use std::time::{Duration, Instant};

use mdev::test_hooks::sim::{SimEntry, SimHost};
use mdev::test_hooks::sysfs::uevent::Events;
use mdev::test_hooks::sysfs::{Dir, Errno, IoResult, Sysfs, basename, dirname, read_text};

pub const I915: &str = "/sys/devices/pci0000:00/0000:00:02.0";
pub const M60: &str = "/sys/devices/pci0000:80/0000:80:02.0/0000:86:00.0";
pub const ACCEL: &str = "/sys/devices/pci0000:80/0000:80:03.0/0000:87:00.0";
pub const MATRIX: &str = "/sys/devices/vfio_ap/matrix";
pub const MTTY: &str = "/sys/devices/virtual/mtty/mtty";

/// The device that exists on the built-in host from the start.
pub const FIRST: &str = "b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93";

/// Directory of a type.
pub fn ty(parent: &str, id: &str) -> String {
    format!("{parent}/mdev_supported_types/{id}")
}

pub fn create(host: &SimHost, parent: &str, id: &str, value: &str) -> IoResult<()> {
    write(host, &format!("{}/create", ty(parent, id)), value)
}

/// A deadline for an event that is immediate unless something is broken.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// True if a uevent was sent since the last call.
pub fn has_event(events: &mut dyn Events) -> bool {
    std::iter::from_fn(|| events.next().unwrap()).count() > 0
}

/// A UUID with this number at its end.
pub fn uuid(number: u32) -> String {
    format!("00000000-1111-4222-8333-{number:012x}")
}

/// A regular file that can be read.
pub fn file(path: &str, mode: u32, content: &str) -> SimEntry {
    SimEntry::File { path: path.to_owned(), mode, content: Ok(content.as_bytes().to_vec()) }
}

pub fn link(path: &str, target: &str) -> SimEntry {
    SimEntry::Link { path: path.to_owned(), target: target.to_owned() }
}

/// A type of the merged layout.
fn merged_type(parent: &str, id: &str, name: &str, description: &str, available: u32) -> Vec<SimEntry> {
    let dir = format!("{parent}/mdev_supported_types/{id}");
    let mut entries = vec![
        file(&format!("{dir}/available_instances"), 0o444, &format!("{available}\n")),
        file(&format!("{dir}/create"), 0o200, ""),
        file(&format!("{dir}/device_api"), 0o444, "vfio-pci\n"),
        file(&format!("{dir}/name"), 0o444, &format!("{name}\n")),
        SimEntry::Dir { path: format!("{dir}/devices") },
    ];
    if !description.is_empty() {
        entries.push(file(&format!("{dir}/description"), 0o444, &format!("virtual display, {description}\n")));
    }
    entries
}

/// The kernel's three sample drivers, just loaded.
pub fn samples() -> Vec<SimEntry> {
    let parent = |driver: &str| format!("/sys/devices/virtual/{driver}/{driver}");
    let (mtty, mdpy, mbochs) = (parent("mtty"), parent("mdpy"), parent("mbochs"));
    let mut entries = vec![
        merged_type(&mtty, "mtty-1", "Single port serial", "", 24),
        merged_type(&mtty, "mtty-2", "Dual port serial", "", 12),
        merged_type(&mdpy, "mdpy-vga", "mdpy-vga", "640x480 framebuffer", 4),
        merged_type(&mdpy, "mdpy-xga", "mdpy-xga", "1024x768 framebuffer", 4),
        merged_type(&mdpy, "mdpy-hd", "mdpy-hd", "1920x1080 framebuffer", 4),
        merged_type(&mbochs, "mbochs-small", "mbochs-small", "4 MB video memory", 64),
        merged_type(&mbochs, "mbochs-medium", "mbochs-medium", "16 MB video memory", 16),
        merged_type(&mbochs, "mbochs-large", "mbochs-large", "64 MB video memory", 4),
        vec![SimEntry::Dir { path: "/sys/bus/mdev/devices".to_owned() }],
    ];
    entries.push(
        ["mtty", "mdpy", "mbochs"]
            .map(|d| link(&format!("/sys/class/mdev_bus/{d}"), &format!("../../devices/virtual/{d}/{d}")))
            .to_vec(),
    );
    entries.concat()
}

pub fn host(entries: Vec<SimEntry>) -> SimHost {
    SimHost::new(entries).expect("a sound host")
}

/// The same host after a dump and a replay.
pub fn replay(of: &SimHost) -> SimHost {
    host(of.entries())
}

fn folder(host: &SimHost, path: &str) -> IoResult<Box<dyn Dir>> {
    host.open(dirname(path))
}

pub fn write(host: &SimHost, path: &str, value: impl AsRef<[u8]>) -> IoResult<()> {
    folder(host, path)?.write(basename(path), value.as_ref())
}

pub fn read(host: &SimHost, path: &str) -> IoResult<String> {
    read_text(&*folder(host, path)?, basename(path))
}

pub fn target(host: &SimHost, path: &str) -> IoResult<String> {
    folder(host, path)?.link(basename(path))
}

/// Sorted names.
pub fn list(host: &SimHost, path: &str) -> IoResult<Vec<String>> {
    let mut names = Vec::new();
    host.open(path)?.list(&mut |name, _| names.push(name.to_owned()))?;
    names.sort_unstable();
    Ok(names)
}

pub fn exists(host: &SimHost, path: &str) -> bool {
    match folder(host, path).and_then(|dir| dir.meta(basename(path))) {
        Ok(_) => true,
        Err(Errno::NOENT) => false,
        Err(errno) => panic!("{path}: {errno}"),
    }
}
