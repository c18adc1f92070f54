#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 2 --module module guest/60-vgpu.sh INSTALLED [RESULTS]
#
# Virtual GPUs that are VFs, through the installed library: the two programs that were written for the merged mdev layout do
# the same here, with other names only; then the order of writes, failures of the driver, parameters that
# outlive a device, devices of other programs, reuse of VFs, guests; then the same steps on a replay of this host.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

OUT=${2:-/run/results}
SYSTEM=mdev:///system
U=c60cc60c-0000-4222-8333-44444444444
XML=/run/xml
PARAMETERS=/sys/module/mdev_lab/parameters

# xml NAME TYPE [ELEMENTS [PARENT]]: makes the file of a request
xml()
{
	printf "<device><name>%s</name><parent>%s</parent><capability type='mdev'><type id='%s'/>%s</capability></device>\n" \
		"$1" "${4-$NODE}" "$2" "${3-}" >"$XML/$1"
}

# The types that the VFs have.
current()
{
	cat "$PF"/virtfn*/nvidia/current_vgpu_type | paste -sd' '
}

# The records of devices.
remembered()
{
	ls -A /run/libmdev/devices 2>/dev/null
}

# vf DEVICE: the folder of the VF of a device
vf()
{
	nodedev info --json "$1" | jq -r .path
}

# No device and no record exists, before and after the tests.
clean()
{
	t_eq "$1: every VF is free" '0 0 0 0 0 0 0 0' "$(current)"
	t_eq "$1: no parameters are left" '' "$(cat "$PF"/virtfn*/nvidia/vgpu_params | tr -d '\n')"
	t_eq "$1: no record is left" '' "$(remembered)"
}

not_enabled()
{
	t_eq 'a PF without VFs is a parent' "vendor-vfio 0" \
		"$(nodedev list --parents --json | jq -r --arg n "$NODE" '.[] | select(.name == $n) | "\(.layout) \(.types | length)"')"
	xml early 1434
	t_match 'the error of a create has the next step' "error: $NODE: .*sriov-manage -e $BDF" "$(nodedev create "$XML/early" 2>&1)"
	t_eq 'and does not enable VFs' 0 "$(cat "$PF/sriov_numvfs")"
}

# A C program that was written for mdev: only the names of parent and type differ from the mdev bus.
program()
{
	local host=$1 out text uuid=${U}1
	t_ok "$host: a vGPU is created" sh -c "$host $SYSTEM create $NODE 1434 $uuid >/run/created"
	out=$(cat /run/created)
	t_match "$host: it has the UUID of the request" "uuid=$uuid" "$out"
	t_eq "$host: one VF has the type" '1434 0 0 0 0 0 0 0' "$(current)"
	text=$("$host" "$SYSTEM" qemu "$uuid" | sed -n 's/^qemu=//p')
	t_eq "$host: the text for QEMU is that of a PCI device" "vfio-pci,host=$(basename "$(vf $uuid)")" "$text"
	t_match "$host: it is listed" "$(vf $uuid)" "$("$host" "$SYSTEM" list)"
	t_eq "$host: free VFs are not nodes" "$(basename "$(vf $uuid)")" \
		"$("$host" "$SYSTEM" list | sed -n 's/.*physfn.*//; s|.* /sys/.*/\(0000:41:0[01]\.[1-7]\)$|\1|p; s|.*/\(0000:41:01.0\)$|\1|p')"
	t_ok "$host: the host is dumped" sh -c "$host $SYSTEM dump >$OUT/$host.xml"
	t_eq "$host: and its replay lists the same" "$("$host" "$SYSTEM" list)" "$("$host" "test://$OUT/$host.xml" list)"
	t_ok "$host: QEMU attaches it with that text" t_qemu lab -device "$text"
	t_match "$host: its guest has the function" '1b36:0010' "$("$GUEST/monitor" /run/lab.sock 'info pci')"
	out=$(timeout 20 "$host" "$SYSTEM" destroy $uuid 2>&1)
	t_match "$host: destroy in use is EBUSY" 'rc=-16 errno=16 code=14 ' "$out"
	t_eq "$host: and the device and its record are unchanged" "1434 $uuid" "$(cat "$(vf $uuid)/nvidia/current_vgpu_type") $(remembered)"
	t_match "$host: the guest still has it" '1b36:0010' "$("$GUEST/monitor" /run/lab.sock 'info pci')"
	t_ok "$host: QEMU ends" t_qemu_end lab
	t_eq "$host: then it is destroyed" 'destroy: rc=0' "$("$host" "$SYSTEM" destroy $uuid 2>/dev/null)"
	t_match "$host: once" 'rc=-19 errno=19 ' "$("$host" "$SYSTEM" destroy $uuid 2>&1)"
	clean "$host"
}

# order LOG: the operations under the lock of the PF, in words; repeated operations are printed once
order()
{
	sed -nE -e "s/^[0-9]+ +flock\([0-9]+<[^>]*\/locks\/parent-$BDF>, LOCK_EX.* = 0/lock/p" \
		-e "s/^[0-9]+ +flock\([0-9]+<[^>]*\/locks\/parent-$BDF>, LOCK_UN.*/unlock/p" \
		-e 's/^[0-9]+ +utimensat\([0-9]+<[^>]*\/nvidia>, "current_vgpu_type".*/mark/p' \
		-e 's/^[0-9]+ +(write)\([0-9]+<[^>]*\/run\/libmdev\/devices.*/remember/p' \
		-e '/\.part", 0\)/d' \
		-e 's/^[0-9]+ +unlink(at)?\(.*\/run\/libmdev\/devices.*/forget/p' \
		-e 's/^[0-9]+ +open(at)?\(.*"\/?(dev\/vfio\/[0-9]+)".*/hold the group/p' \
		-e 's/^[0-9]+ +(read|write)\([0-9]+<[^>]*\/(current_vgpu_type|vgpu_params)>, ("[^"]*").*/\1 \2 \3/p' \
		-e 's/^[0-9]+ +read\([0-9]+<[^>]*\/creatable_vgpu_types>.*/read creatable_vgpu_types/p' "$1" | uniq
}

traced()
{
	strace -f -y -s 200 -e trace=read,write,flock,utimensat,openat,open,unlinkat,unlink -o /run/log "$@"
}

sequence()
{
	xml seq 1434 '<params>frame_rate_limiter=0</params>'
	t_ok 'a vGPU with parameters' traced nodedev create "$XML/seq"
	t_eq 'is created in this order, the choice and the writes under one lock' \
		'lock|read current_vgpu_type "0\n"|read creatable_vgpu_types|mark|read current_vgpu_type "0\n"|remember|read current_vgpu_type "0\n"|write vgpu_params "frame_rate_limiter=0\n"|read vgpu_params "frame_rate_limiter=0\n"|write current_vgpu_type "1434\n"|read current_vgpu_type "1434\n"|unlock' \
		"$(order /run/log | sed -n '/^lock$/,/^unlock$/p' | paste -sd'|')"
	t_eq 'the driver has them' 'frame_rate_limiter=0 1434' \
		"$(cd "$(vf seq)/nvidia" && cat vgpu_params current_vgpu_type | paste -sd' ')"
	t_match 'it dumps back' '<params>frame_rate_limiter=0</params>' "$(nodedev dumpxml seq)"
	t_ok 'it is destroyed' traced nodedev destroy seq
	t_eq 'in this order' \
		'lock|read current_vgpu_type "1434\n"|write current_vgpu_type "0\n"|read current_vgpu_type "0\n"|read vgpu_params "frame_rate_limiter=0\n"|write vgpu_params "\n"|read vgpu_params "\n"|unlock' \
		"$(order /run/log | sed -n '/^lock$/,/^unlock$/p' | paste -sd'|')"
	t_match 'while its group was held' '^hold the group.*lock' "$(order /run/log | sed -n '/^hold/,$p' | paste -sd'|')"
	clean sequence
}

# Parameters that were never cleared do not apply to the next device.
poison()
{
	local n
	for n in "$PF"/virtfn*; do echo stale=1 >"$n/nvidia/vgpu_params"; done
	xml plain 1433
	t_ok 'a vGPU without parameters on a VF that has some' nodedev create "$XML/plain"
	t_eq 'has none' '' "$(cat "$(vf plain)/nvidia/vgpu_params")"
	xml own 1433 '<params>own=1</params>'
	t_ok 'a device with its own parameters' nodedev create "$XML/own"
	t_eq 'has these parameters' own=1 "$(cat "$(vf own)/nvidia/vgpu_params")"
	xml bad 1433 "<params>$TOO_LONG</params>"
	t_match 'parameters that the driver refuses' 'error: .*vgpu_params.*Argument list too long' "$(nodedev create "$XML/bad" 2>&1)"
	t_eq 'leave no device' 2 "$(remembered | wc -l)"
	t_ok 'they go' nodedev destroy plain own
	for n in "$PF"/virtfn*; do echo >"$n/nvidia/vgpu_params"; done
	clean poison
}

# injected NTH ERRNO: the driver fails the NTH write of a type with ERRNO
injected()
{
	echo "$2" >"$PARAMETERS/vgpu_fail_write_errno"
	echo "$1" >"$PARAMETERS/vgpu_fail_write_nth"
}

failures()
{
	xml fails 1434 '<params>a=1</params>'
	injected 1 5
	t_match 'the driver fails' 'error: .*current_vgpu_type.*Input/output error' "$(nodedev create "$XML/fails" 2>&1)"
	clean 'a failed write'
	injected 1 0
	t_match 'the driver returns success without effect' "error: .*accepted type .* is '0'" "$(nodedev create "$XML/fails" 2>&1)"
	clean 'a lie'
	injected 1 28
	t_ok 'the driver finds no room: another VF is tried' nodedev create "$XML/fails"
	t_eq 'and taken' '0 1434 0 0 0 0 0 0' "$(current)"
	t_eq 'nothing is left on the first' '' "$(cat "$PF/virtfn0/nvidia/vgpu_params")"
	t_ok 'it is destroyed' nodedev destroy fails
	clean 'no room on one VF'
	xml first 1433
	xml second 1433
	injected 2 5
	t_match 'of two the second fails' 'error: ' "$(nodedev create --group "$XML/first" "$XML/second" 2>&1)"
	clean 'a group'
	xml first 1433 "<attr name='placement_id' value='x'/>"
	t_match 'an attribute that the driver refuses' 'error: .*placement_id' "$(nodedev create "$XML/first" 2>&1)"
	clean 'an attribute'
}

full()
{
	local n said
	xml whole 1436
	t_ok 'one device uses the whole card' nodedev create "$XML/whole"
	t_eq 'no type has instances, the names are listed' '0 NVIDIA H200X-4C' \
		"$(nodedev types "$NODE" 1431 --json | jq -r '.[0] | "\(.availableInstances) \(.name)"')"
	xml more 'NVIDIA H200X-4C'
	t_match 'one device more is ENOSPC, with a message' "error: $NODE: type 1431 has no instances left" \
		"$(nodedev create "$XML/more" 2>&1)"
	t_match 'and in C' "rc=-28 errno=28 .*no instances left" "$(host-linked $SYSTEM create "$NODE" 1431 2>&1)"
	t_ok 'it goes' nodedev destroy whole
	for n in 1 2 3 4 5 6 7 8; do
		xml "small$n" 'NVIDIA_H200X-4C'
		echo "create $XML/small$n"
	done | nodedev -q >/dev/null
	t_eq 'by name: every VF has a device' '1431 1431 1431 1431 1431 1431 1431 1431' "$(current)"
	said=$(nodedev create "$XML/more" 2>&1)
	t_match 'no VF is left' "error: $NODE: all 8 VFs have a device" "$said"
	t_ok 'they go' nodedev destroy small1 small2 small3 small4 small5 small6 small7 small8
	clean full
}

# A request may name the VF.
named_vf()
{
	local node="${NODE%_*}_5"
	xml chosen 1433 '' "$node"
	t_ok 'a VF is named' nodedev create "$XML/chosen"
	t_eq 'and taken' '0 0 0 0 1433 0 0 0' "$(current)"
	t_eq 'its parent is the PF' "$NODE" "$(nodedev info chosen --json | jq -r .parent)"
	xml again 1431 '' "$node"
	t_match 'not twice' "error: .*has a device of type 1433 already" "$(nodedev create "$XML/again" 2>&1)"
	t_ok 'it goes' nodedev destroy chosen
	clean 'a named VF'
}

attributes()
{
	xml attr 1434 "<attr name='placement_id' value='3'/>"
	t_ok 'a vGPU with an attribute' nodedev create "$XML/attr"
	t_eq 'the driver has it' 3 "$(cat "$(vf attr)/nvidia/placement_id")"
	t_ok 'others are set' nodedev -q 'attr set attr gpu_instance_id 2; attr set attr warm_update 1; attr set attr vgpu_params b=2'
	t_eq 'and read' '2|1|b=2|3' "$(nodedev -q 'attr get attr gpu_instance_id; attr get attr warm_update;
		attr get attr vgpu_params; attr get attr placement_id' | paste -sd'|')"
	t_eq 'also by its name as an mdev node' b=2 "$(nodedev attr get attr nvidia/vgpu_params)"
	t_ok 'which sets it, too' nodedev attr set attr nvidia/vgpu_params b=3
	t_eq 'the driver has that value' b=3 "$(cat "$(vf attr)/nvidia/vgpu_params")"
	t_not 'a value that the driver refuses is an error' nodedev attr set attr warm_update 2
	t_not 'the type cannot be set as an attribute' nodedev attr set attr current_vgpu_type 0
	t_not 'no name leads out of the folder' nodedev attr get attr ../uevent
	t_eq 'the device is complete' 1434 "$(cat "$(vf attr)/nvidia/current_vgpu_type")"
	echo 0 | tee "$(vf attr)"/nvidia/{placement_id,gpu_instance_id,warm_update} >/dev/null
	t_ok 'it goes' nodedev destroy attr
	clean attributes
}

formats()
{
	local f seen
	for f in 0 1 2; do
		echo $f >"$PARAMETERS/vgpu_format"
		seen+=$(nodedev types "$NODE" --json | sha256sum)$'\n'
		xml format 'NVIDIA H200X-141C'
		t_ok "format $f: create by name" nodedev create "$XML/format"
		t_eq "format $f: it has the requested type" 1436 "$(cat "$(vf format)/nvidia/current_vgpu_type")"
		t_ok "format $f: destroy" nodedev destroy format
	done
	echo 0 >"$PARAMETERS/vgpu_format"
	t_eq 'all three formats have the same types' 1 "$(printf %s "$seen" | sort -u | wc -l)"
	t_eq 'which is six types' 6 "$(nodedev types "$NODE" --json | jq length)"
}

# The UUID under which the device of the VF is listed.
uuid_of()
{
	nodedev list --devices --json | jq -r --arg p "$(readlink -f "$PF/virtfn$1")" '.[] | select(.path == $p) | .uuid'
}

foreign_devices()
{
	local uuid
	echo 1433 >"$PF/virtfn2/nvidia/current_vgpu_type"
	uuid=$(uuid_of 2)
	t_match "a device that a shell made has a UUID" '^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-' "$uuid"
	rm -rf /run/libmdev
	t_eq 'which does not depend on the records' "$uuid" "$(uuid_of 2)"
	echo 0 >"$PF/virtfn2/nvidia/current_vgpu_type"
	t_eq 'a cleared VF is not a device' '' "$(uuid_of 2)"
	t_match 'and cannot be destroyed' 'rc=-19 ' "$(host-linked $SYSTEM destroy "$uuid" 2>&1)"
	echo 1433 >"$PF/virtfn2/nvidia/current_vgpu_type"
	t_eq 'a new device has the same UUID' "$uuid" "$(uuid_of 2)"
	t_eq 'it can be destroyed' 'destroy: rc=0' "$(host-linked $SYSTEM destroy "$uuid" 2>/dev/null)"
	clean foreign_devices
}

# reused WHAT UUID TYPE PATTERN: the device of UUID does not exist, and VF 0 has the device of another program, of this type
reused()
{
	local what=$1 uuid=$2 kind=$3 pattern=$4 theirs mark
	theirs=$(uuid_of 0)
	mark=$(stat -c %.9Y "$PF/virtfn0/nvidia/current_vgpu_type")
	t_not "$what: it has another UUID" test "$theirs" = "$uuid"
	t_match "$what: a stale destroy is refused" "rc=-19 errno=19 .*$pattern" "$(host-linked $SYSTEM destroy "$uuid" 2>&1)"
	t_eq "$what: and no file was written" "$kind $mark" \
		"$(cat "$PF/virtfn0/nvidia/current_vgpu_type") $(stat -c %.9Y "$PF/virtfn0/nvidia/current_vgpu_type")"
	t_not "$what: no device is listed under the old UUID" nodedev info "$uuid"
	t_eq "$what: the other device is destroyed by its own UUID" 'destroy: rc=0' "$(host-linked $SYSTEM destroy "$theirs" 2>/dev/null)"
	t_eq "$what: every VF is free" '0 0 0 0 0 0 0 0' "$(current)"
}

# Another program sets a VF without the library, in every way that a script has; and the library itself reuses the VF.
hands()
{
	local kind same='another program wrote the type of VF 0000:41:00.1, so device .* can no longer be identified'
	for kind in 1434 1433; do
		host-linked $SYSTEM create "$NODE" 1434 ${U}2 >/dev/null
		echo 0 >"$PF/virtfn0/nvidia/current_vgpu_type"
		echo $kind >"$PF/virtfn0/nvidia/current_vgpu_type"
		reused "reused by a shell, for $kind" ${U}2 $kind \
			"$([ $kind = 1434 ] && echo "$same" || echo 'no longer exists: its VF 0000:41:00.1 was cleared and is device')"
	done
	host-linked $SYSTEM create "$NODE" 1434 ${U}2 >/dev/null
	# The write is refused and changes no type, but the shell has truncated the file.
	echo 1434 2>/dev/null >"$PF/virtfn0/nvidia/current_vgpu_type"
	reused 'written to by a shell that was refused' ${U}2 1434 "$same"
	host-linked $SYSTEM create "$NODE" 1434 ${U}2 >/dev/null
	host-linked $SYSTEM destroy ${U}2 >/dev/null 2>&1
	host-linked $SYSTEM create "$NODE" 1434 ${U}3 >/dev/null
	reused 'reused by the library' ${U}2 1434 'no mediated device'
	host-linked $SYSTEM create "$NODE" 1434 ${U}2 >/dev/null
	echo 0 >"$PF/lab_enable_vfs"
	echo 8 >"$PF/lab_enable_vfs"
	echo 1434 >"$PF/virtfn0/nvidia/current_vgpu_type"
	reused 'reused after the VFs were enabled again' ${U}2 1434 "$same"
	# Its record exists until its UUID is used again.
	host-linked $SYSTEM create "$NODE" 1434 ${U}2 >/dev/null
	host-linked $SYSTEM destroy ${U}2 >/dev/null 2>&1
	clean hands
}

# A process has the VFIO node open, without using the device.
held()
{
	local fd before after
	host-linked $SYSTEM create "$NODE" 1434 ${U}4 >/dev/null
	exec {fd}<>"/dev/vfio/$(basename "$(readlink "$(vf ${U}4)/iommu_group")")"
	before=$(stat -c %.9Y "$(vf ${U}4)/nvidia/current_vgpu_type")
	t_match 'destroy while the node is held is EBUSY' 'rc=-16 errno=16 code=14 ' "$(host-linked $SYSTEM destroy ${U}4 2>&1)"
	after=$(stat -c %.9Y "$(vf ${U}4)/nvidia/current_vgpu_type")
	t_eq 'and changes nothing' "1434 ${U}4 $before" "$(cat "$(vf ${U}4)/nvidia/current_vgpu_type") $(remembered) $after"
	exec {fd}>&-
	t_eq 'then it is destroyed' 'destroy: rc=0' "$(host-linked $SYSTEM destroy ${U}4 2>/dev/null)"
	clean 'a held node'
}

# Creates and destroys devices in one session; prints everything that is equal on all hosts.
session()
{
	xml one 1434 "<params>a=1</params><uuid>${U}5</uuid>"
	xml two 1435 "<uuid>${U}6</uuid>"
	xml three 1434 "<uuid>${U}7</uuid>"
	xml four 1431 "<uuid>${U}8</uuid>"
	nodedev -c "$1" <<-END 2>&1
		create $XML/one
		types $NODE --json
		create $XML/two
		create $XML/three
		types $NODE --json
		create $XML/four
		attr get one vgpu_params
		attr set one placement_id 7
		attr get one placement_id
		attr set one warm_update 2
		attr set one vgpu_params $TOO_LONG
		attr get two creatable_vgpu_types
		info two --json
		dumpxml one
		dumpxml two --libvirt
		list --devices --json
		destroy two
		create $XML/four
		attr get one creatable_vgpu_types
		destroy two
		destroy one three four
		types $NODE --json
		list --json
	END
}

replay()
{
	local name
	t_ok 'the host is dumped' nodedev dumphost "$OUT/vgpu.xml"
	session $SYSTEM >"$OUT/vgpu.kernel"
	session "test://$OUT/vgpu.xml" >"$OUT/vgpu.replay"
	t_ok 'the session has output' test "$(wc -l <"$OUT/vgpu.kernel")" -gt 100
	t_eq 'with one refusal each for room, a switch, parameters and a device that no longer exists' 4 \
		"$(grep -c '^error: ' "$OUT/vgpu.kernel")"
	t_eq 'the replay has the same output' '' "$(diff "$OUT/vgpu.kernel" "$OUT/vgpu.replay")"
	clean 'a session'
}

# More than the driver accepts.
TOO_LONG=$(printf 'a%.0s' {1..1100})

t_install "$1"
mkdir -p "$OUT" "$XML"
modprobe vfio_iommu_type1
t_udevd
BDF=0000:41:00.0
NODE=pci_0000_41_00_0
PF=$(readlink -f /sys/bus/pci/devices/$BDF)
export MDEV_DEFAULT_URI=$SYSTEM
not_enabled
echo 8 >"$PF/lab_enable_vfs"
program host-linked
program host-plugin
sequence
poison
failures
full
named_vf
attributes
formats
foreign_devices
hands
held
replay
t_done
