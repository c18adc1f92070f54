#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --vgpu 4 --module module guest/61-vgpu-placement.sh INSTALLED [RESULTS]
#
# The choice of a PF without a parent in the request: four PFs of eight VFs, two of them on each NUMA node, beside the sample drivers on the
# mdev bus. Counted on the VFs themselves.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

XML=/run/xml
CARD=144384
declare -A SIZE=([1431]=4096 [1432]=8192 [1433]=17408 [1434]=35840 [1435]=71680 [1436]=144384)

# The number of vGPUs on each PF.
counts()
{
	local pf
	for pf in "${PFS[@]}"; do
		cat "$pf"/virtfn*/nvidia/current_vgpu_type | grep -vc '^0$'
	done | paste -sd' '
}

# The types on each PF, sorted: "1434,1435 - 1433 -"
types()
{
	local pf
	for pf in "${PFS[@]}"; do
		cat "$pf"/virtfn*/nvidia/current_vgpu_type | grep -v '^0$' | sort | paste -sd, | sed 's/^$/-/'
	done | paste -sd' '
}

# The vGPUs of no PF need more memory than it has.
within_capacity()
{
	local pf id sum over=
	for pf in "${PFS[@]}"; do
		sum=0
		while read -r id; do sum=$((sum + ${SIZE[$id]:-0})); done < <(cat "$pf"/virtfn*/nvidia/current_vgpu_type)
		[ $sum -le $CARD ] || over+="$pf: $sum "
	done
	t_eq "$1: no card has more devices than it has room for" '' "$over"
}

# make COUNT TYPE [ELEMENTS [OPTION]]: creates COUNT devices without a parent; prints the errors
make()
{
	local n
	printf "<device><capability type='mdev'><type id='%s'/>%s</capability></device>\n" "$2" "${3-}" >"$XML/any"
	for ((n = 0; n < $1; n++)); do
		echo "create $XML/any ${4-}"
	done | nodedev -q 2>&1 | grep '^error'
}

# Destroys all devices, through the library.
unmake()
{
	local uuids
	mapfile -t uuids < <(nodedev list --devices --json | jq -r '.[].uuid')
	[ ${#uuids[@]} = 0 ] || nodedev -q destroy "${uuids[@]}" >/dev/null
	t_eq "$1: all are destroyed" '0 0 0 0' "$(counts)"
	t_eq "$1: no record is left" '' "$(ls -A /run/libmdev/devices)"
}

spread()
{
	t_eq 'spread: four' '' "$(make 4 1433)"
	t_eq 'spread: each PF has one device' '1 1 1 1' "$(counts)"
	t_eq 'spread: six more' '' "$(make 6 1433)"
	t_eq 'spread: the first two PFs have one device more' '3 3 2 2' "$(counts)"
	t_eq 'spread: twenty-two more' '' "$(make 22 1433)"
	t_eq 'spread: all VFs of all PFs' '8 8 8 8' "$(counts)"
	t_match 'spread: one device more is refused with a message' "^error: no parent has instances of type '1433' left" "$(make 1 1433)"
	t_eq 'spread: and changes nothing' '8 8 8 8' "$(counts)"
	unmake spread
	t_eq 'spread, mixed types: 8 x 70, 4 x 8 that do not fit' \
		"error: no parent has instances of type '1432' left; destroy one" "$(make 8 1435; make 1 1432)"
	t_eq 'spread, mixed types: two on each' '1435,1435 1435,1435 1435,1435 1435,1435' "$(types)"
	unmake 'spread, mixed types'
	t_eq 'spread, types after types' '' "$(make 4 1435; make 4 1434; make 4 1433; make 4 1432; make 4 1431)"
	t_eq 'spread, types after types: each card has the same types' \
		"$(printf '1431,1432,1433,1434,1435 %.0s' 1 2 3 4 | sed 's/ $//')" "$(types)"
	within_capacity 'spread, types after types'
	unmake 'spread, types after types'
}

pack()
{
	t_eq 'pack: seven' '' "$(make 7 1433 '' --pack)"
	t_eq 'pack: one PF has all devices' '7 0 0 0' "$(counts)"
	t_eq 'pack: three more' '' "$(make 3 1433 '' --pack)"
	t_eq 'pack: the next card is used when the first is full' '8 2 0 0' "$(counts)"
	t_eq 'pack: of another type' '' "$(make 1 1435 '' --pack)"
	t_eq 'pack: the card with less room is used' '8 3 0 0' "$(counts)"
	t_eq 'pack: the whole of a card' '' "$(make 1 1436 '' --pack)"
	t_eq 'pack: a PF that has the type' '8 3 1 0' "$(counts)"
	t_eq 'pack: three more of two types' '' "$(make 2 1432 '' --pack; make 1 1433 '' --pack)"
	t_eq 'pack: no empty card is used' '8 6 1 0' "$(counts)"
	within_capacity pack
	unmake pack
	t_eq 'pack, mixed: largest first' '' \
		"$(make 2 1435 '' --pack; make 4 1434 '' --pack; make 8 1433 '' --pack; make 8 1432 '' --pack)"
	t_eq 'pack, mixed: each type fills a card' "$(for n in '2 1435' '4 1434' '8 1433' '8 1432'; do
		set -- $n
		printf "$2,%.0s" $(seq "$1") | sed 's/,$/\n/'
	done | paste -sd' ')" "$(types)"
	within_capacity 'pack, mixed'
	unmake 'pack, mixed'
}

numa()
{
	t_eq 'NUMA: the nodes of the PFs' '0 0 1 1' "$(cat "${PFS[@]/%//numa_node}" | paste -sd' ')"
	t_eq 'NUMA: four on node 1' '' "$(make 4 1433 "<numa node='1'/>")"
	t_eq 'NUMA: they are on that node' '0 0 2 2' "$(counts)"
	t_eq 'NUMA: two on node 0' '' "$(make 2 1433 "<numa node='0'/>")"
	t_eq 'NUMA: they are on that node' '1 1 2 2' "$(counts)"
	t_eq 'NUMA: three packed on node 1' '' "$(make 3 1433 "<numa node='1'/>" --pack)"
	t_eq 'NUMA: on one PF of the node' '1 1 5 2' "$(counts)"
	t_eq 'NUMA: as many as node 1 has room for' '' "$(make 9 1433 "<numa node='1'/>")"
	t_eq 'NUMA: they are on that node' '1 1 8 8' "$(counts)"
	t_eq 'NUMA: node 1 is full, so another node is used' '' "$(make 2 1433 "<numa node='1'/>")"
	t_eq 'NUMA: they are on another node' '2 2 8 8' "$(counts)"
	t_eq 'NUMA: a node that does not exist' '' "$(make 2 1433 "<numa node='7'/>")"
	t_eq 'NUMA: does not prevent the create' '3 3 8 8' "$(counts)"
	unmake NUMA
}

# Parents with and without an mdev bus on one host.
both()
{
	local out
	t_drivers
	t_eq 'both: layouts and parents' 'mdev 3 vendor-vfio 4' \
		"$(nodedev list --parents --json | jq -r '.[].layout' | sort | uniq -c | awk '{ print $2, $1 }' | paste -sd' ')"
	t_eq 'both: a C program sees all' 7 "$(host-linked mdev:///system list | wc -l)"
	t_eq 'both: without a parent, the type selects the parent' '' "$(make 1 mtty-1; make 1 1433)"
	t_eq 'both: one device on each' 'mdev mtty-1 vendor-vfio 1433' \
		"$(nodedev list --devices --json | jq -r '.[] | "\(.layout) \(.type)"' | sort | paste -sd' ')"
	printf "<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-2'/></capability></device>" >"$XML/mtty"
	printf "<device><parent>%s</parent><capability type='mdev'><type id='1434'/></capability></device>" \
		"pci_0000_82_00_0" >"$XML/vgpu"
	t_ok 'both: one device of each for one guest' nodedev create --group "$XML/mtty" "$XML/vgpu"
	t_eq 'both: four devices' 4 "$(nodedev list --devices --json | jq length)"
	printf "<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-1'/><group>1</group></capability></device>" \
		>"$XML/bad"
	out=$(nodedev create --group "$XML/vgpu" "$XML/bad" 2>&1)
	t_match 'both: all or none' '^error: device 2 of 2|^error: .*takes no group' "$out"
	t_eq 'both: a free VF is not a device' 4 "$(nodedev list --devices --json | jq length)"
	t_ok 'both: a guest has one device of each' t_qemu lab -device "$(qemu_text mdev)" -device "$(qemu_text vendor-vfio)"
	out=$("$GUEST/monitor" /run/lab.sock 'info pci')
	t_match 'both: the serial card' 4348:3253 "$out"
	t_match 'both: the function' 1b36:0010 "$out"
	t_ok 'both: the guest ends' t_qemu_end lab
	unmake both
	t_eq 'both: nothing is left on the mdev bus' '' "$(ls "$MDEV_BUS")"
}

# qemu_text LAYOUT: the text for QEMU of a device of this layout
qemu_text()
{
	nodedev info --json "$(nodedev list --devices --json | jq -r --arg l "$1" '[.[] | select(.layout == $l)][0].uuid')" |
		jq -r .qemuDevice
}

t_install "$1"
mkdir -p "$XML"
modprobe vfio_iommu_type1
t_udevd
PFS=()
for bdf in 0000:41:00.0 0000:42:00.0 0000:81:00.0 0000:82:00.0; do
	PFS+=("$(readlink -f /sys/bus/pci/devices/$bdf)")
	echo 8 >"${PFS[-1]}/lab_enable_vfs"
done
export MDEV_DEFAULT_URI=mdev:///system
spread
pack
numa
both
t_done
