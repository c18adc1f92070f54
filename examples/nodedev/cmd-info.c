// SPDX-License-Identifier: LGPL-2.1-or-later
/* info, dumpxml and dumphost: what is there, in full. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

/* Where the values of info begin. */
#define LABEL_WIDTH 20

/* "label:   value"; the lines of a long value stand below each other. NULL prints nothing. */
static void field(const char *indent, const char *label, const char *value)
{
	int pad = LABEL_WIDTH - (int)strlen(indent) - (int)strlen(label) - 1;

	if (!value)
		return;
	fputs(indent, stdout);
	print_safe(stdout, label);
	putchar(':');
	if (*value)
		printf("%*s", pad > 1 ? pad : 1, "");
	while (*value) {
		size_t len = strcspn(value, "\n");
		struct buf line = { 0 };

		buf_add(&line, value, len);
		print_safe(stdout, line.s);
		buf_free(&line);
		value += len;
		value += strspn(value, "\n");
		if (*value)
			printf("\n%*s", LABEL_WIDTH, "");
	}
	putchar('\n');
}

static void number_field(const char *label, int rc, long long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", value);
	field("", label, rc < 0 ? NULL : text);
}

static void attr_field(const char *name, const char *value, void *data)
{
	(void)data;
	field("  ", name, value);
}

static void info_types(struct mdev_device *parent)
{
	const struct mdev_type *const *type;
	int i, n = mdev_device_list_types(parent, &type);

	for (i = 0; i < n; i++) {
		fputs("\nType ", stdout);
		print_safe(stdout, mdev_type_get_id(type[i]));
		putchar('\n');
		field("  ", "name", mdev_type_get_name(type[i]));
		each_type_attr(type[i], attr_field, NULL);
	}
}

/* Why a parent can create nothing now: the error of a request for a type has the reason. */
static void info_next_step(struct mdev_device *parent)
{
	const struct mdev_type *const *types;
	const struct mdev_error *err;
	const struct mdev_type *type;
	const char *message;

	if (mdev_device_list_types(parent, &types) != 0 || mdev_device_find_type(parent, "any", &type) >= 0)
		return;
	err = mdev_last_error();
	message = err ? mdev_error_get_message(err) : NULL;
	if (!message)
		return;
	/* "NODE: there is no type 'any'; REASON" */
	message = strstr(message, "; ") ? strstr(message, "; ") + 2 : message;
	fputs("\nNext step\n  ", stdout);
	print_safe(stdout, message);
	putchar('\n');
}

/* What a getter that allocates gives; NULL where it fails. */
static char *text_of(struct mdev_device *dev, int (*getter)(struct mdev_device *dev, char **ret))
{
	char *text;

	return getter(dev, &text) < 0 ? NULL : text;
}

static char *qmp_of(struct mdev_device *dev, const char *id)
{
	char *text;

	return mdev_device_get_qmp_device_add(dev, id, &text) < 0 ? NULL : text;
}

static char *qemu_args_of(struct mdev_device *dev)
{
	char *text;

	return mdev_device_get_qemu_args(dev, &text, 0) < 0 ? NULL : text;
}

static void info_attach(struct mdev_device *dev, const char *id)
{
	char *qemu = text_of(dev, mdev_device_get_qemu_device);
	/* A device without a VFIO group needs more than -device. */
	char *args = qemu ? NULL : qemu_args_of(dev);
	char *qmp = qmp_of(dev, id);
	char *hostdev = text_of(dev, mdev_device_get_hostdev_xml);

	if (qemu) {
		fputs("\nQEMU argument\n  -device ", stdout);
		print_safe(stdout, qemu);
		putchar('\n');
	} else if (args) {
		fputs("\nQEMU arguments\n  ", stdout);
		print_safe(stdout, args);
		putchar('\n');
	}
	if (qmp) {
		fputs("\nQMP command\n  ", stdout);
		print_safe(stdout, qmp);
		putchar('\n');
	}
	if (hostdev) {
		const char *line = hostdev;

		puts("\nlibvirt domain XML");
		while (*line) {
			size_t len = strcspn(line, "\n");

			printf("  %.*s\n", (int)len, line);
			line += len + (line[len] == '\n');
		}
	}
	free(qemu);
	free(args);
	free(qmp);
	free(hostdev);
}

static void info_text(struct mdev_device *dev, const char *id)
{
	bool parent = mdev_device_is_parent(dev) == 1;
	unsigned int number = 0;
	int node = 0, start = 0, rc;

	field("", "Name", get(dev, mdev_device_get_name));
	field("", "Kind", parent ? "parent" : "device");
	if (!parent) {
		field("", "State", mdev_device_is_active(dev) == 1 ? "active" : "inactive");
		field("", "Persistent", mdev_device_is_persistent(dev) == 1 ? "yes" : "no");
		if (mdev_device_is_persistent(dev) == 1 && mdev_device_get_autostart(dev, &start) == 0)
			field("", "Autostart", start ? "yes" : "no");
	}
	field("", "UUID", get(dev, mdev_device_get_uuid));
	field("", "Parent", get(dev, mdev_device_get_parent));
	field("", "Type", get(dev, mdev_device_get_type_id));
	rc = mdev_device_get_group(dev, &number);
	number_field("Group", rc, number);
	field("", "Parameters", get(dev, mdev_device_get_params));
	field("", "Owner", get(dev, mdev_device_get_owner));
	field("", "Layout", get(dev, mdev_device_get_layout));
	field("", "Path", get(dev, mdev_device_get_syspath));
	rc = mdev_device_get_iommu_group(dev, &number);
	number_field("IOMMU group", rc, number);
	rc = mdev_device_get_numa_node(dev, &node);
	number_field("NUMA node", rc, node);
	field("", "Physical function", get(dev, mdev_device_get_physical_function));
	if (parent) {
		info_types(dev);
		info_next_step(dev);
	} else {
		info_attach(dev, id);
	}
}

/* The values that a definition gives to a device at its start. */
static void json_definition_attrs(struct json *j, struct mdev_device *dev)
{
	const char *const *names, *const *values;
	int i, n = mdev_device_list_definition_attrs(dev, &names, &values);

	if (n < 0)
		return;
	json_open(j, "definitionAttributes", '[');
	for (i = 0; i < n; i++) {
		json_open(j, NULL, '{');
		json_string(j, "name", names[i]);
		json_string(j, "value", values[i]);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void info_json(struct mdev_device *dev, const char *id)
{
	char *qemu, *args, *qmp, *hostdev;
	struct json j = { 0 };
	int start = 0;

	json_open(&j, NULL, '{');
	json_node(&j, dev, true);
	if (mdev_device_is_parent(dev) != 1) {
		qemu = text_of(dev, mdev_device_get_qemu_device);
		args = qemu_args_of(dev);
		qmp = qmp_of(dev, id);
		hostdev = text_of(dev, mdev_device_get_hostdev_xml);
		json_bool(&j, "persistent", mdev_device_is_persistent(dev) == 1);
		if (mdev_device_is_persistent(dev) == 1 && mdev_device_get_autostart(dev, &start) == 0)
			json_bool(&j, "autostart", start);
		json_definition_attrs(&j, dev);
		json_string(&j, "params", get(dev, mdev_device_get_params));
		json_string(&j, "qemuDevice", qemu);
		json_string(&j, "qemuArgs", args);
		json_raw(&j, "qmpDeviceAdd", qmp);
		json_string(&j, "hostdevXML", hostdev);
		free(qemu);
		free(args);
		free(qmp);
		free(hostdev);
	}
	json_close(&j, '}');
	json_print(&j);
}

void print_info(struct mdev_device *dev, const char *id, bool as_json)
{
	if (as_json)
		info_json(dev, id);
	else
		info_text(dev, id);
}

int cmd_info(struct nodedev *nd, struct args *args)
{
	struct mdev_device *dev;
	int rc = lookup(nd, args->word[0], &dev);

	if (rc != OK)
		return rc;
	print_info(dev, args->value[OPT_ID], given(args, OPT_JSON));
	mdev_device_unref(dev);
	return OK;
}

/* XML goes out as it is: the library has escaped it. */
static void print_xml(FILE *out, const char *xml)
{
	size_t len = strlen(xml);

	fputs(xml, out);
	if (!len || xml[len - 1] != '\n')
		fputc('\n', out);
}

int cmd_dumpxml(struct nodedev *nd, struct args *args)
{
	struct mdev_device *dev;
	char *xml;
	int rc = lookup(nd, args->word[0], &dev);

	if (rc != OK)
		return rc;
	rc = mdev_device_get_xml(dev, &xml,
				 (given(args, OPT_LIBVIRT) ? MDEV_XML_LIBVIRT : 0) |
					 (given(args, OPT_INACTIVE) ? MDEV_XML_INACTIVE : 0));
	if (rc < 0) {
		rc = complain_mdev(rc);
	} else {
		print_xml(stdout, xml);
		free(xml);
		rc = OK;
	}
	mdev_device_unref(dev);
	return rc;
}

static int write_file(const char *path, const char *xml)
{
	FILE *out = fopen(path, "we");
	int saved = errno;

	if (out) {
		errno = 0;
		print_xml(out, xml);
		saved = ferror(out) ? errno : 0;
		if (fclose(out) && !saved)
			saved = errno;
	}
	if (!saved)
		return OK;
	complain("cannot write %s: %s", path, strerror(saved));
	return FAILED;
}

int cmd_dumphost(struct nodedev *nd, struct args *args)
{
	const char *path = args->count ? args->word[0] : "-";
	char *xml;
	int rc;

	if (need_conn(nd) != OK)
		return FAILED;
	rc = mdev_conn_dump_xml(nd->conn, &xml, 0);
	if (rc < 0)
		return complain_mdev(rc);
	if (!strcmp(path, "-")) {
		print_xml(stdout, xml);
		rc = OK;
	} else {
		rc = write_file(path, xml);
		if (rc == OK && !nd->quiet) {
			fputs("Host written to ", stdout);
			print_safe(stdout, path);
			putchar('\n');
		}
	}
	free(xml);
	return rc;
}
