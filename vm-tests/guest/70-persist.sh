#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run -q "-device edu" --module module guest/70-persist.sh INSTALLED
#
# One store, two tools: the installed library lists, starts, changes and undefines the definitions of Debian's mdevctl, and mdevctl
# those of the library. Each tool preserves the text of the other, and both show the same data. Attributes are written in their order,
# also attributes in a folder of the device.
# The udev rule starts the devices of a parent that appears late. On a full disk, the old definition stays.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

STORE=/etc/mdevctl.d
THEIRS=00007e57-1111-4222-8333-444444444444
OURS=00005e7f-1111-4222-8333-444444444444

ours()
{
	persist mdev:///system "$@"
}

# define NAME UUID PARENT TYPE ELEMENTS...: by us
define()
{
	local name=$1 uuid=$2 parent=$3 type=$4
	shift 4
	printf "<device>${name:+<name>$name</name>}<parent>%s</parent><capability type='mdev'><type id='%s'/><uuid>%s</uuid>%s</capability></device>\n" \
		"$parent" "$type" "$uuid" "$*" >/run/define.xml
	ours define /run/define.xml
}

# A definition from mdevctl's JSON and from the library's XML: "UUID PARENT TYPE name=value..."
by_json()
{
	mdevctl list --defined --dumpjson | jq -r --arg uuid "$1" '.[] | to_entries[] | .key as $parent | .value[] | to_entries[] |
		select(.key == $uuid) | "\(.key) \($parent) \(.value.mdev_type)" +
		([.value.attrs[] | to_entries[] | " \(.key)=\(.value)"] | add // "")'
}

by_xml()
{
	ours xml "$1" | sed -n "s|.*<uuid>\(.*\)</uuid>|uuid=\1|p; s|.*<parent_addr>\(.*\)</parent_addr>|parent=\1|p; \
		s|.*<type id='\(.*\)'/>|type=\1|p; s|.*<attr name='\(.*\)' value='\(.*\)'/>|attr= \1=\2|p" |
		awk -F= '$1 == "attr" { sub(/^attr=/, ""); attrs = attrs $0; next } { v[$1] = $2 } END { print v["uuid"], v["parent"], v["type"] attrs }'
}

both_agree()
{
	t_eq "$1: both tools have the same data" "$(by_json "$2")" "$(by_xml "$2")"
}

line_of()
{
	ours list | grep "^$1"
}

mdevctl_defines()
{
	local file=$STORE/mtty/$THEIRS before
	t_ok 'mdevctl defines' mdevctl define --uuid "$THEIRS" --parent mtty --type mtty-2
	t_ok 'mdevctl adds an attribute' mdevctl modify --uuid "$THEIRS" --addattr b --value 'x & "y"'
	t_ok 'mdevctl adds another of the same name' mdevctl modify --uuid "$THEIRS" --addattr b --value 2
	t_ok 'mdevctl adds a third' mdevctl modify --uuid "$THEIRS" --addattr a --value 3
	t_eq 'we list it' "$THEIRS mtty_mtty mtty-2 inactive defined manual" "$(line_of "$THEIRS")"
	t_eq 'JSON has it' "$THEIRS mtty mtty-2 b=x & \"y\" b=2 a=3" "$(by_json "$THEIRS")"
	t_match 'XML has the same' "^$THEIRS mtty mtty-2 b=x &amp; .* b=2 a=3$" "$(by_xml "$THEIRS")"
	before=$(md5sum <"$file")
	t_ok 'we set autostart' ours set "$THEIRS" 1
	t_match 'mdevctl sees it' "$THEIRS mtty mtty-2 auto" "$(mdevctl list --defined)"
	t_ok 'and disable it' ours set "$THEIRS" 0
	t_eq 'no byte has changed' "$before" "$(md5sum <"$file")"
	t_not 'a definition with an attribute that the device does not have does not start' ours start "$THEIRS"
	t_not 'and there is no device' test -e "$MDEV_BUS/$THEIRS"
	for _ in 1 2 3; do
		mdevctl modify --uuid "$THEIRS" --delattr
	done
	t_ok 'without the attribute, we start it' ours start "$THEIRS"
	t_match 'mdevctl lists it as running and defined' "$THEIRS mtty mtty-2 manual \(defined\)" "$(mdevctl list)"
	t_eq 'it is one node' "$THEIRS mtty_mtty mtty-2 active defined manual" "$(line_of "$THEIRS")"
	t_not 'it is not started twice' ours start "$THEIRS"
	t_ok 'we undefine it' ours undefine "$THEIRS"
	t_eq 'it still runs' "$THEIRS mtty_mtty mtty-2 active transient -" "$(line_of "$THEIRS")"
	t_eq 'mdevctl has no definition of it' '' "$(mdevctl list --defined | grep "$THEIRS")"
	t_ok 'mdevctl stops it' mdevctl stop --uuid "$THEIRS"
}

we_define()
{
	local file=$STORE/mtty/$OURS
	t_eq 'we define' "mine $OURS" "$(define mine "$OURS" mtty_mtty mtty-1 "<attr name='a' value='1'/><attr name='a' value='2'/>")"
	both_agree 'ours' "$OURS"
	mdevctl define --uuid "$THEIRS" --parent mtty --type mtty-1
	mdevctl modify --uuid "$THEIRS" --addattr a --value 1
	mdevctl modify --uuid "$THEIRS" --addattr a --value 2
	t_ok 'our file is equal to the byte to the file of mdevctl' cmp "$file" "$STORE/mtty/$THEIRS"
	mdevctl undefine --uuid "$THEIRS"
	t_eq 'mode and owner are equal to those of mdevctl' '644 0 0' "$(stat -c '%a %u %g' "$file")"
	t_eq 'mdevctl prints no warning' '' "$(mdevctl list --defined 2>&1 >/dev/null)"
	t_ok 'mdevctl modifies it' mdevctl modify --uuid "$OURS" --auto
	t_eq 'we see it, by its name' "$OURS mtty_mtty mtty-1 inactive defined auto" "$(line_of "$OURS")"
	t_match 'and it still has its name' "<name>mine</name>" "$(ours xml mine)"
	mdevctl modify --uuid "$OURS" --delattr
	mdevctl modify --uuid "$OURS" --delattr
	t_ok 'mdevctl starts it' mdevctl start --uuid "$OURS"
	t_eq 'we see it running' "$OURS mtty_mtty mtty-1 active defined auto" "$(line_of "$OURS")"
	t_match 'under the name of its definition' "<path>/sys/devices/.*/$OURS</path>" "$(ours xml mine | tr -d '\n')"
	t_match 'redefined' " $OURS$" "$(define mine "$OURS" mtty mtty-2)"
	t_match 'the running device is unchanged' 'mtty-1 active' "$(line_of "$OURS")"
	t_ok 'mdevctl stops it' mdevctl stop --uuid "$OURS"
	t_eq 'the inactive device has the new type, and still has autostart' "$OURS mtty_mtty mtty-2 inactive defined auto" "$(line_of "$OURS")"
	both_agree 'redefined' "$OURS"
	t_eq 'autostart starts one device' 1 "$(ours autostart)"
	t_eq 'and starts no device twice' 0 "$(ours autostart mtty)"
	t_match 'it has the new type' 'mtty-2 active defined auto' "$(line_of "$OURS")"
	t_ok 'mdevctl stops it again' mdevctl stop --uuid "$OURS"
	t_ok 'mdevctl undefines it' mdevctl undefine --uuid "$OURS"
	t_eq 'and we do not list it' '' "$(line_of "$OURS")"
}

one_uuid_twice()
{
	mdevctl define --uuid "$OURS" --parent mtty --type mtty-1
	mdevctl define --uuid "$OURS" --parent mdpy --type mdpy-xga
	t_eq 'one UUID under two parents' 2 "$(ours list | grep -c "^$OURS")"
	t_match 'the UUID alone is ambiguous' 'two|2 parents' "$(ours start "$OURS" 2>&1)"
	t_ok 'the name selects one of them' ours start "mdev_${OURS//-/_}_mdpy"
	t_match 'of that parent' "mdpy/$OURS" "$(readlink "$MDEV_BUS/$OURS")"
	t_not 'the other cannot run beside it' ours start "mdev_${OURS//-/_}_mtty"
	t_ok 'undefine by name' ours undefine "mdev_${OURS//-/_}_mtty"
	t_not 'removes that definition' test -e "$STORE/mtty/$OURS"
	t_ok 'and not the other' test -e "$STORE/mdpy/$OURS"
	echo 1 >"$MDEV_BUS/$OURS/remove"
	mdevctl undefine --uuid "$OURS"
}

# On the layout whose devices have writable attributes.
attributes_in_order()
{
	local parent writes
	for parent in /sys/bus/pci/devices/*/mdev_supported_types; do
		parent=${parent%/*}
		[ -e "$parent/mdev_destroy" ] || break
	done
	define ordered "$OURS" "${parent##*/}" "$(basename "$(find "$parent/mdev_supported_types" -mindepth 1 -maxdepth 1 | sort | head -n 1)")" \
		"<attr name='weight' value='5'/><attr name='priority' value='2'/><attr name='weight' value='7'/>" >/dev/null
	writes=$(strace -f -y -e trace=write persist mdev:///system start ordered 2>&1 |
		sed -nE 's|.*/(weight\|priority)>, "([0-9]+).*|\1=\2|p' | tr '\n' ' ')
	t_eq 'attributes are written in their order' 'weight=5 priority=2 weight=7 ' "$writes"
	t_eq 'and the last value is set' 7 "$(cat "$MDEV_BUS/$OURS/weight")"
	echo 1 >"$MDEV_BUS/$OURS/destroy"
	t_ok 'undefined by its name' ours undefine ordered
}

# NVIDIA's mdev driver has its attributes in a folder of the device; mdevctl writes them as nvidia/vgpu_params.
attributes_in_folders()
{
	local parent type file dialect
	for parent in /sys/bus/pci/devices/*/mdev_supported_types; do
		parent=${parent%/*}
		[ ! -e "$parent/mdev_destroy" ] || break
	done
	type=$(basename "$(find "$parent/mdev_supported_types" -mindepth 1 -maxdepth 1 | sort | head -n 1)")
	file=$MDEV_BUS/$THEIRS/nvidia/vgpu_params
	t_ok 'mdevctl defines a device' mdevctl define --uuid "$THEIRS" --parent "${parent##*/}" --type "$type" --auto
	t_ok 'and adds an attribute in a folder' \
		mdevctl modify --uuid "$THEIRS" --addattr nvidia/vgpu_params --value frame_rate_limiter=60
	t_match 'XML has it' 'nvidia/vgpu_params=frame_rate_limiter=60$' "$(by_xml "$THEIRS")"
	t_ok 'we start it' ours start "$THEIRS"
	t_eq 'the driver has the whole value' frame_rate_limiter=60 "$(cat "$file")"
	t_eq 'it is read' frame_rate_limiter=60 "$(nodedev attr get "$THEIRS" nvidia/vgpu_params)"
	t_match 'it is listed, with the other attribute of the folder' 'nvidia/vgpu_params.*nvidia/vm_name' \
		"$(nodedev attr list "$THEIRS" | tr '\n' ' ')"
	t_ok 'it is set' nodedev attr set "$THEIRS" nvidia/vgpu_params frame_rate_limiter=30
	t_eq 'the driver has the new value' frame_rate_limiter=30 "$(cat "$file")"
	t_not 'a read-only attribute cannot be set' nodedev attr set "$THEIRS" nvidia/vm_name x
	t_not 'a name that leads out of the device is refused' nodedev attr get "$THEIRS" nvidia/../../uevent
	t_not 'a link is refused' nodedev attr get "$THEIRS" mdev_type/name
	nodedev -q destroy "$THEIRS"
	t_eq 'autostart starts it' 1 "$(ours autostart)"
	t_eq 'with its attribute' frame_rate_limiter=60 "$(cat "$file")"
	for dialect in '' --libvirt; do
		nodedev dumpxml "$THEIRS" $dialect >/run/dumped.xml
		nodedev -q destroy "$THEIRS"
		ours undefine "$THEIRS" >/dev/null
		t_ok "the output of dumpxml $dialect can be defined again" ours define /run/dumped.xml
		t_ok 'and starts' ours start "$THEIRS"
		t_eq 'with the attribute' frame_rate_limiter=60 "$(cat "$file")"
	done
	nodedev -q destroy "$THEIRS"
	sed -i 's|vgpu_params|../../remove|' "$STORE/${parent##*/}/$THEIRS"
	t_not 'a definition with an attribute outside of the device does not start' ours start "$THEIRS"
	t_not 'and there is no device' test -e "$MDEV_BUS/$THEIRS"
	rm "$STORE/${parent##*/}/$THEIRS"
}

# actions_of TOOL: all actions on a definition and its device, by one tool
actions_of()
{
	local uuid=$OURS
	if [ "$1" = mdevctl ]; then
		mdevctl define --uuid $uuid --parent mtty --type mtty-1
		mdevctl modify --uuid $uuid --auto
		mdevctl start --uuid $uuid
		mdevctl stop --uuid $uuid
		mdevctl undefine --uuid $uuid
		mdevctl start --uuid $uuid --parent mtty --type mtty-1
		mdevctl stop --uuid $uuid
	else
		define '' $uuid mtty mtty-1
		ours set $uuid 1
		ours start $uuid
		nodedev -q destroy $uuid
		ours undefine $uuid
		nodedev -q create /run/define.xml
		nodedev -q destroy $uuid
	fi >/dev/null
}

call_outs()
{
	local folder=$STORE/scripts.d tool mode
	for mode in callouts notifiers; do
		printf '#!/bin/sh\n[ $6 = capabilities ] && exit 2\nprintf "%s %%s <%%s>\\n" "$*" "$(cat)" >>/run/calls\n' $mode >$folder/$mode/test
		chmod 755 $folder/$mode/test
	done
	printf '#!/bin/sh\nexit 2\n' >$folder/callouts/not-mine
	chmod 755 $folder/callouts/not-mine
	for tool in mdevctl ours; do
		rm -f /run/calls
		actions_of $tool
		# mdevctl 1.2 passes the configuration also to notifiers; 1.4 and the library pass nothing.
		sed '/^notifiers/s/ <.*//' /run/calls >/run/calls.$tool
	done
	t_eq 'the arguments of scripts are equal to those of mdevctl' "$(cat /run/calls.mdevctl)" "$(cat /run/calls.ours)"
	t_eq 'three times for each of seven actions' 21 "$(wc -l </run/calls.ours)"
	rm -f /run/calls
	mdevctl define --uuid $OURS --parent mtty --type mtty-1
	rm -f /run/calls
	ours list >/dev/null
	nodedev list --devices --all >/dev/null 2>&1
	t_not 'a list calls no script' test -e /run/calls
	mdevctl undefine --uuid $OURS
	rm $folder/*/test $folder/callouts/not-mine
}

disk_full()
{
	local file=$STORE/mtty/$OURS out
	mkdir -p /run/aside && mv "$STORE" /run/aside/ && mkdir "$STORE"
	mount -t tmpfs -o size=32k,mode=755 tmpfs "$STORE"
	define full "$OURS" mtty mtty-1 >/dev/null
	dd if=/dev/zero of="$STORE/filler" bs=4k 2>/dev/null
	out=$(define full "$OURS" mtty mtty-2 2>&1)
	t_match 'a full disk is an error that names the file' "^No space left on device: .*$file" "$out"
	t_match 'the old definition is unchanged' 'mtty-1 inactive defined manual' "$(line_of "$OURS")"
	t_not 'autostart cannot be set' ours set "$OURS" 1
	t_ok 'but it can be undefined' ours undefine "$OURS"
	t_eq 'no file is left' "filler mtty" "$(ls "$STORE" | tr '\n' ' ' | sed 's/ $//')$(ls -A "$STORE/mtty")"
	umount "$STORE" && rmdir "$STORE" && mv /run/aside/mdevctl.d "$STORE"
}

t_install "$1"
t_drivers
mdevctl_defines
we_define
one_uuid_twice
attributes_in_order
attributes_in_folders
call_outs
disk_full
t_done
