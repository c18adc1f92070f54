#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device edu -device pci-testdev" --module module guest/30-proposals.sh INSTALLED [RESULTS]
#
# The two proposed layouts through the installed library and its tool, on real sysfs: the exact sequences of both
# proposals, every refusal before any write, QEMU, all layouts side by side, parents that are removed; then the same refusals on a
# replay of this host.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

OUT=${2:-/run/results}
A=c60cc60c-0000-4222-8333-44444444444
XML=/run/xml
PARAMETERS=/sys/module/mdev_lab/parameters

# bdf DEVICE-ID: the addresses of the PCI devices with this ID
bdf()
{
	grep -l "$1" /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|'
}

# xml NAME PARENT TYPE [ELEMENTS]: makes the file of a request
xml()
{
	printf "<device><name>%s</name><parent>%s</parent><capability type='mdev'><type id='%s'/>%s</capability></device>\n" \
		"$1" "$2" "$3" "${4-}" >"$XML/$1"
}

# accesses LOG: the reads and writes in a type's folder and of mdev_destroy, one a line: OPERATION FILE [VALUE]
accesses()
{
	sed -nE 's/^[0-9]+ +(read|write)\([0-9]+<[^>]*\/(max_instances|available_instances|params|create|mdev_destroy|destroy)>, ("[^"]*").*/\1 \2 \3/p' "$1" |
		sed -E 's/^read ([^ ]+) .*/read \1/' | sed "s/${2:-no UUID}/UUID/"
}

traced()
{
	local log=$1
	shift
	strace -f -y -s 200 -e trace=read,write -o "$log" "$@"
}

# Proposal 1, "Create/destroy mediated device", step by step.
sequence_rfc()
{
	xml seed "pci_${RFC//[:.]/_}" 11 "<group>1</group><params>'frame_rate_limiter=0'</params><uuid>${A}1</uuid>"
	t_ok 'rfc: create' traced /run/log nodedev create "$XML/seed"
	t_eq 'rfc: the sequence, and nothing else' \
		'read max_instances|write params "frame_rate_limiter=0\n"|write create "UUID:1\n"|write params "\n"' \
		"$(accesses /run/log "${A}1" | paste -sd'|')"
	t_eq 'rfc: parameters are clear' '' "$(cat "$P/lab_params")"
	t_eq 'rfc: the device has them' 'frame_rate_limiter=0 1' "$(cat "$P/${A}1/params" "$P/${A}1/group" | paste -sd' ')"
	t_match 'rfc: it dumps back' '<group>1</group>.*<params>frame_rate_limiter=0</params>' "$(nodedev dumpxml seed | tr -d '\n')"
	t_match 'rfc: info' "vfio-pci,sysfsdev=$MDEV_BUS/${A}1" "$(nodedev info seed)"
	t_ok 'rfc: destroy' traced /run/log nodedev destroy seed
	t_eq 'rfc: through mdev_destroy' 'write mdev_destroy "UUID\n"' "$(accesses /run/log "${A}1" | paste -sd'|')"
	t_not 'rfc: it does not exist' test -e "$MDEV_BUS/${A}1"
	t_eq 'rfc: nothing is remembered' '' "$(ls /run/libmdev/devices)"
	# Parameters of a creator that was killed.
	echo stale=1 >"$T/11/params"
	xml plain "$RFC" 11 "<uuid>${A}2</uuid>"
	t_ok 'rfc: create without parameters' traced /run/log nodedev create "$XML/plain"
	t_eq 'rfc: clears the parameters of a killed creator' 'read max_instances|write params "\n"|write create "UUID\n"' \
		"$(accesses /run/log "${A}2" | paste -sd'|')"
	t_eq 'rfc: and has none' '' "$(cat "$P/${A}2/params")"
	t_ok 'rfc: destroy by UUID' nodedev destroy "${A}2"
}

# The reply: available_instances, and the device's own destroy.
sequence_general()
{
	local name="pci_${GENERAL//[:.]/_}"
	xml reply "$name" queue-1 "<uuid>${A}3</uuid>"
	t_ok 'general: create' traced /run/log nodedev create "$XML/reply"
	t_eq 'general: the sequence' 'read available_instances|write create "UUID\n"' "$(accesses /run/log "${A}3" | paste -sd'|')"
	t_ok 'general: offline' nodedev offline reply
	t_eq 'general: it is' 0 "$(cat "$MDEV_BUS/${A}3/online")"
	t_ok 'general: online' nodedev online reply
	t_ok 'general: reset' nodedev reset reply
	t_eq 'general: it was, once' 1 "$(cat "$MDEV_BUS/${A}3/lab_resets")"
	t_ok 'general: an attribute is set' nodedev attr set reply priority 7
	t_eq 'general: and read' 7 "$(nodedev -q attr get reply priority)"
	t_not 'general: no attribute leaves its folder' nodedev attr get reply ../uevent
	t_not 'general: none removes the device' nodedev attr set reply destroy 1
	t_ok 'general: destroy' traced /run/log nodedev destroy reply
	t_eq "general: through the device's own file" 'write destroy "1\n"' "$(accesses /run/log "${A}3" | paste -sd'|')"
	t_not 'general: it does not exist' test -e "$MDEV_BUS/${A}3"
	xml grouped "$name" queue-4 '<group>3</group>'
	t_ok 'general: a create with a required group' nodedev create "$XML/grouped"
	t_ok 'general: and its destroy' nodedev destroy grouped
}

# A driver that expects a newline, as NVIDIA's does, and drops the last byte of a write whatever that byte is. Without the newline
# at the end of each write, group 12 would be 1, the parameters would lose a byte, and a destroy would be EINVAL.
last_byte_dropped()
{
	echo 1 >"$PARAMETERS/drop_last_byte"
	xml whole "$RFC" 11 "<group>12</group><params>frame_rate_limiter=60</params><uuid>${A}5</uuid>"
	t_ok 'a driver drops the last byte: create' nodedev create "$XML/whole"
	t_eq 'the driver has the whole group and all parameters' 'frame_rate_limiter=60 12' \
		"$(cat "$P/${A}5/params" "$P/${A}5/group" | paste -sd' ')"
	t_match 'the whole text is read back' '<group>12</group>.*<params>frame_rate_limiter=60</params>' \
		"$(nodedev dumpxml whole | tr -d '\n')"
	t_eq 'the parameters of the type are clear' '' "$(cat "$P/lab_params")"
	t_ok 'a text for a file of the device arrives whole, too' nodedev attr set whole nvidia/vgpu_params frame_rate_limiter=30
	t_eq 'the driver has it' frame_rate_limiter=30 "$(cat "$P/${A}5/nvidia/vgpu_params")"
	t_ok 'destroy' nodedev destroy whole
	t_not 'the device does not exist' test -e "$MDEV_BUS/${A}5"
	echo 0 >"$PARAMETERS/drop_last_byte"
}

# A driver that refuses a create without a group: the error names the group.
group_required()
{
	echo 1 >"$PARAMETERS/group_required"
	xml single "$RFC" 11
	t_match 'a driver requires a group: a create without one is refused, with the reason' \
		'^error: .*/11/create: Invalid argument; the type requires a group: name one with <group>' "$(nodedev create "$XML/single" 2>&1)"
	t_eq 'it has no record' '' "$(ls /run/libmdev/devices)"
	xml single "$RFC" 11 '<group>7</group>'
	t_ok 'with a group it is created' nodedev create "$XML/single"
	t_ok 'and destroyed' nodedev destroy single
	echo 0 >"$PARAMETERS/group_required"
}

# refused NAME PATTERN PARENT TYPE [ELEMENTS]: on the host of $URI
refused()
{
	local what=$1 pattern=$2 out
	xml refused "$3" "$4" "${5-}"
	out=$(traced /run/log nodedev -c "$URI" create "$XML/refused" 2>&1) && out="succeeded: $out"
	t_match "$what: refused" "$pattern" "$out"
	t_eq "$what: nothing was written" '' "$(accesses /run/log | grep '^write')"
}

refusals()
{
	local rfc="pci_${RFC//[:.]/_}" general="pci_${GENERAL//[:.]/_}" made
	refused "$1: params on a type without" "^error: $rfc: type 13 takes no parameters" "$rfc" 13 '<params>a=1</params>'
	refused "$1: a group on a type without" "^error: $rfc: type 13 takes no group" "$rfc" 13 '<group>1</group>'
	refused "$1: requires_group 0 is none" "^error: $rfc: type 12 takes no group" "$rfc" 12 '<group>1</group>'
	refused "$1: no such type" "^error: $rfc: there is no type '99'; it has 11 .GRID M60-0B., 12 " "$rfc" 99
	refused "$1: params on the general layout" "^error: $general: type queue-1 takes no parameters" "$general" queue-1 '<params>a=1</params>'
	refused "$1: a group on the general layout" "^error: $general: type queue-2 takes no group" "$general" queue-2 '<group>1</group>'
	# Create all devices in one session, since a replay ends with its session.
	xml full "$rfc" 13
	xml one "$rfc" 12
	sed -i 's|<name>full</name>||' "$XML/full"
	made=$(for _ in 1 2 3 4 5 6 7 8; do echo "create $XML/full"; done | cat - <(echo "create $XML/one") |
		nodedev -q -c "$URI" 2>&1)
	t_match "$1: the ninth create finds no instance" "error: $rfc: type 12 has no instances left \(max_instances is 0\)" "$made"
	t_eq "$1: eight devices were created" 8 "$(grep -c '^[0-9a-f-]*$' <<<"$made")"
}

# The first sequence again, in one session of a replay, which cannot be traced: its results.
life_on_replay()
{
	local rfc="pci_${RFC//[:.]/_}" seen
	xml seed "$rfc" 11 "<group>1</group><params>'frame_rate_limiter=0'</params><uuid>${A}1</uuid>"
	xml plain "$rfc" 11 "<uuid>${A}2</uuid>"
	seen=$(nodedev -q -c "$URI" 2>&1 <<-END
		create $XML/seed
		attr get seed params
		attr get seed group
		create $XML/plain
		attr get plain params
		destroy seed
		destroy ${A}2
		list --devices --names
	END
	)
	t_eq 'replay: only this device has the parameters of its request' \
		"${A}1|frame_rate_limiter=0|1|${A}2" "${seen//$'\n'/|}"
}

several()
{
	local n
	for n in 1 2 3; do xml "part$n" "$RFC" 11; done
	t_ok 'several devices for one guest' nodedev create --group "$XML/part1" "$XML/part2" "$XML/part3"
	t_eq 'they share one group' "1 1 1" "$(cat "$P"/????????-*/group | paste -sd' ')"
	xml next "$RFC" 11
	t_ok 'the next guest' nodedev create --group "$XML/next"
	t_eq 'has another' 2 "$(cat "$P/$(nodedev info --json next | jq -r .uuid)/group")"
	t_ok 'all go' nodedev destroy part1 part2 part3 next
	echo 3 >/sys/module/mdev_lab/parameters/fail_create_nth
	t_match 'of three the third fails: its error' 'error: .*device 3 of 3|error: .*create.*Input/output error' \
		"$(nodedev create --group "$XML/part1" "$XML/part2" "$XML/part3" 2>&1)"
	t_eq 'and none is left' '16 16 8' "$(cat "$T"/*/max_instances | paste -sd' ')"
	t_eq 'and has no record' '' "$(ls /run/libmdev/devices)"
}

in_use()
{
	local text out
	xml guest "$RFC" 12 "<uuid>${A}4</uuid>"
	t_ok 'a device for a guest' nodedev create "$XML/guest"
	text=$(nodedev info guest --json | jq -r .qemuDevice)
	t_eq 'its text for QEMU' "vfio-pci,sysfsdev=$MDEV_BUS/${A}4" "$text"
	t_ok 'QEMU attaches it' t_qemu lab -device "$text"
	t_match 'and its guest has it' '1234:4d44' "$("$GUEST/monitor" /run/lab.sock 'info pci')"
	out=$(timeout 20 nodedev destroy guest 2>&1)
	t_match 'destroy is refused' 'is in use' "$out"
	t_ok 'the device is complete' test -e "$P/${A}4/mdev_type"
	t_ok 'QEMU ends' t_qemu_end lab
	t_ok 'then destroy works' nodedev destroy guest
}

# All layouts on one host.
side_by_side()
{
	t_drivers
	t_eq 'all layouts side by side' 'general mdev rfc' \
		"$(nodedev list --parents --json | jq -r '.[].layout' | sort -u | paste -sd' ')"
	t_eq 'all parents' 6 "$(nodedev list --parents --json | jq length)"
}

# The parent is removed while it has devices and while another process creates a device on it.
vanishing()
{
	local driver=/sys/bus/pci/drivers/mdev_lab out pid lock
	xml mortal "$RFC" 11 '<params>a=1</params>'
	t_ok 'a device on a parent that will be removed' nodedev create "$XML/mortal"
	exec {lock}<"/run/libmdev/locks/type-$RFC-11"
	flock "$lock"
	xml waiter "$RFC" 11 '<params>b=2</params>'
	# Without this descriptor, with which the process would keep the lock.
	nodedev create "$XML/waiter" >/run/waiter.out 2>&1 {lock}>&- &
	pid=$!
	t_ok 'a create waits for the type' t_until 20 sh -c "ls -l /proc/$pid/fd | grep -q inotify"
	echo "$RFC" >$driver/unbind
	exec {lock}>&-
	wait "$pid"
	t_eq 'the create fails: no such type' 3 $?
	t_match 'with a clear error' '^error: .*type 11 no longer exists: its parent was removed or its driver unbound' "$(cat /run/waiter.out)"
	t_not 'the list is right' grep -E 'mortal|waiter' <(nodedev list)
	t_not 'the parent is not in the list' grep "pci_${RFC//[:.]/_}" <(nodedev list)
	out=$(nodedev create "$XML/mortal" 2>&1)
	t_match 'a create on it fails with the reason' 'error: .*cannot create mediated devices' "$out"
	echo "$RFC" >$driver/bind
	t_ok 'the parent appears again' nodedev wait "$RFC" --timeout 10
	t_ok 'and the name is free again' nodedev create "$XML/mortal"
	t_ok 'to be destroyed' nodedev destroy mortal
	t_eq 'no record is left' '' "$(ls -A /run/libmdev/devices)"
}

t_install "$1"
mkdir -p "$OUT" "$XML"
modprobe vfio_iommu_type1
t_udevd
RFC=$(bdf 0x11e8 | head -n 1)
GENERAL=$(bdf 0x0005 | head -n 1)
P=$(readlink -f "/sys/bus/pci/devices/$RFC")
T=$P/mdev_supported_types
URI=mdev:///system
export MDEV_DEFAULT_URI=$URI
sequence_rfc
sequence_general
last_byte_dropped
group_required
t_ok 'the host is dumped' nodedev dumphost "$OUT/proposals.xml"
refusals kernel
for uuid in $(nodedev list --devices --json | jq -r '.[].uuid'); do nodedev -q destroy "$uuid"; done
t_eq 'everything is free again' '16 16 8' "$(cat "$T"/*/max_instances | paste -sd' ')"
several
in_use
vanishing
side_by_side
URI=test://$OUT/proposals.xml
refusals replay
life_on_replay
t_done
