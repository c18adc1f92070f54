/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that has closed its standard streams: the output of any of its
 * threads never reaches a file, a socket or a pipe of the library.
 * At each system call of each operation, numbers 0 to 2 are free, or have a
 * directory or a path, which no process can read or write. The one exception is
 * the call that moves a new descriptor away, and the close after it.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "root.h"

#define UUID "c60cc60c-c60c-c60c-c60c-c60cc60cc601"
#define MTTY "sys/devices/virtual/mtty/mtty/"
#define PCI "sys/devices/pci0000:40/"
#define PF PCI "0000:41:00.0"
#define VF PCI "0000:41:00.4"
#define OF_VF(uuid)                                                                                                    \
	"<device><parent>0000:41:00.0</parent><capability type='mdev'><type id='1441'/><uuid>" uuid                     \
	"</uuid><params>a=1</params></capability></device>"

/* A parent and a device on the mdev bus, a PF with one VF, and call-outs. */
static void make_host(void)
{
	static const char *const files[][2] = {
		{ MTTY "mdev_supported_types/mtty-1/create", "" },
		{ MTTY "mdev_supported_types/mtty-1/available_instances", "4\n" },
		{ MTTY "mdev_supported_types/mtty-1/device_api", "vfio-pci\n" },
		{ MTTY UUID "/remove", "" },
		{ PF "/sriov_totalvfs", "1\n" },
		{ PF "/vendor", "0x10de\n" },
		{ PF "/device", "0x26b9\n" },
		{ VF "/nvidia/current_vgpu_type", "0\n" },
		{ VF "/nvidia/creatable_vgpu_types", "1441 : NVIDIA H200X-35C\n" },
		{ VF "/nvidia/vgpu_params", "\n" },
		{ "sys/class/vfio/7/dev", "240:7\n" },
		{ "dev/x", "" },
	};
	static const char *const links[][2] = {
		{ "../../devices/virtual/mtty/mtty", "sys/class/mdev_bus/mtty" },
		{ "../../../../bus/mtty", MTTY "subsystem" },
		{ "../../../devices/virtual/mtty/mtty/" UUID, "sys/bus/mdev/devices/" UUID },
		{ "../mdev_supported_types/mtty-1", MTTY UUID "/mdev_type" },
		{ "../../../../devices/pci0000:40/0000:41:00.0", "sys/bus/pci/drivers/nvidia/0000:41:00.0" },
		{ "../../../devices/pci0000:40/0000:41:00.0", "sys/bus/pci/devices/0000:41:00.0" },
		{ "../../../devices/pci0000:40/0000:41:00.4", "sys/bus/pci/devices/0000:41:00.4" },
		{ "../../../bus/pci/drivers/nvidia", PF "/driver" },
		{ "../../../bus/pci", PF "/subsystem" },
		{ "../../../bus/pci", VF "/subsystem" },
		{ "../0000:41:00.4", PF "/virtfn0" },
		{ "../0000:41:00.0", VF "/physfn" },
		{ "../../../kernel/iommu_groups/7", VF "/iommu_group" },
	};
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(*files); i++)
		put(files[i][0], files[i][1], 0644);
	for (i = 0; i < sizeof(links) / sizeof(*links); i++)
		put_link(links[i][0], links[i][1]);
	put("sys/kernel/iommu_groups/7/type", "DMA\n", 0444);
	put("run/x", NULL, 0);
	put_script("callouts/test", "cat >/dev/null; [ $6 != capabilities ] || exit 2\n");
	put_script("notifiers/test", "exit 0\n");
}

static struct mdev_conn *conn;
static struct mdev_monitor *monitor;

static void on_event(struct mdev_conn *c, struct mdev_event *ev, void *data)
{
	(void)c;
	(void)ev;
	(void)data;
}

static int open_host(void)
{
	char uri[512];

	snprintf(uri, sizeof(uri), "mdev:///system?root=%s", root);
	return mdev_conn_open(&conn, uri, 0);
}

static int open_simulated(void)
{
	return mdev_conn_open(&conn, HOST_URI, 0);
}

static int start_monitor(void)
{
	int rc = mdev_monitor_new(&monitor, conn, 0);

	return rc < 0 || mdev_conn_event_register(conn, on_event, NULL, NULL, 0) < 1 ? -1 : 0;
}

static int receive(void)
{
	struct mdev_event *ev = NULL;
	int rc;

	while ((rc = mdev_monitor_receive(monitor, &ev)) == 1)
		mdev_event_unref(ev);
	return rc < 0 || mdev_conn_dispatch(conn) < 0 ? -1 : 0;
}

static int list(void)
{
	struct mdev_device **nodes = NULL;
	struct mdev_finding **found = NULL;
	char *xml = NULL;
	int i, n = mdev_conn_list(conn, &nodes, 0);

	for (i = 0; i < n; i++) {
		if (mdev_device_get_xml(nodes[i], &xml, 0) == 0)
			free(xml);
	}
	mdev_device_list_free(nodes);
	if (n > 0 && mdev_conn_list_problems(conn, &found, 0) >= 0)
		mdev_finding_list_free(found);
	return n > 1 ? 0 : -1;
}

static int dump(void)
{
	char *xml = NULL;
	int rc = mdev_conn_dump_xml(conn, &xml, 0);

	free(xml);
	return rc;
}

static int define(void)
{
	struct mdev_device *dev = NULL;
	int rc = mdev_conn_define_xml(conn, OF_VF("c60cc60c-0000-4222-8333-444444444441"), &dev, 0);

	if (rc == 0)
		rc = mdev_device_set_autostart(dev, 1);
	if (rc == 0)
		rc = mdev_device_undefine(dev, 0);
	mdev_device_unref(dev);
	return rc;
}

static int attributes(void)
{
	struct mdev_device *dev = NULL;
	char *text = NULL;
	int rc = mdev_conn_lookup_by_name(conn, "mdev_93e7071c_d82e_5479_86be_c9f675dbb047_0000_41_00_0", &dev);

	if (rc == 0)
		rc = mdev_device_get_attr(dev, "vgpu_params", &text);
	if (rc == 0)
		rc = mdev_device_set_attr(dev, "vgpu_params", "b=2");
	free(text);
	mdev_device_unref(dev);
	return rc;
}

/* A write changes the time of a file outside of sysfs, so the library cannot identify the device: -ENODEV. */
static int create(void)
{
	struct mdev_device *dev = NULL;
	int rc = mdev_conn_create_xml(conn, OF_VF("c60cc60c-0000-4222-8333-444444444443"), &dev, 0);

	mdev_device_unref(dev);
	return rc == -ENODEV ? 0 : -1;
}

/* The only VF has a device: after its call-outs, the create fails. */
static int create_without_instances(void)
{
	struct mdev_device *dev = NULL;
	int rc = mdev_conn_create_xml(conn, OF_VF("c60cc60c-0000-4222-8333-444444444442"), &dev, 0);

	mdev_device_unref(dev);
	return rc == -ENOSPC ? 0 : -1;
}

/* No kernel removes the device: the destroy fails after its wait. */
static int destroy(void)
{
	return mdev_conn_destroy_uuid(conn, UUID, 0) == -ETIMEDOUT ? 0 : -1;
}

static int wait_parent(void)
{
	struct mdev_device *dev = NULL;

	return mdev_conn_wait_parent(conn, "pci_0000_99_00_0", 1, &dev) == -ETIMEDOUT ? 0 : -1;
}

static int create_group(void)
{
	static const char *const xmls[] = { PLAIN_XML("0000:86:00.0", "11"), PLAIN_XML("0000:86:00.0", "11") };
	struct mdev_device **nodes = NULL;
	int i, rc = mdev_conn_create_group_xml(conn, xmls, 2, &nodes, 0);

	for (i = 0; i < rc; i++) {
		if (mdev_device_destroy(nodes[i], 0) < 0)
			rc = -1;
	}
	mdev_device_list_free(nodes);
	return rc == 2 ? mdev_conn_destroy_incomplete(conn, NULL, 0) : -1;
}

static int close_host(void)
{
	mdev_monitor_unref(monitor);
	mdev_conn_unref(conn);
	monitor = NULL;
	conn = NULL;
	return 0;
}

static const struct step {
	const char *what;
	int (*act)(void);
} steps[] = {
	{ "open", open_host },
	{ "monitor", start_monitor },
	{ "list", list },
	{ "dump", dump },
	{ "define and undefine", define },
	{ "create", create },
	{ "attributes", attributes },
	{ "create without instances", create_without_instances },
	{ "receive", receive },
	{ "destroy", destroy },
	{ "wait for a parent", wait_parent },
	{ "close", close_host },
	{ "open the simulated host", open_simulated },
	{ "monitor of the simulated host", start_monitor },
	{ "create a group", create_group },
	{ "receive of the simulated host", receive },
	{ "close the simulated host", close_host },
};

#define STEPS (sizeof(steps) / sizeof(*steps))

/* Signals the next step to the tracer, by a number that no descriptor has. */
static void begin(int step)
{
	syscall(SYS_close, -100 - step);
}

static int operate(void)
{
	int i, out = fcntl(1, F_DUPFD_CLOEXEC, 100);
	const struct mdev_error *err;

	for (i = 0; i < 3; i++)
		close(i);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 100;
	raise(SIGSTOP);
	for (i = 0; i < (int)STEPS; i++) {
		begin(i);
		if (steps[i].act() == 0)
			continue;
		err = mdev_last_error();
		dprintf(out, "# %s: %s\n", steps[i].what, err ? mdev_error_get_message(err) : "no error");
		return 1;
	}
	return 0;
}

/* The name of the open file behind a number of the process; false if it cannot be read or written, or there is none. */
static int is_exposed(pid_t pid, int fd, char *what, size_t size)
{
	char path[64], line[256];
	unsigned int flags = 0;
	struct stat st;
	ssize_t n;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, what, size - 1);
	if (n < 0)
		return 0;
	what[n] = '\0';
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
	info = fopen(path, "r");
	while (info && fgets(line, sizeof(line), info)) {
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	}
	if (info)
		fclose(info);
	return !(flags & O_PATH);
}

static size_t step_now;
static int looks, exposed[STEPS];

static void look(pid_t pid, const struct __ptrace_syscall_info *info)
{
	long number = (long)info->entry.nr, argument = (long)(int)info->entry.args[0];
	char what[256];
	int fd;

	if (number == SYS_close && argument <= -100)
		step_now = (size_t)(-100 - argument);
	if (number == SYS_close || number == SYS_fcntl)
		return;
	for (fd = 0; fd < 3; fd++) {
		looks++;
		if (is_exposed(pid, fd, what, sizeof(what)) && ++exposed[step_now] <= 5)
			printf("# %s: at system call %ld descriptor %d is %s\n", steps[step_now].what, number, fd, what);
	}
}

int main(void)
{
	struct __ptrace_syscall_info info;
	int status, sig = 0;
	size_t i;
	pid_t pid;

	make_root("api-closed");
	make_host();
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(operate());
	T_NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 100) {
		T_OKF(1, "no stream is a descriptor of the library # SKIP this process cannot trace another");
		return t_done();
	}
	T_NEED(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	while (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) == 0 && waitpid(pid, &status, 0) == pid) {
		if (!WIFSTOPPED(status))
			break;
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (sig == 0 && ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY)
			look(pid, &info);
	}
	T_OKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "every step succeeds");
	for (i = 0; i < STEPS; i++)
		T_OKF(exposed[i] == 0, "%s: no stream is a descriptor of the library", steps[i].what);
	T_OK(looks > 1000);
	remove_root();
	return t_done();
}
