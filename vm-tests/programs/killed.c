// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * killed [-e N] [-f FILE] [-g | -l PARAMETER=VALUE] URI PARENT TYPE ATTRIBUTE MORE:
 * kills a process with SIGKILL before each system call of a create, one run for
 * each, and then of a destroy. ATTRIBUTE is the file in which the device shows its
 * parameters, MORE are elements for its request.
 *
 * -e  only before every Nth system call.
 * -f  for layouts where a shell can replace a device without the library: the
 *     file for the type, of the VF that a create chooses when
 *     all are free.
 * -g  of a create of three devices in one group instead, without the calls that
 *     follow a call which only reads: the state is the same before and after it.
 * -l  only of a create, while the driver returns wrong results: this parameter of the test
 *     module has this value then, and is 0 after the kill. The create may fail:
 *     a device that is left then is named in the error.
 *
 * After each run: at most the device of the killed process exists. It is
 * complete, listed, and can be destroyed; then its UUID finds no other
 * device; the next create succeeds at once and has its own parameters, or
 * none; no record of /run/libmdev is left. One exception: the record of a killed
 * creator that asked for a group keeps the group for two minutes, since the
 * device may still appear. A create after that time removes the record.
 *
 * killed-group.c has the checks after a kill of the creator of a group.
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../c-tests/traced.h"
#include "killed.h"

#define VICTIM "c60cc60c-0000-4222-8333-444444444441"
#define NEXT "c60cc60c-0000-4222-8333-444444444442"
#define PARAMETERS "/sys/module/mdev_lab/parameters"

/* Fewer system calls than this have not been counted well. */
#define POINTS_MIN 40

/*
 * Seconds after the time of its record within which a device of a killed
 * creator may appear: LATE of crates/mdev/src/store/record.rs, and 1.
 */
#define LATE 121

static const char *uri, *parent, *type, *attribute, *more, *file;
static char victim[1024];

/* A parameter of the test module and its value. */
static char lie[64];
static const char *lie_value;

/* The process is killed only at every Nth point. */
static int every = 1;

/* Where it happens, for messages. */
static const char *action;
int point;
static int faults, left, kept;

void fault(const char *fmt, ...)
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

struct mdev_conn *open_conn(void)
{
	struct mdev_conn *conn = NULL;

	if (mdev_conn_open(&conn, uri, 0) < 0)
		fault("open");
	return conn;
}

void request(char *xml, size_t size, const char *uuid, const char *params, const char *elements, const char *name)
{
	snprintf(xml, size,
		 "<device><name>%s</name><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid>"
		 "<params>%s</params>%s</capability></device>",
		 name, parent, type, uuid, params, elements);
}

/* A create that failed because the driver lies: the device is not there, or the error names it. */
static bool is_honest(struct mdev_conn *conn)
{
	char message[1024];
	struct mdev_device *dev = NULL;

	snprintf(message, sizeof(message), "%s", mdev_error_get_message(mdev_last_error()));
	if (mdev_conn_lookup_by_uuid(conn, VICTIM, &dev) == -ENODEV || strstr(message, VICTIM))
		return true;
	printf("the device is there, and not named: %s\n", message);
	return false;
}

/* Runs in a separate process, which is killed. */
static int create_victim(void)
{
	struct mdev_conn *conn = NULL;
	struct mdev_device *dev = NULL;

	if (mdev_conn_open(&conn, uri, 0) < 0)
		return 1;
	if (mdev_conn_create_xml(conn, victim, &dev, 0) < 0)
		return !*lie || !is_honest(conn);
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

void has_params(struct mdev_device *dev, const char *wanted)
{
	char *seen = NULL;

	if (mdev_device_get_attr(dev, attribute, &seen) < 0)
		fault("the parameters cannot be read");
	else if (strcmp(seen, wanted))
		fault("expected the parameters '%s', found '%s'", wanted, seen);
	free(seen);
}

int devices(struct mdev_conn *conn)
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

/* As a shell's echo, which truncates. */
static bool put(const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

/* Another program sets the same type on the VF: the record of the victim must not match that device. */
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
		fault("the device of another program is not listed");
	if (!put("0"))
		fault("%s cannot be cleared", file);
}

/* The next creator. */
void serve_next(struct mdev_conn *conn, const char *params)
{
	struct mdev_device *dev = NULL;
	char xml[1024];

	request(xml, sizeof(xml), NEXT, params, "", "next");
	if (mdev_conn_create_xml(conn, xml, &dev, 0) < 0) {
		fault("the next create fails");
		return;
	}
	has_params(dev, params);
	if (mdev_device_destroy(dev, 0) < 0)
		fault("the device of the next create cannot be destroyed");
	mdev_device_unref(dev);
}

void no_files(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
			fault("%s is left in %s", entry->d_name, path);
	closedir(dir);
}

/* Sets the time of a killed creator's record back, so that the record no longer keeps its group. */
void age_record(const char *uuid)
{
	struct timespec times[2];
	struct stat st;
	char path[256];

	snprintf(path, sizeof(path), FACTS "/%s", uuid);
	if (stat(path, &st) < 0)
		return;
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	times[1].tv_sec -= LATE;
	if (utimensat(AT_FDCWD, path, times, 0) < 0)
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
		age_record(VICTIM);
	serve_next(conn, "");
	if (devices(conn) != 0)
		fault("devices are left");
	no_files(FACTS);
	alarm(0);
	mdev_conn_unref(conn);
}

static void driver_lies(bool now)
{
	char path[128];
	FILE *f;

	if (!*lie)
		return;
	snprintf(path, sizeof(path), PARAMETERS "/%s", lie);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%s\n", now ? lie_value : "0") < 0 || fclose(f)) {
		perror(path);
		exit(2);
	}
}

/* Runs in a traced child: calls the function to which the argument points. */
static int call(const void *function)
{
	return (*(int (*const *)(void))function)();
}

/* Whether the system call at which the process has stopped changes nothing that another process can see. */
static bool only_reads(pid_t pid)
{
	static const int calls[] = {
		SYS_read, SYS_pread64, SYS_readlink, SYS_readlinkat, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_statfs,
		SYS_fstatfs, SYS_getdents64, SYS_lseek, SYS_faccessat, SYS_mmap, SYS_munmap, SYS_mprotect,
		SYS_madvise, SYS_brk, SYS_poll, SYS_ppoll, SYS_futex, SYS_getrandom, SYS_clock_gettime, SYS_getpid,
		SYS_gettid, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_prlimit64, SYS_uname,
	};
	struct __ptrace_syscall_info info;
	long flags;
	size_t i;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) < 0 || info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (info.entry.nr == (unsigned long)calls[i])
			return true;
	if (info.entry.nr != SYS_openat && info.entry.nr != SYS_openat2)
		return false;
	flags = (long)info.entry.args[2];
	if (info.entry.nr == SYS_openat2)
		flags = ptrace(PTRACE_PEEKDATA, pid, (void *)flags, NULL);
	return !(flags & (O_WRONLY | O_RDWR | O_CREAT));
}

/*
 * Kills at the N-th stop: before a system call when N is odd, after it when it is even; if "sparse", at the first stop from there
 * on before a system call that follows a call which does more than read. False if the process ended before.
 */
static bool killed_at(int *n, int (*what)(void), bool sparse)
{
	pid_t pid = traced_start(call, &what);
	bool same = false;	/* as at the stop before */
	int status, rc, stop = 0;

	while (pid > 0 && (rc = traced_next(pid, &status)) == 1) {
		if (++stop >= *n && !(sparse && (same || stop % 2 == 0))) {
			*n = stop;
			traced_kill(pid);
			return true;
		}
		if (sparse && stop % 2)
			same = only_reads(pid);
	}
	if (pid < 0 || rc < 0) {
		perror("ptrace");
		exit(2);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fault("not killed, it failed");
	return false;
}

/*
 * Kills before every system call in turn. This equals a kill after the call
 * before it: nothing that another process can see happens between the two. Of
 * several devices, a call that follows a call which only reads is left out.
 */
static void every_point(const char *name, int (*what)(void), bool on_device, void (*look_after)(void))
{
	bool killed = true;
	int kills = 0;

	action = name;
	left = 0;
	kept = 0;
	for (point = 1; killed; point += 2 * every, kills++) {
		if (on_device && create_victim())
			fault("there is no device to destroy");
		driver_lies(true);
		killed = killed_at(&point, what, look_after == look_at_group);
		driver_lies(false);
		look_after();
	}
	/* The last process was not killed. */
	kills--;
	printf("%s: killed at %d points, ", name, kills);
	if (look_after == look)
		printf("the device was there after %d, ", on_device || *lie ? left : left - 1);
	else
		print_groups();
	printf("%d records kept a group\n", kept);
	if (kills < POINTS_MIN / every - 1)
		fault("that is too few");
}

int main(int argc, char **argv)
{
	bool of_group = false;
	int option;

	while ((option = getopt(argc, argv, "e:f:gl:")) != -1) {
		if (option == 'e' && atoi(optarg) > 0)
			every = atoi(optarg);
		else if (option == 'f')
			file = optarg;
		else if (option == 'g')
			of_group = true;
		else if (option == 'l' && sscanf(optarg, "%63[a-z_]=", lie) == 1 && strchr(optarg, '='))
			lie_value = strchr(optarg, '=') + 1;
		else
			return 2;
	}
	if (argc - optind != 5) {
		fprintf(stderr, "usage: killed [-e N] [-f FILE] [-g | -l PARAMETER=VALUE] URI PARENT TYPE ATTRIBUTE MORE\n");
		return 2;
	}
	argv += optind;
	uri = argv[0];
	parent = argv[1];
	type = argv[2];
	attribute = argv[3];
	more = argv[4];
	request(victim, sizeof(victim), VICTIM, "mine=1", more, "victim");
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (of_group) {
		every_point("create of a group", create_group, false, look_at_group);
	} else {
		every_point("create", create_victim, false, look);
		if (!*lie)
			every_point("destroy", destroy_victim, true, look);
	}
	printf("%d faults\n", faults);
	return faults ? 1 : 0;
}
