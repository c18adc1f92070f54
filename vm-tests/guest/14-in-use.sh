#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run [--kernel 6.12] guest/14-in-use.sh INSTALLED [RESULTS]
#
# A destroy of a device that a process has open never blocks, and never removes the device: with the nodes of /dev/vfio
# visible and not, in a new PID namespace, and against a process that opens the node at the same time. The kernel
# would block the writer of "remove" until that process closes the node. INSTALLED is the output of "install-for-vm";
# MDEV_VM_ALL=1 (run --env MDEV_VM_ALL) runs 2000 rounds of the race and not 100. On kernel 6.1, which has no device nodes
# in /dev/vfio/devices, the checks of these nodes are skipped and counted.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

SYSTEM=mdev:///system
UUID=00000bad-1111-4222-8333-444444444444
ROUNDS=100
LIMIT=$((300 * MDEV_VM_SLACK))
if [ -n "${MDEV_VM_ALL-}" ]; then
	ROUNDS=2000
	LIMIT=$((3600 * MDEV_VM_SLACK))
fi

# The ways to run a program: with all nodes; without the nodes, as in a container whose /dev is older than the device;
# the same without the right to make a node; and without the nodes in a new PID namespace.
host() { "$@"; }
bare() { unshare -m -- bash -c 'mount -t tmpfs none /dev/vfio && exec "$@"' bare "$@"; }
unable() { bare setpriv --bounding-set -mknod "$@"; }
apart() { unshare -m -p -f --mount-proc -- bash -c 'mount -t tmpfs none /dev/vfio && exec "$@"' apart "$@"; }

cdev()
{
	local dir
	for dir in "$MDEV_BUS/$UUID"/vfio-dev/vfio*; do
		[ -e "$dir/dev" ] && echo "/dev/vfio/devices/${dir##*/}"
	done
}

group()
{
	echo "/dev/vfio/$(basename "$(readlink "$MDEV_BUS/$UUID/iommu_group")")"
}

create() { host-linked "$SYSTEM" create mtty_mtty mtty-1 "$UUID"; }

# shortest_create WAY: prints the least time of five, in ms
shortest_create()
{
	local way=$1 start took least=999999
	for _ in 1 2 3 4 5; do
		start=${EPOCHREALTIME/[.,]/}
		$way timeout -k 5 $((20 * MDEV_VM_SLACK)) host-linked "$SYSTEM" create mtty_mtty mtty-1 "$UUID" >/dev/null 2>&1
		took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
		[ -e "$MDEV_BUS/$UUID" ] && [ "$took" -lt "$least" ] && least=$took
		host-linked "$SYSTEM" destroy "$UUID" >/dev/null 2>&1
	done
	echo "$least"
}

# destroy WAY: sets $out to the output, and $took to the time of the destroy alone (without the start of WAY and of the program)
destroy()
{
	local way=$1
	out=$($way timeout -k 5 $((20 * MDEV_VM_SLACK)) host-linked "$SYSTEM" destroy "$UUID" 2>&1)
	took=$(sed -n 's/^destroy took \([0-9]*\).*/\1/p' <<<"$out")
	took=${took:-$((20000 * MDEV_VM_SLACK))}
}

busy()
{
	local way=$1 what=$2
	destroy "$way"
	t_match "$way, $what: destroy is EBUSY" 'rc=-16 errno=16 code=14 ' "$out"
	t_ok "$way, $what: within a second, times $MDEV_VM_SLACK ($took ms)" test "$took" -lt $((1000 * MDEV_VM_SLACK))
	t_ok "$way, $what: and no file has changed" test -e "$MDEV_BUS/$UUID/mdev_type"
}

in_use()
{
	local way=$1 node
	t_ok "$way: create" create
	node=$(group)
	t_hold vfio-hold "$node"
	busy "$way" "$t_held group"
	t_let_go
	[ -n "$(cdev)" ] || without_nodes=$((without_nodes + 1))
	for node in $(cdev); do
		t_hold vfio-hold "$node"
		busy "$way" "open node"
		[ "$way" = apart ] || t_match "$way: the error names the process and the node" "process $t_holder \(vfio-hold\) has $node open" "$out"
		t_let_go
		t_hold vfio-hold --bind "$node"
		busy "$way" "bound node"
		t_let_go
	done
}

free()
{
	local way=$1
	destroy "$way"
	t_match "$way: the free device is destroyed" 'rc=0$' "$out"
	t_not "$way: and the device does not exist" test -e "$MDEV_BUS/$UUID"
}

# In another PID namespace, the library cannot determine whether a device with a device node is in use.
free_apart()
{
	if [ -n "$(cdev)" ]; then
		busy apart 'free, but this cannot be determined'
		t_match 'and the error has the reason' 'PID namespace' "$out"
		host-linked "$SYSTEM" destroy "$UUID" >/dev/null 2>&1
	else
		free apart
	fi
}

# A process that has the group and "remove" open removes the device, and is not a guest.
second_destroy()
{
	create >/dev/null
	t_hold bash -c 'exec 3<>"$1" 4>"$2" && echo open && read -r _' first "$(group)" "$MDEV_BUS/$UUID/remove"
	busy host 'another destroy is under way'
	t_match 'and the error names the process' "is being destroyed by process $t_holder \(bash\)" "$out"
	t_let_go
	free host
}

is_open()
{
	readlink /proc/[0-9]*/fd/* 2>/dev/null | grep -qxF "$1"
}

# A process opens the device's node after the destroy has looked for one. The kernel deletes the node, and blocks the write to
# "remove" until that process closes it. The destroy, which is stopped until the node is deleted, returns nevertheless.
opened_during_removal()
{
	local node path job pid
	create >/dev/null
	node=$(cdev)
	if [ -z "$node" ]; then
		host-linked "$SYSTEM" destroy "$UUID" >/dev/null 2>&1
		t_skip 'a node that is opened during the removal' "kernel $(uname -r) has no /dev/vfio/devices"
		return
	fi
	path=$(readlink -f "$MDEV_BUS/$UUID/remove")
	# shellcheck disable=SC2016 # of the inner shell
	timeout -k 5 $((100 * MDEV_VM_SLACK)) strace -f -o /run/strace.log -P "$path" -e inject=write:delay_enter=3s \
		bash -c 'echo $$ >/run/destroy.pid && exec host-linked "$@"' - "$SYSTEM" destroy "$UUID" >/run/destroy.log 2>&1 &
	job=$!
	t_ok 'the removal has begun' t_until 20 is_open "$path"
	pid=$(cat /run/destroy.pid)
	kill -STOP "$pid"
	t_hold vfio-hold "$node"
	t_eq 'and a process opens the device' open "$t_held"
	t_ok 'the kernel deletes the node' t_until 20 test ! -e "$node"
	kill -CONT "$pid"
	t_ok 'the destroy returns' t_until 50 grep -q 'rc=' /run/destroy.log
	t_ok 'while the process has the node open' is_open "$node (deleted)"
	t_let_go
	wait "$job"
	out=$(cat /run/destroy.log)
	t_match 'the destroy is EBUSY' 'rc=-16 errno=16 code=14 ' "$out"
	t_match 'and the error names the process' "was opened while it was being removed: process $t_holder \(vfio-hold\) has $node open" "$out"
	t_ok 'then the device does not exist' t_until 20 test ! -e "$MDEV_BUS/$UUID"
}

# An ordinary user has files with the names of all nodes open, on a detached mount. The library runs without the right to make a
# node, so it cannot hold the group, and only the search for users decides.
foreign_names()
{
	t_ok 'create beside files with the names of nodes' create
	# shellcheck disable=SC2016 # of the inner shell
	t_hold setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Urm bash -c '
		mount -t tmpfs none /tmp && mkdir -p /tmp/vfio/devices || exit
		for ((n = 0; n < 400; n++)); do
			exec {fd}>"/tmp/vfio/$n" {fd}>"/tmp/vfio/devices/vfio$n" || exit
		done
		umount -l /tmp && echo open && read -r _'
	t_eq 'an ordinary user opens them and detaches their mount' open "$t_held"
	free unable
	t_let_go
}

# The library cannot start the process that writes "remove": nothing is removed, and the next destroy succeeds.
no_process()
{
	create >/dev/null
	if [ -z "$(cdev)" ]; then
		host-linked "$SYSTEM" destroy "$UUID" >/dev/null 2>&1
		t_skip 'a destroy without another process' "kernel $(uname -r) has no /dev/vfio/devices, so the destroy itself writes"
		return
	fi
	out=$(timeout -k 5 $((100 * MDEV_VM_SLACK)) strace -f -o /run/strace.log -e inject=clone,clone3,fork,vfork:error=EAGAIN \
		host-linked "$SYSTEM" destroy "$UUID" 2>&1)
	t_match 'a destroy without another process is EAGAIN' 'rc=-11 errno=11 code=[0-9]+ ' "$out"
	t_match 'and the error has the next step' \
		"device $UUID was not removed: cannot start a process that writes .*/remove: .*; try again when" "$out"
	t_ok 'the device is unchanged' test -e "$MDEV_BUS/$UUID/mdev_type"
	free host
}

without_nodes=0
t_install "${1-}"
t_drivers
for way in host bare unable; do
	in_use "$way"
	free "$way"
done
in_use apart
free_apart
second_destroy
foreign_names
no_process
opened_during_removal

# The library waits up to 2 s for a node. The shortest of several creates has no such wait. "mounted" starts as slowly as "bare"
# and keeps the nodes.
mounted() { unshare -m -- bash -c 'mount -t tmpfs none /mnt && exec "$@"' mounted "$@"; }
bare_ms=$(shortest_create bare)
host_ms=$(shortest_create mounted)
t_ok "creates with and without /dev/vfio succeed" test $((bare_ms + host_ms)) -lt 999999
t_ok "a create without /dev/vfio takes no longer ($bare_ms ms, with it $host_ms ms)" test $((bare_ms - host_ms)) -lt 1500

out=$(timeout "$LIMIT" open-race "$SYSTEM" mtty_mtty mtty-1 "$ROUNDS" 2>&1)
t_eq "an opener against $ROUNDS destroys: $(tail -n 1 <<<"$out")" "$(printf '%s' "$out" | tail -n 1)" "$out"
t_match 'no device was destroyed while it was open, and no destroy was blocked' 'dead=0 hung=0 .* faults=0' "$out"
[ "$without_nodes" = 0 ] || t_skip "device nodes in $without_nodes of 4 ways to run" "kernel $(uname -r) has no /dev/vfio/devices"
t_done
