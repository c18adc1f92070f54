/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * define-kill FOLDER: kills a process with SIGKILL before and after each system
 * call of a define, of other actions that change the definition and its second file,
 * of setting autostart and of an undefine, one run for each, below a temporary
 * root in FOLDER, which selects the file system.
 *
 * After each run the definition is the old or the new definition, both in the
 * library and in the text that mdevctl reads; the next define and undefine succeed
 * at once, and then no file of the killed process is left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <libmdev.h>

#include "t.h"
#include "traced.h"

#define UUID "c60cc60c-0000-4222-8333-444444444441"
#define NEXT "c60cc60c-0000-4222-8333-444444444442"
#define DEVICE(name, type, uuid, attr)                                                                                    \
	"<device>" name "<parent>mtty</parent><capability type='mdev'><type id='" type "'/><uuid>" uuid "</uuid>" attr     \
	"</capability></device>"

static const char first[] = DEVICE("<name>first</name>", "mtty-1", UUID, "<attr name='a' value='1'/>");
static const char second[] = DEVICE("<name>second</name>", "mtty-2", UUID, "<attr name='b' value='2'/>");
static const char renamed[] = DEVICE("<name>renamed</name>", "mtty-1", UUID, "<attr name='a' value='1'/>");
static const char plain[] = DEVICE("", "mtty-1", UUID, "");
static const char next[] = DEVICE("<name>next</name>", "mtty-1", NEXT, "");

/* The definition before, NULL for none, and the action on it. */
static const struct change {
	const char *what, *before;
	enum { DEFINE, AUTOSTART, UNDEFINE } act;
	const char *xml;
} changes[] = {
	{ "define", NULL, DEFINE, first },
	{ "define anew", first, DEFINE, second },
	{ "take the name away", first, DEFINE, plain },
	{ "give a name", plain, DEFINE, second },
	{ "rename", first, DEFINE, renamed },
	{ "autostart", first, AUTOSTART, NULL },
	{ "undefine", first, UNDEFINE, NULL },
	{ "undefine a definition without a name", plain, UNDEFINE, NULL },
};

static char root[4096], uri[5000], file[5000];
static int faults;

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
static void fault(const char *fmt, ...)
{
	const struct mdev_error *err = mdev_last_error();
	va_list ap;

	/* Prints the first faults, counts all. */
	if (++faults > 5)
		return;
	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (%s)\n", err ? mdev_error_get_message(err) : "no error");
}

static int define(struct mdev_conn *conn, const char *xml)
{
	struct mdev_device *dev;
	int rc = mdev_conn_define_xml(conn, xml, &dev, 0);

	if (rc == 0)
		mdev_device_unref(dev);
	return rc;
}

static int undefine(struct mdev_conn *conn, const char *uuid)
{
	struct mdev_device *dev;
	int rc = mdev_conn_lookup_by_uuid(conn, uuid, &dev);

	if (rc < 0)
		return rc;
	rc = mdev_device_undefine(dev, 0);
	mdev_device_unref(dev);
	return rc;
}

static int autostart(struct mdev_conn *conn, const char *uuid)
{
	struct mdev_device *dev;
	int rc = mdev_conn_lookup_by_uuid(conn, uuid, &dev);

	if (rc < 0)
		return rc;
	rc = mdev_device_set_autostart(dev, 1);
	mdev_device_unref(dev);
	return rc;
}

static int act(struct mdev_conn *conn, const struct change *change)
{
	switch (change->act) {
	case DEFINE:
		return define(conn, change->xml);
	case AUTOSTART:
		return autostart(conn, UUID);
	default:
		return undefine(conn, UUID);
	}
}

static int prepare(struct mdev_conn *conn, const struct change *change)
{
	int rc = undefine(conn, UUID);

	if (rc < 0 && rc != -ENODEV)
		return rc;
	return change->before ? define(conn, change->before) : 0;
}

/* The whole definition: the library's data, then the text for mdevctl. Empty if there is none. */
static void look(struct mdev_conn *conn, char *text, size_t size)
{
	struct mdev_device *dev;
	char *xml;
	int start, rc = mdev_conn_lookup_by_uuid(conn, UUID, &dev);
	size_t n;
	FILE *f;

	*text = '\0';
	if (rc == -ENODEV)
		return;
	if (rc < 0 || mdev_device_get_xml(dev, &xml, 0) < 0 || mdev_device_get_autostart(dev, &start) < 0) {
		snprintf(text, size, "broken: %d", rc);
		return;
	}
	n = (size_t)snprintf(text, size, "%s autostart %d\n", xml, start);
	free(xml);
	mdev_device_unref(dev);
	f = fopen(file, "r");
	if (f == NULL)
		return;
	n += fread(text + n, 1, size - n - 1, f);
	text[n] = '\0';
	fclose(f);
}

/* The number of files below a folder, without the files of the definition. */
static int strays(const char *path)
{
	char below[5200];
	struct dirent *entry;
	DIR *dir = opendir(path);
	int n = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			n += strays(below);
		else
			n += strcmp(entry->d_name, UUID) != 0;
	}
	closedir(dir);
	return n;
}

static int victim(const void *change)
{
	struct mdev_conn *conn;

	return mdev_conn_open(&conn, uri, 0) < 0 || act(conn, change) < 0;
}

/* Kills at the n-th stop: at entries when n is odd, at exits when it is even. 1: killed, 0: it ended before, -1: error. */
static int killed(const struct change *change, int n)
{
	pid_t pid = traced_start(victim, change);
	int status, rc;

	if (pid < 0)
		return -1;
	while ((rc = traced_next(pid, &status)) == 1) {
		if (--n == 0)
			return traced_kill(pid) < 0 ? -1 : 1;
	}
	return rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void afterwards(struct mdev_conn *conn, const char *what, int n)
{
	int left;

	if (define(conn, next) < 0)
		fault("%s, killed at %d: the next define fails", what, n);
	if (undefine(conn, NEXT) < 0)
		fault("%s, killed at %d: the next undefine fails", what, n);
	left = strays(root);
	/* Without the file of the lock, which stays. */
	if (left != 1)
		fault("%s, killed at %d: %d files are left", what, n, left - 1);
}

static void every_point(struct mdev_conn *conn, const struct change *change)
{
	static char before[65536], after[65536], seen[65536];
	int n, rc = 1, olds = 0, news = 0;

	faults = 0;
	T_INT(prepare(conn, change), 0);
	look(conn, before, sizeof(before));
	T_INT(act(conn, change), 0);
	look(conn, after, sizeof(after));
	T_OKF(strcmp(before, after) != 0, "%s changes something", change->what);
	for (n = 1;; n++) {
		if (prepare(conn, change) < 0)
			fault("%s: cannot be prepared for %d", change->what, n);
		rc = killed(change, n);
		if (rc != 1)
			break;
		look(conn, seen, sizeof(seen));
		if (strcmp(seen, before) == 0)
			olds++;
		else if (strcmp(seen, after) == 0)
			news++;
		else
			fault("%s, killed at %d: neither the old nor the new definition", change->what, n);
		afterwards(conn, change->what, n);
	}
	T_OKF(rc == 0, "%s: the last run is not killed", change->what);
	T_OKF(faults == 0, "%s: no faults at %d points, the old definition after %d", change->what, n - 1, olds);
	T_OKF(olds > 20 && news > 2, "%s: both the old and the new definition were found", change->what);
}

static void remove_all(const char *path)
{
	char below[5200];
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (unlink(below) < 0)
			remove_all(below);
	}
	closedir(dir);
	rmdir(path);
}

int main(int argc, char **argv)
{
	static const char *const folders[] = { "sys", "dev", "run", "etc" };
	struct mdev_conn *conn = NULL;
	char path[5200];
	size_t i;

	snprintf(root, sizeof(root), "%s/define-kill.XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (mkdtemp(root) == NULL)
		return 99;
	for (i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
		mkdir(path, 0755);
	}
	snprintf(uri, sizeof(uri), "mdev:///system?root=%s", root);
	snprintf(file, sizeof(file), "%s/etc/mdevctl.d/mtty/" UUID, root);
	if (T_INT(mdev_conn_open(&conn, uri, 0), 0)) {
		for (i = 0; i < sizeof(changes) / sizeof(*changes); i++)
			every_point(conn, &changes[i]);
		mdev_conn_unref(conn);
	}
	remove_all(root);
	return t_done();
}
