// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libvirt's access control. Every callback calls these checks, as libvirt's own driver does. An access policy applies only to a
 * driver that calls them.
 */

#include "bridge.h"

int acl_conn(enum acl call, virConnectPtr conn)
{
	return ((lv_ensure_conn)lv.ensure[call])(conn);
}

int acl_node(enum acl call, virConnectPtr conn, const char *name)
{
	struct lv_nodedev_def def = { .name = (char *)name };

	return ((lv_ensure_node)lv.ensure[call])(conn, &def);
}

bool acl_shows(enum acl call, virConnectPtr conn, const char *name)
{
	struct lv_nodedev_def def = { .name = (char *)name };

	return lv.check[call](conn, &def);
}
