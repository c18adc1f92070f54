// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * killed URI PARENT TYPE ATTRIBUTE MORE [FILE]: kills a process with SIGKILL
 * before each system call of a create, one run for each, and then of a destroy.
 * ATTRIBUTE is where the device shows its parameters, MORE are
 * elements for its request. FILE is of layouts where a shell can give a device
 * away behind the library's back: the file that takes the type, of the VF that
 * a create chooses when all are free.
 *
 * After each run: at most the killed one's device is there, and that one is
 * whole, listed, and can be destroyed; when it is gone, no other can be reached
 * by its UUID; the next create succeeds at once and has its own parameters, or
 * none; no record of /run/libmdev is left. One exception: the record of a killed
 * creator that asked for a group keeps the group for ten seconds, since the
 * device may still appear. A create after that time removes the record.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmdev.h>

#define VICTIM "c60cc60c-0000-4222-8333-444444444441"
#define NEXT "c60cc60c-0000-4222-8333-444444444442"
#define FACTS "/run/libmdev/devices"

/* Fewer system calls than this have not been counted well. */
#define POINTS_MIN 40

/* A device of a killed creator may appear this long after its record was written; a little more. */
#define LATE 11

static const char *uri, *parent, *type, *attribute, *more, *file;
static char victim[1024];

/* Where it happens, for messages. */
static const char *action;
static int point, faults, left, kept;

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
static void fault(const char *fmt, ...)
{
	const struct mdev_error *err = mdev_last_error();
	va_list ap;

	/* The first few are shown, all are counted. */
	if (++faults > 5)
		return;
	printf("%s, killed at %d: ", action, point);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (%s)\n", err ? mdev_error_get_message(err) : "no error");
}

static struct mdev_conn *open_conn(void)
{
	struct mdev_conn *conn = NULL;

	if (mdev_conn_open(&conn, uri, 0) < 0)
		fault("open");
	return conn;
}

static void request(char *xml, size_t size, const char *uuid, const char *params, const char *elements, const char *name)
{
	snprintf(xml, size,
		 "<device><name>%s</name><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid>"
		 "<params>%s</params>%s</capability></device>",
		 name, parent, type, uuid, params, elements);
}

/* In a process of its own: what gets killed. */
static int create_victim(void)
{
	struct mdev_conn *conn = NULL;
	struct mdev_device *dev = NULL;

	if (mdev_conn_open(&conn, uri, 0) < 0 || mdev_conn_create_xml(conn, victim, &dev, 0) < 0)
		return 1;
	mdev_device_unref(dev);
	mdev_conn_unref(conn);
	return 0;
}

static int destroy_victim(void)
{
	struct mdev_conn *conn = NULL;

	if (mdev_conn_open(&conn, uri, 0) < 0 || mdev_conn_destroy_uuid(conn, VICTIM, 0) < 0)
		return 1;
	mdev_conn_unref(conn);
	return 0;
}

static void has_params(struct mdev_device *dev, const char *wanted)
{
	char *seen = NULL;

	if (mdev_device_get_attr(dev, attribute, &seen) < 0)
		fault("the parameters cannot be read");
	else if (strcmp(seen, wanted))
		fault("wanted the parameters '%s', saw '%s'", wanted, seen);
	free(seen);
}

static int devices(struct mdev_conn *conn)
{
	struct mdev_device **list = NULL;
	int n = mdev_conn_list(conn, &list, MDEV_LIST_DEVICES);

	if (n >= 0)
		mdev_device_list_free(list);
	return n;
}

/* The device of the killed creator does not exist, or is complete. True: it existed. */
static bool look_at_victim(struct mdev_conn *conn)
{
	struct mdev_device *dev = NULL;
	const char *name = NULL, *id = NULL;
	unsigned int group;
	int n = devices(conn), rc = mdev_conn_lookup_by_uuid(conn, VICTIM, &dev);

	if (rc < 0) {
		if (rc != -ENODEV)
			fault("the lookup of its device");
		if (n != 0)
			fault("there are %d devices, and none is its own", n);
		return false;
	}
	left++;
	if (n != 1)
		fault("there are %d devices", n);
	if (mdev_device_get_name(dev, &name) < 0 || strcmp(name, "victim"))
		fault("its device has the name %s", name ? name : "(none)");
	if (mdev_device_get_type_id(dev, &id) < 0 || strcmp(id, type))
		fault("its device has the type %s", id ? id : "(none)");
	if (mdev_device_get_iommu_group(dev, &group) < 0)
		fault("its device has no IOMMU group");
	has_params(dev, "mine=1");
	mdev_device_unref(dev);
	if (mdev_conn_destroy_uuid(conn, VICTIM, 0) < 0)
		fault("its device cannot be destroyed");
	return true;
}

/* As a shell's echo does it, which truncates. */
static bool put(const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

/* Somebody else takes the VF, for the same type: that device is none of the victim's. */
static void change_hands(struct mdev_conn *conn)
{
	char seen[64] = "";
	FILE *f;

	if (!put(type)) {
		fault("%s does not take type %s", file, type);
		return;
	}
	if (mdev_conn_destroy_uuid(conn, VICTIM, 0) != -ENODEV)
		fault("a stale destroy was not refused");
	f = fopen(file, "r");
	if (!f || fscanf(f, "%63s", seen) != 1 || strcmp(seen, type))
		fault("a stale destroy changed %s to '%s'", file, seen);
	if (f)
		fclose(f);
	if (devices(conn) != 1)
		fault("the device that another made is not listed");
	if (!put("0"))
		fault("%s cannot be cleared", file);
}

/* Whoever comes next. */
static void serve_next(struct mdev_conn *conn, const char *params)
{
	struct mdev_device *dev = NULL;
	char xml[1024];

	request(xml, sizeof(xml), NEXT, params, "", "next");
	if (mdev_conn_create_xml(conn, xml, &dev, 0) < 0) {
		fault("the next one is not served");
		return;
	}
	has_params(dev, params);
	if (mdev_device_destroy(dev, 0) < 0)
		fault("the next one's device cannot be destroyed");
	mdev_device_unref(dev);
}

static void no_facts(void)
{
	struct dirent *entry;
	DIR *dir = opendir(FACTS);

	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
			fault("%s is left in %s", entry->d_name, FACTS);
	closedir(dir);
}

/* Sets the time of the killed creator's record back, so that the record no longer keeps its group. */
static void age_record(void)
{
	struct timespec times[2];
	struct stat st;

	if (stat(FACTS "/" VICTIM, &st) < 0)
		return;
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	times[1].tv_sec -= LATE;
	if (utimensat(AT_FDCWD, FACTS "/" VICTIM, times, 0) < 0)
		fault("the time of its record cannot be set");
	kept++;
}

static void look(void)
{
	struct mdev_conn *conn = open_conn();
	bool was_there;

	if (!conn)
		return;
	/* None may wait for the dead. */
	alarm(30);
	was_there = look_at_victim(conn);
	if (file)
		change_hands(conn);
	serve_next(conn, "theirs=2");
	if (*more && !was_there)
		age_record();
	serve_next(conn, "");
	if (devices(conn) != 0)
		fault("devices are left");
	no_facts();
	alarm(0);
	mdev_conn_unref(conn);
}

static pid_t start(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(2);
		raise(SIGSTOP);
		_exit(what());
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) {
		perror("start");
		exit(2);
	}
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	return pid;
}

/* Kills at the N-th stop: before a system call when N is odd, after it when it is even. False: it had ended by then. */
static bool killed_at(int n, int (*what)(void))
{
	pid_t pid = start(what);
	int status, sig = 0;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) < 0 || waitpid(pid, &status, 0) < 0) {
			perror("ptrace");
			exit(2);
		}
		if (!WIFSTOPPED(status)) {
			if (!WIFEXITED(status) || WEXITSTATUS(status))
				fault("not killed, it failed");
			return false;
		}
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (!sig && --n <= 0) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return true;
		}
	}
}

/*
 * Kills before every system call in turn, which is as good as after the one
 * before it: nothing that anybody could see happens between the two.
 */
static void every_point(const char *name, int (*what)(void), bool on_device)
{
	bool killed = true;

	action = name;
	left = 0;
	kept = 0;
	for (point = 1; killed; point += 2) {
		if (on_device && create_victim())
			fault("there is no device to destroy");
		killed = killed_at(point, what);
		look();
	}
	/* The last one was not killed. */
	point = (point - 3) / 2;
	printf("%s: killed at %d points, the device was there after %d, a group was kept after %d\n", name, point,
	       on_device ? left : left - 1, kept);
	if (point < POINTS_MIN)
		fault("that is too few");
}

int main(int argc, char **argv)
{
	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: killed URI PARENT TYPE ATTRIBUTE MORE [FILE]\n");
		return 2;
	}
	uri = argv[1];
	parent = argv[2];
	type = argv[3];
	attribute = argv[4];
	more = argv[5];
	file = argv[6];
	request(victim, sizeof(victim), VICTIM, "mine=1", more, "victim");
	setvbuf(stdout, NULL, _IOLBF, 0);
	every_point("create", create_victim, false);
	every_point("destroy", destroy_victim, true);
	printf("%d faults\n", faults);
	return faults ? 1 : 0;
}
