/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares the lists of the library with plain reads of sysfs. Prints only differences. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define CLASS "/sys/class/mdev_bus"
#define DEVICES "/sys/bus/mdev/devices"

/* The text of a file without the newline at its end; NULL if it cannot be read. */
static const char *slurp(char *buf, size_t size, const char *dir, const char *name)
{
	char path[PATH_MAX];
	size_t len;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return NULL;
	f = fopen(path, "re");
	if (!f)
		return NULL;
	len = fread(buf, 1, size - 1, f);
	fclose(f);
	buf[len] = '\0';
	if (len && buf[len - 1] == '\n')
		buf[len - 1] = '\0';
	return buf;
}

static void same_text(const char *where, const char *what, const char *said, const char *is)
{
	if (!said != !is || (said && strcmp(said, is)))
		host_fault("%s: %s is \"%s\" in sysfs, the library has \"%s\"", where, what, is ? is : "(none)",
			   said ? said : "(none)");
}

static int count_entries(const char *dir)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void compare_type(const char *types_dir, const struct mdev_type *type)
{
	char dir[PATH_MAX], buf[4096], number[32] = "";
	const char *id = api.type_get_id(type);
	unsigned int n = 0;
	int rc;

	if (snprintf(dir, sizeof(dir), "%s/%s", types_dir, id) >= (int)sizeof(dir))
		return;
	same_text(dir, "name", api.type_get_name(type), slurp(buf, sizeof(buf), dir, "name"));
	same_text(dir, "device_api", api.type_get_device_api(type), slurp(buf, sizeof(buf), dir, "device_api"));
	same_text(dir, "description", api.type_get_description(type), slurp(buf, sizeof(buf), dir, "description"));
	rc = api.type_get_available_instances(type, &n);
	if (rc < 0)
		host_fault("%s: available instances: %d", dir, rc);
	snprintf(number, sizeof(number), "%u", n);
	same_text(dir, "available_instances", number, slurp(buf, sizeof(buf), dir, "available_instances"));
}

static void compare_parent(struct mdev_device *parent, const char *syspath)
{
	const struct mdev_type *const *types = NULL;
	char dir[PATH_MAX];
	int i, n;

	if (snprintf(dir, sizeof(dir), "%s/mdev_supported_types", syspath) >= (int)sizeof(dir))
		return;
	n = api.device_list_types(parent, &types);
	if (n != count_entries(dir))
		host_fault("%s has %d types, the library lists %d", dir, count_entries(dir), n);
	for (i = 0; i < n; i++)
		compare_type(dir, types[i]);
}

static void compare_device(struct mdev_device *dev, const char *syspath)
{
	char path[PATH_MAX], real[PATH_MAX];
	const char *uuid = "", *type = "", *slash;
	unsigned int group = 0;

	if (api.device_get_uuid(dev, &uuid) || api.device_get_type_id(dev, &type)) {
		host_fault("%s: no UUID or type", syspath);
		return;
	}
	snprintf(path, sizeof(path), DEVICES "/%s", uuid);
	same_text(uuid, "the folder", syspath, realpath(path, real));
	snprintf(path, sizeof(path), DEVICES "/%s/mdev_type", uuid);
	slash = realpath(path, real) ? strrchr(real, '/') : NULL;
	same_text(uuid, "the type", type, slash ? slash + 1 : NULL);
	snprintf(path, sizeof(path), DEVICES "/%s/iommu_group", uuid);
	slash = realpath(path, real) ? strrchr(real, '/') : NULL;
	if (api.device_get_iommu_group(dev, &group))
		host_fault("%s: no IOMMU group", uuid);
	snprintf(path, sizeof(path), "%u", group);
	same_text(uuid, "the IOMMU group", path, slash ? slash + 1 : NULL);
}

/* The library lists exactly the parents and devices that sysfs has. */
void host_compare_sysfs(struct mdev_conn *conn)
{
	struct mdev_device **list = NULL;
	const char *syspath;
	int i, parents = 0, n = api.conn_list(conn, &list, 0);

	if (n < 0) {
		host_fault("the list: %d", n);
		return;
	}
	for (i = 0; i < n; i++) {
		if (api.device_get_syspath(list[i], &syspath)) {
			host_fault("a node without a path");
		} else if (api.device_is_parent(list[i]) == 1) {
			parents++;
			compare_parent(list[i], syspath);
		} else {
			compare_device(list[i], syspath);
		}
	}
	if (parents != count_entries(CLASS))
		host_fault("sysfs has %d parents, the library lists %d", count_entries(CLASS), parents);
	if (n - parents != count_entries(DEVICES))
		host_fault("sysfs has %d devices, the library lists %d", count_entries(DEVICES), n - parents);
	api.device_list_free(list);
}
