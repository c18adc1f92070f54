// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fill URI FOLDER PROCESSES ROUNDS PARENT TYPE:CAPACITY...: PROCESSES processes
 * at once create devices of one type until no instance is left;
 * then all destroy their devices. One round after another, of each type in
 * turn.
 *
 * Checked in each round: exactly the capacity was created; each refused create
 * was ENOSPC with a message; no two devices have the same path. FOLDER,
 * which is empty, holds a file for each path in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmdev.h>

/* More devices than one process can create. */
#define DEVICES_MAX 64

/* Shared by the processes. */
struct shared {
	pthread_barrier_t all;
	pthread_mutex_t lock;
	int made;
	int refused;
};

static struct shared *shared;
static const char *folder, *parent;
static int processes;

/* Prints the fault. Returns false: a process ends after its first fault. */
static bool fault(int process, int round, const char *what)
{
	const struct mdev_error *err = mdev_last_error();

	fprintf(stderr, "process %d, round %d: %s: %s\n", process, round, what, err ? mdev_error_get_message(err) : "-");
	return false;
}

static void count(int *number)
{
	pthread_mutex_lock(&shared->lock);
	(*number)++;
	pthread_mutex_unlock(&shared->lock);
}

/* The file that exists while a device has the path. */
static bool note_path(struct mdev_device *dev, bool taken)
{
	const char *path = NULL, *base;
	char file[512];
	int fd;

	if (mdev_device_get_syspath(dev, &path) < 0)
		return false;
	base = strrchr(path, '/');
	snprintf(file, sizeof(file), "%s%s", folder, base ? base : "/");
	if (!taken)
		return unlink(file) == 0;
	fd = open(file, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Creates devices until no instance is left. Returns their number, or -1. */
static int take(struct mdev_conn *conn, int process, int round, const char *type, struct mdev_device **devs)
{
	char xml[512];
	int n, rc;

	snprintf(xml, sizeof(xml),
		 "<device><parent>%s</parent><capability type='mdev'><type id='%s'/></capability></device>", parent, type);
	for (n = 0; n < DEVICES_MAX; n++) {
		const struct mdev_error *err;

		rc = mdev_conn_create_xml(conn, xml, &devs[n], 0);
		if (rc < 0) {
			err = mdev_last_error();
			count(&shared->refused);
			if (rc != -ENOSPC || !err || strlen(mdev_error_get_message(err)) < 20) {
				fault(process, round, "refused otherwise than with ENOSPC and a sentence");
				return -1;
			}
			return n;
		}
		count(&shared->made);
		if (!note_path(devs[n], true)) {
			fault(process, round, "its path is another's");
			return -1;
		}
	}
	fault(process, round, "there is no end");
	return -1;
}

/* Some by their handle, some by their UUID. */
static bool give_back(struct mdev_conn *conn, struct mdev_device *dev, int n)
{
	const char *uuid = NULL;
	int rc = -ENODATA;

	if (!note_path(dev, false))
		return false;
	if (n % 2)
		rc = mdev_device_destroy(dev, 0);
	else if (mdev_device_get_uuid(dev, &uuid) >= 0)
		rc = mdev_conn_destroy_uuid(conn, uuid, 0);
	mdev_device_unref(dev);
	return rc >= 0;
}

static void meet(void)
{
	pthread_barrier_wait(&shared->all);
}

static bool one_round(struct mdev_conn *conn, int process, int round, const char *type, int capacity)
{
	struct mdev_device *devs[DEVICES_MAX];
	int n, i;

	meet();
	n = take(conn, process, round, type, devs);
	if (n < 0)
		return false;
	meet();
	if (process == 0 && (shared->made != capacity || shared->refused != processes)) {
		fprintf(stderr, "round %d: %d devices of type %s, expected %d; %d were refused\n", round, shared->made, type,
			capacity, shared->refused);
		return false;
	}
	meet();
	for (i = 0; i < n; i++)
		if (!give_back(conn, devs[i], process + i))
			return fault(process, round, "destroy");
	meet();
	if (process == 0)
		shared->made = shared->refused = 0;
	return true;
}

static int child(const char *uri, int process, int rounds, int types, char **type)
{
	struct mdev_conn *conn = NULL;
	int round;

	if (mdev_conn_open(&conn, uri, 0) < 0) {
		fault(process, 0, "open");
		return 1;
	}
	for (round = 0; round < rounds; round++) {
		char id[64] = "";
		int capacity = 0;

		if (sscanf(type[round % types], "%63[^:]:%d", id, &capacity) != 2)
			return 2;
		if (!one_round(conn, process, round, id, capacity))
			return 1;
	}
	mdev_conn_unref(conn);
	return 0;
}

static int share(void)
{
	pthread_barrierattr_t barrier;
	pthread_mutexattr_t mutex;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -1;
	pthread_barrierattr_init(&barrier);
	pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &mutex);
	return pthread_barrier_init(&shared->all, &barrier, (unsigned int)processes);
}

/* The other processes would wait for a failed process without end: kill them. */
static int reap(const pid_t *pids)
{
	int i, status, failed = 0;

	while (wait(&status) > 0) {
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		if (!failed++)
			for (i = 0; i < processes; i++)
				kill(pids[i], SIGKILL);
	}
	return failed;
}

int main(int argc, char **argv)
{
	pid_t pids[256];
	int i, failed;

	processes = argc > 6 ? atoi(argv[3]) : 0;
	if (processes < 1 || processes > (int)(sizeof(pids) / sizeof(pids[0]))) {
		fprintf(stderr, "usage: fill URI FOLDER PROCESSES ROUNDS PARENT TYPE:CAPACITY...\n");
		return 2;
	}
	folder = argv[2];
	parent = argv[5];
	if (share()) {
		perror("share");
		return 2;
	}
	for (i = 0; i < processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0) {
			perror("fork");
			return 2;
		}
		if (pids[i] == 0)
			exit(child(argv[1], i, atoi(argv[4]), argc - 6, argv + 6));
	}
	failed = reap(pids);
	printf("%d processes x %d rounds, %d processes failed\n", processes, atoi(argv[4]), failed);
	return failed ? 1 : 0;
}
