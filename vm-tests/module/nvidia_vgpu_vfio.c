// SPDX-License-Identifier: GPL-2.0-only
/*
 * An empty module with the name of NVIDIA's vGPU host software. A PF without
 * VFs is a parent only where that is loaded: it tells a host that makes vGPUs
 * from one that only computes.
 */
#include <linux/module.h>

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("stands for the vGPU host software");
