// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens files and directories of a host. No path can lead out of the root of the host.

use std::cell::Cell;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2, readlinkat};

use super::retry;
use crate::fd::long_lived;
use crate::sysfs::{Errno, IoResult, is_absent, is_relative, unless_exhausted};

/// The maximum number of symbolic links in a path, as in the kernel.
const LINKS_MAX: usize = 40;

/// The maximum number of calls of openat2(2) while it fails with EAGAIN.
const OPEN_ATTEMPTS: u32 = 64;

/// The flags with which an intermediate directory is opened.
const INTERMEDIATE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a path is kept below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confinement {
    /// The root is `/`: no path can leave it.
    None,
    /// The kernel resolves links below the root: openat2(2).
    Kernel,
    /// The kernel has no openat2 (before Linux 5.6), or a seccomp filter forbids it: [`walk`] resolves links.
    Walk,
}

/// The root directory of a host, which all its open directories share.
#[derive(Debug)]
pub(super) struct Root {
    root: OwnedFd,
    confinement: Confinement,
}

impl Root {
    /// Opens the root. Fails if the directory cannot be opened.
    pub(super) fn new(root: &str) -> IoResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(root, flags, Mode::empty()).and_then(long_lived)?;
        let confinement = match root.trim_end_matches('/') {
            "" => Confinement::None,
            _ => probe(&fd)?,
        };
        Ok(Root { root: fd, confinement })
    }

    /// Opens a root whose links are resolved in user space, for tests on kernels that have openat2.
    #[cfg(test)]
    pub(super) fn walking(root: &str) -> IoResult<Self> {
        Ok(Root { confinement: Confinement::Walk, ..Root::new(root)? })
    }

    /// True if the root is not `/`. A system call that can follow links out of the root must not resolve a path then.
    pub(super) fn is_confined(&self) -> bool {
        self.confinement != Confinement::None
    }

    /// Returns the first symbolic link among the components of `path` below the root, for files that are opened by path. Always
    /// `None` if the root is `/`, since no link can lead out of it.
    pub(super) fn link_on_the_way(&self, path: &str) -> IoResult<Option<String>> {
        if !self.is_confined() {
            return Ok(None);
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for prefix in ends.map(|end| &path[..end]) {
            match link_target(&self.root, prefix) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(Some(prefix.to_owned())),
                Err(errno) if is_absent(errno) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    /// Opens `path`, an absolute path on the host. A path that is not absolute or contains `..` is EINVAL.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> IoResult<OwnedFd> {
        let relative = path.strip_prefix('/').filter(|p| is_relative(p)).ok_or(Errno::INVAL)?;
        let flags = flags | OFlags::CLOEXEC;
        match self.confinement {
            Confinement::None => plain(&self.root, relative, flags),
            Confinement::Kernel => by_kernel(&self.root, relative, flags, ResolveFlags::IN_ROOT),
            Confinement::Walk => walk(&self.root, relative, flags),
        }
    }

    /// Opens `name` below the open directory `dir` at `path`. `has_links` belongs to that directory. It is set when a name below
    /// the directory contained a link; later names then take one system call, not two.
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
            // A single component without a link cannot lead out of `dir`. The file is then in this directory, even if another
            // directory is at `path` now.
            _ if !name.contains('/') && flags.contains(OFlags::NOFOLLOW) => plain(dir, name, flags),
            Confinement::Kernel if has_links.get() => self.open(&format!("{path}/{name}"), flags),
            // The fastest check in the kernel. Few names contain links.
            Confinement::Kernel => {
                match by_kernel(dir, name, flags, ResolveFlags::NO_SYMLINKS) {
                    // The kernel can confine a link to the root only if the path begins at the root.
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

/// Checks whether openat2 works. The root is already open, so no permission of a file can make this call fail. A later EPERM is
/// then a property of a file (immutable, fs-verity), and is returned.
fn probe(root: &OwnedFd) -> IoResult<Confinement> {
    match by_kernel(root, ".", INTERMEDIATE, ResolveFlags::IN_ROOT) {
        Ok(_) => Ok(Confinement::Kernel),
        Err(errno) => {
            let errno = unless_exhausted(errno)?;
            log::debug!("openat2 does not work here ({errno}), so links below the root are resolved in user space");
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

/// Repeats an openat2(2) after EAGAIN, which has two causes. The first is a rename anywhere on the host: the kernel cannot exclude a
/// race with `..`, and a repeated call succeeds. The second is a lease on the file, which may last without a limit.
fn while_again<T>(mut open: impl FnMut() -> IoResult<T>) -> IoResult<T> {
    for _ in 1..OPEN_ATTEMPTS {
        match retry(&mut open) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    retry(open)
}

/// Opens a path as RESOLVE_IN_ROOT does, one component at a time. No system call here can follow a link. `..` returns to a directory
/// that this function has opened, and an absolute link starts at the root again.
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
        let next = plain(here, &name, INTERMEDIATE)?;
        opened.push(next);
    }
    // The last component was a link to `/`, `.` or `..`.
    plain(opened.last().unwrap_or(root), ".", flags)
}

/// Appends the components of a path in reverse order, so that the next component is the last element of the list.
fn push_components(rest: &mut Vec<String>, path: &str) {
    rest.extend(path.split('/').rev().filter(|name| !matches!(*name, "" | ".")).map(str::to_owned));
}

/// Returns the target of a symbolic link; `None` for any other entry.
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
        /// The number of calls of `plain` and `by_kernel` in this thread.
        pub(super) static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    /// The links `virtfnN` of a PF are such links.
    #[test]
    fn file_behind_a_link_takes_one_call_after_the_first_link() {
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
        let (pf, has_links) = (confined.open("/pf", INTERMEDIATE).unwrap(), Cell::new(false));
        let calls = |name: &str| {
            let before = CALLS.get();
            confined.open_at(&pf, "/pf", name, OFlags::RDONLY | OFlags::NOFOLLOW, &has_links).unwrap();
            CALLS.get() - before
        };
        assert_eq!(calls("own"), 1);
        assert_eq!(calls("virtfn0/type"), 2, "the first link");
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
        let mut failures = [Errno::AGAIN, Errno::INTR, Errno::AGAIN].into_iter();
        assert_eq!(while_again(|| failures.next().map_or(Ok(()), Err)), Ok(()));
        assert_eq!(while_again(|| Err::<(), _>(Errno::ACCESS)), Err(Errno::ACCESS));
    }
}
