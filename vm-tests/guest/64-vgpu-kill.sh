#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 1 --module module guest/64-vgpu-kill.sh INSTALLED [RESULTS]
#
# A process is killed with SIGKILL before every system call of a create, then of a destroy, one run for each, on VFs:
# after each the VF is free, or has a device that is listed under its UUID and can be destroyed, and no UUID leads to the
# device that another program makes on the same VF. programs/killed.c does it.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

t_install "$1"
modprobe vfio_iommu_type1
PF=$(readlink -f /sys/bus/pci/devices/0000:41:00.0)
echo 8 >"$PF/lab_enable_vfs"
start=$SECONDS
# Not by t_ok, so that its output appears while it runs.
killed -f "$PF/virtfn0/nvidia/current_vgpu_type" mdev:///system pci_0000_41_00_0 1434 vgpu_params '' | sed -u 's/^/# /'
t_eq 'killed at every point: all checks pass after each kill' 0 "${PIPESTATUS[0]}"
echo "# $((SECONDS - start)) s"
t_eq 'every VF is free' '0 0 0 0 0 0 0 0' "$(cat "$PF"/virtfn*/nvidia/current_vgpu_type | paste -sd' ')"
t_eq 'no parameters are left' '' "$(cat "$PF"/virtfn*/nvidia/vgpu_params | tr -d '\n')"
t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
t_done
