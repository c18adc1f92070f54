#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu" --vgpu 1 --module module guest/75-watch.sh INSTALLED [RESULTS [DEVICES]]
#
# A program that polls gets every event of other processes, in order and without loss: devices on the bus by the
# library and by echo, parents whose drivers are loaded and removed, VFs that become virtual GPUs, definitions. With a small buffer it
# gets an overrun, and its list is then right again. Its times and system calls are printed.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

DEVICES=${3:-1000}
SYSTEM=mdev:///system
TYPE=$MDEV_CLASS/mtty/mdev_supported_types/mtty-1
LAST=281474976710655

# uuid NUMBER
uuid()
{
	printf '5eed0000-0000-4000-8000-%012x' "$1"
}

# by_library FROM TO: one process creates and destroys the devices of these numbers, one after the other
by_library()
{
	local n
	for ((n = $1; n < $2; n++)); do
		printf "create -\n<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>%s</uuid></capability></device>\n.\ndestroy %s\n" \
			"$(uuid "$n")" "$(uuid "$n")"
	done >/run/commands
	nodedev -q -e </run/commands >/dev/null
}

# by_echo FROM TO
by_echo()
{
	local n u
	for ((n = $1; n < $2; n++)); do
		u=$(uuid "$n")
		echo "$u" >"$TYPE/create" && echo 1 >"$MDEV_BUS/$u/remove" || return 1
	done
}

# start WORD...: starts a program in the background and waits until it prints "ready"
start()
{
	local line=
	coproc WATCH { exec "$@" 2>&1; }
	# shellcheck disable=SC2153
	watch_pid=$WATCH_PID
	exec {watch_out}<&"${WATCH[0]}" {watch_in}>&"${WATCH[1]}"
	read -r -t 60 -u "$watch_out" line
	t_eq "ready: $*" ready "$line"
}

# finish NAME: the program must end with success; its output is in $said
finish()
{
	local rc=0
	said=$(timeout 150 cat <&"$watch_out")
	wait "$watch_pid" || rc=$?
	exec {watch_in}>&- {watch_out}<&-
	t_eq "$1" 0 "$rc"
	printf '# %s\n' "${said//$'\n'/$'\n'# }"
}

in_order()
{
	start mdev-watch $SYSTEM order "$DEVICES" stamps
	t_ok 'half of them by the library' by_library 0 $((DEVICES / 2))
	t_ok 'half of them by echo' by_echo $((DEVICES / 2)) "$DEVICES"
	finish "$DEVICES devices are reported when they are created and removed"
	start mdev-watch $SYSTEM late "$DEVICES"
	t_ok 'the same while the program does not receive' by_echo 0 "$DEVICES"
	echo >&"$watch_in"
	finish "$DEVICES devices are reported late, in order, without loss"
}

loss()
{
	start mdev-watch $SYSTEM overrun 8192
	t_ok 'too much for the room' by_echo 0 200
	uuid 5000 >"$TYPE/create"
	echo >&"$watch_in"
	local line=
	read -r -t 60 -u "$watch_out" line
	t_eq 'it gets an overrun, and lists' listed "$line"
	by_echo 300 303
	echo 1 >"$MDEV_BUS/$(uuid 5000)/remove"
	uuid $LAST >"$TYPE/create"
	finish 'its list is equal to the existing devices'
	echo 1 >"$MDEV_BUS/$(uuid $LAST)/remove"
}

# The number of system calls for each event of a device, while events are rare.
cost()
{
	local calls=() n i
	for n in 0 40; do
		start strace -f -c -S calls -o /run/calls.$n mdev-watch $SYSTEM order "$n"
		for ((i = 0; i < n; i++)); do
			by_echo "$i" $((i + 1))
		done
		finish "$n devices under strace"
		calls+=("$(awk '$NF == "total" { print $4 }' /run/calls.$n)")
	done
	echo "# $(((calls[1] - calls[0]) / 80)) system calls for each event of a device (two types on its parent), ${calls[0]} to begin with"
	t_ok 'an event costs far less than a list' test $(((calls[1] - calls[0]) / 80)) -lt 120
	strace -f -c -o /run/calls.list nodedev list --names >/dev/null
	echo "# $(awk '$NF == "total" { print $4 }' /run/calls.list) for nodedev list"
}

# events COUNT COMMAND...: prints the events that nodedev event reports while a command runs, one line each: event and name
events()
{
	local count=$1
	: >/run/events.log
	shift
	coproc EVENTS { exec nodedev -v event --count "$count" --timeout 60 2>/run/events.log; }
	local pid=$EVENTS_PID
	exec {events_out}<&"${EVENTS[0]}"
	# With -v it prints a line when it listens.
	t_until 20 grep -q 'listening' /run/events.log
	"$@"
	timeout 90 cat <&"$events_out" | awk '{ print $1, $2 }'
	wait "$pid"
	exec {events_out}<&-
}

parents()
{
	local out
	out=$(events 1 rmmod mdpy)
	t_eq 'a parent is removed with its driver' 'deleted mdpy_mdpy' "$out"
	out=$(events 1 modprobe mdpy)
	t_eq 'and appears with it' 'created mdpy_mdpy' "$out"
}

proposals()
{
	local rfc bdf u
	bdf=$(basename "$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1 | xargs dirname)")
	rfc=/sys/bus/pci/devices/$bdf
	u=$(uuid 1)
	make_rfc()
	{
		echo "$u" >"$rfc/mdev_supported_types/13/create"
	}
	t_match "the first proposal's devices" "created mdev_${u//-/_}_${bdf//[:.]/_}" "$(events 1 make_rfc)"
	drop_rfc()
	{
		echo "$u" >"$rfc/mdev_destroy"
	}
	t_match 'and their removal' "deleted mdev_${u//-/_}_${bdf//[:.]/_}" "$(events 1 drop_rfc)"
}

# The kernel sends no uevents about these.
vgpus()
{
	local pf out
	pf=$(dirname "$(ls /sys/bus/pci/devices/*/lab_enable_vfs)")
	enable()
	{
		echo 8 >"$pf/lab_enable_vfs"
	}
	out=$(events 1 enable)
	t_match 'VFs are enabled' '^updated pci_' "$out"
	set_type()
	{
		echo "$1" >"$pf/virtfn3/nvidia/current_vgpu_type"
	}
	out=$(events 2 set_type 1434)
	t_match 'a VF becomes a virtual GPU, by echo' '^created mdev_.*updated pci_' "${out//$'\n'/ }"
	# The shell truncates the file before it writes: a monitor that reads the VF in between sees another device of this type first.
	out=$(events 2 set_type 0)
	t_match 'and is deleted' '^deleted mdev_.*(updated pci_|created mdev_)' "${out//$'\n'/ }"
	t_eq 'and is not listed' '' "$(nodedev list --devices --json |
		jq -r --arg path "$(readlink -f "$pf/virtfn3")" '.[] | select(.path == $path) | .uuid')"
	printf "<device><name>mine</name><parent>%s</parent><capability type='mdev'><type id='1434'/></capability></device>\n" \
		"$(basename "$(readlink -f "$pf")")" >/run/vgpu.xml
	out=$(events 2 nodedev -q create /run/vgpu.xml)
	t_match 'a device of the library has its name' 'created mine updated pci_' "${out//$'\n'/ }"
	out=$(events 2 nodedev -q destroy mine)
	t_match 'when it is removed, too' 'deleted mine updated pci_' "${out//$'\n'/ }"
	disable()
	{
		echo 0 >"$pf/lab_enable_vfs"
	}
	disable
}

definitions()
{
	local u
	u=$(uuid 7)
	write()
	{
		mkdir -p /etc/mdevctl.d/mtty
		echo '{ "mdev_type": "mtty-1", "start": "manual", "attrs": [] }' >"/etc/mdevctl.d/mtty/$u"
	}
	t_eq 'a definition written in place' "defined mdev_${u//-/_}_mtty" "$(events 1 write)"
	t_eq 'a definition removed' "undefined mdev_${u//-/_}_mtty" "$(events 1 rm "/etc/mdevctl.d/mtty/$u")"
}

t_install "$1"
t_drivers
in_order
loss
cost
parents
proposals
vgpus
definitions
t_eq 'no device is left' '' "$(ls "$MDEV_BUS")"
t_done
