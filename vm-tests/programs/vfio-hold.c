// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * vfio-hold [--bind] NODE: opens a device node of VFIO (/dev/vfio/devices/vfioN
 * or /dev/vfio/GROUP) and holds it until standard input ends or a signal kills
 * the process. --bind also binds the device to a new iommufd, as QEMU does with
 * "-object iommufd"; only a device's own node can be bound.
 *
 * Once the node is held, prints one line: "open" or "bound". If a step fails,
 * prints the name of the errno instead, "open EBUSY" or "bind EINVAL", and ends
 * with exit code 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* From linux/vfio.h of Linux 6.6, which is newer than Debian 12's headers. */
struct bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
};
#define BIND_IOMMUFD _IO(';', 100 + 18)

static int failed(const char *step)
{
	const char *name = strerrorname_np(errno);

	printf("%s %s\n", step, name ? name : "unknown errno");
	return 1;
}

int main(int argc, char **argv)
{
	int bind = argc == 3 && !strcmp(argv[1], "--bind");
	struct bind_iommufd request = { .argsz = sizeof(request) };
	char rest[64];
	int fd;

	if (argc != 2 + bind || argv[1 + bind][0] != '/') {
		fprintf(stderr, "usage: vfio-hold [--bind] NODE\n");
		return 2;
	}
	fd = open(argv[1 + bind], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return failed("open");
	if (bind) {
		request.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
		if (request.iommufd < 0)
			return failed("/dev/iommu");
		if (ioctl(fd, BIND_IOMMUFD, &request))
			return failed("bind");
	}
	puts(bind ? "bound" : "open");
	fflush(stdout);
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
	return 0;
}
