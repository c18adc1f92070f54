/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of a program that is linked to libmdev. */
#include "host-api.h"

#define HOST_API_LINKED(type, name, member, args) api->name = mdev_##name;

int host_api_get(struct host_api *api)
{
	HOST_API_FUNCTIONS(HOST_API_LINKED)
	return 0;
}
