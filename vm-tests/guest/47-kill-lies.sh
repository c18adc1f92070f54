#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 1 -q "-device edu" --module module guest/47-kill-lies.sh INSTALLED [RESULTS]
#
# A creator is killed with SIGKILL before every system call while the driver makes the device and returns an error, returns less
# than was written, or ignores the last byte. A device that is left has its record, or the error names it; no record is left
# without a device: programs/killed.c.
# With MDEV_VM_ALL=1 (run --env MDEV_VM_ALL) the process is killed at each of these points, otherwise at every thirtieth.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

t_install "$1"
modprobe vfio_iommu_type1
EVERY=30
[ -z "${MDEV_VM_ALL-}" ] || EVERY=1
PARENT=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1 | sed -E 's|.*/([^/]+)/device|\1|')
PF=$(readlink -f /sys/bus/pci/devices/0000:41:00.0)
echo 8 >"$PF/lab_enable_vfs"

# lies PARAMETER=VALUE ARGUMENT...
lies()
{
	local start=$SECONDS
	# Not by t_ok, so that its output appears while it runs.
	killed -e "$EVERY" -l "$@" | sed -u 's/^/# /'
	t_eq "killed at the points while $1 on $3: all checks pass after each kill" 0 "${PIPESTATUS[0]}"
	echo "# $((SECONDS - start)) s"
}

for lie in fail_after_create_errno=5 fail_after_create_errno=4 short_create=1 drop_last_byte=1; do
	lies "$lie" mdev:///system "$PARENT" 11 params '<group>5</group>'
done
# With EINTR a create on a VF is repeated 64 times: too many system calls to be killed before each.
lies fail_after_create_errno=5 mdev:///system pci_0000_41_00_0 1434 vgpu_params ''
t_eq 'no device is left' '' "$(ls "$MDEV_BUS")"
t_eq 'every VF is free' '0 0 0 0 0 0 0 0' "$(cat "$PF"/virtfn*/nvidia/current_vgpu_type | paste -sd' ')"
t_eq 'no parameters are left' '' "$(cat "/sys/bus/pci/devices/$PARENT/lab_params" "$PF"/virtfn*/nvidia/vgpu_params | tr -d '\n')"
t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
t_done
