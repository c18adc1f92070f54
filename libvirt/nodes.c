// SPDX-License-Identifier: LGPL-2.1-or-later
/* Finding nodes: by the filters of a list, and by name. */

#include <stdlib.h>
#include <string.h>

#include "module.h"

#define ALL_CAPS (VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPD * 2u - 1u)
#define BOTH_STATES (VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE | VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE)
#define MAX_CAPS 8

/* The names of the legacy calls, in the order of the flags. */
static const char *const cap_names[] = {
	"system", "pci", "usb_device", "usb", "net", "scsi_host", "scsi_target", "scsi", "storage", "fc_host", "vports",
	"scsi_generic", "drm", "mdev_types", "mdev", "ccw", "css", "vdpa", "ap_card", "ap_queue", "ap_matrix", "vpd",
};

unsigned int cap_flag(const char *cap)
{
	size_t i;

	for (i = 0; i < sizeof(cap_names) / sizeof(*cap_names); i++) {
		if (!strcmp(cap_names[i], cap))
			return 1u << i;
	}
	return 0;
}

/* ---- names ---- */

int names_add(struct names *names, const char *name)
{
	size_t room = names->room ? names->room * 2 : 64;
	char **list;

	if (names->count == names->room) {
		list = realloc(names->list, room * sizeof(*list));
		if (!list) {
			fail(VIR_ERR_NO_MEMORY, "no memory for %zu names", room);
			return -1;
		}
		names->list = list;
		names->room = room;
	}
	names->list[names->count] = strdup(name);
	if (!names->list[names->count]) {
		fail(VIR_ERR_NO_MEMORY, "no memory for a name");
		return -1;
	}
	names->count++;
	return 0;
}

void names_clear(struct names *names)
{
	size_t i;

	for (i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
	memset(names, 0, sizeof(*names));
}

/* ---- lists ---- */

static unsigned int caps_of(struct mdev_device *dev)
{
	char *names[MAX_CAPS];
	unsigned int caps = 0;
	int i, n = mdev->list_caps(dev, names, MAX_CAPS);

	for (i = 0; i < n; i++) {
		caps |= cap_flag(names[i]);
		free(names[i]);
	}
	return caps;
}

/* The flags of libmdev that exclude the nodes which the filter excludes: libmdev then does not read them. */
static unsigned int mdev_flags(unsigned int flags)
{
	unsigned int caps = flags & ALL_CAPS, ret = MDEV_LIST_NO_TYPES;

	if (!caps || caps & ~(unsigned int)VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV)
		ret |= MDEV_LIST_PARENTS;
	if (!caps || caps & VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV)
		ret |= MDEV_LIST_DEVICES;
	if (!(flags & BOTH_STATES) || flags & VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE)
		ret |= MDEV_LIST_ACTIVE;
	if (!(flags & BOTH_STATES) || flags & VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE)
		ret |= MDEV_LIST_INACTIVE;
	return ret;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The nodes of libvirt's own driver, without the nodes that libmdev serves. Sorted. */
static int list_stock(struct host *host, virConnectPtr conn, unsigned int flags, struct names *ret)
{
	virNodeDevicePtr *list = NULL;
	int i, rc = 0, n = host->stock->list_all(conn, &list, flags);

	if (n < 0)
		return -1;
	for (i = 0; i < n; i++) {
		const char *name = node_name(list[i]);

		if (rc == 0 && stock_serves(name))
			rc = names_add(ret, name);
	}
	for (i = 0; i < n; i++)
		virNodeDeviceFree(list[i]);
	free(list);
	if (rc < 0)
		fail(VIR_ERR_NO_MEMORY, "no memory for a list");
	else if (ret->count)
		qsort(ret->list, ret->count, sizeof(*ret->list), compare);
	return rc;
}

/* Whether libvirt's own driver has a node of this name: a look-up by the name would return that node, not this device. */
static bool is_hidden_by_stock(struct host *host, virConnectPtr conn, struct mdev_device *dev, const char *name)
{
	virNodeDevicePtr other;

	if (!host->stock || mdev->device_is_parent(dev) == 1 || !stock_name(name))
		return false;
	other = host->stock->lookup_by_name(conn, name);
	if (other)
		virNodeDeviceFree(other);
	virResetLastError();
	return other;
}

static int list_ours(struct host *host, virConnectPtr conn, enum acl call, unsigned int flags, struct names *ret)
{
	unsigned int caps = flags & ALL_CAPS;
	size_t stock = ret->count;
	struct mdev_device **list, **dev;
	const char *name;
	int rc = 0;

	if (mdev->list_all_devices(host->conn, &list, mdev_flags(flags)) < 0) {
		fail_mdev();
		return -1;
	}
	for (dev = list; *dev && rc == 0; dev++) {
		if ((caps && !(caps & caps_of(*dev))) || !node_is_shown(host, *dev) || mdev->device_get_name(*dev, &name) < 0 ||
		    !acl_shows(call, conn, name) || is_hidden_by_stock(host, conn, *dev, name))
			continue;
		if (!stock || !bsearch(&name, ret->list, stock, sizeof(*ret->list), compare))
			rc = names_add(ret, name);
	}
	mdev->device_list_free(list);
	return rc;
}

static int list_computer(virConnectPtr conn, enum acl call, unsigned int flags, struct names *ret)
{
	unsigned int caps = flags & ALL_CAPS;

	if ((caps && !(caps & VIR_CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM)) ||
	    (flags & BOTH_STATES) == VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE || !acl_shows(call, conn, COMPUTER))
		return 0;
	return names_add(ret, COMPUTER);
}

/* Whether the filter selects only mediated devices and their parents: libmdev then has all nodes. */
static bool is_mdev_only(unsigned int flags)
{
	unsigned int ours = VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV | VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES;

	return flags & ALL_CAPS && !(flags & ALL_CAPS & ~ours);
}

int nodes_list(struct host *host, virConnectPtr conn, enum acl call, unsigned int flags, struct names *ret)
{
	int rc = 0;

	if (flags & ~(ALL_CAPS | BOTH_STATES)) {
		fail(VIR_ERR_INVALID_ARG, "unknown flags (0x%x) for a list of node devices",
		     flags & ~(ALL_CAPS | BOTH_STATES));
		return -1;
	}
	if (!host->stock)
		rc = list_computer(conn, call, flags, ret);
	else if (!is_mdev_only(flags))
		rc = list_stock(host, conn, flags, ret);
	if (rc == 0)
		rc = list_ours(host, conn, call, flags, ret);
	if (rc < 0)
		names_clear(ret);
	return rc;
}

/* ---- one node ---- */

/* Not by the public getters, which reset the last error. */
virConnectPtr node_conn(virNodeDevicePtr dev)
{
	return ((const struct lv_nodedev_object *)(const void *)dev)->conn;
}

const char *node_name(virNodeDevicePtr dev)
{
	return ((const struct lv_nodedev_object *)(const void *)dev)->name;
}

bool node_exists(struct host *host, const char *name)
{
	struct mdev_device *dev;
	bool shown;

	if (!host->stock && !strcmp(name, COMPUTER))
		return true;
	if (mdev->lookup_by_name(host->conn, name, &dev) < 0)
		return false;
	shown = node_is_shown(host, dev);
	mdev->device_unref(dev);
	return shown;
}

int node_find(struct node *node, virConnectPtr conn, const char *name)
{
	memset(node, 0, sizeof(*node));
	node->host = host_get(conn);
	if (!node->host)
		return -1;
	if (!node->host->stock && !strcmp(name, COMPUTER)) {
		node->name = COMPUTER;
		return 0;
	}
	/* A parent has several names. The access check always gets the name that is in lists. */
	if (mdev->lookup_by_name(node->host->conn, name, &node->dev) < 0 ||
	    mdev->device_get_name(node->dev, &node->name) < 0) {
		fail_mdev();
		node_put(node);
		return -1;
	}
	if (!node_is_shown(node->host, node->dev)) {
		fail_not_shown(node->host, VIR_ERR_NO_NODE_DEVICE, node->dev, node->name);
		node_put(node);
		return -1;
	}
	return 0;
}

int node_open(struct node *node, virNodeDevicePtr dev, enum acl call)
{
	virConnectPtr conn = node_conn(dev);

	if (node_find(node, conn, node_name(dev)) < 0)
		return -1;
	if (acl_node(call, conn, node->name) < 0) {
		node_put(node);
		return -1;
	}
	return 0;
}

/* Keeps the last error of libvirt and of libmdev. */
void node_put(struct node *node)
{
	mdev->device_unref(node->dev);
	host_put(node->host);
	memset(node, 0, sizeof(*node));
}
