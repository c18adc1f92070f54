// SPDX-License-Identifier: GPL-2.0-only
/* A parent: its folder of types and, in the rfc layout, mdev_destroy. */
#include <linux/slab.h>

#include "lab.h"

/* Under lab_lock. */
static struct lab_parent *find_parent(struct device *dev)
{
	struct lab_parent *parent;

	list_for_each_entry(parent, &lab_parents, node)
		if (parent->dev == dev && !parent->gone)
			return parent;
	return NULL;
}

static ssize_t mdev_destroy_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	struct lab_device *ldev;
	char text[UUID_STRING_LEN + 1];
	size_t len = lab_bytes_seen(count);
	guid_t uuid;
	int ret;

	if (len < UUID_STRING_LEN || len > UUID_STRING_LEN + 1 ||
	    (len > UUID_STRING_LEN && buf[UUID_STRING_LEN] != '\n'))
		return -EINVAL;
	memcpy(text, buf, UUID_STRING_LEN);
	text[UUID_STRING_LEN] = '\0';
	ret = guid_parse(text, &uuid);
	if (ret)
		return ret;
	lab_delay_remove();
	mutex_lock(&lab_lock);
	ldev = lab_device_find(&uuid);
	ret = ldev && ldev->parent == find_parent(dev) ? lab_device_claim(ldev) : -ENODEV;
	mutex_unlock(&lab_lock);
	if (ret)
		return ret;
	lab_device_destroy(ldev);
	return count;
}
static DEVICE_ATTR_WO(mdev_destroy);

/*
 * For tests: the parameters that the next create of each type would get. No
 * file of a type's folder shows them, as the proposal has none that does.
 */
static ssize_t lab_params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct lab_parent *parent;
	ssize_t len = 0;
	unsigned int i;

	mutex_lock(&lab_lock);
	parent = find_parent(dev);
	for (i = 0; parent && i < parent->ntypes; i++)
		if (parent->types[i]->params[0])
			len += sysfs_emit_at(buf, len, "%s=%s\n", parent->types[i]->info.id, parent->types[i]->params);
	mutex_unlock(&lab_lock);
	return len;
}
static DEVICE_ATTR_RO(lab_params);

static int add_files(struct lab_parent *parent)
{
	int ret;

	if (parent->layout != LAB_RFC)
		return 0;
	ret = device_create_file(parent->dev, &dev_attr_mdev_destroy);
	return ret ? ret : device_create_file(parent->dev, &dev_attr_lab_params);
}

static void remove_files(struct lab_parent *parent)
{
	if (parent->layout != LAB_RFC)
		return;
	device_remove_file(parent->dev, &dev_attr_mdev_destroy);
	device_remove_file(parent->dev, &dev_attr_lab_params);
}

static int add_types(struct lab_parent *parent)
{
	parent->types_dir = kobject_create_and_add("mdev_supported_types", &parent->dev->kobj);
	if (!parent->types_dir)
		return -ENOMEM;
	parent->types = kcalloc(lab_types, sizeof(*parent->types), GFP_KERNEL);
	if (!parent->types)
		return -ENOMEM;
	while (parent->ntypes < lab_types) {
		struct lab_type *type = lab_type_add(parent, parent->ntypes);

		if (IS_ERR(type))
			return PTR_ERR(type);
		parent->types[parent->ntypes++] = type;
	}
	return 0;
}

static void remove_types(struct lab_parent *parent)
{
	while (parent->ntypes)
		lab_type_remove(parent->types[--parent->ntypes]);
	kfree(parent->types);
	kobject_put(parent->types_dir);
}

struct lab_parent *lab_parent_add(struct device *dev, enum lab_layout layout)
{
	struct lab_parent *parent = kzalloc(sizeof(*parent), GFP_KERNEL);
	int ret;

	if (!parent)
		return ERR_PTR(-ENOMEM);
	parent->dev = dev;
	parent->layout = layout;
	parent->free_memory = LAB_MEMORY;
	INIT_LIST_HEAD(&parent->devices);
	mutex_lock(&lab_lock);
	list_add_tail(&parent->node, &lab_parents);
	mutex_unlock(&lab_lock);
	ret = add_types(parent);
	if (!ret)
		ret = add_files(parent);
	if (ret) {
		lab_parent_remove(parent);
		return ERR_PTR(ret);
	}
	kobject_uevent(&dev->kobj, KOBJ_CHANGE);
	return parent;
}

/* Under lab_lock: a device that no thread is removing yet. */
static struct lab_device *any_device(struct lab_parent *parent)
{
	struct lab_device *ldev;

	list_for_each_entry(ldev, &parent->devices, node)
		if (!ldev->dying)
			return ldev;
	return NULL;
}

static bool has_devices(struct lab_parent *parent)
{
	bool any;

	mutex_lock(&lab_lock);
	any = !list_empty(&parent->devices);
	mutex_unlock(&lab_lock);
	return any;
}

/* Removes devices in use, too: VFIO waits until their users have closed them. */
void lab_parent_remove(struct lab_parent *parent)
{
	struct lab_device *ldev;

	mutex_lock(&lab_lock);
	parent->gone = true;
	while ((ldev = any_device(parent))) {
		ldev->dying = true;
		mutex_unlock(&lab_lock);
		lab_device_destroy(ldev);
		mutex_lock(&lab_lock);
	}
	mutex_unlock(&lab_lock);
	wait_event(lab_device_gone, !has_devices(parent));
	remove_files(parent);
	remove_types(parent);
	mutex_lock(&lab_lock);
	list_del(&parent->node);
	mutex_unlock(&lab_lock);
	kfree(parent);
}
