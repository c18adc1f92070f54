/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * usage: api-plugin LIBRARY
 *
 * A program that uses one symbol: mdev_driver_get, found with dlsym. All other functions
 * are in the table that it returns. Every member of the table is
 * called.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "t.h"

#include <libmdev.h>

#define HOST_URI "test:///default"
#define RFC_PARENT "pci_0000_86_00_0"
#define FIRST offsetof(struct mdev_driver, open)
#define SLOT(member) ((offsetof(struct mdev_driver, member) - FIRST) / sizeof(void *))
#define SLOTS ((sizeof(struct mdev_driver) - FIRST) / sizeof(void *))

static const char rfc_device[] =
	"<device>\n  <name>my-vgpu</name>\n  <parent>pci_0000_86_00_0</parent>\n  <capability type='mdev'>\n"
	"    <type id='11'/>\n    <group>1</group>\n    <params>'frame_rate_limiter=0'</params>\n"
	"  </capability>\n</device>\n";

static const struct mdev_driver *drv;
static unsigned char called[SLOTS];

/* A call through the table. The member is recorded, so that the test finds members that were not called. */
#define CALL(member, ...) (called[SLOT(member)] = 1, drv->member(__VA_ARGS__))

#define CALL0(member) (called[SLOT(member)] = 1, drv->member())

typedef const struct mdev_driver *get_fn(uint32_t abi, size_t size);

static get_fn *find(void *lib)
{
	void *symbol = dlsym(lib, "mdev_driver_get");
	get_fn *get = NULL;

	/* ISO C has no cast from an object's address to a function's. */
	memcpy(&get, &symbol, sizeof(get));
	return get;
}

static void *slot(size_t i)
{
	void *member;

	memcpy(&member, (const char *)drv + FIRST + i * sizeof(void *), sizeof(member));
	return member;
}

static void table_is_negotiated(get_fn *get)
{
	/* A table that ended after close(). Volatile, since the compiler would warn that it is too small. */
	volatile size_t end = offsetof(struct mdev_driver, num_of_devices);
	const size_t old = end;
	struct mdev_driver *copy;

	T_OK(get(0, sizeof(*drv)) == NULL);
	T_OK(get(MDEV_DRIVER_ABI, 0) == NULL);
	T_OK(get(MDEV_DRIVER_ABI, offsetof(struct mdev_driver, open) - 1) == NULL);
	T_OK(get(MDEV_DRIVER_ABI + 1, sizeof(*drv)) == NULL);
	T_OK(get(UINT32_MAX, sizeof(*drv)) == NULL);
	drv = get(MDEV_DRIVER_ABI, sizeof(*drv));
	T_NEED(drv != NULL);
	T_INT(drv->abi, MDEV_DRIVER_ABI);
	T_STR(drv->name, "mdev");
	T_INT(drv->size, sizeof(*drv));
	/* A program with fewer or more members than the library gets the same table, and checks its size. */
	T_OK(get(MDEV_DRIVER_ABI, old) == drv);
	T_OK(get(MDEV_DRIVER_ABI, sizeof(*drv) + 4096) == drv);

	copy = malloc(old);
	T_NEED(copy != NULL);
	memcpy(copy, drv, old);
	copy->size = old;
	T_OK(MDEV_DRIVER_HAS(copy, open));
	T_OK(MDEV_DRIVER_HAS(copy, close));
	/* Out of bounds: the sanitizer and valgrind see whether it is read. */
	T_OK(!MDEV_DRIVER_HAS(copy, num_of_devices));
	T_OK(!MDEV_DRIVER_HAS(copy, create_xml));
	copy->size = old - 1;
	T_OK(!MDEV_DRIVER_HAS(copy, close));
	free(copy);
}

static void later_members_are_null(void)
{
	size_t i, there = 0;

	for (i = 0; i < SLOTS; i++)
		there += slot(i) != NULL;
	/* A missing member cannot be called below. */
	if (!T_INT(there, SLOTS))
		exit(t_done());
}

static void names_are_listed(struct mdev_conn *conn)
{
	char *names[64] = { NULL };
	int i, n, found = 0;

	n = CALL(num_of_devices, conn, NULL, 0);
	T_OKF(n > 1 && n <= 64, "%d devices", n);
	T_INT(CALL(list_devices, conn, NULL, names, 64, 0), n);
	for (i = 0; i < n; i++) {
		found += names[i] && !strcmp(names[i], RFC_PARENT);
		free(names[i]);
	}
	T_INT(found, 1);
	n = CALL(list_devices, conn, NULL, names, 1, 0);
	T_INT(n, 1);
	free(names[0]);
	T_INT(CALL(num_of_devices, conn, "mdev", 0), 1);
	T_OK(CALL(num_of_devices, conn, "mdev_types", 0) >= 5);
	T_INT(CALL(num_of_devices, conn, "usb", 0), 0);
}

static int counted(struct mdev_conn *conn)
{
	struct mdev_device **list = NULL;
	int i, n = CALL(list_all_devices, conn, &list, 0);

	for (i = 0; i < n; i++)
		drv->device_unref(list[i]);
	if (n >= 0)
		free(list);
	return n;
}

static void capabilities_are_listed(struct mdev_device *dev, const char *want)
{
	char *caps[16] = { NULL };
	int i, n = CALL(num_of_caps, dev), found = 0;

	T_OK(n > 0 && n <= 16);
	T_INT(CALL(list_caps, dev, caps, 16), n);
	for (i = 0; i < n; i++) {
		found += caps[i] && !strcmp(caps[i], want);
		free(caps[i]);
	}
	T_INT(found, 1);
}

static void parent_through_the_table(struct mdev_conn *conn)
{
	const struct mdev_type *const *types = NULL, *type = NULL;
	const char *const *names = NULL;
	struct mdev_device *parent = NULL, *same = NULL;
	const char *word = NULL;
	unsigned int left = 0;
	char *xml = NULL;
	int node = 0, bound = -1;

	T_NEED(CALL(lookup_by_name, conn, RFC_PARENT, &parent) == 0);
	T_INT(CALL(device_is_parent, parent), 1);
	T_INT(CALL(is_active, parent), 1);
	T_INT(CALL(get_parent, parent, &word), 0);
	T_INT(CALL(device_get_layout, parent, &word), 0);
	T_STR(word, "rfc");
	T_INT(CALL(device_get_syspath, parent, &word), 0);
	T_HAS(word, "/0000:86:00.0");
	T_INT(CALL(device_get_uuid, parent, &word), -ENODATA);
	node = CALL(device_get_numa_node, parent, &node);
	T_OK(node == 0 || node == -ENODATA);
	T_INT(CALL(device_get_physical_function, parent, &word), -ENODATA);
	capabilities_are_listed(parent, "mdev_types");
	T_INT(CALL(get_xml_desc, parent, &xml, 0), 0);
	T_HAS(xml, "GRID M60-0B");
	free(xml);

	T_INT(CALL(list_types, parent, &types), 3);
	T_INT(CALL(device_find_type, parent, "GRID_M60-0B", &type), 0);
	T_OK(types && type == types[0]);
	T_STR(CALL(type_get_id, type), "11");
	T_STR(CALL(type_get_name, type), "GRID M60-0B");
	T_STR(CALL(type_get_attr, type, "heads"), "2");
	T_OK(CALL(type_list_attrs, type, &names) > 0 && names);
	T_STR(CALL(type_get_description, type), NULL);
	word = CALL(type_get_device_api, type);
	T_OK(!word || !strcmp(word, "vfio-pci"));
	T_INT(CALL(type_get_available_instances, type, &left), 0);
	T_INT(left, 16);
	T_INT(CALL(type_get_capacity, type, &left, &bound), 0);
	T_INT(left, 16);
	T_INT(bound, 0);
	T_INT(CALL(type_requires_group, type), 1);

	T_INT(CALL(conn_wait_parent, conn, "0000:86:00.0", 0, &same), 0);
	T_OK(CALL(device_unref, same) == NULL);
	T_OK(CALL(device_ref, parent) == parent);
	drv->device_unref(parent);
	drv->device_unref(parent);
}

static void device_through_the_table(struct mdev_conn *conn)
{
	char **texts = NULL;
	struct mdev_device *dev = NULL, *same = NULL;
	const char *uuid = NULL, *word = NULL;
	unsigned int number = 0;
	char *text = NULL, want[128];
	int nodes = counted(conn);

	T_INT(CALL(conn_set_owner, conn, "plugin"), 0);
	T_NEED(CALL(create_xml, conn, rfc_device, &dev, 0) == 0);
	T_INT(counted(conn), nodes + 1);
	T_INT(CALL(device_get_name, dev, &word), 0);
	T_STR(word, "my-vgpu");
	T_INT(CALL(get_parent, dev, &word), 0);
	T_STR(word, RFC_PARENT);
	T_INT(CALL(device_get_uuid, dev, &uuid), 0);
	T_INT(CALL(device_get_type_id, dev, &word), 0);
	T_STR(word, "11");
	T_INT(CALL(device_get_group, dev, &number), 0);
	T_INT(number, 1);
	T_INT(CALL(device_get_owner, dev, &word), 0);
	T_STR(word, "plugin");
	CALL(device_get_iommu_group, dev, &number);
	capabilities_are_listed(dev, "mdev");
	T_INT(drv->get_xml_desc(dev, &text, 0), 0);
	T_HAS(text, "<params>frame_rate_limiter=0</params>");
	free(text);

	snprintf(want, sizeof(want), "vfio-pci,sysfsdev=/sys/bus/mdev/devices/%s", uuid);
	T_INT(CALL(device_get_qemu_device, dev, &text), 0);
	T_STR(text, want);
	free(text);
	T_INT(CALL(device_get_qemu_args, dev, &text, 0), 0);
	T_HAS(text, want);
	free(text);
	T_INT(CALL(device_get_qmp_device_add, dev, "hostdev0", &text), 0);
	T_HAS(text, "hostdev0");
	free(text);
	T_INT(CALL(device_get_hostdev_xml, dev, &text), 0);
	T_HAS(text, uuid);
	free(text);

	T_INT(CALL(conn_lookup_by_uuid, conn, uuid, &same), 0);
	drv->device_unref(same);
	T_INT(CALL(create_xml, conn, rfc_device, &same, 0), -EEXIST);
	T_INT(CALL(device_reset, dev), -EOPNOTSUPP);
	T_INT(CALL(device_set_online, dev, 1), -EOPNOTSUPP);
	T_INT(CALL(device_get_attr, dev, "no_such", &text), -ENOENT);
	T_INT(CALL(device_get_attr_access, dev, "no_such", &number), -ENOENT);
	T_OK(CALL(device_list_attrs, dev, &texts) >= 0 && texts);
	free(texts);
	T_INT(CALL(device_get_params, dev, &word), 0);
	T_INT(CALL(device_set_attr, dev, "no_such", "1"), -ENOENT);
	T_INT(CALL(destroy, dev, MDEV_DESTROY_OWNED), 0);
	T_INT(CALL(destroy_uuid, conn, uuid, 0), -ENODEV);
	drv->device_unref(dev);
	T_INT(counted(conn), nodes);
}

static void definition_through_the_table(struct mdev_conn *conn)
{
	const char *const *names, *const *values;
	struct mdev_device *dev = NULL;
	int start = -1;

	T_NEED(CALL(define_xml, conn, rfc_device, &dev, 0) == 0);
	T_INT(CALL(is_active, dev), 0);
	T_INT(CALL(is_persistent, dev), 1);
	T_INT(CALL(set_autostart, dev, 1), 0);
	T_INT(CALL(get_autostart, dev, &start), 0);
	T_INT(start, 1);
	T_INT(CALL(conn_autostart, conn, RFC_PARENT, 0), 1);
	T_INT(CALL(device_list_definition_attrs, dev, &names, &values), 0);
	T_OK(names[0] == NULL && values[0] == NULL);
	T_INT(CALL(create, dev, 0), -EEXIST);
	T_INT(CALL(destroy, dev, 0), 0);
	T_INT(CALL(create, dev, 0), 0);
	T_INT(CALL(destroy, dev, 0), 0);
	T_INT(CALL(undefine, dev, 0), 0);
	drv->device_unref(dev);
}

/* The simulated host has no problem; api-problems.c tests the content of findings. */
static void problems_through_the_table(struct mdev_conn *conn)
{
	struct mdev_finding **list = NULL;

	T_INT(CALL(conn_list_problems, conn, &list, 0), 0);
	T_OK(list && !list[0]);
	CALL(finding_list_free, list);
	T_INT(CALL(finding_get_severity, NULL), -EINVAL);
	T_INT(CALL(finding_get_code, NULL), -EINVAL);
	T_OK(CALL(finding_get_object, NULL) == NULL);
	T_OK(CALL(finding_get_message, NULL) == NULL);
	T_OK(CALL(finding_get_next_step, NULL) == NULL);
}

static void group_through_the_table(struct mdev_conn *conn)
{
	static const char one[] = "<device><parent>" RFC_PARENT "</parent><capability type='mdev'><type id='11'/></capability>"
				  "</device>";
	const char *xmls[] = { one, one, "<device/>" };
	struct mdev_device **list = NULL;
	int i, nodes = counted(conn);

	T_INT(CALL(conn_create_group_xml, conn, xmls, 3, &list, 0), -EINVAL);
	T_INT(counted(conn), nodes);
	T_INT(CALL(conn_destroy_incomplete, conn, NULL, MDEV_DESTROY_NO_CALLOUTS), 0);
	T_NEED(drv->conn_create_group_xml(conn, xmls, 2, &list, 0) == 2);
	T_INT(counted(conn), nodes + 2);
	for (i = 0; i < 2; i++)
		T_INT(drv->destroy(list[i], 0), 0);
	CALL(device_list_free, list);
	T_INT(counted(conn), nodes);
}

static void additions_through_the_table(struct mdev_conn *conn)
{
	struct mdev_create_options options = { .size = sizeof(options), .parent = RFC_PARENT, .type = "11" };
	struct mdev_list_filter filter = { .size = sizeof(filter), .parent = RFC_PARENT };
	static const char uuid[] = "c60cc60c-0000-4222-8333-444444444449";
	const char *word = NULL, *product = NULL;
	unsigned int used = 0, total = 0;
	struct mdev_finding **findings = NULL;
	struct mdev_device **list = NULL;
	struct mdev_user **users = NULL;
	struct mdev_device *dev = NULL;
	char *text = NULL;

	T_STR(CALL(error_code_name, MDEV_ERROR_NO_TYPE), "no-type");
	T_NEED(drv->lookup_by_name(conn, RFC_PARENT, &dev) == 0);
	T_INT(CALL(device_get_driver, dev, &word), 0);
	T_INT(CALL(device_get_product, dev, &word, &product), 0);
	T_INT(CALL(device_get_address, dev, &word), 0);
	T_STR(word, "0000:86:00.0");
	T_INT(CALL(device_get_vf_counts, dev, &used, &total), -ENODATA);
	drv->device_unref(dev);
	T_INT(CALL(conn_plan_xml, conn, rfc_device, &text, 0), 0);
	T_HAS(text, "write /sys/");
	free(text);
	options.uuid = uuid;
	T_NEED(CALL(conn_create, conn, &options, &dev, 0) == 0);
	T_INT(CALL(conn_wait_device, conn, uuid, MDEV_DEVICE_CREATED, 0), 0);
	T_INT(CALL(device_get_vfio_node, dev, &text, 0), 0);
	T_HAS(text, "/dev/vfio/");
	free(text);
	T_INT(CALL(device_list_users, dev, &users), 0);
	CALL(user_list_free, users);
	T_INT(CALL(user_get_pid, NULL), -EINVAL);
	T_OK(CALL(user_get_program, NULL) == NULL);
	T_OK(CALL(user_get_guest, NULL) == NULL);
	T_INT(CALL(conn_list_filtered, conn, &filter, &list, MDEV_LIST_DEVICES), 1);
	drv->device_list_free(list);
	T_INT(CALL(conn_diagnose, conn, RFC_PARENT, &findings, 0), 1);
	T_INT(drv->finding_get_severity(findings[0]), MDEV_SEVERITY_NOTE);
	drv->finding_list_free(findings);
	T_INT(drv->destroy(dev, 0), 0);
	drv->device_unref(dev);
	T_NEED(CALL(conn_define, conn, &options, &dev, 0) == 0);
	T_INT(drv->undefine(dev, 0), 0);
	drv->device_unref(dev);
}

static void on_log(int level, const char *message, void *data)
{
	(void)level;
	(void)message;
	++*(int *)data;
}

static void errors_through_the_table(struct mdev_conn *conn)
{
	struct mdev_device *dev = NULL;
	const struct mdev_error *err;
	char *text = NULL;
	int lines = 0;

	CALL(set_log_handler, on_log, &lines, MDEV_LOG_DEBUG);
	T_INT(drv->lookup_by_name(conn, "no_such_node", &dev), -ENODEV);
	err = CALL0(last_error);
	T_NEED(err != NULL);
	T_INT(CALL(error_get_errno, err), ENODEV);
	T_INT(CALL(error_get_code, err), MDEV_ERROR_NO_NODE);
	T_HAS(CALL(error_get_message, err), "no_such_node");
	CALL(error_get_path, err);
	drv->set_log_handler(NULL, NULL, 0);
	T_OK(CALL0(version) != NULL);

	T_INT(CALL(conn_dump_xml, conn, &text, 0), 0);
	T_HAS(text, "0000:86:00.0");
	free(text);
	/* The variants with fewer parameters follow the rules of all other calls. */
	T_INT(drv->num_of_devices(NULL, NULL, 0), -EINVAL);
	T_INT(drv->num_of_devices(conn, NULL, 1), -EINVAL);
	T_INT(drv->list_devices(conn, NULL, NULL, 4, 0), -EINVAL);
	T_INT(drv->list_devices(conn, NULL, &text, -1, 0), -EINVAL);
	T_INT(drv->num_of_caps(NULL), -EINVAL);
	T_INT(drv->list_caps((struct mdev_device *)(void *)conn, &text, 1), -EINVAL);
}

static void on_event(struct mdev_conn *conn, struct mdev_event *ev, void *data)
{
	struct mdev_device *dev = NULL;
	int *seen = data;

	seen[0]++;
	if (drv->event_get_type(ev) == MDEV_EVENT_CREATED && !drv->event_get_device(ev, &dev))
		seen[1]++;
	drv->device_unref(dev);
	(void)conn;
}

static void on_free(void *data)
{
	((int *)data)[2]++;
}

static void events_through_the_table(struct mdev_conn *conn)
{
	struct mdev_device *dev = NULL, *same = NULL;
	const char *name = NULL, *reported = NULL;
	struct mdev_monitor *mon = NULL;
	struct mdev_event *ev = NULL;
	int seen[3] = { 0, 0, 0 }, id;

	T_NEED(CALL(event_register, &mon, conn, 0) == 0);
	T_OK(CALL(monitor_get_fd, mon) >= 0);
	T_INT(CALL(monitor_set_buffer_size, mon, 1 << 20), 0);
	T_INT(CALL(monitor_receive, mon, &ev), 0);
	id = CALL(conn_event_register, conn, on_event, seen, on_free, 0);
	T_OK(id > 0);
	T_OK(CALL(conn_get_fd, conn) >= 0);
	T_NEED(drv->create_xml(conn, rfc_device, &dev, 0) == 0);
	T_NEED(drv->monitor_receive(mon, &ev) == 1);
	T_INT(CALL(event_get_type, ev), MDEV_EVENT_CREATED);
	T_INT(CALL(event_get_device, ev, &same), 0);
	T_INT(drv->device_get_name(dev, &name), 0);
	T_INT(drv->device_get_name(same, &reported), 0);
	T_STR(reported, name);
	drv->device_unref(same);
	T_OK(CALL(event_ref, ev) == ev);
	T_OK(CALL(event_unref, ev) == NULL);
	T_OK(drv->event_unref(ev) == NULL);
	/* The device, and the update of its parent. */
	T_INT(CALL(conn_dispatch, conn), 2);
	T_INT(seen[0], 2);
	T_INT(seen[1], 1);
	T_INT(CALL(conn_event_deregister, conn, id), 0);
	T_INT(seen[2], 1);
	T_INT(drv->destroy(dev, 0), 0);
	drv->device_unref(dev);
	T_INT(drv->conn_dispatch(conn), 2);
	T_INT(seen[0], 2);
	T_OK(CALL(monitor_ref, mon) == mon);
	T_OK(CALL(event_deregister, mon) == NULL);
	T_OK(drv->event_deregister(mon) == NULL);
}

static void nothing_was_left_out(void)
{
	size_t i;

	for (i = 0; i < SLOTS; i++)
		T_OKF(!slot(i) || called[i], "member %zu is NULL or was called", i);
}

struct guest {
	pthread_barrier_t closed;
	int failed_as_due;
};

/* A thread that has an error when the library is closed: the end of the thread runs code of the library. */
static void *outlive(void *data)
{
	struct guest *g = data;
	struct mdev_conn *conn = NULL;

	g->failed_as_due = drv->open(&conn, "nonsense", 0) == -EINVAL;
	pthread_barrier_wait(&g->closed);
	pthread_barrier_wait(&g->closed);
	return NULL;
}

static void *closed_under_a_thread(void *lib, const char *path)
{
	struct guest g = { .failed_as_due = 0 };
	pthread_t id;

	T_NEED(pthread_barrier_init(&g.closed, NULL, 2) == 0);
	T_NEED(pthread_create(&id, NULL, outlive, &g) == 0);
	pthread_barrier_wait(&g.closed);
	T_INT(dlclose(lib), 0);
	pthread_barrier_wait(&g.closed);
	T_INT(pthread_join(id, NULL), 0);
	T_OK(g.failed_as_due);
	pthread_barrier_destroy(&g.closed);
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

int main(int argc, char **argv)
{
	struct mdev_conn *conn = NULL;
	const struct mdev_driver *first;
	void *lib;
	int round;

	T_NEED(argc == 2);
	lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	T_OKF(lib != NULL, "%s is loaded", argv[1]);
	if (!lib)
		return t_done();
	for (round = 0, first = NULL; round < 2; round++) {
		T_NEED(find(lib) != NULL);
		table_is_negotiated(find(lib));
		T_OK(!first || drv == first);
		first = drv;
		later_members_are_null();
		T_NEED(CALL(open, &conn, HOST_URI, 0) == 0);
		T_OK(CALL(conn_ref, conn) == conn);
		T_OK(drv->close(conn) == NULL);
		names_are_listed(conn);
		parent_through_the_table(conn);
		device_through_the_table(conn);
		group_through_the_table(conn);
		problems_through_the_table(conn);
		additions_through_the_table(conn);
		events_through_the_table(conn);
		definition_through_the_table(conn);
		errors_through_the_table(conn);
		T_OK(CALL(close, conn) == NULL);
		nothing_was_left_out();
		lib = closed_under_a_thread(lib, argv[1]);
		T_NEED(lib != NULL);
	}
	dlclose(lib);
	return t_done();
}
