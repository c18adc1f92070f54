#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 1 --module module --share RESULTS guest/72-reboot.sh INSTALLED RESULTS before|after
#
# Two boots with one store. After the second, each device with autostart starts as soon as its parent exists: a module
# that is inserted late, or VFs that are enabled late, by the udev rule. The other devices do not start. No device starts before the
# rule is enabled, and where mdevctl's rule can work, ours skips the mdev bus.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

RESULTS=$2
AUTO=a0000000-1111-4222-8333-444444444444
THEIRS=a0000001-1111-4222-8333-444444444444
MANUAL=a0000002-1111-4222-8333-444444444444
LATE=a0000003-1111-4222-8333-444444444444
ABSENT=a0000004-1111-4222-8333-444444444444
VGPU=a0000005-1111-4222-8333-444444444444
ONE_VF=a0000006-1111-4222-8333-444444444444
MANUAL_VGPU=a0000007-1111-4222-8333-444444444444
SECOND_VGPU=a0000008-1111-4222-8333-444444444444
THEIR_RULE=/usr/lib/udev/rules.d/60-mdevctl.rules

ours()
{
	persist mdev:///system "$@"
}

# define UUID PARENT TYPE 0|1
define()
{
	printf "<device><parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid></capability></device>\n" \
		"$2" "$3" "$1" >/run/define.xml
	ours define /run/define.xml >/dev/null && ours set "$1" "$4"
}

# The running devices in the order of UUIDs: the last digit of the first group of each.
running()
{
	ours list | sed -nE 's/^a000000(.).* active .*/\1/p' | sort | tr -d '\n'
}

# runs WHICH: for t_until
runs()
{
	[ "$(running)" = "$1" ]
}

find_gpu()
{
	PF=$(grep -l . /sys/bus/pci/devices/*/lab_enable_vfs | sed -E 's|.*/([^/]+)/lab_enable_vfs|\1|')
	# Empty while there are no VFs.
	VF=$(basename "$(readlink "/sys/bus/pci/devices/$PF/virtfn3")")
}

before()
{
	t_drivers mtty mdpy
	find_gpu
	echo 8 >"/sys/bus/pci/devices/$PF/lab_enable_vfs"
	t_until 20 test -e "/sys/bus/pci/devices/$PF/virtfn7/nvidia/current_vgpu_type"
	find_gpu
	t_ok 'defined on mtty, with autostart' define "$AUTO" mtty mtty-1 1
	t_ok 'the same by mdevctl' mdevctl define --uuid "$THEIRS" --parent mtty --type mtty-1 --auto
	t_ok 'without' define "$MANUAL" mtty mtty-1 0
	t_ok 'on mdpy' define "$LATE" mdpy mdpy-xga 1
	t_ok 'on a parent that never exists' define "$ABSENT" 0000:99:00.0 11 1
	t_ok 'on a PF' define "$VGPU" "$PF" 1431 1
	t_ok 'another device on the PF' define "$SECOND_VGPU" "$PF" 1431 1
	t_ok 'on a VF' define "$ONE_VF" "$VF" 1431 1
	t_ok 'on a PF, without autostart' define "$MANUAL_VGPU" "$PF" 1431 0
	t_ok 'a device without autostart is started by hand' ours start "$MANUAL"
	t_eq 'all devices with autostart start' 6 "$(nodedev -q start --autostart >/dev/null; running | sed 's/2//' | tr -d '\n' | wc -c)"
	ours list | sed 's/ active / inactive /' | sort >"$RESULTS/defined"
	echo "$VF" >"$RESULTS/vf"
	mkdir -p /etc/libmdev
	tar -C / -cf "$RESULTS/store.tar" etc/mdevctl.d etc/libmdev
}

after()
{
	t_eq 'no device has survived the reboot' '' "$(ls "$MDEV_BUS" 2>/dev/null)"
	rm -rf /etc/mdevctl.d /etc/libmdev
	tar -C / -xf "$RESULTS/store.tar" --no-same-owner
	t_eq 'all definitions have survived' "$(cat "$RESULTS/defined")" "$(ours list | sed 's/ computer / PARENT /' | sort |
		join -o 1.1,2.2,1.3,1.4,1.5,1.6 - "$RESULTS/defined")"
	# mdevctl's rule of Debian 12 runs a program that does not exist; beside_mdevctl() repairs and tests it.
	mv "$THEIR_RULE" /run/
	t_udevd
	not_enabled
	late_modules
	late_functions
	beside_mdevctl
	with_systemd
}

not_enabled()
{
	modprobe -a vfio_iommu_type1 mtty
	udevadm settle --timeout=30
	t_eq 'nothing starts before the rule is enabled' '' "$(running)"
	rmmod mtty
	mkdir -p /etc/libmdev
	: >/etc/libmdev/autostart
}

late_modules()
{
	modprobe mtty
	t_ok 'a late module: its definitions start, also the definition of mdevctl' t_until 60 runs 01
	modprobe mdpy
	t_ok 'another module' t_until 60 runs 013
	udevadm settle --timeout=30
	t_eq 'and nothing else' 013 "$(running)"
	rmmod mdpy
	t_eq 'its devices are removed with a module' 01 "$(running)"
	modprobe mdpy
	t_ok 'and start again with it' t_until 60 runs 013
	t_eq 'an autostart by hand then starts no device' 0 "$(ours autostart)"
}

late_functions()
{
	find_gpu
	echo 8 >"/sys/bus/pci/devices/$PF/lab_enable_vfs"
	t_ok 'late VFs: two devices on the PF, and the device on the named VF' t_until 100 runs 013568
	t_eq 'on that VF' "$(cat "$RESULTS/vf")" "$(ours xml "$ONE_VF" | sed -nE 's|.*<path>.*/([^/]+)</path>|\1|p')"
	udevadm settle --timeout=60
	t_eq 'and nothing else' 013568 "$(running)"
}

# The programs that udev would run for a parent.
rules_for()
{
	udevadm test --action=change "$1" 2>/dev/null
}

beside_mdevctl()
{
	local mtty=/sys/devices/virtual/mtty/mtty
	t_match 'our rule has run nodedev' 'nodedev -q start --autostart mtty' "$(rules_for $mtty)"
	mv /run/60-mdevctl.rules "$THEIR_RULE"
	udevadm control --reload
	t_match "where mdevctl's rule cannot work, our rule runs" 'nodedev -q start --autostart mtty' "$(rules_for $mtty)"
	ln -s ../bin/mdevctl /usr/sbin/mdevctl
	t_eq 'where it can work, our rule does nothing' '' "$(rules_for $mtty | grep nodedev)"
	t_match 'except for VFs, which mdevctl does not support' 'nodedev -q start --autostart' \
		"$(rules_for "/sys/bus/pci/devices/$(cat "$RESULTS/vf")")"
	rmmod mtty
	modprobe mtty
	t_ok 'and mdevctl starts our definitions' t_until 60 runs 013568
	rm "$THEIR_RULE"
	udevadm control --reload
}

# The service that the rule starts when a VF becomes ready; at most one.
wanted_for()
{
	rules_for "/sys/bus/pci/devices/$1" | sed -nE 's/.*SYSTEMD_WANTS=(.*)/\1/p'
}

with_systemd()
{
	local mtty=/sys/devices/virtual/mtty/mtty seen unit vf other
	# The prefix of the installation is unknown.
	unit=$(find /usr/lib/systemd/system /usr/local/lib/systemd/system -name libmdev-autostart.service 2>/dev/null | head -n 1)
	mkdir -p /run/systemd/system
	seen=$(rules_for $mtty)
	t_match 'with systemd, the rule starts a service' 'SYSTEMD_WANTS=libmdev-autostart@mtty.service' "$seen"
	t_eq 'and udev runs no program' '' "$(grep 'run:.*nodedev' <<<"$seen")"
	vf=$(cat "$RESULTS/vf")
	other=$(basename "$(readlink "/sys/bus/pci/devices/$PF/virtfn0")")
	t_eq 'a VF has its own service' "libmdev-autostart@$vf.service" "$(wanted_for "$vf")"
	t_eq 'also if only its PF has definitions' "libmdev-autostart@$other.service" "$(wanted_for "$other")"
	# udev keeps the result of the program of another rule.
	mkdir -p /run/udev/rules.d
	echo 'SUBSYSTEM=="pci", PROGRAM=="/bin/echo nowhere"' >/run/udev/rules.d/50-other.rules
	udevadm control --reload
	t_eq 'independent of the results of other rules' "libmdev-autostart@$other.service" "$(wanted_for "$other")"
	mv "/etc/mdevctl.d/$PF" /run/
	t_eq 'and no service for a parent without definitions' '' "$(wanted_for "$other")"
	mv "/run/$PF" /etc/mdevctl.d/
	rm /run/udev/rules.d/50-other.rules
	udevadm control --reload
	t_ok 'systemd takes the units' timeout 60 systemd-analyze verify --man=no \
		"$unit" "${unit%.service}@mtty.service"
	rm /etc/libmdev/autostart
	t_eq 'not enabled again: nothing' '' "$(rules_for $mtty | grep libmdev-autostart@)"
	mkdir -p /etc/systemd/system/multi-user.target.wants
	ln -s "$unit" /etc/systemd/system/multi-user.target.wants/libmdev-autostart.service
	t_match 'a unit that is enabled enables the rule' 'libmdev-autostart@mtty' "$(rules_for $mtty)"
}

t_install "$1"
case $3 in
before)
	before
	echo "t_count=$t_count t_failed=$t_failed" >"$RESULTS/tap"
	;;
after)
	# Continues the counts of the first boot: both boots have one TAP plan.
	# shellcheck source=/dev/null
	. "$RESULTS/tap"
	after
	t_done
	;;
esac
