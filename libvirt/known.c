// SPDX-License-Identifier: LGPL-2.1-or-later
/* The nodes whose coming was told: for the day when events are lost. */

#include <stdlib.h>
#include <string.h>

#include "module.h"

static struct known **find(struct known **list, const char *name)
{
	while (*list && strcmp((*list)->name, name))
		list = &(*list)->next;
	return list;
}

static struct known *add(struct known **list, const char *name, unsigned int state)
{
	size_t size = strlen(name) + 1;
	struct known *node = malloc(sizeof(*node) + size);

	if (node) {
		memcpy(node->name, name, size);
		node->state = state;
		node->next = *list;
		*list = node;
	}
	return node;
}

static unsigned int state_of(struct mdev_device *dev)
{
	unsigned int state = mdev->is_active(dev) == 1 ? KNOWN_ACTIVE : 0;

	if (mdev->device_is_parent(dev) == 1)
		return state | KNOWN_PARENT;
	if (MDEV_DRIVER_HAS(mdev, is_persistent) && mdev->is_persistent(dev) == 1)
		state |= KNOWN_DEFINED;
	return state;
}

int known_read(struct known **ret, struct host *host)
{
	struct mdev_device **list, **dev;
	const char *name;
	bool full = false;

	if (mdev->list_all_devices(host->conn, &list, MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE | MDEV_LIST_NO_TYPES) < 0)
		return -1;
	*ret = NULL;
	for (dev = list; *dev && !full; dev++) {
		if (mdev->device_get_name(*dev, &name) == 0)
			full = !add(ret, name, state_of(*dev));
	}
	mdev->device_list_free(list);
	if (!full)
		return 0;
	/* Half of them would make the rest look gone. */
	known_free(*ret);
	*ret = NULL;
	return -1;
}

void known_free(struct known *list)
{
	struct known *next;

	for (; list; list = next) {
		next = list->next;
		free(list);
	}
}

void known_set(struct known **list, const char *name, unsigned int state)
{
	struct known **at = find(list, name), *node = *at;

	if (node && state) {
		node->state = state;
	} else if (node) {
		*at = node->next;
		free(node);
	} else if (state) {
		add(list, name, state);
	}
}

unsigned int known_state(const struct known *list, const char *name)
{
	for (; list; list = list->next) {
		if (!strcmp(list->name, name))
			return list->state;
	}
	return 0;
}
