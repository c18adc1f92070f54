// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Creates and destroys one mediated device again and again, in turn by two plain writes to sysfs and through the library, and
 * prints the median microseconds of each kind and their ratio.
 *
 * maker TYPE ROUNDS: TYPE is one of the types of the sample driver mtty.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libmdev.h>

#define UUID "5a1e5a1e-0000-4000-8000-000000000001"
#define REMOVE "/sys/bus/mdev/devices/" UUID "/remove"

static char create_file[4096], xml[4096];

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = (ssize_t)strlen(text), n;

	if (fd < 0)
		return -1;
	n = write(fd, text, (size_t)len);
	close(fd);
	return n == len ? 0 : -1;
}

static int plain(struct mdev_conn *conn)
{
	(void)conn;
	return put(create_file, UUID "\n") || put(REMOVE, "1\n");
}

static int library(struct mdev_conn *conn)
{
	struct mdev_device *dev = NULL;
	int rc = mdev_conn_create_xml(conn, xml, &dev, 0);

	if (rc == 0)
		rc = mdev_conn_destroy_uuid(conn, UUID, 0);
	mdev_device_unref(dev);
	return rc;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *took, int n)
{
	qsort(took, (size_t)n, sizeof(*took), ascending);
	return took[n / 2];
}

static int measure(struct mdev_conn *conn, int rounds)
{
	static int (*const kinds[])(struct mdev_conn *) = { plain, library };
	double *took[2] = { calloc((size_t)rounds, sizeof(double)), calloc((size_t)rounds, sizeof(double)) };
	int i, kind, rc = took[0] && took[1] ? 0 : -1;

	/* The first round of each is not counted: it loads code and fills caches. */
	for (i = -1; i < rounds && rc == 0; i++)
		for (kind = 0; kind < 2 && rc == 0; kind++) {
			double start = now();

			rc = kinds[kind](conn);
			if (i >= 0)
				took[kind][i] = now() - start;
			if (rc)
				fprintf(stderr, "maker: round %d, %s\n", i, kind ? "library" : "plain writes");
		}
	if (rc == 0) {
		double a = median(took[0], rounds), b = median(took[1], rounds);

		printf("plain %.0f us, library %.0f us, ratio %.2f\n", a, b, b / a);
	}
	free(took[0]);
	free(took[1]);
	return rc;
}

int main(int argc, char **argv)
{
	struct mdev_conn *conn = NULL;
	int rc, rounds = argc == 3 ? atoi(argv[2]) : 0;

	if (rounds < 1) {
		fprintf(stderr, "usage: maker TYPE ROUNDS\n");
		return 2;
	}
	snprintf(create_file, sizeof(create_file), "/sys/class/mdev_bus/mtty/mdev_supported_types/%s/create", argv[1]);
	snprintf(xml, sizeof(xml),
		 "<device><parent>mtty_mtty</parent><capability type='mdev'><type id='%s'/><uuid>" UUID "</uuid></capability></device>",
		 argv[1]);
	rc = mdev_conn_open(&conn, "mdev:///system", 0);
	if (rc == 0)
		rc = measure(conn, rounds);
	if (rc < 0) {
		const struct mdev_error *err = mdev_last_error();

		fprintf(stderr, "maker: %s\n", err ? mdev_error_get_message(err) : "-");
	}
	mdev_conn_unref(conn);
	return rc != 0;
}
