#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs that know nothing of libmdev on `nodedev simfs`: libvirtd with its own node-device driver and mdevctl, and eight processes of
# different tools at once.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

if ! "$NODEDEV" simfs -- true 2>/dev/null; then
	echo '1..0 # SKIP no /dev/fuse, or no user namespaces'
	exit 0
fi
export PATH=$PATH:/usr/sbin:/sbin NODEDEV

# A private libvirtd with only its own node-device driver; the commands of virsh are on standard input, their output in order.
cat >libvirt.sh <<'END'
mkdir -p /run/libvirt/home /run/libvirt/drivers
ln -s "$1" /run/libvirt/drivers/
export HOME=/run/libvirt/home XDG_CACHE_HOME=/run/libvirt/home LIBVIRT_DRIVER_DIR=/run/libvirt/drivers SYSTEMD_DEVICE_VERIFY_SYSFS=0
printf '%s\n' 'auth_unix_rw = "none"' 'auth_unix_ro = "none"' 'unix_sock_dir = "/run/libvirt"' 'log_outputs = "3:stderr"' >/run/libvirt/conf
uri='nodedev:///system?socket=/run/libvirt/libvirt-sock'
start()
{
	libvirtd -f /run/libvirt/conf --pid-file /run/libvirt/pid 2>/run/libvirt/log &
	daemon=$!
	for ((n = 0; n < 600; n++)); do
		# libvirtd answers before it has read /sys.
		virsh -q -c "$uri" nodedev-list 2>/dev/null | grep -q pci_0000_c1_00_0 && break
		read -r -t 0.2 <> <(:)
	done
}
stop()
{
	kill $daemon
	wait $daemon
	echo "libvirtd: $?"
}
start
while read -r command; do
	case $command in
	# Without uevents, libvirtd reads the active devices only at its start.
	restart) stop; start ;;
	*) virsh -c "$uri" "$command" 2>&1 | grep . ;;
	esac
done
stop
END

uuid=11111111-2222-4333-8444-555555555555
device=mdev_${uuid//-/_}_0000_00_02_0
driver=$(find /usr/lib /usr/lib64 -name libvirt_driver_nodedev.so -print -quit 2>/dev/null)
if [ -n "$driver" ] && command -v libvirtd >/dev/null && command -v virsh >/dev/null && command -v mdevctl >/dev/null; then
	cat >device.xml <<-END
		<device><parent>pci_0000_00_02_0</parent><capability type='mdev'><type id='i915-GVTg_V5_8'/><uuid>$uuid</uuid></capability></device>
	END
	run "$NODEDEV" simfs -- bash libvirt.sh "$driver" <<-END
		nodedev-list --cap mdev_types
		nodedev-define device.xml
		nodedev-list --cap mdev --inactive
		nodedev-start $device
		nodedev-autostart $device
		nodedev-dumpxml pci_0000_00_02_0
		restart
		nodedev-info $device
		nodedev-list --cap mdev
		nodedev-destroy $device
		restart
		nodedev-list --cap mdev
		nodedev-undefine $device
		restart
		nodedev-list --cap mdev --all
	END
	rc_is 0 'libvirtd on the served host'
	sed -n '/^ *</!p' .out >shown
	out=$(cat shown)
	out_is "ap_matrix
css_0_0_0052
pci_0000_00_02_0
Node device '$device' defined from 'device.xml'
$device
Device $device started
Device $device marked as autostarted
libvirtd: 0
Name:           $device
Parent:         pci_0000_00_02_0
Active:         yes
Persistent:     yes
Autostart:      yes
$device
mdev_b5f1e9a6_7d3c_4a52_9c8e_2f60d41b7a93_0000_00_02_0
Destroyed node device '$device'
libvirtd: 0
mdev_b5f1e9a6_7d3c_4a52_9c8e_2f60d41b7a93_0000_00_02_0
Undefined node device '$device'
libvirtd: 0
mdev_b5f1e9a6_7d3c_4a52_9c8e_2f60d41b7a93_0000_00_02_0
libvirtd: 0" 'virsh: list, define, start, autostart, destroy and undefine'
	grep -A2 "<type id='i915-GVTg_V5_8'>" .out | grep -q '<availableInstances>6<'
	t_result $? 'virsh: the XML of a parent has the types with what is left'
else
	skip 'libvirtd, virsh or mdevctl is not installed'
fi

# The C tests of the library, on the served host instead of the host in their own memory. Tests of uevents are not among them.
tests=${EXAMPLES%/*}/c-tests
for name in define error badxml threads problems options rfc; do
	if [ -x "$tests/api-$name" ]; then
		run "$NODEDEV" simfs -- env MDEV_TEST_HOST=mdev:///system "$tests/api-$name"
		rc_is 0 "api-$name on the served host, $(grep -c '^ok' .out) checks"
	else
		skip "api-$name is not built"
	fi
done

# Eight processes of three tools for some seconds: each creates and removes its own devices; the counts are right at the end.
cat >stress.sh <<'END'
gpu=/sys/class/mdev_bus/0000:00:02.0/mdev_supported_types/i915-GVTg_V5_8
by_echo()
{
	local uuid
	uuid=$(cat /proc/sys/kernel/random/uuid)
	echo "$uuid" >$gpu/create && echo 1 >/sys/bus/mdev/devices/"$uuid"/remove
}
by_mdevctl()
{
	local uuid
	uuid=$(mdevctl start -p 0000:00:02.0 -t i915-GVTg_V5_8) && mdevctl stop -u "$uuid"
}
by_nodedev()
{
	local uuid
	uuid=$("$NODEDEV" -q create --parent "$1" --type "$2") && "$NODEDEV" -q destroy "$uuid"
}
worker()
{
	local rounds=0
	while [ "$SECONDS" -lt "$seconds" ]; do
		"$@" || { echo "failed: $*"; return 1; }
		rounds=$((rounds + 1))
	done
	echo "$rounds rounds: $*"
}
seconds=$1
for n in 1 2; do worker by_echo & worker by_nodedev 86:00.0 11 & worker by_nodedev 41:00.0 1438 & done
worker by_nodedev 00:02.0 i915-GVTg_V5_8 &
if command -v mdevctl >/dev/null; then worker by_mdevctl & else worker by_echo & fi
wait
"$NODEDEV" types --json | jq -c 'map({ (.parent): (.types | map(.availableInstances)) }) | add'
"$NODEDEV" -q list --devices -o UUID
ls /run/libmdev/devices
END
nodedev types --json
before=$(jq -c 'map({ (.parent): (.types | map(.availableInstances)) }) | add' .out)
seconds=10
[ "${MDEV_VM_ALL:-}" != 1 ] || seconds=60
nodedev simfs -- bash stress.sh $seconds
rc_is 0
out_lacks failed 'eight processes: nothing fails'
out_has "$before"$'\nb5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93' 'eight processes: counts, devices and records are as before'
[ "$(tail -n 1 <<<"$out")" = b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93 ]
t_result $? 'eight processes: no record is left'
grep ' rounds' <<<"$out" | sed 's/^/# /'

t_end
