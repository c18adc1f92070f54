// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Loads libmdev, whose symbols stay hidden from other modules, and finds functions of the libvirt that this process has
 * already loaded. They are looked up by name and without a version, so that one module works with several releases.
 */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bridge.h"

const struct mdev_driver *mdev;
struct libvirt lv;

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

/* The public call of each callback; the names of libvirt's access checks begin with the name of the call. */
static const struct {
	const char *call;
	bool filters;
} acl_calls[ACL_CALLS] = {
	[ACL_OPEN] = { "virConnectOpen", false },
	[ACL_NUM_OF_DEVICES] = { "virNodeNumOfDevices", true },
	[ACL_LIST_DEVICES] = { "virNodeListDevices", true },
	[ACL_LIST_ALL] = { "virConnectListAllNodeDevices", true },
	[ACL_EVENT_REGISTER] = { "virConnectNodeDeviceEventRegisterAny", false },
	[ACL_EVENT_DEREGISTER] = { "virConnectNodeDeviceEventDeregisterAny", false },
	[ACL_LOOKUP_BY_NAME] = { "virNodeDeviceLookupByName", false },
	[ACL_LOOKUP_BY_WWN] = { "virNodeDeviceLookupSCSIHostByWWN", false },
	[ACL_GET_XML] = { "virNodeDeviceGetXMLDesc", false },
	[ACL_GET_PARENT] = { "virNodeDeviceGetParent", false },
	[ACL_NUM_OF_CAPS] = { "virNodeDeviceNumOfCaps", false },
	[ACL_LIST_CAPS] = { "virNodeDeviceListCaps", false },
	[ACL_CREATE_XML] = { "virNodeDeviceCreateXML", false },
	[ACL_DESTROY] = { "virNodeDeviceDestroy", false },
	[ACL_DEFINE_XML] = { "virNodeDeviceDefineXML", false },
	[ACL_UNDEFINE] = { "virNodeDeviceUndefine", false },
	[ACL_CREATE] = { "virNodeDeviceCreate", false },
	[ACL_SET_AUTOSTART] = { "virNodeDeviceSetAutostart", false },
	[ACL_GET_AUTOSTART] = { "virNodeDeviceGetAutostart", false },
	[ACL_IS_PERSISTENT] = { "virNodeDeviceIsPersistent", false },
	[ACL_IS_ACTIVE] = { "virNodeDeviceIsActive", false },
};

/* By memcpy(), since ISO C has no cast from the void * of dlsym() to a function pointer. */
static bool look_up(void *library, const char *name, void *function)
{
	void *found = dlsym(library, name);

	memcpy(function, &found, sizeof(found));
	return found;
}

static int missing(const char *name)
{
	fail(VIR_ERR_OPERATION_UNSUPPORTED,
	     "this libvirt has no %s, so no access policy would apply: libmdev's driver is not loaded; use a libvirt release "
	     "that libmdev supports", name);
	return -1;
}

static int load_checks(void *library)
{
	char name[128];
	size_t i;

	for (i = 0; i < ACL_CALLS; i++) {
		snprintf(name, sizeof(name), "%sEnsureACL", acl_calls[i].call);
		if (!look_up(library, name, &lv.ensure[i]))
			return missing(name);
		snprintf(name, sizeof(name), "%sCheckACL", acl_calls[i].call);
		if (acl_calls[i].filters && !look_up(library, name, &lv.check[i]))
			return missing(name);
	}
	return 0;
}

static int load_libvirt(void)
{
	void *library = dlopen("libvirt.so.0", RTLD_NOW | RTLD_NOLOAD);

	/* Without this function, no error can be reported. */
	if (!library || !look_up(library, "virReportErrorHelper", &lv.report_error))
		return -1;
	look_up(library, "virLogMessage", &lv.log_message);
	if (!look_up(library, "virRegisterConnectDriver", &lv.register_connect_driver) ||
	    !look_up(library, "virGetNodeDevice", &lv.get_node_device)) {
		fail(VIR_ERR_OPERATION_UNSUPPORTED,
		     "this libvirt has no virRegisterConnectDriver or virGetNodeDevice: libmdev's driver is not loaded; use a libvirt "
		     "release that libmdev supports");
		return -1;
	}
	if (!look_up(library, "virIdentityGetCurrent", &lv.identity))
		return missing("virIdentityGetCurrent");
	if (!look_up(library, "g_object_unref", &lv.unref))
		return missing("g_object_unref");
	return load_checks(library);
}

static int load_mdev(void)
{
	const struct mdev_driver *(*get)(uint32_t abi, size_t size);
	void *library = dlopen("libmdev.so.0", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		library = dlopen(LIBMDEV_PATH, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fail(VIR_ERR_OPERATION_FAILED, "libmdev cannot be loaded: %s", dlerror());
		return -1;
	}
	if (look_up(library, "mdev_driver_get", &get))
		mdev = get(MDEV_DRIVER_ABI, sizeof(*mdev));
	if (!mdev) {
		fail(VIR_ERR_OPERATION_FAILED, "libmdev.so.0 has no driver table of version %d; install the libmdev that "
		     "belongs to this module", MDEV_DRIVER_ABI);
		return -1;
	}
	return 0;
}

int bridge_find(void)
{
	int rc = 0;

	pthread_mutex_lock(&loading);
	if (!lv.register_connect_driver || !lv.ensure[ACL_CALLS - 1])
		rc = load_libvirt();
	pthread_mutex_unlock(&loading);
	return rc;
}

int bridge_load(void)
{
	int rc = bridge_find();

	pthread_mutex_lock(&loading);
	if (rc == 0 && !mdev)
		rc = load_mdev();
	pthread_mutex_unlock(&loading);
	return rc;
}

int bridge_register(struct lv_connect_driver *driver, bool set_shared)
{
	return lv.register_connect_driver(driver, set_shared);
}

bool bridge_serves(void)
{
	void *identity = lv.identity();

	if (identity)
		lv.unref(identity);
	return identity;
}

/* Checks on each new object that abi.h declares the members at the right places. */
virNodeDevicePtr bridge_node(virConnectPtr conn, const char *name)
{
	virNodeDevicePtr dev = lv.get_node_device(conn, name);
	const struct lv_nodedev_object *object = (const void *)dev;

	if (dev && (object->conn != conn || !object->name || strcmp(object->name, name))) {
		virNodeDeviceFree(dev);
		fail(VIR_ERR_OPERATION_UNSUPPORTED, "the node-device objects of this libvirt have an unknown layout; use a libvirt "
		     "release that libmdev supports");
		return NULL;
	}
	return dev;
}

/* As libvirt's own struct of a log source, in which libvirt stores the applied filters. */
static struct {
	const char *name;
	unsigned int priority;
	unsigned int serial;
	void *later[2];
} log_source = { .name = "libmdev" };

/*
 * A warning about the host may be repeated in every call, so it has a low priority: log_filters="2:libmdev" shows it. libvirt's
 * priorities are 1 (debug) to 4 (error). The error of a failed call is in the log without this function.
 */
static void log_line(int level, const char *message, void *data)
{
	(void)data;
	lv.log_message(&log_source, level == MDEV_LOG_ERROR ? 3 : 2, "libmdev", 0, "libmdev", NULL, "%s", message);
}

void bridge_log(void)
{
	if (lv.log_message && MDEV_DRIVER_HAS(mdev, set_log_handler))
		mdev->set_log_handler(log_line, NULL, MDEV_LOG_WARNING);
}
