// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The reference: reads with plain system calls the files that the library reads for a list of parents and their types, relative to
 * descriptors and without keeping, parsing or printing them. It checks each device of the PCI bus for the folder of types and for
 * SR-IOV, as a program must that supports every layout; follows each link below ROOT/sys/class/mdev_bus; reads the data of each
 * parent; lists the folder of each of its types, and opens, reads and closes every readable file of a type.
 *
 * creader ROOT [TIMES]: with TIMES, reads TIMES times and prints the median time of one reading in microseconds.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TYPES "mdev_supported_types"

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

/* Returns the number of bytes of a file; 0 if it cannot be read. */
static unsigned long read_file(int dir, const char *name)
{
	char text[4096];
	ssize_t got;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text));
	close(fd);
	return got > 0 ? (unsigned long)got : 0;
}

/* Reads the target of a link; "" if there is none. */
static void read_link(int dir, const char *name, char target[PATH_MAX])
{
	ssize_t got = readlinkat(dir, name, target, PATH_MAX - 1);

	target[got > 0 ? got : 0] = '\0';
}

static void read_attribute(int dir, const struct dirent *entry, struct counts *counts)
{
	/* The file "create" can only be written. */
	if (entry->d_type == DT_REG && strcmp(entry->d_name, "create"))
		counts->bytes += read_file(dir, entry->d_name);
}

static void read_type(int dir, const struct dirent *entry, struct counts *counts)
{
	counts->types++;
	each(dir, entry->d_name, read_attribute, counts);
}

static void read_parent(int class, const struct dirent *entry, struct counts *counts)
{
	static const char *const links[] = { "driver", "iommu_group", "physfn" };
	static const char *const files[] = { "numa_node", "vendor", "device", "class" };
	char target[PATH_MAX];
	struct stat st;
	size_t i;
	int dir;

	read_link(class, entry->d_name, target);
	dir = openat(class, target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return;
	counts->parents++;
	each(dir, TYPES, read_type, counts);
	fstatat(dir, "mdev_destroy", &st, AT_SYMLINK_NOFOLLOW);
	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		read_link(dir, links[i], target);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		read_file(dir, files[i]);
	close(dir);
}

/* Whether a device of the PCI bus is a parent of either kind. */
static void look(int bus, const struct dirent *entry, struct counts *counts)
{
	char name[sizeof(entry->d_name) + 32], target[PATH_MAX];
	struct stat st;

	(void)counts;
	snprintf(name, sizeof(name), "%s/" TYPES, entry->d_name);
	if (fstatat(bus, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		read_link(bus, entry->d_name, target);
	snprintf(name, sizeof(name), "%s/sriov_totalvfs", entry->d_name);
	read_file(bus, name);
}

static int read_host(const char *root, struct counts *counts)
{
	char path[PATH_MAX];

	memset(counts, 0, sizeof(*counts));
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
	if (each(AT_FDCWD, path, look, counts) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/sys/class/mdev_bus", root);
	return each(AT_FDCWD, path, read_parent, counts);
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
	struct counts counts;
	double *took;

	if (argc < 2 || times < 1) {
		fprintf(stderr, "usage: creader ROOT [TIMES]\n");
		return 2;
	}
	took = calloc((size_t)times, sizeof(*took));
	if (!took)
		return 1;
	for (i = 0; i < times; i++) {
		double start = now();

		if (read_host(argv[1], &counts) < 0) {
			perror(argv[1]);
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
