#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What goes wrong: a sentence that begins with "error: " on standard error, nothing on standard output, and the exit status.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

# fails STATUS TEXT ARG...: nodedev ARG... exits with STATUS, and its one error has TEXT.
fails()
{
	local status=$1 text=$2
	shift 2
	nodedev "$@" </dev/null
	rc_is "$status"
	err_has "$text"
	[ "${err#error: }" != "$err" ] && [ "$(wc -l <.err)" = 1 ] && [ ! -s .out ]
	t_result $? "$t_command: one sentence, and nothing else"
}

fails 2 "unknown command 'bogus'; 'nodedev help' lists the commands" bogus
fails 2 "unknown command 'ls'; did you mean 'list'?" ls
fails 2 "unknown command 'destory'; did you mean 'destroy'?" destory
fails 2 "unknown command ''" '' list
fails 2 "unexpected option '--bogus'" --bogus list
fails 2 "unknown option '--devises'; did you mean '--devices'?" list --devises
fails 2 'needs a value' -c
fails 2 'needs a value' wait pci_0000_86_00_0 --timeout
fails 2 "unexpected option '--bogus'; see 'nodedev help list'" list --bogus
fails 2 "unexpected option '-y'" list -y
fails 2 "unexpected option '--tree'" types --tree
fails 2 "unexpected value 'yes'" list --names=yes
fails 2 "unexpected argument 'pci_0000_86_00_0'" list pci_0000_86_00_0
fails 2 'missing <FILE>' create
fails 2 'missing <DEVICE>' destroy
fails 2 'cannot be combined with' destroy --incomplete x
fails 2 '--owner needs --incomplete' destroy x --owner me
fails 2 'cannot be combined with' destroy --incomplete --owned
fails 2 'cannot be combined with' list --names --tree
fails 2 'use --group' create my-vgpu.xml my-vgpu.xml
fails 2 'expected a number of seconds' wait x --timeout soon
fails 2 "'show'" attr show x
fails 2 "unknown command 'bogus'" help bogus
fails 2 "start --autostart" autostart
fails 2 'the columns are NAME, KIND' list -o COLOUR
fails 2 'expected one of created, deleted' event --type made
fails 2 'expected NAME=VALUE' create --type 11 --attr x
fails 2 'expected a number from 1, or all' create --type 11 --count 0
fails 2 'cannot be combined with' create my-vgpu.xml --type 11
fails 2 'cannot be combined with --dry-run' create --type 11 --count 2 --dry-run
fails 2 'expected a number from 1' event --count 0
fails 2 'missing --type <TYPE>' create --parent 86:00.0
fails 2 'missing "' 'info "my-vgpu'
fails 2 "missing '" "info 'my-vgpu"

fails 3 nosuch info nosuch
fails 3 nosuch dumpxml nosuch
fails 3 nosuch destroy nosuch
fails 3 nosuch reset nosuch
fails 3 nosuch types nosuch
fails 3 00000000-0000-4000-8000-000000000000 info 00000000-0000-4000-8000-000000000000
fails 3 pci_0000_86_00_0 types pci_0000_86_00_0 nosuch
fails 1 pci_0000_86_00_0 destroy pci_0000_86_00_0
fails 1 'bogus:///' -c bogus:/// list
fails 1 'No such file or directory' create nosuch.xml
fails 1 'Is a directory' create /
fails 1 '' create /dev/null
fails 1 'larger than 64 MiB' create /dev/zero
fails 1 'cannot write' dumphost /nonexistent/host.xml

printf '<device>\0</device>' >nul.xml
fails 1 'NUL byte' create nul.xml
sed 's/11/nosuch/' my-vgpu.xml >type.xml
fails 3 nosuch create type.xml
sed 's/_86_/_ff_/' my-vgpu.xml >parent.xml
fails 3 pci_0000_ff_00_0 create parent.xml
head -c 100 my-vgpu.xml >cut.xml
fails 1 'cut.xml:5:5: tag not closed' create cut.xml
echo '{}' >json.xml
fails 1 'contains JSON' create json.xml
sed 's/<type /<tpye /' my-vgpu.xml >misspelt.xml
fails 1 "misspelt.xml:5:5: unknown element 'tpye'" create misspelt.xml

# Control characters in an argument must not reach the terminal.
nodedev $'a\e[31mb'
err_is "error: unknown command 'a\\x1b[31mb'; 'nodedev help' lists the commands"
nodedev info $'a\e[31mb'
rc_is 3
err_has '[31mb'
[[ $err != *$'\e'* ]]
t_result $? 'no escape character in the sentence of the library'

# What cannot be written is a failure.
if [ -w /dev/full ]; then
	"$NODEDEV" list >/dev/full 2>.err
	rc=$?
	err=$(cat .err)
	t_command='nodedev list >/dev/full'
	rc_is 1
	err_has 'cannot write the output'
fi

# The exit status says the kind of the failure, and with --json the error is an object.
nodedev 'create my-vgpu.xml; create my-vgpu.xml'
rc_is 4 'the name exists'
nodedev 'create --type vfio_ccw-io --parent css_0_0_0052; create --type vfio_ccw-io --parent css_0_0_0052'
rc_is 6 'no instances are left'
nodedev wait css_0_0_0052 --type nosuch --timeout 0
rc_is 8 'a time limit'
nodedev --json info nosuch
rc_is 3
[ "$(jq -r '.code + " " + (.errno | tostring)' .err)" = 'no-node 19' ]
t_result $? 'an error as JSON has a code and an errno'
nodedev --json list --bogus
[ "$(jq -r .code .err)" = usage ]
t_result $? 'a usage error as JSON'

t_end
