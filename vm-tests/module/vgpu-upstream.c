// SPDX-License-Identifier: GPL-2.0-only
/*
 * The behaviour of the driver that was proposed for the kernel in 2025: all VFs
 * of a card have the same type, and a VF has only the files for its type.
 */
#include "vgpu.h"

/* The type that the card has, NULL for none. */
static const struct vgpu_type *type_of(const struct vgpu_pf *pf)
{
	const struct vgpu_vf *vf;

	list_for_each_entry(vf, &pf->vfs, node)
		if (vf->type)
			return vf->type;
	return NULL;
}

static int set_type(struct vgpu_vf *vf, const char *buf)
{
	const struct vgpu_type *type, *card = type_of(vf->pf);
	unsigned long id;
	int ret = kstrtoul(buf, 10, &id);

	if (ret)
		return ret;
	if (vf->open)
		return -EBUSY;
	if (!id) {
		vf->type = NULL;
		return 0;
	}
	type = vgpu_find_type(id);
	if (!type)
		return -ENODEV;
	if (vgpu_is_injected(&ret))
		return ret;
	if (card && card != type)
		return -EINVAL;
	if (!vgpu_instances_left(vf->pf, type))
		return -ENOSPC;
	return vgpu_give(vf, type);
}

static int emit_type(char *buf, int at, const struct vgpu_type *type)
{
	return sysfs_emit_at(buf, at, "%-5u : %s\n", type->id, type->name);
}

/* All types below a header on a card without vGPUs, else a line for the type of the card. */
static int show_types(const struct vgpu_vf *vf, char *buf)
{
	const struct vgpu_type *card = type_of(vf->pf);
	unsigned int i;
	int len;

	if (vf->type)
		return 0;
	if (card)
		return vgpu_instances_left(vf->pf, card) ? emit_type(buf, 0, card) : 0;
	len = sysfs_emit(buf, "ID    : vGPU Name\n");
	for (i = 0; i < VGPU_TYPES; i++)
		len += emit_type(buf, len, &vgpu_types[i]);
	return len;
}

const struct vgpu_behaviour vgpu_upstream = {
	.pf_driver = "nova_core",
	.vf_driver = "nvidia-vgpu-vfio",
	.only_types = true,
	.set_type = set_type,
	.show_types = show_types,
};
