/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * State of the calling process that the library must not change: threads,
 * standard output and error, signal dispositions, the working directory, umask
 * and environment; and no descriptor that a child would inherit.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

extern char **environ;

struct state {
	char cwd[4096];
	mode_t mask;
	char **env;
	size_t env_bytes;
	int threads, descriptors, inheritable;
	struct sigaction signals[NSIG];
};

static int threads_now(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void look(struct state *s)
{
	int fd, sig;
	char **e;

	memset(s, 0, sizeof(*s));
	if (!getcwd(s->cwd, sizeof(s->cwd)))
		s->cwd[0] = '\0';
	s->mask = umask(0);
	umask(s->mask);
	s->env = environ;
	for (e = environ; *e; e++)
		s->env_bytes += strlen(*e) + 1;
	s->threads = threads_now();
	for (fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		s->descriptors += flags >= 0;
		s->inheritable += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	for (sig = 1; sig < NSIG; sig++)
		sigaction(sig, NULL, &s->signals[sig]);
}

/* Valid and invalid calls, on the simulated host and on this machine. */
static void use_the_library(const char *uri)
{
	struct mdev_device *dev = NULL, **list = NULL;
	struct mdev_monitor *mon = NULL;
	struct mdev_event *ev = NULL;
	struct mdev_conn *conn = NULL;
	char *xml = NULL;

	if (mdev_conn_open(&conn, uri, 0))
		return;
	mdev_monitor_new(&mon, conn, 0);
	mdev_conn_get_fd(conn);
	if (mdev_conn_list(conn, &list, 0) > 0)
		mdev_device_get_xml(list[0], &xml, 0);
	mdev_device_list_free(list);
	free(xml);
	if (uri && !mdev_conn_create_xml(conn, RFC_DEVICE_XML, &dev, 0)) {
		mdev_device_destroy(dev, 0);
		mdev_device_destroy(dev, 0);
	}
	mdev_device_unref(dev);
	dev = NULL;
	mdev_conn_create_xml(conn, "<device", &dev, 0);
	mdev_conn_lookup_by_name(conn, "no_such_node", &dev);
	mdev_conn_wait_parent(conn, "pci_0000_99_00_0", 1, &dev);
	while (mdev_monitor_receive(mon, &ev) == 1)
		mdev_event_unref(ev);
	mdev_conn_dispatch(conn);
	mdev_monitor_unref(mon);
	mdev_conn_unref(conn);
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

static void compare(const struct state *a, const struct state *b)
{
	int sig, moved = 0;

	T_STR(b->cwd, a->cwd);
	T_INT(b->mask, a->mask);
	T_OK(b->env == a->env && b->env_bytes == a->env_bytes);
	T_INT(b->threads, a->threads);
	T_INT(b->descriptors, a->descriptors);
	T_INT(b->inheritable, a->inheritable);
	for (sig = 1; sig < NSIG; sig++)
		moved += a->signals[sig].sa_handler != b->signals[sig].sa_handler;
	T_INT(moved, 0);
}

int main(void)
{
	static struct state before, open, after;
	struct mdev_monitor *mon = NULL;
	struct mdev_conn *conn = NULL;
	FILE *out = tmpfile();
	int kept[2], i;

	T_NEED(out != NULL);
	look(&before);
	fflush(stdout);
	for (i = 0; i < 2; i++) {
		kept[i] = dup(i + 1);
		dup2(fileno(out), i + 1);
	}
	use_the_library(HOST_URI);
	use_the_library(NULL);
	for (i = 0; i < 2; i++) {
		dup2(kept[i], i + 1);
		close(kept[i]);
	}
	look(&after);
	T_INT(size_of(fileno(out)), 0);
	compare(&before, &after);

	/* While a connection to this machine is open, with a callback. */
	T_INT(mdev_conn_open(&conn, NULL, 0), 0);
	T_INT(mdev_monitor_new(&mon, conn, 0), 0);
	look(&open);
	T_INT(open.inheritable, before.inheritable);
	T_INT(open.threads, before.threads);
	mdev_monitor_unref(mon);
	mdev_conn_unref(conn);
	fclose(out);
	return t_done();
}
