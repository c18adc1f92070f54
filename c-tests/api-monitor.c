/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events in a C program: by polling a monitor, and by callbacks that a
 * connection dispatches. On the simulated host, which sends the uevents of a real
 * kernel.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/* Enough also for the sanitizers and valgrind, which are slow. */
#define ROUNDS 50

static int readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

/* The next event other than an update of a parent; MDEV_EVENT_NONE if there is none. */
static int next_change(struct mdev_monitor *mon, char *name, size_t size)
{
	struct mdev_device *dev;
	struct mdev_event *ev;
	const char *word;
	int kind;

	while (mdev_monitor_receive(mon, &ev) == 1) {
		kind = mdev_event_get_type(ev);
		dev = NULL;
		if (!mdev_event_get_device(ev, &dev) && !mdev_device_get_name(dev, &word))
			snprintf(name, size, "%s", word);
		else
			name[0] = '\0';
		mdev_device_unref(dev);
		mdev_event_unref(ev);
		if (kind != MDEV_EVENT_UPDATED)
			return kind;
	}
	return MDEV_EVENT_NONE;
}

static void a_program_that_polls(struct mdev_conn *conn)
{
	struct mdev_monitor *mon = NULL;
	struct mdev_device *dev = NULL;
	struct mdev_event *ev = NULL;
	const char *name = NULL;
	char reported[256];
	int fd, i;

	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	fd = mdev_monitor_get_fd(mon);
	T_OK(fd >= 0 && !readable(fd));
	T_INT(mdev_monitor_receive(mon, &ev), 0);
	T_OK(ev == NULL);
	for (i = 0; i < ROUNDS; i++) {
		T_NEED(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0) == 0);
		T_INT(mdev_device_get_name(dev, &name), 0);
		T_OK(readable(fd));
		T_INT(next_change(mon, reported, sizeof(reported)), MDEV_EVENT_CREATED);
		T_STR(reported, name);
		T_INT(mdev_device_destroy(dev, 0), 0);
		T_INT(next_change(mon, reported, sizeof(reported)), MDEV_EVENT_DELETED);
		T_STR(reported, name);
		T_INT(next_change(mon, reported, sizeof(reported)), MDEV_EVENT_NONE);
		mdev_device_unref(dev);
	}
	T_OK(mdev_monitor_unref(mon) == NULL);
	T_OK(!readable(fd));
}

/* One event for each time that the descriptor is readable, as some loops do it. */
static void a_program_that_takes_one_at_a_time(struct mdev_conn *conn)
{
	struct mdev_device **list = NULL;
	const char *xmls[] = { PLAIN_XML(RFC_PARENT, "13"), PLAIN_XML(RFC_PARENT, "13"), PLAIN_XML(RFC_PARENT, "13") };
	struct mdev_monitor *mon = NULL;
	struct mdev_event *ev;
	int i, created = 0;

	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	T_NEED(mdev_conn_create_group_xml(conn, xmls, 3, &list, 0) == 3);
	while (readable(mdev_monitor_get_fd(mon))) {
		if (mdev_monitor_receive(mon, &ev) == 1) {
			created += mdev_event_get_type(ev) == MDEV_EVENT_CREATED;
			mdev_event_unref(ev);
		}
	}
	T_INT(created, 3);
	for (i = 0; i < 3; i++)
		T_INT(mdev_device_destroy(list[i], 0), 0);
	mdev_device_list_free(list);
	mdev_monitor_unref(mon);
}

static void a_loss_is_told(struct mdev_conn *conn)
{
	struct mdev_monitor *mon = NULL;
	struct mdev_device *dev = NULL, *gone = NULL;
	struct mdev_event *ev = NULL;
	char reported[256];
	const char *name = NULL;
	int i;

	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	T_INT(mdev_monitor_set_buffer_size(mon, 2048), 0);
	for (i = 0; i < 4; i++) {
		T_NEED(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0) == 0);
		if (i < 3) {
			T_INT(mdev_device_destroy(dev, 0), 0);
			mdev_device_unref(dev);
		}
	}
	T_NEED(mdev_monitor_receive(mon, &ev) == 1);
	T_INT(mdev_event_get_type(ev), MDEV_EVENT_OVERRUN);
	T_INT(mdev_event_get_device(ev, &gone), -ENODATA);
	T_OK(gone == NULL);
	mdev_event_unref(ev);
	T_INT(mdev_monitor_set_buffer_size(mon, SIZE_MAX), 0);
	T_INT(mdev_device_get_name(dev, &name), 0);
	T_INT(mdev_device_destroy(dev, 0), 0);
	T_INT(next_change(mon, reported, sizeof(reported)), MDEV_EVENT_DELETED);
	T_STR(reported, name);
	mdev_device_unref(dev);
	mdev_monitor_unref(mon);
}

/* An event stays valid after its monitor and the connection are freed. */
static void everything_outlives_its_source(void)
{
	struct mdev_conn *conn = host_open();
	struct mdev_device *dev = NULL, *reported = NULL;
	struct mdev_monitor *mon = NULL;
	struct mdev_event *ev = NULL;
	const char *layout = NULL;

	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	T_NEED(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0) == 0);
	mdev_conn_unref(conn);
	T_NEED(mdev_monitor_receive(mon, &ev) == 1);
	mdev_monitor_unref(mon);
	T_OK(mdev_event_ref(ev) == ev);
	mdev_event_unref(ev);
	T_NEED(mdev_event_get_device(ev, &reported) == 0);
	mdev_event_unref(ev);
	T_INT(mdev_device_get_layout(reported, &layout), 0);
	T_STR(layout, "rfc");
	T_INT(mdev_device_destroy(reported, 0), 0);
	mdev_device_unref(reported);
	mdev_device_unref(dev);
}

struct listener {
	int id, created, deleted, freed, nested;
	struct mdev_conn *gives_up;
};

static void count(struct mdev_conn *conn, struct mdev_event *ev, void *data)
{
	struct listener *l = data;

	(void)conn;
	l->created += mdev_event_get_type(ev) == MDEV_EVENT_CREATED;
	l->deleted += mdev_event_get_type(ev) == MDEV_EVENT_DELETED;
}

static void freed(void *data)
{
	((struct listener *)data)->freed++;
}

/* A callback that deregisters itself, creates a device and dispatches. */
static void restless(struct mdev_conn *conn, struct mdev_event *ev, void *data)
{
	struct listener *l = data;
	struct mdev_device *dev = NULL;

	count(conn, ev, data);
	if (mdev_conn_event_deregister(conn, l->id))
		return;
	if (l->freed)
		l->nested = -1;
	if (mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0))
		return;
	mdev_device_destroy(dev, 0);
	mdev_device_unref(dev);
	if (!l->nested)
		l->nested = mdev_conn_dispatch(conn);
}

/* A callback that drops the last reference to the connection during the dispatch. */
static void hostile(struct mdev_conn *conn, struct mdev_event *ev, void *data)
{
	struct listener *l = data;

	count(conn, ev, data);
	l->gives_up = mdev_conn_unref(l->gives_up);
}

static void make_and_destroy(struct mdev_conn *conn)
{
	struct mdev_device *dev = NULL;

	T_NEED(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0) == 0);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
}

static void a_program_with_callbacks(struct mdev_conn *conn)
{
	struct listener a = { 0 }, b = { 0 };
	int fd;

	fd = mdev_conn_get_fd(conn);
	T_OK(fd >= 0);
	T_INT(mdev_conn_dispatch(conn), 0);
	make_and_destroy(conn);
	/* No callback was registered then. */
	a.id = mdev_conn_event_register(conn, count, &a, freed, 0);
	b.id = mdev_conn_event_register(conn, count, &b, NULL, 0);
	T_OK(a.id > 0 && b.id > 0 && a.id != b.id);
	T_INT(mdev_conn_get_fd(conn), fd);
	T_INT(mdev_conn_dispatch(conn), 0);
	make_and_destroy(conn);
	T_OK(readable(fd));
	T_OK(mdev_conn_dispatch(conn) >= 2);
	T_INT(a.created, 1);
	T_INT(a.deleted, 1);
	T_INT(b.created, 1);
	T_INT(mdev_conn_event_deregister(conn, a.id), 0);
	T_INT(a.freed, 1);
	T_INT(mdev_conn_event_deregister(conn, a.id), -EINVAL);
	make_and_destroy(conn);
	T_OK(mdev_conn_dispatch(conn) >= 2);
	T_INT(a.created, 1);
	T_INT(b.created, 2);
	T_INT(mdev_conn_event_deregister(conn, b.id), 0);
	T_INT(b.freed, 0);
}

static void callbacks_may_do_anything(void)
{
	struct mdev_conn *conn = host_open();
	struct listener r = { 0 }, h = { 0 }, c = { 0 };

	r.id = mdev_conn_event_register(conn, restless, &r, freed, 0);
	T_OK(r.id > 0);
	make_and_destroy(conn);
	T_OK(mdev_conn_dispatch(conn) >= 1);
	T_INT(r.created, 1);
	T_INT(r.deleted, 0);
	T_OKF(r.nested >= 2, "the dispatch inside had %d events", r.nested);
	T_INT(r.freed, 1);

	h.id = mdev_conn_event_register(conn, hostile, &h, freed, 0);
	c.id = mdev_conn_event_register(conn, count, &c, freed, 0);
	make_and_destroy(conn);
	h.gives_up = conn;
	T_OK(mdev_conn_dispatch(conn) >= 2);
	/* The dispatch has returned, and then the connection was freed. */
	T_OK(h.gives_up == NULL);
	T_INT(c.deleted, 1);
	T_INT(h.freed, 1);
	T_INT(c.freed, 1);
}

struct crowd {
	struct mdev_conn *conn;
	struct mdev_monitor *mon;
	int changes, failed;
};

static void *fetch(void *data)
{
	struct crowd *c = data;
	struct mdev_event *ev;
	int rc;

	while ((rc = mdev_monitor_receive(c->mon, &ev)) == 1) {
		c->changes += mdev_event_get_type(ev) != MDEV_EVENT_UPDATED;
		mdev_event_unref(ev);
	}
	c->failed = rc;
	return NULL;
}

/* Each event is received by exactly one of the threads. */
static void threads_share_a_monitor(struct mdev_conn *conn)
{
	struct crowd crowd[4];
	struct mdev_monitor *mon = NULL;
	pthread_t ids[4];
	int i, changes = 0;

	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	for (i = 0; i < ROUNDS; i++)
		make_and_destroy(conn);
	for (i = 0; i < 4; i++) {
		crowd[i] = (struct crowd){ .conn = conn, .mon = mdev_monitor_ref(mon) };
		T_NEED(pthread_create(&ids[i], NULL, fetch, &crowd[i]) == 0);
	}
	mdev_monitor_unref(mon);
	for (i = 0; i < 4; i++) {
		T_INT(pthread_join(ids[i], NULL), 0);
		T_INT(crowd[i].failed, 0);
		changes += crowd[i].changes;
		mdev_monitor_unref(crowd[i].mon);
	}
	T_INT(changes, 2 * ROUNDS);
}

/* A monitor of this machine works also if the machine has no mediated devices. */
static void this_host(void)
{
	struct mdev_monitor *mon = NULL;
	struct mdev_conn *conn = NULL;
	struct mdev_event *ev = NULL;
	int rc;

	T_INT(mdev_conn_open(&conn, NULL, 0), 0);
	rc = mdev_monitor_new(&mon, conn, 0);
	if (rc == -EPERM || rc == -EAFNOSUPPORT) {
		T_OKF(1, "a monitor of this host # SKIP this sandbox has no uevents: %s", host_message());
	} else {
		T_INT(rc, 0);
		rc = mdev_monitor_receive(mon, &ev);
		T_OK(rc == 0 || rc == 1);
		mdev_event_unref(ev);
	}
	mdev_monitor_unref(mon);
	mdev_conn_unref(conn);
}

/* The exit code of the child: the number of the failed check. */
static int child(void)
{
	struct mdev_device *dev = NULL, **list = NULL;
	struct mdev_monitor *mon = NULL;
	struct mdev_conn *conn = NULL;
	struct mdev_event *ev = NULL;
	int before;

	alarm(60);
	if (mdev_conn_open(&conn, HOST_URI, 0) || mdev_monitor_new(&mon, conn, 0))
		return 1;
	before = mdev_conn_list(conn, &list, MDEV_LIST_DEVICES);
	mdev_device_list_free(list);
	if (mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0) || mdev_monitor_receive(mon, &ev) != 1)
		return 2;
	mdev_event_unref(ev);
	mdev_device_unref(dev);
	mdev_monitor_unref(mon);
	mdev_conn_unref(conn);
	return before == 1 ? 0 : 3;
}

/* A child opens its own host, whose events the callbacks of the parent do not get. */
static void a_child_has_a_host_of_its_own(struct mdev_conn *conn)
{
	struct mdev_device *dev = NULL;
	struct mdev_monitor *mon = NULL;
	struct mdev_event *ev = NULL;
	char name[256];
	int status = -1;
	pid_t pid;

	T_INT(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "13"), &dev, 0), 0);
	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		snprintf(name, sizeof(name), "exit %d", child());
		/* Not _exit(): valgrind would report the handles of the parent as leaks. */
		execl("/bin/sh", "sh", "-c", name, (char *)NULL);
		_exit(127);
	}
	T_OK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	T_INT(WEXITSTATUS(status), 0);
	T_INT(mdev_monitor_receive(mon, &ev), 0);
	T_OK(!readable(mdev_monitor_get_fd(mon)));
	T_INT(mdev_device_destroy(dev, 0), 0);
	T_INT(next_change(mon, name, sizeof(name)), MDEV_EVENT_DELETED);
	mdev_device_unref(dev);
	mdev_monitor_unref(mon);
}

int main(void)
{
	struct mdev_conn *conn = host_open();

	a_program_that_polls(conn);
	a_program_that_takes_one_at_a_time(conn);
	a_loss_is_told(conn);
	everything_outlives_its_source();
	a_program_with_callbacks(conn);
	callbacks_may_do_anything();
	threads_share_a_monitor(conn);
	this_host();
	a_child_has_a_host_of_its_own(conn);
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
