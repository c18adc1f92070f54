// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens files and directories of a host, and never one that is not below its root.

use std::cell::Cell;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2, readlinkat};

use super::retry;
use crate::fd::long_lived;
use crate::sysfs::{Errno, IoResult, is_absent, is_relative, unless_exhausted};

/// As many symbolic links in one path as the kernel follows.
const LINKS_MAX: usize = 40;

/// How often openat2(2) is called that fails with EAGAIN.
const OPEN_ATTEMPTS: u32 = 64;

/// How an intermediate directory is opened.
const ON_THE_WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a path is kept below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confinement {
    /// The root is `/`: no path can leave it.
    None,
    /// The kernel resolves links below the root: openat2(2).
    Kernel,
    /// The kernel has no openat2 (before Linux 5.6), or a seccomp filter forbids it: links are resolved here.
    Walk,
}

/// What all open directories of a host share.
#[derive(Debug)]
pub(super) struct Root {
    root: OwnedFd,
    confinement: Confinement,
}

impl Root {
    pub(super) fn new(root: &str) -> IoResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(root, flags, Mode::empty()).and_then(long_lived)?;
        let confinement = match root.trim_end_matches('/') {
            "" => Confinement::None,
            _ => probe(&fd)?,
        };
        Ok(Root { root: fd, confinement })
    }

    /// A host whose paths are resolved in user space, for tests on kernels that have openat2.
    #[cfg(test)]
    pub(super) fn walking(root: &str) -> IoResult<Self> {
        Ok(Root { confinement: Confinement::Walk, ..Root::new(root)? })
    }

    /// Whether a path must not be resolved by a call that follows links out of the root.
    pub(super) fn is_confined(&self) -> bool {
        self.confinement != Confinement::None
    }

    /// The first symbolic link on the way to `path` below the root, for files that are opened by path. The root `/` has none
    /// that leads out of it.
    pub(super) fn link_on_the_way(&self, path: &str) -> IoResult<Option<String>> {
        if !self.is_confined() {
            return Ok(None);
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for before in ends.map(|end| &path[..end]) {
            match link_target(&self.root, before) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(Some(before.to_owned())),
                Err(errno) if is_absent(errno) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    /// Opens `path`, absolute in the host's own view.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> IoResult<OwnedFd> {
        let relative = path.strip_prefix('/').filter(|p| is_relative(p)).ok_or(Errno::INVAL)?;
        let flags = flags | OFlags::CLOEXEC;
        match self.confinement {
            Confinement::None => plain(&self.root, relative, flags),
            Confinement::Kernel => by_kernel(&self.root, relative, flags, ResolveFlags::IN_ROOT),
            Confinement::Walk => walk(&self.root, relative, flags),
        }
    }

    /// Opens `name` below `dir`, which is the open directory at `path`. `has_links` belongs to that directory: it is set once a
    /// link was met below it, so that each further name takes one call and not two.
    pub(super) fn open_at(
        &self,
        dir: &OwnedFd,
        path: &str,
        name: &str,
        flags: OFlags,
        has_links: &Cell<bool>,
    ) -> IoResult<OwnedFd> {
        if !is_relative(name) {
            return Err(Errno::INVAL);
        }
        let flags = flags | OFlags::CLOEXEC;
        match self.confinement {
            Confinement::None => plain(dir, name, flags),
            // Such a name leads nowhere else, so that the file is one of this very directory, whatever is at its path now.
            _ if !name.contains('/') && flags.contains(OFlags::NOFOLLOW) => plain(dir, name, flags),
            Confinement::Kernel if has_links.get() => self.open(&format!("{path}/{name}"), flags),
            // The cheapest check for the kernel; few names have links on their way.
            Confinement::Kernel => {
                match by_kernel(dir, name, flags, ResolveFlags::NO_SYMLINKS) {
                    // Only from the root it is known whether a link leads out of that.
                    Err(Errno::LOOP) => {
                        has_links.set(true);
                        self.open(&format!("{path}/{name}"), flags)
                    }
                    result => result,
                }
            }
            Confinement::Walk => self.open(&format!("{path}/{name}"), flags),
        }
    }
}

/// Calls openat2 once. `.` is open already, so that no permission of a file can be the reason of a failure: from then on
/// EPERM is the answer for a file (immutable, fs-verity) and is returned.
fn probe(root: &OwnedFd) -> IoResult<Confinement> {
    match by_kernel(root, ".", ON_THE_WAY, ResolveFlags::IN_ROOT) {
        Ok(_) => Ok(Confinement::Kernel),
        Err(errno) => {
            let errno = unless_exhausted(errno)?;
            log::debug!("openat2 does not work here ({errno}): links below the root are resolved in user space");
            Ok(Confinement::Walk)
        }
    }
}

fn plain(dir: &OwnedFd, name: &str, flags: OFlags) -> IoResult<OwnedFd> {
    #[cfg(test)]
    tests::CALLS.set(tests::CALLS.get() + 1);
    retry(|| openat(dir, name, flags, Mode::empty())).and_then(long_lived)
}

fn by_kernel(dir: &OwnedFd, name: &str, flags: OFlags, resolve: ResolveFlags) -> IoResult<OwnedFd> {
    #[cfg(test)]
    tests::CALLS.set(tests::CALLS.get() + 1);
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    while_again(|| openat2(dir, name, flags, Mode::empty(), resolve)).and_then(long_lived)
}

/// Repeats an openat2(2). EAGAIN has two causes: a rename elsewhere, which the kernel could not rule out to be a race and which
/// soon ends, and a lease on the file, which may not end.
fn while_again<T>(mut open: impl FnMut() -> IoResult<T>) -> IoResult<T> {
    for _ in 1..OPEN_ATTEMPTS {
        match retry(&mut open) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    retry(open)
}

/// What RESOLVE_IN_ROOT does, one component at a time: no call here can follow a link, `..` goes back to a directory that
/// was opened on the way, and an absolute link begins at the root again.
fn walk(root: &OwnedFd, path: &str, flags: OFlags) -> IoResult<OwnedFd> {
    let mut opened: Vec<OwnedFd> = Vec::new();
    let mut rest: Vec<String> = Vec::new();
    push_components(&mut rest, path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            opened.pop();
            continue;
        }
        let here = opened.last().unwrap_or(root);
        let is_last = rest.is_empty();
        if !(is_last && flags.contains(OFlags::NOFOLLOW)) {
            if let Some(target) = link_target(here, &name)? {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                if target.starts_with('/') {
                    opened.clear();
                }
                push_components(&mut rest, &target);
                continue;
            }
        }
        if is_last {
            return plain(here, &name, flags | OFlags::NOFOLLOW);
        }
        let next = plain(here, &name, ON_THE_WAY)?;
        opened.push(next);
    }
    // The last component was a link to `/`, `.` or `..`.
    plain(opened.last().unwrap_or(root), ".", flags)
}

/// In reverse, so that the next one is the last of the list.
fn push_components(rest: &mut Vec<String>, path: &str) {
    rest.extend(path.split('/').rev().filter(|name| !matches!(*name, "" | ".")).map(str::to_owned));
}

/// The target of a symbolic link; `None` for everything else.
fn link_target(dir: &OwnedFd, name: &str) -> IoResult<Option<String>> {
    match readlinkat(dir, name, Vec::new()) {
        Ok(target) => target.into_string().map(Some).map_err(|_| Errno::ILSEQ),
        Err(Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::skip::skip;

    thread_local! {
        /// Calls of `plain` and `by_kernel` in this thread.
        pub(super) static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    /// As below the PF of many VFs: each name below `virtfnN` has a link on its way.
    #[test]
    fn file_behind_a_link_is_opened_by_one_call_after_the_first() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("pf")).unwrap();
        std::fs::write(root.path().join("pf/own"), "").unwrap();
        for n in 0..8 {
            std::fs::create_dir(root.path().join(format!("vf{n}"))).unwrap();
            std::fs::write(root.path().join(format!("vf{n}/type")), "").unwrap();
            std::os::unix::fs::symlink(format!("../vf{n}"), root.path().join(format!("pf/virtfn{n}"))).unwrap();
        }
        let confined = Root::new(root.path().to_str().unwrap()).unwrap();
        if confined.confinement != Confinement::Kernel {
            return skip("this system has no openat2(2)");
        }
        let (pf, has_links) = (confined.open("/pf", ON_THE_WAY).unwrap(), Cell::new(false));
        let calls = |name: &str| {
            let before = CALLS.get();
            confined.open_at(&pf, "/pf", name, OFlags::RDONLY | OFlags::NOFOLLOW, &has_links).unwrap();
            CALLS.get() - before
        };
        assert_eq!(calls("own"), 1);
        assert_eq!(calls("virtfn0/type"), 2, "the link is found");
        for n in 1..8 {
            assert_eq!(calls(&format!("virtfn{n}/type")), 1, "virtfn{n}");
        }
        assert_eq!(calls("own"), 1);
    }

    #[test]
    fn open_of_a_leased_file_ends_with_eagain() {
        let mut calls = 0;
        let mut count = |errno: Option<Errno>| {
            calls += 1;
            errno.map_or(Ok(calls), Err)
        };
        assert_eq!(while_again(|| count(Some(Errno::AGAIN))), Err(Errno::AGAIN));
        assert_eq!(while_again(|| count(None)), Ok(OPEN_ATTEMPTS + 1));
        let mut answers = [Errno::AGAIN, Errno::INTR, Errno::AGAIN].into_iter();
        assert_eq!(while_again(|| answers.next().map_or(Ok(()), Err)), Ok(()));
        assert_eq!(while_again(|| Err::<(), _>(Errno::ACCESS)), Err(Errno::ACCESS));
    }
}
