// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of a PF and its VFs, and the VFIO device of each VF: the
 * kernel's own for PCI, which opens only on a VF that has a type.
 *
 * No device table: a device is bound by driver_override, or because the module
 * parameter vgpu names its vendor and device.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "vgpu.h"

static char *vgpu = "1b36:0010";
module_param(vgpu, charp, 0444);
MODULE_PARM_DESC(vgpu, "vendor:device of the PFs, and their VFs, that serve the vendor-vfio layout");

static bool upstream;
module_param_named(vgpu_upstream, upstream, bool, 0444);
MODULE_PARM_DESC(vgpu_upstream, "answer as the driver that was proposed for the kernel in 2025, not as NVIDIA's");

const struct vgpu_behaviour *vgpu_behaviour = &vgpu_nvidia;

static struct pci_driver vgpu_driver;

static int open_device(struct vfio_device *vdev)
{
	struct vgpu_vf *vf = container_of(vdev, struct vgpu_vf, core.vdev);
	int ret = -ENODEV;

	/* Before the device is enabled, so that its type cannot be cleared in between. */
	mutex_lock(&vgpu_lock);
	if (vf->type) {
		vf->open = true;
		ret = 0;
	}
	mutex_unlock(&vgpu_lock);
	if (ret)
		return ret;
	ret = vfio_pci_core_enable(&vf->core);
	if (!ret) {
		vfio_pci_core_finish_enable(&vf->core);
		return 0;
	}
	mutex_lock(&vgpu_lock);
	vf->open = false;
	mutex_unlock(&vgpu_lock);
	return ret;
}

static void close_device(struct vfio_device *vdev)
{
	struct vgpu_vf *vf = container_of(vdev, struct vgpu_vf, core.vdev);

	vfio_pci_core_close_device(vdev);
	mutex_lock(&vgpu_lock);
	vf->open = false;
	mutex_unlock(&vgpu_lock);
}

static const struct vfio_device_ops vgpu_vfio_ops = {
	.name = "mdev_lab_vgpu",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = open_device,
	.close_device = close_device,
	.ioctl = vfio_pci_core_ioctl,
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
#endif
};

/*
 * For tests: enables and disables VFs, as the vendor's script does. The file
 * is removed before its PF, and the removal waits for its writers, so no lock
 * of the device is needed. A mutex admits one writer at a time.
 */
static ssize_t lab_enable_vfs_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", pci_num_vf(to_pci_dev(dev)));
}

static ssize_t lab_enable_vfs_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
	static DEFINE_MUTEX(lock);
	struct pci_dev *pdev = to_pci_dev(dev);
	unsigned int number;
	int ret = 0;

	if (kstrtouint(buf, 10, &number) || number > pci_sriov_get_totalvfs(pdev))
		return -EINVAL;
	mutex_lock(&lock);
	if (!number)
		pci_disable_sriov(pdev);
	else if (pci_num_vf(pdev))
		ret = -EBUSY;
	else
		ret = pci_enable_sriov(pdev, number);
	mutex_unlock(&lock);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(lab_enable_vfs);

static int probe_pf(struct pci_dev *pdev)
{
	struct vgpu_pf *pf = kzalloc(sizeof(*pf), GFP_KERNEL);
	int ret;

	if (!pf)
		return -ENOMEM;
	pf->pdev = pdev;
	INIT_LIST_HEAD(&pf->vfs);
	pci_set_drvdata(pdev, pf);
	ret = pci_enable_device(pdev);
	if (ret)
		goto fail;
	ret = device_create_file(&pdev->dev, &dev_attr_lab_enable_vfs);
	if (!ret)
		return 0;
	pci_disable_device(pdev);
fail:
	kfree(pf);
	return ret;
}

static void remove_pf(struct pci_dev *pdev)
{
	device_remove_file(&pdev->dev, &dev_attr_lab_enable_vfs);
	pci_disable_sriov(pdev);
	pci_disable_device(pdev);
	kfree(pci_get_drvdata(pdev));
}

static int probe_vf(struct pci_dev *pdev)
{
	struct pci_dev *physfn = pci_physfn(pdev);
	struct vgpu_vf *vf;
	int ret;

	/* While a PF has VFs, its driver stays bound, unless another driver enabled the VFs. */
	if (physfn->driver != &vgpu_driver)
		return -ENODEV;
	vf = vfio_alloc_device(vgpu_vf, core.vdev, &pdev->dev, &vgpu_vfio_ops);
	if (IS_ERR(vf))
		return PTR_ERR(vf);
	vgpu_vf_join(vf, pci_get_drvdata(physfn));
	dev_set_drvdata(&pdev->dev, &vf->core);
	ret = vfio_pci_core_register_device(&vf->core);
	if (ret)
		goto leave;
	ret = sysfs_create_group(&pdev->dev.kobj, &vgpu_vf_group);
	if (!ret)
		return 0;
	vfio_pci_core_unregister_device(&vf->core);
leave:
	vgpu_vf_leave(vf);
	vfio_put_device(&vf->core.vdev);
	return ret;
}

/* Waits until all users have closed the device. */
static void remove_vf(struct pci_dev *pdev)
{
	struct vgpu_vf *vf = to_vgpu_vf(&pdev->dev);

	sysfs_remove_group(&pdev->dev.kobj, &vgpu_vf_group);
	vfio_pci_core_unregister_device(&vf->core);
	vgpu_vf_leave(vf);
	vfio_put_device(&vf->core.vdev);
}

static int vgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	if (pdev->is_virtfn)
		return vgpu_behaviour->vf_driver ? -ENODEV : probe_vf(pdev);
	return pdev->is_physfn ? probe_pf(pdev) : -ENODEV;
}

static void vgpu_remove(struct pci_dev *pdev)
{
	lab_hold_unbind();
	if (pdev->is_virtfn)
		remove_vf(pdev);
	else
		remove_pf(pdev);
}

/* Refused, as by the vendor's driver, whose VFs only its own script enables. */
static int vgpu_sriov_configure(struct pci_dev *pdev, int number)
{
	return -EINVAL;
}

/* The name depends on vgpu_upstream. */
static struct pci_driver vgpu_driver = {
	.probe = vgpu_probe,
	.remove = vgpu_remove,
	.sriov_configure = vgpu_sriov_configure,
	/* Without this flag, a guest could not use a VF, since the guest controls its DMA. */
	.driver_managed_dma = true,
};

static int vf_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return pdev->is_virtfn ? probe_vf(pdev) : -ENODEV;
}

/* Only for VFs that have another driver than their PF. */
static struct pci_driver vgpu_vf_driver = {
	.probe = vf_probe,
	.remove = vgpu_remove,
	.driver_managed_dma = true,
};

static int register_driver(struct pci_driver *driver, const char *name)
{
	unsigned int vendor, device;
	int ret;

	driver->name = name;
	ret = pci_register_driver(driver);
	if (ret || sscanf(vgpu, "%x:%x", &vendor, &device) != 2)
		return ret;
	ret = pci_add_dynid(driver, vendor, device, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0);
	if (ret)
		pci_unregister_driver(driver);
	return ret;
}

int lab_vgpu_init(void)
{
	int ret;

	if (upstream)
		vgpu_behaviour = &vgpu_upstream;
	ret = register_driver(&vgpu_driver, vgpu_behaviour->pf_driver);
	if (ret || !vgpu_behaviour->vf_driver)
		return ret;
	ret = register_driver(&vgpu_vf_driver, vgpu_behaviour->vf_driver);
	if (ret)
		pci_unregister_driver(&vgpu_driver);
	return ret;
}

/* The VFs are removed with their PF, so both drivers stay registered until then. */
void lab_vgpu_exit(void)
{
	pci_unregister_driver(&vgpu_driver);
	if (vgpu_behaviour->vf_driver)
		pci_unregister_driver(&vgpu_vf_driver);
}
