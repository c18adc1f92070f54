#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run guest/00-kernel-facts.sh [--record]
#
# The behaviour of the kernel, by plain sysfs and without the library. Tests compare the simulated hosts with this record.
# --record prints kernel-facts.tsv with the outcomes of the running kernel, for a new kernel version.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

case ${1-} in
--record)
	t_drivers
	exec "$GUEST/try-facts" "$GUEST/kernel-facts.tsv"
	;;
--help)
	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac

# A parent has a uevent when its types exist, and another when it is removed.
parent_events()
{
	local seen=''
	t_uevents
	t_drivers mtty
	while t_uevent 10; do
		case $t_line in
		*/virtual/mtty/mtty*) seen+="$t_line;" ;;
		esac
		case $t_line in change*) break ;; esac
	done
	t_eq 'loading a driver: its parent is added, then changes' \
		'add /devices/virtual/mtty/mtty (mtty);change /devices/virtual/mtty/mtty (mtty);' "$seen"
}

device_events()
{
	local uuid=$1 seen='' dev=/devices/virtual/mtty/mtty
	t_outcome 'create for the events' 36 write "class/mdev_bus/mtty/mdev_supported_types/mtty-2/create" "$uuid"
	group=$(basename "$(readlink "$MDEV_BUS/$uuid/iommu_group")")
	t_ok 'the VFIO group is in /dev when create returns' test -c "/dev/vfio/$group"
	while t_uevent 10; do
		case $t_line in *"(module)"*) continue ;; esac
		seen+="$t_line;"
		case $t_line in bind*"/$uuid (mdev)") break ;; esac
	done
	t_eq 'uevents of a create, in order' \
		"add $dev/$uuid (mdev);add /devices/virtual/vfio/$group (vfio);add $dev/$uuid/vfio-dev/vfio0 (vfio-dev);bind $dev/$uuid (mdev);" \
		"$seen"
	t_ok 'after bind there is an IOMMU group' test -L "$MDEV_BUS/$uuid/iommu_group"
	t_ok 'after bind there is a type' test -L "$MDEV_BUS/$uuid/mdev_type"

	# A group's node can be open only once: no other process can use the device then, but the device can be removed.
	exec {hold}<>"/dev/vfio/$group"
	t_eq 'a second open of an open group fails' EBUSY "$(perl -MErrno -e \
		'sysopen my $f, shift, 2 and print "opened" or print $!{EBUSY} ? "EBUSY" : $!' "/dev/vfio/$group")"
	t_outcome 'remove while only the group is open' 1 write "bus/mdev/devices/$uuid/remove" 1
	exec {hold}>&-
	t_not 'after remove the folder does not exist' test -e "$MDEV_BUS/$uuid"
	t_not 'after remove the VFIO group does not exist' test -e "/dev/vfio/$group"
	seen=
	while t_uevent 10; do
		seen+="${t_line%% *} ${t_line##* };"
		case $t_line in remove*"/$uuid (mdev)") break ;; esac
	done
	t_eq 'uevents of a remove, in order' "$REMOVE_EVENTS" "$seen"
}

# A device that QEMU holds: the write to remove blocks until QEMU ends.
busy_remove()
{
	local uuid=$1 writer
	t_outcome 'create for QEMU' 36 write "class/mdev_bus/mtty/mdev_supported_types/mtty-1/create" "$uuid"
	t_ok 'QEMU attaches it' t_qemu busy -device "vfio-pci,sysfsdev=$MDEV_BUS/$uuid"
	t_match 'QEMU shows the serial card' '4348:3253' "$("$GUEST/monitor" /run/busy.sock 'info pci')"
	(echo 1 >"$MDEV_BUS/$uuid/remove") &
	writer=$!
	disown "$writer"
	t_ok 'the folder vanishes at once' t_until 10 test ! -e "$MDEV_BUS/$uuid"
	kill -KILL "$writer"
	t_ok 'SIGKILL makes the writer uninterruptible' t_until 10 grep -q '^State:.D' "/proc/$writer/status"
	t_ok 'the writer runs' kill -0 "$writer"
	t_ok 'QEMU runs' kill -0 "$(cat /run/busy.pid)"
	t_ok 'QEMU ends' t_qemu_end busy
	t_ok 'and with it the writer' t_until 10 t_gone "$writer"
}

REMOVE_EVENTS='remove (vfio-dev);remove (vfio);unbind (mdev);remove (mdev);'
parent_events
device_events 0aaaaaaa-1111-4222-8333-444444444444
busy_remove 0bbbbbbb-1111-4222-8333-444444444444
t_outcome 'a free device' 36 write class/mdev_bus/mtty/mdev_supported_types/mtty-1/create 0ccccccc-1111-4222-8333-444444444444
t_ok 'a driver with a free device can be removed' rmmod mtty
t_eq 'and removes its device' '' "$(ls "$MDEV_BUS")"
t_drivers
# In order, on freshly loaded drivers.
t_recorded "$GUEST/kernel-facts.tsv"
t_done
