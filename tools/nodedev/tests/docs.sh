#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual page has every command; the examples in docs/ work as printed.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

commands=$("$NODEDEV" help | sed -n '/^Commands/,/^$/s/^  \([a-z-]*\) .*/\1/p')
page=$work/nodedev.1

"$NODEDEV" man >"$page"
[ "$(wc -w <<<"$commands")" -ge 20 ]
t_result $? 'the help lists the commands'
for command in $commands; do
	nodedev help "$command"
	rc_is 0
	out_has 'Usage: nodedev'
	sed -n "/^\.SS $command\$/,/^\.S[SH] /p" "$page" | grep -q .
	t_result $? "the manual page has '$command'"
done
for section in NAME SYNOPSIS DESCRIPTION OPTIONS COMMANDS 'EXIT STATUS' ENVIRONMENT FILES EXAMPLES 'SEE ALSO'; do
	grep -qE "^\.SH \"?$section" "$page"
	t_result $? "the manual page has the section $section"
done
if command -v man >/dev/null; then
	run man --warnings -l "$page"
	err_is '' 'man finds no fault in the manual page'
else
	skip 'man is not installed'
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

# The program of docs/python.md, and the commands of the README.
if command -v python3 >/dev/null; then
	sed -n '/^```python/,/^```/{/^```/d;p}' "$SOURCE/docs/python.md" >"$work/list.py"
	run env LD_LIBRARY_PATH="$build" python3 "$work/list.py"
	rc_is 0 'the program of docs/python.md'
	out_has 'parent pci_0000_86_00_0'
	out_has 'device '
else
	skip 'python3 is not installed'
fi
nodedev 'create --parent 41:00.0 --type 1441 --name web; info web; destroy web'
rc_is 0 'the command of the README'
out_has 'Device web destroyed'

awk -v dir="$work" '/^```xml/ { n++; in_xml = 1; next } /^```/ { in_xml = 0 } in_xml { print >(dir "/" n ".xml") }' \
	"$SOURCE/docs/xml.md"
for n in 1 2; do
	nodedev -c test:///default create "$work/$n.xml"
	rc_is 0 "example $n of docs/xml.md"
done

t_end
