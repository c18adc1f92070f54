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
fails 2 "unknown action 'show' of attr; expected list, get or set" attr show x
fails 2 'attr needs an action: list, get or set' attr
fails 2 "unknown command 'bogus'" help bogus
fails 2 "start --autostart" autostart
fails 2 'the columns are NAME, KIND' list -o COLOUR
fails 2 'expected one of created, deleted' event --type made
fails 2 'expected NAME=VALUE' create --type 11 --attr x
fails 2 'expected a number from 1, or all' create --type 11 --count 0
fails 2 'cannot be combined with' create my-vgpu.xml --type 11
fails 2 'cannot be combined with --dry-run' create --type 11 --count 2 --dry-run
fails 2 'expected a number from 1' event --count 0
fails 2 'missing --type <TYPE>;' create --parent 86:00.0
fails 2 'missing --type <TYPE>;' define --parent 86:00.0
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

# xml NAME EDIT: the request of the founding proposal with a mistake
xml()
{
	sed "$2" my-vgpu.xml >"$1.xml"
}

# The XML: FILE:LINE:COLUMN, what is there, what is expected.
xml group 's/<group>1/<group>x/'
fails 1 "group.xml:6:5: <group> is 'x'; expected a decimal number" create group.xml
xml name 's,<name>my-vgpu,<name>my/vgpu,'
fails 1 "name.xml:2:3: <name> gives 'my/vgpu', which is not a device name" create name.xml
xml cap "s/type='mdev'/type='pci'/"
fails 1 "cap.xml:4:3: a capability of type 'pci' cannot be created; expected 'mdev'" create cap.xml
xml no-type '/<type /d'
fails 1 "no-type.xml:4:3: the capability has no <type id='...'/>; add it" create no-type.xml
xml uuid 's,<group>,<uuid>123</uuid><group>,'
fails 1 "uuid.xml:6:5: <uuid> is '123', 3 characters long; a UUID has 36" create uuid.xml
xml params 's,<group>,<params>a=1</params><group>,'
fails 1 'params.xml:7:5: a second <params> inside <capability>; only one is accepted' create params.xml
xml root 's/device>/domain>/'
fails 1 'root.xml:1:1: the root element is <domain>; expected <device>' create root.xml
xml attr "s,<group>,<attr name='../x' value='1'/><group>,"
fails 1 "attr.xml:6:5: <attr> gives '../x', which is not the name of an attribute" create attr.xml

# The parent and the type: the nearest name, or the known ones.
xml parent 's/_86_00_0/_86_00_1/'
fails 3 "there is no parent device 'pci_0000_86_00_1' here; did you mean 'pci_0000_86_00_0'?" create parent.xml
xml type "s/id='11'/id='GRID M60-0X'/"
fails 3 "there is no type 'GRID M60-0X'; it has 11 (GRID M60-0B), 12 (GRID M60-0Q)" create type.xml
fails 3 'is a mediated device, not a parent; its parent is pci_0000_00_02_0' create --type 11 --parent b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93
fails 3 "no parent has a type 'nosuch'; list the types" create --type nosuch
fails 3 'its VFs are not enabled; enable them' create --type 1442 --parent c1:00.0
fails 1 'takes no parameters; leave out the parameters (<params>, --params)' create --type vfio_ccw-io --params x=1
fails 1 'takes no group (it has no requires_group, or that is 0); leave out the group (<group>, --group)' create --type queue-1 --group 1
fails 3 "there is no attribute 'nosuch' in" create --type 11 --attr nosuch=1
fails 1 "UUID is '123', 3 characters long" create --type 11 --uuid 123
fails 2 'cannot be combined with --numa' create --type 1442 --parent 41:00.5 --numa 3
fails 2 'cannot be combined with --name' create --type 11 --count all --name web
fails 2 'expected a number from 1, or all' create --type 11 --count -1
fails 3 "device 2 of 2: pci_0000_86_00_0: there is no type 'GRID M60-0X'" create my-vgpu.xml type.xml --group

# The device.
existing=b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93
fails 3 "there is no device 'b5f1'; to mean the device $existing, give its whole UUID" destroy b5f1
fails 3 'list the devices to see which there are' destroy b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a94
fails 2 'missing --parent <PARENT>' destroy --all
fails 2 'missing --all' destroy --parent 86:00.0
fails 2 '--owned needs an owner: nodedev --owner NAME' destroy --owned $existing
fails 7 "has no recorded owner, so it does not belong to 'me'; destroy it without the check" --owner me destroy --owned $existing
fails 1 'it has no definition, so it cannot be undefined; there is nothing to undefine; destroy it to remove it' undefine $existing
fails 1 'it has no definition, so it cannot be started; define it first' start $existing
fails 1 'define it first' set-autostart $existing
fails 1 'it has no definition; define it first' dumpxml --inactive $existing
fails 2 '--inactive needs a device' dumpxml --inactive 86:00.0
fails 1 "'a b' is not an id for QEMU: a letter, then" info --id 'a b' $existing
fails 3 "did you mean '0000:86:00.0'?" info 86:00.1
fails 3 "'nodedev list -o NAME,IOMMU' shows the groups" info /dev/vfio/99
fails 1 "'' is not the name of a node device" info ''
fails 3 "there is no attribute 'nosuch' in" attr get $existing nosuch
fails 3 'is a link or another kind of entry' attr set $existing mdev_type x
fails 1 "invalid attribute name '../x'" attr get $existing ../x
fails 1 'attributes of a parent cannot be written' attr set 86:00.0 x y
fails 1 'only devices of the general layout have it, and this device has the mdev layout' reset $existing
fails 2 "is a device; name a parent, or give the state to wait for: --for" wait $existing --timeout 0
fails 8 'still exists after 0 ms' wait $existing --for deleted --timeout 0
fails 8 'check whether its vendor driver is loaded' wait nosuch --timeout 0

# Options of lists and events, and the host.
fails 2 'expected one of active, inactive, broken' list --state runing
fails 2 'expected one of mdev, rfc, general, vendor-vfio' list --layout nosuch
fails 3 "there is no parent device 'nosuch' here" list --parent nosuch
fails 2 'expected one of bash, zsh, fish' completion powershell
fails 8 'not received in time: 1 more event; use a longer --timeout' event --count 1 --timeout 0
fails 1 'names no host; use mdev:///system' -c qemu:///system list
fails 1 "the path of a file that mdev_conn_dump_xml() or 'nodedev dumphost' wrote" -c test:///nosuch list
fails 1 'text before the root element' -c test:///etc/passwd list
fails 1 'is not an absolute path' -c 'mdev:///system?root=relative' list
fails 1 'root= needs an existing directory' -c 'mdev:///system?root=/nonexistent' list
fails 1 'the text is empty; write an XML element' create -

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
