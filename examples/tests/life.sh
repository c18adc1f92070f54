#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The main job on the simulated host: discover, create with the proposal's own XML, look at it, destroy it.

# shellcheck source=examples/tests/t.sh
. "${SOURCE:?}/examples/tests/t.sh"

given=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
sed "s,<group>,<uuid>$given</uuid><group>," my-vgpu.xml >given.xml

nodedev 'create my-vgpu.xml; dumpxml my-vgpu; destroy my-vgpu; list --names'
rc_is 0
err_is ''
golden life.txt

nodedev 'create given.xml; info my-vgpu'
rc_is 0
golden info-device.txt

nodedev "create given.xml; info $given --json" </dev/null
rc_is 0
nodedev -q "create given.xml; info $given --json --id gpu0"
sed -i 1d .out
json_is ".uuid == \"$given\" and .name == \"my-vgpu\" and .type == \"11\" and .group == 1"
json_is ".params == \"frame_rate_limiter=0\" and .parent == \"pci_0000_86_00_0\" and .layout == \"rfc\""
json_is ".qemuDevice == \"vfio-pci,sysfsdev=/sys/bus/mdev/devices/$given\""
json_is ".qemuArgs | startswith(\"-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/$given\")"
json_is '.qmpDeviceAdd.execute == "device_add" and .qmpDeviceAdd.arguments.id == "gpu0"'
json_is ".hostdevXML | contains(\"<address uuid='$given'/>\")"

nodedev -q 'create given.xml'
out_is "$given" 'create -q prints the UUID'

nodedev --owner alice 'create given.xml; list --devices'
out_has alice 'the owner of the connection is recorded'
nodedev --owner alice 'create given.xml --owner bob; list --devices; destroy my-vgpu --owned'
rc_is 1
out_has bob 'the owner of the command is recorded'
err_has "belongs to 'bob'" 'what belongs to another owner stays'
nodedev --owner alice 'create given.xml; destroy my-vgpu --owned'
rc_is 0

nodedev "create given.xml; create given.xml --exist-ok; destroy $given"
rc_is 0 'creating the same device again with --exist-ok'
nodedev "create given.xml; create given.xml"
rc_is 1 'creating the same device again'
err_has error:

sed 's/my-vgpu/other/' my-vgpu.xml >other.xml
sed -i '/<group>/d' my-vgpu.xml other.xml
nodedev 'create --group my-vgpu.xml other.xml; destroy my-vgpu other'
rc_is 0 'a group of two'
out_has 'Device other destroyed'
sed -i 's/type id=.11./type id="none"/' other.xml
nodedev 'create --group my-vgpu.xml other.xml; list --names'
rc_is 1 'a group of which one cannot be made'
out_lacks my-vgpu 'all or none'

nodedev 'dumphost host.xml; list --names'
rc_is 0
before=${out#*host.xml$'\n'}
nodedev -c "test://$work/host.xml" list --names
rc_is 0 'a dumped host can be replayed'
out_is "$before" 'a dumped host has the same nodes'

# Attributes, online and reset are of the layout that has them.
sed 's/_86_/_87_/; s/type id=.[a-z0-9]*./type id="queue-1"/; /<params>/d; s/my-vgpu/queue/' my-vgpu.xml >queue.xml
nodedev 'create queue.xml; attr list queue; attr set queue priority 7; attr get queue priority; offline queue; online queue;
	reset queue; attr list queue'
rc_is 0
err_is ''
golden attr.txt
nodedev -q 'create queue.xml; attr list queue --json'
sed -i 1d .out
json_is '.[] | select(.name == "reset") | .readable == false and .writable and (has("value") | not)'
nodedev 'create my-vgpu.xml; reset my-vgpu'
rc_is 1
err_has my-vgpu

nodedev 'wait pci_0000_86_00_0; wait 0000:86:00.0 --timeout 1'
rc_is 0
out_has 'Parent pci_0000_86_00_0 is there'
nodedev wait pci_0000_ff_00_0 --timeout 0
rc_is 1
err_has pci_0000_ff_00_0

t_end
