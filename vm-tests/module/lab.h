/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mdev_lab: serves, as real sysfs, interfaces that no kernel of Debian has, for
 * the tests of libmdev: the two for mediated devices that were proposed in 2016
 * and never merged, and that of virtual GPUs which are VFs, see vgpu.h.
 *
 * main.c    which devices become parents
 * faults.c  faults and delays that a test sets
 * parent.c  a parent: mdev_destroy, mdev_supported_types, capacity
 * type.c    a type: create, counts, class attributes, params
 * device.c  a mediated device on the kernel's mdev bus, and its attributes
 * vfio.c    the VFIO device behind it: configuration space and one BAR
 */
#ifndef MDEV_LAB_H
#define MDEV_LAB_H

#include <linux/device.h>
#include <linux/list.h>
#include <linux/mdev.h>
#include <linux/mutex.h>
#include <linux/uuid.h>
#include <linux/vfio.h>
#include <linux/wait.h>

#define LAB_MEMORY	8192	/* megabytes of a parent, shared by its types */
#define LAB_PARAMS	4096	/* a sysfs write has at most one page */
#define LAB_VGPU_PARAMS	1024	/* of NVIDIA's vgpu_params, the last byte of a write included */

enum lab_layout { LAB_RFC, LAB_GENERAL };

/* The data of a type, the same on each parent. */
struct lab_type_info {
	char id[32];
	char name[32];
	unsigned int memory;
	const char *resolution;
	unsigned int heads;
	bool params;
	int requires_group;	/* -1: no such file */
};

struct lab_parent;

struct lab_type {
	struct kobject kobj;
	struct lab_parent *parent;
	struct lab_type_info info;
	char params[LAB_PARAMS];
};

struct lab_parent {
	struct list_head node;
	struct device *dev;
	enum lab_layout layout;
	struct kobject *types_dir;
	struct lab_type **types;
	unsigned int ntypes;
	unsigned int free_memory;
	struct list_head devices;
	bool gone;
};

/* Embeds the kernel's own structure, which its bus hands to drivers. */
struct lab_device {
	struct mdev_device mdev;
	struct list_head node;
	struct lab_parent *parent;
	struct lab_type *type;
	char *params;
	char vgpu_params[LAB_VGPU_PARAMS];
	u32 group;
	bool online;
	unsigned int resets;
	unsigned int priority;
	unsigned int weight;
	bool busy;		/* set by a test */
	bool open;		/* by a user of the VFIO device */
	bool dying;
};

/*
 * Protects every list, every count and every string above. Never held while
 * sysfs files are removed, since their users wait for it.
 */
extern struct mutex lab_lock;
extern struct list_head lab_parents;
extern struct mdev_driver lab_mdev_driver;
extern unsigned int lab_types;

/*
 * vgpu_params as in NVIDIA's driver: the last byte of a write is dropped,
 * whatever it is, and the write returns the whole length.
 */
static inline ssize_t lab_keep_params(char *params, const char *buf, size_t count)
{
	return snprintf(params, count, "%s", buf);
}

static inline struct lab_device *to_lab(struct device *dev)
{
	return container_of(to_mdev_device(dev), struct lab_device, mdev);
}

/* faults.c: a function with an int result returns a negative errno, or 0 */
int lab_injected_failure(void);
int lab_failure_after_create(void);
size_t lab_bytes_taken(size_t count);
size_t lab_bytes_seen(size_t count);
bool lab_group_required(void);
void lab_delay_create(void);
void lab_delay_remove(void);
void lab_hold_unbind(void);

/* parent.c */
struct lab_parent *lab_parent_add(struct device *dev, enum lab_layout layout);
void lab_parent_remove(struct lab_parent *parent);

/* type.c */
struct lab_type *lab_type_add(struct lab_parent *parent, unsigned int index);
void lab_type_remove(struct lab_type *type);

/* device.c */
int lab_device_create(struct lab_type *type, const guid_t *uuid, u32 group);
int lab_device_claim(struct lab_device *ldev);
void lab_device_destroy(struct lab_device *ldev);
extern wait_queue_head_t lab_device_gone;
struct lab_device *lab_device_find(const guid_t *uuid);
extern const struct attribute_group *lab_rfc_device_groups[];
extern const struct attribute_group *lab_general_device_groups[];

/* vfio.c */
int lab_vfio_probe(struct mdev_device *mdev);
void lab_vfio_remove(struct mdev_device *mdev);

/* vgpu-vfio.c */
int lab_vgpu_init(void);
void lab_vgpu_exit(void);

#endif
