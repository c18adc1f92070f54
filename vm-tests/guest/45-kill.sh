#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu" --module module guest/45-kill.sh INSTALLED [RESULTS]
#
# A process is killed with SIGKILL before every system call of a create, then of a destroy, one run for each, in the
# layout where parameters are state of the type; programs/killed.c lists the checks after each kill.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

t_install "$1"
modprobe vfio_iommu_type1
PARENT=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1 | sed -E 's|.*/([^/]+)/device|\1|')
start=$SECONDS
# Not by t_ok, so that its output appears while it runs.
killed mdev:///system "$PARENT" 11 params '<group>5</group>' | sed -u 's/^/# /'
t_eq 'killed at every point: all checks pass after each kill' 0 "${PIPESTATUS[0]}"
echo "# $((SECONDS - start)) s"
t_eq 'no device is left' '' "$(ls "$MDEV_BUS")"
t_eq 'no parameters are left' '' "$(cat "/sys/bus/pci/devices/$PARENT/lab_params")"
t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
t_done
