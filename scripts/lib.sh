# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Functions for the scripts of this folder. Source it from bash.

# say TEXT: prints the current step; bold on a terminal.
say()
{
	if [ -t 2 ]; then
		printf '\033[1m%s\033[0m\n' "$*" >&2
	else
		printf '%s\n' "$*" >&2
	fi
}

# die WHAT WHAT-TO-DO
die()
{
	printf 'error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf '%s\n' "$2" >&2
	exit 1
}

# quietly WHAT COMMAND ARG...: on a terminal, prints the whole output of the command; in a pipe, only if it fails.
quietly()
{
	local what=$1 log
	shift
	say "$what"
	if [ -t 2 ]; then
		"$@" >&2
		return
	fi
	log=$(mktemp)
	if "$@" >"$log" 2>&1; then
		rm -f "$log"
		return
	fi
	echo "failed: $*" >&2
	cat "$log" >&2
	rm -f "$log"
	return 1
}

# Runs a command as root: directly, or through sudo.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

package_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages PACKAGE...: installs the missing packages of Debian. If none is missing, changes nothing and needs neither the
# network nor root.
need_packages()
{
	local package missing=()

	if ! command -v dpkg-query >/dev/null; then
		die "this is no Debian, so the packages cannot be checked: $*" \
			"Install the corresponding packages, and build with meson: meson setup build && meson compile -C build"
	fi
	for package in "$@"; do
		package_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		die "these packages are missing, and only root may install them: ${missing[*]}" \
			"Ask root to run: apt-get install ${missing[*]}"
	fi
	quietly 'Looking for new packages (apt-get update)' as_root apt-get -o DPkg::Lock::Timeout=300 update ||
		die "the list of packages cannot be fetched" "Check the network, and try as root: apt-get update"
	quietly "Installing ${missing[*]}" as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" ||
		die "cannot install ${missing[*]}" "Try yourself, as root: apt-get install ${missing[*]}"
}

# need_tools PROGRAM=PACKAGE...: installs the Debian packages of the missing programs, as need_packages does. If
# no program is missing, the machine need not be a Debian system.
need_tools()
{
	local pair missing=()

	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
	done
	[ ${#missing[@]} -eq 0 ] || need_packages "${missing[@]}"
}

# need_rust VERSION: requires cargo of VERSION or later.
need_rust()
{
	local found

	if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
		PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
	fi
	command -v cargo >/dev/null ||
		die 'cargo not found' "Install Rust $1 or later with rustup, or set CARGO_HOME to its directory."
	found=$(rustc --version | cut -d ' ' -f 2)
	[ "$(printf '%s\n' "$1" "$found" | sort -V | head -n 1)" = "$1" ] ||
		die "Rust $found is too old" "Install $1 or later: rustup update"
}
