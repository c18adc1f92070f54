// SPDX-License-Identifier: LGPL-2.1-or-later
/* Devices that persist: define, undefine, start, autostart, set-autostart. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

static void tell(const struct nodedev *nd, const char *name, const char *after)
{
	if (nd->quiet)
		return;
	fputs("Device ", stdout);
	print_safe(stdout, name);
	puts(after);
}

int cmd_define(struct nodedev *nd, struct args *args)
{
	unsigned int flags = (given(args, OPT_NO_CALLOUTS) ? MDEV_DEFINE_NO_CALLOUTS : 0) |
			     (given(args, OPT_AUTOSTART) ? MDEV_DEFINE_AUTOSTART : 0);
	struct mdev_device *dev;
	const char *uuid, *name;
	char *xml;
	int rc;

	if (need_conn(nd) != OK)
		return FAILED;
	xml = read_document(nd, args->word[0]);
	if (!xml)
		return FAILED;
	rc = mdev_conn_define_xml(nd->conn, xml, &dev, flags);
	free(xml);
	if (rc < 0)
		return complain_mdev(rc);
	uuid = get(dev, mdev_device_get_uuid);
	name = get(dev, mdev_device_get_name);
	if (given(args, OPT_JSON)) {
		print_info(dev, NULL, true);
	} else if (nd->quiet) {
		puts(uuid ? uuid : "");
	} else {
		fputs("Device ", stdout);
		print_safe(stdout, name ? name : "");
		printf(" defined, UUID %s\n", uuid ? uuid : "unknown");
	}
	mdev_device_unref(dev);
	return OK;
}

/* Does one thing to each device that is named; a failure does not keep the others from it. */
static int each(struct nodedev *nd, struct args *args, int (*action)(struct mdev_device *dev, unsigned int flags),
		unsigned int flags, const char *done)
{
	struct mdev_device *dev;
	int i, rc, status = OK;

	for (i = 0; i < args->count; i++) {
		if (lookup(nd, args->word[i], &dev) != OK) {
			status = FAILED;
			continue;
		}
		rc = action(dev, flags);
		if (rc < 0)
			status = complain_mdev(rc);
		else
			tell(nd, args->word[i], done);
		mdev_device_unref(dev);
	}
	return status;
}

int cmd_undefine(struct nodedev *nd, struct args *args)
{
	unsigned int flags = given(args, OPT_NO_CALLOUTS) ? MDEV_DEFINE_NO_CALLOUTS : 0;

	return each(nd, args, mdev_device_undefine, flags, " undefined");
}

int cmd_start(struct nodedev *nd, struct args *args)
{
	unsigned int flags = given(args, OPT_NO_CALLOUTS) ? MDEV_START_NO_CALLOUTS : 0;

	return each(nd, args, mdev_device_start, flags, " started");
}

static int set_autostart(struct mdev_device *dev, unsigned int on)
{
	return mdev_device_set_autostart(dev, (int)on);
}

int cmd_set_autostart(struct nodedev *nd, struct args *args)
{
	bool off = given(args, OPT_DISABLE);

	return each(nd, args, set_autostart, !off, off ? " is started by hand" : " is started with its parent");
}

/* One line for each device that could not be started: the error's sentence has room for a few. */
static void name_failure(int level, const char *message, void *data)
{
	int *named = data;

	if (level != MDEV_LOG_ERROR)
		return;
	complain("%s", message);
	++*named;
}

int cmd_autostart(struct nodedev *nd, struct args *args)
{
	unsigned int flags = given(args, OPT_NO_CALLOUTS) ? MDEV_START_NO_CALLOUTS : 0;
	int n, named = 0;

	if (need_conn(nd) != OK)
		return FAILED;
	/* Who wants to see all that is logged sees these lines among it. */
	if (!nd->verbose)
		mdev_set_log_handler(name_failure, &named, MDEV_LOG_ERROR);
	n = mdev_conn_autostart(nd->conn, args->count ? args->word[0] : NULL, flags);
	if (!nd->verbose)
		mdev_set_log_handler(NULL, NULL, 0);
	if (n < 0 && !named)
		complain_mdev(n);
	if (n < 0)
		return n == -EAGAIN ? AGAIN : FAILED;
	if (!nd->quiet)
		printf("%d device%s started\n", n, n == 1 ? "" : "s");
	return OK;
}
