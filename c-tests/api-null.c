/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every exported function with NULL for each pointer in turn, with a handle of
 * every other kind, and with every unknown flag bit: -EINVAL, no
 * out-parameter written, the error set, and nothing created or lost.
 *
 * A handle of the wrong kind is one of: another valid handle of this library,
 * or memory of the caller without a handle: zeroes, text, an odd address. Use of
 * a handle after its last unref is undefined, as with free().
 *
 * check-symbols.sh compares the functions of this file with the exported functions.
 */
#include "host.h"

enum kind { CONN, DEVICE, TYPE, MONITOR, EVENT, FINDING, ERROR, ZEROES, WORDS, ODD, KINDS };

static void *handles[KINDS];
static union {
	char bytes[8192];
	void *align;
} zeroes;

static char words[4096] = "mdev mdev mdev";

static struct mdev_conn *conn;
static struct mdev_device *parent, *dev;
static const struct mdev_type *type;
static struct mdev_monitor *mon;
static struct mdev_event *event;

/* All out-parameters of the sweep are in this struct: one memcmp shows whether any was written. */
static struct {
	uint64_t before[2];
	struct mdev_conn *conn;
	struct mdev_device *dev, **list;
	const struct mdev_type *type, *const *types;
	struct mdev_monitor *mon;
	struct mdev_event *event;
	struct mdev_finding **findings;
	struct mdev_user **users;
	char *text, **texts;
	const char *word, *const *words, *const *values;
	unsigned int number;
	int sign;
	uint64_t after[2];
} out;

#define PATTERN 0xa5

static int untouched(void)
{
	const unsigned char *p = (const unsigned char *)&out;
	size_t i;

	for (i = 0; i < sizeof(out); i++)
		if (p[i] != PATTERN)
			return 0;
	return 1;
}

/* A message of one line, readable alone in a log. */
static int is_sentence(const char *s)
{
	return s && strlen(s) > 8 && strchr(s, ' ') && !strchr(s, '\n') && !strstr(s, "os error");
}

static void refused(int line, const char *call, int rc)
{
	const struct mdev_error *err = mdev_last_error();

	t_result(rc == -EINVAL, __FILE__, line, "%s is -EINVAL (%d)", call, rc);
	t_result(untouched(), __FILE__, line, "%s writes nothing", call);
	memset(&out, PATTERN, sizeof(out));
	if (!t_result(err != NULL, __FILE__, line, "%s sets the error", call))
		return;
	t_result(mdev_error_get_errno(err) == EINVAL && mdev_error_get_code(err) > 0 &&
			 is_sentence(mdev_error_get_message(err)),
		 __FILE__, line, "%s: %d, %d, \"%s\"", call, mdev_error_get_errno(err), mdev_error_get_code(err),
		 mdev_error_get_message(err));
}

#define REFUSED(call) refused(__LINE__, #call, (call))

/*
 * An error is valid until the next failure of its thread, which here is the next
 * call: so it is read anew each time.
 */
static void *handle(int kind)
{
	if (kind < 0)
		return NULL;
	return kind == ERROR ? (void *)(uintptr_t)mdev_last_error() : handles[kind];
}

/* Loops over NULL and every handle of another kind; h is the current handle. */
#define EACH_WRONG(due) for (i = -1; i < KINDS; i++) if (i != (due))
#define h handle(i)
#define EACH_UNKNOWN(flag, known) for (flag = 1; flag; flag <<= 1) if (!(flag & (unsigned int)(known)))

#define CREATE_FLAGS                                                                                                    \
	(MDEV_CREATE_EXIST_OK | MDEV_CREATE_PACK | MDEV_CREATE_NO_CALLOUTS | MDEV_CREATE_IGNORE_UNKNOWN | MDEV_CREATE_DRY_RUN)

static void sweep_conn(void)
{
	struct mdev_create_options plain = { .size = sizeof(plain), .parent = RFC_PARENT, .type = "11" };
	const char *xmls[] = { PLAIN_XML(RFC_PARENT, "11"), PLAIN_XML(RFC_PARENT, "11") };
	const char *holed[] = { PLAIN_XML(RFC_PARENT, "11"), NULL };
	unsigned int flag;
	int i;

	REFUSED(mdev_conn_open(NULL, HOST_URI, 0));
	EACH_UNKNOWN(flag, 0)
		REFUSED(mdev_conn_open(&out.conn, HOST_URI, flag));

	EACH_WRONG(CONN) {
		T_OK(mdev_conn_ref(h) == NULL);
		T_OK(mdev_conn_unref(h) == NULL);
		REFUSED(mdev_conn_dump_xml(h, &out.text, 0));
		REFUSED(mdev_conn_list(h, &out.list, 0));
		REFUSED(mdev_conn_lookup_by_name(h, RFC_PARENT, &out.dev));
		REFUSED(mdev_conn_lookup_by_uuid(h, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", &out.dev));
		REFUSED(mdev_conn_create_xml(h, xmls[0], &out.dev, 0));
		REFUSED(mdev_conn_create_group_xml(h, xmls, 2, &out.list, 0));
		REFUSED(mdev_conn_destroy_uuid(h, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", 0));
		REFUSED(mdev_conn_set_owner(h, "me"));
		REFUSED(mdev_conn_wait_parent(h, RFC_PARENT, 0, &out.dev));
		REFUSED(mdev_conn_define_xml(h, xmls[0], &out.dev, 0));
		REFUSED(mdev_conn_autostart(h, NULL, 0));
		REFUSED(mdev_conn_list_problems(h, &out.findings, 0));
		REFUSED(mdev_conn_destroy_incomplete(h, NULL, 0));
		REFUSED(mdev_conn_create(h, &plain, &out.dev, 0));
		REFUSED(mdev_conn_define(h, &plain, &out.dev, 0));
		REFUSED(mdev_conn_plan_xml(h, xmls[0], &out.text, 0));
		REFUSED(mdev_conn_list_filtered(h, NULL, &out.list, 0));
		REFUSED(mdev_conn_diagnose(h, NULL, &out.findings, 0));
		REFUSED(mdev_conn_wait_device(h, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", MDEV_DEVICE_DELETED, 0));
	}

	REFUSED(mdev_conn_dump_xml(conn, NULL, 0));
	REFUSED(mdev_conn_list(conn, NULL, 0));
	REFUSED(mdev_conn_lookup_by_name(conn, NULL, &out.dev));
	REFUSED(mdev_conn_lookup_by_name(conn, RFC_PARENT, NULL));
	REFUSED(mdev_conn_lookup_by_uuid(conn, NULL, &out.dev));
	REFUSED(mdev_conn_lookup_by_uuid(conn, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", NULL));
	REFUSED(mdev_conn_create_xml(conn, NULL, &out.dev, 0));
	REFUSED(mdev_conn_create_xml(conn, xmls[0], NULL, 0));
	REFUSED(mdev_conn_create_group_xml(conn, NULL, 2, &out.list, 0));
	REFUSED(mdev_conn_create_group_xml(conn, holed, 2, &out.list, 0));
	REFUSED(mdev_conn_create_group_xml(conn, xmls, 0, &out.list, 0));
	REFUSED(mdev_conn_create_group_xml(conn, xmls, SIZE_MAX, &out.list, 0));
	REFUSED(mdev_conn_create_group_xml(conn, xmls, 2, NULL, 0));
	REFUSED(mdev_conn_destroy_uuid(conn, NULL, 0));
	REFUSED(mdev_conn_wait_parent(conn, NULL, 0, &out.dev));
	REFUSED(mdev_conn_wait_parent(conn, RFC_PARENT, 0, NULL));
	REFUSED(mdev_conn_define_xml(conn, NULL, &out.dev, 0));
	REFUSED(mdev_conn_define_xml(conn, xmls[0], NULL, 0));

	EACH_UNKNOWN(flag, 0)
		REFUSED(mdev_conn_dump_xml(conn, &out.text, flag));
	EACH_UNKNOWN(flag, MDEV_LIST_PARENTS | MDEV_LIST_DEVICES | MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE | MDEV_LIST_NO_TYPES)
		REFUSED(mdev_conn_list(conn, &out.list, flag));
	EACH_UNKNOWN(flag, CREATE_FLAGS) {
		REFUSED(mdev_conn_create_xml(conn, xmls[0], &out.dev, flag));
		REFUSED(mdev_conn_create_group_xml(conn, xmls, 2, &out.list, flag));
	}
	EACH_UNKNOWN(flag, MDEV_DEFINE_NO_CALLOUTS | MDEV_DEFINE_AUTOSTART | MDEV_DEFINE_IGNORE_UNKNOWN)
		REFUSED(mdev_conn_define_xml(conn, xmls[0], &out.dev, flag));
	EACH_UNKNOWN(flag, MDEV_START_NO_CALLOUTS)
		REFUSED(mdev_conn_autostart(conn, NULL, flag));
	EACH_UNKNOWN(flag, MDEV_QEMU_IOMMUFD)
		REFUSED(mdev_device_get_qemu_args(dev, &out.text, flag));
	EACH_UNKNOWN(flag, 0)
		REFUSED(mdev_conn_list_problems(conn, &out.findings, flag));
	EACH_UNKNOWN(flag, MDEV_DESTROY_OWNED | MDEV_DESTROY_NO_CALLOUTS)
		REFUSED(mdev_conn_destroy_uuid(conn, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", flag));
	EACH_UNKNOWN(flag, MDEV_DESTROY_NO_CALLOUTS)
		REFUSED(mdev_conn_destroy_incomplete(conn, NULL, flag));
	REFUSED(mdev_conn_destroy_incomplete(conn, "", 0));

	REFUSED(mdev_conn_create(conn, NULL, &out.dev, 0));
	REFUSED(mdev_conn_create(conn, &plain, NULL, 0));
	REFUSED(mdev_conn_define(conn, NULL, &out.dev, 0));
	REFUSED(mdev_conn_define(conn, &plain, NULL, 0));
	REFUSED(mdev_conn_plan_xml(conn, NULL, &out.text, 0));
	REFUSED(mdev_conn_plan_xml(conn, xmls[0], NULL, 0));
	REFUSED(mdev_conn_list_filtered(conn, NULL, NULL, 0));
	REFUSED(mdev_conn_diagnose(conn, NULL, NULL, 0));
	REFUSED(mdev_conn_wait_device(conn, NULL, MDEV_DEVICE_DELETED, 0));
	REFUSED(mdev_conn_wait_device(conn, "c60cc60c", MDEV_DEVICE_DELETED, 0));
	REFUSED(mdev_conn_wait_device(conn, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", 0, 0));
	REFUSED(mdev_conn_wait_device(conn, "c60cc60c-c60c-c60c-c60c-c60cc60cc60c", 4, 0));
	EACH_UNKNOWN(flag, CREATE_FLAGS) {
		REFUSED(mdev_conn_create(conn, &plain, &out.dev, flag));
		REFUSED(mdev_conn_plan_xml(conn, xmls[0], &out.text, flag));
	}
	EACH_UNKNOWN(flag, MDEV_DEFINE_NO_CALLOUTS | MDEV_DEFINE_AUTOSTART | MDEV_DEFINE_IGNORE_UNKNOWN)
		REFUSED(mdev_conn_define(conn, &plain, &out.dev, flag));
	EACH_UNKNOWN(flag, MDEV_LIST_PARENTS | MDEV_LIST_DEVICES | MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE | MDEV_LIST_NO_TYPES)
		REFUSED(mdev_conn_list_filtered(conn, NULL, &out.list, flag));
	EACH_UNKNOWN(flag, 0)
		REFUSED(mdev_conn_diagnose(conn, NULL, &out.findings, flag));
}

static void sweep_device_handles(void)
{
	const char *word = NULL;
	unsigned int number = 0;
	int i;

	EACH_WRONG(DEVICE) {
		T_OK(mdev_device_ref(h) == NULL);
		T_OK(mdev_device_unref(h) == NULL);
		REFUSED(mdev_device_destroy(h, 0));
		REFUSED(mdev_device_get_xml(h, &out.text, 0));
		REFUSED(mdev_device_get_name(h, &out.word));
		REFUSED(mdev_device_get_parent(h, &out.word));
		REFUSED(mdev_device_get_syspath(h, &out.word));
		REFUSED(mdev_device_get_layout(h, &out.word));
		REFUSED(mdev_device_is_parent(h));
		REFUSED(mdev_device_is_active(h));
		REFUSED(mdev_device_get_uuid(h, &out.word));
		REFUSED(mdev_device_list_definition_attrs(h, &out.words, &out.values));
		REFUSED(mdev_device_get_type_id(h, &out.word));
		REFUSED(mdev_device_get_group(h, &out.number));
		REFUSED(mdev_device_get_iommu_group(h, &out.number));
		REFUSED(mdev_device_get_owner(h, &out.word));
		REFUSED(mdev_device_get_params(h, &out.word));
		REFUSED(mdev_device_get_numa_node(h, &out.sign));
		REFUSED(mdev_device_get_physical_function(h, &out.word));
		REFUSED(mdev_device_get_qemu_device(h, &out.text));
		REFUSED(mdev_device_get_qemu_args(h, &out.text, 0));
		REFUSED(mdev_device_get_qmp_device_add(h, "hostdev0", &out.text));
		REFUSED(mdev_device_get_hostdev_xml(h, &out.text));
		REFUSED(mdev_device_list_attrs(h, &out.texts));
		REFUSED(mdev_device_get_attr_access(h, "priority", &out.number));
		REFUSED(mdev_device_get_attr(h, "priority", &out.text));
		REFUSED(mdev_device_set_attr(h, "priority", "1"));
		REFUSED(mdev_device_reset(h));
		REFUSED(mdev_device_set_online(h, 1));
		REFUSED(mdev_device_list_types(h, &out.types));
		REFUSED(mdev_device_find_type(h, "11", &out.type));
		REFUSED(mdev_device_undefine(h, 0));
		REFUSED(mdev_device_start(h, 0));
		REFUSED(mdev_device_set_autostart(h, 1));
		REFUSED(mdev_device_get_autostart(h, &out.sign));
		REFUSED(mdev_device_is_persistent(h));
		REFUSED(mdev_device_get_driver(h, &out.word));
		REFUSED(mdev_device_get_product(h, &out.word, &word));
		REFUSED(mdev_device_get_vf_counts(h, &out.number, &number));
		REFUSED(mdev_device_get_address(h, &out.word));
		REFUSED(mdev_device_get_vfio_node(h, &out.text, 0));
		REFUSED(mdev_device_list_users(h, &out.users));
	}
	T_OK(word == NULL);
	mdev_device_list_free(NULL);
}

static void sweep_device_args(void)
{
	unsigned int flag;

	REFUSED(mdev_device_get_xml(dev, NULL, 0));
	REFUSED(mdev_device_get_autostart(dev, NULL));
	EACH_UNKNOWN(flag, MDEV_DEFINE_NO_CALLOUTS)
		REFUSED(mdev_device_undefine(dev, flag));
	EACH_UNKNOWN(flag, MDEV_START_NO_CALLOUTS)
		REFUSED(mdev_device_start(dev, flag));
	REFUSED(mdev_device_get_name(dev, NULL));
	REFUSED(mdev_device_get_parent(dev, NULL));
	REFUSED(mdev_device_get_syspath(dev, NULL));
	REFUSED(mdev_device_get_layout(dev, NULL));
	REFUSED(mdev_device_get_uuid(dev, NULL));
	REFUSED(mdev_device_get_type_id(dev, NULL));
	REFUSED(mdev_device_get_group(dev, NULL));
	REFUSED(mdev_device_get_iommu_group(dev, NULL));
	REFUSED(mdev_device_get_owner(dev, NULL));
	REFUSED(mdev_device_get_params(dev, NULL));
	REFUSED(mdev_device_get_numa_node(dev, NULL));
	REFUSED(mdev_device_get_physical_function(dev, NULL));
	REFUSED(mdev_device_get_qemu_device(dev, NULL));
	REFUSED(mdev_device_get_qemu_args(dev, NULL, 0));
	REFUSED(mdev_device_get_qmp_device_add(dev, "hostdev0", NULL));
	REFUSED(mdev_device_get_hostdev_xml(dev, NULL));
	REFUSED(mdev_device_list_attrs(dev, NULL));
	REFUSED(mdev_device_list_definition_attrs(dev, NULL, &out.values));
	REFUSED(mdev_device_list_definition_attrs(dev, &out.words, NULL));
	REFUSED(mdev_device_get_attr_access(dev, NULL, &out.number));
	REFUSED(mdev_device_get_attr_access(dev, "priority", NULL));
	REFUSED(mdev_device_get_attr(dev, NULL, &out.text));
	REFUSED(mdev_device_get_attr(dev, "priority", NULL));
	REFUSED(mdev_device_set_attr(dev, NULL, "1"));
	REFUSED(mdev_device_set_attr(dev, "priority", NULL));
	REFUSED(mdev_device_list_types(parent, NULL));
	REFUSED(mdev_device_find_type(parent, NULL, &out.type));
	REFUSED(mdev_device_find_type(parent, "11", NULL));
	REFUSED(mdev_device_get_driver(parent, NULL));
	REFUSED(mdev_device_get_product(parent, NULL, &out.word));
	REFUSED(mdev_device_get_product(parent, &out.word, NULL));
	REFUSED(mdev_device_get_vf_counts(parent, NULL, &out.number));
	REFUSED(mdev_device_get_vf_counts(parent, &out.number, NULL));
	REFUSED(mdev_device_get_address(parent, NULL));
	REFUSED(mdev_device_get_vfio_node(dev, NULL, 0));
	REFUSED(mdev_device_list_users(dev, NULL));
	EACH_UNKNOWN(flag, MDEV_QEMU_IOMMUFD)
		REFUSED(mdev_device_get_vfio_node(dev, &out.text, flag));

	EACH_UNKNOWN(flag, MDEV_XML_LIBVIRT | MDEV_XML_INACTIVE)
		REFUSED(mdev_device_get_xml(dev, &out.text, flag));
	EACH_UNKNOWN(flag, MDEV_QEMU_IOMMUFD)
		REFUSED(mdev_device_get_qemu_args(dev, &out.text, flag));
	EACH_UNKNOWN(flag, MDEV_DESTROY_OWNED | MDEV_DESTROY_NO_CALLOUTS)
		REFUSED(mdev_device_destroy(dev, flag));
}

static void sweep_types(void)
{
	int i, bound = -1;

	EACH_WRONG(TYPE) {
		T_OK(mdev_type_get_id(h) == NULL);
		T_OK(mdev_type_get_name(h) == NULL);
		T_OK(mdev_type_get_device_api(h) == NULL);
		T_OK(mdev_type_get_description(h) == NULL);
		T_OK(mdev_type_get_attr(h, "heads") == NULL);
		REFUSED(mdev_type_list_attrs(h, &out.words));
		REFUSED(mdev_type_get_available_instances(h, &out.number));
		REFUSED(mdev_type_get_capacity(h, &out.number, &bound));
		T_INT(mdev_type_requires_group(h), -EINVAL);
	}
	T_OK(mdev_type_get_attr(type, NULL) == NULL);
	REFUSED(mdev_type_list_attrs(type, NULL));
	REFUSED(mdev_type_get_available_instances(type, NULL));
	REFUSED(mdev_type_get_capacity(type, NULL, &bound));
	REFUSED(mdev_type_get_capacity(type, &out.number, NULL));
	T_INT(bound, -1);
}

static void never(struct mdev_conn *c, struct mdev_event *ev, void *data)
{
	(void)c;
	(void)ev;
	(void)data;
}

static void never_freed(void *data)
{
	T_OKF(0, "data is freed though its callback was refused");
	(void)data;
}

static void sweep_events(void)
{
	unsigned int flag;
	int i;

	EACH_WRONG(CONN) {
		REFUSED(mdev_monitor_new(&out.mon, h, 0));
		REFUSED(mdev_conn_event_register(h, never, NULL, never_freed, 0));
		REFUSED(mdev_conn_event_deregister(h, 1));
		REFUSED(mdev_conn_get_fd(h));
		REFUSED(mdev_conn_dispatch(h));
	}
	EACH_WRONG(MONITOR) {
		T_OK(mdev_monitor_ref(h) == NULL);
		T_OK(mdev_monitor_unref(h) == NULL);
		REFUSED(mdev_monitor_get_fd(h));
		REFUSED(mdev_monitor_receive(h, &out.event));
		REFUSED(mdev_monitor_set_buffer_size(h, 4096));
	}
	EACH_WRONG(EVENT) {
		T_OK(mdev_event_ref(h) == NULL);
		T_OK(mdev_event_unref(h) == NULL);
		T_INT(mdev_event_get_type(h), MDEV_EVENT_NONE);
		REFUSED(mdev_event_get_device(h, &out.dev));
	}
	REFUSED(mdev_monitor_new(NULL, conn, 0));
	REFUSED(mdev_monitor_receive(mon, NULL));
	REFUSED(mdev_event_get_device(event, NULL));
	REFUSED(mdev_conn_event_register(conn, NULL, NULL, never_freed, 0));
	REFUSED(mdev_conn_event_deregister(conn, 0));
	REFUSED(mdev_conn_event_deregister(conn, -1));
	REFUSED(mdev_conn_event_deregister(conn, 4711));
	EACH_UNKNOWN(flag, 0) {
		REFUSED(mdev_monitor_new(&out.mon, conn, flag));
		REFUSED(mdev_conn_event_register(conn, never, NULL, never_freed, flag));
	}
}

static void sweep_errors(void)
{
	int i;

	EACH_WRONG(ERROR) {
		T_INT(mdev_error_get_code(h), -EINVAL);
		T_INT(mdev_error_get_errno(h), -EINVAL);
		T_OK(mdev_error_get_message(h) == NULL);
		T_OK(mdev_error_get_path(h) == NULL);
	}
	EACH_WRONG(FINDING) {
		T_INT(mdev_finding_get_severity(h), -EINVAL);
		T_INT(mdev_finding_get_code(h), -EINVAL);
		T_OK(mdev_finding_get_object(h) == NULL);
		T_OK(mdev_finding_get_message(h) == NULL);
		T_OK(mdev_finding_get_next_step(h) == NULL);
	}
	mdev_finding_list_free(NULL);
	for (i = -1; i < KINDS; i++) {
		T_INT(mdev_user_get_pid(h), -EINVAL);
		T_OK(mdev_user_get_program(h) == NULL);
		T_OK(mdev_user_get_guest(h) == NULL);
	}
	mdev_user_list_free(NULL);
	T_OK(mdev_error_code_name(0) == NULL);
	mdev_set_log_handler(NULL, NULL, 0);
	mdev_set_log_handler(NULL, &zeroes, -1);
	T_OK(mdev_version() != NULL);
	T_OK(mdev_driver_get(0, 0) == NULL);
}

int main(void)
{
	struct mdev_device *again = NULL;
	int before;

	conn = host_open();
	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_NEED(mdev_device_find_type(parent, "11", &type) == 0);
	T_NEED(mdev_monitor_new(&mon, conn, 0) == 0);
	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0) == 0);
	T_NEED(mdev_monitor_receive(mon, &event) == 1);
	before = host_count(conn, 0);
	T_OK(before > 1);

	T_OK(mdev_device_find_type(parent, "no such type", &type) < 0);
	T_NEED(mdev_last_error() != NULL);
	handles[CONN] = conn;
	handles[DEVICE] = dev;
	handles[TYPE] = (void *)(uintptr_t)type;
	handles[MONITOR] = mon;
	handles[EVENT] = event;
	handles[ZEROES] = &zeroes;
	handles[WORDS] = words;
	handles[ODD] = zeroes.bytes + 1;
	memset(&out, PATTERN, sizeof(out));

	sweep_errors();
	sweep_conn();
	sweep_device_handles();
	sweep_device_args();
	sweep_types();
	sweep_events();

	T_INT(host_count(conn, 0), before);
	T_INT(mdev_conn_lookup_by_name(conn, "my-vgpu", &again), 0);
	mdev_device_unref(again);
	T_INT(mdev_device_destroy(dev, 0), 0);
	T_OK(mdev_event_unref(event) == NULL);
	T_OK(mdev_monitor_unref(mon) == NULL);
	T_OK(mdev_device_unref(dev) == NULL);
	T_OK(mdev_device_unref(parent) == NULL);
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
