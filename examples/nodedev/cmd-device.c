// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands that change something: create, destroy, reset, online, attr; and wait. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

/* A sentence with a name in it, unless -q. */
static void tell(const struct nodedev *nd, const char *before, const char *name, const char *after)
{
	if (nd->quiet)
		return;
	fputs(before, stdout);
	print_safe(stdout, name);
	puts(after);
}

/* ---- create ---- */

/* With -q just the UUID, for uuid=$(nodedev -q create ...). */
static void tell_created(const struct nodedev *nd, struct mdev_device *dev, bool as_json)
{
	const char *uuid = get(dev, mdev_device_get_uuid);
	const char *name = get(dev, mdev_device_get_name);

	if (as_json) {
		print_info(dev, NULL, true);
	} else if (nd->quiet) {
		puts(uuid ? uuid : "");
	} else {
		fputs("Device ", stdout);
		print_safe(stdout, name ? name : "");
		printf(" created, UUID %s\n", uuid ? uuid : "unknown");
	}
}

static int create_one(struct nodedev *nd, const char *path, unsigned int flags, bool as_json)
{
	char *xml = read_document(nd, path);
	struct mdev_device *dev;
	int rc;

	if (!xml)
		return FAILED;
	rc = mdev_conn_create_xml(nd->conn, xml, &dev, flags);
	free(xml);
	if (rc < 0)
		return complain_mdev(rc);
	tell_created(nd, dev, as_json);
	mdev_device_unref(dev);
	return OK;
}

static int create_group(struct nodedev *nd, char **paths, int count, unsigned int flags, bool as_json)
{
	char **xmls = xrealloc(NULL, (size_t)count * sizeof(*xmls));
	struct mdev_device **list;
	int i, rc = OK, n;

	for (n = 0; n < count; n++) {
		xmls[n] = read_document(nd, paths[n]);
		if (!xmls[n])
			break;
	}
	if (n < count) {
		rc = FAILED;
	} else {
		rc = mdev_conn_create_group_xml(nd->conn, (const char *const *)xmls, (size_t)n, &list, flags);
		if (rc < 0) {
			rc = complain_mdev(rc);
		} else {
			for (i = 0; list[i]; i++)
				tell_created(nd, list[i], as_json);
			mdev_device_list_free(list);
			rc = OK;
		}
	}
	while (n > 0)
		free(xmls[--n]);
	free(xmls);
	return rc;
}

int cmd_create(struct nodedev *nd, struct args *args)
{
	bool as_json = given(args, OPT_JSON);
	unsigned int flags = 0;
	int rc;

	if (args->count > 1 && !given(args, OPT_GROUP)) {
		complain("command 'create' makes one device; for several as one group give --group");
		return USAGE;
	}
	if (need_conn(nd) != OK)
		return FAILED;
	if (given(args, OPT_EXIST_OK))
		flags |= MDEV_CREATE_EXIST_OK;
	if (given(args, OPT_NO_CALLOUTS))
		flags |= MDEV_CREATE_NO_CALLOUTS;
	if (given(args, OPT_PACK))
		flags |= MDEV_CREATE_PACK;
	if (given(args, OPT_OWNER)) {
		rc = mdev_conn_set_owner(nd->conn, args->value[OPT_OWNER]);
		if (rc < 0)
			return complain_mdev(rc);
	}
	if (given(args, OPT_GROUP))
		rc = create_group(nd, args->word, args->count, flags, as_json);
	else
		rc = create_one(nd, args->word[0], flags, as_json);
	/* The command's own owner is for this command only. */
	if (given(args, OPT_OWNER))
		mdev_conn_set_owner(nd->conn, nd->owner);
	return rc;
}

/* ---- destroy ---- */

static int destroy_one(struct nodedev *nd, const char *what, unsigned int flags)
{
	struct mdev_device *dev;
	int rc = lookup(nd, what, &dev);

	if (rc != OK)
		return rc;
	rc = mdev_device_destroy(dev, flags);
	if (rc < 0)
		rc = complain_mdev(rc);
	else
		tell(nd, "Device ", what, " destroyed");
	mdev_device_unref(dev);
	return rc;
}

static int destroy_incomplete(struct nodedev *nd, struct args *args, unsigned int flags)
{
	const char *owner = given(args, OPT_OWNER) ? args->value[OPT_OWNER] : nd->owner;
	int rc;

	if (need_conn(nd) != OK)
		return FAILED;
	rc = mdev_conn_destroy_incomplete(nd->conn, owner, flags);
	if (rc < 0)
		return complain_mdev(rc);
	if (!nd->quiet)
		printf("%d device%s of incomplete groups destroyed\n", rc, rc == 1 ? "" : "s");
	return OK;
}

int cmd_destroy(struct nodedev *nd, struct args *args)
{
	unsigned int flags = (given(args, OPT_OWNED) ? MDEV_DESTROY_OWNED : 0) |
			     (given(args, OPT_NO_CALLOUTS) ? MDEV_DESTROY_NO_CALLOUTS : 0);
	int i, status = OK;

	if (given(args, OPT_INCOMPLETE) ? given(args, OPT_OWNED) : given(args, OPT_OWNER)) {
		complain("command 'destroy' takes --owner with --incomplete, and --owned without it");
		return USAGE;
	}
	if (given(args, OPT_INCOMPLETE))
		return destroy_incomplete(nd, args, flags);
	for (i = 0; i < args->count; i++)
		if (destroy_one(nd, args->word[i], flags) != OK)
			status = FAILED;
	return status;
}

/* ---- reset, online, offline ---- */

static int set_online(struct mdev_device *dev)
{
	return mdev_device_set_online(dev, 1);
}

static int set_offline(struct mdev_device *dev)
{
	return mdev_device_set_online(dev, 0);
}

static int simple(struct nodedev *nd, struct args *args, int (*action)(struct mdev_device *dev), const char *done)
{
	struct mdev_device *dev;
	int rc = lookup(nd, args->word[0], &dev);

	if (rc != OK)
		return rc;
	rc = action(dev);
	if (rc < 0)
		rc = complain_mdev(rc);
	else
		tell(nd, "Device ", args->word[0], done);
	mdev_device_unref(dev);
	return rc;
}

int cmd_reset(struct nodedev *nd, struct args *args)
{
	return simple(nd, args, mdev_device_reset, " reset");
}

int cmd_online(struct nodedev *nd, struct args *args)
{
	return simple(nd, args, set_online, " is online");
}

int cmd_offline(struct nodedev *nd, struct args *args)
{
	return simple(nd, args, set_offline, " is offline");
}

/* ---- attr ---- */

/* One attribute, with what can be done with it. */
static void add_attr(struct mdev_device *dev, const char *name, struct table *t, struct json *j)
{
	unsigned int access = 0;
	char *value = NULL;
	bool readable, writable;

	if (mdev_device_get_attr_access(dev, name, &access) < 0)
		return;		/* gone since it was listed */
	readable = access & MDEV_ATTR_READ;
	writable = access & MDEV_ATTR_WRITE;
	if (!readable || mdev_device_get_attr(dev, name, &value) < 0)
		value = NULL;
	if (j) {
		json_open(j, NULL, '{');
		json_string(j, "name", name);
		json_bool(j, "readable", readable);
		json_bool(j, "writable", writable);
		json_string(j, "value", value);
		json_close(j, '}');
	} else {
		table_cell(t, name);
		table_cell(t, !writable ? "r" : readable ? "rw" : "w");
		table_cell(t, value);
	}
	free(value);
}

static void each_attr(struct mdev_device *dev, char **names, struct table *t, struct json *j)
{
	for (; *names; names++)
		/* What udev is told is no attribute of the device. */
		if (strcmp(*names, "uevent"))
			add_attr(dev, *names, t, j);
}

static int attr_list(struct nodedev *nd, struct mdev_device *dev, bool as_json)
{
	struct json j = { 0 };
	struct table t;
	char **names;
	int rc = mdev_device_list_attrs(dev, &names);

	if (rc < 0)
		return complain_mdev(rc);
	if (as_json) {
		json_open(&j, NULL, '[');
		each_attr(dev, names, NULL, &j);
		json_close(&j, ']');
		json_print(&j);
	} else {
		table_init(&t, 3, "Attribute", "Access", "Value");
		each_attr(dev, names, &t, NULL);
		table_print(&t, !nd->quiet);
	}
	free(names);
	return OK;
}

static int attr_get(struct mdev_device *dev, const char *name)
{
	char *value;
	int rc = mdev_device_get_attr(dev, name, &value);
	size_t len;

	if (rc < 0)
		return complain_mdev(rc);
	len = strlen(value);
	fputs(value, stdout);
	if (!len || value[len - 1] != '\n')
		putchar('\n');
	free(value);
	return OK;
}

static int attr_set(struct mdev_device *dev, const char *name, const char *value)
{
	int rc = mdev_device_set_attr(dev, name, value);

	return rc < 0 ? complain_mdev(rc) : OK;
}

int cmd_attr(struct nodedev *nd, struct args *args)
{
	static const struct {
		const char *name;
		int operands;
	} actions[] = { { "list", 2 }, { "get", 3 }, { "set", 4 } };
	struct mdev_device *dev;
	size_t action = 0;
	int rc;

	while (action < 3 && strcmp(args->word[0], actions[action].name))
		action++;
	if (action == 3 || args->count != actions[action].operands || (given(args, OPT_JSON) && action)) {
		complain("use 'attr list NAME', 'attr get NAME ATTRIBUTE' or 'attr set NAME ATTRIBUTE VALUE'");
		return USAGE;
	}
	rc = lookup(nd, args->word[1], &dev);
	if (rc != OK)
		return rc;
	if (action == 0)
		rc = attr_list(nd, dev, given(args, OPT_JSON));
	else if (action == 1)
		rc = attr_get(dev, args->word[2]);
	else
		rc = attr_set(dev, args->word[2], args->word[3]);
	mdev_device_unref(dev);
	return rc;
}

/* ---- wait ---- */

int milliseconds(const char *text)
{
	double seconds;
	char *end;

	/* strtod alone would take "inf", "nan", hexadecimal, and leading white space. */
	if (!*text || strspn(text, "0123456789.") != strlen(text))
		return -1;
	seconds = strtod(text, &end);
	if (*end || seconds > 2000000)
		return -1;
	return (int)(seconds * 1000);
}

int cmd_wait(struct nodedev *nd, struct args *args)
{
	const char *timeout = given(args, OPT_TIMEOUT) ? args->value[OPT_TIMEOUT] : "60";
	int rc, ms = milliseconds(timeout);
	struct mdev_device *dev;
	const char *name;

	if (ms < 0) {
		complain("'%s' is no number of seconds; use --timeout 5 or --timeout 0.5", timeout);
		return USAGE;
	}
	if (need_conn(nd) != OK)
		return FAILED;
	rc = mdev_conn_wait_parent(nd->conn, args->word[0], ms, &dev);
	if (rc < 0)
		return complain_mdev(rc);
	name = get(dev, mdev_device_get_name);
	tell(nd, "Parent ", name ? name : args->word[0], " is there");
	mdev_device_unref(dev);
	return OK;
}
