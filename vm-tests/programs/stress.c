// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * stress URI FOLDER PROCESSES DEVICES TYPE PARENT...: each of PROCESSES
 * processes creates and destroys DEVICES devices, one after another, with
 * parameters of its own, in turn on each parent and in turn with a group that
 * it names and a group that the library allocates.
 *
 * Checked on each device: it has the parameters of its creator, not
 * another's; no other device has the group that the library allocated.
 * FOLDER, which is empty, holds a file for each group in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmdev.h>

static const char *folder, *type;
static char **parents;
static int nparents;

/* Prints the fault. Returns false: a process ends after its first fault. */
static bool fault(int process, int n, const char *what)
{
	const struct mdev_error *err = mdev_last_error();

	fprintf(stderr, "process %d, device %d: %s: %s\n", process, n, what, err ? mdev_error_get_message(err) : "-");
	return false;
}

/* The file that exists while a device has the group. */
static bool note_group(unsigned int group, bool taken)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%u", folder, group);
	if (!taken)
		return unlink(path) == 0;
	fd = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static struct mdev_device *create(struct mdev_conn *conn, const char *xml, bool found)
{
	struct mdev_device **list, *dev = NULL;

	if (!found)
		return mdev_conn_create_xml(conn, xml, &dev, 0) < 0 ? NULL : dev;
	if (mdev_conn_create_group_xml(conn, &xml, 1, &list, 0) < 0)
		return NULL;
	dev = mdev_device_ref(list[0]);
	mdev_device_list_free(list);
	return dev;
}

static bool check(struct mdev_device *dev, int process, int n, const char *params, bool found, unsigned int *group)
{
	char *seen = NULL;
	bool same;

	if (mdev_device_get_attr(dev, "params", &seen) < 0)
		return fault(process, n, "the parameters cannot be read");
	same = strcmp(seen, params) == 0;
	if (!same)
		fprintf(stderr, "process %d, device %d: expected %s, the device has %s\n", process, n, params, seen);
	free(seen);
	if (!same)
		return false;
	if (mdev_device_get_group(dev, group) < 0)
		return fault(process, n, "it has no group");
	if (found && !note_group(*group, true)) {
		fprintf(stderr, "process %d, device %d: group %u is another's\n", process, n, *group);
		return false;
	}
	return true;
}

static bool one(struct mdev_conn *conn, int process, int n)
{
	/* Named groups are far above allocated groups. */
	unsigned int group = 1000000u + (unsigned int)process;
	bool found = n % 2, good;
	char xml[1024], params[64], named[64] = "";
	struct mdev_device *dev;

	snprintf(params, sizeof(params), "p=%d-%d", process, n);
	if (!found)
		snprintf(named, sizeof(named), "<group>%u</group>", group);
	snprintf(xml, sizeof(xml),
		 "<device><parent>%s</parent><capability type='mdev'><type id='%s'/>%s<params>%s</params></capability></device>",
		 parents[(process + n) % nparents], type, named, params);
	dev = create(conn, xml, found);
	if (!dev)
		return fault(process, n, "create");
	good = check(dev, process, n, params, found, &group);
	if (good && found && !note_group(group, false))
		good = fault(process, n, "the file of its group no longer exists");
	if (mdev_device_destroy(dev, 0) < 0)
		good = fault(process, n, "destroy");
	mdev_device_unref(dev);
	return good;
}

static int child(const char *uri, int process, int devices)
{
	struct mdev_conn *conn = NULL;
	int n;

	if (mdev_conn_open(&conn, uri, 0) < 0) {
		fault(process, 0, "open");
		return 1;
	}
	for (n = 0; n < devices; n++)
		if (!one(conn, process, n))
			return 1;
	mdev_conn_unref(conn);
	return 0;
}

int main(int argc, char **argv)
{
	int processes, devices, i, status, failed = 0;

	if (argc < 7) {
		fprintf(stderr, "usage: stress URI FOLDER PROCESSES DEVICES TYPE PARENT...\n");
		return 2;
	}
	folder = argv[2];
	processes = atoi(argv[3]);
	devices = atoi(argv[4]);
	type = argv[5];
	parents = argv + 6;
	nparents = argc - 6;
	for (i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 2;
		}
		if (pid == 0)
			exit(child(argv[1], i, devices));
	}
	while (wait(&status) > 0)
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	printf("%d processes x %d devices, %d processes failed\n", processes, devices, failed);
	return failed ? 1 : 0;
}
