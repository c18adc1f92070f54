#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What bash offers when TAB is pressed.

# shellcheck source=examples/tests/t.sh
. "${SOURCE:?}/examples/tests/t.sh"

library=/usr/share/bash-completion/bash_completion
if [ ! -r $library ]; then
	skip 'bash-completion is not installed'
	t_end
	exit
fi
# shellcheck disable=SC1090
. $library
# shellcheck source=examples/nodedev/nodedev.bash-completion
. "$SOURCE/examples/nodedev/nodedev.bash-completion"

# offers WORDS... = what is offered when TAB is pressed behind the last of WORDS.
offers()
{
	local COMP_WORDS COMP_LINE COMP_POINT COMP_CWORD COMPREPLY=()

	t_command="TAB behind: $*"
	COMP_WORDS=("$NODEDEV" "$@")
	COMP_LINE=${COMP_WORDS[*]}
	COMP_POINT=${#COMP_LINE}
	COMP_CWORD=$#
	_nodedev nodedev 2>.err
	out=${COMPREPLY[*]}
	err=$(cat .err)
	rc=0
	err_is ''
}

offers du
out_is 'dumpxml dumphost'
offers list --t
out_is '--tree --types'
offers info pci_0000_86
out_is pci_0000_86_00_0
offers destroy pci
out_is '' 'a parent cannot be destroyed'
offers types pci_0000_86_00_0 1
out_is '11 12 13'
offers attr g
out_is get
offers list ';' des
out_is destroy
offers -c te
out_has 'test:///default'
offers -c test:///default wait pci_0000_86
out_is pci_0000_86_00_0 'behind -c'
offers create my-v
out_is my-vgpu.xml

# Completion must quote a name that contains shell code, and must not run it.
# shellcheck disable=SC2016
_nodedev_names()
{
	printf '%s\n' '$(touch ran)' '`touch ran`' 'two words'
}
offers info ''
[ ! -e ran ]
t_result $? 'a name is not run'
# shellcheck disable=SC2016
out_is '\$\(touch\ ran\) \`touch\ ran\` two\ words' 'a name is quoted'

t_end
