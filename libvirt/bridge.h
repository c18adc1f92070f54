/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's functions that no public header declares, for errors.c, acl.c and bridge.c. */
#ifndef MDEV_LIBVIRT_BRIDGE_H
#define MDEV_LIBVIRT_BRIDGE_H

#include "module.h"

typedef int (*lv_ensure_conn)(virConnectPtr conn);
typedef int (*lv_ensure_node)(virConnectPtr conn, struct lv_nodedev_def *def);
typedef bool (*lv_check_node)(virConnectPtr conn, struct lv_nodedev_def *def);

struct libvirt {
	int (*register_connect_driver)(struct lv_connect_driver *driver, bool set_shared);
	virNodeDevicePtr (*get_node_device)(virConnectPtr conn, const char *name);
	void (*report_error)(int domain, int code, const char *file, const char *function, size_t line,
			     const char *format, ...);
	/* The identity of the client that this thread of a daemon serves, to be freed by unref(); NULL in any other thread. */
	void *(*identity)(void);
	void (*unref)(void *object);
	/* May be NULL: then libmdev's warnings are not in the log. */
	void (*log_message)(void *source, int priority, const char *file, int line, const char *function,
			    void *metadata, const char *format, ...);
	/* Each is an lv_ensure_conn or an lv_ensure_node. */
	lv_any ensure[ACL_CALLS];
	lv_check_node check[ACL_CALLS];
};

extern struct libvirt lv;

#endif
