#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --kernel 6.12 -q "-device edu -device pci-testdev" --vgpu 1 --module module guest/68-hangs.sh INSTALLED
#
# Causes that could block the callers of the installed library: locks that an ordinary user or another process holds, slow drivers,
# thousands of stale records, a FIFO in the place of a record. And a driver that makes a device and returns an error. Every
# call runs below a watchdog.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

A=c60cc60c-0000-4222-8333-44444444444
RUN=/run/libmdev
PARAMETERS=/sys/module/mdev_lab/parameters
STALE=5000
SOON_MS=25000

# bdf DEVICE-ID: the address of the first PCI device with this ID
bdf()
{
	grep -l "$1" /sys/bus/pci/devices/*/device | sed -E 's|.*/([^/]+)/device|\1|' | head -n 1
}

# xml NAME PARENT TYPE UUID: makes the file of a request, /run/NAME.xml
xml()
{
	printf "<device><name>%s</name><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid></capability></device>\n" \
		"$@" >"/run/$1.xml"
}

# background NAME COMMAND...: its output, its exit code and its time are in /run/NAME.out
background()
{
	local name=$1
	shift
	(
		since=${EPOCHREALTIME/[.,]/}
		timeout -k 1 $((120 * MDEV_VM_SLACK)) "$@" >"/run/$name.out" 2>&1
		echo "rc=$? ms=$(((${EPOCHREALTIME/[.,]/} - since) / 1000))" >>"/run/$name.out"
	) &
}

# soon NAME COMMAND...: passes if COMMAND succeeds within SOON_MS: less than the 30 s that the library waits for a lock, so the
# same on every machine
soon()
{
	local name=$1 rc=0
	shift
	t_watched 60 "$@" || rc=$?
	[ "$t_ms" -lt "$SOON_MS" ] || rc=124
	t_report "$rc" "$name ($t_ms ms)" "exit code $rc after $t_ms ms, bound $SOON_MS ms: $*" "$t_out"
}

# lock_as_user PATH...: an ordinary user locks all paths that it can open, until let_go; $closed has the other paths
lock_as_user()
{
	local line
	closed=
	# shellcheck disable=SC2016 # of the inner shell
	coproc LOCKS {
		exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -c '
			for path; do
				{ exec {fd}<"$path"; } 2>/dev/null && flock -n "$fd" || echo "$path"
			done
			echo ready
			read -r _' - "$@"
	}
	locks=$LOCKS_PID
	while IFS= read -r -t 60 line <&"${LOCKS[0]}" && [ "$line" != ready ]; do
		closed+="${line#"$RUN/"} "
	done
	[ "$line" = ready ]
}

let_go()
{
	local input=${LOCKS[1]}
	exec {input}>&-
	wait "$locks"
}

foreign_locks()
{
	local path held=0 open
	xml rfc "$RFC" 11 "${A}1"
	xml vgpu "$PF_BDF" 1434 "${A}2"
	xml again "$RFC" 11 "${A}3"
	t_within 'two devices before a user locks anything' 20 sh -c 'nodedev create /run/rfc.xml && nodedev create /run/vgpu.xml'
	open=("$P" "$P/mdev_supported_types" "$P/mdev_supported_types/11" "$PF" "$PF"/virtfn* "$PF"/virtfn*/nvidia "$MDEV_BUS"
		"$RUN" "$RUN/devices" "$RUN"/devices/*)
	lock_as_user "${open[@]}" "$RUN/lock" "$RUN"/locks/*
	t_eq 'an ordinary user locks every folder and record' 0 $?
	for path in "${open[@]}"; do
		flock -n "$path" true || held=$((held + 1))
	done
	t_eq 'and holds them' "${#open[@]}" "$held"
	t_eq 'but cannot open a lock file' "lock $(cd "$RUN" && printf '%s ' locks/*)" "$closed"
	soon 'destroy of a device whose record is locked' nodedev destroy rfc
	soon 'create under its name' nodedev create /run/rfc.xml
	soon 'create on a locked type' nodedev create /run/again.xml
	soon 'destroy of a VF of a locked PF' nodedev destroy vgpu
	soon 'create on a locked PF' nodedev create /run/vgpu.xml
	soon 'list' nodedev list
	soon 'destroy of all' nodedev destroy rfc vgpu again
	let_go
}

# The types of a PF are not recorded yet, so that each list and each event would record them.
held_store()
{
	local lock pid since ms type=1434
	rm -rf "${RUN:?}/types"
	: >/run/events
	exec {lock}<>"$RUN/lock"
	flock "$lock"
	soon 'list while the lock of the store is held' nodedev list
	since=${EPOCHREALTIME/[.,]/}
	nodedev event --count 1 >/run/events 2>&1 {lock}>&- &
	pid=$!
	t_ok 'a monitor starts' t_until $((60 * MDEV_VM_SLACK)) sh -c "ls -l /proc/$pid/fd | grep -q inotify"
	ms=0
	# Repeated, since the monitor may read the first change when it starts, without an event.
	while [ ! -s /run/events ] && [ "$ms" -lt "$SOON_MS" ]; do
		echo "$type" >"$PF/virtfn0/nvidia/current_vgpu_type"
		type=$((1434 - type))
		t_until 1 test -s /run/events
		ms=$(((${EPOCHREALTIME/[.,]/} - since) / 1000))
	done
	t_match "it receives an event ($ms ms)" "^(created|deleted|updated)" "$(cat /run/events)"
	t_ok 'and does not wait for the lock' test "$ms" -lt "$SOON_MS"
	kill "$pid" 2>/dev/null
	wait "$pid"
	echo 0 >"$PF/virtfn0/nvidia/current_vgpu_type"
	exec {lock}>&-
}

# One destroy is blocked in the driver for longer than a destroy may take. It continues in the background, see slow_driver_end.
slow_driver()
{
	local out
	xml slow "$GENERAL" queue-1 "${A}4"
	t_within 'a device whose driver is slow to remove it' 20 nodedev create /run/slow.xml
	echo $SLOW_MS >"$PARAMETERS/remove_delay_ms"
	background slow nodedev destroy slow
	slow=$!
	t_ok 'its destroy has begun' t_until $((20 * MDEV_VM_SLACK)) writer_is_blocked "$MDEV_BUS/${A}4/destroy"
	echo 0 >"$PARAMETERS/remove_delay_ms"
	t_refused 'another destroy is refused and names the first' 10 'is being destroyed by process [0-9]+ \(nodedev\)' \
		nodedev destroy slow
	soon 'list beside it' nodedev list
}

# A process has the file open for writing.
writer_is_blocked()
{
	readlink /proc/[0-9]*/fd/* 2>/dev/null | grep -qxF "$(readlink -f "$1")"
}

slow_driver_end()
{
	local ms
	wait "$slow"
	t_match 'the destroy returns and names the cause' "the driver has not removed device ${A}4 within 60 s.*rc=8 ms=[0-9]+ \$" \
		"$(tr '\n' ' ' </run/slow.out)"
	ms=$(sed -n 's/.* ms=//p' /run/slow.out)
	t_ok "after 60 s and before the driver ($ms ms)" test "$ms" -ge 60000 -a "$ms" -lt $SLOW_MS
	t_ok 'the driver removes the device in the end' t_until $((60 * MDEV_VM_SLACK)) test ! -e "$MDEV_BUS/${A}4"
	t_within 'no list has it then' 10 sh -c "! nodedev list --devices | grep -q ${A}4"
}

is_blocked()
{
	local pid
	for pid in $(pgrep -x nodedev); do
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "$1" && t_in_state_d "$pid" && return
	done
	return 1
}

# Three creators of one type take turns. The third waits for longer than one holder may keep the lock.
turns()
{
	local n first
	echo 16000 >"$PARAMETERS/create_delay_ms"
	for n in 1 2 3; do
		xml "turn$n" "$RFC" 11 "${A}$((4 + n))"
	done
	background turn1 nodedev create /run/turn1.xml
	first=$!
	t_ok 'the first creator is in the driver' t_until $((20 * MDEV_VM_SLACK)) is_blocked turn1
	background turn2 nodedev create /run/turn2.xml
	turns="$first $!"
	background turn3 nodedev create /run/turn3.xml
	turns+=" $!"
	wait "$first"
	t_ok 'the next creator is blocked' t_until $((20 * MDEV_VM_SLACK)) is_blocked 'turn[23]'
	# The last creator must not wait for the driver.
	echo 0 >"$PARAMETERS/create_delay_ms"
	# shellcheck disable=SC2086 # several
	wait $turns
	for n in 1 2 3; do
		t_match "creator $n has made its device" ' rc=0 ms=' "$(tr '\n' ' ' </run/turn$n.out)"
	done
	t_ok 'the last creator has waited for more than 30 s' test "$(sed -n 's/.* ms=//p' /run/turn[23].out | sort -n | tail -n 1)" -gt 30000
	t_within 'they are destroyed' 20 nodedev destroy turn1 turn2 turn3
}

# Thousands of records of devices that no longer exist, and two creators at once.
stale_records()
{
	local n uuid record
	xml model "$RFC" 11 "${A}8"
	t_within 'a device with a record' 20 nodedev create /run/model.xml
	record=$(cat "$RUN/devices/${A}8")
	t_within 'is destroyed' 20 nodedev destroy model
	for ((n = 0; n < STALE; n++)); do
		printf -v uuid '5eed0000-0000-4000-8000-%012x' "$n"
		printf '%s' "${record//${A}8/$uuid}" >"$RUN/devices/$uuid"
	done
	t_eq "$STALE records of devices that no longer exist" "$STALE" "$(find "$RUN/devices" -name '5eed*' | wc -l)"
	xml model "$RFC" 11 "${A}8"
	xml other "$GENERAL" queue-1 "${A}9"
	background model nodedev create /run/model.xml
	n=$!
	soon 'a create while another create removes them' nodedev create /run/other.xml
	wait "$n"
	t_match 'the other create' ' rc=0 ms=' "$(tr '\n' ' ' </run/model.out)"
	n=$(sed -n 's/.* ms=//p' /run/model.out)
	t_ok "within the same time ($n ms)" test "$n" -lt "$SOON_MS"
	t_eq 'the stale records are removed' '' "$(find "$RUN/devices" -name '5eed*')"
	t_within 'both are destroyed' 20 nodedev destroy model other
}

# FIFOs without a writer: an open for reading blocks, unless it is non-blocking.
fifos()
{
	mkfifo "$RUN/devices/${A}1" "$RUN/locks/device-${A}2"
	xml rfc "$RFC" 11 "${A}1"
	xml next "$RFC" 11 "${A}2"
	xml other "$RFC" 11 "${A}3"
	t_within 'list beside a FIFO in the place of a record' 10 nodedev list
	t_within 'create of another device' 10 nodedev create /run/other.xml
	t_within 'and its destroy' 10 nodedev destroy other
	mkfifo "$RUN/devices/${A}1" 2>/dev/null
	t_watched 10 nodedev create /run/rfc.xml
	t_ok "create of the device of this record ends ($t_ms ms)" test $? -lt 124
	t_watched 10 nodedev destroy "${A}1"
	t_ok "and a destroy ($t_ms ms)" test $? -lt 124
	t_refused 'a FIFO in the place of a lock file' 10 'not a regular file' nodedev create /run/next.xml
	t_not 'no device is left' test -e "$MDEV_BUS/${A}2"
	rm -f "$RUN/devices/${A}1" "$RUN/locks/device-${A}2"
}

# The driver makes the device and returns an error: each device that is left has a record, or an error names it.
lying_driver()
{
	local layout=$1 name=liar-$1
	xml "$name" "$2" "$3" "${A}1"
	echo 5 >"$PARAMETERS/fail_after_create_errno"
	t_refused "$layout: the driver makes a device and returns EIO" 20 'Input/output error' nodedev create "/run/$name.xml"
	nothing_left "$layout"
	echo 4 >"$PARAMETERS/fail_after_create_errno"
	if [ "$layout" = vgpu ]; then
		# The VF is cleared, and the write repeated; the driver returns the same each time.
		t_refused "$layout: it returns EINTR each time" 20 'Interrupted system call' nodedev create "/run/$name.xml"
	else
		t_within "$layout: it returns EINTR: the device is the creator's" 20 nodedev create "/run/$name.xml"
		t_eq "$layout: it has its name and UUID" "$name ${A}1" "$(nodedev info --json "$name" | jq -r '"\(.name) \(.uuid)"')"
		t_within "$layout: it is destroyed" 20 nodedev destroy "$name"
	fi
	nothing_left "$layout"
	echo 0 >"$PARAMETERS/fail_after_create_errno"
}

nothing_left()
{
	t_eq "$1: no device is left" '' "$(nodedev -q list --devices)$(ls "$MDEV_BUS")"
	t_eq "$1: every VF is free" 0 "$(cat "$PF"/virtfn*/nvidia/current_vgpu_type | sort -u)"
	t_eq "$1: no record is left" '' "$(ls -A "$RUN/devices")"
}

t_install "$1"
modprobe vfio_iommu_type1
RFC=$(bdf 0x11e8)
GENERAL=$(bdf 0x0005)
P=$(readlink -f "/sys/bus/pci/devices/$RFC")
PF=$(find /sys/bus/pci/drivers/nvidia/ -type l -name '0000:*' -exec readlink -f {} + | sort | head -n 1)
PF_BDF=${PF##*/}
SLOW_MS=90000
echo 8 >"$PF/lab_enable_vfs"
foreign_locks
held_store
slow_driver
turns
stale_records
fifos
slow_driver_end
lying_driver rfc "$RFC" 11
lying_driver general "$GENERAL" queue-1
lying_driver vgpu "$PF_BDF" 1434
t_done
