#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device edu -device pci-testdev" --module module guest/42-groups.sh INSTALLED [RESULTS [SECONDS]]
#
# Eight processes create devices, in groups that the library allocates among others. Three processes write group numbers to the
# driver's files at the same time, two define and undefine devices with a group. No number is allocated that is in use:
# programs/group-stress.c has the rule.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

t_install "$1"
modprobe vfio_iommu_type1
# On a file system of the guest: each access to the root, which is the host's over 9p, costs a message to QEMU.
mkdir -p /etc/mdevctl.d
mount -t tmpfs tmpfs /etc/mdevctl.d
mapfile -t RFC < <(grep -l 0x11e8 /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|')
GENERAL=$(grep -l 0x0005 /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|')
t_eq 'two parents of the rfc layout, one of the general layout' '2 1' "${#RFC[@]} $(wc -w <<<"$GENERAL")"

# Not by t_ok, so that its output appears while it runs.
race()
{
	group-stress mdev:///system "${1:-40}" "${RFC[@]}" "$GENERAL" 2>&1 | sed -u 's/^/# /'
	return "${PIPESTATUS[0]}"
}

race "${3-}"
t_eq 'no group number in use was allocated' 0 $?
t_eq 'no device is left' '' "$(ls "$MDEV_BUS")"
t_eq 'no definition is left' '' "$(find /etc/mdevctl.d /etc/libmdev/definitions -type f -path '*-67e0-*' 2>/dev/null)"
t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
t_eq 'no group is incomplete' '' "$(ls -A /run/libmdev/groups)"
t_done
