#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run [--share RESULTS] guest/10-merged.sh INSTALLED [RESULTS]
#
# The merged kernel interface through the installed library: lists, creates, refusals, owners, QEMU, other tools, an ordinary
# user; then the same steps on a simulated host from a dump of this VM, errno for errno. INSTALLED is the output of
# "install-for-vm". RESULTS keeps the dump and the output of each program.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

SYSTEM=mdev:///system
ECHO_UUID=0ec40000-1111-4222-8333-444444444444
OURS=00005e7f-1111-4222-8333-444444444444
THEIRS=00007e57-1111-4222-8333-444444444444
OUT=${2:-/run/results}

# Devices of other programs: one on mtty, and all instances of mdpy.
others_make_devices()
{
	local i
	echo "$ECHO_UUID" >"$MDEV_CLASS/mtty/mdev_supported_types/mtty-1/create" || return 1
	for i in 0 1 2 3; do
		echo "0000000$i-2222-4222-8333-444444444444" >"$MDEV_CLASS/mdpy/mdev_supported_types/mdpy-xga/create" ||
			return 1
	done
}

# Every type of this kernel has a device_api, so one type shows the layout of its parent.
create_lists_no_types()
{
	local log=/run/create.log
	t_ok 'a create is traced' strace -f -y -e trace=getdents64,openat,openat2 -o "$log" \
		host-linked "$SYSTEM" create mtty_mtty mtty-1 "$OURS"
	t_ok 'a create opens the folder of its type' grep -q 'mdev_supported_types/mtty-1"' "$log"
	t_not 'and does not list the types of the parent' grep -q 'getdents64(.*mdev_supported_types>' "$log"
	t_ok 'the device of the traced create is destroyed' host-linked "$SYSTEM" destroy "$OURS"
}

# Runs the sequence on the kernel and on a replay of its dump, with one of the two programs.
both_hosts()
{
	local host=$1
	t_ok "$host: the kernel's host is dumped" sh -c "$host $SYSTEM dump >$OUT/$host.xml"
	t_ok "$host: lists and types are equal to sysfs, all steps have the expected result" \
		sh -c "$host $SYSTEM steps sysfs >$OUT/$host.kernel"
	grep '^FAULT' "$OUT/$host.kernel" | sed 's/^/# /'
	t_ok "$host: all steps hold on the replay" sh -c "$host test://$OUT/$host.xml steps >$OUT/$host.replay"
	grep '^FAULT' "$OUT/$host.replay" | sed 's/^/# /'
	# A dump does not contain how types share the free instances; everything else is equal, errno for errno.
	t_eq "$host: kernel and replay have the same output" '' \
		"$(diff <(steps_of "$OUT/$host.kernel") <(steps_of "$OUT/$host.replay"))"
	t_eq "$host: no device of the steps is left" '0000000?-2222-4222-8333-444444444444 x 4' \
		"$(find "$MDEV_BUS/" -mindepth 1 -printf '%f\n' | sed 's/^\(.......\)./\1?/' | uniq -c | awk '{ print $2, "x", $1 }')"
	# The steps destroyed the device; the next steps need it again.
	echo "$ECHO_UUID" >"$MDEV_CLASS/mtty/mdev_supported_types/mtty-1/create"
}

steps_of()
{
	grep -v -e '^FAULT' -e '^capacity' "$1"
}

# Other tools list our devices, and the library lists theirs.
other_tools()
{
	t_ok 'create by the library' host-linked "$SYSTEM" create mtty_mtty mtty-1 "$OURS"
	t_match 'mdevctl lists it' "$OURS mtty mtty-1" "$(mdevctl list)"
	t_ok 'mdevctl starts a device' mdevctl start -u "$THEIRS" -p mtty -t mtty-2
	t_match 'the library lists it' "mdev_${THEIRS//-/_}_mtty " "$(host-linked "$SYSTEM" list)"
	t_ok 'the library destroys it' host-linked "$SYSTEM" destroy "$THEIRS"
	t_not 'and it does not exist' test -e "$MDEV_BUS/$THEIRS"
}

qemu_text()
{
	"$1" "$SYSTEM" qemu "$2" | sed -n 's/^qemu=//p'
}

# A guest has the device: destroy fails at once and changes nothing.
device_in_use()
{
	local host=$1 text out
	text=$(qemu_text "$host" "$OURS")
	t_eq "$host: the text for QEMU" "vfio-pci,sysfsdev=$MDEV_BUS/$OURS" "$text"
	t_ok "$host: QEMU attaches the device with that text" t_qemu "guest" -device "$text"
	t_match "$host: QEMU shows the serial card" '4348:3253' "$("$GUEST/monitor" /run/guest.sock 'info pci')"
	out=$(timeout 20 "$host" "$SYSTEM" destroy "$OURS" 2>&1)
	t_match "$host: destroy in use is EBUSY" 'rc=-16 errno=16 code=14 ' "$out"
	printf '# %s\n' "$out" | grep took
	t_ok "$host: the device is still there" test -e "$MDEV_BUS/$OURS/mdev_type"
	t_match "$host: QEMU still has it" '4348:3253' "$("$GUEST/monitor" /run/guest.sock 'info pci')"
	t_match "$host: and it is listed" "mdev_${OURS//-/_}_mtty " "$("$host" "$SYSTEM" list)"
	t_ok "$host: QEMU ends" t_qemu_end guest
	t_ok "$host: then destroy succeeds" host-linked "$SYSTEM" destroy "$OURS"
	t_not "$host: and the device does not exist" test -e "$MDEV_BUS/$OURS"
}

# For comparison: mdevctl stops a device in use. Only the end of QEMU frees the device.
mdevctl_hangs()
{
	local pid
	t_ok 'a device for mdevctl to stop' host-linked "$SYSTEM" create mtty_mtty mtty-1 "$THEIRS"
	t_ok 'QEMU attaches it' t_qemu sacrifice -device "$(qemu_text host-linked "$THEIRS")"
	mdevctl stop -u "$THEIRS" >/dev/null 2>&1 &
	pid=$!
	disown "$pid"
	t_ok 'mdevctl stop: the device is removed while QEMU has it' t_until 20 test ! -e "$MDEV_BUS/$THEIRS"
	kill -KILL "$pid"
	t_ok 'mdevctl stop: SIGKILL does not end it' t_until 10 grep -q '^State:.D' "/proc/$pid/status"
	t_ok 'QEMU ends' t_qemu_end sacrifice
	t_ok 'mdevctl ends after it' t_until 10 t_gone "$pid"
}

ordinary_user()
{
	local host=$1 out
	local -a user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	out=$("${user[@]}" "$host" "$SYSTEM" list 2>&1)
	t_eq "$host: an ordinary user sees the same list" "$("$host" "$SYSTEM" list)" "$out"
	out=$("${user[@]}" "$host" "$SYSTEM" create mtty_mtty mtty-1 "$OURS" 2>&1)
	t_match "$host: a create is EACCES with a message" \
		'create: rc=-13 errno=13 code=18 .*/create.*(Permission denied|root)' "$out"
	printf '%s\n' "$out" | sed 's/^/# /'
	t_not "$host: no device was created" test -e "$MDEV_BUS/$OURS"
	out=$("${user[@]}" "$host" "$SYSTEM" destroy "$ECHO_UUID" 2>&1)
	t_match "$host: and EACCES on destroy" 'destroy: rc=-13 errno=13 code=18 ' "$out"
	printf '%s\n' "$out" | sed 's/^/# /'
	t_ok "$host: nothing was destroyed" test -e "$MDEV_BUS/$ECHO_UUID"
}

t_install "$1"
mkdir -p "$OUT"
t_drivers
t_udevd
t_ok 'others make devices' others_make_devices
create_lists_no_types
both_hosts host-linked
both_hosts host-plugin
t_eq 'both programs print the same on the kernel' '' "$(diff "$OUT/host-linked.kernel" "$OUT/host-plugin.kernel")"
other_tools
device_in_use host-linked
t_ok 'a device for the plugin' host-plugin "$SYSTEM" create mtty_mtty mtty-1 "$OURS"
device_in_use host-plugin
mdevctl_hangs
ordinary_user host-linked
ordinary_user host-plugin
t_done
