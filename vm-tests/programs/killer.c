// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * killer N COMMAND ARG...: runs the command and kills it with SIGKILL at its
 * N-th system call since it began to look at sysfs, just before the call is
 * done when N is odd and just after when it is even. Exit code: 0 the command
 * was killed, 10 it ended by itself before (N is past its last call), 2 trouble.
 *
 * What comes before, the loading of the program, is no business of this test.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int trouble(const char *what)
{
	perror(what);
	return 2;
}

/* Does this stop open something in /sys or /run/libmdev? */
static bool begins(pid_t pid)
{
	struct user_regs_struct regs;
	unsigned long long path;
	char text[16] = "";
	struct iovec local = { text, sizeof(text) - 1 }, remote;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return false;
	if (regs.orig_rax == SYS_openat)
		path = regs.rsi;
	else if (regs.orig_rax == SYS_open)
		path = regs.rdi;
	else
		return false;
	remote.iov_base = (void *)(unsigned long)path;
	remote.iov_len = sizeof(text) - 1;
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) < 4)
		return false;
	return strncmp(text, "sys/", 4) == 0 || strncmp(text, "/run/libmdev", 12) == 0;
}

static int child(char **argv)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return trouble("ptrace");
	raise(SIGSTOP);
	execvp(argv[0], argv);
	return trouble(argv[0]);
}

int main(int argc, char **argv)
{
	bool begun = false;
	int n, status, sig = 0;
	pid_t pid;

	if (argc < 3)
		return 2;
	n = atoi(argv[1]);
	pid = fork();
	if (pid < 0)
		return trouble("fork");
	if (pid == 0)
		return child(argv + 2);
	if (waitpid(pid, &status, 0) < 0)
		return trouble("waitpid");
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) < 0)
			return trouble("ptrace");
		if (waitpid(pid, &status, 0) < 0)
			return trouble("waitpid");
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return 10;
		sig = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			sig = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
			continue;
		}
		begun = begun || begins(pid);
		if (begun && --n <= 0) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 0;
		}
	}
}
