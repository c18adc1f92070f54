/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of a program that knows one symbol: mdev_driver_get(). The library
 * is the one that dlopen() finds; MDEV_HOST_LIBRARY names another.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-api.h"

#define HOST_API_PLUGIN(type, name, member, args)                                                                      \
	if (!MDEV_DRIVER_HAS(drv, member)) {                                                                           \
		fprintf(stderr, "the driver has no " #member "\n");                                                    \
		return -1;                                                                                             \
	}                                                                                                              \
	api->name = drv->member;

static int fill(struct host_api *api, const struct mdev_driver *drv)
{
	HOST_API_FUNCTIONS(HOST_API_PLUGIN)
	return 0;
}

int host_api_get(struct host_api *api)
{
	const struct mdev_driver *(*get)(uint32_t abi, size_t size);
	const struct mdev_driver *drv;
	const char *file = getenv("MDEV_HOST_LIBRARY");
	void *library, *symbol;

	library = dlopen(file ? file : "libmdev.so.0", RTLD_NOW | RTLD_LOCAL);
	symbol = library ? dlsym(library, "mdev_driver_get") : NULL;
	if (!symbol) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	/* The cast that C99 lacks and POSIX promises. */
	memcpy(&get, &symbol, sizeof(get));
	drv = get(MDEV_DRIVER_ABI, sizeof(*drv));
	if (!drv || strcmp(drv->name, "mdev")) {
		fprintf(stderr, "the library has no driver of ABI %d\n", (int)MDEV_DRIVER_ABI);
		return -1;
	}
	/* Never closed: what the table points to lives in the library. */
	return fill(api, drv);
}
