# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Functions for the scripts of the VM lab that run on the host. Sourced, never run.

set -euo pipefail

# shellcheck disable=SC2034
VM_TESTS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
CACHE=${MDEV_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/libmdev-vm}
ME=${0##*/}

# The series of Debian's kernels that the VM boots. A script with an option --kernel sets it for the scripts that it runs.
export MDEV_VM_KERNEL=${MDEV_VM_KERNEL:-6.1}

# set_kernel SERIES
set_kernel()
{
	case $1 in
	6.1 | 6.12) MDEV_VM_KERNEL=$1 ;;
	*) die "the lab has the kernels 6.1 and 6.12, not \"$1\"" ;;
	esac
}

# Progress is for people: it goes to standard error, and only when that is a terminal or the caller asked for it.
VERBOSE=${MDEV_VM_VERBOSE:-0}
if [ -t 2 ]; then
	VERBOSE=1
fi

say()
{
	[ "$VERBOSE" = 0 ] || printf '%s: %s\n' "$ME" "$*" >&2
}

# An error of the lab itself exits with 125, which no test returns.
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

# Prints the folder of the kernel in use. Fails if there is none yet.
lab_dir()
{
	local dir

	dir=$(readlink -f -- "$CACHE/current-$MDEV_VM_KERNEL" 2>/dev/null) || return 1
	[ -e "$dir/complete" ] && printf '%s\n' "$dir"
}
