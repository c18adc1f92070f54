# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Functions for the scripts that run in a lab VM. Sourced; needs bash.
#
# Assertions print one TAP line each and never end the script; t_done prints the plan and a summary and returns the exit code.
#
#   t_ok NAME COMMAND...          the command succeeds
#   t_not NAME COMMAND...         the command fails
#   t_eq NAME WANTED SEEN         the texts are equal
#   t_match NAME REGEX SEEN       the text matches the extended regular expression
#   t_outcome NAME WANTED ACTION PATH [BYTES]
#                                 the outcome of try-facts: the length of a write, an errno, or a content (PATH below /sys)
#   t_recorded FILE               each step of a facts file (see kernel-facts.tsv) has the outcome that it records
#   t_rc NAME WANTED COMMAND...   the command ends with this exit code
#   t_skip NAME WHY               skip a check that cannot run here; skips are counted
#   t_done                        the summary; the exit code of the script
#
#   t_drivers [MODULE...]         insert the sample drivers (all three) and wait for their parents
#   t_drivers_without_groups      the same, with a VFIO that has device nodes and no groups (kernel 6.12)
#   t_install INSTALLED           install the output of install-for-vm, and put its programs in the PATH
#   t_udevd                       start systemd-udevd, without replaying old events
#   t_uevents                     start listening to the kernel's uevents
#   t_uevent SECONDS              put the next uevent into t_line, as "ACTION DEVPATH (SUBSYSTEM)"; fails after SECONDS
#   t_until SECONDS COMMAND...    repeat the command until it succeeds; for changes without an event
#   t_took MS COMMAND...          the command succeeds and takes at least this time
#   t_within NAME SECONDS COMMAND...
#                                 the command succeeds within this time, times $MDEV_VM_SLACK; its output is in t_out. A
#                                 watchdog ends it
#   t_refused NAME SECONDS REGEX COMMAND...
#                                 the command fails within this time, and its output matches the expression
#   t_hold_unbind MS DRIVER BDF   start to unbind a device of the test module, with device_lock() held for this time; returns
#                                 when the lock is held. Not in a subshell: it sets t_unbind_pid
#   t_release_unbind              release the lock, and wait until the device is unbound
#   t_in_state_d PID              the process waits in state D: no signal ends it
#   t_uuid                        print a random UUID
#   t_hold COMMAND...           start a command that prints a line, put into t_held, and keeps a file open until its input ends;
#                               its process id is t_holder. Not in a subshell
#   t_let_go                    end that command and wait for it
#   t_qemu NAME ARG...            start a QEMU in the background that only opens its devices; its monitor is /run/NAME.sock
#   t_qemu_end NAME               end it and wait until the process has ended

GUEST=${LAB_GUEST:-$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)}
MDEV_BUS=/sys/bus/mdev/devices
MDEV_CLASS=/sys/class/mdev_bus

t_count=0
t_failed=0
t_skipped=0

t_report()
{
	local good=$1 name=$2
	shift 2
	t_count=$((t_count + 1))
	if [ "$good" = 0 ]; then
		printf 'ok %d - %s\n' "$t_count" "$name"
		return 0
	fi
	t_failed=$((t_failed + 1))
	printf 'not ok %d - %s\n' "$t_count" "$name"
	[ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/#   /'
	return 0
}

t_ok()
{
	local name=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	t_report "$rc" "$name" "exit code $rc: $*" "$out"
}

t_not()
{
	local name=$1 out bad=0
	shift
	out=$("$@" 2>&1) && bad=1
	t_report "$bad" "$name" "succeeded: $*" "$out"
}

t_rc()
{
	local name=$1 want=$2 out rc=0
	shift 2
	out=$("$@" 2>&1) || rc=$?
	if [ "$rc" = "$want" ]; then
		t_report 0 "$name"
	else
		t_report 1 "$name" "exit code $rc, wanted $want: $*" "$out"
	fi
}

t_eq()
{
	if [ "$2" = "$3" ]; then
		t_report 0 "$1"
	else
		t_report 1 "$1" "wanted: $2" "seen:   $3"
	fi
}

t_match()
{
	if [[ $3 =~ $2 ]]; then
		t_report 0 "$1"
	else
		t_report 1 "$1" "wanted: $2" "seen:   $3"
	fi
}

t_skip()
{
	t_count=$((t_count + 1))
	t_skipped=$((t_skipped + 1))
	printf 'ok %d - %s # SKIP %s\n' "$t_count" "$1" "$2"
}

t_outcome()
{
	t_eq "$1" "$2" "$(t_try "$3" "$4" "${5-}")"
}

t_try()
{
	printf 'step\t%s\t%s\t%s\n' "$1" "${2#/sys/}" "$3" | "$GUEST/try-facts" | cut -f5
}

t_recorded()
{
	local want seen want_fd seen_fd
	exec {want_fd}< <(grep -v '^#' "$1")
	exec {seen_fd}< <("$GUEST/try-facts" "$1" | grep -v '^#')
	while IFS= read -r want <&"$want_fd"; do
		IFS= read -r seen <&"$seen_fd" || seen='(no more steps)'
		[ -z "$want" ] || t_eq "step: ${want%%$'\t'*}" "$want" "$seen"
	done
	exec {want_fd}<&- {seen_fd}<&-
}

t_done()
{
	# Warnings of the kernel are part of the result.
	local complaints
	complaints=$(dmesg | grep -E 'BUG:|WARNING:|general protection|Oops' || true)
	t_eq 'the kernel has printed no warning' '' "$complaints"
	printf '1..%d\n# %d passed, %d failed, %d skipped\n' "$t_count" $((t_count - t_failed - t_skipped)) "$t_failed" "$t_skipped"
	[ "$t_failed" = 0 ]
}

t_drivers()
{
	[ $# -gt 0 ] || set -- mtty mdpy mbochs
	local m
	modprobe -a vfio_iommu_type1 "$@" || exit 1
	for m in "$@"; do
		[ -d "$MDEV_CLASS/$m" ] || { echo "Bail out! $m has no parent in $MDEV_CLASS"; exit 1; }
	done
}

t_drivers_without_groups()
{
	local m
	modprobe -a iommufd irqbypass || exit 1
	for m in vfio mdev mtty mdpy mbochs; do
		insmod "$LAB_KERNEL/no-groups/$m.ko" || exit 1
	done
}

# The library is installed in its final folder: no LD_LIBRARY_PATH, no other name, readable for every user.
t_install()
{
	if [ ! -d "${1-}/root" ]; then
		echo 'Bail out! give the folder that install-for-vm made'
		exit 1
	fi
	# As a package does: a folder that is a link here (/lib) stays a link.
	if ! tar -C "$1/root" -c . | tar -C / -x --keep-directory-symlink --no-overwrite-dir || ! ldconfig; then
		echo "Bail out! cannot install from $1"
		exit 1
	fi
	install -d /usr/local/libexec/mdev-test
	find "$1" -maxdepth 1 -type f -perm -u+x -exec install -m 755 {} /usr/local/libexec/mdev-test/ \;
	PATH=$PATH:/usr/local/libexec/mdev-test
}

t_udevd()
{
	mkdir -p /run/udev
	/lib/systemd/systemd-udevd --daemon >/dev/null 2>&1 || { echo 'Bail out! udevd does not start'; exit 1; }
	udevadm settle --timeout=30
}

t_uevents()
{
	local line
	exec {t_uevents_fd}< <(exec stdbuf -oL udevadm monitor --kernel)
	# The socket is open before this heading is printed.
	while read -r -t 10 -u "$t_uevents_fd" line; do
		case $line in KERNEL\ -*) return 0 ;; esac
	done
	echo 'Bail out! udevadm monitor does not start'
	exit 1
}

t_uevent()
{
	local bound=$1 mark action path subsystem
	t_line=
	while read -r -t "$bound" -u "$t_uevents_fd" mark action path subsystem; do
		case $mark in
		KERNEL\[*) t_line="$action $path $subsystem"; return 0 ;;
		esac
	done
	return 1
}

t_until()
{
	local bound=$((SECONDS + $1)) idle
	shift
	exec {idle}<> <(:)
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -gt "$bound" ]; then
			exec {idle}>&-
			return 1
		fi
		read -r -t 0.05 -u "$idle" || true
	done
	exec {idle}>&-
}

t_took()
{
	local ms=$1 since=${EPOCHREALTIME/[.,]/}
	shift
	"$@" && [ $((${EPOCHREALTIME/[.,]/} - since)) -ge $((ms * 1000)) ]
}

# t_watched SECONDS COMMAND...: its output in t_out, its time in t_ms
t_watched()
{
	local bound=$(($1 * ${MDEV_VM_SLACK:-1})) since=${EPOCHREALTIME/[.,]/} rc=0
	shift
	t_out=$(timeout -k 1 "$bound" "$@" 2>&1) || rc=$?
	t_ms=$(((${EPOCHREALTIME/[.,]/} - since) / 1000))
	return $rc
}

t_within()
{
	local name=$1 rc=0
	shift
	t_watched "$@" || rc=$?
	t_report "$rc" "$name ($t_ms ms)" "exit code $rc after $t_ms ms, bound $1 s: ${*:2}" "$t_out"
}

t_refused()
{
	local name=$1 bound=$2 regex=$3 rc=0 bad=1
	shift 3
	t_watched "$bound" "$@" || rc=$?
	# 124 and 137 are from the watchdog.
	[ "$rc" = 0 ] || [ "$rc" -ge 124 ] || ! [[ $t_out =~ $regex ]] || bad=0
	t_report "$bad" "$name ($t_ms ms)" "exit code $rc after $t_ms ms, bound $bound s: $*" "wanted: $regex" "$t_out"
}

t_in_state_d()
{
	grep -q '^State:.D' "/proc/$1/status"
}

t_hold_unbind()
{
	echo "$1" >/sys/module/mdev_lab/parameters/unbind_hold_ms
	bash -c 'echo "$2" >"/sys/bus/pci/drivers/$1/unbind"' - "$2" "$3" >/dev/null 2>&1 &
	t_unbind_pid=$!
	t_until 20 t_in_state_d "$t_unbind_pid"
}

t_release_unbind()
{
	echo 0 >/sys/module/mdev_lab/parameters/unbind_hold_ms
	wait "$t_unbind_pid"
}

t_uuid()
{
	cat /proc/sys/kernel/random/uuid
}

t_qemu()
{
	local name=$1
	shift
	# QEMU becomes a daemon when its devices exist and its monitor listens. With -S it runs no instruction of its guest.
	qemu-system-x86_64 -accel tcg -machine pc -m 64 -nodefaults -display none -S -daemonize -pidfile "/run/$name.pid" \
		-monitor "unix:/run/$name.sock,server=on,wait=off" "$@"
}

t_qemu_end()
{
	local pid
	pid=$(cat "/run/$1.pid") || return 1
	kill -TERM "$pid"
	t_until 20 t_gone "$pid"
}

t_gone()
{
	! kill -0 "$1" 2>/dev/null
}

t_hold()
{
	coproc T_HOLDER { exec "$@"; }
	t_holder=$T_HOLDER_PID
	t_held=
	IFS= read -r -t $((20 * ${MDEV_VM_SLACK:-1})) t_held <&"${T_HOLDER[0]}"
}

t_let_go()
{
	local input=${T_HOLDER[1]}
	exec {input}>&-
	wait "$t_holder"
}
