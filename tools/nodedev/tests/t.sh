# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the tests of nodedev share: runs a command, compares, speaks TAP. Sourced by each test, which ends with `t_end`.
#
# From meson: NODEDEV (the program), EXAMPLES (the folder of the small ones), SOURCE (the top of the source tree).

set -u
export LC_ALL=C.UTF-8 MDEV_DEFAULT_URI=test:///default

: "${NODEDEV:?}" "${EXAMPLES:?}" "${SOURCE:?}"
here=$SOURCE/tools/nodedev/tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

t_count=0
t_failed=0

# run COMMAND ARG...: keeps standard output in $out, standard error in $err, the exit status in $rc. Standard input is that of run.
run()
{
	t_command=${*//$'\n'/ }
	"$@" >"$work/.out" 2>"$work/.err"
	rc=$?
	out=$(cat "$work/.out")
	err=$(cat "$work/.err")
}

nodedev()
{
	run "$NODEDEV" "$@"
}

# t_result STATUS WHAT: one line of TAP; with all there is to know when STATUS is not 0.
t_result()
{
	local status=$1 what
	shift
	what=${*//[$'\n\t']/ }
	t_count=$((t_count + 1))
	if [ "$status" = 0 ]; then
		echo "ok $t_count - $what"
		return
	fi
	t_failed=$((t_failed + 1))
	echo "not ok $t_count - $what"
	{
		echo "command: $t_command"
		echo "exit status: $rc"
		echo "stdout:"
		echo "$out"
		echo "stderr:"
		echo "$err"
	} | sed 's/^/# /'
}

rc_is()
{
	[ "$rc" = "$1" ]
	t_result $? "${2:-$t_command}: exit status $1"
}

out_is()
{
	[ "$out" = "$1" ]
	t_result $? "${2:-$t_command}: output"
}

# A fixed string in the output.
out_has()
{
	[[ $out == *"$1"* ]]
	t_result $? "${2:-$t_command}: output has '$1'"
}

out_lacks()
{
	[[ $out != *"$1"* ]]
	t_result $? "${2:-$t_command}: output lacks '$1'"
}

err_has()
{
	[[ $err == *"$1"* ]]
	t_result $? "${2:-$t_command}: error has '$1'"
}

err_is()
{
	[ "$err" = "$1" ]
	t_result $? "${2:-$t_command}: error is '$1'"
}

# Output of the last run equals a file that was checked by hand. UUIDs made at random are written UUID in it. With
# MDEV_REGENERATE=1 the file is written anew, to be checked by hand again.
golden()
{
	local existing=b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93
	local made='[0-9a-f]\{8\}-[0-9a-f]\{4\}-4[0-9a-f]\{3\}-[89ab][0-9a-f]\{3\}-[0-9a-f]\{12\}'

	sed "/$existing/!s/$made/UUID/g" "$work/.out" >"$work/.shown"
	if [ "${MDEV_REGENERATE:-}" = 1 ]; then
		cp "$work/.shown" "$here/golden/$1"
	fi
	diff -u "$here/golden/$1" "$work/.shown" | sed 's/^/# /'
	t_result "${PIPESTATUS[0]}" "$t_command: equals golden/$1"
}

# The output is one JSON value, and the jq filter holds for it.
json_is()
{
	jq -e "$1" "$work/.out" >/dev/null 2>"$work/.jq"
	t_result $? "$t_command: JSON has $1 $(cat "$work/.jq")"
}

skip()
{
	t_count=$((t_count + 1))
	echo "ok $t_count # SKIP $*"
}

t_end()
{
	echo "1..$t_count"
	[ "$t_failed" = 0 ]
}

# The device XML of the founding proposal, unchanged.
cat >"$work/my-vgpu.xml" <<'END'
<device>
  <name>my-vgpu</name>
  <parent>pci_0000_86_00_0</parent>
  <capability type='mdev'>
    <type id='11'/>
    <group>1</group>
    <params>'frame_rate_limiter=0'</params>
  </capability>
</device>
END
