#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 1 --module "module vgpu_upstream=1" guest/51-vgpu-upstream.sh [--record]
#
# The behaviour of the test module on a PF and its VFs, by plain sysfs, as the driver that was proposed for the kernel in 2025. The
# steps of vendor-facts-upstream.tsv are also the test of the simulated kernel (crates/mdev/src/sim); --record prints them with the
# results of the module.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

PARAMETERS=/sys/module/mdev_lab/parameters

# put FILE TEXT: writes the text and prints the result, a length or an errno
put()
{
	t_try write "$1" "$2"
}

driver()
{
	basename "$(readlink "$1/driver")"
}

drawing()
{
	t_eq 'the driver of the PF' nova_core "$(driver "$PF")"
	t_eq 'VFs are enabled' 1 "$(put "$PF/lab_enable_vfs" 8)"
	t_eq 'the driver of a VF' nvidia-vgpu-vfio "$(driver "$VF")"
	t_not 'the PF has no folder' test -e "$PF/nvidia"
	t_eq 'the modes of its files' '444 644' "$(stat -c %a "$VF"/nvidia/* | paste -sd' ')"
	t_ok 'its group has a node' test -c "/dev/vfio/$(basename "$(readlink "$VF/iommu_group")")"
	t_match 'its VFIO device' '^vfio[0-9]+$' "$(ls "$VF/vfio-dev")"
}

ordered()
{
	local file=$VF/nvidia/current_vgpu_type
	echo 28 >"$PARAMETERS/vgpu_fail_write_errno"
	echo 1 >"$PARAMETERS/vgpu_fail_write_nth"
	t_eq 'a write fails with the injected errno' ENOSPC "$(put "$file" 1433)"
	t_eq 'the VF is free' 0 "$(cat "$file")"
	echo 5 >"$PARAMETERS/vgpu_fail_write_errno"
	echo 4 >"$PARAMETERS/fail_after_create_errno"
	t_eq 'a type is set and the write is interrupted' EINTR "$(put "$file" 1433)"
	echo 0 >"$PARAMETERS/fail_after_create_errno"
	t_eq 'the VF has it' 1433 "$(cat "$file")"
	echo 0 >"$file"
}

# QEMU as the user of a device.
in_use()
{
	local file=$VF/nvidia/current_vgpu_type bdf text
	bdf=$(basename "$(readlink -f "$VF")")
	t_not 'QEMU cannot open a VF without a type' t_qemu none -device "vfio-pci,host=$bdf"
	echo 1433 >"$file"
	t_ok 'QEMU opens a VF with a type' t_qemu lab -device "vfio-pci,host=$bdf"
	for text in 0 1433 1431 7; do
		t_eq "'$text' is EBUSY while QEMU has it" EBUSY "$(put "$file" "$text")"
	done
	t_eq 'a text that is not a number is EINVAL' EINVAL "$(put "$file" x)"
	t_eq 'nothing has changed' 1433 "$(cat "$file")"
	t_ok 'QEMU ends' t_qemu_end lab
	t_eq 'then it is freed' 1 "$(put "$file" 0)"
}

modprobe vfio_iommu_type1
PF=$(find /sys/bus/pci/drivers/nova_core/ -type l -name '0000:*' -exec readlink -f {} + | sort | head -n 1)
VF=$PF/virtfn0
if [ "${1-}" = --record ]; then
	echo 8 >"$PF/lab_enable_vfs"
	exec "$GUEST/try-facts" "$GUEST/vendor-facts-upstream.tsv"
fi
drawing
t_recorded "$GUEST/vendor-facts-upstream.tsv"
ordered
in_use
echo 0 >"$PF/lab_enable_vfs"
t_not 'VFs are disabled' test -e "$VF"
t_done
