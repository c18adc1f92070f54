// SPDX-License-Identifier: LGPL-2.1-or-later
/* The libmdev host of each libvirt connection. */

#include <pthread.h>
#include <stdlib.h>

#include "module.h"

/* For tests: the libmdev URI of the host whose devices the daemon shows, for example test:///default. Default: this machine. */
#define OTHER_HOST "LIBMDEV_LIBVIRT_HOST"

struct opened {
	virConnectPtr conn;
	struct host *host;
	struct opened *next;
};

/* Guards all variables of this file and the reference counts of the hosts. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct opened *opened;
static struct host *shared;
static const struct lv_nodedev_driver *shared_stock;

static struct host *host_new(const char *uri, const struct settings *settings)
{
	struct host *host = calloc(1, sizeof(*host));

	if (host)
		host->events = events_new(host);
	if (!host || !host->events) {
		free(host);
		fail(VIR_ERR_NO_MEMORY, "no memory for a host");
		return NULL;
	}
	host->refs = 1;
	host->settings = *settings;
	if (mdev->open(&host->conn, uri, 0) < 0) {
		fail_mdev();
		events_free(host->events);
		free(host);
		return NULL;
	}
	return host;
}

struct host *host_ref(struct host *host)
{
	pthread_mutex_lock(&lock);
	host->refs++;
	pthread_mutex_unlock(&lock);
	return host;
}

void host_put(struct host *host)
{
	bool last;

	if (!host)
		return;
	pthread_mutex_lock(&lock);
	last = --host->refs == 0;
	pthread_mutex_unlock(&lock);
	if (!last)
		return;
	events_free(host->events);
	mdev->close(host->conn);
	free(host);
}

int host_open(virConnectPtr conn, const char *uri, const struct settings *settings)
{
	struct opened *entry = calloc(1, sizeof(*entry));

	if (!entry) {
		fail(VIR_ERR_NO_MEMORY, "no memory for a connection");
		return -1;
	}
	entry->conn = conn;
	entry->host = host_new(uri, settings);
	if (!entry->host) {
		free(entry);
		return -1;
	}
	pthread_mutex_lock(&lock);
	entry->next = opened;
	opened = entry;
	pthread_mutex_unlock(&lock);
	return 0;
}

void host_close(virConnectPtr conn)
{
	struct opened **at, *entry;

	pthread_mutex_lock(&lock);
	for (at = &opened; *at && (*at)->conn != conn; at = &(*at)->next)
		;
	entry = *at;
	if (entry)
		*at = entry->next;
	pthread_mutex_unlock(&lock);
	if (entry)
		host_put(entry->host);
	free(entry);
}

void host_share(const struct lv_nodedev_driver *stock)
{
	pthread_mutex_lock(&lock);
	shared_stock = stock;
	pthread_mutex_unlock(&lock);
}

bool host_is_shared(void)
{
	bool ret;

	pthread_mutex_lock(&lock);
	ret = shared_stock;
	pthread_mutex_unlock(&lock);
	return ret;
}

/* The host of the daemon. Called with the lock held. */
static struct host *host_new_shared(void)
{
	struct settings settings;
	struct host *host;

	if (settings_read(&settings) < 0)
		return NULL;
	host = host_new(getenv(OTHER_HOST), &settings);
	if (host)
		host->stock = shared_stock;
	return host;
}

struct host *host_get(virConnectPtr conn)
{
	struct host *host = NULL;
	struct opened *entry;

	pthread_mutex_lock(&lock);
	for (entry = opened; entry && entry->conn != conn; entry = entry->next)
		;
	if (entry) {
		host = entry->host;
	} else if (shared_stock) {
		if (!shared)
			shared = host_new_shared();
		host = shared;
	} else {
		fail(VIR_ERR_INVALID_CONN, "the connection was not opened by libmdev's driver");
	}
	if (host)
		host->refs++;
	pthread_mutex_unlock(&lock);
	return host;
}
