// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Lists every parent, every type and the four attributes of each through the library's public header.
 *
 * lister ROOT [TIMES]: with TIMES, lists TIMES times on one connection and prints the median time of one list in microseconds.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libmdev.h>

struct counts {
	unsigned long parents;
	unsigned long types;
	unsigned long bytes;
};

static void take(struct counts *counts, const char *text)
{
	if (text)
		counts->bytes += strlen(text) + 1;
}

/* As many bytes as the file of the kernel has. */
static unsigned long digits(unsigned int count)
{
	unsigned long n = 2;

	while (count /= 10)
		n++;
	return n;
}

static int read_parent(struct mdev_device *parent, struct counts *counts)
{
	const struct mdev_type *const *types;
	int i, n = mdev_device_list_types(parent, &types);

	counts->parents++;
	for (i = 0; i < n; i++) {
		unsigned int available = 0;

		counts->types++;
		take(counts, mdev_type_get_name(types[i]));
		take(counts, mdev_type_get_device_api(types[i]));
		take(counts, mdev_type_get_description(types[i]));
		if (mdev_type_get_available_instances(types[i], &available) == 0)
			counts->bytes += digits(available);
	}
	return n < 0 ? n : 0;
}

static int read_host(struct mdev_conn *conn, struct counts *counts)
{
	struct mdev_device **parents;
	int i, rc, n = mdev_conn_list(conn, &parents, MDEV_LIST_PARENTS);

	if (n < 0)
		return n;
	for (i = 0, rc = 0; i < n && rc == 0; i++)
		rc = read_parent(parents[i], counts);
	mdev_device_list_free(parents);
	return rc;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int measure(struct mdev_conn *conn, int times, int show_time)
{
	struct counts counts = { 0, 0, 0 };
	double *took = calloc((size_t)times, sizeof(*took));
	int i, rc = 0;

	if (!took)
		return -1;
	for (i = 0; i < times && rc == 0; i++) {
		double start = now();

		memset(&counts, 0, sizeof(counts));
		rc = read_host(conn, &counts);
		took[i] = now() - start;
	}
	if (rc == 0 && show_time) {
		qsort(took, (size_t)times, sizeof(*took), ascending);
		printf("%.1f\n", took[times / 2]);
	} else if (rc == 0) {
		printf("%lu parents, %lu types, %lu bytes\n", counts.parents, counts.types, counts.bytes);
	}
	free(took);
	return rc;
}

int main(int argc, char **argv)
{
	int rc, times = argc > 2 ? atoi(argv[2]) : 1;
	struct mdev_conn *conn = NULL;
	char uri[4096];

	if (argc < 2 || times < 1) {
		fprintf(stderr, "usage: lister ROOT [TIMES]\n");
		return 2;
	}
	snprintf(uri, sizeof(uri), "mdev:///system?root=%s", argv[1]);
	rc = mdev_conn_open(&conn, uri, 0);
	if (rc == 0)
		rc = measure(conn, times, argc > 2);
	if (rc < 0) {
		const struct mdev_error *err = mdev_last_error();

		fprintf(stderr, "lister: %s\n", err ? mdev_error_get_message(err) : "out of memory");
	}
	mdev_conn_unref(conn);
	return rc < 0;
}
