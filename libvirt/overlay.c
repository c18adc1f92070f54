// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libmdev beside libvirt's own node-device driver, in a daemon. The daemon loads this module in place of that driver. The
 * module loads the driver, and replaces its callbacks in the table that all drivers of the daemon share. Mediated devices are
 * served by libmdev, all other nodes by libvirt's own driver: its XML of a PCI function has more elements, and libvirt's qemu
 * driver requires that XML.
 */

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

/* The table as it was. */
static struct lv_nodedev_driver stock;

/* ---- which driver serves a node ---- */

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* False for mediated devices, and for mtty: libvirt's own driver lists this parent, but its XML does not follow the schema. */
bool stock_serves(const char *name)
{
	return !starts_with(name, "mdev_") && !starts_with(name, "mtty_");
}

bool stock_bus(const char *name)
{
	return starts_with(name, "pci_") || starts_with(name, "css_") || starts_with(name, "ap_");
}

/* Names of nodes of libvirt's own driver. Any other name may be the name of a mediated device. */
bool stock_name(const char *name)
{
	static const char *const starts[] = { "computer", "usb_", "net_", "scsi_", "block_", "drm_", "ccw_", "vdpa_", "fc_" };
	size_t i;

	for (i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		if (starts_with(name, starts[i]))
			return true;
	}
	return stock_bus(name);
}

static bool exists_in_libmdev(virConnectPtr conn, const char *name)
{
	struct host *host = host_get(conn);
	bool found = host && node_exists(host, name);

	host_put(host);
	return found;
}

static bool is_ours(virConnectPtr conn, const char *name)
{
	return !stock_serves(name) || (!stock_name(name) && exists_in_libmdev(conn, name));
}

/* Whether libvirt's own driver lacks a node that libmdev has: it leaves out a parent with an unreadable file. */
static bool is_missed(virConnectPtr conn, const char *name)
{
	return virGetLastErrorCode() == VIR_ERR_NO_NODE_DEVICE && exists_in_libmdev(conn, name);
}

#define OURS(dev) is_ours(node_conn(dev), node_name(dev))
#define MISSED(dev) is_missed(node_conn(dev), node_name(dev))

/* ---- callbacks that select the driver ---- */

static virNodeDevicePtr lookup_by_name(virConnectPtr conn, const char *name)
{
	virNodeDevicePtr dev;

	if (is_ours(conn, name))
		return nodedev_driver.lookup_by_name(conn, name);
	dev = stock.lookup_by_name(conn, name);
	/* If libvirt has no node of this name, raise libmdev's error, which has the reason. */
	if (!dev && virGetLastErrorCode() == VIR_ERR_NO_NODE_DEVICE && (!stock_name(name) || exists_in_libmdev(conn, name)))
		return nodedev_driver.lookup_by_name(conn, name);
	return dev;
}

/* libvirt's own driver raises no error if no node matches. */
static virNodeDevicePtr lookup_by_wwn(virConnectPtr conn, const char *wwnn, const char *wwpn, unsigned int flags)
{
	virNodeDevicePtr dev = stock.lookup_by_wwn(conn, wwnn, wwpn, flags);

	return !dev && virGetLastErrorCode() == VIR_ERR_OK ? nodedev_driver.lookup_by_wwn(conn, wwnn, wwpn, flags) : dev;
}

static char *get_parent(virNodeDevicePtr dev)
{
	char *parent;

	if (OURS(dev))
		return nodedev_driver.get_parent(dev);
	parent = stock.get_parent(dev);
	return !parent && MISSED(dev) ? nodedev_driver.get_parent(dev) : parent;
}

static int is_active(virNodeDevicePtr dev)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.is_active(dev);
	rc = stock.is_active(dev);
	return rc < 0 && MISSED(dev) ? nodedev_driver.is_active(dev) : rc;
}

static int is_persistent(virNodeDevicePtr dev)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.is_persistent(dev);
	rc = stock.is_persistent(dev);
	return rc < 0 && MISSED(dev) ? nodedev_driver.is_persistent(dev) : rc;
}

static int get_autostart(virNodeDevicePtr dev, int *autostart)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.get_autostart(dev, autostart);
	rc = stock.get_autostart(dev, autostart);
	return rc < 0 && MISSED(dev) ? nodedev_driver.get_autostart(dev, autostart) : rc;
}

static int destroy(virNodeDevicePtr dev)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.destroy(dev);
	rc = stock.destroy(dev);
	return rc < 0 && MISSED(dev) ? nodedev_driver.destroy(dev) : rc;
}

static int undefine(virNodeDevicePtr dev, unsigned int flags)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.undefine(dev, flags);
	rc = stock.undefine(dev, flags);
	return rc < 0 && MISSED(dev) ? nodedev_driver.undefine(dev, flags) : rc;
}

static int create(virNodeDevicePtr dev, unsigned int flags)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.create(dev, flags);
	rc = stock.create(dev, flags);
	return rc < 0 && MISSED(dev) ? nodedev_driver.create(dev, flags) : rc;
}

static int set_autostart(virNodeDevicePtr dev, int autostart)
{
	int rc;

	if (OURS(dev))
		return nodedev_driver.set_autostart(dev, autostart);
	rc = stock.set_autostart(dev, autostart);
	return rc < 0 && MISSED(dev) ? nodedev_driver.set_autostart(dev, autostart) : rc;
}

static virNodeDevicePtr create_xml(virConnectPtr conn, const char *xml, unsigned int flags)
{
	return xml_is_for_stock(xml) ? stock.create_xml(conn, xml, flags) : nodedev_driver.create_xml(conn, xml, flags);
}

static virNodeDevicePtr define_xml(virConnectPtr conn, const char *xml, unsigned int flags)
{
	return xml_is_for_stock(xml) ? stock.define_xml(conn, xml, flags) : nodedev_driver.define_xml(conn, xml, flags);
}

/* ---- parents whose types libvirt's own driver does not show ---- */

#define TYPES "mdev_types"

/*
 * Whether libmdev has types of a node for which libvirt's own driver shows none: a PF without mdev, or a parent with an
 * unreadable type.
 */
static bool has_types(virNodeDevicePtr dev)
{
	struct node node;
	const struct mdev_type *const *types;
	bool ret;

	if (!stock_bus(node_name(dev)))
		return false;
	if (node_find(&node, node_conn(dev), node_name(dev)) < 0) {
		virResetLastError();
		return false;
	}
	ret = mdev->list_types(node.dev, &types) > 0;
	node_put(&node);
	return ret;
}

static char *get_xml(virNodeDevicePtr dev, unsigned int flags)
{
	char *xml;

	if (OURS(dev))
		return nodedev_driver.get_xml(dev, flags);
	xml = stock.get_xml(dev, flags);
	if (xml ? !strstr(xml, "<capability type='" TYPES "'>") && has_types(dev) : MISSED(dev)) {
		free(xml);
		xml = nodedev_driver.get_xml(dev, flags);
	}
	return xml;
}

static int list_caps(virNodeDevicePtr dev, char **const names, int max)
{
	int i, n;

	if (OURS(dev))
		return nodedev_driver.list_caps(dev, names, max);
	n = stock.list_caps(dev, names, max);
	if (n < 0)
		return MISSED(dev) ? nodedev_driver.list_caps(dev, names, max) : -1;
	for (i = 0; i < n && strcmp(names[i], TYPES); i++)
		;
	if (i == n && n < max && has_types(dev)) {
		names[n] = strdup(TYPES);
		n += names[n] ? 1 : 0;
	}
	return n;
}

static int num_of_caps(virNodeDevicePtr dev)
{
	char *names[32];
	int i, n = list_caps(dev, names, 32);

	for (i = 0; i < n; i++)
		free(names[i]);
	return n;
}

/* ---- installation ---- */

/* Loads libvirt's own driver from the folder that was set when libvirt was built. */
static void *load_stock(int (**ret)(void))
{
	void *library = dlopen(STOCK_NODEDEV, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE), *found;

	found = library ? dlsym(library, "nodedevRegister") : NULL;
	memcpy(ret, &found, sizeof(found));
	return found && *ret != nodedevRegister ? library : NULL;
}

static int decline(virConnectPtr conn, virConnectAuthPtr auth, void *conf, unsigned int flags)
{
	(void)conn;
	(void)auth;
	(void)conf;
	(void)flags;
	return LV_OPEN_DECLINED;
}

/* libvirt sets the shared node-device driver in a new driver that has none. So the probe gets the address of its table. */
static struct lv_nodedev_driver *find_table(void)
{
	static const char *no_schemes[] = { NULL };
	static struct lv_hypervisor_driver hypervisor = { .name = "mdev", .open = decline };
	static struct lv_connect_driver probe = { .uri_schemes = no_schemes, .hypervisor = &hypervisor };

	if (bridge_register(&probe, true) < 0)
		return NULL;
	return probe.nodedev;
}

/* The name of the first member of the table that does not point to the function of this name in libvirt's driver; else NULL. */
static const char *find_mismatch(void *library, const struct lv_nodedev_driver *table)
{
	const struct {
		const char *name;
		const void *place;
	} expected[] = {
		{ "nodeNumOfDevices", &table->num_of_devices },
		{ "nodeListDevices", &table->list_devices },
		{ "nodeConnectListAllNodeDevices", &table->list_all },
		{ "nodeConnectNodeDeviceEventRegisterAny", &table->event_register },
		{ "nodeConnectNodeDeviceEventDeregisterAny", &table->event_deregister },
		{ "nodeDeviceLookupByName", &table->lookup_by_name },
		{ "nodeDeviceLookupSCSIHostByWWN", &table->lookup_by_wwn },
		{ "nodeDeviceGetXMLDesc", &table->get_xml },
		{ "nodeDeviceGetParent", &table->get_parent },
		{ "nodeDeviceNumOfCaps", &table->num_of_caps },
		{ "nodeDeviceListCaps", &table->list_caps },
		{ "nodeDeviceCreateXML", &table->create_xml },
		{ "nodeDeviceDestroy", &table->destroy },
		{ "nodeDeviceDefineXML", &table->define_xml },
		{ "nodeDeviceUndefine", &table->undefine },
		{ "nodeDeviceCreate", &table->create },
		{ "nodeDeviceSetAutostart", &table->set_autostart },
		{ "nodeDeviceGetAutostart", &table->get_autostart },
		{ "nodeDeviceIsPersistent", &table->is_persistent },
		{ "nodeDeviceIsActive", &table->is_active },
	};
	size_t i;

	for (i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		void *found = dlsym(library, expected[i].name);

		if (!found || memcmp(&found, expected[i].place, sizeof(found)))
			return expected[i].name;
	}
	return NULL;
}

/* Member by member, so that members that a later release has appended keep libvirt's functions. */
static void replace_callbacks(struct lv_nodedev_driver *table)
{
	table->num_of_devices = nodedev_driver.num_of_devices;
	table->list_devices = nodedev_driver.list_devices;
	table->list_all = nodedev_driver.list_all;
	table->event_register = nodedev_driver.event_register;
	table->event_deregister = nodedev_driver.event_deregister;
	table->lookup_by_name = lookup_by_name;
	table->lookup_by_wwn = lookup_by_wwn;
	table->get_xml = get_xml;
	table->get_parent = get_parent;
	table->num_of_caps = num_of_caps;
	table->list_caps = list_caps;
	table->create_xml = create_xml;
	table->destroy = destroy;
	table->define_xml = define_xml;
	table->undefine = undefine;
	table->create = create;
	table->set_autostart = set_autostart;
	table->get_autostart = get_autostart;
	table->is_persistent = is_persistent;
	table->is_active = is_active;
}

static void overlay(void *library)
{
	struct lv_nodedev_driver *table = find_table();
	const char *wrong = table ? find_mismatch(library, table) : "table";

	if (wrong) {
		fail(VIR_ERR_OPERATION_UNSUPPORTED,
		     "%s is not at the expected place in the driver table of this libvirt; only libvirt's own node-device driver is "
		     "used; use a libvirt release that libmdev supports", wrong);
		return;
	}
	/* Up to "later": our declaration of the table may be longer than the table. */
	memcpy(&stock, table, offsetof(struct lv_nodedev_driver, later));
	bridge_log();
	host_share(&stock);
	replace_callbacks(table);
}

int overlay_load(bool fits)
{
	static bool done;
	int (*load)(void) = NULL;
	void *library;
	int rc;

	if (done)
		return 0;
	library = load_stock(&load);
	/* libvirt treats a missing driver file in the same way: the daemon runs without the driver. */
	if (!library) {
		if (fits)
			fail(VIR_ERR_OPERATION_FAILED, "libvirt's own node-device driver cannot be loaded from %s: %s",
			     STOCK_NODEDEV, dlerror());
		return 0;
	}
	/* The index of the driver among the drivers with a state. */
	rc = load();
	if (rc >= 0 && fits)
		overlay(library);
	done = true;
	return rc;
}
