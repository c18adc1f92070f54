/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Eight threads on one connection: they list, look up, create and destroy, and
 * race for one UUID and one device. Each thread counts its results; the main thread
 * compares. Fewer rounds under a checker (T_CHECKED in the environment).
 */
#include <pthread.h>

#include "host.h"

#define THREADS 8
#define UUID "c60cc60c-c60c-c60c-c60c-c60cc60cc60c"

struct worker {
	pthread_t id;
	int number;
	int done, faults, won, lost;
	struct mdev_device *made[2];
};

static struct mdev_conn *conn;
static int rounds = 25;
static struct mdev_device *shared;
static pthread_barrier_t start;

static void run_all(struct worker *w, void *(*fn)(void *))
{
	int i;

	memset(w, 0, THREADS * sizeof(*w));
	for (i = 0; i < THREADS; i++) {
		w[i].number = i;
		T_NEED(pthread_create(&w[i].id, NULL, fn, &w[i]) == 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(w[i].id, NULL);
}

static int sum_of(const struct worker *w, size_t member)
{
	int i, sum = 0;

	for (i = 0; i < THREADS; i++)
		sum += *(const int *)(const void *)((const char *)&w[i] + member);
	return sum;
}

#define SUM(w, member) sum_of(w, offsetof(struct worker, member))

/* Creates and destroys a device while the other threads do the same in the same lists. */
static void *create_and_destroy(void *data)
{
	struct worker *w = data;
	int i;

	pthread_barrier_wait(&start);
	for (i = 0; i < rounds; i++) {
		struct mdev_device *dev = NULL, *same = NULL, **list = NULL;
		const char *uuid = NULL, *name = NULL;
		char own[64], xml[512];
		int n;

		snprintf(own, sizeof(own), "vgpu-%d-%d", w->number, i);
		snprintf(xml, sizeof(xml),
			 "<device><name>%s</name><parent>" RFC_PARENT
			 "</parent><capability type='mdev'><type id='11'/><params>p=%d</params></capability></device>",
			 own, w->number);
		w->faults += mdev_conn_create_xml(conn, xml, &dev, 0) != 0;
		w->faults += mdev_conn_lookup_by_name(conn, own, &same) != 0;
		w->faults += mdev_device_get_uuid(dev, &uuid) != 0;
		w->faults += mdev_device_get_name(same, &name) != 0 || strcmp(name, own);
		n = mdev_conn_list(conn, &list, 0);
		w->faults += n < 2 || list[n];
		if (n > 0)
			mdev_device_list_free(list);
		mdev_device_unref(mdev_device_ref(shared));
		/* Half by handle, half by UUID. */
		w->faults += ((i & 1) ? mdev_device_destroy(same, 0) : mdev_conn_destroy_uuid(conn, uuid, 0)) != 0;
		same = mdev_device_unref(same);
		w->faults += mdev_conn_lookup_by_name(conn, own, &same) != -ENODEV;
		w->faults += !host_message() || !strstr(host_message(), own);
		mdev_device_unref(dev);
		w->done++;
	}
	return NULL;
}

static void *take_two(void *data)
{
	struct worker *w = data;
	int i;

	pthread_barrier_wait(&start);
	for (i = 0; i < 2; i++)
		w->done += !mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "11"), &w->made[i], 0);
	return NULL;
}

static void *race_to_create(void *data)
{
	struct worker *w = data;
	int rc;

	pthread_barrier_wait(&start);
	rc = mdev_conn_create_xml(conn, UUID_XML(RFC_PARENT, "12", UUID), &w->made[0], 0);
	w->won = rc == 0;
	w->lost = rc == -EEXIST;
	return NULL;
}

static void *race_to_destroy(void *data)
{
	struct worker *w = data;
	int rc;

	pthread_barrier_wait(&start);
	rc = mdev_conn_destroy_uuid(conn, UUID, 0);
	w->won = rc == 0;
	/* Too late, or while the other thread holds the device so that no guest can open it. */
	w->lost = rc == -ENODEV || rc == -EBUSY;
	return NULL;
}

/* The last unref frees the object. Valgrind and the sanitizers report a reference that was counted twice or not at all. */
static void *count_references(void *data)
{
	struct worker *w = data;
	const char *name = NULL;
	int i;

	pthread_barrier_wait(&start);
	for (i = 0; i < 1000; i++) {
		struct mdev_device *ref = mdev_device_ref(shared);
		struct mdev_conn *c = mdev_conn_ref(conn);

		w->faults += ref != shared || c != conn;
		w->faults += mdev_device_get_name(ref, &name) != 0 || strcmp(name, RFC_PARENT);
		mdev_device_unref(ref);
		mdev_conn_unref(c);
		w->done++;
	}
	/* The main thread may drop its reference first. */
	mdev_device_unref(shared);
	mdev_conn_unref(conn);
	return NULL;
}

static void live_and_let_live(struct worker *w, int nodes)
{
	run_all(w, create_and_destroy);
	T_INT(SUM(w, done), THREADS * rounds);
	T_INT(SUM(w, faults), 0);
	T_INT(host_count(conn, 0), nodes);
	T_INT(host_available(conn, RFC_PARENT, "11"), 16);
}

static void fill_up(struct worker *w, int nodes)
{
	struct mdev_device *more = NULL;
	int i, j, gone = 0;

	run_all(w, take_two);
	T_INT(SUM(w, done), 16);
	T_INT(host_available(conn, RFC_PARENT, "11"), 0);
	T_INT(host_count(conn, 0), nodes + 16);
	T_INT(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "11"), &more, 0), -ENOSPC);
	for (i = 0; i < THREADS; i++)
		for (j = 0; j < 2; j++) {
			gone += !mdev_device_destroy(w[i].made[j], 0);
			mdev_device_unref(w[i].made[j]);
		}
	T_INT(gone, 16);
}

static void one_wins(struct worker *w, int nodes)
{
	int i;

	run_all(w, race_to_create);
	T_INT(SUM(w, won), 1);
	T_INT(SUM(w, lost), THREADS - 1);
	T_INT(host_count(conn, 0), nodes + 1);
	for (i = 0; i < THREADS; i++)
		mdev_device_unref(w[i].made[0]);
	run_all(w, race_to_destroy);
	T_INT(SUM(w, won), 1);
	T_INT(SUM(w, lost), THREADS - 1);
	T_INT(host_count(conn, 0), nodes);
}

int main(void)
{
	static struct worker w[THREADS];
	int i, nodes;

	/* Valgrind runs one thread at a time, and slowly. */
	if (getenv("T_CHECKED"))
		rounds = 5;
	conn = host_open();
	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &shared) == 0);
	nodes = host_count(conn, 0);
	T_NEED(pthread_barrier_init(&start, NULL, THREADS) == 0);

	live_and_let_live(w, nodes);
	fill_up(w, nodes);
	one_wins(w, nodes);

	for (i = 0; i < THREADS; i++) {
		mdev_device_ref(shared);
		mdev_conn_ref(conn);
	}
	run_all(w, count_references);
	T_INT(SUM(w, done), THREADS * 1000);
	T_INT(SUM(w, faults), 0);

	pthread_barrier_destroy(&start);
	T_OK(mdev_device_unref(shared) == NULL);
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
