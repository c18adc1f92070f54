/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the tests: the founding proposal's XML, and small steps on the simulated host. */
#ifndef HOST_H
#define HOST_H

#include <ctype.h>
#include <libmdev.h>

#include "t.h"

/* The host of the tests: the simulated host of the process, or the one that MDEV_TEST_HOST names. */
#define HOST_URI (getenv("MDEV_TEST_HOST") ? getenv("MDEV_TEST_HOST") : "test:///default")
#define RFC_PARENT "pci_0000_86_00_0"

/* The device of the proposal, unchanged. */
#define RFC_DEVICE_XML                                                                                                 \
	"<device>\n"                                                                                                   \
	"  <name>my-vgpu</name>\n"                                                                                     \
	"  <parent>pci_0000_86_00_0</parent>\n"                                                                        \
	"  <capability type='mdev'>\n"                                                                                 \
	"    <type id='11'/>\n"                                                                                        \
	"    <group>1</group>\n"                                                                                       \
	"    <params>'frame_rate_limiter=0'</params>\n"                                                                \
	"  </capability>\n"                                                                                            \
	"</device>\n"

/* The smallest XML that creates a device. */
#define PLAIN_XML(parent, type)                                                                                        \
	"<device><parent>" parent "</parent><capability type='mdev'><type id='" type "'/></capability></device>"

#define UUID_XML(parent, type, uuid)                                                                                   \
	"<device><parent>" parent "</parent><capability type='mdev'><type id='" type "'/><uuid>" uuid                   \
	"</uuid></capability></device>"

/* Drops the white space next to a tag, in place: two dumps that differ only in layout become equal. */
static inline char *host_squeeze(char *xml)
{
	char *from, *to = xml;

	for (from = xml; *from; from++) {
		const char *next = from;

		while (isspace((unsigned char)*next))
			next++;
		if (next != from && (to == xml || to[-1] == '>' || *next == '<' || !*next)) {
			from = (char *)next - 1;
			continue;
		}
		*to++ = *from;
	}
	*to = '\0';
	return xml;
}

static inline struct mdev_conn *host_open(void)
{
	struct mdev_conn *conn = NULL;

	T_INT(mdev_conn_open(&conn, HOST_URI, 0), 0);
	T_NEED(conn != NULL);
	return conn;
}

/* The number of nodes that match, or the negative errno of mdev_conn_list(). */
static inline int host_count(struct mdev_conn *conn, unsigned int flags)
{
	struct mdev_device **list = NULL;
	int n = mdev_conn_list(conn, &list, flags);

	if (n >= 0)
		mdev_device_list_free(list);
	return n;
}

/* The first parent of a layout; NULL if the host has none. */
static inline struct mdev_device *host_parent_of_layout(struct mdev_conn *conn, const char *layout)
{
	struct mdev_device **list = NULL, *found = NULL;
	const char *got;
	int i, n = mdev_conn_list(conn, &list, MDEV_LIST_PARENTS);

	for (i = 0; i < n && !found; i++)
		if (!mdev_device_get_layout(list[i], &got) && !strcmp(got, layout))
			found = mdev_device_ref(list[i]);
	if (n >= 0)
		mdev_device_list_free(list);
	return found;
}

/* The available instances of a type, read anew; -1 if they cannot be read. */
static inline int host_available(struct mdev_conn *conn, const char *parent, const char *type)
{
	struct mdev_device *dev = NULL;
	const struct mdev_type *t = NULL;
	unsigned int n = 0;
	int ret = -1;

	if (mdev_conn_lookup_by_name(conn, parent, &dev))
		return -1;
	if (!mdev_device_find_type(dev, type, &t) && !mdev_type_get_available_instances(t, &n))
		ret = (int)n;
	mdev_device_unref(dev);
	return ret;
}

static inline const char *host_message(void)
{
	const struct mdev_error *err = mdev_last_error();

	return err ? mdev_error_get_message(err) : NULL;
}

#endif
