/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * usage: host URI COMMAND [ARG...]
 *
 *   steps [sysfs]               the whole sequence, one stable line for each step;
 *                               with sysfs, lists are compared with the
 *                               real one first
 *   list                        the nodes, a line each
 *   dump                        the host as XML
 *   create PARENT TYPE [UUID]   name, UUID and text for QEMU of a new device
 *   destroy UUID                destroys it
 *   qemu UUID                   the text for QEMU's -device
 *
 * One source, two programs: see host-api.h. Ends with 0 when all went well, 1
 * when a call failed or something did not hold, 2 when it was called wrongly.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"

struct host_api api;
int host_faults;

void host_fault(const char *fmt, ...)
{
	va_list ap;

	host_faults++;
	printf("FAULT: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static int failed(const char *what, int rc)
{
	const struct mdev_error *err = api.last_error();

	printf("%s: rc=%d errno=%d code=%d %s\n", what, rc, err ? api.error_get_errno(err) : 0,
	       err ? api.error_get_code(err) : 0, err ? api.error_get_message(err) : "(no error)");
	return 1;
}

static int cmd_list(struct mdev_conn *conn)
{
	struct mdev_device **list = NULL;
	const char *name, *syspath;
	int i, n = api.conn_list(conn, &list, 0);

	if (n < 0)
		return failed("list", n);
	for (i = 0; i < n; i++)
		if (!api.device_get_name(list[i], &name) && !api.device_get_syspath(list[i], &syspath))
			printf("%s %s\n", name, syspath);
	api.device_list_free(list);
	return 0;
}

static int cmd_dump(struct mdev_conn *conn)
{
	char *xml = NULL;
	int rc = api.conn_dump_xml(conn, &xml, 0);

	if (rc < 0)
		return failed("dump", rc);
	fputs(xml, stdout);
	free(xml);
	return 0;
}

static int show_device(struct mdev_device *dev)
{
	const char *name = "", *uuid = "";
	char *qemu = NULL;
	int rc;

	rc = api.device_get_qemu_device(dev, &qemu);
	if (rc < 0)
		return failed("qemu", rc);
	rc = api.device_get_name(dev, &name);
	if (rc >= 0)
		rc = api.device_get_uuid(dev, &uuid);
	printf("name=%s\nuuid=%s\nqemu=%s\n", name, uuid, qemu);
	free(qemu);
	return rc < 0 ? failed("name and uuid", rc) : 0;
}

static int cmd_create(struct mdev_conn *conn, const char *parent, const char *type, const char *uuid)
{
	struct mdev_device *dev = NULL;
	char xml[1024];
	int rc;

	snprintf(xml, sizeof(xml),
		 "<device><parent>%s</parent><capability type='mdev'><type id='%s'/>%s%s%s</capability></device>", parent,
		 type, uuid ? "<uuid>" : "", uuid ? uuid : "", uuid ? "</uuid>" : "");
	rc = api.conn_create_xml(conn, xml, &dev, 0);
	if (rc < 0)
		return failed("create", rc);
	rc = show_device(dev);
	api.device_unref(dev);
	return rc;
}

static int cmd_qemu(struct mdev_conn *conn, const char *uuid)
{
	struct mdev_device *dev = NULL;
	int rc = api.conn_lookup_by_uuid(conn, uuid, &dev);

	if (rc < 0)
		return failed("lookup", rc);
	rc = show_device(dev);
	api.device_unref(dev);
	return rc;
}

static int cmd_destroy(struct mdev_conn *conn, const char *uuid)
{
	struct timespec before, after;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &before);
	rc = api.conn_destroy_uuid(conn, uuid, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	fprintf(stderr, "destroy took %.1f ms\n",
		(double)(after.tv_sec - before.tv_sec) * 1e3 + (double)(after.tv_nsec - before.tv_nsec) / 1e6);
	if (rc < 0)
		return failed("destroy", rc);
	puts("destroy: rc=0");
	return 0;
}

static int cmd_steps(struct mdev_conn *conn, const char *uri, int sysfs)
{
	if (sysfs)
		host_compare_sysfs(conn);
	host_steps(conn, uri);
	if (sysfs)
		host_compare_sysfs(conn);
	return host_faults != 0;
}

static int run(struct mdev_conn *conn, const char *uri, int argc, char **argv)
{
	const char *cmd = argv[0];

	if (!strcmp(cmd, "steps") && argc <= 2)
		return cmd_steps(conn, uri, argc == 2 && !strcmp(argv[1], "sysfs"));
	if (!strcmp(cmd, "list") && argc == 1)
		return cmd_list(conn);
	if (!strcmp(cmd, "dump") && argc == 1)
		return cmd_dump(conn);
	if (!strcmp(cmd, "create") && (argc == 3 || argc == 4))
		return cmd_create(conn, argv[1], argv[2], argc == 4 ? argv[3] : NULL);
	if (!strcmp(cmd, "destroy") && argc == 2)
		return cmd_destroy(conn, argv[1]);
	if (!strcmp(cmd, "qemu") && argc == 2)
		return cmd_qemu(conn, argv[1]);
	fprintf(stderr, "no such command, or wrong arguments: %s\n", cmd);
	return 2;
}

int main(int argc, char **argv)
{
	struct mdev_conn *conn = NULL;
	int rc;

	if (argc < 3) {
		fprintf(stderr, "usage: host URI steps|list|dump|create|destroy|qemu [ARG...]\n");
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	if (host_api_get(&api))
		return 2;
	rc = api.conn_open(&conn, argv[1], 0);
	if (rc < 0)
		return failed("open", rc);
	rc = run(conn, argv[1], argc - 2, argv + 2);
	api.conn_unref(conn);
	return fflush(stdout) ? 1 : rc;
}
