// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO device of a mediated device: a PCI function with configuration
 * space and one BAR of memory, enough for a guest to use it and to identify
 * it.
 */
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vfio.h>

#include "lab.h"

#define REGION_SHIFT	40
#define REGION_OF(pos)	((u64)(pos) >> REGION_SHIFT)
#define OFFSET_OF(pos)	((u64)(pos) & ((1ULL << REGION_SHIFT) - 1))

#define CONFIG_SIZE	256
#define BAR_SIZE	4096

/* Ids of no product. */
#define LAB_VENDOR	0x1234
#define LAB_DEVICE	0x4d44

struct lab_vfio {
	struct vfio_device vdev;
	struct lab_device *ldev;
	struct mutex lock;
	u8 config[CONFIG_SIZE];
	u8 bar[BAR_SIZE];
};

static struct lab_vfio *to_lab_vfio(struct vfio_device *vdev)
{
	return container_of(vdev, struct lab_vfio, vdev);
}

static void put_le16(u8 *config, unsigned int at, u16 value)
{
	config[at] = value & 0xff;
	config[at + 1] = value >> 8;
}

static int lab_vfio_init(struct vfio_device *vdev)
{
	struct lab_vfio *lv = to_lab_vfio(vdev);

	lv->ldev = to_lab(vdev->dev);
	mutex_init(&lv->lock);
	put_le16(lv->config, PCI_VENDOR_ID, LAB_VENDOR);
	put_le16(lv->config, PCI_DEVICE_ID, LAB_DEVICE);
	put_le16(lv->config, PCI_CLASS_DEVICE, PCI_CLASS_SYSTEM_OTHER);
	put_le16(lv->config, PCI_SUBSYSTEM_VENDOR_ID, LAB_VENDOR);
	put_le16(lv->config, PCI_SUBSYSTEM_ID, lv->ldev->type->info.memory);
	return 0;
}

static void lab_vfio_release(struct vfio_device *vdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	/* The VFIO core of later kernels frees it. */
	vfio_free_device(vdev);
#endif
}

static int lab_vfio_open(struct vfio_device *vdev)
{
	struct lab_device *ldev = to_lab_vfio(vdev)->ldev;
	int ret = 0;

	mutex_lock(&lab_lock);
	if (ldev->dying)
		ret = -ENODEV;
	else
		ldev->open = true;
	mutex_unlock(&lab_lock);
	return ret;
}

static void lab_vfio_close(struct vfio_device *vdev)
{
	struct lab_device *ldev = to_lab_vfio(vdev)->ldev;

	mutex_lock(&lab_lock);
	ldev->open = false;
	mutex_unlock(&lab_lock);
}

/* The bytes of a region from an offset on, or NULL. */
static u8 *region(struct lab_vfio *lv, loff_t pos, size_t count)
{
	u64 offset = OFFSET_OF(pos);

	switch (REGION_OF(pos)) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return offset + count <= CONFIG_SIZE ? lv->config + offset : NULL;
	case VFIO_PCI_BAR0_REGION_INDEX:
		return offset + count <= BAR_SIZE ? lv->bar + offset : NULL;
	default:
		return NULL;
	}
}

static ssize_t lab_vfio_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	struct lab_vfio *lv = to_lab_vfio(vdev);
	ssize_t ret = count;
	u8 *from;

	if (count > BAR_SIZE)
		return -EINVAL;
	mutex_lock(&lv->lock);
	from = region(lv, *ppos, count);
	if (!from)
		ret = -EINVAL;
	else if (copy_to_user(buf, from, count))
		ret = -EFAULT;
	mutex_unlock(&lv->lock);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

/* Only the command register and the address of the BAR can be written. */
static void write_config(struct lab_vfio *lv, u64 offset, const u8 *value, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		u64 at = offset + i;

		if (at == PCI_COMMAND)
			lv->config[at] = value[i] & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		/* A BAR of 4 KiB: its low twelve bits are zero. */
		else if (at == PCI_BASE_ADDRESS_0 + 1)
			lv->config[at] = value[i] & 0xf0;
		else if (at == PCI_BASE_ADDRESS_0 + 2 || at == PCI_BASE_ADDRESS_0 + 3)
			lv->config[at] = value[i];
	}
}

static ssize_t lab_vfio_write(struct vfio_device *vdev, const char __user *buf, size_t count, loff_t *ppos)
{
	struct lab_vfio *lv = to_lab_vfio(vdev);
	ssize_t ret = count;
	u8 value[8];
	u8 *to;

	if (count > sizeof(value))
		return -EINVAL;
	if (copy_from_user(value, buf, count))
		return -EFAULT;
	mutex_lock(&lv->lock);
	to = region(lv, *ppos, count);
	if (!to)
		ret = -EINVAL;
	else if (REGION_OF(*ppos) == VFIO_PCI_CONFIG_REGION_INDEX)
		write_config(lv, OFFSET_OF(*ppos), value, count);
	else
		memcpy(to, value, count);
	mutex_unlock(&lv->lock);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static long get_info(void __user *arg)
{
	struct vfio_device_info info = {};
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long get_region_info(void __user *arg)
{
	struct vfio_region_info info = {};
	size_t minsz = offsetofend(struct vfio_region_info, offset);

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info.offset = (u64)info.index << REGION_SHIFT;
	info.size = 0;
	info.flags = 0;
	if (info.index == VFIO_PCI_CONFIG_REGION_INDEX)
		info.size = CONFIG_SIZE;
	else if (info.index == VFIO_PCI_BAR0_REGION_INDEX)
		info.size = BAR_SIZE;
	if (info.size)
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long get_irq_info(void __user *arg)
{
	struct vfio_irq_info info = {};
	size_t minsz = offsetofend(struct vfio_irq_info, count);

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.flags = 0;
	info.count = 0;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long lab_vfio_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info((void __user *)arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info((void __user *)arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info((void __user *)arg);
	case VFIO_DEVICE_RESET:
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct vfio_device_ops lab_vfio_ops = {
	.name = "mdev_lab",
	.init = lab_vfio_init,
	.release = lab_vfio_release,
	.open_device = lab_vfio_open,
	.close_device = lab_vfio_close,
	.read = lab_vfio_read,
	.write = lab_vfio_write,
	.ioctl = lab_vfio_ioctl,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#endif
};

int lab_vfio_probe(struct mdev_device *mdev)
{
	struct lab_vfio *lv;
	int ret;

	lv = vfio_alloc_device(lab_vfio, vdev, &mdev->dev, &lab_vfio_ops);
	if (IS_ERR(lv))
		return PTR_ERR(lv);
	ret = vfio_register_emulated_iommu_dev(&lv->vdev);
	if (ret) {
		vfio_put_device(&lv->vdev);
		return ret;
	}
	dev_set_drvdata(&mdev->dev, lv);
	return 0;
}

/* Waits until all users have closed the device. */
void lab_vfio_remove(struct mdev_device *mdev)
{
	struct lab_vfio *lv = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&lv->vdev);
	vfio_put_device(&lv->vdev);
}
