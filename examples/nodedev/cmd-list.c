// SPDX-License-Identifier: LGPL-2.1-or-later
/* list and types, and the JSON of nodes and types. */

#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

static const char *name_of(struct mdev_device *dev)
{
	const char *name = get(dev, mdev_device_get_name);

	return name ? name : "";
}

/* Parents before devices, then by name, as virsh sorts. */
static int compare_nodes(const void *a, const void *b)
{
	struct mdev_device *x = *(struct mdev_device *const *)a;
	struct mdev_device *y = *(struct mdev_device *const *)b;
	int kind = mdev_device_is_parent(y) - mdev_device_is_parent(x);

	return kind ? kind : strcmp(name_of(x), name_of(y));
}

static int get_list(struct nodedev *nd, struct mdev_device ***ret, unsigned int flags)
{
	int n;

	if (need_conn(nd) != OK)
		return -1;
	n = mdev_conn_list(nd->conn, ret, flags);
	if (n < 0)
		complain_mdev(n);
	else if (n > 1)
		qsort(*ret, (size_t)n, sizeof(**ret), compare_nodes);
	return n;
}

static unsigned int list_flags(const struct args *args)
{
	unsigned int flags = 0;

	if (given(args, OPT_PARENTS))
		flags |= MDEV_LIST_PARENTS;
	if (given(args, OPT_DEVICES))
		flags |= MDEV_LIST_DEVICES;
	if (!flags)
		flags = MDEV_LIST_PARENTS | MDEV_LIST_DEVICES;
	if (given(args, OPT_ALL))
		return flags | MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE;
	return flags | (given(args, OPT_INACTIVE) ? MDEV_LIST_INACTIVE : MDEV_LIST_ACTIVE);
}

static int types_of(struct mdev_device *parent, const struct mdev_type *const **ret)
{
	int n = mdev_device_list_types(parent, ret);

	return n < 0 ? 0 : n;
}

/* "GRID M60-0B, 16 available", as far as it is known. */
static char *type_summary(const struct mdev_type *type)
{
	const char *name = mdev_type_get_name(type);
	struct buf b = { 0 };
	unsigned int n;
	int bound;

	buf_puts(&b, name ? name : "");
	if (mdev_type_get_capacity(type, &n, &bound) >= 0)
		buf_printf(&b, "%s%s%u available", name ? ", " : "", bound ? "up to " : "", n);
	return b.s;
}

/* "16", or "up to 8" if the number is an upper bound. */
static void table_capacity(struct table *t, const struct mdev_type *type)
{
	struct buf b = { 0 };
	unsigned int n = 0;
	int bound = 0, rc = mdev_type_get_capacity(type, &n, &bound);

	if (rc < 0 || !bound) {
		table_number(t, rc, n);
		return;
	}
	buf_printf(&b, "up to %u", n);
	table_cell(t, b.s);
	free(b.s);
}

/* ---- list ---- */

static void add_type_rows(struct table *t, struct mdev_device *parent)
{
	const struct mdev_type *const *type;
	int i, n = types_of(parent, &type);

	for (i = 0; i < n; i++) {
		table_cell(t, mdev_type_get_name(type[i]));
		table_cell(t, "type");
		table_cell(t, get(parent, mdev_device_get_layout));
		table_cell(t, name_of(parent));
		table_cell(t, mdev_type_get_id(type[i]));
		table_capacity(t, type[i]);
	}
}

static void print_mixed(const struct nodedev *nd, struct mdev_device **list, int count, bool types)
{
	struct table t;
	int i;

	table_init(&t, types ? 6 : 5, "Name", "Kind", "Layout", "Parent", "Type", "Available");
	for (i = 0; i < count; i++) {
		bool parent = mdev_device_is_parent(list[i]) == 1;

		table_cell(&t, name_of(list[i]));
		table_cell(&t, parent ? "parent" : "device");
		table_cell(&t, get(list[i], mdev_device_get_layout));
		table_cell(&t, parent ? NULL : get(list[i], mdev_device_get_parent));
		table_cell(&t, get(list[i], mdev_device_get_type_id));
		if (types)
			table_cell(&t, NULL);
		if (types && parent)
			add_type_rows(&t, list[i]);
	}
	table_print(&t, !nd->quiet);
}

static void print_parents(const struct nodedev *nd, struct mdev_device **list, int count)
{
	const struct mdev_type *const *type;
	struct table t;
	int i, node, rc;
	char text[16];

	table_init(&t, 5, "Name", "Layout", "Types", "NUMA", "Path");
	for (i = 0; i < count; i++) {
		table_cell(&t, name_of(list[i]));
		table_cell(&t, get(list[i], mdev_device_get_layout));
		table_number(&t, 0, (unsigned int)types_of(list[i], &type));
		rc = mdev_device_get_numa_node(list[i], &node);
		snprintf(text, sizeof(text), "%d", rc < 0 ? 0 : node);
		table_cell(&t, rc < 0 ? NULL : text);
		table_cell(&t, get(list[i], mdev_device_get_syspath));
	}
	table_print(&t, !nd->quiet);
}

static void print_devices(const struct nodedev *nd, struct mdev_device **list, int count, bool state)
{
	unsigned int number = 0;
	struct table t;
	int i, rc;

	if (state)
		table_init(&t, 7, "Name", "State", "UUID", "Parent", "Type", "IOMMU group", "Owner");
	else
		table_init(&t, 6, "Name", "UUID", "Parent", "Type", "IOMMU group", "Owner");
	for (i = 0; i < count; i++) {
		table_cell(&t, name_of(list[i]));
		if (state)
			table_cell(&t, mdev_device_is_active(list[i]) == 1 ? "active" : "inactive");
		table_cell(&t, get(list[i], mdev_device_get_uuid));
		table_cell(&t, get(list[i], mdev_device_get_parent));
		table_cell(&t, get(list[i], mdev_device_get_type_id));
		rc = mdev_device_get_iommu_group(list[i], &number);
		table_number(&t, rc, number);
		table_cell(&t, get(list[i], mdev_device_get_owner));
	}
	table_print(&t, !nd->quiet);
}

/* The line from a root comes with its first branch. */
static void print_branch(bool *first, const char *name, const char *text)
{
	fputs(*first ? "  |\n  +- " : "  +- ", stdout);
	*first = false;
	print_safe(stdout, name);
	if (text && *text) {
		fputs("  ", stdout);
		print_safe(stdout, text);
	}
	putchar('\n');
}

static bool has_parent(struct mdev_device *dev, const char *name)
{
	const char *parent = get(dev, mdev_device_get_parent);

	return mdev_device_is_parent(dev) != 1 && parent && !strcmp(parent, name);
}

static void print_types_below(struct mdev_device *parent, bool *first)
{
	const struct mdev_type *const *type;
	int i, n = types_of(parent, &type);

	for (i = 0; i < n; i++) {
		struct buf label = { 0 };
		char *summary = type_summary(type[i]);

		buf_printf(&label, "type %s", mdev_type_get_id(type[i]));
		print_branch(first, label.s, summary);
		buf_free(&label);
		free(summary);
	}
}

static void print_devices_below(const char *parent, struct mdev_device **list, int count, bool *shown,
				bool *first)
{
	int i;

	for (i = 0; i < count; i++) {
		const char *type = get(list[i], mdev_device_get_type_id);
		struct buf label = { 0 };

		if (!has_parent(list[i], parent))
			continue;
		shown[i] = true;
		if (type)
			buf_printf(&label, "(type %s)", type);
		print_branch(first, name_of(list[i]), label.s);
		buf_free(&label);
	}
}

/* Trees of two levels: a device whose parent is not listed is a root of its own. */
static void print_tree(struct mdev_device **list, int count, bool types)
{
	bool *shown = xrealloc(NULL, (size_t)count * sizeof(*shown));
	const char *parent;
	bool first;
	int i;

	memset(shown, 0, (size_t)count * sizeof(*shown));
	for (i = 0; i < count; i++) {
		if (shown[i])
			continue;
		/* Below a parent that is not there (only devices are listed, or it has gone) they hang together. */
		parent = mdev_device_is_parent(list[i]) == 1 ? name_of(list[i]) : get(list[i], mdev_device_get_parent);
		print_safe(stdout, parent ? parent : name_of(list[i]));
		putchar('\n');
		first = true;
		shown[i] = true;
		if (types && mdev_device_is_parent(list[i]) == 1)
			print_types_below(list[i], &first);
		if (parent)
			print_devices_below(parent, list, count, shown, &first);
		putchar('\n');
	}
	free(shown);
}

static void print_list_json(struct mdev_device **list, int count, bool types)
{
	struct json j = { 0 };
	int i;

	json_open(&j, NULL, '[');
	for (i = 0; i < count; i++) {
		json_open(&j, NULL, '{');
		json_node(&j, list[i], types);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_print(&j);
}

static bool conflict(const struct args *args, unsigned int options, const char *names)
{
	unsigned int both = args->given & options;

	/* More than one bit is set. */
	if (!(both & (both - 1)))
		return false;
	complain("the options %s cannot be given together", names);
	return true;
}

int cmd_list(struct nodedev *nd, struct args *args)
{
	struct mdev_device **list;
	bool types = given(args, OPT_TYPES);
	int i, n;

	if (conflict(args, BIT(OPT_TREE) | BIT(OPT_NAMES) | BIT(OPT_JSON), "--tree, --names and --json") ||
	    conflict(args, BIT(OPT_ALL) | BIT(OPT_INACTIVE), "--all and --inactive") ||
	    conflict(args, BIT(OPT_NAMES) | BIT(OPT_TYPES), "--names and --types"))
		return USAGE;
	n = get_list(nd, &list, list_flags(args));
	if (n < 0)
		return FAILED;
	if (given(args, OPT_JSON)) {
		print_list_json(list, n, types);
	} else if (given(args, OPT_NAMES)) {
		for (i = 0; i < n; i++) {
			print_safe(stdout, name_of(list[i]));
			putchar('\n');
		}
	} else if (given(args, OPT_TREE)) {
		print_tree(list, n, types);
	} else if (given(args, OPT_DEVICES) && !given(args, OPT_PARENTS)) {
		print_devices(nd, list, n, given(args, OPT_ALL) || given(args, OPT_INACTIVE));
	} else if (given(args, OPT_PARENTS) && !given(args, OPT_DEVICES) && !types) {
		print_parents(nd, list, n);
	} else {
		print_mixed(nd, list, n, types);
	}
	mdev_device_list_free(list);
	return OK;
}

/* ---- types ---- */

static void add_type(struct table *t, const char *parent, const struct mdev_type *type)
{
	if (parent)
		table_cell(t, parent);
	table_cell(t, mdev_type_get_id(type));
	table_cell(t, mdev_type_get_name(type));
	table_cell(t, mdev_type_get_device_api(type));
	table_capacity(t, type);
}

static int all_types(struct nodedev *nd, bool as_json)
{
	const struct mdev_type *const *type;
	struct mdev_device **list;
	struct json j = { 0 };
	struct table t;
	int i, k, n, count;

	count = get_list(nd, &list, MDEV_LIST_PARENTS | MDEV_LIST_ACTIVE);
	if (count < 0)
		return FAILED;
	if (as_json) {
		json_open(&j, NULL, '[');
		for (i = 0; i < count; i++) {
			json_open(&j, NULL, '{');
			json_string(&j, "parent", name_of(list[i]));
			json_types(&j, "types", list[i], NULL);
			json_close(&j, '}');
		}
		json_close(&j, ']');
		json_print(&j);
	} else {
		table_init(&t, 5, "Parent", "Type", "Name", "Device API", "Available");
		for (i = 0; i < count; i++) {
			n = types_of(list[i], &type);
			for (k = 0; k < n; k++)
				add_type(&t, name_of(list[i]), type[k]);
		}
		table_print(&t, !nd->quiet);
	}
	mdev_device_list_free(list);
	return OK;
}

static int print_types(const struct nodedev *nd, struct mdev_device *parent, const char *wanted, bool as_json)
{
	const struct mdev_type *const *type, *one;
	struct json j = { 0 };
	struct table t;
	int i, n;

	n = wanted ? mdev_device_find_type(parent, wanted, &one) : mdev_device_list_types(parent, &type);
	if (n < 0)
		return complain_mdev(n);
	if (wanted) {
		type = &one;
		n = 1;
	}
	if (as_json) {
		json_types(&j, NULL, parent, wanted ? one : NULL);
		json_print(&j);
	} else {
		table_init(&t, 4, "Type", "Name", "Device API", "Available");
		for (i = 0; i < n; i++)
			add_type(&t, NULL, type[i]);
		table_print(&t, !nd->quiet);
	}
	return OK;
}

int cmd_types(struct nodedev *nd, struct args *args)
{
	struct mdev_device *parent;
	int rc;

	if (!args->count)
		return all_types(nd, given(args, OPT_JSON));
	rc = lookup(nd, args->word[0], &parent);
	if (rc != OK)
		return rc;
	rc = print_types(nd, parent, args->count > 1 ? args->word[1] : NULL, given(args, OPT_JSON));
	mdev_device_unref(parent);
	return rc;
}
