#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --kernel 6.12 guest/12-cdev.sh INSTALLED
#
# A kernel with iommufd and a device node for each VFIO device, /dev/vfio/devices/vfioN: the users that exclude each other,
# and the installed library beside a process that has such a node open. INSTALLED is the output of "install-for-vm".

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

SYSTEM=mdev:///system
UUID=00000cde-1111-4222-8333-444444444444

# The device node of a device, as named in sysfs.
node_of()
{
	local dir
	dir=$(echo "$MDEV_BUS/$1"/vfio-dev/vfio*)
	[ -d "$dir" ] && echo "/dev/vfio/devices/${dir##*/}"
}

group_of()
{
	echo "/dev/vfio/$(basename "$(readlink "$MDEV_BUS/$1/iommu_group")")"
}

# try NODE: whether the node opens at this moment, "open" or "open EBUSY".
try()
{
	vfio-hold "$1" </dev/null
}

kernel_has_nodes()
{
	local node group
	node=$(node_of "$UUID")
	group=$(group_of "$UUID")
	t_ok 'there is /dev/iommu' test -c /dev/iommu
	t_ok 'the device has a node of its own' test -c "$node"
	t_eq 'sysfs shows the number of the node' "$(stat -c '%Hr:%Lr' "$node")" "$(cat "$MDEV_BUS/$UUID"/vfio-dev/vfio*/dev)"
	t_ok 'the node of its IOMMU group exists' test -c "$group"

	t_hold vfio-hold "$node"
	t_eq 'a process opens the node and does not bind it' open "$t_held"
	t_eq 'the kernel still opens the group' open "$(try "$group")"
	t_let_go
	t_hold vfio-hold --bind "$node"
	t_eq 'a process binds the node' bound "$t_held"
	t_eq 'the kernel does not open the group' 'open EBUSY' "$(try "$group")"
	t_let_go
	t_eq 'the group opens again' open "$(try "$group")"
	t_hold vfio-hold "$group"
	t_eq 'a process opens the group' open "$t_held"
	t_eq 'the kernel still opens the node' open "$(try "$node")"
	t_eq 'but does not bind it' 'bind EBUSY' "$(vfio-hold --bind "$node" </dev/null)"
	t_let_go
}

# The kernel's behaviour when a device is removed while a process has its node open.
removal_waits()
{
	local how=$1 node remover
	shift
	node=$(node_of "$UUID")
	t_hold vfio-hold "$@" "$node"
	{ echo 1 >"$MDEV_BUS/$UUID/remove"; } &
	remover=$!
	t_ok "a write to remove takes the folder of a node that is $how" t_until 20 test ! -e "$MDEV_BUS/$UUID"
	t_ok 'and waits for the process' kill -0 "$remover"
	t_let_go
	t_ok 'and returns when the process has closed the node' t_until 20 t_gone "$remover"
	t_ok 'the device is created again' host-linked "$SYSTEM" create mtty_mtty mtty-1 "$UUID"
}

library()
{
	local name=mdev_${UUID//-/_}_mtty
	t_ok 'the library creates a device' host-linked "$SYSTEM" create mtty_mtty mtty-1 "$UUID"
	t_match 'and lists it' "$name " "$(host-linked "$SYSTEM" list)"
	kernel_has_nodes
	removal_waits 'open'
	removal_waits 'bound' --bind

	t_hold vfio-hold --bind "$(node_of "$UUID")"
	t_match 'destroy of a device that is bound is EBUSY' 'rc=-16 errno=16 code=14 ' \
		"$(timeout 20 host-linked "$SYSTEM" destroy "$UUID" 2>&1)"
	t_ok 'and changes nothing' test -e "$MDEV_BUS/$UUID/mdev_type"
	t_let_go
	t_ok 'the library destroys the device' timeout 20 host-linked "$SYSTEM" destroy "$UUID"
	t_not 'the device no longer exists' test -e "$MDEV_BUS/$UUID"
	t_not 'the device is not listed' grep -q "$name" <(host-linked "$SYSTEM" list)
}

t_install "${1-}"
t_drivers
library
t_done
