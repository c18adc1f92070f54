/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Call-outs on a host where clone(2) fails, for the parent process of the
 * call-outs or for the call-out itself. The action fails with the errno of
 * clone, changes nothing, and leaves no descriptor, process or blocked signal.
 * Each case runs in its own process.
 */
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <libmdev.h>

#include "root.h"

#define UUID "c60cc60c-0000-4222-8333-444444444441"
#define SCRIPT SCRIPTS "callouts/test"

/* A user ID without processes: RLIMIT_NPROC counts the processes of a user. */
#define USER 123457

static const char device[] = "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>" UUID
			     "</uuid></capability></device>";

static int refuse_clone(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* One process besides this one: the parent of the call-outs. */
static int refuse_second_clone(void)
{
	struct rlimit limit = { 2, 2 };

	if (setgid(USER) < 0 || setuid(USER) < 0)
		return -1;
	return setrlimit(RLIMIT_NPROC, &limit);
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static int blocked_signals(void)
{
	sigset_t mask;
	int signal, n = 0;

	if (sigprocmask(SIG_BLOCK, NULL, &mask) < 0)
		return -1;
	for (signal = 1; signal <= 64; signal++)
		n += sigismember(&mask, signal) == 1;
	return n;
}

/* Checks a step. On failure, prints it as a TAP comment and returns its number as the exit status. */
#define STEP(number, call, want)                                                                                       \
	do {                                                                                                           \
		int step_got = (call);                                                                                 \
                                                                                                                       \
		if (step_got != (want)) {                                                                              \
			printf("# %s is %d: %s\n", #call, step_got, last_message());                                   \
			fflush(stdout);                                                                                \
			return number;                                                                                 \
		}                                                                                                      \
	} while (0)

static const char *last_message(void)
{
	const struct mdev_error *err = mdev_last_error();

	return err ? mdev_error_get_message(err) : "no error";
}

static int use_host(int (*refuse)(void))
{
	struct mdev_device *dev = NULL;
	struct mdev_conn *conn = NULL;
	int fds, round;
	char uri[256];

	snprintf(uri, sizeof(uri), "mdev:///system?root=%s", root);
	if (refuse() < 0)
		return 77;
	STEP(1, mdev_conn_open(&conn, uri, 0), 0);
	fds = open_descriptors();
	/* The second round checks that the first left no process behind. */
	for (round = 0; round < 2; round++) {
		STEP(2, mdev_conn_define_xml(conn, device, &dev, 0), -EAGAIN);
		STEP(3, mdev_error_get_code(mdev_last_error()), MDEV_ERROR_CALLOUT);
		STEP(4, strstr(last_message(), below(SCRIPT)) != NULL, 1);
		STEP(5, strstr(last_message(), "Resource temporarily unavailable") != NULL, 1);
		STEP(6, strcmp(mdev_error_get_path(mdev_last_error()), below(SCRIPT)), 0);
		STEP(7, mdev_conn_lookup_by_uuid(conn, UUID, &dev), -ENODEV);
		STEP(8, open_descriptors(), fds);
		STEP(9, blocked_signals(), 0);
		STEP(10, waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, 1);
	}
	STEP(11, access(below("run/log"), F_OK), -1);
	/* With MDEV_DEFINE_NO_CALLOUTS no process is needed. */
	STEP(12, mdev_conn_define_xml(conn, device, &dev, MDEV_DEFINE_NO_CALLOUTS), 0);
	STEP(13, mdev_device_undefine(dev, 0), -EAGAIN);
	STEP(14, mdev_device_undefine(dev, MDEV_DEFINE_NO_CALLOUTS), 0);
	mdev_device_unref(dev);
	mdev_conn_unref(conn);
	return 0;
}

static void in_child(const char *what, int (*refuse)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(use_host(refuse));
	T_NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		T_OKF(1, "%s # SKIP this system has no seccomp filters, or this user cannot become another", what);
	else
		T_OKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s (%d)", what, status);
}

int main(void)
{
	char command[256];

	make_empty_host("callout-noclone");
	/* The call-out allows everything and notes that it ran. */
	put_script("callouts/test", "[ $6 = capabilities ] && exit 2\necho $4 >>%s/run/log\n", root);
	in_child("the parent of the call-outs cannot be made", refuse_clone);
	if (geteuid() == 0) {
		snprintf(command, sizeof(command), "chown -R %d:%d %s", USER, USER, root);
		T_INT(system(command), 0);
	}
	in_child("the call-out cannot be made", refuse_second_clone);
	remove_root();
	return t_done();
}
