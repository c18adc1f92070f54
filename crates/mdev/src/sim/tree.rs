// SPDX-License-Identifier: LGPL-2.1-or-later
//! The file tree of the simulated host: directories, links and files, without their meaning.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::sysfs::{EntryKind, Errno, IoResult};
use crate::time::nanoseconds;

/// Identity of a node; never reused.
pub(super) type Ino = u64;

/// `/`
pub(super) const ROOT: Ino = 1;

/// The number of links that Linux follows in one lookup.
const LINKS_MAX: u32 = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Dir(BTreeMap<String, Ino>),
    Link(String),
    /// The result of a read.
    File(IoResult<Vec<u8>>),
    /// A device node.
    Device,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) parent: Ino,
    pub(super) mode: u32,
    pub(super) kind: Kind,
    /// Time of last change. For a changed file, a counter; for a link, the time of the first look, in nanoseconds (0
    /// before); for a device node, the time of its creation, in nanoseconds.
    pub(super) changed: u64,
}

impl Node {
    pub(super) fn entry_kind(&self) -> EntryKind {
        match self.kind {
            Kind::Dir(_) => EntryKind::Dir,
            Kind::Link(_) => EntryKind::Link,
            Kind::File(_) => EntryKind::File,
            Kind::Device => EntryKind::Other,
        }
    }
}

#[derive(Debug)]
pub(super) struct Tree {
    /// Not a hash map: a hash map keeps only a pointer into the middle of its memory. The built-in host lives until
    /// the process ends, and a leak checker would report all of its memory as lost.
    nodes: BTreeMap<Ino, Node>,
    last: Ino,
    /// The last time that `set_mtime` gave.
    clock: u64,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let root =
            Node { name: String::new(), parent: ROOT, mode: 0o755, kind: Kind::Dir(BTreeMap::new()), changed: 0 };
        Tree { nodes: BTreeMap::from([(ROOT, root)]), last: ROOT, clock: 0 }
    }

    /// Returns the node. ENOENT if it was removed.
    pub(super) fn node(&self, ino: Ino) -> IoResult<&Node> {
        self.nodes.get(&ino).ok_or(Errno::NOENT)
    }

    /// Returns the entries of a directory. ENOTDIR for any other node.
    pub(super) fn children(&self, dir: Ino) -> IoResult<&BTreeMap<String, Ino>> {
        match &self.node(dir)?.kind {
            Kind::Dir(children) => Ok(children),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Returns the entry with this name. Does not follow a link.
    pub(super) fn child(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.children(dir).ok()?.get(name).copied()
    }

    /// Looks up a path. Follows links on the way; follows a link in the last place only if `follow` is true.
    pub(super) fn walk(&self, start: Ino, path: &str, follow: bool) -> IoResult<Ino> {
        let mut todo: Vec<&str> = path.rsplit('/').collect();
        let (mut here, mut links) = (start, 0);
        while let Some(part) = todo.pop() {
            let children = self.children(here)?;
            match part {
                "" | "." => continue,
                ".." => {
                    here = self.node(here)?.parent;
                    continue;
                }
                _ => {}
            }
            let next = *children.get(part).ok_or(Errno::NOENT)?;
            match &self.node(next)?.kind {
                Kind::Link(target) if follow || !todo.is_empty() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with('/') {
                        here = ROOT;
                    }
                    todo.extend(target.rsplit('/'));
                }
                _ => here = next,
            }
        }
        Ok(here)
    }

    /// Looks up an absolute path and follows every link.
    pub(super) fn find(&self, path: &str) -> IoResult<Ino> {
        self.walk(ROOT, path, true)
    }

    /// Returns the absolute path of a node.
    pub(super) fn path(&self, ino: Ino) -> String {
        let mut names = Vec::new();
        let mut here = ino;
        while here != ROOT {
            let Some(node) = self.nodes.get(&here) else { break };
            names.push(node.name.as_str());
            here = node.parent;
        }
        names.reverse();
        format!("/{}", names.join("/"))
    }

    /// Adds an entry. EEXIST if the name exists, ENOENT if the directory was removed, ENOTDIR if `dir` is not a
    /// directory.
    pub(super) fn add(&mut self, dir: Ino, name: &str, mode: u32, kind: Kind) -> IoResult<Ino> {
        let ino = self.last + 1;
        match self.nodes.get_mut(&dir).ok_or(Errno::NOENT)?.kind {
            Kind::Dir(ref mut children) if !children.contains_key(name) => {
                children.insert(name.to_owned(), ino);
            }
            Kind::Dir(_) => return Err(Errno::EXIST),
            _ => return Err(Errno::NOTDIR),
        }
        self.last = ino;
        let changed = if matches!(kind, Kind::Device) { nanoseconds(SystemTime::now()) } else { 0 };
        self.nodes.insert(ino, Node { name: name.to_owned(), parent: dir, mode, kind, changed });
        Ok(ino)
    }

    pub(super) fn add_dir(&mut self, dir: Ino, name: &str) -> IoResult<Ino> {
        self.add(dir, name, 0o755, Kind::Dir(BTreeMap::new()))
    }

    pub(super) fn add_file(&mut self, dir: Ino, name: &str, mode: u32, content: &str) -> IoResult<Ino> {
        self.add(dir, name, mode, Kind::File(Ok(content.as_bytes().to_vec())))
    }

    /// Adds a link with the shortest relative target, as sysfs does. The target need not exist.
    pub(super) fn add_link(&mut self, dir: Ino, name: &str, target: &str) -> IoResult<Ino> {
        let target = relative(&self.path(dir), target);
        self.add(dir, name, 0o777, Kind::Link(target))
    }

    /// Returns the directory at a path; creates it and the directories above it if they do not exist.
    pub(super) fn make_dirs(&mut self, start: Ino, path: &str) -> IoResult<Ino> {
        let mut here = start;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            here = match self.child(here, name) {
                Some(next) => next,
                None => self.add_dir(here, name)?,
            };
        }
        self.children(here).map(|_| here)
    }

    /// Removes a node and all nodes below it; returns the removed nodes.
    pub(super) fn remove(&mut self, ino: Ino) -> Vec<Ino> {
        let Some(node) = self.nodes.get(&ino) else { return Vec::new() };
        let (parent, name) = (node.parent, node.name.clone());
        if let Some(Node { kind: Kind::Dir(children), .. }) = self.nodes.get_mut(&parent) {
            children.remove(&name);
        }
        let mut gone = vec![ino];
        let mut next = 0;
        while next < gone.len() {
            if let Some(Node { kind: Kind::Dir(children), .. }) = self.nodes.remove(&gone[next]) {
                gone.extend(children.values());
            }
            next += 1;
        }
        gone
    }

    /// Removes the entry at a path, if it exists.
    pub(super) fn remove_at(&mut self, start: Ino, path: &str) {
        if let Ok(ino) = self.walk(start, path, false) {
            self.remove(ino);
        }
    }

    /// Sets the time of a node to a value that no other node has.
    pub(super) fn set_mtime(&mut self, ino: Ino) -> IoResult<u64> {
        let node = self.nodes.get_mut(&ino).ok_or(Errno::NOENT)?;
        self.clock = nanoseconds(SystemTime::now()).max(self.clock + 1);
        node.changed = self.clock;
        Ok(self.clock)
    }

    /// Sets the permission bits of a node.
    pub(super) fn set_mode(&mut self, ino: Ino, mode: u32) -> IoResult<()> {
        self.nodes.get_mut(&ino).ok_or(Errno::NOENT)?.mode = mode;
        Ok(())
    }

    /// Sets the time of a link at the first look.
    pub(super) fn look(&mut self, ino: Ino) {
        match self.nodes.get_mut(&ino) {
            Some(Node { kind: Kind::Link(_), changed, .. }) if *changed == 0 => {
                *changed = nanoseconds(SystemTime::now())
            }
            _ => {}
        }
    }

    /// Sets the time of a device node back.
    pub(super) fn set_back_time(&mut self, ino: Ino, by: Duration) {
        if let Some(Node { kind: Kind::Device, changed, .. }) = self.nodes.get_mut(&ino) {
            *changed = changed.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Sets the content of the file. Does nothing if the file was removed or a read of it fails.
    pub(super) fn show(&mut self, file: Ino, content: &str) {
        self.show_bytes(file, content.as_bytes());
    }

    /// Sets the result of a read of the file; it can be an errno.
    pub(super) fn set_content(&mut self, file: Ino, content: IoResult<Vec<u8>>) {
        if let Some(Node { kind: Kind::File(old), .. }) = self.nodes.get_mut(&file) {
            *old = content;
        }
    }

    pub(super) fn show_bytes(&mut self, file: Ino, content: &[u8]) {
        if let Some(Node { kind: Kind::File(Ok(bytes)), .. }) = self.nodes.get_mut(&file) {
            bytes.clear();
            bytes.extend_from_slice(content);
        }
    }

    /// Returns the text of a file below `start`, without the newlines at its end.
    pub(super) fn text(&self, start: Ino, path: &str) -> Option<String> {
        match &self.node(self.walk(start, path, true).ok()?).ok()?.kind {
            Kind::File(Ok(bytes)) => Some(String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()),
            _ => None,
        }
    }

    /// Returns the entry that a link below `start` leads to, if it exists.
    pub(super) fn linked(&self, start: Ino, name: &str) -> Option<Ino> {
        let link = self.child(start, name)?;
        matches!(self.node(link).ok()?.kind, Kind::Link(_)).then(|| self.walk(start, name, true).ok()).flatten()
    }

    /// Returns every node, in no particular order.
    pub(super) fn all(&self) -> impl Iterator<Item = (Ino, &Node)> {
        self.nodes.iter().map(|(ino, node)| (*ino, node))
    }
}

/// Returns the relative path from a directory to an absolute path.
pub(super) fn relative(dir: &str, target: &str) -> String {
    let parts = |path: &'_ str| path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (parts(dir), parts(target));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    up.chain(to[common..].iter().map(String::as_str)).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_text_is_relative_as_in_sysfs() {
        assert_eq!(
            relative("/sys/class/mdev_bus", "/sys/devices/virtual/mtty/mtty"),
            "../../devices/virtual/mtty/mtty"
        );
        let device = "/sys/devices/virtual/mtty/mtty/UUID";
        let target = "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1";
        assert_eq!(relative(device, target), "../mdev_supported_types/mtty-1");
    }

    #[test]
    fn lookup_fails_with_errno_of_sysfs() {
        let mut tree = Tree::new();
        let dir = tree.make_dirs(ROOT, "/sys/a").unwrap();
        tree.add_file(dir, "file", 0o444, "1\n").unwrap();
        tree.add(dir, "loop", 0o777, Kind::Link("loop".to_owned())).unwrap();
        tree.add_link(dir, "dangling", "/sys/b").unwrap();
        tree.add_link(dir, "up", "/sys").unwrap();
        assert_eq!(tree.find("/sys/a/file/x"), Err(Errno::NOTDIR));
        assert_eq!(tree.find("/sys/a/none"), Err(Errno::NOENT));
        assert_eq!(tree.find("/sys/a/loop"), Err(Errno::LOOP));
        assert_eq!(tree.find("/sys/a/dangling"), Err(Errno::NOENT));
        assert_eq!(tree.find("/sys/a/up/a/up/a"), Ok(dir));
        assert_eq!(tree.add_dir(dir, "file"), Err(Errno::EXIST));
    }

    #[test]
    fn removed_entry_is_not_found_through_old_directory() {
        let mut tree = Tree::new();
        let dir = tree.make_dirs(ROOT, "/a/b/c").unwrap();
        let a = tree.find("/a").unwrap();
        assert_eq!(tree.remove(a).len(), 3);
        assert_eq!(tree.children(dir).unwrap_err(), Errno::NOENT);
        assert!(tree.make_dirs(ROOT, "/a/b/c").unwrap() > dir);
    }
}
