// SPDX-License-Identifier: GPL-2.0-only
/* A type: its folder of class attributes, counts, params and create. */
#include <linux/slab.h>

#include "lab.h"

static const struct lab_type_info rfc_types[] = {
	{ "11", "GRID M60-0B", 512, "2560x1600", 2, true, 1 },
	{ "12", "GRID M60-0Q", 512, "2560x1600", 2, true, 0 },
	{ "13", "GRID M60-1A", 1024, "1280x1024", 1, false, -1 },
};

static const struct lab_type_info general_types[] = {
	{ "queue-1", "", 512, NULL, 0, false, -1 },
	{ "queue-2", "", 1024, NULL, 0, false, 0 },
	{ "queue-4", "", 2048, NULL, 0, false, 1 },
};

struct type_attribute {
	struct attribute attr;
	ssize_t (*show)(struct lab_type *type, char *buf);
	ssize_t (*store)(struct lab_type *type, const char *buf, size_t count);
};

static ssize_t name_show(struct lab_type *type, char *buf)
{
	return sysfs_emit(buf, "%s\n", type->info.name);
}

static ssize_t fb_length_show(struct lab_type *type, char *buf)
{
	return sysfs_emit(buf, "%uM\n", type->info.memory);
}

static ssize_t resolution_show(struct lab_type *type, char *buf)
{
	return sysfs_emit(buf, "%s\n", type->info.resolution);
}

static ssize_t heads_show(struct lab_type *type, char *buf)
{
	return sysfs_emit(buf, "%u\n", type->info.heads);
}

static ssize_t requires_group_show(struct lab_type *type, char *buf)
{
	return sysfs_emit(buf, "%d\n", type->info.requires_group);
}

static ssize_t instances_show(struct lab_type *type, char *buf)
{
	unsigned int left;

	mutex_lock(&lab_lock);
	left = type->parent->free_memory / type->info.memory;
	mutex_unlock(&lab_lock);
	return sysfs_emit(buf, "%u\n", left);
}

/* The parameters stay until they are cleared: each create uses them. */
static ssize_t params_store(struct lab_type *type, const char *buf, size_t count)
{
	size_t len = lab_bytes_seen(count);

	if (len && buf[len - 1] == '\n')
		len--;
	if (len >= sizeof(type->params) || memchr(buf, '\0', len))
		return -EINVAL;
	mutex_lock(&lab_lock);
	memcpy(type->params, buf, len);
	type->params[len] = '\0';
	mutex_unlock(&lab_lock);
	return count;
}

/* UUID or UUID:group, with or without a newline. */
static int parse_create(const char *buf, size_t count, guid_t *uuid, u32 *group)
{
	char text[UUID_STRING_LEN + 1 + 11];
	int ret;

	if (count && buf[count - 1] == '\n')
		count--;
	if (count < UUID_STRING_LEN || count >= sizeof(text))
		return -EINVAL;
	memcpy(text, buf, count);
	text[count] = '\0';
	*group = 0;
	if (count > UUID_STRING_LEN) {
		if (text[UUID_STRING_LEN] != ':' || text[UUID_STRING_LEN + 1] == '+')
			return -EINVAL;
		ret = kstrtou32(text + UUID_STRING_LEN + 1, 10, group);
		if (ret || !*group)
			return -EINVAL;
		text[UUID_STRING_LEN] = '\0';
	}
	return guid_parse(text, uuid);
}

static ssize_t create_store(struct lab_type *type, const char *buf, size_t count)
{
	size_t len = type->parent->layout == LAB_RFC ? lab_bytes_seen(count) : count;
	guid_t uuid;
	u32 group;
	int ret = parse_create(buf, len, &uuid, &group);

	if (ret)
		return ret;
	if (group && type->info.requires_group != 1)
		return -EINVAL;
	if (!group && type->info.requires_group == 1 && lab_group_required())
		return -EINVAL;
	lab_delay_create();
	ret = lab_device_create(type, &uuid, group);
	return ret ? ret : lab_bytes_taken(count);
}

#define TYPE_RO(_name) static struct type_attribute attr_##_name = { { .name = #_name, .mode = 0444 }, _name##_show, NULL }
#define TYPE_WO(_name) static struct type_attribute attr_##_name = { { .name = #_name, .mode = 0200 }, NULL, _name##_store }

TYPE_RO(name);
TYPE_RO(fb_length);
TYPE_RO(resolution);
TYPE_RO(heads);
TYPE_RO(requires_group);
TYPE_WO(params);
TYPE_WO(create);
static struct type_attribute attr_max_instances = { { .name = "max_instances", .mode = 0444 }, instances_show, NULL };
static struct type_attribute attr_available_instances = {
	{ .name = "available_instances", .mode = 0444 }, instances_show, NULL
};

static struct attribute *type_attrs[] = {
	&attr_create.attr, &attr_name.attr, &attr_fb_length.attr, &attr_resolution.attr, &attr_heads.attr,
	&attr_max_instances.attr, &attr_available_instances.attr, &attr_params.attr, &attr_requires_group.attr, NULL
};

static umode_t type_attr_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	struct lab_type *type = container_of(kobj, struct lab_type, kobj);
	bool is_rfc = type->parent->layout == LAB_RFC;
	bool visible;

	if (attr == &attr_create.attr)
		visible = true;
	else if (attr == &attr_available_instances.attr)
		visible = !is_rfc;
	else if (attr == &attr_params.attr)
		visible = is_rfc && type->info.params;
	else if (attr == &attr_requires_group.attr)
		visible = type->info.requires_group >= 0;
	else
		visible = is_rfc;
	return visible ? attr->mode : 0;
}

static const struct attribute_group type_group = { .attrs = type_attrs, .is_visible = type_attr_visible };
static const struct attribute_group *type_groups[] = { &type_group, NULL };

static ssize_t type_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct type_attribute *tattr = container_of(attr, struct type_attribute, attr);

	return tattr->show ? tattr->show(container_of(kobj, struct lab_type, kobj), buf) : -EIO;
}

static ssize_t type_store(struct kobject *kobj, struct attribute *attr, const char *buf, size_t count)
{
	struct type_attribute *tattr = container_of(attr, struct type_attribute, attr);

	return tattr->store ? tattr->store(container_of(kobj, struct lab_type, kobj), buf, count) : -EIO;
}

static const struct sysfs_ops type_ops = { .show = type_show, .store = type_store };

static void type_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct lab_type, kobj));
}

static struct kobj_type type_ktype = {
	.sysfs_ops = &type_ops,
	.release = type_release,
	.default_groups = type_groups,
};

struct lab_type *lab_type_add(struct lab_parent *parent, unsigned int index)
{
	const struct lab_type_info *infos = parent->layout == LAB_RFC ? rfc_types : general_types;
	struct lab_type *type = kzalloc(sizeof(*type), GFP_KERNEL);
	int ret;

	if (!type)
		return ERR_PTR(-ENOMEM);
	type->parent = parent;
	type->info = infos[min_t(unsigned int, index, ARRAY_SIZE(rfc_types) - 1)];
	if (index >= ARRAY_SIZE(rfc_types))
		snprintf(type->info.id, sizeof(type->info.id), "%u", 11 + index);
	ret = kobject_init_and_add(&type->kobj, &type_ktype, parent->types_dir, "%s", type->info.id);
	if (ret) {
		kobject_put(&type->kobj);
		return ERR_PTR(ret);
	}
	return type;
}

/* Waits for the readers and writers of its files. */
void lab_type_remove(struct lab_type *type)
{
	kobject_del(&type->kobj);
	kobject_put(&type->kobj);
}
