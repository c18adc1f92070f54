#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The blocks of README.md and docs/*.md work as printed. Each block says how it is tested, after its language:
#
#   run             a console block: its commands run, and their output is as printed (`...` is any lines, a UUID any UUID);
#                   an xml block: it is created on the simulated host; a python block: it runs
#   run=STATUS      a console block whose last command ends with this exit status
#   simfs           as run, in a shell of `nodedev simfs`, so that its commands use one host
#   vm, vm=STATUS   a console or sh block that runs in a virtual machine: vm-tests/guest/16-docs.sh runs this script with MDEV_BLOCKS=vm
#   file=NAME       it is saved, for a later block of the page
#   cargo           `cargo test` runs it: the documentation of crates/mdev includes the page
#   norun=REASON    it is not tested; counted by reason

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

# Like meson devenv: the tool, the library and its header from the build, not installed.
build=$(dirname "${LIBMDEV:?}")
export PATH=${NODEDEV%/*}:$PATH LD_LIBRARY_PATH=$build PKG_CONFIG_PATH=$build/meson-uninstalled

# The blocks to run: run or vm.
mode=${MDEV_BLOCKS:-run}
[ "$mode" = run ] || export MDEV_DEFAULT_URI=mdev:///system

# as_printed EXPECTED ACTUAL: 0 if the lines are the same, with `...` for any lines and UUIDs left out of the comparison.
as_printed()
{
	# mawk has no {N} in its patterns.
	sed -i -E 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' "$1" "$2"
	awk '
		NR == FNR { expected[++n] = $0; next }
		BEGIN { i = 1 }
		expected[i] == "..." { gap = 1; while (expected[i] == "...") i++ }
		i <= n && $0 == expected[i] { i++; gap = 0; next }
		!gap { bad = 1; exit }
		END { while (i <= n && expected[i] == "...") i++; exit bad || i <= n }
	' "$1" "$2"
}

# console BLOCK STATUS WRAPPER...: runs the lines that begin with a prompt, in one shell. Without an expected line, the output is not
# compared.
console()
{
	sed -n 's/^[$#] //p' "$1" >"$1.commands"
	sed '/^[$#] /d' "$1" >"$1.expected"
	run "${@:3}" bash -e "$1.commands"
	rc_is "${2:-0}" "$place"
	[ -s "$1.expected" ] || return
	as_printed "$1.expected" "$work/.out"
	t_result $? "$place: the output is as printed"
}

# block LANGUAGE TAG FILE: tests the block in FILE, which is at $place.
block()
{
	case "$mode: $1 $2" in
	'run: console simfs')
		if "$NODEDEV" simfs -- true 2>/dev/null; then
			console "$3" 0 "$NODEDEV" simfs --
		else
			skip "$place: no /dev/fuse, or no user namespaces"
		fi
		;;
	'run: console vm' | 'run: console vm='? | 'run: sh vm') in_vm=$((in_vm + 1)) ;;
	'vm: console vm' | 'vm: console vm='?)
		status=${2#vm}
		console "$3" "${status#=}"
		;;
	'vm: sh vm')
		run bash -e "$3"
		rc_is 0 "$place"
		;;
	vm:*) ;;
	*' norun='?*) norun[${2#norun=}]=$((${norun[${2#norun=}]:-0} + 1)) ;;
	*' file='?*) cp "$3" "${2#file=}" ;;
	'run: console run' | 'run: console run='?)
		if grep -q pkg-config "$3" && ! command -v pkg-config >/dev/null; then
			skip "$place: pkg-config is not installed"
		elif grep -q 'nodedev simfs' "$3" && ! "$NODEDEV" simfs -- true 2>/dev/null; then
			skip "$place: no /dev/fuse, or no user namespaces"
		else
			status=${2#run}
			console "$3" "${status#=}"
		fi
		;;
	'run: xml run')
		nodedev create "$3"
		rc_is 0 "$place"
		;;
	'run: python run')
		if command -v python3 >/dev/null; then
			run python3 "$3"
			rc_is 0 "$place"
			out_has 'device '
		else
			skip "$place: python3 is not installed"
		fi
		;;
	'run: rust cargo')
		grep -q "include_str!(\".*${place%:*}\")" "$SOURCE/crates/mdev/src/lib.rs"
		t_result $? "$place: the documentation of the crate includes it"
		;;
	*)
		false
		t_result $? "$place: the block does not say how it is tested: '$1 $2'"
		;;
	esac
}

# Splits a page into its blocks: prints their first line, language and tag, and writes N.block.
split()
{
	awk -v dir="$work" '
		/^```/ && inside { inside = 0; close(file); next }
		/^```/ { inside = 1; file = dir "/" NR ".block"; printf "" >file; print NR, substr($1, 4), $2; next }
		inside { print >file }
		/^    [^ ]/ && !inside && blank { print NR, "indented" }
		{ blank = !NF }
	' "$1"
}

declare -A norun=()
pages=0 in_vm=0
for page in "$SOURCE"/README.md "$SOURCE"/docs/*.md; do
	pages=$((pages + 1))
	split "$page" >"$work/list"
	while read -r line language tag <&3; do
		place=${page#"$SOURCE"/}:$line
		block "$language" "${tag:-}" "$work/$line.block"
	done 3<"$work/list"
done
[ $pages -ge 10 ]
t_result $? "the pages are found: $pages"
[ "$mode" = vm ] || echo "# blocks that run in a virtual machine: $in_vm"
for reason in "${!norun[@]}"; do
	echo "# blocks that are not run, $reason: ${norun[$reason]}"
done

t_end
