#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu" --module module guest/45-kill.sh INSTALLED [RESULTS [STEP]]
#
# A process is killed with SIGKILL before and after every system call of a create, then of a destroy, one run for each. After
# each: whoever comes next is served at once and gets its own parameters, at most the killed one's device is there, and
# that one is whole, listed and can be destroyed; no file of /run/libmdev is torn or left. STEP looks at every STEP-th point.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

VICTIM=c60cc60c-0000-4222-8333-444444444441
NEXT=c60cc60c-0000-4222-8333-444444444442
STEP=${3:-1}
faults=0

# complain WHEN WHAT...: the first few faults are shown, all are counted
complain()
{
	faults=$((faults + 1))
	[ "$faults" -gt 5 ] || printf '# %s: %s\n' "$@"
}

# xml FILE UUID ELEMENTS
xml()
{
	printf "<device><parent>%s</parent><capability type='mdev'><type id='11'/><uuid>%s</uuid>%s</capability>%s</device>\n" \
		"$PARENT" "$2" "$3" "${4-}" >"/run/$1"
}

# Whoever comes next, with and without parameters, and what they must see.
next_ones()
{
	local seen
	seen=$(timeout 20 nodedev -q 2>&1 <<-END
		create /run/next
		attr get next params
		destroy next
		create /run/plain
		attr get $NEXT params
		destroy $NEXT
	END
	)
	[ "$seen" = "$NEXT"$'\n'"theirs=2"$'\n'"$NEXT" ] || complain "$1" "the next ones saw: ${seen//$'\n'/ | }"
}

# The killed one's device: none, or whole.
victim()
{
	local dev=$MDEV_BUS/$VICTIM
	[ -e "$dev" ] || return 0
	left=$((left + 1))
	[ -e "$dev/mdev_type" ] && [ -e "$dev/iommu_group" ] || complain "$1" 'its device is not whole'
	nodedev -q info "$VICTIM" >/dev/null || complain "$1" 'its device is not listed'
	[ "$(cat "$dev/params")" = mine=1 ] || complain "$1" "its device has the parameters $(cat "$dev/params")"
	nodedev -q destroy "$VICTIM" || complain "$1" 'its device cannot be destroyed'
}

afterwards()
{
	victim "$1"
	next_ones "$1"
	[ -z "$(ls "$MDEV_BUS")" ] || complain "$1" "devices are left: $(ls "$MDEV_BUS")"
	[ -z "$(ls -A /run/libmdev/devices)" ] || complain "$1" "files are left: $(ls -A /run/libmdev/devices)"
	[ -z "$(cat "$P/lab_params")" ] || complain "$1" "parameters are left: $(cat "$P/lab_params")"
}

# every_point WHAT COMMAND...: kills the command at each of its points in turn; $prepare comes before each run
every_point()
{
	local what=$1 n=1 rc
	shift
	left=0
	faults=0
	while :; do
		$prepare
		killer "$n" "$@" >/dev/null 2>&1
		rc=$?
		[ "$rc" = 0 ] || break
		afterwards "$what, killed at $n"
		n=$((n + STEP))
	done
	t_eq "$what: at the end it is no longer killed" 10 "$rc"
	afterwards "$what, not killed"
	t_eq "$what: killed at $(((n - 1) / STEP)) points; faults" 0 "$faults"
	echo "# $what: $((n - 1)) points, the device was there after $left"
	t_ok "$what: there were points enough" test "$n" -gt 60
}

t_install "$1"
modprobe vfio_iommu_type1
PARENT=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1 | sed -E 's|.*/([^/]+)/device|\1|')
P=/sys/bus/pci/devices/$PARENT
xml victim "$VICTIM" '<group>5</group><params>mine=1</params>' '<name>victim</name>'
xml next "$NEXT" '<params>theirs=2</params>' '<name>next</name>'
xml plain "$NEXT" ''
start=$SECONDS
prepare=:
every_point create nodedev -q create /run/victim
prepare='nodedev -q create /run/victim'
every_point destroy nodedev -q destroy "$VICTIM" >/run/out
cat /run/out | grep -v "^$VICTIM\$"
echo "# $((SECONDS - start)) s"
t_done
