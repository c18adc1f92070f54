// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * watch URI order N [stamps]
 *   polls and expects that N devices are created and removed, one after the other, in the order of
 *   their numbers; no event is lost, no event is repeated
 * watch URI late N
 *   the same, but receives no event before a line arrives on standard input
 * watch URI overrun BYTES
 *   has a buffer of BYTES bytes; receives no event before a line arrives; then gets
 *   an overrun, lists, and must agree with a second list when the device with
 *   the last number is created
 *
 * The number of a device is in the last part of its UUID; other devices
 * are ignored. Prints "ready" when the first device may be created.
 * With stamps, a thread records when it gets the kernel's own event, and the
 * time from there to the event of the library is printed.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/netlink.h>

#include <libmdev.h>

#define PREFIX "5eed0000-0000-4000-8000-"
#define LAST 0xffffffffffffL
#define LIMIT_MS (120 * 1000)
#define STAMPS 4096
#define NODES 4096

/* The time of the kernel's event of each kind, in ns; 0: not yet. */
static atomic_llong came[2][STAMPS];
static long long took[2][STAMPS];
static int n_took[2];

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int fail(const char *what)
{
	const struct mdev_error *err = mdev_last_error();

	printf("FAILED: %s%s%s\n", what, err ? ": " : "", err ? mdev_error_get_message(err) : "");
	exit(1);
}

/* The number of a device, from a UUID or a path that ends with a UUID; -1: not a device of this test. */
static long number(const char *text)
{
	const char *at = text ? strstr(text, PREFIX) : NULL;

	return at ? strtol(at + strlen(PREFIX), NULL, 16) : -1;
}

static int kernel_socket(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int room = 1 << 24, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("no socket for the kernel's events");
	return fd;
}

static void *stamp(void *data)
{
	char message[8192];
	ssize_t size;
	long n;
	int deleted;

	while ((size = recv(*(int *)data, message, sizeof(message) - 1, 0)) > 0) {
		message[size] = '\0';
		deleted = !strncmp(message, "remove@", 7);
		if ((!deleted && strncmp(message, "bind@", 5)) || strstr(message, "/vfio-dev/"))
			continue;
		n = number(message);
		if (n >= 0 && n < STAMPS)
			atomic_store(&came[deleted][n], now());
	}
	return NULL;
}

static void note_time(int deleted, long n)
{
	long long at = n < STAMPS ? atomic_load(&came[deleted][n]) : 0;

	if (at)
		took[deleted][n_took[deleted]++] = now() - at;
}

static int by_value(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;

	return (x > y) - (x < y);
}

static void print_times(const char *what, long long *t, int n)
{
	qsort(t, (size_t)n, sizeof(*t), by_value);
	if (n)
		printf("%s: from the kernel's event to the library's, of %d: median %.0f us, 99%% %.0f us, longest %.0f us\n", what,
		       n, (double)t[n / 2] / 1e3, (double)t[n * 99 / 100] / 1e3, (double)t[n - 1] / 1e3);
}

/* The next event; waits for it. */
static struct mdev_event *next(struct mdev_monitor *mon)
{
	struct pollfd p = { .fd = mdev_monitor_get_fd(mon), .events = POLLIN };
	long long end = now() + LIMIT_MS * 1000000LL;
	struct mdev_event *ev = NULL;
	int rc;

	do {
		rc = mdev_monitor_receive(mon, &ev);
		if (rc < 0)
			fail("receive");
		if (rc)
			return ev;
		if (poll(&p, 1, LIMIT_MS) < 0 && errno != EINTR)
			fail("poll");
	} while (now() < end);
	fail("no event within the timeout");
	return NULL;
}

/* The number of the event's device; -1: it is about something else. */
static long number_of(const struct mdev_event *ev)
{
	struct mdev_device *dev = NULL;
	const char *uuid = NULL;
	long n = -1;

	if (!mdev_event_get_device(ev, &dev) && !mdev_device_get_uuid(dev, &uuid))
		n = number(uuid);
	mdev_device_unref(dev);
	return n;
}

static int watch_order(struct mdev_monitor *mon, long count)
{
	enum mdev_event_type type, want;
	struct mdev_event *ev;
	long done = 0, updated = 0, n;

	while (done < 2 * count) {
		ev = next(mon);
		type = mdev_event_get_type(ev);
		n = number_of(ev);
		mdev_event_unref(ev);
		updated += type == MDEV_EVENT_UPDATED;
		if (type == MDEV_EVENT_OVERRUN)
			fail("events were lost");
		if (n < 0 || type == MDEV_EVENT_UPDATED)
			continue;
		want = done % 2 ? MDEV_EVENT_DELETED : MDEV_EVENT_CREATED;
		if (n != done / 2 || type != want) {
			printf("FAILED: event %ld is %d of device %ld\n", done, (int)type, n);
			return 1;
		}
		note_time(done % 2, n);
		done++;
	}
	printf("%ld devices were created and removed in order, with %ld updates\n", count, updated);
	print_times("created", took[0], n_took[0]);
	print_times("deleted", took[1], n_took[1]);
	return 0;
}

/* Names of all devices. */
struct names {
	char *name[NODES];
	int count;
};

static void add(struct names *names, struct mdev_device *dev)
{
	const char *name;

	if (names->count == NODES || mdev_device_get_name(dev, &name))
		fail("too many devices, or a device without a name");
	names->name[names->count++] = strdup(name);
}

static void drop(struct names *names, struct mdev_device *dev)
{
	const char *name;
	int i;

	if (mdev_device_get_name(dev, &name))
		fail("a device without a name");
	for (i = 0; i < names->count && strcmp(names->name[i], name); i++)
		;
	if (i == names->count)
		fail("a device was removed that was never created");
	free(names->name[i]);
	names->name[i] = names->name[--names->count];
}

static bool has(const struct names *names, struct mdev_device *dev)
{
	const char *name = "";
	int i;

	mdev_device_get_name(dev, &name);
	for (i = 0; i < names->count; i++)
		if (!strcmp(names->name[i], name))
			return true;
	return false;
}

static void list(struct mdev_conn *conn, struct names *names)
{
	struct mdev_device **devices = NULL;
	int i, n = mdev_conn_list(conn, &devices, MDEV_LIST_DEVICES);

	if (n < 0)
		fail("list");
	while (names->count)
		free(names->name[--names->count]);
	for (i = 0; i < n; i++)
		add(names, devices[i]);
	mdev_device_list_free(devices);
}

static void apply(struct names *names, const struct mdev_event *ev)
{
	struct mdev_device *dev = NULL;
	enum mdev_event_type type = mdev_event_get_type(ev);

	if (mdev_event_get_device(ev, &dev) || mdev_device_is_parent(dev) == 1) {
		mdev_device_unref(dev);
		return;
	}
	/* Changes between the loss and the list are reported again. */
	if (type == MDEV_EVENT_CREATED && !has(names, dev))
		add(names, dev);
	else if (type == MDEV_EVENT_DELETED && has(names, dev))
		drop(names, dev);
	mdev_device_unref(dev);
}

static int watch_overrun(struct mdev_conn *conn, struct mdev_monitor *mon)
{
	static struct names model, truth;
	struct mdev_event *ev;
	bool last = false;
	int lost = 0, after = 0, i, j;

	while (!last) {
		ev = next(mon);
		if (mdev_event_get_type(ev) == MDEV_EVENT_OVERRUN) {
			lost++;
			list(conn, &model);
			/* The creator of the devices waits for this line. */
			puts("listed");
			fflush(stdout);
		} else if (lost) {
			apply(&model, ev);
			after++;
		}
		last = lost && mdev_event_get_type(ev) == MDEV_EVENT_CREATED && number_of(ev) == LAST;
		mdev_event_unref(ev);
	}
	list(conn, &truth);
	for (i = 0; i < model.count; i++) {
		for (j = 0; j < truth.count && strcmp(model.name[i], truth.name[j]); j++)
			;
		if (j == truth.count)
			fail("a listed device does not exist");
	}
	if (model.count != truth.count)
		fail("an existing device is not listed");
	printf("%d overruns; the list is right after %d more events\n", lost, after);
	return 0;
}

int main(int argc, char **argv)
{
	struct mdev_monitor *mon = NULL;
	struct mdev_conn *conn = NULL;
	bool late, overrun;
	pthread_t thread;
	static int fd;
	int rc;

	if (argc < 4) {
		fputs("usage: watch URI order|late|overrun N [stamps]\n", stderr);
		return 2;
	}
	late = !strcmp(argv[2], "late");
	overrun = !strcmp(argv[2], "overrun");
	if (argc > 4) {
		fd = kernel_socket();
		if (pthread_create(&thread, NULL, stamp, &fd))
			fail("no thread");
	}
	if (mdev_conn_open(&conn, argv[1], 0) || mdev_monitor_new(&mon, conn, 0))
		fail("open");
	if (overrun && mdev_monitor_set_buffer_size(mon, strtoul(argv[3], NULL, 10)))
		fail("buffer size");
	puts("ready");
	fflush(stdout);
	if (late || overrun)
		while (getchar() != '\n')
			;
	rc = overrun ? watch_overrun(conn, mon) : watch_order(mon, strtol(argv[3], NULL, 10));
	mdev_monitor_unref(mon);
	mdev_conn_unref(conn);
	return rc;
}
