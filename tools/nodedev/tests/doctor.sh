#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every state that `doctor` knows, on hosts made of files: each problem has its severity and the next command, the exit status is 1
# if one of them is BAD, and a host without problems prints nothing.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

uuid=11111111-2222-4333-8444-555555555555
gpu=0000:41:00.0

# put PATH TEXT: writes a file of the host.
put()
{
	mkdir -p "$root/${1%/*}"
	printf '%s\n' "$2" >"$root/$1"
}

# symlink TARGET PATH
symlink()
{
	mkdir -p "$root/${2%/*}"
	ln -sfn "$1" "$root/$2"
}

# A host without problems: a parent of the test driver mtty, an IOMMU, and VFIO.
host()
{
	local device=sys/devices/virtual/mtty/mtty
	root=$(mktemp -d "$work/host.XXXXXX")
	put $device/mdev_supported_types/mtty-1/available_instances "${1:-4}"
	put $device/mdev_supported_types/mtty-1/device_api vfio-pci
	put $device/mdev_supported_types/mtty-1/create ''
	put sys/bus/mdev/drivers_probe ''
	symlink ../../../../class/mtty $device/subsystem
	symlink ../../devices/virtual/mtty/mtty sys/class/mdev_bus/mtty
	put sys/kernel/iommu_groups/0/type DMA
	put sys/module/vfio/refcnt 1
	put dev/vfio/vfio ''
	mkdir -p "$root/run" "$root/etc"
	export MDEV_DEFAULT_URI="mdev:///system?root=$root"
}

# pci ADDRESS VENDOR [DRIVER]: adds a GPU.
pci()
{
	put "sys/devices/$1/vendor" "$2"
	put "sys/devices/$1/device" 0x2335
	put "sys/devices/$1/class" 0x030200
	symlink ../../bus/pci "sys/devices/$1/subsystem"
	symlink "../../../devices/$1" "sys/bus/pci/devices/$1"
	[ -z "${3:-}" ] || symlink "../../bus/pci/drivers/$3" "sys/devices/$1/driver"
	[ -z "${3:-}" ] || symlink "../../../../devices/$1" "sys/bus/pci/drivers/$3/$1"
}

# card TYPES DRIVER-OF-THE-SECOND-VF: adds a GPU of NVIDIA with two VFs and a list of types.
card()
{
	pci $gpu 0x10de nvidia
	put sys/devices/$gpu/sriov_totalvfs 2
	pci 0000:41:00.1 0x10de nvidia
	pci 0000:41:00.2 0x10de "$2"
	local n
	for n in 0 1; do
		symlink "../0000:41:00.$((n + 1))" "sys/devices/$gpu/virtfn$n"
		symlink ../$gpu "sys/devices/0000:41:00.$((n + 1))/physfn"
		[ -e "$root/sys/devices/0000:41:00.$((n + 1))/driver" ] || continue
		put "sys/devices/0000:41:00.$((n + 1))/nvidia/current_vgpu_type" 0
		put "sys/devices/0000:41:00.$((n + 1))/nvidia/creatable_vgpu_types" "$1"
	done
}

# shows STATE SEVERITY MESSAGE NEXT: doctor prints one problem, which has these parts, and the status follows from the severity.
shows()
{
	local status=0
	[ "$2" = warn ] || status=1
	t_command="doctor: $1"
	run "$NODEDEV" doctor
	# The user of this test may not be root, which is a warning.
	out=$(grep -v -A1 '^warn user: ' <<<"$out" | grep -v 'next: run the command as root')
	t_command="doctor: $1"
	[ "$rc" = $status ] && [ "$(grep -c '^BAD \|^warn ' <<<"$out")" = 1 ] && [[ $out == "$2"*"$3"* ]] && [[ $out == *'next: '*"$4"* ]] &&
		[ -z "$err" ]
	t_result $? "$1: one problem with its next command"
}

host
run "$NODEDEV" -q doctor
rc_is 0 'a host without problems'
[ -z "$(grep -v '^warn user: \|next: run the command as root' <<<"$out")" ] && [ -z "$err" ]
t_result $? 'a host without problems: no output'
nodedev doctor --all
out_has 'ok   IOMMU: on, 1 group'
out_has 'ok   mtty_mtty'

while IFS='|' read -r vendor driver message next; do
	host
	pci $gpu "$vendor" "$driver"
	shows "a GPU with the driver '$driver'" BAD "$message" "$next"
done <<'END'
0x10de||no driver is bound|modprobe nvidia
0x8086||no driver is bound|modprobe kvmgt
0x10de|nouveau|supports no virtual GPUs|blacklist nouveau
0x10de|nova_core|no driver for virtual GPUs is loaded|modprobe nvidia-vgpu-vfio
0x10de|vfio-pci|reserved for one guest|virsh nodedev-reattach pci_0000_41_00_0
0x10de|pci-pf-stub|only enables VFs|drivers/pci-pf-stub/unbind
0x10de|nvidia|offers no virtual GPUs|vGPU host driver
0x8086|i915|offers no virtual GPUs|modprobe kvmgt
END

host
pci $gpu 0x10de nvidia
put sys/devices/$gpu/sriov_totalvfs 16
shows 'nvidia without vGPU, with VFs' BAD 'offers no virtual GPUs' 'vGPU host driver'
put sys/module/nvidia_vgpu_vfio/refcnt 0
shows 'VFs are not enabled' BAD 'offers no types' "its VFs are not enabled; enable them with the program of the vendor's driver: sriov-manage -e $gpu"
host
pci $gpu 0x1002 amdgpu
put sys/devices/$gpu/sriov_totalvfs 16
shows 'VFs of another driver are not enabled' BAD '16 VFs are not enabled' "echo 16 >/sys/bus/pci/devices/$gpu/sriov_numvfs"
host
card 'ID    : vGPU Name' nvidia
shows 'the VFs have a list without types' BAD 'offers no types' MIG
host
card $'ID    : vGPU Name\n1433 : NVIDIA H200X-17C' ''
shows 'a VF without driver' warn '1 of 2 VFs have no driver, such as 0000:41:00.2' "sriov-manage -e $gpu"
host 0
shows 'the card is full' warn 'fully used' 'destroy a device'

host
rm -r "$root/sys/kernel/iommu_groups/0"
shows 'the IOMMU is off' BAD 'no IOMMU groups' intel_iommu=on
host
rm -r "$root/dev/vfio"
shows 'there is no /dev/vfio' BAD '/dev/vfio/vfio and /dev/iommu do not exist' vfio_iommu_type1
host
rm -r "$root/sys/module/vfio"
shows 'the module vfio is not loaded' BAD 'not loaded' 'modprobe vfio-pci'
host
rm -r "$root/sys/class/mdev_bus" "$root/sys/devices"
shows 'no parent at all' BAD 'no GPU and no parent' lspci

host
put etc/mdevctl.d/mtty/$uuid '{'
shows 'a definition that cannot be used' BAD "$uuid" 'fix or remove the file'
host
put run/libmdev/devices/$uuid '{"uuid":"'$uuid'","parent":"mtty","type":"mtty-1","name":"x","mark":7}'
shows 'a record of a device that does not exist' warn '1 record of devices that no longer exist' 'no action is needed'
host
device=sys/devices/virtual/mtty/mtty/$uuid
symlink ../mdev_supported_types/mtty-1 $device/mdev_type
symlink ../../../../bus/mdev $device/subsystem
symlink ../../../../../kernel/iommu_groups/0 $device/iommu_group
symlink ../../../devices/virtual/mtty/mtty/$uuid sys/bus/mdev/devices/$uuid
inode=$(stat -c %i "$root/sys/bus/mdev/devices/$uuid")
batch=22222222-2222-4333-8444-555555555555
put run/libmdev/devices/$uuid '{"uuid":"'$uuid'","parent":"mtty","type":"mtty-1","owner":"me","mark":'"$inode"',"batch":"'$batch'"}'
put run/libmdev/groups/$batch ''
shows 'a group whose creator was killed' BAD incomplete 'destroy --incomplete'
host
nodedev define --parent mtty --type mtty-1 --autostart --no-callouts
rc_is 0
shows 'a definition with autostart that nothing starts' warn 'nothing starts at boot, and autostart is on for 1 definition' 'systemctl enable --now libmdev-autostart.service'
symlink /usr/lib/systemd/system/libmdev-autostart.service etc/systemd/system/multi-user.target.wants/libmdev-autostart.service
nodedev doctor --all
out_has 'ok   autostart: enabled'
host
put usr/lib/udev/rules.d/60-mdevctl.rules 'ACTION=="add", RUN+="/usr/sbin/mdevctl start-parent-mdevs %k"'
shows "mdevctl's rule without mdevctl" warn '/usr/sbin/mdevctl, which does not exist' libmdev-autostart.service
put usr/sbin/mdevctl ''
nodedev doctor
out_lacks mdevctl

# As another user. The host is readable for all.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	host
	chmod -R a+rX "$work"
	run setpriv --reuid 65534 --clear-groups "$NODEDEV" doctor
	rc_is 0 'as a user who is not root'
	out_has 'warn user: not root'
	out_has 'next: run the command as root'
else
	skip 'not root: needs root and setpriv'
fi

# One device, the others left out; as JSON; several problems in the order of their severity.
host
card $'ID    : vGPU Name\n1433 : NVIDIA H200X-17C' ''
pci 0000:42:00.0 0x10de nouveau
rm -r "$root/dev/vfio"
nodedev doctor 42:00.0
rc_is 1
[ "$(grep -c '^BAD \|^warn ' <<<"$out")" = 1 ] && [[ $out == *nouveau* ]]
t_result $? 'doctor PARENT: only that device'
nodedev doctor mtty
rc_is 0
out_is '' 'a parent without problems: no output'
nodedev doctor 0000:43:00.0
rc_is 3
nodedev doctor --json
rc_is 1
json_is 'map(.severity) | index("warn") > index("bad")'
json_is 'all(.[] | select(.severity != "ok"); .nextStep != null and .message != null and .code != null)'

t_end
