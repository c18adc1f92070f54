// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * create: the life of a mediated device. Makes one from XML, prints what
 * attaches it to a guest, and destroys it.
 *
 *     cc create.c -o create $(pkg-config --cflags --libs libmdev)
 *     ./create                    (on the simulated host: no hardware, no privileges)
 *     ./create mdev:///system     (on this host; edit the XML first)
 */
#include <stdio.h>
#include <stdlib.h>

#include <libmdev.h>

/*
 * <parent> is the device to take a slice of, <type> which slice: the program
 * `nodedev types` lists both. <name> and <params> can be left out; with a
 * <uuid> the device gets that UUID, without one the library makes one up.
 */
static const char vgpu[] =
	"<device>"
	"  <name>my-vgpu</name>"
	"  <parent>pci_0000_86_00_0</parent>"
	"  <capability type='mdev'>"
	"    <type id='11'/>"
	"    <params>frame_rate_limiter=0</params>"
	"  </capability>"
	"</device>";

/*
 * What went wrong, for people. It is kept per thread until the next call that
 * can fail, so look at it at once. The code is for programs: it never changes
 * its meaning, while sentences may get better.
 */
static int failed(const char *what)
{
	const struct mdev_error *err = mdev_last_error();

	fprintf(stderr, "%s: %s (code %d)\n", what, mdev_error_get_message(err), mdev_error_get_code(err));
	return 1;
}

static int use(struct mdev_device *dev)
{
	const char *uuid;
	char *text;

	/* A const char * belongs to the handle ... */
	if (mdev_device_get_uuid(dev, &uuid) < 0)
		return failed("get_uuid");
	printf("created %s\n", uuid);

	/* ... and a char * to the caller, who frees it with plain free(). */
	if (mdev_device_get_qemu_args(dev, &text, 0) < 0)
		return failed("get_qemu_args");
	printf("start a guest with: qemu-system-x86_64 ... %s\n", text);
	free(text);

	if (mdev_device_get_hostdev_xml(dev, &text) < 0)
		return failed("get_hostdev_xml");
	printf("or put this into the <devices> of a libvirt domain:\n%s", text);
	free(text);
	return 0;
}

int main(int argc, char **argv)
{
	struct mdev_conn *conn;
	struct mdev_device *dev;
	int status;

	if (mdev_conn_open(&conn, argc > 1 ? argv[1] : "test:///default", 0) < 0)
		return failed("open");

	/* When this returns, the device is ready for use. If it fails, nothing is left behind. */
	if (mdev_conn_create_xml(conn, vgpu, &dev, 0) < 0) {
		status = failed("create");
	} else {
		status = use(dev);
		/* Refused with -EBUSY while a guest has the device. */
		if (mdev_device_destroy(dev, 0) < 0)
			status = failed("destroy");
		else
			puts("destroyed");
		/* The handle outlives the device: it is a snapshot. */
		mdev_device_unref(dev);
	}
	mdev_conn_unref(conn);
	return status;
}
