// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysfs of a real kernel, by directory descriptors: the sysfs of this host, or a tree of files below another root.

use std::fs::File;
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, fstatfs};

use super::pci_ids::PciIds;
use super::uevent::Events;
use super::{
    Birth, Dir, Errno, Guard, IoResult, PciNames, Sysfs, UserList, Users, VfioNode, device_number, if_present,
    is_absent, read_text,
};

mod birth;
mod detached;
mod dir;
mod filter;
mod private_node;
mod root;
mod uevents;
mod users;

use dir::LinuxDir;
use root::Root;
use users::Identity;

/// The number of sysfs in the result of statfs(2).
const SYSFS_MAGIC: u64 = 0x6265_6572;

/// A host whose `sys` and `dev` folders are below a root.
#[derive(Debug)]
pub struct LinuxSysfs {
    root: Arc<Root>,
    pci_ids: PciIds,
}

impl LinuxSysfs {
    /// Opens the host below `root`; `/` is this host. Fails if `root` cannot be opened.
    pub fn new(root: &str) -> IoResult<Self> {
        Ok(LinuxSysfs { root: Arc::new(Root::new(root)?), pci_ids: PciIds::default() })
    }

    /// Returns the first symbolic link among the components of `path` below the root; always `None` if the root is `/`.
    pub fn link_on_the_way(&self, path: &str) -> IoResult<Option<String>> {
        self.root.link_on_the_way(path)
    }
}

impl Sysfs for LinuxSysfs {
    fn open(&self, path: &str) -> IoResult<Box<dyn Dir>> {
        // Every request opens a folder by its path, so zombies remain at most until the next request.
        detached::reap();
        let fd = self.root.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Box::new(LinuxDir::new(fd, path.to_owned(), Arc::clone(&self.root))))
    }

    /// Only one process at a time can open a VFIO group, so the open is both the check and the reservation: see
    /// vfio_group_fops_open() in drivers/vfio/group.c.
    fn hold_vfio_group(&self, group: u32) -> IoResult<Box<dyn Guard>> {
        let node = VfioNode::Group(group);
        let opened = match self.root.open(&node.path(), OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY) {
            // The /dev of a container contains only the nodes that existed when the container was started.
            Err(errno) if is_absent(errno) || errno == Errno::NXIO => self.open_private(&node)?.ok_or(errno),
            opened => opened,
        };
        Ok(Box::new(VfioGroup { _fd: opened? }))
    }

    fn vfio_users(&self, nodes: &[VfioNode]) -> IoResult<Users> {
        let wanted = self.identities(nodes)?;
        if wanted.is_empty() {
            return Ok(Users::NoNode);
        }
        match users::find(&wanted)? {
            Users::None | Users::Unknown(_) | Users::Incomplete(_) if !self.is_kernel()? => Ok(Users::NoNode),
            users => Ok(users),
        }
    }

    fn all_vfio_users(&self, nodes: &[VfioNode]) -> IoResult<UserList> {
        let wanted = self.identities(nodes)?;
        if wanted.is_empty() { Ok(UserList::default()) } else { users::list(&wanted) }
    }

    fn vfio_node_birth(&self, node: &VfioNode) -> IoResult<Option<Birth>> {
        let opened = if_present(self.root.open(&node.path(), OFlags::PATH | OFlags::NOFOLLOW))?;
        opened.map_or(Ok(None), birth::of)
    }

    fn events(&self) -> IoResult<Box<dyn Events>> {
        Ok(Box::new(uevents::UeventSocket::new(&self.root)?))
    }

    fn pci_names(&self, vendor: u16, product: u16) -> PciNames {
        self.pci_ids.names(vendor, product)
    }

    fn kernel(&self) -> Option<String> {
        rustix::system::uname().release().to_str().ok().map(str::to_owned)
    }
}

impl LinuxSysfs {
    /// True if `/sys` is a mounted sysfs; false if it is a copy of the files or does not exist.
    fn is_kernel(&self) -> IoResult<bool> {
        let opened = if_present(self.root.open("/sys", OFlags::PATH | OFlags::DIRECTORY))?;
        opened.map_or(Ok(false), |sys| Ok(fstatfs(&sys)?.f_type as u64 == SYSFS_MAGIC))
    }

    /// Returns the identities of those nodes that exist, with their paths.
    fn identities(&self, nodes: &[VfioNode]) -> IoResult<Vec<(Identity, String)>> {
        let mut found = Vec::new();
        for node in nodes {
            found.extend(self.identity(node)?.map(|identity| (identity, node.path())));
        }
        Ok(found)
    }

    /// Returns the device number of a node, whether or not the node is in /dev. `None` if the kernel shows no number.
    fn number(&self, node: &VfioNode) -> IoResult<Option<u64>> {
        let (class, name) = match node {
            VfioNode::Group(group) => ("vfio", group.to_string()),
            VfioNode::Device { number: Some(number), .. } => return Ok(Some(*number)),
            VfioNode::Device { name, .. } => ("vfio-dev", name.clone()),
        };
        let opened = self.open(&format!("/sys/class/{class}/{name}"));
        let text = if_present(opened.and_then(|dir| read_text(&*dir, "dev")))?;
        text.map(|text| device_number(&text).ok_or(Errno::BADMSG)).transpose()
    }

    /// Returns the identity by which an open descriptor of the node is found. `None` if the node does not exist.
    fn identity(&self, node: &VfioNode) -> IoResult<Option<Identity>> {
        if let Some(number) = self.number(node)? {
            return Ok(Some(Identity::Device(number)));
        }
        let Some(fd) = if_present(self.root.open(&node.path(), OFlags::PATH))? else { return Ok(None) };
        Ok(Some(Identity::of(&File::from(fd).metadata().map_err(users::errno)?)))
    }

    /// Opens the device of a node that is missing in /dev, through a temporary node. `None` if this is impossible.
    fn open_private(&self, node: &VfioNode) -> IoResult<Option<OwnedFd>> {
        // Below another root, or without a mounted sysfs, the number may not be a device of this kernel.
        if self.root.is_confined() || !self.is_kernel()? {
            return Ok(None);
        }
        let Some(number) = self.number(node)? else { return Ok(None) };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        private_node::open_number(number, |path| self.root.open(path, flags)).transpose()
    }
}

/// An open `/dev/vfio/<group>`, which no other process can open.
#[derive(Debug)]
struct VfioGroup {
    _fd: OwnedFd,
}

impl Guard for VfioGroup {}

/// Repeats a system call after EINTR, without a limit. Only for calls that reach no driver: a driver may return EINTR for every
/// call (see `READ_ATTEMPTS`).
fn retry<T>(mut call: impl FnMut() -> IoResult<T>) -> IoResult<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysfs::EntryKind;
    use crate::testing::skip::skip;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    const NO_NODE: &str = "this user cannot make a device node in /dev that can be opened";

    fn host() -> (tempfile::TempDir, LinuxSysfs) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/class/c/11")).unwrap();
        fs::write(root.path().join("sys/class/c/11/name"), "GRID\n").unwrap();
        let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
        (root, sysfs)
    }

    #[test]
    fn read_list_and_write_use_the_root() {
        let (root, sysfs) = host();
        let dir = sysfs.open("/sys/class/c").unwrap();
        assert_eq!(read_text(&*dir, "11/name").unwrap(), "GRID");
        let mut seen = Vec::new();
        dir.list(&mut |name, kind| seen.push((name.to_owned(), kind))).unwrap();
        assert_eq!(seen, [("11".to_owned(), EntryKind::Dir)]);
        dir.write("11/name", b"x").unwrap();
        assert_eq!(fs::read(root.path().join("sys/class/c/11/name")).unwrap(), b"xRID\n");
    }

    /// After the first step of a removal, neither sysfs nor /dev contains the node. Needs the right to make nodes in /dev: a temporary
    /// folder may be on a mount without device nodes (nodev).
    #[test]
    fn user_of_a_deleted_node_is_found_by_its_number() {
        let (_root, sysfs) = host();
        let Ok(dev) = tempfile::tempdir_in("/dev") else { return skip(NO_NODE) };
        let node = dev.path().join("vfio/7");
        fs::create_dir_all(node.parent().unwrap()).unwrap();
        let null = device_number("1:3\n");
        if mknodat(CWD, &node, FileType::CharacterDevice, Mode::from(0o666), null.unwrap()).is_err() {
            return skip(NO_NODE);
        }
        let Ok(_user) = File::open(&node) else { return skip(NO_NODE) };
        fs::remove_file(node).unwrap();
        let users = |number| sysfs.vfio_users(&[VfioNode::Device { name: "vfio7".to_owned(), number }]);
        assert_eq!(users(None), Ok(Users::NoNode));
        let found = users(null).unwrap();
        assert!(matches!(&found, Users::Found(user) if user.path == "/dev/vfio/devices/vfio7"), "{found:?}");
    }

    #[test]
    fn mtime_stays_until_a_truncating_open() {
        let (root, sysfs) = host();
        let dir = sysfs.open("/sys/class/c/11").unwrap();
        let first = dir.set_mtime("name").unwrap();
        assert_eq!(dir.meta("name").unwrap().changed, first);
        let second = dir.set_mtime("name").unwrap();
        assert!(second > first);
        fs::write(root.path().join("sys/class/c/11/name"), "x").unwrap();
        assert_ne!(dir.meta("name").unwrap().changed, second);
        assert_eq!(dir.set_mtime("none").unwrap_err(), Errno::NOENT);
        assert_eq!(dir.set_mtime("../11").unwrap_err(), Errno::INVAL);
    }

    /// Returns the same host twice: the kernel resolves links in the first, this library in the second.
    fn both_confinements(root: &std::path::Path) -> [LinuxSysfs; 2] {
        let root = root.to_str().unwrap();
        [Root::new(root), Root::walking(root)]
            .map(|root| LinuxSysfs { root: Arc::new(root.unwrap()), pci_ids: PciIds::default() })
    }

    #[test]
    fn path_with_dots_or_links_stays_below_the_root() {
        let (root, _) = host();
        symlink("/etc", root.path().join("sys/class/c/out")).unwrap();
        symlink("/etc/passwd", root.path().join("sys/class/c/file")).unwrap();
        for sysfs in both_confinements(root.path()) {
            let dir = sysfs.open("/sys/class/c").unwrap();
            assert_eq!(sysfs.open("/sys/../etc").unwrap_err(), Errno::INVAL);
            assert_eq!(sysfs.open("/sys/class/c/out").unwrap_err(), Errno::NOENT);
            assert_eq!(dir.open("../c").unwrap_err(), Errno::INVAL);
            assert_eq!(read_text(&*dir, "file").unwrap_err(), Errno::LOOP);
        }
    }

    #[test]
    fn link_below_an_open_directory_stays_below_the_root() {
        let (root, _) = host();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("create"), "secret").unwrap();
        symlink("create", outside.path().join("link")).unwrap();
        let class = root.path().join("sys/class/c");
        symlink(outside.path(), class.join("absolute")).unwrap();
        symlink(format!("../../..{}", "/..".repeat(20) + outside.path().to_str().unwrap()), class.join("climbing"))
            .unwrap();
        symlink("../../class/c/11", class.join("within")).unwrap();
        symlink("/sys/class/c/within/..", class.join("twice")).unwrap();
        symlink("/", class.join("top")).unwrap();
        symlink("round", class.join("round")).unwrap();
        let before = fs::metadata(outside.path().join("create")).unwrap().modified().unwrap();
        for sysfs in both_confinements(root.path()) {
            let dir = sysfs.open("/sys/class/c").unwrap();
            // Links that lead out of the root.
            for out in ["absolute", "climbing"] {
                assert_eq!(dir.open(out).unwrap_err(), Errno::NOENT, "{out}");
                let create = format!("{out}/create");
                assert_eq!(read_text(&*dir, &create).unwrap_err(), Errno::NOENT, "{out}");
                assert_eq!(dir.write(&create, b"x").unwrap_err(), Errno::NOENT, "{out}");
                assert_eq!(dir.meta(&create).unwrap_err(), Errno::NOENT, "{out}");
                assert_eq!(dir.set_mtime(&create).unwrap_err(), Errno::NOENT, "{out}");
                assert_eq!(dir.link(&format!("{out}/link")).unwrap_err(), Errno::NOENT, "{out}");
            }
            assert_eq!(read_text(&*dir, "within/name").unwrap(), "GRID");
            assert_eq!(dir.meta("within/name").unwrap().kind, EntryKind::File);
            assert_eq!(read_text(&*dir.open("within").unwrap(), "name").unwrap(), "GRID");
            assert_eq!(read_text(&*dir.open("twice").unwrap(), "11/name").unwrap(), "GRID");
            assert_eq!(read_text(&*dir.open("top").unwrap(), "sys/class/c/11/name").unwrap(), "GRID");
            assert_eq!(dir.open("round").unwrap_err(), Errno::LOOP);
        }
        assert_eq!(fs::read(outside.path().join("create")).unwrap(), b"secret");
        assert_eq!(fs::metadata(outside.path().join("create")).unwrap().modified().unwrap(), before);
    }

    /// A directory is replaced when a device is destroyed and another device with the same UUID is created.
    #[test]
    fn write_below_open_directory_does_not_reach_its_replacement() {
        let (root, _) = host();
        let class = root.path().join("sys/class/c");
        symlink("11/name", class.join("link")).unwrap();
        for (turn, sysfs) in both_confinements(root.path()).into_iter().enumerate() {
            let dir = sysfs.open("/sys/class/c").unwrap();
            // After this, names that contain links are opened by their whole path.
            dir.read("link", &mut Vec::new()).unwrap_err();
            dir.open("link").unwrap_err();
            let device = dir.open("11").unwrap();
            let old = class.join(format!("old{turn}"));
            fs::rename(class.join("11"), &old).unwrap();
            fs::create_dir(class.join("11")).unwrap();
            fs::write(class.join("11/name"), "next\n").unwrap();
            device.write("name", b"x").unwrap();
            assert!(device.writer("name").is_ok());
            assert_eq!(fs::read(class.join("11/name")).unwrap(), b"next\n", "{turn}");
            assert!(fs::read(old.join("name")).unwrap().starts_with(b"x"), "{turn}");
        }
    }

    #[test]
    fn node_that_cannot_be_examined_is_an_error() {
        let (root, sysfs) = host();
        let node = [VfioNode::Group(7)];
        assert_eq!(sysfs.vfio_users(&node), Ok(Users::NoNode));
        fs::create_dir_all(root.path().join("dev/vfio")).unwrap();
        symlink("7", root.path().join("dev/vfio/7")).unwrap();
        assert_eq!(sysfs.vfio_users(&node), Err(Errno::LOOP));
        let class = root.path().join("sys/class/vfio/7");
        fs::create_dir_all(&class).unwrap();
        symlink("dev", class.join("dev")).unwrap();
        assert_eq!(sysfs.vfio_users(&node), Err(Errno::LOOP));
        fs::remove_file(class.join("dev")).unwrap();
        fs::write(class.join("dev"), "511\n").unwrap();
        assert_eq!(sysfs.vfio_users(&node), Err(Errno::BADMSG));
    }

    #[test]
    fn large_file_and_fifo_do_not_block() {
        let (root, sysfs) = host();
        fs::write(root.path().join("sys/class/c/big"), vec![b'x'; super::super::READ_MAX + 1]).unwrap();
        let fifo = root.path().join("sys/class/c/fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let dir = sysfs.open("/sys/class/c").unwrap();
        assert_eq!(read_text(&*dir, "big").unwrap_err(), Errno::FBIG);
        assert!(read_text(&*dir, "fifo").is_ok_and(|text| text.is_empty()));
        assert_eq!(dir.write("fifo", b"1").unwrap_err(), Errno::NXIO);
        assert_eq!(dir.write("big", b"").unwrap_err(), Errno::INVAL);
    }
}
