#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 2 --module module guest/50-vgpu-facts.sh [--record]
#
# The behaviour of the test module on a PF and its VFs, by plain sysfs: the vendor-vfio layout as in NVIDIA's vGPU host driver. The
# steps of vendor-facts.tsv are also the test of the simulated kernel (crates/mdev/src/sim); --record prints them with the results of
# the module.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

PARAMETERS=/sys/module/mdev_lab/parameters

# put FILE TEXT: writes the text and prints the result, a length or an errno
put()
{
	t_try write "$1" "$2"
}

# creatable N: the ids that VF N lists
creatable()
{
	sed -n 's/^\([0-9]*\) *:.*/\1/p' "${N[$1]}/creatable_vgpu_types" | paste -sd' '
}

enabling()
{
	t_eq 'the driver of the PF' nvidia "$(basename "$(readlink "$PF/driver")")"
	t_not 'without VFs the PF has none' test -e "$PF/virtfn0"
	t_eq 'a write to sriov_numvfs is refused' EINVAL "$(put "$PF/sriov_numvfs" 4)"
	t_eq 'more VFs than the PF has' EINVAL "$(put "$PF/lab_enable_vfs" 9)"
	t_eq 'VFs are enabled' 1 "$(put "$PF/lab_enable_vfs" 8)"
	t_eq 'eight' 8 "$(cat "$PF/sriov_numvfs")"
	t_eq 'not twice' EBUSY "$(put "$PF/lab_enable_vfs" 4)"
	t_not 'the PF has no folder' test -e "$PF/nvidia"
	t_not 'and there is no mdev parent' ls -d "$PF/mdev_supported_types" "$MDEV_CLASS"/0000:*
}

drawing()
{
	local vf=$PF/virtfn0
	t_eq 'the modes of its files' '444 644 644 644 644 644' "$(stat -c %a "$vf"/nvidia/* | paste -sd' ')"
	t_eq 'its driver' nvidia "$(basename "$(readlink "$vf/driver")")"
	t_eq 'each VF is alone in its group' '1 1 1 1 1 1 1 1' \
		"$(for n in "$PF"/virtfn*; do ls "$n/iommu_group/devices" | wc -l; done | paste -sd' ')"
	t_ok 'its group has a node' test -c "/dev/vfio/$(basename "$(readlink "$vf/iommu_group")")"
	t_match 'its VFIO device' '^vfio[0-9]+$' "$(ls "$vf/vfio-dev")"
	t_eq 'the nodes of NUMA' "$(cat "$PF/numa_node")" "$(cat "$vf/numa_node")"
}

formats()
{
	local file=${N[0]}/creatable_vgpu_types
	t_eq 'id first, below a header' 'ID    : vGPU Name|1431  : NVIDIA H200X-4C|1432  : NVIDIA H200X-8C' \
		"$(head -n 3 "$file" | paste -sd'|')"
	echo 1 >"$PARAMETERS/vgpu_format"
	t_eq 'id first, without header' '1431  : NVIDIA H200X-4C' "$(head -n 1 "$file")"
	echo 2 >"$PARAMETERS/vgpu_format"
	t_eq 'name first' 'NVIDIA H200X-4C  1431' "$(head -n 1 "$file")"
	echo 0 >"$PARAMETERS/vgpu_format"
	t_eq 'six types' '1431 1432 1433 1434 1435 1436' "$(creatable 0)"
	echo 1436 >"${N[0]}/current_vgpu_type"
	t_eq 'no instance left: only the header' 'ID    : vGPU Name' "$(cat "${N[1]}/creatable_vgpu_types")"
	echo 1 >"$PARAMETERS/vgpu_format"
	t_eq 'no instance left: an empty file' '' "$(cat "${N[1]}/creatable_vgpu_types")"
	echo 0 >"$PARAMETERS/vgpu_format"
	echo 0 >"${N[0]}/current_vgpu_type"
}

instances()
{
	local n
	echo 2 >"$PARAMETERS/vgpu_max_instances"
	for n in 0 1; do echo 1431 >"${N[$n]}/current_vgpu_type"; done
	t_eq 'two at most: a third is not listed' '1432 1433 1434 1435' "$(creatable 2)"
	t_eq 'nor taken' EIO "$(put "${N[2]}/current_vgpu_type" 1431)"
	echo 0 >"$PARAMETERS/vgpu_max_instances"
	t_eq 'without it, the create succeeds' 4 "$(put "${N[2]}/current_vgpu_type" 1431)"
	t_eq 'another PF has its own' 4 "$(put "$OTHER/virtfn0/nvidia/current_vgpu_type" 1436)"
	echo 28 >"$PARAMETERS/vgpu_full_errno"
	t_eq 'a type without room is ENOSPC with vgpu_full_errno' ENOSPC "$(put "$OTHER/virtfn1/nvidia/current_vgpu_type" 1431)"
	echo 5 >"$PARAMETERS/vgpu_full_errno"
	echo 0 >"$OTHER/virtfn0/nvidia/current_vgpu_type"
	for n in 0 1 2; do echo 0 >"${N[$n]}/current_vgpu_type"; done
}

injected()
{
	local file=${N[5]}/current_vgpu_type
	echo 2 >"$PARAMETERS/vgpu_fail_write_nth"
	echo 12 >"$PARAMETERS/vgpu_fail_write_errno"
	t_eq 'the first write succeeds' 4 "$(put "$file" 1432)"
	t_eq 'a 0 does not count' 1 "$(put "$file" 0)"
	t_eq 'the second fails with the injected errno' ENOMEM "$(put "$file" 1432)"
	t_eq 'and the VF is free' 0 "$(cat "$file")"
	t_eq 'the third succeeds' 4 "$(put "$file" 1432)"
	echo 0 >"$file"
	echo 0 >"$PARAMETERS/vgpu_fail_write_errno"
	echo 1 >"$PARAMETERS/vgpu_fail_write_nth"
	t_eq 'a write that succeeds without effect' 4 "$(put "$file" 1432)"
	t_eq 'there is nothing' 0 "$(cat "$file")"
	echo 5 >"$PARAMETERS/vgpu_fail_write_errno"
}

# Drivers that keep the parameters in the device.
params_need_type()
{
	local vf=${N[5]}
	echo 1 >"$PARAMETERS/vgpu_params_need_type"
	t_eq 'no parameters of a free VF' ENXIO "$(t_try read "$vf/vgpu_params")"
	t_eq 'none can be set' ENXIO "$(put "$vf/vgpu_params" 'a=1\n')"
	echo 1433 >"$vf/current_vgpu_type"
	t_eq 'the parameters of a new device are empty' '' "$(cat "$vf/vgpu_params")"
	t_eq 'they can be set' 4 "$(put "$vf/vgpu_params" 'a=1\n')"
	t_eq 'and read' a=1 "$(cat "$vf/vgpu_params")"
	echo 0 >"$vf/current_vgpu_type"
	echo 1433 >"$vf/current_vgpu_type"
	t_eq 'parameters are lost with the device' '' "$(cat "$vf/vgpu_params")"
	echo 0 >"$vf/current_vgpu_type"
	echo 0 >"$PARAMETERS/vgpu_params_need_type"
}

# The faults and delays of the module that apply to all layouts.
ordered()
{
	local file=${N[5]}/current_vgpu_type vf reader
	echo 5 >"$PARAMETERS/fail_after_create_errno"
	t_eq 'a type is set and the write fails' EIO "$(put "$file" 1432)"
	t_eq 'the VF has it' 1432 "$(cat "$file")"
	echo 0 >"$PARAMETERS/fail_after_create_errno"
	echo 300 >"$PARAMETERS/remove_delay_ms"
	t_ok 'a write of 0 that blocks' t_took 300 sh -c "echo 0 >$file"
	echo 0 >"$PARAMETERS/remove_delay_ms"
	echo 300 >"$PARAMETERS/create_delay_ms"
	t_ok 'a write of a type that blocks' t_took 300 sh -c "echo 1432 >$file"
	echo 0 >"$PARAMETERS/create_delay_ms"
	echo 0 >"$file"
	vf=$(readlink -f "$OTHER/virtfn7")
	t_hold_unbind 60000 nvidia "${vf##*/}"
	t_eq 'the driver holds a VF that is unbound' 0 $?
	cat "$vf/uevent" >/dev/null &
	reader=$!
	t_ok 'a read of its uevent blocks' t_until 20 t_in_state_d "$reader"
	t_eq 'its type can be read' 0 "$(cat "$vf/nvidia/current_vgpu_type")"
	t_release_unbind
	t_eq 'it is unbound' 0 $?
	wait "$reader"
	t_eq 'and read' 0 $?
	t_ok 'it is bound again' sh -c "echo ${vf##*/} >/sys/bus/pci/drivers/nvidia/bind"
}

# mtime FILE: the time of last change, with all digits
mtime()
{
	stat -c %.9Y "$1"
}

# The identity of the device on a VF: the time of last change of the file for its type. A shell's ">" truncates the file, and
# truncation sets this time. A write alone does not.
times()
{
	local file=${N[7]}/current_vgpu_type mark=981173106.789012345
	touch -d @$mark "$file"
	t_eq 'the time of a file can be set' $mark "$(mtime "$file")"
	t_eq 'a write without truncation' 4 "$(put "$file" 1433)"
	t_eq 'keeps it' $mark "$(mtime "$file")"
	cat "$file" >/dev/null
	t_eq 'a read keeps it' $mark "$(mtime "$file")"
	echo 0 >>"$file"
	t_eq 'an append keeps it' $mark "$(mtime "$file")"
	echo 3 >/proc/sys/vm/drop_caches
	t_eq 'dropped caches keep it' $mark "$(mtime "$file")"
	chmod 600 "$file"
	t_eq 'a chmod keeps it' $mark "$(mtime "$file")"
	chmod 644 "$file"
	put "$PF/virtfn6/nvidia/current_vgpu_type" 1433 >/dev/null
	put "$PF/virtfn6/nvidia/current_vgpu_type" 0 >/dev/null
	t_eq 'changes of sibling VFs keep it' $mark "$(mtime "$file")"
	echo 1433 >"$file"
	t_eq "a shell's write to the VF succeeds" 1433 "$(cat "$file")"
	t_not 'and changes the time' test "$(mtime "$file")" = $mark
	touch -d @$mark "$file"
	: >"$file"
	t_not 'truncation alone sets it' test "$(mtime "$file")" = $mark
	t_eq 'and writes nothing' 1433 "$(cat "$file")"
	touch -d @$mark "$file"
	put "$file" x >/dev/null
	t_eq 'a write that fails keeps it' $mark "$(mtime "$file")"
}

# QEMU as the user of a device.
in_use()
{
	local vf=${N[1]} bdf out
	bdf=$(basename "$(readlink -f "$PF/virtfn1")")
	out=$(t_qemu none -device "vfio-pci,host=$bdf" 2>&1)
	t_match 'QEMU does not get a VF without a type' 'No such device' "$out"
	echo 1433 >"$vf/current_vgpu_type"
	t_ok 'QEMU attaches a VF with a type' t_qemu lab -device "vfio-pci,host=$bdf"
	t_match 'its guest has it' '1b36:0010' "$("$GUEST/monitor" /run/lab.sock 'info pci')"
	for out in 0 1433 1431 7; do
		t_eq "'$out' is EPERM while QEMU has it" EPERM "$(put "$vf/current_vgpu_type" "$out")"
	done
	t_eq 'a text that is not a number is EINVAL' EINVAL "$(put "$vf/current_vgpu_type" x)"
	t_eq 'and nothing has changed' 1433 "$(cat "$vf/current_vgpu_type")"
	t_eq 'parameters are EPERM' EPERM "$(put "$vf/vgpu_params" 'a=1\n')"
	t_eq 'too many are E2BIG' E2BIG "$(put "$vf/vgpu_params" "repeat:1025:a")"
	t_eq 'and there are none' '' "$(cat "$vf/vgpu_params")"
	t_not 'its group cannot be opened twice' sh -c "exec 3<>/dev/vfio/$(basename "$(readlink "$PF/virtfn1/iommu_group")")"
	t_ok 'QEMU ends' t_qemu_end lab
	t_eq 'then it is freed' 1 "$(put "$vf/current_vgpu_type" 0)"
	echo 1433 >"$vf/current_vgpu_type"
	exec {group}<>"/dev/vfio/$(basename "$(readlink "$PF/virtfn1/iommu_group")")"
	t_eq 'a VF of which only the group is open is not in use' 1 "$(put "$vf/current_vgpu_type" 0)"
	exec {group}>&-
	echo 1433 >"$vf/current_vgpu_type"
	t_ok 'QEMU attaches it by its path, too' t_qemu lab -device "vfio-pci,sysfsdev=$(readlink -f "$PF/virtfn1")"
	t_ok 'and ends' t_qemu_end lab
}

# Devices are removed with the VFs.
disabling()
{
	local vf override
	t_eq 'a type is listed' 1433 "$(cat "${N[1]}/current_vgpu_type")"
	echo 0 >"$PF/lab_enable_vfs"
	t_not 'VFs are disabled' test -e "$PF/virtfn0"
	echo 0 >"$PF/sriov_drivers_autoprobe"
	echo 2 >"$PF/lab_enable_vfs"
	t_not 'without a driver a VF has no files' test -e "$PF/virtfn1/nvidia"
	vf=$(readlink -f "$PF/virtfn1")
	override=$vf/driver_override
	t_eq 'driver_override selects a driver by name' 6 "$(put "$override" nvidia)"
	t_ok 'and the bind succeeds' sh -c "echo ${vf##*/} >/sys/bus/pci/drivers/nvidia/bind"
	t_eq 'and is free' '0 1431 1432 1433 1434 1435 1436' \
		"$(cat "$vf/nvidia/current_vgpu_type") $(sed -n 's/^\([0-9]*\) *:.*/\1/p' "$vf/nvidia/creatable_vgpu_types" | paste -sd' ')"
	echo 1436 >"$vf/nvidia/current_vgpu_type"
	echo "${vf##*/}" >/sys/bus/pci/drivers/nvidia/unbind
	t_not 'an unbound VF has no files again' test -e "$vf/nvidia"
	echo "${PF##*/}" >/sys/bus/pci/drivers/nvidia/unbind
	t_not 'VFs are removed with the driver of their PF' test -e "$vf"
	echo 1 >"$PF/sriov_drivers_autoprobe"
	echo "${PF##*/}" >/sys/bus/pci/drivers/nvidia/bind
	echo 8 >"$PF/lab_enable_vfs"
	t_eq 'all VFs are free again' '1431 1432 1433 1434 1435 1436' "$(creatable 0)"
}

modprobe vfio_iommu_type1
mapfile -t PFS < <(find /sys/bus/pci/drivers/nvidia/ -type l -name '0000:*' -exec readlink -f {} + | sort)
PF=${PFS[0]}
OTHER=${PFS[1]}
if [ "${1-}" = --record ]; then
	echo 8 >"$PF/lab_enable_vfs"
	exec "$GUEST/try-facts" "$GUEST/vendor-facts.tsv"
fi
t_eq 'two PFs' 2 ${#PFS[@]}
enabling
for n in 0 1 2 3 4 5 6 7; do N[n]=$PF/virtfn$n/nvidia; done
echo 8 >"$OTHER/lab_enable_vfs"
drawing
t_recorded "$GUEST/vendor-facts.tsv"
formats
instances
injected
params_need_type
ordered
in_use
# Last, since it drops the caches, which makes later steps slower.
times
disabling
t_done
