#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu" --module module guest/46-kill-group.sh INSTALLED [RESULTS]
#
# A process that creates three devices in one group is killed with SIGKILL at every point, one run for each: before each system
# call that follows a call which does more than read. The group is then complete, or is reported as incomplete and removed:
# programs/killed-group.c.
# With MDEV_VM_ALL=1 (run --env MDEV_VM_ALL) the process is killed at each of these points, otherwise at every eighth.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

t_install "$1"
modprobe vfio_iommu_type1
EVERY=8
[ -z "${MDEV_VM_ALL-}" ] || EVERY=1
PARENT=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1 | sed -E 's|.*/([^/]+)/device|\1|')
start=$SECONDS
# Not by t_ok, so that its output appears while it runs.
killed -e "$EVERY" -g mdev:///system "$PARENT" 11 params '' | sed -u 's/^/# /'
t_eq 'killed at the points: the group is complete, or reported and removed' 0 "${PIPESTATUS[0]}"
echo "# $((SECONDS - start)) s"

# owned UUID SECONDS: succeeds if a device counts as its killed creator's. The record is SECONDS older than the device, and the
# library reads the device 3 s after it was made.
owned()
{
	local device=/sys/bus/pci/devices/$PARENT/$1 node born
	echo "$1" >"/sys/bus/pci/devices/$PARENT/mdev_supported_types/11/create"
	node=/dev/vfio/$(basename "$(readlink "$device/iommu_group")")
	born=$(stat -c %W "$node")
	# udev changes the mtime, too, with every event of the node.
	touch -d '1 hour' "$node"
	printf '{"uuid":"%s","parent":"%s","type":"11","owner":"killed"}' "$1" "$PARENT" >"/run/libmdev/devices/$1"
	touch -d "@$((born - $2))" "/run/libmdev/devices/$1"
	until [ "$(date +%s)" -ge $((born + 3)) ]; do
		sleep 0.1
	done
	nodedev --owner killed destroy --owned "$1"
}

UUID=c60cc60c-0000-4222-8333-444444444460
t_ok 'a device whose node was made 119 s after the record is its killed creator'\''s' owned "$UUID" 119
t_not 'a device whose node was made 121 s after the record is not' owned "$UUID" 121
t_ok 'the device of the other program' nodedev destroy "$UUID"
t_eq 'no device is left' '' "$(ls "$MDEV_BUS")"
t_eq 'no parameters are left' '' "$(cat "/sys/bus/pci/devices/$PARENT/lab_params")"
t_eq 'no record is left' '' "$(find /run/libmdev/devices /run/libmdev/groups -type f)"
t_done
