#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The program's help, its man page and the shell completion know the same commands and options.

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

t_end
