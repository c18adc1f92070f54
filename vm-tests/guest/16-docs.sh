#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 2 --module module guest/16-docs.sh INSTALLED
#
# The blocks of README.md and docs/*.md that need a host with virtual GPUs, as printed, with the installed tool and the real QEMU. The
# VFs of one of the two cards are enabled.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

t_install "$1"
modprobe vfio_iommu_type1
t_udevd
echo 8 >/sys/bus/pci/devices/0000:41:00.0/lab_enable_vfs
SOURCE=$(cd -- "$GUEST/../.." && pwd)
NODEDEV=$(command -v nodedev)
export SOURCE NODEDEV LIBMDEV=$1/libmdev.so EXAMPLES=$1 MDEV_BLOCKS=vm
exec bash "$SOURCE/tools/nodedev/tests/blocks.sh"
