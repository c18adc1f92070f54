/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rest of the simulated host: the general layout's attributes, online and
 * reset, what each list flag selects, and a host dumped to a file and replayed.
 */
#include <unistd.h>

#include "host.h"

static struct mdev_conn *conn;

/* The general layout: attributes of the device itself, and switches that the proposal's layout lacks. */
/* Sorted, each with its access mode, without the attribute that destroys the device. */
static void attrs_can_be_listed(struct mdev_device *dev)
{
	static const char *const want[] = {
		"online", "priority", "reset", "uevent", "vendor/sample_mdev_dev", "weight"
	};
	static const unsigned int want_access[] = { 3, 3, MDEV_ATTR_WRITE, 3, MDEV_ATTR_READ, 3 };
	unsigned int access = 0;
	char **names = NULL;
	int i, n;

	n = mdev_device_list_attrs(dev, &names);
	T_INT(n, 6);
	T_NEED(n == 6 && names);
	for (i = 0; i < n; i++) {
		T_STR(names[i], want[i]);
		T_INT(mdev_device_get_attr_access(dev, names[i], &access), 0);
		T_INT(access, want_access[i]);
	}
	T_OK(names[n] == NULL);
	free(names);
	T_INT(mdev_device_get_attr_access(dev, "destroy", &access), 0);
	T_INT(access, 0);
	T_INT(mdev_device_get_attr_access(dev, "../x", &access), -EINVAL);
}

static void general_devices_have_switches(void)
{
	struct mdev_device *parent, *dev = NULL;
	const struct mdev_type *const *types = NULL;
	const char *name = NULL;
	char xml[512], *value = NULL, **names = NULL;
	unsigned int access;

	parent = host_parent_of_layout(conn, "general");
	T_NEED(parent != NULL);
	T_NEED(mdev_device_list_types(parent, &types) > 0);
	T_INT(mdev_device_get_name(parent, &name), 0);
	snprintf(xml, sizeof(xml),
		 "<device><parent>%s</parent><capability type='mdev'><type id='%s'/></capability></device>", name,
		 mdev_type_get_id(types[0]));
	T_NEED(mdev_conn_create_xml(conn, xml, &dev, 0) == 0);

	attrs_can_be_listed(dev);
	T_INT(mdev_device_get_attr_access(parent, "no_such", &access), -ENOENT);
	T_OK(mdev_device_list_attrs(parent, &names) > 0 && names);
	T_INT(mdev_device_get_attr_access(parent, names[0], &access), 0);
	T_INT(access, MDEV_ATTR_READ);
	free(names);

	T_INT(mdev_device_set_attr(dev, "priority", "7"), 0);
	T_INT(mdev_device_get_attr(dev, "priority", &value), 0);
	T_STR(value, "7");
	free(value);
	value = NULL;
	T_INT(mdev_device_set_attr(dev, "weight", "3"), 0);
	T_INT(mdev_device_get_attr(dev, "weight", &value), 0);
	T_STR(value, "3");
	free(value);
	value = NULL;
	T_OK(mdev_device_get_attr(dev, "no_such", &value) < 0);
	T_INT(mdev_device_get_attr(dev, "../uevent", &value), -EINVAL);
	T_INT(mdev_device_get_attr(dev, "vendor/../uevent", &value), -EINVAL);
	T_INT(mdev_device_set_attr(dev, "vendor/../uevent", "1"), -EINVAL);
	T_INT(mdev_device_set_attr(dev, "vendor/no_such", "1"), -ENOENT);
	T_INT(mdev_device_get_attr(dev, "vendor/sample_mdev_dev", &value), 0);
	T_HAS(value, "This is MDEV ");
	free(value);
	value = NULL;
	T_OK(mdev_device_get_attr(dev, "reset", &value) < 0);
	T_OK(value == NULL);

	T_INT(mdev_device_set_online(dev, 0), 0);
	T_INT(mdev_device_get_attr(dev, "online", &value), 0);
	T_STR(value, "0");
	free(value);
	value = NULL;
	T_INT(mdev_device_set_online(dev, 1), 0);
	T_INT(mdev_device_get_attr(dev, "online", &value), 0);
	T_STR(value, "1");
	free(value);
	T_INT(mdev_device_set_online(dev, 2), 0);
	T_INT(mdev_device_reset(dev), 0);
	T_INT(mdev_device_destroy(dev, 0), 0);
	T_OK(mdev_device_reset(dev) < 0);
	T_INT(mdev_device_list_attrs(dev, &names), -ENODEV);
	mdev_device_unref(dev);
	mdev_device_unref(parent);
}

static void other_layouts_have_none(void)
{
	struct mdev_device *dev = NULL, *parent = NULL;

	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0) == 0);
	T_INT(mdev_device_reset(dev), -EOPNOTSUPP);
	T_INT(mdev_device_set_online(dev, 1), -EOPNOTSUPP);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_OK(mdev_device_destroy(parent, 0) < 0);
	T_OK(mdev_device_reset(parent) < 0);
	mdev_device_unref(parent);
}

static void flags_select(void)
{
	struct mdev_device **list = NULL;
	const char *layout = NULL;
	int i, n, both = 0, parents = host_count(conn, MDEV_LIST_PARENTS);
	int devices = host_count(conn, MDEV_LIST_DEVICES | MDEV_LIST_ACTIVE);

	T_OKF(parents >= 5, "%d parents", parents);
	T_OKF(devices >= 1, "%d devices", devices);
	T_INT(host_count(conn, 0), parents + devices);
	T_INT(host_count(conn, MDEV_LIST_DEVICES | MDEV_LIST_INACTIVE), 0);
	n = mdev_conn_list(conn, &list, 0);
	T_NEED(n > 0);
	T_OK(list[n] == NULL);
	for (i = 0; i < n; i++) {
		both += mdev_device_is_parent(list[i]) == 1;
		T_INT(mdev_device_is_active(list[i]), 1);
		T_INT(mdev_device_get_layout(list[i], &layout), 0);
	}
	T_INT(both, parents);
	mdev_device_list_free(list);
}

static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fputs(text, f);
	return fclose(f) ? -errno : 0;
}

/* All data that can be read without a change is the same on both hosts. */
static void same_nodes(struct mdev_conn *a, struct mdev_conn *b)
{
	struct mdev_device **list = NULL, *twin;
	int i, n = mdev_conn_list(a, &list, 0);
	const char *name = NULL;

	T_NEED(n > 0);
	T_INT(host_count(b, 0), n);
	for (i = 0; i < n; i++) {
		unsigned int dialect;

		T_INT(mdev_device_get_name(list[i], &name), 0);
		twin = NULL;
		T_OKF(mdev_conn_lookup_by_name(b, name, &twin) == 0, "the replay has %s", name);
		for (dialect = 0; twin && dialect <= MDEV_XML_LIBVIRT; dialect += MDEV_XML_LIBVIRT) {
			char *one = NULL, *two = NULL;

			T_INT(mdev_device_get_xml(list[i], &one, dialect), 0);
			T_INT(mdev_device_get_xml(twin, &two, dialect), 0);
			T_STR(two, one);
			free(one);
			free(two);
		}
		mdev_device_unref(twin);
	}
	mdev_device_list_free(list);
}

static void dumped_host_is_replayed(void)
{
	struct mdev_device *dev = NULL, *made = NULL;
	struct mdev_conn *replay = NULL;
	char path[] = "/tmp/libmdev-host-XXXXXX.xml", uri[64], *xml = NULL, *again = NULL;
	int fd = mkstemps(path, 4);

	T_NEED(fd >= 0);
	close(fd);
	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0) == 0);
	T_INT(mdev_conn_dump_xml(conn, &xml, 0), 0);
	T_NEED(xml != NULL);
	T_INT(write_file(path, xml), 0);
	snprintf(uri, sizeof(uri), "test://%s", path);
	T_NEED(mdev_conn_open(&replay, uri, 0) == 0);
	T_INT(mdev_conn_dump_xml(replay, &again, 0), 0);
	T_STR(again, xml);
	free(again);
	same_nodes(conn, replay);

	/* The two hosts are separate: a change of one is not a change of the other. */
	T_INT(mdev_device_destroy(dev, 0), 0);
	T_INT(host_available(conn, RFC_PARENT, "11"), 16);
	T_INT(host_available(replay, RFC_PARENT, "11"), 15);
	T_INT(mdev_conn_create_xml(replay, PLAIN_XML(RFC_PARENT, "11"), &made, 0), 0);
	T_INT(host_available(replay, RFC_PARENT, "11"), 14);
	mdev_device_unref(made);
	mdev_device_unref(dev);
	mdev_conn_unref(replay);

	replay = NULL;
	xml[strlen(xml) / 2] = '\0';
	T_INT(write_file(path, xml), 0);
	T_INT(mdev_conn_open(&replay, uri, 0), -EINVAL);
	unlink(path);
	T_INT(mdev_conn_open(&replay, uri, 0), -ENOENT);
	T_HAS(host_message(), path);
	T_OK(replay == NULL);
	free(xml);
}

static void uris_are_checked(void)
{
	static const char *const bad[] = { "",		       "test",	    "test:///nonsense",	      "test://default",
					   "mdev:///",	       "qemu:///system", "mdev:///system?root=relative",
					   "mdev:///system?x=/", "test:///\xff\xfe" };
	struct mdev_conn *c = NULL;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		T_OKF(mdev_conn_open(&c, bad[i], 0) < 0 && host_message(), "URI %zu is refused", i);
	T_OK(c == NULL);
	/* This machine, also if it has no parents: an empty host is valid. */
	T_INT(mdev_conn_open(&c, NULL, 0), 0);
	T_OK(host_count(c, 0) >= 0);
	c = mdev_conn_unref(c);
	T_INT(mdev_conn_open(&c, "mdev:///system", 0), 0);
	mdev_conn_unref(c);
}

int main(void)
{
	conn = host_open();
	general_devices_have_switches();
	other_layouts_have_none();
	flags_select();
	dumped_host_is_replayed();
	uris_are_checked();
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
