/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this module know of each other. */
#ifndef MDEV_LIBVIRT_MODULE_H
#define MDEV_LIBVIRT_MODULE_H

#include <stdbool.h>
#include <stddef.h>

#include <libmdev.h>

#include "abi.h"

#define EXPORT __attribute__((visibility("default")))

/* What libvirt calls once it has loaded this module: by the one file name, and by the other. */
EXPORT int mdevRegister(void);
EXPORT int nodedevRegister(void);

/* ---- bridge.c: libmdev's table, and libvirt's own functions that no header tells ---- */

extern const struct mdev_driver *mdev;

/* The calls that libvirt's access control knows, in the order of the driver's table. */
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

/* Finds libvirt's functions, once; -1 with the error raised. */
int bridge_find(void);
/* The same, and loads libmdev. */
int bridge_load(void);
int bridge_register(struct lv_connect_driver *driver, bool set_shared);
virNodeDevicePtr bridge_node(virConnectPtr conn, const char *name);
/* Whether this thread serves a client of a daemon's. */
bool bridge_serves(void);
/* Has libmdev's warnings in libvirt's log. For a daemon: in a client's process they are the client's. */
void bridge_log(void);

/* ---- acl.c: each returns 0, or -1 with the error raised; a filter tells ---- */

int acl_conn(enum acl call, virConnectPtr conn);
int acl_node(enum acl call, virConnectPtr conn, const char *name);
bool acl_shows(enum acl call, virConnectPtr conn, const char *name);

/* ---- errors.c ---- */

/* Raise an error of libvirt's; so does every function here that returns -1 or NULL for a failure. */
#define fail(code, ...) raise_error((code), __func__, __LINE__, __VA_ARGS__)
void raise_error(int code, const char *function, size_t line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The last error of libmdev in this thread, as libvirt's. */
#define fail_mdev() raise_mdev(__func__, __LINE__)
void raise_mdev(const char *function, size_t line);

/* ---- host.c ---- */

struct events;

/* Settings that show more nodes than the default: see shown.c. */
struct settings {
	bool vendor_vfio;
	bool other_buses;
};

/* A host of libmdev's, and who listens to it: one for each connection, or one for the whole daemon. */
struct host {
	struct mdev_conn *conn;
	struct events *events;
	/* Several nodes of libvirt's own lie beneath: see overlay.c. */
	const struct lv_nodedev_driver *stock;
	struct settings settings;
	int refs;
};

int host_open(virConnectPtr conn, const char *uri, const struct settings *settings);
void host_close(virConnectPtr conn);
/* The daemon's: opened when the first call needs it, as a daemon forks after it has loaded its modules. */
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

/* The bit of a capability's name; 0 when there is none. */
unsigned int cap_flag(const char *cap);
/* The nodes that a call may see, after its filters. */
int nodes_list(struct host *host, virConnectPtr conn, enum acl call, unsigned int flags, struct names *ret);

/* A node that one call is about. */
struct node {
	struct host *host;
	struct mdev_device *dev;	/* NULL: this is the computer */
	const char *name;
};

int node_find(struct node *node, virConnectPtr conn, const char *name);
/* The same, and the call may be made. */
int node_open(struct node *node, virNodeDevicePtr dev, enum acl call);
void node_put(struct node *node);
/* Whether node_find() finds it; raises nothing. */
bool node_exists(struct host *host, const char *name);
virConnectPtr node_conn(virNodeDevicePtr dev);
const char *node_name(virNodeDevicePtr dev);

/* ---- shown.c: the nodes that clients get ---- */

/* For a daemon: reads the module's configuration file. Without the file, the defaults hold. */
int settings_read(struct settings *ret);
/* False: no such name, or a value other than 0 and 1. */
bool settings_set(struct settings *settings, const char *name, const char *value);
bool node_is_shown(struct host *host, struct mdev_device *dev);
/* Raises an error with the reason why a node is not shown, and the setting that shows it. */
void fail_not_shown(struct host *host, int code, struct mdev_device *dev, const char *name);
/* Whether a device may be created under the parent that XML names; with must_exist, only if the parent exists. */
int check_parent(struct host *host, const char *xml, bool must_exist);

/* ---- computer.c: the root of the tree ---- */

#define COMPUTER "computer"
char *computer_xml(struct host *host);

/* ---- xml.c ---- */

/* Whether the XML wants a device of another kind than ours. */
bool xml_is_for_stock(const char *xml);
/* Whether the XML is for a device of ours. XML that libmdev cannot read is for none. */
bool xml_is_for_mdev(const char *xml);
/* The text of an element right below the root, to be freed; NULL when there is none. */
char *xml_text(const char *xml, const char *name);
/* By libvirt's own schema. A name, which that wants and a create has not, is put in. */
int xml_validate(const char *xml);

/* ---- events.c ---- */

struct events *events_new(struct host *host);
void events_free(struct events *events);
int events_register(struct host *host, virConnectPtr conn, virNodeDevicePtr dev, int event,
		    virConnectNodeDeviceEventGenericCallback callback, void *opaque, virFreeCallback freecb);
int events_deregister(struct host *host, virConnectPtr conn, int id);

/* ---- node_state.c: the nodes that were announced ---- */

enum { KNOWN_ACTIVE = 1, KNOWN_DEFINED = 2, NODE_STATE_PARENT = 4 };

struct node_state {
	struct node_state *next;
	unsigned int state;
	char name[];
};

/* Lists them anew; those in old are freed by node_states_free(). */
int node_states_read(struct node_state **ret, struct host *host);
void node_states_free(struct node_state *list);
/* What the last event of a node says of its state; 0: there is none. Not enough memory: it is not remembered. */
void node_states_set(struct node_state **list, const char *name, unsigned int state);
unsigned int node_state_of(const struct node_state *list, const char *name);

/* ---- nodedev.c, overlay.c: the callbacks ---- */

extern struct lv_nodedev_driver nodedev_driver;
/* Loads libvirt's own driver; fits: and puts ours over it. */
int overlay_load(bool fits);
/* Whether what libvirt's own driver tells of a node goes through. */
bool stock_tells(const char *name);
/* Whether that driver has the nodes of such names: of a bus that may have parents of mediated devices. */
bool stock_bus(const char *name);
/* Whether it may have a node of this name: of that or of another bus. */
bool stock_name(const char *name);

#endif
