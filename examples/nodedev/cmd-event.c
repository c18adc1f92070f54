// SPDX-License-Identifier: LGPL-2.1-or-later
/* nodedev event: how nodes come, change and go. */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nodedev.h"

static const char *event_name(const struct mdev_event *ev)
{
	switch (mdev_event_get_type(ev)) {
	case MDEV_EVENT_CREATED:
		return "created";
	case MDEV_EVENT_DELETED:
		return "deleted";
	case MDEV_EVENT_UPDATED:
		return "updated";
	case MDEV_EVENT_DEFINED:
		return "defined";
	case MDEV_EVENT_UNDEFINED:
		return "undefined";
	case MDEV_EVENT_OVERRUN:
		return "overrun";
	case MDEV_EVENT_NONE:
		break;
	}
	return "unknown";
}

static void print_line(const struct mdev_event *ev, struct mdev_device *dev)
{
	const char *name = dev ? get(dev, mdev_device_get_name) : NULL;
	const char *type = dev ? get(dev, mdev_device_get_type_id) : NULL;
	const char *parent = dev ? get(dev, mdev_device_get_parent) : NULL;

	if (!name) {
		puts(event_name(ev));
		return;
	}
	printf("%-9s ", event_name(ev));
	print_safe(stdout, name);
	if (mdev_device_is_parent(dev) != 1) {
		fputs("  type ", stdout);
		print_safe(stdout, type ? type : "-");
		fputs("  parent ", stdout);
		print_safe(stdout, parent ? parent : "-");
	}
	putchar('\n');
}

static void print_object(const struct mdev_event *ev, struct mdev_device *dev)
{
	struct json j = { .compact = true };

	json_open(&j, NULL, '{');
	json_string(&j, "event", event_name(ev));
	if (dev) {
		json_open(&j, "node", '{');
		json_node(&j, dev, true);
		json_close(&j, '}');
	}
	json_close(&j, '}');
	json_print(&j);
}

static void print_event(const struct mdev_event *ev, bool as_json)
{
	struct mdev_device *dev = NULL;

	if (mdev_event_get_type(ev) != MDEV_EVENT_OVERRUN)
		mdev_event_get_device(ev, &dev);
	if (as_json)
		print_object(ev, dev);
	else
		print_line(ev, dev);
	/* Whoever reads it through a pipe wants it now. */
	fflush(stdout);
	mdev_device_unref(dev);
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* When to end. */
struct bounds {
	long long end;		/* in now_ms(), LLONG_MAX: never */
	long count;		/* events to come, LONG_MAX: any number */
	bool drain;		/* when nothing waits */
};

static int wait_for_more(int fd, const struct bounds *b)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long long left = b->end == LLONG_MAX ? -1 : b->end - now_ms();
	int rc;

	if (b->drain || (b->end != LLONG_MAX && left <= 0))
		return 0;
	rc = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
	return rc < 0 && errno != EINTR ? -errno : 1;
}

/* How a bounded wait ends. */
static int ended(const struct bounds *b)
{
	if (b->drain || b->count == LONG_MAX || b->count == 0)
		return OK;
	complain("%ld more events were waited for, and did not come in time", b->count);
	return FAILED;
}

static int print_events(struct mdev_monitor *mon, struct bounds *b, bool as_json)
{
	struct mdev_event *ev;
	int rc;

	while (b->count > 0) {
		rc = mdev_monitor_receive(mon, &ev);
		if (rc < 0)
			return complain_mdev(rc);
		if (rc == 0) {
			rc = wait_for_more(mdev_monitor_get_fd(mon), b);
			if (rc < 0) {
				complain("cannot wait for events: %s", strerror(-rc));
				return FAILED;
			}
			if (rc == 0)
				return ended(b);
			continue;
		}
		print_event(ev, as_json);
		mdev_event_unref(ev);
		if (b->count != LONG_MAX)
			b->count--;
	}
	return OK;
}

static int read_bounds(const struct args *args, struct bounds *b)
{
	const char *count = args->value[OPT_NUMBER], *timeout = args->value[OPT_TIMEOUT];
	char *end = NULL;
	int ms;

	b->end = LLONG_MAX;
	b->count = LONG_MAX;
	b->drain = false;
	if (count) {
		errno = 0;
		b->count = strtol(count, &end, 10);
		if (errno || end == count || *end || b->count < 1 || b->count == LONG_MAX) {
			complain("'%s' is no number of events; use --count 1 or more", count);
			return USAGE;
		}
	}
	if (timeout) {
		ms = milliseconds(timeout);
		if (ms < 0) {
			complain("'%s' is no number of seconds; use --timeout 5 or --timeout 0.5", timeout);
			return USAGE;
		}
		b->end = now_ms() + ms;
	}
	return OK;
}

/* Runs the commands, each with what it does behind it. */
static int tell_what_they_do(struct nodedev *nd, struct mdev_monitor *mon, struct script *s, struct bounds *b,
			     bool as_json)
{
	int rc, status = OK;
	size_t i;

	for (i = 0; i < s->count && status == OK; i++)
		status = check_command(s->commands[i]);
	for (i = 0; i < s->count && status != USAGE && !nd->quit && (status == OK || !nd->stop_on_error); i++) {
		rc = run_command(nd, s->commands[i]);
		status = status == OK ? rc : status;
		b->drain = true;
		rc = print_events(mon, b, as_json);
		b->drain = false;
		status = status == OK ? rc : status;
	}
	return status;
}

static int hear(struct nodedev *nd, struct mdev_monitor *mon, struct args *args, struct bounds *b)
{
	bool as_json = given(args, OPT_JSON);
	struct script script = { 0 };
	int status;

	if (!args->count)
		return print_events(mon, b, as_json);
	args->word[args->count] = NULL;
	status = script_from_argv(&script, args->word);
	if (status == OK)
		status = tell_what_they_do(nd, mon, &script, b, as_json);
	script_free(&script);
	if (status == OK && (given(args, OPT_NUMBER) || given(args, OPT_TIMEOUT)))
		status = print_events(mon, b, as_json);
	return status;
}

int cmd_event(struct nodedev *nd, struct args *args)
{
	struct mdev_monitor *mon = NULL;
	struct bounds bounds;
	int rc;

	rc = read_bounds(args, &bounds);
	if (rc != OK || need_conn(nd) != OK)
		return rc == OK ? FAILED : rc;
	rc = mdev_monitor_new(&mon, nd->conn, 0);
	if (rc < 0)
		return complain_mdev(rc);
	rc = hear(nd, mon, args, &bounds);
	mdev_monitor_unref(mon);
	return rc;
}
