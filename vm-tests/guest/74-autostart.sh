#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run --module "module platform_parents=32" guest/74-autostart.sh INSTALLED [RESULTS]
#
# Some five hundred definitions on 32 parents, as mdevctl writes them, started at once and by two processes: each valid definition
# starts, each failure is named, and no device is started twice.

# shellcheck source=lib.sh
. "${LAB_GUEST:-$(dirname -- "$0")}/lib.sh"

STORE=/etc/mdevctl.d
PARENTS=32
EACH=16

# define PARENT NUMBER TYPE START: the UUID contains parent and number
define()
{
	local uuid
	uuid=$(printf '%08x-0074-4000-8000-%012x' "$1" "$2")
	mkdir -p "$STORE/mdev_lab.$1"
	printf '{\n  "mdev_type": "%s",\n  "start": "%s",\n  "attrs": []\n}' "$3" "$4" >"$STORE/mdev_lab.$1/$uuid"
	echo "$uuid"
}

running()
{
	ls "$MDEV_BUS" | sort
}

destroy_all()
{
	running | xargs -r nodedev -q destroy
}

t_install "$1"
modprobe vfio_iommu_type1
mkdir -p $STORE
mount -t tmpfs tmpfs $STORE
mkdir -p $STORE/scripts.d/callouts $STORE/scripts.d/notifiers
t_ok "$PARENTS parents" test -e "/sys/bus/platform/devices/mdev_lab.$((PARENTS - 1))/mdev_supported_types"
for ((p = 0; p < PARENTS; p++)); do
	for ((n = 0; n < EACH; n++)); do define $p $n 12 auto; done
done | sort >/run/good
define 0 99 12 manual >/run/manual
# A type that does not exist, a file in which autostart cannot be read, and a parent that does not exist, which is not a
# failure.
bad=$(define 3 98 no-such-type auto)
broken=00000004-0074-4000-8000-000000000097
echo '{' >"$STORE/mdev_lab.4/$broken"
absent=$(define 99 1 12 auto)

start=$SECONDS
nodedev -q start --autostart >/run/out 2>&1
t_eq 'not all could be started' 1 $?
echo "# $((PARENTS * EACH)) devices on $PARENTS parents in $((SECONDS - start)) s"
t_eq 'all valid definitions run' "$(cat /run/good)" "$(running)"
t_match 'a failure is named, with its reason' "^error: $bad on mdev_lab.3 could not be started: .*no-such-type" "$(cat /run/out)"
t_match 'an invalid file is named, too' "error: $broken on mdev_lab.4 could not be started: .*$STORE/mdev_lab.4/$broken" "$(cat /run/out)"
t_eq 'and nothing else' 2 "$(grep -c . /run/out)"
t_not 'an absent parent is not named as a failure' grep "$absent" /run/out

destroy_all
t_eq 'none runs' '' "$(running)"
nodedev start --autostart >/run/one 2>/run/one.err & one=$!
nodedev start --autostart >/run/two 2>/run/two.err & two=$!
wait $one; wait $two
t_eq 'two at once: all valid definitions run' "$(cat /run/good)" "$(running)"
t_eq 'and both name exactly the failures' "$bad $broken $bad $broken" \
	"$(sed -nE 's/^error: ([0-9a-f-]*-0074-[0-9a-f-]*) on .*/\1/p' /run/one.err /run/two.err | paste -sd' ')"
t_eq 'one parent' 0 "$(nodedev -q start --autostart mdev_lab.7 >/dev/null 2>&1; echo $?)"

destroy_all
nodedev -q start --autostart mdev_lab.7 >/dev/null
t_eq 'of one parent, only its definitions start' "$(grep ^00000007 /run/good)" "$(running)"

# More definitions than instances: sixteen devices run, and the errors name the other definitions.
for ((n = EACH; n < EACH + 12; n++)); do define 7 $n 12 auto; done >/run/more
destroy_all
nodedev -q start --autostart mdev_lab.7 >/dev/null 2>/run/err
t_eq 'as many as fit' $EACH "$(running | wc -l)"
t_eq 'each other definition is named as a failure' 12 "$(grep -c '^error: 00000007-0074-.* could not be started: .*no instances left' /run/err)"
destroy_all
t_eq 'nothing is left' '' "$(running)$(ls -A /run/libmdev/devices 2>/dev/null)"
t_done
