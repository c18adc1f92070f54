// SPDX-License-Identifier: LGPL-2.1-or-later
//! Starts the keeper of an action, below which its call-outs run: a process without exit signal, which therefore neither
//! raises SIGCHLD in the calling process nor is found by its waitpid(-1), and whose children's status is not lost when SIGCHLD
//! is ignored.
//!
//! ```text
//! caller -- clone, no exit signal --> keeper -- clone --> program
//!        --- request: argv, envp, 4 fds --->              program
//!        <------ report: ended ------------
//!        ---------- request ... ---------->  -- clone --> next program
//!        ------------- KILL -------------->  -- kill ---> its process group
//!        <------ report: ended ------------
//!        -- shutdown, or the caller ends ->  exit
//! ```
//!
//! While a program runs, the keeper waits for both its end and the socket: only the keeper kills a program, by the number that
//! the program has in the keeper's PID namespace, and before that number is free again. If the caller has ended, the keeper
//! kills the program's group and exits. If the keeper itself is killed, the kernel kills the program.
//!
//! The keeper is a copy of a process that may have threads, so between its start and its end it only calls the kernel: no
//! allocation, no lock, nothing that another thread might have held when the copy was made. Everything that it needs is made
//! before.

use std::ffi::{c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

/// A report of a keeper: the kind of the event, and its value.
pub type Report = [i32; 2];

/// The program could not be started; the value is the errno. An [`ENDED`] follows all the same.
pub const NOT_STARTED: i32 = 0;

/// The program has ended; the value is its status as wait(2) returns it.
pub const ENDED: i32 = 1;

/// A message to a keeper: kill the program that runs, and all that is in its process group. Of the form of a request without
/// arguments, which is none; ignored if no program runs.
pub const KILL: [u8; 4] = [0; 4];

/// The longest request: the number of arguments as four bytes, then the arguments and after them the environment, each with a
/// NUL at its end. With it come four descriptors: standard input, output, error, and the program.
pub const REQUEST_MAX: usize = 16 * 1024;

/// The most arguments and variables of a request.
pub const WORDS_MAX: usize = 32;

/// Where the program is open for its interpreter; below it are standard input, output and error.
const PROGRAM: RawFd = 3;

/// The keeper's end of the socket.
const CONTROL: RawFd = 4;

/// Room for the control message with the four descriptors of a request, and to spare: what does not fit is dropped by the
/// kernel, and the request is then refused.
const CONTROL_WORDS: usize = 16;

/// How often the keeper looks for the end of a program on a kernel without pidfds (before Linux 5.3), in milliseconds.
const LOOK_AGAIN: c_int = 50;

/// What the keeper needs, made before it is.
struct Prepared {
    control: RawFd,
    every_signal: libc::sigset_t,
    /// The request that is being served.
    request: Vec<u8>,
    /// argv, a NULL, envp, a NULL: pointers into the request.
    words: Vec<*const c_char>,
}

/// Starts a keeper, which takes requests from a socket of datagrams. When the other end is shut down or closed, it kills the
/// program that runs and ends.
pub fn launch(control: BorrowedFd<'_>) -> Result<Pid, Errno> {
    // SAFETY: plain data of C, for which all zeroes is a value, the empty set.
    let mut every_signal: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(&raw mut every_signal) };
    let mut prepared = Prepared {
        control: control.as_raw_fd(),
        every_signal,
        request: vec![0; REQUEST_MAX],
        words: vec![ptr::null(); WORDS_MAX + 2],
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
            keep(&mut prepared);
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
pub(super) unsafe fn copy() -> c_long {
    // SAFETY: no stack of its own, no shared memory: the copy goes on in a copy of this frame.
    unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) }
}

/// The keeper: serves one request after the other until the socket is shut down, or the calling process has ended.
///
/// # Safety
/// Only in a process of `copy`, with all signals blocked.
unsafe fn keep(prepared: &mut Prepared) -> ! {
    // SAFETY: calls of the kernel on numbers and on memory of this process alone.
    unsafe {
        libc::setpgid(0, 0);
        set_default(libc::SIGCHLD);
        // No other descriptor of the calling process: neither its sockets nor its locks outlive it here.
        if prepared.control != CONTROL && libc::dup2(prepared.control, CONTROL) < 0 {
            libc::_exit(1);
        }
        libc::fcntl(CONTROL, libc::F_SETFD, libc::FD_CLOEXEC);
        close_range(0, CONTROL - 1);
        close_range(CONTROL + 1, c_int::MAX);
        loop {
            match receive(prepared) {
                Ok(Received::End) => libc::_exit(0),
                // The program has ended already.
                Ok(Received::Kill) => continue,
                Ok(Received::Request(envp)) => serve(prepared, envp),
                Err(errno) => fail(errno),
            }
            close_range(0, PROGRAM);
        }
    }
}

/// What a caller sends.
enum Received {
    /// The words of a request are set; its environment begins at this one.
    Request(usize),
    Kill,
    /// The caller has ended or shut down the socket.
    End,
}

/// Takes the next request, and the four descriptors to their places.
///
/// # Safety
/// Only in a process of `copy`, whose descriptors up to `PROGRAM` are closed.
unsafe fn receive(prepared: &mut Prepared) -> Result<Received, c_int> {
    // SAFETY: calls of the kernel with buffers of this frame and of the prepared memory, whose lengths are given.
    unsafe {
        let mut control = [0_u64; CONTROL_WORDS];
        let mut part = libc::iovec { iov_base: prepared.request.as_mut_ptr().cast(), iov_len: prepared.request.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let count = loop {
            let count = libc::recvmsg(CONTROL, &raw mut message, 0);
            if count >= 0 {
                break count as usize;
            }
            if *libc::__errno_location() != libc::EINTR {
                return Ok(Received::End);
            }
        };
        let request = prepared.request.get(..count).unwrap_or_default();
        if request.is_empty() {
            return Ok(Received::End);
        }
        if request == KILL {
            return Ok(Received::Kill);
        }
        // The lowest free numbers, in their order: with four of them these are their places.
        let is_whole = message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) == 0;
        if !is_whole || libc::fcntl(PROGRAM, libc::F_GETFD) < 0 {
            return Err(libc::EMFILE);
        }
        split(request, &mut prepared.words).map(Received::Request).ok_or(libc::EBADMSG)
    }
}

/// Sets the words of a request to its arguments, a NULL, its environment, and a NULL. Where the environment begins; `None` for
/// a request that is malformed.
fn split(request: &[u8], words: &mut [*const c_char]) -> Option<usize> {
    let (count, mut rest) = request.split_at_checked(size_of::<u32>())?;
    let args = u32::from_ne_bytes(count.try_into().ok()?) as usize;
    let mut place = 0;
    while !rest.is_empty() {
        if place == args {
            *words.get_mut(place)? = ptr::null();
            place += 1;
        }
        let end = rest.iter().position(|byte| *byte == 0)?;
        *words.get_mut(place)? = rest.as_ptr().cast();
        place += 1;
        rest = rest.get(end + 1..)?;
    }
    *words.get_mut(place)? = ptr::null();
    (args > 0 && place > args).then_some(args + 1)
}

/// Runs the program of a request to its end, and reports that.
///
/// # Safety
/// Only in a process of `copy`, after `receive`.
unsafe fn serve(prepared: &Prepared, envp: usize) {
    // SAFETY: calls of the kernel on numbers.
    unsafe {
        let keeper = libc::getpid();
        let pid = copy() as c_int;
        if pid < 0 {
            return fail(*libc::__errno_location());
        }
        if pid == 0 {
            become_program(prepared, envp, keeper);
        }
        // By both, so that it is done before the group is killed and before the program runs.
        libc::setpgid(pid, pid);
        // The pipes of the program end with it.
        close_range(0, PROGRAM);
        report(ENDED, attend(pid));
    }
}

/// Waits for the end of a program, and kills its group when the caller asks for it. Its status as wait(2) returns it. Exits
/// with the program killed when the caller has ended.
///
/// # Safety
/// Only in a process of `copy`; `pid` is its child, which has not been waited for.
unsafe fn attend(pid: c_int) -> c_int {
    // SAFETY: calls of the kernel on numbers and on memory of this frame. The number of the child is its own until waitpid
    // returns it, so that no other group is killed.
    unsafe {
        // -1, which poll(2) ignores, before Linux 5.3.
        let end = libc::syscall(libc::SYS_pidfd_open, pid, 0) as c_int;
        let patience = if end < 0 { LOOK_AGAIN } else { -1 };
        let wait = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        loop {
            let mut fds = [wait(CONTROL), wait(end)];
            libc::poll(fds.as_mut_ptr(), 2, patience);
            let mut status = 0;
            if libc::waitpid(pid, &raw mut status, libc::__WALL | libc::WNOHANG) == pid {
                return status;
            }
            if fds[0].revents == 0 {
                continue;
            }
            let mut message = 0_u8;
            match libc::recv(CONTROL, (&raw mut message).cast(), 1, libc::MSG_DONTWAIT) {
                1.. => {
                    libc::kill(-pid, libc::SIGKILL);
                }
                count if count == 0 || !matches!(*libc::__errno_location(), libc::EINTR | libc::EAGAIN) => {
                    libc::kill(-pid, libc::SIGKILL);
                    libc::_exit(0);
                }
                _ => {}
            }
        }
    }
}

/// Reports that a program could not be started.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn fail(errno: c_int) {
    // SAFETY: sends reports.
    unsafe {
        report(NOT_STARTED, errno);
        report(ENDED, 0);
    }
}

/// # Safety
/// Only in a process of `copy`.
pub(super) unsafe fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: numbers only.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) < 0 {
            // Before Linux 5.9.
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            let end = RawFd::try_from(limit.rlim_cur).unwrap_or(65_536).min(65_536);
            for fd in first..last.saturating_add(1).min(end) {
                libc::close(fd);
            }
        }
    }
}

/// The program.
///
/// # Safety
/// Only in a process of `copy`, after `receive`.
unsafe fn become_program(prepared: &Prepared, envp: usize, keeper: c_int) -> ! {
    // SAFETY: calls of the kernel; the arrays end with NULL and their strings live in this copy of the process.
    unsafe {
        // Without its keeper, the program has no time limit. A keeper that ended before this call has no signal sent.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != keeper {
            libc::_exit(127);
        }
        libc::setpgid(0, 0);
        (1..=64).for_each(|signal| set_default(signal));
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::chdir(c"/".as_ptr());
        let argv = prepared.words.as_ptr();
        // The very file that was checked. It stays open: the interpreter of a script opens /dev/fd/3.
        libc::syscall(libc::SYS_execveat, PROGRAM, c"".as_ptr(), argv, argv.add(envp), libc::AT_EMPTY_PATH);
        report(NOT_STARTED, *libc::__errno_location());
        libc::_exit(127)
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

/// A report that is not sent finds no reader, or the caller waits for the keeper's end.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn report(what: i32, value: i32) {
    let report = [what, value];
    // SAFETY: eight bytes of this frame, as one datagram.
    unsafe { libc::send(CONTROL, report.as_ptr().cast(), size_of_val(&report), libc::MSG_NOSIGNAL) };
}

#[cfg(test)]
pub(super) mod tests {
    use std::ffi::CString;
    use std::io::{IoSlice, Read};
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::fs::{Mode, OFlags, open};
    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
        sendmsg, shutdown, socketpair,
    };

    use super::*;

    /// Calls `f` in a thread in which clone(2) returns EAGAIN, and checks that no signal is blocked in it afterwards.
    pub(crate) fn without_clone(f: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                refuse_clone();
                let before = blocked_signals();
                f();
                assert_eq!(blocked_signals(), before);
            });
            thread.join().unwrap();
        });
    }

    /// Sets a seccomp filter of the calling thread.
    fn refuse_clone() {
        let step = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
        let mut steps = [
            // The number of the system call is the first member of struct seccomp_data.
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_clone as u32, 1),
            step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32, 0),
            step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        ];
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        // SAFETY: the kernel reads the program and its steps, which outlive the call.
        let set = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }

    fn blocked_signals() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find(|line| line.starts_with("SigBlk:")).unwrap().to_owned()
    }

    struct Keeper {
        pid: Pid,
        control: OwnedFd,
    }

    impl Keeper {
        fn new() -> Self {
            let (control, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
            Keeper { pid: launch(theirs.as_fd()).unwrap(), control }
        }

        fn report(&self) -> [i32; 2] {
            let mut bytes = [0; 8];
            assert_eq!(rustix::io::read(&self.control, &mut bytes), Ok(8));
            let number = |half: &[u8]| i32::from_ne_bytes(half.try_into().unwrap());
            [number(&bytes[..4]), number(&bytes[4..])]
        }

        /// What is reported of a program and what it prints.
        fn run(&self, program: &str, args: &[&str]) -> (Vec<[i32; 2]>, String) {
            let out = self.start(program, args);
            self.attend(out)
        }

        /// The end of the pipe from which its output is read.
        fn start(&self, program: &str, args: &[&str]) -> std::fs::File {
            let program_file = open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let (out, out_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            let null = std::fs::File::open("/dev/null").unwrap();
            let words = [program].into_iter().chain(args.iter().copied());
            let mut request = u32::try_from(args.len() + 1).unwrap().to_ne_bytes().to_vec();
            for word in words.chain(["A=b"]) {
                request.extend(CString::new(word).unwrap().as_bytes_with_nul());
            }
            let fds = [null.as_fd(), out_end.as_fd(), out_end.as_fd(), program_file.as_fd()];
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = SendAncillaryBuffer::new(&mut room);
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
            sendmsg(&self.control, &[IoSlice::new(&request)], &mut ancillary, SendFlags::empty()).unwrap();
            out.into()
        }

        fn attend(&self, mut out: std::fs::File) -> (Vec<[i32; 2]>, String) {
            let mut reports = vec![self.report()];
            while reports.last().is_some_and(|report| report[0] != ENDED) {
                reports.push(self.report());
            }
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            (reports, text)
        }
    }

    impl Drop for Keeper {
        fn drop(&mut self) {
            shutdown(&self.control, Shutdown::Write).unwrap();
            // SAFETY: waits for the one process that this test has made, and no status is asked for.
            let reaped = unsafe { libc::waitpid(self.pid.as_raw_nonzero().get(), ptr::null_mut(), libc::__WALL) };
            assert_eq!(reaped, self.pid.as_raw_nonzero().get());
        }
    }

    #[test]
    fn program_gets_its_descriptors_and_environment_only() {
        // Without CLOEXEC, as many a program leaves its own.
        // SAFETY: a number of this test's own.
        let leak = unsafe { libc::dup(2) };
        let look = "echo $A; pwd; ls /proc/self/fd | wc -l; echo $PPID $$; cut -d' ' -f5 /proc/self/stat; \
                    grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 7";
        let keeper = Keeper::new();
        for _ in 0..3 {
            let (reports, text) = keeper.run("/bin/sh", &["-c", look]);
            let lines: Vec<&str> = text.lines().collect();
            // Three, the program, and the one by which ls looks.
            assert_eq!(lines[..3], ["b", "/", "5"], "{text}");
            assert_eq!(reports, [[ENDED, 7 << 8]]);
            let (parent, own) = lines[3].split_once(' ').unwrap();
            assert_eq!(parent, keeper.pid.as_raw_nonzero().to_string(), "the keeper is the parent: {text}");
            assert_eq!(lines[4], own, "a group of its own: {text}");
            assert!(lines[5..].iter().all(|line| line.ends_with("\t0000000000000000")), "{text}");
        }
        // SAFETY: the same number.
        unsafe { libc::close(leak) };
    }

    #[test]
    fn signal_and_failed_start_are_reported() {
        let keeper = Keeper::new();
        assert_eq!(keeper.run("/bin/sh", &["-c", "kill -9 $$"]).0, [[ENDED, 9]]);
        assert_eq!(keeper.run("/dev/null", &[]).0, [[NOT_STARTED, libc::EACCES], [ENDED, 127 << 8]]);
        assert_eq!(keeper.run("/bin/sh", &["-c", "exit 3"]).0, [[ENDED, 3 << 8]], "it goes on");
    }

    #[test]
    fn program_is_killed_with_its_group_when_asked_and_the_next_one_is_not() {
        let keeper = Keeper::new();
        let kill = || rustix::net::send(&keeper.control, &KILL, SendFlags::empty()).unwrap();
        // A message without a program, as one that crosses the report of the end.
        kill();
        assert_eq!(keeper.run("/bin/sh", &["-c", "exit 3"]).0, [[ENDED, 3 << 8]]);
        let mut out = keeper.start("/bin/sh", &["-c", "sleep 600 & echo; wait"]);
        assert_eq!(out.read(&mut [0]).unwrap(), 1, "it runs");
        kill();
        // The pipe ends when no process of the group has it.
        assert_eq!(keeper.attend(out), (vec![[ENDED, 9]], String::new()));
        assert_eq!(keeper.run("/bin/sh", &["-c", "exit 3"]).0, [[ENDED, 3 << 8]]);
    }

    #[test]
    fn program_is_killed_with_its_group_when_its_caller_ends() {
        let keeper = Keeper::new();
        let mut out = keeper.start("/bin/sh", &["-c", "sleep 600 & echo; wait"]);
        assert_eq!(out.read(&mut [0]).unwrap(), 1, "it runs");
        drop(keeper);
        assert_eq!(out.read(&mut [0]).unwrap(), 0, "no process has the pipe");
    }

    #[test]
    fn program_is_killed_when_its_keeper_is_killed() {
        let keeper = Keeper::new();
        let mut out = keeper.start("/bin/sh", &["-c", "echo; exec sleep 30"]);
        assert_eq!(out.read(&mut [0]).unwrap(), 1, "it runs");
        let started = std::time::Instant::now();
        rustix::process::kill_process(keeper.pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(out.read(&mut [0]).unwrap(), 0, "no process has the pipe");
        assert!(started.elapsed() < std::time::Duration::from_secs(25), "it has run to its end");
    }

    #[test]
    fn waiting_for_any_child_does_not_find_the_keeper() {
        let keeper = Keeper::new();
        keeper.run("/bin/sh", &["-c", "exit 0"]);
        let mut status = 0;
        // SAFETY: a status of this frame; nothing is found that could be taken.
        assert_eq!(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }, -1);
    }

    #[test]
    fn keeper_that_cannot_be_made_is_an_error() {
        let (_control, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        without_clone(|| assert_eq!(launch(theirs.as_fd()), Err(Errno::AGAIN)));
    }

    #[test]
    fn malformed_requests_are_refused() {
        let with = |args: u32, text: &[u8]| [&args.to_ne_bytes(), text].concat();
        let mut words = [ptr::null(); 5];
        assert_eq!(split(&with(2, b"a\0b\0C=1\0"), &mut words), Some(3));
        assert!(words[2].is_null() && words[4].is_null() && !words[3].is_null());
        for bad in [
            with(2, b"a\0b\0C=1"),
            with(0, b"C=1\0"),
            with(1, b"a\0"),
            with(9, b"a\0C=1\0"),
            with(1, b"a\0b\0c\0d\0"),
            vec![1],
        ] {
            assert_eq!(split(&bad, &mut words), None, "{bad:?}");
        }
    }
}
