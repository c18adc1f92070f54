/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * events COUNT ROUNDS
 *   CPU time of a monitor while another process sends COUNT uevents of the
 *   network device lo, as a host of containers does: with the library's filter
 *   for uevents and without it, in turn. Prints the medians and their ratio.
 *   Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmdev.h>

#define UEVENT "/sys/class/net/lo/uevent"
#define ROUNDS_MAX 1000

static int without_filter;

/* Replaces setsockopt() for the library, which works without a filter if it cannot attach one. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	if (without_filter && level == SOL_SOCKET && name == SO_ATTACH_FILTER) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}

static void fail(const char *what)
{
	const struct mdev_error *err = mdev_last_error();

	fprintf(stderr, "events: %s: %s\n", what, err ? mdev_error_get_message(err) : strerror(errno));
	exit(1);
}

static double cpu_us(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u))
		fail("getrusage");
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void send_uevents(long count)
{
	int fd = open(UEVENT, O_WRONLY);

	while (fd >= 0 && count-- > 0)
		if (write(fd, "change\n", 7) != 7)
			_exit(1);
	_exit(fd < 0);
}

static void receive_all(struct mdev_monitor *mon)
{
	struct mdev_event *ev = NULL;
	int rc;

	while ((rc = mdev_monitor_receive(mon, &ev)) > 0) {
		if (mdev_event_get_type(ev) == MDEV_EVENT_OVERRUN)
			fail("uevents were lost");
		mdev_event_unref(ev);
	}
	if (rc < 0)
		fail("receive");
}

/* CPU time for one round, in us. */
static double measure(struct mdev_conn *conn, long count)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct mdev_monitor *mon = NULL;
	int ends[2], status;
	double start;
	pid_t child;

	if (mdev_monitor_new(&mon, conn, 0) || pipe(ends))
		fail("monitor");
	receive_all(mon);
	child = fork();
	if (child < 0)
		fail("fork");
	if (!child)
		send_uevents(count);
	close(ends[1]);
	fds[0].fd = mdev_monitor_get_fd(mon);
	fds[1].fd = ends[0];
	start = cpu_us();
	do {
		/* The pipe is closed when the child ends. */
		if (poll(fds, 2, -1) < 0)
			fail("poll");
		if (fds[0].revents)
			receive_all(mon);
	} while (fds[0].revents || !fds[1].revents);
	start = cpu_us() - start;
	close(ends[0]);
	if (waitpid(child, &status, 0) != child || status)
		fail("cannot write " UEVENT);
	mdev_monitor_unref(mon);
	return start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double took[2][ROUNDS_MAX];
	struct mdev_conn *conn = NULL;
	long count = argc > 1 ? atol(argv[1]) : 0;
	int rounds = argc > 2 ? atoi(argv[2]) : 0, i;

	if (count < 1 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: events COUNT ROUNDS (1 to %d)\n", ROUNDS_MAX);
		return 2;
	}
	if (mdev_conn_open(&conn, NULL, 0))
		fail("open");
	for (i = 0; i < 2 * rounds; i++) {
		without_filter = i % 2;
		took[i % 2][i / 2] = measure(conn, count);
	}
	mdev_conn_unref(conn);
	for (i = 0; i < 2; i++)
		qsort(took[i], (size_t)rounds, sizeof(took[i][0]), by_value);
	printf("CPU time for %ld uevents of others, median of %d: %.0f us with the filter, %.0f us without, ratio %.3f\n",
	       count, rounds, took[0][rounds / 2], took[1][rounds / 2], took[0][rounds / 2] / took[1][rounds / 2]);
	return 0;
}
