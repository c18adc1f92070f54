#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: calls.py URI PARENT ADDRESS TYPE [elsewhere]

Makes every call of libvirt's node-device interface with python3-libvirt, on a host with a parent that has at least two
available instances of a type, and checks results, errors and events. "elsewhere": the parent is on another host
than libvirt's own nodes.
"""

import sys
import xml.etree.ElementTree as ET

import libvirt

import tap

A = "5eed0001-0000-4000-8000-00000000000a"
B = "5eed0001-0000-4000-8000-00000000000b"
MDEV = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV
TYPES = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES
ACTIVE = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE
INACTIVE = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE
SYSTEM = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM

uri, parent, address, type_id = sys.argv[1:5]
elsewhere = sys.argv[5:] == ["elsewhere"]
tap.event_loop()
conn = libvirt.open(uri)
names = lambda flags=0: sorted(d.name() for d in conn.listAllDevices(flags))
left = lambda: int(
    ET.fromstring(conn.nodeDeviceLookupByName(parent).XMLDesc()).findtext(
        f".//type[@id='{type_id}']/availableInstances"
    )
)


def lists():
    tap.ok(parent in names(), "the list of all nodes has the parent", names())
    tap.ok(parent in names(TYPES), "the list of parents with types has the parent")
    tap.ok(parent not in names(MDEV), "the list of devices does not have the parent")
    tap.eq("only the computer is a system", ["computer"], names(SYSTEM))
    tap.eq("the legacy list of parents is equal", names(TYPES | ACTIVE), sorted(conn.listDevices("mdev_types")))
    tap.eq("the legacy count of parents is equal", len(names(TYPES | ACTIVE)), conn.numOfDevices("mdev_types"))
    tap.eq("the legacy list of all nodes has the active nodes", names(ACTIVE), sorted(conn.listDevices(None)))
    tap.eq("no node has an unknown capability", ([], 0), (conn.listDevices("nonsense"), conn.numOfDevices("nonsense")))
    tap.eq("both states select all nodes", names(), names(ACTIVE | INACTIVE))
    tap.refused("an unknown flag is refused", libvirt.VIR_ERR_INVALID_ARG, lambda: conn.listAllDevices(1 << 29))


def the_parent():
    dev = conn.nodeDeviceLookupByName(parent)
    tap.eq("a parent is active and persistent, like all nodes that are not mediated devices", (1, 1), (dev.isActive(), dev.isPersistent()))
    tap.ok("mdev_types" in dev.listCaps(), "the parent has the capability mdev_types", dev.listCaps())
    tap.eq("the number of capabilities is equal to the list", len(dev.listCaps()), dev.numOfCaps())
    tap.ok(elsewhere or dev.parent() in names(), "the parent of the parent is listed, so that a client can draw a tree", dev.parent())
    tap.refused("a parent cannot be destroyed", libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dev.destroy)
    tap.refused("lookup of an unknown node", libvirt.VIR_ERR_NO_NODE_DEVICE,
                lambda: conn.nodeDeviceLookupByName("pci_ffff_ff_1f_7"), "pci_ffff_ff_1f_7")
    tap.refused("lookup of an unknown SCSI host", libvirt.VIR_ERR_NO_NODE_DEVICE,
                lambda: conn.nodeDeviceLookupSCSIHostByWWN("1111222233334444", "1111222233334444"), "1111222233334444")


def transient():
    name = tap.node_name(A, address)
    events = tap.Listener(conn)
    room = left()
    dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, A.upper()))
    tap.eq("create returns the device with its name", name, dev.name())
    tap.eq("the device is listed", (True, True), (name in names(MDEV), name in conn.listDevices("mdev")))
    tap.ok(left() < room, "the parent has fewer available instances", room, left())
    # A device that is created and destroyed between two reads of the monitor does not update the parent.
    events.wait_for(name, "created")
    tap.ok(events.wait(lambda: "updated" in events.of(parent)), "the parent was updated", events.seen)
    updates = events.of(parent).count("updated")
    tap.eq("the device is active, not persistent, without autostart", (1, 0, 0), (dev.isActive(), dev.isPersistent(), dev.autostart()))
    tap.eq("its parent", parent, dev.parent())
    tap.eq("the capability of the device", (["mdev"], 1), (dev.listCaps(), dev.numOfCaps()))
    xml = ET.fromstring(dev.XMLDesc())
    tap.eq("the XML of the device", (name, parent, type_id, A, address), (
        xml.findtext("name"), xml.findtext("parent"), xml.find("capability/type").get("id"),
        xml.findtext("capability/uuid"), xml.findtext("capability/parent_addr")))
    tap.ok(int(xml.find("capability/iommuGroup").get("number")) >= 0, "the XML has an IOMMU group")
    tap.eq("the lookup by name returns the same device", dev.XMLDesc(), conn.nodeDeviceLookupByName(name).XMLDesc())
    tap.refused("unknown flags of the XML", libvirt.VIR_ERR_INVALID_ARG, lambda: dev.XMLDesc(1 << 7))
    tap.refused("a second create with the same UUID", libvirt.VIR_ERR_OPERATION_INVALID,
                lambda: conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, A)), A)
    tap.eq("destroy", 0, dev.destroy())
    tap.ok(name not in names(), "after destroy the device is not listed", names())
    tap.refused("a second destroy", libvirt.VIR_ERR_NO_NODE_DEVICE, dev.destroy, name)
    tap.eq("events: created, deleted", ["created", "deleted"], events.wait_for(name, "created", "deleted"))
    tap.ok(events.wait(lambda: events.of(parent).count("updated") > updates), "the parent was updated again", events.seen)
    tap.eq("the number of available instances is as before", room, left())
    events.close()
    unnamed = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id))
    tap.ok(unnamed.name().startswith("mdev_"), "create without a UUID generates one", unnamed.name())
    unnamed.destroy()


def listeners():
    """Listeners for all devices, for one device, and one that is removed early.

    The last has a connection of its own if both connections have the same host.
    """
    name, other = tap.node_name(A, address), tap.node_name(B, address)
    second = conn if "/embed" in uri else libvirt.open(uri)
    every, early = tap.Listener(conn), tap.Listener(second)
    early.close()
    first = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, A))
    every.wait_for(name, "created")
    one = tap.Listener(conn, first)
    conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, B)).destroy()
    first.destroy()
    tap.eq("a listener for all devices gets the events of the other device", ["created", "deleted"], every.wait_for(other, "created", "deleted"))
    tap.eq("a listener for one device gets its events", ["deleted"], one.wait_for(name, "deleted"))
    tap.eq("a listener for one device gets no other events", [], one.of(other))
    tap.eq("a removed listener gets no events", [], early.seen)
    tap.refused("removal of an unknown listener", libvirt.VIR_ERR_INVALID_ARG, lambda: conn.nodeDeviceEventDeregisterAny(77))
    one.close()
    every.close()
    if second is not conn:
        second.close()


def persistent():
    name = tap.node_name(A, address)
    events = tap.Listener(conn)
    life = []

    def expect(*whats):
        """Waits for each event: events of definitions and events of devices have no order between them."""
        life.extend(whats)
        events.wait_for(name, *life)

    dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, A))
    expect("defined")
    tap.eq("define returns the device with the name that it will have", name, dev.name())
    tap.eq("the definition is listed as inactive", (True, False), (name in names(INACTIVE), name in names(ACTIVE)))
    tap.eq("the definition is inactive, persistent, without autostart", (0, 1, 0), (dev.isActive(), dev.isPersistent(), dev.autostart()))
    tap.eq("its parent", parent, dev.parent())
    tap.eq("autostart on", (0, 1), (dev.setAutostart(True), dev.autostart()))
    tap.eq("autostart off", (0, 0), (dev.setAutostart(False), dev.autostart()))
    tap.refused("an inactive device cannot be destroyed", libvirt.VIR_ERR_OPERATION_INVALID, dev.destroy, name)
    tap.eq("start", 0, dev.create())
    tap.eq("after start the device is active", (1, 1, False, True), (dev.isActive(), dev.isPersistent(), name in names(INACTIVE), name in names(ACTIVE)))
    tap.refused("a second start", libvirt.VIR_ERR_OPERATION_INVALID, dev.create, name)
    tap.eq("destroy leaves the definition", (0, 0, 1), (dev.destroy(), dev.isActive(), dev.isPersistent()))
    dev.create()
    expect("created", "deleted", "created")
    tap.eq("undefine leaves the device", (0, 1, 0), (dev.undefine(), dev.isActive(), dev.isPersistent()))
    expect("undefined")
    tap.refused("a second undefine", libvirt.VIR_ERR_OPERATION_INVALID, dev.undefine, name)
    tap.refused("autostart of a device without a definition", libvirt.VIR_ERR_OPERATION_INVALID, lambda: dev.setAutostart(True), name)
    dev.destroy()
    tap.refused("lookup after the last destroy", libvirt.VIR_ERR_NO_NODE_DEVICE, lambda: conn.nodeDeviceLookupByName(name), name)
    expect("deleted")
    tap.eq("all events of the device", life, events.wait_for(name, *life))
    events.close()


def refusals():
    create, define = conn.nodeDeviceCreateXML, conn.nodeDeviceDefineXML
    before = names()
    # Each entity expands to ten times the previous one.
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
    laughs = f"<!DOCTYPE device [<!ENTITY e0 'ha'>{entities}]><device><parent>&e11;</parent></device>"
    for what, call in ("create", create), ("define", define):
        tap.refused(f"{what}: no XML", libvirt.VIR_ERR_XML_ERROR, lambda: call("<device"), "line 1")
        tap.refused(f"{what}: custom entities", libvirt.VIR_ERR_XML_ERROR, lambda: call(laughs), "DOCTYPE")
        tap.refused(f"{what}: another root element", libvirt.VIR_ERR_XML_ERROR, lambda: call("<domain/>"), "<domain>", "<device>")
        tap.refused(f"{what}: no capability", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, lambda: call("<device/>"), "capability")
        tap.refused(f"{what}: unknown parent", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                    lambda: call(tap.device_xml("pci_ffff_ff_1f_7", type_id)), "pci_ffff_ff_1f_7")
        tap.refused(f"{what}: an invalid UUID", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                    lambda: call(tap.device_xml(parent, type_id, "xyz")), "xyz")
        tap.refused(f"{what}: unknown flags", libvirt.VIR_ERR_INVALID_ARG, lambda: call("<device/>", 1 << 9))
    tap.refused("create: unknown type", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                lambda: create(tap.device_xml(parent, "no-such-type")), parent, "no-such-type")
    tap.eq("no node was created", before, names())


lists()
the_parent()
transient()
listeners()
persistent()
refusals()
conn.close()
tap.done()
