#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --kernel 6.12 --vgpu 1 --module "module vgpu_upstream=1" guest/67-vgpu-upstream.sh INSTALLED
#
# The installed library on VFs of the driver that was proposed for the kernel in 2025: its PF and VF drivers have other names,
# and all VFs of a PF have one type. On kernel 6.12 a VF has a device node, which a process has open.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

PARAMETERS=/sys/module/mdev_lab/parameters
U=c60cc60c-0000-4222-8333-44444444444

# xml NAME TYPE UUID: makes the file of a request, /run/NAME.xml
xml()
{
	printf "<device><name>%s</name><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid></capability></device>\n" \
		"$1" "$PF_BDF" "$2" "$3" >"/run/$1.xml"
}

types()
{
	nodedev types "$PF_BDF" --json | jq -r '.[].id' | paste -sd' '
}

current()
{
	cat "$PF"/virtfn*/nvidia/current_vgpu_type | paste -sd' '
}

vf_of()
{
	nodedev info --json "$1" | jq -r .path
}

steps()
{
	xml first 1434 "${U}1"
	xml second 1434 "${U}2"
	xml other 1431 "${U}3"
	t_eq 'the PF is a parent' vendor-vfio "$(nodedev list --parents --json | jq -r --arg p "$PF" '.[] | select(.path == $p) | .layout')"
	t_eq 'all its types' '1431 1432 1433 1434 1435 1436' "$(types)"
	t_within 'create' 20 nodedev create /run/first.xml
	t_eq 'a VF has the type' '1434 0 0 0 0 0 0 0' "$(current)"
	t_eq 'then the PF offers one type' 1434 "$(nodedev types "$PF_BDF" --json | jq -r '.[] | select(.availableInstances > 0) | .id' | paste -sd' ')"
	t_refused 'a second type is refused, with the reason' 20 'type 1431 has no instances left: none of the 7 free VFs of 8 lists it beside the vGPUs of type 1434;' nodedev create /run/other.xml
	t_eq 'and changes nothing' '1434 0 0 0 0 0 0 0' "$(current)"
	echo 22 >"$PARAMETERS/vgpu_fail_write_errno"
	echo 1 >"$PARAMETERS/vgpu_fail_write_nth"
	t_refused 'the errno of the driver is in the error' 20 'current_vgpu_type: Invalid argument' nodedev create /run/second.xml
	t_eq 'the VF is free' '1434 0 0 0 0 0 0 0' "$(current)"
	t_within 'a second device of the first type' 20 nodedev create /run/second.xml
	t_eq 'both are listed' 'first second' "$(nodedev list --devices --json | jq -r '.[].name' | sort | paste -sd' ')"
	t_within 'destroy' 20 nodedev destroy second
	t_eq 'the VF is free' '1434 0 0 0 0 0 0 0' "$(current)"
}

# The driver refuses to clear a VF that a process has open. An open device node counts if it is bound.
in_use()
{
	local node
	node=/dev/vfio/devices/$(ls "$(vf_of first)/vfio-dev")
	t_ok 'the VF has a device node' test -c "$node"
	t_hold vfio-hold --bind "$node"
	t_eq 'a process binds it' bound "$t_held"
	t_refused 'destroy is refused and names the process' 10 "is in use: process $t_holder \\(vfio-hold\\) has $node open" \
		nodedev destroy first
	t_eq 'the VF keeps its type' '1434 0 0 0 0 0 0 0' "$(current)"
	t_let_go
}

t_install "$1"
modprobe -a iommufd vfio_iommu_type1
PF=$(find /sys/bus/pci/drivers/nova_core/ -type l -name '0000:*' -exec readlink -f {} + | sort | head -n 1)
PF_BDF=${PF##*/}
echo 8 >"$PF/lab_enable_vfs"
steps
in_use
t_within 'destroy' 20 nodedev destroy first
t_eq 'every VF is free' '0 0 0 0 0 0 0 0' "$(current)"
t_eq 'all types are listed again' '1431 1432 1433 1434 1435 1436' "$(types)"
t_within 'now the other type is created' 20 nodedev create /run/other.xml
t_within 'and destroyed' 20 nodedev destroy other
t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
t_done
