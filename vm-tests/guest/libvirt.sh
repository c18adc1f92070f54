# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# A private libvirtd in a lab VM. Sourced after lib.sh, also by tests/libvirt-*, which run without a VM.
#
#   t_program NAME PROGRAM ARG...  a program of $CLIENTS passes; its failed checks are printed
#   t_end                   t_done for a script without a VM
#   v_config [LINE...]      the daemon's configuration: no authentication, and these lines
#   v_start [stock] [WRAPPER...]  start it with libmdev, or with stock without; its log is $V_LOG
#   v_stop                  end it, wait, and return its exit code
#   v_ended NAME            the same, as an assertion
#   v                       virsh on nodedev:///system
#   q                       virsh on qemu:///system
#   v_names ARG...          nodedev-list, one line
#   v_xml PARENT TYPE [ELEMENTS]  makes $V_XML, a request

CLIENTS=$GUEST/../../tests/libvirt-clients
V_LOG=/run/libvirtd.log
V_XML=/run/request.xml
V_SOCKET=/run/libvirt/libvirt-sock

t_program()
{
	local name=$1 out rc=0 start=$SECONDS
	shift
	out=$(timeout 150 "$CLIENTS/$@" 2>&1) || rc=$?
	t_report "$rc" "$name ($(grep -c '^ok' <<<"$out") checks)" "exit code $rc: $*" "$(grep -v '^ok' <<<"$out")"
	grep '^# [0-9]* devices' <<<"$out" || true
	echo "# it took $((SECONDS - start)) s"
}

t_end()
{
	printf '1..%d\n# %d passed, %d failed, %d skipped\n' "$t_count" $((t_count - t_failed - t_skipped)) "$t_failed" "$t_skipped"
	[ "$t_failed" = 0 ]
}

v()
{
	virsh -q -c "nodedev:///system?socket=$V_SOCKET" "$@"
}

q()
{
	virsh -q -c "qemu:///system?socket=$V_SOCKET" "$@"
}

v_config()
{
	mkdir -p /run/libvirt /etc/libvirt
	# The qemu driver requires this user and these groups; the package that adds them would start the system's daemon.
	getent group kvm >/dev/null || groupadd --system kvm
	getent group libvirt-qemu >/dev/null || groupadd --system libvirt-qemu
	getent passwd libvirt-qemu >/dev/null || useradd --system --gid libvirt-qemu libvirt-qemu
	printf '%s\n' 'auth_unix_rw = "none"' 'auth_unix_ro = "none"' 'unix_sock_dir = "/run/libvirt"' 'log_outputs = "2:stderr"' 'log_filters = "2:daemon"' \
		"$@" >/run/libvirtd.conf
	# The defaults of the distribution would confine guests, which is not possible here.
	printf '%s\n' 'user = "root"' 'group = "root"' 'dynamic_ownership = 0' 'remember_owner = 0' 'namespaces = []' \
		'cgroup_controllers = []' 'security_driver = "none"' 'stdio_handler = "file"' >/etc/libvirt/qemu.conf
}

v_start()
{
	local -a dir=(LIBVIRT_DRIVER_DIR=/run/libmdev-libvirt)
	if [ "${1-}" = stock ]; then
		dir=()
		shift
	else
		libmdev-libvirt links || return 1
	fi
	env "${dir[@]}" "$@" libvirtd -f /run/libvirtd.conf --pid-file /run/libvirtd.pid >"$V_LOG" 2>&1 &
	V_PID=$!
	if ! t_until 120 v uri; then
		echo "Bail out! libvirtd does not answer: $(tail -n 5 "$V_LOG")"
		exit 1
	fi
}

v_stop()
{
	kill -TERM "$V_PID"
	wait "$V_PID"
}

v_ended()
{
	v_stop
	t_eq "$1" 0 $?
}

v_names()
{
	v nodedev-list "$@" | sed '/^$/d' | paste -sd' '
}

v_xml()
{
	printf "<device><parent>%s</parent><capability type='mdev'><type id='%s'/>%s</capability></device>\n" "$1" "$2" "${3-}" >"$V_XML"
}
