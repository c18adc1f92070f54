#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device edu -device pci-testdev" --module module guest/66-unbind.sh INSTALLED [RESULTS]
#
# One parent is being unbound, and device_lock() of it is held until this test ends the hold. Lists, look-ups, dumps, new
# monitors, and creates on another parent must return all the same. Each runs below a watchdog; its time is printed beside its
# time before the unbind.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

A=c60cc60c-0000-4222-8333-44444444444
WATCHDOG=10

# bdf DEVICE-ID: the addresses of the PCI devices with this ID
bdf()
{
	grep -l "$1" /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|'
}

life()
{
	nodedev create /run/queue.xml >/dev/null && nodedev destroy "${A}2"
}

event()
{
	nodedev event true >/dev/null
}

export -f life event
export A

# ms COMMAND: prints the milliseconds that the command took; fails when the watchdog ended the command
ms()
{
	local since=${EPOCHREALTIME/[.,]/} rc
	timeout -k 1 "$WATCHDOG" bash -c "$1" >/dev/null 2>&1
	rc=$?
	echo $(((${EPOCHREALTIME/[.,]/} - since) / 1000))
	[ "$rc" -lt 124 ]
}

t_install "$1"
HELD=$(bdf 0x11e8 | head -n 1)
OTHER=$(bdf 0x0005 | head -n 1)
HELD_NODE=pci_${HELD//[:.]/_}
OTHER_NODE=pci_${OTHER//[:.]/_}
printf "<device><parent>%s</parent><capability type='mdev'><type id='11'/><uuid>%s</uuid></capability></device>\n" \
	"$HELD" "${A}1" >/run/held.xml
printf "<device><parent>%s</parent><capability type='mdev'><type id='queue-1'/><uuid>%s</uuid></capability></device>\n" \
	"$OTHER" "${A}2" >/run/queue.xml
t_ok 'a device on the parent that will be unbound' nodedev create /run/held.xml

declare -A COMMANDS=(
	[list]='nodedev list' [devices]='nodedev list --devices' [parents]='nodedev list --parents' [types]='nodedev types'
	[lookup]="nodedev dumpxml $OTHER_NODE" [held-parent]="nodedev dumpxml $HELD_NODE" [held-device]="nodedev dumpxml ${A}1"
	[missing]='nodedev dumpxml no-such-node' [monitor]=event [create-elsewhere]=life [dump]='nodedev dumphost /run/dump.xml'
)
declare -A BEFORE
for name in "${!COMMANDS[@]}"; do
	BEFORE[$name]=$(ms "${COMMANDS[$name]}")
done

t_hold_unbind 120000 mdev_lab "$HELD"
t_eq 'the driver holds the parent' 0 $?
cat "/sys/bus/pci/devices/$HELD/uevent" >/dev/null &
reader=$!
t_ok 'a reader of its uevent file is blocked' t_until 20 t_in_state_d "$reader"
for name in "${!COMMANDS[@]}"; do
	took=$(ms "${COMMANDS[$name]}")
	t_eq "$name answers" 0 $?
	echo "# $name: ${BEFORE[$name]} ms before, $took ms during the unbind"
done
t_ok 'the reader is still blocked' t_in_state_d "$reader"
t_release_unbind
t_eq 'the parent is unbound' 0 $?
wait "$reader"
t_not 'its device no longer exists' test -e "$MDEV_BUS/${A}1"
t_not 'its device is not listed' sh -c "nodedev list --devices | grep -q ${A}1"
t_done
