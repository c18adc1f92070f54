#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The main job on the simulated host: discover, create with the proposal's own XML, look at it, destroy it.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

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
rc_is 7
out_has bob 'the owner of the command is recorded'
err_has "belongs to 'bob'" 'what belongs to another owner stays'
nodedev --owner alice 'create given.xml; destroy my-vgpu --owned'
rc_is 0

nodedev "create given.xml; create given.xml --exist-ok; destroy $given"
rc_is 0 'creating the same device again with --exist-ok'
nodedev "create given.xml; create given.xml"
rc_is 4 'creating the same device again'
err_has error:

sed 's/my-vgpu/other/' my-vgpu.xml >other.xml
sed -i '/<group>/d' my-vgpu.xml other.xml
nodedev 'create --group my-vgpu.xml other.xml; destroy my-vgpu other'
rc_is 0 'a group of two'
out_has 'Device other destroyed'
sed -i 's/type id=.11./type id="none"/' other.xml
nodedev 'create --group my-vgpu.xml other.xml; list --names'
rc_is 3 'a group of which one cannot be created'
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
out_has 'Parent pci_0000_86_00_0 exists'
nodedev wait pci_0000_ff_00_0 --timeout 0
rc_is 8
err_has pci_0000_ff_00_0

# Without XML.
nodedev 'create --parent 41:00.0 --type H200X-35C --name one --params a=1; info one; destroy one'
rc_is 0
out_has 'Parameters:         a=1'
nodedev 'create --parent 41:00.0 --type 1441 --count 2; list --devices --parent 41:00.0 --names'
rc_is 0
[ "$(grep -c '^mdev_.*_0000_41_00_0$' .out)" = 2 ]
t_result $? 'two devices of one command'
nodedev -q 'create --parent css_0_0_0052 --type vfio_ccw-io --count all; list --devices --parent css_0_0_0052 --names'
rc_is 0
[ "$(wc -l <.out)" = 2 ]
t_result $? 'as many devices as fit'
nodedev 'create --parent 41:00.0 --type 1441 --dry-run; list --devices --parent 41:00.0 --names'
rc_is 0
out_has 'parent pci_0000_41_00_0'
out_has '/nvidia/current_vgpu_type 1441'
out_lacks mdev_ 'a dry run creates nothing'
nodedev 'create --parent 41:00.0 --type 1441 --count 2; destroy --all --parent 41:00.0; list --devices --parent 41:00.0 --names'
rc_is 0
[ "$(grep -c destroyed .out)" = 2 ]
t_result $? 'all devices of a parent are destroyed'

# Every form of a name.
for form in my-vgpu "$given" "${given:0:8}" iommu:7 /dev/vfio/7 "/sys/bus/mdev/devices/$given"; do
	nodedev -q "create given.xml; info $form"
	rc_is 0
	out_has 'Name:               my-vgpu' "info $form"
done
nodedev -q 'create --parent 41:00.0 --type 1441; info 41:00.4'
rc_is 0
out_has 'Address:            0000:41:00.4' 'a VF by its short address'
nodedev -q 'create given.xml; info my-vgpu --id 0bad'
rc_is 1
err_has "'0bad' is not an id for QEMU"

# Waiting for a device.
nodedev "create given.xml; wait my-vgpu --for created; wait my-vgpu --for free; destroy my-vgpu; wait $given --for deleted"
rc_is 0
nodedev "wait $given --for created --timeout 0"
rc_is 8

# What is wrong with the host, and what the cards have.
nodedev doctor
rc_is 1
out_is 'BAD  pci_0000_c1_00_0: offers no types
     next: its VFs are not enabled; enable them with the program of the vendor'\''s driver: sriov-manage -e 0000:c1:00.0' 'doctor'
nodedev doctor 86:00.0
rc_is 0
out_is '' 'doctor is silent when all is well'
nodedev doctor 86:00.0 --all
out_has 'ok   pci_0000_86_00_0'
nodedev doctor --json
json_is '.[0].severity == "bad" and (.[0].nextStep | contains("sriov-manage")) and any(.severity == "ok")'
nodedev 'create given.xml; status 86:00.0'
rc_is 0
out_has 'pci_0000_86_00_0  1 '
nodedev status --json
json_is '.[] | select(.name == "pci_0000_86_00_0") | .devices == 0 and .product == "GRID M60" and .driver == "nvidia"'

# Several devices: each is printed when it exists, and a failure says how many there are.
nodedev 'create --type 11 --parent 86:00.0 --count 20'
rc_is 6
[ "$(grep -c ' created, UUID ' <<<"$out")" = 16 ]
t_result $? 'create --count: each created device is printed'
err_has 'note: 16 of 20 devices were created'
nodedev create --type 11 --parent 86:00.0 --count 1 --json
json_is 'type == "array" and length == 1'
nodedev create --type 11 --parent 86:00.0 --json
json_is 'type == "object"'
echo '<x/>' >other.xml
nodedev define my-vgpu.xml other.xml
rc_is 1
out_has ' defined, UUID '
err_has 'note: 1 of 2 devices were defined'
nodedev define my-vgpu.xml other.xml --json
json_is 'length == 1'
[ "$(jq -r .code .err)" = xml-syntax ]
t_result $? 'the error is an object'
nodedev define --type 11 --parent 86:00.0 --count 0
rc_is 2
err_has 'expected a number from 1'

# --all acts on the definitions of that parent, also if another parent has one with the same UUID.
uuid=22222222-2222-4333-8444-555555555555
nodedev "define --type 11 --parent 86:00.0 --uuid $uuid; define --type queue-1 --parent 87:00.0 --uuid $uuid;
	undefine --all --parent 87:00.0; list --inactive -o PARENT,UUID"
rc_is 0
out_has "pci_0000_86_00_0  $uuid"
out_lacks "pci_0000_87_00_0  $uuid"

t_end
