#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several commands in one run: words, quotes, comments, standard input, what stops and what goes on.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

parent=pci_0000_86_00_0
names=$("$NODEDEV" list --parents --names)
first=$(head -n 1 <<<"$names")

nodedev list --parents --names
out_is "$names"
nodedev list --parents --names ';' list --parents --names
out_is "$names"$'\n'"$names" 'a semicolon of its own'
nodedev 'list --parents --names; list --parents --names'
out_is "$names"$'\n'"$names" 'a semicolon in a script'
nodedev $';; list  --parents\t--names ;\n\n # comment; bogus\n list --parents --names;# bogus'
out_is "$names"$'\n'"$names" 'white space, empty commands, comments'
nodedev $'list \\\n--parents --names'
out_is "$names" 'a joined line'
nodedev "wait 'pci_0000'_86\"_00\"_\\0 --timeout 0"
out_is "Parent $parent exists" 'quotes and backslashes'
nodedev "'a;b#c d\\e'"
err_has 'a;b#c d\e' 'single quotes keep everything'
nodedev '"a;b#c d\"\e"'
err_has 'a;b#c d"e' 'double quotes keep all but backslashes'
nodedev 'info a#b'
err_has 'a#b' 'a comment begins with a word'
nodedev ''
rc_is 0 'an empty script'
out_is ''

# If one command of a script is invalid, no command of it runs.
nodedev "wait $parent; bogus"
rc_is 2 'an unknown command'
out_is '' 'nothing ran before an unknown command'
nodedev "wait $parent; list --bogus"
rc_is 2 'a wrong option'
out_is '' 'nothing ran before a wrong option'
nodedev "wait $parent; info 'x"
out_is '' 'nothing ran before an open quote'

# ... and the rest still runs when something fails.
nodedev "info nosuch; wait $parent"
rc_is 3 'the first failure counts'
out_is "Parent $parent exists" 'the next command runs'
nodedev -e "info nosuch; wait $parent"
rc_is 3
out_is '' '-e stops'
nodedev "quit; wait $parent"
rc_is 0
out_is '' 'quit leaves'

nodedev <<<"$(printf 'info nosuch\nbogus; wait %s\n\n# comment\nwait \\\n%s # comment\n' $parent $parent)"
rc_is 3 'standard input: the first failure counts'
out_is "Parent $parent exists" 'standard input: no prompt, lines go on'
err_has "unknown command 'bogus'"
nodedev <<<$'bogus\ninfo nosuch'
rc_is 2 'standard input: a line that is not understood'
nodedev <<<$'exit\nbogus'
rc_is 0 'standard input: exit'
nodedev </dev/null
rc_is 0 'standard input: empty'
printf 'wait %s' $parent >noeol
nodedev <noeol
out_is "Parent $parent exists" 'standard input: no newline at the end'
printf 'list\0\n' >nul
nodedev <nul
rc_is 2 'standard input: a NUL byte'
err_has 'NUL byte'
head -c 1100000 /dev/zero | tr '\0' x >long
nodedev <long
rc_is 2 'standard input: a very long line'

# XML between commands.
{
	echo 'create -'
	cat my-vgpu.xml
	echo .
	echo 'destroy my-vgpu'
} >script
nodedev <script
rc_is 0 'XML up to a dot'
out_has 'Device my-vgpu destroyed'
{
	sed 's/my-vgpu/one/' my-vgpu.xml
	echo .
	sed 's/my-vgpu/two/' my-vgpu.xml
} >two
nodedev create - ';' create - ';' destroy one two <two
rc_is 0 'two documents from standard input'
out_has 'Device two destroyed'
nodedev create - <my-vgpu.xml
rc_is 0 'XML up to the end'
out_has 'Device my-vgpu created'

nodedev --echo <script
[ "$(grep -v '^Device my-vgpu' .out | sed 's/^nodedev # //')" = "$(cat script)" ]
t_result $? '--echo prints what is read'

# The host of the environment, and of the option.
MDEV_DEFAULT_URI=bogus:/// nodedev list
rc_is 1
MDEV_DEFAULT_URI=bogus:/// nodedev -c test:///default wait "$first"
rc_is 0
nodedev --connect=test:///default wait "$first"
rc_is 0
nodedev -ctest:///default wait "$first"
rc_is 0

# No command needs a host just to explain itself.
nodedev --help
out_has 'Usage: nodedev'
nodedev --version
out_has 'libmdev'
for words in help version 'help create' 'create --help' 'destroy -h'; do
	MDEV_DEFAULT_URI=bogus:/// nodedev "$words"
	rc_is 0
	err_is ''
done

t_end
