// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Selects the nodes of libmdev that the clients of libvirt see. By default, these are the nodes that every client can use.
 * libvirt attaches a mediated device by its UUID, but the kernel has no UUID for a virtual GPU without mdev. OpenStack Nova fails
 * on a parent without PCI that libvirt's own driver does not list. The settings show these nodes, too.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

#define CONFIG "/etc/libmdev/libvirt.conf"
/* For tests: another file. */
#define OTHER_CONFIG "LIBMDEV_LIBVIRT_CONF"

static const struct {
	const char *name;
	size_t member;
} words[] = {
	{ "vendor_vfio", offsetof(struct settings, vendor_vfio) },
	{ "other_buses", offsetof(struct settings, other_buses) },
};

/* ---- settings ---- */

bool settings_set(struct settings *settings, const char *name, const char *value)
{
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!strcmp(name, words[i].name) && (!strcmp(value, "0") || !strcmp(value, "1"))) {
			*(bool *)((char *)settings + words[i].member) = *value == '1';
			return true;
		}
	}
	return false;
}

/* Reads one line: "name = value", an empty line or a comment. Changes the line. */
static bool read_line(struct settings *settings, char *line)
{
	char name[32], value[32], rest;

	line[strcspn(line, "#\n")] = '\0';
	if (!line[strspn(line, " \t\r")])
		return true;
	return sscanf(line, " %31[a-z_] = %31s %c", name, value, &rest) == 2 && settings_set(settings, name, value);
}

int settings_read(struct settings *ret)
{
	const char *path = getenv(OTHER_CONFIG);
	char *line = NULL;
	size_t size = 0;
	int number, rc = 0;
	FILE *file;

	memset(ret, 0, sizeof(*ret));
	if (!path)
		path = CONFIG;
	file = fopen(path, "re");
	if (!file) {
		if (errno == ENOENT)
			return 0;
		fail(VIR_ERR_CONF_SYNTAX, "%s: cannot open: %s", path, strerror(errno));
		return -1;
	}
	for (number = 1; rc == 0 && getline(&line, &size, file) >= 0; number++) {
		if (!read_line(ret, line)) {
			fail(VIR_ERR_CONF_SYNTAX, "%s:%d: invalid setting; vendor_vfio = 1 and other_buses = 1 are supported, "
			     "each with 0 or 1; fix the line", path, number);
			rc = -1;
		}
	}
	free(line);
	fclose(file);
	return rc;
}

/* ---- nodes ---- */

static bool is_vendor_vfio(struct mdev_device *dev)
{
	const char *layout;

	return mdev->device_get_layout(dev, &layout) == 0 && !strcmp(layout, "vendor-vfio");
}

/* The setting that would show the node; NULL: the node is shown. The devices of all parents are shown, as in libvirt. */
static const char *setting_of(struct host *host, struct mdev_device *dev)
{
	const char *name;

	if (is_vendor_vfio(dev))
		return host->settings.vendor_vfio ? NULL : "vendor_vfio";
	if (host->settings.other_buses || mdev->device_is_parent(dev) != 1 || mdev->device_get_name(dev, &name) < 0)
		return NULL;
	return stock_bus(name) || !stock_serves(name) ? NULL : "other_buses";
}

bool node_is_shown(struct host *host, struct mdev_device *dev)
{
	return !setting_of(host, dev);
}

static void fail_setting(struct host *host, int code, const char *name, const char *setting)
{
	const char *why = "libvirt cannot attach virtual GPUs without mdev by UUID; create them with 'nodedev create' and attach "
			  "the VF as a PCI device with managed='no'";

	if (!strcmp(setting, "other_buses"))
		why = "libvirt does not list parents on this bus";
	if (host->stock)
		fail(code, "%s is not shown: %s; to show it, set %s = 1 in " CONFIG " and restart the daemon", name, why, setting);
	else
		fail(code, "%s is not shown: %s; to show it, add %s=1 to the URI", name, why, setting);
}

void fail_not_shown(struct host *host, int code, struct mdev_device *dev, const char *name)
{
	fail_setting(host, code, name, setting_of(host, dev));
}

/* ---- the parent in XML ---- */

/* XML without a parent: libmdev chooses among all parents, so the XML is refused while a parent is not shown. */
static int check_choice(struct host *host)
{
	struct mdev_device **list, **dev;
	const char *name;
	int rc = 0;

	if (mdev->list_all_devices(host->conn, &list, MDEV_LIST_PARENTS | MDEV_LIST_NO_TYPES) < 0) {
		fail_mdev();
		return -1;
	}
	for (dev = list; *dev && node_is_shown(host, *dev); dev++)
		;
	if (*dev && mdev->device_get_name(*dev, &name) == 0) {
		fail(VIR_ERR_CONFIG_UNSUPPORTED, "no <parent> in the XML; add one, since the host has parents that are not shown "
		     "(%s)", name);
		rc = -1;
	}
	mdev->device_list_free(list);
	return rc;
}

static int absent(const char *name)
{
	fail(VIR_ERR_CONFIG_UNSUPPORTED, "parent device '%s' not found; list the nodes with the capability mdev_types", name);
	return -1;
}

/* A VF of a vendor-vfio parent is not a node, but may be named as the parent of a device. */
static int check_vf(struct host *host, const char *name, bool must_exist)
{
	int code = mdev->error_get_code(mdev->last_error());

	if (code == MDEV_ERROR_NO_NODE)
		return must_exist ? absent(name) : 0;
	if (code != MDEV_ERROR_NO_PARENT || host->settings.vendor_vfio)
		return 0;
	fail_setting(host, VIR_ERR_CONFIG_UNSUPPORTED, name, "vendor_vfio");
	return -1;
}

static int check_named(struct host *host, const char *name, bool must_exist)
{
	struct mdev_device *dev;
	int rc = 0;

	if (mdev->lookup_by_name(host->conn, name, &dev) < 0)
		return check_vf(host, name, must_exist);
	if (!node_is_shown(host, dev)) {
		fail_not_shown(host, VIR_ERR_CONFIG_UNSUPPORTED, dev, name);
		rc = -1;
	} else if (must_exist && mdev->device_is_parent(dev) != 1 && !is_vendor_vfio(dev)) {
		rc = absent(name);
	}
	mdev->device_unref(dev);
	return rc;
}

int check_parent(struct host *host, const char *xml, bool must_exist)
{
	char *parent = xml_text(xml, "parent");
	int rc = 0;

	if (parent)
		rc = check_named(host, parent, must_exist);
	else if (xml_is_for_mdev(xml))
		rc = check_choice(host);
	free(parent);
	return rc;
}
