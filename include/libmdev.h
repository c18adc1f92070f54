/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file libmdev.h
 * libmdev: a node-device driver for mediated devices, in the manner of libvirt.
 *
 * Rules that hold for every function:
 *
 * - A call that can fail returns an int: 0 or a count, or a negative errno. Results go to the pointer called ret, which is
 *   written only on success. Why a call failed: mdev_last_error(), of each thread its own.
 * - Handles are opaque, counted, and never change; any thread may use them. An unref function takes NULL and returns NULL.
 * - A NULL or wrong handle, NULL where a pointer is due, an unknown flag: -EINVAL. A fault inside the library:
 *   -ENOTRECOVERABLE.
 * - A const char * lives as long as the handle that it came from. A char * and an array of pointers are the caller's and
 *   freed with free(), an array of nodes with mdev_device_list_free(). Arrays end with NULL.
 * - Strings are UTF-8.
 * - The library starts no thread, prints nothing, and touches no signal, folder, umask or environment of its process.
 * - When memory runs out inside the library, the process ends (abort), as Rust programs do. Files, lists and XML have bounds:
 *   a call needs some megabytes at most, but for "test:///PATH", which needs about fifteen times the dump's 16 MiB at most.
 */

/* Generated from src/ffi: do not edit. */

#ifndef LIBMDEV_H
#define LIBMDEV_H


#include <stddef.h>
#include <stdint.h>

/** The version of this header; mdev_version() is that of the library. Since: 0.1. */
#define MDEV_VERSION_MAJOR 0
#define MDEV_VERSION_MINOR 1
#define MDEV_VERSION_PATCH 0
#define MDEV_VERSION_STRING "0.1.0"

/**
 * Whether a driver table, of whichever version the library is, has a member and supports it.
 *
 * @param drv from mdev_driver_get(), not NULL
 * @param member of struct mdev_driver
 *
 * Since: 0.1.
 */
#define MDEV_DRIVER_HAS(drv, member)                                                                                   \
	((drv)->size >= offsetof(struct mdev_driver, member) + sizeof((drv)->member) && (drv)->member)

/**
 * The version of struct mdev_driver's layout. Members are only ever appended, so that it need not change.
 *
 * Since: 0.1.
 */
#define MDEV_DRIVER_ABI 1

/**
 * What happened.
 *
 * Since: 0.1.
 */
typedef enum mdev_event_type {
	/**
	 * Nothing: not an event.
	 */
	MDEV_EVENT_NONE = 0,
	/**
	 * A node is there. A device is ready for use then.
	 */
	MDEV_EVENT_CREATED = 1,
	/**
	 * A node is gone. It is described as it was last known; a device is not active any more.
	 */
	MDEV_EVENT_DELETED = 2,
	/**
	 * A node has changed. A parent: what its types have left, or the driver said that something has changed. A device: the
	 * driver said so, or its definition is another.
	 */
	MDEV_EVENT_UPDATED = 3,
	/**
	 * A device was defined.
	 */
	MDEV_EVENT_DEFINED = 4,
	/**
	 * A definition is gone.
	 */
	MDEV_EVENT_UNDEFINED = 5,
	/**
	 * Events were lost, since they were not fetched in time: list again. No node comes with it. What is told afterwards is
	 * right.
	 */
	MDEV_EVENT_OVERRUN = 6,
} mdev_event_type;

/**
 * What went wrong, finer than an errno. A number is never given to another meaning.
 *
 * Since: 0.1.
 */
typedef enum mdev_error_code {
	/**
	 * A fault of the library itself; please report it.
	 */
	MDEV_ERROR_INTERNAL = 1,
	/**
	 * An argument is NULL, too long, or not of the form that the function takes.
	 */
	MDEV_ERROR_INVALID_ARGUMENT = 2,
	/**
	 * A handle is NULL, of the wrong kind or no longer alive.
	 */
	MDEV_ERROR_INVALID_HANDLE = 3,
	/**
	 * A flag bit that this function does not know.
	 */
	MDEV_ERROR_INVALID_FLAGS = 4,
	/**
	 * A connection URI that names no host.
	 */
	MDEV_ERROR_INVALID_URI = 5,
	/**
	 * The text is not well-formed XML, or its root element is not the one expected.
	 */
	MDEV_ERROR_XML_SYNTAX = 6,
	/**
	 * The XML is well-formed, but an element or a value in it is wrong or missing.
	 */
	MDEV_ERROR_XML_CONTENT = 7,
	/**
	 * The XML is larger or deeper than is accepted.
	 */
	MDEV_ERROR_XML_LIMIT = 8,
	/**
	 * No node device of that name or UUID.
	 */
	MDEV_ERROR_NO_NODE = 9,
	/**
	 * The parent device does not exist or cannot create mediated devices.
	 */
	MDEV_ERROR_NO_PARENT = 10,
	/**
	 * The parent has no such type.
	 */
	MDEV_ERROR_NO_TYPE = 11,
	/**
	 * The name or the UUID is taken.
	 */
	MDEV_ERROR_EXISTS = 12,
	/**
	 * The type has no instances left.
	 */
	MDEV_ERROR_NO_INSTANCES = 13,
	/**
	 * A process holds the device open.
	 */
	MDEV_ERROR_IN_USE = 14,
	/**
	 * The sysfs layout of this parent has no such thing.
	 */
	MDEV_ERROR_NOT_SUPPORTED = 15,
	/**
	 * Parameters were given, but the type takes none.
	 */
	MDEV_ERROR_PARAMS_NOT_SUPPORTED = 16,
	/**
	 * A group was given, but the type wants none.
	 */
	MDEV_ERROR_GROUP_NOT_SUPPORTED = 17,
	/**
	 * The caller may not do this.
	 */
	MDEV_ERROR_ACCESS_DENIED = 18,
	/**
	 * The device belongs to another owner.
	 */
	MDEV_ERROR_NOT_OWNER = 19,
	/**
	 * The deadline passed.
	 */
	MDEV_ERROR_TIMEOUT = 20,
	/**
	 * The kernel refused; the errno is the kernel's own.
	 */
	MDEV_ERROR_KERNEL = 21,
	/**
	 * A file of the kernel holds something that cannot be understood.
	 */
	MDEV_ERROR_BAD_DATA = 22,
	/**
	 * A file under /run/libmdev or /etc/mdevctl.d could not be read or written.
	 */
	MDEV_ERROR_STORE = 23,
	/**
	 * The node has no such value.
	 */
	MDEV_ERROR_NO_DATA = 24,
	/**
	 * The device has no such attribute, or it may not be read or written.
	 */
	MDEV_ERROR_NO_ATTRIBUTE = 25,
	/**
	 * A panic was caught at the C boundary.
	 */
	MDEV_ERROR_PANIC = 26,
	/**
	 * The kernel took the request, but the device did not become usable.
	 */
	MDEV_ERROR_NOT_READY = 27,
	/**
	 * More than one node answers to this; name one of them.
	 */
	MDEV_ERROR_AMBIGUOUS = 28,
	/**
	 * The node is not in the state that this needs: it does not run, runs already, or has no definition.
	 */
	MDEV_ERROR_WRONG_STATE = 29,
	/**
	 * A call-out of mdevctl's has refused, or did not end in time.
	 */
	MDEV_ERROR_CALLOUT = 30,
} mdev_error_code;

/**
 * The severity of a finding.
 *
 * Since: 0.1.
 */
typedef enum mdev_severity {
	/**
	 * No action is needed.
	 */
	MDEV_SEVERITY_NOTE = 1,
	/**
	 * An object is missing in a list, or its data is incomplete.
	 */
	MDEV_SEVERITY_WARNING = 2,
	/**
	 * An object cannot be used before it is repaired.
	 */
	MDEV_SEVERITY_ERROR = 3,
} mdev_severity;

/**
 * Which nodes mdev_conn_list() returns. MDEV_LIST_PARENTS and MDEV_LIST_DEVICES select the kind: without either, both are
 * listed. MDEV_LIST_ACTIVE and MDEV_LIST_INACTIVE select the state: without either, active nodes are listed. Parents are always
 * active.
 *
 * Since: 0.1.
 */
typedef enum mdev_list_flags {
	/**
	 * Devices that can create mediated devices.
	 */
	MDEV_LIST_PARENTS = 1,
	/**
	 * Mediated devices.
	 */
	MDEV_LIST_DEVICES = 2,
	/**
	 * Nodes that exist in the kernel.
	 */
	MDEV_LIST_ACTIVE = 4,
	/**
	 * Devices that are defined, but not started.
	 */
	MDEV_LIST_INACTIVE = 8,
	/**
	 * Parents come without their types, which are most of what a list costs: for who wants names and states.
	 * mdev_device_list_types() of such a parent is -ENODATA; look it up by its name, or dump it.
	 */
	MDEV_LIST_NO_TYPES = 16,
} mdev_list_flags;

/**
 * How mdev_conn_create_xml() and mdev_conn_create_group_xml() create.
 *
 * Since: 0.1.
 */
typedef enum mdev_create_flags {
	/**
	 * A device with the same UUID, parent and type is success: it is returned.
	 */
	MDEV_CREATE_EXIST_OK = 1,
	/**
	 * Where the XML leaves the choice of a parent, fill those first that have devices already.
	 */
	MDEV_CREATE_PACK = 2,
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_CREATE_NO_CALLOUTS = 4,
	/**
	 * Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead of
	 * refusing them with -EINVAL.
	 */
	MDEV_CREATE_IGNORE_UNKNOWN = 8,
} mdev_create_flags;

/**
 * How mdev_conn_destroy_uuid(), mdev_device_destroy() and mdev_conn_destroy_incomplete() destroy.
 *
 * Since: 0.1.
 */
typedef enum mdev_destroy_flags {
	/**
	 * Refuse with -EPERM what the owner of this connection (see mdev_conn_set_owner()) has not made.
	 */
	MDEV_DESTROY_OWNED = 1,
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_DESTROY_NO_CALLOUTS = 2,
} mdev_destroy_flags;

/**
 * How mdev_conn_define_xml() works; mdev_device_undefine() takes only MDEV_DEFINE_NO_CALLOUTS.
 *
 * Since: 0.1.
 */
typedef enum mdev_define_flags {
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_DEFINE_NO_CALLOUTS = 1,
	/**
	 * The device is started when its parent appears, as after mdev_device_set_autostart(), in one step and with one call-out.
	 * Without, a new definition is not, and one that is changed stays as it was.
	 */
	MDEV_DEFINE_AUTOSTART = 2,
	/**
	 * Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead of
	 * refusing them with -EINVAL.
	 */
	MDEV_DEFINE_IGNORE_UNKNOWN = 4,
} mdev_define_flags;

/**
 * How mdev_device_start() and mdev_conn_autostart() work.
 *
 * Since: 0.1.
 */
typedef enum mdev_start_flags {
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_START_NO_CALLOUTS = 1,
} mdev_start_flags;

/**
 * Which XML mdev_device_get_xml() prints.
 *
 * Since: 0.1.
 */
typedef enum mdev_xml_flags {
	/**
	 * Today's libvirt schema (nodedev.rng) instead of the founding proposal's.
	 */
	MDEV_XML_LIBVIRT = 1,
	/**
	 * Print the definition of a device, also while the device runs. -ENOENT if it has no definition. No effect on a parent.
	 */
	MDEV_XML_INACTIVE = 2,
} mdev_xml_flags;

/**
 * How mdev_device_get_qemu_args() attaches a device.
 *
 * Since: 0.1.
 */
typedef enum mdev_qemu_flags {
	/**
	 * Use IOMMUFD and the device's own node /dev/vfio/devices/vfioN instead of its VFIO group. QEMU 8.2 and later.
	 */
	MDEV_QEMU_IOMMUFD = 1,
} mdev_qemu_flags;

/**
 * What can be done with an attribute of a node: mdev_device_get_attr_access().
 *
 * Since: 0.1.
 */
typedef enum mdev_attr_access {
	/**
	 * It has a value: mdev_device_get_attr().
	 */
	MDEV_ATTR_READ = 1,
	/**
	 * It takes a value: mdev_device_set_attr().
	 */
	MDEV_ATTR_WRITE = 2,
} mdev_attr_access;

/**
 * How important a log line is.
 *
 * Since: 0.1.
 */
typedef enum mdev_log_level {
	/**
	 * Something could not be done.
	 */
	MDEV_LOG_ERROR = 1,
	/**
	 * Something is odd, and was left out or replaced.
	 */
	MDEV_LOG_WARNING = 2,
	/**
	 * Something was changed on the host.
	 */
	MDEV_LOG_INFO = 3,
	/**
	 * Steps on the way.
	 */
	MDEV_LOG_DEBUG = 4,
} mdev_log_level;

/**
 * A host: this one, one below another root, or a simulated one.
 *
 * Any number of threads may use one connection at the same time. A child of fork() opens its own.
 *
 * Since: 0.1.
 */
typedef struct mdev_conn mdev_conn;

/**
 * A node: a parent, which can create mediated devices, or a mediated device. A snapshot of the moment when it was listed,
 * looked up or created; it never changes, and any number of threads may use it at the same time.
 *
 * Since: 0.1.
 */
typedef struct mdev_device mdev_device;

/**
 * Why a call failed; see mdev_last_error().
 *
 * Since: 0.1.
 */
typedef struct mdev_error mdev_error;

/**
 * Something that happened, with the node as it was then.
 *
 * Since: 0.1.
 */
typedef struct mdev_event mdev_event;

/**
 * One problem of a host: an object that a list leaves out or shows incompletely, and the cause.
 *
 * Since: 0.1.
 */
typedef struct mdev_finding mdev_finding;

/**
 * A source of events for a program that polls: one descriptor, no thread. It remembers the nodes of its host.
 *
 * Since: 0.1.
 */
typedef struct mdev_monitor mdev_monitor;

/**
 * A type of a parent: a snapshot that lives as long as the parent's handle.
 *
 * Since: 0.1.
 */
typedef struct mdev_type mdev_type;

/**
 * A function that wants to know of events; see mdev_conn_event_register(). The event is a loan.
 *
 * Since: 0.1.
 */
typedef void (*mdev_event_callback)(struct mdev_conn *conn, struct mdev_event *ev, void *data);

/**
 * A function that gets back what a callback was registered with, when that is over.
 *
 * Since: 0.1.
 */
typedef void (*mdev_free_callback)(void *data);

/**
 * A node-device driver as a table of functions: first the callbacks of libvirt's node-device driver, in its order and
 * sense, then everything else. One callback of libvirt is left out: nodeDeviceLookupSCSIHostByWWN, which follows
 * nodeDeviceLookupByName in libvirt's table, since no mediated device is a SCSI host. A member has the rules of the exported
 * function that it names. Members are only appended; what is NULL is not supported: ask MDEV_DRIVER_HAS(). Static, constant,
 * shared by all threads.
 *
 * Since: 0.1. Follows: libvirt's src/driver-nodedev.h.
 */
typedef struct mdev_driver {
	/**
	 * How large the library's table is, in bytes. Since 0.1.
	 */
	size_t size;
	/**
	 * MDEV_DRIVER_ABI. Since 0.1.
	 */
	uint32_t abi;
	/**
	 * No bit has a meaning yet: 0. Since 0.1.
	 */
	uint32_t features;
	/**
	 * "mdev". Since 0.1.
	 */
	const char *name;
	/**
	 * mdev_conn_open(). Since 0.1.
	 */
	int (*open)(struct mdev_conn **ret, const char *uri, unsigned int flags);
	/**
	 * mdev_conn_unref(). Since 0.1.
	 */
	struct mdev_conn *(*close)(struct mdev_conn *conn);
	/**
	 * How many parents and active devices have the capability cap: "pci", "css", "ap_matrix" (what a parent is on its
	 * bus), "mdev_types" (parents), "mdev" (devices); NULL: all. flags: 0. Since 0.1.
	 */
	int (*num_of_devices)(struct mdev_conn *conn, const char *cap, unsigned int flags);
	/**
	 * The names of the nodes that num_of_devices counts, at most maxnames of them, into names; returns how many. The caller
	 * frees each with free(). Since 0.1.
	 */
	int (*list_devices)(struct mdev_conn *conn, const char *cap, char **names, int maxnames, unsigned int flags);
	/**
	 * mdev_conn_list(). Since 0.1.
	 */
	int (*list_all_devices)(struct mdev_conn *conn, struct mdev_device ***ret, unsigned int flags);
	/**
	 * mdev_monitor_new(). Since 0.1.
	 */
	int (*event_register)(struct mdev_monitor **ret, struct mdev_conn *conn, unsigned int flags);
	/**
	 * mdev_monitor_unref(). Since 0.1.
	 */
	struct mdev_monitor *(*event_deregister)(struct mdev_monitor *mon);
	/**
	 * mdev_conn_lookup_by_name(). Since 0.1.
	 */
	int (*lookup_by_name)(struct mdev_conn *conn, const char *name, struct mdev_device **ret);
	/**
	 * mdev_device_get_xml(). Since 0.1.
	 */
	int (*get_xml_desc)(struct mdev_device *dev, char **ret, unsigned int flags);
	/**
	 * mdev_device_get_parent(). Since 0.1.
	 */
	int (*get_parent)(struct mdev_device *dev, const char **ret);
	/**
	 * How many capabilities a node has. Since 0.1.
	 */
	int (*num_of_caps)(struct mdev_device *dev);
	/**
	 * The capabilities of a node, at most maxnames of them, into names; returns how many. The caller frees each with free().
	 * Since 0.1.
	 */
	int (*list_caps)(struct mdev_device *dev, char **names, int maxnames);
	/**
	 * mdev_conn_create_xml(). Since 0.1.
	 */
	int (*create_xml)(struct mdev_conn *conn, const char *xml, struct mdev_device **ret, unsigned int flags);
	/**
	 * mdev_device_destroy(). Since 0.1.
	 */
	int (*destroy)(struct mdev_device *dev, unsigned int flags);
	/**
	 * mdev_conn_define_xml(). Since 0.1.
	 */
	int (*define_xml)(struct mdev_conn *conn, const char *xml, struct mdev_device **ret, unsigned int flags);
	/**
	 * mdev_device_undefine(). Since 0.1.
	 */
	int (*undefine)(struct mdev_device *dev, unsigned int flags);
	/**
	 * mdev_device_start(). Since 0.1.
	 */
	int (*create)(struct mdev_device *dev, unsigned int flags);
	/**
	 * mdev_device_set_autostart(). Since 0.1.
	 */
	int (*set_autostart)(struct mdev_device *dev, int autostart);
	/**
	 * mdev_device_get_autostart(). Since 0.1.
	 */
	int (*get_autostart)(struct mdev_device *dev, int *ret);
	/**
	 * mdev_device_is_persistent(). Since 0.1.
	 */
	int (*is_persistent)(struct mdev_device *dev);
	/**
	 * mdev_device_is_active(). Since 0.1.
	 */
	int (*is_active)(struct mdev_device *dev);
	/**
	 * mdev_conn_destroy_uuid(). Since 0.1.
	 */
	int (*destroy_uuid)(struct mdev_conn *conn, const char *uuid, unsigned int flags);
	/**
	 * mdev_device_list_types(). Since 0.1.
	 */
	int (*list_types)(struct mdev_device *parent, const struct mdev_type *const **ret);
	/**
	 * mdev_last_error(). Since 0.1.
	 */
	const struct mdev_error *(*last_error)(void);
	/**
	 * mdev_conn_ref(). Since 0.1.
	 */
	struct mdev_conn *(*conn_ref)(struct mdev_conn *conn);
	/**
	 * mdev_conn_dump_xml(). Since 0.1.
	 */
	int (*conn_dump_xml)(struct mdev_conn *conn, char **ret, unsigned int flags);
	/**
	 * mdev_conn_lookup_by_uuid(). Since 0.1.
	 */
	int (*conn_lookup_by_uuid)(struct mdev_conn *conn, const char *uuid, struct mdev_device **ret);
	/**
	 * mdev_conn_create_group_xml(). Since 0.1.
	 */
	int (*conn_create_group_xml)(struct mdev_conn *conn,
				     const char *const *xmls,
				     size_t n,
				     struct mdev_device ***ret,
				     unsigned int flags);
	/**
	 * mdev_conn_set_owner(). Since 0.1.
	 */
	int (*conn_set_owner)(struct mdev_conn *conn, const char *owner);
	/**
	 * mdev_conn_wait_parent(). Since 0.1.
	 */
	int (*conn_wait_parent)(struct mdev_conn *conn, const char *name, int timeout_ms, struct mdev_device **ret);
	/**
	 * mdev_device_ref(). Since 0.1.
	 */
	struct mdev_device *(*device_ref)(struct mdev_device *dev);
	/**
	 * mdev_device_unref(). Since 0.1.
	 */
	struct mdev_device *(*device_unref)(struct mdev_device *dev);
	/**
	 * mdev_device_list_free(). Since 0.1.
	 */
	void (*device_list_free)(struct mdev_device **list);
	/**
	 * mdev_device_get_name(). Since 0.1.
	 */
	int (*device_get_name)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_syspath(). Since 0.1.
	 */
	int (*device_get_syspath)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_layout(). Since 0.1.
	 */
	int (*device_get_layout)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_is_parent(). Since 0.1.
	 */
	int (*device_is_parent)(struct mdev_device *dev);
	/**
	 * mdev_device_get_uuid(). Since 0.1.
	 */
	int (*device_get_uuid)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_type_id(). Since 0.1.
	 */
	int (*device_get_type_id)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_group(). Since 0.1.
	 */
	int (*device_get_group)(struct mdev_device *dev, unsigned int *ret);
	/**
	 * mdev_device_get_iommu_group(). Since 0.1.
	 */
	int (*device_get_iommu_group)(struct mdev_device *dev, unsigned int *ret);
	/**
	 * mdev_device_get_owner(). Since 0.1.
	 */
	int (*device_get_owner)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_numa_node(). Since 0.1.
	 */
	int (*device_get_numa_node)(struct mdev_device *dev, int *ret);
	/**
	 * mdev_device_get_physical_function(). Since 0.1.
	 */
	int (*device_get_physical_function)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_qemu_device(). Since 0.1.
	 */
	int (*device_get_qemu_device)(struct mdev_device *dev, char **ret);
	/**
	 * mdev_device_get_qmp_device_add(). Since 0.1.
	 */
	int (*device_get_qmp_device_add)(struct mdev_device *dev, const char *id, char **ret);
	/**
	 * mdev_device_get_hostdev_xml(). Since 0.1.
	 */
	int (*device_get_hostdev_xml)(struct mdev_device *dev, char **ret);
	/**
	 * mdev_device_get_attr(). Since 0.1.
	 */
	int (*device_get_attr)(struct mdev_device *dev, const char *name, char **ret);
	/**
	 * mdev_device_set_attr(). Since 0.1.
	 */
	int (*device_set_attr)(struct mdev_device *dev, const char *name, const char *value);
	/**
	 * mdev_device_reset(). Since 0.1.
	 */
	int (*device_reset)(struct mdev_device *dev);
	/**
	 * mdev_device_set_online(). Since 0.1.
	 */
	int (*device_set_online)(struct mdev_device *dev, int online);
	/**
	 * mdev_device_find_type(). Since 0.1.
	 */
	int (*device_find_type)(struct mdev_device *parent, const char *id_or_name, const struct mdev_type **ret);
	/**
	 * mdev_type_get_id(). Since 0.1.
	 */
	const char *(*type_get_id)(const struct mdev_type *type);
	/**
	 * mdev_type_get_name(). Since 0.1.
	 */
	const char *(*type_get_name)(const struct mdev_type *type);
	/**
	 * mdev_type_get_device_api(). Since 0.1.
	 */
	const char *(*type_get_device_api)(const struct mdev_type *type);
	/**
	 * mdev_type_get_description(). Since 0.1.
	 */
	const char *(*type_get_description)(const struct mdev_type *type);
	/**
	 * mdev_type_get_attr(). Since 0.1.
	 */
	const char *(*type_get_attr)(const struct mdev_type *type, const char *name);
	/**
	 * mdev_type_get_available_instances(). Since 0.1.
	 */
	int (*type_get_available_instances)(const struct mdev_type *type, unsigned int *ret);
	/**
	 * mdev_type_requires_group(). Since 0.1.
	 */
	int (*type_requires_group)(const struct mdev_type *type);
	/**
	 * mdev_error_get_code(). Since 0.1.
	 */
	int (*error_get_code)(const struct mdev_error *err);
	/**
	 * mdev_error_get_errno(). Since 0.1.
	 */
	int (*error_get_errno)(const struct mdev_error *err);
	/**
	 * mdev_error_get_message(). Since 0.1.
	 */
	const char *(*error_get_message)(const struct mdev_error *err);
	/**
	 * mdev_error_get_path(). Since 0.1.
	 */
	const char *(*error_get_path)(const struct mdev_error *err);
	/**
	 * mdev_set_log_handler(). Since 0.1.
	 */
	void (*set_log_handler)(void (*handler)(int level, const char *message, void *data), void *data, int max_level);
	/**
	 * mdev_version(). Since 0.1.
	 */
	const char *(*version)(void);
	/**
	 * mdev_conn_autostart(). Since 0.1.
	 */
	int (*conn_autostart)(struct mdev_conn *conn, const char *parent, unsigned int flags);
	/**
	 * mdev_monitor_get_fd(). Since 0.1.
	 */
	int (*monitor_get_fd)(struct mdev_monitor *mon);
	/**
	 * mdev_monitor_receive(). Since 0.1.
	 */
	int (*monitor_receive)(struct mdev_monitor *mon, struct mdev_event **ret);
	/**
	 * mdev_event_get_type(). Since 0.1.
	 */
	enum mdev_event_type (*event_get_type)(const struct mdev_event *ev);
	/**
	 * mdev_event_get_device(). Since 0.1.
	 */
	int (*event_get_device)(const struct mdev_event *ev, struct mdev_device **ret);
	/**
	 * mdev_event_unref(). Since 0.1.
	 */
	struct mdev_event *(*event_unref)(struct mdev_event *ev);
	/**
	 * mdev_device_get_params(). Since 0.1.
	 */
	int (*device_get_params)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_list_attrs(). Since 0.1.
	 */
	int (*device_list_attrs)(struct mdev_device *dev, char ***ret);
	/**
	 * mdev_device_get_attr_access(). Since 0.1.
	 */
	int (*device_get_attr_access)(struct mdev_device *dev, const char *name, unsigned int *ret);
	/**
	 * mdev_type_list_attrs(). Since 0.1.
	 */
	int (*type_list_attrs)(const struct mdev_type *type, const char *const **ret);
	/**
	 * mdev_monitor_ref(). Since 0.1.
	 */
	struct mdev_monitor *(*monitor_ref)(struct mdev_monitor *mon);
	/**
	 * mdev_monitor_set_buffer_size(). Since 0.1.
	 */
	int (*monitor_set_buffer_size)(struct mdev_monitor *mon, size_t bytes);
	/**
	 * mdev_event_ref(). Since 0.1.
	 */
	struct mdev_event *(*event_ref)(struct mdev_event *ev);
	/**
	 * mdev_conn_event_register(). Since 0.1.
	 */
	int (*conn_event_register)(struct mdev_conn *conn,
				   mdev_event_callback callback,
				   void *data,
				   mdev_free_callback free_data,
				   unsigned int flags);
	/**
	 * mdev_conn_event_deregister(). Since 0.1.
	 */
	int (*conn_event_deregister)(struct mdev_conn *conn, int id);
	/**
	 * mdev_conn_get_fd(). Since 0.1.
	 */
	int (*conn_get_fd)(struct mdev_conn *conn);
	/**
	 * mdev_conn_dispatch(). Since 0.1.
	 */
	int (*conn_dispatch)(struct mdev_conn *conn);
	/**
	 * mdev_type_get_capacity(). Since 0.1.
	 */
	int (*type_get_capacity)(const struct mdev_type *type, unsigned int *ret, int *is_upper_bound);
	/**
	 * mdev_device_get_qemu_args(). Since 0.1.
	 */
	int (*device_get_qemu_args)(struct mdev_device *dev, char **ret, unsigned int flags);
	/**
	 * mdev_conn_list_problems(). Since 0.1.
	 */
	int (*conn_list_problems)(struct mdev_conn *conn, struct mdev_finding ***ret, unsigned int flags);
	/**
	 * mdev_finding_get_severity(). Since 0.1.
	 */
	int (*finding_get_severity)(const struct mdev_finding *finding);
	/**
	 * mdev_finding_get_code(). Since 0.1.
	 */
	int (*finding_get_code)(const struct mdev_finding *finding);
	/**
	 * mdev_finding_get_object(). Since 0.1.
	 */
	const char *(*finding_get_object)(const struct mdev_finding *finding);
	/**
	 * mdev_finding_get_message(). Since 0.1.
	 */
	const char *(*finding_get_message)(const struct mdev_finding *finding);
	/**
	 * mdev_finding_get_next_step(). Since 0.1.
	 */
	const char *(*finding_get_next_step)(const struct mdev_finding *finding);
	/**
	 * mdev_finding_list_free(). Since 0.1.
	 */
	void (*finding_list_free)(struct mdev_finding **list);
	/**
	 * mdev_device_list_definition_attrs(). Since 0.1.
	 */
	int (*device_list_definition_attrs)(struct mdev_device *dev,
					    const char *const **names,
					    const char *const **values);
	/**
	 * mdev_conn_destroy_incomplete(). Since 0.1.
	 */
	int (*conn_destroy_incomplete)(struct mdev_conn *conn, const char *owner, unsigned int flags);
} mdev_driver;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that is running, which may be newer than the header that was compiled against.
 *
 * Thread-safe; touches nothing.
 *
 * @return "MAJOR.MINOR.PATCH", static, never NULL.
 *
 * Since: 0.1. Follows: virGetVersion.
 */
const char *mdev_version(void);

/**
 * Why the last call of this thread failed.
 *
 * A failure that is returned as a negative number sets it. A call that can fail clears it on entry. Getters, that is
 * those functions that only tell what a handle knows already, leave it alone unless they fail themselves; ref, unref,
 * free, mdev_error_*, mdev_version() and functions that return a const char * never touch it.
 *
 * @return NULL when the last call of this thread went well; else an error that belongs to this thread, for which it is
 * valid until the next call of this thread that fails, or the end of the thread. Do not hand it to another thread; do not
 * free it.
 *
 * Since: 0.1. Follows: virGetLastError.
 */
const struct mdev_error *mdev_last_error(void);

/**
 * The code of an error.
 *
 * @param err from mdev_last_error()
 * @return one of enum mdev_error_code; -EINVAL when err is NULL or not an error.
 *
 * Since: 0.1. Follows: virErrorPtr's code.
 */
int mdev_error_get_code(const struct mdev_error *err);

/**
 * The errno of an error: what the failed call returned, without the minus sign.
 *
 * @param err from mdev_last_error()
 * @return a positive errno; -EINVAL when err is NULL or not an error.
 *
 * Since: 0.1.
 */
int mdev_error_get_errno(const struct mdev_error *err);

/**
 * What went wrong, as one English sentence that names the object, the file and what to do. For people: the words may
 * change, programs look at the code.
 *
 * @param err from mdev_last_error()
 * @return one line of UTF-8 that lives as long as the error; NULL when err is NULL or not an error.
 *
 * Since: 0.1. Follows: virGetLastErrorMessage.
 */
const char *mdev_error_get_message(const struct mdev_error *err);

/**
 * The file or directory concerned.
 *
 * @param err from mdev_last_error()
 * @return an absolute path that lives as long as the error; NULL when no file is concerned, or err is NULL or not an error.
 *
 * Since: 0.1.
 */
const char *mdev_error_get_path(const struct mdev_error *err);

/**
 * Sends the library's log lines to a function of the caller's. Without one, nothing is logged anywhere. There is one
 * handler in a process; a new one takes the place of the old one.
 *
 * The handler is called in the thread whose call caused the line, shortly before that call returns, and possibly by
 * several threads at a time. It may call the library; lines that this causes are dropped. It must not throw or longjmp.
 * A call that runs in another thread while the handler is changed may still call the old one once it is done.
 *
 * @param handler gets a level of enum mdev_log_level, one line of UTF-8 that it may use until it returns, and data;
 * NULL: no more logs
 * @param data handed to the handler as it is; it must stay valid while calls of other threads may still use the handler
 * @param max_level lines up to this level, MDEV_LOG_ERROR to MDEV_LOG_DEBUG; 0 or less: none
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: virSetErrorFunc, libbpf_set_print.
 */
void mdev_set_log_handler(void (*handler)(int level, const char *message, void *data), void *data, int max_level);

/**
 * Opens a connection. Checks that the root directory, or the dump, can be read; needs no privilege.
 *
 * @param ret where the connection goes, owned by the caller: mdev_conn_unref()
 * @param uri NULL or "mdev:///system": this host; "mdev:///system?root=/DIR": the sys, etc and run folders below DIR;
 * "test:///default": the built-in simulated host; "test:///ABS/PATH.xml": a host dumped by mdev_conn_dump_xml(). Below
 * /DIR no symbolic link of sysfs or /dev leads out of it. The call-outs that are installed below /DIR run with the rights
 * of the caller: name only a tree that you trust, or use the NO_CALLOUTS flags. The library reads no environment variable:
 * MDEV_DEFAULT_URI is the default of the program nodedev alone
 * @param flags 0
 * @return 0; -EINVAL: an argument, the URI or the dumped host is bad; -ELOOP: a folder below /DIR in which the library keeps
 * its files is a symbolic link; -ENOENT, -EACCES and other errnos of the kernel: the place that the URI names cannot be opened.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectOpen.
 */
int mdev_conn_open(struct mdev_conn **ret,
		   const char *uri,
		   unsigned int flags);

/**
 * Takes another reference.
 *
 * @param conn a connection, or NULL
 * @return conn; NULL when it is NULL or not a connection.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: virConnectRef.
 */
struct mdev_conn *mdev_conn_ref(struct mdev_conn *conn);

/**
 * Gives a reference up; the last one closes the connection. Nodes that came from it stay usable and keep the host open.
 *
 * @param conn a connection, or NULL
 * @return NULL, so that conn = mdev_conn_unref(conn) leaves no stale pointer.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: virConnectClose.
 */
struct mdev_conn *mdev_conn_unref(struct mdev_conn *conn);

/**
 * Dumps the whole host, as far as a node-device driver looks at it, to one text. Written to a file, it can be opened again
 * as test:///ABS/PATH.xml, on any machine.
 *
 * @param conn a connection
 * @param ret where the text goes; the caller frees it with free()
 * @param flags 0
 * @return 0; -EINVAL: an argument is bad; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectGetCapabilities.
 */
int mdev_conn_dump_xml(struct mdev_conn *conn,
		       char **ret,
		       unsigned int flags);

/**
 * Lists nodes: a snapshot of every parent with its types, and of every device, whoever made it. A node that cannot be read
 * in full is listed with what is known, and logged; it never hides another.
 *
 * @param conn a connection
 * @param ret where the NULL-terminated array goes; the caller frees it with mdev_device_list_free()
 * @param flags of enum mdev_list_flags; 0: every parent and every active device
 * @return the number of nodes; -EINVAL: an argument is bad; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectListAllNodeDevices; Documentation/ABI/testing/sysfs-bus-vfio-mdev.
 */
int mdev_conn_list(struct mdev_conn *conn,
		   struct mdev_device ***ret,
		   unsigned int flags);

/**
 * Finds a node by its name. A parent may also be named by its address ("0000:86:00.0", in any case) or its sysfs path. A device
 * is found by its UUID with mdev_conn_lookup_by_uuid().
 *
 * @param conn a connection
 * @param name the name
 * @param ret where the node goes, owned by the caller: mdev_device_unref()
 * @return 0; -ENODEV: there is none; -EINVAL: an argument is bad; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceLookupByName.
 */
int mdev_conn_lookup_by_name(struct mdev_conn *conn,
			     const char *name,
			     struct mdev_device **ret);

/**
 * Finds a mediated device by its UUID.
 *
 * @param conn a connection
 * @param uuid 36 characters with the dashes, or 32 hexadecimal digits, in any case
 * @param ret where the node goes, owned by the caller: mdev_device_unref()
 * @return 0; -ENODEV: there is none; -ENOTUNIQ: it is defined under several parents and runs on none, look one up by its name;
 * -EBADMSG and others: its definition cannot be used, or -EACCES: whether there is one cannot be told; -EINVAL: an argument is
 * bad, or not a UUID; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virDomainLookupByUUIDString; /sys/bus/mdev/devices.
 */
int mdev_conn_lookup_by_uuid(struct mdev_conn *conn,
			     const char *uuid,
			     struct mdev_device **ret);

/**
 * Creates a mediated device. When this returns it is ready to be used: its folder is there and, where the layout has them,
 * its IOMMU group and /dev/vfio node. When it fails, nothing is left behind.
 *
 * @param conn a connection
 * @param xml a device element in either dialect, UTF-8
 * @param ret where the new node goes, owned by the caller: mdev_device_unref()
 * @param flags of enum mdev_create_flags
 * @return 0; -EINVAL: an argument or the XML is bad; -ENODEV: no such parent, or no such type; -EEXIST: the name or the UUID is
 * taken; -ENOSPC: the type has no instances left; -EOPNOTSUPP: the layout has not what the XML asks for; -ECANCELED,
 * -ETIMEDOUT: a call-out of mdevctl's has refused, or hangs; -EACCES: no permission; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceCreateXML; drivers/vfio/mdev/mdev_sysfs.c.
 */
int mdev_conn_create_xml(struct mdev_conn *conn,
			 const char *xml,
			 struct mdev_device **ret,
			 unsigned int flags);

/**
 * Creates several devices for one guest, all or none, in one group where their type requires a group.
 *
 * @param conn a connection
 * @param xmls n device elements, as for mdev_conn_create_xml()
 * @param n how many, 1 to 64
 * @param ret where the NULL-terminated array of the new nodes goes, in the order of xmls; the caller frees it with
 * mdev_device_list_free()
 * @param flags of enum mdev_create_flags
 * @return n; errors as of mdev_conn_create_xml(), with none of the devices left behind. If the process is killed during the
 * call, some of the devices may remain: see mdev_conn_destroy_incomplete().
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: the founding proposal's group.
 */
int mdev_conn_create_group_xml(struct mdev_conn *conn,
			       const char *const *xmls,
			       size_t n,
			       struct mdev_device ***ret,
			       unsigned int flags);

/**
 * Destroys a mediated device, also one that another program created. When this returns, the device no longer exists. If a
 * process has the device open, fails immediately with -EBUSY and changes nothing; the kernel itself would block. A caller in a
 * container needs the PID namespace of the host, see mdev_device_destroy().
 *
 * @param conn a connection
 * @param uuid of the device, 36 characters, in any case
 * @param flags of enum mdev_destroy_flags
 * @return 0; -ENODEV: there is none; -EBUSY: it is in use, or that cannot be determined; -EPERM: it is not the owner's (MDEV_DESTROY_OWNED);
 * -ECANCELED, -ETIMEDOUT: a call-out of mdevctl's has refused, or hangs; -EACCES: no permission; -EINVAL: an argument is bad; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDestroy; drivers/vfio/mdev/mdev_core.c.
 */
int mdev_conn_destroy_uuid(struct mdev_conn *conn,
			   const char *uuid,
			   unsigned int flags);

/**
 * Destroys the devices of incomplete groups: a process that is killed inside mdev_conn_create_group_xml() can leave some of the
 * devices of its group. mdev_conn_list_problems() reports each such group. A group that a running process creates is left alone.
 * mdev_conn_create_group_xml() first does the same for the owner of its connection.
 *
 * @param conn a connection
 * @param owner only groups of this owner: mdev_conn_set_owner(); NULL: every incomplete group
 * @param flags 0 or MDEV_DESTROY_NO_CALLOUTS
 * @return how many devices were destroyed; -EINVAL: an argument is bad, or MDEV_DESTROY_OWNED is given: use owner instead. If a
 * device cannot be destroyed, the others are destroyed all the same, mdev_last_error() names the device, and its group stays
 * incomplete. The errno is then -EBUSY: the device is in use; -ECANCELED, -ETIMEDOUT: a call-out of mdevctl refused or hangs;
 * -ENODATA: another program may have created the device (mdev_last_error() has the next step); -EACCES: no permission; other
 * errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1.
 */
int mdev_conn_destroy_incomplete(struct mdev_conn *conn,
				 const char *owner,
				 unsigned int flags);

/**
 * Names the owner that is recorded on every device that this connection creates or defines from now on, so that several
 * stacks can share a host: mdev_device_get_owner(), MDEV_DESTROY_OWNED. What is defined has its owner whoever starts it.
 *
 * @param conn a connection
 * @param owner a short word such as the stack's name; NULL: none
 * @return 0; -EINVAL: an argument is bad.
 *
 * Thread-safe; of two calls at the same time one wins. Since: 0.1.
 */
int mdev_conn_set_owner(struct mdev_conn *conn,
			const char *owner);

/**
 * Waits until a parent exists and offers at least one type. Sleeps until the kernel sends an event. The kernel sends none for
 * new types of an existing parent, so a parent without types is read once a second.
 *
 * @param conn a connection
 * @param name of the parent, as for mdev_conn_lookup_by_name()
 * @param timeout_ms how long, in milliseconds; 0: only look; negative: for ever
 * @param ret where the parent goes, owned by the caller: mdev_device_unref(); of a PF whose VFs are the parents, the first VF
 * @return 0; -ETIMEDOUT: the parent does not exist or offers no type, the message says which; -EINVAL: an argument is bad;
 * errnos of the kernel.
 *
 * Thread-safe. Log lines of a call come when it ends. Since: 0.1. Follows: uevents of drivers/base/core.c.
 */
int mdev_conn_wait_parent(struct mdev_conn *conn,
			  const char *name,
			  int timeout_ms,
			  struct mdev_device **ret);

/**
 * Takes another reference.
 *
 * @param dev a node, or NULL
 * @return dev; NULL when it is NULL or not a node.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: virNodeDeviceRef.
 */
struct mdev_device *mdev_device_ref(struct mdev_device *dev);

/**
 * Gives a reference up; with the last one, the strings and types that came from this node go, too. The device itself
 * stays as it is: see mdev_device_destroy().
 *
 * @param dev a node, or NULL
 * @return NULL
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: virNodeDeviceFree.
 */
struct mdev_device *mdev_device_unref(struct mdev_device *dev);

/**
 * Gives up one reference of each node of an array, and frees the array.
 *
 * @param list an array of mdev_conn_list() or mdev_conn_create_group_xml(), or NULL. To keep a node longer, take a
 * reference first.
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
void mdev_device_list_free(struct mdev_device **list);

/**
 * The name of a node: pci_0000_86_00_0, or mdev_UUID_PARENT, or what the creator chose.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetName.
 */
int mdev_device_get_name(struct mdev_device *dev, const char **ret);

/**
 * The name of the parent node: of a mediated device, the device that it is a slice of; of a parent, the device above
 * it in the tree, "computer" at the root.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetParent.
 */
int mdev_device_get_parent(struct mdev_device *dev, const char **ret);

/**
 * The sysfs path of a node, without symbolic links.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -ENODATA: the device is defined only, and has no path while it does not run; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the path element of libvirt's node-device XML.
 */
int mdev_device_get_syspath(struct mdev_device *dev, const char **ret);

/**
 * Which generation of the kernel interface a node speaks: "rfc", "general", "mdev" or "vendor-vfio".
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: Documentation/driver-api/vfio-mediated-device.rst.
 */
int mdev_device_get_layout(struct mdev_device *dev, const char **ret);

/**
 * Whether a node is a parent.
 *
 * @param dev a node
 * @return 1: it can create mediated devices; 0: not; -EINVAL: dev is NULL or not a node.
 *
 * Thread-safe. Since: 0.1. Follows: the mdev_types capability of libvirt.
 */
int mdev_device_is_parent(struct mdev_device *dev);

/**
 * Whether a node was there in the kernel when the snapshot was made.
 *
 * @param dev a node
 * @return 1: it was; 0: not; -EINVAL: dev is NULL or not a node.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceIsActive.
 */
int mdev_device_is_active(struct mdev_device *dev);

/**
 * The UUID of a mediated device, in lower case.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -ENODATA: this is a parent; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: drivers/vfio/mdev/mdev_core.c.
 */
int mdev_device_get_uuid(struct mdev_device *dev, const char **ret);

/**
 * The id of the type that a mediated device was created from.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -ENODATA: this is a parent, or the type is not known; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the mdev_type link of the device's folder.
 */
int mdev_device_get_type_id(struct mdev_device *dev, const char **ret);

/**
 * The group that a mediated device was created in: devices of one group belong to one guest.
 *
 * @param dev a node
 * @param ret where the number goes
 * @return 0; -ENODATA: this is a parent, or there is no group; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the founding proposal's group.
 */
int mdev_device_get_group(struct mdev_device *dev, unsigned int *ret);

/**
 * The parameters that a mediated device was created with, as its creator gave them to the vendor's driver.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -ENODATA: this is a parent, or no parameters are known; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the founding proposal's params.
 */
int mdev_device_get_params(struct mdev_device *dev, const char **ret);

/**
 * The IOMMU group of a mediated device: N of /dev/vfio/N.
 *
 * @param dev a node
 * @param ret where the number goes
 * @return 0; -ENODATA: this is a parent, or there is none; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: drivers/iommu/iommu.c; virNodeDevCapMdev's iommuGroup.
 */
int mdev_device_get_iommu_group(struct mdev_device *dev, unsigned int *ret);

/**
 * Who made a mediated device, as its creator called itself: mdev_conn_set_owner().
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -ENODATA: this is a parent, or nobody is recorded; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the owner files below /run/libmdev.
 */
int mdev_device_get_owner(struct mdev_device *dev, const char **ret);

/**
 * The NUMA node of a parent, or of a device's parent.
 *
 * @param dev a node
 * @param ret where the number goes
 * @return 0; -ENODATA: the platform has none or does not tell; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the numa_node file; drivers/base/core.c.
 */
int mdev_device_get_numa_node(struct mdev_device *dev, int *ret);

/**
 * The name of the node of the SR-IOV physical function (PF). Of a parent that is a VF, and of a device on it, it is the PF of
 * that VF. In the layout vendor-vfio the device itself is a VF and its parent is the PF, so it is the parent; a definition on
 * such a parent has it, too.
 *
 * @param dev a node
 * @param ret where the string goes; it lives as long as dev
 * @return 0; -ENODATA: neither the node nor its parent is a VF; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the physfn link; drivers/pci/iov.c.
 */
int mdev_device_get_physical_function(struct mdev_device *dev,
				      const char **ret);

/**
 * Destroys a mediated device, as mdev_conn_destroy_uuid() does. The handle stays valid until it is given up.
 *
 * A device is destroyed only if no process has it open. On kernels with device nodes in /dev/vfio/devices (Linux 6.6 and
 * later), the caller determines that from /proc: it needs the PID namespace of the host, and root with CAP_SYS_PTRACE. Without
 * them, as in a container that does not share the host's PID namespace, destroying a device that no process has open is -EBUSY,
 * too. A VF is not affected, since its driver refuses the write while the device is open.
 *
 * @param dev a mediated device
 * @param flags of enum mdev_destroy_flags
 * @return 0; -ENODEV: it is gone already; -EBUSY: it is in use, or that cannot be determined; -EPERM: it is not the owner's (MDEV_DESTROY_OWNED);
 * -ECANCELED, -ETIMEDOUT: a call-out of mdevctl's has refused, or hangs; -EACCES: no permission; -EOPNOTSUPP: this is a parent; -EINVAL: an argument is bad; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDestroy; drivers/vfio/mdev/mdev_core.c.
 */
int mdev_device_destroy(struct mdev_device *dev,
			unsigned int flags);

/**
 * A node as XML.
 *
 * @param dev a node
 * @param ret where the text goes; the caller frees it with free()
 * @param flags of enum mdev_xml_flags; 0: the founding proposal's dialect; MDEV_XML_LIBVIRT: libvirt's; MDEV_XML_INACTIVE: the
 * definition of a device, also while the device runs
 * @return 0; -ENOENT: MDEV_XML_INACTIVE, and the device has no definition; -EINVAL: an argument is bad; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetXMLDesc.
 */
int mdev_device_get_xml(struct mdev_device *dev,
			char **ret,
			unsigned int flags);

/**
 * What QEMU wants after -device to attach a mediated device: "vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID" and the like.
 * Some devices need more arguments, for example -uuid for NVIDIA's plugin: mdev_device_get_qemu_args() returns all of them.
 * On a kernel without VFIO groups this text alone cannot work, and only mdev_device_get_qemu_args() returns a text. For a
 * definition that does not run, the text is the one of the running device; it is usable once the device is started.
 *
 * @param dev a mediated device
 * @param ret where the text goes; the caller frees it with free()
 * @return 0; -ENODATA: this is a parent; -ENODEV: a definition of the layout vendor-vfio, whose VF is chosen when it starts;
 *         -EOPNOTSUPP: the device has no VFIO group and needs an iommufd object, which mdev_device_get_qemu_args() includes;
 *         -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: qemu's hw/vfio.
 */
int mdev_device_get_qemu_device(struct mdev_device *dev,
				char **ret);

/**
 * Every argument that QEMU needs for a mediated device, as one line for a shell:
 * "-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID" and the like.
 *
 * A device of an NVIDIA card also gets "-uuid UUID", since NVIDIA's plugin fails without a UUID of the virtual machine. UUID
 * is the UUID of the device; if the virtual machine has a UUID, use that instead. With MDEV_QEMU_IOMMUFD, and on a kernel
 * without VFIO groups, the device gets an iommufd object of its own: "-object iommufd,id=ID -device ...,iommufd=ID". The
 * arguments of several devices can be put on one command line.
 *
 * @param dev a mediated device
 * @param ret where the text goes; the caller frees it with free()
 * @param flags of enum mdev_qemu_flags
 * @return 0; -ENODATA: this is a parent; -ENODEV: the device does not run; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: qemu's hw/vfio and backends/iommufd.c.
 */
int mdev_device_get_qemu_args(struct mdev_device *dev,
			      char **ret,
			      unsigned int flags);

/**
 * The whole QMP command that plugs a mediated device into a running QEMU, as one line of JSON. On a kernel without VFIO groups
 * one command is not enough: QEMU needs an object-add of an iommufd first, and the error message contains both commands.
 *
 * @param dev a mediated device
 * @param id the id that the device gets inside QEMU; NULL: none
 * @param ret where the text goes; the caller frees it with free()
 * @return 0; -ENODATA: this is a parent; -ENODEV: as of mdev_device_get_qemu_device(); -EOPNOTSUPP: the device has no VFIO
 *         group and needs an iommufd object; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: qemu's device_add.
 */
int mdev_device_get_qmp_device_add(struct mdev_device *dev,
				   const char *id,
				   char **ret);

/**
 * The hostdev element that attaches a mediated device to a domain of libvirt.
 *
 * @param dev a mediated device
 * @param ret where the text goes; the caller frees it with free()
 * @return 0; -ENODATA: this is a parent; -ENODEV: as of mdev_device_get_qemu_device(); -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: libvirt's domain XML, hostdev of type mdev.
 */
int mdev_device_get_hostdev_xml(struct mdev_device *dev, char **ret);

/**
 * Lists the attributes that a node has now: the regular files of its sysfs folder that this process can read or write. For a
 * device, the files of the folders in that folder are included (`nvidia/vgpu_params`), except those of the folder power. Links
 * are not followed. Files that make or remove devices cannot be written as attributes.
 *
 * @param dev a node
 * @param ret where the array of names goes, sorted and NULL-terminated. Array and names are one piece of memory: the caller
 * frees the array with free(), and nothing else
 * @return the number of names; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: an argument is bad; other
 * errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceListCaps; fs/sysfs/file.c.
 */
int mdev_device_list_attrs(struct mdev_device *dev,
			   char ***ret);

/**
 * What can be done with an attribute of a node, by the mode of its file. Whether this process has the right to is seen when
 * it does it.
 *
 * @param dev a node
 * @param name of a file of the node's sysfs folder, or its path below that folder: mdev_device_list_attrs()
 * @param ret where the bits of enum mdev_attr_access go
 * @return 0; -ENOENT: there is no such attribute; -ENODEV: the device is gone; -EINVAL: an argument is bad; other errnos of
 * the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: fs/sysfs/file.c.
 */
int mdev_device_get_attr_access(struct mdev_device *dev,
				const char *name,
				unsigned int *ret);

/**
 * Reads an attribute of a node, now: the snapshot has none.
 *
 * @param dev a node
 * @param name of a file of the node's sysfs folder, or its path below that folder: mdev_device_list_attrs()
 * @param ret where the text goes, without the newline at its end; the caller frees it with free()
 * @return 0; -ENOENT: there is no such attribute; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: an argument is
 * bad; other errnos of the kernel or the vendor's driver.
 *
 * Thread-safe. Since: 0.1. Follows: fs/sysfs/file.c.
 */
int mdev_device_get_attr(struct mdev_device *dev,
			 const char *name,
			 char **ret);

/**
 * Writes an attribute of a mediated device, in a single write.
 *
 * @param dev a mediated device
 * @param name of a file of the device's sysfs folder, or its path below that folder: mdev_device_list_attrs()
 * @param value what is written
 * @return 0; -ENOENT: there is no such attribute; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: an argument is
 * bad; other errnos of the kernel or the vendor's driver.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: fs/sysfs/file.c.
 */
int mdev_device_set_attr(struct mdev_device *dev,
			 const char *name,
			 const char *value);

/**
 * Resets a mediated device.
 *
 * @param dev a mediated device
 * @return 0; -EOPNOTSUPP: its layout has no reset; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: dev is bad;
 * other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceReset; the reset file of the general layout.
 */
int mdev_device_reset(struct mdev_device *dev);

/**
 * Takes a mediated device online or offline.
 *
 * @param dev a mediated device
 * @param online 0: offline; anything else: online
 * @return 0; -EOPNOTSUPP: its layout has no such state; -ENODEV: the device is gone; -EACCES: no permission; -EINVAL: dev is
 * bad; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: the online file of the general layout.
 */
int mdev_device_set_online(struct mdev_device *dev,
			   int online);

/**
 * The types of a parent, with every attribute that the vendor shows.
 *
 * @param parent a parent
 * @param ret where the NULL-terminated array goes; it and the types live as long as parent, nothing is to be freed
 * @return the number of types; -ENODATA: this is a mediated device, or was listed with MDEV_LIST_NO_TYPES; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: mdev_supported_types of drivers/vfio/mdev/mdev_sysfs.c.
 */
int mdev_device_list_types(struct mdev_device *parent,
			   const struct mdev_type *const **ret);

/**
 * Finds a type of a parent by its id, or by its name, in which "_" may stand for a space. If neither matches, these forms do,
 * in upper or lower case: the number of the id as "11", "0xb" or "nvidia-11", and the name without the vendor's prefix
 * ("M60-0B"). Types in XML are found in the same way.
 *
 * @param parent a parent
 * @param id_or_name "11", "GRID M60-0B", "GRID_M60-0B"
 * @param ret where the type goes; it lives as long as parent
 * @return 0; -ENODEV: there is no such type; -ENOTUNIQ: several types match this form; -ENODATA: this is a mediated device;
 * -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_device_find_type(struct mdev_device *parent,
			  const char *id_or_name,
			  const struct mdev_type **ret);

/**
 * The id of a type: what a create request gives as type.
 *
 * @param type a type
 * @return a string that lives as long as the parent's handle; NULL when type is not a type.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: a folder's name below mdev_supported_types.
 */
const char *mdev_type_get_id(const struct mdev_type *type);

/**
 * The name that the vendor gives to a type.
 *
 * @param type a type
 * @return a string that lives as long as the parent's handle; NULL where the kernel gives none, or type is not a type.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: the type's name file.
 */
const char *mdev_type_get_name(const struct mdev_type *type);

/**
 * The interface that devices of a type speak: "vfio-pci", "vfio-ccw", "vfio-ap".
 *
 * @param type a type
 * @return a string that lives as long as the parent's handle; NULL where the kernel gives none, or type is not a type.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: the type's device_api file.
 */
const char *mdev_type_get_device_api(const struct mdev_type *type);

/**
 * What the vendor says about a type; may have several lines.
 *
 * @param type a type
 * @return a string that lives as long as the parent's handle; NULL where the kernel gives none, or type is not a type.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: the type's description file.
 */
const char *mdev_type_get_description(const struct mdev_type *type);

/**
 * An attribute of a type, by the name of its file: "fb_length", "heads", "max_instances", ...
 *
 * @param type a type
 * @param name of the file
 * @return a string that lives as long as the parent's handle; NULL when the type has no such attribute, or an argument is
 * bad.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: the files of a type's folder.
 */
const char *mdev_type_get_attr(const struct mdev_type *type,
			       const char *name);

/**
 * The names of a type's attributes: every one that mdev_type_get_attr() has a value for.
 *
 * @param type a type
 * @param ret where the NULL-terminated array goes; it and the names live as long as the parent's handle, nothing is to be
 * freed
 * @return the number of names; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the files of a type's folder.
 */
int mdev_type_list_attrs(const struct mdev_type *type,
			 const char *const **ret);

/**
 * How many devices of a type could still be created when the snapshot was made. Types may share the same resources, so
 * that creating one device takes instances from several types. mdev_type_get_capacity() returns how exact the number is.
 *
 * @param type a type
 * @param ret where the number goes
 * @return 0; -ENODATA: the kernel does not tell; -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1. Follows: the type's available_instances file; the founding proposal's max_instances.
 */
int mdev_type_get_available_instances(const struct mdev_type *type,
				      unsigned int *ret);

/**
 * How many devices of a type could still be created when the snapshot was made, and how exact that number is. If the devices
 * are VFs of a card, each free VF that offers the type counts, but the VFs share the card: 8 VFs may offer a type of which
 * only 1 fits. The number is then an upper bound, and a create may fail with -ENOSPC earlier.
 *
 * @param type a type
 * @param ret where the number goes, the same as of mdev_type_get_available_instances()
 * @param is_upper_bound where 1 goes if fewer may fit, 0 if the driver gave the number itself
 * @return 0; -ENODATA: the number is not known; -EINVAL: an argument is bad. Nothing is written on failure.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_type_get_capacity(const struct mdev_type *type,
			   unsigned int *ret,
			   int *is_upper_bound);

/**
 * Whether devices of a type have to be created in one group when one guest gets several of them.
 *
 * @param type a type
 * @return 1: they have; 0: not; -EINVAL: type is NULL or not a type.
 *
 * Thread-safe. Since: 0.1. Follows: the founding proposal's requires_group.
 */
int mdev_type_requires_group(const struct mdev_type *type);

/**
 * Defines a device that persists, in mdevctl's own store (/etc/mdevctl.d), or changes the definition of the same parent and
 * UUID; what is running stays as it is until its next start. A parent that is not there may be named by its address.
 *
 * @param conn a connection
 * @param xml a device element in either dialect, UTF-8, with a parent; without a UUID a random one is made; a start element
 * of type auto or manual sets autostart (manual with MDEV_DEFINE_AUTOSTART is -EINVAL)
 * @param ret where the node goes, running or not, owned by the caller: mdev_device_unref()
 * @param flags of enum mdev_define_flags
 * @return 0; -EINVAL: an argument or the XML is bad; -ENODEV: the parent has no such type, or is not there and its name does not
 * tell its address; -EEXIST: the name is taken; -ENOSPC: the disk is full, and the message says whether the old
 * definition is as it was; -ECANCELED: a call-out of mdevctl's has refused; -EACCES: no permission; -ETIMEDOUT: a call-out
 * hangs, or another process keeps the store locked; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDefineXML; mdevctl define.
 */
int mdev_conn_define_xml(struct mdev_conn *conn,
			 const char *xml,
			 struct mdev_device **ret,
			 unsigned int flags);

/**
 * Starts what is defined to start by itself and does not run yet. Each failure is logged, and the error names the first
 * eight; the others are started all the same. A definition that cannot be used is a failure, too, for it might say so.
 *
 * @param conn a connection
 * @param parent a parent, named as for mdev_conn_lookup_by_name(); one VF of it: what is defined on that, and what is
 * defined on its PF, which is no failure as long as other VFs are still to come; NULL: every parent that is there
 * @param flags of enum mdev_start_flags
 * @return how many were started; if any start failed, the errno of the first failure; -EAGAIN (code MDEV_ERROR_NO_TYPE): every
 * failed start waits for types that a named parent does not offer yet, such as a GPU in MIG mode without GPU instances; no
 * event announces these types, call again later; -ENODEV: no such parent; -EINVAL: an argument is bad.
 *
 * Thread-safe, also between processes: two that are asked at once start each device once. Since: 0.1. Follows: mdevctl
 * start-parent-mdevs.
 */
int mdev_conn_autostart(struct mdev_conn *conn,
			const char *parent,
			unsigned int flags);

/**
 * Forgets the definition of a device. A device that runs goes on until it is destroyed. The handle stays valid.
 *
 * @param dev a device
 * @param flags 0 or MDEV_DEFINE_NO_CALLOUTS
 * @return 0; -ENOENT: it has no definition; -EOPNOTSUPP: this is a parent; -ECANCELED: a call-out of mdevctl's has
 * refused; -EINVAL: an argument is bad; -EACCES: no permission; -ETIMEDOUT: a call-out hangs, or another process keeps the
 * store locked; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceUndefine; mdevctl undefine.
 */
int mdev_device_undefine(struct mdev_device *dev,
			 unsigned int flags);

/**
 * Starts a device as it is defined now: creates it and writes its attributes in their order; when one cannot be written, the
 * device is taken back. The handle still shows what it showed; look the device up again.
 *
 * @param dev a device that is defined
 * @param flags of enum mdev_start_flags
 * @return 0; -EEXIST: it runs already; -ENOENT: it has no definition; -EOPNOTSUPP: this is a parent; else as
 * mdev_conn_create_xml().
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceCreate; mdevctl start.
 */
int mdev_device_start(struct mdev_device *dev,
		      unsigned int flags);

/**
 * Whether a device is started when its parent appears. mdevctl's call-outs are always asked.
 *
 * @param dev a device that is defined
 * @param autostart not 0: it is
 * @return 0; -ENOENT: it has no definition; -EOPNOTSUPP: this is a parent; -ECANCELED: a call-out of mdevctl's has
 * refused; -EINVAL: an argument is bad; -EACCES: no permission; -ETIMEDOUT: a call-out hangs, or another process keeps the
 * store locked; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceSetAutostart; mdevctl modify --auto.
 */
int mdev_device_set_autostart(struct mdev_device *dev,
			      int autostart);

/**
 * Tells what mdev_device_set_autostart() has set, as it is now. A parent is there whenever its hardware is: 1.
 *
 * @param dev a node
 * @param ret where 1 or 0 goes
 * @return 0; -ENOENT: the device has no definition; -EINVAL: an argument is bad; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetAutostart.
 */
int mdev_device_get_autostart(struct mdev_device *dev, int *ret);

/**
 * Whether a device has a definition now. A parent persists by nature: 1.
 *
 * @param dev a node
 * @return 1 or 0; -EINVAL: not a node; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceIsPersistent.
 */
int mdev_device_is_persistent(struct mdev_device *dev);

/**
 * The attributes in the definition of a device, in the order in which its next start writes them. A running device may have
 * other attributes. The first successful call reads them, and later calls return the same: to read them again, look the device
 * up again.
 *
 * @param dev a device that is defined, running or not
 * @param names where the NULL-terminated array of names goes; a name may occur twice
 * @param values where the array of their values goes, of the same length. Both arrays and the texts live as long as dev and must
 * not be freed
 * @return how many there are; -ENOENT: the device has no definition; -EOPNOTSUPP: this is a parent; -EINVAL: an argument is
 * bad; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: the attrs of mdevctl's definitions.
 */
int mdev_device_list_definition_attrs(struct mdev_device *dev,
				      const char *const **names,
				      const char *const **values);

/**
 * Starts to listen to a host. What happens from here on is told, so make the monitor first and list afterwards: then
 * nothing is missed, and what is told twice is told the same.
 *
 * The kernel's own events tell of devices and parents, whoever makes them; where it sends none, as for virtual functions
 * that become vGPUs, writes to the files that do it are seen. In a network namespace that belongs to another user
 * namespace, as in a rootless container, the kernel delivers no events at all.
 *
 * @param ret where the monitor goes, owned by the caller: mdev_monitor_unref()
 * @param conn a connection, which may be closed before the monitor
 * @param flags 0
 * @return 0; -EINVAL: an argument is bad; -EMFILE, -EPERM, -EAFNOSUPPORT and other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: sd_device_monitor_new, udev_monitor_new_from_netlink.
 */
int mdev_monitor_new(struct mdev_monitor **ret,
		     struct mdev_conn *conn,
		     unsigned int flags);

/**
 * Takes another reference.
 *
 * @param mon a monitor, or NULL
 * @return mon; NULL when it is NULL or not a monitor.
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
struct mdev_monitor *mdev_monitor_ref(struct mdev_monitor *mon);

/**
 * Gives a reference up; the last one ends the monitor and closes its descriptor. Events that came from it stay usable.
 *
 * @param mon a monitor, or NULL
 * @return NULL
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: sd_device_monitor_unref.
 */
struct mdev_monitor *mdev_monitor_unref(struct mdev_monitor *mon);

/**
 * The descriptor to poll for POLLIN, level-triggered: it is readable as long as mdev_monitor_receive() may have something
 * to tell or to do. Nothing else may be done with it; it belongs to the monitor, and stays the same while that lives.
 *
 * @param mon a monitor
 * @return the descriptor; -EINVAL: mon is NULL or not a monitor.
 *
 * Thread-safe. Since: 0.1. Follows: sd_device_monitor_get_fd.
 */
int mdev_monitor_get_fd(struct mdev_monitor *mon);

/**
 * The next event, in order, without waiting. Call it until it returns 0, or once each time that the descriptor is readable.
 * It returns 0 as well when there was something to do and nothing to tell.
 *
 * After an error that is no fault of the caller, such as -EMFILE, the events of the meantime may be lost: the next call that
 * succeeds gives MDEV_EVENT_OVERRUN.
 *
 * @param mon a monitor
 * @param ret where the event goes, owned by the caller: mdev_event_unref(); written only when there is one
 * @return 1: an event; 0: none now; -EINVAL: an argument is bad; errnos of the kernel.
 *
 * Thread-safe; of several threads each gets other events. Since: 0.1. Follows: sd_device_monitor_receive.
 */
int mdev_monitor_receive(struct mdev_monitor *mon,
			 struct mdev_event **ret);

/**
 * How many bytes of the kernel's events may wait for this program; by default 16 MiB, of which only what waits takes
 * memory. Without CAP_NET_ADMIN the kernel grants no more than net.core.rmem_max. When it is not enough, events are lost and
 * MDEV_EVENT_OVERRUN tells so.
 *
 * @param mon a monitor
 * @param bytes the size
 * @return 0; -EINVAL: mon is NULL or not a monitor; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: sd_device_monitor_set_receive_buffer_size.
 */
int mdev_monitor_set_buffer_size(struct mdev_monitor *mon,
				 size_t bytes);

/**
 * Takes another reference, to keep an event that a callback was given.
 *
 * @param ev an event, or NULL
 * @return ev; NULL when it is NULL or not an event.
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
struct mdev_event *mdev_event_ref(struct mdev_event *ev);

/**
 * Gives a reference up. Nodes that came from the event stay usable.
 *
 * @param ev an event, or NULL
 * @return NULL
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
struct mdev_event *mdev_event_unref(struct mdev_event *ev);

/**
 * What happened.
 *
 * @param ev an event
 * @return of enum mdev_event_type; MDEV_EVENT_NONE when ev is NULL or not an event.
 *
 * Thread-safe; touches no error. Since: 0.1. Follows: virConnectNodeDeviceEventLifecycleCallback.
 */
enum mdev_event_type mdev_event_get_type(const struct mdev_event *ev);

/**
 * The node that an event is about, as it was when it happened: a snapshot like any other. A device that came and went before
 * this program looked is described by what the kernel's event itself tells: name, UUID, parent and path.
 *
 * @param ev an event
 * @param ret where the node goes, owned by the caller: mdev_device_unref()
 * @return 0; -ENODATA: no node comes with this event (MDEV_EVENT_OVERRUN); -EINVAL: an argument is bad.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_event_get_device(const struct mdev_event *ev,
			  struct mdev_device **ret);

/**
 * Reads the whole host and returns every object that a list leaves out or shows incompletely: parents and types that cannot be
 * read, links without a target, devices without a type, broken definitions; and incomplete groups of devices.
 * mdev_conn_list() skips such objects and only logs them.
 *
 * @param conn a connection
 * @param ret where the array goes, NULL-terminated, owned by the caller: mdev_finding_list_free()
 * @param flags 0
 * @return how many there are, 0 if the host has no problem; -EINVAL: an argument is bad; -EMFILE, -ENFILE, -ENOMEM and other
 * errnos of the kernel: the host cannot be read.
 *
 * Thread-safe. Since: 0.1. Modelled on: systemctl list-units --failed.
 */
int mdev_conn_list_problems(struct mdev_conn *conn,
			    struct mdev_finding ***ret,
			    unsigned int flags);

/**
 * The severity of a finding.
 *
 * @param finding a finding
 * @return of enum mdev_severity; -EINVAL: finding is NULL or not a finding.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_finding_get_severity(const struct mdev_finding *finding);

/**
 * The code of a finding's cause.
 *
 * @param finding a finding
 * @return of enum mdev_error_code; -EINVAL: finding is NULL or not a finding.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_finding_get_code(const struct mdev_finding *finding);

/**
 * The object of a finding.
 *
 * @param finding a finding
 * @return a path or the name of a node, which lives as long as the finding; NULL: finding is NULL or not a finding.
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
const char *mdev_finding_get_object(const struct mdev_finding *finding);

/**
 * The message of a finding: the object and its problem.
 *
 * @param finding a finding
 * @return one English sentence, which lives as long as the finding; NULL: finding is NULL or not a finding.
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
const char *mdev_finding_get_message(const struct mdev_finding *finding);

/**
 * The next step for a finding.
 *
 * @param finding a finding
 * @return a text, which lives as long as the finding; NULL: no next step is known, or finding is NULL or not a finding.
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
const char *mdev_finding_get_next_step(const struct mdev_finding *finding);

/**
 * Frees findings and their array.
 *
 * @param list an array of mdev_conn_list_problems(), or NULL
 *
 * Thread-safe; touches no error. Since: 0.1.
 */
void mdev_finding_list_free(struct mdev_finding **list);

/**
 * Has a function called for every event of a host, from mdev_conn_dispatch() and nowhere else. The first one starts the
 * listening; what happened before is not told.
 *
 * The function may call everything, also mdev_conn_event_deregister() for itself and mdev_conn_dispatch() (which hands later
 * events to the other functions before they get the one under way), and may give up the last reference of the connection.
 * It must not throw or longjmp. It gets the event as a loan: mdev_event_ref() keeps it.
 *
 * @param conn a connection
 * @param callback the function; gets the connection, the event and data
 * @param data handed to the function as it is, in whichever thread dispatches
 * @param free_data called with data when the function will not be called any more: it was deregistered and is not running,
 * or the connection is gone; NULL: nothing is. It is not called when this call fails
 * @param flags 0
 * @return an id, 1 or more; -EINVAL: an argument is bad; errors as of mdev_monitor_new().
 *
 * Thread-safe. Since: 0.1. Follows: virConnectNodeDeviceEventRegisterAny.
 */
int mdev_conn_event_register(struct mdev_conn *conn,
			     mdev_event_callback callback,
			     void *data,
			     mdev_free_callback free_data,
			     unsigned int flags);

/**
 * Ends what mdev_conn_event_register() has begun. When this returns the function is not called any more by this thread. One
 * that dispatches meanwhile may be in it, or just about to call it: where several do, data must live until free_data is
 * called with it.
 *
 * @param conn a connection
 * @param id what mdev_conn_event_register() returned
 * @return 0; -EINVAL: conn is not a connection, or has no such callback.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectNodeDeviceEventDeregisterAny.
 */
int mdev_conn_event_deregister(struct mdev_conn *conn,
			       int id);

/**
 * The descriptor to poll for POLLIN before mdev_conn_dispatch(), level-triggered. It belongs to the connection and stays the
 * same while that lives. The first call starts the listening, as mdev_conn_event_register() does.
 *
 * @param conn a connection
 * @return the descriptor; -EINVAL: conn is NULL or not a connection; errors as of mdev_monitor_new().
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_conn_get_fd(struct mdev_conn *conn);

/**
 * Hands the events that have come to the registered functions, in order, without waiting. Not more than some hundred at
 * once: while there are more, the descriptor stays readable.
 *
 * @param conn a connection
 * @return how many events there were; -EINVAL: conn is NULL or not a connection; errors as of mdev_monitor_receive().
 *
 * Thread-safe; of several threads each gets other events. Since: 0.1. Follows: virEventRunDefaultImpl.
 */
int mdev_conn_dispatch(struct mdev_conn *conn);

/**
 * The one function that a program has to look up with dlsym() to use all of the library.
 *
 * @param abi MDEV_DRIVER_ABI
 * @param size sizeof(struct mdev_driver), as the caller was compiled with; the library's may be smaller or larger
 * @return a static table; NULL, with mdev_last_error() set: the library does not speak this abi, or size is less than what
 * every version has.
 *
 * Thread-safe. Since: 0.1. Follows: virStateDriver's registration; vfio's argsz.
 */
const struct mdev_driver *mdev_driver_get(uint32_t abi,
					  size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LIBMDEV_H */
