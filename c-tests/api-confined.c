/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host below ?root= with links that lead out of the root: no byte outside the root is
 * written or read, for every result of openat2(2). Each case runs in its own
 * process, since a seccomp filter stays.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

#define UUID "c60cc60c-c60c-c60c-c60c-c60cc60cc601"
#define PARENT "devices/virtual/mtty/mtty"
#define TYPES PARENT "/mdev_supported_types/"

static char base[256];

/* Makes every folder of a path below the base. */
static void folder(const char *path)
{
	char full[PATH_MAX];
	char *slash;

	snprintf(full, sizeof(full), "%s/%s", base, path);
	for (slash = full + strlen(base) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		T_NEED(mkdir(full, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	T_NEED(mkdir(full, 0755) == 0 || errno == EEXIST);
}

static void file(const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *stream;

	snprintf(full, sizeof(full), "%s/%s", base, path);
	stream = fopen(full, "w");
	T_NEED(stream && fputs(text, stream) >= 0 && fclose(stream) == 0);
}

static void lead(const char *target, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", base, path);
	T_NEED(symlink(target, full) == 0);
}

static void type(const char *at)
{
	static const char *const names[] = { "create", "available_instances", "device_api", "name" };
	static const char *const texts[] = { "untouched\n", "4\n", "vfio-pci\n", "Four\n" };
	char path[1024];
	size_t i;

	folder(at);
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", at, names[i]);
		file(path, texts[i]);
	}
}

/* BASE/host is the root. Its type "out" is an absolute link to BASE/out. The same path also exists below the root. */
static void make_host(void)
{
	char inner[512], target[512];

	folder("host/sys/class/mdev_bus");
	folder("host/sys/bus/mdev/devices");
	folder("host/sys/bus/mtty");
	type("host/sys/" TYPES "in");
	type("out");
	snprintf(inner, sizeof(inner), "host%s/out", base);
	type(inner);
	snprintf(target, sizeof(target), "%s/out", base);
	lead(target, "host/sys/" TYPES "out");
	lead("../../../../bus/mtty", "host/sys/" PARENT "/subsystem");
	lead("../../" PARENT, "host/sys/class/mdev_bus/mtty");
}

static int is_untouched(const char *path)
{
	char full[PATH_MAX], text[64];
	ssize_t n;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", base, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text));
	close(fd);
	return n == 10 && !memcmp(text, "untouched\n", 10);
}

static int answer_openat2(int errno_value)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)errno_value),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Exit status: 0, or the number of the failed check. */
static int use_host(int errno_value)
{
	struct mdev_conn *conn = NULL;
	struct mdev_device *parent = NULL, *dev = NULL;
	const struct mdev_type *found = NULL;
	char uri[512], xml[512];

	if (errno_value && answer_openat2(errno_value) < 0)
		return 1;
	snprintf(uri, sizeof(uri), "mdev:///system?root=%s/host", base);
	if (mdev_conn_open(&conn, uri, 0) < 0)
		return 2;
	/* Files below the root are found, also through links within the root. */
	if (mdev_conn_lookup_by_name(conn, "mtty", &parent) < 0)
		return 3;
	if (mdev_device_find_type(parent, "in", &found) < 0)
		return 4;
	snprintf(xml, sizeof(xml), UUID_XML("mtty", "out", UUID));
	if (mdev_conn_create_xml(conn, xml, &dev, MDEV_CREATE_NO_CALLOUTS) >= 0)
		return 5;
	if (!is_untouched("out/create"))
		return 6;
	mdev_device_unref(parent);
	mdev_conn_unref(conn);
	return 0;
}

/* The folders in which the library makes files must not be links. */
static void refuse_linked(const char *link)
{
	struct mdev_conn *conn = NULL;
	char uri[512], path[512], shown[1024];

	snprintf(path, sizeof(path), "%s/host/%s", base, link);
	lead("/out", path + strlen(base) + 1);
	snprintf(uri, sizeof(uri), "mdev:///system?root=%s/host", base);
	T_INT(mdev_conn_open(&conn, uri, 0), -ELOOP);
	snprintf(shown, sizeof(shown), "%s is a symbolic link, which may lead out of the root; replace it by a folder", path);
	T_STR(mdev_error_get_message(mdev_last_error()), shown);
	T_STR(mdev_error_get_path(mdev_last_error()), path);
	T_NEED(unlink(path) == 0);
	T_INT(mdev_conn_open(&conn, uri, 0), 0);
	mdev_conn_unref(conn);
}

static int in_child(int errno_value)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(use_host(errno_value));
	T_NEED(pid > 0);
	T_NEED(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The file below the root answers EPERM to a write, which is not a result of openat2. False if such a file cannot be made. */
static int set_immutable(int on)
{
	char path[1024];
	int fd, flags = 0, rc;

	snprintf(path, sizeof(path), "%s/host%s/out/create", base, base);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	rc = ioctl(fd, FS_IOC_GETFLAGS, &flags);
	if (!rc) {
		flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
		rc = ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
	return !rc;
}

int main(void)
{
	char command[512];

	snprintf(base, sizeof(base), "%s/mdev-confined.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	T_NEED(mkdtemp(base) != NULL);
	make_host();

	T_INT(in_child(0), 0);
	T_INT(in_child(ENOSYS), 0);
	T_INT(in_child(EPERM), 0);
	if (set_immutable(1)) {
		T_INT(in_child(0), 0);
		T_OK(set_immutable(0));
	} else {
		printf("ok %d - an immutable file # SKIP this file system or user cannot make one\n", ++t_passed + t_failed);
	}
	T_OK(is_untouched("out/create"));
	folder("host/run/libmdev");
	folder("host/etc");
	refuse_linked("run/libmdev/devices");
	refuse_linked("etc/mdevctl.d");
	refuse_linked("etc/libmdev");

	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	T_INT(system(command), 0);
	return t_done();
}
