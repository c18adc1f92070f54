// SPDX-License-Identifier: LGPL-2.1-or-later
//! Follows the folder of definitions and the folders of parents in it, with inotify. Each of them, and even what is above,
//! may come later or go and come again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Change, Definitions};
use crate::fd::long_lived;
use crate::sysfs::{IoResult, unless_exhausted};

/// More parents than any host has; the kernel's own bound of watches belongs to all programs of the user.
const PARENTS_MAX: usize = 4096;

/// What is watched by a number of inotify's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watched {
    /// A folder on the way, by its place in the chain.
    Above(usize),
    /// The folder of a parent.
    Parent(String),
}

/// A folder of folders of files.
#[derive(Debug)]
pub struct Folders {
    inotify: OwnedFd,
    /// From the root to the folder of definitions: each is the path of a folder.
    chain: Vec<String>,
    watched: HashMap<i32, Watched>,
    /// A file was written to in one go by an editor or by mdevctl: it counts when it is closed.
    waiting: VecDeque<Change>,
    /// Not everything that is there is watched: it is to be tried again.
    broken: bool,
}

impl Folders {
    /// Follows `path`, which need not be there; `root` must be.
    pub fn new(root: &str, path: &str) -> IoResult<Folders> {
        let root = root.trim_end_matches('/');
        let mut chain = vec![if root.is_empty() { "/".to_owned() } else { root.to_owned() }];
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = chain.last().map_or("", |above| above.trim_end_matches('/'));
            chain.push(format!("{above}/{name}"));
        }
        let inotify = long_lived(inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?)?;
        let mut folders = Folders { inotify, chain, watched: HashMap::new(), waiting: VecDeque::new(), broken: false };
        folders.descend(0)?;
        // What was there before is what the room above lists.
        folders.waiting.clear();
        Ok(folders)
    }

    fn last(&self) -> usize {
        self.chain.len() - 1
    }

    /// Watches the chain from `level` on, as far as it is there, then the folders of parents.
    fn descend(&mut self, level: usize) -> IoResult<()> {
        for level in level..self.chain.len() {
            let last = level == self.last();
            // Links of the folders above are the administrator's; a link in the last place is followed as well.
            match self.watch(&self.chain[level].clone(), folder_events(), Watched::Above(level)) {
                Ok(()) if last => self.watch_parents(),
                Ok(()) => {}
                Err(Errno::NOENT | Errno::NOTDIR) if level > 0 => return Ok(()),
                // ENOSPC: the user has no inotify watch left, which says nothing about the folder.
                Err(errno) if level > 0 && errno != Errno::NOSPC => {
                    let errno = unless_exhausted(errno)?;
                    log::warn!("{}: changes below are not seen: {errno}", self.chain[level]);
                    return Ok(());
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn watch(&mut self, path: &str, what: WatchFlags, watched: Watched) -> IoResult<()> {
        let number = inotify::add_watch(&self.inotify, path, what | WatchFlags::ONLYDIR)?;
        self.watched.insert(number, watched);
        Ok(())
    }

    fn watch_parents(&mut self) {
        let base = self.chain[self.last()].clone();
        let names = match folders_in(&base) {
            Ok(names) => names,
            Err(errno) => return log::warn!("{base}: cannot be listed: {errno}"),
        };
        let known: HashSet<String> = self.parents().cloned().collect();
        names.into_iter().filter(|name| !known.contains(name)).for_each(|name| self.watch_parent(&name));
    }

    fn parents(&self) -> impl Iterator<Item = &String> {
        self.watched.values().filter_map(|watched| match watched {
            Watched::Parent(name) => Some(name),
            Watched::Above(_) => None,
        })
    }

    /// Files that came before the watch did are to be looked for.
    fn watch_parent(&mut self, name: &str) {
        if self.parents().count() >= PARENTS_MAX {
            return log::warn!("changes of the definitions of {name} are not seen: too many parents are followed");
        }
        let path = format!("{}/{name}", self.chain[self.last()]);
        match self.watch(&path, file_events() | WatchFlags::DONT_FOLLOW, Watched::Parent(name.to_owned())) {
            Ok(()) => self.waiting.push_back(Change::DefinitionsOf(name.to_owned())),
            // Gone again, or no folder.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => log::warn!("{path}: changes of definitions are not seen: {errno}"),
        }
    }

    fn drain(&mut self) -> IoResult<()> {
        let mut buffer = [0_u8; 8192];
        loop {
            match rustix::io::read(&self.inotify, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn fetch(&mut self) -> IoResult<()> {
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 8192];
        let mut seen = Vec::new();
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default().to_owned();
                    seen.push((event.wd(), event.events(), name));
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        seen.into_iter().try_for_each(|(number, events, name)| self.take(number, events, name))
    }

    fn take(&mut self, number: i32, events: ReadFlags, name: String) -> IoResult<()> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            // A folder may have gone and come again unseen: what is watched under its name is the old one.
            self.start_again()?;
            self.waiting.push_back(Change::Lost);
            return Ok(());
        }
        let Some(watched) = self.watched.get(&number).cloned() else { return Ok(()) };
        let gone = events.contains(ReadFlags::IGNORED);
        if gone {
            self.watched.remove(&number);
        }
        match watched {
            Watched::Parent(parent) if gone || events.contains(ReadFlags::MOVE_SELF) => self.lose(number, parent),
            Watched::Parent(parent) if !name.is_empty() => {
                if !events.contains(ReadFlags::CREATE) || self.is_whole(&parent, &name) {
                    let change = Change::Definition { parent, file: name };
                    // Who comes, is written and closed is looked at once.
                    if self.waiting.back() != Some(&change) {
                        self.waiting.push_back(change);
                    }
                }
            }
            Watched::Above(level) if level == self.last() && !gone => self.base_changed(events, name),
            Watched::Above(level) => {
                let next = self.chain.get(level + 1).and_then(|path| path.rsplit('/').next());
                if gone || next == Some(&name) {
                    return self.start_again();
                }
            }
            Watched::Parent(_) => {}
        }
        Ok(())
    }

    /// A file that has just come was given its name when it was written, as libmdev does; who writes in place begins with
    /// an empty one, and closes it.
    fn is_whole(&self, parent: &str, file: &str) -> bool {
        let path = format!("{}/{parent}/{file}", self.chain[self.last()]);
        rustix::fs::lstat(&*path).is_ok_and(|stat| stat.st_size > 0)
    }

    /// The folder of a parent went, or was moved away.
    fn lose(&mut self, number: i32, parent: String) {
        if self.watched.remove(&number).is_some() {
            let _ = inotify::remove_watch(&self.inotify, number);
        }
        self.waiting.push_back(Change::DefinitionsOf(parent));
    }

    /// Something came into the folder of definitions, went from it, or it went itself.
    fn base_changed(&mut self, events: ReadFlags, name: String) {
        if !events.contains(ReadFlags::ISDIR) {
            return;
        }
        if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            if self.parents().any(|known| *known == name) {
                // Gone and here again, before the news of the first were read.
                self.watched.retain(|_, watched| *watched != Watched::Parent(name.clone()));
            }
            self.watch_parent(&name);
        } else if events.contains(ReadFlags::MOVED_FROM) {
            // Under its new name it would be watched by the same number: this one must end first.
            let named = |watched: &Watched| *watched == Watched::Parent(name.clone());
            if let Some(number) = self.watched.iter().find(|(_, watched)| named(watched)).map(|(number, _)| *number) {
                self.lose(number, name);
            }
        }
    }

    /// A folder on the way came or went: everything below is another now.
    fn start_again(&mut self) -> IoResult<()> {
        self.broken = true;
        for (number, _) in std::mem::take(&mut self.watched) {
            let _ = inotify::remove_watch(&self.inotify, number);
        }
        let watched = self.descend(0);
        // What is still told is of watches that have ended; unread it would keep the descriptor readable until the next try.
        if watched.is_err() {
            self.drain()?;
        }
        watched?;
        self.broken = false;
        self.waiting.clear();
        self.waiting.push_back(Change::Definitions);
        Ok(())
    }
}

impl Definitions for Folders {
    fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    fn is_behind(&self) -> bool {
        self.broken
    }

    fn next(&mut self) -> IoResult<Option<Change>> {
        // It was an error once. Devices are told meanwhile.
        if self.broken {
            if let Err(errno) = self.start_again() {
                log::debug!("{}: changes are still not seen: {errno}", self.chain[self.last()]);
                return Ok(None);
            }
        }
        if self.waiting.is_empty() {
            self.fetch()?;
        }
        Ok(self.waiting.pop_front())
    }
}

/// What brings a folder of the chain or of a parent, or takes it away.
fn folder_events() -> WatchFlags {
    WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE | WatchFlags::MOVE_SELF
}

/// mdevctl writes in place, which is over when it closes the file; libmdev links or renames a whole file to its place.
fn file_events() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::MOVE_SELF
}

fn folders_in(path: &str) -> IoResult<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = Dir::new(openat(CWD, path, flags, Mode::empty())?)?;
    // Not every file system tells; what is no folder is not watched.
    let maybe = |kind| matches!(kind, FileType::Directory | FileType::Unknown);
    let names = dir.flatten().filter(|entry| maybe(entry.file_type()));
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    Ok(names.filter(|name| name != "." && name != "..").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::fs;

    fn all(folders: &mut Folders) -> Vec<Change> {
        std::iter::from_fn(|| folders.next().unwrap()).collect()
    }

    fn file(parent: &str, file: &str) -> Change {
        Change::Definition { parent: parent.to_owned(), file: file.to_owned() }
    }

    fn of(parent: &str) -> Change {
        Change::DefinitionsOf(parent.to_owned())
    }

    #[test]
    fn the_folders_may_come_later_and_go() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let mut folders = Folders::new(root.path().to_str().unwrap(), "/etc/mdevctl.d").unwrap();
        fs::create_dir(path("other")).unwrap();
        assert_eq!(all(&mut folders), []);
        fs::create_dir_all(path("etc/mdevctl.d/p")).unwrap();
        assert_eq!(all(&mut folders), [Change::Definitions]);
        fs::write(path("etc/mdevctl.d/p/a"), "x").unwrap();
        assert_eq!(all(&mut folders), [file("p", "a")]);
        fs::create_dir(path("etc/mdevctl.d/q")).unwrap();
        assert_eq!(all(&mut folders), [of("q")]);
        fs::write(path("etc/mdevctl.d/q/.tmp"), "x").unwrap();
        fs::rename(path("etc/mdevctl.d/q/.tmp"), path("etc/mdevctl.d/q/b")).unwrap();
        assert_eq!(all(&mut folders), [file("q", ".tmp"), file("q", "b")]);
        // A file that was written before it was given its name, and one that is still to be written.
        fs::hard_link(path("etc/mdevctl.d/q/b"), path("etc/mdevctl.d/q/c")).unwrap();
        assert_eq!(all(&mut folders), [file("q", "c")]);
        let begun = fs::File::create(path("etc/mdevctl.d/q/d")).unwrap();
        assert_eq!(all(&mut folders), []);
        drop(begun);
        assert_eq!(all(&mut folders), [file("q", "d")]);
        fs::remove_file(path("etc/mdevctl.d/q/c")).unwrap();
        fs::remove_file(path("etc/mdevctl.d/q/d")).unwrap();
        assert_eq!(all(&mut folders), [file("q", "c"), file("q", "d")]);
        fs::remove_dir_all(path("etc/mdevctl.d/q")).unwrap();
        assert_eq!(all(&mut folders), [file("q", "b"), of("q")]);
        fs::rename(path("etc"), path("gone")).unwrap();
        assert!(all(&mut folders).contains(&Change::Definitions));
        fs::write(path("gone/mdevctl.d/p/a"), "y").unwrap();
        assert_eq!(all(&mut folders), []);
        fs::rename(path("gone"), path("etc")).unwrap();
        assert!(all(&mut folders).contains(&Change::Definitions));
        fs::write(path("etc/mdevctl.d/p/a"), "z").unwrap();
        assert_eq!(all(&mut folders), [file("p", "a")]);
        fs::remove_dir_all(path("etc")).unwrap();
        assert!(all(&mut folders).contains(&Change::Definitions));
    }

    /// As when a card has another address: the folder of its definitions is given the new name.
    #[test]
    fn a_folder_that_is_renamed_is_followed_under_its_new_name() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("d");
        fs::create_dir_all(base.join("p")).unwrap();
        let mut folders = Folders::new(root.path().to_str().unwrap(), "d").unwrap();
        fs::rename(base.join("p"), base.join("q")).unwrap();
        assert_eq!(all(&mut folders), [of("p"), of("q")]);
        fs::write(base.join("q/a"), "x").unwrap();
        assert_eq!(all(&mut folders), [file("q", "a")]);
        fs::rename(base.join("q"), root.path().join("out")).unwrap();
        assert_eq!(all(&mut folders), [of("q")]);
        fs::write(root.path().join("out/a"), "y").unwrap();
        assert_eq!(all(&mut folders), []);
    }

    #[test]
    fn after_an_overflow_what_came_again_meanwhile_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("d");
        fs::create_dir_all(base.join("p")).unwrap();
        let mut folders = Folders::new(root.path().to_str().unwrap(), "d").unwrap();
        let bound = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        // Equal events in a row are one.
        for n in 0..bound.trim().parse::<usize>().unwrap() {
            fs::write(base.join(if n % 2 == 0 { "p/a" } else { "p/b" }), "x").unwrap();
        }
        fs::remove_dir_all(base.join("p")).unwrap();
        fs::create_dir(base.join("p")).unwrap();
        assert!(all(&mut folders).contains(&Change::Lost));
        fs::write(base.join("p/a"), "x").unwrap();
        assert!(all(&mut folders).contains(&file("p", "a")));
    }

    /// When there was no watch to be had for a moment, all is watched again once there is.
    #[test]
    fn what_could_not_be_watched_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("d/p")).unwrap();
        let mut folders = Folders::new(root.path().to_str().unwrap(), "d").unwrap();
        fs::rename(root.path().join("d"), root.path().join("e")).unwrap();
        let at = std::mem::replace(&mut folders.chain[0], "/proc/none".to_owned());
        for seen in [Err(Errno::NOENT), Ok(None)] {
            assert_eq!(folders.next(), seen);
            assert!(folders.is_behind());
            let mut fds = [PollFd::new(&folders.inotify, PollFlags::IN)];
            assert_eq!(poll(&mut fds, Some(&Timespec::default())), Ok(0), "it would be tried without a pause");
        }
        folders.chain[0] = at;
        fs::rename(root.path().join("e"), root.path().join("d")).unwrap();
        assert!(all(&mut folders).contains(&Change::Definitions));
        fs::write(root.path().join("d/p/a"), "x").unwrap();
        assert_eq!(all(&mut folders), [file("p", "a")]);
    }

    #[test]
    fn a_folder_that_comes_back_at_once_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("d");
        fs::create_dir_all(base.join("p")).unwrap();
        let mut folders = Folders::new(root.path().to_str().unwrap(), "d").unwrap();
        fs::remove_dir(base.join("p")).unwrap();
        fs::create_dir(base.join("p")).unwrap();
        assert!(all(&mut folders).contains(&of("p")));
        fs::write(base.join("p/a"), "x").unwrap();
        assert_eq!(all(&mut folders), [file("p", "a")]);
        // A link is no folder of a parent.
        std::os::unix::fs::symlink("/tmp", base.join("l")).unwrap();
        assert_eq!(all(&mut folders), []);
    }
}
