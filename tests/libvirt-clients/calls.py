#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: calls.py URI PARENT ADDRESS TYPE [elsewhere]

Every call of libvirt's node-device interface, as python3-libvirt makes it, on a host with a parent that has room for two
devices of a type: what it returns, what it refuses, and the events that follow. "elsewhere": the parent is of another host
than the nodes of libvirt's own.
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
    tap.ok(parent in names(), "the parent is in the list of all", names())
    tap.ok(parent in names(TYPES), "and among those with types")
    tap.ok(parent not in names(MDEV), "and not among the devices")
    tap.eq("computer alone is a system", ["computer"], names(SYSTEM))
    tap.eq("the legacy list of types is the same", names(TYPES | ACTIVE), sorted(conn.listDevices("mdev_types")))
    tap.eq("and counts the same", len(names(TYPES | ACTIVE)), conn.numOfDevices("mdev_types"))
    tap.eq("the legacy list of all is what is active", names(ACTIVE), sorted(conn.listDevices(None)))
    tap.eq("no node has a capability of another name", ([], 0), (conn.listDevices("nonsense"), conn.numOfDevices("nonsense")))
    tap.eq("no capability, no state: all", names(), names(ACTIVE | INACTIVE))
    tap.refused("an unknown flag is refused", libvirt.VIR_ERR_INVALID_ARG, lambda: conn.listAllDevices(1 << 29))


def the_parent():
    dev = conn.nodeDeviceLookupByName(parent)
    tap.eq("a parent is active and persists, as all nodes that are not devices", (1, 1), (dev.isActive(), dev.isPersistent()))
    tap.ok("mdev_types" in dev.listCaps(), "it has mdev_types", dev.listCaps())
    tap.eq("as many capabilities as are listed", len(dev.listCaps()), dev.numOfCaps())
    tap.ok(elsewhere or dev.parent() in names(), "what is above it is in the list, so that a tree can be drawn", dev.parent())
    tap.refused("it cannot be destroyed", libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dev.destroy)
    tap.refused("a node that is not there", libvirt.VIR_ERR_NO_NODE_DEVICE,
                lambda: conn.nodeDeviceLookupByName("pci_ffff_ff_1f_7"), "pci_ffff_ff_1f_7")
    tap.refused("nor is a SCSI host", libvirt.VIR_ERR_NO_NODE_DEVICE,
                lambda: conn.nodeDeviceLookupSCSIHostByWWN("1111222233334444", "1111222233334444"), "1111222233334444")


def transient():
    name = tap.node_name(A, address)
    events = tap.Listener(conn)
    room = left()
    dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, A.upper()))
    tap.eq("create gives the device its name", name, dev.name())
    tap.eq("and it is there", (True, True), (name in names(MDEV), name in conn.listDevices("mdev")))
    tap.ok(left() < room, "the parent has less room", room, left())
    # What comes and goes between two looks of the monitor is no change of the parent.
    events.wait_for(name, "created")
    tap.ok(events.wait(lambda: "updated" in events.of(parent)), "the parent was updated", events.seen)
    updates = events.of(parent).count("updated")
    tap.eq("its state: active, not persistent, no autostart", (1, 0, 0), (dev.isActive(), dev.isPersistent(), dev.autostart()))
    tap.eq("its parent", parent, dev.parent())
    tap.eq("its capability", (["mdev"], 1), (dev.listCaps(), dev.numOfCaps()))
    xml = ET.fromstring(dev.XMLDesc())
    tap.eq("what its XML says", (name, parent, type_id, A, address), (
        xml.findtext("name"), xml.findtext("parent"), xml.find("capability/type").get("id"),
        xml.findtext("capability/uuid"), xml.findtext("capability/parent_addr")))
    tap.ok(int(xml.find("capability/iommuGroup").get("number")) >= 0, "an IOMMU group")
    tap.eq("looked up by name it is the same", dev.XMLDesc(), conn.nodeDeviceLookupByName(name).XMLDesc())
    tap.refused("flags of the XML", libvirt.VIR_ERR_INVALID_ARG, lambda: dev.XMLDesc(1 << 7))
    tap.refused("the same once more", libvirt.VIR_ERR_OPERATION_INVALID,
                lambda: conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, A)), A)
    tap.eq("destroy", 0, dev.destroy())
    tap.ok(name not in names(), "it is gone from the list at once", names())
    tap.refused("and a second destroy says so", libvirt.VIR_ERR_NO_NODE_DEVICE, dev.destroy, name)
    tap.eq("events: created, deleted", ["created", "deleted"], events.wait_for(name, "created", "deleted"))
    tap.ok(events.wait(lambda: events.of(parent).count("updated") > updates), "the parent was updated again", events.seen)
    tap.eq("the room is as it was", room, left())
    events.close()
    unnamed = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id))
    tap.ok(unnamed.name().startswith("mdev_"), "without a UUID it gets one", unnamed.name())
    unnamed.destroy()


def listeners():
    """To all devices, to one, and one that leaves early; that one on a connection of its own where that is of the same host."""
    name, other = tap.node_name(A, address), tap.node_name(B, address)
    second = conn if "/embed" in uri else libvirt.open(uri)
    every, early = tap.Listener(conn), tap.Listener(second)
    early.close()
    first = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, A))
    every.wait_for(name, "created")
    one = tap.Listener(conn, first)
    conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, B)).destroy()
    first.destroy()
    tap.eq("who listens to all hears of the other", ["created", "deleted"], every.wait_for(other, "created", "deleted"))
    tap.eq("who listens to one hears of that one", ["deleted"], one.wait_for(name, "deleted"))
    tap.eq("and of no other", [], one.of(other))
    tap.eq("who has left hears nothing", [], early.seen)
    tap.refused("leaving twice", libvirt.VIR_ERR_INVALID_ARG, lambda: conn.nodeDeviceEventDeregisterAny(77))
    one.close()
    every.close()
    if second is not conn:
        second.close()


def persistent():
    name = tap.node_name(A, address)
    events = tap.Listener(conn)
    life = []

    def heard(*whats):
        """Those of definitions and those of devices have no order between them: each is waited for."""
        life.extend(whats)
        events.wait_for(name, *life)

    dev = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id, A))
    heard("defined")
    tap.eq("define gives the device the name that it will have", name, dev.name())
    tap.eq("it is inactive", (True, False), (name in names(INACTIVE), name in names(ACTIVE)))
    tap.eq("its state: not active, persistent, no autostart", (0, 1, 0), (dev.isActive(), dev.isPersistent(), dev.autostart()))
    tap.eq("its parent", parent, dev.parent())
    tap.eq("autostart on", (0, 1), (dev.setAutostart(True), dev.autostart()))
    tap.eq("autostart off", (0, 0), (dev.setAutostart(False), dev.autostart()))
    tap.refused("it cannot be destroyed", libvirt.VIR_ERR_OPERATION_INVALID, dev.destroy, name)
    tap.eq("start", 0, dev.create())
    tap.eq("it is active", (1, 1, False, True), (dev.isActive(), dev.isPersistent(), name in names(INACTIVE), name in names(ACTIVE)))
    tap.refused("a second start", libvirt.VIR_ERR_OPERATION_INVALID, dev.create, name)
    tap.eq("destroy leaves the definition", (0, 0, 1), (dev.destroy(), dev.isActive(), dev.isPersistent()))
    dev.create()
    heard("created", "deleted", "created")
    tap.eq("undefine leaves the device", (0, 1, 0), (dev.undefine(), dev.isActive(), dev.isPersistent()))
    heard("undefined")
    tap.refused("a second undefine", libvirt.VIR_ERR_OPERATION_INVALID, dev.undefine, name)
    tap.refused("autostart of what is not defined", libvirt.VIR_ERR_OPERATION_INVALID, lambda: dev.setAutostart(True), name)
    dev.destroy()
    tap.refused("then all is gone", libvirt.VIR_ERR_NO_NODE_DEVICE, lambda: conn.nodeDeviceLookupByName(name), name)
    heard("deleted")
    tap.eq("the events of that life", life, events.wait_for(name, *life))
    events.close()


def refusals():
    create, define = conn.nodeDeviceCreateXML, conn.nodeDeviceDefineXML
    before = names()
    # Each entity is ten of the one before.
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
    laughs = f"<!DOCTYPE device [<!ENTITY e0 'ha'>{entities}]><device><parent>&e11;</parent></device>"
    for what, call in ("create", create), ("define", define):
        tap.refused(f"{what}: no XML", libvirt.VIR_ERR_XML_ERROR, lambda: call("<device"), "line 1")
        tap.refused(f"{what}: no entities", libvirt.VIR_ERR_XML_ERROR, lambda: call(laughs), "DOCTYPE")
        tap.refused(f"{what}: another root element", libvirt.VIR_ERR_XML_ERROR, lambda: call("<domain/>"), "<domain>", "<device>")
        tap.refused(f"{what}: no capability", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, lambda: call("<device/>"), "capability")
        tap.refused(f"{what}: unknown parent", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                    lambda: call(tap.device_xml("pci_ffff_ff_1f_7", type_id)), "pci_ffff_ff_1f_7")
        tap.refused(f"{what}: a UUID that is none", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                    lambda: call(tap.device_xml(parent, type_id, "xyz")), "xyz")
        tap.refused(f"{what}: unknown flags", libvirt.VIR_ERR_INVALID_ARG, lambda: call("<device/>", 1 << 9))
    tap.refused("create: unknown type", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
                lambda: create(tap.device_xml(parent, "no-such-type")), parent, "no-such-type")
    tap.eq("nothing was made", before, names())


lists()
the_parent()
transient()
listeners()
persistent()
refusals()
conn.close()
tap.done()
