/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A root directory without /proc, as in a chroot: definitions and records are
 * written as with it, also without a capability, and a call-out that cannot be
 * run is an error that names the missing /proc.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "root.h"

#define UUID "c60cc60c-c60c-c60c-c60c-c60cc60cc601"
#define NAMED "<device><name>named</name><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>" UUID     \
	      "</uuid></capability></device>"
#define SCRIPT SCRIPTS "callouts/test"
#define USER 12345

/* Of an argument of a system call, as a filter loads it. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF 4
#else
#define LOW_HALF 0
#endif

static void make_host(void)
{
	static const char types[] = "sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/";
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%screate", types);
	put(path, "", 0666);
	snprintf(path, sizeof(path), "%savailable_instances", types);
	put(path, "4\n", 0444);
	put("sys/bus/mtty/x", "", 0444);
	put("sys/bus/mdev/devices/.x", "", 0444);
	put("sys/class/mdev_bus/.x", "", 0444);
	put("run/.x", "", 0444);
	put("etc/mdevctl.d/.x", "", 0444);
	unlink(below("sys/bus/mdev/devices/.x"));
	unlink(below("sys/class/mdev_bus/.x"));
	unlink(below("etc/mdevctl.d/.x"));
	put_link("../../../../bus/mtty", "sys/devices/virtual/mtty/mtty/subsystem");
	put_link("../../devices/virtual/mtty/mtty", "sys/class/mdev_bus/mtty");
}

/* A step that fails is the exit status, and its errno follows as a line of TAP. */
#define STEP(number, call, want)                                                                                       \
	do {                                                                                                           \
		int step_got = (call);                                                                                 \
                                                                                                                       \
		if (step_got != (want)) {                                                                              \
			printf("# %s is %d: %s\n", #call, step_got, said());                                           \
			fflush(stdout);                                                                                \
			return number;                                                                                 \
		}                                                                                                      \
	} while (0)

static const char *said(void)
{
	const struct mdev_error *err = mdev_last_error();

	return err ? mdev_error_get_message(err) : "no error";
}

static int use_host(int has_script)
{
	struct mdev_device *dev = NULL;
	struct mdev_conn *conn = NULL;
	int rc;

	STEP(1, mdev_conn_open(&conn, NULL, 0), 0);
	rc = mdev_conn_define_xml(conn, NAMED, &dev, 0);
	if (has_script) {
		STEP(2, rc, -ENOENT);
		STEP(3, mdev_error_get_code(mdev_last_error()), MDEV_ERROR_CALLOUT);
		STEP(4, strstr(said(), "/" SCRIPT) && strstr(said(), "mount /proc"), 1);
		return 0;
	}
	STEP(5, rc, 0);
	mdev_device_unref(dev);
	STEP(6, mdev_conn_lookup_by_name(conn, "named", &dev), 0);
	STEP(7, mdev_device_undefine(dev, 0), 0);
	mdev_device_unref(dev);
	/* Its record is written, and no kernel makes it. */
	STEP(8, mdev_conn_create_xml(conn, NAMED, &dev, 0), -EIO);
	STEP(9, strstr(said(), "there is no device after") != NULL, 1);
	STEP(10, mdev_conn_lookup_by_name(conn, "named", &dev), -ENODEV);
	mdev_conn_unref(conn);
	return 0;
}

/* As Linux before 6.10 does without CAP_DAC_READ_SEARCH. */
static int refuse_empty_path(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_linkat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4]) + LOW_HALF),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, AT_EMPTY_PATH, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOENT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int enter(int drop)
{
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		return 77;
	if (chroot(root) < 0 || chdir("/") < 0)
		return 77;
	if (access("/proc", F_OK) == 0)
		return 98;
	if (drop && (setgid(USER) < 0 || setuid(USER) < 0 || refuse_empty_path() < 0))
		return 77;
	return 0;
}

static void in_chroot(const char *what, int drop, int has_script)
{
	int status = 0, rc;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		rc = enter(drop);
		_exit(rc ? rc : use_host(has_script));
	}
	T_NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		T_OKF(1, "%s # SKIP this user can neither chroot nor make a user namespace", what);
	else
		T_OKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s (%d)", what, status);
}

/* The folders that the library writes to. */
static void give(uid_t user)
{
	static const char *const folders[] = { "run", "run/libmdev", "etc", "etc/mdevctl.d", "etc/mdevctl.d/mtty", "etc/libmdev" };
	size_t i;

	for (i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		if (chown(below(folders[i]), user, user) < 0 && errno != ENOENT)
			T_NEED(0);
	}
}

int main(void)
{
	char command[1024];

	make_root("api-noproc");
	make_host();
	if (geteuid() == 0) {
		give(USER);
		in_chroot("without a capability", 1, 0);
		snprintf(command, sizeof(command), "rm -rf '%s/run/libmdev' '%s/etc/libmdev'", root, root);
		T_INT(system(command), 0);
		give(0);
	} else {
		T_OKF(1, "without a capability # SKIP only root can make a host of another user");
	}
	in_chroot("with capabilities", 0, 0);
	put_script("callouts/test", "exit 0\n");
	in_chroot("with a call-out", 0, 1);
	remove_root();
	return t_done();
}
