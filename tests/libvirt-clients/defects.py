#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: defects.py URI PARENT|ADDRESS|TYPE PARENT|ADDRESS|TYPE

Checks, on a host with two parents, that the known defects of libvirt's own driver for mediated devices do not occur.
The comments describe libvirt's own driver.
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

# Values were printed without escapes: the result was not XML.
hard = [("a&amp;b", "x&lt;y"), ("quote", "&apos;&quot;&gt;")]
dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, U, hard))
seen = [(a.get("name"), a.get("value")) for a in ET.fromstring(dev.XMLDesc()).iterfind("capability/attr")]
tap.eq("attributes are returned unchanged", [("a&b", "x<y"), ("quote", "'\">")], seen)
dev.undefine()
# A removed definition was still listed for up to a second.
tap.ok(dev.name() not in names(), "undefine is complete when it returns")

# The device was created without the attribute.
bad = tap.device_xml(parent, type_id, U).replace("</capability>", "<attr name='assign_adapter'/></capability>")
tap.refused("an attribute without a value is refused", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, lambda: conn.nodeDeviceCreateXML(bad), "attr")
tap.refused("define refuses an attribute without a value", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, lambda: conn.nodeDeviceDefineXML(bad), "attr")
tap.eq("no device was created", [], [n for n in names(MDEV) if U.replace("-", "_") in n])

# The schema requires a name, and the XML in the manual has none.
dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, U), VALIDATE)
tap.ok(dev.isActive(), "the manual's XML passes validation")
dev.destroy()
dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, U), VALIDATE)
tap.ok(dev.isPersistent(), "the manual's XML passes validation in a define")
dev.undefine()
bad = tap.device_xml(parent, type_id, U).replace("<uuid>", "<uid/><uuid>")
tap.refused("an element that the schema does not have is refused", libvirt.VIR_ERR_XML_INVALID_SCHEMA,
            lambda: conn.nodeDeviceCreateXML(bad, VALIDATE), "uid")

# The whole message was "No such file or directory (os error 2)".
dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, U, [("no_such_file", "1")]))
tap.refused("the error of a failed start names the device and the missing file", (libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_SYSTEM_ERROR), dev.create, "no_such_file", U)
tap.eq("a failed start leaves the definition inactive", (0, 1), (dev.isActive(), dev.isPersistent()))
dev.undefine()

# If the first look did not find the device, a create took five seconds, up to a minute.
late = []
for _ in range(10):
    dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, U))
    late += [] if dev.name() in names(MDEV) and U in dev.XMLDesc() else [dev.name()]
    dev.destroy()
tap.eq("create returns when the device is listed", [], late)

# Start, stop and undefine used only the UUID.
one = conn.nodeDeviceDefineXML(tap.device_xml(first[0], first[2], U))
two = conn.nodeDeviceDefineXML(tap.device_xml(second[0], second[2], U))
tap.eq("one UUID, two definitions", sorted(tap.node_name(U, a) for a in (first[1], second[1])), sorted(n for n in names(INACTIVE) if U.replace("-", "_") in n))
two.create()
tap.eq("start starts the selected definition", (0, 1), (one.isActive(), two.isActive()))
tap.eq("the device has the parent of its definition", second[0], ET.fromstring(two.XMLDesc()).findtext("parent"))
tap.refused("destroy of the inactive definition is refused", libvirt.VIR_ERR_OPERATION_INVALID, one.destroy, one.name())
tap.refused("start of the inactive definition is refused: its UUID is in use", libvirt.VIR_ERR_OPERATION_INVALID, one.create, U)
tap.eq("the active device is still active", (0, 1), (one.isActive(), two.isActive()))
two.setAutostart(True)
tap.eq("autostart changes the selected definition", (0, 1), (one.autostart(), two.autostart()))
one.setAutostart(True)
two.setAutostart(False)
tap.eq("autostart changes the inactive definition", (1, 0), (one.autostart(), two.autostart()))
one.undefine()
tap.eq("undefine of the inactive definition keeps the other", (False, 1, 1), (one.name() in names(), two.isActive(), two.isPersistent()))
one = conn.nodeDeviceDefineXML(tap.device_xml(first[0], first[2], U))
two.undefine()
tap.eq("undefine of the active device keeps the inactive definition", (1, 0, 1, 0),
       (one.isPersistent(), one.isActive(), two.isActive(), two.isPersistent()))
tap.refused("destroy of the inactive definition is refused again", libvirt.VIR_ERR_OPERATION_INVALID, one.destroy, one.name())
tap.eq("the transient device is still active", 1, two.isActive())
two.destroy()
tap.refused("a handle of a destroyed device does not reach another device", libvirt.VIR_ERR_NO_NODE_DEVICE, two.destroy, two.name())
two = conn.nodeDeviceDefineXML(tap.device_xml(second[0], second[2], U))
one.create()
tap.eq("destroy destroys the selected device", (1, 0), (one.isActive(), two.isActive()))
one.destroy()
one.undefine()
tap.eq("undefine keeps the other definition", (False, True), (one.name() in names(), two.name() in names()))
two.undefine()
tap.eq("no device of this UUID remains", [], [n for n in names() if U.replace("-", "_") in n])
conn.close()
tap.done()
