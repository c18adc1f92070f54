/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of a program that uses one symbol: mdev_driver_get(). The library
 * is the library that dlopen() finds; MDEV_HOST_LIBRARY names another.
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
	/* POSIX allows this cast, C99 does not. */
	memcpy(&get, &symbol, sizeof(get));
	drv = get(MDEV_DRIVER_ABI, sizeof(*drv));
	if (!drv || strcmp(drv->name, "mdev")) {
		fprintf(stderr, "the library has no driver of ABI %d\n", (int)MDEV_DRIVER_ABI);
		return -1;
	}
	/* Never closed: the functions of the table are in the library. */
	return fill(api, drv);
}
