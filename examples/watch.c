// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * watch: prints how nodes of a host come, change and go.
 *
 *     cc watch.c -o watch $(pkg-config --cflags --libs libmdev)
 *     ./watch                     (this host, until it is interrupted)
 *     ./watch test:///default     (a simulated one, on which it makes a device to have something to see)
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <libmdev.h>

static const char *const words[] = {
	[MDEV_EVENT_CREATED] = "created", [MDEV_EVENT_DELETED] = "deleted",     [MDEV_EVENT_UPDATED] = "updated",
	[MDEV_EVENT_DEFINED] = "defined", [MDEV_EVENT_UNDEFINED] = "undefined", [MDEV_EVENT_OVERRUN] = "overrun",
};

static int failed(const char *what)
{
	fprintf(stderr, "error: %s: %s\n", what, mdev_error_get_message(mdev_last_error()));
	return 1;
}

static void print(const struct mdev_event *ev)
{
	struct mdev_device *dev = NULL;
	const char *name = "(events were lost: list again)";

	/* The node as it was when it happened, also of one that is gone. */
	if (mdev_event_get_device(ev, &dev) >= 0)
		mdev_device_get_name(dev, &name);
	printf("%s %s\n", words[mdev_event_get_type(ev)], name);
	fflush(stdout);
	mdev_device_unref(dev);
}

/* Everything that has come; the number of events, or a negative errno. */
static int print_all(struct mdev_monitor *mon)
{
	struct mdev_event *ev;
	int rc, n = 0;

	while ((rc = mdev_monitor_receive(mon, &ev)) > 0) {
		print(ev);
		mdev_event_unref(ev);
		n++;
	}
	return rc < 0 ? rc : n;
}

static int make_and_destroy(struct mdev_conn *conn, struct mdev_monitor *mon)
{
	struct mdev_device *dev;

	if (mdev_conn_create_xml(conn, "<device><parent>pci_0000_86_00_0</parent><capability type='mdev'>"
				       "<type id='13'/></capability></device>", &dev, 0) < 0)
		return failed("create");
	print_all(mon);
	mdev_device_destroy(dev, 0);
	mdev_device_unref(dev);
	return print_all(mon) < 0 ? failed("receive") : 0;
}

static int watch(struct mdev_monitor *mon)
{
	/* The same descriptor goes into any loop: epoll, GLib, libvirt's. */
	struct pollfd p = { .fd = mdev_monitor_get_fd(mon), .events = POLLIN };

	while (poll(&p, 1, -1) > 0)
		if (print_all(mon) < 0)
			return failed("receive");
	return 0;
}

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : NULL;
	struct mdev_monitor *mon = NULL;
	struct mdev_conn *conn = NULL;
	int rc;

	/* The monitor must exist before the list: it then reports every change that happens after the list. */
	if (mdev_conn_open(&conn, uri, 0) < 0 || mdev_monitor_new(&mon, conn, 0) < 0)
		rc = failed("listen");
	else if (uri && !strncmp(uri, "test:", 5))
		rc = make_and_destroy(conn, mon);
	else
		rc = watch(mon);
	mdev_monitor_unref(mon);
	mdev_conn_unref(conn);
	return rc;
}
