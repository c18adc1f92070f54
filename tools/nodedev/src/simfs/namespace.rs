// SPDX-License-Identifier: LGPL-2.1-or-later
//! A mount namespace in which the simulated host is /sys, /dev/vfio, /run and /etc. Nothing is changed outside of it.

use std::ffi::CString;
use std::fs::{create_dir_all, read_dir, read_link, write};
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount, open_tree,
};
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::errors::{Failure, Outcome};

/// The folder with what the shadowed folders contain outside of the namespace.
const OUTSIDE: &str = "/run/.outside";

fn failed(what: &str) -> impl Fn(Errno) -> Failure {
    let what = what.to_owned();
    move |errno| {
        let reason = std::io::Error::from(errno).to_string();
        Failure::Tool(format!("cannot {what}: {}", reason.split(" (os error").next().unwrap_or_default()))
    }
}

fn io_failed(what: &str) -> impl Fn(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |error| failed(&what)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Makes the namespaces of this process. A user who is not root becomes root in a user namespace of their own.
pub fn enter() -> Outcome {
    let (uid, gid) = (getuid(), getgid());
    if uid.is_root() {
        unshare(UnshareFlags::NEWNS).map_err(failed("make a mount namespace"))?;
    } else {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|errno| {
            let Failure::Tool(sentence) = failed("make a user namespace")(errno) else { return failed("")(errno) };
            let next = "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000, and on \
                        Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or run the command as root";
            Failure::Tool(format!("{sentence}; {next}"))
        })?;
        let map = io_failed("become root in the user namespace");
        write("/proc/self/setgroups", "deny").map_err(&map)?;
        write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw())).map_err(&map)?;
        write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw())).map_err(&map)?;
    }
    // No mount reaches the host.
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(failed("make the mounts private"))
}

fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: neither flag affects descriptors or memory.
    unsafe { unshare_unsafe(flags) }
}

/// The folder of pci.ids.
const PCI_IDS: &str = "/usr/share/misc";

/// Makes /run and /etc folders of the namespace: some entries are new and empty, all others lead to the real ones. The same for /dev, if
/// it has no folder `vfio`. `pci_ids` are the names of the cards, if the host has its own.
pub fn shadow_folders(pci_ids: Option<&[u8]>) -> Outcome {
    shadow("/run", &["libmdev", "libvirt", "lock", "udev"])?;
    shadow("/etc", &["libmdev", "mdevctl.d"])?;
    // mdevctl refuses to run without the last two.
    for path in [
        "/run/libmdev",
        "/run/libvirt",
        "/run/lock",
        "/run/udev",
        "/etc/libmdev",
        "/etc/mdevctl.d/scripts.d/callouts",
        "/etc/mdevctl.d/scripts.d/notifiers",
    ] {
        create_dir_all(path).map_err(io_failed(&format!("create {path}")))?;
    }
    if !Path::new("/dev/vfio").is_dir() {
        shadow("/dev", &["vfio"])?;
        create_dir_all("/dev/vfio").map_err(io_failed("create /dev/vfio"))?;
    }
    if let Some(text) = pci_ids.filter(|_| Path::new(PCI_IDS).is_dir()) {
        shadow(PCI_IDS, &["pci.ids"])?;
        write(format!("{PCI_IDS}/pci.ids"), text).map_err(io_failed("write pci.ids"))?;
    }
    Ok(())
}

/// Mounts an empty folder over a folder, with links to all its entries but those in `own`.
fn shadow(folder: &str, own: &[&str]) -> Outcome {
    let what = format!("make {folder} for the simulated host");
    let (failed, io_failed) = (failed(&what), io_failed(&what));
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let outside = open_tree(CWD, folder, flags).map_err(&failed)?;
    mount_filesystem("simfs", folder, "tmpfs", "mode=755").map_err(&failed)?;
    let place = format!("{OUTSIDE}{folder}");
    create_dir_all(&place).map_err(&io_failed)?;
    move_mount(outside, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(&failed)?;
    for entry in read_dir(&place).map_err(&io_failed)? {
        let entry = entry.map_err(&io_failed)?;
        if own.iter().any(|own| entry.file_name() == *own) {
            continue;
        }
        let target = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => read_link(entry.path()).map_err(&io_failed)?,
            _ => entry.path(),
        };
        symlink(target, Path::new(folder).join(entry.file_name())).map_err(&io_failed)?;
    }
    Ok(())
}

fn mount_filesystem(source: &str, target: &str, kind: &str, options: &str) -> Result<(), Errno> {
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    mount(source, target, kind, MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
}

/// Mounts a file system of FUSE, and returns the descriptor of its server.
pub fn mount_fuse(target: &str) -> Outcome<OwnedFd> {
    let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
        let Failure::Tool(sentence) = failed("open /dev/fuse")(errno) else { return failed("")(errno) };
        Failure::Tool(format!("{sentence}; load the module (modprobe fuse), or give the container this device"))
    })?;
    let fd = rustix::fd::AsRawFd::as_raw_fd(&device);
    let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions");
    mount_filesystem("simfs", target, "fuse.simfs", &options)
        .map_err(failed(&format!("mount the simulated host on {target}")))?;
    Ok(device)
}
