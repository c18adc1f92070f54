// SPDX-License-Identifier: LGPL-2.1-or-later
/* What several commands need: the connection, lookup, attributes and JSON of nodes. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

int need_conn(struct nodedev *nd)
{
	int rc;

	if (nd->conn)
		return OK;
	rc = mdev_conn_open(&nd->conn, nd->uri, 0);
	if (rc < 0)
		return complain_mdev(rc);
	rc = nd->owner ? mdev_conn_set_owner(nd->conn, nd->owner) : 0;
	if (rc < 0) {
		complain_mdev(rc);
		nd->conn = mdev_conn_unref(nd->conn);
		return FAILED;
	}
	return OK;
}

/* A UUID with its dashes or without; the library looks at the rest. */
static bool looks_like_uuid(const char *s)
{
	size_t len = strlen(s);

	return (len == 36 || len == 32) && strspn(s, "0123456789abcdefABCDEF-") == len;
}

int lookup(struct nodedev *nd, const char *what, struct mdev_device **ret)
{
	bool is_uuid = looks_like_uuid(what);
	int rc;

	if (need_conn(nd) != OK)
		return FAILED;
	rc = is_uuid ? mdev_conn_lookup_by_uuid(nd->conn, what, ret) : -ENODEV;
	/* A device may have a name that looks like a UUID. */
	if (rc == -ENODEV || rc == -EINVAL)
		rc = mdev_conn_lookup_by_name(nd->conn, what, ret);
	/* For the message, which is about the UUID then. */
	if (rc == -ENODEV && is_uuid)
		rc = mdev_conn_lookup_by_uuid(nd->conn, what, ret);
	return rc < 0 ? complain_mdev(rc) : OK;
}

const char *get(struct mdev_device *dev, string_getter getter)
{
	const char *value = NULL;

	return getter(dev, &value) < 0 ? NULL : value;
}

void each_type_attr(const struct mdev_type *type, attr_fn fn, void *data)
{
	const char *const *name;
	int i, n = mdev_type_list_attrs(type, &name);

	for (i = 0; i < n; i++)
		/* Which every view shows by itself. */
		if (strcmp(name[i], "name"))
			fn(name[i], mdev_type_get_attr(type, name[i]), data);
}

static void json_attr(const char *name, const char *value, void *data)
{
	json_string(data, name, value);
}

static void json_type(struct json *j, const struct mdev_type *type)
{
	unsigned int n;
	int bound;

	json_open(j, NULL, '{');
	json_string(j, "id", mdev_type_get_id(type));
	json_string(j, "name", mdev_type_get_name(type));
	json_string(j, "deviceAPI", mdev_type_get_device_api(type));
	if (mdev_type_get_capacity(type, &n, &bound) >= 0) {
		json_number(j, "availableInstances", n);
		json_bool(j, "availableInstancesIsUpperBound", bound);
	}
	json_bool(j, "requiresGroup", mdev_type_requires_group(type) == 1);
	json_string(j, "description", mdev_type_get_description(type));
	json_open(j, "attributes", '{');
	each_type_attr(type, json_attr, j);
	json_close(j, '}');
	json_close(j, '}');
}

void json_types(struct json *j, const char *key, struct mdev_device *parent, const struct mdev_type *only)
{
	const struct mdev_type *const *type = &only;
	int i, n = only ? 1 : mdev_device_list_types(parent, &type);

	json_open(j, key, '[');
	for (i = 0; i < n; i++)
		json_type(j, type[i]);
	json_close(j, ']');
}

void json_node(struct json *j, struct mdev_device *dev, bool types)
{
	bool parent = mdev_device_is_parent(dev) == 1;
	unsigned int number;
	int node;

	json_string(j, "name", get(dev, mdev_device_get_name));
	json_string(j, "kind", parent ? "parent" : "device");
	json_bool(j, "active", mdev_device_is_active(dev) == 1);
	json_string(j, "uuid", get(dev, mdev_device_get_uuid));
	json_string(j, "parent", get(dev, mdev_device_get_parent));
	json_string(j, "type", get(dev, mdev_device_get_type_id));
	json_string(j, "layout", get(dev, mdev_device_get_layout));
	json_string(j, "path", get(dev, mdev_device_get_syspath));
	if (mdev_device_get_group(dev, &number) >= 0)
		json_number(j, "group", number);
	if (mdev_device_get_iommu_group(dev, &number) >= 0)
		json_number(j, "iommuGroup", number);
	if (mdev_device_get_numa_node(dev, &node) >= 0)
		json_number(j, "numaNode", node);
	json_string(j, "physicalFunction", get(dev, mdev_device_get_physical_function));
	json_string(j, "owner", get(dev, mdev_device_get_owner));
	if (parent && types)
		json_types(j, "types", dev, NULL);
}
