#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: not_shown.py EMBED-URI PARENT ADDRESS TYPE SHOWN-PARENT|TYPE

A parent of virtual GPUs without mdev, and its devices: a connection that did not ask for them neither lists nor finds them,
hears of none, and creates none. The other connection of this process, to the same simulated host, is asked to show them.
"""

import sys

import libvirt

import tap

U = "5eed0009-0000-4000-8000-00000000000a"
D = "5eed0009-0000-4000-8000-00000000000b"

uri, parent, address, type_id = sys.argv[1:5]
shown_parent, shown_type = sys.argv[5].split("|")
tap.event_loop()
plain, asked = libvirt.open(uri), libvirt.open(uri + "&vendor_vfio=1")
vf = parent[:-1] + "4"
name, defined = tap.node_name(U, address), tap.node_name(D, address)
names = lambda conn: {dev.name() for dev in conn.listAllDevices(0)}

events = tap.Listener(plain)
device = asked.nodeDeviceCreateXML(tap.device_xml(parent, type_id, U))
inactive = asked.nodeDeviceDefineXML(tap.device_xml(parent, type_id, D))
tap.eq("where they were asked for they are listed", set(), {parent, name, defined} - names(asked))
missing = names(asked) - names(plain)
tap.eq("elsewhere they are not", set(), {parent, name, defined} - missing)
tap.ok(all(n.startswith(("mdev_", "pci_")) for n in missing), "and all else is listed", missing)
tap.eq("the legacy calls agree", (False, False), (parent in plain.listDevices("mdev_types"), name in plain.listDevices("mdev")))
for node in parent, name, defined:
    tap.refused(f"{node} is not found, and the reason is given", libvirt.VIR_ERR_NO_NODE_DEVICE,
                lambda: plain.nodeDeviceLookupByName(node), node, "managed='no'", "vendor_vfio=1")
for what, call in ("create", plain.nodeDeviceCreateXML), ("define", plain.nodeDeviceDefineXML):
    for above in parent, address, vf:
        tap.refused(f"{what} under {above} is refused", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                    lambda: call(tap.device_xml(above, type_id)), above, "managed='no'", "vendor_vfio=1")
    tap.refused(f"{what} needs a parent, as libmdev could choose such a one", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                lambda: call(tap.device_xml("x", type_id).replace("<parent>x</parent>", "")), "<parent>")
device.destroy()
inactive.undefine()
marker = plain.nodeDeviceCreateXML(tap.device_xml(shown_parent, shown_type))
events.wait_for(marker.name(), "created")
tap.eq("no event of them", [], [event for event in events.seen if event[0] in (parent, name, defined)])
marker.destroy()
events.close()
for conn in plain, asked:
    conn.close()
tap.done()
