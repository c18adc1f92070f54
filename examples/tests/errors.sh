#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What goes wrong: a sentence that begins with "error: " on standard error, nothing on standard output, and the exit status.

# shellcheck source=examples/tests/t.sh
. "${SOURCE:?}/examples/tests/t.sh"

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

fails 2 "unknown command: 'bogus'" bogus
fails 2 "unknown command: ''" '' list
fails 2 "unknown option '--bogus'" --bogus list
fails 2 'needs a value' -c
fails 2 'needs a value' wait pci_0000_86_00_0 --timeout
fails 2 "no option '--bogus'" list --bogus
fails 2 "no option '-x'" list -x
fails 2 "no option '--tree'" types --tree
fails 2 'takes no value' list --json=yes
fails 2 'too many operands' list pci_0000_86_00_0
fails 2 'too few operands' create
fails 2 'too few operands' destroy
fails 2 'too many operands' destroy --incomplete x
fails 2 'takes --owner with --incomplete' destroy x --owner me
fails 2 'takes --owner with --incomplete' destroy --incomplete --owned
fails 2 'cannot be given together' list --json --tree
fails 2 'give --group' create my-vgpu.xml my-vgpu.xml
fails 2 'no number of seconds' wait x --timeout soon
fails 2 "use 'attr list NAME'" attr show x
fails 2 "unknown command: 'bogus'" help bogus
fails 2 'missing "' 'info "my-vgpu'
fails 2 "missing '" "info 'my-vgpu"

fails 1 nosuch info nosuch
fails 1 nosuch dumpxml nosuch
fails 1 nosuch destroy nosuch
fails 1 nosuch reset nosuch
fails 1 nosuch types nosuch
fails 1 00000000-0000-4000-8000-000000000000 info 00000000-0000-4000-8000-000000000000
fails 1 pci_0000_86_00_0 types pci_0000_86_00_0 nosuch
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
fails 1 nosuch create type.xml
sed 's/_86_/_ff_/' my-vgpu.xml >parent.xml
fails 1 pci_0000_ff_00_0 create parent.xml
head -c 100 my-vgpu.xml >cut.xml
fails 1 line create cut.xml

# Control characters in an argument must not reach the terminal.
nodedev $'a\e[31mb'
err_is "error: unknown command: 'a\\x1b[31mb'; see 'nodedev help'"
nodedev info $'a\e[31mb'
rc_is 1
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

t_end
