#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# How nodes come, change and go, as `nodedev event` prints it. The simulated host lives in the process that uses it, so the
# commands that change it are given to `event`.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

given=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
sed "s,<group>,<uuid>$given</uuid><group>," my-vgpu.xml >given.xml

nodedev -q event 'create given.xml'
rc_is 0
err_is ''
out_is "$given
created   my-vgpu  type 11  parent pci_0000_86_00_0
updated   pci_0000_86_00_0" 'a create'

nodedev -q event --count 4 'create given.xml; destroy my-vgpu'
rc_is 0
out_has 'deleted   my-vgpu  type 11' 'a destroy'

nodedev -q event --json -- create given.xml
rc_is 0
json_is ".event | . == \"created\" or . == \"updated\""
head -n 1 .out >.first && mv .first .out
json_is ".node.uuid == \"$given\" and .node.name == \"my-vgpu\" and .node.active"

nodedev -q event --count 1 --json 'create given.xml'
[ "$(wc -l <.out)" = 1 ]
t_result $? 'one object a line, and --count lines'

nodedev event --timeout 0
rc_is 0
out_is '' 'nothing happens'
nodedev event --timeout 0 --count 1
rc_is 8
err_has 'not received in time'
nodedev event 'create nothing.xml; list --names'
rc_is 1
out_has pci_0000_86_00_0 'the commands after one that failed are run'
nodedev event 'creat x; list --names'
rc_is 2
out_is '' 'nothing is run when a command is not understood'
nodedev -q event --timestamp --type created 'create given.xml; destroy my-vgpu'
rc_is 0
[[ $(sed 1d .out) =~ ^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{12}Z\ created\ +my-vgpu ]] && [ "$(sed 1d .out | wc -l)" = 1 ]
t_result $? 'one event of the type, with its time'
nodedev -q event --device my-vgpu 'create given.xml; destroy my-vgpu'
out_is "$given
created   my-vgpu  type 11  parent pci_0000_86_00_0
deleted   my-vgpu  type 11  parent pci_0000_86_00_0" 'events of one device'
for wrong in --count=0 --count=x --count=-1 --timeout=x; do
	nodedev event $wrong
	rc_is 2
done

# --device by name, UUID in any case, and PCI address of a VF.
uuid=AAAAAAAA-2222-4333-8444-555555555555
for device in mine $uuid "${uuid,,}"; do
	nodedev event --device "$device" "create --type 11 --parent 86:00.0 --uuid $uuid --name mine; create --type 12 --parent 86:00.0"
	rc_is 0
	[ "$(grep -c '^created' <<<"$out")" = 1 ]
	t_result $? "event --device $device: the events of one device"
done
nodedev event --device 41:00.4 'create --type 1442 --parent 41:00.4; create --type 1442 --parent 41:00.5'
[ "$(grep -c '^created' <<<"$out")" = 1 ]
t_result $? 'event --device with the address of a VF'

t_end
