// SPDX-License-Identifier: LGPL-2.1-or-later
//! `simfs`: serves the simulated host as a file system.

mod faults;
mod files;
mod mountpoint;
mod namespace;
mod process;

use std::fs::{File, create_dir_all, write};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use mdev::simulator::{self, HostFile, SimHost};
use rustix::fd::OwnedFd;

use self::faults::Faults;
use self::files::Files;
use crate::cli::Simfs;
use crate::errors::{Failure, Outcome, Status, file_failure};
use crate::output;
use crate::session::Session as Tool;

/// The folders that are file systems.
const FOLDERS: [&str; 2] = ["/sys", "/dev/vfio"];

/// The threads of a file system.
const THREADS: usize = 4;

/// A simulated host to serve.
pub struct Served {
    host: SimHost,
    /// The files that it has in /run and /etc.
    files: Vec<HostFile>,
    faults: Arc<Faults>,
}

/// Carries out `simfs`. With a command, returns only if it cannot be started.
pub fn run(tool: &Tool, args: &Simfs) -> Outcome {
    let path = args.host.as_deref().filter(|host| *host != "default");
    let (host, files) = simulator::open(path)?;
    let described =
        path.map(std::fs::read).transpose().map_err(|error| file_failure("read", path.unwrap_or_default(), &error))?;
    let faults = Arc::new(Faults::parse(&described.unwrap_or_default())?);
    let served = Served { host, files, faults };
    match (&args.mountpoint, args.command.as_slice()) {
        (Some(mountpoint), []) => mountpoint::serve(tool, &served, mountpoint, args.allow_other),
        (None, [program, arguments @ ..]) => run_command(tool, &served, (program, arguments)),
        (Some(_), _) => Err(Failure::Usage("simfs takes a folder, or '--' and a command, not both".to_owned())),
        (None, []) => {
            let sentence =
                "missing a folder, or '--' and a command: nodedev simfs FOLDER, nodedev simfs -- mdevctl types";
            Err(Failure::Usage(sentence.to_owned()))
        }
    }
}

/// Writes the files that the host has in /run and /etc.
fn write_files(root: &str, files: &[HostFile]) -> Outcome {
    for (path, content) in files {
        let path = format!("{root}{path}");
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        create_dir_all(folder)
            .and_then(|()| write(&path, content))
            .map_err(|error| file_failure("write", &path, &error))?;
    }
    Ok(())
}

fn config() -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config
}

/// Runs a command in a namespace in which the simulated host is /sys. This process becomes the command; a child serves the host until the
/// command has ended.
fn run_command(tool: &Tool, served: &Served, command: (&str, &[String])) -> Outcome {
    let (program, arguments) = command;
    output::flush();
    namespace::enter()?;
    let pci_ids = served.host.inode("/usr/share/misc/pci.ids").and_then(|file| served.host.content(file));
    namespace::shadow_folders(pci_ids.ok().as_deref())?;
    let devices = FOLDERS.iter().map(|folder| namespace::mount_fuse(folder)).collect::<Outcome<Vec<_>>>()?;
    write_files("", &served.files)?;
    start_server(served, devices)?;
    // A connection of the program itself would not see the host that is served.
    let error = Command::new(program).args(arguments).env_remove("MDEV_DEFAULT_URI").exec();
    let failure = file_failure("run", program, &error);
    failure.print(tool.globals.json);
    Err(Failure::Printed(Status::CannotRun))
}

/// Starts the server of the mounted file systems as a child. Returns when it serves.
fn start_server(served: &Served, devices: Vec<OwnedFd>) -> Outcome {
    let failed = |error: std::io::Error| file_failure("start", "the server of the simulated host", &error);
    let (ready, report) = rustix::pipe::pipe().map_err(|errno| failed(errno.into()))?;
    let (mut ready, mut report) = (File::from(ready), File::from(report));
    let parent = rustix::process::getpid();
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(failed(std::io::Error::last_os_error())),
        0 => {
            drop(ready);
            let result = serve(served, devices, &mut report, parent);
            let _ = report.write_all(result.err().unwrap_or_default().as_bytes());
            std::process::exit(0);
        }
        _ => {
            // The file systems end with their server: it alone has their descriptors.
            drop((devices, report));
            // The server writes one "+", or the reason, and then closes the pipe.
            let mut text = [0; 512];
            match ready.read(&mut text) {
                Ok(length) if length > 0 && text.starts_with(b"+") => Ok(()),
                Ok(length) => {
                    let reason = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
                    Err(Failure::Tool(format!("cannot serve the simulated host: {reason}")))
                }
                Err(error) => Err(failed(error)),
            }
        }
    }
}

/// Serves the file systems until `parent`, which becomes the command, has ended. Writes "+" to `report` when they can be used.
fn serve(
    served: &Served,
    devices: Vec<OwnedFd>,
    report: &mut File,
    parent: rustix::process::Pid,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let pidfd = rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).map_err(|e| text(&e))?;
    let mut sessions = Vec::new();
    for (folder, device) in FOLDERS.into_iter().zip(devices) {
        let files = Files::new(served, folder, (0, 0)).map_err(|e| text(&e))?;
        let session = Session::from_fd(files, device, SessionACL::All, config()).map_err(|e| text(&e))?;
        sessions.push(session.spawn().map_err(|e| text(&e))?);
    }
    // ^C on the terminal is for the command. Its output has ended when it has ended.
    rustix::process::setsid().map_err(|e| text(&e))?;
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|e| text(&e))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| text(&e))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| text(&e))?;
    rustix::stdio::dup2_stderr(&null).map_err(|e| text(&e))?;
    report.write_all(b"+").map_err(|e| text(&e))?;
    let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    while rustix::event::poll(&mut ended, None).is_err() {}
    Ok(())
}
