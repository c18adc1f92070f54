// SPDX-License-Identifier: LGPL-2.1-or-later
//! One inotify for all followed files of a host: single files, the folder of definitions and the folders of parents in it. Each of
//! these folders, and the folders above, may be created later, and may be removed and created again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::Change;
use crate::fd::long_lived;
use crate::sysfs::{IoResult, unless_exhausted};

/// The maximum number of watched folders of parents, more than any host has. The kernel limits the watches of a user, so a library
/// must not use them all.
const PARENTS_MAX: usize = 4096;

/// The purpose of an inotify watch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watched {
    /// A followed file, by its path on the host.
    File(String),
    /// A folder on the path to the folders that are named after parents. The number is its index in the chain of these folders.
    Above(usize),
    /// The folder of a parent.
    Parent(String),
}

/// The followed files and folders.
#[derive(Debug)]
pub(super) struct Files {
    inotify: OwnedFd,
    /// Paths of the folders from the root to the folder of definitions; empty if no definitions are followed.
    chain: Vec<String>,
    watched: HashMap<i32, Watched>,
    /// Writes to followed files.
    written: VecDeque<Change>,
    /// Changes of definitions.
    definitions: VecDeque<Change>,
    /// Not all existing folders are watched. The next [`Files::read`] tries again.
    broken: bool,
}

impl Files {
    /// Creates an inotify without watches. Fails if the process or the user has reached a limit of the kernel.
    pub(super) fn new() -> IoResult<Files> {
        let inotify = long_lived(inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?)?;
        let (written, definitions) = (VecDeque::new(), VecDeque::new());
        Ok(Files { inotify, chain: Vec::new(), watched: HashMap::new(), written, definitions, broken: false })
    }

    /// Follows the folder of definitions at `path` below `root`. `root` must exist; `path` need not.
    pub(super) fn of_definitions(root: &str, path: &str) -> IoResult<Files> {
        let root = root.trim_end_matches('/');
        let mut chain = vec![if root.is_empty() { "/".to_owned() } else { root.to_owned() }];
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = chain.last().map_or("", |above| above.trim_end_matches('/'));
            chain.push(format!("{above}/{name}"));
        }
        let mut files = Files { chain, ..Files::new()? };
        files.descend(0)?;
        // The driver lists what exists now.
        files.definitions.clear();
        Ok(files)
    }

    /// Returns a descriptor that is readable when [`Files::read`] has something to read.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Returns the next write to a followed file, from the events that [`Files::read`] has read.
    pub(super) fn next_write(&mut self) -> Option<Change> {
        self.written.pop_front()
    }

    /// Returns the next change of definitions, from the events that [`Files::read`] has read.
    pub(super) fn next_definition(&mut self) -> Option<Change> {
        self.definitions.pop_front()
    }

    /// True if [`Files::read`] must be called although the descriptor is not readable.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Reads some events of inotify, without waiting.
    pub(super) fn read(&mut self) -> IoResult<()> {
        // The first failure was returned. A repeated failure is only logged, so that changes of devices are still reported.
        if self.broken {
            if let Err(errno) = self.start_again() {
                log::debug!("{}: changes are still not detected: {errno}", self.base());
            }
        }
        self.fetch().map(|_| ())
    }

    /// Follows the open file instead of the file that was followed under this path before.
    pub(super) fn follow(&mut self, path: &str, file: BorrowedFd<'_>) -> IoResult<()> {
        // A driver may change its state even if it refuses the write, and as late as at the close.
        let events = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE;
        // The watch belongs to the inode.
        let number = inotify::add_watch(&self.inotify, format!("/proc/self/fd/{}", file.as_raw_fd()), events)?;
        let watched = Watched::File(path.to_owned());
        if self.watched.get(&number) != Some(&watched) {
            self.unfollow(path);
            self.watched.insert(number, watched);
        }
        Ok(())
    }

    /// Ends [`Files::follow`]. Sysfs does not report that a file is removed, and keeps the inode while it is watched.
    pub(super) fn unfollow(&mut self, path: &str) {
        self.end(&Watched::File(path.to_owned()));
    }

    /// Ends a watch. Returns false if there is none.
    fn end(&mut self, what: &Watched) -> bool {
        let found = self.watched.iter().find(|(_, watched)| *watched == what).map(|(number, _)| *number);
        let Some(number) = found else { return false };
        self.watched.remove(&number);
        // Fails if the kernel has already ended the watch.
        let _ = inotify::remove_watch(&self.inotify, number);
        true
    }

    /// Returns the folder that contains the folders of parents.
    fn base(&self) -> &str {
        self.chain.last().map_or("", String::as_str)
    }

    /// Watches the folders of the chain from `level` on, as far as they exist, then the folders of parents.
    fn descend(&mut self, level: usize) -> IoResult<()> {
        for (level, path) in self.chain.clone().iter().enumerate().skip(level) {
            let last = level + 1 == self.chain.len();
            // Symbolic links are followed, since only the administrator can create them here.
            match self.watch(path, folder_events(), Watched::Above(level)) {
                Ok(()) if last => self.watch_parents(),
                Ok(()) => {}
                Err(Errno::NOENT | Errno::NOTDIR) if level > 0 => return Ok(()),
                // ENOSPC: the user has no inotify watch left. It does not mean that the folder is absent.
                Err(errno) if level > 0 && errno != Errno::NOSPC => {
                    let errno = unless_exhausted(errno)?;
                    log::warn!("{path}: changes of definitions below are not detected: {errno}");
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
        let base = self.base().to_owned();
        let names = match folders_in(&base) {
            Ok(names) => names,
            Err(errno) => {
                return log::warn!("cannot list {base}: {errno}; changes of definitions below are not detected");
            }
        };
        let known: HashSet<String> = self.parents().cloned().collect();
        names.into_iter().filter(|name| !known.contains(name)).for_each(|name| self.watch_parent(&name));
    }

    fn parents(&self) -> impl Iterator<Item = &String> {
        self.watched.values().filter_map(|watched| match watched {
            Watched::Parent(name) => Some(name),
            Watched::Above(_) | Watched::File(_) => None,
        })
    }

    /// Watches the folder of a parent, and reports it, since it may contain files that are older than the watch.
    fn watch_parent(&mut self, name: &str) {
        if self.parents().count() >= PARENTS_MAX {
            return log::warn!("changes of the definitions of {name} are not detected: too many parents are followed");
        }
        let path = format!("{}/{name}", self.base());
        match self.watch(&path, file_events() | WatchFlags::DONT_FOLLOW, Watched::Parent(name.to_owned())) {
            Ok(()) => self.definitions.push_back(Change::DefinitionsOf(name.to_owned())),
            // The folder was removed again, or is not a folder.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => log::warn!("{path}: changes of definitions are not detected: {errno}"),
        }
    }

    /// Reads one buffer of events. Returns false if there are no events.
    fn fetch(&mut self) -> IoResult<bool> {
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 8192];
        let mut read = Vec::new();
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default().to_owned();
                    read.push((event.wd(), event.events(), name));
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        let any = !read.is_empty();
        read.into_iter().try_for_each(|(number, events, name)| self.handle(number, events, name))?;
        Ok(any)
    }

    /// Handles the events of a watch.
    fn handle(&mut self, number: i32, events: ReadFlags, name: String) -> IoResult<()> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.written.push_back(Change::Lost);
            // The folder may have been removed and created again. The watch under its name is then the watch of the old folder.
            return if self.chain.is_empty() || self.broken { Ok(()) } else { self.start_again() };
        }
        let Some(watched) = self.watched.get(&number).cloned() else { return Ok(()) };
        let is_ended = events.contains(ReadFlags::IGNORED);
        if is_ended {
            self.watched.remove(&number);
        }
        match watched {
            Watched::File(path) => {
                if !is_ended {
                    push_new(&mut self.written, Change::Written(path));
                }
                Ok(())
            }
            _ if self.broken => Ok(()),
            Watched::Parent(parent) => {
                self.parent_changed(parent, events, name);
                Ok(())
            }
            Watched::Above(level) if level + 1 == self.chain.len() && !is_ended => {
                self.base_changed(events, name);
                Ok(())
            }
            Watched::Above(level) => {
                let next = self.chain.get(level + 1).and_then(|path| path.rsplit('/').next());
                if is_ended || next == Some(&name) { self.start_again() } else { Ok(()) }
            }
        }
    }

    /// Handles an event of the folder of a parent: a change in it, or its removal or renaming.
    fn parent_changed(&mut self, parent: String, events: ReadFlags, name: String) {
        if events.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF) {
            self.lose(parent);
        } else if !name.is_empty() && (!events.contains(ReadFlags::CREATE) || self.is_complete(&parent, &name)) {
            // A file that is created, written and closed is read once.
            push_new(&mut self.definitions, Change::Definition { parent, file: name });
        }
    }

    /// True if a new file is complete. libmdev gives a file its name after the content is written. Other programs create an empty
    /// file and write in place; for these, the close of the file is another event.
    fn is_complete(&self, parent: &str, file: &str) -> bool {
        let path = format!("{}/{parent}/{file}", self.base());
        rustix::fs::lstat(&*path).is_ok_and(|stat| stat.st_size > 0)
    }

    /// Handles the removal or renaming of the folder of a parent.
    fn lose(&mut self, parent: String) {
        self.end(&Watched::Parent(parent.clone()));
        self.definitions.push_back(Change::DefinitionsOf(parent));
    }

    /// Handles an event of the folder of definitions: an entry was created in it, or moved out of it.
    fn base_changed(&mut self, events: ReadFlags, name: String) {
        if !events.contains(ReadFlags::ISDIR) {
            return;
        }
        let watched = Watched::Parent(name.clone());
        if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            // A folder of this name may have been removed just before, and that event is still unread.
            self.watched.retain(|_, other| *other != watched);
            self.watch_parent(&name);
        } else if events.contains(ReadFlags::MOVED_FROM) && self.watched.values().any(|other| *other == watched) {
            // The folder gets the same watch number under its new name, so this watch must end first.
            self.lose(name);
        }
    }

    /// Handles the creation or removal of a folder of the chain, which replaces all folders below it.
    fn start_again(&mut self) -> IoResult<()> {
        self.broken = true;
        let Files { inotify, watched, .. } = self;
        watched.retain(|number, what| {
            let is_file = matches!(what, Watched::File(_));
            if !is_file {
                let _ = inotify::remove_watch(&*inotify, *number);
            }
            is_file
        });
        if let Err(errno) = self.descend(0) {
            // Unread events of the ended watches would keep the descriptor readable until the next attempt.
            while self.fetch()? {}
            return Err(errno);
        }
        self.broken = false;
        self.definitions.clear();
        self.definitions.push_back(Change::Definitions);
        Ok(())
    }
}

/// Appends a change unless the last change is the same.
fn push_new(changes: &mut VecDeque<Change>, change: Change) {
    if changes.back() != Some(&change) {
        changes.push_back(change);
    }
}

/// Events of a folder of the chain: creation, removal and renaming of folders in it.
fn folder_events() -> WatchFlags {
    WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE | WatchFlags::MOVE_SELF
}

/// Events of the folder of a parent. mdevctl writes in place and then closes the file; libmdev links or renames a complete file.
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
    // Some file systems do not report the type. ONLYDIR fails for an entry that is not a folder.
    let may_be_folder = |file_type| matches!(file_type, FileType::Directory | FileType::Unknown);
    let names = dir.flatten().filter(|entry| may_be_folder(entry.file_type()));
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    Ok(names.filter(|name| name != "." && name != "..").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::fs;
    use std::path::Path;

    fn all(files: &mut Files) -> Vec<Change> {
        let mut changes = Vec::new();
        loop {
            let before = changes.len();
            files.read().unwrap();
            changes.extend(std::iter::from_fn(|| files.next_write()));
            changes.extend(std::iter::from_fn(|| files.next_definition()));
            if changes.len() == before {
                return changes;
            }
        }
    }

    fn file(parent: &str, file: &str) -> Change {
        Change::Definition { parent: parent.to_owned(), file: file.to_owned() }
    }

    fn of(parent: &str) -> Change {
        Change::DefinitionsOf(parent.to_owned())
    }

    #[test]
    fn folders_created_later_are_followed_until_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let mut files = Files::of_definitions(root.path().to_str().unwrap(), "/etc/mdevctl.d").unwrap();
        fs::create_dir(path("other")).unwrap();
        assert_eq!(all(&mut files), []);
        fs::create_dir_all(path("etc/mdevctl.d/p")).unwrap();
        assert_eq!(all(&mut files), [Change::Definitions]);
        fs::write(path("etc/mdevctl.d/p/a"), "x").unwrap();
        assert_eq!(all(&mut files), [file("p", "a")]);
        fs::create_dir(path("etc/mdevctl.d/q")).unwrap();
        assert_eq!(all(&mut files), [of("q")]);
        fs::write(path("etc/mdevctl.d/q/.tmp"), "x").unwrap();
        fs::rename(path("etc/mdevctl.d/q/.tmp"), path("etc/mdevctl.d/q/b")).unwrap();
        assert_eq!(all(&mut files), [file("q", ".tmp"), file("q", "b")]);
        // A file that has its content before its name, and a file that is written in place.
        fs::hard_link(path("etc/mdevctl.d/q/b"), path("etc/mdevctl.d/q/c")).unwrap();
        assert_eq!(all(&mut files), [file("q", "c")]);
        let begun = fs::File::create(path("etc/mdevctl.d/q/d")).unwrap();
        assert_eq!(all(&mut files), []);
        drop(begun);
        assert_eq!(all(&mut files), [file("q", "d")]);
        fs::remove_file(path("etc/mdevctl.d/q/c")).unwrap();
        fs::remove_file(path("etc/mdevctl.d/q/d")).unwrap();
        assert_eq!(all(&mut files), [file("q", "c"), file("q", "d")]);
        fs::remove_dir_all(path("etc/mdevctl.d/q")).unwrap();
        assert_eq!(all(&mut files), [file("q", "b"), of("q")]);
        fs::rename(path("etc"), path("gone")).unwrap();
        assert!(all(&mut files).contains(&Change::Definitions));
        fs::write(path("gone/mdevctl.d/p/a"), "y").unwrap();
        assert_eq!(all(&mut files), []);
        fs::rename(path("gone"), path("etc")).unwrap();
        assert!(all(&mut files).contains(&Change::Definitions));
        fs::write(path("etc/mdevctl.d/p/a"), "z").unwrap();
        assert_eq!(all(&mut files), [file("p", "a")]);
        fs::remove_dir_all(path("etc")).unwrap();
        assert!(all(&mut files).contains(&Change::Definitions));
    }

    /// An administrator renames the folder of a card whose address has changed.
    #[test]
    fn renamed_folder_is_followed_under_its_new_name() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("d");
        fs::create_dir_all(base.join("p")).unwrap();
        let mut files = Files::of_definitions(root.path().to_str().unwrap(), "d").unwrap();
        fs::rename(base.join("p"), base.join("q")).unwrap();
        assert_eq!(all(&mut files), [of("p"), of("q")]);
        fs::write(base.join("q/a"), "x").unwrap();
        assert_eq!(all(&mut files), [file("q", "a")]);
        fs::rename(base.join("q"), root.path().join("out")).unwrap();
        assert_eq!(all(&mut files), [of("q")]);
        fs::write(root.path().join("out/a"), "y").unwrap();
        assert_eq!(all(&mut files), []);
    }

    #[test]
    fn folder_created_again_during_an_overflow_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("d");
        fs::create_dir_all(base.join("p")).unwrap();
        let mut files = Files::of_definitions(root.path().to_str().unwrap(), "d").unwrap();
        let bound = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        // The kernel merges equal successive events.
        for n in 0..bound.trim().parse::<usize>().unwrap() {
            fs::write(base.join(if n % 2 == 0 { "p/a" } else { "p/b" }), "x").unwrap();
        }
        fs::remove_dir_all(base.join("p")).unwrap();
        fs::create_dir(base.join("p")).unwrap();
        assert!(all(&mut files).contains(&Change::Lost));
        fs::write(base.join("p/a"), "x").unwrap();
        assert!(all(&mut files).contains(&file("p", "a")));
    }

    #[test]
    fn failed_watch_is_tried_again_without_a_busy_loop() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("d/p")).unwrap();
        let mut files = Files::of_definitions(root.path().to_str().unwrap(), "d").unwrap();
        fs::write(root.path().join("type"), "0").unwrap();
        follow(&mut files, &root.path().join("type"), "/type");
        fs::rename(root.path().join("d"), root.path().join("e")).unwrap();
        let at = std::mem::replace(&mut files.chain[0], "/proc/none".to_owned());
        for result in [Err(Errno::NOENT), Ok(())] {
            assert_eq!(files.read(), result);
            assert!(files.is_broken());
            let mut fds = [PollFd::new(&files.inotify, PollFlags::IN)];
            assert_eq!(
                poll(&mut fds, Some(&Timespec::default())),
                Ok(0),
                "the descriptor must not stay readable, or the caller retries without a pause"
            );
        }
        // Followed files are still reported.
        fs::write(root.path().join("type"), "558").unwrap();
        assert_eq!(all(&mut files), [Change::Written("/type".to_owned())]);
        assert!(files.is_broken());
        files.chain[0] = at;
        fs::rename(root.path().join("e"), root.path().join("d")).unwrap();
        assert!(all(&mut files).contains(&Change::Definitions));
        fs::write(root.path().join("d/p/a"), "x").unwrap();
        assert_eq!(all(&mut files), [file("p", "a")]);
    }

    #[test]
    fn folder_removed_and_created_again_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("d");
        fs::create_dir_all(base.join("p")).unwrap();
        let mut files = Files::of_definitions(root.path().to_str().unwrap(), "d").unwrap();
        fs::remove_dir(base.join("p")).unwrap();
        fs::create_dir(base.join("p")).unwrap();
        assert!(all(&mut files).contains(&of("p")));
        fs::write(base.join("p/a"), "x").unwrap();
        assert_eq!(all(&mut files), [file("p", "a")]);
        // A symbolic link is not a folder of a parent.
        std::os::unix::fs::symlink("/tmp", base.join("l")).unwrap();
        assert_eq!(all(&mut files), []);
    }

    fn follow(files: &mut Files, file: &Path, path: &str) {
        let file = openat(CWD, file, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        files.follow(path, file.as_fd()).unwrap();
    }

    #[test]
    fn write_to_a_followed_file_is_reported_until_unfollow() {
        let root = tempfile::tempdir().unwrap();
        let (file, old) = (root.path().join("type"), root.path().join("old"));
        fs::write(&file, "0\n").unwrap();
        let mut files = Files::new().unwrap();
        follow(&mut files, &file, "/type");
        assert_eq!(all(&mut files), []);
        let written = [Change::Written("/type".to_owned())];
        fs::write(&file, "558\n").unwrap();
        assert_eq!(all(&mut files), written);
        fs::rename(&file, &old).unwrap();
        fs::write(&file, "0\n").unwrap();
        follow(&mut files, &file, "/type");
        follow(&mut files, &file, "/type");
        fs::write(&old, "1\n").unwrap();
        assert_eq!(all(&mut files), [], "only the file that is there now is followed");
        fs::write(&file, "558\n").unwrap();
        assert_eq!(all(&mut files), written);
        files.unfollow("/type");
        files.unfollow("/type");
        fs::write(&file, "0\n").unwrap();
        assert_eq!(all(&mut files), []);
    }

    #[test]
    fn overflow_of_followed_files_returns_lost() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        let mut files = Files::new().unwrap();
        for (file, path) in [(&a, "/a"), (&b, "/b")] {
            fs::write(file, "0").unwrap();
            follow(&mut files, file, path);
        }
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        for n in 0..limit.trim().parse::<usize>().unwrap() {
            fs::write(if n % 2 == 0 { &a } else { &b }, "1").unwrap();
        }
        assert!(all(&mut files).contains(&Change::Lost));
    }
}
