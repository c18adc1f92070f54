/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Call-outs that hang: they end with a caller that is killed, and a call-out that is
 * stopped at its time limit is the only process that is killed, also when
 * its process number means another process in the PID namespace of the caller.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <libmdev.h>

#include "root.h"

static const char device[] = "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/>"
			     "<uuid>c60cc60c-0000-4222-8333-444444444441</uuid></capability></device>";

/* The time limit of a call-out, and less than the library waits for a call-out that does not end after SIGKILL. */
#define LIMIT_S 30
#define SPARE_S 4

/* Several attempts, since a busy machine can delay one; a fault of the library delays all. */
#define ATTEMPTS 3
#define EXIT_LATE 4

/* A call-out that prints its number, its parent's and that of a child into the pipe, and hangs. */
static void make_host(void)
{
	make_empty_host("callout-kill");
	T_NEED(mkfifo(below("pipe"), 0600) == 0);
	put_script("callouts/test", "[ $6 = capabilities ] && exit 2\nsleep 600 &\necho $$ $PPID $! >%s/pipe\nwait\n", root);
}

static int define(void)
{
	struct mdev_device *dev;
	struct mdev_conn *conn;
	char uri[256];
	int rc;

	snprintf(uri, sizeof(uri), "mdev:///system?root=%s", root);
	rc = mdev_conn_open(&conn, uri, 0);
	if (rc < 0)
		return rc;
	rc = mdev_conn_define_xml(conn, device, &dev, 0);
	if (rc == 0)
		mdev_device_unref(dev);
	mdev_conn_unref(conn);
	return rc;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Waits for the end of a process that has become a child of this process; 0: it still runs after 20 s. */
static int ended(pid_t pid, int *status)
{
	pid_t got;

	alarm(20);
	got = waitpid(pid, status, __WALL);
	alarm(0);
	return got == pid;
}

static void killed_caller(int out)
{
	struct pollfd readable = { out, POLLIN, 0 };
	int script = 0, keeper = 0, child = 0, status;
	char line[64] = "";
	pid_t caller;

	caller = fork();
	if (caller == 0)
		_exit(define() ? 1 : 0);
	T_NEED(caller > 0);
	T_INT(poll(&readable, 1, 20000), 1);
	T_OK(read(out, line, sizeof(line) - 1) > 0);
	T_NEED(sscanf(line, "%d %d %d", &script, &keeper, &child) == 3);
	T_INT(kill(caller, SIGKILL), 0);
	T_OK(waitpid(caller, &status, 0) == caller && WIFSIGNALED(status));
	if (T_OKF(ended(keeper, &status), "the parent of the call-outs ends"))
		T_OK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	else
		kill(keeper, SIGKILL);
	if (T_OKF(ended(script, &status), "the call-out ends"))
		T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		kill(-script, SIGKILL);
	T_OKF(ended(child, &status), "its child ends");
}

/* Processes with the first numbers of the namespace, each in its own group: programs in the next namespace get the same numbers. */
static int bystander(pid_t number)
{
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	return pid == number && setpgid(pid, pid) == 0;
}

/* Runs in a new PID namespace. */
static int stop_in_namespace(void)
{
	struct timespec before, after;
	int rc, seconds;
	pid_t pid;

	for (pid = 2; pid < 8; pid++) {
		if (!bystander(pid))
			return 1;
	}
	if (unshare(CLONE_NEWPID) < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &before);
	rc = define();
	clock_gettime(CLOCK_MONOTONIC, &after);
	seconds = (int)(after.tv_sec - before.tv_sec);
	if (rc != -ETIMEDOUT)
		return 2;
	if (waitpid(-1, NULL, WNOHANG) != 0)
		return 3;
	if (seconds < LIMIT_S)
		return 5;
	return seconds > LIMIT_S + SPARE_S ? EXIT_LATE : 0;
}

static int in_another_pid_namespace(void)
{
	int status = 0;
	pid_t outer;

	outer = fork();
	if (outer == 0) {
		pid_t caller;

		if (unshare(CLONE_NEWPID) < 0)
			_exit(77);
		caller = fork();
		if (caller == 0)
			_exit(stop_in_namespace());
		_exit(waitpid(caller, &status, 0) == caller && WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	T_NEED(outer > 0);
	while (waitpid(outer, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void caller_with_another_pid_namespace(void)
{
	int rc = EXIT_LATE, n;

	for (n = 0; n < ATTEMPTS && rc == EXIT_LATE; n++)
		rc = in_another_pid_namespace();
	if (rc == 77)
		T_OKF(1, "a caller with another PID namespace # SKIP no PID namespace can be made here");
	else
		T_OKF(rc == 0, "a caller with another PID namespace stops the call-out and nothing else (%d)", rc);
}

int main(void)
{
	struct sigaction action;
	int out;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	/* An orphan becomes a child of this process. */
	T_INT(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	make_host();
	/* For reading and writing, so that it neither blocks nor ends. */
	out = open(below("pipe"), O_RDWR | O_CLOEXEC);
	T_NEED(out >= 0);
	killed_caller(out);
	caller_with_another_pid_namespace();
	close(out);
	remove_root();
	return t_done();
}
