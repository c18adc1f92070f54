# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Runs a private libvirtd on this machine, in a mount namespace of its own with an empty /run. It does not use the system's daemon.
# A test sources this file and re-executes itself in the namespace with d_private.
#
#   d_private "$@"          re-executes the sourcing script in namespaces of its own; needs root
#   d_setup BUILD [CONF...] uses the module and library of a build folder over the node-device driver alone; CONF are configuration lines
#   d_start [WRAPPER...]    starts the daemon; its log is $D_LOG
#   d_stop                  stops the daemon and returns its exit code
#   d_ended NAME            stops the daemon and asserts that its exit code is 0
#   t_*                     assertions of the VM tests

D_HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../vm-tests/guest/lib.sh
. "$D_HERE/../vm-tests/guest/lib.sh"
# shellcheck source=../vm-tests/guest/libvirt.sh
. "$GUEST/libvirt.sh"
export PATH=$PATH:/usr/sbin:/sbin
D_LOG=/run/libvirtd.log
D_URI="nodedev:///system?socket=/run/libvirt/libvirt-sock"

d_skip()
{
	echo "1..0 # SKIP $*"
	exit 0
}

d_private()
{
	local program
	[ "${D_INSIDE-}" != yes ] || return 0
	[ "$(id -u)" = 0 ] || d_skip "needs root for a private daemon"
	unshare -m -p -f --mount-proc true 2>/dev/null || d_skip "cannot create namespaces here"
	for program in libvirtd virsh; do
		command -v $program >/dev/null || d_skip "$program is missing: apt-get install libvirt-daemon libvirt-clients"
	done
	/usr/bin/python3 -c 'import libvirt' 2>/dev/null || d_skip "python3-libvirt is missing"
	D_INSIDE=yes exec unshare -m -p -f --mount-proc --kill-child "$0" "$@"
}

d_setup()
{
	local build=$1
	shift
	mount -t tmpfs tmpfs /run
	mkdir -p /run/libvirt /run/lock /run/home /run/drivers
	# libvirt's own driver must not find the machine's definitions of mdevctl.
	if [ -d /etc/mdevctl.d ]; then mount -t tmpfs tmpfs /etc/mdevctl.d; mkdir -p /etc/mdevctl.d/scripts.d/{callouts,notifiers}; fi
	ln -s "$build/libvirt/libvirt_driver_mdev.so" /run/drivers/libvirt_driver_nodedev.so
	ln -s "$build/libvirt/libvirt_driver_mdev.so" /run/drivers/
	printf '%s\n' 'auth_unix_rw = "none"' 'auth_unix_ro = "none"' 'unix_sock_dir = "/run/libvirt"' 'log_outputs = "2:stderr"' 'log_filters = "2:daemon"' \
		"$@" >/run/libvirtd.conf
	export HOME=/run/home XDG_CACHE_HOME=/run/home LIBVIRT_DRIVER_DIR=/run/drivers LD_LIBRARY_PATH=$build \
		SYSTEMD_DEVICE_VERIFY_SYSFS=0
}

# Prints the directory of libvirt's own drivers.
d_drivers()
{
	local file
	file=$(dpkg -L libvirt-daemon 2>/dev/null | grep '/libvirt_driver_nodedev\.so$') ||
		file=$(find /usr/lib /usr/lib64 -name libvirt_driver_nodedev.so -print -quit)
	dirname "$file"
}

d_start()
{
	# shellcheck disable=SC2086 # one word or none
	"$@" libvirtd ${D_LISTEN-} -f /run/libvirtd.conf --pid-file /run/libvirtd.pid >"$D_LOG" 2>&1 &
	D_PID=$!
	if ! t_until 120 d_answers || ! kill -0 "$D_PID"; then
		echo "Bail out! libvirtd does not answer: $(tail -n 5 "$D_LOG")"
		exit 1
	fi
}

# True if the daemon answers or has exited.
d_answers()
{
	! kill -0 "$D_PID" 2>/dev/null || virsh -q -c "$D_URI" uri
}

d_ended()
{
	d_stop
	t_eq "$1" 0 $?
}

d_stop()
{
	kill -TERM "$D_PID"
	wait "$D_PID"
}
