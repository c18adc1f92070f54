#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual page has every command.

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

t_end
