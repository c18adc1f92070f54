/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The private interface between libvirt's core and its drivers, as far as this module uses it. Declared from observation.
 * module.c has the releases for which it is right; overlay.c and bridge.c check it at run time.
 */
#ifndef MDEV_LIBVIRT_ABI_H
#define MDEV_LIBVIRT_ABI_H

#include <stdbool.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

/* A function of any type; it is converted to its own type before a call. */
typedef void (*lv_any)(void);

/* The node-device callbacks, in libvirt's order. Releases only append members; "later" is space for them. */
struct lv_nodedev_driver {
	const char *name;
	int (*num_of_devices)(virConnectPtr conn, const char *cap, unsigned int flags);
	int (*list_devices)(virConnectPtr conn, const char *cap, char **const names, int maxnames, unsigned int flags);
	int (*list_all)(virConnectPtr conn, virNodeDevicePtr **devices, unsigned int flags);
	int (*event_register)(virConnectPtr conn, virNodeDevicePtr dev, int event,
			      virConnectNodeDeviceEventGenericCallback callback, void *opaque, virFreeCallback freecb);
	int (*event_deregister)(virConnectPtr conn, int id);
	virNodeDevicePtr (*lookup_by_name)(virConnectPtr conn, const char *name);
	virNodeDevicePtr (*lookup_by_wwn)(virConnectPtr conn, const char *wwnn, const char *wwpn, unsigned int flags);
	char *(*get_xml)(virNodeDevicePtr dev, unsigned int flags);
	char *(*get_parent)(virNodeDevicePtr dev);
	int (*num_of_caps)(virNodeDevicePtr dev);
	int (*list_caps)(virNodeDevicePtr dev, char **const names, int maxnames);
	virNodeDevicePtr (*create_xml)(virConnectPtr conn, const char *xml, unsigned int flags);
	int (*destroy)(virNodeDevicePtr dev);
	virNodeDevicePtr (*define_xml)(virConnectPtr conn, const char *xml, unsigned int flags);
	int (*undefine)(virNodeDevicePtr dev, unsigned int flags);
	int (*create)(virNodeDevicePtr dev, unsigned int flags);
	int (*set_autostart)(virNodeDevicePtr dev, int autostart);
	int (*get_autostart)(virNodeDevicePtr dev, int *autostart);
	int (*is_persistent)(virNodeDevicePtr dev);
	int (*is_active)(virNodeDevicePtr dev);
	void *later[11];
};

/* The first of 243 members; the others are NULL, which means "not supported". */
struct lv_hypervisor_driver {
	const char *name;
	int (*probe_uri)(char **uri);
	int (*open)(virConnectPtr conn, virConnectAuthPtr auth, void *conf, unsigned int flags);
	int (*close)(virConnectPtr conn);
	void *rest[508];
};

/* Results of open(). */
enum { LV_OPEN_SUCCESS = 0, LV_OPEN_DECLINED = -1, LV_OPEN_ERROR = -2 };

struct lv_connect_driver {
	bool local_only;
	bool remote_only;
	bool embeddable;
	const char **uri_schemes;
	struct lv_hypervisor_driver *hypervisor;
	void *interface;
	void *network;
	struct lv_nodedev_driver *nodedev;
	void *nwfilter;
	void *secret;
	void *storage;
	void *later[4];
};

/* A node-device object: the header of a GObject, then these members. */
struct lv_nodedev_object {
	void *header[3];
	virConnectPtr conn;
	char *name;
	char *parent;
};

/* Of a definition, the access managers read only the name. */
struct lv_nodedev_def {
	char *name;
	void *rest[63];
};

#endif
