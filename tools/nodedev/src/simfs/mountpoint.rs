// SPDX-License-Identifier: LGPL-2.1-or-later
//! The simulated host below a folder, for programs that accept another root.

use std::fs::create_dir_all;

use fuser::{MountOption, Session, SessionACL, SessionUnmounter};
use rustix::mount::UnmountFlags;
use rustix::process::{Signal, getgid, getpid, getuid, kill_process};

use super::files::Files;
use super::{FOLDERS, Served, config, write_files};
use crate::errors::{Failure, Outcome, file_failure};
use crate::session::Session as Tool;

/// The signals that end the server.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Serves the host below a folder until a signal arrives or one of the file systems is unmounted: `sys` and `dev/vfio` are file systems,
/// `run` and `etc` are ordinary folders.
pub fn serve(tool: &Tool, served: &Served, folder: &str, allow_other: bool) -> Outcome {
    let root = std::fs::canonicalize(folder).map_err(|error| file_failure("open", folder, &error))?;
    let root = root.to_str().ok_or_else(|| Failure::Usage(format!("the path of {folder} is not UTF-8")))?.to_owned();
    for name in ["run", "etc"] {
        let path = format!("{root}/{name}");
        create_dir_all(&path).map_err(|error| file_failure("create", &path, &error))?;
    }
    write_files(&root, &served.files)?;
    // Blocked before the threads start, so that only sigwait() receives them.
    let signals = block_signals();
    let mut mounted = Vec::new();
    let mut result = Ok(());
    for name in FOLDERS {
        let path = format!("{root}{name}");
        match mount(served, &path, name, allow_other) {
            Ok(unmounter) => mounted.push((path, unmounter)),
            Err(failure) => result = Err(failure),
        }
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        tool.say(&format!(
            "The simulated host is in {root}; ^C ends it. To use it: export MDEV_DEFAULT_URI=mdev:///system?root={root}"
        ));
        wait_for_signal(&signals);
    }
    for (path, mut unmounter) in mounted.into_iter().rev() {
        let unmounted = unmounter.unmount().or_else(|_| {
            // A program has an open file or its working folder there: it gets ENOTCONN when this process has ended.
            rustix::mount::unmount(path.as_str(), UnmountFlags::DETACH).map_err(std::io::Error::from)
        });
        result = result.and(unmounted.map_err(|error| file_failure("unmount", &path, &error)));
    }
    result
}

/// Mounts the file system at `path`, and serves it in threads. After its end, for example by umount(8), this process gets SIGTERM.
fn mount(served: &Served, path: &str, name: &str, allow_other: bool) -> Outcome<SessionUnmounter> {
    create_dir_all(path).map_err(|error| file_failure("create", path, &error))?;
    let owner = (getuid().as_raw(), getgid().as_raw());
    let files =
        Files::new(served, name, owner).map_err(|errno| file_failure("serve", path, &std::io::Error::from(errno)))?;
    let mut config = config();
    config.acl = if allow_other { SessionACL::All } else { SessionACL::Owner };
    config.mount_options = vec![MountOption::FSName("simfs".to_owned()), MountOption::DefaultPermissions];
    let mut session = Session::new(files, path, &config).map_err(|error| mount_failure(path, &error))?;
    let unmounter = session.unmount_callable();
    std::thread::spawn(move || {
        let _ = session.run();
        let _ = kill_process(getpid(), Signal::TERM);
    });
    Ok(unmounter)
}

fn mount_failure(path: &str, error: &std::io::Error) -> Failure {
    let Failure::Tool(sentence) = file_failure("mount", path, error) else { return Failure::Tool(String::new()) };
    let next = "install fuse3 (fusermount3), or use 'nodedev simfs -- COMMAND', which needs neither it nor root";
    Failure::Tool(format!("{sentence}; {next}"))
}

fn block_signals() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset() initializes the set; the other calls read and change it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        set.assume_init()
    }
}

fn wait_for_signal(set: &libc::sigset_t) {
    let mut signal = 0;
    // SAFETY: the set is initialized, and signal is a variable of this function.
    unsafe { libc::sigwait(set, &mut signal) };
}
