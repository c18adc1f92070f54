#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run guest/84-libvirt-clients.sh INSTALLED [RESULTS]
#
# Eight clients of one libvirtd for a minute, on a real kernel: the lists and the events are complete and correct.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"
# shellcheck source=libvirt.sh
. "$GUEST/libvirt.sh"

V_URI="nodedev:///system?socket=$V_SOCKET"

t_install "$1"
t_drivers
t_udevd
rm -rf /etc/mdevctl.d/*; mkdir -p /etc/mdevctl.d/scripts.d/{callouts,notifiers}
v_config
mkdir -p /etc/libmdev
echo 'other_buses = 1' >/etc/libmdev/libvirt.conf
v_start
# The first call opens the host; the first create opens the descriptors that a connection then keeps.
U=$(t_uuid)
v_xml mtty_mtty mtty-1 "<uuid>$U</uuid>"
t_ok 'a device is created' v nodedev-create $V_XML
t_ok 'the device is destroyed' v nodedev-destroy "mdev_${U//-/_}_mtty"
before=$(ls "/proc/$V_PID/fd" | wc -l)
t_program 'eight clients for a minute' clients.py "$V_URI" 8 60 'mtty_mtty|mtty|mtty-1' 'mdpy_mdpy|mdpy|mdpy-vga' \
	'mbochs_mbochs|mbochs|mbochs-small'
t_program 'every call, after that' calls.py "$V_URI" mtty_mtty mtty mtty-1
t_ok 'the daemon has no more descriptors than after the first create' t_until 20 sh -c "[ \$(ls /proc/$V_PID/fd | wc -l) -le $before ]"
echo "# descriptors: $before before, $(ls "/proc/$V_PID/fd" | wc -l) after"
grep VmRSS "/proc/$V_PID/status" | sed 's/^/# the daemon: /'
v_ended 'the daemon exits cleanly'
t_done
