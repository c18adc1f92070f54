#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: defects.py URI PARENT|ADDRESS|TYPE PARENT|ADDRESS|TYPE

What libvirt's own driver for mediated devices is known to do wrong, one by one, on a host with two parents.
"""

import sys
import xml.etree.ElementTree as ET

import libvirt

import tap

U = "5eed0007-0000-4000-8000-00000000000a"
VALIDATE = libvirt.VIR_NODE_DEVICE_CREATE_XML_VALIDATE
INACTIVE = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE
MDEV = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV

uri, first, second = sys.argv[1], sys.argv[2].split("|"), sys.argv[3].split("|")
parent, address, type_id = first
tap.event_loop()
conn = libvirt.open(uri)
names = lambda flags=0: [d.name() for d in conn.listAllDevices(flags)]

# Values were printed as they are: what came back was no XML.
hard = [("a&amp;b", "x&lt;y"), ("quote", "&apos;&quot;&gt;")]
dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, U, hard))
seen = [(a.get("name"), a.get("value")) for a in ET.fromstring(dev.XMLDesc()).iterfind("capability/attr")]
tap.eq("attributes come back as they were given", [("a&b", "x<y"), ("quote", "'\">")], seen)
dev.undefine()
# It was still listed for up to a second.
tap.ok(dev.name() not in names(), "undefine is done when it returns")

# The device was made without it.
bad = tap.device_xml(parent, type_id, U).replace("</capability>", "<attr name='assign_adapter'/></capability>")
tap.refused("an attribute without a value is refused", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, lambda: conn.nodeDeviceCreateXML(bad), "attr")
tap.refused("by define, too", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, lambda: conn.nodeDeviceDefineXML(bad), "attr")
tap.eq("and nothing was made", [], [n for n in names(MDEV) if U.replace("-", "_") in n])

# The schema wants a name, and the XML that the manual shows has none.
dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, U), VALIDATE)
tap.ok(dev.isActive(), "the manual's XML passes validation")
dev.destroy()
dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, U), VALIDATE)
tap.ok(dev.isPersistent(), "also of what is defined")
dev.undefine()
bad = tap.device_xml(parent, type_id, U).replace("<uuid>", "<uid/><uuid>")
tap.refused("what the schema does not know does not pass", libvirt.VIR_ERR_XML_INVALID_SCHEMA,
            lambda: conn.nodeDeviceCreateXML(bad, VALIDATE), "uid")

# "No such file or directory (os error 2)" was all that was said.
dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, U, [("no_such_file", "1")]))
tap.refused("a start that cannot be says of what it is, and what is missing", (libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_SYSTEM_ERROR), dev.create, "no_such_file", U)
tap.eq("and leaves nothing behind", (0, 1), (dev.isActive(), dev.isPersistent()))
dev.undefine()

# A device that was not yet seen at the first look cost five seconds, up to a minute.
late = []
for _ in range(10):
    dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, U))
    late += [] if dev.name() in names(MDEV) and U in dev.XMLDesc() else [dev.name()]
    dev.destroy()
tap.eq("create returns when the device is there", [], late)

# Start, stop and undefine named the UUID alone.
one = conn.nodeDeviceDefineXML(tap.device_xml(first[0], first[2], U))
two = conn.nodeDeviceDefineXML(tap.device_xml(second[0], second[2], U))
tap.eq("one UUID, two definitions", sorted(tap.node_name(U, a) for a in (first[1], second[1])), sorted(n for n in names(INACTIVE) if U.replace("-", "_") in n))
two.create()
tap.eq("start starts the one that is meant", (0, 1), (one.isActive(), two.isActive()))
tap.eq("under its own parent", second[0], ET.fromstring(two.XMLDesc()).findtext("parent"))
tap.refused("a destroy of the other is refused", libvirt.VIR_ERR_OPERATION_INVALID, one.destroy, one.name())
tap.refused("and its start, as the UUID is in use", libvirt.VIR_ERR_OPERATION_INVALID, one.create, U)
tap.eq("the one that runs still does", (0, 1), (one.isActive(), two.isActive()))
two.setAutostart(True)
tap.eq("autostart is of the one that is meant", (0, 1), (one.autostart(), two.autostart()))
one.setAutostart(True)
two.setAutostart(False)
tap.eq("also when it is set on the one that is inactive", (1, 0), (one.autostart(), two.autostart()))
one.undefine()
tap.eq("undefine of the inactive one leaves the other", (False, 1, 1), (one.name() in names(), two.isActive(), two.isPersistent()))
one = conn.nodeDeviceDefineXML(tap.device_xml(first[0], first[2], U))
two.undefine()
tap.eq("undefine of the one that runs leaves the inactive one", (1, 0, 1, 0),
       (one.isPersistent(), one.isActive(), two.isActive(), two.isPersistent()))
tap.refused("a destroy of the inactive one is refused again", libvirt.VIR_ERR_OPERATION_INVALID, one.destroy, one.name())
tap.eq("and the transient one still runs", 1, two.isActive())
two.destroy()
tap.refused("a handle of what is gone reaches no other", libvirt.VIR_ERR_NO_NODE_DEVICE, two.destroy, two.name())
two = conn.nodeDeviceDefineXML(tap.device_xml(second[0], second[2], U))
one.create()
tap.eq("destroy destroyed the one that was meant", (1, 0), (one.isActive(), two.isActive()))
one.destroy()
one.undefine()
tap.eq("undefine leaves the other", (False, True), (one.name() in names(), two.name() in names()))
two.undefine()
tap.eq("nothing is left", [], [n for n in names() if U.replace("-", "_") in n])
conn.close()
tap.done()
