#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: answers.py URI PARENT TYPE

Prints the results of a node-device driver: its lists, the properties of each node except the XML, and the error code of
each invalid request. For a comparison of two drivers on one host.
"""

import sys

import libvirt

uri, parent, type_id = sys.argv[1:4]
U = "5eed000a-0000-4000-8000-00000000000a"
LEVELS = ("VIR_ERR_NONE", "VIR_ERR_WARNING", "VIR_ERR_ERROR")
CODES = {getattr(libvirt, name): name[len("VIR_ERR_"):] for name in dir(libvirt) if name.startswith("VIR_ERR_") and name not in LEVELS}
LIST = {name[len("VIR_CONNECT_LIST_NODE_DEVICES_"):]: getattr(libvirt, name)
        for name in sorted(dir(libvirt)) if name.startswith("VIR_CONNECT_LIST_NODE_DEVICES_")}
OURS = ("mdev_", "mtty_", "mdpy_", "pci_", "css_", "ap_")

libvirt.virEventRegisterDefaultImpl()
libvirt.registerErrorHandler(lambda *_: None, None)
conn = libvirt.open(uri)


def answer(question, call):
    """Prints the result of a call; one line for each item of a list."""
    try:
        seen = call()
    except libvirt.libvirtError as e:
        seen = CODES.get(e.get_error_code(), e.get_error_code())
    for item in seen if isinstance(seen, list) else [seen]:
        print(f"{question}: {item}")


def names(listed):
    return sorted(name for name in listed if name.startswith(OURS))


def defined(xml):
    """Removes a definition that was accepted."""
    conn.nodeDeviceDefineXML(xml).undefine()
    return "accepted"


for cap, flag in LIST.items():
    answer(f"list {cap}", lambda: names(dev.name() for dev in conn.listAllDevices(flag)))
    answer(f"list {cap}, inactive", lambda: names(dev.name() for dev in conn.listAllDevices(flag | LIST["INACTIVE"])))
for cap in None, "pci", "css", "ap_matrix", "mdev_types", "mdev", "nonsense":
    answer(f"names {cap}", lambda: names(conn.listDevices(cap)))
answer("list of an unknown flag", lambda: conn.listAllDevices(1 << 29))

for name in names(dev.name() for dev in conn.listAllDevices(0)):
    dev = conn.nodeDeviceLookupByName(name)
    for what in "parent", "listCaps", "numOfCaps", "isActive", "isPersistent", "autostart":
        answer(f"{name} {what}", getattr(dev, what))
    answer(f"{name} XML of unknown flags", lambda: dev.XMLDesc(1 << 7))
    if not name.startswith("mdev_"):
        answer(f"{name} destroy", dev.destroy)
        answer(f"{name} undefine", dev.undefine)
        answer(f"{name} start", dev.create)
        answer(f"{name} set autostart", lambda: dev.setAutostart(True))
for name in "nope", "pci_ffff_ff_1f_7", "mdev_nope":
    answer(f"lookup {name}", lambda: conn.nodeDeviceLookupByName(name))

device = lambda above, inside, attributes="type='mdev'": f"<device>{above}<capability {attributes}>{inside}</capability></device>"
above, kind, uuid = f"<parent>{parent}</parent>", f"<type id='{type_id}'/>", f"<uuid>{U}</uuid>"
REQUESTS = {
    "no XML": "<device",
    "nothing": "",
    "another root element": "<domain/>",
    "no capability": "<device/>",
    "a capability without a type": device(above, kind, ""),
    "a capability of an unknown type": device(above, kind, "type='nonsense'"),
    "no parent": device("", kind),
    "an empty parent": device("<parent/>", kind),
    "an unknown parent": device("<parent>pci_ffff_ff_1f_7</parent>", kind),
    "no type": device(above, ""),
    "a type without an id": device(above, "<type/>"),
    "a UUID that is none": device(above, kind + "<uuid>xyz</uuid>"),
    "a system": device(above, "", "type='system'"),
}
# The schema allows none of these. libvirt's own driver accepts them without VALIDATE.
UNKNOWN = {
    "an unknown element of a device": device(above + "<later a='b'><x>1</x></later>", kind + uuid),
    "an unknown element of a capability": device(above, kind + uuid + "<later a='b'><x>1</x></later>"),
    "an unknown attribute": device(above, kind + uuid, "type='mdev' later='1'"),
    "an unknown child of a type": device(above, f"<type id='{type_id}'><later/></type>" + uuid),
    "a start": device(above, kind + uuid + "<start type='auto'/>"),
}
# libvirt's own driver accepts some of these; a create would wait a minute for a device that does not appear.
DEFINITIONS = {
    "an empty UUID": device(above, kind + "<uuid/>"),
    "an attribute without a value": device(above, kind + uuid + "<attr name='a'/>"),
    "an attribute without a name": device(above, kind + uuid + "<attr value='a'/>"),
    "a group that is no number": device(above, kind + "<iommuGroup number='x'/>"),
}
for what, xml in REQUESTS.items():
    answer(f"create: {what}", lambda: conn.nodeDeviceCreateXML(xml))
    answer(f"create, validated: {what}", lambda: conn.nodeDeviceCreateXML(xml, libvirt.VIR_NODE_DEVICE_CREATE_XML_VALIDATE))
for what, xml in {**REQUESTS, **DEFINITIONS, **UNKNOWN}.items():
    answer(f"define: {what}", lambda: defined(xml))
for what, xml in UNKNOWN.items():
    answer(f"define, validated: {what}", lambda: conn.nodeDeviceDefineXML(xml, libvirt.VIR_NODE_DEVICE_CREATE_XML_VALIDATE))
answer("create of unknown flags", lambda: conn.nodeDeviceCreateXML(device(above, kind), 1 << 9))
answer("define of unknown flags", lambda: conn.nodeDeviceDefineXML(device(above, kind), 1 << 9))
conn.close()
