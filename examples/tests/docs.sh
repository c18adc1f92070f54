#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The help, the man page and the shell completion have the same commands and options; the examples in docs/ work as printed.

# shellcheck source=examples/tests/t.sh
. "${SOURCE:?}/examples/tests/t.sh"

page=$SOURCE/docs/nodedev.1
completion=$SOURCE/examples/nodedev/nodedev.bash-completion
commands=$("$NODEDEV" help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p')

nodedev help
[ "$(wc -w <<<"$commands")" -ge 15 ]
t_result $? 'the help lists the commands'

for command in $commands; do
	grep -q "Cm $command\>" "$page"
	t_result $? "the man page has '$command'"
	grep -q "commands=(.*\<$command\>" "$completion"
	t_result $? "the completion has '$command'"
	nodedev help "$command"
	rc_is 0
	out_has "    $command"
	for option in $(grep -o -e '--[a-z-]*' <<<"$out" | sort -u); do
		case $command:$option in
		create:--owner) ;;		# both of nodedev and of create
		destroy:--owner) continue ;;	# its text speaks of nodedev's
		esac
		sed -n "/Cm $command\>/,/^\.It Cm quit/p" "$page" | grep -q "Fl .*${option#--}" ||
			grep -q "Fl \\\\-${option#--}" "$page"
		t_result $? "the man page has '$command $option'"
		sed -n "s/^ *$command) echo//p" "$completion" | grep -q -e "$option\>"
		t_result $? "the completion has '$command $option'"
	done
done

nodedev --help
for option in $(grep -o -e '--[a-z-]*' <<<"$out" | sort -u); do
	case $option in
	--owned) continue ;;	# of destroy
	esac
	grep -q "Fl \\\\-${option#--}" "$page"
	t_result $? "the man page has '$option'"
	sed -n "s/^ *'') echo//p" "$completion" | grep -q -e "$option\>"
	t_result $? "the completion has '$option'"
done

if command -v mandoc >/dev/null; then
	# Which other pages this machine has is not the page's fault.
	run sh -c "mandoc -T lint -W warning '$page' | grep -v 'mandoc.db'"
	out_is '' 'mandoc has nothing to say about the man page'
elif command -v man >/dev/null; then
	run man --warnings -l "$page"
	err_is '' 'man has nothing to say about the man page'
else
	skip 'neither mandoc nor man'
fi

# Like meson devenv: the library and the header of the build, not installed.
build=$(dirname "${LIBMDEV:?}")
# The first C program of the page.
sed -n 's/^    //; /^#include <stdio.h>/,/^}/p' "$SOURCE/docs/getting-started.md" >"$work/types.c"
if command -v pkg-config >/dev/null; then
	# shellcheck disable=SC2046 # several words
	PKG_CONFIG_PATH=$build/meson-uninstalled run cc -Wall "$work/types.c" -o "$work/types" \
		$(PKG_CONFIG_PATH=$build/meson-uninstalled pkg-config --cflags --libs libmdev)
	rc_is 0
	LD_LIBRARY_PATH=$build run "$work/types"
	rc_is 0
	out_has 'pci_0000_86_00_0: 11, 16 left'
else
	skip 'no pkg-config'
fi

awk -v dir="$work" '/^```xml/ { n++; in_xml = 1; next } /^```/ { in_xml = 0 } in_xml { print >(dir "/" n ".xml") }' \
	"$SOURCE/docs/xml.md"
for n in 1 2; do
	nodedev -c test:///default create "$work/$n.xml"
	rc_is 0 "example $n of docs/xml.md"
done

t_end
