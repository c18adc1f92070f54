/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The founding proposal on the simulated host: its parent XML and its device
 * XML, unchanged, through every call that concerns a device.
 */
#include <ctype.h>

#include "host.h"

#define UUID "c60cc60c-c60c-c60c-c60c-c60cc60cc60c"

/* The proposal's parent, up to its first type and after its last, without white space between tags. */
static const char rfc_parent_head[] =
	"<device><name>pci_0000_86_00_0</name><capability type='pci'><domain>0</domain><bus>134</bus><slot>0</slot>"
	"<function>0</function><capability type='mdev'><type id='11'><name>GRID M60-0B</name>"
	"<attribute name='fb_length'>512M</attribute><attribute name='resolution'>2560x1600</attribute>"
	"<attribute name='heads'>2</attribute><attribute name='max_instances'>16</attribute>"
	"<attribute name='requires_group'>1</attribute></type><type id='12'><name>GRID M60-0Q</name>";
static const char rfc_parent_product[] = "</type></capability><product id='0x";
static const char rfc_parent_tail[] = "'>GRID M60</product><vendor id='0x10de'>NVIDIA</vendor></capability></device>";

static struct mdev_conn *conn;

static int ends_with(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);

	return n >= m && !strcmp(text + n - m, tail);
}

static void parent_dumps_as_proposed(void)
{
	struct mdev_device *parent = NULL;
	const char *word = NULL;
	char *xml = NULL;

	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_INT(mdev_device_is_parent(parent), 1);
	T_INT(mdev_device_is_active(parent), 1);
	T_INT(mdev_device_get_name(parent, &word), 0);
	T_STR(word, RFC_PARENT);
	T_INT(mdev_device_get_layout(parent, &word), 0);
	T_STR(word, "rfc");
	T_INT(mdev_device_get_syspath(parent, &word), 0);
	T_OKF(ends_with(word, "/0000:86:00.0"), "syspath %s", word);
	T_INT(mdev_device_get_uuid(parent, &word), -ENODATA);
	T_INT(mdev_device_get_type_id(parent, &word), -ENODATA);

	T_INT(mdev_device_get_xml(parent, &xml, 0), 0);
	T_NEED(xml != NULL);
	host_squeeze(xml);
	T_OKF(!strncmp(xml, rfc_parent_head, strlen(rfc_parent_head)), "head of %.700s", xml);
	T_HAS(xml, "<type id='13'><name>GRID M60-1A</name>");
	T_HAS(xml, rfc_parent_product);
	T_OKF(ends_with(xml, rfc_parent_tail), "tail of the parent's XML");
	free(xml);

	xml = NULL;
	T_INT(mdev_device_get_xml(parent, &xml, MDEV_XML_LIBVIRT), 0);
	T_HAS(xml, "<capability type='mdev_types'>");
	T_HAS(xml, "<deviceAPI>vfio-pci</deviceAPI>");
	T_HAS(xml, "<availableInstances>16</availableInstances>");
	free(xml);
	mdev_device_unref(parent);
}

static void types_are_found(void)
{
	static const char *const ways[] = { "11", "GRID M60-0B", "GRID_M60-0B" };
	const struct mdev_type *const *types = NULL, *type = NULL;
	struct mdev_device *parent = NULL;
	const char *const *names = NULL;
	unsigned int left = 0;
	int n;
	size_t i;

	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_NEED(mdev_device_list_types(parent, &types) == 3);
	T_STR(mdev_type_get_id(types[0]), "11");
	T_STR(mdev_type_get_id(types[1]), "12");
	T_STR(mdev_type_get_id(types[2]), "13");
	T_OK(types[3] == NULL);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		type = NULL;
		T_INT(mdev_device_find_type(parent, ways[i], &type), 0);
		T_OKF(type == types[0], "%s is type 11", ways[i]);
	}
	type = NULL;
	T_OK(mdev_device_find_type(parent, "GRID", &type) < 0);
	T_OK(mdev_device_find_type(parent, "", &type) < 0);
	T_OK(type == NULL);

	T_STR(mdev_type_get_name(types[0]), "GRID M60-0B");
	T_STR(mdev_type_get_attr(types[0], "fb_length"), "512M");
	T_STR(mdev_type_get_attr(types[0], "resolution"), "2560x1600");
	T_STR(mdev_type_get_attr(types[0], "heads"), "2");
	T_STR(mdev_type_get_attr(types[0], "no_such"), NULL);
	n = mdev_type_list_attrs(types[0], &names);
	T_OK(n > 3 && names && !names[n]);
	for (i = 0; names[i]; i++)
		T_OKF(mdev_type_get_attr(types[0], names[i]) != NULL, "attribute %s has a value", names[i]);
	T_STR(names[0], "name");
	T_STR(names[1], "fb_length");
	T_STR(mdev_type_get_attr(types[0], "../../vendor"), NULL);
	T_INT(mdev_type_get_available_instances(types[0], &left), 0);
	T_INT(left, 16);
	T_INT(mdev_type_requires_group(types[0]), 1);
	T_STR(mdev_type_get_name(types[1]), "GRID M60-0Q");
	T_STR(mdev_type_get_name(types[2]), "GRID M60-1A");
	mdev_device_unref(parent);
}

/* The text for QEMU: as in the proposal, with the UUID of this device. */
static void qemu_texts(struct mdev_device *dev, const char *uuid)
{
	char want[128], *text = NULL;

	snprintf(want, sizeof(want), "vfio-pci,sysfsdev=/sys/bus/mdev/devices/%s", uuid);
	T_INT(mdev_device_get_qemu_device(dev, &text), 0);
	T_STR(text, want);
	free(text);
	text = NULL;
	T_INT(mdev_device_get_qmp_device_add(dev, "host\"dev0", &text), -EINVAL);
	T_OK(text == NULL);
	T_INT(mdev_device_get_qmp_device_add(dev, "hostdev0", &text), 0);
	T_HAS(text, "device_add");
	T_HAS(text, "hostdev0");
	snprintf(want, sizeof(want), "/sys/bus/mdev/devices/%s", uuid);
	T_HAS(text, want);
	free(text);
	text = NULL;
	T_INT(mdev_device_get_hostdev_xml(dev, &text), 0);
	T_HAS(text, "<hostdev ");
	T_HAS(text, "type='mdev'");
	T_HAS(text, uuid);
	free(text);
}

static void device_is_created_as_proposed(void)
{
	struct mdev_device *dev = NULL, *again = NULL;
	const char *uuid = NULL, *word = NULL;
	unsigned int group = 0;
	int nodes = host_count(conn, 0);
	char *xml = NULL;

	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0) == 0);
	T_INT(host_count(conn, 0), nodes + 1);
	T_INT(host_available(conn, RFC_PARENT, "11"), 15);
	T_INT(mdev_device_get_name(dev, &word), 0);
	T_STR(word, "my-vgpu");
	T_INT(mdev_device_get_parent(dev, &word), 0);
	T_STR(word, RFC_PARENT);
	T_INT(mdev_device_get_type_id(dev, &word), 0);
	T_STR(word, "11");
	T_INT(mdev_device_get_layout(dev, &word), 0);
	T_STR(word, "rfc");
	T_INT(mdev_device_get_group(dev, &group), 0);
	T_INT(group, 1);
	T_INT(mdev_device_is_parent(dev), 0);
	T_INT(mdev_device_is_active(dev), 1);
	T_INT(mdev_device_get_owner(dev, &word), -ENODATA);
	T_INT(mdev_device_get_params(dev, &word), 0);
	T_STR(word, "frame_rate_limiter=0");
	T_INT(mdev_device_get_uuid(dev, &uuid), 0);
	T_NEED(uuid && strlen(uuid) == 36);

	T_INT(mdev_device_get_xml(dev, &xml, 0), 0);
	T_NEED(xml != NULL);
	host_squeeze(xml);
	T_HAS(xml, "<device><name>my-vgpu</name>");
	T_HAS(xml, "<parent>pci_0000_86_00_0</parent><capability type='mdev'><type id='11'/>");
	T_HAS(xml, "<group>1</group><params>frame_rate_limiter=0</params>");
	T_HAS(xml, uuid);
	free(xml);
	qemu_texts(dev, uuid);

	T_INT(mdev_conn_lookup_by_name(conn, "my-vgpu", &again), 0);
	T_INT(mdev_device_get_uuid(again, &word), 0);
	T_STR(word, uuid);
	mdev_device_unref(again);
	again = NULL;
	T_INT(mdev_conn_lookup_by_uuid(conn, uuid, &again), 0);
	T_INT(mdev_device_get_name(again, &word), 0);
	T_STR(word, "my-vgpu");
	mdev_device_unref(again);

	again = NULL;
	T_INT(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &again, 0), -EEXIST);
	T_INT(host_count(conn, 0), nodes + 1);

	T_INT(mdev_conn_destroy_uuid(conn, uuid, 0), 0);
	T_INT(mdev_conn_destroy_uuid(conn, uuid, 0), -ENODEV);
	T_INT(mdev_device_destroy(dev, 0), -ENODEV);
	T_INT(mdev_conn_lookup_by_name(conn, "my-vgpu", &again), -ENODEV);
	T_INT(mdev_conn_lookup_by_uuid(conn, uuid, &again), -ENODEV);
	T_OK(again == NULL);
	T_INT(host_count(conn, 0), nodes);
	T_INT(host_available(conn, RFC_PARENT, "11"), 16);
	/* The handle is a snapshot: it still has the data of its device. */
	T_INT(mdev_device_get_name(dev, &word), 0);
	T_STR(word, "my-vgpu");
	mdev_device_unref(dev);
}

static void create_is_idempotent_when_asked(void)
{
	static const char same[] = UUID_XML(RFC_PARENT, "11", UUID);
	static const char other_type[] = UUID_XML(RFC_PARENT, "12", UUID);
	struct mdev_device *dev = NULL, *again = NULL;
	const char *word = NULL;

	T_INT(mdev_conn_create_xml(conn, same, &dev, MDEV_CREATE_EXIST_OK), 0);
	T_INT(mdev_device_get_uuid(dev, &word), 0);
	T_STR(word, UUID);
	T_INT(mdev_device_get_name(dev, &word), 0);
	T_STR(word, "mdev_c60cc60c_c60c_c60c_c60c_c60cc60cc60c_0000_86_00_0");
	T_INT(mdev_conn_create_xml(conn, same, &again, 0), -EEXIST);
	T_INT(mdev_conn_create_xml(conn, other_type, &again, MDEV_CREATE_EXIST_OK), -EEXIST);
	T_OK(again == NULL);
	T_INT(mdev_conn_create_xml(conn, same, &again, MDEV_CREATE_EXIST_OK), 0);
	T_INT(mdev_device_get_uuid(again, &word), 0);
	T_STR(word, UUID);
	T_INT(host_available(conn, RFC_PARENT, "11"), 15);
	mdev_device_unref(again);
	again = NULL;
	T_INT(mdev_conn_lookup_by_uuid(conn, "C60CC60C-C60C-C60C-C60C-C60CC60CC60C", &again), 0);
	mdev_device_unref(again);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
}

static void owners_are_kept_apart(void)
{
	struct mdev_device *dev = NULL;
	const char *word = NULL, *uuid = NULL;

	T_INT(mdev_conn_set_owner(conn, "stack-a"), 0);
	T_NEED(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "12"), &dev, 0) == 0);
	T_INT(mdev_device_get_owner(dev, &word), 0);
	T_STR(word, "stack-a");
	T_INT(mdev_device_get_uuid(dev, &uuid), 0);
	T_INT(mdev_conn_set_owner(conn, "stack-b"), 0);
	T_INT(mdev_conn_destroy_uuid(conn, uuid, MDEV_DESTROY_OWNED), -EPERM);
	T_INT(mdev_device_get_owner(dev, &word), 0);
	T_STR(word, "stack-a");
	T_INT(mdev_conn_set_owner(conn, "stack-a"), 0);
	T_INT(mdev_conn_destroy_uuid(conn, uuid, MDEV_DESTROY_OWNED), 0);
	mdev_device_unref(dev);
}

/* All or none: the error is that of the failed device, and the host is unchanged. */
static void groups_come_whole_or_not_at_all(void)
{
	static const char *const good[] = { PLAIN_XML(RFC_PARENT, "11"), PLAIN_XML(RFC_PARENT, "11") };
	static const char *const bad[] = { PLAIN_XML(RFC_PARENT, "11"), PLAIN_XML(RFC_PARENT, "11"),
					   PLAIN_XML(RFC_PARENT, "99") };
	static const char *const clash[] = { UUID_XML(RFC_PARENT, "11", UUID), UUID_XML(RFC_PARENT, "11", UUID) };
	struct mdev_device **list = NULL, *named = NULL;
	unsigned int one = 0, two = 0;
	int nodes = host_count(conn, 0);

	T_OK(mdev_conn_create_group_xml(conn, bad, 3, &list, 0) < 0);
	T_OK(host_message() && strstr(host_message(), "99"));
	T_INT(host_count(conn, 0), nodes);
	T_INT(mdev_conn_create_group_xml(conn, clash, 2, &list, 0), -EEXIST);
	T_OK(list == NULL);
	T_INT(host_count(conn, 0), nodes);
	T_INT(host_available(conn, RFC_PARENT, "11"), 16);

	/* A caller that named group 1 uses it. */
	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &named, 0) == 0);
	T_NEED(mdev_conn_create_group_xml(conn, good, 2, &list, 0) == 2);
	T_OK(list[2] == NULL);
	T_INT(mdev_device_get_group(list[0], &one), 0);
	T_INT(mdev_device_get_group(list[1], &two), 0);
	T_OKF(one == two && one != 1, "both are in the same new group: %u, %u", one, two);
	T_INT(host_available(conn, RFC_PARENT, "11"), 13);
	T_INT(mdev_device_destroy(list[0], 0), 0);
	T_INT(mdev_device_destroy(list[1], 0), 0);
	mdev_device_list_free(list);
	T_INT(mdev_device_destroy(named, 0), 0);
	mdev_device_unref(named);
	T_INT(host_count(conn, 0), nodes);
}

static void instances_run_out(void)
{
	struct mdev_device *all[16] = { NULL }, *more = NULL;
	int i, made = 0, nodes = host_count(conn, 0);

	for (i = 0; i < 16; i++)
		made += !mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "11"), &all[i], 0);
	T_INT(made, 16);
	T_INT(host_available(conn, RFC_PARENT, "11"), 0);
	T_INT(mdev_conn_create_xml(conn, PLAIN_XML(RFC_PARENT, "11"), &more, 0), -ENOSPC);
	T_HAS(host_message(), RFC_PARENT);
	T_OK(more == NULL);
	T_INT(host_count(conn, 0), nodes + 16);
	for (i = 0; i < 16; i++) {
		made -= !mdev_device_destroy(all[i], 0);
		mdev_device_unref(all[i]);
	}
	T_INT(made, 0);
	T_INT(host_count(conn, 0), nodes);
}

static void create_at(const char *parent)
{
	struct mdev_device *dev = NULL;
	const char *word = NULL;
	char xml[1024];

	snprintf(xml, sizeof(xml),
		 "<device><parent>%s</parent><capability type='mdev'><type id='12'/></capability></device>", parent);
	T_OKF(mdev_conn_create_xml(conn, xml, &dev, 0) == 0, "create on %s", parent);
	if (!dev)
		return;
	T_INT(mdev_device_get_parent(dev, &word), 0);
	T_STR(word, RFC_PARENT);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
}

/* All forms of the name find the same parent. */
static void parent_has_many_names(void)
{
	char upper[] = RFC_PARENT, *p;
	const char *ways[] = { RFC_PARENT, "0000:86:00.0", upper, "/sys/bus/pci/devices/0000:86:00.0", NULL };
	struct mdev_device *parent = NULL, *same = NULL;
	const char *name = NULL;
	size_t i;

	for (p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	T_NEED(mdev_conn_wait_parent(conn, RFC_PARENT, 0, &parent) == 0);
	T_INT(mdev_device_get_syspath(parent, &ways[4]), 0);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		T_OKF(mdev_conn_lookup_by_name(conn, ways[i], &same) == 0, "look up %s", ways[i]);
		T_OK(same && !mdev_device_get_name(same, &name) && !strcmp(name, RFC_PARENT));
		same = mdev_device_unref(same);
		T_OKF(mdev_conn_wait_parent(conn, ways[i], 0, &same) == 0, "wait for %s", ways[i]);
		same = mdev_device_unref(same);
		create_at(ways[i]);
	}
	mdev_device_unref(parent);
	T_INT(mdev_conn_wait_parent(conn, "pci_0000_99_00_0", 1, &same), -ETIMEDOUT);
	T_OK(same == NULL);
}

int main(void)
{
	conn = host_open();
	parent_dumps_as_proposed();
	types_are_found();
	device_is_created_as_proposed();
	create_is_idempotent_when_asked();
	owners_are_kept_apart();
	groups_come_whole_or_not_at_all();
	instances_run_out();
	parent_has_many_names();
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
