// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libmdev as a driver of an unmodified libvirt. For mdev:///embed?root=/DIR, libvirt loads this file as libvirt_driver_mdev.so
 * and calls mdevRegister(). In a daemon it can replace libvirt_driver_nodedev.so: see overlay.c.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

/* If set, the module also works in releases with which it was not tested. */
#define UNTESTED "LIBMDEV_LIBVIRT_UNTESTED"

/* Ranges of releases with which every test of this module has passed: first and last. */
static const unsigned long tested[][2] = {
	{ 9000000, 9000999 },
};

static bool fits(void)
{
	unsigned long version;
	size_t i;

	if (virGetVersion(&version, NULL, NULL) < 0)
		return false;
	for (i = 0; i < sizeof(tested) / sizeof(*tested); i++) {
		if (version >= tested[i][0] && version <= tested[i][1])
			return true;
	}
	if (getenv(UNTESTED))
		return true;
	fail(VIR_ERR_OPERATION_UNSUPPORTED,
	     "libmdev's driver was not tested with libvirt %lu.%lu.%lu and stays inactive (tested with: 9.0.0; "
	     "set " UNTESTED "=1 to use it)", version / 1000000, version / 1000 % 1000, version % 1000);
	return false;
}

/* ---- the URI ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place. Invalid escapes and %00 stay unchanged. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++, to++) {
		int high = *text == '%' ? hex(text[1]) : -1, low = high >= 0 ? hex(text[2]) : -1;

		*to = *text;
		if (low >= 0 && (high || low)) {
			*to = (char)(high * 16 + low);
			text += 2;
		}
	}
	*to = '\0';
}

/* Returns a parameter of a URI, still escaped; the caller frees it. NULL if the URI has no such parameter. */
static char *parameter(const char *uri, const char *name)
{
	const char *at = strchr(uri, '?');
	size_t length = strlen(name);

	for (; at && *at; at = strpbrk(at + 1, "&;")) {
		if (!strncmp(at + 1, name, length) && at[1 + length] == '=')
			return strndup(at + 2 + length, strcspn(at + 2 + length, "&;#"));
	}
	return NULL;
}

static bool read_setting(struct settings *settings, const char *parameter)
{
	char *name = strndup(parameter, strcspn(parameter, "&;#")), *value = name ? strchr(name, '=') : NULL;
	bool ret = false;

	if (value) {
		*value = '\0';
		ret = settings_set(settings, name, value + 1);
	}
	free(name);
	return ret;
}

/* Refuses unknown parameters, so that a mistyped name does not select another host or other nodes. */
static int read_parameters(const char *uri, struct settings *ret)
{
	const char *at;

	memset(ret, 0, sizeof(*ret));
	for (at = strchr(uri, '?'); at; at = strpbrk(at + 1, "&;#")) {
		if (*at != '#' && (!strncmp(at + 1, "root=", 5) || !strncmp(at + 1, "host=", 5) || read_setting(ret, at + 1)))
			continue;
		fail(VIR_ERR_INVALID_ARG, "%s: unknown parameter; root=, host=, vendor_vfio=0|1 and other_buses=0|1 are supported",
		     uri);
		return -1;
	}
	return 0;
}

/* The URI for libmdev: ?host= is any libmdev URI, such as a simulated host; otherwise the machine below ?root=. */
static char *mdev_uri(const char *uri)
{
	char *host = parameter(uri, "host"), *root, *ret = NULL;
	size_t size;

	if (host) {
		unescape(host);
		return host;
	}
	root = parameter(uri, "root");
	size = root ? strlen(root) + sizeof("mdev:///system?root=") : 0;
	if (root)
		ret = malloc(size);
	if (ret)
		snprintf(ret, size, "mdev:///system?root=%s", root);
	free(root);
	return ret;
}

/* ---- the connection ---- */

/*
 * A client of a daemon can name any URI with any root. The daemon would open that root with its own rights, and would read,
 * write and run files of the client. So these URIs work only in the client's own process.
 */
static int refuse_in_daemon(void)
{
	if (!bridge_serves() && !host_is_shared())
		return 0;
	fail(VIR_ERR_OPERATION_DENIED, "mdev:///embed is not opened in a daemon; use it without one, or the daemon's own "
	     "nodedev:///system");
	return -1;
}

static int open_host(virConnectPtr conn, const char *uri)
{
	struct settings settings;
	char *target;
	int rc;

	if (refuse_in_daemon() < 0 || acl_conn(ACL_OPEN, conn) < 0 || read_parameters(uri, &settings) < 0)
		return -1;
	target = mdev_uri(uri);
	if (!target)
		fail(VIR_ERR_INVALID_ARG, "%s has no root parameter; use mdev:///embed?root=/", uri);
	rc = target ? host_open(conn, target, &settings) : -1;
	free(target);
	return rc;
}

static int conn_open(virConnectPtr conn, virConnectAuthPtr auth, void *conf, unsigned int flags)
{
	char *uri = virConnectGetURI(conn);
	int rc = LV_OPEN_DECLINED;

	(void)auth;
	(void)conf;
	(void)flags;
	if (uri && !strncmp(uri, "mdev:///embed?", strlen("mdev:///embed?")))
		rc = open_host(conn, uri) == 0 ? LV_OPEN_SUCCESS : LV_OPEN_ERROR;
	free(uri);
	return rc;
}

static int conn_close(virConnectPtr conn)
{
	host_close(conn);
	return 0;
}

static struct lv_hypervisor_driver hypervisor = {
	.name = "mdev",
	.open = conn_open,
	.close = conn_close,
};

static const char *schemes[] = { "mdev", NULL };

static struct lv_connect_driver connect_driver = {
	.local_only = true,
	.embeddable = true,
	.uri_schemes = schemes,
	.hypervisor = &hypervisor,
	.nodedev = &nodedev_driver,
};

/* libvirt calls this at each open of an embed URI. Registers once, since libvirt's table of drivers is small. */
int mdevRegister(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool registered;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!registered) {
		if (bridge_find() < 0 || refuse_in_daemon() < 0 || bridge_load() < 0 || !fits() ||
		    bridge_register(&connect_driver, false) < 0)
			rc = -1;
		else
			registered = true;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* In place of libvirt_driver_nodedev.so. If libmdev cannot be used, the daemon runs with libvirt's own driver. */
int nodedevRegister(void)
{
	return overlay_load(bridge_load() == 0 && fits());
}
