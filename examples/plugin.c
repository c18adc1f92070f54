// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * plugin: all of libmdev through one symbol. A management stack that loads
 * its drivers at run time needs neither the library nor its header's
 * functions at build time: it looks up mdev_driver_get() and gets a table, in
 * the order and sense of libvirt's node-device driver.
 *
 *     cc plugin.c -o plugin $(pkg-config --cflags libmdev) -ldl
 *     ./plugin                        (finds libmdev.so.0 as any program does)
 *     ./plugin build/libmdev.so.0     (or where it was built)
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmdev.h>

typedef const struct mdev_driver *(*driver_get)(uint32_t abi, size_t size);

static const char vgpu[] =
	"<device>"
	"  <name>my-vgpu</name>"
	"  <parent>pci_0000_86_00_0</parent>"
	"  <capability type='mdev'><type id='11'/></capability>"
	"</device>";

static const struct mdev_driver *load(const char *path)
{
	const struct mdev_driver *drv;
	driver_get get;
	void *library, *symbol;

	/*
	 * RTLD_LOCAL: two plugins must not see each other's symbols. There is
	 * no dlclose(): a library with threads' own data stays.
	 */
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	symbol = library ? dlsym(library, "mdev_driver_get") : NULL;
	if (!symbol) {
		fprintf(stderr, "error: %s\n", dlerror());
		return NULL;
	}
	/* ISO C has no cast from an object pointer to a function pointer. */
	memcpy(&get, &symbol, sizeof(get));

	/* The size at compile time: a newer library returns only the members that this program has, an older library fewer. */
	drv = get(MDEV_DRIVER_ABI, sizeof(*drv));
	if (!drv)
		fprintf(stderr, "error: %s is no driver for ABI %d\n", path, MDEV_DRIVER_ABI);
	return drv;
}

static int failed(const struct mdev_driver *drv)
{
	fprintf(stderr, "error: %s\n", drv->error_get_message(drv->last_error()));
	return 1;
}

static int list(const struct mdev_driver *drv, struct mdev_conn *conn)
{
	struct mdev_device **nodes;
	const char *name;
	int i, n;

	n = drv->list_all_devices(conn, &nodes, MDEV_LIST_PARENTS);
	if (n < 0)
		return failed(drv);
	for (i = 0; i < n; i++)
		if (drv->device_get_name(nodes[i], &name) >= 0)
			puts(name);
	drv->device_list_free(nodes);
	return 0;
}

static int create_and_destroy(const struct mdev_driver *drv, struct mdev_conn *conn)
{
	struct mdev_device *dev;
	int status = 0;
	char *xml;

	if (drv->create_xml(conn, vgpu, &dev, 0) < 0)
		return failed(drv);
	if (drv->get_xml_desc(dev, &xml, 0) < 0) {
		status = failed(drv);
	} else {
		fputs(xml, stdout);
		free(xml);
	}
	if (drv->destroy(dev, 0) < 0)
		status = failed(drv);
	drv->device_unref(dev);
	return status;
}

int main(int argc, char **argv)
{
	const struct mdev_driver *drv = load(argc > 1 ? argv[1] : "libmdev.so.0");
	struct mdev_conn *conn;
	int status;

	if (!drv)
		return 1;
	printf("driver %s, ABI %u\n", drv->name, (unsigned int)drv->abi);

	/* A member that is NULL, or beyond the table of an older library, is not supported. */
	if (!MDEV_DRIVER_HAS(drv, define_xml))
		puts("this version cannot define devices that persist");

	if (drv->open(&conn, "test:///default", 0) < 0)
		return failed(drv);
	status = list(drv, conn);
	if (!status)
		status = create_and_destroy(drv, conn);
	drv->close(conn);
	return status;
}
