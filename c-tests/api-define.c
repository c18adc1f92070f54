// SPDX-License-Identifier: LGPL-2.1-or-later
/* Definitions: all actions on one, and refused requests. On a simulated host of this process. */
#include "host.h"
#include "t.h"

#define UUID "11111111-2222-4333-8444-555555555555"

static const char define_xml[] =
	"<device><name>kept</name><parent>" RFC_PARENT "</parent><capability type='mdev'><type id='11'/><group>1</group>"
	"<params>frame_rate_limiter=0</params><uuid>" UUID "</uuid></capability></device>";

static int count(struct mdev_conn *conn, unsigned int flags)
{
	struct mdev_device **list = NULL;
	int n = mdev_conn_list(conn, &list, MDEV_LIST_DEVICES | flags);

	mdev_device_list_free(list);
	return n;
}

static void a_definition_is_a_node(struct mdev_conn *conn, struct mdev_device *dev)
{
	const char *word = "untouched";
	char *text = NULL;
	int start = -1;

	T_INT(mdev_device_is_active(dev), 0);
	T_INT(mdev_device_is_persistent(dev), 1);
	T_INT(mdev_device_get_autostart(dev, &start), 0);
	T_INT(start, 0);
	T_INT(count(conn, MDEV_LIST_INACTIVE), 1);
	T_INT(mdev_device_get_name(dev, &word), 0);
	T_STR(word, "kept");
	T_INT(mdev_device_get_syspath(dev, &word), -ENODATA);
	T_STR(word, "kept");
	T_INT(mdev_device_get_xml(dev, &text, MDEV_XML_LIBVIRT), 0);
	T_HAS(text, "<uuid>" UUID "</uuid>");
	free(text);
	T_INT(mdev_device_destroy(dev, 0), -ENODEV);
	T_INT(mdev_error_get_code(mdev_last_error()), MDEV_ERROR_WRONG_STATE);
	T_INT(mdev_device_get_attr(dev, "params", &text), -ENODEV);
	T_INT(mdev_device_set_attr(dev, "params", "x"), -ENODEV);
	T_INT(mdev_device_reset(dev), -ENODEV);
}

static void it_starts_and_stops(struct mdev_conn *conn, struct mdev_device *dev)
{
	struct mdev_device *running = NULL;
	char *text = NULL;
	int start = -1;

	T_INT(mdev_device_set_autostart(dev, 7), 0);
	T_INT(mdev_device_get_autostart(dev, &start), 0);
	T_INT(start, 1);
	T_INT(mdev_conn_autostart(conn, RFC_PARENT, 0), 1);
	T_INT(mdev_conn_autostart(conn, NULL, MDEV_START_NO_CALLOUTS), 0);
	T_INT(mdev_device_start(dev, 0), -EEXIST);
	T_INT(mdev_error_get_code(mdev_last_error()), MDEV_ERROR_WRONG_STATE);
	T_NEED(mdev_conn_lookup_by_name(conn, "kept", &running) == 0);
	T_INT(mdev_device_is_active(running), 1);
	T_INT(mdev_device_get_attr(running, "params", &text), 0);
	T_STR(text, "frame_rate_limiter=0");
	free(text);
	T_INT(count(conn, MDEV_LIST_INACTIVE), 0);
	T_INT(mdev_device_undefine(running, 0), 0);
	T_INT(mdev_device_is_persistent(running), 0);
	T_INT(mdev_device_undefine(running, 0), -ENOENT);
	T_INT(mdev_device_set_autostart(running, 1), -ENOENT);
	start = 5;
	T_INT(mdev_device_get_autostart(running, &start), -ENOENT);
	T_INT(start, 5);
	T_INT(mdev_device_destroy(running, 0), 0);
	T_INT(mdev_device_start(running, 0), -ENOENT);
	mdev_device_unref(running);
	T_NEED(mdev_conn_define_xml(conn, define_xml, &running, MDEV_DEFINE_AUTOSTART) == 0);
	T_INT(mdev_device_get_autostart(running, &start), 0);
	T_INT(start, 1);
	T_INT(mdev_device_undefine(running, MDEV_DEFINE_AUTOSTART), -EINVAL);
	T_INT(mdev_device_undefine(running, MDEV_DEFINE_IGNORE_UNKNOWN), -EINVAL);
	T_INT(mdev_device_undefine(running, 0), 0);
	mdev_device_unref(running);
}

/* A definition that is changed while the device runs: the running device, and the definition. */
static void definition_of_what_runs(struct mdev_conn *conn)
{
	static const char format[] = "<device><parent>ap_matrix</parent><capability type='mdev'><type id='vfio_ap-passthrough'/>"
				     "<uuid>c60cc60c-0000-4222-8333-444444444447</uuid>"
				     "<attr name='assign_adapter' value='%s'/><attr name='assign_domain' value='0x03'/>"
				     "</capability></device>";
	const char *const *names = NULL, *const *values = NULL;
	struct mdev_device *dev, *again, *parent;
	char text[1024], *xml;

	snprintf(text, sizeof(text), format, "0x03");
	T_NEED(mdev_conn_define_xml(conn, text, &dev, 0) == 0);
	T_INT(mdev_device_start(dev, 0), 0);
	mdev_device_unref(dev);
	snprintf(text, sizeof(text), format, "5");
	T_NEED(mdev_conn_define_xml(conn, text, &dev, 0) == 0);
	T_INT(mdev_device_is_active(dev), 1);
	T_INT(mdev_device_list_definition_attrs(dev, &names, &values), 2);
	T_STR(names[0], "assign_adapter");
	T_STR(values[0], "5");
	T_STR(names[1], "assign_domain");
	T_STR(values[1], "0x03");
	T_OK(names[2] == NULL && values[2] == NULL);
	/* The running device, in decimal digits, with the queues that were assigned since. */
	T_INT(mdev_device_set_attr(dev, "assign_control_domain", "0xa"), 0);
	T_INT(mdev_device_get_xml(dev, &xml, MDEV_XML_LIBVIRT), 0);
	T_HAS(xml, "<attr name='assign_adapter' value='3'/>");
	T_HAS(xml, "<attr name='assign_domain' value='3'/>");
	T_HAS(xml, "<attr name='assign_control_domain' value='10'/>");
	free(xml);
	T_INT(mdev_device_get_xml(dev, &xml, MDEV_XML_LIBVIRT | MDEV_XML_INACTIVE), 0);
	T_HAS(xml, "<attr name='assign_adapter' value='5'/>");
	T_HAS(xml, "<attr name='assign_domain' value='0x03'/>");
	T_OK(!strstr(xml, "assign_control_domain") && !strstr(xml, "<path>"));
	free(xml);
	/* The node is a snapshot: its attributes do not change. */
	T_INT(mdev_device_undefine(dev, 0), 0);
	T_INT(mdev_device_list_definition_attrs(dev, &names, &values), 2);
	T_INT(mdev_device_get_xml(dev, &xml, MDEV_XML_INACTIVE), -ENOENT);
	T_NEED(mdev_conn_lookup_by_uuid(conn, "c60cc60c-0000-4222-8333-444444444447", &again) == 0);
	T_INT(mdev_device_list_definition_attrs(again, &names, &values), -ENOENT);
	T_INT(mdev_device_list_definition_attrs(dev, NULL, &values), -EINVAL);
	T_INT(mdev_device_list_definition_attrs(dev, &names, NULL), -EINVAL);
	T_INT(mdev_device_destroy(again, 0), 0);
	mdev_device_unref(again);
	mdev_device_unref(dev);
	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_INT(mdev_device_list_definition_attrs(parent, &names, &values), -EOPNOTSUPP);
	T_INT(mdev_device_get_xml(parent, &xml, MDEV_XML_INACTIVE), 0);
	free(xml);
	mdev_device_unref(parent);
}

static void parents_persist_by_nature(struct mdev_conn *conn)
{
	struct mdev_device *parent = NULL;
	int start = 0;

	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_INT(mdev_device_is_persistent(parent), 1);
	T_INT(mdev_device_get_autostart(parent, &start), 0);
	T_INT(start, 1);
	T_INT(mdev_device_set_autostart(parent, 0), -EOPNOTSUPP);
	T_INT(mdev_device_start(parent, 0), -EOPNOTSUPP);
	T_INT(mdev_device_undefine(parent, 0), -EOPNOTSUPP);
	mdev_device_unref(parent);
}

static void bad_requests(struct mdev_conn *conn)
{
	static const struct {
		const char *xml;
		int rc;
	} bad[] = {
		{ "<device><capability type='mdev'><type id='11'/></capability></device>", -EINVAL },
		{ "<device><parent>some_card</parent><capability type='mdev'><type id='1'/></capability></device>", -ENODEV },
		{ "<device><parent>" RFC_PARENT "</parent><capability type='mdev'><type id='none'/></capability></device>",
		  -ENODEV },
		{ "<device", -EINVAL },
	};
	struct mdev_device *dev = (struct mdev_device *)&bad;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		T_INT(mdev_conn_define_xml(conn, bad[i].xml, &dev, 0), bad[i].rc);
		T_OK(dev == (struct mdev_device *)&bad);
	}
	T_INT(mdev_conn_autostart(conn, "pci_0000_99_00_0", 0), -ENODEV);
}

/* Operations of a handle that must not affect another device. */
static void it_reaches_nothing(struct mdev_device *dev, int code)
{
	char *text = NULL;

	T_INT(mdev_device_destroy(dev, 0), -ENODEV);
	T_INT(mdev_error_get_code(mdev_last_error()), code);
	T_INT(mdev_device_set_attr(dev, "uevent", "add"), -ENODEV);
	T_INT(mdev_device_get_attr(dev, "uevent", &text), -ENODEV);
	T_INT(mdev_device_reset(dev), -ENODEV);
	T_INT(mdev_device_set_online(dev, 0), -ENODEV);
}

static void a_uuid_on_two_parents(struct mdev_conn *conn)
{
	struct mdev_device *here = NULL, *there = NULL, *running = NULL, *next = NULL;
	const char *type = NULL;
	int start = -1;

	T_NEED(mdev_conn_define_xml(conn, UUID_XML(RFC_PARENT, "11", UUID), &here, 0) == 0);
	T_NEED(mdev_conn_define_xml(conn, UUID_XML("pci_0000_00_02_0", "i915-GVTg_V5_4", UUID), &there, 0) == 0);
	T_INT(mdev_device_start(there, 0), 0);
	T_NEED(mdev_conn_lookup_by_uuid(conn, UUID, &running) == 0);
	it_reaches_nothing(here, MDEV_ERROR_WRONG_STATE);
	T_INT(mdev_device_start(here, 0), -EEXIST);
	T_INT(mdev_device_set_autostart(here, 1), 0);
	T_INT(mdev_device_get_autostart(running, &start), 0);
	T_INT(start, 0);
	T_INT(mdev_device_undefine(here, 0), 0);
	T_INT(mdev_device_is_persistent(running), 1);
	T_INT(mdev_device_is_active(running), 1);
	T_INT(mdev_device_destroy(there, 0), 0);
	it_reaches_nothing(running, MDEV_ERROR_NO_NODE);
	T_NEED(mdev_conn_create_xml(conn, UUID_XML(RFC_PARENT, "11", UUID), &next, 0) == 0);
	it_reaches_nothing(running, MDEV_ERROR_NO_NODE);
	it_reaches_nothing(there, MDEV_ERROR_WRONG_STATE);
	T_INT(mdev_device_get_type_id(next, &type), 0);
	T_STR(type, "11");
	T_INT(mdev_device_destroy(next, 0), 0);
	T_INT(mdev_device_undefine(there, 0), 0);
	mdev_device_unref(here);
	mdev_device_unref(there);
	mdev_device_unref(running);
	mdev_device_unref(next);
}

int main(void)
{
	struct mdev_conn *conn = NULL;
	struct mdev_device *dev = NULL;

	T_NEED(mdev_conn_open(&conn, HOST_URI, 0) == 0);
	T_NEED(mdev_conn_define_xml(conn, define_xml, &dev, 0) == 0);
	a_definition_is_a_node(conn, dev);
	it_starts_and_stops(conn, dev);
	definition_of_what_runs(conn);
	parents_persist_by_nature(conn);
	bad_requests(conn);
	a_uuid_on_two_parents(conn);
	mdev_device_unref(dev);
	mdev_conn_unref(conn);
	return t_done();
}
