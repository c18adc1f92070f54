#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 1 -a no_timer_check -q "-device edu -device edu -device pci-testdev" --module module guest/80-libvirt-embed.sh INSTALLED [RESULTS]
#
# libvirt's clients on the installed driver as mdev:///embed?root=/, on a real kernel: every layout, every call, events of
# other programs, an ordinary user.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"
# shellcheck source=libvirt.sh
. "$GUEST/libvirt.sh"

EMBED='mdev:///embed?root=/&other_buses=1&vendor_vfio=1'
U=5eed0080-0000-4000-8000-000000000001
NODE=mdev_${U//-/_}_mtty

embed()
{
	virsh -q -c "$EMBED" "$@"
}

# bdf DEVICE-ID: the first PCI device with this ID
bdf()
{
	grep -l "$1" /sys/bus/pci/devices/*/device | head -n 1 | sed -E 's|.*/([^/]+)/device|\1|'
}

node()
{
	printf 'pci_%s' "${1//[:.]/_}"
}

listed()
{
	embed nodedev-list | sed '/^$/d' | sort
}

lists()
{
	t_eq 'the list is equal to that of nodedev, plus the computer' "$( (nodedev list --json | jq -r '.[].name'; echo computer) | sort)" "$(listed)"
	t_eq '--tree: each once' "$(listed)" "$(embed nodedev-list --tree | sed -nE 's/^[ |+-]*([a-z].*)$/\1/p' | sort)"
	t_eq 'by default without parents on which Nova fails, and without vGPUs that are not on the mdev bus' \
		"$(listed | grep -v -e ^mdpy_ -e ^mbochs_ -e "^$(node $PF)$")" \
		"$(virsh -q -c "${EMBED%%&*}" nodedev-list | sed '/^$/d' | sort)"
	local name bad=()
	for name in $(listed); do
		embed nodedev-dumpxml "$name" >/run/node.xml
		virt-xml-validate /run/node.xml nodedev >/dev/null 2>&1 || bad+=("$name")
	done
	t_eq 'every dump is valid, except for types outside of a bus' 'mbochs_mbochs mdpy_mdpy mtty_mtty' "${bad[*]}"
}

# Whether virsh listens. It prints nothing before its first event.
listens()
{
	local marker=5eed0080-0000-4000-8000-00000000ffff
	echo $marker >"$MDEV_CLASS/mtty/mdev_supported_types/mtty-1/create"
	echo 1 >"$MDEV_BUS/$marker/remove"
	grep -q ffff_mtty /run/events
}

# Events of this connection and of others: through sysfs, by mdevctl, by the tool.
events()
{
	local pid
	stdbuf -oL virsh -q -c "$EMBED" nodedev-event --event lifecycle --loop --timeout 60 >/run/events 2>&1 &
	pid=$!
	t_ok 'virsh listens' t_until 30 listens
	echo "$U" >"$MDEV_CLASS/mtty/mdev_supported_types/mtty-1/create"
	echo 1 >"$MDEV_BUS/$U/remove"
	v_xml mtty_mtty mtty-2 "<uuid>$U</uuid>"
	embed nodedev-create $V_XML >/dev/null
	nodedev -q destroy "$U"
	mdevctl define -u "$U" -p mtty -t mtty-1
	mdevctl start -u "$U"
	embed nodedev-destroy "$NODE" >/dev/null
	embed nodedev-undefine "$NODE" >/dev/null
	t_ok 'the last event arrives' t_until 30 grep -q Undefined /run/events
	kill -INT "$pid"
	wait "$pid"
	t_eq 'events: sysfs, the tool, mdevctl, and this connection' 'Created Deleted Created Deleted Defined Created Deleted Undefined' \
		"$(sed -nE "s/.*'lifecycle' for node device $NODE: ([A-Za-z]+).*/\1/p" /run/events | paste -sd' ')"
}

ordinary_user()
{
	local out
	local -a user=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp virsh -q -c "$EMBED")
	t_eq 'an ordinary user sees the same list' "$(listed)" "$("${user[@]}" nodedev-list | sed '/^$/d' | sort)"
	v_xml mtty_mtty mtty-1
	chmod 644 $V_XML
	out=$("${user[@]}" nodedev-create $V_XML 2>&1)
	t_match 'and may not create, with the message of libmdev' 'error: operation forbidden: .*mtty.*/create' "$out"
}

t_install "$1"
t_drivers
t_udevd
# Without the definitions of the machine.
rm -rf /etc/mdevctl.d/*; mkdir -p /etc/mdevctl.d/scripts.d/{callouts,notifiers}
RFC=$(bdf 0x11e8)
GENERAL=$(bdf 0x0005)
PF=0000:41:00.0
echo 8 >"/sys/bus/pci/devices/$PF/lab_enable_vfs"
lists
t_program 'mtty: every call' calls.py "$EMBED" mtty_mtty mtty mtty-1
t_program 'mdpy: every call' calls.py "$EMBED" mdpy_mdpy mdpy mdpy-xga
t_program 'mbochs: every call' calls.py "$EMBED" mbochs_mbochs mbochs mbochs-small
t_program 'rfc: every call' calls.py "$EMBED" "$(node "$RFC")" "$RFC" 11
t_program 'general: every call' calls.py "$EMBED" "$(node "$GENERAL")" "$GENERAL" queue-1
t_program 'vendor-vfio: every call' calls.py "$EMBED" "$(node $PF)" $PF 1434
t_program "Nova's calls" nova.py "${EMBED%%&*}" "$(node "$RFC")" "$RFC" 11
t_program "the known defects of libvirt's own driver" defects.py "$EMBED" "$(node "$RFC")|$RFC|11" 'mdpy_mdpy|mdpy|mdpy-xga'
events
ordinary_user
t_eq 'nothing is left' '' "$(nodedev list --devices --inactive --json | jq -r '.[].name')$(ls $MDEV_BUS)"
t_done
