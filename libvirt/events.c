// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Events on libvirt's event loop. While a callback is registered, the loop watches the descriptor of a libmdev monitor.
 * Without a callback there is no monitor, so no events accumulate.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

/* Enough for a create and a destroy of some ten thousand devices while the loop runs other callbacks. */
#define BUFFER_BYTES (16u << 20)
/* Limited, so that the other callbacks of the loop run, too. */
#define EVENTS_AT_ONCE 256
/* Milliseconds between two attempts to list the nodes after lost events. */
#define RETRY 1000

struct listener {
	int id;
	int event;
	int stock_id;
	virConnectPtr conn;
	char *name;		/* the node whose events are delivered; NULL: all nodes */
	virConnectNodeDeviceEventGenericCallback callback;
	void *opaque;
	virFreeCallback freecb;
	struct events *events;
	unsigned int refs;
	bool registered;	/* if so, it holds a reference to its connection */
	bool gone;
	struct listener *next;
};

/* Owned by the event loop, which frees it when both its descriptor and its timer are removed. */
struct watch {
	struct host *host;
	struct mdev_monitor *monitor;
	struct node_state *states;
	int id;
	unsigned int refs;
	/* Under watch_lock: the timer of the loop, -1 if there is none; whether the last listener was removed. */
	int timer;
	bool ended;
	/* Events were lost, and the nodes could not be listed yet. */
	bool needs_resync;
	/* The nodes were listed; events that are still queued may repeat what the list has. */
	bool resynced;
};

struct events {
	pthread_mutex_t lock;
	struct host *host;
	struct listener *listeners;
	struct watch *watch;
	int next_id;
};

struct events *events_new(struct host *host)
{
	struct events *events = calloc(1, sizeof(*events));

	if (events) {
		events->host = host;
		pthread_mutex_init(&events->lock, NULL);
	}
	return events;
}

/* Each listener holds its connection, and the connection its host: so no listener is left. */
void events_free(struct events *events)
{
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* ---- listeners ---- */

static void listener_put(void *data)
{
	struct listener *listener = data;
	struct events *events = listener->events;
	bool last;

	pthread_mutex_lock(&events->lock);
	last = --listener->refs == 0;
	pthread_mutex_unlock(&events->lock);
	if (!last)
		return;
	if (listener->freecb)
		listener->freecb(listener->opaque);
	/* May free the host and its events, with the lock. */
	if (listener->registered)
		virConnectClose(listener->conn);
	free(listener->name);
	free(listener);
}

static struct listener *listener_new(struct events *events, virConnectPtr conn, virNodeDevicePtr dev)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener && dev) {
		listener->name = strdup(node_name(dev));
		if (!listener->name) {
			free(listener);
			listener = NULL;
		}
	}
	if (!listener) {
		fail(VIR_ERR_NO_MEMORY, "no memory for a callback");
		return NULL;
	}
	listener->conn = conn;
	listener->events = events;
	listener->refs = 1;
	listener->stock_id = -1;
	return listener;
}

/* ---- delivery ---- */

static virConnectNodeDeviceEventLifecycleCallback as_lifecycle(const struct listener *listener)
{
	return (virConnectNodeDeviceEventLifecycleCallback)(lv_any)listener->callback;
}

static void call(struct listener *listener, const char *name, int lifecycle)
{
	virNodeDevicePtr dev = bridge_node(listener->conn, name);

	if (!dev)
		return;
	if (listener->event == VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE)
		as_lifecycle(listener)(listener->conn, dev, lifecycle, 0, listener->opaque);
	else
		listener->callback(listener->conn, dev, listener->opaque);
	virNodeDeviceFree(dev);
}

static bool wants(const struct listener *listener, const char *name, int event)
{
	return !listener->gone && listener->event == event && (!listener->name || !strcmp(listener->name, name));
}

/*
 * Returns the next listener for the event, with a reference: the listener with the smallest id above after. A listener that
 * is added during the delivery does not get the event, which is older. The remaining events of a watch without listeners are
 * not delivered: the loop may still run its callback when the next listener is added, which has a new watch.
 */
static struct listener *next_listener(struct watch *watch, const char *name, int event, int after, int *end)
{
	struct events *events = watch->host->events;
	struct listener *l;

	pthread_mutex_lock(&events->lock);
	if (after < 0)
		*end = events->next_id;
	for (l = events->listeners; l && (l->id <= after || !wants(l, name, event)); l = l->next)
		;
	if (events->watch != watch || (l && l->id >= *end))
		l = NULL;
	if (l)
		l->refs++;
	pthread_mutex_unlock(&events->lock);
	return l;
}

static void deliver(struct watch *watch, const char *name, int event, int lifecycle)
{
	struct listener *l;
	int after = -1, end = 0;

	while ((l = next_listener(watch, name, event, after, &end))) {
		after = l->id;
		call(l, name, lifecycle);
		listener_put(l);
	}
}

/* In place of a lifecycle event of libvirt: the node was updated. */
#define UPDATED (-1)

static void emit(struct watch *watch, const char *name, bool parent, int lifecycle)
{
	/* libvirt's own driver reports created and deleted PCI functions. That a function is or is not a parent is an update. */
	if (watch->host->stock && parent && stock_bus(name))
		lifecycle = UPDATED;
	deliver(watch, name,
		lifecycle == UPDATED ? VIR_NODE_DEVICE_EVENT_ID_UPDATE : VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, lifecycle);
}

static void emit_difference(struct watch *watch, const char *name, unsigned int before, unsigned int now)
{
	bool parent = (before | now) & NODE_STATE_PARENT;

	if (before & NODE_STATE_ACTIVE & ~now)
		emit(watch, name, parent, VIR_NODE_DEVICE_EVENT_DELETED);
	if (before & NODE_STATE_DEFINED & ~now)
		emit(watch, name, parent, VIR_NODE_DEVICE_EVENT_UNDEFINED);
	if (now & NODE_STATE_DEFINED & ~before)
		emit(watch, name, parent, VIR_NODE_DEVICE_EVENT_DEFINED);
	if (now & NODE_STATE_ACTIVE & ~before)
		emit(watch, name, parent, VIR_NODE_DEVICE_EVENT_CREATED);
	/* Its available instances may have changed. */
	if (parent && before & now & NODE_STATE_ACTIVE)
		emit(watch, name, parent, UPDATED);
}

static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;

static void retry(int timer, void *opaque);
static void watch_put(void *opaque);

/* Adds a timer, unless one is pending. A new one each time: a busy loop of libvirt delays the removal of the old one. */
static void watch_later(struct watch *watch)
{
	pthread_mutex_lock(&watch_lock);
	if (!watch->ended && watch->timer < 0) {
		watch->timer = virEventAddTimeout(RETRY, retry, watch, watch_put);
		if (watch->timer >= 0)
			watch->refs++;
	}
	pthread_mutex_unlock(&watch_lock);
}

/* Called after lost events, for which libvirt has no event: compares the present nodes with the announced nodes. */
static void resync(struct watch *watch)
{
	struct node_state *before = watch->states, *now, *node;

	watch->needs_resync = node_states_read(&now, watch->host) < 0;
	if (watch->needs_resync) {
		watch_later(watch);
		return;
	}
	watch->states = now;
	watch->resynced = true;
	for (node = before; node; node = node->next)
		emit_difference(watch, node->name, node->state, node_state_of(now, node->name));
	for (node = now; node; node = node->next) {
		if (!node_state_of(before, node->name))
			emit_difference(watch, node->name, 0, node->state);
	}
	node_states_free(before);
}

static int lifecycle_of(enum mdev_event_type type, unsigned int *state)
{
	switch (type) {
	case MDEV_EVENT_CREATED:
		*state |= NODE_STATE_ACTIVE;
		return VIR_NODE_DEVICE_EVENT_CREATED;
	case MDEV_EVENT_DELETED:
		*state &= ~(unsigned int)NODE_STATE_ACTIVE;
		return VIR_NODE_DEVICE_EVENT_DELETED;
	case MDEV_EVENT_DEFINED:
		*state |= NODE_STATE_DEFINED;
		return VIR_NODE_DEVICE_EVENT_DEFINED;
	case MDEV_EVENT_UNDEFINED:
		*state &= ~(unsigned int)NODE_STATE_DEFINED;
		return VIR_NODE_DEVICE_EVENT_UNDEFINED;
	default:
		return UPDATED;
	}
}

static void deliver_event(struct watch *watch, const struct mdev_event *ev)
{
	struct mdev_device *dev;
	unsigned int before, state;
	const char *name;
	bool parent;
	int lifecycle;

	if (mdev->event_get_type(ev) == MDEV_EVENT_OVERRUN)
		resync(watch);
	if (mdev->event_get_device(ev, &dev) < 0)
		return;
	if (node_is_shown(watch->host, dev) && mdev->device_get_name(dev, &name) == 0) {
		parent = mdev->device_is_parent(dev) == 1;
		before = state = node_state_of(watch->states, name) & ~(unsigned int)NODE_STATE_PARENT;
		lifecycle = lifecycle_of(mdev->event_get_type(ev), &state);
		node_states_set(&watch->states, name, state && parent ? state | NODE_STATE_PARENT : state);
		if (!watch->resynced || lifecycle == UPDATED || state != before)
			emit(watch, name, parent, lifecycle);
	}
	mdev->device_unref(dev);
}

/* On the thread of the event loop. */
static void readable(int id, int fd, int how, void *opaque)
{
	struct watch *watch = opaque;
	struct mdev_event *ev;
	int i;

	(void)id;
	(void)fd;
	(void)how;
	if (watch->needs_resync)
		resync(watch);
	for (i = 0; i < EVENTS_AT_ONCE && mdev->monitor_receive(watch->monitor, &ev) > 0; i++) {
		deliver_event(watch, ev);
		mdev->event_unref(ev);
	}
	if (i < EVENTS_AT_ONCE)
		watch->resynced = false;
}

static void retry(int timer, void *opaque)
{
	struct watch *watch = opaque;

	pthread_mutex_lock(&watch_lock);
	if (watch->timer == timer)
		watch->timer = -1;
	pthread_mutex_unlock(&watch_lock);
	virEventRemoveTimeout(timer);
	if (watch->needs_resync)
		resync(watch);
}

/* ---- the watch ---- */

static void watch_put(void *opaque)
{
	struct watch *watch = opaque;
	bool last;

	pthread_mutex_lock(&watch_lock);
	last = --watch->refs == 0;
	pthread_mutex_unlock(&watch_lock);
	if (!last)
		return;
	node_states_free(watch->states);
	mdev->event_deregister(watch->monitor);
	host_put(watch->host);
	free(watch);
}

/* The loop drops its references later, by watch_put(). */
static void watch_end(struct watch *watch)
{
	int timer;

	pthread_mutex_lock(&watch_lock);
	watch->ended = true;
	timer = watch->timer;
	watch->timer = -1;
	pthread_mutex_unlock(&watch_lock);
	if (timer >= 0)
		virEventRemoveTimeout(timer);
	virEventRemoveHandle(watch->id);
}

static struct watch *watch_new(struct host *host)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int fd;

	if (!watch) {
		fail(VIR_ERR_NO_MEMORY, "no memory for a monitor");
		return NULL;
	}
	if (mdev->event_register(&watch->monitor, host->conn, 0) < 0) {
		free(watch);
		fail_mdev();
		return NULL;
	}
	if (MDEV_DRIVER_HAS(mdev, monitor_set_buffer_size))
		mdev->monitor_set_buffer_size(watch->monitor, BUFFER_BYTES);
	watch->host = host_ref(host);
	watch->timer = -1;
	watch->refs = 1;
	if (node_states_read(&watch->states, host) < 0) {
		fail_mdev();
		watch_put(watch);
		return NULL;
	}
	fd = mdev->monitor_get_fd(watch->monitor);
	watch->id = virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, readable, watch, watch_put);
	if (watch->id < 0) {
		watch_put(watch);
		fail(VIR_ERR_INTERNAL_ERROR, "cannot add a handle to libvirt's event loop: call virEventRegisterDefaultImpl() first");
		return NULL;
	}
	return watch;
}

/* ---- libvirt's own events ---- */

static bool alive(struct listener *listener)
{
	bool alive;

	pthread_mutex_lock(&listener->events->lock);
	alive = !listener->gone;
	pthread_mutex_unlock(&listener->events->lock);
	return alive;
}

static void stock_lifecycle(virConnectPtr conn, virNodeDevicePtr dev, int event, int detail, void *opaque)
{
	struct listener *l = opaque;

	if (stock_serves(node_name(dev)) && alive(l))
		as_lifecycle(l)(conn, dev, event, detail, l->opaque);
}

static void stock_update(virConnectPtr conn, virNodeDevicePtr dev, void *opaque)
{
	struct listener *l = opaque;

	if (stock_serves(node_name(dev)) && alive(l))
		l->callback(conn, dev, l->opaque);
}

static int listen_to_stock(struct listener *l, virNodeDevicePtr dev)
{
	virConnectNodeDeviceEventGenericCallback callback = stock_update;

	if (l->event == VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE)
		callback = VIR_NODE_DEVICE_EVENT_CALLBACK((lv_any)stock_lifecycle);
	l->refs++;
	l->stock_id = l->events->host->stock->event_register(l->conn, dev, l->event, callback, l, listener_put);
	if (l->stock_id < 0)
		l->refs--;
	return l->stock_id;
}

/* ---- registration ---- */

/* At the end, since callbacks are called in the order of their registration. */
static int append(struct host *host, struct listener *listener)
{
	struct events *events = host->events;
	struct listener **end;
	int rc = 0;

	pthread_mutex_lock(&events->lock);
	if (!events->watch)
		events->watch = watch_new(host);
	if (events->watch) {
		virConnectRef(listener->conn);
		listener->registered = true;
		listener->id = events->next_id++;
		for (end = &events->listeners; *end; end = &(*end)->next)
			;
		*end = listener;
	} else {
		rc = -1;
	}
	pthread_mutex_unlock(&events->lock);
	return rc;
}

int events_register(struct host *host, virConnectPtr conn, virNodeDevicePtr dev, int event,
		    virConnectNodeDeviceEventGenericCallback callback, void *opaque, virFreeCallback freecb)
{
	struct listener *listener;
	int id;

	if (event != VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE && event != VIR_NODE_DEVICE_EVENT_ID_UPDATE) {
		fail(VIR_ERR_INVALID_ARG, "unknown event %d of node devices", event);
		return -1;
	}
	listener = listener_new(host->events, conn, dev);
	if (!listener)
		return -1;
	listener->event = event;
	listener->callback = callback;
	listener->opaque = opaque;
	if ((host->stock && listen_to_stock(listener, dev) < 0) || append(host, listener) < 0) {
		/* The error is kept. freecb is not called: the caller keeps ownership of opaque. */
		if (listener->stock_id >= 0)
			host->stock->event_deregister(conn, listener->stock_id);
		listener_put(listener);
		return -1;
	}
	id = listener->id;
	listener->freecb = freecb;
	return id;
}

static struct listener *remove_listener(struct events *events, virConnectPtr conn, int id, struct watch **unused)
{
	struct listener **at, *l;

	pthread_mutex_lock(&events->lock);
	for (at = &events->listeners; *at && ((*at)->id != id || (*at)->conn != conn); at = &(*at)->next)
		;
	l = *at;
	if (l) {
		*at = l->next;
		l->gone = true;
	}
	if (!events->listeners) {
		*unused = events->watch;
		events->watch = NULL;
	}
	pthread_mutex_unlock(&events->lock);
	return l;
}

int events_deregister(struct host *host, virConnectPtr conn, int id)
{
	struct watch *unused = NULL;
	struct listener *l = remove_listener(host->events, conn, id, &unused);

	if (unused)
		watch_end(unused);
	if (!l) {
		fail(VIR_ERR_INVALID_ARG, "no callback %d is registered on this connection", id);
		return -1;
	}
	if (l->stock_id >= 0)
		host->stock->event_deregister(conn, l->stock_id);
	listener_put(l);
	return 0;
}
