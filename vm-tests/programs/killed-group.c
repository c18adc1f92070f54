// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * killed -g: the creator of three devices in one group was killed. Each device
 * that is there is whole. All are there and the group is complete, or it is
 * reported as incomplete with the UUIDs of the devices that exist; then
 * mdev_conn_destroy_incomplete(), the tool or the next create of the same owner,
 * in turn, removes these. No record and no mark of the group is left.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "killed.h"

#define MEMBERS 3
#define MEMBER "c60cc60c-0000-4222-8333-44444444445%d"
#define OWNER "killed"

/* Kills by how many devices were there, and groups that were complete. The last run is not killed. */
static int kills[MEMBERS + 1], complete;

static int create_members(struct mdev_conn *conn)
{
	struct mdev_device **list = NULL;
	const char *xmls[MEMBERS];
	char xml[MEMBERS][1024], uuid[40];
	int i;

	for (i = 0; i < MEMBERS; i++) {
		snprintf(uuid, sizeof(uuid), MEMBER, i);
		request(xml[i], sizeof(xml[i]), uuid, "mine=1", "", uuid);
		xmls[i] = xml[i];
	}
	if (mdev_conn_set_owner(conn, OWNER) < 0 || mdev_conn_create_group_xml(conn, xmls, MEMBERS, &list, 0) < 0)
		return 1;
	mdev_device_list_free(list);
	return 0;
}

int create_group(void)
{
	struct mdev_conn *conn = open_conn();

	if (!conn || create_members(conn))
		return 1;
	mdev_conn_unref(conn);
	return 0;
}

/* Which members are there, as bits; each is whole. */
static unsigned int look_at_members(struct mdev_conn *conn, int *n)
{
	unsigned int there = 0, group;
	char uuid[40];
	int i;

	*n = 0;
	for (i = 0; i < MEMBERS; i++) {
		struct mdev_device *dev = NULL;
		const char *name = NULL, *owner = NULL;
		int rc;

		snprintf(uuid, sizeof(uuid), MEMBER, i);
		rc = mdev_conn_lookup_by_uuid(conn, uuid, &dev);
		if (rc < 0) {
			if (rc != -ENODEV)
				fault("the lookup of device %d", i);
			continue;
		}
		there |= 1u << i;
		++*n;
		if (mdev_device_get_name(dev, &name) < 0 || strcmp(name, uuid))
			fault("device %d has the name %s", i, name ? name : "(none)");
		if (mdev_device_get_owner(dev, &owner) < 0 || strcmp(owner, OWNER))
			fault("device %d has the owner %s", i, owner ? owner : "(none)");
		if (mdev_device_get_iommu_group(dev, &group) < 0)
			fault("device %d has no IOMMU group", i);
		has_params(dev, "mine=1");
		mdev_device_unref(dev);
	}
	if (devices(conn) != *n)
		fault("there are %d devices, and %d of them its own", devices(conn), *n);
	return there;
}

/* How many incomplete groups are reported; each has exactly these members. */
static int reported(struct mdev_conn *conn, unsigned int there)
{
	struct mdev_finding **list = NULL;
	int n = mdev_conn_list_problems(conn, &list, 0), found = 0, i, j;
	char uuid[40];

	if (n < 0) {
		fault("the problems cannot be listed");
		return 0;
	}
	for (i = 0; i < n; i++) {
		const char *message = mdev_finding_get_message(list[i]);

		if (!strstr(message, "is incomplete"))
			continue;
		found++;
		for (j = 0; j < MEMBERS; j++) {
			snprintf(uuid, sizeof(uuid), MEMBER, j);
			if (!strstr(message, uuid) != !(there & 1u << j))
				fault("the report of the members %#x: %s", there, message);
		}
	}
	mdev_finding_list_free(list);
	return found;
}

static void destroy_members(struct mdev_conn *conn)
{
	char uuid[40];
	int i;

	for (i = 0; i < MEMBERS; i++) {
		snprintf(uuid, sizeof(uuid), MEMBER, i);
		if (mdev_conn_destroy_uuid(conn, uuid, 0) < 0)
			fault("device %d cannot be destroyed", i);
	}
}

/* Depending on the point: by the function, by the tool, or by the next create of the owner. */
static void remove_incomplete(struct mdev_conn *conn, int n)
{
	int rc;

	switch (point / 2 % 3) {
	case 0:
		rc = mdev_conn_destroy_incomplete(conn, NULL, 0);
		if (rc != n)
			fault("of %d devices of an incomplete group %d were destroyed", n, rc);
		break;
	case 1:
		if (system("nodedev -q destroy --incomplete --owner " OWNER " >/dev/null"))
			fault("the tool");
		break;
	default:
		if (create_members(conn))
			fault("the next create of the owner");
		destroy_members(conn);
	}
}

void look_at_group(void)
{
	struct mdev_conn *conn = open_conn();
	unsigned int there;
	char uuid[40];
	int n, i;

	if (!conn)
		return;
	alarm(60);
	there = look_at_members(conn, &n);
	kills[n]++;
	i = reported(conn, there);
	if (i != (n > 0) && !(n == MEMBERS && i == 0))
		fault("%d incomplete groups are reported, and there are %d devices", i, n);
	if (n == MEMBERS && i == 0) {
		complete++;
		destroy_members(conn);
	} else {
		remove_incomplete(conn, n);
	}
	if (devices(conn) != 0 || reported(conn, 0) != 0)
		fault("devices, or a report, are left");
	for (i = 0; i < MEMBERS; i++) {
		snprintf(uuid, sizeof(uuid), MEMBER, i);
		age_record(uuid);
	}
	if (mdev_conn_destroy_incomplete(conn, NULL, 0) != 0)
		fault("an incomplete group is left");
	serve_next(conn, "theirs=2");
	no_files(FACTS);
	no_files(GROUPS);
	alarm(0);
	mdev_conn_unref(conn);
}

void print_groups(void)
{
	printf("0 to %d devices were there after %d, %d, %d and %d, %d groups were complete, ", MEMBERS, kills[0], kills[1],
	       kills[2], kills[3] - 1, complete - 1);
}
