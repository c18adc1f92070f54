/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Creates and defines devices without XML, plans a create, lists with a filter, and waits for the state of a device. Each
 * function is checked against the function with XML.
 */
#include "host.h"

#define UUID "c60cc60c-0000-4222-8333-444444444444"
#define CARD "pci_0000_41_00_0"

static struct mdev_conn *conn;

static char *xml_of(struct mdev_device *dev)
{
	char *xml = NULL;

	T_NEED(mdev_device_get_xml(dev, &xml, 0) == 0);
	return xml;
}

static void options_make_the_device_of_the_xml(void)
{
	struct mdev_create_options options = { .size = sizeof(options), .parent = RFC_PARENT, .type = "11",
					       .name = "my-vgpu", .params = "frame_rate_limiter=0", .group = 1 };
	struct mdev_device *dev = NULL;
	char *plain, *own;
	const char *uuid;

	T_NEED(mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0) == 0);
	plain = xml_of(dev);
	T_NEED(mdev_device_get_uuid(dev, &uuid) == 0);
	T_INT(mdev_device_destroy(dev, 0), 0);
	options.uuid = uuid;
	struct mdev_device *again = NULL;

	T_INT(mdev_conn_create(conn, &options, &again, 0), 0);
	own = xml_of(again);
	T_STR(own, plain);
	T_INT(mdev_conn_create(conn, &options, &again, 0), -EEXIST);
	T_INT(mdev_device_destroy(again, 0), 0);
	mdev_device_unref(again);
	mdev_device_unref(dev);
	free(plain);
	free(own);
}

static void wrong_values_are_refused(void)
{
	static const struct {
		const char *what;
		struct mdev_create_options options;
	} wrong[] = {
		{ "no type", { .size = sizeof(wrong[0].options), .parent = RFC_PARENT } },
		{ "UUID", { .size = sizeof(wrong[0].options), .type = "11", .uuid = "c60c" } },
		{ "name", { .size = sizeof(wrong[0].options), .type = "11", .name = "a/b" } },
		{ "parent", { .size = sizeof(wrong[0].options), .type = "11", .parent = "../x" } },
		{ "params", { .size = sizeof(wrong[0].options), .type = "11", .params = "a\nb" } },
		{ "attrs", { .size = sizeof(wrong[0].options), .type = "11", .n_attrs = 1 } },
		{ "size", { .size = 4, .type = "11" } },
		{ "size", { .size = 1 << 20, .type = "11" } },
	};
	struct mdev_device *dev = NULL;
	int before = host_count(conn, 0);
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		T_OKF(mdev_conn_create(conn, &wrong[i].options, &dev, 0) == -EINVAL, "create: wrong %s", wrong[i].what);
		T_OKF(mdev_conn_define(conn, &wrong[i].options, &dev, 0) == -EINVAL, "define: wrong %s", wrong[i].what);
		T_OK(dev == NULL);
	}
	T_INT(host_count(conn, 0), before);
}

/* A program of an older header has a shorter struct, one of a newer header a longer struct. */
static void sizes_of_other_versions_are_accepted(void)
{
	struct newer {
		struct mdev_create_options options;
		const char *later;
	} newer = { .options = { .size = sizeof(newer), .parent = RFC_PARENT, .type = "11" } };
	struct mdev_create_options older = { .parent = RFC_PARENT, .type = "11", .group = 77 };
	struct mdev_device *dev = NULL;
	unsigned int group = 0;

	T_NEED(mdev_conn_create(conn, &newer.options, &dev, 0) == 0);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
	newer.later = "x";
	T_INT(mdev_conn_create(conn, &newer.options, &dev, 0), -EINVAL);
	T_HAS(mdev_error_get_message(mdev_last_error()), "newer libmdev");
	older.size = offsetof(struct mdev_create_options, uuid);
	T_NEED(mdev_conn_create(conn, &older, &dev, 0) == 0);
	T_OK(mdev_device_get_group(dev, &group) < 0 || group != 77);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
}

static void attributes_and_numa_node_are_used(void)
{
	static const struct mdev_attr attrs[] = { { "assign_adapter", "5" }, { "assign_domain", "0xab" } };
	struct mdev_create_options options = { .size = sizeof(options), .parent = "ap_matrix", .type = "vfio_ap-passthrough",
					       .attrs = attrs, .n_attrs = 2 };
	int node = 1, own = -1;
	struct mdev_create_options any = { .size = sizeof(any), .type = "11", .numa_node = &node };
	struct mdev_device *dev = NULL;
	char *text = NULL;

	T_NEED(mdev_conn_create(conn, &options, &dev, 0) == 0);
	T_INT(mdev_device_get_attr(dev, "matrix", &text), 0);
	T_STR(text, "05.00ab");
	free(text);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
	T_NEED(mdev_conn_create(conn, &any, &dev, 0) == 0);
	T_INT(mdev_device_get_numa_node(dev, &own), 0);
	T_INT(own, 1);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
}

static void dry_run_writes_nothing(void)
{
	struct mdev_create_options options = { .size = sizeof(options), .parent = CARD, .type = "1441", .uuid = UUID };
	int before = host_count(conn, 0);
	struct mdev_device *dev = NULL;
	const char *word = NULL;
	char *plan = NULL;

	T_INT(mdev_conn_plan_xml(conn, UUID_XML(CARD, "1441", UUID), &plan, 0), 0);
	T_HAS(plan, "parent " CARD "\ntype 1441\nuuid " UUID "\nvf 0000:41:00.");
	T_HAS(plan, "/nvidia/current_vgpu_type 1441\n");
	free(plan);
	T_NEED(mdev_conn_create(conn, &options, &dev, MDEV_CREATE_DRY_RUN) == 0);
	T_INT(mdev_device_is_active(dev), 0);
	T_INT(mdev_device_get_uuid(dev, &word), 0);
	T_STR(word, UUID);
	T_INT(host_count(conn, 0), before);
	mdev_device_unref(dev);
	T_INT(mdev_conn_plan_xml(conn, PLAIN_XML(CARD, "11"), &plan, 0), -ENODEV);
}

static void filter_selects(void)
{
	struct mdev_list_filter filter = { .size = sizeof(filter), .parent = CARD };
	struct mdev_create_options options = { .size = sizeof(options), .parent = CARD, .type = "1441", .uuid = UUID };
	struct mdev_device **list = NULL, *dev = NULL;

	T_INT(mdev_conn_set_owner(conn, "me"), 0);
	T_NEED(mdev_conn_create(conn, &options, &dev, 0) == 0);
	T_INT(mdev_conn_list_filtered(conn, &filter, &list, 0), 2);
	mdev_device_list_free(list);
	T_INT(mdev_conn_list_filtered(conn, &filter, &list, MDEV_LIST_DEVICES), 1);
	mdev_device_list_free(list);
	filter.parent = NULL;
	filter.owner = "me";
	T_INT(mdev_conn_list_filtered(conn, &filter, &list, 0), 1);
	mdev_device_list_free(list);
	filter.owner = "you";
	T_INT(mdev_conn_list_filtered(conn, &filter, &list, 0), 0);
	mdev_device_list_free(list);
	filter.owner = NULL;
	filter.layout = "vendor-vfio";
	filter.type = "H200X-35C";
	T_INT(mdev_conn_list_filtered(conn, &filter, &list, 0), 2);
	mdev_device_list_free(list);
	filter.parent = "pci_0000_99_00_0";
	T_INT(mdev_conn_list_filtered(conn, &filter, &list, 0), -ENODEV);
	T_INT(mdev_conn_list_filtered(conn, NULL, &list, 0), host_count(conn, 0));
	mdev_device_list_free(list);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
	T_INT(mdev_conn_set_owner(conn, NULL), 0);
}

static void states_are_waited_for(void)
{
	struct mdev_create_options options = { .size = sizeof(options), .parent = CARD, .type = "1441", .uuid = UUID };
	struct mdev_user **users = NULL;
	struct mdev_device *dev = NULL;

	T_INT(mdev_conn_wait_device(conn, UUID, MDEV_DEVICE_DELETED, 0), 0);
	T_INT(mdev_conn_wait_device(conn, UUID, MDEV_DEVICE_CREATED, 0), -ETIMEDOUT);
	T_HAS(mdev_error_get_message(mdev_last_error()), "does not exist");
	T_INT(mdev_conn_wait_device(conn, UUID, MDEV_DEVICE_FREE, 0), -ENODEV);
	T_NEED(mdev_conn_create(conn, &options, &dev, 0) == 0);
	T_INT(mdev_conn_wait_device(conn, UUID, MDEV_DEVICE_CREATED, -1), 0);
	T_INT(mdev_conn_wait_device(conn, UUID, MDEV_DEVICE_FREE, -1), 0);
	T_INT(mdev_conn_wait_device(conn, UUID, MDEV_DEVICE_DELETED, 0), -ETIMEDOUT);
	T_INT(mdev_device_list_users(dev, &users), 0);
	T_OK(users && !users[0]);
	mdev_user_list_free(users);
	T_INT(mdev_device_destroy(dev, 0), 0);
	T_INT(mdev_device_list_users(dev, &users), -ENODEV);
	mdev_device_unref(dev);
}

static void names_and_versions(void)
{
	int code;

	for (code = MDEV_ERROR_INTERNAL; code <= MDEV_ERROR_CALLOUT; code++)
		T_OKF(mdev_error_code_name(code) != NULL, "code %d has a name", code);
	T_STR(mdev_error_code_name(MDEV_ERROR_NO_INSTANCES), "no-instances");
	T_OK(mdev_error_code_name(MDEV_ERROR_CALLOUT + 1) == NULL);
	T_OK(mdev_error_code_name(-1) == NULL);
	T_OK(MDEV_CHECK_VERSION(MDEV_VERSION_MAJOR, MDEV_VERSION_MINOR, MDEV_VERSION_PATCH));
	T_OK(MDEV_CHECK_VERSION(0, 0, 1));
	T_OK(!MDEV_CHECK_VERSION(MDEV_VERSION_MAJOR, MDEV_VERSION_MINOR, MDEV_VERSION_PATCH + 1));
	T_OK(!MDEV_CHECK_VERSION(MDEV_VERSION_MAJOR + 1, 0, 0));
}

static void parent_has_product_and_address(void)
{
	const char *vendor = NULL, *product = NULL, *word = NULL;
	struct mdev_device *parent = NULL;
	unsigned int used, total;
	char *node = NULL;

	T_NEED(mdev_conn_lookup_by_name(conn, RFC_PARENT, &parent) == 0);
	T_INT(mdev_device_get_product(parent, &vendor, &product), 0);
	T_HAS(vendor, "NVIDIA");
	T_HAS(product, "M60");
	T_INT(mdev_device_get_address(parent, &word), 0);
	T_STR(word, "0000:86:00.0");
	T_INT(mdev_device_get_driver(parent, &word), 0);
	T_STR(word, "nvidia");
	T_INT(mdev_device_get_vfio_node(parent, &node, 0), -ENODATA);
	mdev_device_unref(parent);
	T_NEED(mdev_conn_lookup_by_name(conn, "ap_matrix", &parent) == 0);
	T_INT(mdev_device_get_product(parent, &vendor, &product), -ENODATA);
	T_INT(mdev_device_get_address(parent, &word), -ENODATA);
	T_INT(mdev_device_get_vf_counts(parent, &used, &total), -ENODATA);
	mdev_device_unref(parent);
}

static void parent_with_vfs_counts_them(void)
{
	struct mdev_create_options options = { .size = sizeof(options), .parent = CARD, .type = "1442" };
	struct mdev_device *parent = NULL, *dev = NULL;
	unsigned int used = 7, total = 7;

	T_NEED(mdev_conn_lookup_by_name(conn, CARD, &parent) == 0);
	T_INT(mdev_device_get_vf_counts(parent, &used, &total), 0);
	T_INT(used, 0);
	T_OK(total > 1);
	mdev_device_unref(parent);
	T_NEED(mdev_conn_create(conn, &options, &dev, 0) == 0);
	T_INT(mdev_device_get_vf_counts(dev, &used, &total), -ENODATA);
	T_NEED(mdev_conn_lookup_by_name(conn, CARD, &parent) == 0);
	T_INT(mdev_device_get_vf_counts(parent, &used, &total), 0);
	T_INT(used, 1);
	T_INT(mdev_device_destroy(dev, 0), 0);
	mdev_device_unref(dev);
	mdev_device_unref(parent);
}

int main(void)
{
	conn = host_open();
	names_and_versions();
	options_make_the_device_of_the_xml();
	wrong_values_are_refused();
	sizes_of_other_versions_are_accepted();
	attributes_and_numa_node_are_used();
	dry_run_writes_nothing();
	filter_selects();
	states_are_waited_for();
	parent_has_product_and_address();
	parent_with_vfs_counts_them();
	T_OK(mdev_conn_unref(conn) == NULL);
	return t_done();
}
