#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device edu" --module module guest/40-stress.sh INSTALLED [RESULTS [PROCESSES [DEVICES]]]
#
# Many processes create and destroy at once, on two parents of the layout whose parameters are state of the type: no device
# gets the parameters of another, no group is allocated twice, and no device or record is lost or left.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

PROCESSES=${3:-8}
DEVICES=${4:-500}

t_install "$1"
modprobe vfio_iommu_type1
# The folders of mdevctl's scripts, on a file system of the guest: each read of the same folders on the root, which is the
# host's over 9p, would cost a message to QEMU, and every create and destroy reads them.
mkdir -p /etc/mdevctl.d
mount -t tmpfs tmpfs /etc/mdevctl.d
mkdir -p /etc/mdevctl.d/scripts.d/callouts /etc/mdevctl.d/scripts.d/notifiers
mapfile -t PARENTS < <(grep -l 0x11e8 /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|')
t_eq 'two parents' 2 ${#PARENTS[@]}
counts()
{
	cat /sys/bus/pci/drivers/mdev_lab/0000:*/mdev_supported_types/1?/max_instances | paste -sd' '
}

before=$(counts)
mkdir /run/groups
start=$SECONDS
t_ok "$PROCESSES processes create and destroy $DEVICES devices each" \
	stress mdev:///system /run/groups "$PROCESSES" "$DEVICES" 11 "${PARENTS[@]}"
echo "# $((PROCESSES * DEVICES)) devices in $((SECONDS - start)) s"
t_eq 'no device is left' '' "$(ls "$MDEV_BUS")"
t_eq 'no group is left' '' "$(ls /run/groups)"
t_eq 'the counts are unchanged' "$before" "$(counts)"
t_eq 'no parameters are left' '' "$(cat /sys/bus/pci/drivers/mdev_lab/0000:*/lab_params)"
t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
t_done
