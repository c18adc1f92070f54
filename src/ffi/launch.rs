// SPDX-License-Identifier: LGPL-2.1-or-later
//! Starts a call-out below a keeper: a process without exit signal, which therefore neither raises SIGCHLD in the calling
//! process nor is found by its waitpid(-1), and whose status is not lost when SIGCHLD is ignored.
//!
//! ```text
//! caller -- clone, no exit signal --> keeper -- clone --> the program
//!        <------- report: exec failed, or its status ----
//! ```
//!
//! The keeper is a copy of a process that may have threads, so between its start and its end it calls nothing but the
//! kernel: no allocation, no lock, nothing that another thread might have held when the copy was made. Everything that it
//! needs is made before.

use std::ffi::{CString, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::driver::Launch;

/// Where the keeper puts its end of the report's pipe; below it are the three of the program.
const REPORT: RawFd = 3;

/// Numbers from here on are out of the way of those four.
const ASIDE: RawFd = 16;

const NOT_STARTED: i32 = 0;
const ENDED: i32 = 1;

/// Gives the call-outs their launcher. Once is enough; again does no harm.
pub(super) fn install() {
    crate::driver::set_launcher(launch);
}

/// What both processes need, made before either is.
struct Prepared {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    fds: [RawFd; 4],
    every_signal: libc::sigset_t,
}

fn launch(launch: &Launch<'_>) -> Result<Pid, Errno> {
    let [input, out, err] = launch.stdio;
    let pointers = |words: &[CString]| words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    // SAFETY: plain data of C, for which all zeroes is a value, the empty set.
    let mut every_signal: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(&raw mut every_signal) };
    let prepared = Prepared {
        argv: pointers(launch.argv),
        envp: pointers(launch.envp),
        fds: [input, out, err, launch.report].map(|fd| fd.as_raw_fd()),
        every_signal,
    };
    // SAFETY: a set of this frame for the old mask, and both processes return from here as from fork(2); the new one does
    // nothing that a copy of a process with threads must not do, and never returns.
    unsafe {
        let mut mask = std::mem::zeroed();
        // A signal in the new process must not run a handler of the calling one.
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const prepared.every_signal, &raw mut mask);
        let pid = copy();
        let errno = *libc::__errno_location();
        if pid == 0 {
            keep(&prepared);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut());
        // Pid::from_raw panics at a negative number where debug assertions are on.
        match c_int::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) {
            Some(pid) => Ok(pid),
            None => Err(Errno::from_raw_os_error(errno)),
        }
    }
}

/// fork(2) without exit signal and without the C library's handlers. All arguments are 0, so that their order, which
/// differs between architectures, does not matter.
///
/// # Safety
/// As fork(2) in a process with threads: the copy may only call the kernel.
unsafe fn copy() -> c_long {
    // SAFETY: no stack of its own, no shared memory: the copy goes on in a copy of this frame.
    unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) }
}

/// The keeper.
///
/// # Safety
/// Only in a process of `copy`, with all signals blocked.
unsafe fn keep(prepared: &Prepared) -> ! {
    // SAFETY: calls of the kernel on numbers and on memory of this process alone.
    unsafe {
        libc::setpgid(0, 0);
        // Ignored, it would take the status away from us.
        set_default(libc::SIGCHLD);
        if !arrange(&prepared.fds) {
            end(NOT_STARTED, *libc::__errno_location());
        }
        let pid = copy();
        if pid < 0 {
            end(NOT_STARTED, *libc::__errno_location());
        }
        if pid == 0 {
            become_program(prepared);
        }
        let mut status = 0;
        // What the program prints ends with it.
        for fd in 0..REPORT {
            libc::close(fd);
        }
        while libc::waitpid(pid as libc::pid_t, &raw mut status, libc::__WALL) < 0 {
            if *libc::__errno_location() != libc::EINTR {
                libc::_exit(1);
            }
        }
        end(ENDED, status)
    }
}

/// The four descriptors at their places, and no other of the calling process: neither its sockets nor its locks outlive it
/// here.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn arrange(fds: &[RawFd; 4]) -> bool {
    // SAFETY: numbers only. The first four places may hold one of the four themselves, so all go aside first.
    unsafe {
        let mut aside = [0; 4];
        for (place, fd) in aside.iter_mut().zip(fds) {
            *place = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, ASIDE);
            if *place < 0 {
                return false;
            }
        }
        for (place, fd) in (0..).zip(aside) {
            if libc::dup2(fd, place) < 0 {
                return false;
            }
        }
        libc::fcntl(REPORT, libc::F_SETFD, libc::FD_CLOEXEC) >= 0 && close_from(REPORT + 1)
    }
}

/// # Safety
/// Only in a process of `copy`.
unsafe fn close_from(first: RawFd) -> bool {
    // SAFETY: numbers only.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) < 0 {
            // Before Linux 5.9.
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            let last = RawFd::try_from(limit.rlim_cur).unwrap_or(65_536).min(65_536);
            for fd in first..last {
                libc::close(fd);
            }
        }
    }
    true
}

/// The program.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn become_program(prepared: &Prepared) -> ! {
    // SAFETY: calls of the kernel; the arrays end with NULL and their strings live in this copy of the process.
    unsafe {
        (1..=64).for_each(|signal| set_default(signal));
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::chdir(c"/".as_ptr());
        if let Some(path) = prepared.argv.first() {
            libc::execve(*path, prepared.argv.as_ptr(), prepared.envp.as_ptr());
        }
        end(NOT_STARTED, *libc::__errno_location())
    }
}

/// By number and not by the C library, which leaves two signals out that it uses itself: a program inherits them ignored
/// when they are.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn set_default(signal: c_int) {
    /// The kernel's `struct sigaction` is no longer than this; all zeroes is the default action.
    const DEFAULT: [u64; 4] = [0; 4];
    // SAFETY: the kernel reads the array; the last argument is the size of its set of signals.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), ptr::null::<u64>(), 8_usize) };
}

/// Tells, and is gone. Of two reports the first counts: of a start that failed, not of the process that was to be the program.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn end(what: i32, value: i32) -> ! {
    let report = [what, value];
    // SAFETY: eight bytes of this frame; a pipe takes them whole.
    unsafe {
        libc::write(REPORT, report.as_ptr().cast(), size_of_val(&report));
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn pipe() -> (std::fs::File, std::fs::File) {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        (ours.into(), theirs.into())
    }

    /// What a shell reports and prints, started by a keeper.
    fn run(words: &[&str]) -> (Vec<i32>, String, Pid) {
        let argv: Vec<CString> = words.iter().map(|word| CString::new(*word).unwrap()).collect();
        let envp = [c"A=b".to_owned()];
        let (mut report, report_end) = pipe();
        let (mut out, out_end) = pipe();
        let null = std::fs::File::open("/dev/null").unwrap();
        let stdio = [null.as_fd(), out_end.as_fd(), out_end.as_fd()];
        let keeper = launch(&Launch { argv: &argv, envp: &envp, stdio, report: report_end.as_fd() }).unwrap();
        drop((report_end, out_end));
        let (mut bytes, mut text) = (Vec::new(), String::new());
        report.read_to_end(&mut bytes).unwrap();
        out.read_to_string(&mut text).unwrap();
        let numbers = bytes.chunks(4).map(|n| i32::from_ne_bytes(n.try_into().unwrap())).collect();
        // SAFETY: waits for the one process that this test has made, and no status is asked for.
        let reaped = unsafe { libc::waitpid(keeper.as_raw_pid(), ptr::null_mut(), libc::__WALL) };
        assert_eq!(reaped, keeper.as_raw_pid());
        (numbers, text, keeper)
    }

    #[test]
    fn a_program_has_what_it_is_given_and_nothing_else() {
        // Without CLOEXEC, as many a program leaves its own.
        // SAFETY: a number of this test's own.
        let leak = unsafe { libc::dup(2) };
        let look = "echo $A; pwd; ls /proc/self/fd | wc -l; cut -d' ' -f5 /proc/self/stat; \
                    grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 7";
        let (report, text, keeper) = run(&["/bin/sh", "-c", look]);
        // SAFETY: the same number.
        unsafe { libc::close(leak) };
        assert_eq!(report, [ENDED, 7 << 8]);
        let lines: Vec<&str> = text.lines().collect();
        // Three, and the one by which ls looks.
        assert_eq!(lines[..3], ["b", "/", "4"], "{text}");
        assert_eq!(lines[3], keeper.as_raw_pid().to_string(), "the group is the keeper's: {text}");
        assert!(lines[4..].iter().all(|line| line.ends_with("\t0000000000000000")), "{text}");
    }

    #[test]
    fn a_signal_and_a_start_that_fails_are_told() {
        assert_eq!(run(&["/bin/sh", "-c", "kill -9 $$"]).0, [ENDED, 9]);
        assert_eq!(run(&["/does/not/exist"]).0[..2], [NOT_STARTED, libc::ENOENT]);
        assert_eq!(run(&["/dev/null"]).0[..2], [NOT_STARTED, libc::EACCES]);
    }

    #[test]
    fn nobody_else_finds_the_keeper() {
        let argv = [c"/bin/sh".to_owned(), c"-c".to_owned(), c"read line".to_owned()];
        let (input, hold) = pipe();
        let (mut report, report_end) = pipe();
        let out = std::fs::File::open("/dev/null").unwrap();
        let stdio = [input.as_fd(), out.as_fd(), out.as_fd()];
        let keeper = launch(&Launch { argv: &argv, envp: &[], stdio, report: report_end.as_fd() }).unwrap();
        drop((report_end, input, hold));
        let mut bytes = Vec::new();
        report.read_to_end(&mut bytes).unwrap();
        let mut status = 0;
        // SAFETY: a status of this frame; only the second call takes anything, and that is this test's own.
        unsafe {
            let pid = keeper.as_raw_pid();
            assert_eq!(libc::waitpid(pid, &raw mut status, libc::WNOHANG), -1);
            assert_eq!(libc::waitpid(pid, &raw mut status, libc::__WALL), pid);
        }
        assert_eq!(bytes.len(), 8);
    }
}
