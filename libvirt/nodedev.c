// SPDX-License-Identifier: LGPL-2.1-or-later
/* The callbacks of libvirt's node-device driver. Each calls the function of libmdev with the same purpose. */

#include <stdlib.h>
#include <string.h>

#include "module.h"

/* Fails if the installed libmdev does not have this member of its table. */
#define NEED(member, failure)                                                                                          \
	do {                                                                                                           \
		if (!MDEV_DRIVER_HAS(mdev, member)) {                                                                  \
			fail(VIR_ERR_NO_SUPPORT, "the installed libmdev (%s) has no " #member "; install a later one", \
			     mdev->version());                                                                         \
			return failure;                                                                                \
		}                                                                                                      \
	} while (0)

static int no_flags(unsigned int flags, unsigned int supported)
{
	if (!(flags & ~supported))
		return 0;
	fail(VIR_ERR_INVALID_ARG, "unknown flags (0x%x)", flags & ~supported);
	return -1;
}

/* ---- lists ---- */

/* The names of the nodes that a call lists. */
static int list_names(virConnectPtr conn, enum acl call, unsigned int flags, struct names *ret)
{
	struct host *host;
	int rc;

	if (acl_conn(call, conn) < 0)
		return -1;
	host = host_get(conn);
	if (!host)
		return -1;
	rc = nodes_list(host, conn, call, flags, ret);
	host_put(host);
	return rc;
}

static int list_of_cap(virConnectPtr conn, enum acl call, const char *cap, struct names *ret)
{
	/* No node has a capability that libvirt does not have. */
	if (cap && !cap_flag(cap))
		return acl_conn(call, conn);
	return list_names(conn, call, (cap ? cap_flag(cap) : 0) | VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE, ret);
}

static int num_of_devices(virConnectPtr conn, const char *cap, unsigned int flags)
{
	struct names names = { 0 };
	int rc;

	if (no_flags(flags, 0) < 0)
		return -1;
	rc = list_of_cap(conn, ACL_NUM_OF_DEVICES, cap, &names);
	if (rc == 0)
		rc = (int)names.count;
	names_clear(&names);
	return rc;
}

static int list_devices(virConnectPtr conn, const char *cap, char **const ret, int max, unsigned int flags)
{
	struct names names = { 0 };
	int i, rc;

	if (no_flags(flags, 0) < 0)
		return -1;
	rc = list_of_cap(conn, ACL_LIST_DEVICES, cap, &names);
	for (i = 0; rc == 0 && i < max && (size_t)i < names.count; i++) {
		/* The caller frees the name. */
		ret[i] = names.list[i];
		names.list[i] = NULL;
	}
	names_clear(&names);
	return rc < 0 ? -1 : i;
}

static void free_nodes(virNodeDevicePtr *list)
{
	size_t i;

	for (i = 0; list && list[i]; i++)
		virNodeDeviceFree(list[i]);
	free(list);
}

static int list_all(virConnectPtr conn, virNodeDevicePtr **ret, unsigned int flags)
{
	struct names names = { 0 };
	virNodeDevicePtr *list;
	int n = -1;
	size_t i;

	if (list_names(conn, ACL_LIST_ALL, flags, &names) < 0)
		return -1;
	if (!ret) {
		n = (int)names.count;
		names_clear(&names);
		return n;
	}
	list = calloc(names.count + 1, sizeof(*list));
	if (!list)
		fail(VIR_ERR_NO_MEMORY, "no memory for %zu node devices", names.count);
	for (i = 0; list && i < names.count; i++) {
		list[i] = bridge_node(conn, names.list[i]);
		if (!list[i])
			break;
	}
	if (list && i == names.count) {
		n = (int)i;
		*ret = list;
	} else {
		/* The error has been raised. */
		free_nodes(list);
	}
	names_clear(&names);
	return n;
}

static virNodeDevicePtr lookup_by_name(virConnectPtr conn, const char *name)
{
	virNodeDevicePtr ret = NULL;
	struct node node;

	if (node_find(&node, conn, name) < 0)
		return NULL;
	if (acl_node(ACL_LOOKUP_BY_NAME, conn, node.name) == 0)
		ret = bridge_node(conn, node.name);
	node_put(&node);
	return ret;
}

static virNodeDevicePtr lookup_by_wwn(virConnectPtr conn, const char *wwnn, const char *wwpn, unsigned int flags)
{
	/* No access check: no node has a WWN, so no policy can hide one. */
	(void)conn;
	if (no_flags(flags, 0) == 0)
		fail(VIR_ERR_NO_NODE_DEVICE, "no node device with matching wwnn '%s' and wwpn '%s'", wwnn, wwpn);
	return NULL;
}

/* ---- data of a node ---- */

static char *get_xml(virNodeDevicePtr dev, unsigned int flags)
{
	struct node node;
	char *xml = NULL;

	if (no_flags(flags, 0) < 0 || node_open(&node, dev, ACL_GET_XML) < 0)
		return NULL;
	if (!node.dev)
		xml = computer_xml(node.host);
	else if (mdev->get_xml_desc(node.dev, &xml, MDEV_XML_LIBVIRT) < 0)
		fail_mdev();
	node_put(&node);
	return xml;
}

/*
 * The parent for the tree that a client prints; a client leaves out nodes whose parent is not in its list. So the parent is
 * "computer" if the real parent is not in the list: a bridge, which only libvirt's own driver lists, or a parent that is not
 * shown. The XML names the real parent.
 */
static const char *parent_in_list(struct node *node)
{
	const char *parent;

	if (mdev->get_parent(node->dev, &parent) < 0)
		return NULL;
	if (node->host->stock && mdev->device_is_parent(node->dev) == 1)
		return parent;
	return node_exists(node->host, parent) ? parent : COMPUTER;
}

static char *get_parent(virNodeDevicePtr dev)
{
	struct node node;
	const char *parent;
	char *ret = NULL;

	if (node_open(&node, dev, ACL_GET_PARENT) < 0)
		return NULL;
	if (!node.dev) {
		fail(VIR_ERR_INTERNAL_ERROR, "no parent for this device");
	} else {
		parent = parent_in_list(&node);
		if (parent)
			ret = strdup(parent);
		else
			fail_mdev();
	}
	node_put(&node);
	return ret;
}

/* Closes a node and returns rc, the result of libmdev; raises libmdev's error if rc is negative. */
static int done(struct node *node, int rc)
{
	if (rc < 0)
		fail_mdev();
	node_put(node);
	return rc < 0 ? -1 : rc;
}

static int num_of_caps(virNodeDevicePtr dev)
{
	struct node node;

	if (node_open(&node, dev, ACL_NUM_OF_CAPS) < 0)
		return -1;
	return done(&node, node.dev ? mdev->num_of_caps(node.dev) : 1);
}

static int list_caps(virNodeDevicePtr dev, char **const names, int max)
{
	struct node node;
	int n = 0;

	if (node_open(&node, dev, ACL_LIST_CAPS) < 0)
		return -1;
	if (!node.dev && max > 0) {
		names[0] = strdup("system");
		n = names[0] ? 1 : 0;
	}
	return done(&node, node.dev ? mdev->list_caps(node.dev, names, max) : n);
}

static int is_active(virNodeDevicePtr dev)
{
	struct node node;

	if (node_open(&node, dev, ACL_IS_ACTIVE) < 0)
		return -1;
	return done(&node, node.dev ? mdev->is_active(node.dev) : 1);
}

static int is_persistent(virNodeDevicePtr dev)
{
	struct node node;

	NEED(is_persistent, -1);
	if (node_open(&node, dev, ACL_IS_PERSISTENT) < 0)
		return -1;
	return done(&node, node.dev ? mdev->is_persistent(node.dev) : 1);
}

static int get_autostart(virNodeDevicePtr dev, int *autostart)
{
	struct node node;
	int rc = 0;

	NEED(get_autostart, -1);
	if (node_open(&node, dev, ACL_GET_AUTOSTART) < 0)
		return -1;
	*autostart = 1;
	if (node.dev)
		rc = mdev->get_autostart(node.dev, autostart);
	/* In libvirt, a device without a definition has no autostart; that is not an error. */
	if (rc < 0 && mdev->error_get_code(mdev->last_error()) == MDEV_ERROR_WRONG_STATE)
		rc = *autostart = 0;
	return done(&node, rc);
}

/* ---- changes ---- */

/* If not, unknown elements are ignored, as by libvirt's own driver: XML of a later libvirt may have such elements. */
static bool is_validated(unsigned int flags)
{
	return flags & VIR_NODE_DEVICE_CREATE_XML_VALIDATE;
}

static int may_make(virConnectPtr conn, enum acl call, const char *xml, unsigned int flags)
{
	/* The name that libvirt's own driver passes to an access policy for a new device. */
	if (no_flags(flags, VIR_NODE_DEVICE_CREATE_XML_VALIDATE) < 0 || acl_node(call, conn, "new device") < 0)
		return -1;
	return is_validated(flags) ? xml_validate(xml) : 0;
}

/* Refuses a name of the form that libvirt's own nodes have: a look-up by it would return libvirt's node. */
static int name_is_free(struct host *host, const char *xml)
{
	char *name = xml_text(xml, "name");
	int rc = 0;

	if (name && (!strcmp(name, COMPUTER) || (host->stock && stock_name(name)))) {
		fail(VIR_ERR_CONFIG_UNSUPPORTED, "the name '%s' is reserved for libvirt's own nodes; use another name for the device, "
		     "or none", name);
		rc = -1;
	}
	free(name);
	return rc;
}

static virNodeDevicePtr make(struct host *host, virConnectPtr conn, const char *xml,
			     int (*how)(struct mdev_conn *conn, const char *xml, struct mdev_device **ret,
					unsigned int flags),
			     unsigned int flags)
{
	virNodeDevicePtr ret = NULL;
	struct mdev_device *made;
	const char *name;

	if (name_is_free(host, xml) < 0)
		return NULL;
	if (how(host->conn, xml, &made, flags) < 0) {
		fail_mdev();
		return NULL;
	}
	if (mdev->device_get_name(made, &name) < 0)
		fail_mdev();
	else
		ret = bridge_node(conn, name);
	mdev->device_unref(made);
	return ret;
}

static virNodeDevicePtr create_xml(virConnectPtr conn, const char *xml, unsigned int flags)
{
	virNodeDevicePtr ret = NULL;
	struct host *host;

	if (may_make(conn, ACL_CREATE_XML, xml, flags) < 0)
		return NULL;
	host = host_get(conn);
	if (host && check_parent(host, xml, false) == 0)
		ret = make(host, conn, xml, mdev->create_xml, is_validated(flags) ? 0 : MDEV_CREATE_IGNORE_UNKNOWN);
	host_put(host);
	return ret;
}

static virNodeDevicePtr define_xml(virConnectPtr conn, const char *xml, unsigned int flags)
{
	virNodeDevicePtr ret = NULL;
	struct host *host;

	NEED(define_xml, NULL);
	if (may_make(conn, ACL_DEFINE_XML, xml, flags) < 0)
		return NULL;
	host = host_get(conn);
	/* libmdev can define devices under absent parents; for libvirt's clients that is an error. */
	if (host && check_parent(host, xml, true) == 0)
		ret = make(host, conn, xml, mdev->define_xml, is_validated(flags) ? 0 : MDEV_DEFINE_IGNORE_UNKNOWN);
	host_put(host);
	return ret;
}

/* Opens a node for a change. Refuses the computer, which libmdev does not have; libmdev itself refuses changes of a parent. */
static int open_to_change(struct node *node, virNodeDevicePtr dev, enum acl call)
{
	if (node_open(node, dev, call) < 0)
		return -1;
	if (node->dev)
		return 0;
	fail(VIR_ERR_OPERATION_UNSUPPORTED, "%s is not a mediated device", node->name);
	node_put(node);
	return -1;
}

static int destroy(virNodeDevicePtr dev)
{
	struct node node;

	if (open_to_change(&node, dev, ACL_DESTROY) < 0)
		return -1;
	return done(&node, mdev->destroy(node.dev, 0));
}

static int undefine(virNodeDevicePtr dev, unsigned int flags)
{
	struct node node;

	NEED(undefine, -1);
	if (no_flags(flags, 0) < 0 || open_to_change(&node, dev, ACL_UNDEFINE) < 0)
		return -1;
	return done(&node, mdev->undefine(node.dev, 0));
}

static int create(virNodeDevicePtr dev, unsigned int flags)
{
	struct node node;

	NEED(create, -1);
	if (no_flags(flags, 0) < 0 || open_to_change(&node, dev, ACL_CREATE) < 0)
		return -1;
	return done(&node, mdev->create(node.dev, 0));
}

static int set_autostart(virNodeDevicePtr dev, int autostart)
{
	struct node node;

	NEED(set_autostart, -1);
	if (open_to_change(&node, dev, ACL_SET_AUTOSTART) < 0)
		return -1;
	return done(&node, mdev->set_autostart(node.dev, autostart));
}

/* ---- events ---- */

static int event_register(virConnectPtr conn, virNodeDevicePtr dev, int event,
			  virConnectNodeDeviceEventGenericCallback callback, void *opaque, virFreeCallback freecb)
{
	struct host *host;
	int id;

	NEED(event_register, -1);
	if (acl_conn(ACL_EVENT_REGISTER, conn) < 0)
		return -1;
	host = host_get(conn);
	if (!host)
		return -1;
	id = events_register(host, conn, dev, event, callback, opaque, freecb);
	host_put(host);
	return id;
}

static int event_deregister(virConnectPtr conn, int id)
{
	struct host *host;
	int rc;

	if (acl_conn(ACL_EVENT_DEREGISTER, conn) < 0)
		return -1;
	host = host_get(conn);
	if (!host)
		return -1;
	rc = events_deregister(host, conn, id);
	host_put(host);
	return rc;
}

struct lv_nodedev_driver nodedev_driver = {
	.name = "mdev",
	.num_of_devices = num_of_devices,
	.list_devices = list_devices,
	.list_all = list_all,
	.event_register = event_register,
	.event_deregister = event_deregister,
	.lookup_by_name = lookup_by_name,
	.lookup_by_wwn = lookup_by_wwn,
	.get_xml = get_xml,
	.get_parent = get_parent,
	.num_of_caps = num_of_caps,
	.list_caps = list_caps,
	.create_xml = create_xml,
	.destroy = destroy,
	.define_xml = define_xml,
	.undefine = undefine,
	.create = create,
	.set_autostart = set_autostart,
	.get_autostart = get_autostart,
	.is_persistent = is_persistent,
	.is_active = is_active,
};
