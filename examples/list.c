// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * list: every parent and every mediated device of a host, one name a line.
 *
 *     cc list.c -o list $(pkg-config --cflags --libs libmdev)
 *     ./list test:///default      (a simulated host; without an argument: this one)
 */
#include <stdio.h>

#include <libmdev.h>

int main(int argc, char **argv)
{
	struct mdev_conn *conn;			/* a host */
	struct mdev_device **list;		/* ends with NULL */
	const char *name;
	int i, n;

	/* A call that fails returns a negative errno; mdev_last_error() has the sentence for people. */
	if (mdev_conn_open(&conn, argc > 1 ? argv[1] : NULL, 0) < 0) {
		fprintf(stderr, "error: %s\n", mdev_error_get_message(mdev_last_error()));
		return 1;
	}
	n = mdev_conn_list(conn, &list, 0);	/* 0: parents, and devices that exist now */
	for (i = 0; i < n; i++)
		if (mdev_device_get_name(list[i], &name) >= 0)	/* the string lives as long as list[i] */
			printf("%s %s\n", mdev_device_is_parent(list[i]) ? "parent" : "device", name);
	if (n < 0)
		fprintf(stderr, "error: %s\n", mdev_error_get_message(mdev_last_error()));
	else
		mdev_device_list_free(list);	/* the array and every handle in it */
	mdev_conn_unref(conn);
	return n < 0;
}
