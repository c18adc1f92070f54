// SPDX-License-Identifier: GPL-2.0-only
/* A mediated device: on the kernel's own bus, with the files of its layout. */
#include <linux/module.h>
#include <linux/slab.h>

#include "lab.h"

struct mdev_driver lab_mdev_driver = {
	.device_api = "vfio-pci",
	.probe = lab_vfio_probe,
	.remove = lab_vfio_remove,
	.driver = {
		.name = "mdev_lab",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

DECLARE_WAIT_QUEUE_HEAD(lab_device_gone);

/* Under lab_lock: any device, of whichever parent. */
struct lab_device *lab_device_find(const guid_t *uuid)
{
	struct lab_parent *parent;
	struct lab_device *ldev;

	list_for_each_entry(parent, &lab_parents, node)
		list_for_each_entry(ldev, &parent->devices, node)
			if (guid_equal(&ldev->mdev.uuid, uuid))
				return ldev;
	return NULL;
}

static ssize_t params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_lab(dev)->params);
}
static DEVICE_ATTR_RO(params);

static ssize_t group_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u32 group = READ_ONCE(to_lab(dev)->group);

	return group ? sysfs_emit(buf, "%u\n", group) : sysfs_emit(buf, "\n");
}

static ssize_t group_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	u32 group;

	if (kstrtou32(buf, 10, &group) || !group)
		return -EINVAL;
	WRITE_ONCE(to_lab(dev)->group, group);
	return count;
}
static DEVICE_ATTR_RW(group);

static ssize_t destroy_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	struct lab_device *ldev = to_lab(dev);
	unsigned long yes;
	int ret;

	if (kstrtoul(buf, 0, &yes))
		return -EINVAL;
	if (!yes)
		return count;
	lab_delay_remove();
	/* One of several writers removes the file; removal waits for the other writers, so they must return. */
	mutex_lock(&lab_lock);
	ret = lab_device_claim(ldev);
	mutex_unlock(&lab_lock);
	if (ret)
		return ret;
	device_remove_file_self(dev, attr);
	lab_device_destroy(ldev);
	return count;
}
static DEVICE_ATTR_WO(destroy);

static ssize_t online_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", to_lab(dev)->online);
}

static ssize_t online_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	unsigned int online;

	if (kstrtouint(buf, 10, &online) || online > 1)
		return -EINVAL;
	to_lab(dev)->online = online;
	return count;
}
static DEVICE_ATTR_RW(online);

static ssize_t reset_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	unsigned int yes;

	if (kstrtouint(buf, 10, &yes) || yes != 1)
		return -EINVAL;
	to_lab(dev)->resets++;
	return count;
}
static DEVICE_ATTR_WO(reset);

static ssize_t priority_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_lab(dev)->priority);
}

static ssize_t priority_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	return kstrtouint(buf, 10, &to_lab(dev)->priority) ? -EINVAL : count;
}
static DEVICE_ATTR_RW(priority);

static ssize_t weight_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_lab(dev)->weight);
}

static ssize_t weight_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	return kstrtouint(buf, 10, &to_lab(dev)->weight) ? -EINVAL : count;
}
static DEVICE_ATTR_RW(weight);

/* For tests: marks the device as in use without a user; the number of resets. */
static ssize_t lab_busy_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	struct lab_device *ldev = to_lab(dev);
	bool busy;

	if (kstrtobool(buf, &busy))
		return -EINVAL;
	mutex_lock(&lab_lock);
	ldev->busy = busy;
	mutex_unlock(&lab_lock);
	return count;
}
static DEVICE_ATTR_WO(lab_busy);

static ssize_t lab_resets_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_lab(dev)->resets);
}
static DEVICE_ATTR_RO(lab_resets);

static umode_t device_attr_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	struct lab_device *ldev = to_lab(kobj_to_dev(kobj));

	if (attr == &dev_attr_params.attr && !ldev->type->info.params)
		return 0;
	if (attr == &dev_attr_group.attr) {
		if (ldev->parent->layout == LAB_RFC)
			return ldev->group ? 0444 : 0;
		return ldev->type->info.requires_group == 1 ? 0644 : 0;
	}
	return attr->mode;
}

static struct attribute *rfc_device_attrs[] = {
	&dev_attr_params.attr, &dev_attr_group.attr, &dev_attr_lab_busy.attr, NULL
};

static struct attribute *general_device_attrs[] = {
	&dev_attr_group.attr, &dev_attr_destroy.attr, &dev_attr_online.attr, &dev_attr_reset.attr,
	&dev_attr_priority.attr, &dev_attr_weight.attr, &dev_attr_lab_busy.attr, &dev_attr_lab_resets.attr, NULL
};

static const struct attribute_group rfc_group = { .attrs = rfc_device_attrs, .is_visible = device_attr_visible };
static const struct attribute_group general_group = {
	.attrs = general_device_attrs, .is_visible = device_attr_visible
};

/* NVIDIA's files of a mediated device, for the parents of the rfc layout. */
static ssize_t vgpu_params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	ssize_t len;

	mutex_lock(&lab_lock);
	len = sysfs_emit(buf, "%s\n", to_lab(dev)->vgpu_params);
	mutex_unlock(&lab_lock);
	return len;
}

static ssize_t vgpu_params_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	struct lab_device *ldev = to_lab(dev);
	ssize_t ret = -EPERM;

	if (count > sizeof(ldev->vgpu_params))
		return -E2BIG;
	mutex_lock(&lab_lock);
	if (!ldev->open && !ldev->busy)
		ret = lab_keep_params(ldev->vgpu_params, buf, count);
	mutex_unlock(&lab_lock);
	return ret;
}
static DEVICE_ATTR_RW(vgpu_params);

static ssize_t vm_name_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", READ_ONCE(to_lab(dev)->open) ? "lab" : "");
}
static DEVICE_ATTR_RO(vm_name);

/* The attribute of the kernel's sample drivers, for the parents of the general layout. */
static ssize_t sample_mdev_dev_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "This is MDEV %s\n", dev_name(dev));
}
static DEVICE_ATTR_RO(sample_mdev_dev);

static struct attribute *nvidia_attrs[] = { &dev_attr_vgpu_params.attr, &dev_attr_vm_name.attr, NULL };
static struct attribute *vendor_attrs[] = { &dev_attr_sample_mdev_dev.attr, NULL };
static const struct attribute_group nvidia_group = { .name = "nvidia", .attrs = nvidia_attrs };
static const struct attribute_group vendor_group = { .name = "vendor", .attrs = vendor_attrs };
const struct attribute_group *lab_rfc_device_groups[] = { &rfc_group, &nvidia_group, NULL };
const struct attribute_group *lab_general_device_groups[] = { &general_group, &vendor_group, NULL };

static const char *type_link(struct lab_device *ldev)
{
	return ldev->parent->layout == LAB_RFC ? "mdev_type" : "type";
}

static void lab_device_release(struct device *dev)
{
	struct lab_device *ldev = to_lab(dev);

	kobject_put(&ldev->type->kobj);
	kfree(ldev->params);
	kfree(ldev);
}

static struct lab_device *alloc_device(struct lab_type *type, const guid_t *uuid, u32 group)
{
	struct lab_device *ldev = kzalloc(sizeof(*ldev), GFP_KERNEL);
	struct device *dev;

	if (!ldev)
		return NULL;
	ldev->params = kstrdup(type->params, GFP_KERNEL);
	if (!ldev->params) {
		kfree(ldev);
		return NULL;
	}
	ldev->parent = type->parent;
	ldev->type = type;
	kobject_get(&type->kobj);
	ldev->group = group;
	ldev->online = true;
	ldev->weight = 100;
	guid_copy(&ldev->mdev.uuid, uuid);
	dev = &ldev->mdev.dev;
	device_initialize(dev);
	dev->parent = type->parent->dev;
	dev->bus = lab_mdev_driver.driver.bus;
	dev->release = lab_device_release;
	dev->groups = type->parent->layout == LAB_RFC ? lab_rfc_device_groups : lab_general_device_groups;
	return ldev;
}

static int add_device(struct lab_device *ldev)
{
	struct device *dev = &ldev->mdev.dev;
	int ret = dev_set_name(dev, "%pUl", &ldev->mdev.uuid);

	return ret ?: device_add(dev);
}

/* Gives the device its driver, which makes the VFIO device. */
static int bind_device(struct lab_device *ldev)
{
	struct device *dev = &ldev->mdev.dev;
	int ret = device_driver_attach(&lab_mdev_driver.driver, dev);

	return ret ?: sysfs_create_link(&dev->kobj, &ldev->type->kobj, type_link(ldev));
}

/* Under lab_lock. */
static int may_create(struct lab_type *type, const guid_t *uuid)
{
	int ret = type->parent->gone ? -ENODEV : lab_injected_failure();

	if (!ret && lab_device_find(uuid))
		ret = -EEXIST;
	if (!ret && type->parent->free_memory < type->info.memory)
		ret = -ENOSPC;
	return ret;
}

int lab_device_create(struct lab_type *type, const guid_t *uuid, u32 group)
{
	struct lab_parent *parent = type->parent;
	struct lab_device *ldev;
	int ret;

	mutex_lock(&lab_lock);
	ret = may_create(type, uuid);
	if (ret)
		goto out;
	ret = -ENOMEM;
	ldev = alloc_device(type, uuid, group);
	if (!ldev)
		goto out;
	ret = add_device(ldev);
	if (ret) {
		put_device(&ldev->mdev.dev);
		goto out;
	}
	parent->free_memory -= type->info.memory;
	list_add_tail(&ldev->node, &parent->devices);
	ret = bind_device(ldev);
	/* So that no other thread destroys it. Unlocked first, since a user of one of its files may wait for the lock. */
	ldev->dying = ret;
	mutex_unlock(&lab_lock);
	if (ret)
		lab_device_destroy(ldev);
	return ret ?: lab_failure_after_create();
out:
	mutex_unlock(&lab_lock);
	return ret;
}

/* Under lab_lock. Returns 0 if the caller may destroy the device; no other thread may then. */
int lab_device_claim(struct lab_device *ldev)
{
	if (ldev->dying)
		return -ENODEV;
	if (ldev->open || ldev->busy)
		return -EBUSY;
	ldev->dying = true;
	return 0;
}

/* Without lab_lock, for which users of the device's files may wait. The UUID stays in use until the device is removed. */
void lab_device_destroy(struct lab_device *ldev)
{
	struct device *dev = &ldev->mdev.dev;

	sysfs_remove_link(&dev->kobj, type_link(ldev));
	device_del(dev);
	mutex_lock(&lab_lock);
	ldev->parent->free_memory += ldev->type->info.memory;
	list_del(&ldev->node);
	mutex_unlock(&lab_lock);
	wake_up_all(&lab_device_gone);
	put_device(dev);
}
