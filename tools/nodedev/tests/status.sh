#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `status`: one line for each card, also if its VFs are the parents; what still fits; again after each change.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

uuid=11111111-2222-4333-8444-555555555555

# A card whose VFs are parents on the mdev bus, as NVIDIA's drivers for kernels before 6.8 show them.
root=$work/host
bus=$root/sys/bus/pci/devices
mkdir -p "$bus" "$root/sys/class/mdev_bus" "$root/sys/bus/mdev/devices" "$root/run" "$root/etc"
touch "$root/sys/bus/mdev/drivers_probe"
for n in 0 1 2 3; do
	device=$root/sys/devices/pci0000:40/0000:41:00.$n
	mkdir -p "$device"
	ln -s ../../../bus/pci "$device/subsystem"
	ln -s "../../../devices/pci0000:40/0000:41:00.$n" "$bus/0000:41:00.$n"
	echo 0x10de >"$device/vendor"
	echo 0x2236 >"$device/device"
	echo 0x030200 >"$device/class"
	[ $n != 0 ] || continue
	ln -s ../0000:41:00.0 "$device/physfn"
	ln -s "0000:41:00.$n" "${device%.*}.0/virtfn$((n - 1))"
	ln -s "../../devices/pci0000:40/0000:41:00.$n" "$root/sys/class/mdev_bus/0000:41:00.$n"
	for type in nvidia-592 nvidia-593; do
		mkdir -p "$device/mdev_supported_types/$type/devices"
		echo 1 >"$device/mdev_supported_types/$type/available_instances"
		echo vfio-pci >"$device/mdev_supported_types/$type/device_api"
		echo "NVIDIA A10-${type#nvidia-}" >"$device/mdev_supported_types/$type/name"
		touch "$device/mdev_supported_types/$type/create"
	done
done
# The first VF has a device.
vf=$root/sys/devices/pci0000:40/0000:41:00.1
mkdir "$vf/$uuid"
ln -s ../mdev_supported_types/nvidia-592 "$vf/$uuid/mdev_type"
ln -s ../../../../bus/mdev "$vf/$uuid/subsystem"
ln -s ../../../../kernel/iommu_groups/7 "$vf/$uuid/iommu_group"
ln -s "../../../devices/pci0000:40/0000:41:00.1/$uuid" "$root/sys/bus/mdev/devices/$uuid"
echo 0 | tee "$vf"/mdev_supported_types/*/available_instances >/dev/null

export MDEV_DEFAULT_URI="mdev:///system?root=$root"
nodedev -q status
rc_is 0
[[ $out == 'pci_0000_41_00_0  1        1/3  up to 2 x nvidia-592, up to 2 x nvidia-593  -  '* ]]
t_result $? 'the VFs of a card are one line, with the sum of their devices'
for name in 41:00.0 pci_0000_41_00_0; do
	nodedev -q status $name
	out_has 'pci_0000_41_00_0  1        1/3'
done
nodedev status 41:00.1 --json
json_is '.[0] | .devices == 1 and .vfs == { used: 1, total: 1 }'
nodedev status --json
json_is 'length == 1 and (.[0].parents | length) == 3 and .[0].vendor != null'
json_is '.[0].free | map([.id, .availableInstances, .availableInstancesIsUpperBound]) | index([["nvidia-593", 2, true]]) == 1'

nodedev status 42:00.0
rc_is 3
err_has 42:00.0
nodedev status $uuid
rc_is 3
err_has "'$uuid' is a device, not a parent; its parent is pci_0000_41_00_1"
nodedev types $uuid
rc_is 3
err_has 'is a device, not a parent'

# --watch prints the status after each change, and ends with the signal.
"$NODEDEV" -q status --watch >watch.out 2>watch.err &
watcher=$!
# lines_are N: waits until the output has N lines, a minute at most.
lines_are()
{
	local n
	for ((n = 0; n < 600; n++)); do
		[ "$(wc -l <watch.out)" -lt "$1" ] || return 0
		read -r -t 0.1 <> <(:)
	done
	return 1
}
lines_are 2
t_result $? 'status --watch: at once'
nodedev define --parent 41:00.2 --type nvidia-592 --no-callouts
rc_is 0
lines_are 4
t_result $? 'status --watch: after a change'
kill $watcher
wait $watcher 2>/dev/null
[ ! -s watch.err ]
t_result $? 'status --watch: no error'

export MDEV_DEFAULT_URI=test:///default
nodedev -q 'create --type 1442 --parent 41:00.0; status 41:00.0'
out_has 'pci_0000_41_00_0  1        1/8  up to 7 x 1438'

t_end
