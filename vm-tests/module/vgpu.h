/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor-vfio layout: a driver on a PF with SR-IOV and on its VFs. A VF
 * that has a type is a virtual GPU.
 *
 * vgpu.c           the framebuffer of a PF; the files of a VF's nvidia/
 * vgpu-nvidia.c    behaviour of NVIDIA's vGPU host driver
 * vgpu-upstream.c  behaviour of the driver that was proposed for the kernel
 * vgpu-vfio.c      the driver; adding and removing VFs; the VFIO device of a VF
 */
#ifndef MDEV_LAB_VGPU_H
#define MDEV_LAB_VGPU_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sysfs.h>
#include <linux/vfio_pci_core.h>

#include "lab.h"

#define VGPU_MEMORY	(141 * 1024)	/* megabytes of a PF, shared by its VFs */
#define VGPU_TYPES	6

struct vgpu_type {
	unsigned int id;
	const char *name;
	unsigned int memory;
	unsigned int max_instances;	/* on one PF */
};

struct vgpu_pf {
	struct pci_dev *pdev;
	struct list_head vfs;
};

/* The kernel's structure comes first: it is the driver's data of the VF. */
struct vgpu_vf {
	struct vfio_pci_core_device core;
	struct list_head node;
	struct vgpu_pf *pf;
	const struct vgpu_type *type;	/* NULL: free */
	unsigned int gpu_instance_id;
	unsigned int placement_id;
	unsigned int warm_update;
	char params[LAB_VGPU_PARAMS];
	bool open;			/* by a user of the VFIO device */
};

/* The behaviour in which drivers of this layout differ. */
struct vgpu_behaviour {
	const char *pf_driver;
	const char *vf_driver;		/* NULL: the driver of the PF */
	bool only_types;		/* only the files for the type exist */
	/* Under vgpu_lock. */
	int (*set_type)(struct vgpu_vf *vf, const char *buf);
	int (*show_types)(const struct vgpu_vf *vf, char *buf);
};

extern const struct vgpu_behaviour vgpu_nvidia;
extern const struct vgpu_behaviour vgpu_upstream;

/* Protects all of the above. Never held while a device is added or removed. */
extern struct mutex vgpu_lock;

static inline struct vgpu_vf *to_vgpu_vf(struct device *dev)
{
	return container_of((struct vfio_pci_core_device *)dev_get_drvdata(dev), struct vgpu_vf, core);
}

/* vgpu-vfio.c: constant after the module's init */
extern const struct vgpu_behaviour *vgpu_behaviour;

/* vgpu.c */
extern const struct vgpu_type vgpu_types[VGPU_TYPES];
const struct vgpu_type *vgpu_find_type(unsigned long id);
unsigned int vgpu_instances_left(const struct vgpu_pf *pf, const struct vgpu_type *type);
int vgpu_give(struct vgpu_vf *vf, const struct vgpu_type *type);
bool vgpu_is_injected(int *ret);
extern const struct attribute_group vgpu_vf_group;
void vgpu_vf_join(struct vgpu_vf *vf, struct vgpu_pf *pf);
void vgpu_vf_leave(struct vgpu_vf *vf);

#endif
