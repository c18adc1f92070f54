// SPDX-License-Identifier: GPL-2.0-only
/* The behaviour of NVIDIA's vGPU host driver: types of different sizes share the framebuffer of a card. */
#include <linux/module.h>

#include "vgpu.h"

enum { ID_FIRST, ID_FIRST_BARE, NAME_FIRST };

static unsigned int vgpu_format;
module_param(vgpu_format, uint, 0644);
MODULE_PARM_DESC(vgpu_format, "creatable_vgpu_types: 0 id first below a header, 1 without header, 2 name first");

static int vgpu_full_errno = EIO;
module_param(vgpu_full_errno, int, 0644);
MODULE_PARM_DESC(vgpu_full_errno, "a write of a type that has no room fails with this errno");

static bool has_room(const struct vgpu_pf *pf, const struct vgpu_type *type)
{
	unsigned int memory = VGPU_MEMORY;
	const struct vgpu_vf *vf;

	list_for_each_entry(vf, &pf->vfs, node)
		if (vf->type)
			memory -= vf->type->memory;
	return vgpu_instances_left(pf, type) && memory >= type->memory;
}

/* A VF that has a type keeps it until a 0 is written. A 0 is refused for a VF in use and for a free VF. */
static int set_type(struct vgpu_vf *vf, const char *buf)
{
	const struct vgpu_type *type;
	long id;
	int ret = kstrtol(buf, 10, &id);

	if (ret)
		return ret;
	if (!id) {
		if (!vf->type || vf->open)
			return -EPERM;
		vf->type = NULL;
		return 0;
	}
	if (vf->type)
		return -EPERM;
	type = vgpu_find_type((u32)id);
	if (!type)
		return -EIO;
	if (vgpu_is_injected(&ret))
		return ret;
	return has_room(vf->pf, type) ? vgpu_give(vf, type) : -vgpu_full_errno;
}

static int emit_type(char *buf, int at, const struct vgpu_type *type)
{
	if (vgpu_format == NAME_FIRST)
		return sysfs_emit_at(buf, at, "%s  %u\n", type->name, type->id);
	return sysfs_emit_at(buf, at, "%-5u : %s\n", type->id, type->name);
}

/* The header is printed without types, too. */
static int show_types(const struct vgpu_vf *vf, char *buf)
{
	unsigned int i;
	int len = 0;

	if (vgpu_format == ID_FIRST)
		len = sysfs_emit(buf, "ID    : vGPU Name\n");
	for (i = 0; !vf->type && i < VGPU_TYPES; i++)
		if (has_room(vf->pf, &vgpu_types[i]))
			len += emit_type(buf, len, &vgpu_types[i]);
	return len;
}

const struct vgpu_behaviour vgpu_nvidia = {
	.pf_driver = "nvidia",
	.set_type = set_type,
	.show_types = show_types,
};
