#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tables as they were checked by hand, and JSON.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

table()
{
	local file=$1
	shift
	nodedev "$@"
	rc_is 0
	err_is ''
	golden "$file"
}

table list.txt list
table list-parents.txt list --parents
table list-devices.txt list --devices
table list-types.txt list --types
table list-tree.txt list --tree
table list-tree-types.txt list --tree --types
table list-names.txt list --names
table types.txt types
table types-parent.txt types pci_0000_86_00_0
table types-one.txt types pci_0000_86_00_0 GRID_M60-0B
table quiet.txt -q types pci_0000_86_00_0
table info-parent.txt info pci_0000_86_00_0
table dumpxml-parent.txt dumpxml pci_0000_86_00_0

COLUMNS=80 table list-80.txt list
COLUMNS=80 table types-80.txt types
COLUMNS=80 table status-80.txt status
[ "$(wc -L <.out)" -le 80 ]
t_result $? 'a table fits 80 columns'
nodedev list -o name,state,layout
out_has 'pci_0000_86_00_0                                        active  rfc'

for command in 'list --json' 'list --types --json' 'list --parents --json' 'types --json' 'types pci_0000_86_00_0 --json'; do
	nodedev "$command"
	rc_is 0
	json_is 'type == "array" and length > 0'
done
nodedev list --types --json
json_is '[.[] | select(.kind == "parent")] | all((.types | length > 0) == (.name != "pci_0000_c1_00_0"))'
json_is '.[] | select(.name == "pci_0000_86_00_0").types[0] |
	.id == "11" and .name == "GRID M60-0B" and .availableInstances == 16 and .requiresGroup and
	.attributes.fb_length == "512M" and .attributes.resolution == "2560x1600" and .attributes.heads == "2"'
nodedev types --json
json_is '[.[] | select(.parent == "pci_0000_86_00_0").types[].id] == ["11", "12", "13"]'
json_is '[.[] | .parent as $p | .types[] | select(.availableInstancesIsUpperBound) | $p] | unique == ["pci_0000_41_00_0"]'
nodedev list --devices --json
json_is 'all(.kind == "device" and .active and (.uuid | length == 36))'

# JSON output keeps every character that a name can have.
odd=$'a"b\\c<>&\'\u00e9\u20ac\U0001f600'
escaped=$(sed 's/&/\&amp;/g; s/</\&lt;/g' <<<"$odd")
odd=$escaped awk '{ i = index($0, "my-vgpu"); if (i) $0 = substr($0, 1, i - 1) ENVIRON["odd"] substr($0, i + 7) } 1' \
	my-vgpu.xml >odd.xml
nodedev 'create odd.xml --json'
if [ "$rc" = 0 ]; then
	[ "$(jq -r .name .out)" = "$odd" ]
	t_result $? 'an odd name comes back from JSON'
else
	err_has 'error:' 'the library refuses an odd name'
fi

# An empty list is a note only if the host has no parents, and never with -q.
mkdir -p empty/sys/bus/pci/devices
nodedev -c "mdev:///system?root=$work/empty" list
rc_is 0
out_is ''
err_is "note: no parent devices; 'nodedev doctor' shows why"
nodedev -q -c "mdev:///system?root=$work/empty" list
err_is '' 'list -q on a host without parents'
nodedev list --owner nobody
rc_is 0
err_is '' 'a list without devices'

# An empty value is an empty output.
sed '/<params>/d' my-vgpu.xml >plain.xml
nodedev -q 'create plain.xml; attr get my-vgpu params; list --names --devices --owner nobody'
rc_is 0
[ "$(wc -l <<<"$out")" = 1 ]
t_result $? 'attr get prints nothing for an empty value'

t_end
