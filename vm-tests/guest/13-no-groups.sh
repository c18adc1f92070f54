#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --kernel 6.12 guest/13-no-groups.sh INSTALLED
#
# A kernel without CONFIG_VFIO_GROUP: sysfs shows no IOMMU group of a device, and /dev/vfio has only the device's own node.
# INSTALLED is the output of "install-for-vm".

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

SYSTEM=mdev:///system
UUID=00000cde-1111-4222-8333-444444444444

NODE=/dev/vfio/devices/vfio0

t_install "${1-}"
t_drivers_without_groups

t_ok 'the kernel creates a device' sh -c "echo $UUID >$MDEV_CLASS/mtty/mdev_supported_types/mtty-1/create"
t_not 'the device has no iommu_group' test -e "$MDEV_BUS/$UUID/iommu_group"
t_eq 'the device has a node of its own' devices/vfio0 "$(find /dev/vfio -type c -printf '%P\n')"
t_match 'the library lists it' "mdev_${UUID//-/_}_mtty " "$(host-linked "$SYSTEM" list)"
t_within 'the library destroys it' 20 host-linked "$SYSTEM" destroy "$UUID"
t_not 'the device no longer exists' test -e "$MDEV_BUS/$UUID"
echo "<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>$UUID</uuid></capability></device>" >/run/device.xml
t_within 'the library creates a device, and does not wait for a group' 4 nodedev create /run/device.xml
t_ok 'the device exists' test -e "$MDEV_BUS/$UUID/mdev_type"
t_hold vfio-hold "$NODE"
t_eq 'a process opens its node' open "$t_held"
t_refused 'destroy is EBUSY' 10 'rc=-16 errno=16 code=14 ' host-linked "$SYSTEM" destroy "$UUID"
t_match 'the error names the process' "process $t_holder \(vfio-hold\) has $NODE open" "$t_out"
t_ok 'the device is unchanged' test -e "$MDEV_BUS/$UUID/mdev_type"
t_let_go
t_hold vfio-hold --bind "$NODE"
t_eq 'a process binds its node' bound "$t_held"
t_refused 'destroy is EBUSY' 10 'rc=-16 errno=16 code=14 ' host-linked "$SYSTEM" destroy "$UUID"
t_ok 'the device is unchanged' test -e "$MDEV_BUS/$UUID/mdev_type"
t_let_go
t_within 'then the library destroys the device' 20 host-linked "$SYSTEM" destroy "$UUID"
t_not 'the device no longer exists' test -e "$MDEV_BUS/$UUID"
t_done
