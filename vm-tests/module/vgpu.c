// SPDX-License-Identifier: GPL-2.0-only
/* The framebuffer of a PF, the types of its VFs, and the files of a VF's nvidia/. */
#include <linux/ctype.h>
#include <linux/module.h>

#include "vgpu.h"

DEFINE_MUTEX(vgpu_lock);

/* A name ends in the framebuffer in GiB, as the vendor's do. vm-tests/README.md lists these. */
const struct vgpu_type vgpu_types[VGPU_TYPES] = {
	{ 1431, "NVIDIA H200X-4C", 4 * 1024, 32 },
	{ 1432, "NVIDIA H200X-8C", 8 * 1024, 16 },
	{ 1433, "NVIDIA H200X-17C", 17 * 1024, 8 },
	{ 1434, "NVIDIA H200X-35C", 35 * 1024, 4 },
	{ 1435, "NVIDIA H200X-70C", 70 * 1024, 2 },
	{ 1436, "NVIDIA H200X-141C", 141 * 1024, 1 },
};

static unsigned int vgpu_max_instances;
module_param(vgpu_max_instances, uint, 0644);
MODULE_PARM_DESC(vgpu_max_instances, "maximum instances of each type on one PF; 0 is the maximum of the type");

static int vgpu_fail_write_nth;
module_param(vgpu_fail_write_nth, int, 0644);
MODULE_PARM_DESC(vgpu_fail_write_nth, "the n-th write of a type from now on fails; counts down, 0 is none");

static int vgpu_fail_write_errno = EIO;
module_param(vgpu_fail_write_errno, int, 0644);
MODULE_PARM_DESC(vgpu_fail_write_errno, "with this errno; 0: it seems to succeed, and the VF is free");

static bool vgpu_params_need_type;
module_param(vgpu_params_need_type, bool, 0644);
MODULE_PARM_DESC(vgpu_params_need_type, "vgpu_params is ENXIO on a VF without a type, and empty when it is given one");

/* Under vgpu_lock, as all functions up to the files. */
const struct vgpu_type *vgpu_find_type(unsigned long id)
{
	unsigned int i;

	for (i = 0; i < VGPU_TYPES; i++)
		if (vgpu_types[i].id == id)
			return &vgpu_types[i];
	return NULL;
}

/* How many more VFs can have this type by its maximum number of instances. */
unsigned int vgpu_instances_left(const struct vgpu_pf *pf, const struct vgpu_type *type)
{
	unsigned int left = vgpu_max_instances ? vgpu_max_instances : type->max_instances;
	const struct vgpu_vf *vf;

	list_for_each_entry(vf, &pf->vfs, node)
		if (vf->type == type && left)
			left--;
	return left;
}

int vgpu_give(struct vgpu_vf *vf, const struct vgpu_type *type)
{
	vf->type = type;
	if (vgpu_params_need_type)
		vf->params[0] = '\0';
	return lab_failure_after_create();
}

/* True, with the errno in @ret, if a test has set a failure of this write of a type. */
bool vgpu_is_injected(int *ret)
{
	if (vgpu_fail_write_nth <= 0 || --vgpu_fail_write_nth > 0)
		return false;
	*ret = -vgpu_fail_write_errno;
	return true;
}

static ssize_t creatable_vgpu_types_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	ssize_t len;

	mutex_lock(&vgpu_lock);
	len = vgpu_behaviour->show_types(to_vgpu_vf(dev), buf);
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
	long id;
	int ret;

	if (!kstrtol(buf, 10, &id) && id)
		lab_delay_create();
	else
		lab_delay_remove();
	mutex_lock(&vgpu_lock);
	ret = vgpu_behaviour->set_type(to_vgpu_vf(dev), buf);
	mutex_unlock(&vgpu_lock);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(current_vgpu_type);

/* Under vgpu_lock. */
static bool has_params(const struct vgpu_vf *vf)
{
	return vf->type || !vgpu_params_need_type;
}

static ssize_t vgpu_params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vgpu_vf *vf = to_vgpu_vf(dev);
	ssize_t len = -ENXIO;

	mutex_lock(&vgpu_lock);
	if (has_params(vf))
		len = sysfs_emit(buf, "%s\n", vf->params);
	mutex_unlock(&vgpu_lock);
	return len;
}

/* The parameters stay until they are overwritten: they also apply to the next type of this VF. */
static ssize_t vgpu_params_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	struct vgpu_vf *vf = to_vgpu_vf(dev);
	ssize_t ret = -ENXIO;

	if (count > sizeof(vf->params))
		return -E2BIG;
	mutex_lock(&vgpu_lock);
	if (vf->open)
		ret = -EPERM;
	else if (has_params(vf))
		ret = lab_keep_params(vf->params, buf, count);
	mutex_unlock(&vgpu_lock);
	return ret;
}
static DEVICE_ATTR_RW(vgpu_params);

static ssize_t show_number(char *buf, const unsigned int *number)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(*number));
}

static ssize_t store_number(const char *buf, size_t count, unsigned int *number, unsigned int max)
{
	unsigned int value;

	if (!isdigit(buf[0]) || kstrtouint(buf, 10, &value) || value > max)
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

static umode_t vgpu_attr_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	bool basic = attr == &dev_attr_creatable_vgpu_types.attr || attr == &dev_attr_current_vgpu_type.attr;

	return basic || !vgpu_behaviour->only_types ? attr->mode : 0;
}

const struct attribute_group vgpu_vf_group = {
	.name = "nvidia", .attrs = vgpu_vf_attrs, .is_visible = vgpu_attr_visible
};

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
