#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Devices that persist, on the simulated host: each command line is one process, and one host.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

given=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
sed "s,<group>,<uuid>$given</uuid><group>," my-vgpu.xml >given.xml
listed='list --devices --inactive --names'

nodedev "define given.xml; $listed; start my-vgpu; $listed; info my-vgpu"
rc_is 0
err_is ''
golden persist.txt

nodedev -q 'define given.xml'
out_is "$given" 'define -q prints the UUID'

nodedev -q "define given.xml --autostart; start --autostart pci_0000_86_00_0; $listed; destroy my-vgpu; $listed"
rc_is 0
out_is "$given
my-vgpu" 'what starts with its parent is there, and a definition when it is destroyed'

nodedev "define given.xml --autostart; set-autostart my-vgpu --disable; start --autostart; undefine my-vgpu; undefine my-vgpu"
rc_is 3 'what is not defined cannot be undefined'
out_has '0 devices started' 'what is started by hand is not started with its parent'
err_has 'my-vgpu'

nodedev -q "define given.xml --autostart --json; info $given --json"
sed -n '/^{/,/^}/p' .out | sed '1,/^}/!d' >first && mv first .out
json_is '.active == false and .persistent == true and .autostart == true'

# Each takes all of the card.
for n in 1 2 3; do
	echo "<device><parent>0000:41:00.0</parent><capability type='mdev'><type id='1443'/><uuid>00000000-0000-4000-8000-00000000000$n</uuid></capability></device>" >whole$n.xml
done
nodedev -q 'define whole1.xml --autostart; define whole2.xml --autostart; define whole3.xml --autostart; start --autostart; list --devices --names'
rc_is 1 'not all could be started'
out_has '00000000-0000-4000-8000-000000000001' 'one is'
err_has '00000000-0000-4000-8000-000000000002 on 0000:41:00.0 could not be started'
err_has '00000000-0000-4000-8000-000000000003 on 0000:41:00.0 could not be started'

for parent in 0000:00:02.0 0000:86:00.0; do
	type=$([ $parent = 0000:86:00.0 ] && echo 11 || echo i915-GVTg_V5_4)
	echo "<device><parent>$parent</parent><capability type='mdev'><type id='$type'/><uuid>$given</uuid></capability></device>" >on-$parent.xml
done
nodedev "define on-0000:00:02.0.xml; define on-0000:86:00.0.xml; info $given"
rc_is 1 'a UUID that is defined under two parents is ambiguous'
err_has 'defined on 2 parents; look up one of'

nodedev 'start my-vgpu'
rc_is 3 'a device that is not defined is not started'

t_end
