/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Untrusted XML. Each fault has its own message, creates no device, and
 * costs a bounded amount of time and memory: the address space may grow by 16
 * MiB while a text of 100 MB is refused, and all of it must fit in a minute of
 * processor time. There are no limits where a checker needs the memory
 * (T_CHECKED in the environment).
 *
 * A NUL byte ends a C string, so a caller can only pass a
 * character reference to it.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

#define HUGE_TEXT (100UL * 1000 * 1000)
#define ROOM (16UL << 20)
#define DEEP 10000

static struct mdev_conn *conn;
static char *seen[64];
static int faults, nodes;

#define DEV(parent, inner) "<device><parent>" parent "</parent><capability type='mdev'>" inner "</capability></device>"
#define RFC(inner) DEV(RFC_PARENT, inner)

/* No other fault may have had this message: the messages must distinguish the faults. */
static void new_sentence(const char *what)
{
	const char *message = host_message();
	int i;

	if (!T_OKF(message != NULL, "%s has a message", what))
		return;
	for (i = 0; i < faults; i++)
		if (!strcmp(seen[i], message))
			break;
	/* "=" marks another form of the previous fault. */
	T_OKF(i == (*what == '=' ? faults - 1 : faults), "%s: \"%.300s\"", what, message);
	T_OKF(strlen(message) < 1000 && !strchr(message, '\n'), "%s: one line of %zu bytes", what, strlen(message));
	if (i == faults && faults < (int)(sizeof(seen) / sizeof(seen[0])))
		seen[faults++] = strdup(message);
}

static void refused(const char *what, const char *xml, int code)
{
	const char *group[] = { RFC_DEVICE_XML, xml };
	struct mdev_device *dev = NULL, **list = NULL;
	int rc = mdev_conn_create_xml(conn, xml, &dev, 0);

	int absent = code == MDEV_ERROR_NO_PARENT || code == MDEV_ERROR_NO_TYPE;

	T_OKF(rc == (absent ? -ENODEV : -EINVAL), "%s is refused (%d)", what, rc);
	T_OK(dev == NULL);
	if (rc < 0) {
		T_OKF(mdev_error_get_code(mdev_last_error()) == code, "%s: code %d is %d", what,
		      mdev_error_get_code(mdev_last_error()), code);
		new_sentence(what);
	}
	/* Destroys the device if it was created, so that the next check does not fail for it. */
	if (dev)
		mdev_device_destroy(dev, 0);
	mdev_device_unref(dev);
	T_INT(mdev_conn_create_group_xml(conn, group, 2, &list, 0), rc);
	T_OK(list == NULL);
	mdev_device_list_free(list);
	T_INT(host_count(conn, 0), nodes);
}

static void malformed(void)
{
	static const struct {
		const char *what, *xml;
		int code;
	} all[] = {
		{ "nothing", "", MDEV_ERROR_XML_SYNTAX },
		{ "=white space", "  \n", MDEV_ERROR_XML_SYNTAX },
		{ "no XML", "my-vgpu", MDEV_ERROR_XML_SYNTAX },
		{ "cut in a tag", "<device><name>my-vgpu</na", MDEV_ERROR_XML_SYNTAX },
		{ "cut between tags", "<device><name>my-vgpu</name>", MDEV_ERROR_XML_SYNTAX },
		{ "crossed tags", "<device><name>my-vgpu</device></name>", MDEV_ERROR_XML_SYNTAX },
		{ "two roots", RFC("<type id='11'/>") RFC("<type id='11'/>"), MDEV_ERROR_XML_SYNTAX },
		{ "an attribute twice", RFC("<type id='11' id='12'/>"), MDEV_ERROR_XML_SYNTAX },
		{ "a document type", "<!DOCTYPE device>" RFC("<type id='11'/>"), MDEV_ERROR_XML_SYNTAX },
		{ "=entities that multiply",
		  "<!DOCTYPE device [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
		  "<device><name>&b;</name></device>",
		  MDEV_ERROR_XML_SYNTAX },
		{ "an entity of its own", "<device><name>&xxe;</name></device>", MDEV_ERROR_XML_SYNTAX },
		{ "a reference to NUL", "<device><name>my&#0;vgpu</name></device>", MDEV_ERROR_XML_SYNTAX },
		{ "not UTF-8", "<device><name>my-\xff\xfe</name></device>", MDEV_ERROR_XML_SYNTAX },
		{ "an overlong slash", "<device><parent>..\xc0\xaf</parent></device>", MDEV_ERROR_XML_SYNTAX },
		/* As in libvirt. */
		{ "another root", "<domain/>", MDEV_ERROR_XML_SYNTAX },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		refused(all[i].what, all[i].xml, all[i].code);
}

static void well_formed_but_wrong(void)
{
	static const struct {
		const char *what, *xml;
		int code;
	} all[] = {
		{ "an unknown type without a parent", "<device><capability type='mdev'><type id='99'/></capability></device>",
		  MDEV_ERROR_NO_TYPE },
		{ "no capability", "<device><parent>" RFC_PARENT "</parent></device>", MDEV_ERROR_XML_CONTENT },
		{ "another capability",
		  "<device><parent>" RFC_PARENT "</parent><capability type='pci'/></device>", MDEV_ERROR_XML_CONTENT },
		{ "no type", RFC(""), MDEV_ERROR_XML_CONTENT },
		{ "a type without id", RFC("<type/>"), MDEV_ERROR_XML_CONTENT },
		{ "two types", RFC("<type id='11'/><type id='12'/>"), MDEV_ERROR_XML_CONTENT },
		{ "a type that leaves sysfs", RFC("<type id='../../../etc'/>"), MDEV_ERROR_XML_CONTENT },
		{ "a type that is this directory", RFC("<type id='.'/>"), MDEV_ERROR_XML_CONTENT },
		{ "a type that is not there", RFC("<type id='99'/>"), MDEV_ERROR_NO_TYPE },
		{ "a parent with slashes", DEV("pci/0000:86:00.0", "<type id='11'/>"), MDEV_ERROR_XML_CONTENT },
		{ "a parent that climbs", DEV("../../etc", "<type id='11'/>"), MDEV_ERROR_XML_CONTENT },
		{ "a parent outside sysfs", DEV("/etc/passwd", "<type id='11'/>"), MDEV_ERROR_XML_CONTENT },
		{ "a parent that is not there", DEV("pci_0000_99_00_0", "<type id='11'/>"), MDEV_ERROR_NO_PARENT },
		{ "a UUID of 35", RFC("<type id='11'/><uuid>c60cc60c-c60c-c60c-c60c-c60cc60cc60</uuid>"),
		  MDEV_ERROR_XML_CONTENT },
		{ "a UUID of 37", RFC("<type id='11'/><uuid>c60cc60c-c60c-c60c-c60c-c60cc60cc60cc</uuid>"),
		  MDEV_ERROR_XML_CONTENT },
		{ "a UUID in braces", RFC("<type id='11'/><uuid>{c60cc60c-c60c-c60c-c60c-c60cc60cc60c}</uuid>"),
		  MDEV_ERROR_XML_CONTENT },
		{ "params of two lines", RFC("<type id='11'/><params>a=1\nb=2</params>"), MDEV_ERROR_XML_CONTENT },
		{ "=params with a referenced line break", RFC("<type id='11'/><params>a=1&#10;b=2</params>"),
		  MDEV_ERROR_XML_CONTENT },
		{ "a group that is not a number", RFC("<type id='11'/><group>one</group>"), MDEV_ERROR_XML_CONTENT },
		{ "a group below nought", RFC("<type id='11'/><group>-1</group>"), MDEV_ERROR_XML_CONTENT },
		{ "a group that overflows", RFC("<type id='11'/><group>4294967296</group>"), MDEV_ERROR_XML_CONTENT },
		{ "a name with a slash", "<device><name>a/b</name><parent>" RFC_PARENT
		  "</parent><capability type='mdev'><type id='11'/></capability></device>", MDEV_ERROR_XML_CONTENT },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		refused(all[i].what, all[i].xml, all[i].code);
}

/* Inside a skipped element, since any other element would be refused for its name. */
static void too_deep(void)
{
	static const char head[] = "<device><driver>", tail[] = "</driver></device>";
	char *xml = malloc(sizeof(head) + DEEP * strlen("<a></a>") + sizeof(tail)), *p = xml;
	int i;

	T_NEED(xml != NULL);
	p += sprintf(p, "%s", head);
	for (i = 0; i < DEEP; i++)
		p += sprintf(p, "<a>");
	for (i = 0; i < DEEP; i++)
		p += sprintf(p, "</a>");
	sprintf(p, "%s", tail);
	refused("ten thousand levels", xml, MDEV_ERROR_XML_LIMIT);
	free(xml);
}

/* The soft limit of the address space: the present size plus a reserve. */
static void limit_memory(struct rlimit *saved)
{
	unsigned long pages = 0;
	struct rlimit now;
	FILE *f = fopen("/proc/self/statm", "r");

	T_NEED(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	T_NEED(getrlimit(RLIMIT_AS, saved) == 0);
	now = *saved;
	now.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + ROOM;
	T_NEED(setrlimit(RLIMIT_AS, &now) == 0);
}

static void huge(int limited)
{
	static const char head[] = "<device><name>", tail[] = "</name></device>";
	char *xml = malloc(HUGE_TEXT + 1);
	struct rlimit saved;

	T_NEED(xml != NULL);
	memset(xml, 'a', HUGE_TEXT);
	memcpy(xml, head, sizeof(head) - 1);
	memcpy(xml + HUGE_TEXT - (sizeof(tail) - 1), tail, sizeof(tail));
	if (limited)
		limit_memory(&saved);
	refused("a name of 100 MB", xml, MDEV_ERROR_XML_LIMIT);
	if (limited)
		setrlimit(RLIMIT_AS, &saved);
	free(xml);
}

/* A dumped host is read from a file, which can contain bytes that a C string cannot, or may not be a regular file. */
static void host_files(void)
{
	static const struct {
		const char *what, *bytes;
		size_t size;
	} all[] = {
		{ "an empty host", "", 0 },
		{ "a NUL in a host", "<host>\0</host>", 14 },
		{ "a host with a document type", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", 40 },
		{ "a host that is a device", RFC_DEVICE_XML, sizeof(RFC_DEVICE_XML) - 1 },
		{ "a host that is no text", "\x7f" "ELF\2\1\1", 7 },
	};
	char path[] = "/tmp/libmdev-bad-XXXXXX", uri[64];
	struct mdev_conn *c = NULL;
	int fd = mkstemp(path);
	size_t i;

	T_NEED(fd >= 0);
	snprintf(uri, sizeof(uri), "test://%s", path);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		T_NEED(ftruncate(fd, 0) == 0 && pwrite(fd, all[i].bytes, all[i].size, 0) == (ssize_t)all[i].size);
		T_OKF(mdev_conn_open(&c, uri, 0) == -EINVAL, "%s is refused", all[i].what);
		new_sentence(all[i].what);
	}
	close(fd);
	unlink(path);
	/* A silent file, an endless file and a folder: the open must not wait for any of them. */
	T_NEED(mkfifo(path, 0600) == 0);
	T_OK(mdev_conn_open(&c, uri, 0) < 0);
	unlink(path);
	T_OK(mdev_conn_open(&c, "test:///dev/zero", 0) < 0);
	T_OK(mdev_conn_open(&c, "test:///tmp", 0) < 0);
	T_OK(c == NULL);
}

int main(void)
{
	const struct rlimit minute = { 60, 60 };
	int limited = !getenv("T_CHECKED");

	if (limited)
		T_NEED(setrlimit(RLIMIT_CPU, &minute) == 0);
	conn = host_open();
	nodes = host_count(conn, 0);
	T_OK(nodes > 0);
	malformed();
	well_formed_but_wrong();
	too_deep();
	huge(limited);
	host_files();
	T_INT(host_available(conn, RFC_PARENT, "11"), 16);
	T_OK(mdev_conn_unref(conn) == NULL);
	while (faults)
		free(seen[--faults]);
	return t_done();
}
