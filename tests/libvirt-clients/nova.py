#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: nova.py URI PARENT ADDRESS TYPE

Makes the calls of OpenStack Nova's libvirt driver for mediated devices, in its order. Nova lists
names by capability, looks up each name, and reads direct children of the XML only. It creates a device, defines it while
the device is active and turns its autostart on. When Nova starts, it starts the inactive devices. It branches on a few error codes.
"""

import sys
import uuid
import xml.etree.ElementTree as ET

import libvirt

import tap

uri, parent, address, type_id = sys.argv[1:5]
# libvirt's own driver lists parents on these buses, and Nova raises an exception for each.
LISTED_BY_LIBVIRT = ("css_", "ap_")


def error_code(call):
    try:
        call()
    except libvirt.libvirtError as e:
        return e.get_error_code()
    return None


def names(cap):
    """Treats a host that does not support the call as a host without such devices."""
    try:
        return conn.listDevices(cap, 0)
    except libvirt.libvirtError as e:
        if e.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return []
        raise


def children(element, kind):
    """Returns the capabilities of this kind that are direct children of an element."""
    return [c for c in element if c.tag == "capability" and c.get("type") == kind]


def is_virtual(name):
    """True for a parent without a PCI address, which an operator configures by its name; libvirt supports only mtty."""
    return name.startswith("mtty_")


def types_of(name):
    """A parent that is not virtual must have a PCI capability, or Nova raises AttributeError for the whole host."""
    root = ET.fromstring(conn.nodeDeviceLookupByName(name).XMLDesc(0))
    above = children(root, "mdev_types" if is_virtual(name) else "pci")
    if not above:
        raise AttributeError(name)
    if not is_virtual(name):
        int([c for c in above[-1] if c.tag == "vendor"][0].get("id"), 16)
    found = {}
    for cap in children(above[-1], "mdev_types"):
        for kind in (c for c in cap if c.tag == "type"):
            values = {c.tag: int(c.text) if c.tag == "availableInstances" else c.text for c in kind}
            found[kind.get("id")] = {
                "availableInstances": values["availableInstances"],
                "name": values.get("name"),
                "deviceAPI": values["deviceAPI"],
            }
    return found


def capable():
    """Returns the parents that have types, with their types, and the parents for which Nova raises an exception."""
    found, raised = {}, []
    for name in names("mdev_types"):
        try:
            types = types_of(name)
        except AttributeError:
            raised.append(name)
            continue
        if types:
            found[name] = types
    return found, raised


def information(name):
    """Returns the properties of a device. A guest's XML has only the UUID, so the name can be without the address."""
    try:
        dev = conn.nodeDeviceLookupByName(name)
    except libvirt.libvirtError as e:
        if e.get_error_code() != libvirt.VIR_ERR_NO_NODE_DEVICE:
            raise
        matching = [n for n in names("mdev") if n.startswith(name)]
        if len(matching) != 1:
            raise
        dev = conn.nodeDeviceLookupByName(matching[0])
    root = ET.fromstring(dev.XMLDesc(0))
    cap = children(root, "mdev")[-1]
    last = lambda element, tag: ([c for c in element if c.tag == tag] or [ET.Element(tag)])[-1]
    group = last(cap, "iommuGroup").get("number")
    return {
        "dev_id": last(root, "name").text,
        "uuid": last(cap, "uuid").text,
        "parent": last(root, "parent").text,
        "type": last(cap, "type").get("id"),
        "iommu_group": None if group is None else int(group),
    }


def devices():
    return {info["uuid"]: info for info in map(information, names("mdev"))}


def request(parent, type_id, uuid):
    root = ET.Element("device")
    ET.SubElement(root, "parent").text = parent
    cap = ET.SubElement(root, "capability", type="mdev")
    ET.SubElement(cap, "type", id=type_id)
    ET.SubElement(cap, "uuid").text = uuid
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def create(parent, type_id, uuid):
    xml = request(parent, type_id, uuid)
    conn.nodeDeviceCreateXML(xml, flags=0)
    dev = conn.nodeDeviceDefineXML(xml, flags=0)
    dev.setAutostart(True)
    return dev


def start_inactive():
    """Starts the inactive devices, as the compute service does when it starts."""
    flags = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV | libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE
    inactive = conn.listAllDevices(flags)
    for dev in inactive:
        dev.create()
    return [dev.name() for dev in inactive]


tap.event_loop()
conn = libvirt.open(uri)
before, raised = capable()
tap.eq("Nova raises an exception only for parents that libvirt itself lists", [], [n for n in raised if not n.startswith(LISTED_BY_LIBVIRT)])
tap.ok(type_id in before.get(parent, {}), "Nova finds the parent and its type", before)
kind = before[parent][type_id]
tap.eq("the type has a device API", "vfio-pci", kind["deviceAPI"])
tap.ok(kind["availableInstances"] > 0, "the type has an available instance", kind)

mdev = str(uuid.uuid4())
dev = create(parent, type_id, mdev)
mine = devices().get(mdev)
wanted = {"dev_id": tap.node_name(mdev, address), "uuid": mdev, "parent": parent, "type": type_id}
tap.ok(mine, "the new device is listed", devices())
tap.eq("the new device has the properties of the request", wanted, {key: mine[key] for key in wanted})
tap.ok(mine["iommu_group"] >= 0, "its IOMMU group is printed", mine)
tap.eq("the name without the parent's address finds the device", mine, information("mdev_" + mdev.replace("-", "_")))
tap.eq("the device is active and persistent, with autostart", (1, 1, 1), (dev.isActive(), dev.isPersistent(), dev.autostart()))
tap.ok(capable()[0][parent][type_id]["availableInstances"] < kind["availableInstances"], "the type has fewer available instances", capable())

gone = tap.node_name(uuid.uuid4(), address)
tap.eq("lookup of an unknown device: NO_NODE_DEVICE", libvirt.VIR_ERR_NO_NODE_DEVICE,
       error_code(lambda: conn.nodeDeviceLookupByName(gone)))
tap.eq("create on an unknown parent: CONFIG_UNSUPPORTED", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
       error_code(lambda: create("pci_ffff_ff_1f_7", type_id, str(uuid.uuid4()))))

dev.destroy()
tap.ok(mdev not in devices(), "a destroyed device is not listed as a device", devices())
tap.eq("the inactive device is started when Nova starts", [mine["dev_id"]], start_inactive())
tap.eq("the started device is listed with the same properties", {**mine, "iommu_group": 0}, {**devices()[mdev], "iommu_group": 0})
dev.destroy()
dev.undefine()
tap.eq("after destroy and undefine the device does not exist", libvirt.VIR_ERR_NO_NODE_DEVICE, error_code(lambda: conn.nodeDeviceLookupByName(mine["dev_id"])))
tap.eq("the number of available instances is as before", before[parent], capable()[0][parent])

if uri.startswith("qemu"):
    # To detach a device that the guest does not have is an error of libvirt's own; this driver must not change the code.
    guest = conn.createXML("<domain type='qemu'><name>nova</name><memory unit='MiB'>64</memory><os><type machine='pc'>hvm</type></os>"
                           "</domain>", libvirt.VIR_DOMAIN_START_PAUSED)
    hostdev = f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{mdev}'/></source></hostdev>"
    tap.eq("detach of a device that the guest does not have: DEVICE_MISSING", libvirt.VIR_ERR_DEVICE_MISSING,
           error_code(lambda: guest.detachDeviceFlags(hostdev, libvirt.VIR_DOMAIN_AFFECT_LIVE)))
    guest.destroy()
conn.close()
tap.done()
