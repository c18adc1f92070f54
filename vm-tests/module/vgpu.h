/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor-vfio layout: a driver named "nvidia" on a PF with SR-IOV and on
 * its VFs. A VF that has been given a type is a virtual GPU.
 *
 * vgpu.c       what a PF has and its VFs take; the files of a VF's nvidia/
 * vgpu-vfio.c  the driver, how VFs come and go, the VFIO device of a VF
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
	char params[LAB_PARAMS];
	bool open;			/* by a user of the VFIO device */
};

/* Protects all of the above. Never held while a device comes or goes. */
extern struct mutex vgpu_lock;

static inline struct vgpu_vf *to_vgpu_vf(struct device *dev)
{
	return container_of((struct vfio_pci_core_device *)dev_get_drvdata(dev), struct vgpu_vf, core);
}

/* vgpu.c */
extern const struct attribute_group vgpu_vf_group;
void vgpu_vf_join(struct vgpu_vf *vf, struct vgpu_pf *pf);
void vgpu_vf_leave(struct vgpu_vf *vf);

#endif
