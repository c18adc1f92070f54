#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a shell offers when TAB is pressed. The script of each shell calls the program, which gives the answers.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

PATH=$(dirname "$NODEDEV"):$PATH
for shell in bash zsh fish; do
	nodedev completion $shell
	rc_is 0
	out_has NODEDEV_COMPLETE
done
nodedev completion tcsh
rc_is 2
err_has 'expected one of bash, zsh, fish'
# The name of the program is that of a function of this test.
"$NODEDEV" completion bash | sed "s|\"nodedev\" --|\"$NODEDEV\" --|" >script
bash -n script
t_result $? 'the script for bash has no syntax error'
# shellcheck disable=SC1091
. ./script

# offers WORDS... = what is offered when TAB is pressed behind the last of WORDS.
offers()
{
	local COMP_WORDS COMP_LINE COMP_POINT COMP_CWORD COMP_TYPE=9 COMPREPLY=()

	t_command="TAB behind: $*"
	COMP_WORDS=(nodedev "$@")
	COMP_LINE=${COMP_WORDS[*]}
	COMP_POINT=${#COMP_LINE}
	COMP_CWORD=$#
	_clap_complete_nodedev nodedev "${COMP_WORDS[$#]}" 2>.err
	out=${COMPREPLY[*]}
	err=$(cat .err)
	rc=0
}

offers du
out_is 'dumpxml dumphost'
offers list --t
out_is '--tree --types --type'
offers info pci_0000_86
out_is pci_0000_86_00_0
offers destroy pci
out_is '' 'a parent cannot be destroyed'
offers destroy b5f1
out_is b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93
offers types pci_0000_86_00_0 1
out_has '11 12 13'
offers attr g
out_is get
offers list -o NU
out_is NUMA
offers -c test:///default wait pci_0000_86
out_is pci_0000_86_00_0 'behind -c'
MDEV_DEFAULT_URI=bogus:/// offers -c test:///default info pci_0000_86
out_is pci_0000_86_00_0 'the host of -c, not of the environment'
offers create my-v
out_is my-vgpu.xml

# A name with characters that a shell interprets is not offered.
# shellcheck disable=SC2016
sed 's/my-vgpu/$(touch ran) x/' my-vgpu.xml >odd.xml
nodedev 'create odd.xml; dumphost host.xml'
rc_is 0
MDEV_DEFAULT_URI=test://$work/host.xml offers info ''
[[ $out != *touch* && $out == *pci_0000_86_00_0* ]] && [ ! -e ran ]
t_result $? 'a name with shell code is not offered, and not run'

t_end
