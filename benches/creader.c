// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The yardstick: lists every parent below ROOT/sys/class/mdev_bus and the folder of each of its types, and opens, reads and closes
 * every file of a type that can be read, relative to the descriptor of the folder, with nothing kept, parsed or printed. A program
 * in C that lists types without a library does this.
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

struct counts {
	unsigned long parents;
	unsigned long types;
	unsigned long bytes;
};

typedef void visit_fn(int dir, const struct dirent *entry, struct counts *counts);

/* Visits each entry of the folder NAME of DIR. */
static int each(int dir, const char *name, visit_fn *visit, struct counts *counts)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *stream;

	if (fd < 0)
		return -1;
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -1;
	}
	while ((entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			visit(fd, entry, counts);
	closedir(stream);
	return 0;
}

static void read_file(int dir, const struct dirent *entry, struct counts *counts)
{
	char text[4096];
	ssize_t got;
	int fd;

	/* The file "create" can only be written. */
	if (entry->d_type != DT_REG || !strcmp(entry->d_name, "create"))
		return;
	fd = openat(dir, entry->d_name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text));
	if (got > 0)
		counts->bytes += (unsigned long)got;
	close(fd);
}

static void read_type(int dir, const struct dirent *entry, struct counts *counts)
{
	counts->types++;
	each(dir, entry->d_name, read_file, counts);
}

static void read_parent(int dir, const struct dirent *entry, struct counts *counts)
{
	char types[sizeof(entry->d_name) + 32];

	counts->parents++;
	snprintf(types, sizeof(types), "%s/mdev_supported_types", entry->d_name);
	each(dir, types, read_type, counts);
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
		if (each(AT_FDCWD, bus, read_parent, &counts) < 0) {
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
