/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The omissions of a list as data: a link without a target, and a broken definition. */
#include "host.h"
#include "root.h"

#define UUID "c60cc60c-0000-4222-8333-444444444442"
#define UPPER "C60CC60C-0000-4222-8333-444444444443"

static void make_host(void)
{
	make_root("api-problems");
	put_link("../../devices/gone", "sys/class/mdev_bus/gone");
	put("etc/mdevctl.d/mtty/" UUID, "{ \"mdev_type\": 5 }\n", 0644);
	put("etc/mdevctl.d/mtty/" UPPER, "", 0644);
}

static struct mdev_finding *find(struct mdev_finding **list, const char *object)
{
	for (; *list; list++)
		if (strstr(mdev_finding_get_object(*list), object))
			return *list;
	return NULL;
}

static void sound_host_has_none(void)
{
	struct mdev_finding **list = NULL;
	struct mdev_conn *conn = host_open();

	T_INT(mdev_conn_list_problems(conn, &list, 0), 0);
	T_OK(list && !list[0]);
	mdev_finding_list_free(list);
	T_INT(mdev_conn_list_problems(conn, &list, 1), -EINVAL);
	T_INT(mdev_conn_list_problems(conn, NULL, 0), -EINVAL);
	T_INT(mdev_conn_list_problems(NULL, &list, 0), -EINVAL);
	mdev_conn_unref(conn);
}

int main(void)
{
	struct mdev_finding **list = NULL, *link, *definition;
	struct mdev_device **nodes = NULL;
	struct mdev_conn *conn = NULL;
	char text[512];

	sound_host_has_none();
	make_host();
	snprintf(text, sizeof(text), "mdev:///system?root=%s", root);
	T_NEED(mdev_conn_open(&conn, text, 0) == 0);
	T_INT(mdev_conn_list(conn, &nodes, MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE), 0);
	mdev_device_list_free(nodes);

	T_INT(mdev_conn_list_problems(conn, &list, 0), 3);
	T_NEED(list && list[0] && list[1] && list[2] && !list[3]);
	link = find(list, "/sys/class/mdev_bus/gone");
	definition = find(list, "/etc/mdevctl.d/mtty/" UUID);
	T_NEED(link && definition);
	T_INT(mdev_finding_get_severity(link), MDEV_SEVERITY_WARNING);
	T_HAS(mdev_finding_get_message(link), "left out");
	T_INT(mdev_finding_get_severity(definition), MDEV_SEVERITY_ERROR);
	T_INT(mdev_finding_get_code(definition), MDEV_ERROR_STORE);
	T_HAS(mdev_finding_get_message(definition), UUID);
	T_HAS(mdev_finding_get_next_step(definition), "fix or remove");
	T_OK(mdev_finding_get_next_step(link) == NULL);
	definition = find(list, UPPER);
	T_NEED(definition != NULL);
	T_HAS(mdev_finding_get_next_step(definition), "rename it to c60cc60c-");
	mdev_finding_list_free(list);

	mdev_conn_unref(conn);
	remove_root();
	return t_done();
}
