#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 1 --module module guest/62-vgpu-stress.sh INSTALLED [RESULTS [PROCESSES [ROUNDS]]]
#
# Many processes fill one PF at once, to the last instance, and empty it again, of each type in turn: exactly the capacity is
# created, every refused create is ENOSPC with a message, no VF is used twice, no device or record is left.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

PROCESSES=${3:-8}
ROUNDS=${4:-50}

# The instances of each type on a PF: limited by the memory or by its eight VFs.
CAPACITIES=(1431:8 1432:8 1433:8 1434:4 1435:2 1436:1)

t_install "$1"
modprobe vfio_iommu_type1
PF=$(readlink -f /sys/bus/pci/devices/0000:41:00.0)
echo 8 >"$PF/lab_enable_vfs"
mkdir /run/paths
for errno in 5 28; do
	# Drivers return different errnos for a full card.
	echo $errno >/sys/module/mdev_lab/parameters/vgpu_full_errno
	start=$SECONDS
	t_ok "$PROCESSES processes fill and empty a PF $ROUNDS times" \
		fill mdev:///system /run/paths "$PROCESSES" "$ROUNDS" pci_0000_41_00_0 "${CAPACITIES[@]}"
	echo "# $ROUNDS rounds in $((SECONDS - start)) s"
	t_eq 'no VF has a type' '0 0 0 0 0 0 0 0' "$(cat "$PF"/virtfn*/nvidia/current_vgpu_type | paste -sd' ')"
	t_eq 'no file of a path or number is left' '' "$(ls /run/paths)"
	t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
done
t_rc 'a card that gives less than it should is found out' 1 fill mdev:///system /run/paths 2 1 pci_0000_41_00_0 1436:2
t_done
