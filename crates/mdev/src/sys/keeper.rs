// SPDX-License-Identifier: LGPL-2.1-or-later
//! Starts the keeper of an action. The action's call-outs run below the keeper. The keeper is a process without exit
//! signal: it raises no SIGCHLD in the calling process, waitpid(-1) there does not find it, and the status of its
//! children is not lost if SIGCHLD is ignored.
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
//! While a program runs, the keeper waits for the end of the program and for the socket. Only the keeper kills a
//! program. It uses the program's number in its own PID namespace, and it does so before that number is free again.
//! If the caller has ended, the keeper kills the program's group and exits. If the keeper is killed, the kernel kills
//! the program.
//!
//! The keeper is a copy of a process that may have threads, so between its start and its end it only makes system
//! calls: it does not allocate and takes no lock, since another thread may have held the lock at the time of the copy.
//! All its memory is allocated before.

use std::ffi::{c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

/// A report of a keeper: the kind of the event, and its value.
pub type Report = [i32; 2];

/// The program could not be started; the value is the errno. An [`ENDED`] follows in this case too.
pub const NOT_STARTED: i32 = 0;

/// The program has ended; the value is its status as wait(2) returns it.
pub const ENDED: i32 = 1;

/// A message to a keeper: kill the running program and its process group. It has the form of a request without
/// arguments, and no request has that form. Ignored if no program runs.
pub const KILL: [u8; 4] = [0; 4];

/// The longest request: the number of arguments as four bytes, then the arguments and after them the environment, each with a
/// NUL at its end. The message carries four descriptors: standard input, output, error, and the program.
pub const REQUEST_MAX: usize = 16 * 1024;

/// The most arguments and variables of a request.
pub const WORDS_MAX: usize = 32;

/// Descriptor of the program file, for its interpreter. The descriptors below it are standard input, output and
/// error.
const PROGRAM: RawFd = 3;

/// Descriptor of the keeper's end of the socket.
const CONTROL: RawFd = 4;

/// Size of the control message; more than the four descriptors of a request need. The kernel drops descriptors that
/// do not fit; the keeper then refuses the request.
const CONTROL_WORDS: usize = 16;

/// Interval between two checks for the end of a program, in milliseconds, on a kernel without pidfds (before Linux
/// 5.3).
const LOOK_AGAIN: c_int = 50;

/// The memory of the keeper, allocated before the keeper starts.
struct Prepared {
    control: RawFd,
    every_signal: libc::sigset_t,
    /// The current request.
    request: Vec<u8>,
    /// argv, a NULL, envp, a NULL: pointers into the request.
    words: Vec<*const c_char>,
}

/// Starts a keeper, which receives requests from a datagram socket. When the other end is shut down or closed, it
/// kills the running program and exits.
pub fn launch(control: BorrowedFd<'_>) -> Result<Pid, Errno> {
    // SAFETY: plain data of C, for which all zeroes is a valid value, the empty set.
    let mut every_signal: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(&raw mut every_signal) };
    let mut prepared = Prepared {
        control: control.as_raw_fd(),
        every_signal,
        request: vec![0; REQUEST_MAX],
        words: vec![ptr::null(); WORDS_MAX + 2],
    };
    // SAFETY: the old mask is stored in this frame, and both processes return from here as from fork(2). The new
    // process does nothing that a copy of a process with threads must not do, and never returns from `keep`.
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
        // Pid::from_raw panics on a negative number in builds with debug assertions.
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
/// As for fork(2) in a process with threads: the copy must only make system calls.
pub(super) unsafe fn copy() -> c_long {
    // SAFETY: no new stack and no shared memory: the copy continues in a copy of this frame.
    unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) }
}

/// Runs the keeper: serves one request after the other until the socket is shut down or the calling process has
/// ended.
///
/// # Safety
/// Only in a process of `copy`, with all signals blocked.
unsafe fn keep(prepared: &mut Prepared) -> ! {
    // SAFETY: system calls on numbers and on memory of this process alone.
    unsafe {
        libc::setpgid(0, 0);
        set_default(libc::SIGCHLD);
        // Closes every other descriptor of the calling process, so that none of its sockets and locks stays open
        // here.
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

/// A message from the caller.
enum Received {
    /// `words` is set to the words of a request; the value is the index of the first variable of its environment.
    Request(usize),
    Kill,
    /// The caller has ended or shut down the socket.
    End,
}

/// Receives the next request. Its four descriptors get the numbers 0 to 3.
///
/// # Safety
/// Only in a process of `copy`, whose descriptors up to `PROGRAM` are closed.
unsafe fn receive(prepared: &mut Prepared) -> Result<Received, c_int> {
    // SAFETY: system calls with buffers of this frame and of the prepared memory, with their true lengths.
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
        // The kernel uses the lowest free numbers in order, so that four descriptors get the numbers 0 to 3.
        let is_whole = message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) == 0;
        if !is_whole || libc::fcntl(PROGRAM, libc::F_GETFD) < 0 {
            return Err(libc::EMFILE);
        }
        split(request, &mut prepared.words).map(Received::Request).ok_or(libc::EBADMSG)
    }
}

/// Sets `words` to the arguments, a NULL, the environment, and a NULL. Returns the index of the first variable;
/// `None` for a malformed request.
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

/// Runs the program of a request until it ends, and reports its status.
///
/// # Safety
/// Only in a process of `copy`, after `receive`.
unsafe fn serve(prepared: &Prepared, envp: usize) {
    // SAFETY: system calls on numbers.
    unsafe {
        let keeper = libc::getpid();
        let pid = copy() as c_int;
        if pid < 0 {
            return fail(*libc::__errno_location());
        }
        if pid == 0 {
            become_program(prepared, envp, keeper);
        }
        // Both processes call setpgid, so that it is done before the group is killed and before the program runs.
        libc::setpgid(pid, pid);
        // The keeper closes its copies of the program's pipes.
        close_range(0, PROGRAM);
        report(ENDED, attend(pid));
    }
}

/// Waits for the end of a program and returns its status as wait(2) does. Kills its group if the caller sends `KILL`.
/// If the caller has ended, kills the group and exits.
///
/// # Safety
/// Only in a process of `copy`; `pid` is its child, which has not been waited for.
unsafe fn attend(pid: c_int) -> c_int {
    // SAFETY: system calls on numbers and on memory of this frame. The child's number is not reused before waitpid
    // returns it, so that no other group is killed.
    unsafe {
        // -1 before Linux 5.3; poll(2) ignores it.
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
    // SAFETY: calls `report` in a process of `copy`.
    unsafe {
        report(NOT_STARTED, errno);
        report(ENDED, 0);
    }
}

/// # Safety
/// Only in a process of `copy`.
pub(super) unsafe fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: system calls on numbers and on a structure of this frame.
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

/// Becomes the program.
///
/// # Safety
/// Only in a process of `copy`, after `receive`.
unsafe fn become_program(prepared: &Prepared, envp: usize, keeper: c_int) -> ! {
    // SAFETY: system calls; the arrays end with NULL, and their strings are in this process's copy of the memory.
    unsafe {
        // Without its keeper, the program has no time limit. If the keeper ended before this call, the kernel sends
        // no signal.
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
        // Executes the file that was checked, by its descriptor. The descriptor stays open: the interpreter of a
        // script opens /dev/fd/3.
        libc::syscall(libc::SYS_execveat, PROGRAM, c"".as_ptr(), argv, argv.add(envp), libc::AT_EMPTY_PATH);
        report(NOT_STARTED, *libc::__errno_location());
        libc::_exit(127)
    }
}

/// Sets a signal to its default action with a system call: the C library refuses two signals that it uses itself, and
/// a program would inherit them ignored.
///
/// # Safety
/// Only in a process of `copy`.
unsafe fn set_default(signal: c_int) {
    /// The kernel's `struct sigaction` is no longer than this; all zeroes is the default action.
    const DEFAULT: [u64; 4] = [0; 4];
    // SAFETY: the kernel reads the array; the last argument is the size of the kernel's signal set.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), ptr::null::<u64>(), 8_usize) };
}

/// Sends a report. Errors are ignored: either no process reads the socket any more, or the caller waits for the
/// keeper's end.
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

    /// Calls `f` in a thread in which clone(2) fails with EAGAIN, and checks that no signal is blocked in the thread
    /// afterwards.
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

    /// Sets a seccomp filter for the calling thread.
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

        /// Runs a program to its end; returns its reports and its output.
        fn run(&self, program: &str, args: &[&str]) -> (Vec<[i32; 2]>, String) {
            let out = self.start(program, args);
            self.attend(out)
        }

        /// Starts a program; returns the end of the pipe from which its output is read.
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
            // SAFETY: waits for the one process that this test has started; no status is requested.
            let reaped = unsafe { libc::waitpid(self.pid.as_raw_nonzero().get(), ptr::null_mut(), libc::__WALL) };
            assert_eq!(reaped, self.pid.as_raw_nonzero().get());
        }
    }

    #[test]
    fn program_gets_its_descriptors_and_environment_only() {
        // Without CLOEXEC, as programs often leave descriptors. SAFETY: the descriptor is this test's own.
        let leak = unsafe { libc::dup(2) };
        let look = "echo $A; pwd; ls /proc/self/fd | wc -l; echo $PPID $$; cut -d' ' -f5 /proc/self/stat; \
                    grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 7";
        let keeper = Keeper::new();
        for _ in 0..3 {
            let (reports, text) = keeper.run("/bin/sh", &["-c", look]);
            let lines: Vec<&str> = text.lines().collect();
            // The descriptors 0 to 2, the program, and the descriptor with which ls reads the directory.
            assert_eq!(lines[..3], ["b", "/", "5"], "{text}");
            assert_eq!(reports, [[ENDED, 7 << 8]]);
            let (parent, own) = lines[3].split_once(' ').unwrap();
            assert_eq!(parent, keeper.pid.as_raw_nonzero().to_string(), "the keeper is the parent: {text}");
            assert_eq!(lines[4], own, "the program has its own process group: {text}");
            assert!(lines[5..].iter().all(|line| line.ends_with("\t0000000000000000")), "{text}");
        }
        // SAFETY: the descriptor of the dup(2) above.
        unsafe { libc::close(leak) };
    }

    #[test]
    fn signal_and_failed_start_are_reported() {
        let keeper = Keeper::new();
        assert_eq!(keeper.run("/bin/sh", &["-c", "kill -9 $$"]).0, [[ENDED, 9]]);
        assert_eq!(keeper.run("/dev/null", &[]).0, [[NOT_STARTED, libc::EACCES], [ENDED, 127 << 8]]);
        assert_eq!(keeper.run("/bin/sh", &["-c", "exit 3"]).0, [[ENDED, 3 << 8]], "the keeper continues");
    }

    #[test]
    fn program_is_killed_with_its_group_when_asked_and_next_one_is_not() {
        let keeper = Keeper::new();
        let kill = || rustix::net::send(&keeper.control, &KILL, SendFlags::empty()).unwrap();
        // A KILL without a running program, as if it arrived after the program's end.
        kill();
        assert_eq!(keeper.run("/bin/sh", &["-c", "exit 3"]).0, [[ENDED, 3 << 8]]);
        let mut out = keeper.start("/bin/sh", &["-c", "sleep 600 & echo; wait"]);
        assert_eq!(out.read(&mut [0]).unwrap(), 1, "the program runs");
        kill();
        // The pipe ends when no process of the group has it open.
        assert_eq!(keeper.attend(out), (vec![[ENDED, 9]], String::new()));
        assert_eq!(keeper.run("/bin/sh", &["-c", "exit 3"]).0, [[ENDED, 3 << 8]]);
    }

    #[test]
    fn program_is_killed_with_its_group_when_its_caller_ends() {
        let keeper = Keeper::new();
        let mut out = keeper.start("/bin/sh", &["-c", "sleep 600 & echo; wait"]);
        assert_eq!(out.read(&mut [0]).unwrap(), 1, "the program runs");
        drop(keeper);
        assert_eq!(out.read(&mut [0]).unwrap(), 0, "no process has the pipe open");
    }

    #[test]
    fn program_is_killed_when_its_keeper_is_killed() {
        let keeper = Keeper::new();
        let mut out = keeper.start("/bin/sh", &["-c", "echo; exec sleep 30"]);
        assert_eq!(out.read(&mut [0]).unwrap(), 1, "the program runs");
        let started = std::time::Instant::now();
        rustix::process::kill_process(keeper.pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(out.read(&mut [0]).unwrap(), 0, "no process has the pipe open");
        assert!(started.elapsed() < std::time::Duration::from_secs(25), "the program ran to its end");
    }

    #[test]
    fn wait_for_any_child_does_not_find_keeper() {
        let keeper = Keeper::new();
        keeper.run("/bin/sh", &["-c", "exit 0"]);
        let mut status = 0;
        // SAFETY: the status is in this frame; waitpid finds no process.
        assert_eq!(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }, -1);
    }

    #[test]
    fn failed_start_of_keeper_returns_error() {
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
