// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated host by inode number, for a program that serves it as a file system.

use super::inject::Op;
use super::kernel::Kernel;
use super::tree::{Ino, Kind, ROOT};
use super::{SimEntry, SimHost, nodes};
use crate::error::Result;
use crate::sysfs::{Errno, IoResult};

/// The most bytes that one write delivers to a driver, as sysfs does.
pub const WRITE_MAX: usize = 4096;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A regular file.
    File,
    /// A node of VFIO.
    Node,
}

/// An entry of the host, as stat(2) shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The inode number, which is never reused.
    pub ino: u64,
    /// The kind of the entry.
    pub kind: EntryType,
    /// The permission bits.
    pub mode: u32,
    /// The number of links: for a directory, 2 and the number of directories in it.
    pub links: u32,
    /// The time of last change in nanoseconds since 1970; 0 if it never changed.
    pub changed: u64,
}

/// A process that has a node of VFIO open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opener {
    /// The number of the open file.
    id: u64,
    pid: u32,
}

/// An open node of VFIO. The node is closed when this is dropped.
#[derive(Debug)]
pub struct OpenNode {
    host: SimHost,
    node: Ino,
    id: u64,
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        self.host.with(|kernel| {
            let left = kernel.openers.get_mut(&self.node).map(|openers| {
                openers.retain(|opener| opener.id != self.id);
                openers.len()
            });
            if left == Some(0) {
                kernel.openers.remove(&self.node);
                kernel.held.remove(&self.node);
            }
        });
    }
}

impl SimHost {
    /// Adds what a simulated host does not need for libmdev, and a served host for other programs: the folders, the node of the VFIO
    /// container, the configuration space of each PCI function, and the file `unbind` of each driver.
    pub fn complete(&self) -> Result<()> {
        let file = |path: String, mode: u32, content: Vec<u8>| SimEntry::File { path, mode, content: Ok(content) };
        let mut more = vec![SimEntry::Dir { path: "/sys".to_owned() }, SimEntry::Dir { path: "/dev/vfio".to_owned() }];
        more.push(file("/dev/vfio/vfio".to_owned(), 0o666, Vec::new()));
        let functions = self.inode("/sys/bus/pci/devices").and_then(|folder| self.list(folder)).unwrap_or_default();
        for (name, _) in functions {
            let Ok(path) = self.inode(&format!("/sys/bus/pci/devices/{name}")).and_then(|ino| self.path_of(ino)) else {
                continue;
            };
            more.push(file(format!("{path}/config"), 0o644, self.configuration(&path)));
        }
        let drivers = self.inode("/sys/bus/pci/drivers").and_then(|folder| self.list(folder)).unwrap_or_default();
        for (driver, _) in drivers {
            more.push(file(format!("/sys/bus/pci/drivers/{driver}/unbind"), 0o200, Vec::new()));
        }
        more.retain(|entry| self.inode(entry.path()).is_err());
        self.plug(more)
    }

    /// Returns the configuration space of a PCI function: the header of PCI Local Bus Specification 3.0, 6.1, from its other files.
    fn configuration(&self, path: &str) -> Vec<u8> {
        let number = |file: &str| {
            let text = self.inode(&format!("{path}/{file}")).and_then(|ino| self.content(ino)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0).to_le_bytes()
        };
        let ([vendor, device], class) = (["vendor", "device"].map(number), number("class"));
        let is_bridge = class[1..3] == [0x04, 0x06];
        let mut space = vec![0; 256];
        space[0..2].copy_from_slice(&vendor[..2]);
        space[2..4].copy_from_slice(&device[..2]);
        space[8] = number("revision")[0];
        space[9..12].copy_from_slice(&class[..3]);
        space[14] = u8::from(is_bridge);
        space
    }

    /// Returns the inode number at an absolute path. Follows links.
    pub fn inode(&self, path: &str) -> IoResult<u64> {
        self.with(|kernel| kernel.tree.find(path))
    }

    /// Returns the absolute path of an entry.
    pub fn path_of(&self, ino: u64) -> IoResult<String> {
        self.with(|kernel| kernel.tree.node(ino).map(|_| kernel.tree.path(ino)))
    }

    /// Returns an entry. ENOENT if it was removed.
    pub fn stat(&self, ino: u64) -> IoResult<Stat> {
        self.before(Op::Meta, || self.path_of(ino).unwrap_or_default())?;
        self.with(|kernel| stat(kernel, ino))
    }

    /// Returns the entry of a directory with this name. Does not follow a link.
    pub fn child(&self, dir: u64, name: &str) -> IoResult<Stat> {
        self.with(|kernel| {
            let child = *kernel.tree.children(dir)?.get(name).ok_or(Errno::NOENT)?;
            stat(kernel, child)
        })
    }

    /// Returns the directory above an entry.
    pub fn above(&self, ino: u64) -> IoResult<u64> {
        self.with(|kernel| kernel.tree.node(ino).map(|node| node.parent))
    }

    /// Returns the entries of a directory with their names.
    pub fn list(&self, dir: u64) -> IoResult<Vec<(String, Stat)>> {
        self.before(Op::List, || self.path_of(dir).unwrap_or_default())?;
        self.with(|kernel| {
            let children = kernel.tree.children(dir)?.clone();
            Ok(children.into_iter().filter_map(|(name, ino)| Some((name, stat(kernel, ino).ok()?))).collect())
        })
    }

    /// Returns the target of a link. EINVAL if the entry is not a link.
    pub fn target(&self, link: u64) -> IoResult<String> {
        self.with(|kernel| match &kernel.tree.node(link)?.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        })
    }

    /// Returns the content of a file. EACCES if no user may read it, ENODEV if it was removed.
    pub fn content(&self, file: u64) -> IoResult<Vec<u8>> {
        self.before(Op::Read, || self.path_of(file).unwrap_or_default())?;
        self.with(|kernel| {
            let (dir, name) = place(kernel, file)?;
            let mut content = Vec::new();
            kernel.read(dir, &name, &mut content)?;
            Ok(content)
        })
    }

    /// Writes to a file and returns the number of written bytes: at most [`WRITE_MAX`]. A device is in use for this write if a node of it
    /// is open by a process for which `is_own` is false. Returns the errno of the driver; ENODEV if the file was removed.
    pub fn write(&self, file: u64, value: &[u8], is_own: &dyn Fn(u32) -> bool) -> IoResult<usize> {
        let value = value.get(..WRITE_MAX).unwrap_or(value);
        if value.is_empty() {
            return Ok(0);
        }
        // Not with the lock: `is_own` may read files.
        let openers = self.with(|kernel| kernel.openers.clone());
        let others = |openers: &[Opener]| openers.iter().any(|opener| !is_own(opener.pid));
        let used: Vec<Ino> = openers.iter().filter(|(_, openers)| others(openers)).map(|(node, _)| *node).collect();
        let path = || self.path_of(file).unwrap_or_default();
        self.shared.inject.before(Op::Write, path, Some(value))?;
        self.with(|kernel| {
            let (dir, name) = place(kernel, file)?;
            let marked = mark_used(kernel, &used);
            let result = kernel.write(dir, &name, value);
            unmark(kernel, &marked);
            result
        })?;
        self.shared.inject.after(Op::Write, path)?;
        Ok(value.len())
    }

    /// Sets the time of last change to now, as a truncation or utimensat(2) does.
    pub fn touch(&self, ino: u64) -> IoResult<Stat> {
        self.before(Op::Stamp, || self.path_of(ino).unwrap_or_default())?;
        self.with(|kernel| {
            kernel.tree.set_mtime(ino)?;
            stat(kernel, ino)
        })
    }

    /// Sets the permission bits of an entry.
    pub fn set_mode(&self, ino: u64, mode: u32) -> IoResult<Stat> {
        self.with(|kernel| {
            kernel.tree.set_mode(ino, mode & 0o7777)?;
            stat(kernel, ino)
        })
    }

    /// Opens a node of VFIO for a process. The node of a group is EBUSY while it is open or a guest uses the group.
    pub fn open_node(&self, node: u64, pid: u32) -> IoResult<OpenNode> {
        let path = self.path_of(node)?;
        self.before(Op::Hold, || path.clone())?;
        let is_group = path.rsplit('/').next().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let id = self.with(|kernel| {
            kernel.tree.node(node)?;
            if is_group && (nodes::is_in_use(kernel, node) || !kernel.held.insert(node)) {
                return Err(Errno::BUSY);
            }
            kernel.number_of_opens += 1;
            let id = kernel.number_of_opens;
            kernel.openers.entry(node).or_default().push(Opener { id, pid });
            Ok(id)
        })?;
        Ok(OpenNode { host: self.clone(), node, id })
    }
}

fn stat(kernel: &mut Kernel, ino: Ino) -> IoResult<Stat> {
    kernel.tree.look(ino);
    let node = kernel.tree.node(ino)?;
    let (kind, links) = match &node.kind {
        Kind::Dir(children) => {
            let is_dir = |ino: &&Ino| matches!(kernel.tree.node(**ino).map(|node| &node.kind), Ok(Kind::Dir(_)));
            let folders = children.values().filter(is_dir).count();
            (EntryType::Dir, u32::try_from(folders).unwrap_or(u32::MAX - 2) + 2)
        }
        Kind::Link(_) => (EntryType::Link, 1),
        Kind::File(_) => (EntryType::File, 1),
        Kind::Device => (EntryType::Node, 1),
    };
    Ok(Stat { ino, kind, mode: node.mode, links, changed: node.changed })
}

/// Returns the directory and the name of an open file. As kernfs does, ENODEV if the file was removed.
fn place(kernel: &Kernel, file: Ino) -> IoResult<(Ino, String)> {
    match kernel.tree.node(file) {
        Ok(node) if file != ROOT => Ok((node.parent, node.name.clone())),
        _ => Err(Errno::NODEV),
    }
}

/// Marks the devices of these nodes as in use. Returns those that were not.
fn mark_used(kernel: &mut Kernel, used: &[Ino]) -> Vec<Ino> {
    let dirs = kernel.devices.values().map(|device| device.dir).chain(kernel.vendor.vfs.keys().copied());
    let has_node = |dir: &Ino| {
        let own = nodes::vfio_name(&kernel.tree, *dir);
        let own = own.and_then(|name| kernel.tree.find(&format!("{}/devices/{name}", nodes::VFIO_NODES)).ok());
        nodes::group_node(&kernel.tree, *dir).into_iter().chain(own).any(|node| used.contains(&node))
    };
    let dirs: Vec<Ino> = if used.is_empty() { Vec::new() } else { dirs.filter(has_node).collect() };
    dirs.into_iter().filter(|dir| set_used(kernel, *dir, true)).collect()
}

fn unmark(kernel: &mut Kernel, marked: &[Ino]) {
    for dir in marked {
        set_used(kernel, *dir, false);
    }
}

/// Sets whether a guest uses the device or VF. Returns true if this changed.
fn set_used(kernel: &mut Kernel, dir: Ino, is_used: bool) -> bool {
    let device = kernel.devices.values_mut().find(|device| device.dir == dir).map(|device| &mut device.in_use);
    let in_use = device.or(kernel.vendor.vfs.get_mut(&dir).map(|vf| &mut vf.in_use));
    in_use.is_some_and(|in_use| std::mem::replace(in_use, is_used) != is_used)
}

#[cfg(test)]
mod tests {
    use super::super::default_host;
    use super::*;

    const GPU: &str = "/sys/devices/pci0000:00/0000:00:02.0";
    const UUID: &str = "b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93";

    fn write(host: &SimHost, path: &str, text: &str, own: u32) -> IoResult<usize> {
        let file = host.inode(path)?;
        host.write(file, text.as_bytes(), &|pid| pid == own)
    }

    #[test]
    fn open_node_makes_the_device_busy_for_other_processes() {
        let host = default_host();
        let group = host.target(host.child(host.inode(&format!("{GPU}/{UUID}")).unwrap(), "iommu_group").unwrap().ino);
        let group = group.unwrap().rsplit('/').next().unwrap().to_owned();
        let node = host.inode(&format!("/dev/vfio/{group}")).unwrap();
        let open = host.open_node(node, 7).unwrap();
        assert_eq!(host.open_node(node, 8).unwrap_err(), Errno::BUSY);
        let remove = format!("{GPU}/{UUID}/remove");
        assert_eq!(write(&host, &remove, "1\n", 8), Err(Errno::BUSY));
        let file = host.inode(&remove).unwrap();
        assert_eq!(write(&host, &remove, "1\n", 7), Ok(2));
        drop(open);
        assert_eq!(host.write(file, b"1\n", &|_| true), Err(Errno::NODEV));
        assert_eq!(host.stat(node), Err(Errno::NOENT));
    }

    #[test]
    fn container_node_is_opened_by_many() {
        let host = default_host();
        let node = host.inode("/dev/vfio/vfio").unwrap();
        let _first = host.open_node(node, 1).unwrap();
        assert!(host.open_node(node, 2).is_ok());
    }

    #[test]
    fn long_write_is_short_and_directory_counts_its_folders() {
        let host = default_host();
        let types = host.inode(&format!("{GPU}/mdev_supported_types")).unwrap();
        assert_eq!(host.stat(types).unwrap().links, 2 + 4);
        let create = host.inode(&format!("{GPU}/mdev_supported_types/i915-GVTg_V5_8/create")).unwrap();
        assert_eq!(host.write(create, &[b'a'; 5000], &|_| true), Err(Errno::INVAL));
        assert_eq!(host.content(create), Err(Errno::ACCESS));
        let before = host.stat(create).unwrap().changed;
        assert!(host.touch(create).unwrap().changed > before);
    }
}
