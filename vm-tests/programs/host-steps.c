/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sequence of steps. It expects a host with the kernel's sample drivers on
 * which others have made devices: ECHO_UUID on mtty, and all four that mdpy has
 * room for. Every line is the same in each run and on each host that is the
 * same: no random numbers, no times. Lines that begin with "capacity" show how
 * types share the free instances, which a dump of a host does not contain.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define MTTY "mtty_mtty"
#define MDPY "mdpy_mdpy"
#define MBOCHS "mbochs_mbochs"

#define ECHO_UUID "0ec40000-1111-4222-8333-444444444444"
#define UUID_A "0000000a-1111-4222-8333-44444444abcd"
#define UUID_A_UPPER "0000000A-1111-4222-8333-44444444ABCD"
#define UUID_B "0000000b-1111-4222-8333-44444444abcd"
#define UUID_NONE "0000000f-1111-4222-8333-44444444abcd"

/* The smallest XML of each dialect. */
#define RFC(parent, type, more)                                                                                        \
	"<device><parent>" parent "</parent><capability type='mdev'><type id='" type "'/>" more "</capability></device>"
#define RFC_UUID(parent, type, uuid) RFC(parent, type, "<uuid>" uuid "</uuid>")
#define LIBVIRT(parent, type, uuid)                                                                                    \
	"<device>\n  <parent>" parent "</parent>\n  <capability type='mdev'>\n    <type id='" type "'/>\n"              \
	"    <uuid>" uuid "</uuid>\n  </capability>\n</device>\n"

#define ANY(type) "<device><capability type='mdev'><type id='" type "'/></capability></device>"

static struct mdev_conn *conn;

/* Nothing was created or destroyed yet. */
static int untouched = 1;

/* A UUID that is new in every run: the output has "UUID" in its place. Empty if there is none. */
static char hidden[37];

static int is_hidden(const char *s)
{
	size_t i;

	for (i = 0; hidden[i]; i++)
		if (s[i] != hidden[i] && (s[i] != '_' || hidden[i] != '-'))
			return 0;
	return i > 0;
}

static void print_sentence(const char *s)
{
	while (*s) {
		if (is_hidden(s)) {
			fputs("UUID", stdout);
			s += strlen(hidden);
		} else {
			putchar(*s++);
		}
	}
}

/* Prints one line for one call: its name, its result, and the error. Returns rc. */
static int step(const char *name, int rc)
{
	const struct mdev_error *err = api.last_error();
	const char *said = err ? api.error_get_message(err) : NULL;
	int code = err ? api.error_get_code(err) : 0, number = err ? api.error_get_errno(err) : 0;

	printf("%-46s rc=%d errno=%d code=%d", name, rc, number, code);
	if (said) {
		fputs(" | ", stdout);
		print_sentence(said);
	}
	putchar('\n');
	if (rc >= 0 && err)
		host_fault("%s: it went well and there is an error", name);
	if (rc < 0 && (number != -rc || code <= 0 || !said || !*said))
		host_fault("%s: the error does not match %d", name, rc);
	return rc;
}

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void value(const char *name, const char *fmt, ...)
{
	va_list ap;

	printf("%-46s = ", name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* A step with the same result on every host. */
static int expect(const char *name, int want, int rc)
{
	step(name, rc);
	if (rc != want)
		host_fault("%s: %d, expected %d", name, rc, want);
	return rc;
}

static const char *shown(const char *s)
{
	return s ? s : "(none)";
}

/* Prints the result of a getter of a node. */
static const char *text(int (*get)(struct mdev_device *, const char **), struct mdev_device *dev)
{
	const char *s = NULL;

	return dev && get(dev, &s) >= 0 ? shown(s) : "(none)";
}

static int create(const char *name, int want, const char *xml, struct mdev_device **ret, unsigned int flags)
{
	struct mdev_device *dev = NULL;
	int rc = expect(name, want, api.conn_create_xml(conn, xml, &dev, flags));

	if (rc < 0 && dev)
		host_fault("%s: failed, but returned a device", name);
	if (ret && rc >= 0)
		*ret = dev;
	else
		api.device_unref(dev);
	return rc;
}

/* A request that must be refused, and must create no device. */
static void refuse(const char *name, int want, const char *xml, unsigned int flags)
{
	struct mdev_device **list = NULL;
	int before, after;

	before = api.conn_list(conn, &list, MDEV_LIST_DEVICES);
	if (before >= 0)
		api.device_list_free(list);
	create(name, want, xml, NULL, flags);
	list = NULL;
	after = api.conn_list(conn, &list, MDEV_LIST_DEVICES);
	if (after >= 0)
		api.device_list_free(list);
	if (after != before)
		host_fault("%s: %d devices before, %d after", name, before, after);
}

static int available(const char *parent, const char *id)
{
	const struct mdev_type *type = NULL;
	struct mdev_device *dev = NULL;
	unsigned int n = 0;
	int rc = api.conn_lookup_by_name(conn, parent, &dev);

	if (rc >= 0)
		rc = api.device_find_type(dev, id, &type);
	if (rc >= 0)
		rc = api.type_get_available_instances(type, &n);
	api.device_unref(dev);
	return rc < 0 ? rc : (int)n;
}

static void counts(const char *when)
{
	printf("capacity %s: mtty-1 %d, mtty-2 %d, mdpy-vga %d, mdpy-xga %d, mbochs-small %d, mbochs-medium %d, "
	       "mbochs-large %d\n",
	       when, available(MTTY, "mtty-1"), available(MTTY, "mtty-2"), available(MDPY, "mdpy-vga"),
	       available(MDPY, "mdpy-xga"), available(MBOCHS, "mbochs-small"), available(MBOCHS, "mbochs-medium"),
	       available(MBOCHS, "mbochs-large"));
}

static void show_types(struct mdev_device *parent)
{
	const struct mdev_type *const *types = NULL;
	unsigned int left;
	int i, n = step("  types", api.device_list_types(parent, &types));

	for (i = 0; i < n; i++) {
		const struct mdev_type *t = types[i];
		int rc = api.type_get_available_instances(t, &left);

		printf("  type %s, name %s, api %s, description %s, group %d\n", api.type_get_id(t),
		       shown(api.type_get_name(t)), shown(api.type_get_device_api(t)),
		       shown(api.type_get_description(t)), api.type_requires_group(t));
		/* Before the first create, a dump has the right number. */
		printf("%s of %s: %d\n", untouched ? "  available" : "capacity", api.type_get_id(t),
		       rc < 0 ? rc : (int)left);
	}
}

static void show_node(struct mdev_device *dev)
{
	int is_parent = api.device_is_parent(dev);

	printf("node %s\n", text(api.device_get_name, dev));
	printf("  parent %s, path %s, layout %s, is_parent %d, active %d\n", text(api.device_get_parent, dev),
	       text(api.device_get_syspath, dev), text(api.device_get_layout, dev), is_parent, api.device_is_active(dev));
	if (is_parent == 1)
		show_types(dev);
	else
		printf("  uuid %s, type %s\n", text(api.device_get_uuid, dev), text(api.device_get_type_id, dev));
}

static int by_name(const void *a, const void *b)
{
	const char *one = "", *two = "";

	api.device_get_name(*(struct mdev_device *const *)a, &one);
	api.device_get_name(*(struct mdev_device *const *)b, &two);
	return strcmp(one, two);
}

static void list(const char *name)
{
	struct mdev_device **nodes = NULL;
	int i, n = step(name, api.conn_list(conn, &nodes, 0));

	if (n < 0)
		return;
	qsort(nodes, (size_t)n, sizeof(*nodes), by_name);
	for (i = 0; i < n; i++)
		show_node(nodes[i]);
	api.device_list_free(nodes);
}

static int lookup(const char *name, int want, const char *node)
{
	struct mdev_device *dev = NULL;
	int rc = expect(name, want, api.conn_lookup_by_name(conn, node, &dev));

	if (rc >= 0)
		value("  found", "%s", text(api.device_get_name, dev));
	api.device_unref(dev);
	return rc;
}

static void lookups(void)
{
	struct mdev_device *dev = NULL, *parent = NULL;
	const struct mdev_type *type = NULL;
	const char *s = NULL;
	unsigned int n;
	int node;

	lookup("parent by name", 0, MTTY);
	lookup("parent by sysfs path", 0, "/sys/devices/virtual/mtty/mtty");
	lookup("a name that is not there", -ENODEV, "pci_0000_de_ad_0");
	lookup("a path that leaves sysfs", -ENODEV, "/sys/../etc");
	lookup("an empty name", -EINVAL, "");
	expect("uuid that is not there", -ENODEV, api.conn_lookup_by_uuid(conn, UUID_NONE, &dev));
	expect("uuid of 35 characters", -EINVAL,
	       api.conn_lookup_by_uuid(conn, "0000000f-1111-4222-8333-44444444abc", &dev));
	expect("another's device by uuid", 0, api.conn_lookup_by_uuid(conn, ECHO_UUID, &dev));
	expect("  has no owner", -ENODATA, api.device_get_owner(dev, &s));
	expect("  has no group", -ENODATA, api.device_get_group(dev, &n));
	dev = api.device_unref(dev);

	expect("mtty", 0, api.conn_lookup_by_name(conn, MTTY, &parent));
	expect("  a parent has no uuid", -ENODATA, api.device_get_uuid(parent, &s));
	expect("  a parent has no type", -ENODATA, api.device_get_type_id(parent, &s));
	step("  numa node", api.device_get_numa_node(parent, &node));
	expect("  physical function", -ENODATA, api.device_get_physical_function(parent, &s));
	expect("  a parent is not destroyed", -EOPNOTSUPP, api.device_destroy(parent, 0));
	expect("  type by id", 0, api.device_find_type(parent, "mtty-2", &type));
	expect("  type by name", 0, api.device_find_type(parent, "Dual port serial", &type));
	expect("  type by name with underscores", 0, api.device_find_type(parent, "Dual_port_serial", &type));
	value("  its id", "%s", api.type_get_id(type));
	expect("  type that is not there", -ENODEV, api.device_find_type(parent, "mtty-9", &type));
	api.device_unref(parent);

	parent = NULL;
	expect("wait for a parent that is there", 0, api.conn_wait_parent(conn, MBOCHS, 1000, &parent));
	api.device_unref(parent);
	expect("wait for an absent parent", -ETIMEDOUT, api.conn_wait_parent(conn, "pci_0000_de_ad_0", 0, &parent));
}

/* Whether a text contains another, as a value to print. */
static void has(const char *name, int rc, char *whole, const char *part)
{
	if (step(name, rc) < 0)
		return;
	value("  it names the device", "%s", strstr(whole, part) ? "yes" : "no");
	if (!strstr(whole, part))
		host_fault("%s: \"%s\" is not in %s", name, part, whole);
	free(whole);
}

static void attach(struct mdev_device *dev, const char *uuid)
{
	char want[128], *got = NULL, *qmp = NULL, *xml = NULL;
	int rc;

	snprintf(want, sizeof(want), "vfio-pci,sysfsdev=/sys/bus/mdev/devices/%s", uuid);
	rc = step("  text for QEMU", api.device_get_qemu_device(dev, &got));
	if (rc >= 0 && strcmp(got, want))
		host_fault("the text for QEMU is %s, not %s", got, want);
	free(rc >= 0 ? got : NULL);
	rc = api.device_get_qmp_device_add(dev, "hostdev0", &qmp);
	has("  QMP command", rc, qmp, uuid);
	rc = api.device_get_hostdev_xml(dev, &xml);
	has("  hostdev element", rc, xml, uuid);
}

/* A random UUID: name, path and text for QEMU of the device contain it. */
static void create_without_uuid(void)
{
	struct mdev_device *dev = NULL, *again = NULL;
	const char *uuid = NULL, *name = NULL, *path = NULL;
	char *kept = hidden, want[128];
	unsigned int group;
	size_t i;

	if (create("create without a uuid", 0, RFC(MTTY, "mtty-1", ""), &dev, 0) < 0)
		return;
	expect("  uuid", 0, api.device_get_uuid(dev, &uuid));
	snprintf(hidden, sizeof(hidden), "%s", uuid ? uuid : "");
	value("  its length and version", "%zu, %c", strlen(kept), strlen(kept) == 36 ? kept[14] : '?');
	snprintf(want, sizeof(want), "mdev_%s_mtty", kept);
	for (i = 0; want[i]; i++)
		want[i] = want[i] == '-' ? '_' : want[i];
	expect("  name", 0, api.device_get_name(dev, &name));
	if (!name || strcmp(name, want))
		host_fault("the name is %s, not %s", shown(name), want);
	expect("  path", 0, api.device_get_syspath(dev, &path));
	snprintf(want, sizeof(want), "/sys/devices/virtual/mtty/mtty/%s", kept);
	if (!path || strcmp(path, want))
		host_fault("the path is %s, not %s", shown(path), want);
	expect("  IOMMU group", 0, api.device_get_iommu_group(dev, &group));
	expect("  by its name", 0, api.conn_lookup_by_name(conn, name, &again));
	api.device_unref(again);
	attach(dev, kept);
	expect("destroy it by its handle", 0, api.device_destroy(dev, 0));
	expect("destroy it again", -ENODEV, api.device_destroy(dev, 0));
	expect("destroy its uuid", -ENODEV, api.conn_destroy_uuid(conn, kept, 0));
	api.device_unref(dev);
	hidden[0] = '\0';
}

static void create_and_duplicates(void)
{
	struct mdev_device *dev = NULL;

	create("create with a uuid, libvirt's dialect", 0, LIBVIRT(MTTY, "mtty-2", UUID_A), &dev, 0);
	api.device_unref(dev);
	counts("after a dual port");
	refuse("the same uuid again", -EEXIST, RFC_UUID(MTTY, "mtty-2", UUID_A), 0);
	refuse("in upper case", -EEXIST, RFC_UUID(MTTY, "mtty-2", UUID_A_UPPER), 0);
	refuse("on another type", -EEXIST, RFC_UUID(MTTY, "mtty-1", UUID_A), 0);
	refuse("on another parent", -EEXIST, RFC_UUID(MBOCHS, "mbochs-small", UUID_A), 0);
	refuse("another's uuid", -EEXIST, RFC_UUID(MTTY, "mtty-1", ECHO_UUID), 0);

	dev = NULL;
	create("exist-ok, the same", 0, RFC_UUID(MTTY, "mtty-2", UUID_A_UPPER), &dev, MDEV_CREATE_EXIST_OK);
	if (dev)
		attach(dev, UUID_A);
	api.device_unref(dev);
	refuse("exist-ok, another type", -EEXIST, RFC_UUID(MTTY, "mtty-1", UUID_A), MDEV_CREATE_EXIST_OK);
	refuse("exist-ok, another parent", -EEXIST, RFC_UUID(MBOCHS, "mbochs-small", UUID_A), MDEV_CREATE_EXIST_OK);
	expect("destroy by uuid in upper case", 0, api.conn_destroy_uuid(conn, UUID_A_UPPER, 0));
	expect("destroy by uuid again", -ENODEV, api.conn_destroy_uuid(conn, UUID_A, 0));
	expect("destroy an invalid uuid", -EINVAL, api.conn_destroy_uuid(conn, "0000000a", 0));
	counts("after the destroy");
}

static void refusals(void)
{
	refuse("no instances left", -ENOSPC, RFC_UUID(MDPY, "mdpy-vga", UUID_B), 0);
	refuse("no instances left, another type", -ENOSPC, RFC_UUID(MDPY, "mdpy-hd", UUID_B), 0);
	counts("of a full parent");
	refuse("no such type", -ENODEV, RFC(MTTY, "mtty-9", ""), 0);
	refuse("a type that is a path", -EINVAL, RFC(MTTY, "../../../etc", ""), 0);
	refuse("an empty type", -EINVAL, RFC(MTTY, "", ""), 0);
	refuse("no such parent", -ENODEV, RFC("pci_0000_de_ad_0", "mtty-1", ""), 0);
	refuse("a parent with slashes", -EINVAL, RFC("../../etc", "mtty-1", ""), 0);
	refuse("a device as parent", -ENODEV, RFC("mdev_0ec40000_1111_4222_8333_444444444444_mtty", "mtty-1", ""), 0);
	refuse("no type", -EINVAL, "<device><parent>" MTTY "</parent><capability type='mdev'/></device>", 0);
	refuse("no capability", -EINVAL, "<device><parent>" MTTY "</parent></device>", 0);
	refuse("a uuid of 35 characters", -EINVAL, RFC_UUID(MTTY, "mtty-1", "0000000b-1111-4222-8333-44444444abc"), 0);
	refuse("a uuid of 37 characters", -EINVAL, RFC_UUID(MTTY, "mtty-1", UUID_B "x"), 0);
	refuse("a uuid with a group behind it", -EINVAL, RFC_UUID(MTTY, "mtty-1", UUID_B ":1"), 0);
	refuse("an empty uuid", -EINVAL, RFC_UUID(MTTY, "mtty-1", ""), 0);
	refuse("params that the type does not take", -EOPNOTSUPP, RFC(MTTY, "mtty-1", "<params>a=1</params>"), 0);
	refuse("a group for a type without groups", -EOPNOTSUPP, RFC(MTTY, "mtty-1", "<group>1</group>"), 0);
	refuse("not XML", -EINVAL, "uuid", 0);
	refuse("empty text", -EINVAL, "", 0);
	refuse("half of it", -EINVAL, "<device><parent>" MTTY "</parent>", 0);
	refuse("an unknown flag", -EINVAL, RFC_UUID(MTTY, "mtty-1", UUID_B), 0x40000000);
}

/* Without a parent in the request, a parent that has the type is used. */
static void any_parent(void)
{
	struct mdev_device *dev = NULL;

	if (create("no parent: a parent that has the type", 0, ANY("mbochs-small"), &dev, 0) == 0) {
		value("  its parent", "%s", text(api.device_get_parent, dev));
		expect("  destroy", 0, api.device_destroy(dev, 0));
		dev = api.device_unref(dev);
	}
	if (create("no parent, packed", 0, ANY("mtty-2"), &dev, MDEV_CREATE_PACK) == 0) {
		value("  its parent", "%s", text(api.device_get_parent, dev));
		expect("  destroy", 0, api.device_destroy(dev, 0));
		api.device_unref(dev);
	}
	refuse("no parent has an instance left", -ENOSPC, ANY("mdpy-vga"), 0);
	refuse("no parent has the type", -ENODEV, ANY("mtty-9"), 0);
}

static void owners(const char *uri)
{
	struct mdev_device *dev = NULL;
	struct mdev_conn *other = NULL;
	const char *owner = NULL;

	expect("name an owner", 0, api.conn_set_owner(conn, "stack-one"));
	create("create as its owner", 0, RFC_UUID(MTTY, "mtty-1", UUID_A), &dev, 0);
	expect("  owner", 0, dev ? api.device_get_owner(dev, &owner) : -EINVAL);
	value("  it is", "%s", shown(owner));
	expect("a connection without an owner", 0, api.conn_open(&other, uri, 0));
	/* Each connection has its own simulated host: only on a kernel the other connection sees the device. */
	if (!strncmp(uri, "mdev:", 5) && api.conn_destroy_uuid(other, UUID_A, MDEV_DESTROY_OWNED) != -EPERM)
		host_fault("a connection without an owner may destroy the device of an owner");
	api.conn_unref(other);
	expect("the owner is another now", 0, api.conn_set_owner(conn, "stack-two"));
	expect("destroy only own devices: it has another owner", -EPERM, api.conn_destroy_uuid(conn, UUID_A, MDEV_DESTROY_OWNED));
	expect("destroy only own devices: it has no owner", -EPERM,
	       api.conn_destroy_uuid(conn, ECHO_UUID, MDEV_DESTROY_OWNED));
	expect("back to the first owner", 0, api.conn_set_owner(conn, "stack-one"));
	expect("destroy only own devices", 0, dev ? api.device_destroy(dev, MDEV_DESTROY_OWNED) : -EINVAL);
	api.device_unref(dev);
	expect("no owner any more", 0, api.conn_set_owner(conn, NULL));
}

/* A device keeps its name, and another of that name is refused. */
static void names(void)
{
	struct mdev_device *dev = NULL;
	const char *name = NULL;

	create("create with a name", 0,
	       "<device><name>my-serial</name><parent>" MTTY "</parent><capability type='mdev'><type id='mtty-1'/><uuid>"
	       UUID_A "</uuid></capability></device>", &dev, 0);
	expect("  name", 0, dev ? api.device_get_name(dev, &name) : -EINVAL);
	value("  it is", "%s", shown(name));
	api.device_unref(dev);
	lookup("  by its name", 0, "my-serial");
	refuse("another of that name", -EEXIST,
	       "<device><name>my-serial</name><parent>" MTTY "</parent><capability type='mdev'><type id='mtty-1'/>"
	       "</capability></device>", 0);
	expect("destroy it", 0, api.conn_destroy_uuid(conn, UUID_A, 0));
	lookup("its name is free", -ENODEV, "my-serial");
}

/* The XML of a device creates the same device again. */
static void round_trip(const char *name, unsigned int dialect)
{
	struct mdev_device *dev = NULL, *twin = NULL;
	char *xml = NULL, *again = NULL;

	printf("round trip, %s\n", name);
	if (create("  create", 0, RFC_UUID(MBOCHS, "mbochs-medium", UUID_B), &dev, 0) < 0)
		return;
	if (expect("  dump", 0, api.device_get_xml(dev, &xml, dialect)) < 0)
		xml = NULL;
	expect("  destroy", 0, api.device_destroy(dev, 0));
	api.device_unref(dev);
	if (!xml || create("  create from the dump", 0, xml, &twin, 0) < 0) {
		free(xml);
		return;
	}
	if (expect("  dump that", 0, api.device_get_xml(twin, &again, dialect)) < 0)
		again = NULL;
	value("  they are the same", "%s", again && !strcmp(xml, again) ? "yes" : "no");
	if (!again || strcmp(xml, again))
		host_fault("the second dump differs:\n%s%s", xml, again ? again : "(none)\n");
	expect("  destroy", 0, api.device_destroy(twin, 0));
	api.device_unref(twin);
	free(xml);
	free(again);
}

/* Several devices for one guest: all or none. */
static void groups(void)
{
	static const char *const two[] = { RFC_UUID(MTTY, "mtty-1", UUID_A), RFC_UUID(MTTY, "mtty-2", UUID_B) };
	static const char *const same[] = { RFC_UUID(MTTY, "mtty-1", UUID_A), RFC_UUID(MTTY, "mtty-2", UUID_A) };
	static const char *const full[] = { RFC_UUID(MTTY, "mtty-1", UUID_A), RFC_UUID(MDPY, "mdpy-vga", UUID_B) };
	struct mdev_device **made = NULL, *dev = NULL;
	int i, n;

	expect("two devices with one uuid", -EEXIST, api.conn_create_group_xml(conn, same, 2, &made, 0));
	expect("  none was made", -ENODEV, api.conn_lookup_by_uuid(conn, UUID_A, &dev));
	expect("two devices, one of a type without instances", -ENOSPC, api.conn_create_group_xml(conn, full, 2, &made, 0));
	expect("  none was made", -ENODEV, api.conn_lookup_by_uuid(conn, UUID_A, &dev));
	n = expect("two", 2, api.conn_create_group_xml(conn, two, 2, &made, 0));
	for (i = 0; i < n; i++)
		expect("  destroy", 0, api.device_destroy(made[i], 0));
	if (n >= 0)
		api.device_list_free(made);
}

/* Elements that this layout does not support, and attributes. */
static void attributes(void)
{
	struct mdev_device *dev = NULL;
	char *got = NULL;
	int rc;

	if (create("create for attributes", 0, RFC_UUID(MTTY, "mtty-1", UUID_A), &dev, 0) < 0)
		return;
	expect("  reset", -EOPNOTSUPP, api.device_reset(dev));
	expect("  online", -EOPNOTSUPP, api.device_set_online(dev, 1));
	rc = step("  vendor/sample_mdev_dev", api.device_get_attr(dev, "vendor/sample_mdev_dev", &got));
	if (rc >= 0) {
		value("    it is", "%s", got);
		free(got);
	}
	expect("  an attribute that is not there", -ENOENT, api.device_get_attr(dev, "nothing", &got));
	expect("  an attribute outside", -EINVAL, api.device_get_attr(dev, "../mtty/uevent", &got));
	expect("  write to remove as an attribute", -EACCES, api.device_set_attr(dev, "remove", "1"));
	expect("  destroy", 0, api.device_destroy(dev, 0));
	api.device_unref(dev);
}

/* Devices of other programs can be destroyed, and no device of this program is left. */
static void end(void)
{
	expect("destroy another's device", 0, api.conn_destroy_uuid(conn, ECHO_UUID, 0));
	expect("destroy it again", -ENODEV, api.conn_destroy_uuid(conn, ECHO_UUID, 0));
	counts("at the end");
	list("list at the end");
}

void host_steps(struct mdev_conn *c, const char *uri)
{
	conn = c;
	list("list");
	counts("at first");
	lookups();
	untouched = 0;
	create_without_uuid();
	create_and_duplicates();
	refusals();
	any_parent();
	owners(uri);
	names();
	round_trip("the proposal's dialect", 0);
	round_trip("libvirt's dialect", MDEV_XML_LIBVIRT);
	groups();
	attributes();
	end();
}
