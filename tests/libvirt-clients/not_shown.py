#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: not_shown.py EMBED-URI PARENT ADDRESS TYPE SHOWN-PARENT|TYPE

Checks a parent of virtual GPUs without mdev, and its devices: a connection without vendor_vfio=1 does not list or find them,
gets no events of them, and cannot create them. A second connection to the same simulated host has vendor_vfio=1.
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
tap.eq("with vendor_vfio=1 the nodes are listed", set(), {parent, name, defined} - names(asked))
missing = names(asked) - names(plain)
tap.eq("without vendor_vfio=1 the nodes are not listed", set(), {parent, name, defined} - missing)
tap.ok(all(n.startswith(("mdev_", "pci_")) for n in missing), "without vendor_vfio=1 all other nodes are listed", missing)
tap.eq("the legacy calls do not list the nodes", (False, False), (parent in plain.listDevices("mdev_types"), name in plain.listDevices("mdev")))
for node in parent, name, defined:
    tap.refused(f"{node} is not found, and the error names the reason", libvirt.VIR_ERR_NO_NODE_DEVICE,
                lambda: plain.nodeDeviceLookupByName(node), node, "managed='no'", "vendor_vfio=1")
for what, call in ("create", plain.nodeDeviceCreateXML), ("define", plain.nodeDeviceDefineXML):
    for above in parent, address, vf:
        tap.refused(f"{what} under {above} is refused", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                    lambda: call(tap.device_xml(above, type_id)), above, "managed='no'", "vendor_vfio=1")
    tap.refused(f"{what} without a parent is refused, because libmdev could choose a parent that is not shown", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                lambda: call(tap.device_xml("x", type_id).replace("<parent>x</parent>", "")), "<parent>")
device.destroy()
inactive.undefine()
marker = plain.nodeDeviceCreateXML(tap.device_xml(shown_parent, shown_type))
events.wait_for(marker.name(), "created")
tap.eq("no event of a node that is not shown", [], [event for event in events.seen if event[0] in (parent, name, defined)])
marker.destroy()
events.close()
for conn in plain, asked:
    conn.close()
tap.done()
