#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The simulated host as a file system: for a command in a namespace, and below a folder; the errnos of sysfs; its ends.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

if ! [ -r /dev/fuse ] || ! unshare -rm true 2>/dev/null; then
	echo '1..0 # SKIP no /dev/fuse, or no user namespaces'
	exit 0
fi

existing=b5f1e9a6-7d3c-4a52-9c8e-2f60d41b7a93
uuid=11111111-2222-4333-8444-555555555555
gpu=/sys/devices/pci0000:00/0000:00:02.0
export uuid gpu existing NODEDEV

# inside TEXT: runs the shell script with the host as its /sys.
inside()
{
	nodedev simfs -- bash -c "$1"
}

# The command: its status, its input and output, its arguments.
nodedev simfs -- true
rc_is 0
inside 'exit 7'
rc_is 7 'the status of the command'
inside 'kill -TERM $$'
rc_is 143 'a command that a signal ends'
nodedev simfs -- nosuch-program
rc_is 127
err_has 'cannot run nosuch-program: No such file or directory'
nodedev simfs -- printf '%s\n' 'a  b' ';' '--'
out_is $'a  b\n;\n--'
run bash -c 'echo text | "$NODEDEV" simfs -- cat | cat'
out_is text 'standard input and output'
nodedev simfs
rc_is 2
err_has 'missing a folder'
nodedev simfs . -- true
rc_is 2
nodedev simfs --host nosuch.xml -- true
rc_is 1
err_has 'cannot read nosuch.xml'
nodedev simfs nosuch-folder
rc_is 1
err_has 'cannot open nosuch-folder'

# What is where, and that nothing is seen outside.
inside 'id -u; ls /sys; ls /dev/vfio/vfio /dev/null; ls -A /etc/mdevctl.d /run/libmdev; test -r /etc/passwd; echo $?'
rc_is 0
out_is $'0\nbus\nclass\ndevices\nkernel\nmodule\n/dev/null\n/dev/vfio/vfio\n/etc/mdevctl.d:\nscripts.d\n\n/run/libmdev:\n0'
! grep -q simfs /proc/self/mountinfo
t_result $? 'no mount is left outside'

# Files are as in sysfs: mode, size, links, times.
inside 'cd $gpu && stat -c "%n %a %s %F %h" vendor mdev_supported_types/i915-GVTg_V5_8/create mdev_supported_types iommu_group; readlink subsystem'
out_is 'vendor 444 4096 regular file 1
mdev_supported_types/i915-GVTg_V5_8/create 200 4096 regular file 1
mdev_supported_types 755 0 directory 6
iommu_group 777 0 symbolic link 1
../../../bus/pci'
# shellcheck disable=SC2016 # the inner shell expands these
inside 'cd /sys/devices/pci0000:40/0000:40:01.0/0000:41:00.4/nvidia && a=$(stat -c %y current_vgpu_type) && b=$(stat -c %y current_vgpu_type) &&
	: >current_vgpu_type; c=$(stat -c %y current_vgpu_type); [ "$a" = "$b" ] && [ "$b" != "$c" ]'
rc_is 0 'a truncation changes the time, a read does not'

# Writes: the errno of the driver.
errnos()
{
	inside 'create=$gpu/mdev_supported_types/i915-GVTg_V5_8/create
		try() { printf "%s: " "$1"; (printf "$2" >"$3") 2>&1 | sed "s/.*: //"; echo; }
		try no-uuid "x\n" $create
		try existing "$existing\n" $create
		try full "$uuid\n" $gpu/mdev_supported_types/i915-GVTg_V5_1/create
		try read-only "1\n" $gpu/vendor
		try create "$uuid\n" $create
		cat $create 2>&1 | sed "s/.*: //"
		try remove-text "x\n" $gpu/$uuid/remove
		try remove "1\n" $gpu/$uuid/remove
		exec 9>$gpu/$existing/remove; echo 1 >&9; echo 1 >&9
		ls -d $gpu/$existing 2>&1 | sed "s/.*: //"
		touch /sys/x 2>&1 | sed "s/.*: //"
		mkdir /sys/x 2>&1 | sed "s/.*: //"
		rmdir /sys/bus 2>&1 | sed "s/.*: //"
		ln -s x /sys/y 2>&1 | sed "s/.*: //"
		mv /sys/bus /sys/x 2>&1 | sed "s/.*: //"'
}
errnos
out_is 'no-uuid: Invalid argument

existing: File exists

full: No space left on device

read-only: Permission denied

create: 
Permission denied
remove-text: Invalid argument

remove: 
No such file or directory
Permission denied
Operation not permitted
Operation not permitted
Operation not permitted
Operation not permitted'
err_has 'write error: No such device' 'a second write to an open file that was removed'

# A node of VFIO is open once, and its device is in use: for others, not for the process that has it open.
inside '"$NODEDEV" -q create --parent 41:00.0 --type 1442 --name web >/dev/null; node=$("$NODEDEV" info web --json | jq -r .vfioNode)
	exec 9<>$node; (exec 8<>$node) 2>&1 | sed "s/.*: //"
	"$NODEDEV" info web --json | jq -r ".usedBy[0].pid == $$"
	"$NODEDEV" destroy web; echo $?
	vf=$("$NODEDEV" info web --json | jq -r .path)
	echo 0 >$vf/nvidia/current_vgpu_type; cat $vf/nvidia/current_vgpu_type
	exec 9<&-'
out_is $'Device or resource busy\ntrue\n5\n0'
err_has 'is in use: process'
# shellcheck disable=SC2016 # the inner shell expands these
inside 'exec 9<>/dev/vfio/6; setsid -w bash -c "exec 9<&-; echo 1 >$gpu/$existing/remove" & wait; ls -d $gpu/$existing; exec 8</dev/vfio/vfio 7</dev/vfio/vfio'
rc_is 0 'the node of the container is opened twice'

# Programs that do not use libmdev, and several processes on one host.
if command -v mdevctl >/dev/null; then
	inside 'mdevctl types | grep -c Available; mdevctl define -u $uuid -p 0000:00:02.0 -t i915-GVTg_V5_8 && mdevctl start -u $uuid && mdevctl list -d;
		"$NODEDEV" -q list --all -o STATE,UUID | grep $uuid; mdevctl stop -u $uuid && mdevctl modify -u $uuid --auto && mdevctl list -d && mdevctl undefine -u $uuid'
	rc_is 0 'mdevctl'
	out_is "6
$uuid 0000:00:02.0 i915-GVTg_V5_8 manual (active)

active  $uuid
$uuid 0000:00:02.0 i915-GVTg_V5_8 auto"
else
	skip 'mdevctl is not installed'
fi
inside 'for n in 1 2 3 4 5 6 7 8; do
		(for i in 1 2 3 4 5; do u=$("$NODEDEV" -q create --type 11 --parent 86:00.0) && "$NODEDEV" -q destroy "$u" || exit 1; done) &
		jobs="$jobs $!"
	done
	for job in $jobs; do wait $job || exit 1; done
	"$NODEDEV" types 86:00.0 11 --json | jq ".[0].availableInstances"; ls /run/libmdev/devices'
rc_is 0 'eight processes'
out_is 16

# A dump: its devices with their names, and its definitions.
nodedev "create --type 11 --parent 86:00.0 --name from-dump --uuid $uuid; define --type 12 --parent 86:00.0 --name defined; dumphost host.xml"
rc_is 0
nodedev simfs --host host.xml -- "$NODEDEV" -q list --devices --all -o NAME,STATE
rc_is 0
out_has 'from-dump                                               active'
out_has 'inactive'

# A described host: cards of the user, with faults.
cat >card.json <<'END'
{
  "cards": [
    { "address": "0000:41:00.0", "layout": "vendor-vfio", "vfs": 4, "numaNode": 1,
      "types": [{ "id": "1438", "name": "NVIDIA L40S-4Q" }, { "id": "1440", "name": "NVIDIA L40S-16Q" }] },
    { "address": "0000:3b:00.0", "layout": "mdev", "vfs": 2,
      "types": [{ "id": "nvidia-592", "name": "NVIDIA A10-4Q", "instances": 1 }] }
  ],
  "faults": [
    { "path": "/nvidia-592/create", "nth": 1, "errno": "EIO" },
    { "path": "/nvidia-592/create", "nth": 2, "delay": 1.5 },
    { "path": "/unbind", "blocks": true }
  ]
}
END
cat >described.sh <<'END'
"$NODEDEV" status --json | jq -c '.[] | [.name, .vfs, .numaNode, (.free | map([.id, .availableInstances]))]'
create=/sys/class/mdev_bus/0000:3b:00.4/mdev_supported_types/nvidia-592/create
(echo $uuid >$create) 2>&1 | sed 's/.*: //'
before=$EPOCHREALTIME
echo $uuid >$create
after=$EPOCHREALTIME
[ $((${after/./} - ${before/./})) -ge 1500000 ] && echo slow
"$NODEDEV" -q create --parent 41:00.0 --type L40S-16Q >/dev/null && "$NODEDEV" -q list --devices -o PARENT,TYPE
echo 0000:3b:00.4 >/sys/bus/pci/drivers/nvidia/unbind &
blocked=$!
timeout 20 "$NODEDEV" -q list --parents --names | head -n 1
kill -0 $blocked && echo blocked
kill -KILL $blocked
END
nodedev simfs --host card.json -- bash described.sh
rc_is 0 'a described host'
out_is '["pci_0000_3b_00_0",{"used":0,"total":2},0,[["nvidia-592",2]]]
["pci_0000_41_00_0",{"used":0,"total":4},1,[["1438",4],["1440",4]]]
Input/output error
slow
pci_0000_3b_00_4  nvidia-592
pci_0000_41_00_0  1440
pci_0000_3b_00_4
blocked' 'a described host: its cards and its faults'
echo '{"cards": [{"address": "x", "layout": "mdev", "types": []}]}' >bad.json
nodedev simfs --host bad.json -- true
rc_is 1
err_has 'bad.json: invalid description of a host: card x: the address is not DDDD:BB:SS.F'
echo '{"cards": [], "faults": [{"path": "create", "errno": "EFOO"}]}' >bad.json
nodedev simfs --host bad.json -- true
rc_is 1
err_has 'unknown errno "EFOO"; the names are EACCES'

# As a user who is not root.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod a+rwx "$work"
	t_command='simfs of a user'
	run setpriv --reuid 65534 --regid 65534 --clear-groups "$NODEDEV" simfs -- bash -c '"$NODEDEV" -q create --type 11 --parent 86:00.0 --name mine; id -u; touch /etc/mdevctl.d/x'
	rc_is 0
	out_has $'\n0'
	[ ! -e /etc/mdevctl.d/x ]
	t_result $? 'a user changes no file of the host'
else
	skip 'not root: needs root and setpriv'
fi

# Below a folder, until a signal or an unmount.
if [ "$(id -u)" = 0 ] || command -v fusermount3 >/dev/null; then
	for end in TERM INT umount; do
		rm -f server.out
		mkdir -p root
		"$NODEDEV" simfs root >server.out 2>server.err &
		server=$!
		for ((n = 0; n < 600; n++)); do
			[ -s server.out ] && break
			read -r -t 0.1 <> <(:)
		done
		MDEV_DEFAULT_URI="mdev:///system?root=$work/root" nodedev -q create --type 11 --parent 86:00.0 --name web
		rc_is 0 "below a folder, end by $end"
		[ -e root/sys/devices/pci0000:80/0000:80:02.0/0000:86:00.0/"$out" ] && [ -e root/run/libmdev/devices/"$out" ]
		t_result $? 'the device and its record'
		case $end in
		umount) umount root/sys 2>/dev/null || fusermount3 -u root/sys ;;
		*) kill -s $end $server ;;
		esac
		wait $server
		rc=$? t_command='nodedev simfs root' out=$(cat server.out) err=$(cat server.err)
		rc_is 0 "the end by $end"
		! grep -q "$work/root" /proc/self/mountinfo && [ ! -e root/sys/bus ]
		t_result $? "nothing is mounted after $end"
		rm -rf root
	done
	# A server that is killed under load: ENOTCONN, and the mounts can be removed.
	rm -f server.out
	mkdir root
	"$NODEDEV" simfs root >server.out 2>server.err &
	server=$!
	for ((n = 0; n < 600; n++)); do
		[ -s server.out ] && break
		read -r -t 0.1 <> <(:)
	done
	(cd root/sys && while ls bus/pci/devices; do :; done) >/dev/null 2>load.err &
	load=$!
	kill -KILL $server
	wait $server 2>/dev/null
	wait $load
	grep -q 'Transport endpoint is not connected' load.err
	t_result $? 'clients of a killed server get ENOTCONN'
	for folder in root/sys root/dev/vfio; do
		umount "$folder" 2>/dev/null || fusermount3 -u "$folder"
		t_result $? "the mount of a killed server can be removed: $folder"
	done
else
	skip 'below a folder: needs root or fusermount3'
fi

t_end
