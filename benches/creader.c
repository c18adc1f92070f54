// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The yardstick: lists every parent and every type below ROOT/sys/class/mdev_bus and opens, reads and closes each of the four
 * attributes once, by path, with nothing kept, parsed or printed. Whoever lists types from C without a library writes this.
 *
 * creader ROOT [TIMES]: with TIMES, reads that often and prints the median microseconds of one reading.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const attributes[] = {
	"name", "device_api", "available_instances", "description",
};

struct counts {
	unsigned long parents;
	unsigned long types;
	unsigned long bytes;
};

static void read_type(const char *type, struct counts *counts)
{
	char path[PATH_MAX], text[4096];
	size_t i;

	counts->types++;
	for (i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		ssize_t got;
		int fd;

		if (snprintf(path, sizeof(path), "%s/%s", type, attributes[i]) >= (int)sizeof(path))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		got = read(fd, text, sizeof(text));
		if (got > 0)
			counts->bytes += (unsigned long)got;
		close(fd);
	}
}

static int each(const char *dir, const char *below, struct counts *counts,
		void (*visit)(const char *, struct counts *))
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *stream = opendir(dir);

	if (!stream)
		return -1;
	while ((entry = readdir(stream))) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/%s%s", dir, entry->d_name, below) < (int)sizeof(path))
			visit(path, counts);
	}
	closedir(stream);
	return 0;
}

static void read_parent(const char *types, struct counts *counts)
{
	counts->parents++;
	each(types, "", counts, read_type);
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

int main(int argc, char **argv)
{
	int i, times = argc > 2 ? atoi(argv[2]) : 1;
	struct counts counts = { 0, 0, 0 };
	char bus[PATH_MAX];
	double *took;

	if (argc < 2 || times < 1) {
		fprintf(stderr, "usage: creader ROOT [TIMES]\n");
		return 2;
	}
	took = calloc((size_t)times, sizeof(*took));
	if (!took)
		return 1;
	snprintf(bus, sizeof(bus), "%s/sys/class/mdev_bus", argv[1]);
	for (i = 0; i < times; i++) {
		double start = now();

		memset(&counts, 0, sizeof(counts));
		if (each(bus, "/mdev_supported_types", &counts, read_parent) < 0) {
			perror(bus);
			return 1;
		}
		took[i] = now() - start;
	}
	if (argc > 2) {
		qsort(took, (size_t)times, sizeof(*took), ascending);
		printf("%.1f\n", took[times / 2]);
	} else {
		printf("%lu parents, %lu types, %lu bytes\n", counts.parents, counts.types, counts.bytes);
	}
	free(took);
	return 0;
}
