#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device edu -device pci-testdev" --vgpu 1 --module module guest/66-unbind.sh INSTALLED [RESULTS]
#
# One parent, VF or PF is being unbound, and device_lock() of it is held until this test ends the hold. Lists, look-ups, dumps, new
# monitors, and creates on another parent still succeed, and take no longer than before: the fastest of several calls may
# take 100 ms more than the median before, times $MDEV_VM_SLACK. The time of "nodedev version", which reads nothing of the host, is
# subtracted: on a busy machine this time changes by more. Each call runs below a watchdog.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

A=c60cc60c-0000-4222-8333-44444444444
WATCHDOG=10
MORE_MS=$((100 * MDEV_VM_SLACK))
# Much longer than the watchdog, so that the watchdog ends each call that waits for the lock.
HOLD_MS=$((12 * 1000 * WATCHDOG * MDEV_VM_SLACK))

# bdf DEVICE-ID: the addresses of the PCI devices with this ID
bdf()
{
	grep -l "$1" /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|'
}

# xml FILE PARENT TYPE UUID: makes the file of a request
xml()
{
	printf "<device><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid></capability></device>\n" \
		"$2" "$3" "$4" >"/run/$1.xml"
}

create_and_destroy()
{
	nodedev create /run/queue.xml && nodedev destroy "${A}2"
}

# missing NODE: a look-up of an absent node fails, with this reason
missing()
{
	! nodedev dumpxml "$1" >/run/missing 2>&1 && grep -q "there is no node device '$1'" /run/missing
}

export -f create_and_destroy missing
export A

declare -A COMMANDS BEFORE

# measure NAME: sets $ms to the time of the command, and $idle to the time of a program that does nothing
measure()
{
	t_watched "$WATCHDOG" nodedev version || return 1
	idle=$t_ms
	t_watched "$WATCHDOG" bash -c "${COMMANDS[$1]}" || return 1
	ms=$t_ms
}

before()
{
	local name n times least=999999
	for name in "${!COMMANDS[@]}"; do
		times=()
		for n in 1 2 3; do
			measure "$name" || break
			times+=("$ms")
			[ "$idle" -ge "$least" ] || least=$idle
		done
		t_eq "before: $name succeeds" 3 "${#times[@]}"
		BEFORE[$name]=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 2p)
	done
	for name in "${!COMMANDS[@]}"; do
		BEFORE[$name]=$((BEFORE[$name] - least))
	done
}

# best NAME LIMIT: sets $best to the difference of the shortest times of several calls. Stops when it is within the
# limit. Fails if a call fails
best()
{
	local n best_ms=999999 best_idle=999999
	best=$best_ms
	for ((n = 0; n < 10 && best > $2; n++)); do
		measure "$1" || return 1
		[ "$ms" -ge "$best_ms" ] || best_ms=$ms
		[ "$idle" -ge "$best_idle" ] || best_idle=$idle
		best=$((best_ms - best_idle))
	done
}

# held WHAT DRIVER BDF: runs every command while this driver unbinds this device
held()
{
	local what=$1 name reader rc limit
	t_hold_unbind $HOLD_MS "$2" "$3"
	t_eq "$what: the unbind holds the lock" 0 $?
	cat "/sys/bus/pci/devices/$3/uevent" >/dev/null &
	reader=$!
	t_ok "$what: a reader of its uevent file is blocked" t_until 20 t_in_state_d "$reader"
	for name in "${!COMMANDS[@]}"; do
		rc=0
		limit=$((BEFORE[$name] + MORE_MS))
		best "$name" "$limit" || rc=$?
		# shellcheck disable=SC2154 # of t_watched
		t_report "$rc" "$what: $name succeeds" "after $t_ms ms: ${COMMANDS[$name]}" "$t_out"
		[ "$rc" != 0 ] || t_ok "$what: $name takes $best ms more than an empty command, ${BEFORE[$name]} ms before" test "$best" -le "$limit"
	done
	t_ok "$what: the reader is still blocked" t_in_state_d "$reader"
	t_release_unbind
	t_eq "$what: it is unbound" 0 $?
	wait "$reader"
}

t_install "$1"
HELD=$(bdf 0x11e8 | head -n 1)
OTHER=$(bdf 0x0005 | head -n 1)
PF=$(find /sys/bus/pci/drivers/nvidia/ -type l -name '0000:*' -exec readlink -f {} + | sort | head -n 1)
echo 8 >"$PF/lab_enable_vfs"
VF=$(readlink -f "$PF/virtfn1")
xml held "$HELD" 11 "${A}1"
xml queue "$OTHER" queue-1 "${A}2"
xml vgpu "${PF##*/}" 1434 "${A}3"
t_ok 'a device on the parent that will be unbound' nodedev create /run/held.xml
t_ok 'a device on a VF' nodedev create /run/vgpu.xml
OTHER_NODE=pci_${OTHER//[:.]/_}
COMMANDS=(
	[list]='nodedev list' [devices]='nodedev list --devices' [parents]='nodedev list --parents' [types]='nodedev types'
	[lookup]="nodedev dumpxml $OTHER_NODE" [missing]='missing no-such-node' [monitor]='nodedev event version'
	[create-elsewhere]=create_and_destroy [dump]='nodedev dumphost /run/dump.xml'
)
COMMANDS[held-parent]="nodedev dumpxml pci_${HELD//[:.]/_}"
COMMANDS[held-device]="nodedev dumpxml ${A}1"
PF_BDF=${PF##*/}
COMMANDS[pf]="nodedev dumpxml pci_${PF_BDF//[:.]/_}"
COMMANDS[vgpu]="nodedev dumpxml ${A}3"
before
held 'a parent' mdev_lab "$HELD"
t_not 'its device no longer exists' test -e "$MDEV_BUS/${A}1"
t_not 'its device is not listed' sh -c "nodedev list --devices | grep -q ${A}1"
unset 'COMMANDS[held-parent]' 'COMMANDS[held-device]'
held 'a free VF' nvidia "${VF##*/}"
held 'a PF' nvidia "${PF##*/}"
t_not 'its vGPU is not listed' sh -c "nodedev list --devices | grep -q ${A}3"
t_done
