// SPDX-License-Identifier: GPL-2.0-only
/* What a PF has, which types its VFs take of it, and the files in which a VF shows and takes that. */
#include <linux/ctype.h>
#include <linux/module.h>

#include "vgpu.h"

DEFINE_MUTEX(vgpu_lock);

/* The names tell the framebuffer in GiB, as the vendor's do. vm-tests/README.md lists these. */
static const struct vgpu_type types[] = {
	{ 1431, "NVIDIA H200X-4C", 4 * 1024, 32 },
	{ 1432, "NVIDIA H200X-8C", 8 * 1024, 16 },
	{ 1433, "NVIDIA H200X-17C", 17 * 1024, 8 },
	{ 1434, "NVIDIA H200X-35C", 35 * 1024, 4 },
	{ 1435, "NVIDIA H200X-70C", 70 * 1024, 2 },
	{ 1436, "NVIDIA H200X-141C", 141 * 1024, 1 },
};

enum { ID_FIRST, ID_FIRST_BARE, NAME_FIRST };

static unsigned int vgpu_format;
module_param(vgpu_format, uint, 0644);
MODULE_PARM_DESC(vgpu_format, "creatable_vgpu_types: 0 id first below a header, 1 without header, 2 name first");

static unsigned int vgpu_max_instances;
module_param(vgpu_max_instances, uint, 0644);
MODULE_PARM_DESC(vgpu_max_instances, "instances of each type on one PF at most; 0 is what the type says");

static int vgpu_full_errno = EIO;
module_param(vgpu_full_errno, int, 0644);
MODULE_PARM_DESC(vgpu_full_errno, "a write of a type that has no room fails with this errno");

static int vgpu_fail_write_nth;
module_param(vgpu_fail_write_nth, int, 0644);
MODULE_PARM_DESC(vgpu_fail_write_nth, "the n-th write of a type from now on fails; counts down, 0 is none");

static int vgpu_fail_write_errno = EIO;
module_param(vgpu_fail_write_errno, int, 0644);
MODULE_PARM_DESC(vgpu_fail_write_errno, "with this errno; 0: it seems to succeed, and the VF is free");

/* Under vgpu_lock, as all that follows until the files. */
static const struct vgpu_type *find_type(unsigned int id)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

static bool has_room(const struct vgpu_pf *pf, const struct vgpu_type *type)
{
	unsigned int left = vgpu_max_instances ? vgpu_max_instances : type->max_instances;
	unsigned int memory = VGPU_MEMORY;
	const struct vgpu_vf *vf;

	list_for_each_entry(vf, &pf->vfs, node) {
		if (vf->type)
			memory -= vf->type->memory;
		if (vf->type == type && left)
			left--;
	}
	return left && memory >= type->memory;
}

/* Whether this write of a type is the one that a test wants to fail. */
static bool is_injected(void)
{
	return vgpu_fail_write_nth > 0 && --vgpu_fail_write_nth == 0;
}

static int parse_number(const char *buf, unsigned int *number)
{
	return isdigit(buf[0]) && !kstrtouint(buf, 10, number) ? 0 : -EINVAL;
}

/* Whatever is wrong with a write, the VF is free after it, unless a guest has it. */
static int set_type(struct vgpu_vf *vf, const char *buf)
{
	const struct vgpu_type *type, *had = vf->type;
	unsigned int id;

	if (vf->open)
		return -EBUSY;
	vf->type = NULL;
	if (parse_number(buf, &id))
		return -EINVAL;
	if (!id)
		return 0;
	type = find_type(id);
	if (!type)
		return -EINVAL;
	if (is_injected())
		return -vgpu_fail_write_errno;
	if (had || !has_room(vf->pf, type))
		return -vgpu_full_errno;
	vf->type = type;
	return lab_failure_after_create();
}

static int emit_type(char *buf, int at, const struct vgpu_type *type)
{
	if (vgpu_format == NAME_FIRST)
		return sysfs_emit_at(buf, at, "%s  %u\n", type->name, type->id);
	return sysfs_emit_at(buf, at, "%-6u: %s\n", type->id, type->name);
}

/* key=value[,key=value...] without control characters; nothing at all clears. */
static bool is_params(const char *text, size_t len)
{
	size_t i, key = 0;
	bool value = false;

	for (i = 0; i < len; i++) {
		if (iscntrl(text[i]))
			return false;
		if (!value && text[i] == '=' && i > key) {
			value = true;
		} else if (text[i] == ',') {
			if (!value)
				return false;
			value = false;
			key = i + 1;
		} else if (text[i] == '=' && !value) {
			return false;
		}
	}
	return !len || value;
}

static ssize_t creatable_vgpu_types_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vgpu_vf *vf = to_vgpu_vf(dev);
	unsigned int i;
	int len = 0;

	mutex_lock(&vgpu_lock);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (vf->type == &types[i] || !has_room(vf->pf, &types[i]))
			continue;
		if (!len && vgpu_format == ID_FIRST)
			len = sysfs_emit(buf, "ID    : vGPU Name\n");
		len += emit_type(buf, len, &types[i]);
	}
	mutex_unlock(&vgpu_lock);
	return len;
}
static DEVICE_ATTR_RO(creatable_vgpu_types);

static ssize_t current_vgpu_type_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vgpu_vf *vf = to_vgpu_vf(dev);
	unsigned int id;

	mutex_lock(&vgpu_lock);
	id = vf->type ? vf->type->id : 0;
	mutex_unlock(&vgpu_lock);
	return sysfs_emit(buf, "%u\n", id);
}

static ssize_t current_vgpu_type_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	unsigned int id;
	int ret;

	if (!parse_number(buf, &id) && id)
		lab_delay_create();
	else
		lab_delay_remove();
	mutex_lock(&vgpu_lock);
	ret = set_type(to_vgpu_vf(dev), buf);
	mutex_unlock(&vgpu_lock);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(current_vgpu_type);

static ssize_t vgpu_params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	ssize_t len;

	mutex_lock(&vgpu_lock);
	len = sysfs_emit(buf, "%s\n", to_vgpu_vf(dev)->params);
	mutex_unlock(&vgpu_lock);
	return len;
}

/* What is set stays until it is overwritten: the next type that this VF is given has it, too. */
static ssize_t vgpu_params_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	struct vgpu_vf *vf = to_vgpu_vf(dev);
	size_t len = count && buf[count - 1] == '\n' ? count - 1 : count;

	if (len >= sizeof(vf->params) || !is_params(buf, len))
		return -EINVAL;
	mutex_lock(&vgpu_lock);
	memcpy(vf->params, buf, len);
	vf->params[len] = '\0';
	mutex_unlock(&vgpu_lock);
	return count;
}
static DEVICE_ATTR_RW(vgpu_params);

static ssize_t show_number(char *buf, const unsigned int *number)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(*number));
}

static ssize_t store_number(const char *buf, size_t count, unsigned int *number, unsigned int max)
{
	unsigned int value;

	if (parse_number(buf, &value) || value > max)
		return -EINVAL;
	WRITE_ONCE(*number, value);
	return count;
}

#define VGPU_NUMBER(_name, _max)									\
static ssize_t _name##_show(struct device *dev, struct device_attribute *attr, char *buf)		\
{													\
	return show_number(buf, &to_vgpu_vf(dev)->_name);						\
}													\
static ssize_t _name##_store(struct device *dev, struct device_attribute *attr, const char *buf,	\
			     size_t count)								\
{													\
	return store_number(buf, count, &to_vgpu_vf(dev)->_name, _max);					\
}													\
static DEVICE_ATTR_RW(_name)

VGPU_NUMBER(gpu_instance_id, UINT_MAX);
VGPU_NUMBER(placement_id, UINT_MAX);
VGPU_NUMBER(warm_update, 1);

static struct attribute *vgpu_vf_attrs[] = {
	&dev_attr_creatable_vgpu_types.attr, &dev_attr_current_vgpu_type.attr, &dev_attr_gpu_instance_id.attr,
	&dev_attr_placement_id.attr, &dev_attr_vgpu_params.attr, &dev_attr_warm_update.attr, NULL
};

const struct attribute_group vgpu_vf_group = { .name = "nvidia", .attrs = vgpu_vf_attrs };

void vgpu_vf_join(struct vgpu_vf *vf, struct vgpu_pf *pf)
{
	mutex_lock(&vgpu_lock);
	vf->pf = pf;
	list_add_tail(&vf->node, &pf->vfs);
	mutex_unlock(&vgpu_lock);
}

void vgpu_vf_leave(struct vgpu_vf *vf)
{
	mutex_lock(&vgpu_lock);
	list_del(&vf->node);
	mutex_unlock(&vgpu_lock);
}
