#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No leak and no bad access on any path: each line of the script below runs under valgrind, as one process.

# shellcheck source=tools/nodedev/tests/t.sh
. "${SOURCE:?}/tools/nodedev/tests/t.sh"

if ! command -v valgrind >/dev/null; then
	skip 'valgrind is not installed'
	t_end
	exit
fi

checked()
{
	run valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible \
		--errors-for-leak-kinds=definite,indirect,possible --error-exitcode=99 "$@"
	[ "$rc" != 99 ]
	t_result $? "$t_command"
}

sed '/<group>/d; s/my-vgpu/other/' my-vgpu.xml >other.xml
sed '/<group>/d' my-vgpu.xml >one.xml
device=$("$NODEDEV" list --devices --names | head -n 1)

checked "$NODEDEV" "list; list --types; list --json --types; list --tree --types; list --names; list --parents; list --devices;
	list --all; types; types --json; types pci_0000_86_00_0; types pci_0000_86_00_0 11 --json; types pci_0000_86_00_0 x"
checked "$NODEDEV" --owner me "create my-vgpu.xml; info my-vgpu; info my-vgpu --json; dumpxml my-vgpu; dumpxml my-vgpu --libvirt;
	create my-vgpu.xml; create my-vgpu.xml --owner you; destroy my-vgpu nosuch --owned; create one.xml --json; destroy my-vgpu;
	create --group one.xml other.xml; destroy my-vgpu other; create --group one.xml nosuch.xml; create --group one.xml one.xml"
checked "$NODEDEV" "info $device; info pci_0000_86_00_0; info pci_0000_86_00_0 --json; attr list $device; attr list $device --json;
	attr get $device nosuch; attr set $device nosuch 1; reset $device; online $device; offline $device; wait nosuch --timeout 0;
	wait pci_0000_86_00_0; dumphost; dumphost host.xml; dumphost /nonexistent/x; version; help; help list; quit; bogus"
checked "$NODEDEV" -v "info 'x"
checked "$NODEDEV" -c bogus:/// list
checked "$NODEDEV" -c
checked "$NODEDEV" 'create -; create -' <my-vgpu.xml
{
	echo 'create -'
	cat one.xml
	printf '.\nlist --bogus\ninfo "x\nquit\n'
} >script
checked "$NODEDEV" <script
checked "$EXAMPLES/list" test:///default
checked "$EXAMPLES/list" bogus:///
checked "$EXAMPLES/create"
checked "$EXAMPLES/plugin" "${LIBMDEV:?}"

t_end
