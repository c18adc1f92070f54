/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file libmdev.h
 * libmdev: lists, creates, defines and monitors mediated devices (mdev, vGPU). The functions follow libvirt's
 * node-device driver.
 *
 * Rules for every function:
 *
 * - Return value: a function that can fail returns an int: 0 or a count on success, a negative errno on failure. It
 *   writes its result to the pointer ret, and only on success. mdev_last_error() returns the cause, separately for
 *   each thread.
 * - -EINVAL: a handle is NULL or of the wrong kind, a pointer is NULL that must not be NULL, or a flag is unknown.
 *   -ENOTRECOVERABLE: the library has an internal fault. Every function can return these two.
 * - Handles are opaque, immutable and counted. Any thread may use them. An unref function accepts NULL and returns
 *   NULL.
 * - Ownership: a const char * is valid as long as the handle that it came from. The caller frees a char * and an array
 *   of pointers with free(), an array of nodes with mdev_device_list_free(), an array of findings with
 *   mdev_finding_list_free() and an array of users with mdev_user_list_free(). A function that differs says so. Arrays end with NULL.
 * - Threads: "Thread-safe" means that several threads may call the function at the same time, also with the same
 *   handles. "Also between processes" means that the library locks the resource against other processes.
 * - Errors: "does not change the last error" means that the function leaves mdev_last_error() as it is.
 * - Strings are UTF-8.
 * - The library starts no thread and prints nothing. It does not change signals, the working directory, the umask or
 *   the environment of the process.
 * - If memory runs out inside the library, the process aborts, as usual for Rust. Files, lists and XML have size
 *   limits: a call needs a few megabytes at most. The exception is "test:///PATH", which needs up to about fifteen
 *   times the size of the dump, which is at most 16 MiB.
 *
 * Contents, in the order of this file:
 *
 * 1. Objects
 *    mdev_conn, mdev_device, mdev_type, mdev_monitor, mdev_event, mdev_finding, mdev_user, mdev_error
 * 2. Version
 *    MDEV_VERSION_MAJOR, MDEV_CHECK_VERSION(), mdev_version()
 * 3. Errors
 *    mdev_error_code, mdev_error_code_name(), mdev_last_error(), mdev_error_get_code(), mdev_error_get_errno(),
 *    mdev_error_get_message(), mdev_error_get_path()
 * 4. Log
 *    mdev_log_level, mdev_set_log_handler()
 * 5. Connection
 *    mdev_conn_open(), mdev_conn_ref(), mdev_conn_unref(), mdev_conn_set_owner(), mdev_conn_dump_xml()
 * 6. Finding node devices
 *    mdev_list_flags, mdev_conn_list(), mdev_list_filter, mdev_conn_list_filtered(), mdev_device_list_free(),
 *    mdev_conn_lookup_by_name(),
 *    mdev_conn_lookup_by_uuid(), mdev_conn_wait_parent(), mdev_device_wait,
 *    mdev_conn_wait_device()
 * 7. Node device: a parent or a mediated device
 *    mdev_device_ref(), mdev_device_unref(), mdev_device_get_name(), mdev_device_get_parent(),
 *    mdev_device_get_syspath(), mdev_device_get_layout(), mdev_device_is_parent(), mdev_device_is_active(),
 *    mdev_device_get_numa_node(), mdev_device_get_physical_function(), mdev_device_get_driver(),
 *    mdev_device_get_address(), mdev_xml_flags, mdev_device_get_xml()
 * 8. Attributes of a node device
 *    mdev_attr_access, mdev_device_list_attrs(), mdev_device_get_attr_access(), mdev_device_get_attr(),
 *    mdev_device_set_attr()
 * 9. Parent
 *    mdev_device_get_product(), mdev_device_get_vf_counts(), mdev_device_list_types(), mdev_device_find_type()
 * 10. Type
 *    mdev_type_get_id(), mdev_type_get_name(), mdev_type_get_device_api(), mdev_type_get_description(),
 *    mdev_type_get_attr(), mdev_type_list_attrs(), mdev_type_get_available_instances(), mdev_type_get_capacity(),
 *    mdev_type_requires_group()
 * 11. Mediated device
 *    mdev_device_get_uuid(), mdev_device_get_type_id(), mdev_device_get_group(), mdev_device_get_params(),
 *    mdev_device_get_iommu_group(), mdev_device_get_owner(), mdev_device_reset(), mdev_device_set_online(),
 *    mdev_device_list_users(), mdev_user_get_pid(), mdev_user_get_program(), mdev_user_get_guest(), mdev_user_list_free()
 * 12. Create and destroy
 *    mdev_create_flags, mdev_conn_create_xml(), mdev_conn_create_group_xml(), mdev_attr, mdev_create_options,
 *    mdev_conn_create(), mdev_conn_plan_xml(), mdev_destroy_flags, mdev_conn_destroy_uuid(), mdev_device_destroy(),
 *    mdev_conn_destroy_incomplete()
 * 13. Definitions: mediated devices that persist
 *    mdev_define_flags, mdev_conn_define_xml(), mdev_conn_define(), mdev_device_undefine(), mdev_device_is_persistent(),
 *    mdev_device_list_definition_attrs(), mdev_start_flags, mdev_device_start(), mdev_device_set_autostart(),
 *    mdev_device_get_autostart(), mdev_conn_autostart()
 * 14. Attaching a device to a virtual machine
 *    mdev_qemu_flags, mdev_device_get_qemu_args(), mdev_device_get_qemu_device(), mdev_device_get_qmp_device_add(),
 *    mdev_device_get_hostdev_xml(), mdev_device_get_vfio_node()
 * 15. Monitor: events by polling
 *    mdev_monitor_new(), mdev_monitor_ref(), mdev_monitor_unref(), mdev_monitor_get_fd(), mdev_monitor_receive(),
 *    mdev_monitor_set_buffer_size()
 * 16. Event
 *    mdev_event_type, mdev_event_ref(), mdev_event_unref(), mdev_event_get_type(), mdev_event_get_device()
 * 17. Events by callback
 *    mdev_event_callback, mdev_free_callback, mdev_conn_event_register(), mdev_conn_event_deregister(),
 *    mdev_conn_get_fd(), mdev_conn_dispatch()
 * 18. Findings: problems of a host
 *    mdev_severity, mdev_conn_list_problems(), mdev_conn_diagnose(), mdev_finding_get_severity(), mdev_finding_get_code(),
 *    mdev_finding_get_object(), mdev_finding_get_message(), mdev_finding_get_next_step(), mdev_finding_list_free()
 * 19. Driver table: the whole library through one symbol
 *    MDEV_DRIVER_ABI, mdev_driver, MDEV_DRIVER_HAS(), mdev_driver_get()
 */

/* Generated from the sources of the C layer. Do not edit. */

#ifndef LIBMDEV_H
#define LIBMDEV_H


#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * 1. Objects
 * ==========
 */

/**
 * A connection to a host: this host, a host below another root directory, or a simulated host.
 *
 * Any number of threads may use one connection at the same time. After fork(), the child opens its own connection.
 *
 * Since: 0.1.
 */
typedef struct mdev_conn mdev_conn;

/**
 * A node device: a parent, which can create mediated devices, or a mediated device. The handle is a snapshot of the
 * time when the node device was listed, looked up or created. It never changes, and any number of threads may use it
 * at the same time.
 *
 * Since: 0.1.
 */
typedef struct mdev_device mdev_device;

/**
 * A type of a parent: a snapshot that is valid as long as the handle of the parent.
 *
 * Since: 0.1.
 */
typedef struct mdev_type mdev_type;

/**
 * A source of events for a program that polls: one file descriptor, no thread. It keeps the state of the node devices
 * of its host.
 *
 * Since: 0.1.
 */
typedef struct mdev_monitor mdev_monitor;

/**
 * An event: a change of a node device, with a snapshot of the node device at that time.
 *
 * Since: 0.1.
 */
typedef struct mdev_event mdev_event;

/**
 * A finding: one problem of a host, which is an object that a list leaves out or shows incompletely, and the cause.
 *
 * Since: 0.1.
 */
typedef struct mdev_finding mdev_finding;

/**
 * A process that has a mediated device open, usually QEMU with a virtual machine.
 *
 * Since: 0.1.
 */
typedef struct mdev_user mdev_user;

/**
 * The cause of a failed call: see mdev_last_error().
 *
 * Since: 0.1.
 */
typedef struct mdev_error mdev_error;

/*
 * 2. Version
 * ==========
 */

/** The major version of this header; mdev_version() returns the version of the library. Since: 0.1. */
#define MDEV_VERSION_MAJOR 0
/** The minor version of this header. Since: 0.1. */
#define MDEV_VERSION_MINOR 1
/** The patch version of this header. Since: 0.1. */
#define MDEV_VERSION_PATCH 0
/** The version of this header as "MAJOR.MINOR.PATCH". Since: 0.1. */
#define MDEV_VERSION_STRING "0.1.0"

/**
 * Checks whether this header is of this version or later, in the preprocessor.
 *
 * @param major the major version
 * @param minor the minor version
 * @param patch the patch version
 *
 * Since: 0.1. Follows: LIBVIR_CHECK_VERSION.
 */
#define MDEV_CHECK_VERSION(major, minor, patch)                                                                        \
	((major) < MDEV_VERSION_MAJOR ||                                                                               \
	 ((major) == MDEV_VERSION_MAJOR &&                                                                             \
	  ((minor) < MDEV_VERSION_MINOR || ((minor) == MDEV_VERSION_MINOR && (patch) <= MDEV_VERSION_PATCH))))

/**
 * Returns the version of the loaded library, which may be newer than the header of the program.
 *
 * @return "MAJOR.MINOR.PATCH", static, never NULL.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virGetVersion.
 */
const char *mdev_version(void);

/*
 * 3. Errors
 * =========
 */

/**
 * The cause of a failure, finer than an errno. A number never gets another meaning.
 *
 * Since: 0.1.
 */
typedef enum mdev_error_code {
	/**
	 * Internal fault of the library; please report it.
	 */
	MDEV_ERROR_INTERNAL = 1,
	/**
	 * An argument is NULL, too long, or does not have the form that the function requires.
	 */
	MDEV_ERROR_INVALID_ARGUMENT = 2,
	/**
	 * A handle is NULL, of the wrong kind or already freed.
	 */
	MDEV_ERROR_INVALID_HANDLE = 3,
	/**
	 * The function does not support a flag.
	 */
	MDEV_ERROR_INVALID_FLAGS = 4,
	/**
	 * The connection URI names no host.
	 */
	MDEV_ERROR_INVALID_URI = 5,
	/**
	 * The text is not well-formed XML, or does not have the expected root element.
	 */
	MDEV_ERROR_XML_SYNTAX = 6,
	/**
	 * The XML is well-formed, but an element or a value is invalid or missing.
	 */
	MDEV_ERROR_XML_CONTENT = 7,
	/**
	 * The XML exceeds the limit of size or depth.
	 */
	MDEV_ERROR_XML_LIMIT = 8,
	/**
	 * No node device has this name or UUID.
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
	 * The name or the UUID is in use.
	 */
	MDEV_ERROR_EXISTS = 12,
	/**
	 * The type has no instances left.
	 */
	MDEV_ERROR_NO_INSTANCES = 13,
	/**
	 * A process has the device open.
	 */
	MDEV_ERROR_IN_USE = 14,
	/**
	 * The sysfs layout of this parent does not support the operation.
	 */
	MDEV_ERROR_NOT_SUPPORTED = 15,
	/**
	 * Parameters were given, but the type accepts none.
	 */
	MDEV_ERROR_PARAMS_NOT_SUPPORTED = 16,
	/**
	 * A group was given, but the type requires none.
	 */
	MDEV_ERROR_GROUP_NOT_SUPPORTED = 17,
	/**
	 * No permission.
	 */
	MDEV_ERROR_ACCESS_DENIED = 18,
	/**
	 * The device has another owner.
	 */
	MDEV_ERROR_NOT_OWNER = 19,
	/**
	 * The operation did not end within its time limit.
	 */
	MDEV_ERROR_TIMEOUT = 20,
	/**
	 * The kernel returned an error; the errno is the kernel's.
	 */
	MDEV_ERROR_KERNEL = 21,
	/**
	 * A file of the kernel has unexpected content.
	 */
	MDEV_ERROR_BAD_DATA = 22,
	/**
	 * A file below /run/libmdev or /etc/mdevctl.d could not be read or written.
	 */
	MDEV_ERROR_STORE = 23,
	/**
	 * The node device does not have this value.
	 */
	MDEV_ERROR_NO_DATA = 24,
	/**
	 * The device does not have this attribute, or the attribute cannot be read or written.
	 */
	MDEV_ERROR_NO_ATTRIBUTE = 25,
	/**
	 * A panic of the library was caught at the C boundary; please report it.
	 */
	MDEV_ERROR_PANIC = 26,
	/**
	 * The kernel accepted the request, but the device did not become usable.
	 */
	MDEV_ERROR_NOT_READY = 27,
	/**
	 * Several node devices match; name one of them.
	 */
	MDEV_ERROR_AMBIGUOUS = 28,
	/**
	 * The node device is not in the required state: it is not running, is already running, or has no definition.
	 */
	MDEV_ERROR_WRONG_STATE = 29,
	/**
	 * An mdevctl call-out refused, or did not end in time.
	 */
	MDEV_ERROR_CALLOUT = 30,
} mdev_error_code;

/**
 * Returns the name of an error code, such as "no-instances". A name never gets another meaning.
 *
 * @param code a value of enum mdev_error_code
 * @return a static string; NULL: the code is unknown.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
const char *mdev_error_code_name(int code);

/**
 * Returns why the last call of this thread failed.
 *
 * A function that returns a negative number sets the error. A function that can fail clears the error when it starts,
 * except for getters: a function that only returns data of a handle does not change the error unless it fails itself.
 * These functions never change the error: ref, unref and free functions, mdev_error_*, mdev_version() and functions
 * that return a const char *.
 *
 * @return NULL: the last call of this thread succeeded. Otherwise an error that belongs to this thread. It is valid
 * until the next failed call of this thread, or until the thread ends. Do not pass it to another thread, and do not
 * free it.
 *
 * Since: 0.1. Follows: virGetLastError.
 */
const struct mdev_error *mdev_last_error(void);

/**
 * Returns the code of an error.
 *
 * @param err an error from mdev_last_error()
 * @return a value of enum mdev_error_code; -EINVAL: err is NULL or not an error.
 *
 * Since: 0.1. Follows: virErrorPtr's code.
 */
int mdev_error_get_code(const struct mdev_error *err);

/**
 * Returns the errno of an error: the return value of the failed call, without the minus sign.
 *
 * @param err an error from mdev_last_error()
 * @return a positive errno; -EINVAL: err is NULL or not an error.
 *
 * Since: 0.1.
 */
int mdev_error_get_errno(const struct mdev_error *err);

/**
 * Returns the message of an error: one English sentence with the object, the file and the next step. The wording may
 * change between versions; programs use the code.
 *
 * @param err an error from mdev_last_error()
 * @return one line of UTF-8, valid as long as the error; NULL: err is NULL or not an error.
 *
 * Since: 0.1. Follows: virGetLastErrorMessage.
 */
const char *mdev_error_get_message(const struct mdev_error *err);

/**
 * Returns the file or directory of an error.
 *
 * @param err an error from mdev_last_error()
 * @return an absolute path, valid as long as the error; NULL: the error has no file, or err is NULL or not an error.
 *
 * Since: 0.1.
 */
const char *mdev_error_get_path(const struct mdev_error *err);

/*
 * 4. Log
 * ======
 */

/**
 * The level of a log line.
 *
 * Since: 0.1.
 */
typedef enum mdev_log_level {
	/**
	 * An operation failed.
	 */
	MDEV_LOG_ERROR = 1,
	/**
	 * The library skipped or replaced unexpected data.
	 */
	MDEV_LOG_WARNING = 2,
	/**
	 * The library changed the host.
	 */
	MDEV_LOG_INFO = 3,
	/**
	 * Steps of an operation.
	 */
	MDEV_LOG_DEBUG = 4,
} mdev_log_level;

/**
 * Sets the log handler of the process, which replaces the previous handler. Without a handler, the library logs
 * nothing.
 *
 * The library calls the handler in the thread whose call caused the log line, shortly before that call returns;
 * several threads may call it at the same time. The handler may call the library; log lines of such calls are dropped.
 * It must not throw or longjmp. If the handler is replaced during a call in another thread, the end of that call may
 * still use the old handler.
 *
 * @param handler gets a level of enum mdev_log_level, one line of UTF-8 that is valid until the handler returns, and
 * data; NULL: no logging
 * @param data passed to the handler unchanged; it must stay valid as long as calls in other threads may use the
 * handler
 * @param max_level the highest level to log, MDEV_LOG_ERROR to MDEV_LOG_DEBUG; 0 or less: no logging
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virSetErrorFunc, libbpf_set_print.
 */
void mdev_set_log_handler(void (*handler)(int level, const char *message, void *data), void *data, int max_level);

/*
 * 5. Connection
 * =============
 */

/**
 * Opens a connection. Checks that the root directory, or the dump, can be read. Needs no privilege.
 *
 * The library reads no environment variable. MDEV_DEFAULT_URI is the default of the program nodedev only.
 *
 * Call-outs that are installed below the root directory of the URI run with the rights of the caller. Name only a
 * directory that you trust, or use the NO_CALLOUTS flags.
 *
 * @param ret receives the connection; the caller releases it with mdev_conn_unref()
 * @param uri NULL or "mdev:///system": this host. "mdev:///system?root=/DIR": the host whose sys, etc and run
 * directories are below /DIR; no symbolic link of its sysfs or /dev leads out of /DIR. "test:///default": the built-in
 * simulated host. "test:///ABS/PATH.xml": a host that mdev_conn_dump_xml() has dumped
 * @param flags 0
 * @return 0; -EINVAL: an argument, the URI or the dump is invalid; -ELOOP: a directory below /DIR in which the library
 * keeps its files is a symbolic link; -ENOENT, -EACCES and other errnos of the kernel: the directory or file that the
 * URI names cannot be opened.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectOpen.
 */
int mdev_conn_open(struct mdev_conn **ret, const char *uri, unsigned int flags);

/**
 * Takes a reference to a connection.
 *
 * @param conn a connection, or NULL
 * @return conn; NULL: conn is NULL or not a connection.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virConnectRef.
 */
struct mdev_conn *mdev_conn_ref(struct mdev_conn *conn);

/**
 * Drops a reference to a connection. The last reference closes the connection. Node devices that came from it stay
 * usable and keep the host open.
 *
 * @param conn a connection, or NULL
 * @return NULL, so that conn = mdev_conn_unref(conn) leaves no dangling pointer.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virConnectClose.
 */
struct mdev_conn *mdev_conn_unref(struct mdev_conn *conn);

/**
 * Sets the owner of every device that this connection creates or defines from now on, so that several management
 * stacks can share a host: see mdev_device_get_owner() and MDEV_DESTROY_OWNED. A defined device keeps the owner of its
 * definition, also if a connection with another owner starts it.
 *
 * @param conn a connection
 * @param owner a short word, such as the name of the stack; NULL: no owner
 * @return 0; -EINVAL: an argument is invalid.
 *
 * Thread-safe; of two calls at the same time, one takes effect. Since: 0.1.
 */
int mdev_conn_set_owner(struct mdev_conn *conn, const char *owner);

/**
 * Dumps the host as one XML text: everything that a node-device driver reads of the host. A file with this text can be
 * opened as test:///ABS/PATH.xml on any machine.
 *
 * @param conn a connection
 * @param ret receives the text; the caller frees it with free()
 * @param flags 0
 * @return 0; -EINVAL: an argument is invalid; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectGetCapabilities.
 */
int mdev_conn_dump_xml(struct mdev_conn *conn, char **ret, unsigned int flags);

/*
 * 6. Finding node devices
 * =======================
 */

/**
 * Selects the node devices that mdev_conn_list() returns. MDEV_LIST_PARENTS and MDEV_LIST_DEVICES select the kind:
 * without either, both are listed. MDEV_LIST_ACTIVE and MDEV_LIST_INACTIVE select the state: without either,
 * active node devices are listed. Parents are always active.
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
	 * Node devices that exist in the kernel.
	 */
	MDEV_LIST_ACTIVE = 4,
	/**
	 * Mediated devices that are defined but not started.
	 */
	MDEV_LIST_INACTIVE = 8,
	/**
	 * Lists parents without their types, which take most of the time of a list: for callers that need only names
	 * and states. mdev_device_list_types() of such a parent fails with -ENODATA; look the parent up by its name,
	 * or dump the host.
	 */
	MDEV_LIST_NO_TYPES = 16,
} mdev_list_flags;

/**
 * Lists node devices: a snapshot of every parent with its types, and of every mediated device, including the devices
 * that other programs created. A node device that can be read only in part is listed with the data that could be read,
 * and logged. It never hides another node device.
 *
 * @param conn a connection
 * @param ret receives the NULL-terminated array; the caller frees it with mdev_device_list_free()
 * @param flags bits of enum mdev_list_flags; 0: every parent and every active device
 * @return the number of node devices; -EINVAL: an argument is invalid; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectListAllNodeDevices; Documentation/ABI/testing/sysfs-bus-vfio-mdev.
 */
int mdev_conn_list(struct mdev_conn *conn, struct mdev_device ***ret, unsigned int flags);

/**
 * Selects the node devices that mdev_conn_list_filtered() returns. A node device must match every member that is not NULL. Set
 * size, and zero all other members that are not needed.
 *
 * Since: 0.1.
 */
typedef struct mdev_list_filter {
	/**
	 * sizeof(struct mdev_list_filter).
	 */
	size_t size;
	/**
	 * This parent and its devices, named as for mdev_conn_lookup_by_name(). For a VF of a parent, the device on that VF.
	 */
	const char *parent;
	/**
	 * The devices of this type, and the parents that offer it: id, name, or a short form of them.
	 */
	const char *type;
	/**
	 * The devices of this owner, and no parents.
	 */
	const char *owner;
	/**
	 * The node devices of this sysfs layout: see mdev_device_get_layout().
	 */
	const char *layout;
} mdev_list_filter;

/**
 * Lists node devices as mdev_conn_list() does, with a filter.
 *
 * @param conn a connection
 * @param filter selects the node devices; NULL: all
 * @param ret receives the NULL-terminated array; the caller frees it with mdev_device_list_free()
 * @param flags bits of enum mdev_list_flags
 * @return the number of node devices; -ENODEV: the parent of the filter does not exist and has no definitions; the errnos
 * of mdev_conn_list().
 *
 * Thread-safe. Since: 0.1. Follows: virConnectListAllNodeDevices; mdevctl list --parent.
 */
int mdev_conn_list_filtered(struct mdev_conn *conn,
			    const struct mdev_list_filter *filter,
			    struct mdev_device ***ret,
			    unsigned int flags);

/**
 * Drops one reference to each node device of an array, and frees the array. To keep a node device, take a reference to
 * it first.
 *
 * @param list an array from mdev_conn_list() or mdev_conn_create_group_xml(), or NULL
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
void mdev_device_list_free(struct mdev_device **list);

/**
 * Finds a node device by its name. A parent is also found by its address ("0000:86:00.0", in upper or lower case) and
 * by its sysfs path. mdev_conn_lookup_by_uuid() finds a mediated device by its UUID.
 *
 * @param conn a connection
 * @param name the name
 * @param ret receives the node device; the caller releases it with mdev_device_unref()
 * @return 0; -ENODEV: no node device has this name; -EINVAL: an argument is invalid; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceLookupByName.
 */
int mdev_conn_lookup_by_name(struct mdev_conn *conn, const char *name, struct mdev_device **ret);

/**
 * Finds a mediated device by its UUID.
 *
 * @param conn a connection
 * @param uuid 36 characters with the dashes, or 32 hexadecimal digits, in upper or lower case
 * @param ret receives the node device; the caller releases it with mdev_device_unref()
 * @return 0; -ENODEV: no device has this UUID; -ENOTUNIQ: the device is not running and is defined under several
 * parents: look it up by its name; -EBADMSG and others: the definition of the device is invalid; -EACCES: no
 * permission to read whether the device is defined; -EINVAL: an argument is invalid, or uuid is not a UUID; errnos of
 * the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virDomainLookupByUUIDString; /sys/bus/mdev/devices.
 */
int mdev_conn_lookup_by_uuid(struct mdev_conn *conn, const char *uuid, struct mdev_device **ret);

/**
 * Waits until a parent exists and offers at least one type. Sleeps until the kernel sends an event. The kernel sends
 * none for new types of an existing parent, so a parent without types is read once a second.
 *
 * @param conn a connection
 * @param name the name of the parent, as for mdev_conn_lookup_by_name()
 * @param timeout_ms the longest wait in milliseconds; 0: check once; negative: no limit
 * @param ret receives the parent; the caller releases it with mdev_device_unref(). If name is a PF whose VFs are the
 * parents, ret receives the first VF
 * @return 0; -ETIMEDOUT: the parent does not exist or offers no type (the message says which of the two); -EINVAL: an
 * argument is invalid; errnos of the kernel.
 *
 * Thread-safe. The log handler gets the log lines of the call when the call ends. Since: 0.1. Follows: uevents of
 * drivers/base/core.c.
 */
int mdev_conn_wait_parent(struct mdev_conn *conn, const char *name, int timeout_ms, struct mdev_device **ret);

/**
 * The state of a device for which mdev_conn_wait_device() waits.
 *
 * Since: 0.1.
 */
typedef enum mdev_device_wait {
	/**
	 * The device exists and is usable.
	 */
	MDEV_DEVICE_CREATED = 1,
	/**
	 * The device does not exist.
	 */
	MDEV_DEVICE_DELETED = 2,
	/**
	 * The device exists, and no process has it open.
	 */
	MDEV_DEVICE_FREE = 3,
} mdev_device_wait;

/**
 * Waits until a mediated device is created, deleted, or not in use. Sleeps until the kernel sends an event, and checks the
 * state once a second where it sends none: for the layout vendor-vfio, and for MDEV_DEVICE_FREE. The state can change
 * again after the return.
 *
 * @param conn a connection
 * @param uuid the UUID of the device
 * @param state a value of enum mdev_device_wait
 * @param timeout_ms the longest wait in milliseconds; 0: check once; negative: no limit
 * @return 0; -ETIMEDOUT: the device does not have the state (the message says why); -ENODEV: state is
 * MDEV_DEVICE_FREE, and there is no such device; -EINVAL: an argument is invalid; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: udevadm wait.
 */
int mdev_conn_wait_device(struct mdev_conn *conn,
			  const char *uuid,
			  int state,
			  int timeout_ms);

/*
 * 7. Node device: a parent or a mediated device
 * =============================================
 */

/**
 * Takes a reference to a node device.
 *
 * @param dev a node device, or NULL
 * @return dev; NULL: dev is NULL or not a node device.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virNodeDeviceRef.
 */
struct mdev_device *mdev_device_ref(struct mdev_device *dev);

/**
 * Drops a reference to a node device. The last reference frees the handle and the strings and types that came from it.
 * The device in the kernel is not changed: mdev_device_destroy() destroys it.
 *
 * @param dev a node device, or NULL
 * @return NULL
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virNodeDeviceFree.
 */
struct mdev_device *mdev_device_unref(struct mdev_device *dev);

/**
 * Returns the name of a node device: pci_0000_86_00_0, mdev_UUID_PARENT, or the name that the creator chose.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetName.
 */
int mdev_device_get_name(struct mdev_device *dev, const char **ret);

/**
 * Returns the name of the parent node. For a mediated device, this is the device on which it is created. For a parent,
 * this is the next device above it in the device tree, "computer" at the root.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetParent.
 */
int mdev_device_get_parent(struct mdev_device *dev, const char **ret);

/**
 * Returns the sysfs path of a node device, without symbolic links.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: the device is defined but not running, so it has no path; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the path element of libvirt's node-device XML.
 */
int mdev_device_get_syspath(struct mdev_device *dev, const char **ret);

/**
 * Returns the sysfs layout of a node device, which is the generation of the kernel interface: "rfc", "general", "mdev"
 * or "vendor-vfio".
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: Documentation/driver-api/vfio-mediated-device.rst.
 */
int mdev_device_get_layout(struct mdev_device *dev, const char **ret);

/**
 * Returns whether a node device is a parent.
 *
 * @param dev a node device
 * @return 1: dev can create mediated devices; 0: it cannot; -EINVAL: dev is NULL or not a node device.
 *
 * Thread-safe. Since: 0.1. Follows: the mdev_types capability of libvirt.
 */
int mdev_device_is_parent(struct mdev_device *dev);

/**
 * Returns whether a node device existed in the kernel at the time of the snapshot.
 *
 * @param dev a node device
 * @return 1: it existed; 0: it did not; -EINVAL: dev is NULL or not a node device.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceIsActive.
 */
int mdev_device_is_active(struct mdev_device *dev);

/**
 * Returns the NUMA node of a parent. For a mediated device, returns the NUMA node of its parent.
 *
 * @param dev a node device
 * @param ret receives the number
 * @return 0; -ENODATA: the platform has no NUMA nodes or does not report the NUMA node; -EINVAL: an argument is
 * invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the numa_node file; drivers/base/core.c.
 */
int mdev_device_get_numa_node(struct mdev_device *dev, int *ret);

/**
 * Returns the name of the node of the SR-IOV physical function (PF). For a parent that is a VF, and for a device on
 * that parent, this is the PF of the VF. In the layout vendor-vfio a device is a VF and its parent is the PF: for the
 * device, this is the parent. The same holds for a definition on such a parent.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: neither dev nor its parent is a VF; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the physfn link; drivers/pci/iov.c.
 */
int mdev_device_get_physical_function(struct mdev_device *dev, const char **ret);

/**
 * Returns the name of the kernel driver that is bound to a node device.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: no driver was bound, or the device is not running; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the driver element of libvirt's node-device XML.
 */
int mdev_device_get_driver(struct mdev_device *dev, const char **ret);

/**
 * Returns the PCI address of a node device: of a PCI parent, or of the VF that a mediated device of the layout vendor-vfio
 * is.
 *
 * @param dev a node device
 * @param ret receives the string, such as "0000:41:00.5", which is valid as long as dev
 * @return 0; -ENODATA: dev is not a PCI device, or not running; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the address element of libvirt's hostdev of type pci.
 */
int mdev_device_get_address(struct mdev_device *dev,
			    const char **ret);

/**
 * Flags of mdev_device_get_xml().
 *
 * Since: 0.1.
 */
typedef enum mdev_xml_flags {
	/**
	 * Use libvirt's schema (nodedev.rng) instead of the founding proposal's dialect.
	 */
	MDEV_XML_LIBVIRT = 1,
	/**
	 * Print the definition of a device, also while the device runs. -ENOENT if it has no definition. No effect on
	 * a parent.
	 */
	MDEV_XML_INACTIVE = 2,
} mdev_xml_flags;

/**
 * Returns the XML of a node device.
 *
 * @param dev a node device
 * @param ret receives the text; the caller frees it with free()
 * @param flags bits of enum mdev_xml_flags; 0: the founding proposal's dialect
 * @return 0; -ENOENT: MDEV_XML_INACTIVE is set and the device has no definition; -EINVAL: an argument is invalid;
 * errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetXMLDesc.
 */
int mdev_device_get_xml(struct mdev_device *dev, char **ret, unsigned int flags);

/*
 * 8. Attributes of a node device
 * ==============================
 */

/**
 * The access to an attribute of a node device: see mdev_device_get_attr_access().
 *
 * Since: 0.1.
 */
typedef enum mdev_attr_access {
	/**
	 * The attribute can be read with mdev_device_get_attr().
	 */
	MDEV_ATTR_READ = 1,
	/**
	 * The attribute can be written with mdev_device_set_attr().
	 */
	MDEV_ATTR_WRITE = 2,
} mdev_attr_access;

/**
 * Lists the current attributes of a node device: the regular files of its sysfs directory whose mode allows reading or
 * writing. For a mediated device, the files one directory below are included (nvidia/vgpu_params), except those of the
 * directory power. Symbolic links are not followed. Files that create or remove devices are never writable attributes.
 *
 * @param dev a node device
 * @param ret receives the array of names, sorted and NULL-terminated. The array and the names are one block of memory:
 * the caller frees the array with free(), and nothing else
 * @return the number of names; -ENODEV: the device no longer exists or is not running; -EACCES: no permission;
 * -EINVAL: an argument is invalid; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceListCaps; fs/sysfs/file.c.
 */
int mdev_device_list_attrs(struct mdev_device *dev, char ***ret);

/**
 * Returns whether an attribute of a node device can be read and written, according to the mode of its file. Does not
 * check the permissions of this process: mdev_device_get_attr() and mdev_device_set_attr() return -EACCES if they are
 * missing.
 *
 * @param dev a node device
 * @param name a file name in the node's sysfs directory, or a path below that directory: see mdev_device_list_attrs()
 * @param ret receives bits of enum mdev_attr_access
 * @return 0; -ENOENT: the attribute does not exist; -ENODEV: the device no longer exists or is not running; -EINVAL:
 * an argument is invalid; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: fs/sysfs/file.c.
 */
int mdev_device_get_attr_access(struct mdev_device *dev, const char *name, unsigned int *ret);

/**
 * Reads the current value of an attribute of a node device. The snapshot contains no attributes.
 *
 * @param dev a node device
 * @param name a file name in the node's sysfs directory, or a path below that directory: see mdev_device_list_attrs()
 * @param ret receives the value without the newline at its end; the caller frees it with free()
 * @return 0; -ENOENT: the attribute does not exist; -ENODEV: the device no longer exists or is not running; -EACCES:
 * no permission; -EINVAL: an argument is invalid; other errnos of the kernel or of the vendor's driver.
 *
 * Thread-safe. Since: 0.1. Follows: fs/sysfs/file.c.
 */
int mdev_device_get_attr(struct mdev_device *dev, const char *name, char **ret);

/**
 * Writes an attribute of a mediated device, with a single write.
 *
 * @param dev a mediated device
 * @param name a file name in the device's sysfs directory, or a path below that directory: see
 * mdev_device_list_attrs()
 * @param value the text to write
 * @return 0; -ENOENT: the attribute does not exist; -ENODEV: the device no longer exists or is not running;
 * -EOPNOTSUPP: dev is a parent; -EACCES: no permission; -EBUSY: the driver refuses the write while a process has the
 * device open; -EIO: the driver changed or dropped the value; -ETIMEDOUT: another process held the lock of the PF for
 * more than 30 s; -EINVAL: an argument is invalid; other errnos of the kernel or of the vendor's driver.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: fs/sysfs/file.c.
 */
int mdev_device_set_attr(struct mdev_device *dev, const char *name, const char *value);

/*
 * 9. Parent
 * =========
 */

/**
 * Returns the names of the vendor and of the product of a PCI parent, from the file pci.ids of the host. If the file does not
 * contain a name, returns the id: "0x10de".
 *
 * @param dev a parent
 * @param vendor receives the string, which is valid as long as dev
 * @param product receives the string, which is valid as long as dev
 * @return 0; -ENODATA: dev is not a parent or not a PCI device; -EINVAL: an argument is invalid.
 *
 * Thread-safe. The first call for a product reads pci.ids. Since: 0.1. Follows: the vendor and product elements of
 * libvirt's PCI capability.
 */
int mdev_device_get_product(struct mdev_device *dev,
			    const char **vendor,
			    const char **product);

/**
 * Returns how many virtual functions of a parent are mediated devices, and how many can be. In the layout vendor-vfio, each
 * device needs a virtual function of its own.
 *
 * @param dev a parent
 * @param used receives the number of virtual functions that are devices
 * @param total receives the number of virtual functions that can be devices, with those that are
 * @return 0; -ENODATA: dev is not a parent, its devices are not virtual functions, or its virtual functions are not
 * enabled; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the virt_functions capability of libvirt's node-device XML.
 */
int mdev_device_get_vf_counts(struct mdev_device *dev,
			      unsigned int *used,
			      unsigned int *total);

/**
 * Lists the types of a parent, with every attribute that the vendor exposes.
 *
 * @param parent a parent
 * @param ret receives the NULL-terminated array. The array and the types are valid as long as parent; the caller must
 * not free them
 * @return the number of types; -ENODATA: parent is a mediated device, or was listed with MDEV_LIST_NO_TYPES; -EINVAL:
 * an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: mdev_supported_types of drivers/vfio/mdev/mdev_sysfs.c.
 */
int mdev_device_list_types(struct mdev_device *parent, const struct mdev_type *const **ret);

/**
 * Finds a type of a parent by its id, or by its name, in which "_" may replace a space. If neither matches, also
 * accepts these forms, in upper or lower case: the number of the id as "11", "0xb" or "nvidia-11", and the name
 * without the vendor's prefix ("M60-0B"). XML accepts the same forms.
 *
 * @param parent a parent
 * @param id_or_name such as "11", "GRID M60-0B" or "GRID_M60-0B"
 * @param ret receives the type, which is valid as long as parent
 * @return 0; -ENODEV: the parent has no such type; -ENOTUNIQ: several types match this form; -ENODATA: parent is a
 * mediated device, or was listed with MDEV_LIST_NO_TYPES; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_device_find_type(struct mdev_device *parent, const char *id_or_name, const struct mdev_type **ret);

/*
 * 10. Type
 * ========
 */

/**
 * Returns the id of a type. XML names the type by this id.
 *
 * @param type a type
 * @return a string, valid as long as the parent's handle; NULL: type is NULL or not a type.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: the names of the directories below mdev_supported_types.
 */
const char *mdev_type_get_id(const struct mdev_type *type);

/**
 * Returns the name that the vendor gives to a type.
 *
 * @param type a type
 * @return a string, valid as long as the parent's handle; NULL: the kernel reports none, or type is NULL or not a
 * type.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: the type's name file.
 */
const char *mdev_type_get_name(const struct mdev_type *type);

/**
 * Returns the device API of a type: "vfio-pci", "vfio-ccw" or "vfio-ap".
 *
 * @param type a type
 * @return a string, valid as long as the parent's handle; NULL: the kernel reports none, or type is NULL or not a
 * type.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: the type's device_api file.
 */
const char *mdev_type_get_device_api(const struct mdev_type *type);

/**
 * Returns the vendor's description of a type, which may have several lines.
 *
 * @param type a type
 * @return a string, valid as long as the parent's handle; NULL: the kernel reports none, or type is NULL or not a
 * type.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: the type's description file.
 */
const char *mdev_type_get_description(const struct mdev_type *type);

/**
 * Returns an attribute of a type.
 *
 * @param type a type
 * @param name the name of the attribute's file: "fb_length", "heads", "max_instances", ...
 * @return a string, valid as long as the parent's handle; NULL: the type has no such attribute, or an argument is
 * invalid.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: the files of a type's directory.
 */
const char *mdev_type_get_attr(const struct mdev_type *type, const char *name);

/**
 * Lists the names of a type's attributes: every name for which mdev_type_get_attr() returns a value.
 *
 * @param type a type
 * @param ret receives the NULL-terminated array. The array and the names are valid as long as the parent's handle; the
 * caller must not free them
 * @return the number of names; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the files of a type's directory.
 */
int mdev_type_list_attrs(const struct mdev_type *type, const char *const **ret);

/**
 * Returns how many devices of a type could still be created at the time of the snapshot. Types may share resources, so
 * creating one device can reduce the number of several types. mdev_type_get_capacity() also returns whether the number
 * is exact.
 *
 * @param type a type
 * @param ret receives the number
 * @return 0; -ENODATA: the kernel does not report the number; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the type's available_instances file; the founding proposal's max_instances.
 */
int mdev_type_get_available_instances(const struct mdev_type *type, unsigned int *ret);

/**
 * Returns how many devices of a type could still be created at the time of the snapshot, and whether this is an upper
 * bound. If the devices are VFs of a card, each free VF that offers the type counts, but the VFs share the card: 8 VFs
 * may offer a type of which only 1 fits. The number is then an upper bound, and a create may fail with -ENOSPC
 * earlier.
 *
 * @param type a type
 * @param ret receives the number, the same as from mdev_type_get_available_instances()
 * @param is_upper_bound receives 1 if fewer devices may fit, 0 if the driver reported the number
 * @return 0; -ENODATA: the number is unknown; -EINVAL: an argument is invalid. Writes nothing on failure.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_type_get_capacity(const struct mdev_type *type, unsigned int *ret, int *is_upper_bound);

/**
 * Returns whether devices of a type must be created in one group if one guest gets several of them.
 *
 * @param type a type
 * @return 1: in one group; 0: not; -EINVAL: type is NULL or not a type.
 *
 * Thread-safe. Since: 0.1. Follows: the founding proposal's requires_group.
 */
int mdev_type_requires_group(const struct mdev_type *type);

/*
 * 11. Mediated device
 * ===================
 */

/**
 * Returns the UUID of a mediated device, in lower case.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: dev is a parent; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: drivers/vfio/mdev/mdev_core.c.
 */
int mdev_device_get_uuid(struct mdev_device *dev, const char **ret);

/**
 * Returns the id of the type from which a mediated device was created.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: dev is a parent, or the type is unknown; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the mdev_type link in the sysfs directory of the device.
 */
int mdev_device_get_type_id(struct mdev_device *dev, const char **ret);

/**
 * Returns the group in which a mediated device was created. The devices of one group belong to one guest.
 *
 * @param dev a node device
 * @param ret receives the number
 * @return 0; -ENODATA: dev is a parent, or has no group; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the founding proposal's group.
 */
int mdev_device_get_group(struct mdev_device *dev, unsigned int *ret);

/**
 * Returns the parameters with which a mediated device was created, as its creator passed them to the vendor's driver.
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: dev is a parent, or its parameters are unknown; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the founding proposal's params.
 */
int mdev_device_get_params(struct mdev_device *dev, const char **ret);

/**
 * Returns the IOMMU group of a mediated device: N in /dev/vfio/N.
 *
 * @param dev a node device
 * @param ret receives the number
 * @return 0; -ENODATA: dev is a parent, or has no IOMMU group; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: drivers/iommu/iommu.c; virNodeDevCapMdev's iommuGroup.
 */
int mdev_device_get_iommu_group(struct mdev_device *dev, unsigned int *ret);

/**
 * Returns the owner of a mediated device: the name that its creator set with mdev_conn_set_owner().
 *
 * @param dev a node device
 * @param ret receives the string, which is valid as long as dev
 * @return 0; -ENODATA: dev is a parent, or no owner is recorded; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: the owner files below /run/libmdev.
 */
int mdev_device_get_owner(struct mdev_device *dev, const char **ret);

/**
 * Resets a mediated device.
 *
 * @param dev a mediated device
 * @return 0; -EOPNOTSUPP: the layout has no reset, or dev is a parent; -ENODEV: the device no longer exists or is not
 * running; -EBUSY: the driver refuses while a process has the device open; -EACCES: no permission; -EINVAL: dev is NULL
 * or not a node device; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceReset; the reset file of the general layout.
 */
int mdev_device_reset(struct mdev_device *dev);

/**
 * Sets a mediated device online or offline.
 *
 * @param dev a mediated device
 * @param online 0: offline; any other value: online
 * @return 0; -EOPNOTSUPP: the layout has no online state, or dev is a parent; -ENODEV: the device no longer exists or
 * is not running; -EBUSY: the driver refuses while a process has the device open; -EACCES: no permission; -EINVAL: dev
 * is NULL or not a node device; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: the online file of the general layout.
 */
int mdev_device_set_online(struct mdev_device *dev, int online);

/**
 * Lists the processes that have a mediated device open now. Searches the open files of all processes, for at most 5 s. If
 * not all processes can be examined, for example as an ordinary user, the list may be incomplete, and the log handler
 * receives a warning.
 *
 * @param dev a node device
 * @param ret receives the NULL-terminated array; the caller frees it with mdev_user_list_free()
 * @return the number of processes, 0 if the device is not in use; -ENODATA: dev is a parent; -ENODEV: the device is not
 * running or no longer exists; -EINVAL: an argument is invalid; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: fuser /dev/vfio/GROUP.
 */
int mdev_device_list_users(struct mdev_device *dev,
			   struct mdev_user ***ret);

/**
 * Returns the process id of a user.
 *
 * @param user a user
 * @return a positive number; -EINVAL: user is NULL or not a user.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_user_get_pid(const struct mdev_user *user);

/**
 * Returns the program of a user, as in /proc/PID/comm.
 *
 * @param user a user
 * @return a string, perhaps empty, valid as long as the user; NULL: user is NULL or not a user.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
const char *mdev_user_get_program(const struct mdev_user *user);

/**
 * Returns the name of the virtual machine of a user, from the argument -name of QEMU.
 *
 * @param user a user
 * @return a string, valid as long as the user; NULL: the program has no such argument, or user is NULL or not a user.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
const char *mdev_user_get_guest(const struct mdev_user *user);

/**
 * Frees an array of users and the users in it.
 *
 * @param list an array from mdev_device_list_users(), or NULL
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
void mdev_user_list_free(struct mdev_user **list);

/*
 * 12. Create and destroy
 * ======================
 */

/**
 * Flags of mdev_conn_create_xml() and mdev_conn_create_group_xml().
 *
 * Since: 0.1.
 */
typedef enum mdev_create_flags {
	/**
	 * If a device with the same UUID, parent and type exists, return it instead of failing with -EEXIST.
	 */
	MDEV_CREATE_EXIST_OK = 1,
	/**
	 * If the XML leaves the choice of a parent, prefer parents that already have devices.
	 */
	MDEV_CREATE_PACK = 2,
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_CREATE_NO_CALLOUTS = 4,
	/**
	 * Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead
	 * of refusing them with -EINVAL.
	 */
	MDEV_CREATE_IGNORE_UNKNOWN = 8,
	/**
	 * Choose the parent, the type, the UUID and the VF and check the request, but write nothing. The result is a
	 * handle of the device that does not exist, and the log handler receives the plan: see mdev_conn_plan_xml().
	 */
	MDEV_CREATE_DRY_RUN = 16,
} mdev_create_flags;

/**
 * Creates a mediated device. On success the device is ready for use: its sysfs directory exists and, if the layout has
 * them, its IOMMU group and its /dev/vfio node. On failure the device is removed again; if that
 * fails too, the message names the device, which stays.
 *
 * @param conn a connection
 * @param xml a device element in the founding proposal's or in libvirt's dialect, UTF-8
 * @param ret receives the new node device; the caller releases it with mdev_device_unref()
 * @param flags bits of enum mdev_create_flags
 * @return 0; -EINVAL: an argument or the XML is invalid; -ENODEV: the parent or the type does not exist; -EEXIST: the
 * name or the UUID is in use; -ENOSPC: the type has no instances left; -EOPNOTSUPP: the layout does not support a
 * feature that the XML requests; -ECANCELED: an mdevctl call-out refused; -ETIMEDOUT: an mdevctl call-out did not end
 * in time; -EACCES: no permission; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceCreateXML; drivers/vfio/mdev/mdev_sysfs.c.
 */
int mdev_conn_create_xml(struct mdev_conn *conn, const char *xml, struct mdev_device **ret, unsigned int flags);

/**
 * Creates several devices for one guest: all of them or none. They are created in one group if their type requires a
 * group.
 *
 * @param conn a connection
 * @param xmls n device elements, as for mdev_conn_create_xml()
 * @param n the number of device elements, 1 to 64
 * @param ret receives the NULL-terminated array of the new node devices, in the order of xmls; the caller frees it
 * with mdev_device_list_free()
 * @param flags bits of enum mdev_create_flags
 * @return n; the errnos of mdev_conn_create_xml(), with none of the devices left behind. If the process is killed
 * during the call, some of the devices may remain: see mdev_conn_destroy_incomplete().
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: the founding proposal's group.
 */
int mdev_conn_create_group_xml(struct mdev_conn *conn,
			       const char *const *xmls,
			       size_t n,
			       struct mdev_device ***ret,
			       unsigned int flags);

/**
 * An attribute of a mediated device: a file in its sysfs directory, and the value that is written to the file.
 *
 * Since: 0.1.
 */
typedef struct mdev_attr {
	/**
	 * The name of the file, or a path below the directory of the device (nvidia/vgpu_params).
	 */
	const char *name;
	/**
	 * The value, 1 to 4095 bytes.
	 */
	const char *value;
} mdev_attr;

/**
 * The mediated device that mdev_conn_create() creates or mdev_conn_define() defines. Set size, and zero all members that are
 * not needed: struct mdev_create_options options = { .size = sizeof(options), .type = "11" };
 *
 * Later versions append members. The library accepts a struct of an older or of a newer header, if the members that the
 * library does not have are zero.
 *
 * Since: 0.1.
 */
typedef struct mdev_create_options {
	/**
	 * sizeof(struct mdev_create_options).
	 */
	size_t size;
	/**
	 * The parent, named as for mdev_conn_lookup_by_name(); NULL: mdev_conn_create() chooses a parent.
	 */
	const char *parent;
	/**
	 * The id or the name of the type, or a short form of them. Required.
	 */
	const char *type;
	/**
	 * The UUID; NULL: a random UUID.
	 */
	const char *uuid;
	/**
	 * The name of the device; NULL: a generated name.
	 */
	const char *name;
	/**
	 * The parameters for the vendor's driver; NULL: none.
	 */
	const char *params;
	/**
	 * The preferred NUMA node of the parent, if parent is NULL; NULL: no preference.
	 */
	const int *numa_node;
	/**
	 * The attributes to write after the create, in this order; NULL if n_attrs is 0.
	 */
	const struct mdev_attr *attrs;
	/**
	 * The number of attributes.
	 */
	size_t n_attrs;
	/**
	 * The group of the devices of one virtual machine, from 1; 0: none.
	 */
	unsigned int group;
} mdev_create_options;

/**
 * Creates a mediated device as mdev_conn_create_xml() does, without XML.
 *
 * @param conn a connection
 * @param options the device; not changed, and not used after the call
 * @param ret receives the device; the caller releases it with mdev_device_unref()
 * @param flags bits of enum mdev_create_flags
 * @return 0; the errnos of mdev_conn_create_xml().
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: mdevctl start.
 */
int mdev_conn_create(struct mdev_conn *conn,
		     const struct mdev_create_options *options,
		     struct mdev_device **ret,
		     unsigned int flags);

/**
 * Returns what mdev_conn_create_xml() would do with this XML: the parent, the type, the UUID, the VF, and the writes to sysfs.
 * Writes nothing, and runs no call-outs. Needs no privilege. The create may choose another VF, and chooses another random UUID.
 *
 * @param conn a connection
 * @param xml a device element in either dialect, UTF-8
 * @param plan receives the text: one line for each value ("parent pci_0000_41_00_0", "type 1438", "uuid UUID", "vf
 * 0000:41:00.5", "exists") and each write ("write PATH TEXT"); the caller frees it with free()
 * @param flags bits of enum mdev_create_flags
 * @return 0; the errnos with which mdev_conn_create_xml() fails before its first write.
 *
 * Thread-safe. Since: 0.1. Follows: systemctl start --dry-run.
 */
int mdev_conn_plan_xml(struct mdev_conn *conn,
		       const char *xml,
		       char **plan,
		       unsigned int flags);

/**
 * Flags of mdev_conn_destroy_uuid(), mdev_device_destroy() and mdev_conn_destroy_incomplete().
 *
 * Since: 0.1.
 */
typedef enum mdev_destroy_flags {
	/**
	 * Fail with -EPERM if the owner of this connection (see mdev_conn_set_owner()) did not create the device.
	 */
	MDEV_DESTROY_OWNED = 1,
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_DESTROY_NO_CALLOUTS = 2,
} mdev_destroy_flags;

/**
 * Destroys a mediated device, also a device that another program created. On success the device no longer exists. If a
 * process has the device open, fails immediately with -EBUSY and changes nothing; the kernel itself would block. A
 * caller in a container needs the PID namespace of the host: see mdev_device_destroy().
 *
 * @param conn a connection
 * @param uuid the UUID of the device, 36 characters, in upper or lower case
 * @param flags bits of enum mdev_destroy_flags
 * @return 0; -ENODEV: the device does not exist; -EBUSY: the device is in use, or that cannot be determined; -EPERM:
 * MDEV_DESTROY_OWNED is set and the device does not belong to the owner of conn; -ECANCELED: an mdevctl call-out
 * refused; -ETIMEDOUT: an mdevctl call-out did not end in time; -EACCES: no permission; -EINVAL: an argument is
 * invalid; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDestroy; drivers/vfio/mdev/mdev_core.c.
 */
int mdev_conn_destroy_uuid(struct mdev_conn *conn, const char *uuid, unsigned int flags);

/**
 * Destroys a mediated device, as mdev_conn_destroy_uuid() does. The handle stays valid until its last reference is
 * dropped.
 *
 * A device is destroyed only if no process has it open. On kernels with device nodes in /dev/vfio/devices (Linux 6.6
 * and later), the library determines that from /proc: the caller needs the PID namespace of the host, and must be root
 * with CAP_SYS_PTRACE. Without them, as in a container that does not share the host's PID namespace, the call fails
 * with -EBUSY even if no process has the device open. VFs are not affected, since the driver of a VF refuses the write
 * while the device is open.
 *
 * @param dev a mediated device
 * @param flags bits of enum mdev_destroy_flags
 * @return 0; -ENODEV: the device no longer exists; -EBUSY: the device is in use, or that cannot be determined; -EPERM:
 * MDEV_DESTROY_OWNED is set and the device does not belong to the owner of its connection; -ECANCELED: an mdevctl
 * call-out refused; -ETIMEDOUT: an mdevctl call-out did not end in time; -EACCES: no permission; -EOPNOTSUPP: dev is a
 * parent; -EINVAL: an argument is invalid; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDestroy; drivers/vfio/mdev/mdev_core.c.
 */
int mdev_device_destroy(struct mdev_device *dev, unsigned int flags);

/**
 * Destroys the devices of incomplete groups. A process that is killed inside mdev_conn_create_group_xml() can leave
 * some of the devices of its group; mdev_conn_list_problems() reports each such group. A group that a running process
 * is creating is not changed. mdev_conn_create_group_xml() first does the same for the owner of its connection.
 *
 * @param conn a connection
 * @param owner destroy only groups of this owner: see mdev_conn_set_owner(); NULL: every incomplete group
 * @param flags 0 or MDEV_DESTROY_NO_CALLOUTS
 * @return the number of destroyed devices; -EINVAL: an argument is invalid, or MDEV_DESTROY_OWNED is set: use owner
 * instead. If a device cannot be destroyed, the other devices are still destroyed, mdev_last_error() names the device,
 * and its group stays incomplete. The errno is then -EBUSY: the device is in use; -ECANCELED: an mdevctl call-out
 * refused; -ETIMEDOUT: an mdevctl call-out did not end in time; -ENODATA: another program may have created the device
 * (mdev_last_error() has the next step); -EACCES: no permission; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1.
 */
int mdev_conn_destroy_incomplete(struct mdev_conn *conn, const char *owner, unsigned int flags);

/*
 * 13. Definitions: mediated devices that persist
 * ==============================================
 */

/**
 * Flags of mdev_conn_define_xml(). mdev_device_undefine() accepts only MDEV_DEFINE_NO_CALLOUTS.
 *
 * Since: 0.1.
 */
typedef enum mdev_define_flags {
	/**
	 * Do not run mdevctl's call-out scripts.
	 */
	MDEV_DEFINE_NO_CALLOUTS = 1,
	/**
	 * Start the device when its parent appears, as mdev_device_set_autostart() does, but in one step and with one
	 * call-out. Without this flag, a new definition has no autostart, and a changed definition keeps its
	 * autostart.
	 */
	MDEV_DEFINE_AUTOSTART = 2,
	/**
	 * Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead
	 * of refusing them with -EINVAL.
	 */
	MDEV_DEFINE_IGNORE_UNKNOWN = 4,
} mdev_define_flags;

/**
 * Defines a mediated device that persists, in mdevctl's store (/etc/mdevctl.d). If the parent already has a definition
 * with this UUID, changes that definition; a running device is not changed before its next start. A parent that does
 * not exist can be named by its address.
 *
 * @param conn a connection
 * @param xml a device element in either dialect, UTF-8, with a parent. Without a UUID, a random UUID is used. A start
 * element of type auto or manual sets autostart; manual together with MDEV_DEFINE_AUTOSTART is -EINVAL
 * @param ret receives the node device, running or not; the caller releases it with mdev_device_unref()
 * @param flags bits of enum mdev_define_flags
 * @return 0; -EINVAL: an argument or the XML is invalid; -ENODEV: the parent does not have this type, or does not
 * exist and its name does not contain its address; -EEXIST: the name is in use; -ENOSPC: the disk is full (the message
 * says whether the old definition is unchanged); -ECANCELED: an mdevctl call-out refused; -EACCES: no permission;
 * -ETIMEDOUT: an mdevctl call-out did not end in time, or another process keeps the store locked; other errnos of the
 * kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceDefineXML; mdevctl define.
 */
int mdev_conn_define_xml(struct mdev_conn *conn, const char *xml, struct mdev_device **ret, unsigned int flags);

/**
 * Defines a mediated device as mdev_conn_define_xml() does, without XML.
 *
 * @param conn a connection
 * @param options the device, with a parent; not changed, and not used after the call
 * @param ret receives the device, running or not; the caller releases it with mdev_device_unref()
 * @param flags bits of enum mdev_define_flags
 * @return 0; the errnos of mdev_conn_define_xml().
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: mdevctl define.
 */
int mdev_conn_define(struct mdev_conn *conn,
		     const struct mdev_create_options *options,
		     struct mdev_device **ret,
		     unsigned int flags);

/**
 * Removes the definition of a device. A running device keeps running until it is destroyed. The handle stays valid.
 *
 * @param dev a mediated device
 * @param flags 0 or MDEV_DEFINE_NO_CALLOUTS
 * @return 0; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a parent; -ECANCELED: an mdevctl call-out
 * refused; -EINVAL: an argument is invalid; -EACCES: no permission; -ETIMEDOUT: an mdevctl call-out did not end in
 * time, or another process keeps the store locked; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceUndefine; mdevctl undefine.
 */
int mdev_device_undefine(struct mdev_device *dev, unsigned int flags);

/**
 * Reads whether a device currently has a definition. A parent is always persistent.
 *
 * @param dev a node device
 * @return 1: persistent; 0: not; -EINVAL: dev is NULL or not a node device; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceIsPersistent.
 */
int mdev_device_is_persistent(struct mdev_device *dev);

/**
 * Returns the attributes in the definition of a device, in the order in which the next start writes them. A running
 * device may have other attributes. The first successful call reads them, and later calls return the same attributes.
 * To read them again, look up the device again.
 *
 * @param dev a device that is defined, running or not
 * @param names receives the NULL-terminated array of names; a name may occur twice
 * @param values receives the array of values, of the same length. Both arrays and the texts are valid as long as dev;
 * the caller must not free them
 * @return the number of attributes; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a parent; -EINVAL: an
 * argument is invalid; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: the attrs of mdevctl's definitions.
 */
int mdev_device_list_definition_attrs(struct mdev_device *dev, const char *const **names, const char *const **values);

/**
 * Flags of mdev_device_start() and mdev_conn_autostart().
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
 * Starts a device from its current definition: creates the device and writes the attributes in their order. If an
 * attribute cannot be written, destroys the device again. The handle is a snapshot and does not change: look the
 * device up again.
 *
 * @param dev a device that is defined
 * @param flags bits of enum mdev_start_flags
 * @return 0; -EEXIST: the device is already running; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a
 * parent; the errnos of mdev_conn_create_xml().
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceCreate; mdevctl start.
 */
int mdev_device_start(struct mdev_device *dev, unsigned int flags);

/**
 * Sets whether a device is started when its parent appears. Always runs mdevctl's call-out scripts.
 *
 * @param dev a device that is defined
 * @param autostart 0: not started; any other value: started
 * @return 0; -ENOENT: the device has no definition; -EOPNOTSUPP: dev is a parent; -ECANCELED: an mdevctl call-out
 * refused; -EINVAL: an argument is invalid; -EACCES: no permission; -ETIMEDOUT: an mdevctl call-out did not end in
 * time, or another process keeps the store locked; other errnos of the kernel.
 *
 * Thread-safe, also between processes. Since: 0.1. Follows: virNodeDeviceSetAutostart; mdevctl modify --auto.
 */
int mdev_device_set_autostart(struct mdev_device *dev, int autostart);

/**
 * Reads whether a device is currently set to start when its parent appears. For a parent, returns 1 in ret, since a
 * parent exists whenever its hardware exists.
 *
 * @param dev a node device
 * @param ret receives 1 or 0
 * @return 0; -ENOENT: the device has no definition; -EINVAL: an argument is invalid; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: virNodeDeviceGetAutostart.
 */
int mdev_device_get_autostart(struct mdev_device *dev, int *ret);

/**
 * Starts the devices whose definition has autostart and that are not running. If a start fails, the other devices are
 * still started: each failure is logged, and the message of the error names the first eight. An invalid definition is
 * a failure, too, since it may have autostart.
 *
 * @param conn a connection
 * @param parent start only the devices of this parent, named as for mdev_conn_lookup_by_name(). For a VF, these are
 * the devices defined on the VF and the devices defined on its PF; it is no failure if a device on the PF cannot start
 * as long as more VFs are expected. NULL: the devices of every parent that exists
 * @param flags bits of enum mdev_start_flags
 * @return the number of started devices. If starts failed, the errno of the first failure other than -EAGAIN. -EAGAIN
 * (code MDEV_ERROR_NO_TYPE): parent is not NULL and every failed start waits for types that the parent does not offer
 * yet, such as a GPU in MIG mode without GPU instances; no event announces these types, so call again later. -ENODEV:
 * the parent does not exist; -EINVAL: an argument is invalid.
 *
 * Thread-safe, also between processes: two calls at the same time start each device once. Since: 0.1. Follows: mdevctl
 * start-parent-mdevs.
 */
int mdev_conn_autostart(struct mdev_conn *conn, const char *parent, unsigned int flags);

/*
 * 14. Attaching a device to a virtual machine
 * ===========================================
 */

/**
 * Flags of mdev_device_get_qemu_args().
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
 * Returns every argument that QEMU needs to attach a mediated device, as one line for a shell, such as "-device
 * vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID".
 *
 * A device of an NVIDIA card also gets "-uuid UUID", since NVIDIA's plugin fails without a UUID of the virtual
 * machine. UUID is the UUID of the device; if the virtual machine has a UUID, use that instead. With
 * MDEV_QEMU_IOMMUFD, and on a kernel without VFIO groups, the device gets its own iommufd object: "-object
 * iommufd,id=ID -device ...,iommufd=ID". The arguments of several devices can be put on one command line.
 *
 * @param dev a mediated device
 * @param ret receives the text; the caller frees it with free()
 * @param flags bits of enum mdev_qemu_flags
 * @return 0; -ENODATA: dev is a parent; -ENODEV: the device is not running; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: qemu's hw/vfio and backends/iommufd.c.
 */
int mdev_device_get_qemu_args(struct mdev_device *dev, char **ret, unsigned int flags);

/**
 * Returns the argument of QEMU's option -device that attaches a mediated device, such as
 * "vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID".
 *
 * Some devices need more arguments, for example -uuid for NVIDIA's plugin: mdev_device_get_qemu_args() returns all of
 * them. On a kernel without VFIO groups this argument alone is not enough, and the call fails. For a device that is
 * defined but not running, returns the text of the running device, which is usable once the device is started.
 *
 * @param dev a mediated device
 * @param ret receives the text; the caller frees it with free()
 * @return 0; -ENODATA: dev is a parent; -ENODEV: dev is a definition of the layout vendor-vfio, whose VF is chosen
 * when it starts; -EOPNOTSUPP: the device has no VFIO group and needs an iommufd object, which
 * mdev_device_get_qemu_args() includes; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: qemu's hw/vfio.
 */
int mdev_device_get_qemu_device(struct mdev_device *dev, char **ret);

/**
 * Returns the complete QMP command that plugs a mediated device into a running QEMU, as one line of JSON. On a kernel
 * without VFIO groups one command is not enough, since QEMU first needs an object-add of an iommufd: the call fails,
 * and the error message contains both commands.
 *
 * @param dev a mediated device
 * @param id the id of the device inside QEMU; NULL: none
 * @param ret receives the text; the caller frees it with free()
 * @return 0; -ENODATA: dev is a parent; -ENODEV: as for mdev_device_get_qemu_device(); -EOPNOTSUPP: the device has no
 * VFIO group and needs an iommufd object; -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1. Follows: qemu's device_add.
 */
int mdev_device_get_qmp_device_add(struct mdev_device *dev, const char *id, char **ret);

/**
 * Returns the hostdev element that attaches a mediated device to a libvirt domain.
 *
 * @param dev a mediated device
 * @param ret receives the text; the caller frees it with free()
 * @return 0; -ENODATA: dev is a parent; -ENODEV: as for mdev_device_get_qemu_device(); -EINVAL: an argument is
 * invalid.
 *
 * Thread-safe. Since: 0.1. Follows: libvirt's domain XML, hostdev of type mdev.
 */
int mdev_device_get_hostdev_xml(struct mdev_device *dev, char **ret);

/**
 * Returns the path of the node below /dev/vfio with which a virtual machine opens a mediated device. This is the node of its
 * IOMMU group (/dev/vfio/12). With MDEV_QEMU_IOMMUFD, or if the kernel has no VFIO groups, it is the node of the device
 * itself (/dev/vfio/devices/vfio3). Reads the kernel now. The /dev of a container may not contain the node.
 *
 * @param dev a node device
 * @param ret receives the string; the caller frees it with free()
 * @param flags bits of enum mdev_qemu_flags
 * @return 0; -ENODATA: dev is a parent, or the kernel has no such node for it; -ENODEV: the device is not running or no
 * longer exists; -EINVAL: an argument is invalid; other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: drivers/vfio/group.c; drivers/vfio/device_cdev.c.
 */
int mdev_device_get_vfio_node(struct mdev_device *dev,
			      char **ret,
			      unsigned int flags);

/*
 * 15. Monitor: events by polling
 * ==============================
 */

/**
 * Starts to monitor a host. The monitor reports every event from this call on. Create the monitor first and list the
 * node devices afterwards: then no change is missed, and a change that occurs in both is the same in both.
 *
 * The kernel sends events for devices and parents, also for those that other programs create. The kernel sends no
 * events for VFs that become vGPUs; there, the monitor detects writes to the sysfs files that create and remove them.
 * In a network namespace that belongs to another user namespace, as in a rootless container, the kernel delivers no
 * events at all.
 *
 * @param ret receives the monitor; the caller releases it with mdev_monitor_unref()
 * @param conn a connection, which may be closed before the monitor
 * @param flags 0
 * @return 0; -EINVAL: an argument is invalid; -EMFILE, -EPERM, -EAFNOSUPPORT and other errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: sd_device_monitor_new, udev_monitor_new_from_netlink.
 */
int mdev_monitor_new(struct mdev_monitor **ret, struct mdev_conn *conn, unsigned int flags);

/**
 * Takes a reference to a monitor.
 *
 * @param mon a monitor, or NULL
 * @return mon; NULL: mon is NULL or not a monitor.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
struct mdev_monitor *mdev_monitor_ref(struct mdev_monitor *mon);

/**
 * Drops a reference to a monitor. The last reference ends the monitor and closes its descriptor. Events that came from
 * it stay usable.
 *
 * @param mon a monitor, or NULL
 * @return NULL
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: sd_device_monitor_unref.
 */
struct mdev_monitor *mdev_monitor_unref(struct mdev_monitor *mon);

/**
 * Returns the descriptor of a monitor, to poll for POLLIN (level-triggered). It is readable as long as a call of
 * mdev_monitor_receive() may return an event or has internal work to do. The descriptor belongs to the monitor and
 * never changes: do not read, write or close it.
 *
 * @param mon a monitor
 * @return the descriptor; -EINVAL: mon is NULL or not a monitor.
 *
 * Thread-safe. Since: 0.1. Follows: sd_device_monitor_get_fd.
 */
int mdev_monitor_get_fd(struct mdev_monitor *mon);

/**
 * Returns the next event, in order, without waiting. Call it until it returns 0, or once each time the descriptor is
 * readable. It also returns 0 if it did internal work that produced no event.
 *
 * After an error that the caller did not cause, such as -EMFILE, events may be lost: the next successful call returns
 * MDEV_EVENT_OVERRUN.
 *
 * @param mon a monitor
 * @param ret receives the event, if there is one; the caller releases it with mdev_event_unref()
 * @return 1: an event; 0: no event now; -EINVAL: an argument is invalid; errnos of the kernel.
 *
 * Thread-safe; each event is returned to one thread only. Since: 0.1. Follows: sd_device_monitor_receive.
 */
int mdev_monitor_receive(struct mdev_monitor *mon, struct mdev_event **ret);

/**
 * Sets the number of bytes that the kernel may queue for this monitor. The default is 16 MiB; only queued events use
 * memory. Without CAP_NET_ADMIN the kernel grants at most net.core.rmem_max. If the buffer is too small, events are
 * lost and the monitor returns MDEV_EVENT_OVERRUN.
 *
 * @param mon a monitor
 * @param bytes the size
 * @return 0; -EINVAL: mon is NULL or not a monitor; errnos of the kernel.
 *
 * Thread-safe. Since: 0.1. Follows: sd_device_monitor_set_receive_buffer_size.
 */
int mdev_monitor_set_buffer_size(struct mdev_monitor *mon, size_t bytes);

/*
 * 16. Event
 * =========
 */

/**
 * The type of an event.
 *
 * Since: 0.1.
 */
typedef enum mdev_event_type {
	/**
	 * Not an event.
	 */
	MDEV_EVENT_NONE = 0,
	/**
	 * A node device exists. A mediated device is ready for use.
	 */
	MDEV_EVENT_CREATED = 1,
	/**
	 * A node device no longer exists. The event has its last known state; a mediated device in it is not active.
	 */
	MDEV_EVENT_DELETED = 2,
	/**
	 * A node device has changed. For a parent: the available instances of its types have changed, or the driver has
	 * sent a change event. For a mediated device: the driver has sent a change event, or the definition has changed.
	 */
	MDEV_EVENT_UPDATED = 3,
	/**
	 * A mediated device was defined.
	 */
	MDEV_EVENT_DEFINED = 4,
	/**
	 * A definition was removed.
	 */
	MDEV_EVENT_UNDEFINED = 5,
	/**
	 * Events were lost, since the program did not fetch them in time: list the node devices again. The event has no
	 * node device. Later events are correct.
	 */
	MDEV_EVENT_OVERRUN = 6,
} mdev_event_type;

/**
 * Takes a reference to an event. A callback does this to keep its event.
 *
 * @param ev an event, or NULL
 * @return ev; NULL: ev is NULL or not an event.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
struct mdev_event *mdev_event_ref(struct mdev_event *ev);

/**
 * Drops a reference to an event. Node devices that came from the event stay usable.
 *
 * @param ev an event, or NULL
 * @return NULL
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
struct mdev_event *mdev_event_unref(struct mdev_event *ev);

/**
 * Returns the type of an event.
 *
 * @param ev an event
 * @return a value of enum mdev_event_type; MDEV_EVENT_NONE: ev is NULL or not an event.
 *
 * Thread-safe; does not change the last error. Since: 0.1. Follows: virConnectNodeDeviceEventLifecycleCallback.
 */
enum mdev_event_type mdev_event_get_type(const struct mdev_event *ev);

/**
 * Returns the node device of an event, as a snapshot of the time of the event. A device that was created and removed
 * before the library could read it has only the data of the kernel's event: name, UUID, parent and path.
 *
 * @param ev an event
 * @param ret receives the node device; the caller releases it with mdev_device_unref()
 * @return 0; -ENODATA: the event has no node device (MDEV_EVENT_OVERRUN); -EINVAL: an argument is invalid.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_event_get_device(const struct mdev_event *ev, struct mdev_device **ret);

/*
 * 17. Events by callback
 * ======================
 */

/**
 * A callback for events: see mdev_conn_event_register(). The event is borrowed; take a reference to keep it.
 *
 * Since: 0.1.
 */
typedef void (*mdev_event_callback)(struct mdev_conn *conn, struct mdev_event *ev, void *data);

/**
 * A callback that frees the data of an event callback: see mdev_conn_event_register().
 *
 * Since: 0.1.
 */
typedef void (*mdev_free_callback)(void *data);

/**
 * Registers a callback for every event of a host. Only mdev_conn_dispatch() calls it. The first callback of a
 * connection starts the monitoring; the callback gets no earlier events.
 *
 * The callback may call every function of the library. It may deregister itself, drop the last reference to the
 * connection, and call mdev_conn_dispatch(); that inner call delivers later events to the other callbacks before they
 * get the current event. The callback must not throw or longjmp. The event is borrowed: mdev_event_ref() keeps it.
 *
 * @param conn a connection
 * @param callback the callback; it gets the connection, the event and data
 * @param data passed to the callback unchanged, in the thread that calls mdev_conn_dispatch()
 * @param free_data called with data once the callback will not be called any more: it is deregistered and not running,
 * or the connection is closed. Not called if this call fails. NULL: nothing is called
 * @param flags 0
 * @return an id, 1 or more; -EINVAL: an argument is invalid; the errnos of mdev_monitor_new().
 *
 * Thread-safe. Since: 0.1. Follows: virConnectNodeDeviceEventRegisterAny.
 */
int mdev_conn_event_register(struct mdev_conn *conn,
			     mdev_event_callback callback,
			     void *data,
			     mdev_free_callback free_data,
			     unsigned int flags);

/**
 * Deregisters a callback of mdev_conn_event_register(). After the return, this thread does not call the callback any
 * more. Another thread inside mdev_conn_dispatch() may still be in the callback or about to call it: if several
 * threads dispatch, data must stay valid until free_data is called.
 *
 * @param conn a connection
 * @param id the return value of mdev_conn_event_register()
 * @return 0; -EINVAL: conn is NULL or not a connection, or has no callback with this id.
 *
 * Thread-safe. Since: 0.1. Follows: virConnectNodeDeviceEventDeregisterAny.
 */
int mdev_conn_event_deregister(struct mdev_conn *conn, int id);

/**
 * Returns the descriptor of a connection, to poll for POLLIN (level-triggered) before mdev_conn_dispatch(). The
 * descriptor belongs to the connection and never changes. The first call starts the monitoring, as
 * mdev_conn_event_register() does.
 *
 * @param conn a connection
 * @return the descriptor; -EINVAL: conn is NULL or not a connection; the errnos of mdev_monitor_new().
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_conn_get_fd(struct mdev_conn *conn);

/**
 * Delivers pending events to the registered callbacks, in order, without waiting. Delivers at most 256 events; if more
 * are pending, the descriptor stays readable.
 *
 * @param conn a connection
 * @return the number of events; -EINVAL: conn is NULL or not a connection; the errnos of mdev_monitor_receive().
 *
 * Thread-safe; each event is delivered by one thread only. Since: 0.1. Follows: virEventRunDefaultImpl.
 */
int mdev_conn_dispatch(struct mdev_conn *conn);

/*
 * 18. Findings: problems of a host
 * ================================
 */

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
 * Reads the whole host and returns every object that a list leaves out or shows incompletely: parents and types that
 * cannot be read, links without a target, devices without a type, invalid definitions, and incomplete groups of
 * devices. mdev_conn_list() only logs such objects.
 *
 * @param conn a connection
 * @param ret receives the NULL-terminated array; the caller frees it with mdev_finding_list_free()
 * @param flags 0
 * @return the number of findings, 0 if the host has no problem; -EINVAL: an argument is invalid; -EMFILE, -ENFILE,
 * -ENOMEM and other errnos of the kernel: the host cannot be read.
 *
 * Thread-safe. Since: 0.1. Follows: systemctl list-units --failed.
 */
int mdev_conn_list_problems(struct mdev_conn *conn, struct mdev_finding ***ret, unsigned int flags);

/**
 * Checks why a host offers no mediated devices, or fewer than expected. For each GPU and each parent: the bound driver, the
 * VFs and the types. For the host: IOMMU, VFIO modules and nodes, privileges, definitions, records and autostart. Each
 * check is a finding: MDEV_SEVERITY_NOTE if all is well, MDEV_SEVERITY_WARNING for a problem that may be intended,
 * MDEV_SEVERITY_ERROR for a problem that prevents the use of mediated devices.
 *
 * @param conn a connection
 * @param parent only the findings about this parent or PCI device: node name, address or sysfs path; NULL: all findings
 * @param ret receives the NULL-terminated array; the caller frees it with mdev_finding_list_free()
 * @param flags 0
 * @return the number of findings; -ENODEV: there is no such device; -EINVAL: an argument is invalid; -EMFILE, -ENFILE,
 * -ENOMEM and other errnos of the kernel: the host cannot be read.
 *
 * Thread-safe. Since: 0.1. Follows: virt-host-validate.
 */
int mdev_conn_diagnose(struct mdev_conn *conn,
		       const char *parent,
		       struct mdev_finding ***ret,
		       unsigned int flags);

/**
 * Returns the severity of a finding.
 *
 * @param finding a finding
 * @return a value of enum mdev_severity; -EINVAL: finding is NULL or not a finding.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_finding_get_severity(const struct mdev_finding *finding);

/**
 * Returns the error code of a finding, which identifies the cause.
 *
 * @param finding a finding
 * @return a value of enum mdev_error_code; -EINVAL: finding is NULL or not a finding.
 *
 * Thread-safe. Since: 0.1.
 */
int mdev_finding_get_code(const struct mdev_finding *finding);

/**
 * Returns the object of a finding.
 *
 * @param finding a finding
 * @return a path or the name of a node device, valid as long as the finding; NULL: finding is NULL or not a finding.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
const char *mdev_finding_get_object(const struct mdev_finding *finding);

/**
 * Returns the message of a finding: the object and its problem.
 *
 * @param finding a finding
 * @return one English sentence, valid as long as the finding; NULL: finding is NULL or not a finding.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
const char *mdev_finding_get_message(const struct mdev_finding *finding);

/**
 * Returns the next step that repairs the problem of a finding.
 *
 * @param finding a finding
 * @return a text, valid as long as the finding; NULL: no next step is known, or finding is NULL or not a finding.
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
const char *mdev_finding_get_next_step(const struct mdev_finding *finding);

/**
 * Frees an array of findings and the findings in it.
 *
 * @param list an array from mdev_conn_list_problems() or mdev_conn_diagnose(), or NULL
 *
 * Thread-safe; does not change the last error. Since: 0.1.
 */
void mdev_finding_list_free(struct mdev_finding **list);

/*
 * 19. Driver table: the whole library through one symbol
 * ======================================================
 */

/**
 * The version of the layout of struct mdev_driver. New members are only appended, so the version does not change.
 *
 * Since: 0.1.
 */
#define MDEV_DRIVER_ABI 1

/**
 * The driver table: all functions of the library. The callbacks of libvirt's node-device driver come first, in
 * libvirt's order and with the same meaning; all other functions follow. One callback of libvirt is left out:
 * nodeDeviceLookupSCSIHostByWWN, which follows nodeDeviceLookupByName in libvirt's table, since no mediated device is
 * a SCSI host.
 *
 * The documentation of a member is that of the exported function that it names. New members are only appended. A
 * member that is NULL is not supported: check it with MDEV_DRIVER_HAS(). The table is static and constant, and all
 * threads share it.
 *
 * Since: 0.1. Follows: libvirt's src/driver-nodedev.h.
 */
typedef struct mdev_driver {
	/**
	 * The size of the library's table in bytes. Since 0.1.
	 */
	size_t size;
	/**
	 * MDEV_DRIVER_ABI. Since 0.1.
	 */
	uint32_t abi;
	/**
	 * Reserved for feature bits; always 0. Since 0.1.
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
	 * Returns the number of parents and active devices that have the capability cap: "pci", "css" or "ap_matrix" (the
	 * bus of a parent), "mdev_types" (parents), "mdev" (mediated devices); NULL: all. flags: 0. Since 0.1.
	 */
	int (*num_of_devices)(struct mdev_conn *conn, const char *cap, unsigned int flags);
	/**
	 * Writes the names of the node devices that num_of_devices counts into names, at most maxnames of them, and
	 * returns the number of names. The caller frees each name with free(). Since 0.1.
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
	 * Returns the number of capabilities of a node device. Since 0.1.
	 */
	int (*num_of_caps)(struct mdev_device *dev);
	/**
	 * Writes the capabilities of a node device into names, at most maxnames of them, and returns the number of
	 * names. The caller frees each name with free(). Since 0.1.
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
	/**
	 * mdev_error_code_name(). Since 0.1.
	 */
	const char *(*error_code_name)(int code);
	/**
	 * mdev_conn_create(). Since 0.1.
	 */
	int (*conn_create)(struct mdev_conn *conn,
			   const struct mdev_create_options *options,
			   struct mdev_device **ret,
			   unsigned int flags);
	/**
	 * mdev_conn_define(). Since 0.1.
	 */
	int (*conn_define)(struct mdev_conn *conn,
			   const struct mdev_create_options *options,
			   struct mdev_device **ret,
			   unsigned int flags);
	/**
	 * mdev_device_get_driver(). Since 0.1.
	 */
	int (*device_get_driver)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_product(). Since 0.1.
	 */
	int (*device_get_product)(struct mdev_device *dev, const char **vendor, const char **product);
	/**
	 * mdev_device_get_address(). Since 0.1.
	 */
	int (*device_get_address)(struct mdev_device *dev, const char **ret);
	/**
	 * mdev_device_get_vfio_node(). Since 0.1.
	 */
	int (*device_get_vfio_node)(struct mdev_device *dev, char **ret, unsigned int flags);
	/**
	 * mdev_conn_plan_xml(). Since 0.1.
	 */
	int (*conn_plan_xml)(struct mdev_conn *conn, const char *xml, char **plan, unsigned int flags);
	/**
	 * mdev_conn_list_filtered(). Since 0.1.
	 */
	int (*conn_list_filtered)(struct mdev_conn *conn,
				  const struct mdev_list_filter *filter,
				  struct mdev_device ***ret,
				  unsigned int flags);
	/**
	 * mdev_conn_diagnose(). Since 0.1.
	 */
	int (*conn_diagnose)(struct mdev_conn *conn, const char *parent, struct mdev_finding ***ret, unsigned int flags);
	/**
	 * mdev_conn_wait_device(). Since 0.1.
	 */
	int (*conn_wait_device)(struct mdev_conn *conn, const char *uuid, int state, int timeout_ms);
	/**
	 * mdev_device_list_users(). Since 0.1.
	 */
	int (*device_list_users)(struct mdev_device *dev, struct mdev_user ***ret);
	/**
	 * mdev_user_get_pid(). Since 0.1.
	 */
	int (*user_get_pid)(const struct mdev_user *user);
	/**
	 * mdev_user_get_program(). Since 0.1.
	 */
	const char *(*user_get_program)(const struct mdev_user *user);
	/**
	 * mdev_user_get_guest(). Since 0.1.
	 */
	const char *(*user_get_guest)(const struct mdev_user *user);
	/**
	 * mdev_user_list_free(). Since 0.1.
	 */
	void (*user_list_free)(struct mdev_user **list);
	/**
	 * mdev_device_get_vf_counts(). Since 0.1.
	 */
	int (*device_get_vf_counts)(struct mdev_device *dev, unsigned int *used, unsigned int *total);
} mdev_driver;

/**
 * Checks whether a driver table has a member and whether the member is not NULL. Works with a library of any version.
 *
 * @param drv a table from mdev_driver_get(), not NULL
 * @param member the name of a member of struct mdev_driver
 *
 * Since: 0.1.
 */
#define MDEV_DRIVER_HAS(drv, member)                                                                                   \
	((drv)->size >= offsetof(struct mdev_driver, member) + sizeof((drv)->member) && (drv)->member)

/**
 * Returns the driver table. A program that loads the library with dlopen() needs to look up only this function with
 * dlsym().
 *
 * @param abi MDEV_DRIVER_ABI
 * @param size sizeof(struct mdev_driver) of the caller's header; the library's table may be smaller or larger
 * @return a static table; NULL, and mdev_last_error() is set: the library does not support this abi (-EOPNOTSUPP), or
 * size is smaller than the table of any version (-EINVAL).
 *
 * Thread-safe. Since: 0.1. Follows: virStateDriver's registration; vfio's argsz.
 */
const struct mdev_driver *mdev_driver_get(uint32_t abi, size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LIBMDEV_H */
