#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The small examples do what they say.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

run "$EXAMPLES/list" test:///default
rc_is 0
out_has 'parent pci_0000_86_00_0'
err_is ''
run "$EXAMPLES/list" bogus:///
rc_is 1
err_has 'error: '

run "$EXAMPLES/create"
rc_is 0
out_has '-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/'
out_has '<hostdev '
out_has destroyed
err_is ''

run "$EXAMPLES/watch" test:///default
rc_is 0
[[ ${out//$'\n'/ } =~ ^created\ (mdev_[^ ]*)\ updated\ pci_0000_86_00_0\ deleted\ (mdev_[^ ]*)\ updated ]] &&
	[ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
t_result $? 'watch reports the create, updates and delete of a device'
err_is ''
run "$EXAMPLES/watch" bogus:///
rc_is 1

run "$EXAMPLES/plugin" "${LIBMDEV:?}"
rc_is 0
out_has pci_0000_86_00_0
out_has '<name>my-vgpu</name>'
err_is ''
run "$EXAMPLES/plugin" "$work/nosuch.so"
rc_is 1

t_end
