// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * open-race URI PARENT TYPE ROUNDS: one process opens the VFIO nodes of a
 * device while another destroys the device, once a round, at random times.
 * The node is the device's own, where the kernel has such nodes, or that of
 * its group. In some rounds the first process keeps it open until the destroy
 * has returned.
 *
 * Checked in each round: the destroy returns in time; when it succeeds, the
 * node is not open; after the process has closed the node, the device no longer
 * exists or can be destroyed. Prints how often the destroy won, was refused at
 * once, and was overtaken (the process opened the node during it); how many
 * devices were destroyed while the node was open (dead), and how many destroys
 * did not return in time (hung).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libmdev.h>

#define UUID "00000ace-1111-4222-8333-444444444444"
#define DEVICE "/sys/bus/mdev/devices/" UUID

/*
 * A refused destroy returns at once, an overtaken destroy within a second or two. A
 * destroy that waits for the opener returns after LONG_MS at the earliest. Both
 * limits are far above the time that any machine needs, and below the 60 s
 * after which the library gives up.
 */
#define LIMIT_MS 40000
#define LONG_MS 45000
#define LONG_EVERY 100

/* Shared by the two processes. */
struct shared {
	atomic_int round;	/* that the opener may start */
	atomic_int done;	/* that it has finished */
	atomic_int open;	/* it has the node open */
	atomic_int returned;	/* the round whose destroy has returned */
	atomic_int span_us;	/* how long a destroy takes here */
	char node[512];
};

static struct shared *shared;
static int rounds, faults;

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void pause_us(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

static void fault(int round, const char *what)
{
	const struct mdev_error *err = mdev_last_error();

	printf("FAULT: round %d: %s: %s\n", round, what, err ? mdev_error_get_message(err) : "-");
	fflush(stdout);
	faults++;
}

/* Waits until the destroy of the round has returned, at most LONG_MS. */
static void wait_for_destroy(int round)
{
	long end = now_us() + LONG_MS * 1000L;

	while (atomic_load(&shared->returned) < round && now_us() < end)
		pause_us(1000);
}

static void opener(unsigned int seed)
{
	for (int round = 1; round <= rounds; round++) {
		while (atomic_load(&shared->round) < round)
			pause_us(20);
		long span = atomic_load(&shared->span_us);
		pause_us(rand_r(&seed) % span);
		int fd = open(shared->node, O_RDWR | O_CLOEXEC);
		if (fd >= 0) {
			atomic_store(&shared->open, 1);
			if (round % LONG_EVERY)
				pause_us(rand_r(&seed) % span);
			else
				wait_for_destroy(round);
			atomic_store(&shared->open, 0);
			close(fd);
		}
		atomic_store(&shared->done, round);
	}
	_exit(0);
}

/* The path of the device's own node, or of its group's. */
static int find_node(char *node, size_t size)
{
	char link[256];
	DIR *dir = opendir(DEVICE "/vfio-dev");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		snprintf(node, size, "/dev/vfio/devices/%s", entry->d_name);
		if (entry->d_name[0] != '.' && !access(node, F_OK)) {
			closedir(dir);
			return 0;
		}
	}
	if (dir)
		closedir(dir);
	ssize_t len = readlink(DEVICE "/iommu_group", link, sizeof(link) - 1);
	if (len < 0)
		return -1;
	link[len] = 0;
	snprintf(node, size, "/dev/vfio/%s", strrchr(link, '/') + 1);
	return 0;
}

static int gone(void)
{
	return access(DEVICE, F_OK) != 0;
}

int main(int argc, char **argv)
{
	struct mdev_conn *conn;
	char xml[512];
	int won = 0, refused = 0, overtaken = 0, dead = 0, hung = 0;
	long longest = 0;

	if (argc != 5)
		return 2;
	rounds = atoi(argv[4]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	atomic_store(&shared->span_us, 3000);
	snprintf(xml, sizeof(xml),
		 "<device><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>" UUID "</uuid></capability></device>",
		 argv[2], argv[3]);
	pid_t child = fork();
	if (!child)
		opener(42);
	if (child < 0 || mdev_conn_open(&conn, argv[1], 0) < 0)
		return 2;
	unsigned int seed = 7;
	for (int round = 1; round <= rounds; round++) {
		struct mdev_device *dev;

		if (mdev_conn_create_xml(conn, xml, &dev, 0) < 0 || find_node(shared->node, sizeof(shared->node))) {
			fault(round, "create");
			break;
		}
		mdev_device_unref(dev);
		atomic_store(&shared->round, round);
		pause_us(rand_r(&seed) % 3000);
		long start = now_us();
		int rc = mdev_conn_destroy_uuid(conn, UUID, 0);
		int open = atomic_load(&shared->open);
		atomic_store(&shared->returned, round);
		long took = (now_us() - start) / 1000;
		longest = took > longest ? took : longest;
		if (took > LIMIT_MS) {
			hung++;
			fault(round, "the destroy took too long");
		}
		if (!rc && open) {
			dead++;
			fault(round, "the device was destroyed while it was open");
		}
		if (rc && rc != -EBUSY)
			fault(round, "destroy");
		if (!rc) {
			won++;
			atomic_store(&shared->span_us, (int)(took * 1000 + 1000));
		} else if (gone())
			overtaken++;
		else
			refused++;
		while (atomic_load(&shared->done) < round)
			pause_us(20);
		/* A removal that was overtaken ends now. */
		for (int tries = 0; tries < 5000 && rc && !gone(); tries++) {
			if (!mdev_conn_destroy_uuid(conn, UUID, 0))
				break;
			pause_us(1000);
		}
		if (!gone())
			fault(round, "the device stays");
	}
	mdev_conn_unref(conn);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("rounds=%d won=%d refused=%d overtaken=%d dead=%d hung=%d longest_ms=%ld faults=%d\n", rounds, won, refused,
	       overtaken, dead, hung, longest, faults);
	return faults ? 1 : 0;
}
