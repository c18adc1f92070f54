# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the host-side scripts of the VM lab share. Sourced, never run.

set -euo pipefail

# shellcheck disable=SC2034
VM_TESTS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
CACHE=${MDEV_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/libmdev-vm}
ME=${0##*/}

# Progress is for people: it goes to standard error, and only when that is a terminal or the caller asked for it.
VERBOSE=${MDEV_VM_VERBOSE:-0}
if [ -t 2 ]; then
	VERBOSE=1
fi

say()
{
	[ "$VERBOSE" = 0 ] || printf '%s: %s\n' "$ME" "$*" >&2
}

# An error of the lab itself ends with 125, so that it is never taken for the exit code of a test.
die()
{
	printf '%s: %s\n' "$ME" "$*" >&2
	exit 125
}

# Comments at the top of each script are its manual; --help prints them.
usage()
{
	sed -n '3,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
}

# The folder of the kernel in use, or nothing when there is none yet.
lab_dir()
{
	local dir

	dir=$(readlink -f -- "$CACHE/current" 2>/dev/null) || return 1
	[ -e "$dir/complete" ] && printf '%s\n' "$dir"
}
