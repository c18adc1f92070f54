#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# On a terminal: tables fit its width, colours can be turned off, and the prompt. In a pipe: no colours, and an output that is closed.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

unset NO_COLOR COLUMNS
escape=$'\e'

if ! command -v script >/dev/null; then
	echo '1..0 # SKIP script(1) is not installed, so there is no terminal'
	exit 0
fi

# on_terminal COLUMNS ARG...: runs nodedev with a terminal of that width as its standard output and error.
on_terminal()
{
	local columns=$1
	shift
	t_command="nodedev $* on a terminal of $columns columns"
	printf -v words '%q ' "$NODEDEV" "$@"
	TERM=${terminal:-xterm} script -qec "stty cols $columns rows 24 -onlcr; exec $words" /dev/null </dev/null >.out 2>.err
	rc=$?
	out=$(tr -d '\r' <.out)
	err=$(cat .err)
}

# The width of the longest line without colours.
width()
{
	sed "s/$escape\[[0-9;]*m//g" <<<"$out" | wc -L
}

for columns in 80 100 200; do
	for command in list 'list --types' 'list --all' types status 'types 86:00.0'; do
		# shellcheck disable=SC2086 # these are words
		on_terminal $columns $command
		rc_is 0
		[ "$(width)" -le $columns ] && [ "$(wc -l <<<"$out")" -gt 3 ]
		t_result $? "$t_command: fits"
	done
done
on_terminal 80 list
out_lacks UUID
on_terminal 200 list
out_has UUID
on_terminal 80 list -w
[ "$(width)" -gt 80 ]
t_result $? '-w: not cut to the terminal'
on_terminal 20 list
rc_is 0 'a terminal of 20 columns'
on_terminal 0 list
rc_is 0 'a terminal without a width'
out_has UUID

# Colours: on a terminal only.
on_terminal 80 list
out_has "${escape}[1m" 'the header is bold'
on_terminal 80 info nosuch
rc_is 3
out_has "${escape}[1m" 'the word error has a colour'
out_has "nosuch"
for setting in NO_COLOR=1 TERM=dumb; do
	export "${setting?}"
	terminal=$TERM on_terminal 80 list
	out_lacks "$escape" "$setting: no colours"
	terminal=$TERM on_terminal 80 doctor
	out_lacks "$escape" "$setting: no colours of doctor"
	unset NO_COLOR
	TERM=xterm
done
nodedev list
out_lacks "$escape" 'a pipe: no colours'

# The prompt, and its end.
t_command='nodedev with commands typed on a terminal'
printf 'types css_0_0_0052\nbogus\nquit\n' | TERM=xterm script -qec "exec $NODEDEV" /dev/null >.out 2>.err
rc=$?
out=$(tr -d '\r' <.out) err=$(cat .err)
rc_is 0
out_has "Type 'help' for the commands"
out_has 'nodedev # '
out_has vfio_ccw-io
out_has "unknown command 'bogus'"

# What takes longer than a second shows on a terminal that it is not finished, and nothing in a pipe.
on_terminal 80 wait 0000:ff:00.0 --timeout 2
rc_is 8
out_has 'waiting for 0000:ff:00.0 ('
on_terminal 80 -q wait 0000:ff:00.0 --timeout 1.5
rc_is 8
out_lacks 'waiting for'
nodedev wait 0000:ff:00.0 --timeout 1.5
rc_is 8
err_has 'error: '
[ "$(wc -l <.err)" = 1 ]
t_result $? 'a pipe: no progress'

# A reader that leaves early: no message, and not a success.
"$NODEDEV" list --types 2>.err | read -r _
rc=${PIPESTATUS[0]}
t_command='nodedev list --types | read'
[ "$rc" = 0 ] || [ "$rc" = 1 ] || [ "$rc" = 141 ]
t_result $? "a reader that leaves early: status $rc"
[ ! -s .err ]
t_result $? 'a reader that leaves early: no message'
{ "$NODEDEV" event 'create my-vgpu.xml; destroy my-vgpu' 2>.err; echo $? >.rc; } | true
rc=$(cat .rc)
t_command='nodedev event | true'
[ ! -s .err ]
t_result $? 'events for a reader that has left: no message'

# Standard error that is closed or full changes no status.
"$NODEDEV" info nosuch 2>&-
rc=$?
t_command='nodedev info nosuch 2>&-'
rc_is 3
"$NODEDEV" info nosuch 2>/dev/full
rc=$?
rc_is 3 'standard error is full'

t_end
