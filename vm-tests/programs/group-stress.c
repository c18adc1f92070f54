// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * group-stress URI SECONDS RFC-PARENT RFC-PARENT GENERAL-PARENT: for SECONDS seconds,
 * eight processes create and destroy devices in groups that the library
 * allocates, in groups that they name, and without a group. At the same time
 * three processes do so through the driver's files, with other numbers,
 * and two define and undefine devices with a group.
 *
 * Each number from 1 on belongs to one process, which takes it and frees
 * it: by a device that shows it, a definition or a record. That process
 * counts "changes" of the number up when the number is taken, and again before
 * it is freed. An allocated number whose count is odd, and the same before
 * and after the create, was in use during the whole create: a fault. A number
 * that another device of the library has is a fault, too.
 *
 * Prints how often an allocation skipped a lower number in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libmdev.h>

#define NUMBERS 24
#define ALLOCATED_MAX 256
#define UUID "%08x-67e0-4222-8333-444444444444"

/* For a process that hangs. */
#define GRACE_S 60

/* The number of creates of all processes after which a number changes its state. */
#define CREATES_PER_CHANGE 8

/* The minimum of skipped numbers of each kind: with fewer, the test would prove nothing. */
#define LEFT_OUT_MIN 5

enum kind { RAW_RFC, RAW_GENERAL, DEFINED, NAMED, KINDS };

static const char *const kind_names[KINDS] = { "raw rfc", "raw general", "defined", "named" };

/* The processes that hold numbers, and how many each holds. */
static const struct holder {
	enum kind kind;
	unsigned int parent, numbers;
} holders[] = {
	{ RAW_RFC, 0, 3 }, { RAW_RFC, 1, 3 }, { RAW_GENERAL, 2, 2 }, { DEFINED, 0, 4 }, { DEFINED, 2, 4 },
	{ NAMED, 0, 1 }, { NAMED, 1, 1 }, { NAMED, 0, 1 }, { NAMED, 1, 1 }, { NAMED, 0, 1 }, { NAMED, 1, 1 },
	{ NAMED, 0, 1 }, { NAMED, 1, 1 },
};
#define HOLDERS (sizeof(holders) / sizeof(holders[0]))

static struct shared {
	atomic_uint changes[NUMBERS + 1];
	atomic_uint owner[ALLOCATED_MAX];	/* the creator, from 1 on, to which this number is allocated */
	atomic_uint creates, allocations, low, faults;
	atomic_uint left_out[KINDS];
} *shared;

static const char *uri, *const *parents;
static unsigned int holder_of[NUMBERS + 1];
static unsigned int self;	/* index in holders */
static struct mdev_conn *conn;
static long end_ms;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

static bool over(void)
{
	return now_ms() >= end_ms || atomic_load(&shared->faults);
}

static bool fault(const char *what, unsigned int number)
{
	const struct mdev_error *err = mdev_last_error();

	atomic_fetch_add(&shared->faults, 1);
	printf("FAULT: process %u (%s): %s: number %u: %s\n", self, kind_names[holders[self].kind], what, number,
	       err ? mdev_error_get_message(err) : errno ? strerror(errno) : "-");
	fflush(stdout);
	return false;
}

static bool is_taken(unsigned int number)
{
	return atomic_load(&shared->changes[number]) % 2;
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static void request(char *xml, size_t size, unsigned int parent, const char *type, const char *more)
{
	snprintf(xml, size, "<device><parent>%s</parent><capability type='mdev'><type id='%s'/>%s</capability></device>",
		 parents[parent], type, more);
}

/* The type of a parent that requires a group. */
static const char *grouped_type(unsigned int parent)
{
	return parent == 2 ? "queue-4" : "11";
}

/* ---- the ways to take and to free a number ---- */

static bool raw_take(unsigned int number, unsigned int parent)
{
	char path[256], text[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/mdev_supported_types/%s/create", parents[parent],
		 grouped_type(parent));
	snprintf(text, sizeof(text), UUID ":%u\n", number, number);
	return put(path, text);
}

static bool raw_give(unsigned int number, unsigned int parent)
{
	char path[256], text[64];

	if (parent == 2) {
		snprintf(path, sizeof(path), "/sys/bus/mdev/devices/" UUID "/destroy", number);
		return put(path, "1\n");
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/mdev_destroy", parents[parent]);
	snprintf(text, sizeof(text), UUID "\n", number);
	return put(path, text);
}

static struct mdev_device *kept[NUMBERS + 1];

static bool library_take(unsigned int number, unsigned int parent)
{
	char xml[512], more[128];
	bool defines = holders[self].kind == DEFINED;

	snprintf(more, sizeof(more), "<uuid>" UUID "</uuid><group>%u</group>", number, number);
	request(xml, sizeof(xml), parent, grouped_type(parent), more);
	return (defines ? mdev_conn_define_xml : mdev_conn_create_xml)(conn, xml, &kept[number], 0) >= 0;
}

static bool library_give(unsigned int number)
{
	bool defines = holders[self].kind == DEFINED;
	bool good = (defines ? mdev_device_undefine : mdev_device_destroy)(kept[number], 0) >= 0;

	mdev_device_unref(kept[number]);
	return good;
}

/* Takes a free number, or frees a taken number. */
static bool change(unsigned int number)
{
	const struct holder *holder = &holders[self];
	bool raw = holder->kind == RAW_RFC || holder->kind == RAW_GENERAL, good;

	if (is_taken(number)) {
		atomic_fetch_add(&shared->changes[number], 1);
		good = raw ? raw_give(number, holder->parent) : library_give(number);
		return good || fault("cannot free", number);
	}
	good = raw ? raw_take(number, holder->parent) : library_take(number, holder->parent);
	if (!good)
		return fault("cannot take", number);
	atomic_fetch_add(&shared->changes[number], 1);
	return true;
}

/* Frees all numbers of this process. */
static bool give_all(void)
{
	bool good = true;

	for (unsigned int number = 1; number <= NUMBERS; number++)
		if (holder_of[number] == self && is_taken(number))
			good &= change(number);
	return good;
}

/* One of this process's numbers. */
static unsigned int any_own(unsigned int *seed)
{
	unsigned int number;

	do
		number = 1 + (unsigned int)rand_r(seed) % NUMBERS;
	while (holder_of[number] != self);
	return number;
}

static bool hold(unsigned int *seed)
{
	struct timespec pause = { 0, 1000000 };
	unsigned int creates = 0;

	while (!over()) {
		if (!change(any_own(seed)))
			return false;
		for (creates += CREATES_PER_CHANGE; atomic_load(&shared->creates) < creates && !over();)
			nanosleep(&pause, NULL);
	}
	return true;
}

/* ---- the creators ---- */

static bool check_number(unsigned int number, const unsigned int *before)
{
	unsigned int i;

	if (!number || number >= ALLOCATED_MAX)
		return fault("allocated a number that is not the lowest free number", number);
	for (i = 1; i <= NUMBERS && i <= number; i++) {
		enum kind kind = holders[holder_of[i]].kind;

		if (before[i] % 2 == 0 || atomic_load(&shared->changes[i]) != before[i])
			continue;
		if (i == number) {
			printf("# in use: %s\n", kind_names[kind]);
			return fault("allocated a number in use", number);
		}
		atomic_fetch_add(&shared->left_out[kind], 1);
	}
	atomic_fetch_add(&shared->allocations, 1);
	atomic_fetch_add(&shared->low, number <= NUMBERS);
	return true;
}

static bool allocate(void)
{
	bool general = self % 4 == 1;
	unsigned int before[NUMBERS + 1], number = 0, second = 0, other = 0;
	size_t n = general ? 1 : 2;
	char xml[2][512];
	const char *xmls[2] = { xml[0], xml[1] };
	struct mdev_device **list = NULL;
	bool good;

	request(xml[0], sizeof(xml[0]), general ? 2 : 0, grouped_type(general ? 2 : 0), "");
	request(xml[1], sizeof(xml[1]), 1, grouped_type(1), "");
	for (unsigned int i = 1; i <= NUMBERS; i++)
		before[i] = atomic_load(&shared->changes[i]);
	if (mdev_conn_create_group_xml(conn, xmls, n, &list, 0) < 0)
		return fault("cannot create a group", 0);
	if (mdev_device_get_group(list[0], &number) < 0 || (n == 2 && mdev_device_get_group(list[1], &second) < 0))
		good = fault("no group", number);
	else if (n == 2 && second != number)
		good = fault("two groups for one guest", second);
	else
		good = check_number(number, before);
	if (good && !atomic_compare_exchange_strong(&shared->owner[number], &other, self + 1)) {
		printf("# creator %u has it\n", other - 1);
		good = fault("allocated to two creators", number);
	}
	if (good)
		atomic_store(&shared->owner[number], 0);
	for (size_t i = 0; i < n; i++)
		if (mdev_device_destroy(list[i], 0) < 0)
			good = fault("cannot destroy", number);
	mdev_device_list_free(list);
	return good;
}

static bool create_plain(void)
{
	struct mdev_device *dev = NULL;
	char xml[512];
	int rc;

	request(xml, sizeof(xml), self % 2, "12", "");
	if (mdev_conn_create_xml(conn, xml, &dev, 0) < 0)
		return fault("cannot create a device without a group", 0);
	rc = mdev_device_destroy(dev, 0);
	mdev_device_unref(dev);
	return rc >= 0 || fault("cannot destroy a device without a group", 0);
}

static bool create(unsigned int *seed)
{
	while (!over()) {
		int what = rand_r(seed) % 8;
		bool good = what == 0 ? create_plain() : what < 3 ? change(any_own(seed)) : allocate();

		if (!good)
			return false;
		atomic_fetch_add(&shared->creates, 1);
	}
	return true;
}

static int run(void)
{
	unsigned int seed = 20 + self;
	bool good;

	alarm((unsigned int)((end_ms - now_ms()) / 1000 + GRACE_S));
	if (mdev_conn_open(&conn, uri, 0) < 0)
		return !fault("open", 0);
	good = holders[self].kind == NAMED ? create(&seed) : hold(&seed);
	good &= give_all();
	mdev_conn_unref(conn);
	return !good;
}

/* The numbers of the processes alternate, so that an allocation has to skip a low number of each. */
static void deal_numbers(void)
{
	unsigned int number = 0;

	for (unsigned int round = 0; number < NUMBERS; round++)
		for (unsigned int i = 0; i < HOLDERS; i++)
			if (round < holders[i].numbers)
				holder_of[++number] = i;
}

int main(int argc, char **argv)
{
	unsigned int failed = 0, kind;
	int status;

	if (argc != 6) {
		fprintf(stderr, "usage: group-stress URI SECONDS RFC-PARENT RFC-PARENT GENERAL-PARENT\n");
		return 2;
	}
	uri = argv[1];
	parents = (const char *const *)argv + 3;
	end_ms = now_ms() + atol(argv[2]) * 1000;
	deal_numbers();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	for (self = 0; self < HOLDERS; self++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 2;
		}
		if (!pid)
			exit(run());
	}
	while (wait(&status) > 0)
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	for (kind = 0; kind < KINDS; kind++) {
		printf("left out, %s: %u\n", kind_names[kind], shared->left_out[kind]);
		if (shared->left_out[kind] < LEFT_OUT_MIN) {
			printf("FAULT: that is less than %d\n", LEFT_OUT_MIN);
			failed++;
		}
	}
	printf("%u creates, %u allocations, %u of a number of another process, %u faults, %u processes failed\n", shared->creates,
	       shared->allocations, shared->low, shared->faults, failed);
	return failed || shared->faults ? 1 : 0;
}
