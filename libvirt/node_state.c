// SPDX-License-Identifier: LGPL-2.1-or-later
/* The nodes that were announced to libvirt, for the comparison after lost events. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

static struct node_state **find(struct node_state **list, const char *name)
{
	while (*list && strcmp((*list)->name, name))
		list = &(*list)->next;
	return list;
}

static struct node_state *add(struct node_state **list, const char *name, unsigned int state)
{
	size_t size = strlen(name) + 1;
	struct node_state *node = malloc(sizeof(*node) + size);

	if (node) {
		memcpy(node->name, name, size);
		node->state = state;
		node->next = *list;
		*list = node;
	}
	return node;
}

static bool is_exhausted(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

/* 0 if descriptors or memory are exhausted. */
static unsigned int state_of(struct mdev_device *dev)
{
	int persistent;

	if (mdev->device_is_parent(dev) == 1)
		return NODE_STATE_ACTIVE | NODE_STATE_PARENT;
	/* An inactive device is in the list because it has a definition. */
	if (mdev->is_active(dev) != 1)
		return NODE_STATE_DEFINED;
	persistent = MDEV_DRIVER_HAS(mdev, is_persistent) ? mdev->is_persistent(dev) : 0;
	if (is_exhausted(persistent))
		return 0;
	return persistent > 0 ? NODE_STATE_ACTIVE | NODE_STATE_DEFINED : NODE_STATE_ACTIVE;
}

int node_states_read(struct node_state **ret, struct host *host)
{
	struct mdev_device **list, **dev;
	unsigned int state;
	const char *name;
	bool full = false;

	if (mdev->list_all_devices(host->conn, &list, MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE | MDEV_LIST_NO_TYPES) < 0)
		return -1;
	*ret = NULL;
	for (dev = list; *dev && !full; dev++) {
		if (!node_is_shown(host, *dev) || mdev->device_get_name(*dev, &name) < 0)
			continue;
		state = state_of(*dev);
		full = !state || !add(ret, name, state);
	}
	mdev->device_list_free(list);
	if (!full)
		return 0;
	/* In a partial list, the missing nodes would count as deleted. */
	node_states_free(*ret);
	*ret = NULL;
	return -1;
}

void node_states_free(struct node_state *list)
{
	struct node_state *next;

	for (; list; list = next) {
		next = list->next;
		free(list);
	}
}

void node_states_set(struct node_state **list, const char *name, unsigned int state)
{
	struct node_state **at = find(list, name), *node = *at;

	if (node && state) {
		node->state = state;
	} else if (node) {
		*at = node->next;
		free(node);
	} else if (state) {
		add(list, name, state);
	}
}

unsigned int node_state_of(const struct node_state *list, const char *name)
{
	for (; list; list = list->next) {
		if (!strcmp(list->name, name))
			return list->state;
	}
	return 0;
}
