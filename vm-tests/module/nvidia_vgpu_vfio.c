// SPDX-License-Identifier: GPL-2.0-only
/*
 * An empty module with the name of NVIDIA's vGPU host software. A PF without
 * VFs is a parent only while this module is loaded: it distinguishes a host that
 * makes vGPUs from a host that only computes.
 */
#include <linux/module.h>

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("replaces the vGPU host software");
