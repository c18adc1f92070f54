#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device edu -device pci-testdev" --module module guest/20-module-facts.sh
#
# The behaviour of the test module, by plain sysfs: the two proposed layouts that no kernel ever had. The
# simulated kernel (crates/mdev/src/sim) must behave in the same way.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

modprobe vfio_iommu_type1
RFC=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1 | xargs dirname | xargs readlink -f)
GENERAL=$(grep -l 0x0005 /sys/bus/pci/devices/*/device | head -n 1 | xargs dirname | xargs readlink -f)
T=$RFC/mdev_supported_types
G=$GENERAL/mdev_supported_types
A=c60cc60c-0000-4222-8333-44444444444
PARAMETERS=/sys/module/mdev_lab/parameters
FAIL=$PARAMETERS/fail_create

# put FILE TEXT: writes the text and prints the result, a length or an errno
put()
{
	t_try write "$1" "$2"
}

# The folders are equal to the figures of the proposals.
drawings()
{
	t_eq 'rfc: the types' '11 12 13' "$(ls "$T" | paste -sd' ')"
	t_eq 'rfc: the files of a type' 'create fb_length heads max_instances name params requires_group resolution' \
		"$(ls "$T/11" | paste -sd' ')"
	t_eq 'rfc: a type without the optional files' 'create fb_length heads max_instances name resolution' \
		"$(ls "$T/13" | paste -sd' ')"
	t_ok 'rfc: the parent has mdev_destroy' test -f "$RFC/mdev_destroy"
	t_eq 'rfc: the numbers of the example' 'GRID M60-0B 512M 2560x1600 2 16 1' \
		"$(cd "$T/11" && cat name fb_length resolution heads max_instances requires_group | paste -sd' ')"
	t_eq 'general: the types' 'queue-1 queue-2 queue-4' "$(ls "$G" | paste -sd' ')"
	t_eq 'general: the files of a type' 'available_instances create requires_group' "$(ls "$G/queue-4" | paste -sd' ')"
	t_not 'no parent has the class link of the merged kernel' ls -d /sys/class/mdev_bus/0000:*
}

rfc_create()
{
	t_eq 'rfc: parameters are set' 11 "$(put "$T/11/params" vgpu=first1)"
	t_eq 'rfc: create with a group' 38 "$(put "$T/11/create" "${A}1:7")"
	t_eq 'rfc: the device has the parameters and the group of its request' 'vgpu=first1 7' "$(cat "$RFC/${A}1/params" "$RFC/${A}1/group" | paste -sd' ')"
	t_eq 'rfc: the next create uses them, too' 36 "$(put "$T/11/create" "${A}2")"
	t_eq 'rfc: parameters are state of the type' vgpu=first1 "$(cat "$RFC/${A}2/params")"
	t_not 'rfc: a device without a group has no file for it' test -e "$RFC/${A}2/group"
	t_eq 'rfc: a newline clears them' 1 "$(put "$T/11/params" '\n')"
	t_eq 'rfc: and they are clear' '' "$(cat "$RFC/lab_params")"
	t_eq 'rfc: the counts go down together' '14 14 7' "$(cd "$T" && cat */max_instances | paste -sd' ')"
	t_eq 'rfc: the bus shows it' "$RFC/${A}1" "$(readlink -f "$MDEV_BUS/${A}1")"
	t_eq 'rfc: its type' 11 "$(basename "$(readlink "$RFC/${A}1/mdev_type")")"
	t_ok 'rfc: its VFIO group has a node' test -c "/dev/vfio/$(basename "$(readlink "$RFC/${A}1/iommu_group")")"
	t_eq 'rfc: its driver' mdev_lab "$(basename "$(readlink "$RFC/${A}1/driver")")"
}

rfc_refusals()
{
	local text
	for text in x "${A}" "${A}3:" "${A}3:x" "${A}3:0" "${A}3:+1" "${A}3:4294967296" "${A}3 " "${A}3:1 2" "{${A}3}"; do
		t_eq "rfc: create '$text' is EINVAL" EINVAL "$(put "$T/11/create" "$text")"
	done
	t_eq 'rfc: a duplicate is EEXIST' EEXIST "$(put "$T/12/create" "${A}1")"
	t_eq 'rfc: in upper case as well' EEXIST "$(put "$T/12/create" "$(echo "${A}1" | tr a-f A-F)")"
	t_eq 'rfc: on another layout as well' EEXIST "$(put "$G/queue-1/create" "${A}1")"
	t_eq 'rfc: a group for a type without groups is EINVAL' EINVAL "$(put "$T/12/create" "${A}3:1")"
	t_eq 'rfc: and for a type without the file' EINVAL "$(put "$T/13/create" "${A}3:1")"
	t_eq 'rfc: destroy with an invalid UUID is EINVAL' EINVAL "$(put "$RFC/mdev_destroy" x)"
	t_eq 'rfc: destroy of an unknown device is ENODEV' ENODEV "$(put "$RFC/mdev_destroy" "${A}3")"
	t_eq 'rfc: params cannot be read' open:EACCES "$(t_try read "$T/11/params")"
}

rfc_injected()
{
	echo 5 >"${FAIL}_errno"
	echo 2 >"${FAIL}_nth"
	t_eq 'the first create succeeds' 36 "$(put "$T/12/create" "${A}3")"
	t_eq 'the second fails with the injected errno' EIO "$(put "$T/12/create" "${A}4")"
	t_eq 'the third succeeds' 36 "$(put "$T/12/create" "${A}4")"
}

# Faults, on both layouts.
after_create()
{
	echo 5 >"${PARAMETERS}/fail_after_create_errno"
	t_eq 'rfc: a create makes its device and fails' EIO "$(put "$T/12/create" "${A}8")"
	t_ok 'rfc: the device is there' test -d "$RFC/${A}8/mdev_type"
	echo 4 >"${PARAMETERS}/fail_after_create_errno"
	t_eq 'general: a create makes its device and is interrupted' EINTR "$(put "$G/queue-1/create" "${A}9")"
	t_ok 'general: the device is there' test -d "$GENERAL/${A}9/type"
	echo 0 >"${PARAMETERS}/fail_after_create_errno"
	t_eq 'rfc: it can be removed' 36 "$(put "$RFC/mdev_destroy" "${A}8")"
	t_eq 'general: it can be removed' 1 "$(put "$GENERAL/${A}9/destroy" 1)"
}

delays()
{
	echo 300 >"$PARAMETERS/create_delay_ms"
	t_ok 'rfc: a create that blocks' t_took 300 sh -c "echo ${A}8 >$T/12/create"
	t_ok 'general: a create that blocks' t_took 300 sh -c "echo ${A}9 >$G/queue-1/create"
	echo 0 >"$PARAMETERS/create_delay_ms"
	echo 300 >"$PARAMETERS/remove_delay_ms"
	t_ok 'rfc: a remove that blocks' t_took 300 sh -c "echo ${A}8 >$RFC/mdev_destroy"
	t_ok 'general: a remove that blocks' t_took 300 sh -c "echo 1 >$GENERAL/${A}9/destroy"
	echo 0 >"$PARAMETERS/remove_delay_ms"
}

rfc_destroy()
{
	echo 1 >"$RFC/${A}1/lab_busy"
	t_eq 'rfc: a busy device is EBUSY' EBUSY "$(put "$RFC/mdev_destroy" "${A}1")"
	t_ok 'rfc: and stays' test -d "$RFC/${A}1"
	echo 0 >"$RFC/${A}1/lab_busy"
	local n
	for n in 1 2 3 4; do
		t_eq "rfc: device $n goes" 36 "$(put "$RFC/mdev_destroy" "$A$n")"
		t_not "rfc: and does not exist" test -e "$MDEV_BUS/$A$n"
	done
	t_eq 'rfc: everything is free again' '16 16 8' "$(cd "$T" && cat */max_instances | paste -sd' ')"
}

# A driver that expects a newline, and drops the last byte.
rfc_drops()
{
	echo 1 >"$PARAMETERS/drop_last_byte"
	t_eq 'rfc: without a newline no UUID is left' EINVAL "$(put "$T/12/create" "${A}8")"
	t_eq 'rfc: a digit of the group is lost' 39 "$(put "$T/11/create" "${A}8:12")"
	t_eq 'rfc: without an error' 1 "$(cat "$RFC/${A}8/group")"
	t_eq 'rfc: without a newline a destroy is EINVAL' EINVAL "$(put "$RFC/mdev_destroy" "${A}8")"
	t_eq 'rfc: with a newline the device is destroyed' 37 "$(put "$RFC/mdev_destroy" "${A}8\n")"
	t_eq 'rfc: with a newline the group is whole' 40 "$(put "$T/11/create" "${A}8:12\n")"
	t_eq 'rfc: it is' 12 "$(cat "$RFC/${A}8/group")"
	t_eq 'rfc: parameters without a newline' 3 "$(put "$T/11/params" 'a=1')"
	t_eq 'rfc: the parameters lose their last byte' '11=a=' "$(cat "$RFC/lab_params")"
	t_eq 'rfc: a newline clears them' 1 "$(put "$T/11/params" '\n')"
	t_eq 'rfc: none is left' '' "$(cat "$RFC/lab_params")"
	echo "${A}8" >"$RFC/mdev_destroy"
	echo 0 >"$PARAMETERS/drop_last_byte"
}

group_required()
{
	echo 1 >"$PARAMETERS/group_required"
	t_eq 'rfc: a create without a required group is EINVAL' EINVAL "$(put "$T/11/create" "${A}8")"
	t_eq 'rfc: another type needs none' 36 "$(put "$T/12/create" "${A}8")"
	t_eq 'general: a create without a required group is EINVAL' EINVAL "$(put "$G/queue-4/create" "${A}9")"
	echo 0 >"$PARAMETERS/group_required"
	echo "${A}8" >"$RFC/mdev_destroy"
}

# Attributes in a folder of the device, as drivers of mediated devices have them.
folders()
{
	local dir=$RFC/${A}8/nvidia
	put "$T/12/create" "${A}8" >/dev/null
	put "$G/queue-1/create" "${A}9" >/dev/null
	t_eq 'rfc: the vendor has a folder' 'vgpu_params vm_name' "$(ls "$dir" | paste -sd' ')"
	t_eq 'rfc: no parameters, no user' '\n \n' "$(t_try read "$dir/vgpu_params") $(t_try read "$dir/vm_name")"
	t_eq 'rfc: without a newline' 21 "$(put "$dir/vgpu_params" frame_rate_limiter=60)"
	t_eq 'rfc: the last byte is not kept' frame_rate_limiter=6 "$(cat "$dir/vgpu_params")"
	t_eq 'rfc: 1,024 bytes are accepted' 1024 "$(put "$dir/vgpu_params" repeat:1024:a)"
	t_eq 'rfc: more than 1,024 bytes are E2BIG' E2BIG "$(put "$dir/vgpu_params" repeat:1025:a)"
	t_eq 'rfc: a space clears them' 1 "$(put "$dir/vgpu_params" ' ')"
	t_eq 'rfc: they are clear' '' "$(cat "$dir/vgpu_params")"
	echo 1 >"$RFC/${A}8/lab_busy"
	t_eq 'rfc: a write to a busy device is EPERM' EPERM "$(put "$dir/vgpu_params" 'a=1\n')"
	echo 0 >"$RFC/${A}8/lab_busy"
	t_eq 'general: the attribute of the samples is there' "This is MDEV ${A}9" "$(cat "$GENERAL/${A}9/vendor/sample_mdev_dev")"
	echo "${A}8" >"$RFC/mdev_destroy"
	echo 1 >"$GENERAL/${A}9/destroy"
}

rfc_full()
{
	local n
	for n in 0 1 2 3 4 5 6 7; do
		echo "$A$n" >"$T/13/create"
	done
	t_eq 'rfc: nothing is left' '0 0 0' "$(cd "$T" && cat */max_instances | paste -sd' ')"
	t_eq 'rfc: one device more is ENOSPC' ENOSPC "$(put "$T/12/create" "${A}8")"
	for n in 0 1 2 3 4 5 6 7; do
		echo "$A$n" >"$RFC/mdev_destroy"
	done
}

general()
{
	local dev=$GENERAL/${A}5
	t_eq 'general: create' 36 "$(put "$G/queue-1/create" "${A}5")"
	t_eq 'general: its files' 'destroy online priority reset weight' \
		"$(cd "$dev" && ls -d destroy online priority reset weight | paste -sd' ')"
	t_eq 'general: its type' queue-1 "$(basename "$(readlink "$dev/type")")"
	t_eq 'general: online from the start' 1 "$(cat "$dev/online")"
	t_eq 'general: offline' 1 "$(put "$dev/online" 0)"
	t_eq 'general: it is' 0 "$(cat "$dev/online")"
	t_eq 'general: online takes 0 and 1' EINVAL "$(put "$dev/online" 2)"
	t_eq 'general: reset' 1 "$(put "$dev/reset" 1)"
	t_eq 'general: it was' 1 "$(cat "$dev/lab_resets")"
	t_eq 'general: reset cannot be read' open:EACCES "$(t_try read "$dev/reset")"
	t_eq 'general: priority' 1 "$(put "$dev/priority" 5)"
	t_eq 'general: it is' 5 "$(cat "$dev/priority")"
	t_eq 'general: the counts' '15 7 3' "$(cd "$G" && cat */available_instances | paste -sd' ')"
	t_eq 'general: destroy 0 does nothing' 1 "$(put "$dev/destroy" 0)"
	t_eq 'general: destroy of text is EINVAL' EINVAL "$(put "$dev/destroy" x)"
	echo 1 >"$dev/lab_busy"
	t_eq 'general: destroy of a busy device is EBUSY' EBUSY "$(put "$dev/destroy" 1)"
	echo 0 >"$dev/lab_busy"
	t_eq 'general: destroy' 1 "$(put "$dev/destroy" 1)"
	t_not 'general: it does not exist' test -e "$dev"
	t_eq 'general: a create with a required group' 38 "$(put "$G/queue-4/create" "${A}6:9")"
	t_eq 'general: the device has the group' 9 "$(cat "$GENERAL/${A}6/group")"
	t_eq 'general: a create without a group succeeds, too' 36 "$(put "$G/queue-4/create" "${A}7")"
	t_eq 'general: then there is none' '' "$(cat "$GENERAL/${A}7/group")"
	echo 1 >"$GENERAL/${A}6/destroy"
	echo 1 >"$GENERAL/${A}7/destroy"
}

# QEMU as the user of a device.
in_use()
{
	put "$T/12/create" "${A}8" >/dev/null
	t_ok 'QEMU takes an rfc device' t_qemu lab -device "vfio-pci,sysfsdev=$MDEV_BUS/${A}8"
	t_match 'its guest has it' '1234:4d44' "$("$GUEST/monitor" /run/lab.sock 'info pci')"
	t_eq 'the device has a user' lab "$(cat "$RFC/${A}8/nvidia/vm_name")"
	t_eq 'its parameters are EPERM' EPERM "$(put "$RFC/${A}8/nvidia/vgpu_params" 'a=1\n')"
	t_eq 'until then destroy is EBUSY' EBUSY "$(put "$RFC/mdev_destroy" "${A}8")"
	t_qemu_end lab
	t_eq 'and succeeds when QEMU has ended' 36 "$(put "$RFC/mdev_destroy" "${A}8")"
}

# Free devices are removed with their parent.
unbind()
{
	local driver=/sys/bus/pci/drivers/mdev_lab
	put "$T/12/create" "${A}9" >/dev/null
	t_ok 'the parent is unbound' sh -c "echo ${RFC##*/} >$driver/unbind"
	t_not 'its device was removed with it' test -e "$MDEV_BUS/${A}9"
	t_not 'and its types' test -e "$T"
	t_ok 'the driver is bound again' sh -c "echo ${RFC##*/} >$driver/bind"
	t_eq 'with everything free' '16 16 8' "$(cd "$T" && cat */max_instances | paste -sd' ')"
}

# While a device is unbound from its driver, a read of its uevent file blocks.
held()
{
	local driver=mdev_lab reader
	t_hold_unbind 60000 "$driver" "${RFC##*/}"
	t_eq 'a driver holds a device that is unbound from it' 0 $?
	cat "$RFC/uevent" >/dev/null &
	reader=$!
	t_ok 'a read of its uevent blocks' t_until 20 t_in_state_d "$reader"
	t_ok 'its types can be read' test "$(cat "$T/12/name")" = 'GRID M60-0Q'
	t_not 'it has no link to its driver' test -e "$RFC/driver"
	t_ok 'the reader still waits' t_in_state_d "$reader"
	t_release_unbind
	t_eq 'it is unbound' 0 $?
	wait "$reader"
	t_eq 'and read' 0 $?
	t_not 'it has no types' test -e "$T"
	t_ok 'it is bound again' sh -c "echo ${RFC##*/} >/sys/bus/pci/drivers/$driver/bind"
}

drawings
rfc_create
rfc_refusals
rfc_injected
rfc_destroy
after_create
delays
rfc_drops
group_required
folders
rfc_full
general
in_use
unbind
held
t_done
