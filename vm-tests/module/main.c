// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module parameters, and which devices become parents.
 *
 * By default every QEMU "edu" device (1234:11e8) serves the layout of the
 * founding proposal and every "pci-testdev" (1b36:0005) that of the reply to
 * it; for virtual functions see vgpu-vfio.c. There is no device table, so
 * udev does not load this module.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>

#include "lab.h"

DEFINE_MUTEX(lab_lock);
LIST_HEAD(lab_parents);

static char *rfc = "1234:11e8";
module_param(rfc, charp, 0444);
MODULE_PARM_DESC(rfc, "vendor:device of the PCI devices that serve the rfc layout");

static char *general = "1b36:0005";
module_param(general, charp, 0444);
MODULE_PARM_DESC(general, "vendor:device of the PCI devices that serve the general layout");

static unsigned int platform_parents;
module_param(platform_parents, uint, 0444);
MODULE_PARM_DESC(platform_parents, "parents of the rfc layout to make up on the platform bus, for tests of scale");

unsigned int lab_types = 3;
module_param_named(types, lab_types, uint, 0444);
MODULE_PARM_DESC(types, "number of types of a parent; the types after the third are like the third");

static int lab_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct lab_parent *parent = lab_parent_add(&pdev->dev, id->driver_data);

	if (IS_ERR(parent))
		return PTR_ERR(parent);
	pci_set_drvdata(pdev, parent);
	return 0;
}

static void lab_pci_remove(struct pci_dev *pdev)
{
	lab_hold_unbind();
	lab_parent_remove(pci_get_drvdata(pdev));
}

static struct pci_driver lab_pci_driver = {
	.name = "mdev_lab",
	.probe = lab_pci_probe,
	.remove = lab_pci_remove,
};

static struct platform_device **platform;

static int lab_add_ids(void)
{
	unsigned int vendor, device;
	int ret;

	if (sscanf(rfc, "%x:%x", &vendor, &device) == 2) {
		ret = pci_add_dynid(&lab_pci_driver, vendor, device, PCI_ANY_ID, PCI_ANY_ID, 0, 0, LAB_RFC);
		if (ret)
			return ret;
	}
	if (sscanf(general, "%x:%x", &vendor, &device) == 2)
		return pci_add_dynid(&lab_pci_driver, vendor, device, PCI_ANY_ID, PCI_ANY_ID, 0, 0, LAB_GENERAL);
	return 0;
}

static void lab_remove_platform(void)
{
	unsigned int i;

	for (i = 0; platform && i < platform_parents && platform[i]; i++) {
		lab_parent_remove(platform_get_drvdata(platform[i]));
		platform_device_unregister(platform[i]);
	}
	kfree(platform);
}

static int lab_add_platform(void)
{
	struct lab_parent *parent;
	unsigned int i;

	platform = kcalloc(platform_parents + 1, sizeof(*platform), GFP_KERNEL);
	if (!platform)
		return -ENOMEM;
	for (i = 0; i < platform_parents; i++) {
		struct platform_device *pdev = platform_device_register_simple("mdev_lab", i, NULL, 0);

		if (IS_ERR(pdev))
			return PTR_ERR(pdev);
		parent = lab_parent_add(&pdev->dev, LAB_RFC);
		if (IS_ERR(parent)) {
			platform_device_unregister(pdev);
			return PTR_ERR(parent);
		}
		platform_set_drvdata(pdev, parent);
		platform[i] = pdev;
	}
	return 0;
}

static int __init lab_init(void)
{
	int ret = mdev_register_driver(&lab_mdev_driver);

	if (ret)
		return ret;
	ret = pci_register_driver(&lab_pci_driver);
	if (ret)
		goto no_pci;
	ret = lab_add_platform();
	if (!ret)
		ret = lab_add_ids();
	if (!ret)
		ret = lab_vgpu_init();
	if (!ret)
		return 0;
	lab_remove_platform();
	pci_unregister_driver(&lab_pci_driver);
no_pci:
	mdev_unregister_driver(&lab_mdev_driver);
	return ret;
}

static void __exit lab_exit(void)
{
	lab_vgpu_exit();
	lab_remove_platform();
	pci_unregister_driver(&lab_pci_driver);
	mdev_unregister_driver(&lab_mdev_driver);
}

module_init(lab_init);
module_exit(lab_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Interfaces for mediated devices and virtual GPUs, for tests");
