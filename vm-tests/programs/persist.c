// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * persist URI COMMAND [ARG]: definitions, one call of the library for each
 * command, for scripts.
 *
 *   define FILE         "NAME UUID"
 *   undefine NODE, start NODE
 *   set NODE 0|1        autostart
 *   autostart [PARENT]  how many were started
 *   list                "UUID PARENT TYPE active|inactive defined|transient auto|manual|-", sorted by the caller
 *   show NODE           the same line, and its XML in the proposal's dialect
 *   xml NODE            in libvirt's dialect
 *
 * An error is one line, "ERRNO: MESSAGE", and exit code 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmdev.h>

static int failed(void)
{
	const struct mdev_error *err = mdev_last_error();

	fprintf(stderr, "%s: %s\n", strerror(mdev_error_get_errno(err)), mdev_error_get_message(err));
	return 1;
}

static char *content(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "r");
	size_t n;

	if (file == NULL) {
		perror(path);
		exit(2);
	}
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	return text;
}

static struct mdev_device *find(struct mdev_conn *conn, const char *node)
{
	struct mdev_device *dev;

	int rc = mdev_conn_lookup_by_uuid(conn, node, &dev);

	/* A name, not a UUID. */
	if (rc == -EINVAL)
		rc = mdev_conn_lookup_by_name(conn, node, &dev);
	if (rc < 0)
		exit(failed());
	return dev;
}

static int define(struct mdev_conn *conn, const char *file)
{
	struct mdev_device *dev;
	const char *name, *uuid;

	if (mdev_conn_define_xml(conn, content(file), &dev, 0) < 0)
		return failed();
	if (mdev_device_get_name(dev, &name) < 0 || mdev_device_get_uuid(dev, &uuid) < 0)
		return failed();
	printf("%s %s\n", name, uuid);
	mdev_device_unref(dev);
	return 0;
}

static int state(struct mdev_device *dev)
{
	const char *uuid, *parent, *type;
	int persistent, autostart;

	persistent = mdev_device_is_persistent(dev);
	if (persistent < 0 || mdev_device_get_uuid(dev, &uuid) < 0 || mdev_device_get_parent(dev, &parent) < 0 ||
	    mdev_device_get_type_id(dev, &type) < 0)
		return failed();
	if (persistent && mdev_device_get_autostart(dev, &autostart) < 0)
		return failed();
	printf("%s %s %s %s %s %s\n", uuid, parent, type, mdev_device_is_active(dev) ? "active" : "inactive",
	       persistent ? "defined" : "transient", !persistent ? "-" : autostart ? "auto" : "manual");
	return 0;
}

static int list(struct mdev_conn *conn)
{
	struct mdev_device **devs;
	int i, n, rc = 0;

	n = mdev_conn_list(conn, &devs, MDEV_LIST_DEVICES | MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE);
	if (n < 0)
		return failed();
	for (i = 0; i < n; i++)
		rc |= state(devs[i]);
	mdev_device_list_free(devs);
	return rc;
}

static int xml(struct mdev_device *dev, unsigned int flags)
{
	char *text;

	if (mdev_device_get_xml(dev, &text, flags) < 0)
		return failed();
	fputs(text, stdout);
	free(text);
	return 0;
}

static int show(struct mdev_device *dev)
{
	return state(dev) || xml(dev, 0);
}

static int run(struct mdev_conn *conn, const char *command, const char *arg, const char *value)
{
	int n;

	if (strcmp(command, "list") == 0)
		return list(conn);
	if (strcmp(command, "autostart") == 0) {
		n = mdev_conn_autostart(conn, arg, 0);
		if (n < 0)
			return failed();
		printf("%d\n", n);
		return 0;
	}
	if (arg == NULL)
		return 2;
	if (strcmp(command, "define") == 0)
		return define(conn, arg);
	if (strcmp(command, "xml") == 0)
		return xml(find(conn, arg), MDEV_XML_LIBVIRT);
	if (strcmp(command, "show") == 0)
		return show(find(conn, arg));
	if (strcmp(command, "undefine") == 0)
		n = mdev_device_undefine(find(conn, arg), 0);
	else if (strcmp(command, "start") == 0)
		n = mdev_device_start(find(conn, arg), 0);
	else if (strcmp(command, "set") == 0 && value != NULL)
		n = mdev_device_set_autostart(find(conn, arg), atoi(value));
	else
		return 2;
	return n < 0 ? failed() : 0;
}

int main(int argc, char **argv)
{
	struct mdev_conn *conn;

	if (argc < 3)
		return 2;
	if (mdev_conn_open(&conn, argv[1], 0) < 0)
		return failed();
	return run(conn, argv[2], argc > 3 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
}
