#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu -device intel-iommu" -a intel_iommu=on guest/82-libvirt-overlay.sh INSTALLED [RESULTS]
#
# An unmodified libvirtd with all of its drivers, and libmdev's nodes among its own: installed, enabled, used through nodedev:///system
# and qemu:///system, given to a guest, restarted with devices, disabled again.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"
# shellcheck source=libvirt.sh
. "$GUEST/libvirt.sh"

U=5eed0082-0000-4000-8000-000000000001
NODE=mdev_${U//-/_}_mtty
V_URI="nodedev:///system?socket=$V_SOCKET"
WITHOUT_UUID='/<capability type=.system.>/,/<\/capability>/{/<uuid>/d}'
Q_URI="qemu:///system?socket=$V_SOCKET"

# As systemd does: a command with a "-" may fail.
before_start()
{
	sed -n 's/^ExecStartPre=-//p' /run/host/etc/systemd/system/libvirtd.service.d/libmdev.conf >/run/pre
	sh /run/pre
	cat "$(sed -n 's/^EnvironmentFile=-//p' /run/host/etc/systemd/system/libvirtd.service.d/libmdev.conf)"
}

# The VM has no systemd: the script reads the drop-in of the tool and runs its commands.
enable()
{
	local self module
	self=$(command -v libmdev-libvirt)
	module=$(sed -n 's/^module=//p' "$self")
	t_ok 'enable' env LIBMDEV_LIBVIRT_ROOT=/run/host libmdev-libvirt enable
	t_ok 'status: enabled' env LIBMDEV_LIBVIRT_ROOT=/run/host libmdev-libvirt status
	t_eq 'a failed command before the daemon does not prevent its start' '' \
		"$(grep '^Exec' /run/host/etc/systemd/system/libvirtd.service.d/libmdev.conf | grep -v '^ExecStartPre=-')"
	t_eq 'the daemon gets the folder of its drivers' 'LIBVIRT_DRIVER_DIR=/run/libmdev-libvirt' "$(before_start)"
	mv "$module" "$module.away"
	t_eq 'without the module it uses its own folder' '' "$(before_start 2>/dev/null)"
	mv "$module.away" "$module"
	mv "$self" "$self.away"
	t_eq 'without the tool, too' '' "$(before_start 2>/dev/null)"
	mv "$self.away" "$self"
	t_ok 'and with both again the folder of the tool' before_start
	t_ok 'the folder has every driver of libvirt' sh -c \
		"for f in $DRIVERS/*.so; do [ -e /run/libmdev-libvirt/\${f##*/} ] || exit 1; done"
	t_ok 'disable' env LIBMDEV_LIBVIRT_ROOT=/run/host libmdev-libvirt disable
	t_not 'status: disabled' env LIBMDEV_LIBVIRT_ROOT=/run/host libmdev-libvirt status
	t_eq 'and no file is left' '' "$(find /run/host -type f -o -type l)"
}

beside_stock()
{
	local name bad=()
	t_eq "the nodes are those of libvirt's own driver" '' "$(diff /run/stock.list <(v nodedev-list | sed '/^$/d' | sort))"
	# A machine without a UUID gets another UUID from libvirt at each start.
	while read -r name; do
		diff <(v nodedev-dumpxml "$name" | sed "$WITHOUT_UUID") <(sed "$WITHOUT_UUID" "/run/stock/$name") >&2 || bad+=("$name")
	done </run/stock.list
	t_eq 'and their XML is the same, also of mtty, which libmdev serves' '' "${bad[*]}"
	t_eq 'qemu:///system has the same nodes' '' "$(diff <(v nodedev-list) <(q nodedev-list))"
	t_eq 'the parents' mtty_mtty "$(v_names --cap mdev_types)"
}

# Parents that libvirt does not list, with the setting that shows them.
other_buses()
{
	mkdir -p /etc/libmdev
	echo 'other_buses = 1' >/etc/libmdev/libvirt.conf
	v_ended 'the daemon exits cleanly'
	v_start
	t_eq 'parents that libvirt does not list' 'mbochs_mbochs mdpy_mdpy' "$(comm -13 /run/stock.list <(v nodedev-list | sed '/^$/d' | sort) | paste -sd' ')"
	t_eq 'the parents' 'mbochs_mbochs mdpy_mdpy mtty_mtty' "$(v_names --cap mdev_types)"
}

# The qemu driver gets the XML of a PCI function from the node-device driver.
detach()
{
	local edu dev
	edu=$(grep -l 0x11e8 /run/stock/* | sed 's|.*/||')
	dev=$(sed -nE 's|.*<path>/sys/devices/(.*)</path>|/sys/devices/\1|p' "/run/stock/$edu")
	t_ok 'nodedev-detach' q nodedev-detach "$edu"
	t_eq 'the function is bound to vfio-pci' vfio-pci "$(basename "$(readlink "$dev/driver")")"
	t_ok 'nodedev-reset' q nodedev-reset "$edu"
	t_ok 'nodedev-reattach' q nodedev-reattach "$edu"
	t_not 'and has no driver again' test -e "$dev/driver"
}

guest()
{
	printf '%s\n' "<domain type='qemu'><name>g</name><memory unit='MiB'>64</memory><os><type machine='pc'>hvm</type></os><devices>" \
		"$1<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>" >/run/guest.xml
}

a_guest_has_it()
{
	local hostdev
	v_xml mtty_mtty mtty-1 "<uuid>$U</uuid>"
	t_ok 'a device' v nodedev-create $V_XML
	hostdev=$(nodedev info --json "$NODE" | jq -r .hostdevXML)
	t_match 'the element for a guest' "<hostdev mode='subsystem' type='mdev'.*$U" "$(tr -d '\n' <<<"$hostdev")"
	guest "$hostdev"
	t_ok 'a guest starts with it' q create /run/guest.xml
	t_match 'QEMU has the device' '4348:3253' "$(q qemu-monitor-command --hmp g 'info pci')"
	t_match 'destroy is refused while it runs' "error: resource busy: .*$U.* in use" "$(v nodedev-destroy "$NODE" 2>&1)"
	t_ok 'the device is there' test -e "$MDEV_BUS/$U"
	t_match 'another guest cannot use it' 'in use' \
		"$(sed 's|<name>g|<name>h|' /run/guest.xml >/run/other.xml; q create /run/other.xml 2>&1)"
	t_ok 'the guest ends' q destroy g
	t_ok 'then destroy succeeds' v nodedev-destroy "$NODE"
	t_not 'and the device does not exist' test -e "$MDEV_BUS/$U"
}

restart()
{
	local before after
	v_xml mtty_mtty mtty-1 "<uuid>$U</uuid>"
	v nodedev-define $V_XML >/dev/null
	v nodedev-autostart "$NODE" >/dev/null
	v nodedev-start "$NODE" >/dev/null
	v_xml mdpy_mdpy mdpy-xga
	v nodedev-create $V_XML >/dev/null
	before=$(v nodedev-list --all; v nodedev-dumpxml "$NODE"; v nodedev-info "$NODE")
	kill -HUP "$V_PID"
	t_ok 'the daemon reloads' t_until 30 grep -q 'Reloading configuration' "$V_LOG"
	after=$(v nodedev-list --all; v nodedev-dumpxml "$NODE"; v nodedev-info "$NODE")
	t_eq 'reloaded: nodes and XML are unchanged' "$before" "$after"
	v_ended 'the daemon exits cleanly'
	v_start
	after=$(v nodedev-list --all; v nodedev-dumpxml "$NODE"; v nodedev-info "$NODE")
	t_eq 'restarted: nodes and XML are unchanged' "$before" "$after"
	for name in $(v_names --cap mdev); do v nodedev-destroy "$name" >/dev/null; done
	v nodedev-undefine "$NODE" >/dev/null
}

going_back()
{
	v_ended 'the daemon exits cleanly'
	rm -rf /run/libmdev-libvirt
	v_start stock
	t_eq "libvirt's own nodes, and no other" '' "$(diff /run/stock.list <(v nodedev-list --all | sed '/^$/d' | sort))"
	t_not 'the daemon has not loaded libmdev' grep mdev "/proc/$V_PID/maps"
	v_ended 'the daemon exits cleanly without libmdev'
}

t_install "$1"
t_drivers
t_udevd
udevadm trigger
udevadm settle
# Without the definitions of the machine.
rm -rf /etc/mdevctl.d/*; mkdir -p /etc/mdevctl.d/scripts.d/{callouts,notifiers} /run/stock
DRIVERS=$(dirname "$(dpkg -L libvirt-daemon | grep 'libvirt_driver_nodedev\.so$')")
enable
v_config
v_start stock
v nodedev-list --all | sed '/^$/d' | sort >/run/stock.list
while read -r name; do v nodedev-dumpxml "$name" >"/run/stock/$name"; done </run/stock.list
v_ended 'stock: the daemon exits cleanly'
v_start
beside_stock
detach
t_program "Nova's calls" nova.py "$Q_URI" mtty_mtty mtty mtty-1
other_buses
t_program "the known defects of libvirt's own driver" defects.py "$V_URI" 'mtty_mtty|mtty|mtty-1' 'mdpy_mdpy|mdpy|mdpy-xga'
a_guest_has_it
restart
going_back
t_eq 'no device is left' '' "$(ls $MDEV_BUS)"
t_done
