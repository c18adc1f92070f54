/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface between the files of this module. */
#ifndef MDEV_LIBVIRT_MODULE_H
#define MDEV_LIBVIRT_MODULE_H

#include <stdbool.h>
#include <stddef.h>

#include <libmdev.h>

#include "abi.h"

#define EXPORT __attribute__((visibility("default")))

/* libvirt calls one of these after it has loaded this module, depending on the name of the file: _mdev or _nodedev. */
EXPORT int mdevRegister(void);
EXPORT int nodedevRegister(void);

/* ---- bridge.c: libmdev's table, and libvirt's functions that no public header declares ---- */

extern const struct mdev_driver *mdev;

/* The calls with an access check in libvirt, in the order of the driver table. */
enum acl {
	ACL_OPEN,
	ACL_NUM_OF_DEVICES,
	ACL_LIST_DEVICES,
	ACL_LIST_ALL,
	ACL_EVENT_REGISTER,
	ACL_EVENT_DEREGISTER,
	ACL_LOOKUP_BY_NAME,
	ACL_LOOKUP_BY_WWN,
	ACL_GET_XML,
	ACL_GET_PARENT,
	ACL_NUM_OF_CAPS,
	ACL_LIST_CAPS,
	ACL_CREATE_XML,
	ACL_DESTROY,
	ACL_DEFINE_XML,
	ACL_UNDEFINE,
	ACL_CREATE,
	ACL_SET_AUTOSTART,
	ACL_GET_AUTOSTART,
	ACL_IS_PERSISTENT,
	ACL_IS_ACTIVE,
	ACL_CALLS,
};

/* Finds libvirt's functions, once. Returns 0, or -1 with the error raised. */
int bridge_find(void);
/* As bridge_find(), and loads libmdev. */
int bridge_load(void);
int bridge_register(struct lv_connect_driver *driver, bool set_shared);
virNodeDevicePtr bridge_node(virConnectPtr conn, const char *name);
/* Whether this thread serves a client of a daemon. */
bool bridge_serves(void);
/* Writes libmdev's warnings to libvirt's log. Only for a daemon: in its own process, a client sets the handler of libmdev's log. */
void bridge_log(void);

/* ---- acl.c: acl_conn() and acl_node() return 0, or -1 with the error raised; acl_shows() raises no error ---- */

int acl_conn(enum acl call, virConnectPtr conn);
int acl_node(enum acl call, virConnectPtr conn, const char *name);
bool acl_shows(enum acl call, virConnectPtr conn, const char *name);

/* ---- errors.c ---- */

/* Raises an error of libvirt. Every function of this header that fails with -1 or NULL has raised an error. */
#define fail(code, ...) raise_error((code), __func__, __LINE__, __VA_ARGS__)
void raise_error(int code, const char *function, size_t line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Raises the last error of libmdev in this thread as an error of libvirt. */
#define fail_mdev() raise_mdev(__func__, __LINE__)
void raise_mdev(const char *function, size_t line);

/* ---- host.c ---- */

struct events;

/* Settings that show more nodes than the default: see shown.c. */
struct settings {
	bool vendor_vfio;
	bool other_buses;
};

/* A libmdev connection and its listeners: one for each libvirt connection, or one for the whole daemon. */
struct host {
	struct mdev_conn *conn;
	struct events *events;
	/* The callbacks of libvirt's own driver, in a daemon: see overlay.c. Else NULL. */
	const struct lv_nodedev_driver *stock;
	struct settings settings;
	int refs;
};

int host_open(virConnectPtr conn, const char *uri, const struct settings *settings);
void host_close(virConnectPtr conn);
/* Sets the shared host of a daemon. The first call opens it, since a daemon forks after it has loaded its modules. */
void host_share(const struct lv_nodedev_driver *stock);
bool host_is_shared(void);
struct host *host_get(virConnectPtr conn);
struct host *host_ref(struct host *host);
void host_put(struct host *host);

/* ---- nodes.c: names of nodes ---- */

struct names {
	char **list;
	size_t count;
	size_t room;
};

int names_add(struct names *names, const char *name);
void names_clear(struct names *names);

/* The list flag of a capability; 0 if the name is unknown. */
unsigned int cap_flag(const char *cap);
/* The nodes that match the filters of a call and that its access check shows. */
int nodes_list(struct host *host, virConnectPtr conn, enum acl call, unsigned int flags, struct names *ret);

/* The node of one call. */
struct node {
	struct host *host;
	struct mdev_device *dev;	/* NULL for the computer */
	const char *name;
};

int node_find(struct node *node, virConnectPtr conn, const char *name);
/* As node_find(), and checks access. */
int node_open(struct node *node, virNodeDevicePtr dev, enum acl call);
void node_put(struct node *node);
/* Whether node_find() finds the node; raises no error. */
bool node_exists(struct host *host, const char *name);
virConnectPtr node_conn(virNodeDevicePtr dev);
const char *node_name(virNodeDevicePtr dev);

/* ---- shown.c: the nodes that clients see ---- */

/* For a daemon: reads the module's configuration file. Without the file, the settings have their defaults. */
int settings_read(struct settings *ret);
/* False if the name is unknown, or the value is neither 0 nor 1. */
bool settings_set(struct settings *settings, const char *name, const char *value);
bool node_is_shown(struct host *host, struct mdev_device *dev);
/* Raises an error with the reason why a node is not shown, and the setting that shows it. */
void fail_not_shown(struct host *host, int code, struct mdev_device *dev, const char *name);
/* Returns 0 if a device may be created under the parent in the XML, else -1. With must_exist, the parent must exist. */
int check_parent(struct host *host, const char *xml, bool must_exist);

/* ---- computer.c: the root of the tree ---- */

#define COMPUTER "computer"
char *computer_xml(struct host *host);

/* ---- xml.c ---- */

/* Whether the XML requests another capability than mdev, so that libvirt's own driver serves it. */
bool xml_is_for_stock(const char *xml);
/* Whether the XML requests a mediated device. False for XML that cannot be read. */
bool xml_is_for_mdev(const char *xml);
/* The text of a child element of the root; the caller frees it. NULL if there is no such element. */
char *xml_text(const char *xml, const char *name);
/* Checks the XML with libvirt's schema, which requires a name: a missing name is added for the check. */
int xml_validate(const char *xml);

/* ---- events.c ---- */

struct events *events_new(struct host *host);
void events_free(struct events *events);
int events_register(struct host *host, virConnectPtr conn, virNodeDevicePtr dev, int event,
		    virConnectNodeDeviceEventGenericCallback callback, void *opaque, virFreeCallback freecb);
int events_deregister(struct host *host, virConnectPtr conn, int id);

/* ---- node_state.c: the nodes that were announced ---- */

enum { NODE_STATE_ACTIVE = 1, NODE_STATE_DEFINED = 2, NODE_STATE_PARENT = 4 };

struct node_state {
	struct node_state *next;
	unsigned int state;
	char name[];
};

/* Reads the present nodes into a new list, to be freed by node_states_free(). */
int node_states_read(struct node_state **ret, struct host *host);
void node_states_free(struct node_state *list);
/* Sets the state of a node after an event; 0 removes the node. If memory is exhausted, a new node is not added. */
void node_states_set(struct node_state **list, const char *name, unsigned int state);
unsigned int node_state_of(const struct node_state *list, const char *name);

/* ---- nodedev.c, overlay.c: the callbacks ---- */

extern struct lv_nodedev_driver nodedev_driver;
/* Loads libvirt's own driver; with fits, replaces its callbacks by those of this module. */
int overlay_load(bool fits);
/* Whether libvirt's own driver serves the node of this name. */
bool stock_serves(const char *name);
/* Whether the name is of a bus of libvirt's own driver that can have parents of mediated devices. */
bool stock_bus(const char *name);
/* Whether libvirt's own driver may have a node of this name, on any bus. */
bool stock_name(const char *name);

#endif
