/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors and logs: the thread to which they belong, when they are set and cleared. */
#include <pthread.h>
#include <unistd.h>

#include "host.h"

static struct mdev_conn *conn;

/* Sets an error that contains this text. */
static void fail_with(const char *name)
{
	struct mdev_device *dev = NULL;

	T_INT(mdev_conn_lookup_by_name(conn, name, &dev), -ENODEV);
	T_HAS(host_message(), name);
}

static void an_error_tells_all(void)
{
	struct mdev_device *dev = NULL;
	const struct mdev_error *err;

	T_INT(mdev_conn_lookup_by_name(conn, "no_such_node", &dev), -ENODEV);
	err = mdev_last_error();
	T_NEED(err != NULL);
	T_INT(mdev_error_get_errno(err), ENODEV);
	T_INT(mdev_error_get_code(err), MDEV_ERROR_NO_NODE);
	T_HAS(mdev_error_get_message(err), "no_such_node");
	T_OK(!strchr(mdev_error_get_message(err), '\n'));
}

#define BAD "\033[31m\nred\177"

/* The call fails, and its message is safe for a terminal. */
#define SHOWN(call)                                                                                                    \
	do {                                                                                                           \
		const char *said;                                                                                      \
		size_t i;                                                                                              \
		T_OK((call) < 0);                                                                                      \
		said = mdev_error_get_message(mdev_last_error());                                                      \
		for (i = 0; said[i] && (unsigned char)said[i] >= ' ' && said[i] != 0x7f; i++)                          \
			;                                                                                              \
		T_OKF(!said[i], "%s: its message has no control characters", #call);                                   \
	} while (0)

static void messages_are_for_terminals(void)
{
	static const char attr[] = "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/>"
				   "<attr name='a&#10;b' value='1'/></capability></device>";
	struct mdev_device *dev = NULL, *parent;
	const struct mdev_type *type;
	struct mdev_conn *other;
	unsigned int access;
	char *text;

	SHOWN(mdev_conn_open(&other, "mdev:///system?root=/" BAD, 0));
	SHOWN(mdev_conn_open(&other, "test:////tmp/" BAD, 0));
	SHOWN(mdev_conn_open(&other, BAD, 0));
	SHOWN(mdev_conn_lookup_by_name(conn, BAD, &dev));
	SHOWN(mdev_conn_lookup_by_name(conn, "/sys/devices/" BAD, &dev));
	SHOWN(mdev_conn_lookup_by_uuid(conn, BAD, &dev));
	SHOWN(mdev_conn_destroy_uuid(conn, BAD, 0));
	SHOWN(mdev_conn_wait_parent(conn, BAD, 0, &dev));
	SHOWN(mdev_conn_autostart(conn, BAD, 0));
	SHOWN(mdev_conn_set_owner(conn, BAD));
	SHOWN(mdev_conn_create_xml(conn, BAD, &dev, 0));
	SHOWN(mdev_conn_create_xml(conn, "<device><name>" BAD "</name></device>", &dev, 0));
	SHOWN(mdev_conn_create_xml(conn, "<device><a\177b/></device>", &dev, 0));
	SHOWN(mdev_conn_define_xml(conn, attr, &dev, 0));
	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	SHOWN(mdev_device_get_attr(parent, BAD, &text));
	SHOWN(mdev_device_get_attr(parent, "\033[31m", &text));
	SHOWN(mdev_device_get_attr(parent, "\033[31m/a", &text));
	SHOWN(mdev_device_get_attr_access(parent, "\033[31m", &access));
	SHOWN(mdev_device_set_attr(parent, BAD, BAD));
	SHOWN(mdev_device_find_type(parent, BAD, &type));
	mdev_device_unref(parent);
	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0) == 0);
	SHOWN(mdev_device_set_attr(dev, "\033[31m", BAD));
	SHOWN(mdev_device_set_attr(dev, "\033[31m/remove", BAD));
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
}

/* Every call that can fail clears the last error first, also if it succeeds. */
static void success_clears(void)
{
	const struct mdev_type *type = NULL, *const *types = NULL;
	struct mdev_device *dev = NULL, *parent = NULL, **list = NULL;
	struct mdev_conn *other = NULL;
	char *text = NULL;

#define CLEARS(call)                                                                                                   \
	do {                                                                                                           \
		fail_with("node_that_is_not_there");                                                                   \
		T_OK((call) >= 0);                                                                                     \
		T_OKF(mdev_last_error() == NULL, "%s clears the error", #call);                                        \
	} while (0)

	CLEARS(mdev_conn_open(&other, HOST_URI, 0));
	CLEARS(mdev_conn_list(conn, &list, 0));
	CLEARS(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent));
	CLEARS(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0));
	CLEARS(mdev_device_get_xml(dev, &text, 0));
	free(text);
	CLEARS(mdev_device_get_qemu_device(dev, &text));
	free(text);
	CLEARS(mdev_device_list_types(parent, &types));
	CLEARS(mdev_device_find_type(parent, "11", &type));
	CLEARS(mdev_conn_dump_xml(conn, &text, 0));
	free(text);
	CLEARS(mdev_conn_set_owner(conn, "me"));
	CLEARS(mdev_device_destroy(dev, 0));
#undef CLEARS
	mdev_device_list_free(list);
	mdev_device_unref(dev);
	mdev_device_unref(parent);
	mdev_conn_unref(other);
}

/* Cleaning up after a failure must keep the error. */
static void housekeeping_keeps(void)
{
	const struct mdev_type *type = NULL;
	struct mdev_device *dev = NULL, **list = NULL;
	struct mdev_conn *other = NULL;
	const struct mdev_error *err;
	const char *word = NULL;
	unsigned int n = 0;

	T_INT(mdev_conn_open(&other, HOST_URI, 0), 0);
	T_INT(mdev_conn_lookup_by_name(conn, RFC_PARENT, &dev), 0);
	T_INT(mdev_device_find_type(dev, "11", &type), 0);
	T_OK(mdev_conn_list(conn, &list, 0) > 0);
	T_INT(mdev_type_get_available_instances(type, &n), 0);

#define KEEPS(statement)                                                                                               \
	do {                                                                                                           \
		statement;                                                                                             \
		err = mdev_last_error();                                                                               \
		T_OKF(err && strstr(mdev_error_get_message(err), "first_failure"), "%s keeps the error", #statement);  \
	} while (0)

	fail_with("first_failure");
	KEEPS(mdev_conn_ref(conn));
	KEEPS(mdev_conn_unref(conn));
	KEEPS(mdev_device_ref(dev));
	KEEPS(mdev_device_unref(dev));
	KEEPS(mdev_conn_ref(NULL));
	KEEPS(mdev_device_ref((struct mdev_device *)(void *)conn));
	KEEPS(mdev_conn_unref(NULL));
	KEEPS(mdev_device_unref(NULL));
	KEEPS(mdev_device_list_free(NULL));
	KEEPS(mdev_device_list_free(list));
	KEEPS(mdev_conn_unref(other));
	KEEPS(mdev_device_get_name(dev, &word));
	KEEPS(mdev_device_get_layout(dev, &word));
	KEEPS(mdev_device_get_parent(dev, &word));
	KEEPS(mdev_device_get_syspath(dev, &word));
	KEEPS(mdev_device_is_parent(dev));
	KEEPS(mdev_device_is_active(dev));
	KEEPS(mdev_type_get_available_instances(type, &n));
	KEEPS(mdev_type_requires_group(type));
	KEEPS(mdev_type_get_id(type));
	KEEPS(mdev_type_get_name(type));
	KEEPS(mdev_type_get_device_api(type));
	KEEPS(mdev_type_get_description(type));
	KEEPS(mdev_type_get_attr(type, "heads"));
	KEEPS(mdev_type_get_attr(type, "no_such"));
	KEEPS(mdev_type_get_attr(NULL, NULL));
	KEEPS(mdev_error_get_code(err));
	KEEPS(mdev_error_get_errno(err));
	KEEPS(mdev_error_get_path(err));
	KEEPS(mdev_version());
	KEEPS(mdev_set_log_handler(NULL, NULL, 0));
#undef KEEPS
	/* A getter that fails sets its own error. */
	T_INT(mdev_device_get_uuid(dev, &word), -ENODATA);
	T_INT(mdev_error_get_code(mdev_last_error()), MDEV_ERROR_NO_DATA);
	mdev_device_unref(dev);
}

struct other_thread {
	pthread_barrier_t meet;
	int clean_at_start, own_error;
};

static void *in_other_thread(void *data)
{
	struct other_thread *t = data;
	struct mdev_device *dev = NULL;

	t->clean_at_start = mdev_last_error() == NULL;
	t->own_error = mdev_conn_lookup_by_name(conn, "in_other_thread", &dev) == -ENODEV && host_message() &&
		       strstr(host_message(), "in_other_thread");
	pthread_barrier_wait(&t->meet);
	return NULL;
}

static void errors_belong_to_a_thread(void)
{
	struct other_thread t = { .clean_at_start = 0 };
	pthread_t id;

	fail_with("in_main_thread");
	pthread_barrier_init(&t.meet, NULL, 2);
	T_NEED(pthread_create(&id, NULL, in_other_thread, &t) == 0);
	pthread_barrier_wait(&t.meet);
	T_HAS(host_message(), "in_main_thread");
	pthread_join(id, NULL);
	T_HAS(host_message(), "in_main_thread");
	pthread_barrier_destroy(&t.meet);
	T_OK(t.clean_at_start);
	T_OK(t.own_error);
}

/* The simulated host with a dangling link among its devices. */
static struct mdev_conn *open_broken_host(void)
{
	static const char broken[] = "<link path='/sys/bus/mdev/devices/nonsense' target='../nowhere'/></host>";
	char path[] = "/tmp/libmdev-log-XXXXXX", uri[64], *xml = NULL, *end;
	struct mdev_conn *c = NULL;
	int fd = mkstemp(path);

	T_NEED(fd >= 0);
	T_NEED(mdev_conn_dump_xml(conn, &xml, 0) == 0);
	end = strstr(xml, "</host>");
	T_NEED(end != NULL);
	T_NEED(write(fd, xml, (size_t)(end - xml)) == end - xml);
	T_NEED(write(fd, broken, strlen(broken)) == (ssize_t)strlen(broken));
	close(fd);
	snprintf(uri, sizeof(uri), "test://%s", path);
	T_INT(mdev_conn_open(&c, uri, 0), 0);
	unlink(path);
	free(xml);
	return c;
}

struct log {
	int lines, worst, broken, reentered, nonsense;
};

static void on_log(int level, const char *message, void *data)
{
	struct log *log = data;

	log->lines++;
	if (level > log->worst)
		log->worst = level;
	if (!message || !*message || strchr(message, '\n'))
		log->broken++;
	log->nonsense += message && strstr(message, "nonsense");
	/* A handler may call the library; an error of that call must not replace the error of the call that logs. */
	if (mdev_version())
		log->reentered++;
}

/* Creates and destroys a device, and lists the host with the fault. */
static void make_noise(struct mdev_conn *broken)
{
	struct mdev_device *dev = NULL;

	T_INT(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0), 0);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
	T_INT(host_count(broken, 0), host_count(conn, 0));
}

static void logs_reach_the_handler(void)
{
	struct log all = { 0 }, few = { 0 }, none = { 0 };
	struct mdev_conn *broken = open_broken_host();

	mdev_set_log_handler(on_log, &all, MDEV_LOG_DEBUG);
	make_noise(broken);
	T_OKF(all.lines >= 3, "created, destroyed, left out: %d lines", all.lines);
	T_INT(all.nonsense, 1);
	T_INT(all.broken, 0);
	T_INT(all.reentered, all.lines);
	T_OKF(all.worst >= MDEV_LOG_INFO && all.worst <= MDEV_LOG_DEBUG, "levels up to %d", all.worst);

	mdev_set_log_handler(on_log, &few, MDEV_LOG_WARNING);
	make_noise(broken);
	T_OKF(few.lines < all.lines, "%d lines on the warning level", few.lines);
	T_INT(few.nonsense, 1);
	T_INT(few.worst, MDEV_LOG_WARNING);

	mdev_set_log_handler(on_log, &none, 0);
	make_noise(broken);
	mdev_set_log_handler(NULL, &none, MDEV_LOG_DEBUG);
	make_noise(broken);
	T_INT(none.lines, 0);
	mdev_conn_unref(broken);
}

int main(void)
{
	T_OK(mdev_last_error() == NULL);
	conn = host_open();
	an_error_tells_all();
	messages_are_for_terminals();
	success_clears();
	housekeeping_keeps();
	errors_belong_to_a_thread();
	logs_reach_the_handler();
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
