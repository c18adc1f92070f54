/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A child that stops before and after each of its system calls, so that a test can kill it at any of them. */
#ifndef TRACED_H
#define TRACED_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts a child that runs what(arg) and exits with its result. It stops before the first call. Returns -1 if the child cannot be started. */
static inline pid_t traced_start(int (*what)(const void *arg), const void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(2);
		raise(SIGSTOP);
		_exit(what(arg));
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
		return -1;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) < 0)
		return -1;
	return pid;
}

/* Continues to the next entry or exit of a system call. 1: the child stopped there, 0: it has ended with this status. */
static inline int traced_next(pid_t pid, int *status)
{
	int sig = 0;

	do {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) < 0 || waitpid(pid, status, 0) < 0)
			return -1;
		if (!WIFSTOPPED(*status))
			return 0;
		sig = WSTOPSIG(*status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(*status);
	} while (sig);
	return 1;
}

static inline int traced_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) < 0 ? -1 : 0;
}

#endif
