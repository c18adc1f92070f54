/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions that the host program uses, as one table. host-linked.c fills
 * it from a library that the program is linked to, host-plugin.c from the
 * mdev_driver_get() returns after dlopen(); host.c sees no difference.
 */
#ifndef HOST_API_H
#define HOST_API_H

#include <stddef.h>

#include <libmdev.h>

/* X(return type, name without "mdev_", member of struct mdev_driver, arguments) */
#define HOST_API_FUNCTIONS(X)												\
	X(int, conn_open, open, (struct mdev_conn **, const char *, unsigned int))					\
	X(struct mdev_conn *, conn_unref, close, (struct mdev_conn *))							\
	X(int, conn_dump_xml, conn_dump_xml, (struct mdev_conn *, char **, unsigned int))				\
	X(int, conn_list, list_all_devices, (struct mdev_conn *, struct mdev_device ***, unsigned int))			\
	X(int, conn_lookup_by_name, lookup_by_name, (struct mdev_conn *, const char *, struct mdev_device **))		\
	X(int, conn_lookup_by_uuid, conn_lookup_by_uuid, (struct mdev_conn *, const char *, struct mdev_device **))	\
	X(int, conn_create_xml, create_xml, (struct mdev_conn *, const char *, struct mdev_device **, unsigned int))	\
	X(int, conn_create_group_xml, conn_create_group_xml,								\
	  (struct mdev_conn *, const char *const *, size_t, struct mdev_device ***, unsigned int))			\
	X(int, conn_destroy_uuid, destroy_uuid, (struct mdev_conn *, const char *, unsigned int))			\
	X(int, conn_set_owner, conn_set_owner, (struct mdev_conn *, const char *))					\
	X(int, conn_wait_parent, conn_wait_parent, (struct mdev_conn *, const char *, int, struct mdev_device **))	\
	X(int, device_destroy, destroy, (struct mdev_device *, unsigned int))						\
	X(struct mdev_device *, device_unref, device_unref, (struct mdev_device *))					\
	X(void, device_list_free, device_list_free, (struct mdev_device **))						\
	X(int, device_get_xml, get_xml_desc, (struct mdev_device *, char **, unsigned int))				\
	X(int, device_get_name, device_get_name, (struct mdev_device *, const char **))					\
	X(int, device_get_parent, get_parent, (struct mdev_device *, const char **))					\
	X(int, device_get_syspath, device_get_syspath, (struct mdev_device *, const char **))				\
	X(int, device_get_layout, device_get_layout, (struct mdev_device *, const char **))				\
	X(int, device_is_parent, device_is_parent, (struct mdev_device *))						\
	X(int, device_is_active, is_active, (struct mdev_device *))							\
	X(int, device_get_uuid, device_get_uuid, (struct mdev_device *, const char **))					\
	X(int, device_get_type_id, device_get_type_id, (struct mdev_device *, const char **))				\
	X(int, device_get_group, device_get_group, (struct mdev_device *, unsigned int *))				\
	X(int, device_get_iommu_group, device_get_iommu_group, (struct mdev_device *, unsigned int *))			\
	X(int, device_get_owner, device_get_owner, (struct mdev_device *, const char **))				\
	X(int, device_get_numa_node, device_get_numa_node, (struct mdev_device *, int *))				\
	X(int, device_get_physical_function, device_get_physical_function, (struct mdev_device *, const char **))	\
	X(int, device_get_qemu_device, device_get_qemu_device, (struct mdev_device *, char **))				\
	X(int, device_get_qmp_device_add, device_get_qmp_device_add, (struct mdev_device *, const char *, char **))	\
	X(int, device_get_hostdev_xml, device_get_hostdev_xml, (struct mdev_device *, char **))				\
	X(int, device_get_attr, device_get_attr, (struct mdev_device *, const char *, char **))				\
	X(int, device_set_attr, device_set_attr, (struct mdev_device *, const char *, const char *))			\
	X(int, device_reset, device_reset, (struct mdev_device *))							\
	X(int, device_set_online, device_set_online, (struct mdev_device *, int))					\
	X(int, device_list_types, list_types, (struct mdev_device *, const struct mdev_type *const **))			\
	X(int, device_find_type, device_find_type, (struct mdev_device *, const char *, const struct mdev_type **))	\
	X(const char *, type_get_id, type_get_id, (const struct mdev_type *))						\
	X(const char *, type_get_name, type_get_name, (const struct mdev_type *))					\
	X(const char *, type_get_device_api, type_get_device_api, (const struct mdev_type *))				\
	X(const char *, type_get_description, type_get_description, (const struct mdev_type *))				\
	X(const char *, type_get_attr, type_get_attr, (const struct mdev_type *, const char *))				\
	X(int, type_get_available_instances, type_get_available_instances, (const struct mdev_type *, unsigned int *))	\
	X(int, type_requires_group, type_requires_group, (const struct mdev_type *))					\
	X(const struct mdev_error *, last_error, last_error, (void))							\
	X(int, error_get_code, error_get_code, (const struct mdev_error *))						\
	X(int, error_get_errno, error_get_errno, (const struct mdev_error *))						\
	X(const char *, error_get_message, error_get_message, (const struct mdev_error *))				\
	X(const char *, error_get_path, error_get_path, (const struct mdev_error *))

#define HOST_API_MEMBER(type, name, member, args) type(*name) args;

struct host_api {
	HOST_API_FUNCTIONS(HOST_API_MEMBER)
};

/* Fills the table; 0, or -1 after a line on standard error. */
int host_api_get(struct host_api *api);

#endif
